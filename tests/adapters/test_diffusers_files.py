"""Autoencoders as people have them: one file, a whole checkpoint, a model in hand, the words of other libraries."""

import json
import warnings

import pytest
import torch
from safetensors.torch import save_file

from latent_vizae import load_decoder
from latent_vizae.adapters import diffusers_place as places

diffusers = pytest.importorskip("diffusers")

SCALED = {"scaling_factor": 0.18215}


def kl(**changes):
    """An AutoencoderKL of three resolutions; norms have 32 groups, as all that are passed around."""
    config = {
        "block_out_channels": (32, 64, 64), "layers_per_block": 2, "latent_channels": 4, "sample_size": 32,
        "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3, **changes,
    }  # fmt: skip
    kind = diffusers.AutoencoderKL if config.pop("bn", None) is None else diffusers.AutoencoderKLFlux2
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return kind(**config).eval().requires_grad_(False)


def compvis(state):
    """CompVis's names of an autoencoder's weights: blocks of v_d counted from the image, attention by convolutions."""
    levels = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("decoder.up_blocks."))
    renamed = {}
    for name, tensor in state.items():
        new = name.replace("encoder.down_blocks.", "encoder.down.").replace(".downsamplers.0.", ".downsample.")
        if new.startswith("decoder.up_blocks."):
            number, rest = new.removeprefix("decoder.up_blocks.").split(".", 1)
            new = f"decoder.up.{levels - 1 - int(number)}.{rest.replace('upsamplers.0.', 'upsample.')}"
        new = new.replace(".resnets.", ".block.").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("conv_norm_out", "norm_out")
        for number in (0, 1):
            new = new.replace(f"mid_block.block.{number}.", f"mid.block_{number + 1}.")
        new = new.replace("mid_block.attentions.0.", "mid.attn_1.").replace("group_norm", "norm")
        for part, old in {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}.items():
            new = new.replace(f"attn_1.{part}.", f"attn_1.{old}.")
        is_matrix = ".attn_1." in new and new.endswith("weight") and tensor.dim() == 2
        renamed[new] = (tensor[:, :, None, None] if is_matrix else tensor).contiguous()
    return renamed


