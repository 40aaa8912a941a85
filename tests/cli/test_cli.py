"""The command line, as a person types it."""

import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.utils import httpx
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from latent_vizae import VizAE
from latent_vizae.cli import app, directions, maps, shards
from latent_vizae.cli.files import output_folder, write_json

MADE = ["certificate.txt", "grid.png", "layers.png", "map.png", "path.gif", "path.png", "report.json", "v"]


def opened(file):
    return Image.open(io.BytesIO(file.read_bytes()))


def run(*arguments, cwd):
    """The command in this process: one of its own takes seconds to import torch."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(cwd)
        return CliRunner().invoke(app.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    command = [Path(sys.executable).parent / "latent-vizae", "map", "--label", "5", "--count", "30"]
    done = subprocess.run(
        [*command, "--out", "out", "--json"], cwd=folder, capture_output=True, text=True, timeout=300
    )
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
    assert done.exit_code == 0, done.stderr
    assert opened(folder / "g.png").size == (4 * 29 + 1, 3 * 29 + 1)
    ends = ("--from=-0.5,0", "--to", 3, "--label", 5)
    done = run("path", "--v", "out/v", *ends, "--frames", 6, "--out", "p.gif", cwd=folder)
    assert done.exit_code == 0, done.stderr
    assert opened(folder / "p.gif").n_frames == 6
    found = json.loads(run("certify", "--v", "out/v", "--json", cwd=folder).stdout)
    assert all(layer["rank"] == min(layer["inputs"], layer["outputs"]) for layer in found["linear_maps"])
    found = json.loads(run("info", "--v", "out/v", "--json", cwd=folder).stdout)
    assert found["v"]["source"] == "mnist"
    assert "mnist" in found["decoders"]


def test_export_writes_a_page_and_a_picture(made):
    folder, _ = made
    done = run("export", "--v", "out", "--out", "m.html", "--tiles", 4, "--names", "a,b", "--json", cwd=folder)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] == (folder / "m.html").stat().st_size
    assert "tiles" in done.stderr  # how far it is
    assert run("export", "--v", "out", "--out", "m.svg", cwd=folder).exit_code == 0
    assert run("export", "--v", "out", "--out", "m.gif", cwd=folder).exit_code == 2


def test_help_teaches(tmp_path):
    assert "latent-vizae grid --v" in run("grid", "--help", cwd=tmp_path).stdout
    assert run("--version", cwd=tmp_path).stdout.strip()
    guide = Path(run("--help", cwd=tmp_path).stdout.partition("The guide: ")[2].strip())
    assert guide.read_text(encoding="utf-8").startswith("# ")


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
    assert done.exit_code == 2
    assert "latent-vizae: error: " in done.stderr
    assert re.search(message, done.stderr), done.stderr
    left = sorted(str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file())
    assert left == ["objects.npy", "taken/mine.txt", "wide.npy"]


# In this process, with a decoder that costs nothing.


class Squares:
    """Codes (B, 3) to images (B, 1, 2, 2)."""

    source = "squares"
    latent_shape = (3,)

    def __call__(self, codes):
        return torch.cat([codes, codes.sum(1, keepdim=True)], 1).sigmoid().reshape(-1, 1, 2, 2)

    def examples(self, label=None, count=None, seed=None):
        codes = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(40) % 2
        rows = torch.arange(40) if label is None else (labels == label).nonzero().squeeze(1)
        if count is not None and count > len(rows):
            raise ValueError(f"There are {len(rows)} codes.")
        return codes[rows[:count]], labels[rows[:count]]


@pytest.fixture
def squares(monkeypatch, tmp_path):
    """Runs the command on the decoder above, in a new folder."""
    monkeypatch.setattr(maps, "load_decoder", lambda name: Squares())
    monkeypatch.setattr(maps, "load_source", lambda name, options: Squares())
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app.app, [str(argument) for argument in arguments])


def everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_earlier_map_is_replaced_and_other_files_beside_it_stay(squares, tmp_path):
    assert squares("map", "--count", 12, "--dim", 1, "--out", "new/map").exit_code == 0
    first = everything(tmp_path / "new" / "map")
    (tmp_path / "new" / "map" / "mine.txt").write_text("mine")
    done = squares("map", "--count", 9, "--dim", 1, "--out", "new/map")
    assert done.exit_code == 0, done.output
    second = everything(tmp_path / "new" / "map")
    assert second.pop("mine.txt") == b"mine"
    assert second.keys() == first.keys()
    assert json.loads(second["report.json"])["fit"]["k"] == 9
    assert VizAE.from_pretrained(tmp_path / "new" / "map" / "v").points.shape == (9, 1)


def test_of_two_maps_at_once_into_a_new_folder_the_later_one_stays(tmp_path):
    out = tmp_path / "out"
    with output_folder(out, "map") as late, output_folder(out, "map") as early:
        for folder in (early, late):
            (folder / "map.png").write_text(folder.name)
            write_json(folder / "report.json", {"made_by": "map"})
    assert (out / "map.png").read_text() == late.name
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("meanwhile", ["another's folder", "a file", "a folder in a file's place"])
def test_what_was_made_and_cannot_be_moved_is_kept_and_named(tmp_path, meanwhile):
    out = tmp_path / "out"
    named = pytest.raises(ValueError, match=r"Cannot write .*out: .* kept in ")
    with named as caught, output_folder(out, "map") as partial:
        (partial / "map.png").write_text("minutes of work")
        if meanwhile == "a file":
            out.write_text("mine")
        else:
            (out / "map.png").mkdir(parents=True)
        if meanwhile == "a folder in a file's place":
            write_json(out / "report.json", {"made_by": "map"})
    assert str(partial) in str(caught.value)
    assert everything(partial) == {"map.png": b"minutes of work"}


def test_a_link_to_nothing_is_refused_before_any_work(squares, monkeypatch):
    monkeypatch.setattr(maps, "fit", None)
    Path("link").symlink_to("none")
    done = squares("map", "--count", 5, "--out", "link")
    assert done.exit_code == 2
    assert "link is a broken link. Make none," in done.stderr
    assert [str(path) for path in Path().iterdir()] == ["link"]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_map_of_ones_own_codes_and_labels(squares, dim):
    codes, labels = torch.randn(30, 3, dtype=torch.float16), torch.arange(30) % 3
    save_file({"codes": codes, "labels": labels}, "mine.safetensors")
    done = squares(
        "map", "--codes", "mine.safetensors", "--label", 2, "--count", 8, "--dim", dim, "--out", "o", "--json"
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)  # and nothing else
    assert (document["fit"]["k"], document["fit"]["dim"]) == (8, dim)
    assert (VizAE.from_pretrained("o/v").labels == 2).all()
    assert sorted(document["files"]) == sorted(everything(Path("o")))


class Encoding(Squares):
    """Squares with an encoder."""

    image_shape = (1, 2, 2)

    def encode(self, images):
        return images.flatten(1)[:, :3].clamp(0.01, 0.99).logit()


def test_what_one_command_writes_the_others_read(squares, monkeypatch):
    for module in (maps, shards, directions):
        monkeypatch.setattr(module, "load_decoder", lambda name, **_: Encoding())
    for number in range(12):
        Path("in", "odd one" if number % 2 else "even").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2), 20 * number, np.uint8)).save(
            f"in/{'odd one' if number % 2 else 'even'}/{number}.png"
        )

    def done(*arguments):
        made = squares(*arguments)
        assert made.exit_code == 0, made.output
        return made

    done("encode", "--images", "in", "--labels", "folder", "--unit-size", 5, "--out", "codes")
    done("map", "--codes", "codes", "--dim", 1, "--out", "m")
    v = VizAE.from_pretrained("m/v")
    assert v.label_names == {0: "even", 1: "odd one"}
    assert v.labels.bincount().tolist() == [6, 6]
    done("map", "--codes", "codes", "--label", "odd one", "--dim", 1, "--out", "odd")
    assert VizAE.from_pretrained("odd/v").labels.tolist() == [1] * 6
    done("place", "--v", "m", "--codes", "codes", "--out", "points")
    done("grid", "--v", "m", "--points", "points", "--out", "g.safetensors")
    made = load_file("g.safetensors")
    assert torch.allclose(made["points"], v.points, atol=1e-4)
    done("grid", "--v", "m", "--points", "g.safetensors", "--out", "g.png")
    for source in ("g.safetensors", "codes"):  # codes of a grid, or shards
        done("map", "--codes", source, "--dim", 1, "--out", "again")
        done("place", "--v", "m", "--codes", source, "--out", f"points-of-{source}")
        done("path", "--v", "m", "--codes", source, "--from", 0, "--to", 11, "--frames", 3, "--out", "p.gif")
        done("directions", "--codes", source, "--method", "codes", "--directions", 1, "--global-only", "--out", "d")
    done("encode", "--images", "g.safetensors", "--out", "codes-of-images")
    np.savez("mine.npz", codes=made["codes"].numpy(), labels=np.arange(12) % 2)
    done("map", "--codes", "mine.npz", "--label", 1, "--dim", 1, "--out", "again")
    done("place", "--v", "m", "--codes", "mine.npz", "--out", "points-of-npz")
    refused = squares("map", "--codes", "codes", "--label", "blue", "--out", "no")
    assert (refused.exit_code, "there are even, odd one" in refused.stderr) == (2, True)
    refused = squares("grid", "--v", "m", "--points", "points", "--box=0,1", "--out", "no.png")
    assert (refused.exit_code, "the place of --box" in refused.stderr) == (2, True)


@pytest.mark.parametrize("count", [1, 2])
def test_one_code_and_two_codes_make_a_map(squares, count):
    assert squares("map", "--count", count, "--dim", 1, "--out", "o").exit_code == 0
    assert Path("o/path.gif").stat().st_size > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("--codes", "mine.npz"),
        ("--codes", "other.safetensors"),
        ("--codes", "mine.npy", "--label", 1),
        ("--codes", "mine.npy", "--count", 9),
        ("--codes", "cut.npy"),
        ("--codes", "cut.safetensors"),
        ("--count", 0),
        ("--count", 41),
        ("--dim", 4),
        ("--seed", -1),
        ("--out", "mine.npy/out"),
    ],
)
def test_a_map_that_cannot_be_made_leaves_nothing(squares, tmp_path, arguments):
    np.save("mine.npy", np.eye(3, dtype=np.float32))
    Path("cut.npy").write_bytes(Path("mine.npy").read_bytes()[:-5])
    Path("mine.npz").write_bytes(b"")
    save_file({"z": torch.eye(3), "y": torch.eye(3)}, "other.safetensors")
    Path("cut.safetensors").write_bytes(Path("other.safetensors").read_bytes()[:-5])
    before = everything(tmp_path)
    done = squares("map", "--out", "out", *arguments)
    assert done.exit_code == 2
    assert re.fullmatch(r"latent-vizae: error: [^\n]+\n", done.stderr), done.stderr
    assert everything(tmp_path) == before
    assert not Path("out").exists()


def test_points_boxes_and_shapes_are_read_or_refused(squares):
    assert squares("map", "--count", 12, "--out", "o").exit_code == 0
    done = squares(
        "path", "--v", "o", "--from", "0", "--via", "-0.5,.5", "--to", "7", "--out", "p.safetensors", "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["count"] == 16
    done = squares("path", "--v", "o", "--from", "0", "--to", "7", "--exact", "--frames", 4, "--out", "p.safetensors")
    assert done.exit_code == 0, done.output
    assert torch.allclose(load_file("p.safetensors")["codes"][[0, 3]], Squares().examples()[0][[0, 7]], atol=1e-4)
    for bad in (
        ("grid", "--box=0,0,1"), ("grid", "--box=1,1,0,0"), ("grid", "--box=a,b,c,d"),
        ("grid", "--shape", "0x3"), ("path", "--from", "0,0", "--to", "40"),
        ("path", "--from", "0,0,0", "--to", "1,1"),
        ("path", "--from", "0,0", "--to", "1,nan"), ("path", "--from", "0,0", "--to", "1", "--exact"),
        ("path", "--from", "0", "--to", "1", "--frames", 1), ("grid", "--shape", f"{10**8}x{10**8}"),
        ("path", "--from", "0", "--to", "1", "--frames", 10**11),
    ):  # fmt: skip
        done = squares(*bad, "--v", "o", "--out", "bad.png")
        assert (done.exit_code, done.stderr[:21]) == (2, "latent-vizae: error: "), bad
        assert not Path("bad.png").exists()


@pytest.mark.parametrize("device", ["foo", "cuda:99"])
def test_a_device_that_is_not_there_is_named(tmp_path, v, device):
    v.save_pretrained(tmp_path / "v")
    np.save(tmp_path / "codes.npy", np.zeros((3, 10), np.float32))
    for command in (
        ["place", "--v", tmp_path / "v", "--codes", tmp_path / "codes.npy"],
        ["encode", "--images", tmp_path],
    ):
        arguments = [*command, "--out", tmp_path / "out", "--device", device]
        done = CliRunner().invoke(app.app, [str(argument) for argument in arguments])
        assert (done.exit_code, f"There is no device '{device}'" in done.stderr) == (2, True), done.stderr


def test_a_hub_that_hangs_up_is_one_line(squares, monkeypatch):
    def hang_up(*_):
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")

    monkeypatch.setattr("latent_vizae.storage.hub.fetch_folder", hang_up)
    done = squares("certify", "--v", "alice/none")
    assert done.exit_code == 2
    assert re.fullmatch(r"latent-vizae: error: The Hub cannot be reached[^\n]*disconnected[^\n]*\n", done.stderr)


def test_a_missing_extra_is_named_before_any_work(squares, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(maps, "fit", None)
    done = squares("map", "--out", "out")
    assert done.exit_code == 2
    assert 'pip install "latent-vizae[plot]"' in done.stderr
    assert not Path("out").exists()


def test_a_bug_keeps_its_traceback(squares, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(maps, "fit", broken)
    done = squares("map", "--count", 5, "--out", "out")
    assert (done.exit_code, type(done.exception)) == (1, ZeroDivisionError)
    assert not Path("out").exists()


@pytest.mark.parametrize("broken", [
    lambda *_, **__: torch.zeros(2).reshape(3),  # RuntimeError
    lambda *_, **__: int("a"),  # a ValueError, raised by Python
    lambda *_, **__: len(3),  # a TypeError
    lambda: None,  # called with arguments that it does not take
])  # fmt: skip
def test_what_a_library_raises_in_ours_is_a_bug(squares, monkeypatch, broken):
    monkeypatch.setattr(maps, "fit", broken)
    done = squares("map", "--count", 5, "--out", "out")
    assert done.exit_code == 1
    assert isinstance(done.exception, RuntimeError | ValueError | TypeError)
    assert "latent-vizae: error" not in done.stderr


def test_a_bug_shows_its_traceback_and_a_users_error_one_line(tmp_path):
    main = "from latent_vizae.cli import maps, main; {}; import sys; sys.argv[1:] = {!r}; main()"
    for change, arguments, code, shown in (
        ("maps.fit = lambda *_, **__: int('a')", ["map", "--count", "5"], 1, "Traceback"),
        ("pass", ["map", "--count", "0"], 2, "latent-vizae: error: --count is at least 1, got 0."),
    ):
        text = main.format(change, arguments)
        done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == code, done.stderr
        assert (shown in done.stderr, "Traceback" in done.stderr) == (True, code == 1)


def test_a_map_whose_images_cannot_be_drawn_keeps_v_and_the_report(squares, monkeypatch):
    class Five(Squares):
        def __call__(self, codes):
            return super().__call__(codes).expand(-1, 5, -1, -1).contiguous()

    monkeypatch.setattr(maps, "load_decoder", lambda name: Five())
    done = squares("map", "--count", 12, "--dim", 1, "--out", "o")
    assert done.exit_code == 2
    assert re.search(r"what was made is kept in o: .*report\.json.*\nlatent-vizae: error: [^\n]+\n$", done.stderr)
    assert VizAE.from_pretrained("o/v").points.shape == (12, 1)
    assert json.loads(Path("o/report.json").read_text())["fit"]["k"] == 12
    assert "certificate.txt" in everything(Path("o"))
    monkeypatch.setattr(maps, "map_picture", lambda *_, **__: int("a"))
    monkeypatch.setattr(maps, "load_decoder", lambda name: Squares())
    assert squares("map", "--count", 12, "--dim", 1, "--out", "bug").exit_code == 1
    assert VizAE.from_pretrained("bug/v").points.shape == (12, 1)


def test_the_paper_goes_into_a_new_folder_or_an_earlier_ones(squares, monkeypatch):
    def write_paper(out, **_):
        (out / "report.md").write_text("made")
        return {"figure": 1}

    monkeypatch.setattr("latent_vizae.demos.paper.write_paper", write_paper)
    for _ in range(2):
        assert json.loads(squares("paper", "--out", "p", "--json").stdout) == {"figure": 1}
        assert sorted(everything(Path("p"))) == ["report.json", "report.md"]
    assert squares("map", "--count", 5, "--out", "p").exit_code == 2


# Ctrl-C.


def interrupted(folder, marker, *arguments):
    """Runs a command, sends Ctrl-C as soon as ``marker`` appears on stderr; its exit code and stderr."""
    command = [str(Path(sys.executable).parent / "latent-vizae"), *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        seen = b""
        while marker not in seen:
            byte = process.stderr.read(1)
            assert byte, seen
            seen += byte
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    return process.returncode, (seen + rest).decode()


@pytest.mark.wheel
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_while_fitting_keeps_the_best_map_so_far(tmp_path):
    code, said = interrupted(tmp_path, b"step/s]\rfit:", "map", "--count", 60, "--dim", 1, "--out", "out")
    assert code == 130, said
    assert "interrupted" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == MADE
    assert json.loads((tmp_path / "out" / "report.json").read_text())["fit"]["interrupted"]
    assert VizAE.from_pretrained(tmp_path / "out" / "v").points.abs().max() <= 1.001
    for picture in (tmp_path / "out").glob("*.png"):
        Image.open(picture).load()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_while_writing_leaves_nothing(tmp_path):
    code, said = interrupted(tmp_path, b"drawing", "map", "--count", 20, "--out", "deep/out")
    assert code == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_samples_at_a_place_and_grids_with_detail(squares):
    assert squares("map", "--count", 40, "--detail", 0.5, "--out", "few").exit_code == 2
    assert squares("samples", "--v", "few", "--at", "0,0", "--out", "s.png").exit_code == 2
    codes = torch.randn(120, 3, generator=torch.Generator().manual_seed(0))
    np.save("codes.npy", codes.numpy())
    done = squares("map", "--codes", "codes.npy", "--detail", 0.5, "--out", "o", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["asked"]["detail"] == 0.5
    for name, extra in (("a", ()), ("b", ("--detail", 0)), ("c", ("--variant", 1)), ("d", ("--variant", "each"))):
        done = squares("grid", "--v", "o", "--shape", "3x3", *extra, "--out", f"{name}.safetensors")
        assert done.exit_code == 0, done.output
    a, b, c, d = (load_file(f"{name}.safetensors")["codes"] for name in "abcd")
    assert not any(torch.equal(a, other) for other in (b, c, d))
    done = squares("samples", "--v", "o", "--at", "0,0", "--count", 7, "--out", "s.safetensors")
    assert done.exit_code == 0, done.output
    assert load_file("s.safetensors")["codes"].shape == (7, 3)
    for bad in (
        ("grid", "--variant", "all"),
        ("grid", "--detail", 2),
        ("samples", "--at", "0"),
        ("samples", "--at", "0,0", "--count", 0),
    ):
        done = squares(*bad, "--v", "o", "--out", "bad.png")
        assert (done.exit_code, done.stderr[:21]) == (2, "latent-vizae: error: "), bad
        assert not Path("bad.png").exists()
