"""The certificate: measures of whether a map is one-to-one and locally smooth.

The paper argues that a network of full-rank linear maps and injective activations is one-to-one (its Table 1), and
that a small step in the code is a small change of the image (eq. 1, Table 2). Full rank is necessary, but not
sufficient where a layer narrows. So the map itself is measured as well.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import decode_images, is_slow, require_decoder
from latent_vizae.decoders.repeats import Repeats, notice_noise
from latent_vizae.decoders.spending import (
    BUDGET,
    Budget,
    Limit,
    Spending,
    as_limit,
    cost_in_words,
    images_left,
    seconds_per_image,
    spending,
)
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.measures.geometry import stretch
from latent_vizae.model.vizae import VizAE
from latent_vizae.training.progress import Progress, Reporting

from .affordable import (
    COARSEST,
    GRID_PER_AXIS,
    NOISE_DRAWS,
    FirstLook,
    Plan,
    fewest_of_grid,
    first_look,
    grid_of,
    plan_of,
)
from .layers import Activation, LinearMap, activations, linear_maps, measure_map
from .places import support, typicality

__all__ = ["Certificate", "NoiseTest", "certify", "noise_test"]


TYPICAL = 0.95

PAIRS_AT_A_TIME = 2**22


@dataclass(frozen=True)
class NoiseTest:
    """Table 2: how far ``f_d(z + s eps)`` is from ``f_d(z)``, eps ~ N(0, I); means and deviations over draws.

    Attributes:
        name: of the scale s, as the paper prints it.
        scale: s.
        l2_mean: mean over draws of the l2 norm of the image difference (a sum over pixels).
        l2_std: its standard deviation.
        mse_mean: mean over draws of the mean square difference per pixel.
        mse_std: its standard deviation.
    """

    name: str
    scale: float
    l2_mean: float
    l2_std: float
    mse_mean: float
    mse_std: float


@dataclass(frozen=True)
class Certificate:
    """The result of `certify`. ``print`` shows it as a table, ``to_json`` has all numbers.

    Attributes:
        linear_maps: rank of every linear map of v ("v_e", "v_d"), and of the decoder where it is a module: of the
            layers that decoding calls, or of all where no image may be asked for.
        activations: of the same.
        round_trip_rms: root mean square of ``|v_e(v_d(p)) - p|`` over a grid of the whole map, map units (the map is
            2 wide).
        round_trip_max: the largest one.
        round_trip_at_codes: the largest one at the fitted codes.
        collisions: pairs of points at least 0.5 apart that decode to nearly the same image: (point, other point,
            image distance); the nearest images first, at most 10. Without a decoder, of codes.
        collision_count: number of such pairs.
        pairs: number of pairs at least 0.5 apart.
        stretch_min: smallest stretch over the grid: root mean square image change per map unit in the direction that
            changes least. Above 0 everywhere, points -> images is locally one-to-one. None without a decoder.
        stretch_max: the largest stretch over the grid: how fast images can change. None without a decoder.
        stretch_median: (2,) medians of both over the grid. None without a decoder.
        noise: Table 2's test at its three scales, or none without a decoder.
        repeats: distance of images of one code, decoded twice and in a batch. None without a decoder.
        typical_share: share of the points of the grid with support above one half that decode to codes as long as
            codes of the decoder are (`LatentMap.typicality`). None of a v without detail.
        typical_range: the shortest and the longest such length, and those of decoded codes, relative to the median.
        typical_least: the point whose code is the least typical.
        dim: dimension of the map.
        n: values in a code.
        grid: (P, d) points at which the map was measured.
        stretch_layer: (P, 2) smallest and largest stretch at each, for pictures. None where they were not measured
            on the whole grid.
        typical_layer: (P,) length of each decoded code relative to the median of codes of the decoder, for pictures.
        places: number of points at which images were measured: those of the grid, or a few fitted ones where the
            budget allows no grid.
        images_decoded: images that were asked of the decoder. None without one.
        images_wanted: as many as would be without a budget.
        seconds_per_image: of a slow decoder.
    """

    linear_maps: tuple[LinearMap, ...]
    activations: tuple[Activation, ...]
    round_trip_rms: float
    round_trip_max: float
    round_trip_at_codes: float
    collisions: tuple[tuple[list[float], list[float], float], ...]
    collision_count: int
    pairs: int
    stretch_min: float | None
    stretch_max: float | None
    stretch_median: tuple[float, float] | None
    noise: tuple[NoiseTest, ...]
    repeats: Repeats | None
    dim: int
    n: int
    grid: Tensor = field(repr=False, compare=False)
    stretch_layer: Tensor | None = field(repr=False, compare=False)
    typical_share: float | None = None
    typical_range: tuple[float, float, float, float] | None = None
    typical_least: tuple[float, ...] | None = None
    typical_layer: Tensor | None = field(default=None, repr=False, compare=False)
    places: int = 0
    images_decoded: int | None = None
    images_wanted: int | None = None
    seconds_per_image: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, lists and dictionaries."""
        layers = ("grid", "stretch_layer", "typical_layer")
        values = {name: value for name, value in asdict(self).items() if name not in layers}
        for name in layers:
            layer = getattr(self, name)
            values[name] = None if layer is None else layer.tolist()
        values["statements"] = [{"verdict": verdict, "text": text} for verdict, text in self.statements()]
        return values

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    def statements(self) -> list[tuple[str, str]]:
        """Verdicts in words: ("holds" | "does not hold" | "cannot hold" | "not known", sentence)."""
        statements: list[tuple[str, str]] = []

        def say(verdict: str, *text: str) -> None:
            statements.append((verdict, " ".join(text)))

        def of_images(holds: bool) -> str:
            return "not known" if noisy else "holds" if holds else "does not hold"

        noisy = self.repeats is not None and not self.repeats.same
        uncertain = "with noise in it: " if noisy else ""
        for part in ("v_e", "v_d", "decoder"):
            maps = [m for m in self.linear_maps if m.name.split(".")[0] == part]
            if not maps:
                continue
            short = [m for m in maps if not m.full]
            if short:
                say(
                    "does not hold",
                    f"{part}: {len(short)} of {len(maps)} linear maps lack full rank: {_names(short)}.",
                )
            else:
                least = min(m.sigma_min for m in maps)
                say(
                    "holds",
                    f"{part}: all {len(maps)} linear maps have full rank; smallest singular value {least:.3g}.",
                )
            acts = [a for a in self.activations if a.name.split(".")[0] == part]
            folding = sorted({a.kind for a in acts if a.injective is False})
            unknown = sorted({a.kind for a in acts if a.injective is None})
            if folding:
                say("does not hold", f"{part}: {', '.join(folding)} maps different inputs to one output.")
            elif unknown:
                say("not known", f"{part}: whether {', '.join(unknown)} is injective is not known.")
            elif acts:
                say("holds", f"{part}: all {len(acts)} activations are injective.")
            narrow = [m for m in maps if m.narrows]
            if narrow and part != "v_e":
                say(
                    "cannot hold",
                    f"{part}: {len(narrow)} of {len(maps)} linear maps have fewer outputs than inputs",
                    f"({_names(narrow)}), so their rank proves nothing; what follows was measured.",
                )
        if self.n > self.dim:
            say(
                "cannot hold",
                f"v_e: a continuous map R^{self.n} -> R^{self.dim} cannot be one-to-one; on the codes of v_d it can,",
                "and the round trip measures that.",
            )
        say(
            "holds" if self.round_trip_max < 0.1 else "does not hold",
            f"point -> code -> point comes back to within {self.round_trip_max:.3g} everywhere on the map",
            f"(root mean square {self.round_trip_rms:.3g}, at the fitted codes at most",
            f"{self.round_trip_at_codes:.3g}; the map is 2 wide).",
        )
        if self.repeats is not None:
            say("does not hold" if noisy else "holds", f"deterministic: {self.repeats}.")
        if self.typical_share is not None and self.typical_range is not None and self.typical_least is not None:
            low, high, least, most = self.typical_range
            say(
                "holds" if self.typical_share >= TYPICAL else "does not hold",
                f"typical: {self.typical_share:.0%} of the places near codes decode to codes as long as the decoder's",
                f"own ({low:.2f} to {high:.2f} of their median); they have {least:.2f} to {most:.2f} of it, the least",
                f"typical at {[round(x, 2) for x in self.typical_least]}.",
            )
        few = self.stretch_min is not None and self.stretch_layer is None
        if self.images_wanted and self.images_decoded is not None and self.images_decoded < 0.9 * self.images_wanted:
            say("not known", *self._left_out(few))
        measured = f"at {self.places} places: " if few else ""
        if self.collision_count:
            say(
                of_images(False),
                f"{uncertain}{self.collision_count} of {self.pairs} pairs of far points decode to nearly the same",
                f"result; the nearest pair: {_pair(self.collisions[0])}.",
            )
        elif self.pairs:
            say(
                of_images(True),
                f"{uncertain}{measured}none of {self.pairs} pairs of far points decodes to nearly the same",
                "image." if self.places else "code.",
            )
        if self.stretch_min is not None and self.stretch_max is not None:
            say(
                of_images(self.stretch_min > 1e-4),
                f"{uncertain}{measured}every small step on the map changes the image: root mean square change per map",
                f"unit from {self.stretch_min:.3g} (slowest place and direction) to {self.stretch_max:.3g} (fastest).",
            )
        return statements

    def _left_out(self, few: bool) -> tuple[str, ...]:
        """What the budget did not allow, and what more would buy."""
        each = self.seconds_per_image
        assert self.images_wanted is not None
        all_of_it = f"{cost_in_words(self.images_wanted, each)}: certify(..., budget=None)"
        coarsest = f"a grid of {COARSEST} points a side takes {cost_in_words(fewest_of_grid(self.dim), each)}"
        done = f"the budget allowed {self.images_decoded} of {self.images_wanted} images"
        if self.places and not few:
            return (f"images between the points of a coarse grid: {done}; all are {all_of_it}.",)
        where = f"elsewhere than at {self.places} of the fitted points" if few else "of places on the map"
        noise = "" if self.noise else " and the noise test"
        return (f"images {where}{noise}: {done}; {coarsest}, all of it {all_of_it}.",)

    def __repr__(self) -> str:
        verdicts = [verdict for verdict, _ in self.statements()]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        return f"Certificate(dim={self.dim}, n={self.n}; of {len(verdicts)} statements: {counts})"

    def __str__(self) -> str:
        """The tables and the verdicts, for printing."""
        lines = ["Linear maps (Table 1)", f"  {'name':<28}{'shape':>14}{'rank':>6}{'full':>6}{'sigma_min':>12}"]
        for m in self.linear_maps:
            shape = f"{m.inputs} x {m.outputs}"
            lines.append(f"  {m.name:<28}{shape:>14}{m.rank:>6}{'yes' if m.full else 'NO':>6}{m.sigma_min:>12.3g}")
        if self.noise:
            lines += ["Noise test (Table 2)", f"  {'s':<12}{'l2 norm':>20}{'mean square per pixel':>26}"]
            lines += [
                f"  {t.name:<12}{f'{t.l2_mean:.3f} +- {t.l2_std:.3f}':>20}{f'{t.mse_mean:.5f} +- {t.mse_std:.5f}':>26}"
                for t in self.noise
            ]
        lines.append("Verdict")
        lines += [f"  {verdict + ':':<15}{text}" for verdict, text in self.statements()]
        return "\n".join(lines)


