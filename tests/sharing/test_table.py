"""A map as a table of its points: as pyarrow, `datasets` and the Hub's viewer read it."""

import sys
import time

import numpy as np
import pytest
import torch
from draws import normal

from latent_vizae import LatentMap, fit

pytest.importorskip("pyarrow")
import pyarrow.parquet as pq


@pytest.fixture(scope="module")
def maps(linear):
    """Maps of 1, 2 and 3 dimensions."""
    weight = normal(5, 16) / 12
    return {dim: LatentMap(fit(normal(60, 5), dim=dim, seed=0), linear(weight)) for dim in (1, 2, 3)}


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_table_has_a_row_a_code_in_their_order(maps, dim, tmp_path):
    m = maps[dim]
    words = ["a", "<b>", "c"] * 20
    table = pq.read_table(m.to_parquet(tmp_path / "points.parquet", labels=words, progress=False))
    axes = ["x", "y", "z"][:dim]
    assert table.column_names == [*axes, "support", "label", "image"]
    assert np.allclose(np.stack([table[axis].to_numpy() for axis in axes], 1), m.v.points)
    assert np.allclose(table["support"].to_numpy(), m.support(m.v.points), atol=1e-5)
    assert table["label"].to_pylist() == words


def test_its_pictures_are_images_to_datasets(maps, tmp_path):
    datasets = pytest.importorskip("datasets")
    m = maps[2]
    file = m.to_parquet(tmp_path / "points.parquet", progress=False)
    loaded = datasets.load_dataset("parquet", data_files=str(file), cache_dir=str(tmp_path / "cache"))["train"]
    assert isinstance(loaded.features["image"], datasets.Image)
    seen = np.asarray(loaded[7]["image"].convert("L")) / 255
    assert np.abs(seen - m.render(m.v.points[7:8])[0, 0].numpy()).mean() < 0.08


def test_without_pictures_no_decoder_is_asked_and_a_slow_one_is_refused(maps, tmp_path):
    asked = []

    def slow(z):
        asked.append(len(z))
        time.sleep(0.3 * len(z))
        return z.sigmoid().reshape(-1, 1, 1, 5)

    m = LatentMap(maps[2].v, slow)
    with pytest.raises(ValueError, match=r"60 pictures take about \d+ s, more than most_seconds=5.*size=0"):
        m.to_parquet(tmp_path / "points.parquet", most_seconds=5)
    assert list(tmp_path.iterdir()) == []
    before = len(asked)
    table = pq.read_table(m.to_parquet(tmp_path / "points.parquet", size=0, progress=False))
    assert table.column_names == ["x", "y", "support"]
    assert len(asked) == before


def test_bad_input_is_answered_and_nothing_is_written(maps, tmp_path, monkeypatch):
    for name, options, message in (
        ("points.csv", {}, "saved as .parquet"),
        ("no/points.parquet", {}, "Cannot write"),
        ("points.parquet", {"labels": [1]}, "60 codes"),
        ("points.parquet", {"size": -1}, "size"),
    ):
        with pytest.raises(ValueError, match=message):
            maps[2].to_parquet(tmp_path / name, progress=False, **options)
    odd = LatentMap(maps[2].v, lambda z: z[:, :1, None, None].sigmoid().expand(-1, 7, 4, 4))
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        odd.to_parquet(tmp_path / "points.parquet", progress=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"latent-vizae\[parquet\]"):
        maps[2].to_parquet(tmp_path / "points.parquet")
    assert list(tmp_path.iterdir()) == []


def test_many_codes_are_written_in_parts(maps, tmp_path):
    m = LatentMap(maps[2].v, lambda z: z[:, :1, None, None].sigmoid().expand(-1, 3, 2, 2))
    known, m.v.points = m.v.points, (torch.rand(9000, 2) * 2 - 1).float()
    steps = []
    try:
        file = m.to_parquet(tmp_path / "points.parquet", progress=lambda step, of, _: steps.append((step, of)))
    finally:
        m.v.points = known
    assert steps == [(4096, 9000), (8192, 9000), (9000, 9000)]
    assert pq.read_table(file).num_rows == 9000
