"""Directions of a latent space, global and per class: the result of `discover_directions`, saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.load import as_source_options
from latent_vizae.inputs.arrays import ArrayLike
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import as_codes
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE, read_folder, write_folder
from latent_vizae.storage.hub import folder_of

from .card import write_direction_card
from .report import DirectionsReport

__all__ = ["Direction", "Directions"]


DEFAULT_REACH = 3.0

TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Direction:
    """One direction of a latent space.

    Attributes:
        vector: (n,), of unit length.
        step: length of a step of 1, in code units.
        name: for people, such as "class 8, 2"; numbers count from 0.
        label: id of its class, None for a global one.
        latent_shape: of one code.
    """

    vector: Tensor
    step: float
    name: str
    label: int | None
    latent_shape: tuple[int, ...]

    def move(self, codes: ArrayLike, steps: ArrayLike = 1.0) -> Tensor:
        """Codes (k, *latent_shape), each moved by so many steps: a number, or one per code."""
        batch = as_codes(codes, self.latent_shape)
        far = torch.as_tensor(steps, dtype=torch.float32, device=batch.device).reshape(-1, *[1] * (batch.dim() - 1))
        if not torch.isfinite(far).all() or len(far) not in (1, len(batch)):
            raise ValueError(f"steps are finite, one number or one per code ({len(batch)}), got {steps!r:.80}.")
        return batch + far * self.step * self.vector.to(batch.device).reshape(self.latent_shape)

    def along(self, code: ArrayLike, steps: int = 13, reach: float = DEFAULT_REACH) -> Tensor:
        """Codes (steps, *latent_shape) from ``-reach`` to ``reach`` steps along the direction, the code in the middle.

        Args:
            code: (*latent_shape), or (1, *latent_shape).
            steps: number of codes, odd and at least 3.
            reach: distance to both sides, in steps, above 0.
        """
        steps = as_whole(steps, "steps", 3)
        if steps % 2 == 0:
            raise ValueError(f"steps is odd, so that the middle one is the code itself; got {steps}. Try {steps + 1}.")
        if isinstance(reach, bool) or not isinstance(reach, int | float) or not 0 < reach < math.inf:
            raise ValueError(f"reach is a number of steps above 0, got {reach!r}.")
        start = as_codes(code if _is_batch(code, self.latent_shape) else [code], self.latent_shape, "the code")
        if len(start) != 1:
            raise ValueError(f"A traverse starts at one code, got {len(start)}.")
        side = torch.arange(1, steps // 2 + 1) * (reach / (steps // 2))
        far = torch.cat([-side.flip(0), torch.zeros(1), side])
        return self.move(start.expand(steps, *self.latent_shape), far)


def _is_batch(code: ArrayLike, latent_shape: tuple[int, ...]) -> bool:
    shape = getattr(code, "shape", None)
    return shape is not None and len(shape) == len(latent_shape) + 1


@dataclass(frozen=True, eq=False)
class Directions:
    """Semantic directions: a global set, and one for each class, orthogonal to it.

    Attributes:
        latent_shape: of one code; n is its product.
        global_directions: (K, n), rows of unit length, orthogonal to each other.
        class_directions: (N, K, n), the same, and orthogonal to the global ones; N is 0 without a classifier.
        class_labels: (N,) int64, the class ids of the sets.
        global_steps: (K,) length of a step of 1 in code units; it changes images by ``report.step_change``.
        class_steps: (N, K), the same.
        global_effects: (K,) root mean square image change of a move by ``report.shift`` code units.
        class_effects: (N, K), at codes of the class.
        examples: (N, n) a typical code of each class, (1, n) without a classifier, at which directions are drawn.
        report: what was measured on held-out codes.
        source: name of the decoder, as `load_decoder` takes it, or None.
        source_options: the keywords of `load_decoder` that go with it.

    Example:
        >>> from latent_vizae import discover_directions, load_decoder
        >>> f_d = load_decoder("mnist")
        >>> codes, _ = f_d.examples(count=300)
        >>> directions = discover_directions(f_d, codes, method="codes", n_directions=2)
        >>> directions.global_directions.shape, directions.pick(1).name
        (torch.Size([2, 10]), 'global 1')
        >>> f_d(directions.pick(0).along(codes[0], steps=13)).shape
        torch.Size([13, 1, 28, 28])
    """

    latent_shape: tuple[int, ...]
    global_directions: Tensor
    class_directions: Tensor
    class_labels: Tensor
    global_steps: Tensor
    class_steps: Tensor
    global_effects: Tensor
    class_effects: Tensor
    examples: Tensor
    report: DirectionsReport
    source: str | None = None
    source_options: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of all directions, (N + 1) K."""
        return len(self.global_directions) * (1 + len(self.class_labels))

    def __iter__(self) -> Iterator[Direction]:
        """The global directions, then those of each class."""
        for label in (None, *self.class_labels.tolist()):
            yield from self.of(label)

    def of(self, label: int | None = None) -> list[Direction]:
        """The global set, or that of a class.

        Raises:
            ValueError: no such class.
        """
        if label is None:
            vectors, steps = self.global_directions, self.global_steps
        else:
            row = self._row(label)
            vectors, steps = self.class_directions[row], self.class_steps[row]
        name = "global" if label is None else f"class {int(label)},"
        own = None if label is None else int(label)
        return [
            Direction(vector, float(step), f"{name} {at}", own, self.latent_shape)
            for at, (vector, step) in enumerate(zip(vectors, steps, strict=True))
        ]

    def pick(self, number: int, label: int | None = None) -> Direction:
        """One direction of the global set, or of a class's, counted from 0.

        Raises:
            ValueError: no such class or number.
        """
        number = as_whole(number, "the number of a direction")
        directions = self.of(label)
        if number >= len(directions):
            raise ValueError(f"A set has {len(directions)} directions, counted from 0; asked for number {number}.")
        return directions[number]

    def example(self, label: int | None = None) -> Tensor:
        """A typical code (*latent_shape) of a class, or the first one there is."""
        return self.examples[0 if label is None else self._row(label)].reshape(self.latent_shape)

    def _row(self, label: int) -> int:
        labels = self.class_labels.tolist()
        if as_whole(label, "the label of a class") not in labels:
            have = f"there are {labels[:20]}" if labels else "they were found without a classifier"
            raise ValueError(f"These directions have no set of class {label}; {have}.")
        return labels.index(int(label))

    def __repr__(self) -> str:
        """Sizes and method."""
        return (
            f"Directions({len(self.global_directions)} global, {len(self.class_labels)} classes, "
            f"latent_shape={self.latent_shape}, method={self.report.method!r}, source={self.source!r})"
        )

    # To disk and back.

    @property
    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in TENSORS}

    @property
    def config(self) -> dict[str, Any]:
        """Everything but the tensors, JSON-native."""
        return {
            "latent_shape": list(self.latent_shape),
            "directions": len(self.global_directions),
            "classes": len(self.class_labels),
            "source": self.source,
            "source_options": self.source_options,
            "report": self.report.to_dict(),
        }

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and a card into a folder, as `VizAE.save_pretrained` does.

        Args:
            folder: a new or empty folder, or one that holds directions.

        Raises:
            ValueError: the folder holds something else, or is a file, or cannot be written; or these are no directions
                that could be loaded.
        """
        path, labels = Path(folder), self.class_labels.tolist()
        tensors = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self._tensors.items()
        }
        card = write_direction_card(self.report, self.source, labels, self.latent_shape, path.absolute().name)
        write_folder(path, self.config, tensors, card, Directions.from_pretrained, kind="directions")

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | bool | None = None
    ) -> Directions:
        """Load what `save_pretrained` or `push_to_hub` wrote, bit for bit. No code is run.

        Args:
            name: path of a folder or, where there is no such folder, a repository of the Hub, ``user/name``.
            revision: branch, tag or commit of the repository; by default its main branch.
            token: of a Hub user; by default the one that is logged in.

        Raises:
            FileNotFoundError: no such folder, or a file of it is missing.
            ValueError: a file is truncated, damaged, too large, foreign or of a newer version.
            huggingface_hub.errors.HfHubHTTPError: no such repository or revision, or no access to it.
        """
        folder = folder_of(name, [MODEL_FILE, CONFIG_FILE], "directions", revision, token)
        config, open_tensors = read_folder(folder, kind="directions")
        try:
            if set(config) != {"latent_shape", "directions", "classes", "source", "source_options", "report"}:
                raise ValueError("its entries are not those of directions.")
            shape = tuple(as_whole(side, "latent_shape", 1) for side in config["latent_shape"])
            size, count = as_whole(config["directions"], "directions", 1), as_whole(config["classes"], "classes")
            n = math.prod(shape)
            if not shape or size * (2 if count else 1) > n or len(shape) > 16:
                raise ValueError(f"{size} directions and {count} classes do not fit codes of shape {shape}.")
            if not isinstance(config["source"], str | None):
                raise TypeError(f"source is a string, got {config['source']!r}.")
            options = as_source_options(config["source_options"])
            report = DirectionsReport.from_dict(config["report"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"The configuration in {folder}/{MODEL_FILE} does not describe directions: {error}"
            ) from error
        tensors = open_tensors(_shapes(n, size, count))
        _check_values(folder, tensors)
        return cls(shape, report=report, source=config["source"], source_options=options, **tensors)

    def push_to_hub(
        self,
        repo: str,
        decoder: Callable[[Tensor], Tensor] | None = None,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        licence: str = "other",
    ) -> str:
        """Put the directions on the Hugging Face Hub, with a card that shows them; see `VizAE.push_to_hub`.

        Args:
            repo: ``user/name``; created if it does not exist.
            decoder: for the pictures; by default the one in ``source``. Without a decoder the card has no pictures.
            private: whether a new repository is private.
            token: of a Hub user; by default the one that is logged in.
            revision: branch to commit to; by default the main branch.
            create_pr: open a pull request instead of committing.
            licence: the Hub's identifier, such as "apache-2.0".

        Returns:
            Address of the commit or of the pull request.
        """
        from latent_vizae.publish import publish_directions  # which knows this class

        where = {"private": private, "token": token, "revision": revision, "create_pr": create_pr}
        return publish_directions(self, repo, decoder, licence=licence, **where)


TENSORS = (
    "global_directions", "class_directions", "class_labels", "global_steps", "class_steps", "global_effects",
    "class_effects", "examples",
)  # fmt: skip


def _shapes(n: int, size: int, count: int) -> dict[str, tuple[Any, str]]:
    sets: dict[str, tuple[int, ...]] = {
        "global_directions": (size, n), "class_directions": (count, size, n), "class_labels": (count,),
        "global_steps": (size,), "class_steps": (count, size), "global_effects": (size,),
        "class_effects": (count, size), "examples": (max(1, count), n),
    }  # fmt: skip
    return {name: (shape, "int64" if name == "class_labels" else "float32") for name, shape in sets.items()}


def _check_values(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Raise ValueError for rows that are not of unit length and steps that are not above 0."""
    for name in ("global_directions", "class_directions"):
        lengths = tensors[name].double().norm(dim=-1)
        if ((lengths - 1).abs() > TOLERANCE).any():
            raise ValueError(f"{folder}/{MODEL_FILE}: the rows of {name} are not of unit length.")
    labels = tensors["class_labels"]
    if not ((tensors["global_steps"] > 0).all() and (tensors["class_steps"] > 0).all()):
        raise ValueError(f"{folder}/{MODEL_FILE}: a step is not above 0.")
    if labels.unique().numel() != len(labels):
        raise ValueError(f"{folder}/{MODEL_FILE}: class_labels holds a class twice.")
