"""LatentMap: a map v with its decoder; regions and paths of the map as points, codes and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from latent_vizae.decoders.contract import (
    decode_images,
    decode_with_gradients,
    decoder_dtype_and_device,
    images_at_a_time,
    is_slow,
    require_decoder,
)
from latent_vizae.decoders.encoder import encode_batches, require_encoder
from latent_vizae.decoders.load import MOST_BYTES, load_source
from latent_vizae.decoders.repeats import notice_noise
from latent_vizae.directions.direction import DEFAULT_REACH, Direction, as_direction
from latent_vizae.directions.directions import Directions
from latent_vizae.inputs.arrays import MOST_DECODED, ArrayLike, as_points, as_tensor
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import methods_in_own_surroundings
from latent_vizae.measures.geometry import resample, stretch
from latent_vizae.model.detail import as_variant
from latent_vizae.model.vizae import VizAE

from .arrows import Arrows, chosen_directions, find_arrows
from .paths import constant_pace, lengths_along, shortest_curve
from .places import Typicality, explained_share, support, typicality
from .regions import Region, box_region, cover, disc_region, grid_points, lattice, polygon_region
from .samples import Samples
from .selection import Nearest, nearest_codes
from .shareable import Shareable

__all__ = ["LatentMap"]


@methods_in_own_surroundings
class LatentMap(Shareable):
    """A map with its decoder: points, regions and paths decode to images, ``f_d(v_d(point))`` (eq. 8).

    Args:
        v: a `VizAE`.
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]. `place` needs its method
            ``encode(images)``.

    Raises:
        TypeError: v is not a VizAE, or the decoder is not callable.
        ValueError: the decoder takes codes of another shape.

    Example:
        >>> from latent_vizae import fit, load_decoder
        >>> f_d = load_decoder("mnist")
        >>> codes, _ = f_d.examples(label=5, count=20)
        >>> m = LatentMap(fit(codes, decoder=f_d), f_d)
        >>> m.grid(shape=(4, 5)).images.shape
        torch.Size([20, 1, 28, 28])
        >>> m.path(codes[0], codes[1], frames=16).points.shape
        torch.Size([16, 2])
    """

    def __init__(self, v: VizAE, decoder: Callable[[Tensor], Tensor]) -> None:
        if not isinstance(v, VizAE):
            raise TypeError(f"v is a VizAE (fit() makes one), got {type(v).__name__}.")
        require_decoder(decoder, v.latent_shape)
        self.v, self.decoder = v, decoder
        self._looked_at = False

    def __repr__(self) -> str:
        return f"LatentMap({self.v!r}, {type(self.decoder).__name__})"

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        decoder: Callable[[Tensor], Tensor] | None = None,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        token: str | bool | None = None,
        most_bytes: int | None = MOST_BYTES,
    ) -> LatentMap:
        """A saved v and its decoder, in one call.

        Args:
            name: path of a folder, or a repository of the Hub, ``user/name``. See `VizAE.from_pretrained`.
            decoder: by default the one in ``v.source``, loaded by `load_decoder`.
            revision: branch, tag or commit of the repository.
            device: of v and of a loaded decoder; by default the CPU.
            token: of a Hub user; by default the one that is logged in.
            most_bytes: to download for a decoder that v names, 1 GiB by default; None for any number.

        Raises:
            ValueError: v was saved without the name of a decoder, or no installed package registers it, or it names a
                folder that is not on this machine, or one that is larger than ``most_bytes``.
            FileNotFoundError: no such folder. Others: see `VizAE.from_pretrained` and `load_decoder`.
        """
        v = VizAE.from_pretrained(name, revision=revision, device="cpu" if device is None else device, token=token)
        if decoder is None:
            if v.source is None:
                raise ValueError(
                    f"The v in {name} names no decoder: LatentMap.from_pretrained({str(name)!r}, decoder=...)."
                )
            decoder = load_source(v.source, v.source_options, device=device, most_bytes=most_bytes)
        return cls(v, decoder)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write v into a folder, see `VizAE.save_pretrained`; `from_pretrained` opens the map again.

        The decoder is not written: v names it (``v.source``), and one that has no name is handed in again.
        """
        self.v.save_pretrained(folder)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        licence: str = "other",
    ) -> str:
        """Put v on the Hugging Face Hub, with its certificate and a card that shows its map; see `from_pretrained`.

        The decoder is not uploaded: v names it (``v.source``), and `from_pretrained` brings both back. The name of a
        folder of this machine is left out, with a warning. Pictures of the map need the extra ``plot``.

        Args:
            repo: ``user/name``; made where there is none.
            private: whether a new repository is private.
            token: of a Hub user; by default the one that is logged in.
            revision: branch to commit to; by default the main branch.
            create_pr: open a pull request instead of committing.
            licence: of this v, as the Hub spells it: "apache-2.0", "cc-by-sa-4.0", ...

        Returns:
            Address of the commit or of the pull request.

        Raises:
            ValueError: ``repo`` is not ``user/name``.
            PermissionError: the token may not push there; the Hub is asked before any work.
            huggingface_hub.errors.HfHubHTTPError: the Hub refused; its message says why.
        """
        from latent_vizae.publish import publish  # whose pictures are of maps

        where = {"private": private, "token": token, "revision": revision, "create_pr": create_pr}
        return publish(self.v, repo, self.decoder, licence=licence, **where)

    def render(
        self,
        points: ArrayLike,
        residual_of: ArrayLike | None = None,
        detail: float | None = None,
        variant: int | Literal["each"] = 0,
    ) -> Tensor:
        """Images of points, ``f_d(v_d(point))``, in batches of bounded memory.

        Args:
            points: (P, d).
            residual_of: 1 code or P codes, whose residuals are added to the decoded codes. See `VizAE.decode`.
            detail: how much of what the sheet leaves out is added, from 0 to 1; by default ``v.detail``. See
                `VizAE.decode`.
            variant: which of the maps with detail, a whole number; "each" for another draw per sample.

        Returns:
            (P, C, H, W) float32 in [0, 1], on the decoder's device. Points and codes that require gradients get them;
            the graph of all images is in memory then.

        Raises:
            ValueError: points of another dimension, NaN or infinity; a decoder that breaks its contract, or has no
                gradients where points require them.
        """
        return self._images(self.v.decode(points, residual_of, detail, variant))

    def _images(self, codes: Tensor) -> Tensor:
        """Images (P, C, H, W) of codes; the first time it looks whether the decoder makes the same of a code twice.

        That takes four images more, which a slow decoder's first picture is not to wait for: `certify` looks, too.
        """
        decode = decode_with_gradients if torch.is_grad_enabled() and codes.requires_grad else decode_images
        images = decode(self.decoder, codes)
        if not self._looked_at and not is_slow(self.decoder):
            self._looked_at = True
            notice_noise(self.decoder, codes.detach())
        return images

    @torch.no_grad()
    def _samples(self, points: Tensor, added: tuple[Any, Any, Any] = (None, None, 0), **layout: Any) -> Samples:
        """Samples of points, with what `VizAE.decode` adds: residual_of, detail and variant."""
        points = points.float()  # whatever torch's default is
        codes = self.v.decode(points, *added)
        return Samples(points, codes, self._images(codes), **layout)

    def grid(
        self,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        shape: int | tuple[int, ...] | None = None,
        residual_of: ArrayLike | None = None,
        detail: float | None = None,
        variant: int | Literal["each"] = 0,
    ) -> Samples:
        """Samples of interest: a regular grid over a box of the map (the paper's Fig. 10 and 12).

        Args:
            box: two corners (d,), the lower one first; by default the whole map, [-1, 1]^d.
            shape: number of rows, of columns (and of layers), or one number for all; by default 10.
            residual_of: see `render`.
            detail: see `render`.
            variant: see `render`.

        Returns:
            Samples row by row; of a 2-D map the first row is the top (the largest second coordinate).

        Raises:
            ValueError: a box that is empty, has its corners swapped or another dimension; a shape that is not d
                numbers, or more than a million points.
        """
        dim = self.v.dim
        box = ((-1.0,) * dim, (1.0,) * dim) if box is None else box
        points, rows = grid_points(box_region(box, dim), shape, dim)
        return self._samples(points, (residual_of, detail, variant), rows=rows)

    def region(
        self,
        center: ArrayLike | None = None,
        radius: float | None = None,
        count: int = 100,
        *,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        polygon: ArrayLike | None = None,
        layout: str = "cover",
        seed: int = 0,
        residual_of: ArrayLike | None = None,
        detail: float | None = None,
        variant: int | Literal["each"] = 0,
    ) -> Samples:
        """Samples of interest: ``count`` points of a disc, a box or a polygon, decoded.

        Args:
            center: (d,) middle of a disc (d = 1: an interval, d = 3: a ball); with ``radius``.
            radius: in map units, above 0.
            count: number of samples.
            box: two corners (d,), the lower one first, instead of a disc.
            polygon: (corners, 2) of a 2-D map, in order, instead of a disc.
            layout: "cover", an even random cover (scrambled Sobol points), or "grid", a square lattice.
            seed: of the cover.
            residual_of: see `render`.
            detail: see `render`.
            variant: see `render`.

        Raises:
            ValueError: not exactly one of disc, box and polygon; an empty one; a count below 1 or above a million;
                another layout.
        """
        region = self._one_region(center, radius, box, polygon)
        count = as_whole(count, "count", 1, MOST_DECODED)
        if layout not in ("cover", "grid"):
            raise ValueError(f"layout is 'cover' or 'grid', got {layout!r}.")
        points = cover(region, count, seed) if layout == "cover" else lattice(region, count)
        return self._samples(points, (residual_of, detail, variant))

    def inside(
        self,
        region: ArrayLike | None = None,
        radius: float | None = None,
        *,
        center: ArrayLike | None = None,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        polygon: ArrayLike | None = None,
    ) -> Tensor:
        """Which of the fitted codes lie in a region of the map.

        Args:
            region: center (d,) of a disc, with ``radius``; or two corners (2, d) of a box, the lower one first; or the
                corners (3 or more, 2) of a polygon, in order. `region`'s keywords say the same by name.
            radius: of the disc, in map units, above 0.
            center: (d,) middle of a disc.
            box: two corners (d,).
            polygon: (corners, 2), of a 2-D map; even-odd rule, as a lasso needs it.

        Returns:
            (count,) int64 on the CPU, in increasing order: rows of ``v.points`` and of the codes that were fitted.
            Empty where there are none.

        Raises:
            ValueError: not exactly one region, or an empty one.

        Example:
            >>> import torch
            >>> from latent_vizae import fit
            >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
            >>> m.inside(box=((-1, -1), (1, 1)))
            tensor([0, 1, 2, 3])
        """
        if region is not None:
            if center is not None or box is not None or polygon is not None:
                raise ValueError("A region is given once: at first place, or as center, box or polygon.")
            shape = tuple(as_tensor(region, "region").shape)
            if radius is not None or not shape or (shape == (self.v.dim,) and self.v.dim > 1):
                center = region
            elif shape[0] == 2:
                box = region
            else:
                polygon = region
        contains = self._one_region(center, radius, box, polygon).contains
        return contains(self.v.points.float().cpu()).nonzero().flatten()

    def nearest(self, point: ArrayLike, count: int = 8) -> Nearest:
        """The fitted codes whose points lie nearest to a point of the map.

        Args:
            point: (d,), or (P, d) for several.
            count: number of codes, at most the number of fitted ones.

        Returns:
            ``indices`` (count,) int64, rows of ``v.points`` and of the codes that were fitted, the nearest first, and
            ``distances`` (count,) in map units; (P, count) each for several points. On the CPU.

        Raises:
            ValueError: a point of another dimension, NaN or infinity, or a count below 1 or above the number of codes.

        Example:
            >>> import torch
            >>> from latent_vizae import fit
            >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
            >>> m.nearest(m.v.points[2], count=1).indices
            tensor([2])
        """
        return nearest_codes(self.v.points, point, count)

    @torch.no_grad()
    def samples(
        self,
        point: ArrayLike | None = None,
        count: int = 16,
        seed: int = 0,
        *,
        radius: float | None = None,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        polygon: ArrayLike | None = None,
    ) -> Samples:
        """Many samples at one place: draws from what the map leaves open there.

        Their codes are drawn from those of the decoder that have this place on the map (`VizAE.sample`): what the map
        shows of them is alike, all else differs.

        Args:
            point: (d,), or the middle of a disc, with ``radius``.
            count: number of draws.
            seed: of the draws.
            radius: of a disc in map units, above 0; each sample has a place of its own in the disc.
            box: two corners (d,), the lower one first, instead.
            polygon: (corners, 2) of a 2-D map, in order, instead.

        Raises:
            ValueError: not one point or region; a count below 1 or above a million; a v that has no detail.
        """
        count, seed = as_whole(count, "count", 1, MOST_DECODED), as_whole(seed, "seed")
        if point is not None and radius is None and box is None and polygon is None:
            one = as_tensor(point, "a point")
            points = as_points(one.unsqueeze(0) if one.dim() < 2 else one, self.v.dim).float()
            if len(points) != 1:
                raise ValueError(f"samples takes one point (d,) or one region, got {len(points)} points.")
            points = points.expand(count, -1)
        else:
            points = cover(self._one_region(point, radius, box, polygon), count, seed)
        codes = self.v.sample(points, seed)
        return Samples(points, codes, self._images(codes))

    def explained(self, points: ArrayLike, draws: int = 8, seed: int = 0) -> Tensor:
        """Share of image variance that the map explains at points; the rest is what `samples` differ by.

        ``1 - variance of the images drawn at a place / variance of the images of all places given``, so points are to
        lie all over the map, such as ``v.points``.

        Args:
            points: (P, d), at least 2.
            draws: at each point, at least 2; P * draws images are decoded.
            seed: of the draws.

        Returns:
            (P,) at most 1; below 0 where images at a place differ by more than those of all places.

        Raises:
            ValueError: points of another dimension, fewer than 2 points or draws; a v that has no detail.
        """
        rows, draws = as_points(points, self.v.dim).float(), as_whole(draws, "draws", 2)
        if len(rows) < 2:
            raise ValueError(
                f"The share is of what images of different places vary by: at least 2 points, got {len(rows)}."
            )
        return explained_share(self._images(self.v.sample(rows.repeat_interleave(draws, 0), seed)), draws)

    def typicality(self, points: ArrayLike, detail: float | None = None, variant: int = 0) -> Typicality:
        """How typical of the codes that the decoder is given those are that points decode to.

        By their Mahalanobis length, ``sqrt((z - m)^T S^-1 (z - m) / n)``, m and S the mean and the covariance of the
        fitted codes: draws of a prior of many numbers all have about the same.

        Args:
            points: (P, d).
            detail: see `render`.
            variant: see `render`.

        Returns:
            Lengths relative to the median of codes of the decoder, and the range in which 98 percent of these lie.

        Raises:
            ValueError: points of another dimension, or a v that has no detail, of whose codes nothing is known.
        """
        return typicality(self.v, self.v.decode(points, detail=detail, variant=variant))

    def _one_region(self, center: Any, radius: Any, box: Any, polygon: Any) -> Region:
        given = [name for name, x in (("center", center), ("box", box), ("polygon", polygon)) if x is not None]
        if len(given) != 1 or (center is None) != (radius is None):
            raise ValueError(
                "A region is one of: a disc (center and radius), a box, a polygon; got "
                f"{' and '.join(given) or 'none of them'}{'' if radius is None else ' and a radius'}."
            )
        if box is not None:
            return box_region(box, self.v.dim)
        if polygon is not None:
            return polygon_region(polygon, self.v.dim)
        return disc_region(center, radius, self.v.dim)

    def path(
        self,
        *ends: ArrayLike,
        frames: int = 16,
        pace: str = "constant",
        curve: str = "straight",
        residual: bool = False,
        detail: float | None = None,
        variant: int = 0,
    ) -> Samples:
        """Transformation between samples: a path along the map, decoded frame by frame (the paper's Fig. 9).

        Args:
            ends: two or more codes (latent_shape) or points (d,), or batches of them: the corners of a polyline.
                Where both shapes fit (codes of d numbers), they are points.
            frames: number of frames, at least 2; the first and the last are the ends.
            pace: "constant" for equal image changes from frame to frame, "linear" for equal steps on the map.
            curve: "straight" lines between the corners, or "shortest", the paths of least image change between them
                (geodesics of the pull-back metric).
            residual: add the codes' residuals, interpolated along the path, so that it starts and ends exactly at the
                codes. Only for ends that are codes; they take the place of detail.
            detail: see `render`.
            variant: see `render`; one for the whole path.

        Raises:
            ValueError: fewer than two ends, ends of another shape, too few frames or too many, another pace or curve.

        Example:
            >>> import torch
            >>> from latent_vizae import fit
            >>> m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
            >>> m.path((-1, 0), (0, 0), (0, 1), frames=5).points.shape
            torch.Size([5, 2])
        """
        corners, codes = self._corners(ends)
        frames = as_whole(frames, "frames", 2, MOST_DECODED // 8)  # as `constant_pace` looks at 8 times as many
        for name, value, known in (
            ("pace", pace, ("constant", "linear")),
            ("curve", curve, ("straight", "shortest")),
        ):
            if value not in known:
                raise ValueError(f"{name} is {' or '.join(map(repr, known))}, got {value!r}.")
        residuals = None
        if residual:
            if codes is None:
                raise ValueError("residual=True needs codes as ends; these are points, which have no residual.")
            if detail:
                raise ValueError(
                    f"residual=True adds the codes' own residuals in the place of detail; got both ({detail=})."
                )
            residuals, detail = codes - self.v(codes), 0.0
        added = None, detail, as_variant(variant, each=False)
        line, where = corners, list(range(len(corners)))
        if curve == "shortest":
            line, where = shortest_curve(lambda points: self.render(points, *added), corners)
        return self._along(line, where, residuals, frames, pace, added)

    @torch.no_grad()
    def _along(
        self,
        line: Tensor,
        where: list[int],
        residuals: Tensor | None,
        frames: int,
        pace: str,
        added: tuple[Any, Any, Any],
    ) -> Samples:
        lengths = lengths_along(line, where, residuals)
        if residuals is not None:  # residuals ride along, from corner to corner, as further coordinates
            line = torch.cat([line, resample(residuals.flatten(1), lengths[where], lengths)], 1)

        def samples_of(rows: Tensor) -> Samples:
            points, extra = rows[:, : self.v.dim], rows[:, self.v.dim :]
            codes = self.v.decode(points, *added)
            if residuals is not None:
                codes = codes + extra.unflatten(1, self.v.latent_shape)
            return Samples(points, codes, self._images(codes), rows=1)

        if pace == "linear" or lengths[-1] == 0:
            return samples_of(resample(line, lengths, torch.linspace(0, 1, frames).to(lengths) * lengths[-1]))
        return samples_of(constant_pace(lambda rows: samples_of(rows).images, line, lengths, frames))

    def _corners(self, ends: tuple[ArrayLike, ...]) -> tuple[Tensor, Tensor | None]:
        """Corners of a path as points (c, d), and as codes where they were given as codes."""
        shape, dim = self.v.latent_shape, self.v.dim
        given: list[Tensor] = []
        for end in (as_tensor(end, "an end of a path") for end in ends):
            is_one = tuple(end.shape) in ((dim,), shape)
            if len(ends) == 1 and tuple(end.shape[1:]) == (dim,):  # points, though one code may look like them
                is_one = False
            given += [end] if is_one or end.dim() == 0 else list(end)
        if len(given) < 2:
            raise ValueError(f"A path has at least two ends, got {len(given)}. Give two codes or two points.")
        shapes = {tuple(end.shape) for end in given}
        if shapes == {(dim,)}:
            return as_points(torch.stack(given), dim, "ends of a path").to(self.v.points), None
        if shapes == {shape}:
            codes = as_codes(torch.stack(given), shape, "ends of a path").to(self.v.device)
            return self.v.encode(codes), codes
        raise ValueError(
            f"The ends of a path are all points of shape ({dim},) or all codes of shape {shape}, got "
            f"{', '.join(map(str, sorted(shapes)))}."
        )

    @torch.no_grad()
    def traverse(
        self,
        code: ArrayLike,
        direction: Direction | ArrayLike,
        steps: int = 13,
        reach: float = DEFAULT_REACH,
        *,
        detail: float | None = None,
        variant: int = 0,
    ) -> Samples:
        """Move one code along a direction, from negative to positive steps; the sample in the middle is the code.

        Args:
            code: (*latent_shape), or a point (d,) of the map, which decodes to the code.
            direction: one of `Directions`, such as ``directions.pick(0)``, or a vector of code space, (n,) or
                (*latent_shape); a step along a vector is the vector.
            steps: number of samples, odd and at least 3.
            reach: distance to both sides, in steps of the direction.
            detail: of a point, see `render`.
            variant: of a point, see `render`.

        Returns:
            Samples in a row: the moved codes, their images, and their points v_e(code).

        Raises:
            TypeError: not one direction.
            ValueError: a code or direction of another shape, a vector of 0, an even number of steps, a reach that is
                not above 0.
        """
        if isinstance(direction, Directions):
            raise TypeError("traverse takes one direction, such as directions.pick(0), got Directions.")
        (one,) = chosen_directions(as_direction(direction, self.v.latent_shape), None, self.v.latent_shape)
        start = as_tensor(code, "code")
        if tuple(start.shape) == (self.v.dim,) != self.v.latent_shape:
            start = self.v.decode(start.unsqueeze(0), detail=detail, variant=as_variant(variant, each=False))[0]
        codes = one.along(start, steps, reach).to(self.v.device)
        images, middle = self._images(codes), steps // 2
        images[middle] = decode_images(self.decoder, codes[middle : middle + 1])[0]  # alone, so to the last bit
        return Samples(self.v.encode(codes), codes, images, rows=1)

    @torch.no_grad()
    def arrows(
        self,
        directions: Directions | Direction | Sequence[Any] | ArrayLike,
        shape: int | tuple[int, ...] | None = None,
        *,
        label: int | None = None,
        box: tuple[ArrayLike, ArrayLike] | None = None,
        step: float = 1.0,
    ) -> Arrows:
        """Arrows of directions on the map: ``v_e(z + s d) - v_e(z)`` at the codes z of a grid of points.

        Args:
            directions: `Directions`, for its global set or the set of class ``label``; or one or more directions, of
                ``pick`` and ``of``, or vectors of code space.
            shape: number of rows, of columns (and of layers) of points, or one number for all; by default 10 each.
            label: class id.
            box: two corners (d,), the lower one first; by default the whole map.
            step: s, in steps of each direction.

        Returns:
            Points (P, d), moves (D, P, d) and the trust of each arrow. `latent_vizae.pictures.arrow_picture` draws
            them.

        Raises:
            TypeError: no directions.
            ValueError: no such class, directions of another latent space, a wrong box or shape.
        """
        chosen = chosen_directions(directions, label, self.v.latent_shape)
        dim = self.v.dim
        corners = ((-1.0,) * dim, (1.0,) * dim) if box is None else box
        points = grid_points(box_region(corners, dim), shape, dim)[0].to(self.v.device, torch.float32)
        support = self.support(points) if len(self.v.points) else points.new_ones(len(points))
        return find_arrows(self.v, points, chosen, step, support)

    @torch.no_grad()
    def place(self, images: ArrayLike) -> Tensor:
        """Images to points: ``v_e(f_e(image))``.

        Args:
            images: (B, C, H, W) in [0, 1], as the decoder makes them.

        Returns:
            Points (B, d).

        Raises:
            ValueError: the decoder has no ``encode``, or the images have another shape or range.
        """
        require_encoder(self.decoder)
        tensor = as_tensor(images, "images")
        if tensor.dim() != 4 or len(tensor) == 0:
            raise ValueError(f"images have the shape (B, C, H, W) with B at least 1, got {tuple(tensor.shape)}.")
        stated = getattr(self.decoder, "image_shape", None)
        if stated and tensor.shape[1] != stated[0] == tensor.shape[3]:
            raise ValueError(
                f"images have the shape (B, C, H, W); the channels of {tuple(tensor.shape)} seem to be last. Take "
                "images.movedim(-1, 1), of an array np.moveaxis(images, -1, 1)."
            )
        low, high = (value.item() for value in tensor.aminmax())
        if not 0 <= low <= high <= 1:
            raise ValueError(f"images lie in [0, 1], got [{low:.4g}, {high:.4g}]. Divide bytes by 255.")
        size = images_at_a_time(tensor[0], decoder_dtype_and_device(self.decoder)[1])
        return self.v.encode(torch.cat(list(encode_batches(self.decoder, tensor.split(size)))))

    @torch.no_grad()
    def support(self, points: ArrayLike, cycle: Tensor | None = None) -> Tensor:
        """Trust in points: 1 among the fitted codes, towards 0 where the map extrapolates.

        ``exp(-(u / h)^2 / 2)``. u is the larger one of the distance to the nearest fitted code's point and the cycle
        error ``|v_e(v_d(point)) - point|``. h is the spacing ``2 / max(k, d + 1)^(1/d)`` of k codes that fill
        [-1, 1]^d; with fewer than d + 1 codes it is that of d + 1.

        Args:
            points: (P, d).
            cycle: (P,) cycle errors, where they are known already; they are nearly all that takes time.

        Returns:
            (P,) in [0, 1].
        """
        rows = as_points(points, self.v.dim).to(self.v.points)
        if len(self.v.points) == 0:
            raise ValueError("This v has no points, so its map has no support.")
        return support(self.v, rows, cycle)

    @torch.no_grad()
    def stretch(self, points: ArrayLike) -> Tensor:
        """Smallest and largest stretch at points: root mean square image change per map unit, (P, 2)."""
        return stretch(self.render, as_points(points, self.v.dim).to(self.v.device))
