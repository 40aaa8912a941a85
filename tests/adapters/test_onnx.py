"""ONNX graphs as decoders: data only, whole in one file, and what is refused."""

import json
import sys

import pytest
import torch
from onnx_models import W, as_model, graph, tensor_in

from latent_vizae import fit, load_decoder
from latent_vizae.adapters.onnx_graph import MESSAGES, OnnxDecoder
from latent_vizae.testing import check_decoder


def test_an_onnx_graph_is_a_decoder_without_gradients(tmp_path):
    (tmp_path / "model.onnx").write_bytes(graph())
    f_d = load_decoder(f"hub:{tmp_path}")
    assert isinstance(f_d, OnnxDecoder)
    assert (f_d.latent_shape, f_d.image_shape) == ((4,), (1, 2, 3))
    assert (f_d.source, f_d.options) == (f"hub:{tmp_path}", {})
    codes = torch.randn(5, 4, requires_grad=True)
    images = f_d(codes)
    assert not images.requires_grad
    torch.testing.assert_close(images, (codes @ W).sigmoid().detach().reshape(5, 1, 2, 3))
    check_decoder(f_d, differentiable=False)


def test_a_map_is_fitted_with_an_onnx_decoder(tmp_path):
    (tmp_path / "model.onnx").write_bytes(graph())
    f_d = load_decoder(f"hub:{tmp_path}")
    codes = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    v = fit(codes, decoder=f_d, steps=20)
    assert v.source == f_d.source
    assert v.report.image_error is not None


def test_scikit_learn_clones_an_estimator_with_an_onnx_decoder(tmp_path):
    base = pytest.importorskip("sklearn.base")
    from latent_vizae.sklearn import VizAETransformer

    (tmp_path / "model.onnx").write_bytes(graph())
    f_d = OnnxDecoder(tmp_path / "model.onnx")
    estimator = VizAETransformer(decoder=f_d)
    codes = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)).numpy()
    points = base.clone(estimator).fit_transform(codes)
    assert (points == estimator.fit_transform(codes)).all()
    assert base.clone(estimator).decoder is f_d


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_is_no_limit(tmp_path, batch):
    (tmp_path / "g.onnx").write_bytes(graph(batch=batch))
    check_decoder(load_decoder(f"hub:{tmp_path}"), torch.randn(5, 4), differentiable=False)


def test_the_options_bring_an_onnx_decoder_back(tmp_path):
    (tmp_path / "a.onnx").write_bytes(graph(size="n", flat=True))
    (tmp_path / "b.onnx").write_bytes(graph())
    with pytest.raises(ValueError, match=r"2 \.onnx files, a\.onnx, b\.onnx"):
        load_decoder(f"hub:{tmp_path}")
    with pytest.raises(ValueError, match="pass latent_shape"):
        load_decoder(f"hub:{tmp_path}", file="a.onnx")
    with pytest.raises(ValueError, match="image_shape"):
        load_decoder(f"hub:{tmp_path}", file="a.onnx", latent_shape=(4,))
    f_d = load_decoder(
        f"hub:{tmp_path}", file="a.onnx", latent_shape=(4,), image_shape=(1, 3, 2), output_range=(-1.0, 1.0)
    )
    assert f_d.image_shape == (1, 3, 2)
    check_decoder(f_d, differentiable=False)
    again = load_decoder(f_d.source, **json.loads(json.dumps(f_d.options)))
    codes = torch.randn(3, 4)
    assert torch.equal(again(codes), f_d(codes))
    assert again.options == f_d.options
    for wrong in ({"latent_shape": (5,)}, {"latent_shape": (4, 1)}, {"image_shape": (2, 3, 1)}, {"device": "abacus"}):
        with pytest.raises(ValueError, match=r"was given|no device"):
            load_decoder(f"hub:{tmp_path}", file="b.onnx", **wrong)


