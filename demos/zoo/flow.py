"""A small class-conditional flow of emoji in few steps, saved as a pipeline folder of 🤗 diffusers.

A network predicts the velocity of x = (1 - s) image + s noise, which is noise - image (rectified flow, Liu et al.
2022). Two things make paths straight enough for `STEPS` steps. Noise is paired with images by optimal transport within
each group (Tong et al. 2023), here over all images of a group instead of those of a batch. Then the network learns
steps of a whole segment from its own two half steps (shortcut models, Frans et al. 2024), with the size of a step as
part of its class label.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss

from latent_vizae import load_decoder
from latent_vizae.demos.zoo.data import as_input
from latent_vizae.demos.zoo.emoji import Emoji
from latent_vizae.demos.zoo.loop import drive, stream
from latent_vizae.demos.zoo.training import Plan, one_cycle
from latent_vizae.maps.samples import Samples
from latent_vizae.training.checkpoint import fingerprint

__all__ = ["FLOWS", "FlowRecipe", "save_pipeline", "train_flow"]

SIDE, STEPS = 32, 4
HELD_OUT = 8
"""Every eighth emoji is not trained on."""
UNLABELLED = 0.25
"""Share of a batch that learns the class "any emoji", behind the groups."""
SIZES = 3
"""Sizes of steps with class labels of their own: infinitely small, half a segment, and a segment."""


@dataclass(frozen=True)
class FlowRecipe:
    """How a flow is trained.

    Attributes:
        plan: of the training.
        straight_from: share of its steps after which steps of whole segments are learned, too.
        straightening: share of a batch that learns these.
        config: arguments of the UNet2DModel.
    """

    plan: Plan
    straight_from: float = 0.8
    straightening: float = 0.375
    config: dict[str, Any] = field(default_factory=dict)


FLOWS = {
    "flow-emoji": FlowRecipe(
        Plan(11_000, batch_size=16, rate=2e-3, betas=(0.9, 0.99)),
        straight_from=0.7,
        config={"block_out_channels": [32, 48, 96, 128], "norm_num_groups": 8, "attention_head_dim": 32},
    )
}


def small_unet(classes: int, config: dict[str, Any], seed: int) -> Any:
    """A new UNet2DModel with attention on its coarsest level alone; its first weights come from the seed."""
    from diffusers import UNet2DModel

    levels = len(config["block_out_channels"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=SIDE, in_channels=3, out_channels=3, layers_per_block=1, num_class_embeds=classes,
            down_block_types=("DownBlock2D",) * (levels - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1), **config,
        )  # fmt: skip


def scheduler() -> Any:
    """Euler's, with more of its steps where there is more noise: at 1, 0.89, 0.75 and 0.57."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=STEPS, shift=2.0)


def levels_of_noise() -> Tensor:
    """Where the steps of `scheduler` start, and 0: (STEPS + 1,)."""
    steps = scheduler()
    steps.set_timesteps(STEPS)
    levels: Tensor = steps.sigmas
    return levels


