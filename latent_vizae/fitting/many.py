"""Fifty and more codes: trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine
from tqdm import tqdm

from latent_vizae.decoders.contract import decode_images, differentiable_images
from latent_vizae.measures.metrics import cycle_loss, image_error, image_loss, reconstruction_loss
from latent_vizae.model.vizae import VizAE
from latent_vizae.network.backprop import Half
from latent_vizae.network.nearest_point import nearest_point
from latent_vizae.network.perceptron import through
from latent_vizae.training.checkpoint import Checkpoint
from latent_vizae.training.optimisers import Muon

from .affine import turn
from .batches import BATCH, IMAGE_BATCH, SETTLED, Batches
from .last_layer import settle
from .neighbours import neighbour_slope

__all__ = ["STAGES", "Run", "close_the_cycle", "missed", "train"]


JUDGED = 300
"""Held-out codes whose images judge the steps through the decoder."""

CYCLE_STEPS = 100, 100, 300
"""By the dimension of the map, to bring points back: a 3-D one has most places."""

PLACE_WEIGHT, UNTIL = 9.0, 0.5
"""Weight of the layout at the start, times `Batches.lead`; it falls to 0 until this share of the steps."""

NEAR_WEIGHT = 1.5
"""Weight of keeping the neighbours of a batch: with more, they lie together; with less, codes come back closer."""

CHECK_EVERY, PATIENCE = 50, 8

STAGES = ["fit", "fit images", "fit v_e"]


@dataclass
class Run:
    """What happened while fitting, beside the weights."""

    progress: bool | Callable[[int, int, str], object]
    checkpoint: Checkpoint | None = None
    steps: int = 0
    interrupted: bool = False
    best: float = math.inf
    state: dict[str, Tensor] = field(default_factory=dict)
    start: dict[str, Tensor] = field(default_factory=dict)
    whole: tuple[dict[str, Any], dict[str, Tensor]] | None = None

    def begin(self, v: VizAE, title: str) -> bool:
        """Begin a stage of the training; False if it lies behind the checkpoint."""
        self.state = self.start = _weights(v)
        facts = None if self.checkpoint is None else self.checkpoint.facts
        if facts is None or self.checkpoint is None:
            return True
        if STAGES.index(title) < STAGES.index(facts["title"]):
            return False
        _set_weights(v, self.checkpoint.tensors, "start.")  # from where the stage began, then
        self.state = self.start = _weights(v)
        return True

    def resume(self, v: VizAE, optimiser: Muon, generator: torch.Generator) -> tuple[int, int]:
        """Go to where the checkpoint was left; the steps done of the stage, and checks without progress."""
        if self.checkpoint is None or self.checkpoint.facts is None:
            return 0, 0
        facts, tensors = self.checkpoint.facts, self.checkpoint.tensors
        self.checkpoint.facts = None  # once
        _set_weights(v, tensors, "now.")
        self.state = {name: tensors[f"best.{name}"].to(v.mean) for name in self.state}
        for mine, saved in zip(optimiser.moments, ("first", "second"), strict=True):
            mine.copy_(tensors[saved])
        optimiser.steps, self.steps, self.best = facts["step"], facts["steps"], facts["best"]
        generator.set_state(tensors["generator"])
        return facts["step"], facts["stale"]

    def remember(self, v: VizAE, optimiser: Muon, generator: torch.Generator, title: str, stale: int) -> None:
        """After a whole step: what the checkpoint holds, should the next one be cut short; written when it is time."""
        if self.checkpoint is None:
            return
        tensors = {"generator": generator.get_state()}
        for name, moment in zip(("first", "second"), optimiser.moments, strict=True):
            tensors[name] = moment.clone()
        for prefix, weights in (("now", _weights(v)), ("best", self.state), ("start", self.start)):
            tensors |= {f"{prefix}.{name}": weight for name, weight in weights.items()}
        facts = {"title": title, "step": optimiser.steps, "steps": self.steps, "best": self.best, "stale": stale}
        self.whole = facts, tensors
        if self.checkpoint.due():
            self.write()

    def write(self) -> None:
        """Write the checkpoint: the last whole step."""
        if self.checkpoint is not None and self.whole is not None:
            facts, tensors = self.whole  # the best weights may be those of the start, which no file can share
            self.checkpoint.write(facts, {name: tensor.clone() for name, tensor in tensors.items()})

    def keep(self, v: VizAE, score: float) -> bool:
        """Remember the weights if they are the best so far."""
        if not score < self.best:
            return False
        self.best = score
        self.state = _weights(v)
        return True

    def restore(self, v: VizAE) -> None:
        """Go back to the best weights."""
        if self.state:
            _set_weights(v, self.state)


def _weights(v: VizAE) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in v.named_parameters()}


@torch.no_grad()
def _set_weights(v: VizAE, weights: dict[str, Tensor], prefix: str = "") -> None:
    for name, weight in v.named_parameters():
        weight.copy_(weights[prefix + name])


@torch.no_grad()
def train(
    v: VizAE,
    batches: Batches,
    x_held: Tensor,
    decoder: Callable[[Tensor], Tensor] | None,
    steps: int,
    image_steps: int,
    run: Run,
) -> None:
    """Many codes: least squares in the frame, then on images; the best v on held-out codes stays."""
    v_e, v_d = Half(v.encoder), Half(v.decoder, by_inputs=True)

    def frame_slope(done: float) -> None:
        rows, places = batches.draw(batches.size)
        points = v_e.forward(rows)
        decoded = v_d.forward(points)
        slope = v_d.backward((2 / rows.numel()) * (decoded - rows))
        weight = PLACE_WEIGHT * batches.lead * max(0.0, 1 - done / UNTIL)
        slope += (2 * weight / batches.size) * (points - places)
        keep_neighbours(slope, rows, points, 1.0)
        v_e.backward(slope)

    def keep_neighbours(slope: Tensor, rows: Tensor, points: Tensor, unit: float) -> None:
        slope += (NEAR_WEIGHT / unit) * neighbour_slope(batches.for_neighbours(rows), points / unit)

    def guess_score() -> float:
        return reconstruction_loss(x_held, v.decoder(v.encoder(x_held))).item()

    if run.begin(v, "fit"):
        _minimise(v, [v.encoder, v.decoder], frame_slope, guess_score, steps, 0.008, "fit", run, batches.generator)
        if not run.interrupted:
            turn(v, batches.x)
            settle(v, lambda: batches.draw(SETTLED)[0], lambda: missed(v, x_held))
    if decoder is None or image_steps == 0 or run.interrupted or not run.begin(v, "fit images"):
        return

    def codes_of(rows: Tensor) -> Tensor:
        codes: Tensor = (v.mean + rows @ v.unframe @ v.basis.T).unflatten(1, v.latent_shape)
        return codes

    def image_slope(_: float) -> None:
        rows = batches.draw(IMAGE_BATCH)[0]
        points = v_e.forward(rows)
        decoded = v_d.forward(points).requires_grad_()
        wanted = differentiable_images(decoder, codes_of(rows))
        with torch.enable_grad():
            loss = scale * image_loss(wanted, differentiable_images(decoder, codes_of(decoded)))
        slope = v_d.backward(torch.autograd.grad(loss, decoded)[0])
        keep_neighbours(slope, rows, points, unit)
        v_e.backward(slope)

    judged = x_held[:JUDGED]
    images = decode_images(decoder, codes_of(judged))

    def image_score() -> float:
        return image_error(images, decode_images(decoder, codes_of(_shown(v, judged))))

    if _has_slope(decoder, codes_of(judged[:1])):
        before, to_beat = _weights(v), image_score()
        run.best = to_beat
        scale = missed(v, x_held) / max(to_beat, 1e-12)
        unit = v.encoder(x_held).std().item()  # the map is no longer of unit variance
        _minimise(
            v,
            [v.encoder, v.decoder],
            image_slope,
            image_score,
            image_steps,
            0.0014,
            "fit images",
            run,
            batches.generator,
        )
        if not run.interrupted:
            turn(v, batches.x)
            if image_score() > to_beat:  # nearest points are looked for in [-1, 1]^d alone
                _set_weights(v, before)


def _shown(v: VizAE, x: Tensor) -> Tensor:
    """What the map shows of rows (B, rank): ``v_d(v_e(x))`` in the frame."""
    shown: Tensor = v.decoder(nearest_point(v.decoder, x, v.encoder(x), v.pull))
    return shown


@torch.no_grad()
def missed(v: VizAE, x: Tensor) -> float:
    """Mean square in the frame of what does not come back of rows (B, rank)."""
    return reconstruction_loss(x, _shown(v, x)).item()


@torch.enable_grad()
def _has_slope(decoder: Callable[[Tensor], Tensor], codes: Tensor) -> bool:
    """Whether the decoder's images have derivatives by its codes."""
    codes = codes.clone().requires_grad_()
    images = differentiable_images(decoder, codes)
    return images.requires_grad and torch.autograd.grad(images.sum(), codes, allow_unused=True)[0] is not None


