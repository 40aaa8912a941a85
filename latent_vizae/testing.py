"""The contract of a decoder as one function, for the tests of adapters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import decode_images, decoder_dtype_and_device, differentiable_images, evaluating
from latent_vizae.decoders.encoder import encode_batches
from latent_vizae.inputs.sources import as_codes

__all__ = ["check_decoder"]


def check_decoder(
    decoder: Any,
    codes: Tensor | None = None,
    *,
    differentiable: bool = True,
    tolerance: float = 1e-4,
    encode_tolerance: float | None = None,
) -> None:
    """Check that a decoder keeps the contract, in the tests of an adapter.

    Checked are: shapes and range; equal images for equal codes, alone or in a batch, for any global seed; inputs,
    weights and mode (train, eval) unchanged; codes of any float type; gradients that reach the code. Of ``encode``,
    ``sample`` and ``examples``, where they exist: shapes, seeds, finite values.

    Args:
        decoder: any callable, codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        codes: (k, *latent_shape), k >= 2, for the checks; by default from ``sample``, ``examples`` or, for a decoder
            with a ``latent_shape``, white noise.
        differentiable: whether gradients have to reach the code.
        tolerance: largest difference of pixels of equal images; larger for half precision.
        encode_tolerance: largest root mean square difference between images and their reconstructions, the images of
            ``encode(images)``; by default not checked.

    Raises:
        AssertionError: the contract is broken; the message has the law, what was expected and what arrived.
        ValueError: no codes were given, and the decoder has none.
    """
    z = _codes(decoder, codes)
    latent_shape = tuple(z.shape[1:])
    weights = _state(decoder)
    was_training = [m.training for m in decoder.modules()] if isinstance(decoder, nn.Module) else []
    given = z.clone()

    images = _decoded(decoder, z)
    dtype, device = decoder_dtype_and_device(decoder)
    mine = given.to(device=device, dtype=dtype, copy=True)
    with torch.no_grad(), evaluating(decoder):
        decoder(mine)
    low, high = images.min().item(), images.max().item()
    _require(0 <= low <= high <= 1, f"images lie in [0, 1], got [{low:.4g}, {high:.4g}]")
    _require(torch.equal(given.to(mine), mine), "codes are left as they are, the decoder changed them in place")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        again = _decoded(decoder, z)
    _same(images, again, tolerance, "the same code gives the same image twice")
    alone = torch.cat([_decoded(decoder, code) for code in z.split(1)])
    _same(images, alone, tolerance, "a code gives the same image alone as in a batch")
    _same(images.flip(0), _decoded(decoder, z.flip(0)), tolerance, "the order within a batch does not matter")
    _same(images, _decoded(decoder, z.double()), tolerance, "codes in double precision give the same images")
    half = z.half()
    _same(_decoded(decoder, half.float()), _decoded(decoder, half), tolerance, "half-precision codes are taken")
    if differentiable:
        wanted = z.clone().requires_grad_()
        made = differentiable_images(decoder, wanted)
        _require(made.requires_grad, "gradients reach the code; pass differentiable=False where they cannot")
        (gradient,) = torch.autograd.grad(made.sum(), wanted)
        _require(bool(torch.isfinite(gradient).all()), "gradients are finite")
        _require(bool(gradient.abs().sum() > 0), "the image depends on the code: its gradient is not 0 everywhere")
    _check_encode(decoder, images, latent_shape, encode_tolerance)
    _check_sources(decoder, latent_shape)
    source = getattr(decoder, "source", None)
    _require(source is None or isinstance(source, str), f"source is a string or None, got {source!r}")
    after = _state(decoder)
    _require(all(torch.equal(weights[name], after[name]) for name in weights), "weights and buffers are left alone")
    now = [m.training for m in decoder.modules()] if isinstance(decoder, nn.Module) else []
    _require(was_training == now, "train and eval mode are left alone")


def _require(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(f"The decoder breaks its contract: {law}.")


def _same(first: Tensor, second: Tensor, tolerance: float, law: str) -> None:
    _require(first.shape == second.shape, f"{law}; the shapes are {tuple(first.shape)} and {tuple(second.shape)}")
    apart = (first - second).abs().max().item()
    _require(apart <= tolerance, f"{law}; they are up to {apart:.3g} apart, {tolerance:.3g} is allowed")


def _decoded(decoder: Any, codes: Tensor) -> Tensor:
    try:
        return decode_images(decoder, codes).cpu()
    except ValueError as error:
        raise AssertionError(f"The decoder breaks its contract: {error}") from error


def _encoded(decoder: Any, batches: Iterable[Tensor]) -> Tensor:
    try:
        return torch.cat(list(encode_batches(decoder, batches))).cpu()
    except ValueError as error:
        raise AssertionError(f"The decoder breaks its contract: {error}") from error


def _state(decoder: Any) -> dict[str, Tensor]:
    if not isinstance(decoder, nn.Module):
        return {}
    return {name: tensor.detach().clone() for name, tensor in decoder.state_dict().items()}


def _codes(decoder: Any, codes: Tensor | None) -> Tensor:
    """The codes to try the decoder on."""
    if codes is not None:
        chosen = as_codes(codes)
    elif hasattr(decoder, "sample"):
        chosen = as_codes(decoder.sample(3, 0))
    elif hasattr(decoder, "examples"):
        chosen = as_codes(decoder.examples(count=3)[0])
    elif getattr(decoder, "latent_shape", None) is not None:
        chosen = torch.randn(3, *decoder.latent_shape, generator=torch.Generator().manual_seed(0))
    else:
        raise ValueError("check_decoder needs codes: this decoder has no latent_shape, sample or examples.")
    if len(chosen) < 2:
        raise ValueError(f"check_decoder needs at least 2 codes, got {len(chosen)}.")
    shape = getattr(decoder, "latent_shape", None)
    _require(shape is None or tuple(shape) == tuple(chosen.shape[1:]), f"codes have the shape latent_shape={shape}")
    return chosen


def _check_encode(decoder: Any, images: Tensor, latent_shape: tuple[int, ...], tolerance: float | None) -> None:
    if getattr(decoder, "encode", None) is None:
        return
    dtype, device = decoder_dtype_and_device(decoder)
    given = images.to(device=device, dtype=dtype, copy=True)
    codes, again = _encoded(decoder, [images]), _encoded(decoder, [images])
    with torch.no_grad(), evaluating(decoder):
        decoder.encode(given)
    _require(torch.equal(given, images.to(given)), "encode leaves images as they are, it changed them in place")
    alone = _encoded(decoder, images.split(1))
    law = f"encode gives codes (B, *latent_shape) = {(len(images), *latent_shape)}"
    _require(tuple(codes.shape) == (len(images), *latent_shape), f"{law}, got {tuple(codes.shape)}")
    size = codes.abs().max().item()
    _same(codes, again, 1e-3 * size, "encode gives the same codes twice")
    _same(codes, alone, 1e-2 * size, "encode gives the same code for an image alone as in a batch")
    if tolerance is not None:
        apart = (_decoded(decoder, codes) - images).square().mean().sqrt().item()
        _require(apart <= tolerance, f"decoding undoes encoding to {tolerance:.3g} (rms); here to {apart:.3g}")


def _check_sources(decoder: Any, latent_shape: tuple[int, ...]) -> None:
    if hasattr(decoder, "sample"):
        first, again, other = decoder.sample(3, 0), decoder.sample(3, 0), decoder.sample(3, 1)
        _require(tuple(first.shape) == (3, *latent_shape), f"sample(3, seed) gives 3 codes, got {tuple(first.shape)}")
        _require(torch.equal(first, again), "sample gives the same codes for the same seed")
        _require(not torch.equal(first, other), "sample gives other codes for another seed")
    if hasattr(decoder, "examples"):
        codes, labels = decoder.examples(count=2)
        _require(tuple(codes.shape) == (2, *latent_shape), f"examples(count=2) gives 2 codes; {tuple(codes.shape)}")
        _require(labels is None or tuple(labels.shape) == (2,), "examples gives one label per code, or None")
