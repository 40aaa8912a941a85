"""Pipelines of diffusers as decoders, of every class in the table, at a tiny size: the contract, the own call."""

import copy
from functools import cache

import pytest
import torch
from PIL import Image

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.testing import check_decoder

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")
from latent_vizae.adapters.pipeline_classes import RECIPES  # noqa: E402

tiny = pytest.importorskip("tiny_pipelines")


@cache
def pipeline(name):
    base, _, change = name.partition(" with ")
    pipe = tiny.seeded(getattr(tiny, base))
    if "an IP-Adapter" in change:
        with torch.random.fork_rng([]):
            torch.manual_seed(1)
            pipe = tiny.with_ip_adapter(pipe, plus="Plus" in change)
        pipe.image_encoder.eval()
    return pipe


# pipeline: its class, and what is asked of it
ASKED = {
    "stable_diffusion": ("StableDiffusionPipeline", {"steps": 2}),
    "stable_diffusion with an IP-Adapter": ("StableDiffusionPipeline", {"steps": 2}),
    "stable_diffusion with an IP-Adapter Plus": ("StableDiffusionPipeline", {"steps": 2}),
    "sdxl": ("StableDiffusionXLPipeline", {"steps": 2}),
    "sdxl with an IP-Adapter": ("StableDiffusionXLPipeline", {"steps": 2}),
    "latent_consistency": ("LatentConsistencyModelPipeline", {"steps": 2}),
    "consistency": ("ConsistencyModelPipeline", {"steps": 2, "label": 3}),
    "kandinsky": ("KandinskyV22Pipeline", {"steps": 2, "image_size": 16}),
    "stable_unclip": ("StableUnCLIPImg2ImgPipeline", {"steps": 2}),
    "cascade": ("StableCascadeDecoderPipeline", {"steps": 2, "image_size": 64}),
    "flux": ("FluxPipeline", {"steps": 2, "image_size": 16}),
    "stable_diffusion_3": ("StableDiffusion3Pipeline", {"steps": 2, "image_size": 16}),
    "sana": ("SanaSprintPipeline", {"steps": 2, "image_size": 32}),
    "ddim": ("DDIMPipeline", {"steps": 3}),
    "ddpm": ("DDPMPipeline", {"steps": 3}),
    "flow": ("DDPMPipeline", {"steps": 3, "label": 1}),
}
CASES = [
    (name, code)
    for name, (kind, _) in ASKED.items()
    for code in RECIPES[kind].kinds
    if code != "image_embeds" or "IP-Adapter" in name or name in ("kandinsky", "stable_unclip")
]


def loaded(name, code=None, **options):
    return load_decoder("diffusers-pipeline", pipe=pipeline(name), code=code, **ASKED[name][1] | options)


def codes_of(f_d, count=3):
    return torch.randn(count, *f_d.latent_shape, generator=torch.Generator().manual_seed(5))


def test_every_class_of_the_table_is_here():
    assert {kind for kind, _ in ASKED.values()} == set(RECIPES)
    assert all(type(pipeline(name)).__name__ == kind for name, (kind, _) in ASKED.items())


@pytest.mark.parametrize(("name", "code"), CASES, ids=[f"{name} {code}" for name, code in CASES])
def test_a_code_has_one_image_alone_and_in_a_batch_with_gradients(name, code):
    f_d = loaded(name, code)
    check_decoder(f_d, codes_of(f_d))
    images = f_d(codes_of(f_d, 5))
    assert images.shape == (5, *f_d.image_shape)
    assert images.std(0).max() > 1e-4  # codes make different images
    if code == "noise":
        assert f_d.sample(4, seed=1).shape == (4, *f_d.latent_shape)
    else:
        assert not hasattr(f_d, "sample")


