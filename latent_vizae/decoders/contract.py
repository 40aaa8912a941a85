"""The decoder f_d: the only requirement on a pretrained generator.

A decoder is **any callable** that turns codes (B, *latent_shape) into images (B, C, H, W) in [0, 1]: an
``nn.Module``, a function, an object from `load_decoder`. Nothing has to be subclassed. These attributes are
used where a decoder has them:

    latent_shape                      the shape of one code
    encode(images)                    images (B, C, H, W) in [0, 1] -> codes
    sample(count, seed)               codes drawn from the generator's prior
    examples(label=, count=, seed=)   (codes, labels) that come with it
    differentiable                    False where images never have gradients; `fit` then does not warn of it
    source                            the string for `load_decoder`; it is saved with v, to load the generator again
    options                           keywords for `load_decoder`, numbers and strings (image_size=64)
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from latent_vizae.inputs.surroundings import callers_surroundings, warn_caller
from latent_vizae.network.threads import callers_threads, one_thread

from .kept import kept_of
from .spending import SLOW, note_time, seconds_per_image

__all__ = [
    "Decoder",
    "call_decoder",
    "decode_images",
    "decode_with_gradients",
    "decoder_dtype_and_device",
    "differentiable_images",
    "images_at_a_time",
    "is_slow",
    "require_decoder",
    "why_not_finite",
    "within_a_second",
]


RANGE_TOLERANCE = 1e-3
SMALL_IMAGE = 2**12
"""Values of an image up to which one thread decodes: 64 x 64 in grey. A second one buys 0 to 20 % there, when idle."""

VALUES_PER_BATCH, VALUES_PER_CPU_BATCH = 2**20, 2**16
"""Values of images in one batch (a megapixel), which bounds memory. On a CPU, batches larger than the second number
fall out of its caches and take up to twice as long."""

FROM_NUMPY = "lambda z: torch.from_numpy(G(z.numpy()))"


@runtime_checkable
class Decoder(Protocol):
    """Any callable: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1]."""

    def __call__(self, codes: Tensor, /) -> Tensor:
        """Decode a batch of codes."""
        ...


def require_decoder(decoder: Any, latent_shape: tuple[int, ...]) -> None:
    """Check, before anything is computed, that a decoder can take codes of that shape.

    Raises:
        TypeError: it is not callable, or its ``latent_shape`` is not a shape.
        ValueError: its ``latent_shape`` is another one.
    """
    if not callable(decoder):
        able = [name for name in ("decode", "generate", "forward") if callable(getattr(decoder, name, None))]
        hint = f"Pass its method, decoder.{able[0]}." if able else "By name: load_decoder('mnist')."
        raise TypeError(f"decoder is a callable, codes -> images, got {type(decoder).__name__}. {hint}")
    if isinstance(decoder, type):
        name = decoder.__name__
        raise TypeError(f"decoder is a callable, codes -> images, got the class {name}. Make one of it: {name}(...).")
    shape = getattr(decoder, "latent_shape", None)
    if not isinstance(shape, Iterable | None):
        raise TypeError(f"A decoder's latent_shape is the shape of one code, such as (10,), got {shape!r}.")
    if shape is not None and tuple(shape) != tuple(latent_shape):
        raise ValueError(f"This decoder takes codes of shape {tuple(shape)}; here they have {tuple(latent_shape)}.")


def decoder_dtype_and_device(decoder: Any) -> tuple[torch.dtype, torch.device | None]:
    """Dtype and device for a decoder's codes: those of its first floating-point parameter or buffer.

    For a plain function float32, and None: the codes stay on their device.
    """
    if isinstance(decoder, nn.Module):
        for tensor in itertools.chain(decoder.parameters(), decoder.buffers()):  # the first is enough
            if tensor.is_floating_point():
                return tensor.dtype, tensor.device
    device = getattr(decoder, "device", None)
    return torch.float32, device if isinstance(device, torch.device) else None


_LOCK = threading.Lock()
_EVALUATING: dict[int, tuple[int, bool]] = {}
"""By the id of a module that is evaluated now: how often, and whether it was in training before. Who counts holds the
module, so that no id is used again meanwhile."""


@contextlib.contextmanager
def evaluating(decoder: Any) -> Iterator[None]:
    """Evaluation mode of a module inside of a ``with``; afterwards each submodule has its own mode again.

    Nested and concurrent uses are counted: the mode is set back when the last of them ends.
    """
    modules = list(decoder.modules()) if isinstance(decoder, nn.Module) else []
    with _LOCK:
        for module in modules:
            count, was_training = _EVALUATING.get(id(module), (0, False))
            _EVALUATING[id(module)] = count + 1, was_training or module.training
            if module.training:
                module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                count, was_training = _EVALUATING.pop(id(module))
                if count > 1:
                    _EVALUATING[id(module)] = count - 1, was_training
                elif was_training:
                    module.training = True


def _shape_of(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _how_to_wrap(images: Any, count: int) -> str:
    """What to write around a decoder that returned this for so many codes."""
    if isinstance(images, np.ndarray):
        return f"Wrap it: {FROM_NUMPY}, with its axes in this order."
    if isinstance(images, Tensor):
        if images.dim() == 3 and len(images) == count:
            return "Wrap it, if one channel is left out: lambda z: G(z).unsqueeze(1)."
        if images.dim() == 3:
            return "Wrap it, if it takes one code at a time: lambda z: torch.stack([G(code) for code in z])."
        if images.dim() == 2 and len(images) == count:
            return "Wrap it, with the shape of an image: lambda z: G(z).unflatten(1, (C, H, W))."
        return "Wrap it in a function that reshapes."
    if isinstance(images, list | tuple) and len(images) == count:
        if all(isinstance(image, Tensor) and image.dim() == 3 for image in images):
            return "Make one tensor of it: lambda z: torch.stack(G(z))."
        if not isinstance(images[0], Tensor):
            return "Make one tensor of it, such as by output_type='pt' of a pipeline."
    parts: Iterable[tuple[str, Any]] = (
        ((f"[{key!r}]", part) for key, part in images.items())
        if isinstance(images, Mapping)
        else ((f"[{i}]", part) for i, part in enumerate(images))
        if isinstance(images, list | tuple)
        else ((f".{name}", part) for name, part in getattr(images, "__dict__", {}).items())
    )
    for taken, part in parts:
        if isinstance(part, Tensor) and part.dim() == 4:
            return f"Take the tensor out of it: lambda z: G(z){taken}."
    return "Wrap it in a function that returns one tensor."


def _wants_arrays(error: Exception) -> bool:
    """Whether a decoder that raised this seems to be one of NumPy, which was handed a tensor."""
    missing = (
        isinstance(error, AttributeError) and isinstance(error.obj, Tensor) and hasattr(np.ndarray, error.name or "")
    )
    return missing or (isinstance(error, TypeError) and "numpy" in str(error).lower())


def _is_channels_last(channels: int, height: int, width: int) -> bool:
    """Whether (H, W, C) came instead of (C, H, W): 1, 3 or 4 at the end, and two sides of an image before that."""
    return width in (1, 3, 4) and min(channels, height) > 4 and max(channels, height) <= 4 * min(channels, height)


def call_decoder(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """One checked call, codes (B, *latent_shape) float32 -> images (B, C, H, W) float32, gradients kept.

    Raises:
        ValueError: the decoder raised, or returned something that is not a batch of images.
    """
    dtype, device = decoder_dtype_and_device(decoder)
    try:
        with evaluating(decoder), callers_surroundings():
            images = decoder(codes.to(device=device, dtype=dtype, copy=True))  # it may work in place
    except Exception as error:
        hint = ""
        if isinstance(error, TypeError) and "missing" in str(error) and "required" in str(error):
            hint = " Hand over what else it needs, such as a class: lambda z: G(z, label)."
        elif _wants_arrays(error):
            hint = f" If it takes arrays of NumPy: {FROM_NUMPY}."
        raise ValueError(
            f"The decoder raised {type(error).__name__} on codes of shape {tuple(codes.shape)}: {error}. "
            f"Decoders take codes (B, *latent_shape) and return images (B, C, H, W) in [0, 1].{hint}"
        ) from error
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) != len(codes) or images.numel() == 0:
        raise ValueError(
            f"Decoders return a tensor of images (B, C, H, W) in [0, 1]; for codes of shape {tuple(codes.shape)} this "
            f"one returned {_shape_of(images)}. "
            f"{_how_to_wrap(images, len(codes))}"
        )
    _, channels, height, width = images.shape
    stated = getattr(decoder, "image_shape", None)
    if _is_channels_last(channels, height, width) and (stated is None or tuple(stated) != tuple(images.shape[1:])):
        raise ValueError(
            f"Decoders return images (B, C, H, W); this one returned the shape {tuple(images.shape)}, whose channels "
            "seem to be last. Wrap it: lambda z: G(z).movedim(-1, 1). If it has so many channels, give it the "
            f"attribute image_shape = {tuple(images.shape[1:])}."
        )
    if images.is_meta:
        raise ValueError("This decoder's images are on the meta device and hold no numbers: load its weights first.")
    if images.layout != torch.strided:
        raise ValueError(
            f"Decoders return dense images; these are {images.layout}. Wrap it: lambda z: G(z).to_dense()."
        )
    if not images.is_floating_point():
        hint = ""
        if images.dtype == torch.bool:
            hint = " Wrap it: lambda z: G(z).float()."
        elif not images.is_complex():
            hint = f" Wrap it: lambda z: G(z) / {255 if images.long().max() <= 255 else 65535}."
        raise ValueError(f"Decoders return floats in [0, 1]; this one returned {images.dtype}.{hint}")
    return images.float()


def _check_range(images: Tensor, decoder: Any) -> Tensor:
    """Clamp rounding; raise ValueError for images outside of [0, 1] or with NaN."""
    low, high = (value.item() for value in images.detach().aminmax())
    if math.isnan(low):
        raise ValueError(
            f"Decoders return finite images; those of this one hold NaN. {why_not_finite(decoder)}".rstrip()
        )
    if not -RANGE_TOLERANCE <= low <= high <= 1 + RANGE_TOLERANCE:  # false for NaN too
        hint = ""
        if -1.001 <= low <= -0.5 and high <= 1.001:
            hint = "Its range looks like [-1, 1]: wrap it, lambda z: (G(z) + 1) / 2."
        elif low >= 0 and 10 <= high <= 255.5:
            hint = "Its range looks like [0, 255]: wrap it, lambda z: G(z) / 255."
        elif low >= 0 and 1000 <= high <= 65535.5:
            hint = "Its range looks like [0, 65535]: wrap it, lambda z: G(z) / 65535."
        elif low >= -0.25 and high <= 1.25:
            hint = "If that is overshoot, wrap it: lambda z: G(z).clamp(0, 1)."
        raise ValueError(
            f"Decoders return images in [0, 1]; this one returned [{low:.4g}, {high:.4g}]. {hint}".rstrip()
        )
    return images.clamp(0, 1)


def why_not_finite(module: Any) -> str:
    """Why a network makes NaN, as far as its weights tell: they hold some, or half precision overflows."""
    named = list(module.state_dict().items()) if isinstance(module, nn.Module) else []
    floats = [(name, tensor) for name, tensor in named if isinstance(tensor, Tensor) and tensor.is_floating_point()]
    broken = [name for name, tensor in floats if not torch.isfinite(tensor).all()]
    if broken:
        listed = f"{', '.join(broken[:3])}{', ...' if len(broken) > 3 else ''}"
        return f"Its weights hold NaN or infinity: {listed}. Load them again, or train it again."
    if any(tensor.dtype == torch.float16 for _, tensor in floats):
        return "Numbers overflow in float16: take bfloat16 or float32."
    return "Its weights are finite: look for a division by 0, or for an overflow." if floats else ""


def differentiable_images(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """Images of one batch of codes, with gradients where the decoder has them; checked, not clamped.

    A decoder outside of torch (numpy, ONNX) fails on codes that require gradients; it is called again without them.

    Args:
        decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        codes: (B, *latent_shape), any float type.

    Raises:
        ValueError: the decoder raised, or returned something that is not a batch of images.
    """
    try:
        return call_decoder(decoder, codes)
    except ValueError:
        if not codes.requires_grad:
            raise
    return call_decoder(decoder, codes.detach())


def decoder_threads(values: int) -> contextlib.AbstractContextManager[None]:
    """The threads to decode images of so many values with: one where they are small, else as many as the caller has.

    The tensors behind small images are too small to share; see `threads`.
    """
    return one_thread() if values <= SMALL_IMAGE else callers_threads()


def images_at_a_time(image: Tensor, device: torch.device | None = None) -> int:
    """Number of images like this one (C, H, W) in one batch, on a device or on the image's own."""
    values = VALUES_PER_CPU_BATCH if (device or image.device).type == "cpu" else VALUES_PER_BATCH
    return max(1, values // max(1, image.numel()))


@torch.no_grad()
def decode_images(decoder: Callable[[Tensor], Tensor], codes: Tensor, *, afresh: bool = False) -> Tensor:
    """Images of any number of codes, in batches of bounded memory (`images_at_a_time`) and time.

    A call takes about a second at most, where it can be split; on a GPU it is halved where memory does not suffice.
    Images of a slow decoder are kept, within 256 MiB, and are not asked for again.

    Args:
        decoder: codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        codes: (k, *latent_shape), k >= 1.
        afresh: whether to ask for images that are kept, too.

    Returns:
        Images (k, C, H, W), float32 in [0, 1], on the decoder's device.

    Raises:
        ValueError: the decoder raised, or returned something that is not a batch of images in [0, 1]; or there is not
            enough memory for all images.
    """
    kept = None if afresh or not is_slow(decoder) else kept_of(decoder)
    known = {} if kept is None else kept.look_up(codes)
    if kept is None or len(known) < 2:  # one is decoded again, to see whether they still hold
        images = _decoded(decoder, codes)
        if is_slow(decoder) and not afresh and (kept := kept_of(decoder)) is not None:
            kept.keep(codes, images)
        return images
    if not kept.still_hold(lambda code: _decoded(decoder, code), known, codes):
        return decode_images(decoder, codes)
    device = decoder_dtype_and_device(decoder)[1] or codes.device
    new = [number for number in range(len(codes)) if number not in known]
    some = next(iter(known.values()))
    images = some.new_empty((len(codes), *some.shape)).to(device)
    for number, image in known.items():
        images[number] = image
    if new:
        made = _decoded(decoder, codes[new])
        kept.keep(codes[new], made)
        images[new] = made.to(images.device)
    return images


def decode_with_gradients(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """`decode_images` of codes that require gradients; the graph of all images is in memory.

    Raises:
        ValueError: as `decode_images`, or the images have no gradients.
    """
    images = _decoded(decoder, codes)
    if not images.requires_grad:
        raise ValueError(
            "Gradients by points were asked for, and this decoder's images have none: it leaves torch, detaches, "
            "rounds or works under no_grad. To see the images alone, hand in points.detach()."
        )
    return images


def is_slow(decoder: Any) -> bool:
    """Whether an image of a decoder takes longer than `SLOW`, as far as it was called."""
    seconds = seconds_per_image(decoder)
    return seconds is not None and seconds > SLOW


def within_a_second(decoder: Any) -> int:
    """Codes of a slow decoder in one call, a power of two; any number of others."""
    seconds = seconds_per_image(decoder)
    if seconds is None or seconds <= SLOW:
        return 2**62
    return 1 << max(0, math.floor(math.log2(1 / seconds)))


def _timed(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    """One call, its images checked, which waits for a GPU, and the time that it took."""
    started = time.perf_counter()
    images = _check_range(call_decoder(decoder, codes), decoder)
    note_time(decoder, len(codes), time.perf_counter() - started)
    return images


def _decoded(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> Tensor:
    with callers_threads():
        first = _timed(decoder, codes[:1])
    if len(codes) == 1:
        return first
    size = images_at_a_time(first[0])
    size = min(size, getattr(decoder, "max_batch", None) or size)
    try:
        images = first.new_empty((len(codes), *first.shape[1:]))
    except RuntimeError as error:
        need = len(codes) * first.numel() * first.element_size() / 2**30
        raise ValueError(
            f"{len(codes)} images of shape {tuple(first.shape[1:])} need {need:.0f} GiB, more than there is. Ask "
            "for fewer at a time."
        ) from error
    images[:1] = first
    start = 1
    while start < len(codes):
        count = min(size, within_a_second(decoder), len(codes) - start)
        try:
            with decoder_threads(first.numel()):
                batch = _timed(decoder, codes[start : start + count])
        except ValueError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError) or count == 1:
                raise
            size = count // 2
            torch.cuda.empty_cache()
            warn_caller(f"Memory does not suffice for {count} images at a time: {size} are decoded.")
            continue
        if batch.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"The decoder returned images of two shapes, {tuple(first.shape[1:])} and {tuple(batch.shape[1:])}."
            )
        images[start : start + count] = batch
        start += count
    return images
