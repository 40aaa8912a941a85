"""Labels of any kind become whole numbers with names, which travel with v and are in legends."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from latent_vizae import LatentMap, VizAE, encode_images, fit
from latent_vizae.inputs.names import as_labels
from latent_vizae.pictures import map_picture

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
polars = pytest.importorskip("polars")
datasets = pytest.importorskip("datasets")

WORDS, NAMES = ["dog", "cat", "dog", "x10", "x2"], {0: "cat", 1: "dog", 2: "x2", 3: "x10"}
NUMBERS = [1, 0, 1, 3, 2]
SIZES = pd.CategoricalDtype(["small", "big", "huge"], ordered=True)


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (WORDS, NUMBERS, NAMES),
        (tuple(WORDS), NUMBERS, NAMES),
        (np.array(WORDS), NUMBERS, NAMES),
        (np.array(WORDS, object), NUMBERS, NAMES),
        (np.array(WORDS, "S"), NUMBERS, NAMES),
        (pd.Series(WORDS), NUMBERS, NAMES),
        (pd.Series(WORDS, dtype="string"), NUMBERS, NAMES),
        (pd.Series(WORDS, dtype=object), NUMBERS, NAMES),
        (pd.Index(WORDS), NUMBERS, NAMES),
        (polars.Series(WORDS), NUMBERS, NAMES),
        (pa.array(WORDS), NUMBERS, NAMES),
        (pa.array(WORDS).dictionary_encode(), NUMBERS, NAMES),
        (pa.chunked_array([WORDS[:2], WORDS[2:]]), NUMBERS, NAMES),
        (datasets.Dataset.from_dict({"y": WORDS})["y"], NUMBERS, NAMES),
        (pd.Series(["big", "small", "big"], dtype=SIZES), [1, 0, 1], {0: "small", 1: "big"}),
        (pd.Categorical(["big", "small", None], dtype=SIZES), [1, 0, -1], {0: "small", 1: "big", -1: "no label"}),
        (polars.Series(["b", "a"], dtype=polars.Enum(["b", "a"])), [0, 1], {0: "b", 1: "a"}),
        ([1.0, 3.0, -2.0], [1, 3, -2], {}),
        (torch.tensor([1.0, 3.0]), [1, 3], {}),
        (torch.tensor([1.0, 3.0], dtype=torch.bfloat16), [1, 3], {}),
        (pd.Series([1, 3], dtype="Int64"), [1, 3], {}),
        ([np.int8(1), 3], [1, 3], {}),
        ([True, False, True], [1, 0, 1], {0: "False", 1: "True"}),
        (torch.tensor([True, False]), [1, 0], {0: "False", 1: "True"}),
        (pd.Series([True, None, False], dtype="boolean"), [1, -1, 0], {0: "False", 1: "True", -1: "no label"}),
        (["a", None, "b"], [0, -1, 1], {0: "a", 1: "b", -1: "no label"}),
        (["a", " ", "b"], [0, -1, 1], {0: "a", 1: "b", -1: "no label"}),
        (["a", float("nan"), "b"], [0, -1, 1], {0: "a", 1: "b", -1: "no label"}),
        (pd.Series(["a", pd.NA, "b"]), [0, -1, 1], {0: "a", 1: "b", -1: "no label"}),
        (polars.Series(["a", None, "b"]), [0, -1, 1], {0: "a", 1: "b", -1: "no label"}),
        ([1.0, float("nan"), -1.0], [1, -2, -1], {-2: "no label"}),
        (pd.Series([1, None], dtype="Int64"), [1, -1], {-1: "no label"}),
        ([1, None, 2], [1, -1, 2], {-1: "no label"}),
        ([1, "a"], [0, 1], {0: "1", 1: "a"}),
        (np.array([1, "a"], object), [0, 1], {0: "1", 1: "a"}),
        ([2**60 + 1, 0], [2**60 + 1, 0], {}),
    ],
)
def test_labels_of_any_kind_are_numbers_with_names(labels, numbers, names):
    found = as_labels(labels, len(numbers))
    assert found.numbers.dtype == torch.int64
    assert found.numbers.tolist() == numbers
    assert found.names == names


CODES = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
CLASSES = [("cat", "dog", None)[n % 3] for n in range(60)]


@pytest.fixture(scope="module")
def named():
    return fit(CODES, labels=CLASSES, steps=5)


def decode(codes):
    return codes.sigmoid().reshape(-1, 1, 2, 2)


def test_names_travel_with_v(named, tmp_path):
    assert named.label_names == {0: "cat", 1: "dog", -1: "no label"}
    named.save_pretrained(tmp_path / "v")
    again = VizAE.from_pretrained(tmp_path / "v")
    assert again.label_names == named.label_names
    assert torch.equal(again.labels, named.labels)
    assert json.loads((tmp_path / "v" / "config.json").read_text())["label_names"]["1"] == "dog"
    assert torch.equal(again.points, fit(CODES, steps=5).points)  # labels change nothing


def test_names_of_no_kind_are_not_saved(named, tmp_path):
    v = fit(CODES[:5], labels=range(5))
    for wrong in ({0: 3}, {"a": "b"}, {2**70: "x"}):
        v.label_names = wrong
        with pytest.raises(ValueError, match="not saved"):
            v.save_pretrained(tmp_path / "v")


def test_names_are_in_the_legends_of_pictures_and_of_the_page(named, tmp_path, monkeypatch):
    m, shown = LatentMap(named, decode), []
    monkeypatch.setattr(
        "latent_vizae.pictures.map._legend", lambda place, names, *_: shown.append(list(names.values()))
    )
    map_picture(m, tmp_path / "a.png", thumbnails=False)
    assert shown[-1] == ["no label", "cat", "dog"]
    map_picture(m, tmp_path / "a.png", thumbnails=False, names={"cat": "Katze", 1: "Hund"})
    assert shown[-1] == ["no label", "Katze", "Hund"]
    map_picture(m, tmp_path / "a.png", thumbnails=False, labels=[n % 2 == 0 for n in range(60)])
    assert shown[-1] == ["False", "True"]
    page = m.save(tmp_path / "map.html", tiles=4, progress=False).read_text()
    assert '"no label", "cat", "dog"' in page or '"no label","cat","dog"' in page


def test_the_page_of_gradio_has_them_too(named):
    fitted = pytest.importorskip("latent_vizae.demos.page.fitted")
    maps = pytest.importorskip("latent_vizae.demos.page.maps")
    shown = fitted.FittedMap("", LatentMap(named, decode), CODES, named.labels, "")
    assert maps.Maps(shown).describe(shown.id)["names"] == {"0": "cat", "1": "dog", "-1": "no label"}


def test_labels_are_read_where_the_codes_lie(tmp_path):
    class Pixels:
        image_shape = (1, 2, 2)

        def encode(self, images):
            return images.flatten(1)

    for number in range(6):
        (tmp_path / "in" / f"class {number % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), 40 * number).save(tmp_path / "in" / f"class {number % 2}" / f"{number}.png")
    for out in ("codes", "codes.safetensors"):
        encode_images(Pixels(), tmp_path / "in", out=tmp_path / out, labels="folder")
        v = fit(tmp_path / out, labels=str(tmp_path / out))
        assert v.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert v.label_names == {0: "class 0", 1: "class 1"}
    save_file({"codes": CODES, "labels": torch.arange(60)}, tmp_path / "l.safetensors")
    assert fit(CODES, labels=tmp_path / "l.safetensors", steps=2).labels.tolist() == list(range(60))
    np.save(tmp_path / "z.npy", CODES.numpy())
    with pytest.raises(ValueError, match=r"z\.npy has no labels"):
        fit(CODES, labels=tmp_path / "z.npy")