@pytest.fixture
def codes():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("names", [compvis, dict], ids=["CompVis", "diffusers"])
def test_one_file_is_the_autoencoder(names, codes, tmp_path, monkeypatch):
    vae = kl()
    state = names(vae.state_dict()) | {"loss.logvar": torch.zeros(1), "model_ema.decay": torch.zeros(1)}  # of training
    save_file(state, tmp_path / "vae.safetensors")
    wanted = load_decoder("diffusers", vae=vae, image_size=32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for reference in ("vae.safetensors", f"{tmp_path}/vae.safetensors", "~/vae.safetensors"):
        f_d = load_decoder(f"diffusers:{reference}", image_size=32, **SCALED)
        assert torch.equal(f_d(codes), wanted(codes))
        assert torch.equal(f_d.encode(f_d(codes)), wanted.encode(wanted(codes)))
        assert f_d.source == f"diffusers:{tmp_path}/vae.safetensors"
        assert f_d.options == {"image_size": 32, **SCALED}
        assert "loss.logvar" not in f_d.state_dict()
    monkeypatch.chdir("/")
    assert torch.equal(load_decoder(f_d.source, **f_d.options)(codes), f_d(codes))


@pytest.mark.parametrize(
    ("changes", "scaling", "words"),
    [
        ({}, (0.18215, None), "Stable Diffusion 1 and 2's.*Of SDXL say scaling_factor=0.13025"),
        (
            {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False},
            (0.3611, 0.1159),
            "FLUX.1's.*Of Stable Diffusion 3 say scaling_factor=1.5305, shift_factor=0.0609",
        ),
    ],
    ids=["four channels", "sixteen channels"],
)
def test_how_an_autoencoder_alone_is_scaled_is_a_guess_and_said(changes, scaling, words, tmp_path):
    vae = kl(**changes)
    save_file(compvis(vae.state_dict()), tmp_path / "ae.safetensors")
    with pytest.warns(UserWarning, match=words):
        f_d = load_decoder(f"diffusers:{tmp_path}/ae.safetensors", image_size=32)
    assert (f_d.vae.config.scaling_factor, f_d.vae.config.shift_factor) == scaling
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f_d = load_decoder(
            f"diffusers:{tmp_path}/ae.safetensors", image_size=32, scaling_factor=1.5305, shift_factor=0.0609
        )
    assert f_d.vae.config.shift_factor == 0.0609
    assert f_d.options == {"image_size": 32, "scaling_factor": 1.5305, "shift_factor": 0.0609}


CHECKPOINTS = {
    "SD 1": ("model.diffusion_model.input_blocks.0.0.weight", {}, 0.18215),
    "SDXL": ("conditioner.embedders.0.transformer.weight", {}, 0.13025),
    "SD 3": ("model.diffusion_model.joint_blocks.0.x_block.weight", {"latent_channels": 16}, 1.5305),
    "FLUX": ("model.diffusion_model.double_blocks.0.img_attn.weight", {"latent_channels": 16}, 0.3611),
}


@pytest.mark.parametrize(("part", "changes", "scaling"), CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
@pytest.mark.parametrize("prefix", ["first_stage_model.", "vae."])
def test_a_whole_checkpoint_has_one_in_it(part, changes, scaling, prefix, tmp_path):
    vae = kl(**changes)
    state = {prefix + name: tensor for name, tensor in compvis(vae.state_dict()).items()}
    save_file({**state, part: torch.zeros(3), "model_ema.decay": torch.zeros(1)}, tmp_path / "all.safetensors")
    f_d = load_decoder(f"diffusers:{tmp_path}/all.safetensors", image_size=32)
    assert f_d.vae.config.scaling_factor == scaling
    assert all(torch.equal(tensor, f_d.vae.state_dict()[name]) for name, tensor in vae.state_dict().items())


def test_flux_2_has_statistics_and_names_of_its_own(tmp_path):
    vae = kl(bn=True, latent_channels=8)
    vae.bn.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    state = compvis(vae.state_dict())
    for name in list(state):
        for part in ("encoder.quant_conv.", "decoder.post_quant_conv."):
            if name.startswith(part.split(".")[1] + "."):
                state[part.split(".")[0] + "." + name] = state.pop(name)
    assert "encoder.quant_conv.weight" in state
    save_file(state, tmp_path / "ae.safetensors")
    f_d = load_decoder(f"diffusers:{tmp_path}/ae.safetensors", image_size=32)
    assert type(f_d.vae).__name__ == "AutoencoderKLFlux2"
    assert torch.equal(f_d.vae.bn.running_mean, vae.bn.running_mean)
    codes = f_d.sample(2)
    assert torch.equal(f_d(codes), load_decoder("diffusers", vae=vae, image_size=32)(codes))


def test_a_configuration_beside_the_file_counts_where_the_weights_are_its(codes, tmp_path):
    vae = kl(scaling_factor=0.5, norm_num_groups=16)
    vae.save_pretrained(tmp_path / "own")
    f_d = load_decoder(f"diffusers:{tmp_path}/own/diffusion_pytorch_model.safetensors", image_size=32)
    assert (f_d.vae.config.scaling_factor, f_d.vae.config.norm_num_groups) == (0.5, 16)
    save_file(compvis(vae.state_dict()), tmp_path / "own" / "renamed.safetensors")
    again = load_decoder(f"diffusers:{tmp_path}/own/renamed.safetensors", image_size=32)
    assert torch.equal(again(codes), f_d(codes))
    save_file(compvis(kl(latent_channels=16).state_dict()), tmp_path / "own" / "another.safetensors")
    another = load_decoder(f"diffusers:{tmp_path}/own/another.safetensors", image_size=32, scaling_factor=2.0)
    assert another.latent_shape[0] == 16
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
    ).save_pretrained(tmp_path / "tiny")
    tiny = load_decoder(f"diffusers:{tmp_path}/tiny/diffusion_pytorch_model.safetensors", image_size=32)
    assert type(tiny.vae).__name__ == "AutoencoderTiny"


def damaged(state):
    return {name: tensor for name, tensor in state.items() if "block_2" not in name}


def deep(state):
    return {**state, **{f"encoder.down.0.block.{n}.conv1.weight": torch.zeros(1) for n in range(300)}}


FOREIGN = {
    "missing": (damaged, "not the weights of this AutoencoderKL: .* missing"),
    "another shape": (lambda state: state | {"decoder.conv_in.bias": torch.zeros(3)}, "not the weights"),
    "too much": (lambda state: state | {"encoder.down.0.attn.0.q.weight": torch.zeros(3, 3)}, "too many"),
    "too deep": (deep, "numbers of layers that no autoencoder has"),
    "something else": (lambda state: {"weight": torch.zeros(3)}, "no autoencoder that its weights alone describe"),
    "nothing": (lambda state: {}, "no autoencoder"),
    "strange levels": (
        lambda state: state | {"decoder.up.99999999.x": torch.zeros(1)},
        "1 of .* not those of an auto",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_such_autoencoder_is_refused(change, message, tmp_path):
    save_file(change(compvis(kl().state_dict())), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match=message):
        load_decoder(f"diffusers:{tmp_path}/vae.safetensors", image_size=32, **SCALED)


def test_unknown_channels_need_a_scaling(tmp_path):
    save_file(compvis(kl(latent_channels=6).state_dict()), tmp_path / "vae.safetensors")
    with pytest.raises(ValueError, match="nothing with 6 channels is known: say scaling_factor="):
        load_decoder(f"diffusers:{tmp_path}/vae.safetensors", image_size=32)


@pytest.mark.parametrize("name", ["vae.ckpt", "vae.pt", "vae.bin"])
def test_pickles_are_not_opened(name, tmp_path):
    (tmp_path / name).write_bytes(b"a pickle")
    with pytest.raises(ValueError, match=r"is \.safetensors, got vae\.\w+\. Weights in pickles"):
        load_decoder(f"diffusers:{tmp_path}/{name}")


def test_a_file_that_is_not_there_is_not_asked_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(places, "fetch_folder", lambda *_, **__: pytest.fail("the Hub was asked"))
    for reference in ("models/vae.safetensors", "vae.safetensors", "/data/vae.safetensors", "~/vae.safetensors"):
        with pytest.raises((FileNotFoundError, ValueError), match="There is no f"):
            load_decoder(f"diffusers:{reference}")


def test_a_file_of_a_repository_comes_with_the_configurations_beside_it(codes, tmp_path, monkeypatch):
    asked, cache = [], tmp_path / "c0ffee"
    vae = kl(scaling_factor=0.5)
    vae.save_config(cache / "sub" / "vae")
    save_file(compvis(vae.state_dict()), cache / "sub" / "all.safetensors")

    def fetch(repo, patterns, revision=None, token=None, most_bytes=None):
        asked.append((repo, patterns, revision, most_bytes))
        return cache, "c0ffee"

    monkeypatch.setattr(places, "fetch_folder", fetch)
    f_d = load_decoder("diffusers:user/repo/sub/all.safetensors@main", image_size=32, most_bytes=5)
    assert asked == [
        ("user/repo", ["sub/config.json", "sub/vae/config.json", "sub/all.safetensors"], "main", 5),
    ]
    assert f_d.source == "diffusers:user/repo/sub/all.safetensors@c0ffee"
    assert f_d.vae.config.scaling_factor == 0.5
    assert torch.equal(f_d(codes), load_decoder("diffusers", vae=vae, image_size=32)(codes))


# The words of other libraries.


def test_subfolder_variant_and_torch_dtype_are_taken(tmp_path):
    vae = kl()
    vae.save_pretrained(tmp_path / "pipe" / "half")
    vae.half().save_pretrained(tmp_path / "pipe" / "half", variant="fp16")
    plain = load_decoder(f"diffusers:{tmp_path}/pipe", subfolder="half", image_size=32)
    assert plain.source == f"diffusers:{tmp_path}/pipe/half"
    half = load_decoder(
        f"diffusers:{tmp_path}/pipe", subfolder="half", variant="fp16", torch_dtype=torch.float16, image_size=32
    )
    assert half.options == {"image_size": 32, "variant": "fp16", "dtype": "float16"}
    assert next(half.vae.parameters()).dtype == torch.float16
    weight = next(plain.vae.parameters())
    assert not torch.equal(weight, weight.half().float())  # the variant without was read
    again = load_decoder(half.source, **json.loads(json.dumps(half.options)))
    assert torch.equal(next(again.vae.parameters()), next(half.vae.parameters()))
    with pytest.raises(ValueError, match=r"no weights diffusion_pytorch_model\.bf16\.safetensors"):
        load_decoder(f"diffusers:{tmp_path}/pipe", subfolder="half", variant="bf16")


def test_a_revision_is_that_of_the_reference(tmp_path, monkeypatch):
    asked = []

    def fetch(repo, patterns, revision=None, token=None, most_bytes=None):
        asked.append((repo, revision, patterns[0]))
        raise FileNotFoundError("that is enough")

    monkeypatch.setattr(places, "fetch_folder", fetch)
    for reference, more in (
        ("user/repo/sub@v1", {}),
        ("user/repo", {"subfolder": "sub", "revision": "v1"}),
        ("user/repo@v1", {"subfolder": "sub/"}),
    ):
        with pytest.raises(FileNotFoundError, match="enough"):
            load_decoder(f"diffusers:{reference}", **more)
    assert asked == [("user/repo", "v1", "sub/config.json")] * 3


CONTRADICTIONS = {
    "two revisions": ({"revision": "v2"}, "user/repo@v1", "Two revisions came, 'v1' and 'v2'"),
    "two types": ({"dtype": "float16", "torch_dtype": "bfloat16"}, "user/repo", "dtype is one of"),
    "no type": ({"torch_dtype": "int8"}, "user/repo", "dtype is one of"),
    "a variant that is none": ({"variant": "../fp16"}, "user/repo", "variant is a word"),
    "no reference": ({}, "", "neither came"),
    "a folder's revision": ({"revision": "v1"}, "/tmp", "is for repositories of the Hub"),
    "a folder's scaling": ({"scaling_factor": 0.5}, "/tmp", "config.json has them"),
}


@pytest.mark.parametrize(("options", "reference", "message"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_contradictions_are_told(options, reference, message):
    with pytest.raises(ValueError, match=message):
        load_decoder(f"diffusers:{reference}", **options)


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("hub:user/repo", {"torch_dtype": torch.float16}, r"takes module, .*got torch_dtype\. torch_dtype: a loaded"),
        ("hub:user/repo", {"variant": "fp16"}, "variant: file= names one of several files"),
        ("diffusers:user/repo", {"trust_remote_code": True}, "nothing that is loaded is ever run"),
        ("mnist", {"revision": "main", "cache_dir": "x"}, "takes device; got cache_dir, revision"),
    ],
)
def test_words_that_are_not_taken_are_answered(scheme, options, message):
    with pytest.raises(TypeError, match=message):
        load_decoder(scheme, **options)


# In hand.


def test_a_model_in_hand_is_used_as_it_is(codes):
    vae = kl().train().requires_grad_(True)
    f_d = load_decoder("diffusers", vae=vae, image_size=32)
    assert f_d.vae is vae
    assert vae.training
    assert all(weight.requires_grad for weight in vae.parameters())
    assert (f_d.source, f_d.latent_shape) == (None, (4, 8, 8))
    assert not f_d(codes).requires_grad
    assert f_d(codes.requires_grad_()).requires_grad
    with pytest.raises(
        ValueError, match="vae= is an autoencoder in hand and stays as it is; a reference, device came"
    ):
        load_decoder("diffusers:user/repo", vae=vae, device="cpu")
    with pytest.raises(TypeError, match="vae is a module with a method decode"):
        load_decoder("diffusers", vae="user/repo")


def test_the_renaming_of_these_tests_is_compviss():
    """By the converter of diffusers, the other way round."""
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    state = kl().state_dict()
    back = utils.convert_ldm_vae_checkpoint(compvis(state), {"down_block_types": "123", "up_block_types": "123"})
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
