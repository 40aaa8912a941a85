"""A map and its generator as one ONNX graph, point -> image, for a browser.

One image a run: a trace takes the number of codes for a constant in many decoders (of the zoo in two of twelve).
"""

from __future__ import annotations

import io
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from latent_vizae.decoders.contract import decoder_dtype_and_device, evaluating

if TYPE_CHECKING:
    from latent_vizae.maps.latent_map import LatentMap

__all__ = ["Traced", "trace"]

OPSET = 17
MOST_BYTES = 2**26
"""Of the graph, which a browser has to hold three times while it opens the page."""
PLACES = 12
"""Places all over the map at which the graph is compared with the map."""
TOLERANCE = 2e-3
"""Largest mean difference of a picture, black to white being 1: half a step of 8 bits."""
DEEPEST = 4
"""Steps from a function to the modules that it calls: closures, attributes, globals."""


class Traced(NamedTuple):
    """A graph that takes a ``point`` (1, d) and gives an ``image`` (1, C, H, W), float32.

    Attributes:
        graph: its bytes.
        difference: largest root mean square difference of a picture from the map's, at `PLACES` places.
        seconds: for a picture, here, on one thread.
        channels: of the images.
        height: of the images.
        width: of the images.
    """

    graph: bytes
    difference: float
    seconds: float
    channels: int
    height: int
    width: int


class _PointsToImages(nn.Module):
    """f_d(v_d(points)), with all modules that it calls as its own, so that their parameters may require gradients."""

    def __init__(self, m: LatentMap) -> None:
        super().__init__()
        self.v, self.own = m.v, nn.ModuleList(_modules_of(m.decoder))
        self._decoder = m.decoder
        self._dtype, self._device = decoder_dtype_and_device(m.decoder)

    def forward(self, points: Tensor) -> Tensor:
        codes = self.v.decode(points)
        images: Tensor = self._decoder(codes.to(self._device or codes.device, self._dtype))
        return images.to("cpu", torch.float32)


def trace(m: LatentMap) -> Traced:
    """Trace a map with its decoder, and compare what the graph makes with what the map makes.

    Raises:
        ImportError: without onnxruntime (extra ``onnx``).
        ValueError: the decoder cannot be traced, makes other images as a graph, or is too large for a page.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError('decoder="onnx" needs: pip install "latent-vizae[onnx]".') from error
    places = torch.rand((PLACES, m.v.dim), generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = torch.cat([m.render(place[None]) for place in places]).float().cpu()  # one at a time, as in a page
    graph = _exported(m, places[:1])
    if len(graph) > MOST_BYTES:
        raise ValueError(
            f"This map with its decoder is {len(graph) / 1e6:,.0f} MB as ONNX; a page holds {MOST_BYTES / 1e6:.0f}. "
            "Leave decoder out: the page then blends its pictures from tiles."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        if not session.get_inputs():
            raise ValueError("its images depend on no code as far as torch can see, as if it left torch for numpy.")
        images = np.concatenate([session.run(None, {"point": place[None].numpy()})[0] for place in places])
    except Exception as error:
        raise ValueError(f"{_CANNOT} The graph does not run: {_brief(error)}") from error
    far = np.inf
    if images.shape == tuple(wanted.shape):
        far = float(np.sqrt(np.square(images - wanted.numpy()).mean((1, 2, 3))).max())
    if not far <= TOLERANCE:
        raise ValueError(
            f"{_CANNOT} Its graph makes other images ({far:.3f} root mean square, black to white is 1): it depends on "
            "chance, or on values that a trace takes for constants."
        )
    began = time.perf_counter()
    for _ in range(3):
        session.run(None, {"point": places[:1].numpy()})
    seconds = (time.perf_counter() - began) / 3
    return Traced(graph, far, seconds, *wanted.shape[1:])


_CANNOT = 'This decoder cannot be put into a page as ONNX: leave decoder="onnx" out, and pictures come from tiles.'


def _exported(m: LatentMap, point: Tensor) -> bytes:
    module = _PointsToImages(m)
    file: Any = io.BytesIO()  # which this exporter takes, too
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # of the trace, of which what counts is compared afterwards
            for inner in (m.decoder, *module.own):
                stack.enter_context(evaluating(inner))
            torch.onnx.export(
                _still(module), (point.to(m.v.device),), file, dynamo=False, opset_version=OPSET,
                input_names=["point"], output_names=["image"],
            )  # fmt: skip
    except Exception as error:
        raise ValueError(f"{_CANNOT} {type(error).__name__}: {_brief(error)}") from error
    graph: bytes = file.getvalue()
    return graph


def _still(module: nn.Module) -> nn.Module:
    """The wrapper alone in evaluation mode; what it holds is the caller's, and `evaluating` sees to that."""
    module.training = False
    return module


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _modules_of(decoder: Any) -> list[nn.Module]:
    """Modules that a callable calls: itself, or in its closure, attributes or globals."""
    found: list[nn.Module] = []
    seen: set[int] = set()
    rest = [(decoder, 0)]
    while rest:
        thing, depth = rest.pop()
        if id(thing) in seen or depth > DEEPEST:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found.append(thing)
        else:
            rest += [(inner, depth + 1) for inner in _inside(thing)]
    return found


def _inside(thing: Any) -> Iterator[Any]:
    if isinstance(thing, types.MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, types.FunctionType):
        yield from (cell.cell_contents for cell in thing.__closure__ or () if _is_full(cell))
        yield from (thing.__globals__[name] for name in thing.__code__.co_names if name in thing.__globals__)
        yield from thing.__defaults__ or ()
    elif isinstance(thing, list | tuple):
        yield from thing
    elif isinstance(thing, dict):
        yield from thing.values()
    elif not isinstance(thing, type | types.ModuleType | Tensor):
        yield from getattr(thing, "__dict__", {}).values()
        yield from (getattr(thing, name) for name in ("func", "args") if hasattr(thing, name))  # functools.partial


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