WORDS = {
    "stable_diffusion": ("prompt_embeds", {"guidance_scale": 5.0, "negative_prompt": "a dog"}),
    "sdxl": ("prompt_embeds+pooled_prompt_embeds", {"guidance_scale": 4.0}),
    "latent_consistency": ("prompt_embeds", {"guidance_scale": 8.0}),
    "flux": ("prompt_embeds+pooled_prompt_embeds", {"guidance_scale": 3.0}),
    "stable_diffusion_3": ("prompt_embeds+pooled_prompt_embeds", {"guidance_scale": 3.0, "negative_prompt": "a dog"}),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_make_the_image_that_the_pipeline_makes_of_them(name):
    code, options = WORDS[name]
    size = {"height": 16, "width": 16}
    renamed = {"guidance_scale": "guidance"}
    f_d = loaded(name, code, seed=7, **{renamed.get(key, key): value for key, value in options.items()})
    texts = ["a cat", "two cats, 1"]
    codes = f_d.encode_text(texts)
    assert codes.shape == (2, *f_d.latent_shape)
    assert codes.dtype == torch.float32
    pipe = pipeline(name)
    for text, image in zip(texts, f_d(codes), strict=True):
        own = pipe(
            text,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(7),
            output_type="pt",
            **size,
            **options,
        ).images
        assert (own[0] - image).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["stable_diffusion", "sdxl", "sana", "flux", "cascade"])
def test_the_prompt_is_frozen_where_noise_is_the_code(name):
    pipe, f_d = pipeline(name), loaded(name, "noise", prompt="a cat")
    z = f_d.sample(2, seed=3)
    options = {"height": f_d.image_shape[1], "width": f_d.image_shape[2]}
    if name.startswith("sana"):
        options |= {"use_resolution_binning": False}
    if name == "cascade":
        options = {"image_embeddings": torch.zeros(1, 16, 4, 4)}
    generator = torch.Generator().manual_seed(0)
    torch.randn(z.shape[1:], generator=generator)  # the noise that the code takes the place of
    state = generator.get_state()
    for code, image in zip(z, f_d(z), strict=True):
        own = pipe(
            prompt="a cat", latents=code[None], num_inference_steps=2, generator=generator.set_state(state),
            output_type="pt", **options,
        ).images  # fmt: skip
        assert (own[0] - image).abs().max() < 1e-4
    other = loaded(name, "noise", prompt="a dog")
    assert name == "cascade" or not torch.allclose(other(z), f_d(z), atol=1e-6)


@pytest.mark.parametrize("name", ["stable_unclip", "stable_diffusion with an IP-Adapter", "sdxl with an IP-Adapter"])
def test_pictures_have_codes_where_there_is_an_image_encoder(name):
    f_d = loaded(name, "image_embeds")
    pictures = torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    codes = f_d.encode(pictures)
    assert codes.shape == (3, tiny.WIDTH)
    assert torch.allclose(f_d.encode(pictures[1:2]), codes[1:2], atol=1e-5)
    rounded = (pictures * 255).round().byte()
    pixels = pipeline(name).feature_extractor(images=list(rounded), return_tensors="pt").pixel_values
    assert torch.allclose(pipeline(name).image_encoder(pixels).image_embeds, codes, atol=1e-5)
    assert not hasattr(loaded(name, "noise"), "encode")
    assert not hasattr(loaded("kandinsky"), "encode")


@pytest.mark.parametrize("name", ["stable_diffusion with an IP-Adapter", "stable_diffusion with an IP-Adapter Plus"])
@pytest.mark.parametrize("guidance", [0, 3.0])
def test_a_picture_makes_the_image_that_the_pipeline_makes_of_it(name, guidance):
    pipe, f_d = pipeline(name), loaded(name, "image_embeds", prompt="a cat", seed=7, guidance=guidance)
    pictures = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    codes = f_d.encode(pictures)
    assert codes.shape[1:] == f_d.latent_shape == ((5, tiny.WIDTH) if "Plus" in name else (tiny.WIDTH,))
    images = f_d(codes)
    assert (images[0] - images[1]).abs().max() > 1e-3
    for picture, image in zip(pictures, images, strict=True):
        own = pipe(
            "a cat", ip_adapter_image=to_pil_image(picture), num_inference_steps=2, guidance_scale=guidance,
            height=16, width=16, generator=torch.Generator().manual_seed(7), output_type="pt",
        ).images  # fmt: skip
        assert (own[0] - image).abs().max() < 1e-4


def to_pil_image(picture):
    return Image.fromarray((picture * 255).round().byte().movedim(0, 2).numpy())


