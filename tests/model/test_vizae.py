"""VizAE: codes to points and back, residuals, and the way to disk: whole, strict, bit for bit."""

import json
import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save

from latent_vizae import LatentMap, VizAE, fit

FILES = ["README.md", "config.json", "model.safetensors"]


def same(one: VizAE, other: VizAE) -> bool:
    mine, others = one.state_dict(), other.state_dict()
    return list(mine) == list(others) and all(torch.equal(mine[name], others[name]) for name in mine)


@pytest.fixture(scope="module")
def small():
    v = fit(normal(12, 2, 3), hidden=(6, 5), labels=range(12))
    v.pull = 2
    return v


# Two ways.


@pytest.mark.parametrize("latent_shape", [(6,), (2, 3), (4, 8, 8)])
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_shapes_there_and_back(latent_shape, dim):
    codes = normal(9, *latent_shape)
    v = fit(codes, dim=dim)
    assert v.encode(codes).shape == v.points.shape == (9, dim)
    assert v.decode(v.points[:4]).shape == (4, *latent_shape)
    assert v(codes).shape == codes.shape
    assert v.latent_shape == latent_shape
    assert torch.equal(v.encode(codes.numpy()), v.encode(codes))
    assert torch.equal(v.decode(v.points.tolist()), v.decode(v.points))


def test_a_batch_is_its_rows(v, fives):
    assert torch.allclose(torch.cat([v.encode(row) for row in fives.split(1)]), v.encode(fives), atol=1e-4)
    many = normal(70_000, 10, seed=1)
    assert torch.allclose(v.encode(many)[65_530:65_540], v.encode(many[65_530:65_540]), atol=1e-5)


def test_nothing_comes_back_with_gradients_unasked_or_changes(v, fives):
    codes = fives.clone()
    points = v.encode(codes)
    assert not points.requires_grad
    assert not v.decode(points, residual_of=codes).requires_grad
    assert torch.equal(codes.detach(), fives)


@given(st.floats(-6, 6), st.integers(0, 1000))
def test_the_residual_is_exact_at_the_code_and_the_same_all_along_the_map(size, seed):
    codes = 10**size * normal(20, 8, seed=seed)
    v = fit(codes[:10], dim=2)
    scale = codes.abs().max()
    back = v.decode(v.encode(codes), residual_of=codes)
    assert (back - codes).abs().max() <= 1e-6 * scale
    points = 2 * normal(7, 2, seed=seed)
    moved = v.decode(points, residual_of=codes[15:16]) - v.decode(points)
    residual = codes[15:16] - v(codes[15:16])
    magnitude = max(scale, v.decode(points).abs().max())
    assert (moved - residual).abs().max() <= 1e-5 * magnitude
    rows = v.decode(points, residual_of=codes[:7])
    assert torch.allclose(rows[3:4], v.decode(points[3:4], residual_of=codes[3:4]), rtol=1e-5, atol=1e-5 * magnitude)


# To disk and back.


@pytest.mark.wheel
@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 20])
def test_load_after_save_is_the_identity(f_d, tmp_path, k, dim):
    codes, labels = f_d.examples(count=k)
    v = fit(codes, decoder=f_d, dim=dim, labels=labels)
    v.save_pretrained(tmp_path / "new" / "folder")
    again = VizAE.from_pretrained(str(tmp_path / "new" / "folder"))
    assert same(v, again)
    assert again.config == v.config
    assert (again.report, again.source) == (v.report, "mnist")
    assert not again.training
    assert not any(parameter.requires_grad for parameter in again.parameters())
    assert torch.equal(again.encode(codes), v.encode(codes))
    assert torch.equal(LatentMap(again, f_d).render([[0.2] * dim]), LatentMap(v, f_d).render([[0.2] * dim]))


def test_a_v_that_was_not_fitted_saves_too(tmp_path):
    v = VizAE((3, 2), dim=1, hidden=(4,), rank=2)
    v.save_pretrained(tmp_path)
    again = VizAE.from_pretrained(tmp_path)
    assert same(v, again)
    assert again.report is again.source is again.labels is None


