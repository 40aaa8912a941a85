"""Messages about decoders say what is wrong, and what to write instead."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from latent_vizae import LatentMap, fit, load_decoder

Z = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))


def images(z, *shape):
    return z.mul(3).sigmoid().repeat(1, 300)[:, : int(np.prod(shape))].reshape(-1, *shape)


class Broken(nn.Module):
    def __init__(self, value, dtype=torch.float32):
        super().__init__()
        self.last = nn.Linear(4, 4)
        nn.init.constant_(self.last.weight, value)
        self.to(dtype)

    def forward(self, z):
        return (self.last(z).square() - self.last(z).square()).sigmoid().reshape(-1, 1, 2, 2)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (lambda z: images(z, 1, 2, 2).numpy(), r"returned ndarray. Wrap it: lambda z: torch.from_numpy\(G\(z.numpy"),
        (lambda z: [Image.new("L", (2, 2)) for _ in z], "output_type='pt'"),
        (lambda z: list(images(z, 1, 2, 2)), r"torch.stack\(G\(z\)\)"),
        (lambda z: SimpleNamespace(sample=images(z, 1, 2, 2)), r"Take the tensor out of it: lambda z: G\(z\).sample"),
        (lambda z: {"loss": z.mean(), "sample": images(z, 1, 2, 2)}, r"out of it: lambda z: G\(z\)\['sample'\]"),
        (lambda z: (None, images(z, 1, 2, 2)), r"Take the tensor out of it: lambda z: G\(z\)\[1\]"),
        (lambda z: images(z, 8, 8), r"lambda z: G\(z\).unsqueeze\(1\)"),
        (lambda z: images(z, 3, 8, 8)[0], r"torch.stack\(\[G\(code\) for code in z\]\)"),
        (lambda z: images(z, 3, 8, 8).flatten(1), r"G\(z\).unflatten\(1, \(C, H, W\)\)"),
        (lambda z: images(z, 3, 8, 8) * 2 - 1, r"lambda z: \(G\(z\) \+ 1\) / 2"),
        (lambda z: images(z, 3, 8, 8) * 255, r"lambda z: G\(z\) / 255"),
        (lambda z: (images(z, 3, 8, 8) * 255).to(torch.uint8), r"lambda z: G\(z\) / 255"),
        (lambda z: (images(z, 3, 8, 8) * 65535).int(), r"torch.int32. Wrap it: lambda z: G\(z\) / 65535"),
        (lambda z: images(z, 3, 8, 8) * 65535, r"lambda z: G\(z\) / 65535"),
        (lambda z: images(z, 3, 8, 8) > 0.5, r"torch.bool. Wrap it: lambda z: G\(z\).float"),
        (lambda z: images(z, 3, 8, 8) * 0.01 + 1.1, r"overshoot, wrap it: lambda z: G\(z\).clamp\(0, 1\)"),
        (lambda z: images(z, 3, 8, 8).to_sparse(), r"torch.sparse_coo. Wrap it: lambda z: G\(z\).to_dense"),
        (nn.Sequential(nn.Linear(4, 4, device="meta"), nn.Unflatten(1, (1, 2, 2))), "on the meta device"),
        (lambda z, label: images(z, 3, 8, 8), r"missing 1 required .*'label'.*lambda z: G\(z, label\)"),
        (lambda z: images(z, 8, 6, 3), r"\(1, 8, 6, 3\), whose channels seem to be last.*movedim\(-1, 1\)"),
        (lambda z: images(z, 8, 8, 1), "channels seem to be last"),
        (lambda z: images(z, 1, 2, 2) + float("nan"), "hold NaN"),
        (Broken(float("nan")), "hold NaN. Its weights hold NaN or infinity: last.weight"),
        (Broken(30_000.0, torch.float16), "hold NaN. Numbers overflow in float16: take bfloat16 or float32"),
        (Broken(1e30), "hold NaN. Its weights are finite"),
    ],
)  # fmt: skip
def test_what_a_decoder_returns_is_named(decoder, message):
    with pytest.raises(ValueError, match=message):
        fit(Z, decoder)
    if isinstance(decoder, Broken) and next(decoder.parameters()).dtype == torch.float32:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (what it does not say)
            fit(Z, decoder)
        assert "take float32" not in str(caught.value)


def test_an_object_whose_method_decodes_is_answered_with_the_method():
    with pytest.raises(TypeError, match=r"got SimpleNamespace. Pass its method, decoder.decode"):
        fit(Z, SimpleNamespace(decode=lambda z: images(z, 1, 2, 2)))
    with pytest.raises(TypeError, match=r"got the class Broken. Make one of it: Broken\(...\)"):
        fit(Z, Broken)


@pytest.mark.parametrize("shape", [(16, 1, 1), (4, 6, 3), (3, 8, 4), (100, 8, 1), (2, 8, 8)])
def test_other_shapes_of_images_are_taken(shape):
    assert LatentMap(fit(Z, steps=2), lambda z: images(z, *shape)).render([[0.0, 0.0]]).shape == (1, *shape)


def test_many_channels_that_are_stated_are_taken():
    class Many:
        image_shape = (8, 6, 3)

        def __call__(self, z):
            return images(z, 8, 6, 3)

    assert LatentMap(fit(Z), Many()).render([[0.0, 0.0]]).shape == (1, 8, 6, 3)


def test_images_to_place_with_their_channels_last_are_refused():
    class Encoding:
        image_shape = (3, 6, 5)

        def __call__(self, z):
            return images(z, 3, 6, 5)

        def encode(self, x):
            return x.flatten(1)[:, :4]

    m = LatentMap(fit(Z), Encoding())
    with pytest.raises(ValueError, match=r"channels of \(2, 6, 5, 3\) seem to be last"):
        m.place(torch.zeros(2, 6, 5, 3))


@pytest.mark.parametrize("dim", [2.0, "2", True, None, 2 + 0j])
def test_a_dimension_that_is_no_whole_number_is_named(dim):
    with pytest.raises(TypeError, match=r"^dim is a whole number, 1, 2 or 3, got "):
        fit(Z, dim=dim)


@pytest.mark.parametrize("dim", [0, 4, -1, 2**70])
def test_a_dimension_out_of_range_is_named(dim):
    with pytest.raises(ValueError, match=r"^dim is 1, 2 or 3 "):
        fit(Z, dim=dim)


@pytest.mark.parametrize("name", ["models/vae.safetensors", "user/repo", "https://huggingface.co/user/repo"])
def test_a_path_or_a_repository_without_its_scheme_is_answered_with_both(name):
    bare = name.removeprefix("https://huggingface.co/")
    with pytest.raises(ValueError, match=f"after its scheme: hub:{bare} or diffusers:{bare}"):
        load_decoder(name)


def test_a_pipeline_is_answered_with_its_autoencoder():
    pytest.importorskip("diffusers")
    with pytest.raises(TypeError, match=r"vae=pipe\.vae"):
        load_decoder("diffusers", vae=SimpleNamespace(vae=nn.Linear(1, 1)))


def test_an_autoencoder_in_a_file_is_answered_with_its_scheme(tmp_path):
    (tmp_path / "vae.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"load_decoder\(.diffusers:"):
        load_decoder(f"hub:{tmp_path}/vae.safetensors")
