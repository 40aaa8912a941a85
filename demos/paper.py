"""The paper, reproduced: its figures and tables from the bundled decoder, with our numbers beside the paper's.

Ko et al. 2023, "A Method for Latent Space Control System of a Learned Deep Neural Network Using a Visualization
Autoencoder". Each function below makes one figure or table; `write_paper` makes them all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import decode_images
from latent_vizae.decoders.load import load_decoder
from latent_vizae.decoders.spending import (
    Budget,
    as_limit,
    cost_in_words,
    images_left,
    seconds_per_image,
    spending,
    time_in_words,
)
from latent_vizae.fitting.fit import fit
from latent_vizae.maps.certificate import noise_test
from latent_vizae.maps.latent_map import LatentMap
from latent_vizae.maps.layers import linear_maps
from latent_vizae.maps.samples import Samples
from latent_vizae.measures.metrics import fvu, path_evenness
from latent_vizae.pictures.style import need_plot
from latent_vizae.storage.folder import atomic_file
from latent_vizae.training.progress import Progress, Reporting

__all__ = ["write_paper"]


PAPER_LOSS = 69.48

PAPER_RANKS = (9, 64, 128, 10, 10, 128, 64, 64, 1)

PAPER_NOISE = {"1/|z|": "0.002 +- 0.001", "0.5/|z|": "0.016 +- 0.004", "1": "0.05 +- 0.016"}

FIG_10 = {"A": 4000, "B": 2000, "C": 200, "D": 20}

Section = dict[str, Any]


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches; global settings and backends are left alone."""
    need_plot()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all."""
    with atomic_file(path) as partial:
        figure.savefig(partial)


def sheet_axes(axes: Any, samples: Samples) -> None:
    """Show the sheet of samples in a figure."""
    axes.imshow(samples.sheet(), interpolation="nearest")
    axes.set_axis_off()


class _DigitsByNeighbours:
    """Digits on images by their nearest training codes: f_e and a vote of 7, never used to choose images."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.codes, self.labels = decoder.examples(count=20_000)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        nearest = torch.cdist(self.decoder.encode(images), self.codes).topk(7, largest=False).indices
        votes: Tensor = self.labels[nearest].mode(1).values
        return votes


def _nearest_pair(images: Tensor) -> float:
    """Smallest root mean square difference between two of the images."""
    flat = images.flatten(1).double()
    smallest: float = torch.cdist(flat, flat).fill_diagonal_(float("inf")).min().item()
    return smallest / float(flat.shape[1] ** 0.5)


def _middle_box(points: Tensor, share: float) -> tuple[list[float], list[float]]:
    """The box that holds the middle share of the points along each axis."""
    tail = (1 - share) / 2
    low, high = torch.quantile(points, tail, dim=0), torch.quantile(points, 1 - tail, dim=0)
    return low.tolist(), high.tolist()


def table_1(decoder: Any, out: Path) -> Section:
    """Table 1: f's architecture, the smallest rank of each W, and the training loss."""
    maps = linear_maps(decoder, "f")
    ranks = [m.rank for m in maps]
    rows = [
        f"| {m.name.removeprefix('f.autoencoder.')} | {m.inputs} x {m.outputs} | {m.rank} | {paper} "
        f"| {m.sigma_min:.3g} |"
        for m, paper in zip(maps, PAPER_RANKS, strict=True)
    ]
    losses = decoder.losses
    text = [
        "| W | shape | rank, ours | rank, paper | smallest singular value |", "|---|---|---|---|---|", *rows, "",
        (f"Training loss (BCE summed over pixels): **{losses['train']:.2f}**, the paper's {PAPER_LOSS}; "
        f"test loss {losses['test']:.2f} (not in the paper)."),
    ]  # fmt: skip
    return {"title": "Table 1: f", "text": text, "ranks": ranks, "ranks_paper": list(PAPER_RANKS), "losses": losses}