def test_a_pipeline_in_hand_stays_as_it_is():
    pipe = tiny.seeded(tiny.stable_diffusion)
    pipe.unet.train()
    before = copy.deepcopy(dict(pipe.config)), {n: t.clone() for n, t in pipe.unet.state_dict().items()}
    parts = dict(pipe.components)
    f_d = load_decoder("diffusers-pipeline", pipe=pipe, code="noise", steps=2, vae=tiny_vae())
    f_d(f_d.sample(2))
    assert pipe.unet.training
    assert not pipe.vae.training
    assert dict(pipe.config) == before[0]
    assert all(pipe.components[name] is part for name, part in parts.items())
    assert pipe.scheduler.num_inference_steps is None
    assert all(torch.equal(tensor, before[1][name]) for name, tensor in pipe.unet.state_dict().items())
    assert getattr(pipe, "_progress_bar_config", None) is None


def tiny_vae():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return diffusers.AutoencoderTiny(
            encoder_block_out_channels=(4, 4), decoder_block_out_channels=(4, 4), num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        )  # fmt: skip


def test_a_tiny_autoencoder_takes_the_place_of_the_full_one(tmp_path):
    tiny_vae().save_pretrained(tmp_path / "taesd")
    f_d = loaded("stable_diffusion", "noise", vae=str(tmp_path / "taesd"))
    check_decoder(f_d, codes_of(f_d))
    assert f_d.options["vae"] == str(tmp_path / "taesd")
    assert not torch.allclose(f_d(f_d.sample(1)), loaded("stable_diffusion", "noise")(f_d.sample(1)))
    tiny_flux = diffusers.AutoencoderKL(latent_channels=16, block_out_channels=(32,))
    tiny_flux.save_pretrained(tmp_path / "flux")
    with pytest.raises(ValueError, match=r"have 4 channels, those of the autoencoder .* 16"):
        loaded("stable_diffusion", "noise", vae=str(tmp_path / "flux"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_takes_and_gives_float32(dtype):
    pipe = copy.deepcopy(tiny.seeded(tiny.stable_diffusion)).to(dtype)
    f_d = load_decoder("diffusers-pipeline", pipe=pipe, steps=1)
    codes = f_d.encode_text(["a cat", "a dog", "1"])
    assert f_d(codes).dtype == codes.dtype == torch.float32
    check_decoder(f_d, codes, tolerance=0.05)


def test_no_global_seed_is_read_or_written():
    f_d = loaded("stable_diffusion")
    codes = f_d.encode_text(["a cat"])
    state = torch.get_rng_state()
    first = f_d(codes)
    torch.rand(3)
    assert torch.equal(f_d(codes), first)
    torch.set_rng_state(state)
    f_d(codes)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(loaded("stable_diffusion", seed=1)(codes), first)


def test_prompts_make_a_map_that_comes_back_with_its_pipeline(tmp_path):
    pipeline("stable_diffusion").save_pretrained(tmp_path / "pipe")
    options = {"code": "prompt_embeds", "steps": 1, "guidance": 0.0, "prompt": "x" * 300, "image_size": [16, 32]}
    f_d = load_decoder(f"diffusers-pipeline:{tmp_path}/pipe", **options)
    texts = [f"a {animal} {number}" for animal in ("cat", "dog") for number in range(3)]
    codes = f_d.encode_text(texts)
    v = fit(codes, decoder=f_d, labels=texts, seed=0)
    assert sorted(v.label_names.values()) == sorted(texts)
    assert v.report.image_error < 1e-4
    LatentMap(v, f_d).save_pretrained(tmp_path / "v")
    m = LatentMap.from_pretrained(tmp_path / "v")
    assert torch.equal(m.v.points, v.points)
    assert m.decoder.options == f_d.options == options | {"seed": 0}
    assert torch.equal(m.decoder(codes), f_d(codes))
    assert m.path(codes[0], codes[-1], frames=4).images.shape == (4, 3, 16, 32)


# What is refused.


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "stable_diffusion",
            {"code": "pooled_prompt_embeds"},
            "A code of StableDiffusionPipeline is prompt_embeds or",
        ),
        ("stable_diffusion", {"code": "image_embeds"}, "with an IP-Adapter, and none is loaded: pass ip_adapter="),
        ("stable_diffusion", {"code": "latents"}, r"latents of its autoencoder: load_decoder\('diffusers:"),
        ("stable_diffusion", {"code": "noise+noise"}, "got code='noise.noise'"),
        ("stable_diffusion", {"image_size": 17}, "does not work on 17 x 17 pixels"),
        ("consistency", {"label": 5}, "has classes 0 to 4, got label=5"),
        ("ddim", {"label": 1}, "is not class-conditional"),
        ("ddim", {"guidance": 3.0}, "DDIMPipeline has no guidance"),
        ("cascade", {"image_size": 70}, r"makes images of 80 x 80 pixels where .* pass image_size=\[80, 80\]"),
        ("stable_diffusion", {"vae": "tiny", "pipe": "ddim"}, "has no autoencoder that vae= could replace"),
        ("stable_diffusion", {"inputs": {"prompt_embeds": torch.zeros(1, 10, 9)}}, "does not work on|is .* got"),
        ("stable_diffusion", {"inputs": {"nothing": torch.zeros(1, 10)}}, "by names of the StableDiffusionPipeline's"),
        ("stable_diffusion", {"dtype": "float16"}, "stays as it is; dtype came beside it"),
    ],
)
def test_what_cannot_be_is_said(name, options, words):
    pipe = pipeline(options.pop("pipe", name))
    with pytest.raises(ValueError, match=words):
        load_decoder("diffusers-pipeline", pipe=pipe, **{"steps": 2} | options)


