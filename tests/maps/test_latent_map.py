"""LatentMap: grids, regions, paths and placements as points, codes and images."""

import itertools

import numpy as np
import pytest
import torch
from draws import normal
from hypothesis import given
from hypothesis import strategies as st

from latent_vizae import LatentMap, fit
from latent_vizae.maps import paths
from latent_vizae.maps.paths import frame_changes
from latent_vizae.maps.regions import box_region, cover, disc_region, lattice, polygon_region
from latent_vizae.measures import geometry
from latent_vizae.measures.geometry import resample
from latent_vizae.measures.metrics import path_evenness

POLYGON = [(-0.8, -0.6), (0.7, -0.9), (0.1, 0.0), (0.9, 0.8), (-0.5, 0.9)]  # not convex


def squares(z):
    return (0.5 + 0.5 * torch.sin(z.flatten(1)[:, :4])).reshape(-1, 1, 2, 2)


@pytest.fixture(scope="module", params=[1, 2, 3])
def any_map(request):
    """A map of each dimension, with a decoder that costs nothing."""
    return LatentMap(fit(normal(12, 6), dim=request.param), squares)


@pytest.fixture(scope="module")
def plane():
    """A map whose codes are its points: v is the identity of R^2."""
    return fit(torch.tensor([[-1.0, -1], [1, -1], [-1, 1], [1, 1]]), dim=2)


@pytest.fixture(scope="module")
def cheap(v):
    """The fives' map with a curved decoder that costs nothing: shortest paths decode thousands of points."""
    first, second = 0.7 * normal(10, 24, seed=1), 0.5 * normal(24, 16, seed=2)
    return LatentMap(v, lambda z: (torch.tanh(z @ first) @ second).sigmoid().reshape(-1, 1, 4, 4))


def consistent(samples, map_):
    """Points, codes and images of one order, each decoded from the one before."""
    assert len(samples) == len(samples.points) == len(samples.codes) == len(samples.images)
    assert torch.allclose(map_.v.decode(samples.points), samples.codes, atol=1e-5)
    assert torch.allclose(map_.decoder(samples.codes), samples.images, atol=1e-5)


# Rendering.


def test_render_is_the_decoder_after_v(m, v, f_d):
    points = normal(5, 2)
    assert torch.allclose(m.render(points), f_d(v.decode(points)), atol=1e-5)
    assert torch.equal(m.render(points.tolist()), m.render(points.numpy()))


def test_a_code_renders_to_its_own_image_with_its_residual(m, v, f_d):
    codes, _ = f_d.examples(label=3, count=4)
    assert torch.allclose(m.render(v.encode(codes), residual_of=codes), f_d(codes), atol=1e-5)
    assert not torch.allclose(m.render(v.encode(codes)), f_d(codes), atol=1e-2)
    moved = m.grid(shape=(2, 2), residual_of=codes[:1])
    assert torch.allclose(moved.codes - v.decode(moved.points), codes[:1] - v(codes[:1]), atol=1e-4)


# Grids.


def test_a_grid_runs_row_by_row_from_the_top(m):
    samples = m.grid(box=((-0.5, -0.2), (0.5, 0.4)), shape=(3, 5))
    rows, columns = samples.points.reshape(3, 5, 2).unbind(-1)
    assert torch.allclose(rows, torch.linspace(-0.5, 0.5, 5).expand(3, 5))
    assert torch.allclose(columns, torch.tensor([0.4, 0.1, -0.2])[:, None].expand(3, 5))
    assert samples.rows == 3
    consistent(samples, m)


def test_a_grid_covers_the_whole_map_with_ten_a_side(any_map):
    dim = any_map.v.dim
    samples = any_map.grid()
    assert len(samples) == 10**dim
    corners = set(itertools.product((-1.0, 1.0), repeat=dim))
    assert corners <= {tuple(point) for point in samples.points.tolist()}
    assert len(torch.unique(samples.points, dim=0)) == 10**dim
    consistent(samples, any_map)


def test_a_grid_in_space_goes_layer_by_layer():
    map_ = LatentMap(fit(normal(12, 6), dim=3), squares)
    points = map_.grid(box=((0, 0, 0), (1, 1, 1)), shape=(2, 3, 4)).points.reshape(4, 2, 3, 3)
    assert torch.allclose(points[0, 0, :, 0], torch.tensor([0, 0.5, 1]))
    assert torch.allclose(points[0, :, 0, 1], torch.tensor([1.0, 0]))
    assert points[..., 2].flatten(1).std(1).max() == 0
    assert len(set(points[:, 0, 0, 2].tolist())) == 4