def table_2(decoder: Any, out: Path) -> Section:
    """Table 2: images of a code with noise, at the paper's three scales, six draws."""
    code, _ = decoder.examples(count=1)
    tests = noise_test(decoder, code)
    rows = [
        f"| {t.name} | {t.scale:.3f} | {t.l2_mean:.3f} +- {t.l2_std:.3f} | {t.mse_mean:.4f} +- {t.mse_std:.4f} | "
        f"{PAPER_NOISE[t.name]} |"
        for t in tests
    ]
    text = [
        '| s | its value | l2 norm, ours | mean square per pixel, ours | "l2 norm", paper |', "|---|---|---|---|---|",
        *rows, "",
        (f"The code is that of the first training image, |z| = {code.norm().item():.3f}. The paper's magnitudes fit a "
        "mean over pixels, not a norm. As printed, its scales and values are in the opposite order of size: 0.5/|z| "
        "is the smaller noise and has the larger value there. The paper does not give its |z|; the last abTanh bounds "
        "each number of our codes by its learned a, so noise of a given s is large beside them."),
    ]  # fmt: skip
    return {"title": "Table 2: local smoothness", "text": text, "noise": [vars(t) for t in tests]}


def figure_5(decoder: Any, out: Path) -> Section:
    """Fig. 5: four points of R^3 on a surface (2-D v) and on a curve (1-D v)."""
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.2, 0.6], [0.3, 1.0, 0.8], [1.0, 1.0, -0.2]])
    surface, curve = fit(points, dim=2), fit(points, dim=1)
    figure = new_figure(9, 4.2)
    axis = torch.linspace(-1, 1, 40)
    mesh = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    sheet = surface.decode(mesh.reshape(-1, 2)).reshape(40, 40, 3).numpy()
    line = curve.decode(torch.linspace(-1, 1, 200).unsqueeze(1)).numpy()
    for place, title in ((121, "2-D v: a surface"), (122, "1-D v: a curve")):
        ax = figure.add_subplot(place, projection="3d")
        if place == 121:
            ax.plot_surface(*(sheet[..., i] for i in range(3)), alpha=0.5, color="#4c78a8", linewidth=0)
        else:
            ax.plot(*line.T, color="#4c78a8", linewidth=2)
        ax.scatter(*points.T.numpy(), color="#e45756", s=40, depthshade=False)
        ax.set_title(title)
    save_figure(figure, out / "figure-05.png")
    errors = [surface.report.fvu, curve.report.fvu] if surface.report and curve.report else []
    text = [f'FVU {errors[0]:.1e} (surface) and {errors[1]:.1e} (curve); the paper: "loss near 0".']
    return {"title": "Fig. 5: four points of R^3", "pictures": ["figure-05.png"], "text": text, "fvu": errors}


def figure_6(decoder: Any, out: Path) -> Section:
    """Fig. 6: test images and what f makes of them."""
    images, _ = decoder.images()
    images = images[:20]
    with torch.no_grad():
        rebuilt = decode_images(decoder, decoder.encode(images))
    empty = torch.zeros(40, 1)
    Samples(empty, empty, torch.cat([images, rebuilt]), rows=2).save(out / "figure-06.png")
    error = (images - rebuilt).square().mean().item()
    text = [f"Above: MNIST test images; below: f_d(f_e(image)). Mean square error per pixel {error:.4f}."]
    return {"title": "Fig. 6: reconstructions", "pictures": ["figure-06.png"], "text": text, "mse": error}


def figure_7(decoder: Any, out: Path) -> Section:
    """Fig. 7: one code, and noise of three sizes on it, decoded."""
    code, _ = decoder.examples(count=1)
    noise = torch.randn(9, 10, generator=torch.Generator().manual_seed(0))
    norm = code.norm()
    rows = [torch.cat([code, code + scale * noise]) for scale in (0.1 / norm, 0.5 / norm, 1 / norm, torch.ones(()))]
    codes = torch.cat(rows)
    Samples(codes, codes, decode_images(decoder, codes), rows=4).save(out / "figure-07.png")
    text = ["First column: the code's image; then nine noises. Rows: s = 0.1/|z|, 0.5/|z|, 1/|z| and 1."]
    return {"title": "Fig. 7: noisy codes", "pictures": ["figure-07.png"], "text": text}


