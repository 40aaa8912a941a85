"""What codes are like: values that float32 hardly tells apart, columns of different units, outliers, unit vectors."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from latent_vizae import VizAE, fit
from latent_vizae.fitting.subspace import subspace
from latent_vizae.fitting.survey import survey
from latent_vizae.inputs.sources import open_codes
from latent_vizae.model.report import FitReport
from latent_vizae.sklearn import VizAETransformer

QUICK = {"steps": 40}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


Z = normal(300, 8)
FAR = 1e4 * normal(1, 8, seed=1)


def with_constant(value, dtype=torch.float32):
    return torch.cat([Z.to(dtype), torch.full((len(Z), 1), value, dtype=dtype)], 1)


def true_fvu(v: VizAE, codes) -> float:
    """By another route than the report's: numpy, with nothing taken for rounding."""
    given = torch.as_tensor(codes).float()
    back, given = v(given).double().numpy(), given.double().numpy()
    return ((given - back) ** 2).sum() / ((given - given.mean(0)) ** 2).sum()


def fvu_of_all(report: FitReport) -> float:
    """The report's two FVUs as one; each is relative to much the same variance."""
    held_out = report.held_out / report.k
    return (1 - held_out) * report.fvu + held_out * report.fvu_held_out


# Rounding, of each column by itself.


@pytest.mark.parametrize("value", [0.0, 1e7, 1.7e9, 1e15, -3e30])
def test_a_constant_column_changes_nothing(value):
    v = fit(with_constant(value), **QUICK)
    plain = fit(with_constant(0.0), **QUICK)
    assert v.report.rank == plain.report.rank == 8
    assert v.report.fvu == pytest.approx(plain.report.fvu, rel=1e-3)
    assert v.report.fvu_pca == pytest.approx(plain.report.fvu_pca, rel=1e-6)
    assert torch.allclose(v.points, plain.points, rtol=0, atol=1e-3)
    assert torch.equal(v.decode(v.points)[:, 8], torch.full((300,), value))


@pytest.mark.parametrize("k", [1, 3, 20, 60])
def test_a_constant_column_changes_nothing_of_few_codes(k):
    v, plain = (fit(with_constant(value)[:k], **QUICK) for value in (1.7e9, 0.0))
    assert v.report.rank == plain.report.rank
    assert v.report.fvu == pytest.approx(plain.report.fvu, rel=1e-2, abs=1e-9)
    assert torch.equal(v.decode(v.points)[:, 8], torch.full((k,), 1.7e9))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_transformer_takes_a_constant_column(dtype):
    table = with_constant(1.7e9 + 0.3, torch.float64).numpy().astype(dtype)
    estimator = VizAETransformer(**QUICK)
    points = estimator.fit_transform(table)
    assert points.std(0).min() > 0.1
    back = estimator.inverse_transform(points)
    left = ((back - table)[:, :8] ** 2).sum() / ((table - table.mean(0, dtype=np.float64))[:, :8] ** 2).sum()
    assert left == pytest.approx(fvu_of_all(estimator.v_.report), rel=0.1)


@pytest.mark.parametrize("n", [8, 20, 400])
@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_a_common_offset_costs_nothing_that_float32_has(n, offset):
    codes = normal(300, n) + offset
    v = fit(codes, **QUICK)
    assert v.report.rank >= min(n, 256)
    assert fvu_of_all(v.report) == pytest.approx(true_fvu(v, codes), rel=0.1)
    assert v.report.fvu_pca > 0.4


def test_an_offset_near_the_end_of_float32_is_said_and_measured():
    codes = normal(300, 8) + 1e7  # float32 has whole numbers there
    with pytest.warns(UserWarning, match=r"steps are too wide for columns 0, 1, 2, 3, 4, 5, 6, 7 of codes"):
        v = fit(codes, **QUICK)
    assert v.report.rank == 8
    assert fvu_of_all(v.report) == pytest.approx(true_fvu(v, codes), rel=0.1)
    assert v.report.fvu > 0.1


