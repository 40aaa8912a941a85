"""Codes that are selected on the page: columns, searches, files of codes; handlers first, then in Chromium."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from draws import normal

pytest.importorskip("gradio")

from latent_vizae import LatentMap, fit
from latent_vizae.demos.page import columns, fitted
from latent_vizae.demos.page.maps import Maps
from latent_vizae.demos.page.selecting import Selecting
from latent_vizae.demos.page.show import in_hand

KINDS = ["shoe", "Sandal", "<b>boot</b>"]


@pytest.fixture
def own(linear):
    """A map with codes, labels and columns, and what asks about them."""
    codes = normal(30, 5)
    m = LatentMap(fit(codes, seed=0), linear(normal(5, 16) / 20))
    given = {
        "kind": [KINDS[i % 3] for i in range(30)],
        "size": np.arange(30.0),
        "file": [f"{i}.png" for i in range(30)],
    }
    shown = in_hand(m, codes=codes, labels=[i % 2 for i in range(30)], names=["even", "odd"], columns=given)
    return shown, Selecting(Maps(shown))


def rows_of(told):
    return np.frombuffer(base64.b64decode(told["rows"]), "<u4").tolist()


def as_rows(rows):
    return base64.b64encode(np.array(rows, "<u4").tobytes()).decode()


def test_columns_are_told_and_handed_over(own):
    shown, ask = own
    told = Maps(shown).describe(shown.id)
    assert told["columns"] == [
        {"name": "kind", "kinds": 3},
        {"name": "size", "kinds": None},
        {"name": "file", "kinds": 30},
    ]
    kind = ask.column(shown.id, 0)
    index = np.frombuffer(base64.b64decode(kind["values"]), "<u2")
    assert [kind["words"][i] for i in index] == [KINDS[i % 3] for i in range(30)]
    assert np.array_equal(np.frombuffer(base64.b64decode(ask.column(shown.id, 1)["values"]), "<f4"), np.arange(30))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("sAnDaL", range(1, 30, 3)), ("s", None), ("odd", range(1, 30, 2)), ("7", [7, 17, 27]), ("no. 8", [8]),
        ("#9", [9]), ("</b>", range(2, 30, 3)), ("nothing like it", []),
    ],
)  # fmt: skip
def test_a_search_finds_labels_words_and_numbers(own, text, rows):
    shown, ask = own
    told = ask.find(shown.id, text)
    assert rows is None or rows_of(told) == list(rows)
    if text == "s":  # shoe and Sandal, most frequent first
        assert {tuple(group) for group in told["groups"]} == {("kind", "shoe", 10), ("kind", "Sandal", 10)}


def test_selected_codes_are_a_file(own):
    shown, ask = own
    told = ask.chosen(shown.id, as_rows([4, 2, 4]))
    with np.load(io.BytesIO(base64.b64decode(told["file"])), allow_pickle=False) as file:
        assert file["indices"].tolist() == [2, 4]
        assert np.array_equal(file["codes"], shown.codes[[2, 4]].numpy())
        assert np.allclose(file["points"], shown.latent_map.v.points[[2, 4]])
        assert file["labels"].tolist() == [0, 0]


def test_of_very_many_codes_a_part_is_drawn_and_its_numbers_are_told(own, monkeypatch):
    shown, ask = own
    monkeypatch.setattr(fitted.shown_rows, "__defaults__", (12,))
    told = Maps(shown).describe(shown.id)
    rows = np.frombuffer(base64.b64decode(told["rows"]), "<u4")
    assert len(rows) == len(base64.b64decode(told["labels"])) / 4 == 12
    found = rows_of(ask.find(shown.id, f"no. {rows[5]}"))
    assert 5 in found
    with np.load(io.BytesIO(base64.b64decode(ask.chosen(shown.id, as_rows([5]))["file"]))) as file:
        assert file["indices"].tolist() == [rows[5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ask, i: ask.column(i, 3), "between 0 and 2"),
        (lambda ask, i: ask.column(i, "kind"), "whole number"),
        (lambda ask, i: ask.find(i, ""), "1 to 200"),
        (lambda ask, i: ask.find(i, "x" * 201), "1 to 200"),
        (lambda ask, i: ask.find(i, 5), "1 to 200"),
        (lambda ask, i: ask.chosen(i, as_rows([30])), "Select some codes"),
        (lambda ask, i: ask.chosen(i, ""), "Select some codes"),
        (lambda ask, i: ask.chosen(i, "§"), "by their numbers"),
        (lambda ask, i: ask.chosen(i, "AAAA"), "by their numbers"),
        (lambda ask, i: ask.chosen(i, None), "Select some codes"),
        (lambda ask, i: ask.find("nowhere", "x"), "no longer here"),
    ],
)
def test_what_strangers_send_is_answered(own, call, message):
    shown, ask = own
    with pytest.raises(ValueError, match=message):
        call(ask, shown.id)


def test_a_file_of_very_many_codes_is_refused_with_what_to_do(own, monkeypatch):
    shown, ask = own
    monkeypatch.setattr("latent_vizae.demos.page.selecting.MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"codes\[numbers\]"):
        ask.chosen(shown.id, as_rows(range(30)))


def test_a_column_of_very_many_words_is_searched_alone(own, monkeypatch):
    shown, ask = own
    monkeypatch.setattr(columns, "MOST_SHADES", 10)
    with pytest.raises(ValueError, match="30 different words"):
        ask.column(shown.id, 2)
    assert rows_of(ask.find(shown.id, "12.png")) == [12]


def test_a_map_without_codes_of_its_own_says_so(own):
    shown, _ = own
    none = in_hand(shown.latent_map)
    told = Maps(none).describe(none.id)
    assert not told["own_codes"]
    assert told["columns"] == []
    assert torch.equal(none.codes_at(slice(3)), shown.latent_map.v.decode(shown.latent_map.v.points[:3]))
    assert Maps(shown).describe(shown.id)["own_codes"]
    assert json.dumps(told)
