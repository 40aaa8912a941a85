"""The lessons: each measure obeys the law that its name promises, each picture is drawn."""

import itertools
import math

import numpy as np
import pytest
import torch
from draws import normal
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from zoo_sizes import built, pictures

from latent_vizae import LatentMap, fit
from latent_vizae.adapters.zoo import LinearAutoencoder, StackedAutoencoder
from latent_vizae.demos import lessons
from latent_vizae.demos.gallery import data as lesson_data
from latent_vizae.demos.gallery.data import class_names
from latent_vizae.demos.zoo import data as zoo_data
from latent_vizae.measures.metrics import path_evenness


class Plane:
    """An autoencoder of codes of two numbers: they are the first two pixels of images 1x2x2, wherever these lie."""

    latent_shape, image_shape = (2,), (1, 2, 2)

    def encode(self, images):
        return images[:, 0, 0]

    def __call__(self, codes):
        return torch.stack([codes, 1 - codes], 1).clamp(0.05, 0.95).unsqueeze(1)


def images_at(codes):
    return torch.stack([codes, 1 - codes], 1).unsqueeze(1)


@pytest.fixture(scope="module")
def few():
    """A map of 40 codes of 3 numbers with 4 classes, and its decoder."""

    def f_d(codes):
        ramp = torch.linspace(-1, 1, 36).reshape(1, 1, 6, 6)
        return (codes[:, :1, None, None] + 2 * codes[:, 1:2, None, None] * ramp).sigmoid()

    codes = normal(40, 3)
    return LatentMap(fit(codes, f_d, labels=torch.arange(40) % 4), f_d)


# What the lessons learn from.


def test_a_generator_that_is_not_there_is_told_from_those_that_are(tmp_path, monkeypatch):
    monkeypatch.setattr(lesson_data, "ZOO", tmp_path)
    saved = built("LinearAutoencoder")
    saved.save_pretrained(tmp_path / "linear")
    assert torch.equal(lessons.generator("linear").decoder[0].weight, saved.decoder[0].weight)
    with pytest.raises(FileNotFoundError, match=r"no generator 'liner', but \['linear'\]"):
        lessons.generator("liner")
    monkeypatch.setattr(lesson_data, "ZOO", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="train_zoo"):
        lessons.generator("linear")


def test_images_and_labels_stay_together(shared):
    train, test = lessons.labelled("mnist", 32)
    assert (train.images.shape, test.images.shape) == ((60_000, 1, 32, 32), (10_000, 1, 32, 32))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    few = train.first(7)
    assert (few.labels.tolist(), len(few.images)) == ([5, 0, 4, 1, 9, 2, 1], 7)


