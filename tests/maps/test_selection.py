"""Codes inside of regions and nearest to points; what a line of Python shows of a map and its samples."""

import base64
import io

import numpy as np
import pytest
import torch
from draws import normal
from PIL import Image

from latent_vizae import LatentMap, certify, fit
from latent_vizae.maps.samples import Sample, Samples


@pytest.fixture(scope="module")
def maps(linear):
    """Maps of 1, 2 and 3 dimensions."""
    weight = normal(5, 16) / 20
    return {dim: LatentMap(fit(normal(60, 5), dim=dim, seed=0), linear(weight)) for dim in (1, 2, 3)}


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_codes_in_a_box_and_in_a_disc_are_those_that_lie_there(maps, dim):
    m = maps[dim]
    points, corner = m.v.points, torch.full((dim,), 0.4)
    in_box = ((points >= -corner) & (points <= corner)).all(1).nonzero().flatten()
    in_disc = (points.norm(dim=1) <= 0.5).nonzero().flatten()
    assert 0 < len(in_box) < 60
    assert torch.equal(m.inside(box=(-corner, corner)), in_box)
    assert torch.equal(m.inside(torch.stack([-corner, corner])), in_box)
    assert torch.equal(m.inside(torch.zeros(dim), 0.5), in_disc)
    assert torch.equal(m.inside(center=torch.zeros(dim), radius=0.5), in_disc)


def test_a_lasso_gives_what_lies_in_it_though_it_is_not_convex(maps):
    m = maps[2]
    corners = [(-1, -1), (1, -1), (1, 1), (0, -0.5), (-1, 1)]  # with a notch from above
    found = m.inside(polygon=corners)
    x, y = m.v.points.T
    assert torch.equal(found, (y <= 1.5 * x.abs() - 0.5).nonzero().flatten())
    assert torch.equal(m.inside(corners), found)
    assert 0 < len(found) < 60


def test_a_region_without_codes_gives_none(maps):
    nothing = maps[2].inside((5, 5), 0.1)
    assert nothing.shape == (0,)
    assert nothing.dtype == torch.int64


def test_codes_of_a_region_are_rows_of_the_fitted_ones(f_d, fives, m):
    found = m.inside((0, 0), 0.7)
    assert torch.allclose(m.v.encode(fives[found]), m.v.points[found], atol=1e-3)
    assert np.asarray(fives)[found].shape[0] == len(found)  # of an array too


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_nearest_codes_are_those_of_a_sorted_list_of_distances(maps, dim):
    m, points = maps[dim], maps[dim].v.points
    near = m.nearest(torch.full((dim,), 0.1), 7)
    distances = (points - 0.1).norm(dim=1)
    assert torch.allclose(near.distances, distances.sort().values[:7], atol=1e-6)
    assert torch.allclose(distances[near.indices], near.distances, atol=1e-6)
    many = m.nearest(points, 1)
    assert torch.equal(points[many.indices.flatten()], points)
    assert (many.distances == 0).all()


def test_what_is_no_region_or_point_is_refused(maps):
    m = maps[2]
    for asked in (
        {}, {"region": (0, 0)}, {"radius": 0.5}, {"region": [(0, 0), (1, 1)], "box": [(0, 0), (1, 1)]},
        {"box": ((1, 1), (0, 0))}, {"polygon": [(0, 0), (1, 1)]}, {"region": (0, 0), "radius": -1},
        {"region": [(0, 0), (float("nan"), 1), (1, 0)]},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"region|box|polygon|radius|corner"):
            m.inside(**asked)
    for point, count in (((0, 0, 0), 1), ((0, float("nan")), 1), ((0, 0), 61), ((0, 0), 0)):
        with pytest.raises(ValueError, match=r"points|count"):
            m.nearest(point, count)


def test_samples_are_a_sequence(m):
    samples = m.grid(shape=(3, 4))
    assert [point.tolist() for point, _, _ in samples] == samples.points.tolist()
    one = samples[-1]
    assert isinstance(one, Sample)
    assert torch.equal(one.image, samples.images[11])
    assert torch.equal(one.code, samples[np.int64(11)].code)
    some = samples[2:9:3]
    assert isinstance(some, Samples)
    assert torch.equal(some.codes, samples.codes[[2, 5, 8]])
    assert torch.equal(samples[[5, 0]].points, samples.points[[5, 0]])
    assert torch.equal(samples[samples.points[:, 0] > 0].points, samples.points[samples.points[:, 0] > 0])
    assert len(samples[[]]) == 0
    for wrong, error in ((12, IndexError), ([12], IndexError), ("a", TypeError), (1.5, TypeError), (None, TypeError)):
        with pytest.raises(error):
            samples[wrong]


def test_everything_says_itself_in_one_line(m, f_d, fives):
    for thing in (
        m, m.v, certify(m.v, f_d), m.grid(shape=3), m.path((-1, 0), (1, 0)), m.nearest((0, 0), 2),
        m.arrows(torch.eye(10)[:2]),
    ):  # fmt: skip
        assert "\n" not in repr(thing)
        assert len(repr(thing)) < 200
    assert repr(m) == "LatentMap(VizAE(latent_shape=(10,), dim=2, count=20, source='mnist'), MnistDecoder)"


def picture(bundle, kind):
    return Image.open(io.BytesIO(base64.b64decode(bundle[kind])))


def test_a_notebook_shows_a_sheet_of_a_region_and_an_animation_of_a_path(m):
    sheet, path = m.grid(shape=(5, 5))._repr_mimebundle_(), m.path((-1, 0), (1, 0), frames=8)._repr_mimebundle_()
    assert picture(sheet, "image/png").size == (146, 146)
    assert picture(m.grid(shape=(2, 6))._repr_mimebundle_(), "image/png").size == (175, 59)  # rows stay rows
    assert "image/gif" not in sheet
    assert picture(path, "image/gif").n_frames == 8
    assert path["text/html"].startswith('<img alt="Samples(8 samples: ')


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 1024, 1024), (4, 1, 3000)])
@pytest.mark.parametrize("rows", [None, 1, 25])
def test_what_a_notebook_shows_is_bounded_and_says_what_it_leaves_out(shape, rows):
    image = torch.rand(1, *shape)
    if rows == 1:  # of few colours, which an animation's palette is found for at once: 64 frames of noise take 15 s
        image = torch.nn.functional.interpolate(image[..., :1, :4], shape[1:])
    images = image.expand(500, *shape)
    bundle = Samples(torch.zeros(500, 2), torch.zeros(500, 3), images, rows)._repr_mimebundle_()
    assert max(picture(bundle, "image/png").size) <= 1200
    assert sum(map(len, bundle.values())) < 15_000_000
    if rows != 1:
        assert "of them shown" in bundle["text/html"]


def test_images_that_are_no_picture_show_as_text():
    samples = Samples(torch.zeros(2, 2), torch.zeros(2, 3), torch.rand(2, 7, 4, 4))
    assert samples._repr_mimebundle_() == {"text/plain": repr(samples)}
