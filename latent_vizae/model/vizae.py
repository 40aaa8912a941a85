"""VizAE: the visualization autoencoder v, its normalisation, and its way to disk and back."""

from __future__ import annotations

import itertools
import math
import numbers
import operator
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from latent_vizae.decoders.load import as_source_options
from latent_vizae.inputs.arrays import ArrayLike, as_points, attached
from latent_vizae.inputs.checks import as_device, as_share, as_whole
from latent_vizae.inputs.names import names_of_config
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.network.nearest_point import Surface, nearest_point
from latent_vizae.network.perceptron import is_perceptron, perceptron, through, with_slopes
from latent_vizae.network.threads import in_parallel, one_thread
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE, read_folder, write_folder
from latent_vizae.storage.hub import folder_of

from .card import write_card
from .coordinates import Coordinates
from .detail import Detail, as_variant
from .report import FitReport

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["NO_DETAIL", "VizAE"]


ROWS_PER_BATCH = 2048  # what the layers make of so many stays in a processor's cache

VALUES_PER_BATCH = 2**23

MOST_LAYERS = 64

LATER: dict[str, Any] = {
    "pull": 0.0, "keep_neighbours": None, "label_names": {},
    "detail": 0.0, "detail_axes": None, "detail_scale": None, "detail_seed": None,
}  # fmt: skip
"""Entries of the configuration that no v had at first, and what a v without them is."""

NO_DETAIL = (
    "This v has no detail, and was asked for {}. Its sheet goes through all codes, or an earlier version fitted it: "
    "fit at least 50 codes that vary in more directions than the map has."
)


