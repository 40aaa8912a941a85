"""The adapter of diffusers: every class at a tiny size, the pipelines' formulas, folders good and bad."""

import inspect
import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from latent_vizae import fit, load_decoder
from latent_vizae.adapters.diffusers_building import plausible
from latent_vizae.decoders.contract import decode_images
from latent_vizae.testing import check_decoder

diffusers = pytest.importorskip("diffusers")
adapter = pytest.importorskip("latent_vizae.adapters.diffusers_vae")
loading = pytest.importorskip("latent_vizae.adapters.diffusers_loading")
places = pytest.importorskip("latent_vizae.adapters.diffusers_place")
DiffusersDecoder, load_diffusers = adapter.DiffusersDecoder, loading.load_diffusers

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")

DOWN, UP = ("DownEncoderBlock2D",) * 2, ("UpDecoderBlock2D",) * 2
BLOCKS = {"down_block_types": DOWN, "up_block_types": UP}
SMALL = {"block_out_channels": (8, 8), "norm_num_groups": 4}
KL = {**BLOCKS, **SMALL}
STATISTICS = {"latents_mean": [0.3, -0.2, 0.1, 0.5], "latents_std": [1.2, 0.8, 2.0, 0.5]}
HUNYUAN = {"latent_channels": 4, "block_out_channels": (32, 32), "layers_per_block": 1, "spatial_compression_ratio": 2}
WAN = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 1], "num_res_blocks": 1, **STATISTICS}
LTX = {"latent_channels": 8, "layers_per_block": (1,) * 5, "patch_size": 1}

