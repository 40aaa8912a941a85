"""A variational autoencoder of TAEF2's latents: the pretrained one behind it, loaded from where one says it is."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from shared_models import taef2 as original
from zoo_sizes import pictures

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.adapters.zoo import LatentVAE, LinearAutoencoder
from latent_vizae.adapters.zoo.taef2 import TAEF2, TAEF2_FILE
from latent_vizae.demos.zoo import taef2 as converting
from latent_vizae.testing import check_decoder

SMALL = {"latent_size": 3, "hidden": [7, 6], "image_size": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with weights of no use."""
    folder = tmp_path_factory.mktemp("taef2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = TAEF2().state_dict()
    save_file({name: tensor.half() for name, tensor in state.items()}, folder / TAEF2_FILE)
    return folder


@pytest.fixture
def generator(place):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LatentVAE(**SMALL)
    model.options = {"taef2": str(place)}
    return model.eval().requires_grad_(False)


def test_taef2_is_a_decoder_with_an_encoder(place):
    f_d = load_decoder(f"taef2:{place}", image_size=24)
    check_decoder(f_d)
    assert (f_d.latent_shape, f_d.image_shape) == ((32, 3, 3), (3, 24, 24))
    assert f_d.encode(pictures(2, (3, 24, 24))).shape == (2, 32, 3, 3)
    again = load_decoder(f_d.source, **f_d.options)
    codes = pictures(2, f_d.latent_shape)
    assert torch.equal(again(codes), f_d(codes))


def test_the_pretrained_one_is_converted_and_does_what_the_original_does(shared, tmp_path):
    pickles = shared / "models" / "taef2"
    if not pickles.is_dir():
        pytest.skip("TAEF2 is not here")
    converting.main([str(pickles), str(tmp_path / "taef2")])
    mine, theirs = load_decoder(f"taef2:{tmp_path / 'taef2'}", image_size=32), original(shared, 32)
    images = pictures(2, (3, 32, 32))
    with torch.no_grad():
        codes = theirs.encode(images)
        assert torch.allclose(mine.encode(images), codes, atol=1e-4)
        assert torch.allclose(mine(codes), theirs(codes), atol=1e-4)


def test_what_is_no_taef2_is_said(place, tmp_path):
    with pytest.raises(ValueError, match="image_size is a multiple of 8, got 20"):
        load_decoder(f"taef2:{place}", image_size=20)
    with pytest.raises(FileNotFoundError, match=TAEF2_FILE):
        load_decoder(f"taef2:{tmp_path}")
    with pytest.raises(ValueError, match=r"There is no folder '/nowhere'"):
        load_decoder("taef2:/nowhere")
    with pytest.raises(ValueError, match=r"loaded for images \(B, \(3, 16, 16\)\), got \(2, 3, 24, 24\)"):
        load_decoder(f"taef2:{place}", image_size=16).encode(pictures(2, (3, 24, 24)))
    state = load_file(place / TAEF2_FILE)
    state.pop("encoder.layers.0.bias")
    save_file(state, tmp_path / TAEF2_FILE)
    with pytest.raises(ValueError, match=r"encoder\.layers\.0\.bias should be"):
        load_decoder(f"taef2:{tmp_path}")
    with pytest.raises(SystemExit, match=r"taef2_encoder\.pth"):
        converting.main([str(tmp_path), str(tmp_path / "out")])


def test_it_keeps_the_contract_and_is_mapped(generator):
    check_decoder(generator)
    codes = generator.encode(pictures(12, generator.image_shape))
    m = LatentMap(fit(codes, decoder=generator, dim=2), generator)
    assert m.grid(shape=(2, 2)).images.shape == (4, 3, 16, 16)


def test_an_image_is_taef2s_of_the_latents_that_it_makes(generator, place):
    behind, codes = load_decoder(f"taef2:{place}", image_size=16), torch.randn(2, 3)
    generator.mean += 0.5
    generator.deviation *= 2
    latents = 2 * generator.decoder(codes) + 0.5
    assert torch.equal(generator(codes), behind(latents))
    images = pictures(2, generator.image_shape)
    assert torch.allclose(generator.latents(images), (behind.encode(images) - 0.5) / 2)


def test_gradients_come_through_taef2(generator):
    codes = torch.randn(2, 3, requires_grad=True)
    generator(codes).sum().backward()
    assert codes.grad.abs().min() > 0


def test_it_learns_from_standardised_latents_and_tests_with_the_same_standard(generator):
    images = (255 * pictures(20, generator.image_shape)).byte()
    latents = generator.learns_from(images)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(32), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(32), atol=1e-4)
    assert torch.allclose(generator.learns_from(images[:3]), latents[:3], atol=1e-4)
    assert torch.allclose(generator.encode(latents), generator.encode(images / 255), atol=1e-4)
    losses = generator.losses(latents, torch.Generator().manual_seed(0), 0.0)
    assert losses.keys() == {"reconstruction", "kl"}
    codes = generator.encode(latents)
    squares = (generator.decoder(codes) - latents).square().sum((1, 2, 3))
    assert generator.reconstruction(codes, latents).item() == pytest.approx(squares.mean().item() / 2, rel=1e-5)


def test_it_comes_back_without_taef2s_weights_and_finds_them_again(generator, place, tmp_path):
    generator.save_pretrained(tmp_path / "saved", half=True)
    assert not any("taef2" in name for name in load_file(tmp_path / "saved" / "model.safetensors"))
    f_d = load_decoder(f"hub:{tmp_path / 'saved'}", taef2=str(place))
    assert f_d.options == {"taef2": str(place)}
    again, codes = load_decoder(f_d.source, **f_d.options), torch.randn(2, 3)
    assert torch.equal(again(codes), f_d(codes))
    assert (f_d(codes) - generator(codes)).abs().max() < 0.01


def test_a_saved_map_finds_taef2_from_another_folder(generator, place, tmp_path, monkeypatch):
    generator.save_pretrained(tmp_path / "saved")
    monkeypatch.chdir(place.parent)
    f_d = load_decoder(f"hub:{tmp_path / 'saved'}", taef2=place.name)
    m = LatentMap(fit(f_d.sample(20, 0), decoder=f_d), f_d)
    m.v.save_pretrained(tmp_path / "v")
    monkeypatch.chdir(tmp_path)
    again = LatentMap.from_pretrained(tmp_path / "v")
    assert torch.allclose(again.grid(shape=2).images, m.grid(shape=2).images, atol=1e-5)


def test_taef2_of_another_generator_has_no_use(place, tmp_path):
    LinearAutoencoder().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"taef2= is for a LatentVAE; .* holds a LinearAutoencoder"):
        load_decoder(f"hub:{tmp_path}", taef2=str(place))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_size": 20}, "image_size is a multiple of 8, got 20"),
        ({"hidden": []}, "hidden is a list"),
        ({"beta": -1}, "beta is a number"),
    ],
)
def test_what_cannot_be_built_is_said(config, said):
    with pytest.raises(ValueError, match=said):
        LatentVAE(**config)
