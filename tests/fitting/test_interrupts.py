"""An interrupt returns the best v so far, and a fit with a checkpoint goes on as if there had been none."""

import importlib
import itertools

import pytest
import torch
from draws import normal
from safetensors.torch import load_file, save_file

import latent_vizae
from latent_vizae import fit

Z = torch.randn(1000, 2, 5, generator=torch.Generator().manual_seed(0))


class Break:
    """Ctrl-C after a step of a stage."""

    def __init__(self, title, step):
        self.title, self.at = title, step

    def __call__(self, step, steps, title):
        if (title, step) == (self.title, self.at):
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [("fit", 1), ("fit", 30), ("fit", 50), ("fit", 59)])
def test_a_fit_goes_on_after_a_break_as_if_there_had_been_none(f_d, tmp_path, at):
    codes, _ = f_d.examples(count=200)
    settings = {"decoder": f_d, "steps": 60, "seed": 3}
    kept = tmp_path / "fit.safetensors"
    whole = fit(codes, **settings)
    broken = fit(codes, checkpoint=kept, progress=Break(*at), **settings)
    assert broken.report.interrupted
    assert kept.exists()
    again = fit(codes, checkpoint=kept, **settings)
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert again.report.steps == whole.report.steps > broken.report.steps
    assert list(tmp_path.iterdir()) == []


def raising_at(function, calls):
    """The function, and Ctrl-C just before its n-th call."""
    left = itertools.count(calls, -1)

    def called(*inputs, **named):
        if next(left) == 1:
            raise KeyboardInterrupt
        return function(*inputs, **named)

    return called


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ("training.optimisers.near_orthogonal", 41),  # in the middle of a step, when half of the weights are changed
        ("fitting.many.mean_square", 1),  # when a step is measured
        ("fitting.many.mean_square", 3),  # when v_d's last layer is solved
        ("fitting.many.to_principal_axes", 1),
        ("fitting.many.trustworthiness", 1),
        ("fitting.last_layer.solve_last_layer", 1),
        ("fitting.sheet.set_plane", 1),
        ("model.vizae.nearest_point", 2),  # when v is measured
    ],
)
def test_a_break_at_any_moment_changes_nothing(tmp_path, monkeypatch, where, calls):
    kept, settings = tmp_path / "fit.safetensors", {"steps": 60, "seed": 3}
    whole = fit(Z[:300], **settings)
    module, _, name = where.rpartition(".")
    with monkeypatch.context() as broken:
        module = importlib.import_module(f"latent_vizae.{module}")
        broken.setattr(module, name, raising_at(getattr(module, name), calls))
        assert fit(Z[:300], checkpoint=kept, **settings).report.interrupted
    assert kept.exists()
    again = fit(Z[:300], checkpoint=kept, **settings)
    pairs = zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert again.report.steps == whole.report.steps


def test_a_break_does_not_turn_a_curve_into_a_plane(tmp_path):
    line = torch.linspace(-1, 1, 400)
    codes = torch.stack([line, Z[:400, 0, 0] / 3, 0.2 * (3 * line).sin()], 1)  # nearly a plane, and not quite
    kept, settings = tmp_path / "fit.safetensors", {"steps": 300, "seed": 3}
    whole = fit(codes, **settings)
    assert whole.hidden != ()
    assert fit(codes, checkpoint=kept, progress=Break("fit", 250), **settings).report.interrupted
    assert torch.equal(fit(codes, checkpoint=kept, **settings).points, whole.points)


@pytest.mark.parametrize("codes", [Z[:20], Z[:90, 0, :2]], ids=["few", "affine"])
def test_a_file_that_no_fit_opened_stays(tmp_path, codes):
    save_file({"weights": Z}, tmp_path / "mine.safetensors")
    fit(codes, checkpoint=tmp_path / "mine.safetensors")
    assert torch.equal(load_file(tmp_path / "mine.safetensors")["weights"], Z)


