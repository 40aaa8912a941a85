"""Columns of a map's codes: which there are, their values, and codes whose words hold a text."""

from __future__ import annotations

from typing import Any

import numpy as np

from latent_vizae.demos.page.checks import whole_number
from latent_vizae.demos.page.fitted import FittedMap, shown_rows
from latent_vizae.sharing.described import as_base64

__all__ = ["MOST_SHADES", "column_list", "column_of", "found_in"]

MOST_SHADES = 2**12
"""Different words by which codes are coloured; a column of more is only searched in."""
MOST_TEXT, MOST_GROUPS = 200, 24
"""Characters of a text to search for, and matching words that are named."""


def column_list(fitted: FittedMap) -> list[dict[str, Any]]:
    """Columns by name; ``kinds`` is the number of different words, None of numbers."""
    return [
        {"name": column.name, "kinds": None if column.words is None else len(column.words)}
        for column in fitted.columns
    ]


def column_of(fitted: FittedMap, number: Any) -> dict[str, Any]:
    """Values of a column, one for each code that is shown: float32 with NaN, or uint16 rows of ``words``."""
    if not fitted.columns:
        raise ValueError("This map came without columns.")
    column = fitted.columns[whole_number(number, "number of a column", 0, len(fitted.columns) - 1)]
    values = column.values[shown_rows(len(column.values))].numpy()
    if column.words is None:
        return {"name": column.name, "words": None, "values": as_base64(values.astype("<f4"))}
    if len(column.words) > MOST_SHADES:
        raise ValueError(f"{column.name} has {len(column.words):,} different words: search in it instead.")
    return {"name": column.name, "words": column.words, "values": as_base64(values.astype("<u2"))}


def found_in(fitted: FittedMap, text: Any) -> dict[str, Any]:
    """Codes that are shown and whose label or word, or number, is or holds a text; upper and lower case are alike.

    Returns:
        rows: which of the codes that are shown (uint32 as base64); groups: the words that match, with their columns
        and how many codes have them, the most frequent first; more: matching words that are not named.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > MOST_TEXT:
        raise ValueError(f"Search for a text of 1 to {MOST_TEXT} characters.")
    wanted, count = text.strip().casefold(), len(fitted.latent_map.v.points)
    shown = shown_rows(count).numpy()
    found, groups = np.zeros(len(shown), bool), []
    for name, words, values in _searched(fitted):
        matches = [number for number, word in enumerate(words) if wanted in word.casefold()]
        if not matches:
            continue
        values = values[shown]
        sizes = np.bincount(values, minlength=len(words))
        groups += [(name, words[number], int(sizes[number])) for number in matches if sizes[number]]
        hit = np.zeros(len(words), bool)
        hit[matches] = True
        found |= hit[values]
    number = wanted.removeprefix("no.").strip().removeprefix("#")
    if (
        number.isdecimal()
        and number.isascii()
        and len(number) < 12
        and (at := np.flatnonzero(shown == int(number))).size
    ):
        found[at] = True
        groups.append(("code", f"no. {int(number)}", 1))
    groups.sort(key=lambda group: -group[2])
    rows = np.flatnonzero(found).astype("<u4")
    return {"rows": as_base64(rows), "groups": groups[:MOST_GROUPS], "more": max(0, len(groups) - MOST_GROUPS)}


def _searched(fitted: FittedMap) -> Any:
    """Name, words and values of the labels and of each column of words."""
    if fitted.labels is not None:
        named = fitted.latent_map.v.label_names if fitted.names is None else fitted.names
        kinds, values = fitted.labels.cpu().unique(return_inverse=True)
        yield "label", [named.get(kind, str(kind)) for kind in kinds.tolist()], values.numpy()
    for column in fitted.columns:
        if column.words is not None:
            yield column.name, column.words, column.values.numpy()
