"""Pictures as people have them: transparent, deep, turned, animated, in pairs and loaders, beside files of a Mac."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from latent_vizae import encode_images


class Pixels:
    """Codes are the pixels themselves."""

    def __init__(self, *image_shape):
        self.image_shape = image_shape or None

    def encode(self, images):
        return images.flatten(1)


GREY, COLOUR = Pixels(1, 4, 4), Pixels(3, 4, 4)
SQUARE = torch.zeros(4, 4)
SQUARE[1:3, 1:3] = 1


def square_on_nothing(hidden=(255, 255, 255), seen=(255, 255, 255)):
    picture = Image.new("RGBA", (4, 4), (*hidden, 0))
    ImageDraw.Draw(picture).rectangle((1, 1, 2, 2), (*seen, 255))
    return picture


def with_one_transparent_colour(mode, picture):
    """The white square, with black as the colour that is not seen."""
    plain = Image.new("L", (4, 4), 0)
    ImageDraw.Draw(plain).rectangle((1, 1, 2, 2), 255)
    plain = plain.convert(mode)
    file = io.BytesIO()
    plain.save(file, "PNG", transparency={"RGB": (0, 0, 0)}.get(mode, 0))
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("how", ["image", "file", "array", "palette", "grey and alpha", "premultiplied"])
@pytest.mark.parametrize("decoder", [GREY, COLOUR])
def test_colours_under_transparent_parts_are_not_seen(tmp_path, how, decoder):
    picture = square_on_nothing()
    picture.save(tmp_path / "a.png")
    given = {
        "image": picture, "file": tmp_path / "a.png", "array": np.asarray(picture), "palette": picture.quantize(4),
        "grey and alpha": picture.convert("LA"), "premultiplied": picture.convert("RGBa"),
    }[how]  # fmt: skip
    channels = decoder.image_shape[0]
    with pytest.warns(UserWarning, match=r"1 \(.*\) have transparent parts, which are put on #000000"):
        assert torch.equal(encode_images(decoder, [given]), SQUARE.flatten().repeat(1, channels))
    with pytest.warns(UserWarning, match="put on #ffffff.*show nothing but #ffffff"):  # white on white
        assert torch.equal(encode_images(decoder, [given], background="white"), torch.ones(1, 16 * channels))


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_one_transparent_colour_of_a_png_is_not_seen(mode):
    with pytest.warns(UserWarning, match="put on #ff0000"):
        codes = encode_images(COLOUR, [with_one_transparent_colour(mode, SQUARE)], background=(255, 0, 0))
    assert torch.equal(codes.view(3, 4, 4)[0], torch.ones(4, 4))
    assert torch.equal(codes.view(3, 4, 4)[1], SQUARE)


def test_what_vanishes_on_the_background_is_said(tmp_path):
    square_on_nothing(seen=(0, 0, 0)).save(tmp_path / "ink.png")
    square_on_nothing().save(tmp_path / "light.png")
    with pytest.warns(UserWarning, match=r"2 \(ink.png, light.png\) have .* 1 \(ink.png\) show nothing but #000000"):
        encode_images(GREY, tmp_path)
    with pytest.raises(ValueError, match="background is the name of a colour"):
        encode_images(GREY, tmp_path, background="nothing")


def test_a_decoder_of_four_channels_gets_the_transparency():
    codes = encode_images(Pixels(4, 4, 4), [square_on_nothing(), Image.new("L", (4, 4), 255), torch.ones(1, 4, 4)])
    assert torch.equal(codes[0].view(4, 4, 4)[3], SQUARE)
    assert torch.equal(codes[1:], torch.ones(2, 64))


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("decoder", [GREY, COLOUR])
def test_pictures_of_16_bits_keep_them(tmp_path, ending, decoder):
    values = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4369
    Image.fromarray(values).save(tmp_path / f"a.{ending}")
    wanted = torch.from_numpy(values.astype(np.float32) / 65535).flatten().repeat(1, decoder.image_shape[0])
    for given in (tmp_path, [tmp_path / f"a.{ending}"], [Image.fromarray(values)], [values], values[None, None]):
        with pytest.warns(UserWarning, match="have 16 bits, of which 65535 is taken as white"):
            assert torch.allclose(encode_images(decoder, given), wanted)


def test_cmyk_is_converted_by_its_profile(tmp_path, monkeypatch):
    cyan = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    assert encode_images(COLOUR, [cyan])[0, [0, 16, 32]].tolist() == [0, 1, 1]
    cyan.save(tmp_path / "a.tif", icc_profile=b"no profile")
    assert encode_images(COLOUR, tmp_path)[0, [0, 16, 32]].tolist() == [0, 1, 1]
    with monkeypatch.context() as patched:  # no profile of CMYK is free to ship
        patched.setattr("PIL.ImageCms.ImageCmsProfile", lambda file: file.read())
        patched.setattr(
            "PIL.ImageCms.profileToProfile",
            lambda picture, source, target, outputMode: Image.new(outputMode, picture.size, (0, 51, len(source))),
        )
        assert encode_images(COLOUR, tmp_path)[0, [0, 16, 32]].tolist() == pytest.approx([0, 0.2, 10 / 255])
    lab = Image.new("LAB", (4, 4), (255, 128, 128))  # white
    assert encode_images(COLOUR, [lab]).min() > 0.98


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path, ending):
    frames = [Image.new("L", (4, 4), value) for value in (255, 0, 0)]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=rf"1 \(a.{ending}\) have several frames, of which the first"):
        assert encode_images(GREY, tmp_path).min() > 0.98


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_a_turned_photograph_stands_upright_in_each_format(tmp_path, ending):
    exif, wide = Image.Exif(), Image.new("L", (8, 4), 0)
    exif[0x0112] = 6
    ImageDraw.Draw(wide).rectangle((0, 0, 3, 3), 255)  # light on the left: upright, on top
    wide.save(tmp_path / f"a.{ending}", exif=exif)
    codes = encode_images(Pixels(1, 8, 4), tmp_path).view(8, 4)
    assert codes[:3].mean() > 0.9
    assert codes[5:].mean() < 0.1


class Pairs(Dataset):
    """As torchvision's: pairs, no __iter__, no IndexError at its end."""

    def __init__(self, pictures, tensors=False):
        self.pictures, self.tensors = pictures, tensors

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, number):
        picture = self.pictures[number % len(self)]
        return (torch.from_numpy(np.array(picture))[None] / 255 if self.tensors else picture), number % 3


