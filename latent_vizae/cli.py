"""The command ``latent-vizae``: a map from the shell, without a line of Python."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="latent-vizae",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="See and steer the latent space of a pretrained generator. Start with: latent-vizae map --out out",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
Saved = Annotated[Path, typer.Option("--v", help="Folder of a saved v, such as out/v.")]
Named = Annotated[str | None, typer.Option("--decoder", help="Name of the generator; by default the one v names.")]
MADE_BY = "latent-vizae map"


def _say(text: str) -> None:
    typer.echo(text)


def _load(v_folder: Path, name: str | None) -> tuple[Any, Any]:
    """A saved v and its decoder."""
    from latent_vizae import VizAE, load_decoder

    v = VizAE.from_pretrained(v_folder)
    source = name or v.source
    if source is None:
        raise ValueError(f"{v_folder} does not say which generator it is of; name it with --decoder.")
    return v, load_decoder(source)


def _read_codes(file: Path) -> tuple[Any, Any]:
    """Codes, and labels or None, of a .npy or .safetensors file."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        if file.suffix == ".npy":
            return np.load(file, mmap_mode="r", allow_pickle=False), None
        if file.suffix == ".safetensors":
            tensors = load_file(file)
            if "codes" not in tensors:
                raise ValueError(f"{file} holds {', '.join(sorted(tensors))}; the codes are to be called 'codes'.")
            return tensors["codes"], tensors.get("labels")
    except (SafetensorError, EOFError, OSError) as error:
        raise ValueError(f"{file} is damaged, or not what its name says: {error}") from error
    raise ValueError(f"Codes come as .npy or .safetensors (a tensor 'codes', and 'labels' if you like); got {file.name}.")


