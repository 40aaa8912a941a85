"""A map in a notebook that answers: JupyterLab, VS Code, Colab, marimo. Needs the extra ``notebook``."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latent_vizae.inputs.arrays import ArrayLike, as_points
from latent_vizae.inputs.columns import Columns
from latent_vizae.inputs.names import Names
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.maps.samples import to_uint8
from latent_vizae.sharing.described import described
from latent_vizae.sharing.modules import COMPONENT, component
from latent_vizae.sharing.static_file import tiles_of

try:
    import anywidget
    import traitlets
except ImportError as problem:
    raise ModuleNotFoundError('MapWidget needs: pip install "latent-vizae[notebook]".', name=problem.name) from problem

__all__ = ["MapWidget", "Selection"]


MOST_ASKED, MOST_SECONDS, MOST_POINTS = 64, 5.0, 200_000
"""Pictures of one question; what tiles may take, which stand under the codes; points that are drawn."""


class Selection(NamedTuple):
    """Fitted codes that are selected on a map.

    Attributes:
        indices: (count,) int64, rows of the codes that were fitted.
        points: (count, d).
        images: (count, C, H, W), what the map makes of the points.
    """

    indices: Tensor
    points: Tensor
    images: Tensor


class MapWidget(anywidget.AnyWidget):
    """A map that shows the decoder's picture of each place, and whose selection Python reads and sets.

    Args:
        latent_map: v and its decoder.
        labels: (k,) whole numbers or words; by default those of v.
        names: of labels: a mapping, or a list whose entry number L is the name of label L.
        columns: what else is known of the codes, to colour them by, as in `LatentMap.show`.
        title: of the map, as text.

    Attributes:
        indices: of the codes that are selected, a tuple of whole numbers; ``w.observe(function, "indices")`` calls a
            function at each change. Setting it selects codes and moves the map to where they lie.
        selection: the same codes with their points and images, as `Selection`.
        point: (d,) the place whose picture is shown, a tuple; setting it shows another one.

    Raises:
        ImportError: without the extra ``notebook``.
        ValueError: labels or a column of another length, or a v without points.
        TypeError: a column of other things than words and numbers.

    Example:
        >>> import torch
        >>> from latent_vizae import LatentMap, fit
        >>> w = MapWidget(LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2)))
        >>> w.indices = [0, 2]
        >>> w.selection.points.shape
        torch.Size([2, 2])
    """

    _esm = component("widget")
    _css = (COMPONENT / "map.css").read_text(encoding="utf-8")
    _given = traitlets.Dict().tag(sync=True)
    _indices = traitlets.List(traitlets.Int()).tag(sync=True)
    point = traitlets.Tuple().tag(sync=True)
    indices = traitlets.Any(())

    def __init__(
        self,
        latent_map: LatentMap,
        *,
        labels: ArrayLike | None = None,
        names: Names = None,
        columns: Columns = None,
        title: str | None = None,
    ) -> None:
        if not isinstance(latent_map, LatentMap):
            raise TypeError(f"MapWidget shows a LatentMap, got {type(latent_map).__name__}.")
        self.latent_map = latent_map
        shown = described(latent_map, labels, names, title, columns, MOST_POINTS)
        height, width = latent_map.render(latent_map.v.points[:1]).shape[2:]
        given: dict[str, Any] = {"map": shown, "image": {"width": width, "height": height}, "tiles": None}
        with contextlib.suppress(ValueError):  # too slow for tiles: each picture is asked for
            given["tiles"] = tiles_of(latent_map, MOST_SECONDS)
        super().__init__(_given=given, point=tuple(shown["start"]))
        self.on_msg(self._asked)

    @property
    def selection(self) -> Selection:
        """The selected codes, with their points and images."""
        rows = torch.tensor(self.indices, dtype=torch.int64)
        points = self.latent_map.v.points.cpu()[rows]
        if len(rows):
            return Selection(rows, points, self.latent_map.render(points))
        return Selection(rows, points, self.latent_map.render(self.latent_map.v.points[:1])[:0])

    @selection.setter
    def selection(self, indices: Selection | Iterable[int]) -> None:
        self.indices = indices.indices if isinstance(indices, Selection) else indices

    @traitlets.validate("indices")
    def _checked_indices(self, proposal: Any) -> tuple[int, ...]:
        given = proposal["value"]
        array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
        count = len(self.latent_map.v.points)
        if array.size == 0:
            return ()
        if array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= count:
            raise traitlets.TraitError(
                f"indices are whole numbers from 0 to {count - 1}, one a code; got {given!r:.80}."
            )
        return tuple(array.tolist())

    @traitlets.validate("point")
    def _checked_point(self, proposal: Any) -> tuple[float, ...]:
        try:
            point = as_points([list(proposal["value"])], self.latent_map.v.dim, "point")[0]
        except (ValueError, TypeError) as error:
            raise traitlets.TraitError(str(error)) from error
        return tuple(round(x, 6) for x in point.tolist())

    @traitlets.observe("indices")
    def _to_page(self, change: Any) -> None:
        if list(change["new"]) != self._indices:
            self._indices = list(change["new"])

    @traitlets.observe("_indices")
    def _from_page(self, change: Any) -> None:
        if tuple(change["new"]) != self.indices:
            self.indices = tuple(change["new"])

    def _asked(self, _: Any, content: Any, buffers: Any) -> None:
        """Answer a question of the page: pictures of points."""
        number = content.get("id") if isinstance(content, dict) else None
        try:
            points = content["points"]
            if content["name"] != "pictures" or not 1 <= len(points) <= MOST_ASKED:
                raise ValueError(f"The page asks for pictures of 1 to {MOST_ASKED} points.")
            images = self.latent_map.render(as_points(points, self.latent_map.v.dim))
            self.send({"id": number}, [_encoded(image) for image in to_uint8(images)])
        except Exception as error:  # the page says what went wrong in the decoder
            self.send({"id": number, "error": f"{type(error).__name__}: {error}"})


def _encoded(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    if image.shape[0] * image.shape[1] <= 128 * 128:
        Image.fromarray(image).save(file, "PNG", compress_level=1)
    else:
        Image.fromarray(image).save(file, "WEBP", quality=90, method=0)
    return file.getvalue()