def _names(maps: list[LinearMap]) -> str:
    shown = ", ".join(f"{m.name} {m.inputs} x {m.outputs}" for m in maps[:4])
    return shown + (", ..." if len(maps) > 4 else "")


def _pair(pair: tuple[list[float], list[float], float]) -> str:
    first, second, distance = pair
    return f"{[round(x, 3) for x in first]} and {[round(x, 3) for x in second]}, {distance:.3g} apart in the image"


@torch.no_grad()
@own_surroundings()
def noise_test(
    decoder: Callable[[Tensor], Tensor], code: ArrayLike, draws: int = NOISE_DRAWS, seed: int = 0
) -> tuple[NoiseTest, ...]:
    """Table 2's test of local smoothness at one code, at the paper's scales s = 1/|z|, 0.5/|z| (if z is not 0) and 1.

    Args:
        decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        code: (1, *latent_shape).
        draws: number of noises per scale; the same ones for every scale.
        seed: of the noise.
    """
    z = as_codes(code)[:1]
    generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
    noise = torch.randn((as_whole(draws, "draws", 1), *z.shape[1:]), generator=generator).to(z)
    norm = z.norm().item()
    clean = decode_images(decoder, z)
    scales = {"1/|z|": 1 / norm, "0.5/|z|": 0.5 / norm} if norm > 0 else {}
    tests = []
    for name, scale in {**scales, "1": 1.0}.items():
        change = (decode_images(decoder, z + scale * noise) - clean).flatten(1).double()
        l2, mse = change.norm(dim=1), change.square().mean(1)
        deviations = [x.std().item() if draws > 1 else 0.0 for x in (l2, mse)]
        tests.append(NoiseTest(name, scale, l2.mean().item(), deviations[0], mse.mean().item(), deviations[1]))
    return tuple(tests)


