"""Codes wherever they lie give the same rows, and the same v."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset

import latent_vizae.inputs.streams
from latent_vizae import fit
from latent_vizae.inputs.sources import drawn, open_codes

Z = torch.randn(1000, 2, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["tensor", "array", "memory map", "stream", "long stream", "file", "folder", "list"])
def source(request, tmp_path, monkeypatch):
    shards = [tmp_path / "shards" / f"codes-{number}.safetensors" for number in range(3)]
    shards[0].parent.mkdir()
    for shard, part in zip(shards, Z.split(400), strict=True):
        save_file({"codes": part.contiguous()}, shard)
    save_file({"z": Z}, tmp_path / "all.safetensors")
    np.save(tmp_path / "all.npy", Z.numpy())
    if request.param == "long stream":
        monkeypatch.setattr(latent_vizae.inputs.streams, "IN_MEMORY", 2000)
    return {
        "tensor": lambda: Z,
        "array": lambda: Z.numpy(),
        "memory map": lambda: np.load(tmp_path / "all.npy", mmap_mode="r"),
        "stream": lambda: iter(Z.split(300)),
        "long stream": lambda: iter(Z.split(300)),
        "file": lambda: tmp_path / "all.safetensors",
        "folder": lambda: str(tmp_path / "shards"),
        "list": lambda: shards,
    }[request.param]


def test_the_rows_are_the_same_wherever_they_lie(source):
    reader = open_codes(source())
    assert (len(reader), reader.latent_shape, reader.n) == (1000, (2, 5), 10)
    assert torch.equal(reader[0:1000], Z)
    assert torch.equal(reader[350:850], Z[350:850])
    assert torch.equal(torch.cat(list(reader.parts())), Z.flatten(1))
    chosen = torch.randperm(1000, generator=torch.Generator().manual_seed(1))[:321]
    assert torch.equal(reader.take(chosen), Z[chosen].flatten(1))


def test_the_map_is_the_same_wherever_they_lie(source):
    labels = torch.arange(1000) % 7
    here, there = (fit(codes, steps=60, labels=labels) for codes in (Z, source()))
    assert all(torch.equal(a, b) for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True))


def test_encode_takes_them_wherever_they_lie(source):
    v = fit(Z[:40])
    assert torch.equal(v.encode(source()), v.encode(Z))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.uint8, torch.uint16]
)
def test_shards_of_any_real_type(tmp_path, dtype):
    codes = (20 * Z).abs().to(dtype)
    save_file({"codes": codes}, tmp_path / "a.safetensors")
    reader = open_codes(tmp_path / "a.safetensors")
    assert torch.equal(reader[0:1000], codes.float())
    assert torch.equal(reader.take(torch.tensor([999, 3])), codes[[999, 3]].flatten(1).float())


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_a_stream_may_fill_the_same_memory_again(monkeypatch, kind, long):
    monkeypatch.setattr(latent_vizae.inputs.streams, "IN_MEMORY", 100 if long else 10**6)

    def stream():
        buffer = torch.empty(100, 2, 5)
        for part in Z.split(100):
            yield buffer.copy_(part) if kind == "tensor" else buffer.copy_(part).numpy()

    assert torch.equal(open_codes(stream())[0:1000], Z)


def test_a_loader_of_torch_is_a_stream():
    loader = DataLoader(TensorDataset(Z), batch_size=300)
    assert torch.equal(open_codes(loader)[0:1000], Z)
    labelled = DataLoader(TensorDataset(Z, torch.arange(1000)), batch_size=300)
    with pytest.raises(ValueError, match=r"shapes \(300, 2, 5\), \(300,\).*batch\[0\] for batch in loader"):
        open_codes(labelled)
    assert torch.equal(open_codes(batch[0] for batch in labelled)[0:1000], Z)
    with pytest.raises(ValueError, match=r"one tensor of shape \(300, 2, 5\); is it a code or a batch\?"):
        open_codes(iter(loader))


@pytest.mark.parametrize("size", [250, 333, 999])
def test_lists_of_codes_are_batches_too(size):
    assert torch.equal(open_codes(list(part) for part in Z.split(size))[0:1000], Z)  # the last may be of one
    with pytest.raises(ValueError, match=r"one tensor of shape \(2, 5\); is it a code or a batch\?"):
        open_codes([code] for code in Z)


def test_the_same_code_many_times_is_no_loss_of_precision():
    for codes in (np.full((7, 4), 0.3), np.repeat(np.random.default_rng(0).normal(size=(1, 5)), 3, 0)):
        assert fit(codes).report.fvu == 0
        assert fit(iter([codes] * 6)).report.fvu == 0
    pairs = np.random.default_rng(0).normal(size=(50, 1, 6)) + 1e-9 * np.random.default_rng(1).normal(size=(50, 2, 6))
    assert len(open_codes(iter(pairs))) == 100


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_shards_may_be_more_than_files_may_be_open(tmp_path):
    import resource

    for number, part in enumerate(Z.split(5)):
        save_file({"codes": part.contiguous()}, tmp_path / f"{number:03}.safetensors")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 30, limits[1]))
    try:
        reader = open_codes(tmp_path)
        assert torch.equal(reader[0:1000], Z)
        assert torch.equal(reader.take(torch.arange(999, -1, -1)), Z.flip(0).flatten(1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_temporary_file_is_gone_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(latent_vizae.inputs.streams, "IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    reader = open_codes(iter(Z.split(10)))
    assert torch.equal(reader[5:6], Z[5:6])
    assert not list(tmp_path.iterdir())

    def broken():
        yield Z
        raise OSError("the source is gone")

    with pytest.raises(OSError, match="the source is gone"):
        open_codes(broken())
    assert not list(tmp_path.iterdir())


def test_shards_that_cannot_be_read_are_refused(tmp_path):
    shard = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        fit(shard)
    with pytest.raises(ValueError, match=r"holds no \.safetensors"):
        fit(tmp_path)
    shard.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a whole"):
        fit([shard])
    save_file({"a": Z, "b": Z + 1}, shard)
    with pytest.raises(ValueError, match="no tensor 'codes'; it holds a, b"):
        fit(shard)
    save_file({"codes": Z}, shard)
    save_file({"codes": Z[:, :1].contiguous()}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="of one latent_shape"):
        fit(tmp_path)
    spoilt = Z.clone()
    spoilt[[7, 990], 1] = float("nan")
    save_file({"codes": spoilt}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"2 of 2000 rows hold NaN or infinity \(rows 1007, 1990\)"):
        fit(tmp_path)
    (tmp_path / "manifest.json").write_text('{"complete": false}')
    with pytest.raises(ValueError, match="not complete"):
        fit(tmp_path)
    (tmp_path / "manifest.json").write_text("[1]")  # somebody else's
    save_file({"codes": Z}, tmp_path / "b.safetensors")
    assert len(open_codes(tmp_path)) == 2000


@pytest.mark.parametrize(("k", "count"), [(10, 10), (2**21, 1000), (2**21, 2**20)])
def test_drawn_numbers_differ_and_spread(k, count):
    found = drawn(k, count, torch.Generator().manual_seed(0))
    assert len(found) == count == len(found.unique())
    assert 0 <= found.min() <= found.max() < k
    assert abs(found.double().mean() / (k - 1) - 0.5) < 0.05


def test_of_very_many_codes_some_travel_with_v_and_all_lie_on_the_map(monkeypatch):
    monkeypatch.setattr("latent_vizae.fitting.fit.MOST_POINTS", 200)
    v = fit(Z, steps=60, labels=torch.arange(1000))
    assert v.points.shape == (200, 2)
    assert torch.equal(v.labels, v.labels.sort().values)
    assert torch.allclose(v.points, v.encode(Z[v.labels]), rtol=0, atol=1e-5)
    assert v.encode(Z).abs().max() <= 1
    assert v.report.k == 1000


@pytest.mark.parametrize("seed", range(4))
def test_a_part_of_the_codes_may_have_none_that_travel(monkeypatch, seed):
    monkeypatch.setattr("latent_vizae.fitting.fit.MOST_POINTS", 20)
    monkeypatch.setattr("latent_vizae.inputs.sources.VALUES_PER_PART", 20)
    assert fit(Z[:101], steps=5, seed=seed).points.shape == (20, 2)


MEMORY = """
import resource, sys
import numpy as np
from latent_vizae import fit
np.ones((1000, 1000)) @ np.ones((1000, 1000))
brief = {"steps": 20, "hidden": (16, 16)}  # of a wide v, a minute goes by while all codes are encoded
fit(np.random.default_rng(0).normal(size=(2000, 16)).astype("f4"), **brief)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fit(sys.argv[1], **brief)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_follows_what_is_worked_on_not_what_lies_there(tmp_path):
    codes = torch.randn(600_000, 160, generator=torch.Generator().manual_seed(0))  # 384 MB
    for number, part in enumerate(codes.split(200_000)):
        save_file({"codes": part.contiguous()}, tmp_path / f"{number}.safetensors")
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, timeout=250, check=True
    )
    assert int(run.stdout) < 0.8 * codes.nbytes
