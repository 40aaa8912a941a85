"""The page on maps in hand."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.columns import Columns
from latent_vizae.inputs.names import Names

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["show"]


def show(
    maps: LatentMap | Sequence[LatentMap],
    *,
    codes: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    names: Names = None,
    columns: Columns = None,
    title: str | Sequence[str] | None = None,
    port: int | None = None,
    share: bool = False,
    browser: bool | None = None,
) -> Any:
    """Open the page on a map, or on up to four side by side, and return at once. Needs the extra ``demo``.

    Maps of the same codes have one pointer: the fitted code nearest to it is shown on each. Whether they are of the
    same codes is told by what their rows decode to, and the page says which it is.

    Args:
        maps: a `LatentMap`, or a list of them.
        codes: as in `LatentMap.show`, of all maps.
        labels: as in `LatentMap.show`, of all maps.
        names: as in `LatentMap.show`.
        columns: as in `LatentMap.show`, of all maps.
        title: of the map, or of each.
        port: as in `LatentMap.show`.
        share: as in `LatentMap.show`.
        browser: as in `LatentMap.show`.

    Returns:
        The page, as `LatentMap.show`.

    Raises:
        ImportError: without the extra ``demo``.
        TypeError: something else than maps.
        ValueError: more than four maps, another number of titles; others as `LatentMap.show`.

    Example:
        >>> import torch
        >>> from latent_vizae import LatentMap, fit, show
        >>> f_d = lambda z: z.sigmoid().reshape(-1, 1, 2, 2)
        >>> two = [LatentMap(fit(torch.eye(4), dim=dim), f_d) for dim in (1, 2)]
        >>> show(two, title=["a line", "a square"]).close()  # doctest: +SKIP
    """
    if importlib.util.find_spec("gradio") is None:
        raise ImportError('The page needs: pip install "latent-vizae[demo]".')
    show_maps = importlib.import_module("latent_vizae.demos.page.show").show_maps
    words = {"codes": codes, "labels": labels, "names": names, "columns": columns, "title": title}
    return show_maps(maps, port=port, share=share, browser=browser, **words)
