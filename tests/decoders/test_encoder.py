"""A decoder's encoder: called, checked, and left as it was."""

import pytest
import torch
from torch import nn

from latent_vizae import LatentMap, encode_images, fit
from latent_vizae.decoders.encoder import encode_batches
from latent_vizae.testing import check_decoder

IMAGES = torch.rand(5, 1, 2, 3, generator=torch.Generator().manual_seed(0))


class Autoencoder(nn.Module):
    """Codes are the six pixels, plus what dropout does in training; counts its calls."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=dtype))
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def forward(self, codes):
        return codes.sigmoid().reshape(-1, 1, 2, 3)

    def encode(self, images):
        self.seen.append((images.dtype, torch.is_grad_enabled()))
        images -= 0.5  # in place
        return self.dropout(images).flatten(1) * self.weight


def test_codes_are_the_same_for_any_batches_and_nothing_is_changed():
    model, before = Autoencoder().train(), IMAGES.clone()
    whole, parts = (torch.cat(list(encode_batches(model, IMAGES.split(size)))) for size in (5, 2))
    assert torch.equal(whole, before.flatten(1) - 0.5)
    assert torch.equal(whole, parts)
    assert torch.equal(IMAGES, before)
    assert model.training
    assert model.dropout.training
    assert not whole.requires_grad
    assert not any(grad for _, grad in model.seen)


def test_images_come_in_the_encoders_precision_and_codes_in_float32():
    model = Autoencoder(torch.float64)
    (codes,) = encode_batches(model, [IMAGES])
    assert codes.dtype == torch.float32
    assert model.seen[0][0] == torch.float64


def breaks(*_):
    raise RuntimeError("out of memory")


BROKEN = [
    ("raises", breaks, r"encode raised RuntimeError on images of shape \(5, 1, 2, 3\): out of memory"),
    ("too few", lambda images: images[:2].flatten(1), r"for 5 images it returned the shape \(2, 6\)"),
    ("flat", lambda images: images.flatten(), r"returned the shape \(30,\)"),
    ("an array", lambda images: images.flatten(1).numpy(), "returned ndarray"),
    ("a distribution", lambda images: torch.distributions.Normal(images, 1), "returned Normal"),
    ("no numbers", lambda images: images.flatten(1)[:, :0], r"returned the shape \(5, 0\)"),
    ("NaN", lambda images: images.flatten(1) * float("nan"), "returned NaN"),
    ("complex", lambda images: images.flatten(1) + 0j, "complex"),
    ("another latent space", lambda images: images.flatten(1)[:, :3], r"shape \(3,\); .* latent_shape is \(6,\)"),
]


@pytest.mark.parametrize(("encode", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_an_encoder_that_breaks_its_contract_is_refused_everywhere(encode, message, tmp_path):
    model = Autoencoder()
    model.encode, model.latent_shape = encode, (6,)
    v = fit(torch.rand(8, 6))
    for call in (
        lambda: list(encode_batches(model, [IMAGES])),
        lambda: LatentMap(v, model).place(IMAGES),
        lambda: encode_images(model, IMAGES),
        lambda: encode_images(model, IMAGES, out=tmp_path / "codes.safetensors"),
        lambda: encode_images(model, IMAGES, out=tmp_path / "codes"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(AssertionError, match="breaks its contract"):
        check_decoder(model, torch.rand(5, 6))
    assert [path.name for path in tmp_path.rglob("*")] in (["codes"], ["codes", "manifest.json"])


def test_codes_of_two_shapes_are_refused():
    model = Autoencoder()
    model.encode = lambda images: images.flatten(1)[:, : 3 + len(images)]
    with pytest.raises(ValueError, match=r"codes of two shapes, \(5,\) and \(4,\)"):
        list(encode_batches(model, [IMAGES[:2], IMAGES[:1]]))
