"""VizAETransformer keeps scikit-learn's contracts, and MapGenerator those of torchmetrics' path length."""

import importlib
import os
import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pytest
import torch

from latent_vizae import LatentMap, VizAE, fit

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from latent_vizae.maps.as_generator import MapGenerator
from latent_vizae.sklearn import VizAETransformer


def quick(**parameters):
    return VizAETransformer(**{"hidden": (8,), "steps": 10, **parameters})


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(20, 6))


def same(one, other):
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@parametrize_with_checks([quick()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


THE_SKIPPED = """
from sklearn.utils.estimator_checks import estimator_checks_generator
from latent_vizae.sklearn import VizAETransformer

for estimator, check in estimator_checks_generator(VizAETransformer(hidden=(8,), steps=10)):
    if "array_api" in repr(check):
        check(estimator)
"""


def test_the_check_that_is_skipped_above():
    run = subprocess.run(
        [sys.executable, "-c", THE_SKIPPED],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},  # has to be there before SciPy is imported
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert run.returncode == 0, run.stderr  # a skipped check raises SkipTest


# The same map as fit's.


@pytest.mark.wheel
def test_it_is_fit(X):
    estimator = quick(random_state=3)
    assert estimator.fit(X) is estimator
    v = fit(X, hidden=(8,), steps=10, seed=3)
    assert same(estimator.v_, v)
    assert np.array_equal(estimator.embedding_, v.points.numpy())
    assert np.array_equal(estimator.transform(X.astype(np.float32)), v.encode(X).numpy())
    assert np.array_equal(estimator.inverse_transform(estimator.embedding_), v.decode(v.points).numpy())
    np.testing.assert_allclose(estimator.transform(X), v.encode(X).numpy(), atol=1e-5)
    np.testing.assert_allclose(estimator.inverse_transform(v.points.double()), v.decode(v.points).numpy(), atol=1e-4)
    assert estimator.v_.mean.dtype == torch.float32


def test_a_decoder_by_name_is_the_decoder(f_d, fives, v):
    named = VizAETransformer("mnist").fit(fives)
    assert same(named.v_, fit(fives, decoder=f_d))
    assert named.v_.source == "mnist"
    assert np.array_equal(named.embedding_, v.points.numpy())


def test_codes_of_other_shapes(X):
    seen = set()

    def decoder(codes):
        seen.add(tuple(codes.shape[1:]))
        return codes.flatten(1).sigmoid().reshape(-1, 1, 2, 3)

    estimator = quick(decoder=decoder, latent_shape=(1, 2, 3)).fit(X)
    assert seen == {(1, 2, 3)}
    assert estimator.v_.latent_shape == (1, 2, 3)
    assert same(estimator.v_, fit(X.reshape(-1, 1, 2, 3), decoder, hidden=(8,), steps=10))
    assert estimator.inverse_transform(estimator.transform(X)).shape == X.shape
    for shape in ((2, 2), (-2, -3), (), 6, "6"):
        with pytest.raises(ValueError, match="latent_shape is the shape of a code of 6 values"):
            quick(latent_shape=shape).fit(X)
    with pytest.raises(ValueError, match="latent_shape"):
        quick(latent_shape=()).fit(X[:, :1].repeat(2, 1))


def test_a_plane_comes_back_as_it_was(X):
    plane = X[:, :2] @ np.random.default_rng(1).normal(size=(2, 6)) + 3
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-5)):
        estimator = VizAETransformer().fit(plane.astype(dtype))
        points = estimator.transform(plane.astype(dtype))
        back = estimator.inverse_transform(points)
        assert points.dtype == back.dtype == dtype
        np.testing.assert_allclose(back, plane, atol=tolerance)


def test_labels_are_whole_numbers_or_words_and_anything_else_is_no_matter(X):
    whole = np.arange(20) % 3
    assert torch.equal(quick().fit(X, whole).v_.labels, torch.from_numpy(whole))
    for words in (np.array(["a", "b", "c"])[whole], ["abc"[n] for n in whole]):
        assert torch.equal(quick().fit(X, words).v_.labels, torch.from_numpy(whole))
        assert quick().fit(X, words).v_.label_names == {0: "a", 1: "b", 2: "c"}
    for y in (None, whole + 0.5, whole[:, None], [object()] * 20):
        estimator = quick().fit(X, y)
        assert estimator.v_.labels is None
        assert np.array_equal(estimator.embedding_, quick().fit(X, whole).embedding_)
    with pytest.raises(ValueError, match="one per code"):
        quick().fit(X, whole[:5])


