"""Pipelines of diffusers with random weights, built from configurations in about a second each: no network."""

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

WIDTH, LENGTH = 8, 10
"""Numbers of an embedding, and tokens of a prompt."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 ,.'-"


def clip_tokenizer():
    vocab = {}
    for character in CHARACTERS:
        for token in (character, f"{character}</w>"):
            vocab.setdefault(token, len(vocab))
    vocab |= {token: len(vocab) + i for i, token in enumerate(("<|startoftext|>", "<|endoftext|>"))}
    return transformers.CLIPTokenizer(vocab=vocab, merges=[], model_max_length=LENGTH)


def t5_tokenizer():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0)]
    pieces += [(character, -2.0) for character in CHARACTERS if character != " "]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=LENGTH)


def clip_text(projection=False):
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    tokens = clip_tokenizer()
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=len(tokens), hidden_size=WIDTH, projection_dim=WIDTH, intermediate_size=16,
            num_attention_heads=2, num_hidden_layers=2, max_position_embeddings=LENGTH,
            bos_token_id=tokens.bos_token_id, eos_token_id=tokens.eos_token_id, pad_token_id=tokens.pad_token_id,
        )
    )  # fmt: skip


def t5_text(width=WIDTH):
    config = transformers.T5Config(
        vocab_size=len(t5_tokenizer()), d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(config)


def clip_vision():
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=WIDTH, projection_dim=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            image_size=16, patch_size=8,
        )
    )  # fmt: skip


def clip_pictures():
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def unet(**changes):
    return diffusers.UNet2DConditionModel(
        **{
            "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "norm_num_groups": 2,
            "block_out_channels": (4, 8), "cross_attention_dim": WIDTH, "attention_head_dim": 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), **changes,
        }
    )  # fmt: skip


def plain_unet(**changes):
    return diffusers.UNet2DModel(
        **{
            "sample_size": 8, "layers_per_block": 1, "norm_num_groups": 2, "block_out_channels": (4, 8),
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 2, **changes,
        }
    )  # fmt: skip


def kl(**changes):
    return diffusers.AutoencoderKL(
        **{
            "block_out_channels": (4, 8), "norm_num_groups": 2, "layers_per_block": 1, "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
            "sample_size": 16, **changes,
        }
    )  # fmt: skip


def small_kl(**changes):
    return kl(
        block_out_channels=(4,), down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
        use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.06, scaling_factor=1.5, **changes,
    )  # fmt: skip


def text(number=""):
    return {f"text_encoder{number}": clip_text(projection=bool(number)), f"tokenizer{number}": clip_tokenizer()}


def diffusion(name="DDIMScheduler", **changes):
    changes |= {"steps_offset": 1} if "LCM" not in name else {}
    changes |= {"clip_sample": False} if name == "DDIMScheduler" else {}
    return getattr(diffusers, name)(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **changes)


def stable_diffusion(scheduler=None):
    return diffusers.StableDiffusionPipeline(
        vae=kl(), unet=unet(), scheduler=scheduler or diffusion("EulerAncestralDiscreteScheduler"), **text(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sdxl(scheduler=None):
    sizes = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "transformer_layers_per_block": (1, 1)}
    return diffusers.StableDiffusionXLPipeline(
        vae=kl(), scheduler=scheduler or diffusion("EulerDiscreteScheduler"), **text(), **text("_2"),
        unet=unet(**sizes, cross_attention_dim=2 * WIDTH, projection_class_embeddings_input_dim=6 * 4 + WIDTH),
        add_watermarker=False,
    )  # fmt: skip


def with_ip_adapter(pipe, plus=False):
    """The same with an IP-Adapter of random weights, and the image encoder that it needs."""
    pipe.register_modules(image_encoder=clip_vision(), feature_extractor=clip_pictures())
    pipe.load_ip_adapter([ip_adapter_state(pipe.unet, plus)], subfolder="", weight_name="")
    return pipe


def resampler(width, inside=8):
    """Weights of IP-Adapter Plus's way from what an image encoder sees to tokens of the UNet, four blocks."""

    def scale(name, size):
        return {f"{name}.weight": torch.ones(size), f"{name}.bias": torch.zeros(size)}

    state = {
        "latents": torch.randn(1, 4, inside), "proj_in.weight": torch.randn(inside, WIDTH),
        "proj_in.bias": torch.zeros(inside), "proj_out.weight": torch.randn(width, inside),
        "proj_out.bias": torch.zeros(width), **scale("norm_out", width),
    }  # fmt: skip
    for number in range(4):
        one, two = f"layers.{number}.0", f"layers.{number}.1"
        state |= scale(f"{one}.norm1", inside) | scale(f"{one}.norm2", inside) | scale(f"{two}.0", inside)
        state |= {
            f"{one}.to_q.weight": torch.randn(64, inside), f"{one}.to_kv.weight": torch.randn(128, inside),
            f"{one}.to_out.weight": 0.1 * torch.randn(inside, 64), f"{two}.1.weight": torch.randn(4 * inside, inside),
            f"{two}.3.weight": torch.randn(inside, 4 * inside),
        }  # fmt: skip
    return state


