"""What the page asks of its server: every handler on the real first map, and what strangers send."""

import base64
import copy
import io
import os
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fresh_process import run_code
from PIL import ExifTags, Image
from safetensors.torch import load_file

from latent_vizae import LatentMap, VizAE
from latent_vizae.demos.page import firsts, hub, jobs
from latent_vizae.demos.page.fitted import FittedMap
from latent_vizae.demos.page.gathering import Gathered, gather_codes
from latent_vizae.demos.page.maps import MOST_MAPS, MOST_PINS, Maps
from latent_vizae.demos.page.pictures import as_digit, open_picture


@pytest.fixture(scope="module")
def maps(f_d):
    return Maps(firsts.digits_map(f_d))


@pytest.fixture
def start(maps):
    return maps.start.id


def pictures(images):
    raw = np.frombuffer(base64.b64decode(images["raw"]), np.uint8)
    return raw.reshape(images["count"], images["height"], images["width"], images["channels"])


def test_the_first_map_shows_its_codes_where_they_are(maps, start, f_d):
    told = maps.describe(start)
    points = np.frombuffer(base64.b64decode(told["points"]), "<f4").reshape(-1, told["dim"])
    shown = np.array(told["kinds"])[np.frombuffer(base64.b64decode(told["labels"]), "<u4")]
    assert len(points) == len(shown) == told["k"] == 2000
    assert np.abs(points).max() <= 1.001
    codes, labels = f_d.examples(count=2000, seed=0)
    assert shown.tolist() == labels.tolist()
    back = (maps.start.latent_map.v.encode(codes) - torch.from_numpy(points.copy())).norm(dim=1)
    assert (back < 1e-5).float().mean() > 0.97  # a later version finds nearer points for a few
    assert set(told["names"]) == set(map(str, range(10)))


def test_a_pad_to_draw_on_is_offered_where_encoder_and_decoder_keep_strokes(maps, start, f_d):
    clothes = firsts.clothes_map()
    assert maps.describe(start)["can"]["draw"]
    assert not Maps(clothes).describe(clothes.id)["can"]["draw"]

    class Own:  # somebody's own decoder of digits, of another size
        def __call__(self, codes):
            return torch.nn.functional.interpolate(f_d(codes), 32, mode="bilinear")

        def encode(self, images):
            return f_d.encode(torch.nn.functional.interpolate(images, 28, mode="bilinear"))

    for decoder, able in ((Own(), True), (lambda codes: f_d(codes), False)):
        own = Maps(FittedMap("own", LatentMap(maps.start.latent_map.v, decoder), maps.start.codes, None, ""))
        assert own.describe(own.start.id)["can"]["draw"] is able


def test_a_place_renders_as_the_map_says(maps, start):
    told = maps.render(start, [[0.1, -0.2], [0.5, 0.5]])
    wanted = maps.start.latent_map.render([[0.1, -0.2], [0.5, 0.5]])
    assert np.abs(pictures(told["images"])[..., 0] / 255 - wanted[:, 0].numpy()).max() <= 0.5 / 255 + 1e-6
    assert all(0 <= support <= 1 for support in told["support"])


def test_regions_and_paths_are_decoded_in_order(maps, start):
    told = maps.grid(start, {"box": [[0.5, 0.5], [-0.5, -0.5]]}, 4, 5)  # any two corners
    assert (told["rows"], told["cols"]) == (4, 5)
    assert (told["points"][0], told["points"][-1]) == ([-0.5, 0.5], [0.5, -0.5])
    assert pictures(told["images"]).shape == (20, 28, 28, 1)
    inside = maps.grid(start, {"polygon": [[0, 0], [1, 0], [0, 1]]}, 3, 3)["points"]
    assert len(inside) == 9
    assert all(x >= -1e-6 and y >= -1e-6 and x + y <= 1 + 1e-6 for x, y in inside)
    way = maps.path(start, [[-0.5, 0], [0.5, 0], [0.5, 0.5]], 12)
    assert np.allclose([way["points"][0], way["points"][-1]], [[-0.5, 0], [0.5, 0.5]], atol=1e-5)
    assert way["images"]["count"] == 12


