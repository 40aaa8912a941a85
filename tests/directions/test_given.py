"""Directions that are known: of a file, of a paper, of an arithmetic with codes."""

import json

import numpy as np
import pytest
import torch

from latent_vizae import Directions, LatentMap, fit
from latent_vizae.directions.direction import Direction, as_direction
from latent_vizae.pictures import arrow_picture, direction_picture

CODES = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(0))
VECTOR = torch.tensor([3.0, 0, 0, 0, 4.0, 0])


def decoder(z):
    return z.flatten(1)[:, :4].sigmoid().reshape(-1, 1, 2, 2)


@pytest.fixture(scope="module")
def m():
    return LatentMap(fit(CODES), decoder)


@pytest.mark.parametrize(
    "vector",
    [VECTOR, VECTOR.double().numpy(), VECTOR.tolist(), VECTOR.reshape(2, 3), VECTOR.reshape(1, 2, 3), VECTOR.half()],
    ids=["flat", "numpy", "list", "shaped", "batch of one", "half"],
)
def test_a_code_is_moved_along_a_vector_of_ones_own(m, vector, tmp_path):
    samples = m.traverse(CODES[0], vector, steps=5, reach=2)
    moves = (samples.codes - CODES[:1]).flatten(1)
    assert torch.allclose(moves, torch.tensor([-2.0, -1, 0, 1, 2])[:, None] * VECTOR, atol=1e-5)
    assert torch.equal(samples.codes[2], CODES[0])
    np.save(tmp_path / "smile.npy", np.asarray(vector))
    again = m.traverse(CODES[0], np.load(tmp_path / "smile.npy"), steps=5, reach=2)
    assert torch.equal(again.codes, samples.codes)
    assert m.arrows(vector, shape=3).moves.shape == (1, 9, 2)


def test_several_vectors_are_several_arrows(m):
    arrows = m.arrows(torch.stack([VECTOR, -VECTOR]), shape=3)
    assert arrows.names == ("given 0", "given 1")
    assert m.arrows([VECTOR, as_direction(VECTOR, (2, 3), "smile")], shape=3).names == ("given 0", "smile")


@pytest.mark.parametrize(
    ("vector", "error", "message"),
    [
        (torch.zeros(6), ValueError, "not all 0"),
        (torch.full((6,), float("nan")), ValueError, "finite"),
        (torch.ones(5), ValueError, r"a vector of 6 numbers, flat or of that shape, got shape \(5,\)"),
        (torch.ones(3, 2), ValueError, "of that shape"),
        ("smile", TypeError, "real numbers"),
        (None, TypeError, "real numbers"),
    ],
)
def test_what_is_no_direction_is_refused(m, vector, error, message):
    with pytest.raises(error, match=message):
        m.traverse(CODES[0], vector)
    with pytest.raises((ValueError, TypeError)):
        m.arrows(vector)


def test_given_vectors_are_directions_that_travel(m, tmp_path):
    given = Directions.of_vectors({"smile": VECTOR.reshape(2, 3), "age": torch.ones(2, 3)}, example=CODES[1])
    assert [(each.name, each.label) for each in given] == [("smile", None), ("age", None)]
    assert given.global_steps.tolist() == pytest.approx([5, 6**0.5])
    assert given.report.cosine_within == pytest.approx(7 / 5 / 6**0.5, rel=1e-5)
    assert torch.equal(given.example(), CODES[1])
    given.save_pretrained(tmp_path / "given")
    again = Directions.from_pretrained(tmp_path / "given")
    assert again.names == given.names
    assert again.report == given.report
    assert torch.equal(again.global_directions, given.global_directions)
    assert "as it was given" in (tmp_path / "given" / "README.md").read_text()
    assert "given, not measured" in str(given.report)
    assert torch.allclose(m.traverse(CODES[0], again.pick(0), 3, 1.0).codes[2] - CODES[0], VECTOR.reshape(2, 3))
    assert m.arrows(again, shape=3).names == ("smile", "age")
    direction_picture(again, decoder, tmp_path / "rows.png")
    arrow_picture(m, m.arrows(again, shape=4), tmp_path / "arrows.png")
    assert (tmp_path / "rows.png").is_file()


