"""Classes in a latent space and on its map: nearest neighbours as a classifier, and what few labels are worth."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latent_vizae.adapters.zoo import StackedAutoencoder
from latent_vizae.demos.gallery.data import Labelled, table
from latent_vizae.training.optimisers import Adam

__all__ = ["FewLabels", "accuracy", "few_labels", "few_labels_table", "nearest_labels"]

NEIGHBOURS = 5
STEPS, BATCH, RATE = 200, 50, 3e-3


def nearest_labels(rows: Tensor, known: Tensor, labels: Tensor, neighbours: int = NEIGHBOURS) -> Tensor:
    """Classes of rows by a vote of their nearest neighbours (Cover & Hart 1967); of equal votes the smallest class.

    Args:
        rows: (k, n), codes or points.
        known: (m, n), of the same kind.
        labels: (m,) their classes, whole numbers from 0 on.
        neighbours: how many vote, at most m.

    Returns:
        (k,) int64.
    """
    nearest = []
    for batch in rows.split(1000):
        near = torch.cdist(batch, known).topk(neighbours, largest=False).indices
        nearest.append(labels[near].mode(1).values)
    return torch.cat(nearest)


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of labels (k,) that were found, in [0, 1]."""
    return (predicted == labels).float().mean().item()


@dataclass(frozen=True)
class FewLabels:
    """What a classifier reaches with few labels.

    Attributes:
        labels: how many it learned from.
        accuracies: on test images, a row for each number of layers that were taken over, none first; a number a seed.
    """

    labels: int
    accuracies: tuple[tuple[float, ...], ...]


def few_labels(
    f_d: StackedAutoencoder, train: Labelled, test: Labelled, count: int, seeds: int = 5, steps: int = STEPS
) -> FewLabels:
    """Train a classifier on the lower layers of an encoder, which stay as they are, and the same one from scratch.

    Unsupervised pretraining (Geron 2019, Hands-On Machine Learning, chapter 17): those layers have seen all training
    images and no label. The classifier has the encoder's layers but the last, and a linear one to the classes. From
    none to all of the encoder's are taken over, from the image inwards; the others learn from the labels.

    Args:
        f_d: the autoencoder.
        train: of which ``count`` labels are used, drawn at random for each seed.
        test: to measure on.
        count: of the labels.
        seeds: how many times.
        steps: of Adam, each on 50 images.
    """
    lower = [layer for layer in f_d.encoder.children() if isinstance(layer, nn.Linear)][:-1]
    copies = [(layer.weight.detach(), layer.bias.detach()) for layer in lower]
    sizes = [len(copies[0][0].T), *(len(bias) for _, bias in copies), int(train.labels.max()) + 1]
    reached = []
    for kept in range(len(copies) + 1):
        with torch.no_grad():  # what stays as it is need be computed only once
            tested = _features(test.images.flatten(1), copies[:kept])
        accuracies = []
        for seed in range(seeds):
            random = torch.Generator().manual_seed(seed)
            rows = torch.randperm(len(train), generator=random)[:count]
            with torch.no_grad():
                seen = _features(train.images[rows].flatten(1), copies[:kept])
            layers = _train(seen, train.labels[rows], sizes[kept:], steps, random)
            accuracies.append(accuracy(_logits(tested, layers).argmax(1), test.labels))
        reached.append(tuple(accuracies))
    return FewLabels(count, tuple(reached))


Layers = list[tuple[Tensor, Tensor]]


def _features(rows: Tensor, layers: Layers) -> Tensor:
    for weight, bias in layers:
        rows = torch.addmm(bias, rows, weight.T).relu()
    return rows


def _logits(rows: Tensor, layers: Layers) -> Tensor:
    weight, bias = layers[-1]
    return torch.addmm(bias, _features(rows, layers[:-1]), weight.T)


def _train(inputs: Tensor, labels: Tensor, sizes: list[int], steps: int, random: torch.Generator) -> Layers:
    """Dense layers of these sizes from Glorot's start, taught with Adam on batches of 50."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        reach = (6 / (fan_in + fan_out)) ** 0.5
        weight = (torch.rand(fan_out, fan_in, generator=random) * 2 - 1) * reach
        layers.append((weight.requires_grad_(), torch.zeros(fan_out).requires_grad_()))
    adam = Adam([tensor for layer in layers for tensor in layer], RATE, 0.999)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(inputs), (min(BATCH, len(inputs)),), generator=random)
            adam.descend(cross_entropy(_logits(inputs[rows], layers), labels[rows]))
    adam.release()
    return [(weight.detach(), bias.detach()) for weight, bias in layers]


def few_labels_table(results: list[FewLabels]) -> str:
    """A table of Markdown: mean and standard deviation over the seeds."""

    def formatted(values: tuple[float, ...]) -> str:
        numbers = torch.tensor(values) * 100
        return f"{numbers.mean():.1f} ± {numbers.std():.1f} %"

    kept = [f"{count} {'layer' if count == 1 else 'layers'} taken over" for count in range(len(results[0].accuracies))]
    rows = [(f"{one.labels:,}", *(formatted(values) for values in one.accuracies)) for one in results]
    return table(("labels", "from scratch", *kept[1:]), rows)
