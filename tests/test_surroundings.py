"""Under autocast, no_grad, inference mode, another default dtype or device, and so on: the same results to the bit."""

import contextlib
import json
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from latent_vizae import (
    LatentMap,
    VizAE,
    certify,
    discover_directions,
    encode_images,
    fit,
    load_decoder,
    place_codes,
    sample_codes,
)
from latent_vizae.directions.classifier import learn_classifier
from latent_vizae.maps.as_generator import MapGenerator
from latent_vizae.sklearn import VizAETransformer


@contextlib.contextmanager
def setting(get, set_, value):
    before = get()
    set_(value)
    try:
        yield
    finally:
        set_(before)


def default_dtype(dtype):
    return setting(torch.get_default_dtype, torch.set_default_dtype, dtype)


def deterministic():
    return setting(torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True)


def together(*each):
    stack = contextlib.ExitStack()
    for one in each:
        stack.enter_context(one)
    return stack


def at_once():
    return together(default_dtype(torch.float16), torch.device("meta"), torch.autocast("cpu", torch.float16))


SURROUNDINGS = {  # some together: results that do not depend on these depend on none
    "half precision and a device": at_once,
    "no gradients": lambda: together(
        torch.no_grad(), default_dtype(torch.float64), deterministic(), torch.autocast("cpu", torch.bfloat16)
    ),
    "inference": lambda: together(torch.inference_mode(), default_dtype(torch.bfloat16)),
}

CODES = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
LABELS = np.arange(120) % 2


def plain(codes):
    """A decoder of elementwise operations alone, which no surroundings change."""
    return (codes * codes.new_tensor([1.0, -1.0, 0.5, 2.0, 1.5, -0.5])).sigmoid().reshape(-1, 1, 2, 3)


def without_time(report):
    return {name: value for name, value in report.items() if name not in ("seconds", "decoding_seconds")}


def maps(_folder):
    for k, dim, given in (
        (1, 2, CODES[:1]), (20, 1, CODES[:20].tolist()), (120, 2, CODES.numpy()), (120, 3, CODES.split(30)),
    ):  # fmt: skip
        v = fit(iter(given) if dim == 3 else given, plain, dim, labels=LABELS[:k], steps=10)
        yield v.points, v.decode(v.points), v.encode(v.decode([[0.1] * dim])), v(CODES[:3]), v.guess(CODES[:9])
        yield v.decode([[0.0] * dim], residual_of=CODES[:1]), without_time(v.report.to_dict())
        if k == 120:
            yield v.decode(v.points, detail=1.0, variant=70), v.sample(v.points[:5], seed=1)


def acts(folder):
    f_d = load_decoder("mnist")
    codes, _ = f_d.examples(count=60, seed=1)
    v = fit(codes, f_d, steps=10)
    yield v.points, without_time(v.report.to_dict()), f_d.sample(5), f_d.encode(f_d(codes[:3]))
    m = LatentMap(v, f_d)
    samples = [m.grid(shape=3), m.region((0, 0), 0.5, 7), m.region(box=((-1, 0), (0, 1)), count=7, layout="grid")]
    samples += [m.path((0, 0), (1, 1), frames=4), m.path(codes[0], codes[1], frames=4, residual=True)]
    samples += [m.path([0.0, 0.0], [0.5, 0.2], frames=3, curve="shortest"), m.traverse(codes[0], np.ones(10), 3)]
    for each in samples:
        yield each.points, each.codes, each.images
    yield m.render([[0.1, 0.2]]), m.place(f_d(codes[:2])), m.support(v.points), m.stretch([[0.0, 0.1]])
    yield m.inside((0, 0), 0.5), m.nearest((0, 0), 3).distances, m.arrows(np.ones((1, 10)), shape=3).moves
    yield MapGenerator(m).sample(4), json.loads(certify(v, f_d, resolution=4).to_json())
    v.save_pretrained(folder / "v")
    loaded = VizAE.from_pretrained(folder / "v")
    yield loaded.state_dict(), without_time(loaded.report.to_dict()), loaded.encode(codes)
    yield place_codes(v, codes, folder / "points", unit_size=50).is_dir(), encode_images(f_d, f_d(codes[:3]))
    sample_codes(f_d, 8, out=folder / "sampled", unit_size=5)
    yield [file.read_bytes() for file in sorted((folder / "sampled").glob("*.safetensors"))]


def directions(folder):
    f_d = load_decoder("mnist")
    codes, labels = f_d.examples(count=100)
    labels = (labels > 4).long()
    classifier = learn_classifier(f_d, codes, labels, steps=20)
    for method, steps in (("metric", None), ("trained", 2)):
        found = discover_directions(
            f_d, codes, classifier, method=method, steps=steps, n_directions=2, measured=2, n_classes=2
        )
        yield found.global_directions, found.class_directions, without_time(found.report.to_dict())
    found.save_pretrained(folder / "directions")
    loaded = type(found).from_pretrained(folder / "directions")
    yield asdict(loaded.pick(0)), found.pick(1).along(codes[0], 5), classifier(f_d(codes[:9]))
    given = type(found).of_vectors([[1.0, 2.0, 0.0]])
    yield given.global_directions, given.global_steps, given.pick(0).move([[0, 0, 0]], 2)