@torch.no_grad()
@own_surroundings()
def certify(
    v: VizAE,
    decoder: Callable[[Tensor], Tensor] | None = None,
    codes: ArrayLike | None = None,
    seed: int = 0,
    resolution: int | None = None,
    budget: Budget = BUDGET,
    progress: Reporting = False,
) -> Certificate:
    """Measure whether a map is one-to-one and locally smooth.

    Args:
        v: a `VizAE`.
        decoder: f_d; with it images are measured, and the layers of f_d if it is a module.
        codes: (k, *latent_shape), the first of which is the code of the noise test; by default that of v's first
            point.
        seed: of the noise.
        resolution: points of the grid along each axis of the map, at least 3. By default 201, 25 or 9 for a map of
            1, 2 or 3 dimensions, fewer (but at least 5) where images have more than 50,000 values. With a decoder,
            each point of the grid costs 1 + 2 dim decodes.
        budget: most images to decode, or most time for them, "60s"; None for as many as are wanted. First comes
            whether the decoder is deterministic (5 images). The grid is made coarser to fit, unless its resolution
            was asked for. Where the coarsest does not fit, images are measured at a few fitted points that are far
            from each other. The certificate says what was measured, and what more would cost.
        progress: as `fit` takes it; shown where the decoder is slow.

    Warns:
        UserWarning: once, of a decoder that does not make the same image of a code each time.

    Returns:
        A `Certificate`: ``print(certificate)`` or ``certificate.to_json()``.

    Raises:
        TypeError: v is not a VizAE.
        ValueError: codes of another shape, a resolution below 3, no such budget, or a decoder that breaks its
            contract.

    Example:
        >>> from latent_vizae import fit, load_decoder
        >>> f_d = load_decoder("mnist")
        >>> codes, _ = f_d.examples(label=5, count=20)
        >>> certificate = certify(fit(codes, decoder=f_d), decoder=f_d)
        >>> all(m.full for m in certificate.linear_maps)
        True
    """
    if not isinstance(v, VizAE):
        raise TypeError(f"certify takes a VizAE (fit() makes one), got {type(v).__name__}.")
    if decoder is not None:
        require_decoder(decoder, v.latent_shape)
    given = None if codes is None else as_codes(codes, v.latent_shape)
    maps = [*linear_maps(v.encoder, "v_e"), *linear_maps(v.decoder, "v_d")]
    n, rank = v.basis.shape
    upper = torch.linalg.qr(v.basis.double(), mode="r")[1]  # rank x rank, whatever n is
    maps.insert(0, measure_map("v_e.normalisation", upper @ v.frame.double(), (n, rank)))
    maps.append(measure_map("v_d.normalisation", v.unframe.double() @ upper.T, (rank, n)))
    acts = [*activations(v.encoder, "v_e"), *activations(v.decoder, "v_d")]

    limit = as_limit(budget)
    if resolution is not None:
        resolution, limit = as_whole(resolution, "resolution", 3), Limit()
    with spending() as spent:
        look = FirstLook() if decoder is None else first_look(v, decoder, limit, spent)
        plan = plan_of(v, look.values, images_left(decoder, limit, spent), resolution)
        total = spent.images + plan.images
        with _shown(decoder, total, spent, progress):
            return _measured(v, decoder, look, plan, given, seed, maps, acts, spent)


