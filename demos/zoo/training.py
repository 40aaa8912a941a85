"""The two trainings of the zoo, reconstruction and the adversarial game: what one step of either is."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from latent_vizae.adapters.zoo import AdversarialGenerator, Autoencoder, ZooGenerator
from latent_vizae.demos.zoo.augment import augmented
from latent_vizae.measures.realism import sliced_wasserstein

COMPARED = 200
"""Draws and images whose distance decides which average is kept: a second on one core, a hundred times."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train; of two optimisers both have the same numbers.

    Of a GAN: ``augment`` shows the discriminator `augmented` images only, ``keep_best`` keeps the average whose draws
    were nearest to the images, by the sliced Wasserstein distance, at a hundred times of the training.
    """

    steps: int
    batch_size: int = 128
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    r1: float = 0.0
    r1_every: int = 8
    average: float = 0.999
    augment: bool = False
    keep_best: bool = False


def one_cycle(fraction: float, warmup: float = 0.05) -> float:
    """Learning rate at a fraction of the training, as a fraction of its maximum: up, then a cosine down."""
    if fraction < warmup:
        return fraction / warmup
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))


def optimiser_tensors(name: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser, flat, for safetensors."""
    state = optimiser.state_dict()["state"]
    return {f"{name}.{index}.{key}": value for index, entries in state.items() for key, value in entries.items()}


def load_optimiser(name: str, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimiser_tensors`; tensors get the memory layout of the weights that they belong to."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{name}."):
            index, entry = key.removeprefix(f"{name}.").split(".")
            weight = weights[int(index)]
            laid = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
            state.setdefault(int(index), {})[entry] = laid.detach()
    optimiser.load_state_dict(optimiser.state_dict() | {"state": state})


class Training(Protocol):
    """What the loop drives."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    result: Any

    def step(self, batch: Any, random: torch.Generator, number: int) -> dict[str, Tensor]:
        """One step with a batch, such as images (B, C, H, W) in [0, 1]; its losses."""

    def test(self, batch: Any) -> dict[str, float]:
        """What held-out images say."""


class Reconstruction:
    """Adam with a one-cycle learning rate on `Autoencoder.losses`."""

    def __init__(self, model: Autoencoder, plan: Plan) -> None:
        self.result, self.plan = model, plan
        adam = torch.optim.Adam(model.parameters(), plan.rate, plan.betas, fused=True)
        self.modules: dict[str, nn.Module] = {"model": model}
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}

    def step(self, images: Tensor, random: torch.Generator, number: int) -> dict[str, Tensor]:
        """Down the sum of the losses."""
        adam, progress = self.optimisers["adam"], number / self.plan.steps
        adam.param_groups[0]["lr"] = self.plan.rate * one_cycle((number + 1) / self.plan.steps)
        adam.zero_grad()
        losses = self.result.losses(images, random, progress)
        sum(losses.values()).backward()
        adam.step()
        return losses

    @torch.no_grad()
    def test(self, images: Tensor) -> dict[str, float]:
        """The reconstruction alone, of images as they are."""
        return {"test": self.result.reconstruction(self.result.encode(images), images).item()}


def r1_penalty(logits: Tensor, real: Tensor) -> Tensor:
    """1/2 |gradient of each logit by its image|^2, mean over images (B, C, H, W) (Mescheder et al. 2018)."""
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return 0.5 * slope.square().sum((1, 2, 3)).mean()


class Adversarial:
    """The game, with the loss that does not saturate (Goodfellow et al. 2014), and where asked for with R1.

    D minimises softplus(-D(real)) + softplus(D(fake)) + r1 `r1_penalty` (every few steps, with more weight: Karras et
    al. 2020), G minimises softplus(-D(fake)). The result is a running average of G's weights.
    """

    def __init__(self, model: AdversarialGenerator, plan: Plan) -> None:
        self.model, self.plan, self.opponent = model, plan, model.opponent()
        self.opponent.to(next(model.parameters()).device)
        self.average = self.result = copy.deepcopy(model).requires_grad_(False).eval()
        self.modules: dict[str, nn.Module] = {"model": model, "opponent": self.opponent, "average": self.average}
        if plan.keep_best:
            self.result = copy.deepcopy(self.average)
            self.modules |= {"best": self.result, "distance": _Number(math.inf)}
        self.optimisers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(module.parameters(), plan.rate, plan.betas, fused=True)
            for name, module in (("adam_model", model), ("adam_opponent", self.opponent))
        }

    def step(self, images: Tensor, random: torch.Generator, number: int) -> dict[str, Tensor]:
        """One step of the discriminator, then one of the generator against it, with the same fakes."""
        model, opponent, plan = self.model, self.opponent, self.plan
        model.grow(number / plan.steps)
        fakes = model.pictures(model.draw(len(images), random), random)
        penalised = plan.r1 > 0 and number % plan.r1_every == 0
        real = model.real(images).requires_grad_(penalised)

        self.optimisers["adam_opponent"].zero_grad()
        logits = opponent(self._shown(real, random))
        loss = softplus(-logits).mean() + softplus(opponent(self._shown(fakes.detach(), random))).mean()
        losses = {"discriminator": loss.detach()}
        if penalised:
            loss = loss + plan.r1_every * plan.r1 * r1_penalty(logits, real)
        loss.backward()
        self.optimisers["adam_opponent"].step()

        self.optimisers["adam_model"].zero_grad()
        opponent.requires_grad_(False)
        loss = softplus(-opponent(self._shown(fakes, random))).mean()
        loss.backward()
        opponent.requires_grad_(True)
        self.optimisers["adam_model"].step()
        self._average(number)
        return losses | {"generator": loss.detach()}

    def _shown(self, images: Tensor, random: torch.Generator) -> Tensor:
        return augmented(images, random) if self.plan.augment else images

    @torch.no_grad()
    def _average(self, number: int) -> None:
        share = 1 - min(self.plan.average, (1 + number) / (10 + number))
        for kept, new in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if new.is_floating_point() and new.dim():
                kept.lerp_(new, share)
            else:
                kept.copy_(new)  # how many batches, how far grown

    @torch.no_grad()
    def test(self, images: Tensor) -> dict[str, float]:
        """The distance of as many draws where the best are kept; else nothing: a GAN has no likelihood."""
        if not self.plan.keep_best:
            return {}
        some, best = images[:COMPARED], self.modules["distance"]
        distance = sliced_wasserstein(self.average(self.average.sample(len(some), 0)), some)
        if distance < best.value:
            best.value.fill_(distance)
            self.result.load_state_dict(self.average.state_dict())
        return {"distance": distance}


class _Number(nn.Module):
    """A number that is kept with the state of a training."""

    value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(value))


def build(architecture: type[ZooGenerator], config: dict[str, Any], seed: int, device: str) -> ZooGenerator:
    """A new network; its first weights come from the seed, and torch's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture(**config).to(device)


def training_of(model: ZooGenerator, plan: Plan, seed: int) -> Training:
    """The training for this kind of network."""
    with torch.random.fork_rng(devices=[]):  # a discriminator is made
        torch.manual_seed(seed + 1)
        if isinstance(model, Autoencoder):
            return Reconstruction(model, plan)
        if isinstance(model, AdversarialGenerator):
            return Adversarial(model, plan)
    raise TypeError(f"{type(model).__name__} is neither an Autoencoder nor an AdversarialGenerator.")
