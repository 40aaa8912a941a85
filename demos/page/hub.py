"""Generators and repositories that strangers name: of the Hub, or the bundled one; never a path of this machine."""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from latent_vizae import load_decoder
from latent_vizae.demos.page.kept import Kept
from latent_vizae.demos.page.queues import Queues
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE
from latent_vizae.storage.hub import fetch_folder, is_repo_id, look_up, parse_reference

__all__ = ["BUNDLED", "MOST_SIDE", "Decoders", "check_amount", "fetch_named"]

MOST_VALUES = 2**26
MOST_SIDE, MOST_FRAMES = 512, 16
MOST_BYTES = 2**31
"""To download at a time."""
MOST_DECODERS, DECODERS_BYTES = 3, 2**32
"""Decoders that stay loaded though no map needs them."""
SCHEMES = ("hub", "diffusers")

BUNDLED = ("mnist", "emoji")
"""Decoders that come with the package."""


class Decoders:
    """Decoders by name, shared by all visitors; the last few stay loaded."""

    def __init__(self, bundled: dict[str, Any] | None = None, local: dict[str, Any] | None = None) -> None:
        """Decoders that are here already.

        Args:
            bundled: those that every process has by name.
            local: those that this process alone has, brought along by who runs the page.
        """
        self._bundled, self.local = bundled or {}, local or {}
        self._kept: Kept[Any] = Kept(MOST_DECODERS, DECODERS_BYTES)
        self._names: WeakKeyDictionary[Any, tuple[str, dict[str, Any]]] = WeakKeyDictionary()
        self._names.update({decoder: (name, {}) for name, decoder in self._bundled.items()})
        self._loading: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()

    async def in_turn(self, queues: Queues, name: Any, **options: Any) -> Any:
        """`get`, in a thread of its own where it may have to be downloaded."""
        text = name.strip() if isinstance(name, str) else ""
        if text in self._bundled or text in self.local:
            return self.get(text)
        return await queues.run("hub", text, partial(self.get, name, **options))

    def get(self, name: Any, **options: Any) -> Any:
        """Load a decoder, or have it at once.

        Raises:
            ValueError: not the bundled one and not one of the Hub, or options for larger images than are made here.
            huggingface_hub.errors.HfHubHTTPError: the Hub does not give it to everybody.
        """
        if isinstance(name, str) and name.strip() in self.local:
            return self.local[name.strip()]
        name = _checked_name(name)
        if name in self._bundled:
            return self._bundled[name]
        _check_sizes(options)
        public = {}
        if name not in BUNDLED:  # all visitors share it: not with our login
            name, public = _pinned(name), {"token": False, "most_bytes": MOST_BYTES}
        key = f"{name} {sorted(options.items())}"
        with self._lock:
            lock = self._loading.setdefault(key, threading.Lock())
        with lock:  # of this decoder: a download takes long
            decoder = self._kept.find(key)
            if decoder is None:
                decoder = load_decoder(name, **options, **public)
                self._kept.add(key, decoder)
                with suppress(TypeError):  # one that cannot be remembered stays without a name
                    self._names[decoder] = name, options
            return decoder

    def named(self, decoder: Any) -> tuple[str, dict[str, Any]] | None:
        """The name, with its commit, and the options by which another process has this decoder; None for others."""
        with suppress(TypeError):
            return self._names.get(decoder)
        return None


def _checked_name(name: Any) -> str:
    """A decoder's name that leads nowhere on this machine."""
    text = name.strip() if isinstance(name, str) else ""
    if text in BUNDLED:
        return text
    scheme, _, reference = text.partition(":")
    if scheme not in SCHEMES:
        raise ValueError(f"A decoder is mnist, emoji, hub:user/name or diffusers:user/name, got {text[:80]!r}.")
    parse_reference(reference)
    if Path(reference).exists():
        raise ValueError(f"Decoders come from the Hub here; {reference!r} is a folder of this machine.")
    return text


def _check_sizes(options: dict[str, Any]) -> None:
    """Refuse what makes a decoder large before it is tried; a stranger's map has options, too."""
    for name, size, most in (
        ("image_size", max, MOST_SIDE), ("num_frames", max, MOST_FRAMES), ("latent_shape", math.prod, MOST_VALUES)
    ):  # fmt: skip
        value = options.get(name, 1)
        if size(value if isinstance(value, list) and value else [value]) > most:
            raise ValueError(f"{name} is at most {most:,} here, got {value}.")


def check_amount(count: int, latent_shape: Any) -> None:
    """Refuse more codes than are mapped here."""
    if (values := count * math.prod(latent_shape)) > MOST_VALUES:
        raise ValueError(
            f"{count:,} codes of shape {tuple(latent_shape)} are {values:,} values; at most {MOST_VALUES:,} are "
            "mapped here: take fewer codes, or smaller images."
        )


def _pinned(name: str) -> str:
    """A decoder's name with the commit, which everybody may have now, whatever our cache holds."""
    scheme, _, reference = name.partition(":")
    repo, _, revision = parse_reference(reference)
    return f"{scheme}:{reference.partition('@')[0]}@{look_up(repo, revision, token=False).sha}"


def fetch_named(name: Any, what: str, token: str | bool) -> tuple[str, Path]:
    """What a visitor calls by name on the Hub, never a path of this machine: the name, and the folder of its files.

    Raises:
        ValueError: ``name`` is no id of a repository, or its files are too large.
        huggingface_hub.errors.HfHubHTTPError: the Hub does not give it to this visitor, whatever our cache holds.
    """
    text = name.strip() if isinstance(name, str) else ""
    if not is_repo_id(text):
        raise ValueError(f"{what} called user/name, got {text[:80]!r}.")
    commit = look_up(text, token=token).sha
    return text, fetch_folder(text, [MODEL_FILE, CONFIG_FILE], commit, token, most_bytes=MOST_BYTES)[0]
