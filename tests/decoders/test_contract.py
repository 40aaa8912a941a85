"""The contract of a decoder, found by name, called in bounded batches; and the bundled MNIST decoder."""

import contextlib
import importlib.metadata
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from latent_vizae import fit, load_decoder
from latent_vizae.decoders import contract, load
from latent_vizae.decoders.contract import (
    VALUES_PER_BATCH,
    Decoder,
    decode_images,
    differentiable_images,
    evaluating,
    require_decoder,
)


def squares(z):
    return z.flatten(1)[:, :4].sigmoid().reshape(-1, 1, 2, 2)


# By name.


@pytest.mark.wheel
def test_mnist_loads_by_name_and_says_its_name():
    f_d = load_decoder("mnist")
    assert f_d.source == "mnist"
    assert isinstance(f_d, Decoder)
    assert load_decoder(f_d.source).latent_shape == f_d.latent_shape


@pytest.mark.parametrize("source", ["", "nothing", "nothing:here", ":", "MNIST", "mnist "])
def test_an_unknown_name_is_answered_with_the_known_ones(source):
    with pytest.raises(ValueError, match=r"No decoder is registered for .*Known: .*mnist"):
        load_decoder(source)


@pytest.mark.parametrize("source", [None, 5, squares, b"mnist"])
def test_only_a_name_is_loaded(source):
    with pytest.raises(TypeError, match="takes a name such as 'mnist'"):
        load_decoder(source)


def test_mnist_loads_without_a_draw_from_the_global_generator():
    before = torch.get_rng_state()
    load_decoder("mnist")
    assert torch.equal(torch.get_rng_state(), before)


def test_mnist_takes_no_reference_and_no_device_that_is_not_there():
    with pytest.raises(ValueError, match="mnist:me/model"):
        load_decoder("mnist:me/model")
    with pytest.raises(ValueError, match="nowhere"):
        load_decoder("mnist", device="nowhere")


def entries(*pairs):
    return lambda group: [importlib.metadata.EntryPoint(name, value, group) for name, value in pairs]


def test_a_scheme_of_another_package_is_found_and_gets_reference_and_options(monkeypatch):
    monkeypatch.setattr(load, "entry_points", entries(("args", "builtins:dict")))
    monkeypatch.setattr(
        importlib.metadata.EntryPoint, "load", lambda self: lambda reference, **options: (reference, options)
    )
    assert load_decoder("args:user/repo@main:x", device="cpu") == ("user/repo@main:x", {"device": "cpu"})


def test_two_packages_that_register_one_scheme_are_both_named(monkeypatch):
    monkeypatch.setattr(load, "entry_points", entries(("x", "one:load"), ("x", "two:load")))
    with pytest.raises(ValueError, match="one:load, two:load"):
        load_decoder("x")


def test_no_scheme_at_all_asks_for_the_installation(monkeypatch):
    monkeypatch.setattr(load, "entry_points", entries())
    with pytest.raises(ValueError, match="is latent-vizae installed"):
        load_decoder("mnist")


# The contract.


def fail(_):
    raise KeyError("weights")


BROKEN = {
    "raises": (fail, "raised KeyError on codes of shape"),
    "no image": (lambda z: z, r"returned shape \(\d+, 6\)"),
    "no tensor": (lambda z: None, "returned NoneType"),
    "an array": (lambda z: np.zeros((len(z), 1, 2, 2)), "returned ndarray"),
    "too few": (lambda z: squares(z)[:0], r"returned shape \(0, 1, 2, 2\)"),
    "too many": (lambda z: torch.cat([squares(z)] * 2), "returned shape"),
    "no pixels": (lambda z: torch.zeros(len(z), 1, 0, 2), r"returned shape \(\d+, 1, 0, 2\)"),
    "bytes": (lambda z: (255 * squares(z)).byte(), r"uint8.*G\(z\) / 255"),
    "complex": (lambda z: squares(z) + 0j, "complex64"),
    "minus one to one": (lambda z: torch.full((len(z), 1, 2, 2), -0.9), r"\(G\(z\) \+ 1\) / 2"),
    "to 255": (lambda z: 255 * squares(z), r"in \[0, 1\]; this one returned \["),
    "NaN": (lambda z: squares(z) * float("nan"), "NaN"),
    "infinity": (lambda z: squares(z) + float("inf"), "inf"),
}


