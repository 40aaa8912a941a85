"""The autoencoders of 🤗 diffusers as decoders, in the normalised space of the diffusion models.

Diffusion models work on normalised latents, and each pipeline undoes the normalisation in its own way: by a scaling
and a shift factor, by means and deviations per channel, by the statistics of FLUX.2's batch norm. This module does it
for all of them, so that N(0, 1) is the prior of every code.

The tables below are the allowlist of classes that diffusers_loading.py builds.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latent_vizae.decoders.contract import evaluating, images_at_a_time, why_not_finite
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import own_surroundings

__all__ = ["CLIP", "IMAGE", "NO_IMAGES", "REFUSED", "DiffusersDecoder"]

# fmt: off
IMAGE = frozenset({
    "AsymmetricAutoencoderKL", "AutoencoderDC", "AutoencoderKL", "AutoencoderKLFlux2", "AutoencoderKLHunyuanImage",
    "AutoencoderKLKVAE", "AutoencoderRAE", "AutoencoderTiny", "ConsistencyDecoderVAE", "VQModel",
})
CLIP = frozenset({
    "AutoencoderKLAllegro", "AutoencoderKLCogVideoX", "AutoencoderKLCosmos", "AutoencoderKLHunyuanImageRefiner",
    "AutoencoderKLHunyuanVideo", "AutoencoderKLHunyuanVideo15", "AutoencoderKLKVAEVideo", "AutoencoderKLLTX2Video",
    "AutoencoderKLLTXVideo", "AutoencoderKLMagvit", "AutoencoderKLMiniMaxH3", "AutoencoderKLMochi",
    "AutoencoderKLQwenImage", "AutoencoderKLQwenImage21", "AutoencoderKLTemporalDecoder", "AutoencoderKLWan",
    "AutoencoderVidTok", "Kandinsky6SRVAE", "LTX2VideoDiffusionDecoderModel",
})
SOUND = frozenset({
    "AutoencoderKLKVAEAudio", "AutoencoderKLLTX2Audio", "AutoencoderKLMiniMaxH3Audio", "AutoencoderOobleck",
    "AutoencoderSAME", "Cosmos3AVAEAudioTokenizer", "LongCatAudioDiTVae", "MMAudioVAE", "MMAudioVocoder",
    "MiniMaxMusic3Vocoder",
})
# fmt: on
REFUSED = {**dict.fromkeys(SOUND, "sound"), "RFD4ProteinaAutoencoder": "proteins"}
NO_IMAGES = "{} makes {}, not images, so it is no decoder."
DENOISING = frozenset({"ConsistencyDecoderVAE", "LTX2VideoDiffusionDecoderModel"})
"""They decode by diffusion and draw noise; here it is the same noise for every code of every call."""
ONE_BY_ONE = frozenset({"AutoencoderKLAllegro", "AutoencoderKLHunyuanVideo15"})
"""A batch of theirs fails, or mixes its codes."""
PIXELS = {
    "AutoencoderRAE": ((0.0,), (1.0,)),
    "AutoencoderKLMiniMaxH3": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet's
}
"""Images in [0, 1] are mean + deviation * what the autoencoder makes; both are 1/2 for all others."""
FRAMES = {
    "AutoencoderKLAllegro": "It takes 24 frames, or 16 n + 24, of 320 pixels or more.",
    "AutoencoderKLCogVideoX": "It takes 8 n + 1 frames.",
    "AutoencoderKLMiniMaxH3": "It takes 22 frames, or 17 n + 5.",
}

USUAL_SIZE, LARGEST_CLIP = 256, 2**26


class DiffusersDecoder(nn.Module):
    """An autoencoder of diffusers as a decoder: normalised codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].

    A clip is one image: its frames side by side, W = num_frames * the width of one frame.

    Args:
        vae: the autoencoder, or any module with such methods ``encode`` and ``decode``. It stays as it is: its
            settings (tiling too), its mode, its weights.
        image_size: side of one frame in pixels, or (height, width), a multiple of the size of a latent pixel; by
            default that of the autoencoder's configuration, at most 256.
        num_frames: frames of a clip, 1 for image autoencoders.
        latent_shape: shape of one code, of a decoder without an encoder; otherwise measured by encoding an image.
        max_batch: most codes in one call; by default any number.

    Attributes:
        latent_shape: (channels, height, width) or, of video, (channels, frames, height, width), as in the pipelines
            (FLUX.2: patchified; AutoencoderKLTemporalDecoder: frames first).
        image_shape: (C, H, W).
        source: the string for `load_decoder`, or None.
        options: the keywords for it.

    Raises:
        TypeError: ``vae`` is not a module with a method ``decode``.
        ValueError: it does not make images, or not of this size and number of frames.

    Example:
        >>> class Shuffle(nn.Module):  # in place of diffusers.AutoencoderKL.from_pretrained(...)
        ...     encode = lambda self, images: nn.functional.pixel_unshuffle(images, 8)
        ...     decode = lambda self, latents: nn.functional.pixel_shuffle(latents, 8)
        >>> f_d = DiffusersDecoder(Shuffle(), image_size=32)
        >>> f_d.latent_shape, f_d(f_d.sample(5, seed=0)).shape
        ((192, 4, 4), torch.Size([5, 3, 32, 32]))
    """

    pixel_mean: Tensor
    pixel_deviation: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        vae: nn.Module,
        image_size: int | tuple[int, int] | list[int] | None = None,
        num_frames: int = 1,
        latent_shape: tuple[int, ...] | list[int] | None = None,
        max_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = _kind(vae)
        if self.kind in REFUSED:
            raise ValueError(NO_IMAGES.format(self.kind, REFUSED[self.kind]))
        if not isinstance(vae, nn.Module) or not callable(getattr(vae, "decode", None)):
            hint = " Of a pipeline: vae=pipe.vae." if hasattr(vae, "vae") else ""
            raise TypeError(f"vae is a module with a method decode, got {type(vae).__name__}.{hint}")
        self.num_frames = as_whole(num_frames, "num_frames", 1)
        if self.num_frames > 1 and self.kind not in CLIP:
            raise ValueError(f"{self.kind} makes single images: num_frames is 1, got {num_frames}.")
        self.max_batch = 1 if self.kind in ONE_BY_ONE else max_batch and as_whole(max_batch, "max_batch", 1)
        self.vae: Any = vae
        self.source: str | None = None
        self.options: dict[str, Any] = {} if self.num_frames == 1 else {"num_frames": self.num_frames}
        pixels = (torch.tensor(value).view(-1, 1, 1, 1) for value in PIXELS.get(self.kind, ((0.5,), (0.5,))))
        values = (*pixels, *_normalisation(self.kind, self.vae))
        for name, value in zip(("pixel_mean", "pixel_deviation", "shift", "scale"), values, strict=True):
            self.register_buffer(name, value.to(self._weight.device), persistent=False)
        if hasattr(self.vae, "encode") == (latent_shape is not None):
            raise ValueError(f"latent_shape is for what only decodes, and there only: {self.kind}, {latent_shape=}.")
        self.latent_shape = () if latent_shape is None else _sizes(latent_shape, "latent_shape")
        if latent_shape is not None:
            self.options["latent_shape"] = list(self.latent_shape)
        self._probe(None if latent_shape is not None else _frame(self.vae, image_size))

    @torch.no_grad()
    def _probe(self, frame: tuple[int, int] | None) -> None:
        """Measure the shapes: encode a grey image, decode a code."""
        if self.kind == "AutoencoderKLAllegro":
            self.vae.enable_tiling()  # it has no other way
        what = f"codes of shape {self.latent_shape}"
        if frame is not None:
            what = f"{self.num_frames} x {frame[0]} x {frame[1]} pixels"
            if self.num_frames * frame[0] * frame[1] > LARGEST_CLIP:
                raise ValueError(f"An image has at most {LARGEST_CLIP} pixels, got {what}.")
            self.image_shape: tuple[int, ...] = (_channels(self.vae), frame[0], frame[1] * self.num_frames)
            self.options["image_size"] = frame[0] if frame[0] == frame[1] else list(frame)
        try:
            with evaluating(self.vae):
                if frame is not None:
                    self.latent_shape = tuple(self._encode(self.shift.new_full((1, *self.image_shape), 0.5)).shape[1:])
                made = self._decode(self.shift.new_zeros(1, *self.latent_shape))
        except Exception as error:
            raise ValueError(
                f"{self.kind} does not work on {what} ({type(error).__name__}: {str(error)[:300]}). "
                f"Try another image_size, a multiple of 16 or 32, or another num_frames. {FRAMES.get(self.kind, '')}"
            ) from error
        shape = tuple(made.shape[1:])
        if frame is not None and shape != self.image_shape:
            raise ValueError(
                f"{self.kind} turns {what}, an image of shape {self.image_shape}, into one of shape {shape}: ask for "
                f"an image_size and num_frames that come back as they were. {FRAMES.get(self.kind, '')}"
            )
        if not made.isfinite().all():
            raise ValueError(f"{self.kind} makes NaN or infinity. {why_not_finite(self.vae)}".rstrip())
        self.image_shape = shape

    @property
    def _weight(self) -> Tensor:
        """One of its weights: they have the dtype and the device."""
        tensors = itertools.chain(self.vae.parameters(), self.vae.buffers())
        return next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0))

    @own_surroundings()
    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) of any float type, about N(0, 1), to images (B, C, H, W) float32 in [0, 1].

        Raises:
            ValueError: codes of another shape.
        """
        if tuple(codes.shape[1:]) != self.latent_shape or len(codes) == 0:
            raise ValueError(f"{self.kind} decodes codes (B, *{self.latent_shape}), got {tuple(codes.shape)}.")
        with _grad_for(codes):
            return torch.cat([self._decode(batch) for batch in codes.split(self.max_batch or len(codes))])

    def _decode(self, codes: Tensor) -> Tensor:
        shift, scale = self._normal(codes)
        z = shift + scale * codes.float()
        if self.kind == "AutoencoderKLFlux2":
            z = F.pixel_shuffle(z, self.vae.config.patch_size[0])
        made = self._decode_latents(z.to(self._weight.dtype)).float()
        made = made if made.dim() == 5 else made[:, :, None]
        clips = self.pixel_mean.float() + self.pixel_deviation.float() * made
        return clips.clamp(0, 1).movedim(2, 3).flatten(3)

    def _normal(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(shift, scale) for codes of so many frames: Cosmos has other ones for each."""
        shift, scale = self.shift.float(), self.scale.float()
        return (shift, scale) if shift.dim() < 4 else (shift[:, : codes.shape[2]], scale[:, : codes.shape[2]])

    def _decode_latents(self, z: Tensor) -> Tensor:
        """The autoencoder's own output for its latents, each decoded alone: (B, C, H, W) or (B, C, T, H, W)."""
        config: Any = getattr(self.vae, "config", None)
        options: dict[str, Any] = {}
        made: Tensor
        if self.kind == "VQModel":  # decode() would take the nearest codebook entries: no gradients, no continuity
            made = self.vae.decoder(self.vae.post_quant_conv(z), z if config.norm_type == "spatial" else None)
        elif self.kind == "AutoencoderKLTemporalDecoder":
            frames = self.vae.decode(z.flatten(0, 1), num_frames=z.shape[1]).sample
            made = frames.unflatten(0, z.shape[:2]).movedim(1, 2)
        else:
            if self.kind in DENOISING:
                options["generator"] = [torch.Generator().manual_seed(0) for _ in z]
            if getattr(config, "timestep_conditioning", False):
                options["temb"] = z.new_zeros(len(z))  # the pipelines' default decode_timestep
            with _same_noise(z.device, any(getattr(config, "decoder_inject_noise", None) or ())):
                output = self.vae.decode(z, **options)
            made = getattr(output, "sample", output)
        return made.movedim(1, 2) if self.kind == "AutoencoderKLAllegro" else made

    @property
    def encode(self) -> Callable[[Tensor], Tensor]:
        """Images (B, *image_shape) in [0, 1] to normalised codes (B, *latent_shape), the mode of each distribution.

        The attribute exists only if the autoencoder has an encoder. Batches of any size take bounded memory.
        """
        if not hasattr(self.vae, "encode"):
            raise AttributeError(f"{self.kind} has no encoder.")
        return self._encode_batches

    @own_surroundings()
    def _encode_batches(self, images: Tensor) -> Tensor:
        if tuple(images.shape[1:]) != self.image_shape or len(images) == 0:
            raise ValueError(f"This decoder's images are (B, *{self.image_shape}), got {tuple(images.shape)}.")
        size = self.max_batch or images_at_a_time(images[0], self._weight.device)
        with _grad_for(images):
            return torch.cat([self._encode(batch) for batch in images.split(size)])

    def _encode(self, images: Tensor) -> Tensor:
        clips = images.to(self._weight.device).float().unflatten(3, (self.num_frames, -1)).movedim(3, 2)
        x = ((clips - self.pixel_mean.float()) / self.pixel_deviation.float()).to(self._weight.dtype)
        if self.kind == "AutoencoderKLTemporalDecoder":
            x = x.movedim(2, 1).flatten(0, 1)
        elif self.kind not in CLIP:
            x = x[:, :, 0]
        elif self.kind == "AutoencoderVidTok" and self.vae.is_causal:  # as in its forward()
            x = F.pad(x, (0, 0, 0, 0, self.vae.temporal_compression_ratio - 1, 0), mode="replicate")
        output = self.vae.encode(x)
        if hasattr(output, "latent_dist"):
            output = output.latent_dist.mode()
        for name in ("latents", "latent"):
            output = getattr(output, name, output)
        z: Tensor = (output[0] if isinstance(output, tuple) else output).float()
        if self.kind == "AutoencoderKLTemporalDecoder":
            z = z.unflatten(0, (len(images), -1))
        if self.kind == "AutoencoderKLFlux2":
            z = F.pixel_unshuffle(z, self.vae.config.patch_size[0])
        shift, scale = self._normal(z)
        return (z - shift) / scale

    @own_surroundings()
    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Codes (count, *latent_shape) from N(0, 1), the start of diffusion; their images are textures, not scenes."""
        generator = torch.Generator().manual_seed(as_whole(seed, "seed"))
        codes = torch.randn(as_whole(count, "count", 1), *self.latent_shape, generator=generator)
        return codes.to(self._weight.device)


def _grad_for(inputs: Tensor) -> Any:
    """No graph but for inputs that ask for one: the weights of an autoencoder in hand may, and stay as they are."""
    return torch.set_grad_enabled(torch.is_grad_enabled() and inputs.requires_grad)


def _kind(vae: Any) -> str:
    """The name of the diffusers class that it is, or inherits from."""
    names = [kind.__name__ for kind in type(vae).__mro__]
    return next((name for name in names if name in IMAGE | CLIP or name in REFUSED), names[0])


def _setting(vae: Any, name: str) -> Any:
    """A value of the configuration, or the buffer of that name (LTX has its means there)."""
    value = getattr(getattr(vae, "config", None), name, None)
    return vae._buffers.get(name) if value is None else value


def _normalisation(kind: str, vae: Any) -> tuple[Tensor, Tensor]:
    """(shift, scale), the pipelines' ``latents = shift + scale * code``, of a shape that broadcasts with codes.

    Raises:
        ValueError: the configuration has no normalisation that can be undone.
    """
    try:
        shift, scale = _shift_and_scale(kind, vae)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"The normalisation in the configuration of this {kind} is not known: {error}.") from error
    if not (shift.isfinite().all() and scale.isfinite().all() and (scale != 0).all()):
        raise ValueError(f"The configuration of this {kind} normalises by zeros or infinities.")
    return shift, scale


def _shift_and_scale(kind: str, vae: Any) -> tuple[Tensor, Tensor]:
    if kind == "AutoencoderKLFlux2":
        deviation = (vae.bn.running_var.float() + vae.config.batch_norm_eps).sqrt()
        return vae.bn.running_mean.float().view(-1, 1, 1).clone(), deviation.view(-1, 1, 1)
    if kind == "AutoencoderRAE":  # it does so itself, in encode and decode
        return torch.tensor(0.0), torch.tensor(1.0)
    if kind == "VQModel" and (vae.config.norm_type == "spatial" or vae.config.lookup_from_codebook):
        return torch.tensor(0.0), torch.tensor(1.0)  # Kandinsky's pipelines do not; aMUSEd diffuses tokens
    scaling = float(_setting(vae, "scaling_factor") or 1)
    mean, deviation = _setting(vae, "latents_mean"), _setting(vae, "latents_std")
    if mean is None or deviation is None:
        return torch.tensor(float(_setting(vae, "shift_factor") or 0)), torch.tensor(1 / scaling)
    channels = _setting(vae, "latent_channels") or _setting(vae, "z_dim")
    shape = (channels, -1, 1, 1) if kind in CLIP else (channels, 1, 1)
    shift, scale = (torch.as_tensor(value).detach().float().reshape(shape).clone() for value in (mean, deviation))
    return shift, scale / scaling


@contextlib.contextmanager
def _same_noise(device: torch.device, is_drawn: bool) -> Iterator[None]:
    """Fix the noise of what draws it from torch's own generator, and put that back as it was."""
    if not is_drawn:
        yield
        return
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):  # torch.manual_seed would seed all devices
        (torch.cuda.default_generators[device.index] if on_gpu else torch.default_generator).manual_seed(0)
        yield


def _channels(vae: Any) -> int:
    """Channels of its images: some count patches in them, Mochi waves too; those are RGB."""
    names = ("in_channels", "input_channels", "out_channels", "num_channels", "encoder_in_channels")
    return next((value for value in (_setting(vae, name) for name in names) if value in (1, 3, 4)), 3)


def _sizes(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or not 0 < len(values) < 8:
        raise ValueError(f"{what} is a list of sizes, got {values!r}.")
    return tuple(as_whole(size, f"a size in {what}", 1) for size in values)


def _frame(vae: Any, image_size: Any) -> tuple[int, int]:
    """(height, width) of a frame."""
    if image_size is None:
        fixed = getattr(vae, "decoder_image_size", None)  # RAE's decoder knows one size only
        made_for = _setting(vae, "sample_size") or _setting(vae, "resolution") or USUAL_SIZE
        image_size = fixed or min(USUAL_SIZE, *(made_for if isinstance(made_for, list | tuple) else [made_for]))
    sizes = _sizes(image_size if isinstance(image_size, list | tuple) else [image_size] * 2, "image_size")
    if len(sizes) != 2:
        raise ValueError(f"image_size is a side or (height, width), got {image_size!r}.")
    return sizes[0], sizes[1]
