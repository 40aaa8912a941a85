"""All of it on a device that is not the CPU: no tensor of one meets one of the other, and codes are not carried back.

The device is pretended (helpers/pretend_device.py), so this runs everywhere; where there is a GPU, on that too.
"""

import json
import math

import numpy as np
import pytest
import torch
from idx_files import blobs, write_idx
from pretend_device import NAME, Copies, pretend_device
from safetensors.torch import save_file

from latent_vizae import LatentMap, VizAE, certify, discover_directions, fit, load_decoder
from latent_vizae.adapters.zoo.taef2 import TAEF2, TAEF2_FILE
from latent_vizae.demos.train_zoo import main
from latent_vizae.demos.zoo.recipes import RECIPES
from latent_vizae.measures.metrics import (
    continuity,
    fvu,
    image_error,
    path_evenness,
    round_trip_error,
    trustworthiness,
)


@pytest.fixture(params=[NAME, "cuda"] if torch.cuda.is_available() else [NAME])
def place(request):
    """A device by its name, and the copies to and from it (not counted on a real one)."""
    if request.param == NAME:
        with pretend_device() as copies:
            yield NAME, copies
    else:
        yield request.param, Copies()


@pytest.fixture(autouse=True)
def _brief(monkeypatch):
    """v_d's last layer is solved once, for few codes: where things are counts here, not how good they are."""
    monkeypatch.setattr("latent_vizae.fitting.many.SETTLED", 300)
    monkeypatch.setattr("latent_vizae.fitting.last_layer.MOST_ROUNDS", 1)


def digits(device, count, label=None):
    """The bundled decoder on a device, and codes there."""
    decoder = load_decoder("mnist").to(device)
    return decoder, decoder.examples(label=label, count=count)[0].to(device)


def test_the_pretended_device_refuses_what_a_gpu_refuses():
    with pretend_device() as copies:
        x = torch.arange(6.0).reshape(2, 3).to(NAME)
        assert (x.device.type, (x @ x.mT + 1).device.type, copies) == (NAME, NAME, Copies(6, 0))
        for mix in (
            lambda: x + torch.ones(2, 3),
            lambda: torch.cat([x, torch.ones(1, 3)]),
            lambda: torch.ones(4)[x[0].long()],
            lambda: x.add_(torch.ones(3)),
            lambda: torch.randn(2, device=NAME, generator=torch.Generator()),
        ):
            with pytest.raises(RuntimeError, match=r"the same device|of the device"):
                mix()
        with pytest.raises(TypeError, match="to numpy"):
            x.numpy()
        assert x[torch.tensor([1])].device.type == NAME  # indices may stay on the CPU
        weight = torch.nn.Parameter(x)
        (weight * torch.tensor(2.0)).sum().backward()
        assert (weight.grad.device.type, weight.grad.cpu().unique().item()) == (NAME, 2)
        view = x.view(-1)
        view[1:3].mul_(2)
        assert x.tolist() == [[0, 2, 4], [3, 4, 5]]
        assert copies.back == 6 + 6


@pytest.mark.parametrize(
    ("count", "more"), [(1, {}), (2, {"dim": 1}), (20, {}), (90, {"dim": 3}), (5000, {"steps": 4})]
)
def test_fit_stays_where_the_codes_are(place, count, more):
    device, copies = place
    decoder, codes = digits(device, count)
    copies.back = 0
    v = fit(codes, decoder, labels=[1] * count, **{"steps": 12} | more)
    assert {v.device.type, v.points.device.type, v.labels.device.type, codes.device.type} == {device}
    assert copies.back < 2000  # single numbers; never codes, images or weights
    here = fit(codes.cpu(), decoder.to("cpu"), **{"steps": 12} | more)
    if device == NAME:
        assert torch.allclose(v.points.cpu(), here.points, atol=1e-3)
    assert math.isclose(v.report.fvu, here.report.fvu, rel_tol=0.05, abs_tol=1e-5)


def test_fit_without_a_decoder_from_files_and_batches(place, tmp_path):
    device, _ = place
    codes = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    save_file({"codes": codes}, tmp_path / "codes.safetensors")
    asked = {"steps": 3, "device": device}
    several = [fit(each, **asked) for each in (codes, tmp_path / "codes.safetensors", iter(codes.split(125)))]
    assert {v.device.type for v in several} == {device}
    assert all(torch.equal(v.points.cpu(), several[0].points.cpu()) for v in several)


def test_a_checkpoint_goes_on_there(place, tmp_path):
    device, _ = place
    decoder, codes = digits(device, 60)

    def stop(step, _steps, title):
        if (step, title) == (6, "fit"):
            raise KeyboardInterrupt

    asked = {"steps": 9, "checkpoint": tmp_path / "c.safetensors"}
    assert fit(codes, decoder, progress=stop, **asked).report.interrupted
    v = fit(codes, decoder, **asked)
    assert not v.report.interrupted
    assert torch.equal(v.points.cpu(), fit(codes, decoder, steps=9).points.cpu())


