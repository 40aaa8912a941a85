"""What guides a fit is in its report, and where slopes were expected and are none, that is said."""

import warnings

import pytest
import torch
from torch import nn

from latent_vizae import VizAE, fit
from latent_vizae.fitting.frame import GROWTH, MOST_SHARE, _code_share
from latent_vizae.model.report import FitReport

CODES = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
LONG = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(100, 64, generator=torch.Generator().manual_seed(1)) / 4


def smooth(z):
    return (z @ WEIGHT[: z.shape[1]]).sigmoid().reshape(-1, 1, 8, 8)


def large(z):
    return smooth(z).repeat(1, 2, 8, 8)


class Fails(torch.autograd.Function):
    """Without a backward pass, as of an extension, or for want of memory."""

    error: Exception = NotImplementedError("no such kernel")

    @staticmethod
    def forward(ctx, z):
        return smooth(z)

    @staticmethod
    def backward(ctx, slope):
        raise Fails.error


def fails_with(error):
    def decoder(z):
        Fails.error = error
        return Fails.apply(z)

    return decoder


def refuses(z):
    if z.requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
    return smooth(z)


WITHOUT = {
    "no_grad": (torch.no_grad()(smooth), "images of this decoder carry no gradients"),
    "inference": (lambda z: torch.inference_mode()(smooth)(z).clone(), "images of this decoder carry no gradients"),
    "numpy": (lambda z: torch.from_numpy(smooth(z).detach().numpy().copy()), "carry no gradients"),
    "refuses": (refuses, r"fails where codes carry gradients \(RuntimeError: Can't call numpy"),
    "backward": (fails_with(NotImplementedError("no such kernel")), "NotImplementedError: no such kernel"),
    "memory": (fails_with(torch.OutOfMemoryError("CUDA out of memory.\nTried")), "OutOfMemoryError: CUDA out of"),
    "rounded": (lambda z: (smooth(z) * 255).round() / 255, "slopes of this decoder are 0"),
    "detached": (lambda z: smooth(z.detach()) + 0 * z.sum(), "slopes of this decoder are 0"),
}


@pytest.mark.parametrize(("decoder", "words"), WITHOUT.values(), ids=WITHOUT.keys())
@pytest.mark.parametrize("codes", [CODES, CODES[:20], LONG[:1]], ids=["many", "few", "one"])
def test_a_decoder_without_slopes_is_told_of_once(decoder, words, codes):
    with pytest.warns(UserWarning, match=words) as caught:
        v = fit(codes, decoder, steps=30)
    assert len(caught) == 1
    assert v.report.guided_by == ("images" if len(codes) == 1 else "codes")


def test_a_decoder_that_fails_on_plain_codes_too_is_no_matter_of_slopes():
    calls = []

    def tired(z):
        calls.append(len(z))
        if len(calls) > 8:
            raise RuntimeError("tired")
        return smooth(z)

    with pytest.raises(ValueError, match="tired"):
        fit(CODES, tired, steps=30)


GUIDED = {
    "slopes": (CODES, smooth, "slopes"),
    "slopes of few": (CODES[:20], smooth, "slopes"),
    "images of few": (CODES[:20], large, "images"),
    "slopes of many large": (CODES, large, "slopes"),
    "codes": (CODES, None, "codes"),
    "one code": (CODES[:1], smooth, "images"),
    "one long code": (LONG[:1], large, "slopes"),
    "one code alone": (CODES[:1], None, "codes"),
    "a plane": (CODES[:, :2], lambda z: smooth(torch.cat([z] * 3, 1)), "codes"),
}


@pytest.mark.parametrize(("codes", "decoder", "guide"), GUIDED.values(), ids=GUIDED.keys())
def test_the_report_says_what_guided_the_fit(codes, decoder, guide, tmp_path):
    v = fit(codes, decoder, steps=30)
    assert v.report.guided_by == guide
    assert f", guided by {guide}" in str(v.report)
    v.save_pretrained(tmp_path / "v")
    assert VizAE.from_pretrained(tmp_path / "v").report == v.report


def test_a_decoder_may_say_that_it_has_no_slopes():
    class Table(nn.Module):
        differentiable = False
        forward = staticmethod(torch.no_grad()(smooth))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(CODES, Table(), steps=30).report.guided_by == "codes"


def test_a_report_of_an_earlier_version_is_read():
    report = fit(CODES[:20]).report
    old = {name: value for name, value in report.to_dict().items() if name != "guided_by"}
    assert FitReport.from_dict(old).guided_by is None
    assert "guided" not in str(FitReport.from_dict(old))
    for wrong in ({**old, "guided_by": "stars"}, {**old, "guided_by": 1}, {**old, "more": 1}, {**old, "k": "3"}):
        with pytest.raises((ValueError, TypeError)):
            FitReport.from_dict(wrong)


def test_what_codes_say_in_the_frame_is_bounded_by_the_directions_that_come_to_count():
    generator = torch.Generator().manual_seed(0)

    def directions(share, metric, variances):
        values, vectors = torch.linalg.eigh((1 - share) * metric + share * torch.eye(len(metric)).double())
        root = (vectors * values.sqrt()) @ vectors.T
        spread = torch.linalg.eigvalsh(root @ torch.diag(variances) @ root)
        return (spread.sum() ** 2 / spread.square().sum()).item()

    basis = torch.linalg.qr(torch.randn(40, 40, generator=generator, dtype=torch.float64))[0]
    for steep, falling in ((3.0, 0.0), (3.0, 1.0), (1.0, 2.0), (0.0, 1.0)):
        sizes = torch.arange(1, 41).double()
        metric = (basis * sizes**-steep) @ basis.T
        metric = metric / metric.diagonal().mean()
        variances = sizes**-falling
        share = _code_share(metric, variances)
        assert 0 <= share <= MOST_SHARE
        grown = directions(share, metric, variances) / directions(0, metric, variances)
        assert grown <= GROWTH * (1 + 1e-9)
        if share < MOST_SHARE:
            assert directions(share + 0.01, metric, variances) / directions(0, metric, variances) > GROWTH
    even = torch.ones(40).double()
    assert _code_share(torch.eye(40).double(), even) == MOST_SHARE
    one = torch.zeros(40, 40).double()
    one[0, 0] = 40
    assert _code_share(one, even) == pytest.approx(0.25, abs=0.01)