def test_codes_of_another_width_are_refused():
    f_d = loaded("stable_diffusion")
    with pytest.raises(ValueError, match=r"is its prompt_embeds, \(B, \*\(10, 8\)\), got \(2, 10, 9\)"):
        f_d(torch.zeros(2, 10, 9))


def test_missing_encoders_are_named_with_what_to_pass():
    pipe = copy.copy(tiny.seeded(tiny.stable_diffusion))
    pipe.register_modules(text_encoder=None)
    with pytest.raises(ValueError, match=r"has no text_encoder, .* pass inputs=\{'prompt_embeds'"):
        load_decoder("diffusers-pipeline", pipe=pipe, code="noise")
    embeddings = torch.randn(1, tiny.LENGTH, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    given = {"prompt_embeds": embeddings, "negative_prompt_embeds": 0 * embeddings}
    for code in ("noise", "prompt_embeds"):
        f_d = load_decoder("diffusers-pipeline", pipe=pipe, code=code, inputs=given, steps=2)
        check_decoder(f_d, codes_of(f_d))
    with pytest.raises(ValueError, match="has no text_encoder"):
        f_d.encode_text(["a cat"])
    with pytest.raises(ValueError, match="not an embedding of words: load it with code='prompt_embeds'"):
        loaded("stable_diffusion", "noise").encode_text(["a cat"])
    with pytest.raises(TypeError, match="strings"):
        loaded("stable_diffusion").encode_text([3])


def test_other_classes_are_refused_by_name_with_what_is_allowed():
    class Sounds(diffusers.DiffusionPipeline):
        def __call__(self):
            return None

    pipe = Sounds()
    with pytest.raises(ValueError, match=r"Sounds is no pipeline .* These are: .*StableDiffusionPipeline"):
        load_decoder("diffusers-pipeline", pipe=pipe, code="noise")
    with pytest.raises(TypeError, match="pipe is a pipeline of diffusers, got int"):
        load_decoder("diffusers-pipeline", pipe=3)


def test_noise_that_the_seed_does_not_reach_is_noticed():
    class Restless(diffusers.DDIMScheduler):
        def step(self, *args, **kwargs):
            result = super().step(*args, **kwargs)
            return (result[0] + 0.3 * torch.randn_like(result[0]),)

    scheduler = Restless.from_config(tiny.diffusion().config)
    pipe = tiny.seeded(lambda: tiny.stable_diffusion(scheduler))
    with pytest.raises(ValueError, match=r"two images of one code.*another scheduler than Restless"):
        load_decoder("diffusers-pipeline", pipe=pipe, steps=2)


def test_images_that_are_not_finite_are_said():
    pipe = tiny.seeded(tiny.stable_diffusion).to(torch.float16)
    pipe.vae.decoder.conv_in.weight.fill_(6e4)
    with pytest.raises(ValueError, match=r"makes NaN or infinity. Numbers overflow in float16: take bfloat16 or"):
        load_decoder("diffusers-pipeline", pipe=pipe, steps=1)
