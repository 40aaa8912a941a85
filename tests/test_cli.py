"""The command line, as a person types it."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MADE = ["certificate.txt", "grid.png", "layers.png", "map.png", "path.gif", "path.png", "report.json", "v"]


def opened(file):
    return Image.open(io.BytesIO(file.read_bytes()))


def run(*arguments, cwd):
    command = Path(sys.executable).parent / "latent-vizae"
    return subprocess.run([command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    done = run("map", "--label", 5, "--count", 30, "--out", "out", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.mark.wheel
def test_map_writes_everything_it_names(made):
    folder, document = made
    assert sorted(file.name for file in (folder / "out").iterdir()) == MADE
    assert document["fit"]["k"] == 30
    assert document.items() >= json.loads((folder / "out" / "report.json").read_text()).items()
    for name in ("map.png", "layers.png", "grid.png"):
        picture = np.asarray(opened(folder / "out" / name).convert("L"))
        assert min(picture.shape) > 200
        assert picture.std() > 10
    assert opened(folder / "out" / "path.gif").n_frames == 24


def test_grid_path_certify_and_info_read_what_map_wrote(made):
    folder, _ = made
    done = run("grid", "--v", "out/v", "--box=-0.5,-0.5,0.5,0.5", "--shape", "3x4", "--out", "g.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert opened(folder / "g.png").size == (4 * 29 + 1, 3 * 29 + 1)
    done = run(
        "path",
        "--v",
        "out/v",
        "--from=-0.5,0",
        "--to",
        "3",
        "--label",
        "5",
        "--frames",
        6,
        "--out",
        "p.gif",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert opened(folder / "p.gif").n_frames == 6
    found = json.loads(run("certify", "--v", "out/v", "--json", cwd=folder).stdout)
    assert all(layer["rank"] == min(layer["inputs"], layer["outputs"]) for layer in found["linear_maps"])
    found = json.loads(run("info", "--v", "out/v", "--json", cwd=folder).stdout)
    assert found["v"]["source"] == "mnist"
    assert "mnist" in found["decoders"]


def test_help_teaches(tmp_path):
    assert "latent-vizae grid --v" in run("grid", "--help", cwd=tmp_path).stdout
    assert run("--version", cwd=tmp_path).stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["map", "--out", "taken"], "holds something"),
        (["map", "--out", "taken/mine.txt"], "is a file"),
        (["map", "--decoder", "nothing"], "Known: "),
        (["map", "--label", "12"], "0 to 9"),
        (["map", "--codes", "missing.npy"], "no file"),
        (["map", "--codes", "objects.npy"], "objects.npy|Object arrays"),
        (["map", "--codes", "wide.npy"], r"\(10,\)"),
        (["grid", "--v", "nowhere", "--out", "g.png"], "no folder"),
        (["certify", "--v", "taken"], "is missing"),
        (["paper", "--out", "taken/mine.txt"], "mine.txt"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(tmp_path, arguments, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "wide.npy", np.zeros((3, 7), np.float32))
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "latent-vizae: error: " in done.stderr
    assert re.search(message, done.stderr), done.stderr
    left = sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file())
    assert left == ["objects.npy", "taken/mine.txt", "wide.npy"]
