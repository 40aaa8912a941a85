"""v_d as a graph that runs without this package: torch.export and ONNX."""

import numpy as np
import pytest
import torch
from torch import nn

from latent_vizae import fit


class Decode(nn.Module):
    """v_d as a module, which is what torch exports."""

    def __init__(self, v):
        super().__init__()
        self.v = v

    def forward(self, points):
        return self.v.decode(points)


@pytest.fixture(scope="module", params=[(20, 2), (300, 2), (300, 3)])
def v(request):
    k, dim = request.param
    return fit(torch.randn(k, 3, 4, generator=torch.Generator().manual_seed(0)), dim=dim, steps=10)


def points(v, count):
    return torch.rand(count, v.dim, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_graph_of_torch_decodes_any_number_of_points(v):
    graph = torch.export.export(Decode(v), (points(v, 5),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    for count in (2, 5, 5000):
        assert torch.allclose(graph(points(v, count)), v.decode(points(v, count)), atol=1e-3)
    nothing = torch.full((2, v.dim), float("nan"))  # a graph looks at no values
    assert graph(nothing).isnan().all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")  # of the exporter
def test_an_onnx_graph_decodes_any_number_of_points(v, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    torch.onnx.export(
        Decode(v), (points(v, 5),), tmp_path / "v.onnx", dynamo=False,
        input_names=["points"], output_names=["codes"], dynamic_axes={"points": {0: "P"}, "codes": {0: "P"}},
    )  # fmt: skip
    session = runtime.InferenceSession(tmp_path / "v.onnx")
    for count in (1, 7, 300):
        (codes,) = session.run(None, {"points": points(v, count).numpy()})
        assert np.allclose(codes, v.decode(points(v, count)).numpy(), atol=1e-3)