def test_a_column_that_float32_rounds_off_is_said(tmp_path):
    ids = 1e12 + torch.arange(300).double()[:, None]
    with pytest.raises(ValueError, match=r"of the variance of codes are lost.*: column 8 of codes"):
        fit(torch.cat([Z.double(), ids], 1))
    with pytest.warns(UserWarning, match="too wide for column 8 of codes"):
        fit(torch.cat([1e5 * Z.double(), ids], 1), **QUICK)
    save_file({"codes": Z + 1e7}, tmp_path / "codes.safetensors")
    with pytest.warns(UserWarning, match="too wide for columns 0, 1"):
        open_codes(tmp_path)
    with pytest.warns(UserWarning, match=r"too wide for codes \(flat, columns 0, 1"):
        open_codes(Z.reshape(300, 2, 4) + 1e7)


def test_what_float32_tells_apart_is_not_warned_of():
    silent = torch.cat([Z, 0.3 + 3e-8 * torch.randint(0, 2, (300, 1))], 1)  # a unit that does nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for codes in (Z, Z + 1e5, Z.double() + 1e5, 1e-30 * Z, silent, with_constant(1e7), (100 * Z).long()):
            open_codes(codes)


@given(
    n=st.integers(2, 30), k=st.integers(4, 60), size=st.floats(0, 9), rank=st.integers(1, 3), seed=st.integers(0, 999)
)
def test_rounding_is_no_direction(n, k, size, rank, seed):
    plane = normal(k, rank, seed=seed).double() @ normal(rank, n, seed=seed + 1).double()
    codes = (plane + 10**size * normal(1, n, seed=seed + 2).double()).float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large offsets
        reader = open_codes(codes)
    found = subspace(reader, survey(reader), torch.Generator().manual_seed(0))
    assert found.basis.shape[1] <= min(rank, n)
    if size < 4:
        assert found.basis.shape[1] == min(rank, n, k - 1)


@given(k=st.integers(1, 40), n=st.integers(1, 9), offset=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
def test_the_survey_measures_what_numpy_does(k, n, offset, seed):
    codes = normal(k, n, seed=seed) + offset
    reader = open_codes(codes)
    found = survey(reader)
    wide = codes.double().numpy()
    assert np.allclose(found.mean, wide.mean(0), rtol=1e-12, atol=1e-12)
    assert np.allclose(found.variance, wide.var(0), rtol=1e-6, atol=1e-14)


# Columns of different units.


def test_columns_of_different_units_get_a_sentence():
    v = fit(Z * torch.tensor([1e4, *[1.0] * 7]), **QUICK)
    assert v.report.narrow_columns == 7
    assert "7 of 8 columns vary by less than a hundredth" in str(v.report)
    assert "StandardScaler" in str(v.report)
    assert survey(open_codes(with_constant(1.7e9))).narrow == 0  # a constant column has no unit
    assert "\n" not in str(fit(Z, **QUICK).report)


# Outliers.


@pytest.mark.parametrize(("at", "far"), [(0, 1), (137, 1e26), (300, 1)])
def test_an_outlier_is_said_and_can_be_ignored(at, far, tmp_path):
    codes = torch.cat([Z[:at], far * FAR, Z[at:]])
    rest = torch.arange(301) != at
    with pytest.warns(UserWarning, match=r"outliers='ignore'"):
        kept = fit(codes, **QUICK)
    assert kept.report.outliers == 1
    assert kept.report.farthest > 1000
    assert kept.report.fvu < 0.01 < 0.1 < kept.report.fvu_of_rest
    assert (kept.points[rest].amax(0) - kept.points[rest].amin(0)).min() < 0.1  # why it is said
    text = str(kept.report)
    assert "1 of 301 codes is an outlier, up to" in text
    assert f"FVU of the rest: {kept.report.fvu_of_rest:.4g}" in text
    kept.save_pretrained(tmp_path / "v")
    assert "is an outlier, up to" in (tmp_path / "v" / "README.md").read_text(encoding="utf-8")
    assert VizAE.from_pretrained(tmp_path / "v").report == kept.report

    v = fit(codes, labels=torch.arange(301), outliers="ignore", **QUICK)
    assert v.points.shape == (301, 2)
    assert torch.equal(v.labels, torch.arange(301))
    assert (v.points[rest].amax(0) - v.points[rest].amin(0)).min() > 1.5
    assert v.points.abs().max() <= 1
    assert v.report.k == 301
    assert v.report.outliers_ignored
    assert v.report.fvu == v.report.fvu_of_rest
    alone = fit(Z, **QUICK)
    assert torch.equal(v.points[rest], alone.points)
    assert all(torch.equal(a, b) for a, b in zip(v.parameters(), alone.parameters(), strict=True))


def test_the_fvu_of_the_rest_is_that_of_the_rest():
    with pytest.warns(UserWarning, match="outliers"):
        v = fit(torch.cat([Z[:20], FAR]), hidden=())
    centred = (Z[:20] - Z[:20].mean(0)).double()
    expected = (Z[:20] - v(Z[:20])).double().square().sum() / centred.square().sum()
    assert v.report.fvu_of_rest == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    "distribution", ["normal", "uniform", "laplace", "two clusters", "one far cluster of a fifth"]
)
def test_what_is_no_outlier_is_not_called_one(distribution):
    generator = np.random.default_rng(0)
    for n, k in itertools.product((1, 2, 50), (12, 1000)):
        rows = {
            "normal": lambda size: generator.normal(size=size),
            "uniform": lambda size: generator.uniform(size=size),
            "laplace": lambda size: generator.laplace(size=size),
            "two clusters": lambda size: generator.normal(size=size) + 1e3 * generator.integers(0, 2, (size[0], 1)),
            "one far cluster of a fifth": lambda size: (
                generator.normal(size=size) + 1e3 * (np.arange(size[0]) % 5 == 0)[:, None]
            ),
        }[distribution]((k, n))
        assert len(survey(open_codes(rows)).outliers) == 0


