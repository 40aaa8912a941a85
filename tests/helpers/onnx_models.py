"""Small ONNX models: sigmoid(z @ W), whole or with weights in other files."""

import pytest
import torch

W = torch.linspace(-1, 1, 24).reshape(4, 6)


def graph(where: str | None = None, domain: str = "", batch: int | str = "B", size: int | str = 4, flat: bool = False):
    """sigmoid(z @ W) as bytes of an ONNX model; the weights lie in the file ``where``."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper = onnx.helper
    weights = tensor_in(where)
    shape = onnx.numpy_helper.from_array(torch.tensor([-1, 6] if flat else [-1, 1, 2, 3]).numpy(), "shape")
    nodes = [
        helper.make_node("MatMul", ["z", "W"], ["h"], domain=domain),
        helper.make_node("Sigmoid", ["h"], ["s"]),
        helper.make_node("Reshape", ["s", "shape"], ["x"]),
    ]
    z = helper.make_tensor_value_info("z", 1, [batch, size])
    x = helper.make_tensor_value_info("x", 1, [batch, 6] if flat else [batch, 1, 2, 3])
    return as_model(nodes, [z], [x], [weights, shape], domain).SerializeToString()


def as_model(nodes, inputs, outputs, tensors, domain=""):
    import onnx

    opsets = [onnx.helper.make_opsetid("", 17), *([onnx.helper.make_opsetid(domain, 1)] if domain else [])]
    made = onnx.helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return onnx.helper.make_model(made, opset_imports=opsets, ir_version=8)


def tensor_in(where: str | None):
    import onnx

    if where is None:
        return onnx.numpy_helper.from_array(W.numpy(), "W")
    tensor = onnx.TensorProto(name="W", data_type=1, dims=W.shape, data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", where), ("offset", "0"), ("length", "96")):
        tensor.external_data.add(key=key, value=value)
    return tensor