class VizAE(nn.Module):
    """A two-way map: ``encode`` takes codes to points of R^dim, ``decode`` takes points to codes.

    `latent_vizae.fit` makes one. Inside, a code z is flattened and written in a frame of its own,
    ``x = (z - mean) @ basis @ frame``, in which the network works: ``basis`` (n, rank) spans the directions in
    which the codes vary, and distances in x are distances of codes, or, where a decoder was given to ``fit``,
    of images to first order. ``v_d = mean + decoder(point) @ unframe @ basis.T`` (Ko et al. 2023, eq. 5); v_e (eq. 4)
    is the point for which ``decoder`` comes nearest to x, found from ``encoder(x)`` (`nearest_point`).

    Args:
        latent_shape: shape of one code; n is its product.
        dim: dimension of the map: 1, 2 or 3.
        hidden: units of the hidden layers of v_e; v_d has them in reverse. () makes v an affine map.
        rank: dimension of the frame, at most n.
        count: number of points that travel with v.
        labelled: whether labels travel with v.
        pull: how much ``encode`` holds a code at what v_e's network guesses, at least 0.
        keep_neighbours: what `fit` was asked for, from 0 to 1; None where it was not asked.
        detail_axes: number of axes of its `Detail`; None for a v that has none, such as of fewer than 50 codes, whose
            sheet goes through them, and of versions before 0.2.
        detail_scale: length scale of the detail, in map units.
        detail_seed: of the detail.

    Attributes:
        points: (count, dim) the fitted codes on the map, in [-1, 1]^dim.
        labels: (count,) int64, or None.
        label_names: what labels are called, where that is not their number: {0: "cat", 1: "dog"}.
        pull: with 0, ``encode`` takes a code to the nearest point that it finds, and the code comes back closest.
            With more, a point that is hardly nearer but far from the guess of v_e's network is
            left aside, and fewer neighbours are torn apart. It may be set at any time; ``points`` stay as they are.
        detail: how much of what the sheet leaves out `decode` adds where it is not asked for another amount, from 0
            (the sheet) to 1 (codes as typical as the fitted ones). It may be set at any time.
        report: what `fit` measured, or None.
        source: name of the decoder that v was fitted with, as `load_decoder` takes it, or None.
        source_options: what else `load_decoder` takes to bring that decoder back, such as its image size.

    Raises:
        ValueError: a size that makes no map.

    Example:
        >>> import torch
        >>> from latent_vizae import fit
        >>> v = fit(torch.eye(4), dim=2, seed=0)
        >>> v.decode(v.encode(torch.eye(4))).shape
        torch.Size([4, 4])
    """

    mean: Tensor
    basis: Tensor
    frame: Tensor
    unframe: Tensor
    points: Tensor
    labels: Tensor | None

    def __init__(
        self,
        latent_shape: tuple[int, ...],
        dim: int = 2,
        hidden: tuple[int, ...] = (128, 128),
        rank: int | None = None,
        count: int = 0,
        labelled: bool = False,
        pull: float = 0.0,
        keep_neighbours: float | None = None,
        detail_axes: int | None = None,
        detail_scale: float | None = None,
        detail_seed: int | None = None,
    ) -> None:
        super().__init__()
        self.latent_shape = tuple(latent_shape)
        self.dim, self.hidden = check_dim(dim), tuple(hidden)
        n = math.prod(self.latent_shape)
        rank = n if rank is None else rank
        smallest = min(*self.latent_shape, *self.hidden, count + 1) if self.latent_shape else 0
        if smallest < 1 or not dim <= rank <= n or len(self.hidden) > MOST_LAYERS:
            raise ValueError(
                f"No map has latent_shape={self.latent_shape}, dim={dim}, rank={rank}, hidden={self.hidden}, "
                f"count={count}: sizes are positive, dim <= rank <= n, and there are at most {MOST_LAYERS} layers."
            )
        self.encoder = perceptron([rank, *self.hidden, dim])
        self.decoder = perceptron([dim, *reversed(self.hidden), rank])
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("basis", torch.zeros(n, rank))
        self.register_buffer("frame", torch.zeros(rank, rank))
        self.register_buffer("unframe", torch.zeros(rank, rank))
        self.register_buffer("points", torch.zeros(count, dim))
        self.register_buffer("labels", torch.zeros(count, dtype=torch.int64) if labelled else None)
        self._prepared: tuple[Any, Surface] | None = None
        self.field: Detail | None = None
        if detail_axes is not None:
            self.field = Detail(dim, rank, detail_axes, detail_scale or 0.0, detail_seed or 0)
        self.detail = 0.0
        self.report: FitReport | None = None
        self.label_names: dict[int, str] = {}
        self.source: str | None = None
        self.source_options: dict[str, Any] = {}
        self.pull, self.keep_neighbours = pull, keep_neighbours
        self.float()  # whatever torch's default is

    @property
    def pull(self) -> float:
        """How much `encode` holds a code at what v_e's network guesses."""
        return self._pull

    @pull.setter
    def pull(self, pull: float) -> None:
        self._pull = check_pull(pull)

    @property
    def detail(self) -> float:
        """How much of what the sheet leaves out `decode` adds."""
        return self._detail

    @detail.setter
    def detail(self, amount: float) -> None:
        self._detail = self._amount(amount)

    def _amount(self, detail: float | None) -> float:
        amount = self.detail if detail is None else as_share(detail, "detail")
        if amount > 0 and self.field is None:
            raise ValueError(NO_DETAIL.format(f"detail={amount}"))
        return amount

    @property
    def device(self) -> torch.device:
        """Where v is; inputs are brought there."""
        return self.mean.device

    def _in_batches(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return function(rows.to(self.device))
        size = max(1, min(ROWS_PER_BATCH, VALUES_PER_BATCH // max(rows.shape[1], self.mean.numel())))
        if len(rows) <= size:
            with own_surroundings(), one_thread():
                return function(rows.to(self.device))
        parts, function = rows.split(size), own_surroundings()(function)  # which other threads run
        if torch.is_grad_enabled() and rows.requires_grad:
            return torch.cat([function(part.to(self.device)) for part in parts])
        made = (
            in_parallel(function, parts) if self.device.type == "cpu" else (function(x.to(self.device)) for x in parts)
        )
        first = next(made)
        whole, done = first.new_empty(len(rows), first.shape[1]), 0
        for part in itertools.chain([first], made):
            whole[done : done + len(part)] = part
            done += len(part)
        return whole

    def encode(self, codes: ArrayLike) -> Tensor:
        """Codes to points, v_e (eq. 4): each to where the map decodes to what is nearest to it.

        The search starts from a network's guess, or from elsewhere on the map where that is nearer; `pull` says by how
        much it has to be.

        Args:
            codes: (k, *latent_shape), tensor or array.

        Returns:
            (k, dim) float32 on v's device; the fitted codes lie in [-1, 1]^dim. Codes that require gradients get them:
            those of the steps of the search. Where the nearest point jumps, they are those of one side.

        Raises:
            TypeError: not real numbers.
            ValueError: another shape, NaN or infinity, or too far away for float32.
            RuntimeError: called under ``torch.func.vmap``.
        """
        rows = attached(codes, as_codes(codes, self.latent_shape), self.mean.dtype).flatten(1)
        try:
            return self._in_batches(self._encode, rows)
        except RuntimeError as error:
            if not str(error).startswith("vmap:"):
                raise
            raise RuntimeError(
                "v.encode does not run under torch.func.vmap: its search follows each code as far as that needs. Hand "
                "in all codes at once, (k, *latent_shape)."
            ) from error

    def decode(
        self,
        points: ArrayLike,
        residual_of: ArrayLike | None = None,
        detail: float | None = None,
        variant: int | Literal["each"] = 0,
    ) -> Tensor:
        """Points to codes, v_d (eq. 5), and detail: what the sheet leaves out, as a smooth random field (`Detail`).

        Args:
            points: (P, dim), tensor or array.
            residual_of: one code (1, *latent_shape) or P of them. What the map cannot show of it,
                ``code - v_d(v_e(code))``, is added in the place of detail: at ``encode(code)`` the code itself comes
                back, and what the map does not show stays as it is while the point moves.
            detail: from 0, the sheet v_d(point), to 1, codes as typical as the fitted ones; ``v.detail`` by default.
            variant: which field, a whole number of at least 0. Each is another, equally typical map of the same
                places; the same variant is always the same field. With "each" every point has a draw of its own.

        Returns:
            (P, *latent_shape) float32 on v's device. Points and codes that require gradients get them.

        Raises:
            TypeError: not real numbers, or a variant that is no whole number.
            ValueError: points of another dimension, NaN or infinity, neither 1 nor P codes; a detail outside of
                [0, 1], or any of a v that has none, or together with ``residual_of``; a variant below 0.
        """
        rows = attached(points, as_points(points, self.dim), self.mean.dtype)
        if residual_of is not None:
            if detail is not None and self._amount(detail) > 0:
                raise ValueError(
                    f"residual_of adds that code's own residual in the place of detail; got both (detail={detail})."
                )
            detail = 0.0
        amount, which = self._amount(detail), as_variant(variant)
        decoded = self._in_batches(self._decode, rows)
        if amount > 0 and self.field is not None:
            with own_surroundings():
                decoded = decoded + amount * self.field(rows.to(self.device), which, self.basis)
        if residual_of is not None:
            given = as_codes(residual_of, self.latent_shape, "residual_of")
            codes = attached(residual_of, given, self.mean.dtype).flatten(1).to(self.device)
            if len(codes) not in (1, len(rows)):
                raise ValueError(
                    f"residual_of is 1 code or one per point: {len(rows)} points, got {len(codes)} codes."
                )
            shown = self(codes.unflatten(1, self.latent_shape)).flatten(1)
            decoded = (decoded.double() - shown.double() + codes.double()).to(self.mean)
        shaped: Tensor = decoded.unflatten(1, self.latent_shape)
        return shaped

    @torch.no_grad()
    @own_surroundings()
    def sample(self, points: ArrayLike, seed: int = 0) -> Tensor:
        """Codes drawn from what the map leaves open at points: from the codes that have them for their points.

        Of a normal prior it is the conditional distribution, to the precision of its estimate from the fitted codes.

        Args:
            points: (P, dim); one code is drawn for each.
            seed: of the draws.

        Returns:
            (P, *latent_shape) float32 on v's device.

        Raises:
            TypeError: not real numbers, or a seed that is no whole number.
            ValueError: points of another dimension, NaN or infinity; or a v that has no detail.
        """
        rows, field = as_points(points, self.dim).to(self.mean), self.field
        if field is None:
            raise ValueError(NO_DETAIL.format("samples of what it leaves open"))
        x, slopes = with_slopes(self.decoder, rows)
        codes = field.conditional(x, slopes, self.coordinates, as_whole(seed, "seed"))
        shaped: Tensor = codes.unflatten(1, self.latent_shape)
        return shaped

    @property
    def coordinates(self) -> Coordinates:
        """The frame that the networks work in."""
        return Coordinates(self.mean, self.basis, self.frame, self.unframe)

    def _encode(self, rows: Tensor) -> Tensor:
        x = self.coordinates.into(rows)
        if x.device.type != "mps":  # which has no float64
            x = x.double()  # steps magnify rounding, and a code's point must not depend on the codes beside it
        guess = through(self.encoder, x)
        if is_perceptron(self.decoder):
            guess = nearest_point(self.decoder, x, guess, self.pull, self._surface(guess))
        if not torch.isfinite(guess).all():
            raise ValueError(f"These codes are too far from the fitted ones for float32: {rows.abs().max():.3g}.")
        return guess.to(self.mean)

    def _surface(self, like: Tensor) -> Surface:
        """v_d prepared for a search, kept until its weights change: one point costs as little as it can."""
        weights = list(self.decoder.parameters())
        if any(weight.is_inference() for weight in weights):  # they do not count their changes
            return Surface(self.decoder, like)
        mark = (like.dtype, like.device, *((weight.data_ptr(), weight._version) for weight in weights))
        kept = self._prepared  # read once: another thread may ask for another precision
        if kept is None or kept[0] != mark:
            kept = self._prepared = mark, Surface(self.decoder, like)
        return kept[1]

    def guess(self, rows: Tensor) -> Tensor:
        """What v_e's network alone makes of codes (k, n), before the nearest point is looked for: (k, dim)."""
        return self._in_batches(lambda part: through(self.encoder, self.coordinates.into(part)), rows)

    def _decode(self, points: Tensor) -> Tensor:
        return self.coordinates.back(through(self.decoder, points))

    def forward(self, codes: Tensor) -> Tensor:
        """Codes to their reconstructions, v_d(v_e(code)), of the same shape; without detail."""
        return self.decode(self.encode(codes), detail=0.0)

    @property
    def config(self) -> dict[str, Any]:
        """Everything but the tensors, JSON-native."""
        return {
            "latent_shape": list(self.latent_shape),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "rank": self.basis.shape[1],
            "count": len(self.points),
            "labelled": self.labels is not None,
            "label_names": {str(label): name for label, name in self.label_names.items()},
            "pull": self.pull,
            "keep_neighbours": self.keep_neighbours,
            "detail": self.detail,
            "detail_axes": None if self.field is None else len(self.field.gains),
            "detail_scale": None if self.field is None else self.field.scale,
            "detail_seed": None if self.field is None else self.field.seed,
            "source": self.source,
            "source_options": self.source_options,
            "report": None if self.report is None else self.report.to_dict(),
        }

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a card into a folder, floats as float32.

        It is loaded before it replaces anything, so that what could not be loaded is not saved. The weights carry the
        configuration too and are replaced in one step, so that a save killed at any moment leaves the v that was there
        or the new one, whole. Other files of the folder stay.

        Args:
            folder: a new or empty folder, or one that holds a v.

        Raises:
            ValueError: the folder holds something that is not a v, or is a file, or cannot be written; or v was made
                to something that could not be loaded, such as points of NaN or labels that are not one per point.
        """
        tensors = {
            name: tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else torch.int64).contiguous()
            for name, tensor in self.state_dict().items()
        }
        path = Path(folder)
        card = write_card(self.config, path.absolute().name)
        write_folder(path, self.config, tensors, card, VizAE.from_pretrained)

    def push_to_hub(
        self,
        repo: str,
        decoder: Callable[[Tensor], Tensor] | None = None,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        licence: str = "other",
    ) -> str:
        """Put v on the Hugging Face Hub: what `save_pretrained` writes.

        `LatentMap.push_to_hub` adds pictures of the map and a certificate to its card.

        Args:
            repo: ``user/name``; made where there is none. Where v names a decoder that is a folder of this machine,
                that name is left out of what is pushed, with a warning.
            decoder: with it, the card has pictures and a certificate, as that of `LatentMap.push_to_hub`.
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
        from latent_vizae.publish import publish  # which knows LatentMap, which knows this class

        where = {"private": private, "token": token, "revision": revision, "create_pr": create_pr}
        return publish(self, repo, decoder, licence=licence, **where)

    @classmethod
    @torch.inference_mode(False)  # what is loaded under a caller's has gradients later
    @own_surroundings()
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        token: str | bool | None = None,
    ) -> VizAE:
        """Load what `save_pretrained` or `push_to_hub` wrote, bit for bit; nothing in it is ever run.

        Args:
            name: path of a folder or, where there is no such folder, a repository of the Hub, ``user/name``.
            revision: branch, tag or commit of the repository; by default its main branch.
            device: where v is to live.
            token: of a Hub user; by default the one that is logged in.

        Raises:
            FileNotFoundError: no such folder, or a file of it is missing.
            ValueError: a file is truncated, damaged, too large, foreign or of a newer version, or there is no such
                device.
            huggingface_hub.errors.HfHubHTTPError: no such repository or revision, or no access to it
                (RepositoryNotFoundError, RevisionNotFoundError); offline and not in the cache
                (LocalEntryNotFoundError, a FileNotFoundError).
        """
        place = as_device(device)
        folder = folder_of(name, [MODEL_FILE, CONFIG_FILE], "v", revision, token)
        config, open_tensors = read_folder(folder)
        config = LATER | config
        try:
            names = ("dim", "rank", "count", "labelled", *LATER.keys() - {"detail", "label_names"})
            sizes: dict[str, Any] = {key: config[key] for key in names}
            with torch.device("meta"):  # sizes are compared before anything is allocated
                v = cls(tuple(config["latent_shape"]), hidden=tuple(config["hidden"]), **sizes)
            v.detail = config["detail"]
            v.source, v.source_options = config["source"], as_source_options(config["source_options"])
            v.label_names = names_of_config(config["label_names"])
            if config["report"] is not None:
                v.report = FitReport.from_dict(config["report"])  # which checks its entries
                config["report"] = v.report.to_dict()  # earlier versions measured fewer
            if not isinstance(v.source, str | None) or type(config["labelled"]) is not bool:
                raise TypeError(f"source is a string and labelled a switch, got {v.source!r}, {config['labelled']!r}.")
            mine = v.config
            odd = config.keys() ^ mine.keys() | {key for key, value in mine.items() if config.get(key) != value}
            if odd:
                raise ValueError(f"these entries say nothing that a v could be: {', '.join(sorted(odd))}.")
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{folder}/{MODEL_FILE} carries a configuration that makes no map: {error}") from error
        shapes = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in v.state_dict().items()}
        v.load_state_dict(open_tensors(shapes), strict=True, assign=True)
        if v.field is not None and v.field.seeds.min() < 0:
            raise ValueError(f"{folder}/{MODEL_FILE} is damaged: seeds of its detail are below 0.")
        return v.to(place).eval().requires_grad_(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What ``to``, ``double`` and others do to all tensors; refused where v could not compute afterwards."""
        become = fn(torch.zeros(1, dtype=torch.float32, device=self.mean.device)).dtype
        if become not in (torch.float32, torch.float64):
            raise TypeError(
                f"A v computes in float32 or float64; its nearest points need more digits than {become} has. Leave v "
                "as it is: it takes codes and points of half precision."
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __repr__(self) -> str:
        sizes = f"latent_shape={self.latent_shape}, dim={self.dim}, count={len(self.points)}"
        return f"{type(self).__name__}({sizes}, source={self.source!r})"


def check_dim(dim: int) -> int:
    """Return dim; raise ValueError or TypeError unless it is 1, 2 or 3."""
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"dim is a whole number, 1, 2 or 3, got {dim!r}.")
    if operator.index(dim) not in (1, 2, 3):
        raise ValueError(f"dim is 1, 2 or 3 (what a person can see), got {dim}.")
    return operator.index(dim)


def check_pull(pull: float) -> float:
    """Return pull; raise ValueError or TypeError unless it is a number of at least 0."""
    if isinstance(pull, bool) or not isinstance(pull, numbers.Real):  # numpy's too
        raise TypeError(f"pull is a number, 0 or more, got {pull!r}.")
    if not 0 <= pull < math.inf:
        raise ValueError(f"pull is 0 or more, and finite, got {pull}.")
    return float(pull)
