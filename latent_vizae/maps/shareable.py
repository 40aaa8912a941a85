"""What a map does to be seen by others: the methods of `LatentMap` for files. The work is done in ``sharing``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.columns import Columns
from latent_vizae.inputs.names import Names
from latent_vizae.inputs.surroundings import methods_in_own_surroundings
from latent_vizae.training.progress import Reporting

__all__ = ["Shareable"]


@methods_in_own_surroundings
class Shareable:
    """A map with its decoder, for others to see."""

    def save(
        self,
        path: str | Path,
        *,
        labels: ArrayLike | None = None,
        names: Names = None,
        columns: Columns = None,
        title: str | None = None,
        tiles: int | None = None,
        size: int | None = None,
        quality: int | None = None,
        decoder: Literal["onnx"] | None = None,
        progress: Reporting = True,
        most_seconds: float | None = 600,
    ) -> Path:
        """Write the map as a picture or as a page in one file, whole or not at all.

        The page (``.html``) opens from disk, asks no server for anything, and holds the points, their labels and
        numbers, layers, and tiles of the decoded surface. The picture of a place is blended from the nearest 2^d
        tiles; the file says how much it differs from the decoder's. Regions give pictures and the numbers of the codes
        in them, straight paths an animation. Of more than 200,000 codes it holds so many and says so.

        With ``decoder="onnx"`` v_d and the generator are in the page too, as an ONNX graph with the runtime that
        computes it (onnxruntime-web, 5 MB): pictures are exact, by the browser alone. The graph is compared with the
        map before anything is written.

        Args:
            path: ``.html``, or ``.png`` or ``.svg`` (these need the extra ``plot``). The folder must exist.
            labels: (k,) whole numbers or words, one for each fitted code; by default those of v.
            names: of labels: a mapping, or a list whose entry number L is the name of label L.
            columns: of a page, what else is known of the codes, to colour them by; as in `show`.
            title: of the map, as text.
            tiles: of a page, along each axis, 2 to 512; by default 256 on a 1-D map, 64 on a 2-D one, 16 on a 3-D one.
            size: of a page, pixels of a tile's longer side; by default the image's, at most 64.
            quality: of a page, of its WebP picture, 1 to 100; by default 60.
            decoder: of a page, "onnx" to put the generator in; needs the extra ``onnx``, and a decoder that torch can
                trace, of at most 64 MB.
            progress: of a page's tiles: True for a bar, a function ``(step, steps, title)``, or False.
            most_seconds: that a page's tiles may take, judged by the first ones; None for any time.

        Returns:
            The path.

        Raises:
            ValueError: another ending, no such folder or one that cannot be written, labels or a column of another
                length, tiles that would take longer than ``most_seconds`` or do not fit into one picture; a decoder
                that cannot be traced, or makes other images as a graph.
            TypeError: names, a title or a column of another kind.
            ImportError: a picture without the extra ``plot``, a generator without the extra ``onnx``.

        Example:
            >>> import torch
            >>> from latent_vizae import LatentMap, fit
            >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
            >>> m.save("map.html", labels=["a", "b", "a", "b"], tiles=8, progress=False).name
            'map.html'
        """
        from latent_vizae.sharing.save import save_map  # which knows LatentMap

        words = {"labels": labels, "names": names, "title": title}
        page = {
            "columns": columns, "tiles": tiles, "size": size, "quality": quality, "decoder": decoder,
            "progress": progress, "most_seconds": most_seconds,
        }  # fmt: skip
        whole: Any = self
        return save_map(whole, path, words, page)

    def show(
        self,
        *,
        codes: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        names: Names = None,
        columns: Columns = None,
        title: str | None = None,
        port: int | None = None,
        share: bool = False,
        browser: bool | None = None,
    ) -> Any:
        """Open the page on this map and its decoder, served by this process, and return at once (extra ``demo``).

        Args:
            codes: (k, *latent_shape) the fitted codes, whose own images the page shows; by default what the map makes
                of its points.
            labels: (k,) whole numbers or words; by default those of v.
            names: of labels: a mapping, or a list whose entry number L is the name of label L.
            columns: what else is known of the codes, to colour them by and to search in: a mapping name -> (k,)
                values, a table (pandas, polars, pyarrow, datasets), or the path of a .csv, .tsv or .parquet. Words
                and truth values are classes, numbers go on a ramp.
            title: of the map, as text.
            port: by default the first free one from 7860 on.
            share: a public address for 72 hours, through Gradio.
            browser: whether to open it in the browser; by default where there is a screen, but not in a notebook,
                which shows it in a frame.

        Returns:
            The page: ``url``, its address; ``close()``; ``wait()``, with which a script ends. In a ``with`` it closes
            itself.

        Raises:
            ImportError: without the extra ``demo``.
            ValueError: codes, labels or a column of another length, a decoder whose images are no pictures.
            TypeError: a column of other things than words and numbers.
            OSError: the port is taken.
        """
        from latent_vizae.sharing.show import show

        words = {"codes": codes, "labels": labels, "names": names, "title": title, "columns": columns}
        whole: Any = self
        return show(whole, port=port, share=share, browser=browser, **words)

    def push_space_to_hub(
        self,
        repo: str,
        *,
        labels: ArrayLike | None = None,
        names: Names = None,
        columns: Columns = None,
        title: str | None = None,
        tiles: int | None = None,
        size: int | None = None,
        quality: int | None = None,
        decoder: Literal["onnx"] | None = None,
        progress: Reporting = True,
        most_seconds: float | None = 600,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        licence: str = "other",
    ) -> str:
        """Put the map's page on the Hugging Face Hub as a static Space, which costs nothing and runs no server.

        Neither v nor the decoder is uploaded: `push_to_hub` does that.

        Args:
            repo: ``user/name``; made where there is none.
            labels: as in `save`.
            names: as in `save`.
            columns: as in `save`.
            title: of the map and of the Space; by default the repository's name.
            tiles: as in `save`.
            size: as in `save`.
            quality: as in `save`.
            decoder: as in `save`.
            progress: as in `save`.
            most_seconds: as in `save`.
            private: whether a new Space is private.
            token: of a Hub user; by default the one that is logged in.
            revision: branch to commit to; by default the main branch.
            create_pr: open a pull request instead of committing.
            licence: of the page, as the Hub spells it: "apache-2.0", "cc-by-sa-4.0", ...

        Returns:
            Address of the commit or of the pull request.

        Raises:
            ValueError: ``repo`` is not ``user/name``; others as `save`.
            PermissionError: the token may not push there; the Hub is asked before any work.
            huggingface_hub.errors.HfHubHTTPError: the Hub refused; its message says why.
        """
        from latent_vizae.sharing.space import push_space

        words = {"labels": labels, "names": names, "title": title}
        page = {
            "columns": columns, "tiles": tiles, "size": size, "quality": quality, "decoder": decoder,
            "progress": progress, "most_seconds": most_seconds,
        }  # fmt: skip
        where = {"private": private, "token": token, "revision": revision, "create_pr": create_pr}
        whole: Any = self
        return push_space(whole, repo, words, page, licence, where)

    def to_parquet(
        self,
        path: str | Path,
        *,
        labels: ArrayLike | None = None,
        names: Names = None,
        size: int | None = None,
        progress: Reporting = True,
        most_seconds: float | None = 600,
    ) -> Path:
        """Write the points as a table for the tools of others, whole or not at all. Needs the extra ``parquet``.

        Columns: ``x``, ``y``, ``z`` as far as the map has them, ``support`` from 0 to 1, ``label`` as text where there
        are labels, and ``image``, a picture of what the map makes of the point (WebP, in the form that the Hub's
        viewer and `datasets` show). One row a code, in the order in which they were fitted.

        Args:
            path: ``.parquet``; the folder must exist.
            labels: as in `save`.
            names: as in `save`.
            size: pixels of a picture's longer side, by default the image's, at most 64; 0 for no pictures.
            progress: True for a bar, a function ``(step, steps, title)``, or False.
            most_seconds: that the pictures may take, judged by the first ones; None for any time.

        Returns:
            The path.

        Raises:
            ImportError: without the extra ``parquet``.
            ValueError: another ending, no such folder, labels of another length, pictures that would take longer.
        """
        from latent_vizae.sharing.table import write_table

        whole: Any = self
        return write_table(whole, path, labels, names, size, progress, most_seconds)

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the page in a frame, made at the first time; a picture where the decoder is slow."""
        from latent_vizae.sharing.notebook import frame_of

        whole: Any = self
        kept = self.__dict__.get("_frame")
        if kept is None or kept[0] is not whole.v or kept[1] is not whole.decoder:
            kept = self.__dict__["_frame"] = whole.v, whole.decoder, frame_of(whole)
        shown: str | None = kept[2]
        return shown
