"""Own pictures to codes: every kind of picture, in memory and to a file."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import interpolate

from latent_vizae import encode_images


class Means:
    """Codes are the means of the rows of an image; it notes the batches it saw."""

    def __init__(self, image_shape=(1, 4, 6)):
        self.image_shape, self.seen = image_shape, []

    def encode(self, images):
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        self.seen.append(tuple(images.shape))
        return images.mean((1, 3))


def pixels(count, *shape):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for number, image in enumerate(pixels(7, 4, 6)):
        Image.fromarray(image).save(tmp_path / ("sub" if number > 4 else "") / f"{number}.png")
    (tmp_path / "._0.png").write_bytes(b"\0\5\x16\7 of a Mac")
    (tmp_path / ".DS_Store").write_bytes(b"of a Mac")
    return tmp_path


def test_bytes_floats_files_and_pil_images_are_the_same_pictures(folder):
    images = pixels(7, 4, 6)
    wanted = torch.from_numpy(images).float().mean(2) / 255
    for given in (
        images[:, None], torch.from_numpy(images)[:, None], images[:, None].astype(np.float64) / 255,
        [Image.fromarray(image) for image in images], list(images), folder, str(folder),
        [folder / f"{number}.png" for number in range(5)] + [folder / "sub" / f"{number}.png" for number in (5, 6)],
        ({"label": 1, "image": Image.fromarray(image)} for image in images),
        [torch.from_numpy(image)[None] for image in images],
    ):  # fmt: skip
        codes = encode_images(Means(), given, batch_size=3)
        assert codes.dtype == torch.float32
        assert torch.allclose(codes, wanted, atol=1e-6)


def test_batches_are_bounded_and_the_last_one_is_short(folder):
    decoder = Means()
    encode_images(decoder, folder, batch_size=3)
    assert decoder.seen == [(3, 1, 4, 6), (3, 1, 4, 6), (1, 1, 4, 6)]


def test_only_one_batch_is_read_at_a_time():
    taken = []

    def stream():
        for number in range(100):
            taken.append(number)
            yield Image.fromarray(pixels(1, 4, 6)[0])

    class Watching(Means):
        def encode(self, images):
            assert len(taken) % 5 == 0
            assert len(taken) <= len(self.seen) * 5 + 5
            return super().encode(images)

    assert encode_images(Watching(), stream(), batch_size=5).shape == (100, 4)


def test_a_file_of_codes_is_the_same_and_appears_whole(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("codes")
    out = encode_images(Means(), folder, batch_size=2, out=place / "codes.safetensors")
    assert torch.equal(load_file(out)["codes"], encode_images(Means(), folder))

    class Failing(Means):
        def encode(self, images):
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().encode(images)

    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        encode_images(Failing(), folder, batch_size=2, out=out)
    assert out.read_bytes() == before
    assert [path.name for path in place.iterdir()] == ["codes.safetensors"]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_and_sizes_are_brought_to_the_decoders(channels):
    tall, wide = Image.new("RGB", (10, 30), (255, 0, 0)), Image.new("L", (40, 8), 255)
    decoder = Means((channels, 4, 6))
    codes = encode_images(decoder, [tall, wide, Image.new("RGBA", (6, 4), (9, 9, 9, 255)), Image.new("1", (6, 4))])
    assert decoder.seen == [(4, channels, 4, 6)]
    assert torch.allclose(codes[1], torch.ones(4), atol=1e-5)


def test_a_picture_is_cropped_around_its_middle():
    image = np.zeros((4, 12), np.uint8)
    image[:, 3:9] = 255
    assert torch.allclose(encode_images(Means(), [image]), torch.ones(1, 4))


def test_nonsense_about_orientation_is_passed_over(tmp_path):
    image = Image.fromarray(pixels(1, 4, 6)[0])
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0junk junk junk")
    wanted = encode_images(Means(), [image])
    assert torch.allclose(encode_images(Means(), tmp_path), wanted, atol=0.05)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert torch.allclose(encode_images(Means(), [opened.copy()]), wanted, atol=0.05)


@pytest.mark.parametrize("size", [(4000, 1), (1, 4000)])
def test_a_strip_is_never_scaled_beyond_the_decoders_size(monkeypatch, size):
    made = []

    def noted(*inputs, **named):
        made.append(interpolate(*inputs, **named).shape)
        return interpolate(*inputs, **named)

    monkeypatch.setattr("latent_vizae.inputs.images.interpolate", noted)
    assert encode_images(Means((1, 64, 96)), [Image.new("L", size, 255)]).allclose(torch.ones(1, 64))
    assert made == [(1, 1, 64, 96)]


def test_a_photograph_stands_upright_as_a_file_and_as_an_image(tmp_path):
    image, exif = Image.fromarray(pixels(1, 6, 4)[0]), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "a.png", exif=exif)
    wanted = encode_images(Means(), [image.rotate(-90, expand=True)])
    with Image.open(tmp_path / "a.png") as opened:
        for given in (tmp_path / "a.png", opened):
            assert torch.equal(encode_images(Means(), [given]), wanted)


def test_the_bundled_decoder_knows_digits_from_files(f_d, tmp_path):
    images, _ = f_d.images()
    for number, image in enumerate(images[:5, 0]):
        Image.fromarray((image * 255).byte().numpy()).resize((56, 56)).save(tmp_path / f"{number}.jpg")
    codes = encode_images(f_d, tmp_path)
    assert (f_d(codes) - images[:5]).square().mean() < 0.03


def test_a_real_dataset_is_taken(f_d):
    datasets = pytest.importorskip("datasets")
    images, labels = f_d.images()
    rows = {"label": labels[:4].tolist(), "image": [Image.fromarray(i) for i in (images[:4, 0] * 255).byte().numpy()]}
    kinds = datasets.Features({"label": datasets.Value("int64"), "image": datasets.Image()})
    data = datasets.Dataset.from_dict(rows, features=kinds)
    assert torch.allclose(encode_images(f_d, data), encode_images(f_d, images[:4]), atol=1e-2)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "no pictures"),
        (np.zeros((0, 1, 4, 6)), ValueError, "no pictures"),
        (np.zeros((4, 6)), ValueError, r"\(B, C, H, W\), got \(4, 6\)"),
        (np.full((1, 1, 4, 6), 7.0), ValueError, r"lie in \[0, 1\], got \[7, 7\]"),
        (np.full((1, 1, 4, 6), np.nan), ValueError, r"lie in \[0, 1\]"),
        ([np.zeros((4, 6))], TypeError, "holds bytes"),
        ([np.zeros((4, 6, 7), np.uint8)], TypeError, "not a picture"),
        (["missing.png"], ValueError, "missing.png cannot be read"),
        ("nowhere", FileNotFoundError, "There is no folder nowhere"),
        (7, TypeError, "got int"),
        ([7], TypeError, "got int"),
        (b"bytes", TypeError, "got bytes"),
        ([{"label": 3}], ValueError, "pass column=, one of label"),
        ([Image.new("F", (6, 4))], ValueError, "mode F"),
        ([torch.zeros(3, 4, 6)], ValueError, "have 1 channels, this one has 3"),
    ],
)
def test_what_is_no_picture_is_named(images, error, message):
    with pytest.raises(error, match=message):
        encode_images(Means(), images)


def test_a_damaged_file_is_named_and_nothing_is_written(folder):
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"3\.png cannot be read as a picture"):
        encode_images(Means(), folder, out=folder / "codes.safetensors")
    assert not list(folder.glob("*codes*"))
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        encode_images(Means(), folder / "empty")


def test_other_mistakes_are_named(folder):
    with pytest.raises(ValueError, match="has no encode"):
        encode_images(lambda z: z, folder)
    with pytest.raises(ValueError, match="batch_size"):
        encode_images(Means(), folder, batch_size=0)
    with pytest.raises(ValueError, match=r"\.safetensors file, got codes\.npy"):
        encode_images(Means(), folder, out="codes.npy")
    with pytest.raises(ValueError, match="have no column 'picture'; they have image"):
        encode_images(Means(), [{"image": Image.new("L", (6, 4))}], column="picture")
    with pytest.raises(ValueError, match="one size are needed"):
        encode_images(Means(None), [Image.new("L", (6, 4)), Image.new("L", (7, 4))])


def test_pictures_of_one_size_are_needed_across_batches_too(tmp_path):
    images = [torch.rand(1, 4, 6), torch.rand(1, 5, 6)]
    for out in (None, tmp_path / "codes.safetensors", tmp_path / "codes"):
        with pytest.raises(ValueError, match=r"one size are needed.*number 1 .*\(1, 5, 6\), the first \(1, 4, 6\)"):
            encode_images(Means(None), images, 1, out=out, **({"unit_size": 1} if out == tmp_path / "codes" else {}))
    assert not (tmp_path / "codes.safetensors").exists()
    assert [file.name for file in (tmp_path / "codes").glob("*.safetensors")] == ["codes-00000-of-00002.safetensors"]


def test_codes_of_one_shape_are_needed(tmp_path):
    class Growing(Means):
        def encode(self, images):
            self.seen.append(None)
            return torch.zeros(len(images), 2 + len(self.seen))

    with pytest.raises(ValueError, match=r"codes of two shapes, \(3,\) and \(4,\)"):
        encode_images(Growing(), pixels(4, 4, 6)[:, None], 2, out=tmp_path / "codes.safetensors")
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_works_in_place_leaves_the_pictures_alone():
    class InPlace(Means):
        def encode(self, images):
            return super().encode(images.mul_(0.5))

    images = torch.rand(3, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    codes = encode_images(InPlace(), images)
    assert torch.equal(images, before)
    assert torch.allclose(codes, before.mean((1, 3)) / 2)
