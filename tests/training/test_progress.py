"""One way to say how far work is, for all long work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from latent_vizae import encode_images, fit, place_codes, sample_codes
from latent_vizae.training.progress import Progress

ROOT = Path(__file__).resolve().parents[2]


class Means:
    latent_shape, image_shape = (4,), (1, 4, 6)

    def encode(self, images):
        return images.mean((1, 3))

    def sample(self, count, seed):
        return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("work", "title", "steps"),
    [
        (lambda say, out: encode_images(Means(), np.zeros((50, 1, 4, 6), np.uint8), progress=say), "encode", 50),
        (lambda say, out: encode_images(Means(), iter(torch.zeros(50, 1, 4, 6)), progress=say), "encode", 0),
        (lambda say, out: encode_images(Means(), torch.zeros(50, 1, 4, 6), out=out, progress=say), "encode", 50),
        (lambda say, out: sample_codes(Means(), 50, out=out, unit_size=8, progress=say), "sample", 50),
        (lambda say, out: place_codes(fit(torch.eye(4)), torch.eye(4), out, 2, progress=say), "place", 4),
    ],
    ids=["encode", "encode a stream", "encode into shards", "sample", "place"],
)
def test_a_function_hears_of_all_work(tmp_path, work, title, steps):
    heard = []
    work(lambda *call: heard.append(call), tmp_path / "out")
    done = [call[0] for call in heard]
    assert done == sorted(set(done))
    assert done[-1] == (steps or 50)
    assert {call[1:] for call in heard} == {(steps, title)}


def test_a_function_may_stop_the_work_and_what_is_finished_stays(tmp_path):
    def stop(step, steps, title):
        if step >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_codes(Means(), 50, out=tmp_path / "out", unit_size=8, progress=stop)
    assert len(list((tmp_path / "out").glob("[!.]*.safetensors"))) == 3


def test_a_bar_goes_to_stderr_and_silence_is_silent(capfd):
    for progress in (True, False):
        with Progress(progress, "stage", start=2) as shown:
            shown(3, 4)
            shown.note("a note")
            shown.line("a line")
        out, err = capfd.readouterr()
        assert out == "a line\n"
        assert all((word in err) is progress for word in ("stage", "3/4", "a note"))


NOTEBOOK = """
import sys, types
import latent_vizae
assert "tqdm.auto" not in sys.modules
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(config={"IPKernelApp": {}}))
sys.modules["ipywidgets"] = None
from latent_vizae.training.progress import Progress
with Progress(True, "stage") as shown:
    shown(3, 4)
"""


def test_a_notebook_without_widgets_has_a_bar_of_text():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTEBOOK], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stage" in done.stderr


def test_one_file_knows_tqdm():
    folders = [ROOT / name for name in ("latent_vizae", "adapters", "demos")]
    files = [path for folder in folders for path in folder.rglob("*.py") if "import tqdm" in path.read_text()]
    assert [path.name for path in files] == ["progress.py"]