@pytest.mark.parametrize("out", [None, "codes.safetensors", "codes"])
def test_datasets_pairs_and_loaders_of_torch_are_taken(tmp_path, out):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(7)]
    pictures = [Image.fromarray(array) for array in arrays]
    wanted = encode_images(GREY, pictures)
    plain, tensors = Pairs(pictures), Pairs(pictures, True)
    indexed = [plain, tensors, [plain[n] for n in range(7)], list(zip(arrays, "abcdefg", strict=True))]
    loaders = [
        DataLoader(tensors, batch_size=3), DataLoader([tensors[n][0] for n in range(7)], batch_size=3),
        DataLoader([{"label": n, "image": tensors[n][0]} for n in range(7)], batch_size=3),
        DataLoader(pictures, batch_size=3, collate_fn=list), (tensors[n] for n in range(7)),
    ]  # fmt: skip
    for number, given in enumerate(indexed + ([] if out == "codes" else loaders)):
        path = None if out is None else tmp_path / str(number) / out
        if path is not None:
            path.parent.mkdir()
        codes = encode_images(GREY, given, 2, out=path)
        if path is not None:
            codes = load_file(path if path.is_file() else next(path.glob("*.safetensors")))["codes"]
        assert torch.allclose(codes, wanted, atol=1e-6), number
    if out == "codes":
        with pytest.raises(TypeError, match="DataLoader can be read only once"):
            encode_images(GREY, loaders[0], out=tmp_path / "loader")


