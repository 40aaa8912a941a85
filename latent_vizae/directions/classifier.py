"""Classes of images: call and check any classifier, and train a small one on a decoder's labelled codes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, leaky_relu

from latent_vizae.decoders.contract import (
    decode_images,
    decoder_dtype_and_device,
    evaluating,
    images_at_a_time,
    require_decoder,
)
from latent_vizae.decoders.spending import BUDGET, Budget, as_limit, spending
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.names import as_labels
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import callers_surroundings, own_surroundings
from latent_vizae.training.optimisers import Adam
from latent_vizae.training.progress import Reporting

from .budget import Allowance

__all__ = ["Classifier", "classify", "learn_classifier", "require_classifier", "shrunk"]


Classifier = Callable[[Tensor], Any]
"""Images (B, C, H, W) in [0, 1] -> class ids (B,), whole numbers; or logits (B, N), of which the largest counts."""

CLASSIFIER_SIDE, BATCH_SIZE = 28, 128


def require_classifier(classifier: Any) -> None:
    """Raise TypeError for a classifier that is not callable."""
    if not callable(classifier):
        raise TypeError(
            f"classifier is a callable, images (B, C, H, W) in [0, 1] -> class ids (B,), got "
            f"{type(classifier).__name__}."
        )


@torch.no_grad()
def classify(classifier: Classifier, images: Tensor, n_classes: int | None = None) -> Tensor:
    """Class ids of images, in batches of bounded memory.

    Args:
        classifier: images (B, C, H, W) in [0, 1] -> class ids (B,), or logits (B, N).
        images: (B, C, H, W).
        n_classes: upper bound of the ids, exclusive.

    Returns:
        (B,) int64, on the CPU.

    Raises:
        ValueError: the classifier raised, or returned something else.
    """
    dtype, device = decoder_dtype_and_device(classifier)
    parts = []
    for batch in images.split(images_at_a_time(images[0], device)):
        try:
            with evaluating(classifier), callers_surroundings():
                output = classifier(batch.to(device=device, dtype=dtype))
        except Exception as error:
            raise ValueError(
                f"The classifier raised {type(error).__name__} on images of shape {tuple(batch.shape)}: {error}. "
                "Classifiers take images (B, C, H, W) in [0, 1]; wrap one of another size or range in a function."
            ) from error
        parts.append(_ids_of(output, len(batch)))
    ids = torch.cat(parts)
    if n_classes is not None and int(ids.max()) >= n_classes:
        raise ValueError(
            f"The classifier returned class {int(ids.max())}; n_classes={n_classes} allows 0 to {n_classes - 1}."
        )
    return ids


def _ids_of(output: Any, count: int) -> Tensor:
    """Class ids (count,) of what a classifier returned."""
    wanted = f"Classifiers return class ids ({count},), whole numbers from 0 on, or logits ({count}, N), N at least 2"
    try:
        tensor = torch.as_tensor(output).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{wanted}; this one returned {type(output).__name__}.") from error
    what = f"{wanted}; this one returned shape {tuple(tensor.shape)} of {tensor.dtype}"
    if tensor.dim() == 2 and len(tensor) == count and tensor.shape[1] > 1 and tensor.is_floating_point():
        if tensor.isnan().any():
            raise ValueError(f"{what}, with NaN.")
        return tensor.argmax(1)
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if tensor.shape != (count,) or not whole:
        raise ValueError(f"{what}.")
    if int(tensor.min()) < 0:
        raise ValueError(f"{what}, with the id {int(tensor.min())}.")
    return tensor.long()


@torch.inference_mode(False)
@own_surroundings()
def learn_classifier(
    decoder: Callable[[Tensor], Tensor],
    codes: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int = 400,
    seed: int = 0,
    budget: Budget = BUDGET,
    progress: Reporting = False,
) -> Callable[[Tensor], Tensor]:
    """Train a small classifier of a decoder's images on labelled codes, where there is no pretrained one.

    Args:
        decoder: f_d, any callable codes -> images.
        codes: (k, *latent_shape).
        labels: (k,) whole numbers from 0 on: the classes of their images.
        steps: steps of Adam, each on 128 images.
        seed: the same seed on the same machine gives the same classifier, where the budget is no time or not reached.
        budget: most images to ask the decoder for, or most time for them, "60s"; None for those of all codes. Of
            more codes some are drawn.
        progress: True for a bar on stderr, or a function ``(step, steps, title)``, that counts images of a slow
            decoder; the title says what is to be waited for.

    Returns:
        A function, images (B, C, H, W) in [0, 1] -> class ids (B,), those that occur in ``labels``.

    Raises:
        TypeError, ValueError: codes, labels or a decoder that `latent_vizae.fit` would refuse; a single class, or no
            such budget, or one that allows images of a single class.

    Example:
        >>> from latent_vizae import load_decoder
        >>> f_d = load_decoder("mnist")
        >>> codes, labels = f_d.examples(count=1000)
        >>> classifier = learn_classifier(f_d, codes, labels, steps=50)
        >>> (classifier(f_d(codes)) == labels).float().mean().item() > 0.7
        True
    """
    batch = as_codes(codes)
    require_decoder(decoder, tuple(batch.shape[1:]))
    limit, numbers, seed = as_limit(budget), as_labels(labels, len(batch)).numbers, as_whole(seed, "seed")
    generator, within = torch.Generator().manual_seed(seed), ""
    with spending() as spent:
        decode_images(decoder, batch[:1])  # how long does one take?
        allowance = Allowance(decoder, limit, spent, {})
        allowed = allowance.left()
        if allowed < len(batch):
            within = f" with the {int(allowed)} of {len(batch)} codes that the budget allows"
            rows = torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))[: int(allowed)]
            batch, numbers = batch[rows.to(batch.device)], numbers[rows]
        kinds, targets = numbers.unique(return_inverse=True)
        if len(kinds) < 2 or int(kinds[0]) < 0:
            raise ValueError(
                f"A classifier needs labels of at least 2 classes, from 0 on; got {kinds.tolist()[:9]}{within}."
            )
        with allowance.shown(progress, "classifier", len(batch)):
            images = shrunk(decode_images(decoder, batch), CLASSIFIER_SIDE)
    channels = images.shape[1]
    reached = math.ceil(math.ceil(images.shape[2] / 2) / 2) * math.ceil(math.ceil(images.shape[3] / 2) / 2)
    sizes = [(16, channels, 5, 5), (32, 16, 3, 3), (len(kinds), 32 * reached)]
    weights = [
        (torch.randn(size, generator=generator) * math.sqrt(2 / math.prod(size[1:]))).to(images).requires_grad_()
        for size in sizes
    ]
    biases = [images.new_zeros(size[0]).requires_grad_() for size in sizes]

    def logits_of(x: Tensor) -> Tensor:
        for weight, bias in zip(weights[:2], biases[:2], strict=True):
            padding = weight.shape[-1] // 2
            x = leaky_relu(torch.nn.functional.conv2d(x - 0.25, weight, bias, stride=2, padding=padding), 0.1)
        return torch.nn.functional.linear(x.flatten(1), weights[2], biases[2])

    parameters = [*weights, *biases]
    optimiser = Adam(parameters, 2e-3, 0.999)
    steps = as_whole(steps, "steps", 1)
    with torch.enable_grad():
        for step in range(steps):
            rows = torch.randint(len(images), (BATCH_SIZE,), generator=generator)
            loss = cross_entropy(logits_of(images[rows.to(images.device)]), targets[rows].to(images.device))
            optimiser.descend(loss, 0.5 * (1 + math.cos(math.pi * step / steps)))
    optimiser.release()
    for tensor in parameters:
        tensor.requires_grad_(False)
    size = tuple(images.shape[1:])

    @torch.no_grad()
    @own_surroundings()
    def classifier(x: Tensor) -> Tensor:
        small = shrunk(x.to(images.device), CLASSIFIER_SIDE)
        if tuple(small.shape[1:]) != size:
            raise ValueError(f"This classifier was trained on images of shape {size}, got {tuple(x.shape[1:])}.")
        ids: Tensor = kinds.to(images.device)[logits_of(small).argmax(1)]
        return ids

    return classifier


def shrunk(images: Tensor, side: int) -> Tensor:
    """Images of at most ``side`` pixels a side, by area averaging."""
    scale = side / max(images.shape[2:])
    if scale >= 1:
        return images
    height, width = (max(1, round(length * scale)) for length in images.shape[2:])
    return interpolate(images, (height, width), mode="area")
