"""Places of a map: samples at one, how typical its codes are, what it explains of images, and detail everywhere."""

import pytest
import torch
from priors import Waves, draws

from latent_vizae import LatentMap, certify, fit
from latent_vizae.maps.places import explained_share


@pytest.fixture(scope="module")
def m():
    decoder = Waves()
    return LatentMap(fit(draws(600), decoder, steps=60), decoder)


def test_detail_and_variants_wherever_a_map_decodes(m):
    ask = {
        "render": lambda **o: m.render(m.v.points[:5], **o),
        "grid": lambda **o: m.grid(shape=3, **o).images,
        "region": lambda **o: m.region((0, 0), 0.5, count=5, **o).images,
        "path": lambda **o: m.path((-0.5, 0), (0.5, 0), frames=5, **o).images,
        "shortest": lambda **o: m.path((-0.5, 0), (0.5, 0), frames=3, curve="shortest", **o).images,
        "traverse": lambda **o: m.traverse((0.2, 0.1), torch.ones(24), steps=3, reach=1, **o).images,
    }
    for name, images in ask.items():
        full, sheet, other = images(), images(detail=0), images(variant=1)
        assert torch.equal(full, images(detail=1, variant=0)), name
        assert not torch.allclose(full, sheet, atol=0.01), name
        assert not torch.allclose(full, other, atol=0.01), name
        for bad in ({"detail": 2}, {"variant": 0.5}):
            with pytest.raises((TypeError, ValueError), match=next(iter(bad))):
                images(**bad)
    assert not torch.equal(m.grid(shape=3, variant="each").images, m.grid(shape=3).images)
    with pytest.raises(ValueError, match="variant is a whole number"):
        m.path((-0.5, 0), (0.5, 0), variant="each")


def test_a_path_with_residuals_ends_at_the_codes(m):
    ends = draws(2, 7)
    assert torch.allclose(m.path(ends[0], ends[1], frames=4, residual=True).codes[[0, -1]], ends, atol=1e-4)
    with pytest.raises(ValueError, match="in the place of detail"):
        m.path(ends[0], ends[1], residual=True, detail=0.5)


def test_samples_at_a_place_or_of_a_region(m):
    some = m.samples((0.1, 0.2), count=12, seed=3)
    assert (len(some), some.images.shape[0]) == (12, 12)
    assert (some.points == torch.tensor([0.1, 0.2])).all()
    assert torch.equal(some.codes, m.samples([[0.1, 0.2]], count=12, seed=3).codes)
    assert some.codes.std(0).min() > 0.1
    disc = m.samples((0, 0), 9, radius=0.2)
    assert disc.points.norm(dim=1).max() <= 0.2 + 1e-6
    assert len(disc.points.unique(dim=0)) == 9
    assert len(m.samples(count=5, box=((-0.1, -0.1), (0.1, 0.1)))) == 5
    assert len(m.samples(count=5, polygon=[(0, 0), (0.5, 0), (0, 0.5)])) == 5


def test_samples_say_what_they_take(m):
    for bad in (
        {}, {"point": (0, 0), "box": ((0, 0), (1, 1))}, {"point": (0, 0, 0)}, {"point": [(0, 0), (1, 1)]},
        {"point": (0, 0), "count": 0}, {"point": (0, float("nan"))}, {"point": (0, 0), "radius": -1},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"[a-z]"):
            m.samples(**bad)
    few = LatentMap(fit(draws(10), Waves()), Waves())
    for ask in (few.samples, few.explained, few.typicality):
        with pytest.raises(ValueError, match="This v has no detail"):
            ask(few.v.points[:1] if ask == few.samples else few.v.points)


def test_the_sheet_is_typical_with_detail_alone(m):
    places = m.v.points[:200]
    sheet, full = m.typicality(places, detail=0), m.typicality(places)
    assert sheet.typical.float().mean() < 0.3
    assert full.typical.float().mean() > 0.8
    assert 0 < full.low < 1 < full.high
    own = m.v.sample(places)
    assert own.shape == (200, 24)


def test_a_place_explains_what_the_map_shows(m):
    share = m.explained(m.v.points[:60], draws=10)
    assert share.shape == (60,)
    assert 0.05 < share.mean() < 0.6
    pixels = torch.tensor([0.0, 0.0, 1.0, 1.0]).reshape(4, 1, 1, 1)
    assert explained_share(pixels, 2).tolist() == [1, 1]
    assert explained_share(pixels[[0, 2, 1, 3]], 2).tolist() == pytest.approx([-0.5, -0.5])
    assert explained_share(pixels * 0, 2).tolist() == [1, 1]
    for bad in ({"points": m.v.points[:1]}, {"points": m.v.points[:4], "draws": 1}):
        with pytest.raises(ValueError, match="at least 2"):
            m.explained(**bad)


def test_the_certificate_says_where_codes_are_typical(m):
    def verdict(certificate):
        return [verdict for verdict, text in certificate.statements() if text.startswith("typical:")]

    full = certify(m.v, m.decoder, resolution=9)
    m.v.detail = 0.0
    sheet = certify(m.v, m.decoder, resolution=9)
    m.v.detail = 1.0
    assert sheet.typical_share < full.typical_share - 0.2
    assert (verdict(sheet), len(verdict(full))) == (["does not hold"], 1)
    assert sheet.round_trip_max == full.round_trip_max
    assert len(sheet.typical_layer) == len(sheet.grid) == 81
    assert '"typical_layer": [' in sheet.to_json()
    assert verdict(certify(fit(draws(10)))) == []
