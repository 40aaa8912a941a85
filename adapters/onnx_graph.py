"""An ONNX graph as a decoder: operators and weights without code, so an untrusted one can be loaded (extra ``onnx``).

Two things in such a file reach outside of it and are refused: weights in other files (paths, which onnxruntime
resolves against the working folder even if it gets bytes), and operators of custom libraries. Paths are searched for
here, in the bytes of the file, before onnxruntime gets them; onnxruntime refuses custom operators. The time and memory
that a graph takes are not bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from latent_vizae.adapters.module import ModuleDecoder

__all__ = ["OnnxDecoder"]

MAX_BYTES = 2**31
MAX_FIELDS = 5_000_000
MAX_DEPTH = 100
MAX_VALUES = 2**28
DTYPES = {"tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(float16)": torch.float16}

MESSAGES: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
"""Every way from a model to a tensor in onnx.proto: field numbers and what they hold."""
EXTERNAL_DATA, DATA_LOCATION = 13, 14


class OnnxDecoder:
    """A decoder from an ONNX file, run by onnxruntime on the CPU, in as many threads as torch has when it is loaded.

    Images have no gradients. `fit` then uses code distances, except for fewer than 50 codes with large images; methods
    that need gradients raise ValueError.

        f_d = OnnxDecoder("generator.onnx", output_range=(-1, 1))
        v = fit(codes, decoder=f_d)

    Args:
        path: the file, at most 2 GiB, with all weights inside; one float input, codes (B, *latent_shape), and one
            output, images. A graph with a fixed B is run batch by batch.
        latent_shape: shape of one code; needed if the graph leaves it open.
        image_shape: (C, H, W) of one image; needed if the output is flat.
        output_range: the output's values of black and white, or "logits" (a sigmoid follows).

    Attributes:
        latent_shape: shape of one code.
        image_shape: (C, H, W) of one image.
        source: the string for `latent_vizae.load_decoder`, or None.
        options: the keywords for it.
        device: of the codes, the CPU.
        nbytes: size of the file.

    Raises:
        ImportError: onnxruntime is not installed.
        FileNotFoundError: no such file.
        ValueError: the file is not an ONNX graph or too large, keeps weights in other files, uses operators that
            onnxruntime does not have, or has other inputs and outputs.
    """

    device = torch.device("cpu")
    differentiable = False

    def __init__(
        self,
        path: str | Path,
        latent_shape: tuple[int, ...] | None = None,
        image_shape: tuple[int, int, int] | None = None,
        output_range: tuple[float, float] | Literal["logits"] = (0.0, 1.0),
    ) -> None:
        self._name = str(path)
        self._session = _open(Path(path))
        self.nbytes = Path(path).stat().st_size
        self._input, self._batch, self.latent_shape = self._signature(latent_shape)
        self._dtype = DTYPES[self._input.type]
        self._decoder = ModuleDecoder(self._run, self.latent_shape, image_shape, output_range)
        made = tuple(self._run(torch.zeros(1, *self.latent_shape)).shape[1:])
        if image_shape is not None and len(made) == 3 and made != tuple(image_shape):
            raise ValueError(f"{path} makes images of shape {made}, image_shape={tuple(image_shape)} was given.")
        self.image_shape: tuple[int, ...] = made if image_shape is None else tuple(image_shape)
        if len(self.image_shape) != 3:
            raise ValueError(f"{path} makes {made} for one code; pass image_shape=(channels, height, width).")
        self.source: str | None = None
        self.options: dict[str, Any] = {}

    def __deepcopy__(self, memo: Any) -> OnnxDecoder:
        """Itself: what runs a graph cannot be copied, and nothing changes it; scikit-learn copies its parameters."""
        return self

    def __call__(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to images (B, C, H, W) in [0, 1], without gradients."""
        images: Tensor = self._decoder(codes)
        return images

    def _signature(self, latent_shape: tuple[int, ...] | None) -> tuple[Any, int | None, tuple[int, ...]]:
        """The input, its fixed batch size or None, and the shape of a code."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        listed = ", ".join(f"{x.name}: {x.type} {x.shape}" for x in (*inputs, *outputs))
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in DTYPES or outputs[0].type not in DTYPES:
            raise ValueError(f"A decoder has one input, codes, and one output, images, both floats: {listed[:400]}.")
        batch, *sizes = inputs[0].shape or [None]
        largest = max(math.prod(size for size in x.shape if isinstance(size, int)) for x in (*inputs, *outputs))
        if largest > MAX_VALUES:
            raise ValueError(f"A batch of codes or images has at most {MAX_VALUES} values: {listed[:400]}.")
        fixed = [size if isinstance(size, int) else None for size in sizes]
        if latent_shape is None:
            if not fixed or None in fixed:
                raise ValueError(f"The graph leaves the shape of a code open, pass latent_shape: {listed[:400]}.")
            latent_shape = tuple(size for size in fixed if size is not None)
        fits = len(latent_shape) == len(fixed) and all(
            b in (None, a) for a, b in zip(latent_shape, fixed, strict=True)
        )
        if inputs[0].shape and not fits:
            raise ValueError(f"latent_shape={tuple(latent_shape)} was given; the graph takes {listed[:400]}.")
        return inputs[0], batch if isinstance(batch, int) else None, tuple(latent_shape)

    def _run(self, codes: Tensor) -> Tensor:
        """Codes (B, *latent_shape) to the output of the graph, float32."""
        rows = codes.detach().to("cpu", self._dtype)
        size = self._batch or len(rows)
        made = [self._run_batch(batch, size) for batch in rows.split(size)]
        return torch.cat(made)

    def _run_batch(self, rows: Tensor, size: int) -> Tensor:
        missing = size - len(rows)  # only where the graph fixes the size of a batch
        full = torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows
        try:
            (output,) = self._session.run(None, {self._input.name: full.contiguous().numpy()})
        except Exception as error:
            raise ValueError(f"onnxruntime cannot run {self._name}: {_first_line(error)}") from error
        images = torch.from_numpy(output)
        if images.dim() < 2 or len(images) != size:
            raise ValueError(f"{self._name} makes {tuple(images.shape)} of {size} codes; images are (B, C, H, W).")
        return images[: len(rows)].float()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:400]


def _open(path: Path) -> Any:
    """A session that reads no other file and changes no setting outside of itself."""
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError as error:
        raise ImportError('An ONNX graph needs onnxruntime: pip install "latent-vizae[onnx]"') from error
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path} has {size} bytes; an ONNX graph has at most {MAX_BYTES}.")
    data = path.read_bytes()
    _refuse_external_data(data, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # errors come as exceptions
    options.add_session_config_entry(
        "session.load_model_format", "ONNX"
    )  # never its own binary format, unchecked here
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        foreign = "not a registered function/op" in str(error)
        hint = ". Operators of a library of their own are code, and are not loaded" if foreign else ""
        raise ValueError(f"onnxruntime refuses {path}: {_first_line(error)}{hint}.") from error


def _refuse_external_data(data: bytes, path: Path) -> None:
    """Raise ValueError if a tensor of an ONNX model lies in another file, or if it is no ONNX model."""
    todo = [("Model", memoryview(data), 0)]
    fields = 0
    has_graph = False
    while todo:
        message, part, depth = todo.pop()
        try:
            for number, value in _fields(part):
                fields += 1
                if fields > MAX_FIELDS or depth > MAX_DEPTH:
                    raise ValueError("it is too large or too deep")
                inside = MESSAGES[message].get(number)
                has_graph |= inside == "Graph"
                if message == "Tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
                    raise PermissionError
                if inside is not None and isinstance(value, memoryview):
                    todo.append((inside, value, depth + 1))
        except PermissionError:
            raise ValueError(
                f"{path} keeps weights in other files (external data), and a file must not name others to be read. "
                "Export it in one piece, torch.onnx.export(..., external_data=False), or put it together: "
                "onnx.save(onnx.load(path), path, save_as_external_data=False)."
            ) from None
        except ValueError as error:
            raise ValueError(f"{path} is not an ONNX graph, or it is damaged: {error}.") from error
    if not has_graph:
        raise ValueError(f"{path} is not an ONNX graph: it holds no graph.")


def _fields(part: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Fields of one protobuf message: number and value (bytes, or a whole number; of fixed-size ones only 0).

    https://protobuf.dev/programming-guides/encoding
    """
    at, end = 0, len(part)
    while at < end:
        key, at = _varint(part, at)
        if key >= 2**32:  # which other readers may cut to 32 bits, and see another field
            raise ValueError("a field number of more than 32 bits")
        kind = key & 7
        value: int | memoryview = 0
        if kind == 0:
            value, at = _varint(part, at)
        elif kind == 2:
            length, at = _varint(part, at)
            value, at = part[at : at + length], at + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if at > end:
            raise ValueError("it ends early")
        yield key >> 3, value


def _varint(part: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for index in range(10):
        if at + index >= len(part):
            raise ValueError("it ends early")
        byte = part[at + index]
        number |= (byte & 127) << (7 * index)
        if byte < 128:
            return number, at + index + 1
    raise ValueError("a number of more than 64 bits")
