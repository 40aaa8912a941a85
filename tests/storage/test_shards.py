"""Work in units: the same for any number of processes, resumed after any end, and nobody else's folder."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from latent_vizae import encode_images, place_codes, sample_codes
from latent_vizae.inputs.sources import open_codes

COUNT, SIZE = 50, 8
AGAIN = 8 + 2
"""Pictures of the first and of the last shard that a resumed run encodes again, to compare."""


class Means:
    """Codes are the means of the rows of an image; it counts what it encoded."""

    latent_shape, image_shape = (4,), (1, 4, 6)

    def __init__(self):
        self.count = 0

    def encode(self, images):
        self.count += len(images)
        return images.mean((1, 3))

    def sample(self, count, seed):
        return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def pixels(count=COUNT, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 4, 6), np.uint8)


def changed(array, row):
    array[row] = 200
    return array


def shards(folder):
    return sorted(folder.glob("[!.]*.safetensors"))


def everything(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def started(arguments, processes=1):
    """A program, in processes that meet on this machine."""
    local = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), *local] if processes > 1 else []
    return [sys.executable, *launch, *map(str, arguments)]


def run(arguments, processes=1):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(started(arguments, processes), capture_output=True, text=True, timeout=200, env=environment)


@pytest.fixture
def made(tmp_path):
    return encode_images(Means(), pixels(), 3, out=tmp_path / "codes", unit_size=SIZE)


def test_shards_in_order_are_the_codes(made):
    assert [path.name for path in shards(made)] == [f"codes-{n:05}-of-00007.safetensors" for n in range(7)]
    codes = torch.cat([load_file(path)["codes"] for path in shards(made)])
    assert torch.equal(codes, encode_images(Means(), pixels()))
    reader = open_codes(made)
    assert torch.equal(reader[0 : len(reader)], codes)


def test_the_manifest_is_true(made):
    document = json.loads((made / "manifest.json").read_text())
    assert document["complete"]
    assert document["shape"] == [COUNT, 4]
    assert [(unit["start"], unit["stop"]) for unit in document["units"]] == [
        (start, min(COUNT, start + SIZE)) for start in range(0, COUNT, SIZE)
    ]
    for unit in document["units"]:
        assert unit["sha256"] == hashlib.sha256((made / unit["file"]).read_bytes()).hexdigest()
        assert unit["count"] == unit["stop"] - unit["start"]


@pytest.mark.parametrize("known", [True, False], ids=["with a manifest", "without"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped", "another's"])
def test_a_damaged_shard_is_made_again_and_no_other(made, damage, known):
    whole, before = everything(made), times(made)
    path = shards(made)[3]
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(data[:-5])
    elif damage == "flipped":
        data[-1] ^= 1
        path.write_bytes(data)
    else:
        path.write_bytes(shards(made)[2].read_bytes())
    if not known:
        (made / "manifest.json").unlink()
    decoder = Means()
    encode_images(decoder, pixels(), 3, out=made, unit_size=SIZE)
    assert everything(made) == whole
    assert decoder.count == SIZE + AGAIN
    after = times(made)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {path.name} | (set() if known else {"manifest.json"})


def test_nothing_is_done_twice(made):
    before, decoder = times(made), Means()
    assert encode_images(decoder, pixels(), out=made, unit_size=SIZE) == made
    assert decoder.count == AGAIN
    assert times(made) == before


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_a_unit_that_fails_is_redone_and_the_others_stay(tmp_path, made, end):
    class Failing(Means):
        def encode(self, images):
            if self.count >= 3 * SIZE + 2:
                raise end
            return super().encode(images)

    out = tmp_path / "again"
    with pytest.raises(ValueError if end is RuntimeError else end):
        encode_images(Failing(), pixels(), 2, out=out, unit_size=SIZE)
    assert len(shards(out)) == 3
    assert not json.loads((out / "manifest.json").read_text())["complete"]
    assert all(not path.name.startswith(".") for path in out.iterdir())
    # Another class is another decoder, so the one that began goes on.
    Failing.encode = Means.encode
    decoder = Failing()
    encode_images(decoder, pixels(), 2, out=out, unit_size=SIZE)
    assert decoder.count == COUNT - 3 * SIZE + 2 * 8
    assert [path.read_bytes()[-16:] for path in shards(out)] == [path.read_bytes()[-16:] for path in shards(made)]


def test_what_a_killed_run_was_writing_goes(made):
    left = made / ".codes-00003-of-00007-0123456789ab.safetensors"
    left.write_bytes(b"half")
    encode_images(Means(), pixels(), out=made, unit_size=SIZE)
    assert not left.exists()


def test_seeds_make_samples_that_no_two_units_share(tmp_path):
    first, again, other = (
        sample_codes(Means(), COUNT, seed, out=tmp_path / name, unit_size=SIZE)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert everything(first) == everything(again)
    codes = torch.cat([load_file(path)["codes"] for path in shards(first) + shards(other)])
    assert len(codes.unique(dim=0)) == 2 * COUNT
    units = [unit for out in (first, other) for unit in json.loads((out / "manifest.json").read_text())["units"]]
    assert len({unit["seed"] for unit in units}) == 14


def test_points_are_those_of_encode_for_any_kind_of_codes(tmp_path, v, f_d):
    codes = sample_codes(f_d, 300, 0, out=tmp_path / "codes", unit_size=70)
    held = torch.cat([load_file(path)["codes"] for path in shards(codes)])
    wanted = v.encode(held)
    for number, given in enumerate((codes, held, held.numpy(), shards(codes))):
        out = place_codes(v, given, tmp_path / f"points {number}", unit_size=90)
        points = torch.cat([load_file(path)["points"] for path in shards(out)])
        assert torch.allclose(points, wanted, atol=1e-5)
        assert everything(out) == everything(tmp_path / "points 0")


# The same by two processes, for real.


SCRIPT = """
import sys
from latent_vizae import VizAE, load_decoder, place_codes, sample_codes
from latent_vizae.cli.app import app