def transformer(_folder):
    for dtype in (np.float32, np.float64):
        estimator = VizAETransformer(steps=10)
        points = estimator.fit_transform(CODES.numpy().astype(dtype))
        yield points, estimator.inverse_transform(points), estimator.transform(CODES.tolist())


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return {work: list(work(tmp_path_factory.mktemp("plain"))) for work in (maps, acts, directions, transformer)}


@pytest.mark.parametrize("work", [maps, acts, directions, transformer])
@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_results_do_not_depend_on_what_surrounds_them(surroundings, work, expected, tmp_path):
    with surroundings():
        here = list(work(tmp_path))
    assert len(here) == len(expected[work])
    for number, (one, other) in enumerate(zip(expected[work], here, strict=True)):
        for position, (ours, theirs) in enumerate(zip(one, other, strict=True)):
            assert same(ours, theirs), (work.__name__, number, position)


class Looking(nn.Module):
    """A decoder that notes what surrounds it."""

    latent_shape = (6,)

    def __init__(self):
        super().__init__()
        self.seen, self.weight = set(), nn.Parameter(torch.ones(1))

    def look(self):
        device = (torch.zeros(1) + torch.zeros(1)).device.type
        self.seen.add(
            (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.zeros(1).dtype, device)
        )

    def forward(self, codes):
        self.look()
        return plain(codes) * self.weight

    def encode(self, images):
        self.look()
        return images.flatten(1)

    def sample(self, count, seed):
        self.look()
        return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), device="cpu").float()


@pytest.mark.filterwarnings("ignore:.*slopes")
def test_what_is_the_callers_keeps_the_callers_surroundings(tmp_path):
    decoder = Looking()

    def classifier(images):
        decoder.look()
        return (images.mean((1, 2, 3)) > 0.5).long()

    def stream():
        for part in CODES.split(40):
            decoder.look()
            yield part

    v = fit(CODES, steps=1)
    with at_once():
        for call in (
            lambda: fit(CODES, decoder, steps=1),
            lambda: fit(stream(), steps=1),
            lambda: LatentMap(v, decoder).place(plain(CODES[:2])),
            lambda: LatentMap(v, decoder).grid(shape=2),
            lambda: certify(v, decoder, resolution=3),
            lambda: encode_images(decoder, plain(CODES[:2])),
            lambda: sample_codes(decoder, 3, out=tmp_path / "codes"),
            lambda: discover_directions(decoder, None, classifier, method="metric", n_directions=1, measured=2),
        ):
            decoder.seen.clear()
            call()
            assert decoder.seen == {(True, torch.float16, torch.float16, "meta")}
    decoder.seen.clear()
    LatentMap(v, decoder).grid(shape=2)
    assert decoder.seen == {(False, torch.get_autocast_dtype("cpu"), torch.float32, "cpu")}


def test_a_map_used_inside_of_a_decoder_has_its_own_surroundings():
    v = fit(CODES, steps=1)
    seen = []

    def decoder(codes):
        seen.append((v.encode(codes), torch.zeros(1).dtype))
        return plain(codes)

    with default_dtype(torch.float64), torch.autocast("cpu"):
        samples = LatentMap(v, decoder).grid(shape=2)
    assert torch.equal(torch.cat([points for points, _ in seen[:2]]), v.encode(samples.codes))
    assert {dtype for _, dtype in seen} == {torch.float64}


def test_an_error_leaves_the_surroundings_as_they_were():
    def breaks(codes):
        raise KeyError("what")

    v = fit(CODES, steps=1)
    with default_dtype(torch.float64), torch.autocast("cpu", torch.float16):
        for call in (lambda: LatentMap(v, breaks).grid(shape=2), lambda: v.decode([[float("nan")] * 2])):
            with pytest.raises(ValueError, match=r"KeyError|finite"):
                call()
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_autocast_dtype("cpu") == torch.float16
            assert torch.zeros(1).dtype == torch.float64


def test_other_threads_keep_their_surroundings():
    v, dtypes, wait = fit(CODES, steps=1), [], threading.Event()

    def decoder(codes):
        wait.set()
        time.sleep(0.05)
        return plain(codes)

    def elsewhere():
        wait.wait()
        dtypes.append(torch.zeros(1).dtype)

    with default_dtype(torch.float64):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        LatentMap(v, decoder).grid(shape=2)
        thread.join()
    assert dtypes == [torch.float64]