@pytest.fixture
def session(monkeypatch):
    """Fails if onnxruntime is asked for a session."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def asked(*_args, **_options):
        pytest.fail("onnxruntime was asked to open a file that should have been refused")

    monkeypatch.setattr(onnxruntime, "InferenceSession", asked)


@pytest.mark.parametrize("where", ["w.data", "./w.data", "../w.data", "/w.data", "absolute", "*/_ORT_MEM_ADDR_/*", ""])
def test_weights_in_other_files_are_refused_unread(tmp_path, monkeypatch, session, where):
    folder = tmp_path / "repo"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "w.data").write_bytes(W.numpy().tobytes())
    monkeypatch.chdir(folder)  # onnxruntime resolves against the working folder when it is given bytes
    (folder / "model.onnx").write_bytes(graph(str(tmp_path / "w.data") if where == "absolute" else where))
    with pytest.raises(ValueError, match="external data"):
        load_decoder(f"hub:{folder}")


def test_weights_in_other_files_are_found_wherever_they_hide(tmp_path, session):
    model = graph()
    import onnx

    constant = onnx.helper.make_node("Constant", [], ["c"], value=tensor_in("w.data"))
    branch = onnx.helper.make_graph([constant], "b", [], [onnx.helper.make_tensor_value_info("c", 1, [4, 6])])
    condition = onnx.helper.make_node("If", ["t"], ["c"], then_branch=branch, else_branch=branch)
    sparse = onnx.SparseTensorProto(values=tensor_in("w.data"))
    hidden = [onnx.ModelProto.FromString(model) for _ in range(6)]
    hidden[0].graph.node.append(constant)
    hidden[1].graph.node.append(condition)
    hidden[2].functions.append(onnx.FunctionProto(name="f", domain="d", node=[condition]))
    hidden[3].graph.sparse_initializer.append(sparse)
    hidden[4].training_info.append(onnx.TrainingInfoProto(algorithm=branch))
    hidden[5].graph.node[0].attribute.append(onnx.helper.make_attribute("many", [tensor_in(None), tensor_in("w")]))
    for number, one in enumerate(hidden):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(one.SerializeToString())
        with pytest.raises(ValueError, match="external data"):
            OnnxDecoder(path)
    location_only = onnx.ModelProto.FromString(model)
    location_only.graph.initializer[0].data_location = 1
    (tmp_path / "l.onnx").write_bytes(location_only.SerializeToString())
    with pytest.raises(ValueError, match="external data"):
        OnnxDecoder(tmp_path / "l.onnx")


def test_every_way_from_a_model_to_a_tensor_is_looked_at():
    onnx = pytest.importorskip("onnx")
    todo, fields = [onnx.ModelProto.DESCRIPTOR], {}
    while todo:
        message = todo.pop()
        if message.name not in fields:
            fields[message.name] = {f.number: f.message_type.name for f in message.fields if f.message_type}
            todo += [f.message_type for f in message.fields if f.message_type]
    leads = {"TensorProto"}
    while more := {name for name, inside in fields.items() if leads & set(inside.values())} - leads:
        leads |= more
    ways = {
        name.removesuffix("Proto").replace("TrainingInfo", "Training"): {
            number: inside.removesuffix("Proto").replace("TrainingInfo", "Training")
            for number, inside in fields[name].items()
            if inside in leads
        }
        for name in leads
    }
    assert ways == MESSAGES


def test_operators_of_a_library_are_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(graph(domain="evil.ops"))
    with pytest.raises(ValueError, match=r"evil\.ops.*library of their own are code"):
        load_decoder(f"hub:{tmp_path}")


def field(number: int, body: bytes) -> bytes:
    """One field of a protobuf message that holds another message of less than 2**14 bytes."""
    return bytes([number << 3 | 2, len(body) & 127 | 128, len(body) >> 7]) + body


def test_damaged_graphs_are_refused(tmp_path):
    data = graph()
    path = tmp_path / "model.onnx"
    damaged = [b"", b"abc", b"\x0a" * 100, b"\xff" * 100, b"\x3b\x3c", b"\x08\x08", data[: len(data) // 2], data[:-1]]
    for broken in damaged:
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"not an ONNX graph|onnxruntime refuses"):
            load_decoder(f"hub:{tmp_path}")
    path.write_bytes(b"\xea\x80\x80\x80\x10\x00" + data)  # a field number that a 32-bit reader takes for another
    with pytest.raises(ValueError, match="32 bits"):
        load_decoder(f"hub:{tmp_path}")
    deep = b""
    for number in [6, 5, 1] * 40 + [7]:  # a graph in an attribute of a node of a graph ...
        deep = field(number, deep)
    path.write_bytes(deep)
    with pytest.raises(ValueError, match=r"not an ONNX graph.*too deep"):
        load_decoder(f"hub:{tmp_path}")
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(ValueError, match="at most"):
        load_decoder(f"hub:{tmp_path}")
    with pytest.raises(FileNotFoundError, match=r"none\.onnx"):
        load_decoder(f"hub:{tmp_path}", file="none.onnx")


def test_graphs_that_are_no_decoders_are_refused(tmp_path):
    graph()
    from onnx import helper

    def info(name, shape, kind=1):
        return helper.make_tensor_value_info(name, kind, shape)

    add = helper.make_node("Add", ["a", "b"], ["x"])
    same_again = helper.make_node("Identity", ["a"], ["x"])
    twice = [same_again, helper.make_node("Identity", ["a"], ["y"])]
    bad = [
        ([add], [info("a", ["B", 4]), info("b", ["B", 4])], [info("x", ["B", 4])]),
        (twice, [info("a", ["B", 4])], [info("x", ["B", 4]), info("y", ["B", 4])]),
        ([same_again], [info("a", ["B", 4], 7)], [info("x", ["B", 4], 7)]),
        ([same_again], [info("a", ["B", 10**12])], [info("x", ["B", 10**12])]),
        ([same_again], [info("a", ["B", 4])], [info("x", ["B", 4])]),
        ([same_again], [info("a", ["B", 0])], [info("x", ["B", 0])]),
    ]
    for nodes, inputs, outputs in bad:
        (tmp_path / "model.onnx").write_bytes(as_model(nodes, inputs, outputs, []).SerializeToString())
        with pytest.raises(ValueError, match=r"one input|at most|image_shape|latent_shape"):
            load_decoder(f"hub:{tmp_path}")


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ImportError, match=r'pip install "latent-vizae\[onnx\]"'):
        load_decoder(f"hub:{tmp_path}")


def test_a_graph_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "one.onnx").write_bytes(graph(batch=3))
    (tmp_path / "two.onnx").write_bytes(graph())
    codes = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = load_decoder(f"hub:{tmp_path}", file="two.onnx")
    for reference in (f"{tmp_path}/two.onnx", f"{tmp_path.name}/two.onnx", "~/two.onnx"):
        f_d = load_decoder(f"hub:{reference}")
        assert torch.equal(f_d(codes), wanted(codes))
        assert (f_d.source, f_d.options) == (f"hub:{tmp_path}", {"file": "two.onnx"})
        assert torch.equal(load_decoder(f_d.source, **f_d.options)(codes), wanted(codes))
    with pytest.raises(ValueError, match="Two files came"):
        load_decoder(f"hub:{tmp_path}/two.onnx", file="one.onnx")
    for gone in ("models/gone.onnx", "gone.onnx", f"{tmp_path}/gone.onnx"):  # and no repository models/gone.onnx
        with pytest.raises(FileNotFoundError, match="There is no file"):
            load_decoder(f"hub:{gone}")
