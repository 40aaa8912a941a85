"""Pictures: they are there, as large as they claim, show something, and touch nothing of the caller's."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from latent_vizae import LatentMap, certify, fit
from latent_vizae.pictures import words
from latent_vizae.pictures.map import ALIKE, _background, layer_picture, map_picture


def decoder(codes):
    """Codes (B, 3) to images (B, 3, 6, 8) in colour."""
    ramp = torch.linspace(-1, 1, 6 * 8).reshape(1, 1, 6, 8)
    return (codes[:, :, None, None] + 3 * codes[:, :1, None, None] * ramp).sigmoid()


@pytest.fixture(scope="module")
def maps():
    codes = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 4
    return {dim: LatentMap(fit(codes, decoder, dim, labels=labels), decoder) for dim in (1, 2, 3)}


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


@pytest.mark.wheel
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_map_is_drawn_wide_enough_to_read_and_shows_points_and_images(maps, dim, tmp_path):
    assert map_picture(maps[dim], tmp_path / "m.png", grid_shape=(6, 8)) == tmp_path / "m.png"
    picture = pixels(tmp_path / "m.png")
    assert picture.shape[1] == 1920
    assert (picture[0] == 255).all()  # a margin
    assert picture.std() > 10
    assert len(np.unique(picture.reshape(-1, 3).round(-1), axis=0)) > 50
    assert [path.name for path in tmp_path.iterdir()] == ["m.png"]


def test_the_same_map_gives_the_same_picture(maps, tmp_path):
    for name in ("a.png", "b.png"):
        map_picture(maps[2], tmp_path / name, grid_shape=(4, 4))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_labels_title_box_and_images_change_what_is_drawn(maps, tmp_path):
    options = [
        {}, {"labels": torch.arange(30)}, {"labels": torch.zeros(30, dtype=torch.int64)}, {"title": "A map"},
        {"box": ((-0.5, -0.5), (0.5, 0.5))}, {"thumbnails": False},
    ]  # fmt: skip
    seen = set()
    for option in options:
        map_picture(maps[2], tmp_path / "m.png", grid_shape=(3, 3), **option)
        seen.add((tmp_path / "m.png").read_bytes())
    assert len(seen) == len(options)
    assert pixels(tmp_path / "m.png").shape[1] == 960  # one panel


def test_letters_that_no_font_has_are_said_once_and_others_are_found(maps, tmp_path, monkeypatch):
    names = ["日本語", "한국어", "short"]
    with pytest.warns(UserWarning, match="No font that is installed here has .*the picture shows boxes") as said:
        map_picture(
            maps[2], tmp_path / "m.png", labels=torch.arange(30) % 3, names=names, title="日本", thumbnails=False
        )
    assert len(said) == 1
    monkeypatch.setattr("latent_vizae.pictures.words.FONTS", (words.BOXES,))  # a font that has them
    map_picture(maps[1], tmp_path / "m.png", labels=torch.arange(30) % 3, names=names, thumbnails=False)


def test_a_map_fades_into_the_background_of_its_images_or_else_into_white(f_d):
    dark, _ = f_d.examples(count=40)
    assert _background((f_d(dark).movedim(1, 3).numpy() * 255).repeat(3, -1)).max() < ALIKE
    colours = torch.rand(40, 1, 1, 3, generator=torch.Generator().manual_seed(0)).expand(40, 8, 8, 3)
    assert _background(colours.numpy() * 255).tolist() == [255, 255, 255]


def test_images_stand_where_their_points_are(tmp_path):
    """The right half of the map decodes to white, the left one to black: so does the picture."""
    codes = torch.tensor([[x, y] for x in (-1.0, 1.0) for y in (-1.0, 1.0)])
    m = LatentMap(fit(codes), lambda z: (z[:, :1] > 0).float()[:, :, None, None].expand(-1, 1, 2, 2))
    side = m.v.encode(torch.tensor([[1.0, 0.0]]))[0]
    axis = int(side.abs().argmax())
    map_picture(m, tmp_path / "m.png", grid_shape=(8, 8))
    panel = pixels(tmp_path / "m.png").mean(2)[:, 960:]
    high, wide = panel.shape[0] // 2, panel.shape[1] // 2
    first, second = (panel[:, 200:wide], panel[:, wide:-200]) if axis == 0 else (panel[high:-200], panel[200:high])
    bright = second.mean() > first.mean()
    assert bright == bool(side[axis] > 0)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_stretch_layer_is_drawn(maps, dim, tmp_path):
    certificate = certify(maps[dim].v, decoder)
    layer_picture(certificate, tmp_path / "l.png", points=maps[dim].v.points)
    picture = pixels(tmp_path / "l.png")
    assert picture.shape[1] == 1920
    assert picture.std() > 10


@pytest.mark.parametrize(("side", "level"), [(8, "0.14"), (9, "0")])
def test_a_slice_says_where_it_is(tmp_path, monkeypatch, side, level):
    captions = []
    monkeypatch.setattr("latent_vizae.pictures.map.caption", lambda cell, text: captions.append(text))
    v = fit(torch.eye(4), dim=3)
    layer_picture(certify(v, lambda z: z.sigmoid().reshape(-1, 1, 2, 2), resolution=side), tmp_path / "a.png")
    assert captions[0].endswith(f"slice at coordinate 3 = {level}")


@pytest.mark.filterwarnings("ignore::UserWarning")  # it is said that there are no slopes
def test_a_decoder_that_never_changes_is_drawn_too(tmp_path):
    still = lambda z: torch.full((len(z), 1, 2, 2), 0.5)  # noqa: E731
    v = fit(torch.eye(4), still)
    map_picture(LatentMap(v, still), tmp_path / "m.png", grid_shape=(3, 3))
    layer_picture(certify(v, still), tmp_path / "l.png")
    assert pixels(tmp_path / "l.png").shape[1] == 1920


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "m.jpg"}, "png"),
        ({"path": "no/such/m.png"}, "Cannot write"),
        ({"labels": [1, 2]}, "one per code"),
        ({"box": ((0.5, 0.5), (-0.5, -0.5))}, "corner"),
        ({"grid_shape": (1, 5)}, "at least 2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(maps, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        map_picture(maps[2], **{"path": "m.png", "grid_shape": (3, 3), **options})
    assert list(tmp_path.iterdir()) == []


def test_a_box_is_for_flat_maps_and_a_layer_for_decoders(maps, tmp_path):
    with pytest.raises(ValueError, match="2-D"):
        map_picture(maps[1], tmp_path / "m.png", box=((-1,), (1,)))
    with pytest.raises(ValueError, match="without a decoder"):
        layer_picture(certify(maps[1].v), tmp_path / "l.png")


def test_without_the_extra_the_error_names_it(maps, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "latent-vizae\[plot\]"'):
        map_picture(maps[2], tmp_path / "m.png")


DRAW = """
import matplotlib, torch
from latent_vizae import LatentMap, fit
from latent_vizae.pictures.map import map_picture
settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
before = settings()
m = LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2))
map_picture(m, "m.png", grid_shape=(3, 3))
import sys
assert "matplotlib.pyplot" not in sys.modules
assert before == settings()
"""


def test_no_global_setting_of_matplotlib_is_touched(tmp_path):
    run = subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("name", ["{}", "Animals & Nature of the continent {}", "{} with a very long name " * 9])
def test_names_of_labels_take_no_room_from_the_map(maps, dim, name, tmp_path, monkeypatch):
    """Panels stay as large as without names, and no name is drawn over the edge of the picture."""
    seen = []
    monkeypatch.setattr("latent_vizae.pictures.map.save_figure", lambda figure, path: seen.append(figure) or path)
    for labels in (torch.zeros(30, dtype=torch.int64), torch.arange(30) % 12):
        map_picture(
            maps[dim],
            tmp_path / "m.png",
            grid_shape=(2, 2),
            labels=labels,
            names=[name.replace("{}", str(k)) for k in range(12)],
        )
    named = seen[1]
    for figure in seen:
        figure.draw_without_rendering()
    heights = [figure.axes[0].get_window_extent().height for figure in seen]
    assert heights[1] > 0.93 * heights[0]
    (legend,) = [place.get_legend() for place in named.axes if place.get_legend()] or named.legends
    box, page = legend.get_window_extent(), named.bbox
    assert box.x0 >= page.x0
    assert box.x1 <= page.x1
    assert box.y0 >= page.y0


@pytest.mark.parametrize("dim", [2, 3])
def test_words_of_many_kinds_stand_at_their_points_and_none_on_another(dim, tmp_path, monkeypatch):
    codes = torch.randn(70, 3, generator=torch.Generator().manual_seed(0))
    prompts = [f"{k:02} is a photo of one thing alone, nothing else" for k in range(70)]
    m = LatentMap(fit(codes, decoder, dim, labels=prompts, budget=0), decoder)
    seen = []
    monkeypatch.setattr("latent_vizae.pictures.map.save_figure", lambda figure, path: seen.append(figure) or path)
    map_picture(m, tmp_path / "m.png", grid_shape=(2, 2))
    map_picture(m, tmp_path / "m.png", grid_shape=(2, 2), labels=torch.arange(70))
    for figure in seen:
        figure.draw_without_rendering()
    words, numbers = ([text for cell in figure.axes for text in cell.texts] for figure in seen)
    assert len(words) > (8 if dim == 2 else 24)
    assert numbers == []
    cells = seen[0].axes[: 1 if dim == 2 else 3]
    for cell, axes in zip(cells, ((0, 1), (0, 2), (1, 2)), strict=False):
        boxes = [text.get_window_extent() for text in cell.texts]
        assert not any(box.count_overlaps(boxes[:at]) for at, box in enumerate(boxes))
        for text in cell.texts:
            row = int(text.get_text()[:2])
            assert text.get_text() == prompts[row][:27] + "…"
            assert text.xy == pytest.approx(m.v.points[row][list(axes)].tolist())
    plain = seen[1].axes[0].get_window_extent()
    assert cells[0].get_window_extent().bounds == pytest.approx(plain.bounds, abs=1)  # words take no room