@contextlib.contextmanager
def _shown(decoder: Any, total: float, spent: Spending, progress: Reporting) -> Iterator[None]:
    """A bar of what a slow decoder is asked for, with what it will take."""
    if decoder is None or not progress or not is_slow(decoder):
        yield
        return
    with Progress(progress, f"decode, {cost_in_words(total, seconds_per_image(decoder))}", unit="image") as bar:
        spent.report = lambda images: bar(min(int(images), int(total)), int(total))
        try:
            yield
        finally:
            spent.report = None


def _measured(
    v: VizAE,
    decoder: Callable[[Tensor], Tensor] | None,
    look: FirstLook,
    plan: Plan,
    given: Tensor | None,
    seed: int,
    maps: list[LinearMap],
    acts: list[Activation],
    spent: Spending,
) -> Certificate:
    """The certificate of a plan."""
    grid, places = plan.grid, plan.places
    decoded = v.decode(grid)
    whole = grid if len(grid) > GRID_PER_AXIS[v.dim] ** v.dim else grid_of(v, GRID_PER_AXIS[v.dim])
    back = (v.encode(v.decode(whole, detail=0.0)) - whole).norm(dim=1)
    at_codes = (v.encode(v.decode(v.points, detail=0.0)) - v.points).norm(dim=1).max().item() if len(v.points) else 0.0

    already = round(spent.images)
    layer, noise, called = None, tuple[NoiseTest, ...](), look.called
    if decoder is None or places is None:
        collisions, count, pairs = _collisions(grid, decoded.flatten(1))
    else:
        images = decode_images(decoder, v.decode(places))
        collisions, count, pairs = _collisions(places, images.flatten(1).to(grid), whole=places is grid)
        layer = stretch(lambda p: decode_images(decoder, v.decode(p)), places, images)
    if decoder is not None and look.repeats is not None:
        notice_noise(decoder, decoded, look.repeats)
    if decoder is not None and plan.draws:
        start = v.decode(v.points[:1] if len(v.points) else grid[:1]) if given is None else given[:1]
        noise = noise_test(decoder, start, plan.draws, seed)
    if isinstance(decoder, nn.Module):
        found = linear_maps(decoder, "decoder", called)
        if not found:  # its layers are used as functions
            found, called = linear_maps(decoder, "decoder"), None
        maps += found
        acts += activations(decoder, "decoder", called)
    return Certificate(
        linear_maps=tuple(maps),
        activations=tuple(acts),
        round_trip_rms=back.square().mean().sqrt().item(),
        round_trip_max=back.max().item(),
        round_trip_at_codes=at_codes,
        collisions=collisions,
        collision_count=count,
        pairs=pairs,
        stretch_min=None if layer is None else layer[:, 0].min().item(),
        stretch_max=None if layer is None else layer[:, 1].max().item(),
        stretch_median=None if layer is None else (layer[:, 0].median().item(), layer[:, 1].median().item()),
        noise=noise,
        repeats=look.repeats,
        dim=v.dim,
        n=math.prod(v.latent_shape),
        grid=grid.cpu(),
        stretch_layer=layer.cpu() if layer is not None and places is grid else None,
        places=0 if places is None else len(places),
        images_decoded=None if decoder is None else round(spent.images),
        images_wanted=None if decoder is None else already + plan.wanted,
        seconds_per_image=seconds_per_image(decoder) if is_slow(decoder) else None,
        **_typical_places(v, grid, decoded),
    )


