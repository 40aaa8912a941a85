"""Any ``nn.Module`` or function as a decoder: latent shape, output range, image shape, encoder and prior as arguments.

    f_d = load_decoder("module", module=G, latent_shape=(64,), image_shape=(1, 28, 28), output_range=(-1, 1))

There is no ``module:name``: importing a name runs code, and names may come from the Hub.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from latent_vizae.inputs.checks import as_device, as_whole
from latent_vizae.inputs.surroundings import callers_surroundings, own_surroundings

__all__ = ["ModuleDecoder", "load_module"]

OutputRange = tuple[float, float] | Literal["logits"]
OVERSHOOT = 0.5


class ModuleDecoder(nn.Module):
    """A generator as a decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].

    Args:
        module: the generator, an ``nn.Module`` or a function, codes (B, *latent_shape) -> images, which may be flat.
            The weights and the mode of a module are not changed.
        latent_shape: shape of one code.
        image_shape: (C, H, W) of one image; needed where the output is flat.
        output_range: the output's values of black and white, or "logits" (a sigmoid follows). Values up to half of
            the range outside of it are clamped.
        encoder: images (B, C, H, W), in the range of the output ([0, 1] for logits), to codes, flat or not.
        sample: the prior: "normal", "uniform" in [-1, 1], or a function (count, seed) -> codes.

    Raises:
        TypeError: a module that is not callable, a range that is not two numbers.
        ValueError: an invalid shape or range; in ``forward``, an output of another shape, or farther outside of the
            range.

    Example:
        >>> G = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
        >>> f_d = ModuleDecoder(G, (8,), (1, 4, 4), output_range=(-1, 1), sample="normal")
        >>> f_d(f_d.sample(3, seed=0)).shape
        torch.Size([3, 1, 4, 4])
    """

    source = None

    def __init__(
        self,
        module: Callable[[Tensor], Tensor],
        latent_shape: tuple[int, ...],
        image_shape: tuple[int, int, int] | None = None,
        output_range: OutputRange = (0.0, 1.0),
        encoder: Callable[[Tensor], Tensor] | None = None,
        sample: Literal["normal", "uniform"] | Callable[[int, int], Tensor] | None = None,
    ) -> None:
        super().__init__()
        for name, function in (("module", module), ("encoder", encoder)):
            if not callable(function) and (name == "module" or function is not None):
                raise TypeError(f"{name} is a module or a function, got {type(function).__name__}.")
        if sample not in (None, "normal", "uniform") and not callable(sample):
            raise ValueError(f"sample is 'normal', 'uniform' or a function (count, seed) -> codes, got {sample!r}.")
        self.latent_shape = _shape(latent_shape, "latent_shape")
        self.image_shape = None if image_shape is None else _shape(image_shape, "image_shape")
        if self.image_shape is not None and len(self.image_shape) != 3:
            raise ValueError(f"image_shape is (channels, height, width), got {self.image_shape}.")
        self.output_range = _range(output_range)
        self.module = module
        self._encoder, self._sample = encoder, sample

    @property
    def device(self) -> torch.device:
        """Where the generator's weights are; the CPU for a function."""
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) in [0, 1]."""
        output = self.module(codes)
        if not isinstance(output, Tensor):
            raise ValueError(
                f"The module returned {type(output).__name__}, not a tensor. Pass a function that returns the images, "
                "such as lambda z: module(z)[0] or .sample."
            )
        shape = self.image_shape or tuple(output.shape[1:])
        if output.shape[1:] != shape:
            if not _may_be(output.shape[1:], shape):
                hint = " Channels come first: permute(0, 3, 1, 2)." if output.shape[-1] == shape[0] else ""
                raise ValueError(f"image_shape is {shape}, but the module returned {tuple(output.shape[1:])}.{hint}")
            output = output.reshape(-1, *shape)
        if output.dim() != 4:
            raise ValueError(f"The module returned {tuple(output.shape[1:])} per code: pass image_shape=(C, H, W).")
        if self.output_range == "logits":
            return output.sigmoid()
        black, white = self.output_range
        images = (output - black) / (white - black)
        low, high = (value.item() for value in images.detach().aminmax())
        if not -OVERSHOOT <= low <= high <= 1 + OVERSHOOT:  # false for NaN too
            raise ValueError(
                f"output_range is {self.output_range}, but the module returned values in "
                f"[{low * (white - black) + black:.4g}, {high * (white - black) + black:.4g}]."
            )
        return images.clamp(0, 1)

    @property
    def encode(self) -> Callable[[Tensor], Tensor]:
        """Images (B, C, H, W) in [0, 1] to codes (B, *latent_shape). The attribute exists only with an encoder."""
        if self._encoder is None:
            raise AttributeError("This decoder came without an encoder.")
        return self._encode

    def _encode(self, images: Tensor) -> Tensor:
        encoder: Any = self._encoder
        weights = (*encoder.parameters(), *encoder.buffers()) if isinstance(encoder, nn.Module) else ()
        like = next((tensor for tensor in weights if tensor.is_floating_point()), images.float())
        black, white = (0.0, 1.0) if self.output_range == "logits" else self.output_range
        codes = encoder((images.float() * (white - black) + black).to(like))
        if (
            not isinstance(codes, Tensor)
            or len(codes) != len(images)
            or not _may_be(codes.shape[1:], self.latent_shape)
        ):
            got = tuple(codes.shape) if isinstance(codes, Tensor) else type(codes).__name__
            raise ValueError(f"The encoder returns {len(images)} codes of shape {self.latent_shape}, got {got}.")
        return codes.float().reshape(-1, *self.latent_shape)

    @property
    def sample(self) -> Callable[[int, int], Tensor]:
        """``sample(count, seed)``: codes (count, *latent_shape) from the prior. It exists only with a prior."""
        if self._sample is None:
            raise AttributeError("This decoder came without a prior.")
        return self._draw

    @own_surroundings()
    def _draw(self, count: int, seed: int = 0) -> Tensor:
        count, seed = as_whole(count, "count", 1), as_whole(seed, "seed")
        if callable(self._sample):
            with callers_surroundings():
                return self._sample(count, seed)
        generator = torch.Generator().manual_seed(seed)
        if self._sample == "uniform":
            return (torch.rand(count, *self.latent_shape, generator=generator) * 2 - 1).to(self.device)
        return torch.randn(count, *self.latent_shape, generator=generator).to(self.device)


def _shape(shape: Any, what: str) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list) or not shape:
        raise ValueError(f"{what} is a tuple of sizes, got {shape!r}.")
    return tuple(as_whole(size, f"a size in {what}", 1) for size in shape)


def _may_be(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether one shape is a reshaping of another: flat, (C, H * W), or the same up to sizes of 1."""
    size = math.prod(wanted)
    return [d for d in given if d != 1] in (
        [d for d in other if d != 1] for other in (wanted, (size,), (wanted[0], size // wanted[0]))
    )


def _range(output_range: Any) -> OutputRange:
    if output_range == "logits":
        return "logits"
    try:
        black, white = (float(value) for value in output_range)
    except (TypeError, ValueError) as error:
        raise TypeError(f"output_range is (black, white) or 'logits', got {output_range!r}.") from error
    if not abs(white - black) > 0 or not abs(white) + abs(black) < float("inf"):
        raise ValueError(f"output_range is (black, white), two different numbers, got {output_range!r}.")
    return black, white


def load_module(
    reference: str = "", *, module: Any = None, device: str | torch.device | None = None, **options: Any
) -> ModuleDecoder:
    """The entry point of the scheme ``module``; see `ModuleDecoder` for the options.

    Raises:
        ValueError: a reference after ``module:``.
        TypeError: no module.
    """
    if reference:
        raise ValueError(
            f"'module' takes no name, got 'module:{reference}'. Pass the generator itself: "
            "load_decoder('module', module=G)."
        )
    if module is None:
        raise TypeError("load_decoder('module', module=G, latent_shape=...) needs the generator itself, module=.")
    decoder = ModuleDecoder(module, **options)
    return decoder if device is None else decoder.to(as_device(device))