def test_many_outliers_at_one_place_are_found():
    codes = torch.cat([Z, FAR + 0.01 * normal(20, 8)])[torch.randperm(320, generator=torch.Generator().manual_seed(0))]
    found = survey(open_codes(codes)).outliers
    assert torch.equal(found, (codes.norm(dim=1) > 100).nonzero().squeeze(1))


@given(k=st.integers(2, 40), left_out=st.sets(st.integers(0, 39), max_size=8), seed=st.integers(0, 99))
def test_a_reader_without_some_codes_has_the_others(k, left_out, seed):
    numbers = torch.tensor(sorted(i for i in left_out if i < k - 1), dtype=torch.int64)
    codes = normal(k, 2, 3, seed=seed)
    kept = codes[~torch.isin(torch.arange(k), numbers)]
    rest = open_codes(codes).without(numbers)
    assert len(rest) == len(kept)
    assert torch.equal(rest[:], kept)
    assert torch.equal(torch.cat([rest[i : i + 1] for i in range(len(kept))]), kept)
    order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(rest.take(order), kept.flatten(1)[order])


def test_outliers_is_one_of_two_words():
    with pytest.raises(ValueError, match="outliers is 'keep' or 'ignore', got 'drop'"):
        fit(Z, outliers="drop")


# Unit vectors.


def test_unit_vectors_are_said():
    codes = torch.nn.functional.normalize(normal(400, 30), dim=1)
    v = fit(codes, **QUICK)
    assert v.report.norm == pytest.approx(1, abs=1e-6)
    assert v.report.norm_decoded == pytest.approx(v(codes).norm(dim=1).mean().item(), rel=0.1)
    assert "All codes have norm 1; decoded ones have 0." in str(v.report)
    assert "cosine" in str(v.report)
    assert fit(Z, **QUICK).report.norm is None


def test_reports_of_earlier_versions_load():
    report = fit(Z[:10]).report
    early = dict(list(report.to_dict().items())[:14])  # what version 0.1 began with
    assert list(early)[-1] == "interrupted"
    old = FitReport.from_dict(early)
    assert old.outliers is old.norm is old.narrow_columns is None
    assert "\n" not in str(old)
    with pytest.raises(ValueError, match="entries"):
        FitReport.from_dict({name: value for name, value in early.items() if name != "fvu"})