def test_rows_of_an_array_are_directions_without_names(f_d):
    vectors = np.random.default_rng(0).normal(size=(3, 10))
    given = Directions.of_vectors(vectors, decoder=f_d)
    assert [each.name for each in given] == ["global 0", "global 1", "global 2"]
    assert (given.names, given.source, given.latent_shape) == ((), "mnist", (10,))
    moved = given.pick(1).move(torch.zeros(1, 10), 1)
    assert torch.allclose(moved[0], torch.from_numpy(vectors[1]).float(), atol=1e-6)
    assert Directions.of_vectors(vectors.reshape(3, 2, 5)).latent_shape == (2, 5)
    assert Directions.of_vectors(vectors, latent_shape=(2, 5)).latent_shape == (2, 5)


BAD = {
    "none": ([], "are 1 to"),
    "too many": (torch.eye(3).repeat(2, 1), "are 1 to 3 vectors, got 6"),
    "zero": ({"a": torch.zeros(3)}, "not all 0"),
    "shapes": ({"a": torch.ones(3), "b": torch.ones(4)}, "a vector of 3 numbers"),
    "a name": ({"": torch.ones(3)}, "names are texts"),
    "numbers": (torch.ones(3), "are 1 to"),
}


@pytest.mark.parametrize(("vectors", "message"), BAD.values(), ids=BAD.keys())
def test_what_makes_no_directions_is_refused(vectors, message):
    with pytest.raises(ValueError, match=message):
        Directions.of_vectors(vectors)


def test_names_from_a_file_are_checked(tmp_path):
    given = Directions.of_vectors({"smile": torch.ones(3)})
    for names in (["a", "b"], [5], ["x" * 200], "smile"):
        odd = type("Odd", (Directions,), {"config": {**given.config, "names": names}})
        with pytest.raises(ValueError, match=r"could not be loaded again is not saved.*names are"):
            odd(**given.__dict__).save_pretrained(tmp_path)
    assert json.loads(json.dumps(given.config))["names"] == ["smile"]
    assert isinstance(given.pick(0), Direction)


# Ends of a path, sides of a grid.


def test_batches_of_one_are_ends_of_a_path(m):
    wanted = m.path(CODES[0], CODES[1], frames=4)
    for ends in ((CODES[:1], CODES[1:2]), (CODES[0], CODES[1:2]), (CODES[:1].numpy(), CODES[1]), (CODES[:2],)):
        assert torch.equal(m.path(*ends, frames=4).points, wanted.points)
    line = m.path(CODES[0], CODES[1], CODES[2], frames=5)
    assert torch.equal(m.path(CODES[:2], CODES[2], frames=5).points, line.points)
    points = torch.tensor([[-0.5, 0.0], [0.5, 0.2]])
    assert torch.equal(m.path(points[:1], points[1:], frames=4).points, m.path(points, frames=4).points)
    with pytest.raises(ValueError, match="all points of shape"):
        m.path(CODES[:1], points[:1])
    with pytest.raises(ValueError, match="at least two ends"):
        m.path(CODES[:1])
    for frames in (3, 5):  # residuals ride along as well
        exact = m.path(CODES[:1], CODES[1:2], frames=frames, residual=True)
        assert torch.allclose(exact.codes[[0, -1]], CODES[:2], atol=1e-4)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("side", [3, np.int64(3), torch.tensor(3)])
def test_one_number_is_the_side_of_a_grid(dim, side):
    m = LatentMap(fit(CODES, dim=dim), decoder)
    assert torch.equal(m.grid(shape=side).points, m.grid(shape=(3,) * dim).points)
    with pytest.raises(ValueError, match=r"or one for all, got 2\.5"):
        m.grid(shape=2.5)
    with pytest.raises(ValueError, match="or one for all"):
        m.grid(shape=0)
    with pytest.raises(ValueError, match="or one for all"):
        m.grid(shape=(3,) * (dim + 1))