def test_random_state(X):
    def weights(state):
        return quick(random_state=state).fit(X).v_.encoder[0].weight

    assert torch.equal(weights(np.int64(4)), weights(4))
    assert torch.equal(weights(np.random.RandomState(4)), weights(np.random.RandomState(4)))
    assert not torch.equal(weights(4), weights(5))
    drawn = np.random.RandomState(4)
    assert not torch.equal(weights(drawn), weights(drawn))
    before = np.random.get_state()[2]  # noqa: NPY002 (scikit-learn's None is numpy's global generator)
    weights(4)
    assert np.random.get_state()[2] == before  # noqa: NPY002
    assert not torch.equal(weights(None), weights(None))
    for wrong, error in ((-1, ValueError), ("yes", TypeError), (0.5, TypeError)):
        with pytest.raises(error, match="seed"):
            weights(wrong)


# Among scikit-learn's other tools.


def test_tables_in_and_out(X):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=list("abcdef"), index=[f"code {i}" for i in range(20)])
    estimator = quick(dim=3).set_output(transform="pandas")
    points = estimator.fit_transform(table, table.index.str.len())
    names = ["vizaetransformer0", "vizaetransformer1", "vizaetransformer2"]
    assert list(points.columns) == list(estimator.get_feature_names_out()) == names
    assert list(points.index) == list(table.index)
    assert list(estimator.feature_names_in_) == list("abcdef")
    assert estimator.inverse_transform(points).shape == (20, 6)
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(table[list("fedcba")])


def test_a_grid_search_over_a_pipeline(X):
    y = (X[:, 0] > 0).astype(int)
    pipe = make_pipeline(quick(), KNeighborsClassifier(3))
    search = GridSearchCV(pipe, {"vizaetransformer__dim": [1, 2]}, cv=2).fit(X, y)
    assert search.best_params_["vizaetransformer__dim"] in (1, 2)
    assert search.predict(X).shape == (20,)


def test_clone_copies_parameters_only(X, f_d):
    fitted = quick(decoder="mnist", dim=3, random_state=7).fit(X.repeat(2, 1)[:, :10])
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copied.transform(X)
    with pytest.raises(NotFittedError):
        copied.inverse_transform(X[:, :3])
    assert not hasattr(copied, "embedding_")
    assert clone(quick(decoder=f_d)).decoder is not f_d


