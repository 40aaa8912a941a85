"""What a latent space is good for, lesson by lesson: the functions that `gallery.md` calls.

    from latent_vizae.demos import lessons

Each module of `gallery` has one subject: the data (`data`), what families of generators make of it (`compression`),
the troubles of a latent space that can be seen whole (`spaces`), classes (`classes`), ways from image to image
(`ways`), sums of codes and mixtures of styles (`mixing`), and pictures (`pictures`).
"""

from latent_vizae.demos.gallery.classes import FewLabels, accuracy, few_labels, few_labels_table, nearest_labels
from latent_vizae.demos.gallery.compression import (
    PCA,
    Compression,
    Draws,
    compression,
    compression_table,
    draws,
    pca,
)
from latent_vizae.demos.gallery.data import CLOTHES, Labelled, encoded, generator, labelled, table, taef2
from latent_vizae.demos.gallery.mixing import Sum, difference, extremes, mixed_images, slants, sum_of, sums_table
from latent_vizae.demos.gallery.pictures import (
    before_and_after,
    class_maps_picture,
    classes_picture,
    draws_sheet,
    sheet,
    space_picture,
    sum_picture,
    walk_picture,
    ways_picture,
)
from latent_vizae.demos.gallery.spaces import (
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
from latent_vizae.demos.gallery.ways import Way, around, measure_ways, slerp, three_ways, walk, ways_table

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
    "classes_picture",
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
    "labelled",
    "measure_ways",
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
    "taef2",
    "three_ways",
    "troubles",
    "troubles_table",
    "walk",
    "walk_picture",
    "ways_picture",
    "ways_table",
]
