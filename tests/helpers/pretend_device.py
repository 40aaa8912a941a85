"""An accelerator that is not there: its tensors say ``pretend:0``, lie on the CPU, and refuse what a GPU would.

Inside `pretend_device` there is a device "pretend". An operation that mixes its tensors with the CPU's raises
RuntimeError as CUDA's do, so code that forgets a ``.to(device)`` fails, and numbers that are copied to and from the
device are counted. It shows that devices are never mixed; not what a real GPU computes, or how fast.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
_setup_privateuseone_for_python_backend(NAME)

aten = torch.ops.aten
TAKE_INDICES = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)
"""With these a tensor on the device takes indices that are on the CPU."""


@dataclass
class Copies:
    """How many numbers went to the device and came from it."""

    there: int = 0
    back: int = 0


class OnDevice(torch.Tensor):
    """A tensor that says it is on ``pretend:0``, and the one on the CPU that it holds."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"OnDevice({self.held!r})"

    def __format__(self, how: str) -> str:
        return format(self.cpu(), how)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert a tensor on {NAME}:0 to numpy; use Tensor.cpu() first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            done = function(*given, **(named or {}))
        if function == torch.Tensor.data.__set__:  # which goes around the dispatch
            given[0].held = given[1].held
        return done

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _run(function, given, named or {}, Copies())


def _held(value: Any) -> Any:
    if type(value) in (tuple, list):  # torch's tree_map takes three times as long
        return type(value)([_held(one) for one in value])
    if type(value) is dict:
        return {name: _held(one) for name, one in value.items()}
    return value.held if type(value) is OnDevice else value


def _wrapped(value: Any) -> Any:
    if type(value) in (tuple, list):
        return type(value)([_wrapped(one) for one in value])
    return OnDevice(value) if type(value) is torch.Tensor else value


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if type(value) in (tuple, list):
            yield from _flat(value)
        else:
            yield value


def _copy(function: Any, given: Any, named: dict[str, Any], copies: Copies) -> Any:
    """`aten.copy_` and `aten._to_copy`, the only ways from device to device."""
    in_place = function.overloadpacket is aten.copy_
    source = given[1] if in_place else given[0]
    whence = isinstance(source, OnDevice)
    if in_place:
        where = isinstance(given[0], OnDevice)
    else:
        where = whence if named.get("device") is None else torch.device(named["device"]).type == NAME
        named = named | {"device": torch.device("cpu")}
    copies.there += source.numel() * (where and not whence)
    copies.back += source.numel() * (whence and not where)
    done = function(*_held(given), **_held(named))
    return given[0] if in_place else OnDevice(done) if where else done


def _lstm_cell(by_input: Any, by_hidden: Any, cell: Any, bias: Any = None, hidden_bias: Any = None) -> Any:
    """One step of an LSTM as accelerators take it: hidden state, cell, and the four gates."""
    gates = by_input + by_hidden + (0 if bias is None else bias + hidden_bias)
    enter, forget, new, leave = gates.chunk(4, 1)
    enter, forget, new, leave = enter.sigmoid(), forget.sigmoid(), new.tanh(), leave.sigmoid()
    after = forget * cell + enter * new
    return leave * after.tanh(), after, torch.cat([enter, forget, new, leave], 1)


def _lstm_cell_backward(by_hidden: Any, by_cell: Any, cell: Any, after: Any, gates: Any, has_bias: bool) -> Any:
    """Slopes by the gates, by the cell before and by the bias."""
    enter, forget, new, leave = gates.chunk(4, 1)
    out = after.tanh()
    by_hidden = torch.zeros_like(out) if by_hidden is None else by_hidden
    slope = by_hidden * leave * (1 - out**2) + (0 if by_cell is None else by_cell)
    slopes = [slope * new * enter * (1 - enter), slope * cell * forget * (1 - forget)]
    slopes += [slope * enter * (1 - new**2), by_hidden * out * leave * (1 - leave)]
    by_gates = torch.cat(slopes, 1)
    return by_gates, slope * forget, by_gates.sum(0) if has_bias else None


FUSED = {
    aten._thnn_fused_lstm_cell: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl: _lstm_cell_backward,
}
"""What torch asks of accelerators, and the CPU does not have."""


def _run(function: Any, given: Any, named: dict[str, Any], copies: Copies) -> Any:
    packet, values = function.overloadpacket, list(_flat((given, list(named.values()))))
    if packet in (aten.copy_, aten._to_copy):
        return _copy(function, given, named, copies)
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    inside = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    asked = named.get("device")
    if not inside and (asked is None or torch.device(asked).type != NAME):
        return function(*given, **named)
    if any(isinstance(value, torch.Generator) for value in values):
        raise RuntimeError(f"{function}: expected a generator of the device {NAME}, got one of the CPU")
    numbers = torch.Tag.pointwise in function.tags or packet in (aten.fill_, aten.masked_fill, aten.masked_fill_)
    for tensor in tensors:
        index = packet in TAKE_INDICES and isinstance(given[0], OnDevice)
        if inside and not (isinstance(tensor, OnDevice) or index or (numbers and tensor.dim() == 0)):
            raise RuntimeError(f"{function}: expected all tensors on the same device, found {NAME}:0 and cpu")
    if packet is aten._local_scalar_dense:
        copies.back += 1
    if asked is not None:
        named = named | {"device": torch.device("cpu")}
    with torch.no_grad():
        done = _wrapped(FUSED.get(packet, function)(*_held(given), **_held(named)))
    return return_and_correct_aliasing(function, given, named, done) if inside else done


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.copies = Copies()

    def __torch_dispatch__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _run(function, given, named or {}, self.copies)


@contextlib.contextmanager
def pretend_device() -> Iterator[Copies]:
    """Inside, there is a device "pretend"; what is copied to it and from it is counted."""
    lifts = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(.., device="pretend") comes by
    try:
        with _Mode() as mode:
            yield mode.copies
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
