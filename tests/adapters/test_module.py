"""Any module as a decoder, on real generators; and the contract as a function."""

import pytest
import torch
from shared_models import mlp_gan, taef2
from torch import nn

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.adapters.module import ModuleDecoder
from latent_vizae.testing import check_decoder


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(outputs=12, inputs=5):
    weights = noise(outputs, inputs) / 4
    return lambda z: z.float() @ weights.to(z.device).T


def test_a_real_gan_makes_a_map(shared):
    f_d = mlp_gan(shared)
    check_decoder(f_d)
    codes = f_d.sample(200, seed=0)
    v = fit(codes, decoder=f_d, steps=200)
    images = LatentMap(v, f_d).grid(shape=(6, 6)).images
    ink = images.mean((1, 2, 3))
    assert ((ink > 0.015) & (ink < 0.4)).all()  # digits, neither black nor white; a thin 1 has 0.03
    error_of_the_mean_code = (f_d(codes) - f_d(codes.mean(0, keepdim=True))).square().mean()
    assert v.report.image_error_held_out < 0.75 * error_of_the_mean_code


def test_a_real_image_autoencoder_takes_pictures_there_and_back(shared):
    import numpy as np

    f_d = taef2(shared)
    images = torch.from_numpy(np.load(shared / "data" / "cifar10" / "test-2000.npz")["images"][:3]).movedim(3, 1) / 255
    large = nn.functional.interpolate(images, 64, mode="bicubic", antialias=True).clamp(0, 1)
    codes = f_d.encode(large)
    assert codes.shape == (3, 32, 8, 8)
    assert (f_d(codes) - large).square().mean() < 0.002
    check_decoder(f_d, codes, encode_tolerance=0.1)


@pytest.mark.parametrize(
    ("output_range", "function"),
    [((0, 1), torch.sigmoid), ((-1, 1), torch.tanh), ((0, 255), lambda x: x.sigmoid() * 255), ("logits", lambda x: x)],
)
def test_every_range_becomes_0_to_1(output_range, function):
    layer = linear()
    decoder = ModuleDecoder(lambda z: function(layer(z)), (5,), (3, 2, 2), output_range)
    check_decoder(decoder, noise(4, 5))
    z = noise(4, 5, seed=1)
    wanted = {(-1, 1): (layer(z).tanh() + 1) / 2}.get(output_range, layer(z).sigmoid()).reshape(4, 3, 2, 2)
    assert torch.allclose(decoder(z), wanted, atol=1e-6)


def test_white_may_be_the_smaller_number():
    decoder = ModuleDecoder(lambda z: z.tanh().reshape(-1, 1, 2, 2), (4,), output_range=(1, -1))
    assert torch.allclose(decoder(torch.full((1, 4), 9.0)), torch.zeros(1, 1, 2, 2), atol=1e-6)


def test_latents_of_any_shape_and_an_encoder_that_is_flat():
    up = nn.ConvTranspose2d(3, 1, 2, 2, bias=False).requires_grad_(False)
    decoder = load_decoder(
        "module",
        module=lambda z: up(z) / 10 + 0.5,
        latent_shape=(3, 2, 2),
        output_range=(0, 1),
        encoder=lambda images: torch.cat([images.flatten(1)] * 3, 1)[:, :12],
        sample="uniform",
    )
    check_decoder(decoder)
    assert decoder.encode(decoder(decoder.sample(2, 0))).shape == (2, 3, 2, 2)
    assert decoder.sample(500, 0).abs().max() <= 1


def test_encoders_and_priors_are_there_only_where_they_were_given():
    decoder = ModuleDecoder(lambda z: z, (1, 2, 2))
    assert not hasattr(decoder, "encode")
    assert not hasattr(decoder, "sample")
    assert decoder.source is None


def test_the_module_is_left_as_it_is():
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Sigmoid()).train()
    decoder = ModuleDecoder(net, (4,), (1, 2, 2))
    check_decoder(decoder, noise(3, 4))  # decoding goes in evaluation mode, so dropout is off
    assert net.training
    assert all(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5, (4,)), TypeError, "module is a module or a function, got int"),
        ((linear(), ()), ValueError, "latent_shape is a tuple of sizes"),
        ((linear(), (0,)), ValueError, "at least 1"),
        ((linear(), (5,), (12,)), ValueError, "channels, height, width"),
        ((linear(), (5,), (3, 2, 2), "bytes"), TypeError, "'logits'"),
        ((linear(), (5,), (3, 2, 2), (1, 1)), ValueError, "two different numbers"),
        ((linear(), (5,), (3, 2, 2), (0, 1), 3), TypeError, "encoder is a module or a function"),
        ((linear(), (5,), (3, 2, 2), (0, 1), None, "gauss"), ValueError, "sample is 'normal'"),
    ],
)
def test_what_makes_no_decoder_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        ModuleDecoder(*arguments)


