"""Directions of a latent space, global and per class: the result of `discover_directions`, saved and loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latent_vizae.decoders.load import as_source_options
from latent_vizae.inputs.arrays import ArrayLike, as_tensor
from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.sources import as_codes
from latent_vizae.inputs.surroundings import methods_in_own_surroundings, own_surroundings
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE, read_folder, write_folder
from latent_vizae.storage.hub import folder_of

from .card import write_direction_card
from .direction import Direction, as_direction
from .report import DirectionsReport

__all__ = ["Directions"]


TOLERANCE, LONGEST_NAME = 1e-4, 100


@methods_in_own_surroundings
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
        names: of the global directions, where they have any.

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
    names: tuple[str, ...] = ()

    @classmethod
    @own_surroundings()
    def of_vectors(
        cls,
        vectors: Mapping[str, ArrayLike] | ArrayLike,
        latent_shape: tuple[int, ...] | None = None,
        decoder: Any = None,
        example: ArrayLike | None = None,
    ) -> Directions:
        """Directions that are known, such as those of a paper or a file, as a global set.

        A step of 1 is the vector as it is given. Nothing is measured, and they need not be orthogonal.

        Args:
            vectors: K of them by name, or (K, n) or (K, *latent_shape); at most n.
            latent_shape: of one code; by default the shape of one vector.
            decoder: that they are of; only its name is kept, if it has one (``source``).
            example: a code (*latent_shape) at which they are drawn; by default the code of 0.

        Raises:
            TypeError: not real numbers.
            ValueError: none or more than n, another shape, NaN or infinity, or a vector of 0.

        Example:
            >>> directions = Directions.of_vectors({"smile": torch.ones(4), "age": [0.0, 1.0, 0.0, 0.0]})
            >>> directions.pick(0).name, directions.pick(0).step
            ('smile', 2.0)
        """
        given = vectors if isinstance(vectors, Mapping) else {f"global {at}": row for at, row in enumerate(vectors)}
        rows = {name: as_tensor(row, f"the direction {name!r}") for name, row in given.items()}
        shape = tuple(next(iter(rows.values())).shape if rows and latent_shape is None else latent_shape or ())
        n = math.prod(shape)
        if not shape or not 1 <= len(rows) <= n:
            raise ValueError(f"Directions of codes of shape {shape} are 1 to {n} vectors, got {len(rows)}.")
        names = _checked_names(list(rows) if isinstance(vectors, Mapping) else [], len(rows))
        made = [as_direction(row, shape, name) for name, row in rows.items()]
        matrix, steps = torch.stack([each.vector for each in made]), torch.tensor([each.step for each in made])
        start = (
            torch.zeros(1, n) if example is None else as_codes(as_tensor(example, "example")[None], shape).flatten(1)
        )
        source = getattr(decoder, "source", None)
        named = isinstance(source, str)
        return cls(
            latent_shape=shape,
            global_directions=matrix.cpu(),
            class_directions=torch.zeros(0, len(made), n),
            class_labels=torch.zeros(0, dtype=torch.int64),
            global_steps=steps,
            class_steps=torch.zeros(0, len(made)),
            global_effects=torch.zeros(len(made)),
            class_effects=torch.zeros(0, len(made)),
            examples=start.cpu(),
            report=DirectionsReport.of_given(matrix, float(steps.max())),
            source=source if named else None,
            source_options=as_source_options(getattr(decoder, "options", {})) if named else {},
            names=names,
        )

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
        kind = "global" if label is None else f"class {int(label)},"
        own = None if label is None else int(label)
        names = self.names if label is None and self.names else [f"{kind} {at}" for at in range(len(vectors))]
        return [
            Direction(vector, float(step), names[at], own, self.latent_shape)
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
            **({"names": list(self.names)} if self.names else {}),
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
            known = {"latent_shape", "directions", "classes", "source", "source_options", "report", "names"}
            if set(config) | {"names"} != known:  # which few have
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
            names = _checked_names(config.get("names", []), size)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"The configuration in {folder}/{MODEL_FILE} does not describe directions: {error}"
            ) from error
        tensors = open_tensors(_shapes(n, size, count))
        _check_values(folder, tensors)
        return cls(shape, report=report, source=config["source"], source_options=options, names=names, **tensors)

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


def _checked_names(names: Any, size: int) -> tuple[str, ...]:
    """Names of so many directions, or none; raises ValueError for others."""
    if not isinstance(names, list) or len(names) not in (0, size):
        raise ValueError(f"names are a list of {size}.")
    if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in names):
        raise ValueError(f"names are texts of 1 to {LONGEST_NAME} letters.")
    return tuple(names)


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