class Flow:
    """Training of a flow, as `drive` takes it; a batch is (images in [-1, 1], noise, groups)."""

    def __init__(self, recipe: FlowRecipe, groups: int, seed: int, device: str | torch.device) -> None:
        self.recipe, self.any, self.per_size = recipe, groups, groups + 1
        model = small_unet(SIZES * self.per_size, recipe.config, seed)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.result = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.modules: dict[str, nn.Module] = {"model": self.model, "average": self.result}
        adam = torch.optim.Adam(self.model.parameters(), recipe.plan.rate, recipe.plan.betas, fused=True)
        self.optimisers: dict[str, torch.optim.Optimizer] = {"adam": adam}
        self.levels = levels_of_noise().to(device)

    def step(self, batch: tuple[Tensor, Tensor, Tensor], random: torch.Generator, number: int) -> dict[str, Tensor]:
        """Down the error of the velocity, and of steps of whole segments."""
        images, noise, groups = batch
        count, device = len(images), images.device
        groups = torch.where((torch.rand(count, generator=random) < UNLABELLED).to(device), self.any, groups)
        uniform = torch.rand(count, generator=random).to(device)
        level = 2 * uniform / (1 + uniform)  # as the scheduler shifts them
        targets, sizes = noise - images, torch.zeros_like(groups)
        first = round(self.recipe.straight_from * self.recipe.plan.steps)
        if number == first:
            self._copy_labels()
        straight = int(count * self.recipe.straightening) if number >= first else 0
        if straight:
            segment = torch.randint(STEPS, (straight,), generator=random).to(device)
            part = torch.randint(4, (straight,), generator=random).to(device)  # first half, second half, or the whole
            start, end = self.levels[segment], self.levels[segment + 1]
            middle = (start + end) / 2
            start, end = torch.where(part == 1, middle, start), torch.where(part == 0, middle, end)
            level = torch.cat([start, level[straight:]])
            sizes[:straight] = torch.where(part < 2, 1, 2)
        x = images + level[:, None, None, None] * (noise - images)
        if straight:
            targets[:straight] = self._two_steps(x[:straight], start, end, groups[:straight], sizes[:straight] - 1)
        adam = self.optimisers["adam"]
        adam.param_groups[0]["lr"] = self.recipe.plan.rate * one_cycle((number + 1) / self.recipe.plan.steps)
        adam.zero_grad()
        x = x.contiguous(memory_format=torch.channels_last)
        predicted = self.model(x, level * STEPS, class_labels=groups + sizes * self.per_size).sample
        errors = (predicted - targets).square().mean((1, 2, 3))
        errors.mean().backward()
        adam.step()
        share = 1 - min(self.recipe.plan.average, (1 + number) / (10 + number))
        with torch.no_grad():
            for kept, new in zip(self.result.parameters(), self.model.parameters(), strict=True):
                kept.lerp_(new, share)
        losses = {"flow": errors[straight:].mean().detach()}
        return losses | ({"straight": errors[:straight].mean().detach()} if straight else {})

    @torch.no_grad()
    def _copy_labels(self) -> None:
        """Larger steps begin with what was learned of infinitely small ones."""
        for network in self.modules.values():
            labels: Tensor = network.class_embedding.weight  # type: ignore[union-attr,assignment]
            labels[self.per_size :] = labels[: self.per_size].repeat(SIZES - 1, 1)

    @torch.no_grad()
    def _two_steps(self, x: Tensor, start: Tensor, end: Tensor, groups: Tensor, sizes: Tensor) -> Tensor:
        """Mean velocity of two steps of the averaged network, each half as large."""
        labels, middle = groups + sizes * self.per_size, (start + end) / 2
        first = self.result(x, start * STEPS, class_labels=labels).sample
        x = x + (middle - start)[:, None, None, None] * first
        return (first + self.result(x, middle * STEPS, class_labels=labels).sample) / 2

    @torch.no_grad()
    def test(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
        """Error of the averaged velocity on held-out images, at evenly spaced levels of noise."""
        images, noise, groups = batch
        level = (torch.arange(len(images), device=images.device) + 0.5) / len(images)
        x = images + level[:, None, None, None] * (noise - images)
        predicted = self.result(x, level * STEPS, class_labels=groups).sample
        return {"test": mse_loss(predicted, noise - images).item()}

    def network_of(self, size: int) -> Any:
        """The averaged network for steps of one of `SIZES`: class labels are the groups, and behind them any emoji."""
        network, kept = copy.deepcopy(self.result), slice(size * self.per_size, (size + 1) * self.per_size)
        network.class_embedding = nn.Embedding.from_pretrained(self.result.class_embedding.weight[kept])
        network.register_to_config(num_class_embeds=self.per_size)
        return network.cpu()


def at_32_pixels(images: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Emoji (k, 3, 64, 64) uint8 to (k, 3, 32, 32) in [0, 1]."""
    return avg_pool2d(as_input(images, device), images.shape[-1] // SIDE)


def halves_of(emoji: Emoji) -> tuple[Tensor, Tensor]:
    """Rows that are trained on, and rows that are held out."""
    held_out = torch.arange(len(emoji.images)) % HELD_OUT == HELD_OUT - 1
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def paired(images: Tensor, groups: Tensor, random: torch.Generator) -> Tensor:
    """Noise for each image, such that the sum of squared distances within each group is smallest.

    Args:
        images: (k, C, H, W).
        groups: (k,) int64.
        random: of the noise.

    Returns:
        (k, C, H, W) from N(0, 1), in each group in another order than drawn.
    """
    noise = torch.randn(images.shape, generator=random)
    for group in groups.unique():
        rows = (groups == group).nonzero()[:, 0]
        alike = images[rows].flatten(1) @ noise[rows].flatten(1).T
        _, order = linear_sum_assignment(alike.numpy(), maximize=True)
        noise[rows] = noise[rows[torch.from_numpy(order)]]
    return noise


def train_flow(
    recipe: FlowRecipe,
    emoji: Emoji,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] | None = None,
) -> list[dict[str, float]]:
    """Train, or go on training, and write ``out/pipeline`` beside what `drive` writes.

    Returns:
        The rows of losses.

    Raises:
        ValueError: ``out`` holds another training, or there are too few images.
    """
    known, other = halves_of(emoji)
    size = recipe.plan.batch_size
    if len(known) < size:
        raise ValueError(f"A batch is {size} images, the data has {len(known)}.")
    training = Flow(recipe, len(emoji.group_names), seed, device)
    images, groups = at_32_pixels(emoji.images) * 2 - 1, emoji.groups

    @functools.lru_cache(1)
    def epoch_of(epoch: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(known), generator=stream(seed, "order", epoch))
        return known[order], paired(images[known], groups[known], stream(seed, "pairs", epoch))[order]

    def batch(number: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, place = divmod(number, len(known) // size)
        rows, noise = (part[place * size : (place + 1) * size] for part in epoch_of(epoch))
        return tuple(part.to(device) for part in (images[rows], noise, groups[rows]))  # type: ignore[return-value]

    some = other[:: max(1, len(other) // 64)]
    held_out = (images[some], paired(images[some], groups[some], stream(seed, "test")), groups[some])
    test = tuple(part.to(device) for part in held_out)
    mark = fingerprint([asdict(recipe), seed, len(known)], [emoji.images[::20]])
    rows = drive(training, recipe.plan.steps, batch, test, out, mark, "flow", seed, stop, say)
    straight = any("straight" in row for row in rows)  # not where it was stopped before
    save_pipeline(training.network_of(SIZES - 1 if straight else 0), out / "pipeline")
    save_sheet(out / "pipeline", len(emoji.group_names) + 1, out / "samples.png")
    return rows


def save_pipeline(network: Any, folder: Path) -> None:
    """Write a pipeline of diffusers, in half precision; ``load_decoder("diffusers-pipeline:FOLDER")`` loads it.

    Its class is the one whose call starts from noise and takes any scheduler.
    """
    from diffusers import DDPMPipeline

    DDPMPipeline(unet=copy.deepcopy(network).half(), scheduler=scheduler()).save_pretrained(folder)


def save_sheet(folder: Path, classes: int, path: Path) -> None:
    """A row for each class: images of the same 16 codes."""
    decoders = [load_decoder(f"diffusers-pipeline:{folder}", label=label) for label in range(classes)]
    codes = decoders[0].sample(16, 0)
    images = torch.cat([f_d(codes) for f_d in decoders])
    sheet = codes.repeat(classes, 1, 1, 1)
    Samples(sheet, sheet, images, rows=classes).save(path)