folder, v = sys.argv[1], VizAE.from_pretrained(sys.argv[2])
place_codes(v, sample_codes(load_decoder("mnist"), 100, out=folder + "/codes", unit_size=15), folder + "/points", 30)
where = ["--images", sys.argv[3], "--out", folder + "/images"]
app(["encode", *where, "--unit-size", "15", "--processes", "2", "--json"])
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no processes here")
def test_two_processes_make_what_one_makes(tmp_path, v, f_d):
    (tmp_path / "script.py").write_text(SCRIPT)
    v.save_pretrained(tmp_path / "v")
    images = np.random.default_rng(0).integers(0, 256, (100, 1, 28, 28), np.uint8)
    np.save(tmp_path / "images.npy", images)
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    done = run([tmp_path / "script.py", two, tmp_path / "v", tmp_path / "images.npy"], 2)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shape"] == [100, 10]  # said once
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the two have
    try:
        place_codes(v, sample_codes(f_d, 100, out=one / "codes", unit_size=15), one / "points", 30)
        encode_images(f_d, images, out=one / "images", unit_size=15)
    finally:
        torch.set_num_threads(threads)
    for what in ("codes", "points", "images"):
        assert everything(one / what) == everything(two / what)


def test_a_world_of_the_wrong_size_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Asked for 4 processes, torchrun started none"):
        encode_images(Means(), pixels(), out=tmp_path / "codes", processes=4)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="Asked for 4 processes, torchrun started 2"):
        encode_images(Means(), pixels(), out=tmp_path / "codes", processes=4)
    assert not (tmp_path / "codes").exists()


ONE_ENDS = """
import os, signal, sys, time, torch
from pathlib import Path
from latent_vizae import sample_codes
from latent_vizae.storage import processes

out, ending, silence = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
processes.SILENCE = silence or processes.SILENCE
rank = processes.rank()

class Drawn:
    count = 0

    def sample(self, count, seed):
        self.count += 1
        if self.count == 3 and ending == f"killed {rank}":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == 3 and ending == f"raises {rank}":
            raise SystemExit(7)
        if self.count == 3 and ending == f"slow {rank}":
            time.sleep(2 * silence)
        if self.count > 3 and ending[:4] != "slow":  # another one's third unit ends everything
            time.sleep(50)
        return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))

threads = torch.get_num_threads()
sample_codes(Drawn(), 100, out=out, unit_size=5)
assert (torch.get_num_threads(), signal.getsignal(signal.SIGTERM)) == (threads, signal.SIG_DFL)
assert not torch.distributed.is_initialized()
"""


