"""What surrounds a call: the package computes in float32 or more, where its tensors are, whatever its caller has set.

``torch.autocast``, ``torch.set_default_dtype`` and ``torch.set_default_device`` reach into every function that is
called under them. Inside of `own_surroundings` they do not; what is the caller's, such as a decoder, is called in
`callers_surroundings`, where they do. No setting of the process is written: other threads see none of this.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["callers_surroundings", "methods_in_own_surroundings", "own_surroundings", "warn_caller"]

Class = TypeVar("Class", bound=type)

BUILT = {"cpu": True, "cuda": torch.backends.cuda.is_built(), "mps": torch.backends.mps.is_built(), "xpu": True}
AUTOCAST = [kind for kind, built in BUILT.items() if built and torch.amp.is_autocast_available(kind)]
"""Kinds of devices that this torch may have; whether they are there is not asked, which would start their drivers."""

FLOATS = {torch.empty, torch.eye, torch.linspace, torch.logspace, torch.ones, torch.rand, torch.randn, torch.zeros}
"""What makes tensors of the default dtype."""
INFERRED = {torch.arange, torch.as_tensor, torch.full, torch.tensor}
"""What makes tensors of the default dtype of fractions."""
DIVISIONS = {torch.div, torch.Tensor.div, torch.Tensor.__truediv__}
"""What makes fractions of whole numbers."""
WHOLE = {torch.randint, torch.randperm, torch.tril_indices, torch.triu_indices}


INSIDE = {"latent_vizae", "contextlib", "torch"}
"""Packages of the functions between a caller and a warning."""


class _Plain(TorchFunctionMode):
    """Tensors that are made without a dtype or device are float32, on the CPU."""

    active = True

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named, given = dict(kwargs or {}), args[0] if args else None
        if self.active and function in DIVISIONS and isinstance(given, Tensor) and not given.is_floating_point():
            return function(given.float(), *args[1:], **named)
        if not self.active or function not in FLOATS | INFERRED | WHOLE:
            return function(*args, **named)
        if named.get("device") is None:
            named["device"] = given.device if isinstance(given, Tensor) else "cpu"
        if named.get("dtype") is not None or isinstance(given, Tensor | np.ndarray | np.generic):
            return function(*args, **named)
        if function in INFERRED and not function(*args, **named).is_floating_point():
            return function(*args, **named)
        return function(*args, **named if function in WHOLE else named | {"dtype": torch.float32})


class _Outside(threading.local):
    """What this thread's `own_surroundings` shuts out: autocasts, and default dtype and device, by the mode."""

    autocasts: tuple[tuple[str, torch.dtype, bool], ...] = ()
    plain: _Plain | None = None


_outside = _Outside()


class own_surroundings(contextlib.ContextDecorator):
    """Inside, no autocast; tensors are float32 and on the CPU unless something else is asked for. Or a decorator.

    Inside of inference mode, there is no_grad instead.
    """

    _changed: contextlib.ExitStack | None = None

    def _recreate_cm(self) -> own_surroundings:  # of each call of what is decorated
        return own_surroundings()

    def __enter__(self) -> None:
        if torch.compiler.is_compiling():  # a graph is made, with what surrounds it when it runs
            return
        kinds = [kind for kind in AUTOCAST if torch.is_autocast_enabled(kind)]
        like = torch.empty(0)
        is_plain = like.dtype == torch.float32 and like.device.type == "cpu"
        inference = torch.is_inference_mode_enabled()
        if is_plain and not kinds and not inference:
            return
        before = _outside.autocasts, _outside.plain
        cached = torch.is_autocast_cache_enabled()
        casts = tuple((kind, torch.get_autocast_dtype(kind), cached) for kind in kinds)
        self._changed = contextlib.ExitStack()
        self._changed.callback(_set_outside, *before)
        if inference:  # what is made and kept here may have to do with gradients later
            self._changed.enter_context(torch.inference_mode(False))
            self._changed.enter_context(torch.no_grad())
        for kind in kinds:
            self._changed.enter_context(torch.autocast(kind, enabled=False))
        plain = None if is_plain else self._changed.enter_context(_Plain())
        _set_outside(before[0] + casts, plain or before[1])

    def __exit__(self, *_: object) -> None:
        if self._changed is not None:
            self._changed.close()


@contextlib.contextmanager
def callers_surroundings() -> Iterator[None]:
    """Inside of `own_surroundings`, what surrounds that: for what is the caller's, such as a decoder."""
    autocasts, plain = before = _outside.autocasts, _outside.plain
    if not autocasts and plain is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_set_outside, *before)
        for kind, dtype, cached in autocasts:
            stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=cached))
        if plain is not None:
            plain.active = False
            stack.callback(setattr, plain, "active", True)
        _set_outside((), None)
        yield


def _set_outside(autocasts: tuple[tuple[str, torch.dtype, bool], ...], plain: _Plain | None) -> None:
    _outside.autocasts, _outside.plain = autocasts, plain


def methods_in_own_surroundings(kind: Class) -> Class:
    """A class whose public methods run in `own_surroundings`; a decorator."""
    for name, value in list(vars(kind).items()):
        if isinstance(value, FunctionType) and not name.startswith("_"):
            method: Callable[..., Any] = own_surroundings()(value)
            setattr(kind, name, method)
    return kind


def warn_caller(message: str) -> None:
    """Warn (UserWarning) of the line that called the package, however many functions and decorators lie between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