def ip_adapter_state(model, plus=False):
    """Weights of an IP-Adapter for a UNet, by part, as files have them."""
    width = model.config.cross_attention_dim
    attention = {}
    for place, name in enumerate(name for name in model.attn_processors if "attn2" in name):
        number = 1 + 2 * place
        hidden = model.get_submodule(name.removesuffix(".processor")).to_q.out_features
        attention |= {f"{number}.to_{part}_ip.weight": torch.randn(hidden, width) for part in "kv"}
    projection = {
        "proj.weight": torch.randn(4 * width, WIDTH), "proj.bias": torch.randn(4 * width),
        "norm.weight": torch.ones(width), "norm.bias": torch.zeros(width),
    }  # fmt: skip
    return {"image_proj": resampler(width) if plus else projection, "ip_adapter": attention}


def latent_consistency():
    return diffusers.LatentConsistencyModelPipeline(
        vae=kl(), unet=unet(time_cond_proj_dim=8), scheduler=diffusion("LCMScheduler", original_inference_steps=50),
        **text(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def consistency():
    return diffusers.ConsistencyModelPipeline(
        unet=plain_unet(num_class_embeds=5), scheduler=diffusers.CMStochasticIterativeScheduler()
    )


def kandinsky(scheduler=None):
    return diffusers.KandinskyV22Pipeline(
        unet=unet(
            out_channels=8, addition_embed_type="image", encoder_hid_dim=WIDTH, encoder_hid_dim_type="image_proj",
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", resnet_time_scale_shift="scale_shift",
        ),
        scheduler=scheduler or diffusers.DDPMScheduler(variance_type="learned_range"),
        movq=diffusers.VQModel(
            block_out_channels=(32, 32), norm_num_groups=4, latent_channels=4, num_vq_embeddings=12, vq_embed_dim=4,
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            norm_type="spatial",
        ),
    )  # fmt: skip


def stable_unclip():
    return diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=clip_pictures(), image_encoder=clip_vision(), **text(), vae=kl(),
        image_normalizer=StableUnCLIPImageNormalizer(embedding_dim=WIDTH),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"), scheduler=diffusion(),
        unet=unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDTH),
    )  # fmt: skip


def cascade():
    return diffusers.StableCascadeDecoderPipeline(
        decoder=diffusers.models.StableCascadeUNet(
            in_channels=4, out_channels=4, conditioning_dim=16, block_out_channels=(8, 16),
            num_attention_heads=(-1, 2),
            down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), down_blocks_repeat_mappers=(1, 1),
            up_blocks_repeat_mappers=(1, 1),
            block_types_per_layer=(("SDCascadeResBlock", "SDCascadeTimestepBlock"),) * 2,
            clip_text_pooled_in_channels=WIDTH, effnet_in_channels=16, patch_size=1, kernel_size=3, dropout=(0.1, 0.1),
            timestep_ratio_embedding_dim=8, switch_level=None,
        ),
        vqgan=PaellaVQModel(bottleneck_blocks=1, num_vq_embeddings=2, embed_dim=8),
        text_encoder=clip_text(projection=True), tokenizer=clip_tokenizer(),
        scheduler=diffusers.DDPMWuerstchenScheduler(), latent_dim_scale=4.0,
    )  # fmt: skip


def flux(guided=True):
    return diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=small_kl(latent_channels=1), **text(),
        text_encoder_2=t5_text(), tokenizer_2=t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8),
            guidance_embeds=guided,
        ),
    )  # fmt: skip


def stable_diffusion_3():
    first = {"text_encoder": clip_text(projection=True), "tokenizer": clip_tokenizer()}
    return diffusers.StableDiffusion3Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=small_kl(latent_channels=4), **first, **text("_2"),
        text_encoder_3=t5_text(2 * WIDTH), tokenizer_3=t5_tokenizer(),
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=16, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=2, caption_projection_dim=16, joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH, pos_embed_max_size=16,
        ),
    )  # fmt: skip


def sana():
    tokens = clip_tokenizer()
    vae = diffusers.AutoencoderDC(
        latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), scaling_factor=0.4,
    )  # fmt: skip
    return diffusers.SanaSprintPipeline(
        tokenizer=tokens, vae=vae,
        scheduler=diffusers.SCMScheduler(),
        text_encoder=transformers.Gemma2Model(
            transformers.Gemma2Config(
                vocab_size=len(tokens), hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, num_key_value_heads=2, head_dim=4,
            )
        ),
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
            num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=WIDTH,
            sample_size=8, qk_norm="rms_norm_across_heads", guidance_embeds=True,
        ),
    )  # fmt: skip


def ddim():
    return diffusers.DDIMPipeline(unet=plain_unet(), scheduler=diffusers.DDIMScheduler())


def ddpm():
    return diffusers.DDPMPipeline(unet=plain_unet(), scheduler=diffusers.DDPMScheduler())


def flow():
    """A rectified flow as a folder of diffusers can have it: DDPMPipeline takes any scheduler."""
    return diffusers.DDPMPipeline(
        unet=plain_unet(num_class_embeds=3), scheduler=diffusers.FlowMatchEulerDiscreteScheduler()
    )


def seeded(build, seed=0):
    """What ``build`` makes, with weights by a seed, in float32 and evaluation mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        pipe = build()
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipe
