"""What a visitor sets going for directions: find them, load them from the Hub; bounded, as in jobs.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from latent_vizae import Directions, discover_directions
from latent_vizae.decoders.spending import Budget
from latent_vizae.demos.page.checks import whole_number
from latent_vizae.demos.page.fitted import FittedMap, plain
from latent_vizae.demos.page.hub import fetch_named
from latent_vizae.demos.page.steering import FoundDirections
from latent_vizae.directions.budget import with_classifier
from latent_vizae.directions.classifier import learn_classifier
from latent_vizae.directions.discover import BUDGET

__all__ = ["METHODS", "METHODS_IN_WORDS", "directions_in_words", "find_directions", "load_directions"]

METHODS = [("metric (seconds)", "metric"), ("codes (seconds)", "codes"), ("trained (minutes)", "trained")]
METHODS_IN_WORDS = (
    "metric: along which pictures change most; codes: along which the codes vary most; trained: which a small network "
    "tells apart best by what they do to pictures"
)
MOST_DIRECTIONS, MOST_STEPS, MEASURED = 16, 3000, 8


def find_directions(
    fitted: FittedMap,
    method: Any,
    count: Any,
    by_class: Any,
    steps: Any,
    seed: Any,
    progress: Callable[[int, int, str], object],
) -> FoundDirections:
    """Find directions of a map's decoder, with the codes of the map.

    Args:
        fitted: the map.
        method: "metric", "codes" or "trained".
        count: K, directions in a set.
        by_class: whether each label of the codes gets a set of its own.
        steps: of training.
        seed: of everything random.
        progress: called as ``(step, steps, title)``; raises KeyboardInterrupt to stop it, and the best so far comes.

    Raises:
        ValueError: no such method, a count that does not fit the codes, no labels, a decoder without gradients for
            "trained", stopped before there were any directions.
    """
    if method not in dict(METHODS).values():
        raise ValueError(f"Methods are {', '.join(kind for _, kind in METHODS)}, got {str(method)[:40]!r}.")
    count = whole_number(count, "number of directions", 1, MOST_DIRECTIONS)
    steps = whole_number(steps, "number of steps", 1, MOST_STEPS) if method == "trained" else None
    seed = whole_number(seed, "seed", 0, 2**31)
    decoder, budget = fitted.latent_map.decoder, BUDGET
    try:
        if by_class and fitted.classifier is None:
            budget = learn_labels(fitted, budget, progress)
        found = discover_directions(
            decoder,
            fitted.codes_at(slice(None)),
            fitted.classifier if by_class else None,
            n_directions=count,
            method=method,
            steps=steps,
            measured=MEASURED,
            seed=seed,
            budget=budget,
            progress=progress,
        )
    except KeyboardInterrupt:
        raise ValueError("Cancelled before there were any directions.") from None
    return FoundDirections(found, decoder, fitted.title)


def learn_labels(fitted: FittedMap, budget: Budget, progress: Callable[[int, int, str], object]) -> Budget:
    """Learn to tell the labels of a map's codes by their images; what is left of the budget for a search.

    Raises:
        ValueError: the codes have no labels, or only one.
    """
    if fitted.labels is None or len(fitted.labels.unique()) < 2:
        raise ValueError("Directions of each class need codes of at least two labels: find global ones only.")
    decoder, codes = fitted.latent_map.decoder, fitted.codes_at(slice(None))
    first, rest, words = with_classifier(decoder, codes, budget)

    def told(step: int, steps: int, title: str) -> None:
        progress(step, steps, f"{title}, of {words} in all" if words else title)

    fitted.classifier = learn_classifier(decoder, codes, fitted.labels, budget=first, progress=told)
    return rest


def load_directions(fitted: FittedMap, name: Any, token: str | bool = False) -> FoundDirections:
    """Directions of the Hub, for a map of the same decoder.

    Args:
        fitted: the map.
        name: ``user/name``.
        token: of the visitor; False for none. Never that of the one who runs the page.

    Raises:
        ValueError: ``name`` is no id of a repository, or what is there is no directions of this map's decoder.
    """
    text, folder = fetch_named(name, "Directions of the Hub are", token)
    found = Directions.from_pretrained(folder)
    m = fitted.latent_map
    source = getattr(m.decoder, "source", None)
    if found.latent_shape != m.v.latent_shape or (found.source and source and found.source != source):
        raise ValueError(
            f"The directions {text} are of {found.source or 'a decoder'} with codes of shape {found.latent_shape}; "
            f"this map is of {source or 'a decoder'} with codes of shape {m.v.latent_shape}."
        )
    return FoundDirections(found, m.decoder, text)


def directions_in_words(found: FoundDirections) -> str:
    """What was measured, as Markdown."""
    lines = "\n".join(f"- **{name}**: {words}" for name, words in found.directions.report.lines())
    return (
        f"**Directions of {plain(found.title)}**, with sliders beside the map and a layer of arrows on it.\n\n{lines}"
    )
