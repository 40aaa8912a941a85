"""How good a generator of the zoo is, in numbers: pure functions of tensors, each with the source of its formula.

Draws are judged through a classifier of real images: by the classes that it sees (`inception_score`, `classes_seen`),
and by its features, the numbers before its last layer (`frechet_distance`, `precision_recall`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from latent_vizae.measures.metrics import image_error

PART = 1000
"""Rows that are compared with all others at once."""


def inception_score(chances: Tensor) -> float:
    """How sure a classifier is of each image, and how different the images are (Salimans et al. 2016).

    exp of the mean over images of the KL divergence of p(class) from p(class | image), p(class) being its mean.

    1 where all images look alike to the classifier, or none looks like anything; as large as there are classes where
    each is one of them beyond doubt, and all are equally frequent.

    Args:
        chances: (k, classes), rows that sum to 1.
    """
    chances = chances.double()
    mean = chances.mean(0)
    terms = torch.xlogy(chances, chances) - torch.xlogy(chances, mean)
    return terms.sum(1).mean().exp().item()


def classes_seen(chances: Tensor) -> float:
    """How many classes there seem to be: exp of the entropy of the most likely class's histogram.

    1 where all images are of one class, as large as there are classes where all are equally frequent.

    Args:
        chances: (k, classes).
    """
    shares = torch.bincount(chances.argmax(1), minlength=chances.shape[1]).double() / len(chances)
    return (-torch.xlogy(shares, shares).sum()).exp().item()


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared distance of two clouds of points, each seen as a normal distribution (Heusel et al. 2017).

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), m being means and C covariances; 0 for the same cloud, |s|^2 for
    one that is shifted by s. Theirs is of an Inception network's features; of others' it is another scale.

    Args:
        first: (k, n), n at least 2.
        second: (m, n).
    """
    first, second = first.double(), second.double()
    one, two = first.T.cov(), second.T.cov()
    sizes, axes = torch.linalg.eigh(one)
    root = (axes * sizes.clamp(min=0).sqrt()) @ axes.T
    common = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()  # the trace of (C1 C2)^(1/2)
    shift = (first.mean(0) - second.mean(0)).square().sum()
    return max(0.0, (shift + one.trace() + two.trace() - 2 * common).item())


def precision_recall(real: Tensor, drawn: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """How many draws look real, and how much of what is real gets drawn (Kynkaanniemi et al. 2019).

    A point is in the range of a cloud where it lies within the distance of one of the cloud's points to its k-th
    nearest neighbour. Precision is the share of draws in the range of the real ones, recall the reverse.

    Args:
        real: (k, n).
        drawn: (m, n).
        neighbours: k.
    """

    def radii(cloud: Tensor) -> Tensor:
        parts = [torch.cdist(part, cloud).kthvalue(neighbours + 1, 1).values for part in cloud.split(PART)]
        return torch.cat(parts)  # the nearest is the point itself

    def covered(points: Tensor, cloud: Tensor) -> float:
        reach = radii(cloud)
        parts = [(torch.cdist(part, cloud) <= reach).any(1) for part in points.split(PART)]
        return torch.cat(parts).double().mean().item()

    return covered(drawn, real), covered(real, drawn)


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components of images.

    Attributes:
        mean: (pixels,).
        axes: (pixels, pixels), orthonormal columns, the one of the largest variance first.
    """

    mean: Tensor
    axes: Tensor

    def error(self, images: Tensor, size: int) -> float:
        """Mean square over pixels of what the first ``size`` components lose of images (N, C, H, W) in [0, 1].

        Reconstructions are clamped to [0, 1], as every decoder's are.
        """
        some = self.axes[:, :size].float()
        rows = images.flatten(1) - self.mean.float()
        again = (rows @ some @ some.T + self.mean.float()).clamp(0, 1)
        return image_error(again.reshape(images.shape), images)


def pca(images: Tensor) -> PCA:
    """Principal components of images (N, C, H, W), exactly: eigenvectors of their covariance, in double precision."""
    flat = images.flatten(1)
    mean = flat.mean(0, dtype=torch.float64)
    squares = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for batch in flat.split(10_000):
        centred = (batch - mean).float()
        squares += (centred.T @ centred).double()
    return PCA(mean, torch.linalg.eigh(squares).eigenvectors.flip(1))


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling, a classifier of 32x32 images (LeCun et al. 1998)."""

    def __init__(self) -> None:
        super().__init__()
        self.convnet = nn.ModuleDict(
            {"c1": nn.Conv2d(1, 6, 5), "c3": nn.Conv2d(6, 16, 5), "c5": nn.Conv2d(16, 120, 5)}
        )
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, 84), "f7": nn.Linear(84, 10)})

    @classmethod
    def load(cls, path: Path) -> LeNet:
        """With the weights of a state dict, read without running anything."""
        model = cls()
        model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"), strict=True)
        return model.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 1, 32, 32) in [0, 1] to what the last layer sees, (B, 84)."""
        x = images
        for name in ("c1", "c3"):
            x = max_pool2d(self.convnet[name](x).relu(), 2)
        features: Tensor = self.fc["f6"](self.convnet["c5"](x).relu().flatten(1)).relu()
        return features

    def chances(self, features: Tensor) -> Tensor:
        """Features (B, 84) to the chances of ten classes, (B, 10)."""
        logits: Tensor = self.fc["f7"](features)
        return logits.softmax(1)
