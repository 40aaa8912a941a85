"""Columns of codes: words are classes, numbers stay numbers, and a wrong one is named."""

import numpy as np
import pytest
import torch

from latent_vizae.inputs.columns import as_columns


def test_words_are_classes_and_numbers_stay():
    given = {
        "kind": ["x10", "x2", None, "x2"], "size": [1, 2.5, None, 4], "whole": np.arange(4), "yes": [True, False] * 2,
        "digit": ["1", "2", "1", "3"],
    }  # fmt: skip
    kind, size, whole, yes, digit = as_columns(given, 4)
    assert kind.words == ["x2", "x10", "no label"]
    assert kind.values.tolist() == [1, 0, 2, 0]
    assert size.words is whole.words is None
    assert torch.equal(size.values.nan_to_num(-1), torch.tensor([1, 2.5, -1, 4]))
    assert whole.values.dtype == torch.float32
    assert yes.words == ["False", "True"]
    assert digit.words == ["1", "2", "3"]
    assert as_columns(None, 4) == []


def test_tables_of_others_come_in():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"k": pandas.Categorical([3, 1, 3], [3, 2, 1]), "x": pandas.array([1, None, 3], "Int64")})
    k, x = as_columns(table, 3)
    assert k.words == ["3", "1"]  # in the order of the categories, those that occur
    assert k.values.tolist() == [0, 1, 0]
    assert x.values[1].isnan()


def test_tables_of_pyarrow_and_parquet_come_in(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"word": ["b", "a", None], "x": [1.0, None, 2.0]})
    parquet.write_table(table, tmp_path / "t.parquet")
    for given in (table, tmp_path / "t.parquet", str(tmp_path / "t.parquet")):
        word, x = as_columns(given, 3)
        assert word.words == ["a", "b", "no label"]
        assert x.values[1].isnan()


def test_a_csv_says_by_its_values_what_is_a_number(tmp_path):
    (tmp_path / "t.csv").write_text('name,age,note\n"a, b",1,\nc,,x\n', encoding="utf-8")
    name, age, note = as_columns(tmp_path / "t.csv", 2)
    assert name.words == ["a, b", "c"]
    assert age.values[0] == 1
    assert age.values[1].isnan()
    assert note.words == ["x", "no label"]
    (tmp_path / "t.tsv").write_text("a\tb\n1\tx\n2\ty\n", encoding="utf-8")
    assert [column.name for column in as_columns(tmp_path / "t.tsv", 2)] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"a": [1, 2]}, ValueError, "'a' has one value a code: 3 codes"),
        ({"a": np.zeros((3, 2))}, ValueError, r"\(3, 2\)"),
        ({"a": [object()] * 3}, TypeError, "holds object"),
        ({"a": np.array(["2020-01-01"] * 3, "M8[D]")}, TypeError, "datetime64"),
        ({"a": [1.0, float("inf"), 2.0]}, ValueError, "infinite"),
        ({5: [1, 2, 3]}, TypeError, "called by a text, got 5"),
        (7, TypeError, "a mapping, name -> values, or a table, got int"),
        ([1, 2, 3], TypeError, "a mapping"),
        ("nowhere.csv", FileNotFoundError, "no file nowhere.csv"),
    ],
)
def test_what_is_no_column_is_named(given, error, message):
    with pytest.raises(error, match=message):
        as_columns(given, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "line of names"), ("a,b\n1\n", "row 1 has 1 values"), ("a,a\n1,2\n", "two columns of one name")],
)
def test_what_is_no_table_is_said(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        as_columns(tmp_path / "t.csv", 1)
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.csv, \.tsv or \.parquet"):
        as_columns(tmp_path / "t.xlsx", 1)
