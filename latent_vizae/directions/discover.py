"""discover_directions(): semantic directions of a generator's latent space.

1. A pool of codes, their images and their classes (pool.py).
2. Directions in closed form (closed_form.py): the result of the closed-form methods, the start of the trained one.
3. The trained method: deformators and shift predictors (search.py).
4. The length of a step, and the quality of the directions on held-out codes (evaluate.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.contract import require_decoder
from latent_vizae.decoders.load import as_source_options
from latent_vizae.decoders.spending import BACKWARD, Budget, as_limit, spending
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_device, as_whole
from latent_vizae.inputs.surroundings import own_surroundings
from latent_vizae.training.checkpoint import Checkpoint, fingerprint
from latent_vizae.training.loop import CHECK_EVERY
from latent_vizae.training.progress import Progress, Reporting

from .budget import FEWEST, Allowance, total_of
from .classifier import Classifier, require_classifier
from .closed_form import METHODS, Features, closed_form, cost_of_closed_form
from .directions import Directions
from .evaluate import CALIBRATION, MOST_CALIBRATION, Evaluator, cost_of_measuring, cost_of_shift, typical_change
from .pool import ENOUGH_CODES, MOST_CODES, Pool, cost_of_looking, gather
from .report import DirectionsReport
from .search import Deformators, Search, cost_of_score, cost_of_step

__all__ = ["discover_directions"]


MOST_DIRECTIONS, STEPS = 5, 1000

FAR = 0.75
"""The largest shift changes images by so much of what two images differ by."""

SCORED = 512

BUDGET = "10min"
"""A training asks for hundreds of times as many images as a fit."""


@torch.inference_mode(False)  # training works under a caller's no_grad or inference_mode too
@own_surroundings()
def discover_directions(
    decoder: Callable[[Tensor], Tensor],
    codes: ArrayLike | Callable[[int, int], Tensor] | None = None,
    classifier: Classifier | None = None,
    *,
    n_directions: int | None = None,
    n_classes: int | None = None,
    method: str = "trained",
    shift: float | None = None,
    steps: int | None = None,
    features: Features = None,
    measured: int = 16,
    seed: int = 0,
    device: str | torch.device | None = None,
    checkpoint: str | Path | None = None,
    budget: Budget = BUDGET,
    progress: Reporting = False,
) -> Directions:
    """Find semantic directions of a generator's latent space: a global set, and one for each class.

    The trained method (Kim & Lee 2024; without a classifier, Voynov & Babenko 2020) learns directions whose effects on
    images a small CNN can tell apart. The other methods are closed forms and work with any decoder.

    Args:
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1].
        codes: (k, *latent_shape), k >= 8, or a sampler, a function (count, seed) -> codes; by default the decoder's
            own ``sample`` or ``examples``. At most 4096 are used, 1024 by a closed form without classes.
        classifier: any callable, images (B, C, H, W) in [0, 1] -> class ids (B,), or logits (B, N), of which the
            largest counts. Without one only the global set is found.
        n_directions: K, directions in each set; at most n, and with a classifier n / 2. By default 5, or a third of n.
        n_classes: N: classes 0 to N - 1, each of which must have codes. By default those that have at least 8.
        method: "trained"; "codes", principal components of the codes; "features", those of features (GANSpace);
            "metric", the leading directions of the average pull-back metric, along which images change most.
        shift: largest move along a direction in training, in code units. By default the move that changes images by
            three quarters of the median difference of two images.
        steps: steps of Adam, by default 1000. The closed forms need none; with some, shift predictors are trained on
            them, so that the report has their accuracy.
        features: for "features": codes (B, *latent_shape) -> features (B, ...), or the name of a submodule of the
            decoder, whose output is used; by default the images.
        measured: codes per direction on which effects and steps are measured.
        seed: the same seed on the same machine gives the same directions, where the budget is no time or not reached.
        device: where to compute with a decoder that has no weights; by default where the codes are.
        checkpoint: a .safetensors file with the state of the training. The same call goes on from there after a
            break, with the result of a run without one. The file is removed at the end.
        budget: most images to ask the decoder for (a backward pass counts for two), about, or most time for them,
            "60s" or "10min"; None for as many as are wanted. A quarter is for images of codes. Of the rest, directions
            get what measuring leaves, and two thirds at least: fewer codes of the metric, fewer steps of training.
            Then effects are measured on fewer codes, or, with ``report.step_change`` None, not at all: a step of 1
            is then one and a half standard deviations of the codes, or ``shift``. The report says what was spent.
        progress: True for bars on stderr, or a function ``(step, steps, title)`` that is called after every step and
            every few images; raising KeyboardInterrupt in it stops like Ctrl-C. Of a slow decoder the titles say
            what is to be waited for.

    Returns:
        Directions on the CPU, with all measures in ``report``. After Ctrl-C in training or measuring, the best
        directions so far, with ``report.interrupted``; those of a slow decoder are not measured then. Ctrl-C before
        that raises KeyboardInterrupt.

    Raises:
        TypeError: a decoder or classifier that is not callable, codes that are not real numbers.
        ValueError: K that does not fit into n; no such budget, or one below 16 images; classes without codes; a
            classifier that returns something else; for the trained method, a decoder without gradients; a decoder
            whose images never change; a checkpoint of another search.

    Example:
        >>> from latent_vizae import load_decoder
        >>> f_d = load_decoder("mnist")
        >>> fives, _ = f_d.examples(label=5, count=200)
        >>> directions = discover_directions(f_d, fives, method="metric", n_directions=3)
        >>> directions.global_directions.shape, directions.report.cosine_within < 1e-5
        (torch.Size([3, 10]), True)
    """
    started = time.perf_counter()
    if method not in ("trained", *METHODS):
        raise ValueError(f"method is 'trained', {', '.join(map(repr, METHODS))}; got {method!r}.")
    if features is not None and (method != "features" or not (callable(features) or isinstance(features, str))):
        raise ValueError(f"features is a function or a name, for method='features'; got {features!r}, {method!r}.")
    if classifier is not None:
        require_classifier(classifier)
    if n_classes is not None:
        n_classes = as_whole(n_classes, "n_classes", 1)
        if classifier is None:
            raise ValueError(f"n_classes={n_classes} needs a classifier, images -> class ids.")
    steps = (STEPS if method == "trained" else 0) if steps is None else as_whole(steps, "steps")
    seed, measured = as_whole(seed, "seed"), as_whole(measured, "measured", 2)
    if shift is not None and (isinstance(shift, bool) or not isinstance(shift, int | float)):
        raise TypeError(f"shift is a length in code units, got {shift!r}.")
    if shift is not None and not 0 < shift < math.inf:
        raise ValueError(f"shift is a length in code units, above 0, got {shift}.")
    kept, limit = None if checkpoint is None else Checkpoint(checkpoint), as_limit(budget)
    if not callable(decoder):
        require_decoder(decoder, ())
    if n_directions is not None:
        n_directions = as_whole(n_directions, "n_directions", 1)
        _check_size(n_directions, getattr(decoder, "latent_shape", None), classifier is not None)
    chosen_device = None if device is None else as_device(device)
    most = ENOUGH_CODES if method != "trained" and classifier is None else MOST_CODES
    learn = method == "trained"

    def asked_for(
        count: int, n: int, size: int, classes: int, gradients: bool, moves: int = CALIBRATION
    ) -> dict[str, Any]:
        """What a search asks its decoder for, see `Allowance.settle`."""
        measuring = [cost_of_measuring(some, size, classes, shift is None, moves) for some in range(measured + 1)]
        if steps:
            measuring = [cost + SCORED * (1 + classes) * some / measured for some, cost in enumerate(measuring)]
        return {
            "start": cost_of_closed_form(count, n, classes, gradients, method, features),
            "step": cost_of_step(classes) * (1 + BACKWARD * learn) + cost_of_score(classes) / CHECK_EVERY,
            "score": cost_of_score(classes) if steps else 0,
            "measuring": measuring,
            "steps": steps,
        }

    def most_of(count: int, n: int) -> float:
        classes = 0 if classifier is None else n_classes or count // FEWEST
        size = _check_size(n_directions, (n,), classifier is not None)
        asked = [asked_for(count, n, size, classes, gradients, MOST_CALIBRATION) for gradients in (True, False)]
        rest = max(total_of(**one) for one in asked)
        return rest + cost_of_looking()

    with spending() as spent:
        allowance = Allowance(decoder, limit, spent, {} if kept is None else kept.planned(), most_of)
        pool = gather(decoder, codes, classifier, n_classes, seed, chosen_device, most, allowance, progress)
        size, classes = _check_size(n_directions, pool.latent_shape, classifier is not None), len(pool.labels)
        wanted = typical_change(pool)
        if wanted == 0:
            raise ValueError("The decoder's images are the same for all codes, so no direction changes them.")
        if learn and not pool.has_gradients:
            raise ValueError(
                "The trained method needs gradients through the decoder, and this decoder's images have none (it "
                "leaves torch, detaches, works under no_grad or rounds). Use method='metric': it works by finite "
                "differences."
            )
        gradients = method in ("trained", "metric") and pool.has_gradients  # others need none
        asked = asked_for(len(pool.codes), pool.codes.shape[1], size, classes, gradients)
        allowance.settle(**asked)
        plan = allowance.plan
        with allowance.shown(progress, "start" if learn else method, plan["share"] * asked["start"]):
            shared, own = closed_form(pool, size, "start" if learn else method, features, seed, plan["share"])
        evaluator = Evaluator(pool, classifier, int(plan["measured"]), seed)
        if shift is None:
            with allowance.shown(progress, "shift", cost_of_shift(evaluator.measured, size)):
                shift = evaluator.shift_for(shared.T, FAR * wanted)
        shift = float(shift)
        search = Search(pool, Deformators(shared, own), shift, int(plan["steps"]), seed, learn=learn)
        if kept is not None:
            settings = [method, size, pool.labels.tolist(), round(shift, 6), steps, seed, str(budget)]
            made = [shared, own] if method == "features" else []  # for the features; the rest follows from codes
            kept.open(fingerprint(settings, [pool.codes, pool.images, pool.classes, *made]))
            kept.plan = plan
        search.run(progress, f"directions{allowance.cost(search.steps * asked['step'])}", kept)
        shared, own = (columns.transpose(-1, -2) for columns in search.deformators.columns(precise=True))
        if search.interrupted:  # what is soon done is measured, whatever `progress` goes on to raise
            progress, evaluator.measured = False, 0 if allowance.slow else evaluator.measured
        if not allowance.slow:
            evaluator.shown = Progress(progress, "measure")
        with allowance.shown(progress, "measure", asked["measuring"][evaluator.measured]):
            scores = _predictor_scores(search, evaluator.measured / measured)
            evaluated = evaluator.measure(shared.float(), own.float(), shift, wanted, scores)
    report = DirectionsReport(
        method=method,
        n=pool.codes.shape[1],
        directions=size,
        classes=len(pool.labels),
        codes=len(pool.codes),
        held_out=int(pool.held_out.sum()),
        codes_per_class=[int((pool.classes == row).sum()) for row in range(len(pool.labels))],
        shift=shift,
        chance=1 / size,
        steps=search.step,
        seconds=round(time.perf_counter() - started, 3),
        interrupted=search.interrupted or evaluated.interrupted,
        **evaluated.numbers,
        **allowance.numbers(),
    )
    if kept is not None and not report.interrupted:
        kept.remove()
    named = getattr(decoder, "source", None)
    source = named if isinstance(named, str) else None
    return Directions(
        latent_shape=pool.latent_shape,
        class_labels=pool.labels,
        examples=_examples(pool),
        names=(),
        report=report,
        source=source,
        source_options={} if source is None else as_source_options(getattr(decoder, "options", {})),
        **evaluated.tensors,
    )


def _check_size(size: int | None, latent_shape: Any, by_class: bool) -> int:
    """K, where it fits into n."""
    if latent_shape is None:
        return 0 if size is None else size
    n = math.prod(latent_shape)
    most = n // 2 if by_class else n
    size = max(1, min(MOST_DIRECTIONS, n // 3)) if size is None else size
    if size > most:
        why = (
            f"a global set and a class's set orthogonal to it need 2 K <= n, so K is at most {most}"
            if by_class
            else f"orthogonal directions need K <= n, so K is at most {most}"
        )
        raise ValueError(f"n_directions={size} does not fit: codes of shape {tuple(latent_shape)} have n={n}; {why}.")
    return size


def _predictor_scores(search: Search, share: float) -> dict[str, Any]:
    """Scores of the predictors on a share of `SCORED` held-out moves; none where they learned nothing."""
    names = ("accuracy_global", "accuracy_class", "shift_error_global", "shift_error_class")
    scores: dict[str, Any] = dict.fromkeys(names)
    count = round(SCORED * share)
    if search.step == 0 or count == 0:
        return scores
    try:
        shared, *own = search.score(count, max(16, count // max(1, len(search.pool.labels))), seed=2)
    except KeyboardInterrupt:
        search.interrupted = True
        return scores
    scores["accuracy_global"], scores["shift_error_global"] = shared.accuracy.item(), shared.shift_error.item()
    for each in own:
        scores["accuracy_class"], scores["shift_error_class"] = each.accuracy.tolist(), each.shift_error.tolist()
    return scores


def _examples(pool: Pool) -> Tensor:
    """A typical code (N or 1, n) of each class: the one whose image is nearest to the mean image."""
    chosen = []
    for kind in range(len(pool.labels)) if len(pool.labels) else [None]:
        rows = pool.rows(kind, held_out=True)
        images = pool.images[rows.to(pool.images.device)].flatten(1)
        chosen.append(rows[int((images - images.mean(0)).square().sum(1).argmin())])
    return pool.codes[torch.stack(chosen).to(pool.codes.device)].detach().cpu().clone()