def test_labels_come_from_where_the_images_do(tmp_path, monkeypatch):
    asked = []
    rows = [{"label": [7, 0, 9]}, {"label": [1]}]
    monkeypatch.setattr(zoo_data, "SHARED", tmp_path)
    monkeypatch.setattr(zoo_data, "_splits_on_the_hub", lambda repo: asked.append(repo) or rows)
    train, test = zoo_data.load_labels("fashion-mnist")
    assert (train.tolist(), test.tolist()) == ([7, 0, 9], [1])
    assert train.dtype == torch.uint8
    assert asked == ["zalando-datasets/fashion_mnist"]
    for split, labels in (("train", [3, 4]), ("t10k", [5])):
        for kind, array in (("images-idx3", np.zeros((len(labels), 2, 2))), ("labels-idx1", np.array(labels))):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (tmp_path / f"{split}-{kind}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    assert [part.tolist() for part in zoo_data.load_labels(str(tmp_path))] == [[3, 4], [5]]


def test_names_of_classes():
    labels = torch.tensor([0, 2])
    assert class_names(labels) == ["0", "1", "2"]
    assert class_names(labels, lessons.CLOTHES) == ["T-shirt", "trousers", "pullover"]


def test_a_table_is_markdown():
    assert lessons.table(("a", "b"), [("x", 1)]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


# Troubles of a latent space.


def test_the_energy_distance_is_that_of_its_definition_and_has_no_unit():
    x, y = normal(6, 3), normal(9, 3, seed=1) + 2
    between = torch.stack([(a - b).norm() for a in x for b in y]).mean()
    within = [torch.stack([(a - b).norm() for a, b in itertools.permutations(z, 2)]).mean() for z in (x, y)]
    expected = ((2 * between - sum(within)) / (2 * between)).item()
    assert lessons.energy_distance(x, y) == pytest.approx(expected, rel=1e-5)
    assert lessons.energy_distance(7 * x + 2, 7 * y + 2) == pytest.approx(expected, rel=1e-4)


def test_the_energy_distance_is_0_for_one_distribution_and_1_for_two_places():
    assert lessons.energy_distance(normal(2000, 2), normal(2000, 2, seed=1)) < 0.005
    assert lessons.energy_distance(normal(500, 2), normal(500, 2, seed=1) + 1000) > 0.99


def test_nothing_is_as_far_from_real_as_what_shares_no_pixel_and_brightness_does_not_count():
    real = torch.eye(4)[:3].reshape(3, 1, 2, 2)
    none = torch.tensor([0, 0, 0, 1.0]).reshape(1, 1, 2, 2)
    assert torch.allclose(lessons.nearest_distance(torch.cat([real, 0.1 * real, none]), real)[:6], torch.zeros(6))
    assert lessons.nearest_distance(none, real).item() == 1
    half = (real[:1] + real[1:2]) / 2
    assert lessons.nearest_distance(half, real).item() == pytest.approx(1 - math.sqrt(0.5))


def test_areas_are_those_of_the_nearest_code():
    places = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0))
    codes = torch.tensor([[0.0, 0.5], [0.5, 0.5], [9.0, 9.0]])  # the border is at a quarter
    areas = lessons.class_areas(places, codes, torch.tensor([0, 1, 3]), 4)
    assert torch.allclose(areas, torch.tensor([0.25, 0.75, 0.0, 0.0]), atol=0.01)
    assert lessons.spread(torch.tensor([0.5, 0.5])) == 0
    assert lessons.spread(torch.tensor([0.0, 1.0])) == 1


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (3.0, 40.0)])
def test_troubles_are_measured_where_they_are_and_only_there(scale, shift):
    codes = scale * normal(1200, 2) + shift
    labels = (codes[:, 0] > shift).long()
    data = lessons.Labelled(images_at(codes), labels)
    space = lessons.space_of(Plane(), data, 1000)
    found = lessons.troubles(space, data, lessons.Labelled(data.images[1000:], labels[1000:]))
    assert (found.prior_distance > 0.5) == (shift > 0)
    assert found.prior_distance > 0.5 or found.prior_distance < 0.01
    assert found.normal_distance < 0.02
    assert sum(found.areas) == pytest.approx(1, abs=1e-5)
    assert found.area_ratio < 1.3  # the halves of a round cloud
    assert 0.02 < found.hole_share < 0.5  # corners
    assert torch.allclose(space.support(space.codes), torch.ones(1000), atol=1e-4)
    assert len(lessons.troubles_table({"one": found}).splitlines()) == 10