@pytest.mark.parametrize("dim", [1, 3])
def test_maps_of_other_dimensions_have_regions_too(maps, f_d, dim):
    codes, labels = f_d.examples(count=20)
    fitted = jobs.fit_map(f_d, Gathered(codes, labels, "small"), dim, 0, lambda *_: None)
    maps.add(fitted)
    box = [[-0.5] * dim, [0.5] * dim] if dim == 1 else [[-0.5, 0.2, -0.5], [0.5, 0.2, 0.5]]
    points = maps.grid(fitted.id, {"box": box}, 3, 3)["points"]
    assert len(points) == 9
    assert len({tuple(point) for point in points}) == 9
    assert maps.layer(fitted.id, "support")["values"] is None
    assert maps.describe(fitted.id)["dim"] == dim


def test_a_slow_decoders_layers_are_coarser(f_d, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.layers.LAYER_SECONDS", 0)  # nothing is fast enough for that
    slow = Maps(firsts.digits_map(f_d))
    assert slow.layer(slow.start.id, "stretch")["side"] == 4
    assert len(base64.b64decode(slow.layer(slow.start.id, "error")["values"])) == 48 * 48


def pixels(reply):
    return base64.b64decode(reply["images"]["raw"])


def test_parts_of_a_region_and_of_a_path_are_the_whole(maps, start, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.plans.SECONDS", 0)  # one image a part
    box, line = {"box": [[-0.5, -0.5], [0.5, 0.5]]}, [[-0.5, 0], [0.5, 0.2]]
    for whole, ask in (
        (maps.grid(start, box, 3, 3), lambda first: maps.grid(start, box, 3, 3, None, None, first)),
        (
            maps.path(start, line, 5, None, None, "linear"),
            lambda first: maps.path(start, line, 5, None, None, "linear", first),
        ),
    ):
        parts = [ask(first) for first in range(len(whole["points"]))]
        assert [part["images"]["count"] for part in parts] == [1] * len(parts)
        assert all(part["points"] == whole["points"] for part in parts)
        assert all(part["seconds"] > 0 for part in parts)
        joined, at_once = (np.frombuffer(b"".join(map(pixels, some)), np.uint8) for some in (parts, [whole]))
        assert np.abs(joined.astype(int) - at_once).max() <= 1


def test_a_part_asks_any_callable_for_its_images_alone(maps, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.plans.SECONDS", 0)
    v, f_d, asked = maps.start.latent_map.v, maps.start.latent_map.decoder, []
    plain = Maps(FittedMap("plain", LatentMap(v, lambda z: asked.append(len(z)) or f_d(z)), None, None, ""))
    plain.describe(plain.start.id)  # looks what images it makes
    box, before = {"box": [[-0.5, -0.5], [0.5, 0.5]]}, sum(asked)
    for first in range(4):
        plain.grid(plain.start.id, box, 2, 2, None, None, first)
    assert sum(asked) - before == 4


def test_a_path_of_constant_pace_counts_the_images_that_find_it_and_comes_with_them(maps, start, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.maps.SECONDS", 0)
    monkeypatch.setattr("latent_vizae.demos.page.pacing.PART", 0)  # one image a question
    line = [[-0.5, 0], [0.5, 0.2]]
    whole, counts, part = maps.path(start, line, 5, None, None, "constant"), [], {"images": None}
    while part["images"] is None:
        part = maps.path(start, line, 5, None, None, "constant", 0)
        counts.append((part.get("done"), part.get("of")))
    assert np.allclose(part["points"], whole["points"], atol=1e-4)
    assert (part["pace"], part["images"]["count"], part["seconds"]) == ("constant", 5, 0.0)
    assert counts == [*((done, 76) for done in range(1, len(counts))), (None, None)]
    assert 41 <= len(counts) <= 77
    assert whole["images"]["count"] == len(whole["points"]) == 5
    sheet = maps.path_plan(start, line, 5).samples()
    made = maps.get(start).latent_map.decoder(sheet.codes)
    assert (sheet.images - made).abs().max() < 1e-5


def test_a_path_of_a_slow_decoder_has_even_steps_on_the_map(maps, start):
    fitted = maps.get(start)
    was, fitted.seconds = fitted.seconds, 1.0
    slow = maps.path(start, [[-0.5, 0], [0.5, 0]], 5)
    fitted.seconds = 0.001
    quick = maps.path(start, [[-0.5, 0], [0.5, 0]], 5)
    fitted.seconds = was
    assert (slow["pace"], quick["pace"]) == ("linear", "constant")
    assert np.allclose(slow["points"], [[x, 0] for x in (-0.5, -0.25, 0, 0.25, 0.5)], atol=1e-6)


@pytest.mark.parametrize("name", ["stretch", "error"])
def test_parts_of_a_layer_lead_to_the_whole(maps, f_d, name, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.page.maps.SECONDS", 0)
    mine = Maps(firsts.digits_map(f_d))
    mine.start.layers = {}
    monkeypatch.setattr("latent_vizae.demos.page.layers.LAYER_SECONDS", 0)  # few images
    part, seen = mine.layer(mine.start.id, name, True), []
    while "done" in part:
        seen.append(part["done"])
        assert part["done"] < part["of"]
        part = mine.layer(mine.start.id, name, True)
    assert seen == sorted(set(seen))
    assert seen
    other = Maps(firsts.digits_map(f_d))
    whole = other.layer(other.start.id, name)
    assert (part["side"], part["values"]) == (whole["side"], whole["values"])


@pytest.mark.parametrize("name", ["support", "stretch", "error"])
def test_layers_are_pictures_of_what_they_say(maps, start, name):
    told = maps.layer(start, name)
    values = np.frombuffer(base64.b64decode(told["values"]), np.uint8).reshape(told["side"], told["side"])
    assert values.min() == 0
    assert values.max() == 255
    assert told["low"] < told["high"]
    if name == "support":  # top row first
        axis = np.linspace(-1, 1, told["side"])
        row, column = np.unravel_index(values.argmax(), values.shape)
        point = torch.tensor([[axis[column], -axis[row]]], dtype=torch.float32)
        assert maps.start.latent_map.support(point).item() > 0.95
    assert maps.layer(start, name) is told


def test_thumbnails_are_the_codes_own_images(maps, start, f_d, monkeypatch):
    codes, _ = f_d.examples(count=2000, seed=0)
    told = pictures(maps.thumbs(start, [7, 3])["images"])
    assert np.abs(told[..., 0] / 255 - f_d(codes[[7, 3]])[:, 0].numpy()).max() < 0.01
    monkeypatch.setattr("latent_vizae.demos.page.plans.SECONDS", 0)  # one image a part
    monkeypatch.setattr("latent_vizae.demos.page.maps.is_slow", lambda f_d: True)
    parts = [maps.thumbs(start, [7, 3], first) for first in (0, 1)]
    again = maps.thumbs(start, [7, 3], 0)  # of another visitor: both are kept
    assert [len(pictures(part["images"])) for part in (*parts, again)] == [1, 1, 2]
    for images in (np.concatenate([pictures(part["images"]) for part in parts]), pictures(again["images"])):
        assert np.abs(images.astype(int) - told).max() <= 1


def test_a_drawing_is_pinned_and_keeps_its_own_details(maps, start, f_d):
    image = (f_d.images()[0][0, 0] * 255).byte().numpy()
    drawing = maps.drawing(start, {"pixels": base64.b64encode(image.tobytes()).decode()})
    pin = jobs.place_picture(maps, start, drawing)
    own = pictures(pin["image"])
    at_its_place = pictures(maps.render(start, [pin["point"]], pin["id"])["images"])
    assert np.abs(own.astype(int) - at_its_place).max() <= 2
    assert np.abs(own.astype(int) - pictures(maps.render(start, [pin["point"]])["images"])).max() > 20
    other = maps.add(FittedMap("other", maps.start.latent_map, maps.start.codes, None, ""))
    with pytest.raises(ValueError, match="no longer on the map"):
        maps.render(other, [[0, 0]], pin["id"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, i: m.render(i, "0,0"), "points are taken"),
        (lambda m, i: m.render(i, []), "Between 1 and 64"),
        (lambda m, i: m.render(i, [[0, 0]] * 65), "got 65"),
        (lambda m, i: m.render(i, [[0, "x"]]), "2 finite numbers"),
        (lambda m, i: m.render(i, [[0, float("nan")]]), "2 finite numbers"),
        (lambda m, i: m.render(i, [[0, True]]), "2 finite numbers"),
        (lambda m, i: m.render(i, [[0, 0, 0]]), "2 finite numbers"),
        (lambda m, i: m.render("../../etc/passwd", [[0, 0]]), "no longer here"),
        (lambda m, i: m.render(None, [[0, 0]]), "no longer here"),
        (lambda m, i: m.render({}, [[0, 0]]), "no longer here"),
        (lambda m, i: m.render(i, [[0, 0]], ["pin"]), "no longer on the map"),
        (lambda m, i: m.grid(i, {"box": [[0, 0], [0, 0]]}), "single point"),
        (lambda m, i: m.grid(i, {"disc": 1}), "box or a polygon"),
        (lambda m, i: m.grid(i, {"box": [[0, 0], [1, 1]]}, 10**9, 2), "between 1 and 20"),
        (lambda m, i: m.grid(i, {"box": [[0, 0], [1, 1]]}, 2.5, 2), "whole number"),
        (lambda m, i: m.grid(i, {"box": [[0, 0], [1, 1]]}, "2", 2), "whole number"),
        (lambda m, i: m.path(i, [[0, 0]]), "Between 2 and 32"),
        (lambda m, i: m.path(i, [[0, 0], [1, 1]], 10**6), "between 2 and 64"),
        (lambda m, i: m.layer(i, "__class__"), "The layers are"),
        (lambda m, i: m.thumbs(i, [2000]), "between 0 and 1999"),
        (lambda m, i: m.thumbs(i, "all"), "codes are asked for"),
        (lambda m, i: m.drawing(i, {"pixels": "%%%"}), "28 x 28 grey pixels"),
        (lambda m, i: m.drawing(i, None), "28 x 28 grey pixels"),
        (lambda m, i: jobs.place_picture(m, i, Image.new("L", (28, 28))), "nothing on this picture"),
    ],
)
def test_what_makes_no_sense_is_answered_with_a_sentence(maps, start, call, message):
    with pytest.raises(ValueError, match=message):
        call(maps, start)


def test_far_away_is_brought_back_to_the_edge(maps, start):
    assert maps.render(start, [[1e9, -1e9]])["points"] == [[1.5, -1.5]]


def test_maps_and_pins_are_bounded_and_the_first_map_stays(f_d, maps):
    few = Maps(maps.start)
    ids = [few.add(FittedMap(str(n), maps.start.latent_map, maps.start.codes, None, "")) for n in range(MOST_MAPS + 3)]
    assert few.get(maps.start.id) is maps.start
    assert few.get(ids[-1]).title == str(MOST_MAPS + 2)
    with pytest.raises(ValueError, match="no longer here"):
        few.get(ids[0])
    pins = [few.pin(maps.start.id, maps.start.codes[:1]).id for _ in range(MOST_PINS + 1)]
    assert len(set(pins)) == MOST_PINS + 1
    with pytest.raises(ValueError, match="no longer on the map"):
        few.render(maps.start.id, [[0, 0]], pins[0])


def test_a_digit_large_off_the_middle_and_black_on_white_is_still_that_digit(f_d):
    apart = []
    for image in f_d.images()[0][:20, 0]:
        small = Image.fromarray((image * 255).byte().numpy())
        sheet = Image.new("L", (200, 150), 0)
        sheet.paste(small.resize((84, 84), Image.Resampling.BICUBIC), (100, 30))
        again = np.asarray(as_digit(Image.eval(sheet, lambda value: 255 - value)), np.float32) / 255
        apart.append(np.abs(again - image.numpy()).mean())
    assert np.median(apart) < 0.05  # two digits of one kind are 0.1 apart


@pytest.mark.parametrize("ink", [(0, 0, 0), (255, 255, 255), (180, 20, 20)])
def test_ink_on_nothing_is_a_digit_whatever_colour_is_hidden(f_d, ink):
    digit = Image.fromarray((f_d.images()[0][0, 0] * 255).byte().numpy()).resize((84, 84))
    drawing = Image.new("RGBA", (150, 150), (*ink, 0))
    drawing.paste(Image.new("RGBA", digit.size, (*ink, 255)), (30, 30), digit)
    assert np.abs(np.asarray(as_digit(drawing), np.float32) / 255 - f_d.images()[0][0, 0].numpy()).mean() < 0.05


# What a visitor sets going.


@pytest.mark.parametrize(
    "name",
    ["", "fives", "module:os", "mnist:/etc", "hub:", "hub:../../etc", "diffusers:/etc", "hub:a/b/../../c", None, 5,
     "file:///etc/passwd", "hub:demos/start"],
)  # fmt: skip
def test_only_names_of_the_hub_and_the_bundled_decoder_are_loaded(name, monkeypatch, tmp_path):
    (tmp_path / "demos" / "start").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"A decoder is|A Hub reference is|come from the Hub"):
        hub.Decoders().get(name)


def test_a_decoder_that_is_kept_is_had_while_everybody_may_have_it(monkeypatch):
    commits, loaded = ["one", "one", "two"], []
    monkeypatch.setattr(hub, "look_up", lambda repo, revision, token: SimpleNamespace(sha=commits.pop(0)))
    monkeypatch.setattr(hub, "load_decoder", lambda name, **options: loaded.append((name, options)) or object())
    decoders = hub.Decoders()
    first, again, newer = (decoders.get("hub:user/name/part@main") for _ in range(3))
    assert first is again is not newer
    options = {"token": False, "most_bytes": 2**31}
    assert loaded == [(f"hub:user/name/part@{commit}", options) for commit in ("one", "two")]
    with pytest.raises(IndexError):  # the Hub's refusal
        decoders.get("hub:user/name/part")


@pytest.mark.parametrize(
    "options",
    [{"image_size": 513}, {"image_size": [64, 8192]}, {"num_frames": 17}, {"latent_shape": [16, 4096, 4096]}],
)
def test_a_decoder_that_would_fill_the_memory_is_refused_before_it_is_loaded(options, monkeypatch, v, tmp_path):
    monkeypatch.setattr(hub, "look_up", lambda *_, **__: pytest.fail("the Hub was asked"))
    with pytest.raises(ValueError, match=r"is at most .* here, got"):
        hub.Decoders().get("diffusers:user/name", **options)
    v = copy.deepcopy(v)
    v.source, v.source_options = "diffusers:user/name", options
    v.save_pretrained(tmp_path / "v")
    monkeypatch.setattr(jobs, "fetch_named", lambda *_: ("user/map", tmp_path / "v"))
    with pytest.raises(ValueError, match=r"is at most .* here, got"):
        jobs.load_map(hub.Decoders(), "user/map")


def test_more_codes_than_the_memory_holds_are_refused_before_they_are_made(v, tmp_path, monkeypatch):
    large = SimpleNamespace(latent_shape=(16, 128, 128), sample=pytest.fail, encode=pytest.fail)
    for source, files in (("prior", None), ("pictures", [tmp_path] * 20_000)):
        with pytest.raises(ValueError, match=r"20,000 codes of shape \(16, 128, 128\) are .* at most 67,108,864"):
            gather_codes(large, source, count=20_000, files=files)
    v.save_pretrained(tmp_path / "v")
    monkeypatch.setattr(jobs, "fetch_named", lambda *_: ("user/map", tmp_path / "v"))
    monkeypatch.setattr(hub, "MOST_VALUES", 199)  # this map has 20 codes of 10 numbers
    with pytest.raises(ValueError, match="20 codes of shape"):
        jobs.load_map(hub.Decoders(), "user/map")


@pytest.mark.parametrize("name", ["", "start", "../start", "/etc", "a/b/c", None])
def test_only_ids_of_the_hub_are_loaded_as_maps(name):
    with pytest.raises(ValueError, match="called user/name"):
        jobs.load_map(hub.Decoders(), name)


def test_every_kind_of_codes_is_gathered(f_d, tmp_path):
    codes, labels = gather_codes(f_d, "examples", labels=[3, 5], count=40)[:2]
    assert set(labels.tolist()) == {3, 5}
    assert codes.shape == (40, 10)
    assert gather_codes(f_d, "prior", count=7)[0].shape == (7, 10)
    np.save(tmp_path / "c.npy", codes.numpy())
    found = gather_codes(f_d, "codes", files=str(tmp_path / "c.npy"))
    assert torch.equal(found.codes, codes)
    assert found.title == "40 codes of c.npy"
    few = gather_codes(f_d, "codes", count=10, files=[str(tmp_path / "c.npy")])
    assert few.title == "10 of 40 codes of c.npy"
    assert (few.codes[:, None] == codes).all(-1).any(1).all()
    assert not torch.equal(few.codes, codes[:10])  # drawn
    Image.new("L", (40, 40), 200).save(tmp_path / "p.png")
    assert gather_codes(f_d, "pictures", files=[tmp_path / "p.png"] * 2)[0].shape == (2, 10)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_uploads_that_are_no_such_thing_are_refused(f_d, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:50])
    Image.new("L", (64, 64)).save(tmp_path / "other.ppm")  # whole, but of no format that is taken
    for name in ("text.png", "cut.png", "other.ppm"):
        with pytest.raises(ValueError, match="cannot be read as a picture"):
            open_picture(tmp_path / name)
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")  # 100 megapixels in a few kilobytes
    (tmp_path / "bomb.png").write_bytes(bomb.getvalue())
    with pytest.raises(ValueError, match="10000 x 10000 pixels"):
        open_picture(tmp_path / "bomb.png")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(TypeError, match=r"pickled\.npy has the dtype object"):
        gather_codes(f_d, "codes", files=tmp_path / "pickled.npy")
    for source, options, message in (
        ("examples", {"labels": [77]}, "no examples"), ("codes", {}, "Upload a file"),
        ("words", {"files": "x"}, "Codes are"),
        ("prior", {"count": 10**6}, "Between 1 and"), ("prior", {"count": 0}, "Between 1 and"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            gather_codes(f_d, source, **options)


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
def test_a_photo_held_sideways_comes_upright(tmp_path, orientation):
    upright = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = upright.transpose(turned[orientation]) if orientation in turned else upright
    exif = Image.Exif()
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(open_picture(tmp_path / "photo.png"), upright)


def test_a_photo_whose_notes_are_damaged_is_told_of(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.XResolution] = 6, 1.5
    Image.new("L", (6, 4)).save(tmp_path / "photo.jpg", exif=exif)
    rational, text = (b"\x01\x1a\0" + kind for kind in (b"\x05", b"\x02"))
    notes = (tmp_path / "photo.jpg").read_bytes().replace(rational, text)  # the resolution, in letters
    (tmp_path / "photo.jpg").write_bytes(notes)
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        open_picture(tmp_path / "photo.jpg")


def test_a_fit_tells_how_far_it_is_and_stops_at_a_word(f_d):
    sixty = gather_codes(f_d, "examples", count=60)
    told = []

    def stop_at_100(step, steps, title):
        if title == "fit":
            told.append((step, steps, title))
        if step == 100:
            raise KeyboardInterrupt

    fitted = jobs.fit_map(f_d, sixty, 2, 0, stop_at_100)
    assert (told[0][0], told[0][2]) == (1, "fit")
    assert told[0][1] > 100
    assert [step for step, _, title in told if title == "fit"] == list(range(1, 101))
    assert "Stopped early" in fitted.text
    assert fitted.latent_map.v.points.abs().max() <= 1.001


def test_what_is_kept_is_what_is_shown_and_loads_again(maps, start, f_d, tmp_path):
    own = maps.pin(start, f_d.examples(count=1)[0])
    corners = [[0, 0], [0.4, 0.4], [0.4, -0.4]]
    shown = {
        "region": {"polygon": corners}, "rows": 3, "cols": 4, "path": corners, "frames": 7, "pin": own.id,
        "pins": [{"point": [0.1, 0.2], "pin": None}, {"point": own.point, "pin": own.id}],
    }  # fmt: skip
    files = jobs.pack(maps.start, {"id": start, "shown": shown}, maps, tmp_path)
    names = [file.rsplit("/", 1)[1] for file in files]
    kinds = ("grid.png", "grid-codes.safetensors", "path.gif", "path-codes.safetensors", "path.mp4")
    assert names == ["v.zip", *kinds, "pins.png", "pins-codes.safetensors"]
    folder = files[0].removesuffix(".zip") + "-again"
    with zipfile.ZipFile(files[0]) as archive:
        archive.extractall(folder)
    assert torch.equal(VizAE.from_pretrained(folder + "/v").points, maps.start.latent_map.v.points)
    expected = maps.grid_plan(start, {"polygon": corners}, 3, 4, own.id).samples()
    assert torch.allclose(load_file(files[2])["codes"], expected.codes, atol=1e-5)
    assert len(expected) == 12
    with Image.open(files[3]) as animation:
        assert animation.n_frames == 7
    assert torch.allclose(load_file(files[-1])["codes"][1], own.code[0])


def test_what_is_stopped_while_it_is_packed_keeps_the_files_that_are_whole(maps, start, tmp_path):
    box, told = {"box": [[-0.5, -0.5], [0.5, 0.5]]}, []
    shown = {"region": box, "rows": 2, "cols": 3, "path": box["box"], "frames": 5, "pace": "linear"}

    def progress(step, steps, title):
        told.append((step, steps))
        if step > 6:
            raise KeyboardInterrupt

    files = jobs.pack(maps.start, {"id": start, "shown": shown}, maps, tmp_path, progress=progress)
    assert [file.rsplit("/", 1)[1] for file in files] == ["v.zip", "grid.png", "grid-codes.safetensors"]
    assert told[-1] == (11, 11)
    told.clear()
    even = {**shown, "pace": "constant"}  # for which many images are looked at
    files = jobs.pack(maps.start, {"id": start, "shown": even}, maps, tmp_path, progress=progress)
    assert len(files) == 3
    assert told == [(6, 86), (7, 86)]
    jobs.pack(maps.start, {"id": start, "shown": even}, maps, tmp_path, progress=lambda *now: told.append(now[:2]))
    assert told[-1] == (86, 86)
    assert told[2:] == sorted(told[2:])


def test_the_certificate_of_a_slow_decoder_says_how_far_it_is_and_is_stopped(maps):
    v, f_d = maps.start.latent_map.v, maps.start.latent_map.decoder

    def slow(codes):
        time.sleep(0.05 * len(codes))
        return f_d(codes)

    def progress(step, steps, title):
        told.append((step, steps))
        if len(told) > 2:
            raise KeyboardInterrupt

    told = []
    fitted = FittedMap("slow", LatentMap(v, slow), maps.start.codes, None, "")
    assert jobs.trust(fitted, progress) is None
    assert 0 < told[-1][0] < told[-1][1]


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "all",
        {},
        {"region": None, "path": None, "pins": []},
        {"region": {"box": [[0, 0], [1, 1]]}},
    ],
)
def test_of_another_map_or_of_nothing_only_the_map_is_kept(maps, shown, tmp_path):
    files = jobs.pack(maps.start, {"id": "another", "shown": shown}, maps, tmp_path)
    assert [file.rsplit("/", 1)[1] for file in files] == ["v.zip"]


@pytest.mark.parametrize(
    "pins", [{}, "x", [1], [{}], [{"point": [0, 0], "pin": "nobody"}], [{"point": ["a", 0]}], [{"point": [0, 0]}] * 65]
)
def test_pins_that_make_no_sense_are_refused(maps, start, pins):
    with pytest.raises(ValueError, match=r"pins|pin|point"):
        maps.pins_plan(start, pins)


def test_what_was_prepared_stays_only_where_gradio_removes_it(tmp_path):
    pytest.importorskip("gradio")
    code = """
import asyncio
from types import SimpleNamespace
from latent_vizae.demos import page
demo = page.build()
start = next(block for block in demo.blocks.values() if block.elem_id == "lv").value["id"]
prepare = next(event.fn for event in demo.fns.values() if event.name == "pack_")
visitor = SimpleNamespace(session_hash="")
print(*asyncio.run(prepare(start, {}, "", visitor)), demo.delete_cache)
"""
    folders = {name: tmp_path / name for name in ("TMPDIR", "GRADIO_TEMP_DIR")}
    folders["TMPDIR"].mkdir()
    environment = {**os.environ, **{name: str(folder) for name, folder in folders.items()}}
    done = run_code(code, environment)
    file, _, removing = done.stdout.strip().partition(" ")
    assert zipfile.is_zipfile(file), done.stderr
    assert Path(file).is_relative_to(folders["GRADIO_TEMP_DIR"])
    assert removing == "(3600, 86400)"
    assert not list(folders["TMPDIR"].rglob("*.zip"))


def test_the_certificate_comes_in_plain_words(maps):
    words = jobs.trust_in_words(jobs.trust(maps.start, lambda *_: None))
    assert "**holds**" in words
    assert "**cannot hold**" in words
