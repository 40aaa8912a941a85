"""A map as a table of its points, for the tools of others: embedding-atlas, datamapplot, the Hub's viewer."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.names import shown_labels
from latent_vizae.storage.folder import atomic_file
from latent_vizae.training.progress import Progress, Reporting

from .tiles import duration, expected_seconds, reduced, tile_size

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["write_table"]


ROWS = 4096
"""Of a row group; their pictures are in memory at a time."""


def write_table(
    m: LatentMap,
    path: str | Path,
    labels: Any,
    names: Any,
    size: int | None,
    progress: Reporting,
    most_seconds: float | None,
) -> Path:
    """Write a table of the points, see `LatentMap.to_parquet`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError('A table needs: pip install "latent-vizae[parquet]".') from error
    target, v = Path(path), m.v
    if target.suffix.lower() != ".parquet":
        raise ValueError(f"A table is saved as .parquet; asked for {target.name!r}.")
    if len(v.points) == 0:
        raise ValueError("This v has no points, so its table would be empty.")
    size = 64 if size is None else as_whole(size, "size", 0)
    named = shown_labels(v, labels, names)
    axes = ["x", "y", "z"][: v.dim]
    columns = [(axis, pa.float32()) for axis in axes] + [("support", pa.float32())]
    if named.numbers is not None:
        columns.append(("label", pa.string()))
    if size:
        columns.append(("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
    schema = pa.schema(columns)
    if size:  # how the Hub's viewer and `datasets` know that these bytes are pictures
        kinds: dict[str, Any] = {name: {"dtype": str(kind), "_type": "Value"} for name, kind in columns}
        for name in (*axes, "support"):
            kinds[name]["dtype"] = "float32"
        kinds["image"] = {"_type": "Image"}
        schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": kinds}})})
    points = v.points.detach().float()
    with atomic_file(target) as partial:  # before any work: whether it can be written
        title, few = f"{len(points):,} codes", 1
        if size:
            few = max(1, 2**24 // m.render(points[:1]).numel())
            seconds = expected_seconds(m, points) * len(points)
            if most_seconds is not None and seconds > most_seconds:
                raise ValueError(
                    f"{len(points):,} pictures take about {duration(seconds)}, more than most_seconds="
                    f"{most_seconds:g}. Leave them out (size=0), or allow more time (most_seconds=None)."
                )
            title = f"decoding {title}, about {duration(seconds)}"
        with pq.ParquetWriter(partial, schema) as writer, Progress(progress, title, unit="code") as report:
            for start in range(0, len(points), ROWS):
                part = points[start : start + ROWS]
                values: dict[str, Any] = {axis: part[:, at].cpu().numpy() for at, axis in enumerate(axes)}
                values["support"] = m.support(part).cpu().numpy()
                if named.numbers is not None:
                    values["label"] = [named.names[at] for at in named.numbers[start : start + ROWS].tolist()]
                if size:
                    pictures = [picture for some in part.split(few) for picture in _pictures(m, some, size)]
                    values["image"] = [{"bytes": picture, "path": None} for picture in pictures]
                writer.write_table(pa.table(values, schema=schema))
                report(start + len(part), len(points))
    return target


def _pictures(m: LatentMap, points: Any, size: int) -> list[bytes]:
    images = m.render(points)
    return [_webp(array) for array in reduced(images, *tile_size(images.shape[2], images.shape[3], size))]


def _webp(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "WEBP", quality=80, method=2)
    return file.getvalue()