def _shape_of_strokes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Thickness (ink per image) and slant (shear, from second moments) of digits, (k,) each."""
    ink = images.mean(1)
    total = ink.sum((1, 2)).clamp(min=1e-6)
    y, x = torch.meshgrid(torch.arange(ink.shape[1]).to(ink), torch.arange(ink.shape[2]).to(ink), indexing="ij")
    dx = x - ((ink * x).sum((1, 2)) / total)[:, None, None]
    dy = y - ((ink * y).sum((1, 2)) / total)[:, None, None]
    return total, -(ink * dx * dy).sum((1, 2)) / (ink * dy * dy).sum((1, 2)).clamp(min=1e-6)


def _two_that_differ(quantity: Tensor, other: Tensor) -> tuple[int, int]:
    """Rows low and high in one quantity (5 % and 95 %) and as alike as can be in the other."""
    low = (quantity - torch.quantile(quantity, 0.05)).abs().argsort()[:40]
    high = (quantity - torch.quantile(quantity, 0.95)).abs().argsort()[:40]
    gap = (other[low][:, None] - other[high][None]).abs() + 0.3 * (other[low] - other.median()).abs()[:, None]
    i, j = divmod(int(gap.argmin()), 40)
    return int(low[i]), int(high[j])


def figure_9(decoder: Any, out: Path) -> Section:
    """Fig. 9: transformations between samples, each a 1-D v of a few codes, its interval decoded as a strip."""
    twos, _ = decoder.examples(label=2, count=2000)
    ink, slant = _shape_of_strokes(decode_images(decoder, twos))
    ones, _ = decoder.examples(label=1, count=2000)
    ink_1, slant_1 = _shape_of_strokes(decode_images(decoder, ones))
    three, eight = (decoder.examples(label=digit, count=1)[0] for digit in (3, 8))
    four, nine, seven = (decoder.examples(label=digit, count=1)[0] for digit in (4, 9, 7))
    strips = {
        "thickness of a 2": twos[list(_two_that_differ(ink, slant))],
        "slant of a 1": ones[list(_two_that_differ(slant_1, ink_1))],
        "slant of a 2": twos[list(_two_that_differ(slant, ink))],
        "3 to 8": torch.cat([three, eight]),
        "4, 9 and 7 on one line": torch.cat([four, nine, seven]),
    }
    images: list[Tensor] = []
    summary: dict[str, dict[str, Any]] = {}
    for name, codes in strips.items():
        v = fit(codes, decoder, dim=1)
        ends = v.points[:, 0].argsort()
        samples = LatentMap(v, decoder).path(v.points[ends[0]], v.points[ends[-1]], frames=16)
        images.append(samples.images)
        summary[name] = {"codes": len(codes), "fvu": fvu(codes, v(codes)), "evenness": path_evenness(samples.images)}
        thick, lean = _shape_of_strokes(samples.images[[0, -1]])
        summary[name] |= {"ink": thick.tolist(), "slant": lean.tolist()}
    empty = torch.zeros(16 * len(strips), 1)
    Samples(empty, empty, torch.cat(images), rows=len(strips)).save(out / "figure-09.png")
    text = [
        "| transformation | codes | FVU | evenness | ink at the ends | slant at the ends |",
        "|---|---|---|---|---|---|",
    ]
    text += [
        f"| {name} | {x['codes']} | {x['fvu']:.1e} | {x['evenness']:.3f} | {x['ink'][0]:.0f} to {x['ink'][1]:.0f} | "
        f"{x['slant'][0]:.2f} to {x['slant'][1]:.2f} |"
        for name, x in summary.items()
    ]
    text += [
        "",
        "The paper: loss near 0. Evenness is the deviation over the mean of the image change per frame; 0 is even.",
    ]
    return {
        "title": "Fig. 9: transformation between samples",
        "pictures": ["figure-09.png"],
        "text": text,
        "strips": summary,
    }


def _map_and_grid(latent_map: LatentMap, samples: Samples, box: Any, title: str, path: Path) -> None:
    """The codes on the map with the box on it, beside the grid of the box."""
    figure = new_figure(10, 5.3)
    left, right = figure.subplots(1, 2)
    points = latent_map.v.points.cpu().numpy()
    left.scatter(*points.T, s=2 if len(points) > 500 else 14, color="#4c78a8", linewidths=0)
    (x0, y0), (x1, y1) = box
    left.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="#e45756", linewidth=1.5)
    left.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", title=title)
    sheet_axes(right, samples)
    save_figure(figure, path)


def figure_10(decoder: Any, out: Path) -> Section:
    """Fig. 10: samples of interest; maps of 4000, 2000, 200 and 20 fives, a box of each decoded."""
    digits_of = _DigitsByNeighbours(decoder)
    summary: dict[str, dict[str, Any]] = {}
    pictures: list[str] = []
    for letter, count in FIG_10.items():
        codes, _ = decoder.examples(label=5, count=count)
        v = fit(codes, decoder, dim=2)
        m = LatentMap(v, decoder)
        box = _middle_box(v.points, 0.8)
        samples = m.grid(box=box, shape=(10, 10))
        samples.save(out / f"figure-10{letter}-samples.safetensors")
        pictures.append(f"figure-10{letter}.png")
        _map_and_grid(m, samples, box, f"{letter}: {count} codes of the digit 5", out / pictures[-1])
        summary[letter] = {
            "codes": count, "fives": int((digits_of(samples.images) == 5).sum()), "box": box,
            "nearest_pair": _nearest_pair(samples.images), "report": v.report.to_dict() if v.report else None,
        }  # fmt: skip
    text = [
        "| | codes | fives of 100 | two nearest images differ by (rms) | FVU | held out | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {letter} | {x['codes']} | {x['fives']} | {x['nearest_pair']:.4f} | {x['report']['fvu']:.3g} | "
        f"{x['report']['fvu_held_out'] or 0:.3g} | {x['report']['seconds']} |"
        for letter, x in summary.items()
    ]
    text += ["", ("Fives are counted by a vote of the 7 nearest training codes of f_e(image). The box holds the "
             "middle 80 % of the codes along each axis. The paper shows the pictures and no numbers.")]  # fmt: skip
    return {"title": "Fig. 10: samples of interest", "pictures": pictures, "text": text, "maps": summary}


def figure_11(decoder: Any, out: Path) -> Section:
    """Fig. 11: one code, and similar samples around it."""
    codes, _ = decoder.examples(label=5, count=1)
    m = LatentMap(fit(codes, decoder, dim=2), decoder)
    samples = m.grid(shape=(10, 10))
    samples.save(out / "figure-11-samples.safetensors")
    _map_and_grid(m, samples, ((-1, -1), (1, 1)), "one code, and around it", out / "figure-11.png")
    fives, nearest = int((_DigitsByNeighbours(decoder)(samples.images) == 5).sum()), _nearest_pair(samples.images)
    furthest = (samples.images - decode_images(decoder, codes)).square().flatten(1).mean(1).max().item()
    text = [
        (
            f"{fives} of 100 are fives; the two nearest differ by {nearest:.4f} (rms), the furthest from the "
            f"code's own image by {furthest:.3f} (mean square). The directions are those in which f_d changes most "
            "at the code."
        )
    ]
    return {
        "title": "Fig. 11: around one code", "pictures": ["figure-11.png"], "text": text,
        "fives": fives, "nearest_pair": nearest, "furthest": furthest,
    }  # fmt: skip


def figure_12(decoder: Any, out: Path) -> Section:
    """Fig. 12: 200 random codes of all digits, and the whole map decoded."""
    codes, labels = decoder.examples(count=200, seed=0)
    v = fit(codes, decoder, dim=2, labels=labels)
    m = LatentMap(v, decoder)
    samples = m.grid(shape=(20, 20))
    samples.save(out / "figure-12-samples.safetensors")
    figure = new_figure(12, 6.2)
    left, right = figure.subplots(1, 2)
    dots = left.scatter(*v.points.T.numpy(), c=labels.numpy(), cmap="tab10", vmin=-0.5, vmax=9.5, s=20)
    figure.colorbar(dots, ax=left, ticks=range(10), shrink=0.8)
    left.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", title="200 random codes")
    sheet_axes(right, samples)
    save_figure(figure, out / "figure-12.png")
    counts = torch.bincount(_DigitsByNeighbours(decoder)(samples.images), minlength=10).tolist()
    text = [
        "Digits on the 20 x 20 grid over the whole map: " + ", ".join(f"{d}: {c}" for d, c in enumerate(counts)) + "."
    ]
    return {"title": "Fig. 12: all digits", "pictures": ["figure-12.png"], "text": text, "digits": counts}


PARTS: dict[Callable[[Any, Path], Section], int] = {
    table_1: 0, table_2: 19, figure_5: 0, figure_6: 20, figure_7: 40, figure_9: 4900, figure_10: 3300, figure_11: 150,
    figure_12: 1100,
}  # fmt: skip
"""Each figure and table, and the images that it asks the decoder for, about, as `spending` counted them."""


def write_paper(out: str | Path, progress: Reporting = False, budget: Budget = None) -> dict[str, Any]:
    """Make the paper's figures and tables: pictures, ``report.md`` and ``report.json``.

    Args:
        out: a folder; made if need be. Files of an earlier run are replaced, each in one step.
        progress: True for a bar on stderr, or a function ``(step, steps, title)``; the title says what is decoded.
        budget: most images to decode, about, or most time for them, "60s"; None for all. In the order of the paper,
            a figure or table that does not fit into what is left is left out, and the report says so.

    Returns:
        What ``report.json`` holds: for every figure and table its numbers, ours and the paper's, and as ``spending``
        what was asked of the decoder.

    Raises:
        TypeError, ValueError: no such budget, or ``out`` cannot be written.
        ImportError: the extra ``plot`` is missing.
    """
    out, limit = Path(out), as_limit(budget)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # is it writable? before any work
            pass
    except OSError as error:
        raise ValueError(f"Cannot write to the folder {out}: {error.strerror or error}.") from error
    need_plot()
    decoder = load_decoder("mnist")
    sections: dict[str, Section] = {}
    left_out: list[str] = []
    with spending() as spent:
        decode_images(decoder, decoder.examples(count=64)[0])  # how long does one take?
        images = min(sum(PARTS.values()), images_left(decoder, limit, spent))
        title = f"paper, {cost_in_words(images, seconds_per_image(decoder))} of decoding"
        with Progress(progress, title, unit="part") as shown:
            for number, (part, needed) in enumerate(PARTS.items(), 1):
                if needed <= images_left(decoder, limit, spent):
                    sections[part.__name__] = part(decoder, out)
                else:
                    left_out.append(part.__name__)
                shown(number, len(PARTS))
    text = [f"{spent.images:,.0f} images, {time_in_words(spent.seconds)}."]
    if left_out:
        more = sum(needed for part, needed in PARTS.items() if part.__name__ in left_out)
        text += ["", f"Left out for the budget of {budget}: {', '.join(left_out)}; about {more:,} images more."]
    sections["spending"] = {
        "title": "What was asked of the decoder", "text": text, "budget": budget,
        "images_decoded": round(spent.images), "decoding_seconds": round(spent.seconds, 1), "left_out": left_out,
    }  # fmt: skip
    lines = ["# The paper, reproduced", "", "Ko et al. 2023; made by `latent-vizae paper`.", ""]
    for section in sections.values():
        lines += [f"## {section['title']}", ""]
        lines += [f"![{section['title']}]({picture})" for picture in section.get("pictures", [])]
        lines += ["", *section["text"], ""]
    summary = {name: {k: x for k, x in s.items() if k != "text"} for name, s in sections.items()}
    with atomic_file(out / "report.md") as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with atomic_file(out / "report.json") as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return summary