def test_one_row_or_column_lies_in_the_middle(m):
    assert m.grid(box=((0, 0), (1, 0.5)), shape=(1, 2)).points.tolist() == [[0, 0.25], [1, 0.25]]
    assert m.grid(box=((0, 0), (1, 0.5)), shape=(1, 1)).points.tolist() == [[0.5, 0.25]]
    assert len(m.grid(shape=np.array([2, 3]))) == 6


# Regions.


def regions():
    yield 1, disc_region([0.3], 0.4, 1)
    yield 1, box_region(([-0.5], [0.2]), 1)
    yield 2, disc_region([0.1, -0.2], 0.5, 2)
    yield 2, box_region(((-0.5, -0.2), (0.5, 0.4)), 2)
    yield 2, polygon_region(POLYGON, 2)
    yield 3, disc_region([0.1, -0.2, 0], 0.5, 3)
    yield 3, box_region(((-0.5, -0.2, 0), (0.5, 0.4, 0.1)), 3)


REGIONS = list(regions())


NAMES = ["interval", "1-D box", "disc", "box", "polygon", "ball", "3-D box"]


@pytest.mark.parametrize(("dim", "region"), REGIONS, ids=NAMES)
@given(count=st.integers(1, 300), seed=st.integers(0, 1000))
def test_regions_are_filled_with_exactly_so_many_and_not_left(dim, region, count, seed):
    for points in (cover(region, count, seed), lattice(region, count)):
        assert points.shape == (count, dim)
        assert region.contains(points).all()
        assert len(torch.unique(points, dim=0)) == count


