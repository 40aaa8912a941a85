"""Bad input: a ValueError or TypeError that says what was asked and what arrived, and nothing is written."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latent_vizae import LatentMap, certify, fit

CODES = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
NAN, INF = float("nan"), float("inf")


def squares(z):
    return z.flatten(1)[:, :4].sigmoid().reshape(-1, 1, 2, 2)


def spoiled(value, *rows):
    codes = CODES.clone()
    codes[list(rows), 1] = value
    return codes


def fail(_):
    raise RuntimeError("out of memory")


class Shaped:
    latent_shape = (4, 8, 8)

    def __call__(self, z):
        return squares(z)


@pytest.fixture(scope="module")
def v():
    return fit(CODES, decoder=squares)


@pytest.fixture(scope="module")
def m(v):
    return LatentMap(v, squares)


@pytest.fixture
def nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


pytestmark = pytest.mark.usefixtures("nothing_is_written")


def refused(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error
    assert len(str(caught.value)) > 20


# (name, codes, error, what the message says)
BAD_CODES = [
    ("none", None, TypeError, "real numbers, got NoneType"),
    ("no codes", torch.empty(0, 6), ValueError, r"at least one code is needed, got .*\(0, 6\)"),
    ("an empty list", [], ValueError, r"got \(0,\)"),
    ("no values", torch.empty(3, 0), ValueError, r"\(3, 0\)"),
    ("no values in a stream", lambda: iter([np.zeros((20, 0))]), ValueError, r"\(20, 0\)"),
    ("an empty stream", iter([]), ValueError, "stream of batches was empty"),
    ("NaN", spoiled(NAN, 3, 7), ValueError, r"2 of 20 rows hold NaN or infinity \(rows 3, 7\)"),
    ("infinity", spoiled(-INF, 5), ValueError, r"1 of 20 rows .*\(rows 5\)"),
    ("much NaN", CODES * NAN, ValueError, r"20 of 20 rows .*\(rows 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\)"),
    ("too large", CODES.double() * 1e300, ValueError, r"20 of 20 rows|up to 3\.4e38"),
    ("NaN in a stream", lambda: iter([CODES, spoiled(NAN, 2)]), ValueError, r"1 of 40 rows .*\(rows 22\)"),
    ("one code", CODES[0], ValueError, r"got \(6,\).*One code is a batch of 1"),
    ("a number", 3.0, ValueError, r"got \(\)"),
    ("a word", "mnist", TypeError, "real numbers, got str"),
    ("bytes", b"codes", TypeError, "real numbers, got bytes"),
    ("words", [["a", "b"]], TypeError, "real numbers, got list of dtype <U1"),
    ("objects", np.array([[object(), 1]]), TypeError, "dtype object"),
    ("a dictionary", {"codes": CODES}, TypeError, "got dict"),
    ("dates", np.zeros((3, 2), "datetime64[D]"), TypeError, "datetime64"),
    ("fields", np.zeros(3, [("a", "f4"), ("b", "U2")]), TypeError, r"this column is not: 'b'"),
    ("complex", CODES + 0j, TypeError, "complex64"),
    ("complex array", CODES.numpy() + 0j, TypeError, "complex64"),
    ("ragged", [[1.0, 2.0], [3.0]], ValueError, r"row 1 has the shape \(1,\), others \(2,\)"),
    ("ragged tensors", [CODES[0], CODES[0, :3]], ValueError, r"different shapes: \(3,\), \(6,\)"),
    ("ragged stream", lambda: iter([CODES, CODES[:, :3]]), ValueError, r"\(20, 3\), \(20, 6\)"),
    ("a stream of codes", lambda: iter(CODES), ValueError, r"batches \(B, \*latent_shape\).*got \(6,\)"),
    ("a stream of pairs", lambda: iter([(CODES, 3)]), ValueError, r"several things.*item\[0\] for item in stream"),
    ("a dict", {"codes": CODES}, TypeError, r"got dict with the keys .*codes.*Give one of its values"),
    ("a stream of dicts", lambda: iter([{"codes": CODES}]), TypeError, "got dict with"),
    ("a stream of words", lambda: iter(["a"]), TypeError, "got str"),
    ("a set", {1.0, 2.0}, ValueError, r"batches .* got \(\)"),
    ("masked", np.ma.masked_greater(CODES.numpy(), 1), ValueError, "masked values"),
    ("meta", CODES.to("meta"), TypeError, "on meta"),
    ("nested", torch.nested.nested_tensor(list(CODES), layout=torch.jagged), TypeError, "Pad it"),
]  # fmt: skip
ROUNDED_AWAY = [
    ("large numbers", CODES.double() + 1e9, ValueError, r"of the variance of codes are lost\. Subtract the mean"),
    ("whole numbers", torch.arange(120).reshape(20, 6) + 10**9, ValueError, "of the variance of codes are lost"),
    ("beyond float32", CODES.double().numpy() * 1e100, ValueError, r"up to 3\.4e38; codes reaches .*e\+100"),
    ("a list of large numbers", (CODES.double() + 1e9).tolist(), ValueError, "of the variance of codes are lost"),
    ("tensors of large numbers", list(CODES.double() + 1e9), ValueError, "of the variance of codes are lost"),
    ("a stream of complex numbers", lambda: iter([CODES.numpy() + 0j] * 2), TypeError, "complex64"),
    ("a stream of objects", lambda: iter([np.full((20, 6), "a", object)]), TypeError, "dtype object"),
    ("a stream on meta", lambda: iter([CODES.double().to("meta")]), TypeError, "on meta"),
    ("a stream of large ones", lambda: iter([CODES.double() + 1e9]), ValueError, "of the variance of codes are lost"),
]  # fmt: skip
WRONG_WIDTH = [
    ("narrow", CODES[:, :3], ValueError, r"\(k, 6\), got \(20, 3\)"),
    ("shaped", CODES.reshape(20, 2, 3), ValueError, r"got \(20, 2, 3\)\..*\.reshape\(\(-1, 6\)\)"),
]


def table(rows):
    return pytest.mark.parametrize(
        ("given", "error", "message"), [row[1:] for row in rows], ids=[row[0] for row in rows]
    )


def made(given):
    return given() if callable(given) else given


@table(BAD_CODES + ROUNDED_AWAY)
def test_fit_refuses_codes(given, error, message):
    refused(lambda: fit(made(given)), error, message)


@table(BAD_CODES + WRONG_WIDTH)
def test_encode_refuses_codes(v, given, error, message):
    refused(lambda: v.encode(made(given)), error, message)


def test_one_shaped_code_is_told_from_a_batch():
    v = fit(CODES.reshape(20, 2, 3), hidden=())
    refused(lambda: v.encode(torch.zeros(2, 3)), ValueError, r"One code is a batch of 1: codes\[None\]")


@table([row for row in BAD_CODES if row[0] != "none"] + WRONG_WIDTH)
def test_residuals_and_certificates_refuse_codes(v, given, error, message):
    refused(lambda: v.decode(v.points, residual_of=made(given)), error, message)
    refused(lambda: certify(v, codes=made(given)), error, message)
    refused(lambda: certify(v, decoder=squares, codes=made(given)), error, message)


@pytest.mark.parametrize("count", [2, 19, 21])
def test_residuals_are_one_or_one_per_point(v, count):
    codes = CODES.repeat(2, 1)[:count]
    refused(lambda: v.decode(v.points, residual_of=codes), ValueError, f"20 points, got {count} codes")


FIT = [
    ("dim 0", {"dim": 0}, ValueError, "dim is 1, 2 or 3.*got 0"),
    ("dim 4", {"dim": 4}, ValueError, "dim is 1, 2 or 3.*got 4"),
    ("dim -1", {"dim": -1}, ValueError, "got -1"),
    ("dim 2.0", {"dim": 2.0}, TypeError, r"dim .*got 2\.0"),
    ("dim true", {"dim": True}, TypeError, "dim .*got True"),
    ("dim word", {"dim": "2"}, TypeError, "dim .*got '2'"),
    ("dim beyond n", {"codes": CODES[:, :1], "dim": 2}, ValueError, "dim=2 needs .* 2 values, these have 1"),
    ("few labels", {"labels": [1, 2]}, ValueError, r"20 codes came with labels of shape \(2,\)"),
    ("labels in rows", {"labels": np.zeros((20, 1), int)}, ValueError, r"\(20, 1\)"),
    ("fractions as labels", {"labels": [0.5] * 20}, ValueError, "whole numbers or words, got 0.5"),
    ("labels missing", {"labels": [None] * 20}, ValueError, "all missing"),
    ("labels ragged", {"labels": [[1], [1, 2]]}, ValueError, r"20 codes came with labels of shape \(2,\)"),
    ("labels of objects", {"labels": [object()] * 20}, TypeError, "whole numbers or words.*got object"),
    ("labels of lists", {"labels": [[1]] * 19 + [[1, 2]]}, TypeError, "got list"),
    ("complex labels", {"labels": [1j] * 20}, TypeError, "whole numbers or words.*complex"),
    ("labels nowhere", {"labels": "nowhere"}, FileNotFoundError, "no file nowhere"),
    ("endless words", {"labels": ["x" * 50_000 + str(n) for n in range(20)]}, ValueError, "20 different words"),
    ("labels too large", {"labels": np.full(20, 2**63, np.uint64)}, ValueError, "64 bits"),
    ("decoder by name", {"decoder": "mnist"}, TypeError, r"callable.*got str.*load_decoder\('mnist'\)"),
    ("decoder raises", {"decoder": fail}, ValueError, r"raised RuntimeError .*\(1, 6\): out of memory"),
    ("decoder of arrays", {"decoder": lambda z: squares(torch.from_numpy(z.astype("f4")))}, ValueError, "from_numpy"),
    ("decoder of arrays times z", {"decoder": lambda z: np.ones((4, 6)) * z}, ValueError, "from_numpy"),
    ("decoder of another shape", {"decoder": Shaped()}, ValueError, r"\(4, 8, 8\); here they have \(6,\)"),
    ("decoder makes no images", {"decoder": lambda z: z}, ValueError, r"\(B, C, H, W\).*returned shape \(1, 6\)"),
    ("decoder makes nothing", {"decoder": lambda z: None}, ValueError, "returned NoneType"),
    ("decoder out of range", {"decoder": lambda z: 255 * squares(z)}, ValueError, r"\[0, 1\]; this one returned \["),
    ("decoder makes NaN", {"decoder": lambda z: squares(z) * NAN}, ValueError, "NaN"),
    ("decoder makes bytes", {"decoder": lambda z: (255 * squares(z)).byte()}, ValueError, "uint8"),
    ("decoder without pixels", {"decoder": lambda z: torch.zeros(len(z), 1, 0, 0)}, ValueError, r"\(1, 1, 0, 0\)"),
    ("no such device", {"device": "nowhere"}, ValueError, "no device 'nowhere'"),
    ("no such GPU", {"device": "cuda:99"}, ValueError, "no device 'cuda:99'"),
    ("no values there", {"device": "meta"}, ValueError, "'meta' holds no values"),
    ("device object", {"device": object()}, ValueError, "no device <object"),
    ("hidden number", {"hidden": 64}, TypeError, "hidden is a tuple .*got 64"),
    ("hidden nothing", {"hidden": (8, 0)}, ValueError, "hidden .*got 0"),
    ("hidden word", {"hidden": ("a",)}, TypeError, "hidden .*got 'a'"),
    ("no steps", {"steps": 0}, ValueError, "steps .*at least 1, got 0"),
    ("half steps", {"steps": 1.5}, TypeError, r"steps .*got 1\.5"),
    ("pull", {"pull": 0.0}, ValueError, r"keep_neighbours, 0 to 1, instead of pull \(got pull=0\.0\)"),
    ("a word to keep neighbours", {"keep_neighbours": "x"}, TypeError, "from 0 to 1, got 'x'"),
    ("a switch to keep neighbours", {"keep_neighbours": True}, TypeError, "from 0 to 1, got True"),
    ("neighbours below 0", {"keep_neighbours": -0.5}, ValueError, r"from 0 to 1, got -0\.5"),
    ("neighbours above 1", {"keep_neighbours": 1.5}, ValueError, r"from 0 to 1, got 1\.5"),
    ("no number of neighbours", {"keep_neighbours": NAN}, ValueError, "from 0 to 1, got nan"),
    ("seed word", {"seed": "x"}, TypeError, "seed .*got 'x'"),
    ("no seed", {"seed": None}, TypeError, "seed .*got None"),
    ("seed negative", {"seed": -1}, ValueError, "seed .*got -1"),
    ("seed too large", {"seed": 2**70}, ValueError, "seed"),
]  # fmt: skip


@table(FIT)
def test_fit_refuses(given, error, message):
    refused(lambda: fit(**{"codes": CODES, **given}), error, message)


def test_a_decoder_that_breaks_later_is_named_too():
    calls = []

    def tired(z):
        calls.append(len(z))
        return squares(z) if len(calls) < 5 else squares(z) * 3

    refused(
        lambda: fit(CODES.repeat(5, 1), decoder=tired, steps=5),
        ValueError,
        r"in \[0, 1\]; this one returned",
    )


POINTS = [
    ("of another dimension", [[0.0, 0.0, 0.0]], ValueError, r"\(P, 2\).*got \(1, 3\)"),
    ("one point", [0.0, 0.0], ValueError, r"got \(2,\)"),
    ("none", torch.empty(0, 2), ValueError, r"at least 1, got \(0, 2\)"),
    ("NaN", [[0.0, 0.0], [0.0, NAN]], ValueError, r"1 of 2 rows .*\(rows 1\)"),
    ("infinity", [[INF, 0.0]], ValueError, "rows 0"),
    ("words", [["a", "b"]], TypeError, "points must be real numbers"),
    ("an object", object(), TypeError, "got object"),
]


@table(POINTS)
def test_points_are_refused_everywhere(v, m, given, error, message):
    for call in (v.decode, m.render, m.support, m.stretch):
        refused(lambda call=call: call(given), error, message)


MAP = [
    ("swapped", lambda m: m.grid(((0.5, 0.5), (-0.5, -0.5))), ValueError, r"\[0\.5, 0\.5\] and .*\. Swap"),
    ("a half swapped box", lambda m: m.grid(((-0.5, 0.5), (0.5, -0.5))), ValueError, "Swap them"),
    ("an empty box", lambda m: m.grid(((0, 0), (0, 1))), ValueError, "give the box an extent"),
    ("one corner", lambda m: m.grid(((0, 0),)), ValueError, "two corners"),
    ("four numbers", lambda m: m.grid((0, 0, 1, 1)), ValueError, r"two corners.*got \(0, 0, 1, 1\)"),
    ("a number", lambda m: m.grid(5), ValueError, "two corners.*got 5"),
    ("a box in space", lambda m: m.grid(((0, 0, 0), (1, 1, 1))), ValueError, r"has 2 numbers .*got shape \(3,\)"),
    ("a box of NaN", lambda m: m.grid(((0, NAN), (1, 1))), ValueError, "finite"),
    ("an endless box", lambda m: m.grid(((0, 0), (1, INF))), ValueError, "upper corner must be finite"),
    ("a box of words", lambda m: m.grid(("ab", "cd")), TypeError, "lower corner must be real numbers"),
    ("a region's box", lambda m: m.region(box=((1, 1), (0, 0))), ValueError, "Swap them"),
    ("three shapes", lambda m: m.grid(shape=(1, 2, 3)), ValueError, r"got \(1, 2, 3\)"),
    ("no rows", lambda m: m.grid(shape=(0, 3)), ValueError, r"at least 1 on this map.*got \(0, 3\)"),
    ("half rows", lambda m: m.grid(shape=(1.5, 3)), ValueError, "whole numbers"),
    ("a word as shape", lambda m: m.grid(shape="ab"), ValueError, "got 'ab'"),
    ("many rows", lambda m: m.grid(shape=(10**8, 10**8)), ValueError, r"at most 1000000 points.*\(100000000, 1"),
    ("no region", lambda m: m.region(), ValueError, "got none of them"),
    ("two regions", lambda m: m.region((0, 0), 1, box=((0, 0), (1, 1))), ValueError, "center and box and a radius"),
    ("no radius", lambda m: m.region((0, 0)), ValueError, "center and radius"),
    ("no center", lambda m: m.region(radius=1), ValueError, "got none of them and a radius"),
    ("radius 0", lambda m: m.region((0, 0), 0), ValueError, "radius is a number above 0.*got 0"),
    ("radius -1", lambda m: m.region((0, 0), -1), ValueError, "got -1"),
    ("radius NaN", lambda m: m.region((0, 0), NAN), ValueError, "got nan"),
    ("radius infinite", lambda m: m.region((0, 0), INF), ValueError, "got inf"),
    ("radius word", lambda m: m.region((0, 0), "1"), ValueError, "got '1'"),
    ("radius true", lambda m: m.region((0, 0), True), ValueError, "got True"),
    ("a center in space", lambda m: m.region((0, 0, 0), 1), ValueError, r"center has 2 numbers .*got shape \(3,\)"),
    ("a center of NaN", lambda m: m.region((0, NAN), 1), ValueError, "center must be finite"),
    ("count 0", lambda m: m.region((0, 0), 1, 0), ValueError, "count .*at least 1, got 0"),
    ("count 10^12", lambda m: m.region((0, 0), 1, 10**12), ValueError, "count .*at most 1000000, got 1000000000000"),
    ("count 1.5", lambda m: m.region((0, 0), 1, 1.5), TypeError, r"count .*got 1\.5"),
    ("a layout", lambda m: m.region((0, 0), 1, 5, layout="random"), ValueError, "'cover' or 'grid', got 'random'"),
    ("a region's seed", lambda m: m.region((0, 0), 1, 5, seed="x"), TypeError, "seed .*got 'x'"),
    ("two corners only", lambda m: m.region(polygon=[(0, 0), (1, 1)]), ValueError, r"3 or more corners.*got \(2, 2\)"),
    ("a polygon in space", lambda m: m.region(polygon=np.zeros((4, 3))), ValueError, r"got \(4, 3\)"),
    ("a flat polygon", lambda m: m.region(polygon=[(0, 0), (1, 1), (2, 2)]), ValueError, "has no area"),
    ("a polygon of NaN", lambda m: m.region(polygon=[(0, 0), (1, 1), (0, NAN)]), ValueError, "finite"),
    ("a thin polygon", lambda m: m.region(polygon=[(0, 0), (1, 1), (1, 1.00001)]), ValueError, "too thin"),
    ("a path of no end", lambda m: m.path(), ValueError, "at least two ends, got 0"),
    ("a path of one code", lambda m: m.path(CODES[0]), ValueError, "at least two ends, got 1"),
    ("a path of one point", lambda m: m.path((0, 0)), ValueError, "at least two ends, got 1"),
    ("a path of one row", lambda m: m.path(CODES[:1]), ValueError, "at least two ends, got 1"),
    ("a path of no rows", lambda m: m.path(CODES[:0]), ValueError, "at least two ends, got 0"),
    ("code and point", lambda m: m.path(CODES[0], (0, 0)), ValueError, r"got \(2,\), \(6,\)"),
    ("points in space", lambda m: m.path((0, 0, 0), (1, 1, 1)), ValueError, r"points of shape \(2,\)"),
    ("an end of NaN", lambda m: m.path((0, 0), (1, NAN)), ValueError, r"1 of 2 rows .*\(rows 1\)"),
    ("words as ends", lambda m: m.path("a", "b"), TypeError, "an end of a path must be real numbers"),
    ("one frame", lambda m: m.path((0, 0), (1, 1), frames=1), ValueError, "frames .*at least 2, got 1"),
    ("frames of hours", lambda m: m.path((0, 0), (1, 1), frames=10**20), ValueError, "frames .*at most 125000, got"),
    ("half frames", lambda m: m.path((0, 0), (1, 1), frames=2.5), TypeError, r"frames .*got 2\.5"),
    ("a pace", lambda m: m.path((0, 0), (1, 1), pace="fast"), ValueError, "'constant' or 'linear', got 'fast'"),
    ("a curve", lambda m: m.path((0, 0), (1, 1), curve="wild"), ValueError, "'straight' or 'shortest', got 'wild'"),
    ("a residual of points", lambda m: m.path((0, 0), (1, 1), residual=True), ValueError, "needs codes as ends"),
    ("no encoder", lambda m: m.place(torch.zeros(1, 1, 2, 2)), ValueError, r"no encode\(images\)"),
]  # fmt: skip


@table(MAP)
def test_the_map_refuses(m, given, error, message):
    refused(lambda: given(m), error, message)


def test_polygons_need_a_plane():
    line = LatentMap(fit(CODES, dim=1), squares)
    refused(lambda: line.region(polygon=[(0, 0), (1, 1), (0, 1)]), ValueError, "this map is 1-D")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(28, 28), ValueError, r"\(B, C, H, W\).*got \(28, 28\)"),
        (torch.zeros(0, 1, 28, 28), ValueError, r"got \(0, 1, 28, 28\)"),
        (torch.full((1, 1, 28, 28), 255.0), ValueError, r"\[0, 1\], got \[255, 255\]\. Divide bytes by 255"),
        (torch.full((1, 1, 28, 28), NAN), ValueError, "nan"),
        (torch.zeros(1, 3, 28, 28), ValueError, r"\(B, 1, 28, 28\), got \(1, 3, 28, 28\)"),
        ("five.png", TypeError, "images must be real numbers, got str"),
    ],
)
def test_images_that_cannot_be_placed_are_refused(f_d, fives, images, error, message):
    m = LatentMap(fit(fives), f_d)
    refused(lambda: m.place(images), error, message)


@pytest.mark.parametrize(
    "make", [LatentMap, lambda v, decoder: certify(v, decoder=decoder)], ids=["LatentMap", "certify"]
)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"v": "v"}, TypeError, "VizAE .*got str"),
        ({"v": None}, TypeError, "VizAE .*got NoneType"),
        ({"decoder": "mnist"}, TypeError, "callable.*got str"),
        ({"decoder": 3}, TypeError, "callable.*got int"),
        ({"decoder": Shaped()}, ValueError, r"\(4, 8, 8\); here they have \(6,\)"),
    ],
)
def test_a_map_is_of_a_v_and_a_decoder(v, make, change, error, message):
    given = {"v": v, "decoder": squares} | change
    refused(lambda: make(given["v"], given["decoder"]), error, message)


@pytest.mark.parametrize("decoder", [fail, lambda z: z, lambda z: squares(z) - 0.9, lambda z: squares(z) * NAN])
def test_a_decoder_that_breaks_its_contract_is_refused_on_the_map(v, decoder):
    m = LatentMap(v, decoder)
    for call in (
        lambda: m.render([[0, 0]]),
        m.grid,
        lambda: m.path((0, 0), (1, 1)),
        lambda: certify(v, decoder=decoder),
    ):
        refused(call, ValueError, "Decoders|The decoder raised")


@pytest.mark.parametrize("seed", ["x", None, 1.5])
def test_a_certificates_seed_is_a_whole_number(v, seed):
    refused(lambda: certify(v, decoder=squares, seed=seed), TypeError, "seed is a whole number")


def test_samples_say_where_they_cannot_be_saved(m):
    samples = m.grid(shape=(2, 2))
    refused(lambda: samples.save("nowhere/a.png"), ValueError, "Cannot write nowhere/a.png")
    refused(lambda: samples.save("a.jpeg"), ValueError, r"\.safetensors; asked for 'a\.jpeg'")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs folders that nobody may write")
def test_what_cannot_be_written_is_named(v, m):
    refused(lambda: m.grid(shape=(2, 2)).save("/proc/a.png"), ValueError, "Cannot write /proc/a.png")
    refused(lambda: v.save_pretrained("/proc/v"), ValueError, "Cannot make the folder /proc/v")
    refused(lambda: v.save_pretrained("/proc/self"), ValueError, "holds something that is not a v")