# class: what makes it tiny, and what the decoder is asked for
# fmt: off
TINY = {
    "AutoencoderKL": (KL, {}),
    "AsymmetricAutoencoderKL": (
        {**BLOCKS, "down_block_out_channels": (8, 8), "up_block_out_channels": (8, 8), "norm_num_groups": 4},
        {"image_size": [16, 8]},
    ),
    "AutoencoderTiny": (
        {
            "encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8),
            "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1),
        },
        {},
    ),
    "VQModel": ({**KL, "num_vq_embeddings": 16}, {}),
    "AutoencoderDC": (
        {
            "latent_channels": 4, "attention_head_dim": 4,
            "encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8),
            "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
            "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
            "encoder_layers_per_block": (1, 1), "decoder_layers_per_block": (1, 1),
            "encoder_qkv_multiscales": ((), (5,)), "decoder_qkv_multiscales": ((), (5,)), "scaling_factor": 0.4,
        },
        {},
    ),
    "ConsistencyDecoderVAE": (
        {
            "encoder_block_out_channels": (8, 8), "encoder_norm_num_groups": 4, "encoder_layers_per_block": 1,
            "encoder_down_block_types": DOWN, "decoder_block_out_channels": (32, 32), "decoder_layers_per_block": 1,
            "decoder_down_block_types": ("ResnetDownsampleBlock2D",) * 2,
            "decoder_up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        },
        {"image_size": 8},
    ),
    "AutoencoderKLFlux2": ({**KL, "latent_channels": 4, "layers_per_block": 1}, {}),
    "AutoencoderKLKVAE": (
        {"channels": 32, "num_enc_blocks": 1, "num_dec_blocks": 1, "z_channels": 4, "ch_mult": (1, 1)},
        {},
    ),
    "AutoencoderKLHunyuanImage": ({**HUNYUAN, "in_channels": 3, "out_channels": 3, "sample_size": 16}, {}),
    "AutoencoderRAE": (
        {
            "encoder_hidden_size": 64, "encoder_num_hidden_layers": 1, "encoder_input_size": 28, "patch_size": 8,
            "decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 16, "scaling_factor": 0.7,
        },
        {"image_size": None},
    ),
    "AutoencoderKLTemporalDecoder": (
        {"block_out_channels": (32, 32), "down_block_types": DOWN},
        {"num_frames": 2, "image_size": 8},
    ),
    "AutoencoderKLAllegro": (
        {
            "block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1, "sample_size": 16,
            "down_block_types": ("AllegroDownBlock3D",) * 2, "up_block_types": ("AllegroUpBlock3D",) * 2,
            "temporal_downsample_blocks": (True, True), "temporal_upsample_blocks": (True, True),
        },
        {"num_frames": 24},
    ),
    "AutoencoderKLCogVideoX": (
        {"block_out_channels": (8, 8, 8, 8), "norm_num_groups": 4, "layers_per_block": 1, "latent_channels": 4},
        {"num_frames": 9, "image_size": 8},
    ),
    "AutoencoderKLCosmos": (
        {
            "latent_channels": 4, "encoder_block_out_channels": (8, 8), "decode_block_out_channels": (8, 8),
            "attention_resolutions": (8,), "resolution": 16, "num_layers": 1, "patch_size": 2,
            "spatial_compression_ratio": 4, "temporal_compression_ratio": 4,
            "latents_mean": [0.1 * i for i in range(16)], "latents_std": [1 + 0.1 * i for i in range(16)],
        },
        {},
    ),
    "AutoencoderKLHunyuanImageRefiner": ({**HUNYUAN, "temporal_compression_ratio": 1}, {"image_size": 8}),
    "AutoencoderKLHunyuanVideo": (
        {"block_out_channels": (8,) * 4, "norm_num_groups": 4, "layers_per_block": 1, "latent_channels": 4},
        {},
    ),
    "AutoencoderKLHunyuanVideo15": ({**HUNYUAN, "temporal_compression_ratio": 1}, {"image_size": 8}),
    "AutoencoderKLKVAEVideo": (
        {"ch": 32, "ch_mult": (1, 1), "num_res_blocks": 1, "z_channels": 4, "temporal_compress_times": 2},
        {"image_size": 8},
    ),
    "AutoencoderKLLTXVideo": (
        {
            **LTX, "block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4,
            "decoder_layers_per_block": (1,) * 5, "decoder_inject_noise": (True,) * 5,
            "timestep_conditioning": True,
        },
        {"image_size": 32},
    ),
    "AutoencoderKLLTX2Video": (
        {
            **LTX, "block_out_channels": (8, 16, 32, 64), "decoder_block_out_channels": (8, 16, 32),
            "decoder_layers_per_block": (1,) * 4,
        },
        {"image_size": 32},
    ),
    "AutoencoderKLMagvit": (
        {
            **SMALL, "latent_channels": 4, "layers_per_block": 1,
            "down_block_types": ["SpatialDownBlock3D", "SpatialTemporalDownBlock3D"],
            "up_block_types": ["SpatialUpBlock3D", "SpatialTemporalUpBlock3D"],
        },
        {},
    ),
    "AutoencoderKLMiniMaxH3": (
        {
            **SMALL, **STATISTICS, "latent_channels": 4, "layers_per_block": 1, "spatial_downsample_factors": (2, 2),
            "temporal_downsample_factors": (2, 2), "decoder_num_layers": 1, "decoder_num_attention_heads": 2,
            "decoder_attention_head_dim": 16,
        },
        {"num_frames": 22},
    ),
    "AutoencoderKLMochi": (
        {
            **STATISTICS, "latent_channels": 4, "layers_per_block": (1,) * 5,
            "encoder_block_out_channels": (32,) * 4, "decoder_block_out_channels": (32,) * 4,
        },
        {},
    ),
    "AutoencoderKLQwenImage": ({**WAN, "temperal_downsample": [False]}, {}),
    "AutoencoderKLQwenImage21": (
        {**WAN, "decoder_base_dim": 8, "temperal_downsample": [True], "is_residual": False},
        {},
    ),
    "AutoencoderKLWan": ({**WAN, "temperal_downsample": [True]}, {"num_frames": 5}),
    "AutoencoderVidTok": (
        {"ch": 32, "ch_mult": [1, 1, 1, 1], "z_channels": 4, "num_res_blocks": 1},
        {"num_frames": 5},
    ),
    "Kandinsky6SRVAE": (
        {
            "latent_channels": 4, "encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8),
            "layers_per_block": 1, "temporal_compression_ratio": 2, "temporal_compression_start_level": 0,
        },
        {},
    ),
    "LTX2VideoDiffusionDecoderModel": (
        {
            "latent_channels": 8, "patch_size": 1, "decoder_head_dim": 16, "decoder_stage_channels": (32,) * 5,
            "decoder_stage_depths": (1,) * 5, "decoder_stage_kernels": ((1, 3, 3),) * 4,
            "decoder_upsample_strides": ((1, 2, 2), (1, 1, 1), (1, 1, 1), (2, 1, 1)),
            "decoder_upsample_channel_reductions": (1,) * 4, "decoder_stage5_kernel": (1, 3, 3),
            "decoder_t_emb_dim": 16,
        },
        {"image_size": None, "latent_shape": [8, 1, 4, 4]},
    ),
}
# fmt: on


def tiny(name, **changes):
    """An autoencoder of that class with random weights, and with statistics where those are no configuration."""
    if name == "AutoencoderRAE":
        pytest.importorskip("transformers")  # it has the encoders
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        vae = getattr(diffusers, name)(**{**TINY[name][0], **changes})
        if name == "AutoencoderKLFlux2":
            vae.bn.running_mean.normal_()
            vae.bn.running_var.uniform_(0.5, 2)
        for buffer, low, high in (("latents_mean", -1, 1), ("latents_std", 0.5, 2)):
            if buffer in dict(vae.named_buffers()):
                getattr(vae, buffer).uniform_(low, high)
    if name == "AutoencoderKLAllegro":  # its tiles have 320 pixels
        vae.kernel, vae.stride = (24, 16, 16), (16, 16, 16)
    return vae.eval().requires_grad_(False)  # with gradients some kernels round in another way


def wrapped(name, **changes):
    return DiffusersDecoder(tiny(name, **changes), **{"image_size": 16, **TINY[name][1]})


@pytest.fixture
def folder(tmp_path):
    """What save_pretrained writes for an AutoencoderKL."""
    tiny("AutoencoderKL").save_pretrained(tmp_path / "kl")
    return tmp_path / "kl"


@pytest.fixture
def codes():
    return torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TINY)
