"""Every architecture of the zoo: keeps the contract, comes back bit for bit, and refuses a damaged description."""

import functools
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from zoo_sizes import SMALL, built, pictures

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.adapters.zoo import ARCHITECTURES, AdversarialGenerator, Autoencoder, Variational
from latent_vizae.testing import check_decoder

OURS = sorted(SMALL)
ARGUMENTS = [(name, key) for name in OURS for key in ARCHITECTURES[name](**SMALL[name]).config]


def test_these_tests_know_every_architecture():
    apart = {"LatentVAE"}  # test_latents: it needs the weights of another
    assert set(OURS) | apart == {
        name for name, kind in ARCHITECTURES.items() if kind.__module__.startswith("latent_vizae")
    }


@pytest.mark.parametrize("name", OURS)
def test_it_keeps_the_contract(name):
    check_decoder(built(name))


@pytest.mark.parametrize("name", OURS)
def test_its_codes_can_be_mapped(name):
    f_d = built(name).requires_grad_(False)
    codes = f_d.sample(8, 0) if hasattr(f_d, "sample") else pictures(8, f_d.latent_shape)
    m = LatentMap(fit(codes, decoder=f_d, dim=2), f_d)
    assert m.grid(shape=(2, 2)).images.shape == (4, *f_d.image_shape)


@pytest.mark.parametrize("name", OURS)
def test_it_says_where_codes_come_from(name):
    generator = built(name)
    encodes, draws = hasattr(generator, "encode"), hasattr(generator, "sample")
    assert encodes == isinstance(generator, Autoencoder)
    assert draws == isinstance(generator, AdversarialGenerator | Variational)


@pytest.mark.parametrize("name", OURS)
def test_it_comes_back_bit_for_bit(name, tmp_path):
    generator = built(name).requires_grad_(False)  # an LSTM takes other kernels where there are gradients
    generator.save_pretrained(tmp_path / "saved")
    again = load_decoder(f"hub:{tmp_path / 'saved'}")
    assert type(again) is ARCHITECTURES[name]
    assert again.config == generator.config
    assert (again.latent_shape, again.image_shape) == (generator.latent_shape, generator.image_shape)
    codes = pictures(3, generator.latent_shape)
    with torch.no_grad():
        assert torch.equal(again(codes), generator(codes))
        if hasattr(generator, "encode"):
            images = pictures(3, generator.image_shape)
            assert torch.equal(again.encode(images), generator.encode(images))
    if hasattr(generator, "sample"):
        assert torch.equal(again.sample(3, 7), generator.sample(3, 7))


@pytest.mark.parametrize("name", OURS)
def test_half_precision_rounds_what_was_learned_and_nothing_else(name, tmp_path):
    generator = built(name)
    for buffer in generator.buffers():
        buffer += 1 if buffer.dtype == torch.int64 else 1 / 3  # of more digits than a half has
    generator.save_pretrained(tmp_path / "half", half=True)
    again = load_decoder(f"hub:{tmp_path / 'half'}")
    assert again.config == generator.config
    learned = dict(generator.named_parameters())
    for key, value in again.state_dict().items():
        mine = generator.state_dict()[key]
        assert value.dtype == mine.dtype
        assert torch.equal(value, mine.half().float() if key in learned else mine)
    again.save_pretrained(tmp_path / "again", half=True)
    first, second = ((tmp_path / part / "model.safetensors").read_bytes() for part in ("half", "again"))
    assert first == second
    sizes = [
        tensor.numel() * tensor.element_size() for tensor in load_file(tmp_path / "half/model.safetensors").values()
    ]
    assert sum(sizes) == sum(2 * x.numel() for x in learned.values()) + sum(
        x.numel() * x.element_size() for x in generator.buffers()
    )
    assert "half precision" in (tmp_path / "half" / "README.md").read_text(encoding="utf-8")


def test_half_precision_is_read_as_strictly(tmp_path):
    generator = built("LinearAutoencoder")
    generator.save_pretrained(tmp_path / "saved", half=True)
    weights, config = tmp_path / "saved" / "model.safetensors", tmp_path / "saved" / "config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="checksum"):
        load_decoder(f"hub:{tmp_path / 'saved'}")
    save_file(load_file(weights), weights)  # nothing carried: config.json is what there is
    described = json.loads(config.read_text())
    assert described.pop("precision") == "float16"
    for said, refusal in (({}, "float32, is .* float16"), ({"precision": "float8"}, "precision 'float8'")):
        config.write_text(json.dumps(described | said))
        with pytest.raises(ValueError, match=refusal):
            load_decoder(f"hub:{tmp_path / 'saved'}")
    with torch.no_grad():
        next(generator.parameters()).fill_(1e5)
    with pytest.raises(ValueError, match="65,504"):
        generator.save_pretrained(tmp_path / "other", half=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", OURS)
def test_its_card_says_what_it_is(name, tmp_path):
    built(name).save_pretrained(tmp_path / "saved")
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert ARCHITECTURES[name].__doc__.splitlines()[0] in card
    assert "Args:" not in card
    assert all(f"| {key} | {value} |" in card for key, value in SMALL[name].items())


@pytest.mark.parametrize("name", OURS)
def test_its_defaults_are_saved_and_are_json(name):
    with torch.device("meta"):
        config = ARCHITECTURES[name]().config
        assert ARCHITECTURES[name](**json.loads(json.dumps(config))).config == config


def test_no_architecture_draws_normal_numbers_without_memory(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("torch would import its compiler for this: 4 s for the first load")

    monkeypatch.setattr(torch.Tensor, "normal_", refuse)
    monkeypatch.setattr(torch, "randn", refuse)
    for name in OURS:
        with torch.device("meta"):
            ARCHITECTURES[name](**SMALL[name])


@pytest.fixture(scope="module")
def silent_weights(tmp_path_factory):
    """Gives, for an architecture, the bytes of saved weights that carry no configuration, and the configuration."""

    @functools.cache
    def make(name):
        folder = tmp_path_factory.mktemp(name)
        built(name).save_pretrained(folder)
        save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
        return (folder / "model.safetensors").read_bytes(), (folder / "config.json").read_text()

    return make


@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
def test_a_damaged_argument_is_refused(name, key, silent_weights, tmp_path):
    weights, text = silent_weights(name)
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_text(text)
    assert type(load_decoder(f"hub:{tmp_path}")) is ARCHITECTURES[name]
    for value in (None, "x", -1, -0.5, [], [[]], [None], {}):
        described = json.loads(text)
        described["config"][key] = value
        (tmp_path / "config.json").write_text(json.dumps(described))
        with pytest.raises(ValueError, match=r"config\.json makes no|does not fit|short lists"):
            load_decoder(f"hub:{tmp_path}")


@pytest.mark.parametrize("name", [name for name in OURS if issubclass(ARCHITECTURES[name], Autoencoder)])
def test_images_of_another_shape_are_refused(name):
    generator = built(name)
    channels, height, width = generator.image_shape
    for shape in [(channels, height, width), (2, channels + 1, height, width), (2, channels, height + 1, width)]:
        with pytest.raises(ValueError, match="takes images of shape"):
            generator.encode(torch.zeros(shape))
