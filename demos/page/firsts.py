"""The maps at the top of the page: fitted beforehand, each one click away.

python -m latent_vizae.demos.page.firsts emoji    # fit it anew, as after another training of its generator
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latent_vizae import LatentMap, VizAE, fit, load_decoder
from latent_vizae.demos.page.fitted import FittedMap, lasting_id, quality
from latent_vizae.inputs.columns import as_columns

__all__ = ["DIGITS", "EMOJI", "FIRSTS", "digits_map", "emoji_map", "first_maps"]

HERE = Path(__file__).parent
EMOJI, DIGITS = HERE / "start_emoji", HERE / "start"
FIRSTS = ("emoji", "digits")


def examples(name: str, f_d: Any) -> tuple[Any, Any]:
    """Codes and labels of a map, by its name."""
    return f_d.examples(count=2000, seed=0) if name == "digits" else f_d.examples()


def digits_map(f_d: Any) -> FittedMap:
    """2,000 codes of all digits."""
    codes, labels = examples("digits", f_d)
    v = VizAE.from_pretrained(DIGITS)
    return FittedMap("2,000 handwritten digits", LatentMap(v, f_d), codes, labels, quality(v), lasting_id(v))


def emoji_map(f_d: Any) -> FittedMap:
    """The codes of all emoji, by group."""
    codes, labels = examples("emoji", f_d)
    v = VizAE.from_pretrained(EMOJI)
    return FittedMap(
        f"{len(codes):,} emoji", LatentMap(v, f_d), codes, labels, quality(v), lasting_id(v), names=f_d.label_names,
        columns=as_columns({"name": f_d.names}, len(codes)),
    )  # fmt: skip


def first_maps(decoders: Mapping[str, Any]) -> dict[str, FittedMap]:
    """All of them, by name, with decoders by the name that `load_decoder` takes."""
    return {"emoji": emoji_map(decoders["emoji"]), "digits": digits_map(decoders["mnist"])}


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=FIRSTS)
    name = parser.parse_args(arguments).name
    f_d = load_decoder({"emoji": "emoji", "digits": "mnist"}[name])
    codes, labels = examples(name, f_d)
    v = fit(codes, decoder=f_d, dim=2, labels=labels, seed=0)
    v.save_pretrained({"emoji": EMOJI, "digits": DIGITS}[name])
    print(v.report)


if __name__ == "__main__":
    main()