def test_every_class_keeps_the_contract_and_comes_back_from_a_folder(name, tmp_path):
    before = torch.get_rng_state()
    f_d = wrapped(name)
    only_decodes = name == "LTX2VideoDiffusionDecoderModel"  # its attention has no gradients on a CPU
    check_decoder(f_d, differentiable=not only_decodes)
    z = f_d.sample(2, seed=3)
    images = f_d(z)
    assert images.shape[1:] == f_d.image_shape
    assert images.std() > 0.01
    assert hasattr(f_d, "encode") != only_decodes
    if name != "AutoencoderKLAllegro":
        f_d.vae.save_pretrained(tmp_path)
        loaded = load_decoder(f"diffusers:{tmp_path}", **f_d.options)
        assert torch.equal(loaded(z), images)
        assert loaded.source == f"diffusers:{tmp_path}"
        assert loaded.options == f_d.options == json.loads(json.dumps(f_d.options))
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"


@pytest.mark.skipif(not diffusers.__version__.startswith("0.42."), reason="the tables are those of diffusers 0.42")
def test_every_class_that_diffusers_exports_is_covered_or_refused():
    module = diffusers.models.autoencoders
    exported = {name for name, kind in vars(module).items() if isinstance(kind, type)}
    assert adapter.IMAGE | adapter.CLIP | set(adapter.REFUSED) == exported
    assert set(TINY) == adapter.IMAGE | adapter.CLIP


def shown(made):
    """What the pipelines make of it."""
    from diffusers.image_processor import VaeImageProcessor

    return VaeImageProcessor().postprocess(made, output_type="pt")


@torch.no_grad()
def test_images_are_those_of_the_pipelines_scaling_and_shift(codes):
    vae = tiny("AutoencoderKL", scaling_factor=0.3611, shift_factor=0.1159)
    wanted = shown(vae.decode(codes / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0])
    f_d = DiffusersDecoder(vae, image_size=16)
    torch.testing.assert_close(f_d(codes), wanted)
    latents = (vae.encode(wanted * 2 - 1).latent_dist.mode() - vae.config.shift_factor) * vae.config.scaling_factor
    torch.testing.assert_close(f_d.encode(wanted), latents)


@torch.no_grad()
def test_images_are_those_of_the_pipelines_means_and_deviations(codes):
    vae = tiny("AutoencoderKL", **STATISTICS)  # as StableDiffusionXLPipeline
    mean, std = (torch.tensor(vae.config[name]).view(1, 4, 1, 1) for name in STATISTICS)
    latents = codes * std / vae.config.scaling_factor + mean
    torch.testing.assert_close(DiffusersDecoder(vae, image_size=16)(codes), shown(vae.decode(latents).sample))
    vae = tiny("AutoencoderKLWan")  # as WanPipeline
    mean, std = (torch.tensor(vae.config[name]).view(1, 4, 1, 1, 1) for name in STATISTICS)
    made = vae.decode(codes[:, :, None] / (1 / std) + mean).sample
    torch.testing.assert_close(DiffusersDecoder(vae, image_size=16)(codes[:, :, None]), shown(made[:, :, 0]))


