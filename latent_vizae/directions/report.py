"""What `discover_directions` measured: a record for printing and for config.json."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from torch import Tensor

__all__ = ["DirectionsReport"]


@dataclass(frozen=True)
class DirectionsReport:
    """What `discover_directions` measured, on held-out codes. Measures that were not taken are None.

    Lists have one number per class, in the order of ``Directions.class_labels``; they are empty without a classifier.

    Attributes:
        method: "trained", "codes", "features" or "metric"; "given" where they were not discovered.
        n: numbers in one code.
        directions: K, directions in a set.
        classes: N, number of classes.
        codes: number of codes, for training and measuring.
        held_out: number of codes that were not trained on.
        codes_per_class: number of codes of each class.
        shift: largest move in training, in code units.
        chance: 1 / K, accuracy of a guess.
        accuracy_global: share of moves along the global set whose direction is predicted correctly.
        accuracy_class: the same for each class's set, with codes of that class.
        shift_error_global: mean absolute error of the predicted shift, in units of the largest; a constant 0 has 0.55.
        shift_error_class: the same for each class's set.
        cosine_global_class: largest cosine between a global direction and one of a class; 0 by construction.
        cosine_within: largest cosine between two directions of one set; 0 by construction.
        step_change: root mean square image change of a step of 1, on the codes of the calibration.
        step_change_least: the smallest step of any direction, on other codes.
        step_change_most: the largest step of any direction, on other codes.
        unmoved: names of directions along which images do not change enough for a step.
        kept_global: share of codes whose image keeps its class after 2 steps along global directions.
        kept_class: the same along the directions of the code's own class.
        kept_random: the same along random directions of the same step, orthogonal to the global set.
        agreement_global: mean cosine between the image changes that one direction makes at two codes.
        agreement_class: the same of each class's directions, at two codes of that class.
        agreement_random: the same of random directions orthogonal to the global set, at two codes of one class.
        explained_global: share of the image change between two codes of a class that the global set explains, see
            `latent_vizae.directions.measures.explained`.
        explained_own: of the rest, the share that the class's own set explains.
        explained_other: the same by the sets of other classes.
        explained_random: the same by as many random directions orthogonal to the global set.
        steps: steps of the optimiser.
        seconds: wall-clock time.
        interrupted: whether Ctrl-C stopped it; the directions are then the best ones so far.
        images_decoded: images that were asked of the decoder; a backward pass counts for two.
        images_wanted: about as many as a search without a budget asks for; None where the budget left nothing out.
        decoding_seconds: that the images took, where it was a second or more.
    """

    method: str
    n: int
    directions: int
    classes: int
    codes: int
    held_out: int
    codes_per_class: list[int]
    shift: float
    chance: float
    accuracy_global: float | None
    accuracy_class: list[float] | None
    shift_error_global: float | None
    shift_error_class: list[float] | None
    cosine_global_class: float
    cosine_within: float
    step_change: float | None
    step_change_least: float | None
    step_change_most: float | None
    unmoved: list[str]
    kept_global: float | None
    kept_class: list[float] | None
    kept_random: float | None
    agreement_global: float | None
    agreement_class: list[float] | None
    agreement_random: float | None
    explained_global: float | None
    explained_own: list[float] | None
    explained_other: list[float] | None
    explained_random: list[float] | None
    steps: int
    seconds: float
    interrupted: bool
    images_decoded: int | None = None
    images_wanted: int | None = None
    decoding_seconds: float | None = None

    @classmethod
    def of_given(cls, vectors: Tensor, longest: float) -> DirectionsReport:
        """Of unit vectors (K, n) that were given, with the length of the longest step: nothing is measured."""
        size, n = vectors.shape
        others = (vectors @ vectors.T).abs().fill_diagonal_(0)
        values: dict[str, Any] = {each.name: None for each in fields(cls)}
        values |= {
            "method": "given", "n": n, "directions": size, "classes": 0, "codes": 0, "held_out": 0, "steps": 0,
            "codes_per_class": [], "shift": longest, "chance": 1 / size, "cosine_global_class": 0.0,
            "cosine_within": others.max().item(), "unmoved": [], "seconds": 0.0, "interrupted": False,
        }  # fmt: skip
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and names, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> DirectionsReport:
        """The inverse of `to_dict`, also of earlier versions; raises TypeError or ValueError for other entries."""
        known = {field.name: field.default for field in fields(cls)}
        needed = {name for name, default in known.items() if default is MISSING}
        if not isinstance(values, dict) or not needed <= set(values) <= set(known):
            raise ValueError("the report's entries are not those of a DirectionsReport.")
        for key, value in values.items():
            items = value if isinstance(value, list) else [value]
            kind: Any = str if key in ("method", "unmoved") else int | float
            if len(items) > 10_000 or not all(isinstance(item, kind) or item is None for item in items):
                raise TypeError(f"the report's {key} is {value!r:.80}.")
        return cls(**values)

    def lines(self) -> list[tuple[str, str]]:
        """Names and numbers, for printing."""
        lines: list[tuple[str, str]] = [
            ("directions", f"{self.directions} global and {self.directions} of each of {self.classes} classes"
                           if self.classes else f"{self.directions} global"),
            ("method", f"{self.method}, {self.steps} steps, {self.seconds:.1f} s"
                       + (", interrupted" if self.interrupted else "")),
            ("codes", f"{self.codes} of {self.n} numbers, {self.held_out} held out"),
        ]  # fmt: skip
        if self.method == "given":
            lines[1:] = [("method", f"given, not measured; codes of {self.n} numbers")]

        def add(name: str, **values: float | list[float] | None) -> None:
            known = {key: value for key, value in values.items() if value is not None and value != []}
            if known:
                lines.append((name, ", ".join(f"{key} {_mean(value):.3g}" for key, value in known.items())))

        if self.accuracy_global is not None:
            add("direction predicted", chance=self.chance, globally=self.accuracy_global, by_class=self.accuracy_class)
            add("shift error", guess=0.55, globally=self.shift_error_global, by_class=self.shift_error_class)
        add("largest cosine", global_to_class=self.cosine_global_class if self.classes else None,
            within_a_set=self.cosine_within)  # fmt: skip
        add("image change of a step", calibrated=self.step_change, least=self.step_change_least,
            most=self.step_change_most)  # fmt: skip
        add("class kept at 2 steps", globally=self.kept_global, by_class=self.kept_class, random=self.kept_random)
        add("agreement at any two codes", globally=self.agreement_global)
        add("agreement at two codes of a class", own=self.agreement_class, random=self.agreement_random)
        add("change within a class, explained by the global set", share=self.explained_global)
        add("of the rest, explained by a set of K", own=self.explained_own, other_class=self.explained_other,
            random=self.explained_random)  # fmt: skip
        if self.images_wanted is not None:
            within = f"{self.images_decoded} of about {self.images_wanted} images; budget=None decodes all"
            lines.append(("decoded within the budget", within))
        if self.unmoved:
            lines.append(("images hardly change along", ", ".join(self.unmoved)))
        return lines

    def __str__(self) -> str:
        """A small table."""
        rows = self.lines()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _mean(value: float | list[float]) -> float:
    return sum(value) / len(value) if isinstance(value, list) else value
