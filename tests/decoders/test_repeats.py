"""Decoders that do not make the same image of a code each time are noticed, once."""

import time
import warnings

import pytest
import torch
from torch import nn

from latent_vizae import LatentMap, certify, discover_directions, fit
from latent_vizae.decoders.repeats import notice_noise, repeats_of

CODES = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(6, 64, generator=torch.Generator().manual_seed(1)) / 4


def clean(z):
    return (z.float() @ WEIGHT).sigmoid().reshape(-1, 1, 8, 8)


class Noisy:
    """Noise of this size, drawn at each call, or the same for each place in a batch."""

    def __init__(self, size, seeded=False):
        self.size, self.seeded, self.calls = size, seeded, 0

    def __call__(self, z):
        images, self.calls = clean(z), self.calls + len(z)
        generator = torch.Generator().manual_seed(0 if self.seeded else self.calls)
        return (images + self.size * torch.randn(images.shape, generator=generator)).clamp(0, 1)


class BatchStatistics(nn.Module):
    """A normalisation by the batch, in evaluation too."""

    def forward(self, z):
        images = clean(z)
        return (images - images.mean(0) + 0.5).clamp(0, 1)


class Half(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.weight = nn.Parameter(WEIGHT.to(dtype))

    def forward(self, z):
        return (z @ self.weight).sigmoid().reshape(-1, 1, 8, 8)


ODD = {
    "noise": (lambda: Noisy(0.05), "as if noise were drawn"),
    "a little noise": (lambda: Noisy(0.001), "as if noise were drawn"),
    "noise by place": (lambda: Noisy(0.05, seeded=True), "depended on the place"),
    "batch statistics": (BatchStatistics, "depended on the place"),
}


@pytest.mark.parametrize(("make", "words"), ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("count", [1, 2, 5])
def test_what_differs_is_found_and_said(make, words, count):
    found = repeats_of(make(), CODES[:count])
    assert not found.same
    assert words in str(found)


@pytest.mark.parametrize(
    "decoder",
    [clean, lambda z: (clean(z) * 255).round() / 255, *(Half(t) for t in (torch.float16, torch.bfloat16))],
    ids=["float32", "bytes", "float16", "bfloat16"],
)
def test_rounding_is_no_noise(decoder, f_d):
    assert repeats_of(decoder, CODES).same
    assert repeats_of(f_d, f_d.examples(count=2)[0]).same


@pytest.mark.parametrize("k", [1, 20, 60])
def test_fit_and_what_follows_say_it_once(k):
    decoder = Noisy(0.05)
    with pytest.warns(UserWarning, match="not deterministic: two images of one code differ by 0.0") as caught:
        v = fit(CODES[:k], decoder, steps=20)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LatentMap(v, decoder).grid(shape=(2, 2))
        certificate = certify(v, decoder, resolution=5)
    assert not certificate.repeats.same


def test_a_map_says_it_at_its_first_images():
    v, decoder = fit(CODES[:20]), Noisy(0.05)
    m = LatentMap(v, decoder)
    assert decoder.calls == 0
    with pytest.warns(UserWarning, match="not deterministic"):
        m.path(CODES[0], CODES[1], frames=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.region((0, 0), 0.5, count=3)
        LatentMap(v, decoder).render(v.points[:1])
    with pytest.warns(UserWarning, match="not deterministic"):
        discover_directions(Noisy(0.05), CODES, method="codes", n_directions=2)


def test_a_slow_decoders_first_picture_waits_for_no_other():
    class Slow(Noisy):
        def __call__(self, codes):
            time.sleep(0.3 * len(codes))
            return super().__call__(codes)

    v, decoder = fit(CODES[:20]), Slow(0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LatentMap(v, decoder).render(v.points[:1])
    assert decoder.calls == 1


def test_a_decoder_is_looked_at_once_for_four_images():
    decoder = Noisy(0.0)
    notice_noise(decoder, CODES)
    assert decoder.calls == 4
    notice_noise(decoder, CODES)
    assert decoder.calls == 4
    method = decoder.__call__  # cannot be remembered, and is looked at again
    notice_noise(method, CODES)
    assert decoder.calls == 8


def test_the_certificate_vouches_for_nothing_that_is_measured_in_noise():
    v = fit(CODES[:20])
    with pytest.warns(UserWarning, match="not deterministic"):
        noisy = certify(v, Noisy(0.05), resolution=5)
    said = {text: verdict for verdict, text in noisy.statements()}
    (line,) = (text for text in said if text.startswith("deterministic: "))
    assert said[line] == "does not hold"
    of_images = [text for text in said if "every small step" in text or "pairs of far points" in text]
    assert len(of_images) == 2
    assert {said[text] for text in of_images} == {"not known"}
    assert all(text.startswith("with noise in it: ") for text in of_images)
    sound = certify(v, clean, resolution=5)
    assert ("holds", "deterministic: " + str(sound.repeats) + ".") in sound.statements()
    assert "deterministic" not in str(certify(v, resolution=5))
