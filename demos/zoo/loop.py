"""The loop that drives a training of the zoo: it stops when told to, goes on later, and ends in the same bits.

All of the state goes to one file. All randomness of step k is drawn from the seed and k alone: there is no state of a
random generator to keep, and none of torch's is touched.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.adapters.zoo import Autoencoder, ZooGenerator
from latent_vizae.demos.zoo.data import as_input, some
from latent_vizae.demos.zoo.training import Plan, Training, load_optimiser, optimiser_tensors, training_of
from latent_vizae.maps.samples import Samples
from latent_vizae.storage.folder import atomic_file
from latent_vizae.training.checkpoint import Checkpoint, fingerprint
from latent_vizae.training.progress import Progress

ROWS = 100
"""About how many rows of losses a training reports."""


def stream(*key: int | str) -> torch.Generator:
    """A random generator on the CPU that is new for every key."""
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


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


def train(
    model: ZooGenerator,
    plan: Plan,
    images: Tensor,
    test: Tensor,
    out: Path,
    *,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] | None = None,
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
        say: what takes a line of news; by default it is printed.

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
    per_epoch = len(images) // plan.batch_size

    @functools.lru_cache(1)
    def order(epoch: int) -> Tensor:
        return torch.randperm(len(images), generator=stream(seed, "order", epoch))

    def batch(number: int) -> Tensor:
        epoch, place = divmod(number, per_epoch)
        rows = order(epoch)[place * plan.batch_size : (place + 1) * plan.batch_size]
        return as_input(images[rows], device)

    settings = [type(model).__name__, model.config, asdict(plan), seed, len(images)]
    mark = fingerprint(settings, [images[:: max(1, len(images) // 100)]])
    seen = some(test if isinstance(model, Autoencoder) else images, 500)  # draws are compared with what was learned
    test_input = as_input(seen, device)
    if isinstance(model, Autoencoder):
        images, test_input = model.learns_from(images), as_input(model.learns_from(seen), device)
    rows = drive(training, plan.steps, batch, test_input, out, mark, type(model).__name__, seed, stop, say)
    result: ZooGenerator = training.result.eval()
    result.save_pretrained(out / "generator")
    save_sheet(result, as_input(seen, device), out / "samples.png")
    return result, rows


def drive(
    training: Training,
    steps: int,
    batch: Callable[[int], Any],
    test: Any,
    out: Path,
    mark: str,
    title: str,
    seed: int,
    stop: Callable[[], bool],
    say: Callable[[str], object] | None,
) -> list[dict[str, float]]:
    """Make the steps of a training that are left, and write its state and its losses to ``out``.

    Args:
        training: with its first weights.
        steps: of the whole training.
        batch: what step k learns from, of k.
        test: what `Training.test` takes.
        out: a folder that is there.
        mark: what tells this training from others, see `fingerprint`.
        title: for the progress bar.
        seed: of the noise of each step.
        stop: asked after every step.
        say: what takes a line of news; by default it is printed.

    Returns:
        The rows of losses.

    Raises:
        ValueError: ``out`` holds another training.
        RuntimeError: losses are not finite.
    """
    state = Checkpoint(out / "state.safetensors")
    done, rows, sums, seconds = 0, [], {}, 0.0
    try:
        state.open(mark)
    except ValueError as error:
        raise ValueError(f"{state.path} is not of this training: remove it, or choose another --out.") from error
    if state.facts is not None:
        done, rows, sums, seconds = (state.facts[key] for key in ("done", "rows", "sums", "seconds"))
        _restore(training, state.tensors)
    every = max(1, steps // ROWS)
    began = time.monotonic() - seconds
    with Progress(sys.stderr.isatty(), title, start=done) as shown:
        say = say or shown.line
        while done < steps and not stop():
            losses = training.step(batch(done), stream(seed, "noise", done), done)
            for key, value in losses.items():
                total, count = sums.get(key, (0.0, 0))
                sums[key] = (total + value.item(), count + 1)
            done += 1
            shown(done, steps)
            if not all(math.isfinite(total) for total, _ in sums.values()):
                raise RuntimeError(f"The losses of step {done} are not finite; the last good state is {state.path}.")
            if done % every == 0 or done == steps:
                means = {key: round(total / count, 5) for key, (total, count) in sums.items()}
                spent = {"seconds": round(time.monotonic() - began, 1), "threads": torch.get_num_threads()}
                rows.append({"step": done} | spent | means)
                rows[-1] |= {key: round(value, 5) for key, value in training.test(test).items()}
                sums = {}
                if len(rows) == 1 or len(rows) % 10 == 0:
                    say(json.dumps(rows[-1]))
            if state.due() and done < steps:
                _keep(state, training, done, rows, sums, time.monotonic() - began)
    _keep(state, training, done, rows, sums, time.monotonic() - began)
    with atomic_file(out / "losses.json") as partial:
        partial.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
    return rows


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