@pytest.mark.parametrize(("dim", "region"), REGIONS, ids=NAMES)
@pytest.mark.parametrize(
    "fill", [lambda region: cover(region, 512, 0), lambda region: lattice(region, 512)], ids=["cover", "lattice"]
)
def test_regions_are_filled_evenly(dim, region, fill):
    """Every ball of a twentieth of the area or volume holds its share; random points would miss by more."""
    points = fill(region)
    anywhere = region.low + torch.rand(200_000, dim, generator=torch.Generator().manual_seed(0)) * (
        region.high - region.low
    )
    anywhere = anywhere[region.contains(anywhere)]
    for middle in anywhere[:20]:
        order = (anywhere - middle).norm(dim=1).sort().values
        radius = order[len(order) // 10]
        inside = ((points - middle).norm(dim=1) <= radius).float().mean().item()
        assert inside == pytest.approx(0.1, abs=0.035)


def test_a_cover_of_a_box_is_a_digital_net():
    points = cover(box_region(((-1, -1), (1, 1)), 2), 64, 3)
    cells = ((points + 1) * 2).floor().long().clamp(max=3)
    assert (cells[:, 0] * 4 + cells[:, 1]).bincount(minlength=16).tolist() == [4] * 16


def test_a_square_lattice_of_a_square_is_a_grid():
    points = lattice(box_region(((-1, -1), (1, 1)), 2), 25)
    axis = torch.linspace(-0.8, 0.8, 5)
    assert torch.allclose(points, torch.cartesian_prod(axis, axis), atol=1e-6)


def test_covers_follow_the_seed_and_leave_the_global_generator_alone(m):
    before = torch.get_rng_state()
    first, again, other = (m.region((0, 0), 0.5, 20, seed=seed).points for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layout", ["cover", "grid"])
def test_the_maps_regions_are_those(m, layout):
    disc = m.region((0.1, 0.2), 0.5, count=37, layout=layout)
    assert (disc.points - torch.tensor([0.1, 0.2])).norm(dim=1).max() <= 0.5
    box = m.region(box=((-0.5, -0.2), (0.5, 0.4)), count=20, layout=layout)
    assert (box.points.abs() <= torch.tensor([0.5, 0.4])).all()
    polygon = m.region(polygon=POLYGON, count=30, layout=layout)
    assert polygon_region(POLYGON, 2).contains(polygon.points).all()
    for samples, count in ((disc, 37), (box, 20), (polygon, 30)):
        assert len(samples) == count
        consistent(samples, m)


def test_intervals_and_balls_are_discs_of_their_dimension(any_map):
    center = [0.1] * any_map.v.dim
    points = any_map.region(center, np.float32(0.3), 50).points
    assert (points - torch.tensor(center)).norm(dim=1).max() <= 0.3 + 1e-6


def test_a_polygon_without_area_is_refused_at_once(m):
    for layout in ("grid", "cover"):
        with pytest.raises(ValueError, match="too thin to fill"):
            m.region(polygon=[(0, 0), (1, 0), (0, 0), (0, 1)], count=10, layout=layout)


def test_a_thin_polygon_is_filled_whatever_the_count(m):
    sliver = [(-1, -1), (-0.97, -1), (1, 1), (0.97, 1)]  # 1.5 % of its box
    for count, seed in itertools.product((1, 2, 50), range(20)):
        assert len(m.region(polygon=sliver, count=count, seed=seed)) == count


def test_a_polygon_may_cross_itself():
    bow = polygon_region([(0, 0), (1, 1), (1, 0), (0, 1)], 2)
    assert bow.contains(torch.tensor([[0.1, 0.5], [0.9, 0.5], [0.5, 0.1], [0.5, 0.9]])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_samples_are_float32_under_any_default_dtype(any_map):
    center = [0.0] * any_map.v.dim
    torch.set_default_dtype(torch.float64)
    try:
        several = [
            any_map.grid(),
            *(any_map.region(center, 0.5, 20, layout=layout) for layout in ("cover", "grid")),
            *(any_map.path(center, any_map.v.points[0], frames=5, curve=curve) for curve in ("straight", "shortest")),
        ]
    finally:
        torch.set_default_dtype(torch.float32)
    for samples in several:
        assert {samples.points.dtype, samples.codes.dtype, samples.images.dtype} == {torch.float32}
        consistent(samples, any_map)


# Paths.


@pytest.mark.wheel
def test_a_path_runs_from_end_to_end_at_a_constant_pace(m, v, fives):
    for start, end in ((0, 1), (2, 7), (11, 3)):
        samples = m.path(fives[start], fives[end], frames=24)
        assert torch.allclose(samples.points[[0, -1]], v.encode(fives[[start, end]]), atol=1e-5)
        assert path_evenness(samples.images) < 0.1
        assert len(samples) == 24
        assert samples.rows == 1
        consistent(samples, m)


def test_the_shortest_path_of_digits_is_shorter_and_as_even(m, v, fives):
    ends = v.points.abs().amax(1).argsort(descending=True)[:2]
    straight, shortest = (m.path(*fives[ends], frames=24, curve=curve) for curve in ("straight", "shortest"))
    assert torch.allclose(shortest.points[[0, -1]], v.points[ends], atol=1e-4)
    assert path_evenness(shortest.images) < 0.1
    assert length(shortest) <= 1.02 * length(straight)


def test_a_linear_pace_is_constant_on_the_map(any_map):
    dim = any_map.v.dim
    corners = torch.linspace(-1, 1, 3 * dim).reshape(3, dim).roll(1, 0)
    points = any_map.path(*corners, frames=41, pace="linear").points
    assert torch.allclose(points[[0, -1]], corners[[0, -1]], atol=1e-6)
    lengths = (corners[1:] - corners[:-1]).norm(dim=1)
    expected = resample(corners, torch.cat([torch.zeros(1), lengths.cumsum(0)]), torch.linspace(0, lengths.sum(), 41))
    assert torch.allclose(points, expected, atol=1e-5)


@pytest.mark.parametrize("curve", ["straight", "shortest"])
def test_a_polyline_goes_through_its_corners(any_map, curve):
    corners = torch.tensor([[-0.8, 0.1, 0.0], [0.2, 0.7, 0.3], [0.9, -0.5, -0.4]])[:, : any_map.v.dim]
    points = any_map.path(corners, frames=200, curve=curve).points
    assert torch.cdist(corners, points).amin(1).max() < 0.05
    assert torch.allclose(points[[0, -1]], corners[[0, -1]], atol=1e-5)


def test_ends_may_be_points_or_codes_one_by_one_or_together(m, v, fives):
    expected = m.path(fives[0], fives[1], frames=5).points
    for ends in (
        (fives[:2],),
        (fives[:2].numpy(),),
        (list(fives[:2]),),
        tuple(v.encode(fives[:2])),
        (v.encode(fives[:2]),),
    ):
        assert torch.allclose(m.path(*ends, frames=5).points, expected, atol=1e-3)


def test_one_array_of_ends_is_of_points_though_a_code_has_its_shape():
    m = LatentMap(fit(normal(12, 5, 2)), squares)
    points = m.path(normal(5, 2), frames=9).points
    assert torch.allclose(points[[0, -1]], normal(5, 2)[[0, -1]])
    assert m.path(normal(4, 5, 2), frames=9).codes.shape == (9, 5, 2)
    for one in (normal(2), normal(1, 2)):
        with pytest.raises(ValueError, match="at least two ends, got 1"):
            m.path(one)


@pytest.mark.parametrize("curve", ["straight", "shortest"])
@pytest.mark.parametrize("pace", ["linear", "constant"])
def test_a_path_with_residuals_ends_exactly_at_its_codes(cheap, f_d, curve, pace):
    codes, _ = f_d.examples(label=3, count=3)
    samples = cheap.path(codes, frames=9, residual=True, curve=curve, pace=pace)
    assert torch.allclose(samples.codes[[0, -1]], codes[[0, -1]], atol=1e-4)
    assert torch.allclose(samples.images[[0, -1]], cheap.decoder(codes[[0, -1]]), atol=1e-4)
    assert not torch.allclose(cheap.path(codes, frames=9).codes[[0, -1]], codes[[0, -1]], atol=1e-2)


@pytest.mark.parametrize("curve", ["straight", "shortest"])
@pytest.mark.parametrize("pace", ["linear", "constant"])
@pytest.mark.parametrize("corners", ["ab", "cab", "abc", "cabcba", "acab"])
def test_residuals_turn_where_codes_share_a_point_or_come_again(curve, pace, corners):
    low = torch.cat([normal(30, 3), torch.zeros(30, 9)], 1)  # b is a, but for what the map knows nothing of
    codes = {"a": low[0], "b": low[0] + 3 * torch.eye(12)[7], "c": low[1]}
    m = LatentMap(fit(low), lambda z: (0.2 * z).sigmoid().reshape(-1, 1, 3, 4))
    assert torch.allclose(*m.v.encode(torch.stack([codes["a"], codes["b"]])), atol=1e-6)
    samples = m.path(*(codes[name] for name in corners), frames=121, residual=True, curve=curve, pace=pace)
    ends = torch.stack([codes[corners[0]], codes[corners[-1]]])
    assert torch.allclose(samples.codes[[0, -1]], ends, atol=1e-4)
    assert torch.allclose(samples.images[[0, -1]], m.decoder(ends), atol=1e-4)
    assert (samples.codes[1:] - samples.codes[:-1]).norm(dim=1).max() < 0.6  # and never jumps
    at = 0
    for name in corners:  # it comes by all of them, in their order
        at += int((samples.codes[at:] - codes[name]).norm(dim=1).lt(0.4).nonzero()[0])


@pytest.mark.parametrize("frames", [2, 16])
def test_a_path_ends_at_its_end_though_images_stop_changing_before(v, fives, frames):
    weight = normal(10, 16)
    m = LatentMap(v, lambda z: (4 * (z @ weight)).clamp(0, 1).round().reshape(-1, 1, 4, 4))
    for start, end in itertools.pairwise(fives):
        samples = m.path(start, end, frames=frames, residual=True)
        assert torch.allclose(samples.points[[0, -1]], v.encode(torch.stack([start, end])), atol=1e-5)
        assert torch.allclose(samples.codes[[0, -1]], torch.stack([start, end]), atol=1e-4)


def test_a_path_that_goes_nowhere_stays(cheap, fives):
    for curve in ("straight", "shortest"):
        samples = cheap.path(fives[0], fives[0], frames=4, curve=curve)
        assert torch.allclose(samples.codes, samples.codes[:1].expand(4, -1), atol=1e-4)


def test_two_frames_are_the_ends(m):
    assert m.path((-1, 0), (0.5, 0.5), frames=2).points.tolist() == [[-1, 0], [0.5, 0.5]]


def length(samples):
    return frame_changes(samples.images).sum().item()


def test_the_shortest_path_is_no_longer_than_the_straight_one(cheap):
    for start, end in (
        ((-0.9, -0.8), (0.8, 0.9)),
        ((-0.9, 0.7), (0.6, -0.9)),
        ((0, -1), (0.2, 1)),
        ((-1, 0), (-0.8, 0.1)),
    ):
        straight, shortest = (cheap.path(start, end, frames=64, curve=curve) for curve in ("straight", "shortest"))
        assert length(shortest) <= 1.02 * length(straight)


@pytest.mark.parametrize("height", [0.3, 1.0])
def test_the_shortest_path_goes_around_a_hill(plane, height):
    """Going over it changes two pixels there and back; around it next to nothing changes."""

    def hill(z):
        pixel = height * torch.exp(-8 * z.square().sum(1, keepdim=True))
        return torch.cat([0.5 + 0.02 * z, pixel, pixel], 1).reshape(-1, 1, 2, 2)

    m = LatentMap(plane, hill)
    straight, shortest = (
        m.path((-0.9, 0.02), (0.9, 0.02), frames=64, curve=curve) for curve in ("straight", "shortest")
    )
    assert straight.points.norm(dim=1).min() < 0.2
    assert shortest.points.norm(dim=1).min() > 0.5
    assert length(shortest) < 0.3 * length(straight)


def test_without_hills_the_shortest_path_is_straight(plane):
    m = LatentMap(plane, lambda z: (0.5 + 0.1 * z).repeat(1, 2).reshape(-1, 1, 2, 2))
    points = m.path((-0.9, -0.3), (0.8, 0.6), frames=20, curve="shortest").points
    expected = m.path((-0.9, -0.3), (0.8, 0.6), frames=20).points
    assert torch.allclose(points, expected, atol=0.02)


def test_the_shortest_path_works_without_gradients_and_in_any_mode(plane):
    m = LatentMap(plane, lambda z: torch.from_numpy(1 / (1 + np.exp(-z.numpy()))).repeat(1, 2).reshape(-1, 1, 2, 2))
    expected = m.path((-1, 0), (1, 0.3), frames=5, curve="shortest").points
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.allclose(m.path((-1, 0), (1, 0.3), frames=5, curve="shortest").points, expected)


# Placing and trusting.


def test_images_are_placed_where_their_codes_are(m, v, f_d):
    images, _ = f_d.images()
    assert torch.allclose(m.place(images), v.encode(f_d.encode(images)), atol=1e-4)
    assert m.place(images[:3].double().numpy()).shape == (3, 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_images_are_placed_by_encoders_of_any_precision(v, dtype):
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            weight = torch.rand(16, 10, generator=torch.Generator().manual_seed(0)) - 0.5  # codes near the middle
            self.weight = torch.nn.Parameter(weight.to(dtype))

        def forward(self, z):
            return (z @ self.weight.T).sigmoid().reshape(-1, 1, 4, 4)

        def encode(self, images):
            return images.flatten(1) @ self.weight

    decoder, images = Both(), torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(
        LatentMap(v, decoder).place(images), v.encode(images.flatten(1) @ decoder.weight.float()), atol=0.1
    )


def test_many_images_are_placed_in_bounded_batches(v):
    sizes = []

    class Both:
        def __call__(self, z):
            return torch.zeros(len(z), 1, 256, 256)

        def encode(self, images):
            sizes.append(images.numel())
            return images[:, 0, 0, :10]

    m = LatentMap(v, Both())
    assert m.place(torch.zeros(40, 1, 256, 256)).shape == (40, 2)
    assert max(sizes) <= 2**20


def test_support_is_one_at_the_codes_and_fades_away(any_map):
    v = any_map.v
    assert any_map.support(v.points).min() > 0.99
    far = torch.full((1, v.dim), 50.0)
    assert any_map.support(far).max() < 1e-6
    anywhere = any_map.support(any_map.grid().points)
    assert anywhere.min() >= 0
    assert anywhere.max() <= 1
    on_the_way = any_map.support(v.points[:1] + torch.linspace(0, 1, 9)[:, None] * (far - v.points[:1]))
    assert on_the_way[0] > on_the_way[-1]


def test_the_maps_stretch_is_that_of_its_decoder(plane, linear):
    weight = torch.tensor([[0.1, 0.0, 0.0, 0.0], [0.0, 0.02, 0.0, 0.0]])
    found = LatentMap(plane, linear(weight)).stretch([[0.0, 0.0], [0.3, 0.4]])
    assert torch.allclose(found, torch.tensor([[0.01, 0.05]]).expand(2, 2), rtol=1e-3)


def test_images_that_are_only_measured_are_held_in_bounded_batches(monkeypatch, any_map):
    made, dim = [], any_map.v.dim
    m = LatentMap(any_map.v, lambda z: made.append(len(z)) or squares(z))

    def measured():
        return [
            m.path([-0.5] * dim, [0.5] * dim, frames=16).points,
            m.path([-0.5] * dim, [0.5] * dim, frames=16, curve="shortest").points,
            m.stretch(any_map.grid().points),
        ]

    expected, whole = measured(), max(made)
    made.clear()
    for module in (geometry, paths):
        monkeypatch.setattr(module, "VALUES_HELD", 64)  # 16 images
    for found, unsplit in zip(measured(), expected, strict=True):
        assert torch.allclose(found, unsplit, atol=1e-4)
    assert max(made) <= 16 < 8 * 16 - 1 <= whole