def test_arrays_of_all_kinds(X):
    estimator = quick().fit(X)
    points = estimator.transform(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    for other in (frozen, np.asfortranarray(X), X.astype(">f8"), X[::-1][::-1], X.tolist(), torch.from_numpy(X)):
        np.testing.assert_allclose(estimator.transform(other), points, rtol=1e-12)
        np.testing.assert_allclose(quick().fit(other).embedding_, estimator.embedding_, atol=1e-4)
    assert estimator.transform(X.astype(">f4")).dtype.isnative
    assert quick().fit_transform((10 * X).astype(int)).dtype == np.float64
    copied = estimator.embedding_
    copied[:] = 7
    assert estimator.v_.points.max() <= 1


# Pickles.


def imported_by(pickled):
    """Names of all that a pickle imports: strings before a STACK_GLOBAL, and every string beside, to be sure."""
    return [arg for op, arg, _ in pickletools.genops(pickled) if isinstance(arg, str) and "UNICODE" in op.name]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_hold_v_as_it_is_saved_and_no_torch(X, protocol):
    estimator = quick().fit(X, np.arange(20))
    pickled = pickle.dumps(estimator, protocol)
    if protocol >= 4:
        assert not [name for name in imported_by(pickled) if name.split(".")[0] == "torch"]
    assert b"torch.nn" not in pickled
    assert b"_rebuild" not in pickled
    back = pickle.loads(pickled)
    assert same(back.v_, estimator.v_)
    assert back.v_.report == estimator.v_.report
    assert not back.v_.training
    assert np.array_equal(back.transform(X), estimator.transform(X))
    assert pickle.dumps(back, protocol) == pickled
    assert vars(estimator)["v_"].__class__ is VizAE  # pickling changed nothing


def test_a_state_is_what_save_pretrained_writes(X, tmp_path):
    estimator = quick().fit(X)
    estimator.v_.save_pretrained(tmp_path)
    files = estimator.__getstate__()["v_"]
    assert files == {name: (tmp_path / name).read_bytes() for name in ("model.safetensors", "config.json")}


def damaged(state, **files):
    return {**state, "v_": {**state["v_"], **{name.replace("_", "."): content for name, content in files.items()}}}


def test_damaged_states_are_refused(X):
    state = quick().fit(X).__getstate__()
    model = state["v_"]["model.safetensors"]
    flipped = bytearray(model)
    flipped[-5] ^= 1
    wrong = {
        "damaged": damaged(state, model_safetensors=bytes(flipped)),
        "truncated": damaged(state, model_safetensors=model[:-8]),
        "not JSON": damaged(state, config_json=b"{"),
        "holds its v as": {**state, "v_": {"model.safetensors": model}},
        "holds its v": {**state, "v_": torch.nn.Linear(2, 2)},
        "7 features": {**state, "n_features_in_": 7},
    }
    for message, broken in wrong.items():
        with pytest.raises(ValueError, match=message):
            VizAETransformer().__setstate__(broken)


def shades(codes):
    return codes.sigmoid().reshape(-1, 1, 2, 3)


def test_decoders_travel_by_name(X, f_d):
    assert pickle.loads(pickle.dumps(quick(decoder="mnist"))).decoder == "mnist"
    assert pickle.loads(pickle.dumps(quick(decoder=f_d))).decoder == "mnist"
    assert quick(decoder=shades).__getstate__()["decoder"] is shades  # pickle keeps functions by name

    class Small(torch.nn.Module):
        def forward(self, codes):
            return shades(codes)

    estimator = quick(decoder=Small()).fit(X)
    with pytest.raises(TypeError, match=r"this decoder \(Small\) has no name"):
        pickle.dumps(estimator)
    back = pickle.loads(pickle.dumps(estimator.set_params(decoder=None)))
    assert np.array_equal(back.transform(X), estimator.transform(X))


# What it refuses.


def test_what_it_refuses(X):
    for dim in (2, 3):
        with pytest.raises(ValueError, match=rf"1 feature\(s\).* minimum of {dim} is required"):
            quick(dim=dim).fit(X[:, :1])
    for parameters, error, message in (
        ({"dim": 4}, ValueError, "dim is 1, 2 or 3"),
        ({"dim": "two"}, TypeError, "dim"),
        ({"hidden": 8}, TypeError, "hidden"),
        ({"steps": 0}, ValueError, "steps"),
        ({"keep_neighbours": -1}, ValueError, "keep_neighbours"),
        ({"decoder": "nobody:x"}, ValueError, "No decoder is registered"),
        ({"decoder": 3}, TypeError, "callable"),
        ({"decoder": "mnist"}, ValueError, r"codes of shape \(10,\)"),
    ):
        with pytest.raises(error, match=message):
            quick(**parameters).fit(X)
    estimator = quick().fit(X)
    with pytest.raises(ValueError, match="2 coordinates, X has 3 columns"):
        estimator.inverse_transform(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        estimator.inverse_transform(X[:, :2] * np.nan)
    with pytest.raises(ValueError, match="5 features"):
        estimator.transform(X[:, :5])


def test_what_float32_cannot_hold_is_refused(X):
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(
            quick(dim=3).fit(X[:, :3] * scale).inverse_transform([[0.1, 0.2, 0.3]]).shape, (1, 3)
        )
    with pytest.raises(ValueError, match=r"up to 3\.4e38; codes reaches .*e\+100"):
        quick().fit(X * 1e100)
    for lost in (X + 1e9, X * 1e-60, X * 1e-200):
        with pytest.raises(ValueError, match=r"of the variance of codes are lost\. Subtract the mean or scale"):
            quick().fit(lost)
    constant = np.full((5, 4), 0.1)
    estimator = quick().fit(constant)
    np.testing.assert_allclose(estimator.inverse_transform(estimator.transform(constant)), constant, rtol=1e-6)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "latent_vizae.sklearn")
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "latent-vizae\[sklearn\]"') as caught:
        importlib.import_module("latent_vizae.sklearn")
    assert caught.value.name == "sklearn"


# v_d then f_d as a generator: torchmetrics' perceptual path length.


class Distance(torch.nn.Module):
    """Stands in for LPIPS: mean square difference of images in [-1, 1]."""

    def forward(self, one, other):
        assert -1 <= one.min() <= one.max() <= 1
        return (one - other).square().flatten(1).mean(1)


@pytest.fixture
def path_length(monkeypatch):
    """torchmetrics' function and class; both ask for torchvision, which only LPIPS needs, whatever the distance."""
    pytest.importorskip("torchmetrics")
    found = []
    for place, name in (("functional.image", "perceptual_path_length"), ("image", "PerceptualPathLength")):
        module = importlib.import_module(f"torchmetrics.{place}.perceptual_path_length")
        monkeypatch.setattr(module, "_TORCHVISION_AVAILABLE", True)
        found.append(getattr(module, name))
    return found


def test_the_path_length_of_a_map(path_length, m):
    options = {"num_samples": 40, "epsilon": 1e-2, "lower_discard": None, "upper_discard": None, "resize": None}
    mean, std, distances = path_length[0](MapGenerator(m, seed=1), batch_size=16, sim_net=Distance(), **options)
    twin = MapGenerator(m, seed=1)
    start, end = twin.sample(40), twin.sample(40)
    images, moved = m.render(torch.cat([start, start + (end - start) * 1e-2])).double().chunk(2)
    directly = 4 * (images - moved).square().flatten(1).mean(1) / 1e-2**2
    torch.testing.assert_close(distances.double(), directly, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(mean.double(), directly.mean(), rtol=1e-3, atol=0)
    torch.testing.assert_close(std.double(), directly.std(), rtol=1e-3, atol=0)
    assert mean > 0.01


def test_the_path_length_of_a_flat_map_is_that_of_its_plane(path_length, linear):
    random = torch.Generator().manual_seed(0)
    decoder = linear(0.05 * torch.randn(2, 16, generator=random))
    flat = LatentMap(fit(torch.randn(30, 2, generator=random), decoder), decoder)
    metric = path_length[1](num_samples=50, epsilon=0.1, lower_discard=None, upper_discard=None, sim_net=Distance())
    mean, _, _ = metric(MapGenerator(flat))
    corner, *axes = flat.render([[0, 0], [1, 0], [0, 1]]).flatten(1).double()
    twin = MapGenerator(flat)
    steps = (twin.sample(50) - twin.sample(50)).double()
    expected = 4 * (steps @ (torch.stack(axes) - corner)).square().mean()
    torch.testing.assert_close(mean.double(), expected, rtol=1e-3, atol=0)


def test_a_map_as_a_generator(m, fives):
    generator = MapGenerator(m, seed=3)
    points = generator.sample(500)
    assert points.shape == (500, 2)
    assert points.abs().max() <= 1
    spacing = 2 / len(fives) ** 0.5
    apart = (points[:, None] - m.v.points).abs().amax(2)
    assert apart.amin(1).max() <= spacing / 2 + 1e-6
    assert set(apart.argmin(1).tolist()) == set(range(len(fives)))  # there are points around every code
    assert torch.equal(MapGenerator(m, seed=3).sample(500), points)
    assert not torch.equal(generator.sample(500), points)
    images = generator(points[:7])
    assert torch.equal(images, 255 * m.render(points[:7]))


def test_a_generator_leaves_the_map_alone(m):
    generator = MapGenerator(m).double().train()
    assert list(generator.parameters()) == list(generator.buffers()) == []
    assert m.v.mean.dtype == torch.float32
    assert not m.v.training
    with torch.inference_mode():
        assert generator(generator.sample(2)).shape == (2, 1, 28, 28)


def test_what_a_generator_refuses(m):
    with pytest.raises(TypeError, match="takes a LatentMap, got VizAE"):
        MapGenerator(m.v)
    with pytest.raises(ValueError, match="has no points"):
        MapGenerator(LatentMap(VizAE((10,)), m.decoder))
    for count in (0, -1):
        with pytest.raises(ValueError, match="count"):
            MapGenerator(m).sample(count)
    with pytest.raises(ValueError, match=r"\(P, 2\)"):
        MapGenerator(m)(torch.zeros(3, 10))