def _typical_places(v: VizAE, grid: Tensor, decoded: Tensor) -> dict[str, Any]:
    """The certificate's entries on how typical decoded codes (P, *latent_shape) are; none of a v without detail."""
    if v.field is None or len(v.points) == 0:
        return {}
    found, near = typicality(v, decoded), support(v, grid) > 0.5
    if not near.any():
        return {}
    lengths, places = found.lengths[near], grid[near]
    least = lengths.log().abs().argmax()
    return {
        "typical_share": found.typical[near].double().mean().item(),
        "typical_range": (found.low, found.high, lengths.min().item(), lengths.max().item()),
        "typical_least": tuple(places[least].tolist()),
        "typical_layer": found.lengths.cpu(),
    }


def _collisions(
    grid: Tensor, results: Tensor, whole: bool = True, far: float = 0.5
) -> tuple[tuple[tuple[list[float], list[float], float], ...], int, int]:
    """Pairs at least ``far`` apart on the map whose results differ by less than half of the median of a grid step.

    Differences are root mean squares. Of points that are no whole grid, a step is that to the nearest other one.
    """
    results = (results - results.mean(0)) / results.shape[1] ** 0.5  # a common part would drown differences
    if whole:
        dim, side = grid.shape[1], round(len(grid) ** (1 / grid.shape[1]))
        cells = results.unflatten(0, (side,) * dim)
        steps = torch.cat([cells.diff(dim=axis).flatten(0, dim - 1).norm(dim=1) for axis in range(dim)])
    else:
        steps = (results - results[torch.cdist(grid, grid).fill_diagonal_(math.inf).argmin(1)]).norm(dim=1)
    threshold = steps.median() / 2
    nearest: list[tuple[float, int, int]] = []
    count = pairs = 0
    size = max(1, PAIRS_AT_A_TIME // len(grid))
    for start in range(0, len(grid), size):
        part = slice(start, start + size)
        apart = torch.cdist(grid[part], grid, compute_mode="donot_use_mm_for_euclid_dist")
        is_far = (apart >= far * (1 - 1e-6)).triu(start + 1)  # each pair once
        changed = torch.cdist(results[part].double(), results.double())
        where = (is_far & (changed <= threshold)).nonzero()
        distances = changed[where[:, 0], where[:, 1]]
        closest = distances.argsort()[:10]
        each = zip(distances[closest].tolist(), where[closest].tolist(), strict=True)
        nearest = sorted([*nearest, *((distance, start + i, j) for distance, (i, j) in each)])[:10]
        count, pairs = count + len(where), pairs + int(is_far.sum())
    return tuple((grid[i].tolist(), grid[j].tolist(), distance) for distance, i, j in nearest), count, pairs
