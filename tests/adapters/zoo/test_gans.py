"""GANs of the zoo: their layers against formulas, and what growing and mixing mean."""

import numpy as np
import pytest
import torch
from draws import normal
from torch import nn
from torch.nn.functional import conv2d, linear
from zoo_sizes import built, pictures

from latent_vizae.adapters.zoo import DCGAN, ProgressiveGAN
from latent_vizae.adapters.zoo.layers import (
    AdaIN,
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    Noise,
    PixelNorm,
    blend,
    halve,
    twice,
)
from latent_vizae.adapters.zoo.progressive import growth_at, level_and_alpha


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# Layers.


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_layers_hold_unit_weights_and_scale_them_at_run_time(rate):
    layer = EqualLinear(300, 200, gain=1.5, bias=0.5, rate=rate)
    assert layer.weight.std().item() * rate == pytest.approx(1, abs=0.02)
    x = normal(400, 300)
    assert torch.allclose(layer(x), linear(x, layer.weight * (rate * 1.5 / 300**0.5)) + 0.5, atol=1e-4)
    assert (layer(x) - 0.5).std().item() == pytest.approx(1.5, rel=0.05)
    convolution = EqualConv2d(30, 40, 3, gain=1.5)
    assert convolution.weight.std().item() == pytest.approx(1, abs=0.02)
    x = normal(4, 30, 9, 9)
    assert torch.allclose(convolution(x), conv2d(x, convolution.weight * (1.5 / 270**0.5), padding=1), atol=1e-4)
    assert convolution(x)[..., 1:-1, 1:-1].std().item() == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3, 4)])
def test_pixel_norm_gives_unit_length(shape):
    x = 10 * normal(*shape)
    normed = PixelNorm()(x)
    assert torch.allclose(normed.square().mean(1), torch.ones(normed[:, 0].shape), atol=1e-5)
    assert torch.allclose(normed * x.square().mean(1, keepdim=True).sqrt(), x, atol=1e-4)


def test_the_minibatch_deviation_is_numpys():
    x = normal(6, 3, 4, 5)
    out = MinibatchDeviation()(x)
    assert out.shape == (6, 4, 4, 5)
    assert torch.equal(out[:, :3], x)
    assert np.allclose(out[:, 3], x.numpy().std(axis=0).mean(), atol=1e-5)
    assert (MinibatchDeviation()(x[:1].expand(6, -1, -1, -1))[:, 3] < 1e-3).all()


def test_adain_sets_the_statistics_of_every_channel():
    layer = AdaIN(4, 3)
    style = normal(5, 3, seed=1)
    out = layer(3 + 7 * normal(5, 4, 8, 8), style)
    assert torch.allclose(out.mean((2, 3)), layer.shift(style), atol=1e-4)
    assert torch.allclose(out.std((2, 3), correction=0), layer.scale(style).abs(), atol=1e-4)
    plain = layer(normal(5, 4, 8, 8), torch.zeros(5, 3))
    assert torch.allclose(plain.mean((2, 3)), torch.zeros(5, 4), atol=1e-5)
    assert torch.allclose(plain.std((2, 3), correction=0), torch.ones(5, 4), atol=1e-4)


def test_noise_is_fixed_outside_of_training():
    layer, x = Noise(3, 4), normal(2, 3, 4, 4)
    random = torch.Generator().manual_seed(0)
    assert torch.equal(layer(x), x)
    assert torch.equal(layer(x, random), x)  # the amount starts at 0
    nn.init.constant_(layer.amount, 0.5)
    assert torch.equal(layer(x), x + 0.5 * layer.fixed)
    first, second = layer(x, random), layer(x, random)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0] - x[0], first[1] - x[1])
    assert torch.allclose((first - x)[:, 0], (first - x)[:, 1], atol=1e-6)  # one picture of noise for all channels


# DCGAN's five rules.