def test_a_gap_between_classes_is_a_hole():
    codes = torch.cat([normal(500, 2) - torch.tensor([6.0, 0]), normal(500, 2, seed=1) + torch.tensor([6.0, 0])])
    space = lessons.space_of(Plane(), lessons.Labelled(images_at(codes), torch.arange(1000) // 500))
    assert space.support(torch.zeros(1, 2)).item() < 0.01
    places = space.lattice(30)
    assert torch.allclose(places[0], torch.stack([space.low[0], space.high[1]]), atol=0.4)  # the top left
    assert ((places >= space.low) & (places <= space.high)).all()


def test_only_two_numbers_can_be_seen_whole():
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        lessons.space_of(built("LinearAutoencoder"), lessons.Labelled(pictures(9, (1, 4, 3)), torch.zeros(9)))


# Losses.


def test_a_linear_autoencoder_with_the_axes_of_pca_loses_what_pca_loses():
    images = 0.5 + 0.02 * (normal(200, 5) @ normal(5, 12, seed=1) + normal(200, 12, seed=2)).reshape(200, 1, 4, 3)
    components = lessons.pca(images)
    f_d = LinearAutoencoder(3, (1, 4, 3)).requires_grad_(False)
    axes = components.axes[:, :3].float()
    f_d.encoder[1].weight.copy_(axes.T)
    f_d.encoder[1].bias.copy_(-components.mean.float() @ axes)
    f_d.decoder[0].weight.copy_(axes)
    f_d.decoder[0].bias.copy_(components.mean)
    found = lessons.compression(f_d, images, components)
    assert found.error == pytest.approx(found.pca, rel=1e-4)
    variances = (
        torch.linalg.svdvals((images.flatten(1) - images.flatten(1).mean(0)).double()).square() / images.numel()
    )
    assert found.pca == pytest.approx(variances[3:].sum().item(), rel=1e-4)
    assert (found.numbers, found.weights) == (3, 3 * 12 + 3 + 12 * 3 + 12)
    assert components.error(images, 12) < 1e-10
    assert components.error(images, 99) < 1e-10
    assert "3 numbers a code" in str(found)
    assert "| 3 |" in lessons.compression_table({"linear": found})


def test_one_image_again_and_again_has_no_variety():
    train, test = pictures(30, (1, 4, 4)), pictures(20, (1, 4, 4), seed=1)

    class Stuck:
        image_shape = (1, 4, 4)
        parameters = staticmethod(lambda: iter([torch.zeros(7)]))
        sample = staticmethod(lambda count, seed: torch.zeros(count, 1))

        def __call__(self, codes):
            return train[:1].expand(len(codes), -1, -1, -1)

    found = lessons.draws(Stuck(), train, test)
    assert (found.weights, round(found.variety, 6)) == (7, 0)
    assert found.unreal < 0.01
    assert "7 weights" in str(found)


# Classes.


def test_nearest_neighbours_agree_with_scikit_learns():
    known, rows, labels = normal(300, 4), normal(50, 4, seed=1), torch.arange(300) % 5
    theirs = KNeighborsClassifier(5).fit(known.numpy(), labels.numpy()).predict(rows.numpy())
    ours = lessons.nearest_labels(rows, known, labels)
    assert ours.tolist() == theirs.tolist()
    assert lessons.accuracy(lessons.nearest_labels(known, known, labels, 1), labels) == 1
    assert lessons.accuracy(ours, ours + 1) == 0


def test_few_labels_are_enough_on_layers_that_know_the_classes():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f_d = StackedAutoencoder([8, 6], 2, image_shape=(1, 4, 4)).requires_grad_(False)
    with torch.no_grad():  # the first layer sees two pixels of many
        f_d.encoder[1].weight.zero_()
        f_d.encoder[1].weight[:2, :2] = 4 * torch.eye(2)
        f_d.encoder[3].weight[:2, :2] = torch.eye(2)
    before = {key: value.clone() for key, value in f_d.state_dict().items()}
    random = torch.get_rng_state()
    data = pictures(600, (1, 4, 4))
    labels = (data[:, 0, 0, 0] > data[:, 0, 0, 1]).long()
    train, test = lessons.Labelled(data[:300], labels[:300]), lessons.Labelled(data[300:], labels[300:])
    found = lessons.few_labels(f_d, train, test, 20, seeds=3)
    scratch, one, two = (sum(values) / 3 for values in found.accuracies)
    assert min(one, two) > scratch + 0.03
    assert found == lessons.few_labels(f_d, train, test, 20, seeds=3)
    assert all(torch.equal(value, before[key]) for key, value in f_d.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert "2 layers taken over" in lessons.few_labels_table([found])


# Ways.


def test_an_arc_keeps_its_length_and_turns_at_a_constant_pace():
    one, other = normal(8), normal(8, seed=1)
    other = other * one.norm() / other.norm()
    shares = torch.linspace(0, 1, 9)
    arc = lessons.slerp(one, other, shares)
    assert torch.allclose(arc[[0, -1]], torch.stack([one, other]), atol=1e-5)
    assert torch.allclose(arc.norm(dim=1), one.norm().expand(9), atol=1e-5)
    steps = (arc[1:] - arc[:-1]).norm(dim=1)
    assert torch.allclose(steps, steps[:1].expand(8), atol=1e-5)
    assert torch.linalg.matrix_rank(torch.cat([arc, one[None], other[None]]), rtol=1e-4) == 2
    assert torch.allclose(lessons.slerp(other, one, shares), arc.flip(0), atol=1e-5)


def test_an_arc_between_lengths_changes_length_evenly_and_one_of_no_angle_is_straight():
    one = normal(5)
    straight = lessons.slerp(one, 3 * one, torch.linspace(0, 1, 5))
    assert torch.allclose(straight, torch.stack([one * factor for factor in (1, 1.5, 2, 2.5, 3)]), atol=1e-5)
    with pytest.raises(ValueError, match="opposite"):
        lessons.slerp(one, -one, torch.tensor([0.5]))
    with pytest.raises(ValueError, match="length 0"):
        lessons.slerp(one, 0 * one, torch.tensor([0.5]))


@pytest.mark.parametrize("straight", [True, False])
def test_a_loop_is_closed(straight):
    stops = normal(4, 6)
    loop = lessons.around(stops, 5, straight)
    assert loop.shape == (20, 6)
    assert torch.allclose(loop[::5], stops, atol=1e-5)
    again = lessons.around(stops.roll(-3, 0), 5, straight)
    assert torch.allclose(loop.roll(-15, 0), again, atol=1e-5)


def test_three_ways_have_the_same_ends(few):
    one, other = normal(3, seed=5), normal(3, seed=6)
    ways = lessons.three_ways(few, one, other, 7)
    ends = few.decoder(torch.stack([one, other]))
    assert list(ways) == ["pixels", "codes", "map"]
    for images in ways.values():
        assert images.shape == (7, 1, 6, 6)
        assert torch.allclose(images[[0, -1]], ends, atol=1e-4)
    assert torch.allclose(ways["pixels"][3], ends.mean(0), atol=1e-6)
    assert torch.allclose(ways["codes"][3:4], few.decoder(((one + other) / 2)[None]), atol=1e-6)
    assert path_evenness(ways["pixels"]) < 1e-3
    measured = lessons.measure_ways([ways["codes"]], ways["codes"])
    assert measured.unreal < 1e-6
    assert measured.evenness == pytest.approx(path_evenness(ways["codes"]))
    assert len(lessons.ways_table({"codes": measured}).splitlines()) == 3


# Sums and mixtures.


@pytest.mark.parametrize("lean", [-0.5, 0.0, 1.0])
def test_slant_is_the_shear_of_a_stroke(lean):
    images = torch.zeros(2, 1, 21, 41)
    for row in range(5, 16):
        images[0, 0, row, round(20 - 2 * lean * (row - 10) / 2)] = 1.0
    images[1] = images[0].roll((3, -4), (1, 2))
    assert torch.allclose(lessons.slants(images), torch.tensor([lean, lean]), atol=0.06)


def test_a_sum_adds_the_difference_of_the_groups_where_all_is_linear():
    codes, labels = 0.1 * normal(400, 4), torch.arange(400) % 2
    codes[:, 3] = labels.float()  # far apart, so no class is lost
    f_d = lambda z: (0.5 + z).clamp(0, 2).reshape(-1, 1, 2, 2).div(2)  # noqa: E731
    measure = lambda images: images[:, 0, 0, 0]  # noqa: E731
    groups, found = lessons.sum_of(f_d, codes, labels, measure, given=0, taken=1)
    gain = (measure(f_d(groups["a"])).mean() - measure(f_d(groups["b"])).mean()).item()
    assert gain > 0.05
    assert found.after - found.before == pytest.approx(gain, abs=1e-4)
    assert found.kept == 1
    assert {name: len(group) for name, group in groups.items()} == {"a": 50, "b": 50, "c": 50}
    assert "100%" in lessons.sums_table({"sum": found})
    low, high = lessons.extremes(codes[:, 0], labels, 1, 0.1)
    assert codes[low, 0].max() < codes[labels == 1, 0].median() < codes[high, 0].min()


def test_mixed_with_itself_an_image_stays_and_layers_come_from_where_they_are_said_to():
    f_d = built("StyleGAN").requires_grad_(False)
    codes = f_d.sample(3, 0)
    same = lessons.mixed_images(f_d, codes, codes, 2).unflatten(0, (4, 4))
    assert (same[0, 0] == 1).all()
    for index in range(3):
        assert torch.allclose(same[1 + index, 1 + index], f_d(codes[index : index + 1])[0], atol=1e-6)
        assert torch.allclose(same[1 + index, 0], same[0, 1 + index], atol=1e-6)
    other = f_d.sample(3, 1)
    coarse, fine = (lessons.mixed_images(f_d, codes, other, layer).unflatten(0, (4, 4)) for layer in (1, 3))
    nearness = [(sheet[1:, 1:] - sheet[1:, :1]).abs().mean() for sheet in (coarse, fine)]
    assert nearness[0] > nearness[1]  # the later the change, the more of the row's image is left
    for crossover in (0, 4):
        with pytest.raises(ValueError, match="from 1 to 3"):
            lessons.mixed_images(f_d, codes, other, crossover)


# Pictures.


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_sheets_have_rows(few):
    f_d = built("VariationalAutoencoder").requires_grad_(False)
    images = pictures(5, f_d.image_shape)
    assert lessons.sheet(images, 1, 3).size == (5 * 12 + 3, 5 * 3 + 3)
    both = np.asarray(lessons.before_and_after(f_d, images)).astype(float)
    assert both.shape[:2] == (2 * (2 * 5 + 1), 2 * (5 * 4 + 1))
    assert np.abs(both[2, 2:8:2, 0] - images[0, 0, 0].numpy() * 255).max() <= 1
    assert lessons.draws_sheet(f_d, 2, 3).size == (2 * (3 * 4 + 1), 2 * (2 * 5 + 1))


def test_every_picture_is_drawn(few, tmp_path):
    codes = normal(300, 2)
    space = lessons.space_of(Plane(), lessons.Labelled(images_at(codes), torch.arange(300) % 3))
    lessons.space_picture(space, tmp_path / "space.png", lessons.CLOTHES, cells=4)
    lessons.class_maps_picture({"all": few, "one": few, "two": few}, tmp_path / "maps.png", columns=2, cells=3)
    ways = lessons.three_ways(few, normal(3), normal(3, seed=1), 4)
    lessons.ways_picture(ways, pictures(9, (1, 6, 6)), tmp_path / "ways.png")
    groups = {name: normal(5, 3, seed=seed) for seed, name in enumerate(("thick", "thin", "thin too"))}
    lessons.sum_picture(few, groups, tmp_path / "sum.png")
    loop = lessons.around(normal(3, 3), 6)
    lessons.walk_picture(few, loop, 3, tmp_path / "walk.png")
    lessons.walk(few, loop).save(tmp_path / "walk.gif")
    for name in ("space", "maps", "ways", "sum", "walk"):
        picture = pixels(tmp_path / f"{name}.png")
        assert picture.shape[1] == 1920
        assert (picture[0] == 255).all()  # a margin: nothing is cut off
        assert picture.std() > 10
    with Image.open(tmp_path / "walk.gif") as moving:
        assert moving.n_frames == 18