class Drawn(Means):
    """As in the script above, of the same name."""

    __module__, __qualname__ = "__main__", "Drawn"


def ends_cleanly(out, process_said, started_at):
    assert "ConnectionError: Another process ended before its work was done." in process_said
    assert time.monotonic() - started_at < 60
    assert 2 <= len(shards(out)) < 20
    assert all(len(load_file(path)["codes"]) == 5 for path in shards(out))
    before = times(out)
    sample_codes(Drawn(), 100, out=out, unit_size=5)
    assert {name for name, time in times(out).items() if before.get(name, time) != time} == {"manifest.json"}
    assert not list(out.glob(".*"))
    assert len(shards(out)) == 20


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no processes here")
def test_when_one_process_ends_the_others_say_so(tmp_path):
    (tmp_path / "script.py").write_text(ONE_ENDS)
    began = time.monotonic()
    done = run([tmp_path / "script.py", tmp_path / "out", "killed 1", 0], 2)
    assert done.returncode != 0
    ends_cleanly(tmp_path / "out", done.stderr, began)


def apart(arguments, size=2):
    """Processes that know each other, as on several machines: nobody sends SIGTERM when one of them ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            started(arguments),
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no processes here")
@pytest.mark.parametrize("ending", ["killed 0", "killed 1", "raises 1"])
def test_so_do_those_of_other_machines(tmp_path, ending):
    (tmp_path / "script.py").write_text(ONE_ENDS)
    began = time.monotonic()
    both = apart([tmp_path / "script.py", tmp_path / "out", ending, 10])
    said = [process.communicate(timeout=200)[1] for process in both]
    other = 1 - int(ending[-1])
    assert both[other].returncode == 1
    ends_cleanly(tmp_path / "out", said[other], began)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no processes here")
def test_a_slow_process_is_waited_for(tmp_path):
    (tmp_path / "script.py").write_text(ONE_ENDS)
    both = apart([tmp_path / "script.py", tmp_path / "out", "slow 1", 5])
    said = [process.communicate(timeout=200)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["complete"]


STRUCK = """
import os, signal, sys, threading, time
from pathlib import Path
from latent_vizae.cli.app import main

number, out = int(sys.argv.pop(1)), Path(sys.argv.pop(1))

def strike():  # from inside, so that on a busy machine it does not come too late
    while len(list(out.glob("[!.]*.safetensors"))) < 3:
        time.sleep(0.001)
    os.kill(os.getpid(), number)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
threading.Thread(target=strike, daemon=True).start()
main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_is_resumed(tmp_path, f_d, number):
    images = np.zeros((3000, 1, 28, 28), np.uint8)
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "codes"
    asked = ("encode", "--images", tmp_path / "images.npy", "--out", out, "--unit-size", 20)
    begun = run(["-c", STRUCK, int(number), out, *asked])
    assert begun.returncode == (-number if number == signal.SIGKILL else 130)
    before = {path.name: path.stat().st_mtime_ns for path in shards(out)[:3]}
    assert len(shards(out)) < 150
    encode_images(f_d, images, out=out, unit_size=20)
    assert len(shards(out)) == 150
    assert times(out).items() >= before.items()
    assert not list(out.glob(".*"))


# What is refused.


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": pixels(COUNT - 1)}, "count is 50 there, 49 here"),
        ({"images": pixels(seed=1)}, "some images is"),
        ({"images": changed(pixels(), 1)}, "files is"),
        ({"unit_size": 9}, "unit_size is 8 there, 9 here"),
    ],
)
def test_another_works_folder_is_refused_and_left_as_it_is(made, changed, message):
    before = everything(made)
    with pytest.raises(ValueError, match=f"holds another work: .*{message}"):
        encode_images(Means(), **{"images": pixels(), "unit_size": SIZE, **changed}, out=made)
    with pytest.raises(ValueError, match=r"holds another work: .*task is"):
        sample_codes(Means(), COUNT, out=made, unit_size=SIZE)
    assert everything(made) == before


