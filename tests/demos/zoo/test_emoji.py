"""Emoji as data: those without a skin tone to learn from, their variants to test with; and how they get bundled."""

import numpy as np
import pytest
import torch

from latent_vizae.adapters import emoji as adapter
from latent_vizae.adapters.zoo import ConvolutionalVAE, LinearAutoencoder
from latent_vizae.demos.zoo import bundle_emoji
from latent_vizae.demos.zoo.data import load_images, load_labels
from latent_vizae.demos.zoo.emoji import FILE, read_emoji


@pytest.fixture
def folder(tmp_path):
    """Eight pictures, two of them with a skin tone."""
    place = tmp_path / "emoji"
    place.mkdir()
    random = np.random.default_rng(0)
    np.savez(
        place / FILE,
        images=random.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8),
        names=np.array([f"thing {k}" for k in range(8)]),
        groups=np.arange(8) % 3,
        group_names=np.array(["A", "B", "C"]),
        skin_tone=np.arange(8) >= 6,
    )
    return place


def test_variants_by_skin_tone_are_the_test_images(folder):
    train, test = load_images(str(folder))
    assert (train.shape, test.shape, train.dtype) == ((6, 3, 64, 64), (2, 3, 64, 64), torch.uint8)
    known, variants = read_emoji(folder), read_emoji(folder, skin_tones=True)
    assert torch.equal(train, known.images)
    assert known.names == [f"thing {k}" for k in range(6)]
    assert variants.names == ["thing 6", "thing 7"]
    assert known.group_names == ["A", "B", "C"]
    assert [labels.tolist() for labels in load_labels(str(folder))] == [[0, 1, 2, 0, 1, 2], [0, 1]]
    with np.load(folder / FILE) as data:
        assert np.array_equal(train[4].permute(1, 2, 0).numpy(), data["images"][4])


def test_a_folder_without_them_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=FILE):
        read_emoji(tmp_path)


def test_a_bundle_loads_with_the_codes_of_its_weights(folder, tmp_path, monkeypatch):
    there = tmp_path / "bundle"
    for module in (adapter, bundle_emoji):
        monkeypatch.setattr(module, "DATA", there)
        monkeypatch.setattr(module, "CODES", there / "codes.safetensors")
    ConvolutionalVAE().save_pretrained(tmp_path / "trained" / "generator")
    bundle_emoji.main([str(tmp_path / "trained"), "--data", str(folder)])
    f_d = adapter.load_emoji()
    codes, labels = f_d.examples()
    assert (codes.shape, labels.tolist(), f_d.names[5]) == ((6, 64), [0, 1, 2, 0, 1, 2], "thing 5")
    assert f_d.label_names == {0: "A", 1: "B", 2: "C"}
    again = f_d.encode(read_emoji(folder).images.float() / 255)
    assert torch.allclose(again, codes, atol=2e-3, rtol=2e-3)


def test_another_generator_is_not_bundled(folder, tmp_path):
    LinearAutoencoder().save_pretrained(tmp_path / "trained" / "generator")
    with pytest.raises(SystemExit, match="has a LinearAutoencoder"):
        bundle_emoji.main([str(tmp_path / "trained"), "--data", str(folder)])