def test_dcgan_keeps_its_five_rules():
    generator = DCGAN()
    opponent = generator.opponent()
    layers = [layer for layer in generator.layers if list(layer.parameters()) or "nn.modules.act" in str(type(layer))]
    kinds = [type(layer).__name__ for layer in layers]
    others = [type(layer).__name__ for layer in opponent]
    everything = {type(module).__name__ for network in (generator, opponent) for module in network.modules()}
    assert not any("Pool" in kind or "Upsample" in kind for kind in everything)  # 1
    assert [layer.stride for layer in opponent if isinstance(layer, nn.Conv2d)][:2] == [(2, 2), (2, 2)]
    assert [layer.stride for layer in layers if isinstance(layer, nn.ConvTranspose2d)][1:] == [(2, 2), (2, 2)]
    assert kinds == [*["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2, "ConvTranspose2d", "Tanh"]  # 2, 4
    assert others == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Conv2d", "Flatten"]  # 2, 5
    assert "Linear" not in everything  # 3
    assert generator.layers[1].weight.std().item() == pytest.approx(0.02, abs=0.001)


@pytest.mark.parametrize("name", ["PlainGAN", "DCGAN", "ProgressiveGAN", "StyleGAN"])
def test_the_opponent_judges_the_generators_images(name):
    generator = built(name)
    random = torch.Generator().manual_seed(0)
    fakes = generator.pictures(generator.draw(3, random), random)
    real = generator.real(pictures(3, generator.image_shape))
    assert fakes.shape == real.shape
    assert fakes.abs().max() <= 1
    assert real.abs().max() <= 1
    assert generator.opponent()(fakes).shape == (3,)
    with torch.no_grad():
        codes = generator.sample(3, 1)
        assert torch.allclose(2 * generator(codes) - 1, generator.pictures(codes), atol=1e-6)


def test_codes_of_the_prior_are_normal():
    draws = built("PlainGAN").sample(20_000, 3)
    assert torch.allclose(draws.mean(0), torch.zeros(3), atol=0.03)
    assert torch.allclose(draws.T.cov(), torch.eye(3), atol=0.05)


# Growing.


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_growth_goes_from_the_first_resolution_to_the_last(levels):
    growth = np.array([growth_at(progress, levels) for progress in np.linspace(0, 1, 1001)])
    assert growth[0] == 0
    assert growth[-1] == levels - 1
    assert (np.diff(growth) >= 0).all()
    assert np.diff(growth).max() < 0.01 * levels  # no jump
    held = [(growth == level).mean() * 2 * levels for level in range(levels)]
    assert np.allclose(held, [*[1] * (levels - 1), 2], atol=0.05)


def test_level_and_alpha_name_the_newest_resolution():
    assert level_and_alpha(0.0) == (0, 1.0)
    assert level_and_alpha(2.0) == (2, 1.0)
    level, alpha = level_and_alpha(2.25)
    assert (level, alpha) == (3, pytest.approx(0.25))


def test_a_new_resolution_fades_in():
    model = built("ProgressiveGAN")
    codes = normal(3, 5)
    old, new = model.at(codes, 1.0), model.at(codes, 2.0)
    assert old.shape[-1] * 2 == new.shape[-1] == 16
    assert torch.allclose(model.at(codes, 1 + 1e-6), twice(old), atol=1e-5)
    assert torch.allclose(model.at(codes, 2 - 1e-6), new, atol=1e-5)
    middle = model.at(codes, 1.3).atanh()
    assert torch.allclose(middle, 0.7 * twice(old).atanh() + 0.3 * new.atanh(), atol=1e-5)
    assert torch.equal(blend(old, 2 * old, 1.0), 2 * old)
    assert torch.equal(blend(old, 2 * old, 0.0), old)


def test_the_discriminator_and_the_real_images_fade_in_too():
    model = built("ProgressiveGAN")
    opponent = model.opponent()
    images = pictures(4, model.image_shape)
    grown = 2 * images - 1
    assert torch.allclose(opponent.at(grown, 1 + 1e-6), opponent.at(halve(grown), 1.0), atol=1e-4)
    assert torch.allclose(opponent.at(grown, 2 - 1e-6), opponent.at(grown, 2.0), atol=1e-4)
    assert not torch.allclose(opponent.at(grown, 1.5), opponent.at(grown, 2.0), atol=1e-4)
    assert torch.equal(model.real(images), grown)
    model.growth.fill_(1.25)
    assert torch.allclose(model.real(images), 0.75 * twice(halve(grown)) + 0.25 * grown, atol=1e-6)
    model.growth.fill_(0.0)
    assert torch.allclose(model.real(images), halve(halve(grown)), atol=1e-6)


def test_the_opponent_grows_with_the_generator():
    model = built("ProgressiveGAN")
    opponent = model.opponent()
    random = torch.Generator().manual_seed(0)
    sides = []
    for progress in (0.0, 0.2, 0.4, 0.99):
        model.grow(progress)
        fakes = model.pictures(model.draw(2, random), random)
        sides.append(fakes.shape[-1])
        assert opponent(fakes).shape == (2,)
    assert sides == [4, 8, 8, 16]


def test_half_grown_ones_are_saved_as_they_are(tmp_path):
    model = built("ProgressiveGAN")
    model.grow(0.3)
    model.save_pretrained(tmp_path / "half")
    again = ProgressiveGAN.from_pretrained(tmp_path / "half")
    codes = normal(2, 5)
    images = again(codes)
    assert torch.equal(images, model(codes))
    assert images.shape[1:] == (1, 16, 16)
    assert torch.equal(images, twice(halve(images)))  # of 8x8 pixels
    for absurd in (-3.0, 1e9):
        again.growth.fill_(absurd)
        assert again(codes).shape == images.shape


# Styles.


def test_styles_mix_at_the_crossover():
    model = built("StyleGAN")
    codes, others, layers = normal(4, 5), normal(4, 5, seed=1), 4
    styles = model.mixed(codes, others, torch.tensor([0, 1, 3, 4]))
    first, second = model.mapping(codes), model.mapping(others)
    for row, crossover in enumerate([0, 1, 3, 4]):
        assert torch.equal(styles[row, :crossover], first[row].expand(crossover, -1))
        assert torch.equal(styles[row, crossover:], second[row].expand(layers - crossover, -1))
    images = model.synthesise(styles)
    assert torch.allclose(images[0], model.pictures(others)[0], atol=1e-6)
    assert torch.allclose(images[3], model.pictures(codes)[3], atol=1e-6)
    assert not torch.allclose(images[2], model.pictures(codes)[2], atol=1e-3)


def test_layers_before_the_crossover_see_one_style_only():
    model = built("StyleGAN")
    codes, others = normal(3, 5), normal(3, 5, seed=1)
    seen = []
    hooks = [layer.register_forward_hook(lambda _, __, out: seen.append(out)) for layer in model.layers]
    model.synthesise(model.mixed(codes, codes, torch.full((3,), 4)))
    pure, seen[:] = seen[:], []
    model.synthesise(model.mixed(codes, others, torch.full((3,), 2)))
    for hook in hooks:
        hook.remove()
    same = [torch.equal(a, b) for a, b in zip(pure, seen, strict=True)]
    assert same == [True, True, False, False]


def test_training_mixes_its_share_and_decoding_none():
    codes = normal(400, 5)
    for mixing, least, most in ((0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)):
        model = built("StyleGAN", mixing=mixing)
        for layer in model.layers:
            nn.init.zeros_(layer.noise.amount)
        with torch.no_grad():
            changed = model.pictures(codes, torch.Generator().manual_seed(1)) - model(codes) * 2 + 1
        share = (changed.abs().amax((1, 2, 3)) > 1e-5).float().mean().item()
        assert least <= share <= most


def test_only_styles_carry_the_code():
    model = built("StyleGAN")
    for layer in model.layers:
        nn.init.zeros_(layer.style.scale.weight)
        nn.init.zeros_(layer.style.shift.weight)
    images = model(normal(3, 5))
    assert torch.allclose(images[0], images[1], atol=1e-6)