def test_the_map_its_certificate_and_the_measures(place, tmp_path):
    device, _ = place
    decoder, codes = digits(device, 30, label=5)
    v = fit(codes, decoder)
    m = LatentMap(v, decoder)
    points = v.encode(codes)
    found = [
        points,
        v.decode(points),
        v(codes),
        v.decode(points, residual_of=codes),
        m.render(points),
        m.support(points),
        m.stretch(points),
        m.place(decoder(codes[:2])),
        *(
            one.images
            for one in (
                m.grid(shape=(3, 3)),
                m.region(center=[0, 0], radius=0.3, count=3),
                m.path([-0.5, 0], [0.5, 0.5], frames=5),
                m.path(codes[0], codes[1], frames=4),
                m.path(codes[0], codes[1], frames=4, curve="shortest", residual=True),
            )
        ),
    ]
    assert {tensor.device.type for tensor in found} == {device}
    assert certify(v, decoder, resolution=6).grid.device.type == "cpu"
    measures = [
        fvu(codes, v(codes)),
        image_error(decoder(codes), m.render(points)),
        trustworthiness(codes, points, 5),
        continuity(codes, points, 5),
        round_trip_error(points, v.encode(v.decode(points))),
        path_evenness(m.path([-0.5, 0], [0.5, 0.5], frames=5).images),
    ]
    assert all(math.isfinite(each) for each in measures)
    v.save_pretrained(tmp_path / "v")
    again = VizAE.from_pretrained(tmp_path / "v", device=device)
    assert again.device.type == device
    assert torch.equal(again.points.cpu(), v.points.cpu())


def test_what_is_selected_saved_and_shown(place, tmp_path):
    device, _ = place
    decoder, codes = digits(device, 30, label=5)
    m = LatentMap(fit(codes, decoder, labels=[5] * 30), decoder)
    inside = m.inside(box=((-0.5, -0.5), (0.5, 0.5)))
    assert inside.device.type == m.nearest(m.v.points, 3).indices.device.type == "cpu"
    assert codes[inside].device.type == device
    samples = m.grid(shape=3)
    assert samples[1:4].images.device.type == samples[samples.points[:, 0] > 0].codes.device.type == device
    assert "image/png" in samples._repr_mimebundle_()
    assert m.save(tmp_path / "map.html", tiles=4, progress=False).stat().st_size > 10_000
    assert m._repr_html_().startswith("<iframe")
    assert m.to_parquet(tmp_path / "points.parquet", progress=False).is_file()


@pytest.mark.parametrize("curve", ["straight", "shortest"])
def test_a_path_where_v_and_its_decoder_are_apart(place, curve):
    device, _ = place
    decoder, codes = digits(device, 30, label=5)
    m = LatentMap(fit(codes, decoder, device="cpu"), decoder)
    samples = m.path(codes[0], codes[1], frames=4, curve=curve)
    assert (samples.points.device.type, samples.images.device.type) == ("cpu", device)


@pytest.mark.parametrize("method", ["trained", "codes", "features", "metric"])
def test_directions(place, method):
    device, _ = place
    decoder, codes = digits(device, 64)

    def classifier(images):
        return (images.mean((1, 2, 3)) > 0.12).long()

    found = discover_directions(decoder, codes, classifier, n_directions=2, method=method, steps=3, measured=2)
    if method == "trained":
        m = LatentMap(fit(codes[:20], decoder), decoder)
        assert m.traverse(codes[0], found.pick(0), steps=3).images.device.type == device
        m.arrows(found.pick(0))


@pytest.mark.parametrize("name", RECIPES)
def test_every_generator_of_the_zoo_is_trained_there(place, name, tmp_path, monkeypatch):
    device, copies = place
    colour, more = name in ("convolutional-vae", "colour-gan", "latent-vae"), []
    if name == "latent-vae":  # behind it any weights will do
        save_file(TAEF2().state_dict(), tmp_path / TAEF2_FILE)
        more = ["--taef2", str(tmp_path)]
    if colour:
        kinds = {"skin_tone": np.arange(36) >= 20, "names": np.full(36, "dot"), "group_names": np.array(["dots"])}
        images = np.random.default_rng(0).integers(0, 256, (36, 64, 64, 3), np.uint8)
        np.savez(tmp_path / "fluent-64.npz", images=images, groups=np.zeros(36, np.int64), **kinds)
    for split, count in () if colour else (("train", 20), ("t10k", 16)):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", blobs(count)[:, 0].numpy())
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    losses = []
    for where in (device, "cpu"):
        out = tmp_path / where
        main(
            [
                name,
                "--data",
                str(tmp_path),
                "--out",
                str(out),
                "--steps",
                "4",
                "--batch-size",
                "8",
                "--device",
                where,
                *more,
            ]
        )
        assert load_decoder(f"hub:{out / 'generator'}").image_shape[0] == (3 if colour else 1)
        rows = json.loads((out / "losses.json").read_text())
        losses.append([value for row in rows for key, value in row.items() if key != "seconds"])
        assert where == "cpu" or device != NAME or copies.there > 4 * 8 * 784  # it was there
        monkeypatch.setattr("latent_vizae.demos.zoo.loop.save_sheet", lambda *_: None)  # the CPU's is not looked at
    assert losses[0] == pytest.approx(losses[1], rel=0.02, abs=1e-3)