def test_saving_again_changes_nothing_and_leaves_three_files(small, tmp_path):
    small.save_pretrained(tmp_path)
    first = [(tmp_path / name).read_bytes() for name in FILES[:2]]
    VizAE.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert [(tmp_path / name).read_bytes() for name in FILES[:2]] == first
    assert same(VizAE.from_pretrained(tmp_path), small)


def test_the_folder_says_what_it_holds(small, tmp_path):
    small.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["latent_shape"] == [2, 3]
    assert config["report"]["k"] == 12
    assert "library_name: latent-vizae" in (tmp_path / "README.md").read_text()


def test_other_files_stay(small, tmp_path):
    small.save_pretrained(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    small.save_pretrained(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_holds_something_else_is_left_alone(small, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something that is not a v"):
        small.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match="is a file"):
        small.save_pretrained(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="Cannot make the folder"):
        small.save_pretrained(tmp_path / "notes.txt" / "v")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_weights_that_are_not_a_vs_are_left_alone(small, tmp_path):
    foreign = save({"weight": torch.zeros(3)})
    (tmp_path / "model.safetensors").write_bytes(foreign)
    with pytest.raises(ValueError, match="not a v's; it was not changed"):
        small.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model.safetensors").read_bytes() == foreign


def test_a_save_that_fails_leaves_the_old_v_and_nothing_else(small, tmp_path, monkeypatch):
    small.save_pretrained(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("latent_vizae.storage.folder.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        fit(normal(5, 6)).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


KILLED = """
import os, random, signal, sys, time, warnings
import torch
from latent_vizae import VizAE
torch.set_num_threads(1)
warnings.simplefilter("ignore")  # config.json may lag behind the weights
one, two = (VizAE.from_pretrained(folder) for folder in sys.argv[1:3])
whole = [{name: t.clone() for name, t in v.state_dict().items()} for v in (one, two)]
one.save_pretrained(sys.argv[1])  # what a save imports is imported
start = time.monotonic()
child = os.fork()
if child == 0:
    two.save_pretrained(sys.argv[2])
    one.save_pretrained(sys.argv[1])
    os._exit(0)
os.waitpid(child, 0)
took = time.monotonic() - start
chance = random.Random(0)
seen = set()
for kill in range(40):
    child = os.fork()
    if child == 0:
        while True:
            (one if kill % 2 else two).save_pretrained(sys.argv[3])
            (two if kill % 2 else one).save_pretrained(sys.argv[3])
    time.sleep(0.002 + chance.random() * 2 * took)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not os.path.exists(os.path.join(sys.argv[3], "config.json")):
        continue  # the very first save was killed; the next one must still go through
    found = VizAE.from_pretrained(sys.argv[3]).state_dict()
    matches = [all(torch.equal(a, b) for a, b in zip(v.values(), found.values())) for v in whole]
    assert sum(matches) == 1, matches
    seen.add(matches.index(True))
one.save_pretrained(sys.argv[3])
assert VizAE.from_pretrained(sys.argv[3]).config == one.config
print("seen", sorted(seen))
"""


def test_a_save_killed_at_any_moment_leaves_a_whole_v(tmp_path):
    fit(normal(30, 300)).save_pretrained(tmp_path / "one")
    fit(normal(30, 300), seed=1).save_pretrained(tmp_path / "two")
    run = subprocess.run(
        [sys.executable, "-c", KILLED, *(str(tmp_path / name) for name in ("one", "two", "target"))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "seen [0, 1]\n"


def test_a_first_save_that_was_killed_does_not_block_the_next(small, tmp_path):
    (tmp_path / ".model-0123456789ab.safetensors").write_bytes(b"half")
    small.save_pretrained(tmp_path)
    assert same(VizAE.from_pretrained(tmp_path), small)


# Damage.


@pytest.fixture
def saved(small, tmp_path):
    small.save_pretrained(tmp_path / "v")
    return tmp_path / "v"


def load_quietly(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that config.json and the weights differ
        return VizAE.from_pretrained(folder)


def test_a_truncated_file_of_any_length_is_refused(saved):
    file = saved / "model.safetensors"
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in {0, 1, 7, 8, 9, header - 1, header, header + 1, len(whole) - 1, *range(0, len(whole), 97)}:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            VizAE.from_pretrained(saved)
    for extra in (b"\0", b"x" * 1000):
        file.write_bytes(whole + extra)
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            VizAE.from_pretrained(saved)


def test_flipped_bits_are_refused_or_harmless(small, saved):
    chance = random.Random(0)
    for name, flips in (("model.safetensors", 400), ("config.json", 100)):
        file = saved / name
        whole = file.read_bytes()
        refused = 0
        for position in [*range(16), *(chance.randrange(len(whole)) for _ in range(flips))]:
            damaged = bytearray(whole)
            damaged[position] ^= 1 << chance.randrange(8)
            file.write_bytes(damaged)
            try:
                found = load_quietly(saved)
            except (ValueError, FileNotFoundError):
                refused += 1
            else:
                assert same(found, small)
                assert found.config == small.config
        assert refused > (0.95 * flips if name == "model.safetensors" else 0)
        file.write_bytes(whole)
    assert same(VizAE.from_pretrained(saved), small)


def rewritten(folder, tensors=None, **changes):
    """The same folder with another configuration, its checksum made anew: what a stranger could write."""
    from latent_vizae.storage.folder import checksum

    file = folder / "model.safetensors"
    with safe_open(file, "pt") as opened:
        config = json.loads(opened.metadata()["config"])
    config = {key: value for key, value in (config | changes).items() if value != "gone"}
    tensors = load_file(file) if tensors is None else tensors
    text = json.dumps(config, sort_keys=True)
    file.write_bytes(save(tensors, {"format": "pt", "config": text, "sha256": checksum(text, tensors)}))
    (folder / "config.json").write_text(text)
    return folder


def test_a_rewritten_folder_loads_where_nothing_is_wrong(small, saved):
    assert same(VizAE.from_pretrained(rewritten(saved)), small)


def test_a_folder_from_before_there_was_a_pull_loads_without_one(small, saved):
    assert small.pull > 0
    before = VizAE.from_pretrained(rewritten(saved, pull="gone"))
    assert before.pull == 0
    before.pull = small.pull
    assert same(before, small)


def test_the_pull_is_checked_and_kept(small, saved):
    with pytest.raises(ValueError, match="0 or more"):
        small.pull = -1
    again = VizAE.from_pretrained(saved)
    assert again.pull == small.pull
    again.pull = np.float32(1.5)
    assert (again.pull, type(again.pull)) == (1.5, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "Upgrade"),
        ({"format": 10**30}, "Upgrade"),
        ({"format": 0}, "does not exist"),
        ({"format": "1"}, "not the configuration"),
        ({"format": True}, "not the configuration"),
        ({"format": "gone"}, "not the configuration"),
        ({"dim": 3}, "does not fit its configuration"),
        ({"dim": 7}, "1, 2 or 3"),
        ({"dim": "2"}, "makes no map"),
        ({"latent_shape": [10**12]}, "does not fit"),
        ({"latent_shape": [10**30]}, "makes no map"),
        ({"latent_shape": [-6]}, "makes no map"),
        ({"latent_shape": "6"}, "makes no map"),
        ({"latent_shape": []}, "makes no map"),
        ({"latent_shape": None}, "makes no map"),
        ({"hidden": [10**9, 10**9]}, "does not fit"),
        ({"hidden": 5}, "makes no map"),
        ({"rank": 100}, "makes no map"),
        ({"count": -1}, "makes no map"),
        ({"count": 10**15}, "does not fit"),
        ({"labelled": False}, "does not fit"),
        ({"dim": "gone"}, "makes no map"),
        ({"report": "gone"}, "makes no map"),
        ({"report": [1]}, "makes no map"),
        ({"report": {"k": 1}}, "makes no map"),
        ({"source": 5}, "source is a string"),
        ({"pull": -1}, "pull is 0 or more"),
        ({"pull": float("nan")}, "pull is 0 or more"),
        ({"pull": "1"}, "pull is a number"),
        ({"trust_remote_code": True}, "makes no map"),
    ],
)
def test_a_foreign_configuration_is_refused(saved, changes, message):
    with pytest.raises(ValueError, match=message):
        VizAE.from_pretrained(rewritten(saved, **changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t | {"mean": t["mean"] * float("nan")}, "NaN or infinity in mean"),
        (lambda t: t | {"mean": t["mean"].double()}, "mean should be"),
        (lambda t: t | {"mean": t["mean"][:3]}, "mean should be"),
        (lambda t: t | {"more": torch.zeros(2)}, "more should be absent"),
        (lambda t: {name: x for name, x in t.items() if name != "basis"}, "basis should be"),
    ],
)
def test_foreign_tensors_are_refused(saved, change, message):
    tensors = change(load_file(saved / "model.safetensors"))
    with pytest.raises(ValueError, match=message):
        VizAE.from_pretrained(rewritten(saved, tensors))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        VizAE.from_pretrained(saved)
    (saved / name).mkdir()
    with pytest.raises(FileNotFoundError, match=name):
        VizAE.from_pretrained(saved)


def test_a_missing_folder_is_named(saved):
    for path in (saved / "nothing", saved / "config.json"):
        with pytest.raises(FileNotFoundError, match="no folder"):
            VizAE.from_pretrained(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not the configuration"),
        (b'{"model_type": "bert"}', "not the configuration"),
        (b"\xff\xfe\0", "not text"),
        (b" " * 2**21, "at most"),
        (b'{"format": 7, "latent_vizae": "9.0"}', "Upgrade"),
    ],
)
def test_a_foreign_config_file_is_refused(saved, content, message):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        VizAE.from_pretrained(saved)


@pytest.mark.parametrize("make", [lambda p: torch.save({"a": 1}, p), lambda p: p.write_bytes(np.eye(3).dumps())])
def test_pickles_and_other_files_are_refused_unread(saved, make):
    make(saved / "model.safetensors")
    with pytest.raises(ValueError, match="not a safetensors file"):
        VizAE.from_pretrained(saved)


def test_the_weights_win_where_config_json_differs(small, saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"source": "elsewhere"}))
    with pytest.warns(UserWarning, match="the latter is used"):
        found = VizAE.from_pretrained(saved)
    assert found.config == small.config


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(saved, device):
    with pytest.raises(ValueError, match=device.split(":")[0]):
        VizAE.from_pretrained(saved, device=device)


@pytest.mark.parametrize(
    "sizes",
    [
        {"latent_shape": ()},
        {"latent_shape": (0, 3)},
        {"latent_shape": (6,), "rank": 7},
        {"latent_shape": (6,), "rank": 1},
        {"latent_shape": (1,)},
        {"latent_shape": (6,), "hidden": (4, 0)},
        {"latent_shape": (6,), "count": -1},
    ],
)
def test_sizes_that_make_no_map_are_refused(sizes):
    with pytest.raises(ValueError, match="No map has"):
        VizAE(**sizes)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(small, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="Cannot"):
        small.save_pretrained(tmp_path / "v")


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_callers_vmap_of_encode_is_answered():
    v = fit(normal(30, 6))
    with pytest.raises(RuntimeError, match=r"does not run under torch\.func\.vmap.*all codes at once"):
        torch.func.vmap(v.encode)(normal(4, 1, 6))
    assert torch.func.vmap(v.decode)(torch.zeros(4, 1, 2)).shape == (4, 1, 6)
