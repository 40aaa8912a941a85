"""The ``latent-vizae`` command: maps, grids, paths and certificates from a terminal or a script.

Results go to files and to stdout, progress and errors to stderr. A user's error is one line and exit code 2, a bug a
traceback and exit code 1, Ctrl-C exit code 130. Files appear whole or not at all.
"""

from __future__ import annotations

import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .directions import directions
from .errors import as_user_error
from .maps import certify_, grid, info, map_, paper, path_
from .samples import samples
from .shards import encode, place
from .sharing import demo, export

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Turns a user's errors into one line on stderr, and Ctrl-C into exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("latent-vizae: interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            if (mendable := as_user_error(error)) is None:
                raise
            typer.echo(f"latent-vizae: error: {mendable}", err=True)
            raise typer.Exit(2) from error


def _guide() -> str | None:
    """A line that says where the guide is, which comes with the package."""
    demos = find_spec("latent_vizae.demos")
    if demos is None or demos.origin is None:
        return None
    return f"\b\nThe guide: {Path(demos.origin).parent / 'guide' / 'README.md'}"


app = typer.Typer(
    cls=_Commands,
    epilog=_guide(),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"latent-vizae {version('latent-vizae')}")
        raise typer.Exit


@app.callback()
def _latent_vizae(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """See and steer the latent space of a pretrained generator.

    A decoder turns codes into images. `map` fits v, a two-way map between codes and points of [-1, 1]^d. `grid` and
    `path` decode regions and paths of it, `certify` measures how far to trust it. `encode` and `place` turn pictures
    into codes and codes into points, by the million.

    \b
    Start here:
      latent-vizae map --decoder mnist --label 5 --out fives
      latent-vizae grid --v fives --box=-0.5,-0.5,0.5,0.5 --out grid.png
      latent-vizae path --v fives --from=-0.8,0 --to=0.8,0 --out path.gif

    Exit codes: 0 done, 1 a bug, 2 an error in the input or arguments, 130 interrupted (Ctrl-C).
    """


app.command("map")(map_)
app.command("grid")(grid)
app.command("path")(path_)
app.command("samples")(samples)
app.command("certify")(certify_)
app.command("export")(export)
app.command("paper")(paper)
app.command("demo")(demo)
app.command("info")(info)
app.command("encode")(encode)
app.command("place")(place)
app.command("directions")(directions)


def _plain_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"latent-vizae: warning: {message}\n"


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = _plain_warning  # one line, no source
    app(prog_name="latent-vizae")