@pytest.mark.parametrize(
    ("decoder", "message"),
    [
        (ModuleDecoder(linear(), (5,)), r"pass image_shape=\(C, H, W\)"),
        (ModuleDecoder(linear(), (5,), (3, 3, 3)), r"image_shape is \(3, 3, 3\), but"),
        (ModuleDecoder(lambda z: linear()(z).reshape(-1, 2, 2, 3), (5,), (3, 2, 2)), "Channels come first"),
        (ModuleDecoder(lambda z: linear()(z).reshape(-1, 4, 3), (5,), (3, 2, 2)), r"the module returned \(4, 3\)"),
        (ModuleDecoder(lambda z: linear()(z).reshape(-1, 4, 3), (5,), (1, 3, 4)), r"the module returned \(4, 3\)"),
        (ModuleDecoder(lambda z: linear()(z) * 100, (5,), (3, 2, 2), (-1, 1)), "but the module returned values"),
        (ModuleDecoder(lambda z: (linear()(z),), (5,), (3, 2, 2)), "returned tuple, not a tensor"),
        (ModuleDecoder(lambda z: linear()(z) * float("nan"), (5,), (3, 2, 2)), "but the module returned"),
    ],
)
def test_an_output_that_is_no_image_is_explained(decoder, message):
    with pytest.raises(ValueError, match=message):
        decoder(noise(2, 5))


@pytest.mark.parametrize(("said", "returned"), [((3, 2, 2), (3, 4)), ((1, 3, 4), (3, 4)), ((3, 2, 2), (12, 1, 1))])
def test_values_in_the_order_of_an_image_are_one(said, returned):
    of = {"latent_shape": (5,), "image_shape": said, "output_range": (-9, 9)}
    images = ModuleDecoder(lambda z: linear()(z).reshape(-1, *returned), **of)(noise(2, 5))
    assert torch.equal(images, ModuleDecoder(linear(), **of)(noise(2, 5)))


def test_codes_in_another_order_are_refused():
    decoder = ModuleDecoder(lambda z: z, (1, 2, 3), encoder=lambda images: images.reshape(-1, 3, 2))
    with pytest.raises(ValueError, match=r"codes of shape \(1, 2, 3\), got \(2, 3, 2\)"):
        decoder.encode(torch.rand(2, 1, 2, 3))


def test_a_module_has_no_name_to_be_imported_by():
    with pytest.raises(ValueError, match="takes no name"):
        load_decoder("module:os.system")
    with pytest.raises(TypeError, match="the generator itself"):
        load_decoder("module")


# check_decoder: every broken promise is found.


class Good(nn.Module):
    latent_shape = (4,)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, z):
        return (z.float() * self.scale).sigmoid().reshape(-1, 1, 2, 2)

    def encode(self, images):
        return images.flatten(1).logit()


def broken(**methods):
    return type("Broken", (Good,), methods)()


def in_place(self, z):
    return z.mul_(2).sigmoid().reshape(-1, 1, 2, 2)


def counting(self, z):
    self.scale += 1
    return z.float().sigmoid().reshape(-1, 1, 2, 2)


def switching(self, z):
    self.train()
    return z.float().sigmoid().reshape(-1, 1, 2, 2)


BROKEN = [
    ({"forward": lambda self, z: z}, "images"),
    ({"forward": lambda self, z: z.float().reshape(-1, 1, 2, 2)}, r"\[0, 1\]"),
    ({"forward": lambda self, z: torch.rand(len(z), 1, 2, 2)}, "the same image twice"),
    ({"forward": lambda self, z: (z - z.mean(0)).float().sigmoid().reshape(-1, 1, 2, 2)}, "alone as in a batch"),
    ({"forward": in_place}, "in place"),
    ({"forward": counting}, "weights and buffers"),
    ({"forward": lambda self, z: z.detach().float().sigmoid().reshape(-1, 1, 2, 2)}, "gradients reach the code"),
    ({"forward": lambda self, z: (z * 0).float().sigmoid().reshape(-1, 1, 2, 2)}, "depends on the code"),
    ({"encode": lambda self, images: images}, r"encode returned codes of shape \(1, 2, 2\)"),
    ({"encode": lambda self, images: images.mul_(0.5).flatten(1)}, "leaves images as they are"),
    ({"encode": lambda self, images: torch.rand(len(images), 4)}, "the same codes twice"),
    ({"encode": lambda self, images: images.flatten(1).logit() + 5}, "undoes encoding"),
    ({"sample": lambda self, count, seed: torch.rand(count, 4)}, "same codes for the same seed"),
    ({"sample": lambda self, count, seed: torch.ones(count, 4)}, "other codes for another seed"),
    ({"sample": lambda self, count, seed: noise(count, 3, seed=seed)}, "latent_shape"),
    ({"source": 3}, "source is a string"),
]  # fmt: skip


def test_a_good_decoder_passes():
    check_decoder(Good(), encode_tolerance=1e-3)
    check_decoder(lambda z: z.float().sigmoid().reshape(-1, 1, 2, 2), noise(3, 4))


class Fickle(Good):
    """An encoder in training, which depends on the batch and on chance there, and not in evaluation."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.noise, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(4)
        self.to(dtype).train()

    def encode(self, images):
        return self.norm(self.noise(images.flatten(1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_decoder_in_training_is_judged_in_evaluation_and_left_as_it_is(dtype):
    decoder, before = Fickle(dtype), torch.get_rng_state()
    check_decoder(decoder, tolerance=0.01)
    assert decoder.norm.num_batches_tracked == 0
    assert decoder.noise.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("methods", "law"), BROKEN, ids=[law for _, law in BROKEN])
def test_a_broken_decoder_is_found_out(methods, law):
    with pytest.raises(AssertionError, match=law):
        check_decoder(broken(**methods), encode_tolerance=1e-3)


def test_codes_are_asked_for_where_nobody_knows_any():
    with pytest.raises(ValueError, match="needs codes"):
        check_decoder(lambda z: z)
