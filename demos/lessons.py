"""What a latent space is good for, lesson by lesson: the functions that `gallery.md` calls.

    from latent_vizae.demos import lessons

Each module has one subject: the data (`lesson_data`), what families of generators make of it (`lesson_compression`),
the troubles of a latent space that can be seen whole (`lesson_spaces`), classes (`lesson_classes`), ways from image to
image (`lesson_ways`), sums of codes and mixtures of styles (`lesson_mixing`), and pictures (`lesson_pictures`).
"""

from latent_vizae.demos.lesson_classes import FewLabels, accuracy, few_labels, few_labels_table, nearest_labels
from latent_vizae.demos.lesson_compression import (
    PCA,
    Compression,
    Draws,
    compression,
    compression_table,
    draws,
    pca,
)
from latent_vizae.demos.lesson_data import CLOTHES, Labelled, encoded, generator, labelled, table
from latent_vizae.demos.lesson_mixing import Sum, difference, extremes, mixed_images, slants, sum_of, sums_table
from latent_vizae.demos.lesson_pictures import (
    before_and_after,
    class_maps_picture,
    draws_sheet,
    sheet,
    space_picture,
    sum_picture,
    walk_picture,
    ways_picture,
)
from latent_vizae.demos.lesson_spaces import (
    Space,
    Troubles,
    class_areas,
    energy_distance,
    nearest_distance,
    space_of,
    spread,
    troubles,
    troubles_table,
)
from latent_vizae.demos.lesson_ways import Way, around, judge, slerp, three_ways, walk, ways_table

__all__ = [
    "CLOTHES",
    "PCA",
    "Compression",
    "Draws",
    "FewLabels",
    "Labelled",
    "Space",
    "Sum",
    "Troubles",
    "Way",
    "accuracy",
    "around",
    "before_and_after",
    "class_areas",
    "class_maps_picture",
    "compression",
    "compression_table",
    "difference",
    "draws",
    "draws_sheet",
    "encoded",
    "energy_distance",
    "extremes",
    "few_labels",
    "few_labels_table",
    "generator",
    "judge",
    "labelled",
    "mixed_images",
    "nearest_distance",
    "nearest_labels",
    "pca",
    "sheet",
    "slants",
    "slerp",
    "space_of",
    "space_picture",
    "spread",
    "sum_of",
    "sum_picture",
    "sums_table",
    "table",
    "three_ways",
    "troubles",
    "troubles_table",
    "walk",
    "walk_picture",
    "ways_picture",
    "ways_table",
]
