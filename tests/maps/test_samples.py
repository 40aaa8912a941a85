"""Samples on disk: sheets, animations, films and numbers; a file appears whole or not at all."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from draws import normal
from PIL import Image, ImageSequence
from safetensors.torch import load_file

from latent_vizae.maps.samples import Samples, to_uint8


@pytest.fixture
def samples(m):
    return m.path((-0.8, -0.7), (0.9, 0.6), frames=6)


def test_a_sheet_shows_every_image_in_its_place(m, tmp_path):
    samples = m.grid(shape=(3, 4))
    file = samples.save(tmp_path / "sheet.png")
    with Image.open(file) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape == (3 * 29 + 1, 4 * 29 + 1)
    assert (pixels[0] == 255).all()
    for index, image in enumerate(to_uint8(samples.images)[..., 0]):
        top, left = 1 + index // 4 * 29, 1 + index % 4 * 29
        assert (pixels[top : top + 28, left : left + 28] == image).all()


def test_an_animation_has_its_frames_and_its_time(samples, tmp_path):
    with Image.open(samples.save(tmp_path / "path.gif")) as picture:
        assert picture.n_frames == 6
        assert picture.info["duration"] == 80
        assert picture.info["loop"] == 0
        assert picture.size == (224, 224)
        picture.seek(5)
        last = np.asarray(picture.convert("L"))[4::8, 4::8].astype(int)
    assert np.abs(last - to_uint8(samples.images)[-1, :, :, 0]).mean() < 3


def test_a_film_has_its_frames(samples, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    file = samples.save(tmp_path / "path.mp4")
    raw = subprocess.run(
        [ffmpeg, "-i", file, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True
    )
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(6, 224, 224)
    assert np.abs(frames[:, 4::8, 4::8].astype(int) - to_uint8(samples.images)[..., 0]).mean() < 8


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 5000)])
def test_strips_become_films_that_can_be_seen(tmp_path, shape):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    strip = Samples(torch.zeros(2, 2), torch.zeros(2, 3), torch.rand(2, 1, *shape), rows=1)
    with Image.open(strip.save(tmp_path / "a.gif")) as picture:
        assert max(picture.size) <= max(4096, *shape)
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    film = subprocess.run([ffmpeg, "-i", strip.save(tmp_path / "a.mp4"), *raw], capture_output=True, check=True)
    assert len(film.stdout) > 0


def test_what_no_format_can_hold_leaves_what_was_there(tmp_path):
    huge = Samples(torch.zeros(2, 2), torch.zeros(2, 3), torch.rand(2, 1, 1, 70_000), rows=1)
    for ending, message in ((".gif", "at most 65535 pixels a side, got 70000 x 1"), (".mp4", "ffmpeg cannot encode")):
        (tmp_path / f"a{ending}").write_text("mine")
        with pytest.raises(ValueError, match=message):
            huge.save(tmp_path / f"a{ending}")
        assert (tmp_path / f"a{ending}").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_animation_of_transparent_images_keeps_nothing_of_the_frame_before(tmp_path):
    images = torch.zeros(6, 4, 28, 28)
    for number, image in enumerate(images):
        image[:, 10:17, 4 * number : 4 * number + 4] = 1
    file = Samples(torch.zeros(6, 2), torch.zeros(6, 3), images, rows=1).save(tmp_path / "a.gif")
    with Image.open(file) as picture:
        opaque = [
            int((np.asarray(frame.convert("RGBA"))[..., 3] > 0).sum()) for frame in ImageSequence.Iterator(picture)
        ]
    assert opaque == [7 * 4 * 8 * 8] * 6


def test_films_without_the_extra_name_it(samples, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r'pip install "latent-vizae\[plot\]"'):
        samples.save(tmp_path / "path.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.wheel
def test_numbers_are_saved_as_they_are(samples, tmp_path):
    saved = load_file(samples.save(str(tmp_path / "path.SAFETENSORS")))
    assert set(saved) == {"points", "codes", "images"}
    assert all(torch.equal(saved[name], getattr(samples, name)) for name in saved)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", ["png", "gif"])
def test_pictures_of_any_size_and_colour_are_saved(tmp_path, channels, ending):
    for count, height, width in ((1, 1, 1), (5, 3, 7), (3, 300, 10)):
        samples = Samples(
            torch.zeros(count, 2), torch.zeros(count, 6), normal(count, channels, height, width).sigmoid()
        )
        with Image.open(samples.save(tmp_path / f"{count}.{ending}")) as picture:
            picture.load()


def test_sampled_values_are_clamped_and_rounded_to_bytes():
    images = torch.tensor([-0.2, 0.0, 0.5, 1.0, 1.2, 254.6 / 255]).reshape(1, 1, 1, 6)
    assert to_uint8(images)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255, 255]


def test_saving_twice_replaces(samples, m, tmp_path):
    samples.save(tmp_path / "a.png")
    m.grid(shape=(1, 2)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * 29 + 1, 30)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", ["a.jpg", "a", "png", ".png", "a.pt", "a.png.exe"])
def test_an_ending_that_names_no_format_is_refused(samples, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.gif, \.mp4, \.safetensors; asked for"):
        samples.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(samples, tmp_path):
    (tmp_path / "file").touch()
    for name in ("nowhere/a.png", "file/a.png", 300 * "a" + ".png"):
        with pytest.raises(ValueError, match=rf"Cannot write .*{name}"):
            samples.save(tmp_path / name)
    (tmp_path / "file").unlink()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        samples.save(tmp_path / "folder.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]
    assert list((tmp_path / "folder.png").iterdir()) == []


@pytest.mark.parametrize("ending", ["png", "gif", "mp4"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(samples, tmp_path, ending):
    if ending == "mp4":
        pytest.importorskip("imageio_ffmpeg")
    file = samples.save(tmp_path / f"a.{ending}")
    before = file.read_bytes()
    odd = Samples(torch.zeros(3, 2), torch.zeros(3, 6), torch.zeros(3, 2, 8, 8))
    with pytest.raises(ValueError, match=r"have 2.*save as .safetensors"):
        odd.save(file)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {file.name: before}
    assert load_file(odd.save(tmp_path / "a.safetensors"))["images"].shape == (3, 2, 8, 8)