def test_a_folder_of_pictures_is_known_by_names_and_sizes_wherever_it_lies(tmp_path):
    (tmp_path / "in").mkdir()
    for number, image in enumerate(pixels()):
        Image.fromarray(image[0]).save(tmp_path / "in" / f"{number}.bmp")
    out = encode_images(Means(), tmp_path / "in", out=tmp_path / "codes", unit_size=SIZE)
    before = everything(out)
    shutil.copytree(tmp_path / "in", tmp_path / "copy", copy_function=shutil.copyfile)
    encode_images(Means(), tmp_path / "copy", 3, out=out, unit_size=SIZE)
    Image.fromarray(pixels(seed=1)[0, 0].repeat(2, 0)).save(tmp_path / "copy" / "17.bmp")
    with pytest.raises(ValueError, match="holds another work: files is"):
        encode_images(Means(), tmp_path / "copy", out=out, unit_size=SIZE)
    assert everything(out) == before


class Scaled(Means):
    """A plain object around what it learned, with rounding of its own."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def encode(self, images):
        return super().encode(images) * self.factor * (1 + 1e-3 * torch.randn(len(images), 1))

    def sample(self, count, seed):
        return super().sample(count, seed) * self.factor


@pytest.mark.parametrize("missing", [[], [0], [6], [0, 6], [1, 2, 3, 4, 5, 6]], ids=str)
def test_another_decoder_of_the_same_class_is_refused_and_rounding_is_not(tmp_path, missing):
    encode = partial(encode_images, images=pixels(), out=tmp_path / "codes", unit_size=SIZE)
    sample = partial(sample_codes, count=COUNT, out=tmp_path / "samples", unit_size=SIZE)
    for make in (encode, sample):
        out = make(Scaled())
        for number in reversed(missing):
            shards(out)[number].rename(tmp_path / f"{out.name} {number}")
        before = everything(out)
        with pytest.raises(ValueError, match=r"holds another work: .* has other codes than this run makes"):
            make(Scaled(-1.0))
        assert everything(out) == before
        make(Scaled())
        assert len(shards(out)) == 7


def test_points_of_other_codes_are_refused_though_one_differs(tmp_path, v):
    codes = torch.randn(100, 10, generator=torch.Generator().manual_seed(0)).numpy()
    place_codes(v, codes, tmp_path / "points", 30)
    with pytest.raises(ValueError, match="holds another work: codes is"):
        place_codes(v, changed(codes, 1), tmp_path / "points", 30)


def test_what_is_no_folder_of_units_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out, message in ((tmp_path / "mine", "holds something else"), (tmp_path / "mine" / "notes.txt", "is a file")):
        with pytest.raises(ValueError, match=message):
            encode_images(Means(), pixels(), out=out)
    assert everything(tmp_path / "mine") == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"work": {}}', '{"work": {}, "format": 99, "units": []}']
)
def test_a_damaged_manifest_is_named(made, text):
    (made / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged, or not the manifest"):
        encode_images(Means(), pixels(), out=made, unit_size=SIZE)


def test_bad_input_is_named_and_leaves_nothing(tmp_path, v):
    out = tmp_path / "out"
    with pytest.raises(TypeError, match="a generator can be read only once"):
        encode_images(Means(), (image for image in pixels()), out=out)
    for images, error, message in (
        ([], ValueError, "no pictures"),
        (7, TypeError, "got int"),
        (tmp_path / "none", FileNotFoundError, "no folder"),
    ):
        with pytest.raises(error, match=message):
            encode_images(Means(), images, out=out)
    for size in (0, -1):
        with pytest.raises(ValueError, match="unit_size"):
            encode_images(Means(), pixels(), out=out, unit_size=size)
    with pytest.raises(ValueError, match="for an out that is a folder"):
        encode_images(Means(), pixels(), unit_size=5)
    with pytest.raises(ValueError, match="has no sample"):
        sample_codes(len, 5, out=out)
    with pytest.raises(ValueError, match=r"codes of shape \(10,\), got \(7,\)"):
        place_codes(v, torch.zeros(3, 7), out)
    with pytest.raises(ValueError, match="finite"):
        place_codes(v, torch.full((3, 10), torch.nan), out)
    assert not out.exists()


def test_a_unit_that_fails_once_is_redone_in_the_same_run(tmp_path):
    failures = []

    class Tired(Means):
        def encode(self, images):
            if not failures:
                failures.append(1)
                raise RuntimeError("out of memory, once")
            return super().encode(images)

    made = encode_images(Tired(), pixels(), 3, out=tmp_path / "codes", unit_size=SIZE)
    assert failures == [1]
    assert torch.equal(open_codes(made)[0:COUNT], encode_images(Means(), pixels()))
