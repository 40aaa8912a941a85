"""The two trainings of the zoo, reconstruction and the adversarial game, and the loop that drives either.

A training is an object with a ``step``; the loop feeds it, averages what it reports, and writes all of the state to
one file, so that a training that was stopped goes on and ends in the same bits. All randomness of step k is drawn
from the seed and k alone: there is no state of a random generator to keep, and none of torch's is touched.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from tqdm import tqdm

from latent_vizae.adapters.zoo import AdversarialGenerator, Autoencoder, ZooGenerator
from latent_vizae.checkpoint import Checkpoint, fingerprint
from latent_vizae.demos.zoo_data import as_input
from latent_vizae.samples import Samples
from latent_vizae.saving import atomic_file

ROWS = 100
"""About how many rows of losses a training reports."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train; of two optimisers both have the same numbers."""

    steps: int
    batch_size: int = 128
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    r1: float = 0.0
    r1_every: int = 8
    average: float = 0.999


def one_cycle(fraction: float, warmup: float = 0.05) -> float:
    """Learning rate at a fraction of the training, as a fraction of its maximum: up, then a cosine down."""
    if fraction < warmup:
        return fraction / warmup
    return 0.5 * (1 + math.cos(math.pi * (fraction - warmup) / (1 - warmup)))


def stream(*key: int | str) -> torch.Generator:
    """A random generator on the CPU that is new for every key."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


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
    result: ZooGenerator

    def step(self, images: Tensor, random: torch.Generator, number: int) -> dict[str, Tensor]:
        """One step with images (B, C, H, W) in [0, 1]; its losses."""

    def test(self, images: Tensor) -> dict[str, float]:
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
        self.result = copy.deepcopy(model).requires_grad_(False).eval()
        self.modules: dict[str, nn.Module] = {
            "model": model,
            "opponent": self.opponent,
            "average": self.result,
        }
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
        logits = opponent(real)
        loss = softplus(-logits).mean() + softplus(opponent(fakes.detach())).mean()
        losses = {"discriminator": loss.detach()}
        if penalised:
            loss = loss + plan.r1_every * plan.r1 * r1_penalty(logits, real)
        loss.backward()
        self.optimisers["adam_opponent"].step()

        self.optimisers["adam_model"].zero_grad()
        opponent.requires_grad_(False)
        loss = softplus(-opponent(fakes)).mean()
        loss.backward()
        opponent.requires_grad_(True)
        self.optimisers["adam_model"].step()
        self._average(number)
        return losses | {"generator": loss.detach()}

    @torch.no_grad()
    def _average(self, number: int) -> None:
        share = 1 - min(self.plan.average, (1 + number) / (10 + number))
        for kept, new in zip(self.result.state_dict().values(), self.model.state_dict().values(), strict=True):
            if new.is_floating_point() and new.dim():
                kept.lerp_(new, share)
            else:
                kept.copy_(new)  # how many batches, how far grown

    def test(self, images: Tensor) -> dict[str, float]:
        """Nothing: a GAN has no likelihood."""
        return {}


class Stop:
    """Whether to stop after this step: Ctrl-C asks for it, a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self.asked

    @contextlib.contextmanager
    def on_interrupt(self) -> Iterator[None]:
        """Listen to Ctrl-C; afterwards it is as it was."""

        def ask(*_: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


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


def train(
    model: ZooGenerator,
    plan: Plan,
    images: Tensor,
    test: Tensor,
    out: Path,
    *,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] = tqdm.write,
) -> tuple[ZooGenerator, list[dict[str, float]]]:
    """Train, or go on training, and write what there is: at the end, and when told to stop.

    ``out/state.safetensors`` is all of the state, ``losses.json`` a row of losses for about every hundredth part of
    the training, ``samples.png`` a sheet, ``generator`` the folder for ``load_decoder("hub:...")``.

    Args:
        model: as `build` makes it, where it is to be trained.
        plan: of the training.
        images: (N, C, H, W) uint8, to learn from.
        test: (M, C, H, W) uint8, to look at.
        out: a folder that is there.
        seed: of the order of the images and all noise.
        stop: asked after every step.
        say: what takes a line of news.

    Returns:
        The generator, in eval mode (a GAN's is the average), and the rows of losses.

    Raises:
        ValueError: ``out`` holds another training, or there are too few images.
    """
    if len(images) < plan.batch_size:
        raise ValueError(f"A batch is {plan.batch_size} images, the data has {len(images)}.")
    device = next(model.parameters()).device
    if isinstance(model, Autoencoder):
        model.start_at_mean(images.float().mean().item() / 255)
    training = training_of(model, plan, seed)
    state = Checkpoint(out / "state.safetensors")
    settings = [type(model).__name__, model.config, asdict(plan), seed, len(images)]
    done, rows, sums, seconds = 0, [], {}, 0.0
    try:
        state.open(fingerprint(settings, [images[:: max(1, len(images) // 100)]]))
    except ValueError as error:
        raise ValueError(f"{state.path} is not of this training: remove it, or choose another --out.") from error
    if state.facts is not None:
        done, rows, sums, seconds = (state.facts[key] for key in ("done", "rows", "sums", "seconds"))
        _restore(training, state.tensors)
    test_input = as_input(test[:500], device)
    every = max(1, plan.steps // ROWS)
    per_epoch = len(images) // plan.batch_size
    epoch, order = -1, torch.empty(0)
    began = time.monotonic() - seconds
    bar = tqdm(total=plan.steps, initial=done, disable=None, mininterval=1, leave=False)
    while done < plan.steps and not stop():
        if done // per_epoch != epoch:
            epoch = done // per_epoch
            order = torch.randperm(len(images), generator=stream(seed, "order", epoch))
        start = done % per_epoch * plan.batch_size
        batch = as_input(images[order[start : start + plan.batch_size]], device)
        losses = training.step(batch, stream(seed, "noise", done), done)
        for key, value in losses.items():
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value.item(), count + 1)
        done += 1
        bar.update()
        if not all(math.isfinite(total) for total, _ in sums.values()):
            raise RuntimeError(f"The losses of step {done} are not finite; the last good state is {state.path}.")
        if done % every == 0 or done == plan.steps:
            means = {key: round(total / count, 5) for key, (total, count) in sums.items()}
            rows.append({"step": done, "seconds": round(time.monotonic() - began, 1)} | means)
            rows[-1] |= {key: round(value, 5) for key, value in training.test(test_input).items()}
            sums = {}
            if len(rows) == 1 or len(rows) % 10 == 0:
                say(json.dumps(rows[-1]))
        if state.due() and done < plan.steps:
            _keep(state, training, done, rows, sums, time.monotonic() - began)
    bar.close()
    _keep(state, training, done, rows, sums, time.monotonic() - began)
    result = training.result.eval()
    result.save_pretrained(out / "generator")
    save_sheet(result, test_input, out / "samples.png")
    with atomic_file(out / "losses.json") as partial:
        partial.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
    return result, rows


def _keep(state: Checkpoint, training: Training, done: int, rows: list, sums: dict, seconds: float) -> None:
    tensors = {
        f"{name}.{key}": value
        for name, module in training.modules.items()
        for key, value in module.state_dict().items()
    }
    for name, optimiser in training.optimisers.items():
        tensors |= optimiser_tensors(name, optimiser)
    whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    state.write({"done": done, "rows": rows, "sums": sums, "seconds": seconds}, whole)


def _restore(training: Training, tensors: dict[str, Tensor]) -> None:
    for name, module in training.modules.items():
        prefix = f"{name}."
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for name, optimiser in training.optimisers.items():
        load_optimiser(name, optimiser, tensors)


@torch.no_grad()
def save_sheet(generator: ZooGenerator, test: Tensor, path: Path) -> None:
    """A sheet of 16 columns: pairs of rows, an image and what becomes of it; then draws from the prior, if it has one.

    A latent space of two numbers is shown as it is: a grid over the middle 90 % of the codes along each of them.
    """
    device = next(generator.parameters()).device
    codes, images, columns = [], [], 16
    if isinstance(generator, Autoencoder):
        for some in test[: 3 * columns].split(columns):
            codes += [generator.encode(some)] * 2
            images += [some, generator(codes[-1])]
        if tuple(generator.latent_shape) == (2,):
            low, high = generator.encode(test).cpu().quantile(torch.tensor([0.05, 0.95]), 0)
            across, up = (torch.linspace(float(a), float(b), columns) for a, b in zip(low, high, strict=True))
            codes.append(torch.cartesian_prod(up.flip(0), across).flip(1).to(device))
            images.append(generator(codes[-1]))
    if hasattr(generator, "sample"):
        codes.append(generator.sample(6 * columns, 0).to(device))
        images.append(generator(codes[-1]))
    sheet, shown = torch.cat(codes), torch.cat(images)
    Samples(sheet, sheet, shown, rows=math.ceil(len(shown) / columns)).save(path)