def test_which_picture_of_an_item_is_asked_where_there_are_two():
    picture = Image.new("L", (4, 4))
    with pytest.raises(ValueError, match=r"holds 2 pictures; which one\? Give \(item\[0\]"):
        encode_images(GREY, [(picture, picture)])


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_channels_may_be_last(kind):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), np.uint8)
    wanted = encode_images(Pixels(), np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    assert torch.equal(encode_images(Pixels(), kind(images)), wanted)
    assert torch.equal(encode_images(Pixels(), list(kind(images))), wanted)
    assert torch.equal(encode_images(Pixels(3, 8, 6), iter([kind(images[:2]), kind(images[2:])])), wanted)


@pytest.fixture
def album(tmp_path):
    """Two classes, and what a Mac, Windows and a telephone put beside them."""
    for name, value in (("cat/b.png", 0), ("cat/a.PNG", 50), ("dog, big/x.jpeg", 200)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), value).save(tmp_path / name)
    for name in ("cat/._b.png", "cat/.DS_Store", "Thumbs.db", "__MACOSX/cat/b.png", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    return tmp_path


NAMES = ["cat/a.PNG", "cat/b.png", "dog, big/x.jpeg"]


def test_what_systems_put_beside_pictures_is_passed_over(album):
    assert encode_images(GREY, album)[:, 0].tolist() == pytest.approx([50 / 255, 0, 200 / 255], abs=0.01)


def test_files_that_are_no_pictures_are_mentioned_by_name_and_number(album):
    for name in ("IMG_1.HEIC", "cat/IMG_2.heic", "notes.txt", "README"):
        (album / name).write_bytes(b"ftypheic")
    with pytest.warns(UserWarning, match=r"Passed over .*: 2 \.heic, .*1 \.txt.* \(IMG_1.HEIC, .*IMG_2.heic"):
        assert len(encode_images(GREY, album)) == 3
    shutil.rmtree(album / "cat")
    (album / "dog, big" / "x.jpeg").unlink()
    with pytest.raises(ValueError, match=r"holds no pictures \(.*\)\. It holds 1 \.heic"):
        encode_images(GREY, album)


def test_rows_have_the_names_of_their_files(album, tmp_path_factory):
    out = tmp_path_factory.mktemp("codes")
    encode_images(GREY, album, out=out / "shards", unit_size=2)
    manifest = json.loads((out / "shards" / "manifest.json").read_text())
    assert [unit["files"] for unit in manifest["units"]] == [NAMES[:2], NAMES[2:]]
    encode_images(GREY, album, out=out / "shards", unit_size=2)  # the finished work again
    assert json.loads((out / "shards" / "manifest.json").read_text()) == manifest
    encode_images(GREY, [album / name for name in NAMES], out=out / "c.safetensors")
    with safe_open(out / "c.safetensors", "pt") as file:
        assert json.loads(file.metadata()["files"]) == [str(album / name) for name in NAMES]


def test_subfolders_are_classes(album, tmp_path_factory):
    out, classes = tmp_path_factory.mktemp("codes"), ["cat", "cat", "dog, big"]
    codes, labels = encode_images(GREY, album, labels="folder")
    assert labels == classes
    assert torch.equal(codes, encode_images(GREY, album))
    assert encode_images(GREY, [album / name for name in NAMES], labels="folder")[1] == classes
    encode_images(GREY, album, labels="folder", out=out / "shards")
    assert json.loads((out / "shards" / "manifest.json").read_text())["units"][0]["labels"] == classes
    Image.new("L", (4, 4)).save(album / "z.png")
    with pytest.raises(ValueError, match=r"subfolder of a picture as its class; z\.png lies in"):
        encode_images(GREY, album, labels="folder")
    with pytest.raises(ValueError, match="needs pictures in files"):
        encode_images(GREY, [Image.new("L", (4, 4))], labels="folder")
    with pytest.raises(ValueError, match="labels is 'folder'"):
        encode_images(GREY, album, labels="cat")


def test_many_names_make_a_long_header(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    files = [tmp_path / "a.png"] * 300
    encode_images(GREY, files, out=tmp_path / "c.safetensors")
    with safe_open(tmp_path / "c.safetensors", "pt") as file:
        assert json.loads(file.metadata()["files"]) == list(map(str, files))
        assert file.get_tensor("codes").shape == (300, 16)


def test_a_shards_folder_of_an_earlier_version_gets_its_names(album, tmp_path_factory):
    out = tmp_path_factory.mktemp("codes") / "shards"
    encode_images(GREY, album, out=out)
    manifest = Path(out / "manifest.json")
    document = json.loads(manifest.read_text())
    for unit in document["units"]:
        del unit["files"]
    manifest.write_text(json.dumps(document, indent=1) + "\n")
    encode_images(GREY, album, out=out)
    assert json.loads(manifest.read_text())["units"][0]["files"] == NAMES