@pytest.mark.parametrize(("decoder", "message"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("count", [1, 5])
def test_a_broken_decoder_is_told_what_is_wrong(decoder, message, count):
    with pytest.raises(ValueError, match=message):
        decode_images(decoder, torch.zeros(count, 6))


def test_images_that_no_memory_holds_are_refused():
    with pytest.raises(ValueError, match=r"images of shape \(1, 1, 1\) need 3725290 GiB"):
        decode_images(lambda z: z[..., None, None], torch.zeros(1, 1).expand(10**15, 1))


def test_images_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match=r"two shapes, \(1, 2, 2\) and \(1, 2, 4\)"):
        decode_images(lambda z: torch.zeros(len(z), 1, 2, 2 if len(z) == 1 else 4), torch.zeros(3, 6))


def test_the_cause_of_an_error_stays():
    with pytest.raises(ValueError, match="raised KeyError") as caught:
        decode_images(fail, torch.zeros(1, 6))
    assert isinstance(caught.value.__cause__, KeyError)


def test_rounding_beyond_the_range_is_clamped():
    images = decode_images(
        lambda z: squares(z) * 0 + torch.tensor([-5e-4, 0.0, 1.0, 1 + 5e-4]).reshape(1, 1, 2, 2), torch.zeros(2, 6)
    )
    assert images.min() == 0
    assert images.max() == 1


@given(count=st.integers(1, 60), side=st.sampled_from([1, 64, 300, 512]))
def test_memory_is_bounded_and_the_order_kept(count, side):
    sizes = []

    def decoder(z):
        sizes.append(len(z))
        return z[:, :1, None, None].expand(-1, 1, side, side)

    codes = torch.linspace(0, 1, count)[:, None].repeat(1, 6)
    images = decode_images(decoder, codes)
    assert torch.equal(images[:, 0, 0, 0], codes[:, 0])
    assert max(sizes) * side * side <= VALUES_PER_BATCH
    assert max(sizes) <= count


def test_an_image_larger_than_a_batch_goes_alone():
    sizes = []

    def decoder(z):
        sizes.append(len(z))
        return torch.zeros(len(z), 3, 1024, 1024)

    assert decode_images(decoder, torch.zeros(3, 6)).shape == (3, 3, 1024, 1024)
    assert set(sizes) == {1}


def test_a_decoder_may_ask_for_smaller_batches():
    class Small:
        max_batch = 4

        def __init__(self):
            self.sizes = []

        def __call__(self, z):
            self.sizes.append(len(z))
            return squares(z)

    decoder = Small()
    codes = torch.randn(11, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(decode_images(decoder, codes), squares(codes))
    assert max(decoder.sizes) <= 4


class Net(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))
        self.noise = nn.Dropout(0.9)
        self.seen = []

    def forward(self, z):
        self.seen.append(z.dtype)
        return self.noise(squares(z * self.scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_module_gets_codes_of_its_own_type_in_evaluation_and_is_put_back(dtype):
    net = Net(dtype).train()
    first, second = (decode_images(net, torch.zeros(3, 6)) for _ in range(2))
    assert set(net.seen) == {dtype}
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    assert net.training
    assert net.noise.training


def test_a_decoder_that_works_in_place_leaves_the_codes_alone(tmp_path):
    codes = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    before = codes.clone()

    def in_place(z):
        return squares(z.mul_(0.5))

    decode_images(in_place, codes)
    fit(codes, in_place, steps=5)
    assert torch.equal(codes, before)
    np.save(tmp_path / "codes.npy", codes.numpy())
    fit(np.load(tmp_path / "codes.npy", mmap_mode="r"), in_place, steps=5)  # memory that cannot be written to


def test_a_module_that_raises_is_put_back_too():
    net = Net(torch.float32).train()
    net.forward = fail
    with pytest.raises(ValueError, match="KeyError"):
        decode_images(net, torch.zeros(1, 6))
    assert net.training


def test_threads_that_share_a_module_never_see_it_in_training():
    seen, part = [], nn.Linear(3, 4)

    class Slow(nn.Module):
        def __init__(self, seconds):
            super().__init__()
            self.part, self.seconds = part, seconds

        def forward(self, z):
            time.sleep(self.seconds)
            seen.append(self.training or self.part.training)
            if self.seconds == 0.002:
                raise RuntimeError("no image today")
            return self.part(z).sigmoid().reshape(-1, 1, 2, 2)

    decoders = [Slow(seconds).train() for seconds in (0.001, 0.002, 0.003, 0.003)]

    def work(decoder):
        for _ in range(20):
            with contextlib.suppress(ValueError):
                decode_images(decoder, torch.zeros(1, 3))

    threads = [threading.Thread(target=work, args=(decoder,)) for decoder in decoders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80
    assert not any(seen)
    assert all(module.training for decoder in decoders for module in decoder.modules())
    assert contract._EVALUATING == {}


def test_nested_evaluation_ends_with_the_outer_one_and_mixed_modes_come_back():
    outer, inner = nn.Sequential(nn.Dropout(), nn.Linear(2, 2).eval()), nn.Dropout().train()
    outer.append(inner)
    with evaluating(outer):
        with evaluating(inner):
            pass
        assert not inner.training
        outer.train()  # somebody else, meanwhile
        with evaluating(outer):
            assert not any(module.training for module in outer.modules())
    assert [module.training for module in outer] == [True, True, True]


def test_gradients_pass_where_there_are_any():
    codes = torch.zeros(2, 6, requires_grad=True)
    assert differentiable_images(squares, codes).requires_grad
    assert not decode_images(squares, codes).requires_grad
    assert not differentiable_images(
        lambda z: torch.from_numpy(z.numpy()[:, :4].copy()).reshape(-1, 1, 2, 2), codes
    ).requires_grad
    with pytest.raises(ValueError, match="KeyError"):
        differentiable_images(fail, codes)


def test_what_cannot_decode_is_refused_before_anything_is_computed(f_d):
    require_decoder(squares, (6,))
    require_decoder(f_d, (10,))
    with pytest.raises(TypeError, match="decoder is a callable"):
        require_decoder("mnist", (10,))
    with pytest.raises(ValueError, match=r"takes codes of shape \(10,\)"):
        require_decoder(f_d, (6,))


# MNIST.


@pytest.mark.wheel
def test_mnist_brings_sixty_thousand_codes_with_labels(f_d):
    codes, labels = f_d.examples()
    assert codes.shape == (60_000, 10)
    assert codes.dtype == torch.float32
    assert labels.shape == (60_000,)
    assert labels.dtype == torch.int64
    assert torch.isfinite(codes).all()
    assert labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # MNIST's own


@pytest.mark.parametrize("label", [None, 0, 7])
@pytest.mark.parametrize("seed", [None, 0, 3])
def test_examples_are_what_was_asked_for(f_d, label, seed):
    codes, labels = f_d.examples(label=label, count=50, seed=seed)
    assert codes.shape == (50, 10)
    assert label is None or set(labels.tolist()) == {label}
    again, _ = f_d.examples(label=label, count=50, seed=seed)
    assert torch.equal(codes, again)
    fewer, _ = f_d.examples(label=label, count=20, seed=seed)
    assert torch.equal(fewer, codes[:20])
    assert len(torch.unique(codes, dim=0)) > 45
    codes.zero_()
    assert torch.equal(f_d.examples(label=label, count=50, seed=seed)[0], again)


def test_another_seed_gives_other_codes(f_d):
    drawn = [f_d.examples(count=20, seed=seed)[0] for seed in (None, 0, 1)] + [f_d.sample(20, seed=s) for s in (0, 1)]
    assert len({tuple(codes.flatten().tolist()) for codes in drawn}) == 5
    assert torch.equal(f_d.sample(20, seed=1), drawn[-1])
    assert torch.equal(f_d.sample(20), drawn[-2])


def test_samples_lie_where_codes_lie(f_d):
    codes, _ = f_d.examples()
    sample = f_d.sample(500, seed=5)
    assert sample.shape == (500, 10)
    assert (sample >= codes.amin(0)).all()
    assert (sample <= codes.amax(0)).all()
    assert (
        torch.cdist(sample, codes[:10_000]).amin(1).median()
        < torch.cdist(codes[:500], codes[20_000:30_000]).amin(1).median() * 1.5
    )


def test_drawing_leaves_the_global_generator_alone(f_d):
    before = torch.get_rng_state()
    f_d.sample(5, seed=2)
    f_d.examples(count=5, seed=2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.wheel
def test_mnist_decodes_its_codes_to_its_images(f_d):
    images, labels = f_d.images()
    assert images.shape == (100, 1, 28, 28)
    assert labels.shape == (100,)
    assert images.min() == 0
    assert images.max() == 1
    codes = f_d.encode(images)
    assert codes.shape == (100, 10)
    back = f_d(codes)
    assert back.shape == images.shape
    assert 0 <= back.min() <= back.max() <= 1
    mean = f_d(f_d.examples(count=200)[0]).mean(0)
    assert (back - images).square().mean() < 0.4 * (mean - images).square().mean()


def test_mnist_is_the_papers_network_trained_below_its_loss(f_d):
    assert set(f_d.losses) >= {"train", "test"}
    images, _ = f_d.images()
    loss = nn.functional.binary_cross_entropy(f_d(f_d.encode(images)), images, reduction="sum") / len(images)
    assert loss.item() == pytest.approx(f_d.losses["test"], rel=0.15)  # a hundred of its 10,000 test images
    assert not f_d.training
    assert not any(parameter.requires_grad for parameter in f_d.parameters())


def test_an_image_does_not_depend_on_its_batch(f_d):
    codes, _ = f_d.examples(count=64)
    together = f_d(codes)
    assert torch.allclose(torch.cat([f_d(batch) for batch in codes.split(7)]), together, atol=1e-5)
    images, _ = f_d.images()
    assert torch.allclose(torch.cat([f_d.encode(batch) for batch in images.split(9)]), f_d.encode(images), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label": 10}, ValueError, "digits 0 to 9, asked for label=10"),
        ({"label": -1}, ValueError, "label"),
        ({"label": "five"}, TypeError, "label is a whole number.*'five'"),
        ({"label": 5.0}, TypeError, "label"),
        ({"label": 5, "count": 5422}, ValueError, "There are 5421 codes.*count=5422"),
        ({"count": 60_001}, ValueError, "60000"),
        ({"count": 0}, ValueError, "count"),
        ({"count": 2.5}, TypeError, "count"),
        ({"count": 5, "seed": "x"}, TypeError, "seed"),
        ({"count": 5, "seed": -1}, ValueError, "seed"),
    ],
)
def test_examples_that_are_not_there_are_refused(f_d, arguments, error, message):
    with pytest.raises(error, match=message):
        f_d.examples(**arguments)


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), ("x", TypeError)])
def test_samples_are_counted(f_d, count, error):
    with pytest.raises(error, match="count is a whole number"):
        f_d.sample(count)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 28, 28), (2, 3, 28, 28), (2, 1, 32, 32)])
def test_only_mnist_images_are_encoded(f_d, shape):
    with pytest.raises(ValueError, match=r"\(B, 1, 28, 28\), got"):
        f_d.encode(torch.zeros(shape))