@torch.no_grad()
def test_images_are_those_of_flux_2():
    pytest.importorskip("transformers")
    from diffusers import Flux2Pipeline

    vae, codes = tiny("AutoencoderKLFlux2"), torch.randn(2, 16, 4, 4)
    std = (vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).sqrt()
    latents = Flux2Pipeline._unpatchify_latents(codes * std + vae.bn.running_mean.view(1, -1, 1, 1))
    wanted = shown(vae.decode(latents, return_dict=False)[0])
    f_d = DiffusersDecoder(vae, image_size=16)
    torch.testing.assert_close(f_d(codes), wanted)
    latents = Flux2Pipeline._patchify_latents(vae.encode(wanted * 2 - 1).latent_dist.mode())
    torch.testing.assert_close(f_d.encode(wanted), (latents - vae.bn.running_mean.view(1, -1, 1, 1)) / std)


@torch.no_grad()
def test_images_are_those_of_ltx_whose_means_are_buffers():
    pytest.importorskip("transformers")
    from diffusers import LTXPipeline

    vae = tiny("AutoencoderKLLTXVideo", timestep_conditioning=False, decoder_inject_noise=(False,) * 5)
    codes = torch.randn(2, 8, 1, 4, 4)
    latents = LTXPipeline._denormalize_latents(codes, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
    torch.testing.assert_close(DiffusersDecoder(vae, image_size=32)(codes), shown(vae.decode(latents).sample[:, :, 0]))


@torch.no_grad()
def test_vq_models_decode_what_lies_between_the_entries_of_their_codebook(codes):
    for norm_type, scaling in (("group", 0.18215), ("spatial", 1)):  # Kandinsky's pipelines do not scale
        vae = tiny("VQModel", latent_channels=4, norm_type=norm_type, block_out_channels=(32, 32), norm_num_groups=32)
        wanted = shown(vae.decode(codes / scaling, force_not_quantize=True).sample)
        torch.testing.assert_close(DiffusersDecoder(vae, image_size=16)(codes), wanted)


def test_a_clip_is_a_film_strip():
    f_d = wrapped("AutoencoderKLWan")
    clip = f_d.vae.decode(f_d.shift + f_d.scale * f_d.sample(1)).sample
    strip = f_d(f_d.sample(1))
    assert strip.shape == (1, 3, 16, 5 * 16)
    assert torch.equal(strip[..., 16:32], (clip[:, :, 1] / 2 + 0.5).clamp(0, 1))


def test_batches_are_bounded(codes):
    vae, sizes = tiny("AutoencoderKL"), []
    f_d = DiffusersDecoder(vae, image_size=16, max_batch=1)
    vae.decoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    vae.encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    f_d.encode(f_d(codes)), decode_images(f_d, codes)
    assert set(sizes) == {1}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.float16])
def test_half_precision(folder, codes, dtype):
    f_d = load_diffusers(str(folder), image_size=16, dtype=dtype)
    assert f_d.options == {"image_size": 16, "dtype": str(dtype).removeprefix("torch.")}
    assert f_d(codes).dtype == f_d.encode(f_d(codes)).dtype == torch.float32
    assert next(f_d.parameters()).dtype != torch.float32
    torch.testing.assert_close(f_d(codes), load_diffusers(str(folder), image_size=16)(codes), atol=0.03, rtol=0)
    check_decoder(f_d, tolerance=0.02)