@torch.no_grad()
def close_the_cycle(v: VizAE, batches: Batches, steps: int, run: Run) -> None:
    """Train v_e alone to undo v_d all over the map, and to leave the codes where they are on it."""
    run.begin(v, "fit v_e")
    before, v_e = copy.deepcopy(v.encoder), Half(v.encoder)
    third = batches.size // 3

    def task(rows: Tensor, anywhere: Tensor) -> tuple[Tensor, Tensor]:
        places = through(before, rows)
        points = torch.cat([places, anywhere])
        return torch.cat([rows, through(v.decoder, points)]), torch.cat([places, points])

    def slope(_: float) -> None:
        anywhere = 2.1 * torch.rand(third, v.dim, generator=batches.generator) - 1.05
        inputs, wanted = task(batches.draw(third)[0], anywhere.to(v.mean))
        v_e.backward((2 / len(wanted)) * (v_e.forward(inputs) - wanted))

    inputs, wanted = task(
        batches.x[:BATCH], (SobolEngine(v.dim, scramble=True, seed=0).draw(BATCH) * 2 - 1).to(v.mean)
    )

    def score() -> float:
        return cycle_loss(wanted, v.encoder(inputs)).item()

    run.best = score()
    _minimise(
        v, [v.encoder], slope, score, min(CYCLE_STEPS[v.dim - 1], steps), 0.002, "fit v_e", run, batches.generator
    )