def _numbers(text: str, what: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{what} is numbers with commas between, got {text!r}.") from error


def _check_out(out: Path) -> None:
    """A folder that is new, empty or from an earlier `map`, and that can be written."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out is a folder; {out} is a file.")
    if out.is_dir() and any(out.iterdir()):
        try:
            ours = json.loads((out / "report.json").read_text(encoding="utf-8")).get("made_by") == MADE_BY
        except (OSError, ValueError, AttributeError):
            ours = False
        if not ours:
            raise ValueError(f"{out} holds something that no `latent-vizae map` made. Choose a new folder, or empty it.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise ValueError(f"Cannot write to {out}: {error.strerror or error}. Choose another --out.") from error


def _far_pair(points: Any) -> tuple[int, int]:
    """Two codes far apart on the map, well inside it: at a tenth and nine tenths of its first axis."""
    order = points[:, 0].argsort()
    return int(order[len(order) // 10]), int(order[-1 - len(order) // 10])


@app.command("map")
def map_(
    decoder: Annotated[str, typer.Option(help="Name of the generator, as load_decoder takes it.")] = "mnist",
    codes: Annotated[Path | None, typer.Option(help="Your own codes: .npy, or .safetensors with 'codes'.")] = None,
    label: Annotated[int | None, typer.Option(help="Only the generator's examples of this class.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many of its examples.")] = 2000,
    dim: Annotated[int, typer.Option(min=1, max=3, help="Dimension of the map.")] = 2,
    seed: Annotated[int, typer.Option(help="Same seed, same map.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder to write: new, empty, or of an earlier map.")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Fit v and write map.png, layers.png, grid.png, path.gif, path.png, report.json, certificate.txt and v/.

    Example: latent-vizae map --label 5 --count 200 --out fives
    """
    from latent_vizae import LatentMap, certify, fit, load_decoder
    from latent_vizae.pictures import layer_picture, map_picture, need_plot

    need_plot()
    _check_out(out)
    f_d = load_decoder(decoder)
    if codes is not None:
        z, labels = _read_codes(codes)
    elif hasattr(f_d, "examples"):
        z, labels = f_d.examples(label=label, count=count, seed=seed)
    else:
        raise ValueError(f"The decoder {decoder!r} brings no example codes; give your own with --codes.")
    v = fit(z, decoder=f_d, dim=dim, labels=labels, seed=seed, progress=True)
    latent_map, certificate = LatentMap(v, f_d), certify(v, decoder=f_d)
    document = {
        "made_by": MADE_BY,
        "decoder": decoder,
        "seed": seed,
        "report": v.report.to_dict() if v.report else None,
        "certificate": certificate.to_dict(),
    }
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as name:  # a kill leaves no half file behind
        partial = Path(name)
        map_picture(latent_map, partial / "map.png")
        layer_picture(certificate, partial / "layers.png", points=v.points)
        latent_map.grid().save(partial / "grid.png")
        if len(v.points) > 1:
            ends = v.points[list(_far_pair(v.points))]
        else:
            ends = v.points.repeat(2, 1)
            ends[:, 0] = ends.new_tensor([-1.0, 1.0])
        path = latent_map.path(ends, frames=24)
        path.save(partial / "path.gif")
        path.save(partial / "path.png")
        (partial / "certificate.txt").write_text(f"{certificate}\n", encoding="utf-8")
        (partial / "report.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        v.save_pretrained(out / "v")
        for file in sorted(partial.iterdir(), key=lambda f: f.name != "report.json"):
            file.replace(out / file.name)
    if as_json:
        _say(json.dumps(document))
    else:
        _say(f"{v.report}\n\n" + "\n".join(f"{a}: {text}" for a, text in certificate.statements()) + f"\n\nWritten to {out}")
    if v.report is not None and v.report.interrupted:
        typer.echo("latent-vizae: interrupted; what was written is the best v so far.", err=True)
        raise typer.Exit(130)


@app.command()
def grid(
    v: Saved,
    out: Annotated[Path, typer.Option(help="File to write: .png, .gif, .mp4 or .safetensors.")],
    box: Annotated[str | None, typer.Option(help="Lower, then upper corner: --box=-0.5,-0.5,0.5,0.5 (2-D).")] = None,
    shape: Annotated[str, typer.Option(help="Rows x columns (x layers): 10x10.")] = "",
    decoder: Named = None,
    as_json: Json = False,
) -> None:
    """Samples of interest: decode a box of the map.

    Example: latent-vizae grid --v out/v --box=-0.5,-0.5,0.5,0.5 --shape 10x10 --out fives.png
    """
    from latent_vizae import LatentMap

    model, f_d = _load(v, decoder)
    corners = None
    if box is not None:
        numbers = _numbers(box, "--box")
        if len(numbers) != 2 * model.dim:
            raise ValueError(f"--box is {2 * model.dim} numbers on this {model.dim}-D map, got {len(numbers)}.")
        corners = (numbers[: model.dim], numbers[model.dim :])
    try:
        sizes = tuple(int(part) for part in shape.split("x")) if shape else None
    except ValueError as error:
        raise ValueError(f"--shape is whole numbers with x between, such as 10x10; got {shape!r}.") from error
    samples = LatentMap(model, f_d).grid(box=corners, shape=sizes)
    samples.save(out)
    _report_file(out, len(samples), as_json)


@app.command()
def path(
    v: Saved,
    start: Annotated[str, typer.Option("--from", help="A point 'x,y' of the map, or '#12': v's code number 12.")],
    end: Annotated[str, typer.Option("--to", help="Likewise.")],
    out: Annotated[Path, typer.Option(help="File to write: .gif, .mp4, .png or .safetensors.")],
    via: Annotated[list[str] | None, typer.Option(help="Corners between; may be given again.")] = None,
    frames: Annotated[int, typer.Option(min=2, help="Number of images.")] = 32,
    curve: Annotated[str, typer.Option(help="straight, or shortest (least image change in all).")] = "straight",
    pace: Annotated[str, typer.Option(help="constant (of image change), or linear (on the map).")] = "constant",
    decoder: Named = None,
    as_json: Json = False,
) -> None:
    """Transformation between samples: decode a path along the map.

    Example: latent-vizae path --v out/v --from=-0.8,0 --via 0,0.5 --to '#7' --out morph.gif
    """
    from latent_vizae import LatentMap

    model, f_d = _load(v, decoder)

    def point(text: str) -> list[float]:
        if not text.startswith("#"):
            return _numbers(text, "a point")
        if not text[1:].isdigit() or int(text[1:]) >= len(model.points):
            raise ValueError(f"This v has the codes #0 to #{len(model.points) - 1}, asked for {text}.")
        corner: list[float] = model.points[int(text[1:])].tolist()
        return corner

    corners = [point(text) for text in (start, *(via or ()), end)]
    samples = LatentMap(model, f_d).path(*corners, frames=frames, curve=curve, pace=pace)
    samples.save(out)
    _report_file(out, len(samples), as_json)


def _report_file(out: Path, count: int, as_json: bool) -> None:
    _say(json.dumps({"file": str(out), "samples": count}) if as_json else f"{count} samples written to {out}")


@app.command()
def certify(v: Saved, decoder: Named = None, as_json: Json = False) -> None:
    """Measure whether a map is one-to-one and locally smooth, and say what cannot hold.

    Example: latent-vizae certify --v out/v
    """
    from latent_vizae import certify as measure

    model, f_d = _load(v, decoder)
    certificate = measure(model, decoder=f_d)
    _say(certificate.to_json() if as_json else str(certificate))


@app.command()
def paper(
    out: Annotated[Path, typer.Option(help="Folder for the pictures and report.md.")] = Path("paper"),
    as_json: Json = False,
) -> None:
    """Reproduce the paper: Figures 5, 6, 7, 9 to 12 and Tables 1 and 2, with our numbers beside its own.

    Takes about five minutes on two cores. Example: latent-vizae paper --out paper
    """
    from latent_vizae.paper import write_paper

    summary = write_paper(out, progress=True)
    _say(json.dumps(summary) if as_json else f"Written to {out}; read {out / 'report.md'}")


@app.command()
def info(
    v: Annotated[Path | None, typer.Option("--v", help="Folder of a saved v.")] = None, as_json: Json = False
) -> None:
    """Show versions, the decoders that are registered, and what a saved v is.

    Example: latent-vizae info --v out/v
    """
    found: dict[str, Any] = {name: version(name) for name in ("latent-vizae", "torch", "numpy", "safetensors")}
    found["decoders"] = sorted({entry.name for entry in entry_points(group="latent_vizae.decoders")})
    if v is not None:
        from latent_vizae import VizAE

        found["v"] = VizAE.from_pretrained(v).config
    _say(json.dumps(found) if as_json else "\n".join(f"{key}: {value}" for key, value in found.items()))


def _show_version(wanted: bool) -> None:
    if wanted:
        _say(version("latent-vizae"))
        raise typer.Exit


@app.callback()
def _options(
    show: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """See and steer the latent space of a pretrained generator. Start with: latent-vizae map --out out"""  # noqa: D400


def main() -> None:
    """Run the command; what the library refuses becomes one line on stderr and exit code 2, Ctrl-C is 130."""
    run: Callable[..., Any] = app
    try:
        run()
    except KeyboardInterrupt:
        typer.echo("latent-vizae: interrupted.", err=True)
        sys.exit(130)
    except (ValueError, TypeError, ImportError, FileNotFoundError) as error:
        typer.echo(f"latent-vizae: error: {error}", err=True)
        sys.exit(2)