def test_a_checkpoint_of_another_fit_is_refused_and_kept(tmp_path):
    kept = tmp_path / "fit.safetensors"
    fit(Z, steps=60, checkpoint=kept, progress=Break("fit", 20))
    content = kept.read_bytes()
    for other in ({"steps": 61}, {"steps": 60, "seed": 1}, {"steps": 60, "dim": 3}):
        with pytest.raises(ValueError, match="other codes or with other settings"):
            fit(Z, checkpoint=kept, **other)
    with pytest.raises(ValueError, match="other codes"):
        fit(Z + 1, steps=60, checkpoint=kept)
    assert kept.read_bytes() == content
    flipped = bytearray(content)
    flipped[-9] ^= 1
    for damaged in (content[:100], bytes(flipped)):
        kept.write_bytes(damaged)
        with pytest.raises(ValueError, match="no checkpoint, or damaged"):
            fit(Z, steps=60, checkpoint=kept)
    with pytest.raises(ValueError, match="in a folder that is there"):
        fit(Z, checkpoint=tmp_path / "none" / "fit.safetensors")


def squares(z):
    """A small smooth decoder without parameters: 16 pixels from the first 6 values."""
    waves = torch.sin(z.flatten(1)[:, :6] @ normal(6, 16, seed=3).to(z))
    return (0.5 + 0.5 * waves).reshape(-1, 1, 4, 4)


class Interrupting:
    """`squares`, until somebody presses Ctrl-C at the n-th call."""

    def __init__(self, at=None):
        self.at, self.calls = at, 0

    def __call__(self, z):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return squares(z)


def test_an_interrupt_at_any_time_after_the_start_returns_the_best_v():
    codes, settings = normal(80, 6), {"steps": 10}
    whole = Interrupting()
    first = next(n for n in itertools.count(1) if not interrupted_before_a_v(codes, n, settings))
    fit(codes, decoder=whole, **settings)
    assert first < whole.calls
    for at in range(first, whole.calls + 1, 3):
        v = fit(codes, decoder=Interrupting(at), **settings)
        assert v.report.interrupted
        assert v.report.fvu < 1
        assert "interrupted" in str(v.report)
        assert v.points.abs().max() <= 1


def interrupted_before_a_v(codes, at, settings):
    try:
        fit(codes, decoder=Interrupting(at), **settings)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("decoder", [None, squares])
def test_an_interrupt_while_measuring_returns_a_measured_v(monkeypatch, decoder):
    codes, module = normal(20, 6), importlib.import_module("latent_vizae.fitting.measure")
    wanted = fit(codes, decoder).report
    monkeypatch.setattr(module, "_square_sums", raising_at(module._square_sums, 1))
    report = fit(codes, decoder).report
    assert report.interrupted
    assert report.fvu == wanted.fvu


def test_an_interrupted_training_keeps_the_best_weights():
    def progress(step, steps, title):
        if step == 130:
            raise KeyboardInterrupt

    codes = normal(100, 6) * torch.tensor([3.0, 2.0, 1.0, 0.3, 0.2, 0.1])
    v = fit(codes, steps=1000, progress=progress)
    assert v.report.interrupted
    assert 100 <= v.report.steps < 140
    assert v.report.fvu < 0.6


@pytest.mark.parametrize("written", ["0.0.9", None], ids=["another version", "no version"])
def test_a_checkpoint_of_another_version_is_refused_and_kept(tmp_path, monkeypatch, written):
    kept = tmp_path / "fit.safetensors"
    with monkeypatch.context() as earlier:
        earlier.setattr("latent_vizae.training.checkpoint.version", lambda _: written)
        fit(Z, steps=60, checkpoint=kept, progress=Break("fit", 20))
    content = kept.read_bytes()
    words = rf"written by latent_vizae {written or 'None'}; this is {latent_vizae.__version__}"
    with pytest.raises(ValueError, match=words):
        fit(Z, steps=60, checkpoint=kept)
    assert kept.read_bytes() == content
