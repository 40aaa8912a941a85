"""The data of `discover_directions`: codes, their classes, and small images of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from latent_vizae.decoders.contract import (
    VALUES_PER_BATCH,
    decode_images,
    decoder_dtype_and_device,
    differentiable_images,
    require_decoder,
    within_a_second,
)
from latent_vizae.decoders.repeats import notice_noise
from latent_vizae.decoders.spending import BACKWARD, noting_work
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import callers_surroundings, warn_caller
from latent_vizae.measures.geometry import metric_samples
from latent_vizae.training.progress import Progress, Reporting

from .budget import FEWEST, Allowance
from .classifier import Classifier, classify, shrunk

__all__ = ["ENOUGH_CODES", "MOST_CODES", "Pool", "cost_of_looking", "gather"]


MOST_CODES, MOST_DRAWS, CODES_PER_BATCH = 4096, 4, 256

ENOUGH_CODES = 1024
"""Codes of which a closed form without classes makes images."""

HELD_OUT_SHARE, MOST_HELD_OUT = 0.25, 1000

LOOKED_AT = 8
"""Codes whose images tell whether a decoder has gradients."""

PREDICTOR_SIDE = 64
"""Largest side, in pixels, of the images that shift predictors get."""


@dataclass(frozen=True)
class Pool:
    """Codes of a generator to find directions with.

    Attributes:
        decoder: f_d.
        codes: (k, n), where the decoder is.
        latent_shape: of one code.
        images: (k, C, h, w), small ones.
        labels: (N,) ids of the classes that have directions; none without a classifier.
        classes: (k,) row of ``labels`` of each code, -1 for none of them.
        held_out: (k,) mask of the codes that are not trained on.
        values: numbers in one image as the decoder makes it.
    """

    decoder: Callable[[Tensor], Tensor]
    codes: Tensor
    latent_shape: tuple[int, ...]
    images: Tensor
    labels: Tensor
    classes: Tensor
    held_out: Tensor
    values: int

    def rows(self, of_class: int | None = None, *, held_out: bool = False) -> Tensor:
        """Row numbers of all codes or of one class (a row of ``labels``), on the CPU."""
        chosen = self.held_out == held_out
        return (chosen if of_class is None else chosen & (self.classes == of_class)).nonzero().squeeze(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, C, H, W) of flat codes (B, n)."""
        return decode_images(self.decoder, codes.unflatten(1, self.latent_shape))

    @torch.no_grad()
    def decode_once(self, codes: Tensor) -> Tensor:
        """Images of flat codes (B, n) in one call of the decoder, of at most ``at_once`` of them."""
        with noting_work(len(codes)):
            return differentiable_images(self.decoder, codes.unflatten(1, self.latent_shape))

    def decode_seen(self, codes: Tensor) -> Tensor:
        """Small images of flat codes (B, n)."""
        return torch.cat([shrunk(self.decode(part), PREDICTOR_SIDE) for part in codes.split(self.at_once)])

    def differentiable(self, codes: Tensor) -> Tensor:
        """Small images of flat codes (B, n) with gradients; activations of one batch at a time are in memory."""

        def images_of(part: Tensor) -> Tensor:
            return shrunk(differentiable_images(self.decoder, part.unflatten(1, self.latent_shape)), PREDICTOR_SIDE)

        if len(codes) <= self.at_once:
            return images_of(codes)
        parts: list[Any] = [checkpoint(images_of, part, use_reentrant=False) for part in codes.split(self.at_once)]
        return torch.cat(parts)

    @functools.cached_property
    def has_gradients(self) -> bool:
        """Whether the decoder's images have gradients by its codes, and not only zeros."""
        some, generator = self.codes[: min(LOOKED_AT, self.at_once)], torch.Generator().manual_seed(0)
        with torch.enable_grad(), noting_work(len(some) * (1 + BACKWARD)):
            samples = metric_samples(self.differentiable, some, 1, generator)
        return samples is not None and bool((samples != 0).any())

    @property
    def at_once(self) -> int:
        """How many images are made at a time."""
        size = max(1, VALUES_PER_BATCH // self.values)
        return min(size, getattr(self.decoder, "max_batch", None) or size)


def gather(
    decoder: Callable[[Tensor], Tensor],
    codes: Any,
    classifier: Classifier | None,
    n_classes: int | None,
    seed: int,
    device: torch.device | None,
    most: int,
    allowance: Allowance,
    progress: Reporting = False,
) -> Pool:
    """Codes from an array, a sampler or the decoder itself, with their images, their classes and a split.

    ``most`` codes are used, fewer where the allowance is for fewer.

    Raises:
        TypeError, ValueError: see `latent_vizae.discover_directions`.
    """
    draw, rounds = _source_of(decoder, codes, seed, most)
    rounds = rounds if classifier is not None and n_classes is not None else 1
    batch = draw(0)
    latent_shape = tuple(batch.shape[1:])
    require_decoder(decoder, latent_shape)
    device = decoder_dtype_and_device(decoder)[1] or device or batch.device
    if len(batch) < FEWEST:
        raise ValueError(f"Directions need at least {FEWEST} codes, some for measuring; got {len(batch)}.")

    def looked_at(some: Tensor) -> tuple[Tensor, Tensor]:
        """Class ids and small images of codes."""
        ids, small, done = [], [], 0
        shown = Progress(progress, f"images{allowance.cost(len(some))}")
        size = min(CODES_PER_BATCH, VALUES_PER_BATCH // first.numel(), within_a_second(decoder))
        for part in some.split(max(1, size)):
            images = decode_images(decoder, part)
            small.append(shrunk(images, PREDICTOR_SIDE))
            nothing = torch.zeros(len(part), dtype=torch.int64)
            ids.append(nothing if classifier is None else classify(classifier, images, n_classes))
            done += len(part)
            shown(done, len(some))
        shown.close()
        return torch.cat(ids), torch.cat(small)

    batch = batch.to(device)
    first = decode_images(decoder, batch[:1])
    notice_noise(decoder, batch[:2])
    count = allowance.codes(len(batch), batch[0].numel(), rounds)
    if count < len(batch):
        batch = batch[torch.randperm(len(batch), generator=torch.Generator().manual_seed(seed))[:count].to(device)]
    ids, small = looked_at(batch)
    labels, again = _frequent(ids), 0
    while n_classes is not None and len(labels) < n_classes and again + 1 < rounds:
        again += 1
        more = draw(again)
        if len(more) > allowance.left() / 2:
            break
        more = more.to(device)
        of_more, small_more = looked_at(more)
        rare = (of_more[:, None] != labels).all(1)
        batch, ids = torch.cat([batch, more[rare.to(device)]]), torch.cat([ids, of_more[rare]])
        small = torch.cat([small, small_more[rare.to(small.device)]])
        labels = _frequent(ids)
    if classifier is None:
        labels = labels[:0]
    else:
        _require_classes(ids, labels, n_classes)
    classes = torch.full((len(ids),), -1)
    for row, label in enumerate(labels.tolist()):
        classes[ids == label] = row
    held_out = _split(classes, seed)
    return Pool(decoder, batch.flatten(1), latent_shape, small, labels, classes, held_out, first.numel())


def cost_of_looking() -> float:
    """Images that `Pool.has_gradients` asks for."""
    return LOOKED_AT * (1 + BACKWARD)


def _source_of(
    decoder: Callable[[Tensor], Tensor], codes: Any, seed: int, most: int
) -> tuple[Callable[[int], Tensor], int]:
    """A function: round 0, 1, ... -> codes; and how many rounds there are."""
    if not callable(decoder):
        require_decoder(decoder, ())
    if codes is None:
        codes = getattr(decoder, "sample", None)
        if codes is None and hasattr(decoder, "examples"):
            codes = decoder.examples()[0]
        if codes is None:
            raise ValueError(
                "This decoder has no codes of its own (sample or examples). Give codes (k, *latent_shape), or a "
                "sampler, a function (count, seed) -> codes."
            )
    if callable(codes) and not isinstance(codes, Tensor):

        def sampled(again: int) -> Tensor:
            try:
                with callers_surroundings():
                    drawn = codes(most, seed + again)
            except TypeError as error:
                raise TypeError(
                    f"A sampler is a function (count, seed) -> codes (count, *latent_shape): {error}."
                ) from error
            return as_codes(drawn, what="codes from the sampler")

        return sampled, 1 + MOST_DRAWS
    given = as_codes(codes)
    if len(given) > most:
        order = torch.randperm(len(given), generator=torch.Generator().manual_seed(seed))[:most]
        given = given[order.to(given.device)]
    return lambda again: given, 1


def _frequent(ids: Tensor) -> Tensor:
    """Ids of the classes with enough codes."""
    labels, counts = ids.unique(return_counts=True)
    frequent: Tensor = labels[counts >= FEWEST]
    return frequent


def _require_classes(ids: Tensor, labels: Tensor, n_classes: int | None) -> None:
    there, counts = ids.unique(return_counts=True)
    counted = dict(zip(there.tolist(), counts.tolist(), strict=True))
    if n_classes is not None and len(labels) < n_classes:
        few = [f"{label} ({counted.get(label, 0)})" for label in range(n_classes) if label not in labels.tolist()]
        raise ValueError(
            f"n_classes={n_classes} asks for directions of each class, but the classifier finds fewer than {FEWEST} "
            f"codes of these: {', '.join(few[:10])}. Give codes of them, or leave n_classes out."
        )
    if len(labels) < 1:
        raise ValueError(f"The classifier finds no class with {FEWEST} codes: {counted}. Give more codes.")
    left_out = [label for label in counted if label not in labels.tolist()]
    if left_out:
        warn_caller(f"Classes with fewer than {FEWEST} codes get no directions of their own: {left_out[:20]}.")


def _split(classes: Tensor, seed: int) -> Tensor:
    """Which codes are held out: a quarter of every class, 1000 at most in all."""
    generator = torch.Generator().manual_seed(seed)
    share = min(HELD_OUT_SHARE, MOST_HELD_OUT / len(classes))
    held_out = torch.zeros(len(classes), dtype=torch.bool)
    for kind in classes.unique().tolist():
        rows = (classes == kind).nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        held_out[rows[: max(2, round(share * len(rows)))]] = True
    return held_out