def _minimise(
    v: VizAE,
    networks: list[nn.Sequential],
    slope_of: Callable[[float], None],
    score_of: Callable[[], float],
    steps: int,
    rate: float,
    title: str,
    run: Run,
    generator: torch.Generator,
) -> None:
    """Muon at a rate that falls to 0; every 50 steps the score decides whether these are the best weights."""
    layers = [[layer for layer in network if isinstance(layer, nn.Linear)] for network in networks]
    between = [layer.weight for each in layers for layer in each[1:-1]]
    optimiser = Muon((weight for network in networks for weight in network.parameters()), between, rate)
    done, stale = run.resume(v, optimiser, generator)
    bar = tqdm(total=steps, initial=done, desc=title, disable=run.progress is not True, leave=False)
    try:
        run.remember(v, optimiser, generator, title, stale)
        for step in range(done + 1, steps + 1):
            if stale >= PATIENCE:
                break
            slope_of((step - 1) / steps)
            warm = min(1.0, step / max(1.0, 0.05 * steps))
            optimiser.step(warm * (1 - (step - 1) / steps))
            run.steps += 1
            bar.update()
            if step % CHECK_EVERY == 0 or step == steps:
                score = score_of()
                bar.set_postfix(held_out=f"{score:.4g}")
                stale = 0 if run.keep(v, score) else stale + 1
            run.remember(v, optimiser, generator, title, stale)
            if callable(run.progress):
                run.progress(step, steps, title)
    except KeyboardInterrupt:
        run.interrupted = True
        run.write()
    finally:
        bar.close()
        optimiser.release()
        run.restore(v)
