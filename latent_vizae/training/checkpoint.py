"""The state of a training on disk, so that it goes on after a break as if there had been none."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from latent_vizae.storage.folder import atomic_file, checksum, safetensors_bytes

__all__ = ["Checkpoint", "fingerprint"]


SECONDS = 10.0


def fingerprint(settings: list[Any], tensors: list[Tensor]) -> str:
    """What tells one training from another: its settings and its data."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Checkpoint:
    """One .safetensors file: tensors by name, and what else there is to know as JSON in its header.

    Args:
        path: where; it appears with the first `write`, and each replaces it in one step.

    Attributes:
        plan: numbers that are written with every state, for `planned`.

    Raises:
        ValueError: not a .safetensors file, or in no folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix != ".safetensors" or not self.path.parent.is_dir():
            raise ValueError(f"checkpoint is a .safetensors file in a folder that is there, got {path}.")
        self.mark = ""
        self.plan: dict[str, float] = {}
        self.facts: dict[str, Any] | None = None
        self.tensors: dict[str, Tensor] = {}
        self._due = time.monotonic() + SECONDS

    def open(self, mark: str) -> None:
        """Read the file, if there is one, into ``facts`` and ``tensors``.

        Raises:
            ValueError: it is damaged, or was written with another mark or by another version of this package, whose
                training may be another.
        """
        self.mark = mark
        if not self.path.exists():
            return
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if checksum(header["facts"], tensors) != header["sha256"]:
                raise ValueError("its checksum is not that of its contents")
            facts = json.loads(header["facts"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{self.path} is no checkpoint, or damaged: {error}. Choose another name.") from error
        if facts.get("version") != version("latent-vizae"):
            other = facts.get("version", "of an earlier kind")
            raise ValueError(
                f"{self.path} was written by latent_vizae {other}; this is {version('latent-vizae')}, which may train "
                "otherwise. Finish it with that version, or choose another name to begin anew."
            )
        if facts.get("mark") != mark:
            raise ValueError(
                f"{self.path} belongs to a training on other codes or with other settings. Ask for what was asked "
                "for then, or choose another name."
            )
        self.facts, self.tensors = facts, tensors

    def planned(self) -> dict[str, float]:
        """What a training that this one goes on with had settled by the clock, `plan` then; `open` checks the file."""
        with contextlib.suppress(SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError):
            with safe_open(self.path, "pt") as file:
                plan = json.loads(file.metadata()["facts"])["plan"]
            return {str(name): float(value) for name, value in plan.items()}
        return {}

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() > self._due

    def write(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Replace the file."""
        text = json.dumps({**facts, "plan": self.plan, "mark": self.mark, "version": version("latent-vizae")})
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = safetensors_bytes(tensors, {"facts": text, "sha256": checksum(text, tensors)})
        with atomic_file(self.path) as partial:
            partial.write_bytes(content)
        self._due = time.monotonic() + SECONDS

    def remove(self) -> None:
        """The work is done. Where `open` was never called there was none, and the file is another's."""
        if self.mark:
            self.path.unlink(missing_ok=True)