@pytest.mark.parametrize("size", [8, (8, 24), None])
def test_image_sizes(folder, size):
    f_d = load_diffusers(str(folder), image_size=size)
    height, width = size if isinstance(size, tuple) else (size or 32, size or 32)  # sample_size of the config
    assert f_d.image_shape == (3, height, width)
    assert f_d.latent_shape == (4, height // 2, width // 2)
    assert f_d(f_d.sample(1)).shape == (1, 3, height, width)


def test_a_map_of_its_codes_finds_it_again(folder):
    f_d = load_diffusers(str(folder), image_size=8)
    v = fit(f_d.sample(6), decoder=f_d)
    assert (v.source, v.source_options) == (f_d.source, {"image_size": 8})
    assert load_decoder(v.source, **v.source_options).image_shape == (3, 8, 8)


def test_folders(folder, codes, tmp_path):
    vae, wanted = tiny("AutoencoderKL"), load_diffusers(str(folder), image_size=16)(codes)

    def same(place, **options):
        torch.testing.assert_close(load_diffusers(str(place), image_size=16)(codes), wanted, **options)

    pipeline = tmp_path / "pipeline"
    vae.save_pretrained(pipeline / "vae")
    (pipeline / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (pipeline / "unet").mkdir()
    same(pipeline), same(pipeline / "vae")
    vae.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*-of-*.safetensors"))) > 1
    same(tmp_path / "shards")
    file = folder / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(file)
    for new, name in old.items():
        state = {key.replace(f".{new}.", f".{name}."): value for key, value in state.items()}
    assert any("proj_attn" in key for key in state)
    save_file(state, file)
    same(folder)
    tiny("AutoencoderKL").half().save_pretrained(tmp_path / "half", variant="fp16")
    same(tmp_path / "half", atol=0.01, rtol=0)


def test_from_the_hub_come_the_configuration_and_the_weights_of_one_commit(folder, codes, tmp_path, monkeypatch):
    asked = []

    def fetch(repo, patterns, revision=None, token=None, most_bytes=None):
        asked.append((repo, revision, patterns))
        target = tmp_path / "cache" / "c0ffee"
        for file in folder.iterdir():
            if f"vae/{file.name}" in patterns:
                (target / "vae").mkdir(parents=True, exist_ok=True)
                (target / "vae" / file.name).write_bytes(file.read_bytes())
        return target, "c0ffee"

    monkeypatch.setattr(places, "fetch_folder", fetch)
    for reference in ("user/repo@main", "user/repo/vae@main"):
        f_d = load_decoder(f"diffusers:{reference}", image_size=16)
        assert f_d.source == "diffusers:user/repo/vae@c0ffee"
        assert torch.equal(f_d(codes), load_diffusers(str(folder), image_size=16)(codes))
    assert [revision for _, revision, _ in asked] == ["main", "c0ffee"] * 2
    assert asked[1][2] == ["vae/diffusion_pytorch_model.safetensors"]
    assert all(name.endswith(".json") for name in asked[0][2])


@pytest.mark.parametrize("kind", sorted(adapter.IMAGE | adapter.CLIP))
def test_the_configuration_that_a_class_has_by_itself_is_plausible(kind):
    factory = getattr(diffusers, kind, None) or pytest.skip("an older diffusers")
    said = inspect.signature(factory.__init__).parameters.values()
    config = {parameter.name: parameter.default for parameter in said if parameter.default is not parameter.empty}
    assert plausible(json.loads(json.dumps(config)))


def rewrite(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def reweigh(folder, change):
    file = folder / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)


def index(folder, files):
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


WEIGHTS = "diffusion_pytorch_model.safetensors"
BAD = {
    "sound": (lambda f: rewrite(f, _class_name="AutoencoderOobleck"), "AutoencoderOobleck makes sound"),
    "proteins": (lambda f: rewrite(f, _class_name="RFD4ProteinaAutoencoder"), "makes proteins"),
    "another model": (lambda f: rewrite(f, _class_name="UNet2DModel"), "No autoencoder .*found UNet2DModel"),
    "no class": (lambda f: rewrite(f, _class_name=["AutoencoderKL"]), "No autoencoder"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "No autoencoder"),
    "huge configuration": (lambda f: rewrite(f, more="x" * 2**20), "more than"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not readable"),
    "no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json is not readable"),
    "deep JSON": (lambda f: (f / "config.json").write_text("[" * 10**5), "config.json is not readable"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "no JSON object"),
    "wrong types": (lambda f: rewrite(f, block_out_channels="many"), "No AutoencoderKL can be built"),
    "many layers": (lambda f: rewrite(f, layers_per_block=10**9), "numbers that no autoencoder has"),
    "many layers at once": (lambda f: rewrite(f, layers_per_block=65), "numbers that no autoencoder has"),
    "many blocks": (lambda f: rewrite(f, block_out_channels=[8] * 65), "numbers that no autoencoder has"),
    "blocks of layers": (
        lambda f: rewrite(f, block_out_channels=[8] * 32, layers_per_block=17),
        "numbers that no autoencoder has",
    ),
    "deep lists": (
        lambda f: (f / "config.json").write_text(
            '{"_class_name": "AutoencoderKL", "x": ' + "[" * 600 + "]" * 600 + "}"
        ),
        "numbers that no autoencoder has",
    ),
    "wide layers": (lambda f: rewrite(f, block_out_channels=[2**20, 2**20]), "not the weights"),
    "wrong statistics": (lambda f: rewrite(f, latents_mean=[1, 2], latents_std=[1, 2]), "is not known"),
    "no spread": (lambda f: rewrite(f, latents_mean=[0] * 4, latents_std=[0] * 4), "normalises by zeros"),
    "a pickle": (lambda f: (f / WEIGHTS).rename(f / "diffusion_pytorch_model.bin"), "pickles .* are not read"),
    "a missing weight": (lambda f: reweigh(f, lambda state: state.pop("decoder.conv_in.bias")), "1 missing"),
    "a weight too many": (lambda f: reweigh(f, lambda state: state.update(more=torch.ones(1))), "too many .more"),
    "another shape": (lambda f: reweigh(f, lambda state: state.update({"quant_conv.bias": torch.ones(3)})), "wrong"),
    "half a file": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-1000]), "is broken"),
    "an empty file": (lambda f: (f / WEIGHTS).write_bytes(b""), "is broken"),
    "a way out": (lambda f: index(f, {"x": "../kl/diffusion_pytorch_model.safetensors"}), "no safetensors beside it"),
    "a way to the root": (lambda f: index(f, {"x": "/x.safetensors"}), "no safetensors beside it"),
    "a pickle as shard": (lambda f: index(f, {"x": "x.bin"}), "no safetensors beside it"),
    "a list of shards": (lambda f: index(f, ["x.safetensors"]), "no safetensors beside it"),
    "numbers as shards": (lambda f: index(f, {"x": 5}), "no safetensors beside it"),
    "a missing shard": (lambda f: index(f, {"x": "x.safetensors"}), "names files that are missing"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_autoencoder_of_images_is_refused(case, folder):
    spoil, message = BAD[case]
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        load_diffusers(str(folder), image_size=16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 15}, "turns 1 x 15 x 15 pixels"),
        ({"image_size": 0}, "a size in image_size"),
        ({"image_size": 10**5}, "at most"),
        ({"image_size": (16, 16, 3)}, "image_size is a side"),
        ({"num_frames": 2}, "single images"),
        ({"latent_shape": (4, 8, 8)}, "latent_shape is for what only decodes"),
        ({"dtype": "int8"}, "dtype is one of"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_what_cannot_be_asked_for(options, message, folder):
    with pytest.raises(ValueError, match=message):
        load_diffusers(str(folder), **{"image_size": 16, **options})


@pytest.mark.parametrize("reference", ["./nowhere", "one", "user/repo/../x"])
def test_what_is_neither_a_folder_nor_a_repository(reference):
    with pytest.raises(ValueError, match=r"There is no folder .* user/repo\[/subfolder\]"):
        load_decoder(f"diffusers:{reference}")


def test_what_cannot_be_wrapped():
    with pytest.raises(ValueError, match="MMAudioVAE makes sound"):
        DiffusersDecoder(type("MMAudioVAE", (torch.nn.Module,), {})())
    with pytest.raises(TypeError, match="method decode"):
        DiffusersDecoder(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="latent_shape is for what only decodes, and there only"):
        DiffusersDecoder(tiny("LTX2VideoDiffusionDecoderModel"))
    with pytest.raises(ValueError, match=r"It takes 22 frames, or 17 n \+ 5"):
        DiffusersDecoder(tiny("AutoencoderKLMiniMaxH3"), image_size=16)


def test_shapes_of_codes_and_images_are_checked(codes):
    f_d = wrapped("AutoencoderKL")
    with pytest.raises(ValueError, match=r"decodes codes \(B, \*\(4, 8, 8\)\)"):
        f_d(codes[:, :2])
    with pytest.raises(ValueError, match="This decoder's images are"):
        f_d.encode(torch.zeros(1, 3, 8, 8))


def test_without_diffusers_the_extra_is_named(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match=r'pip install "latent-vizae\[diffusers\]"'):
        load_diffusers(str(folder))
