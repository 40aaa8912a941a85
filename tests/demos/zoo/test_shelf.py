"""The zoo that ships: every checkpoint loads, can be mapped, is small, and is what the table says of it."""

import json
from pathlib import Path

import pytest
import torch
from zoo_sizes import pictures

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.adapters.zoo import AdversarialGenerator, Autoencoder, LinearAutoencoder
from latent_vizae.adapters.zoo.taef2 import TAEF2_FILE
from latent_vizae.demos.zoo import scores as scoring
from latent_vizae.demos.zoo.data import SHARED
from latent_vizae.demos.zoo.measures import inception_score
from latent_vizae.demos.zoo.recipes import RECIPES
from latent_vizae.demos.zoo.shelf import BUNDLED, MOST_BYTES, PICTURES, SCORES, SHELF, TABLE, ZOO, page, sizes, take
from latent_vizae.demos.zoo.taef2 import convert
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE
from latent_vizae.testing import check_decoder

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = sorted(path.parent.name for path in SHELF.glob(f"*/{MODEL_FILE}"))


@pytest.fixture(scope="module")
def scores():
    return json.loads(SCORES.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def taef2(tmp_path_factory):
    """The folder of TAEF2, which emoji-latents needs; empty where it is not here."""
    folder, pickles = tmp_path_factory.mktemp("taef2"), SHARED.parent / "models" / "taef2"
    if pickles.is_dir():
        convert(pickles, folder)
    return folder


@pytest.fixture
def shipped(monkeypatch, taef2):
    """Loads by the name that the page says."""
    monkeypatch.chdir(ROOT)

    def load(name):
        if ZOO[name].recipe == "latent-vae" and not (taef2 / TAEF2_FILE).is_file():
            pytest.skip("TAEF2 is not here")
        return load_decoder(
            f"hub:demos/zoo/{name}", **{"taef2": str(taef2)} if ZOO[name].recipe == "latent-vae" else {}
        )

    return load


def test_what_is_to_ship_ships_and_nothing_else():
    assert sorted(name for name, made in ZOO.items() if made.ships) == SHIPPED
    assert {path.name for path in SHELF.iterdir() if path.suffix != ".py"} - {"__pycache__"} == {
        *SHIPPED,
        SCORES.name,
        TABLE.name,
    }
    for name in SHIPPED:
        assert {path.name for path in (SHELF / name).iterdir()} == {MODEL_FILE, CONFIG_FILE, "README.md"}


def test_all_of_it_is_small():
    assert sum(path.stat().st_size for path in SHELF.glob("[!_]*/*")) <= MOST_BYTES
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) <= 1_700_000


def test_every_family_is_there():
    assert {made.recipe for made in ZOO.values()} == set(RECIPES)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_one_is_mapped_by_the_same_fit(name, shipped, f_d):
    generator = shipped(name)
    if isinstance(generator, Autoencoder):
        images = f_d.images()[0][:12]
        codes = generator.encode(images if generator.image_shape == images.shape[1:] else pictures(12, (3, 64, 64)))
    else:
        assert isinstance(generator, AdversarialGenerator)
        codes = generator.sample(12, 0)
    check_decoder(generator, codes)
    m = LatentMap(fit(codes, decoder=generator, dim=2), generator)
    images = m.grid(shape=(3, 3)).images
    assert images.shape == (9, *generator.image_shape)
    assert torch.isfinite(images).all()
    assert 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_one_is_what_its_command_makes(name, shipped):
    generator, recipe = shipped(name), RECIPES[ZOO[name].recipe]
    with torch.device("meta"):
        wanted = recipe.architecture(**recipe.config | ZOO[name].config)
    assert type(generator) is type(wanted)
    assert generator.config == wanted.config


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_card_says_what_it_is_and_nothing_of_our_machines(name, shipped):
    card = (SHELF / name / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: latent-vizae\n")
    assert type(shipped(name)).__doc__.splitlines()[0] in card
    for foreign in ("<script", "http", "/home", "/root", "/tmp", "/work"):
        assert foreign not in card


# The table.


def test_the_page_is_what_the_scores_make():
    assert TABLE.read_text(encoding="utf-8") == page(json.loads(SCORES.read_text(encoding="utf-8")))


def test_every_generator_has_its_row_and_its_sheet(scores):
    assert scores.keys() == {"real", "bundled", *ZOO}
    assert {path.stem for path in PICTURES.iterdir()} == {"bundled", *ZOO}
    for name, made in ZOO.items():
        assert (scores[name]["steps"], scores[name]["seconds"] > 0) == (RECIPES[made.recipe].plan.steps, True)


@pytest.mark.parametrize("name", [*SHIPPED, *BUNDLED])
def test_the_scores_are_of_the_checkpoint(name, shipped, scores):
    generator = load_decoder(BUNDLED[name]).autoencoder if name in BUNDLED else shipped(name)
    assert sizes(generator).items() <= scores[name].items()
    told = scores[name].keys() - {"steps", "seconds", "threads", *sizes(generator)}
    copies = {"error", "pca", "nats"} if isinstance(generator, Autoencoder) else set()
    copies -= {"nats"} if isinstance(generator, LinearAutoencoder) else set()
    draws = {"score", "classes", "frechet", "precision", "recall"} if hasattr(generator, "sample") else set()
    if generator.image_shape[0] == 3:
        of_copies = {"error", "pca", "error_variants", "pca_variants"} if copies else set()
        assert told == {"patches", "unlikeness", "spread"} | of_copies
        return
    assert told == copies | (draws if "fashion" not in name else set())


def test_an_error_of_the_table_is_measured_again(shared, shipped, scores, monkeypatch):
    few = scoring.pca(scoring.images_of("mnist")[0][:100].float() / 255)
    monkeypatch.setattr(scoring, "components", lambda _: few)  # of all of them they take long
    with torch.no_grad():
        found = scoring.reconstruction(shipped("linear"), "mnist")["error"]
    assert found == pytest.approx(scores["linear"]["error"], abs=2e-6)


def test_a_score_of_the_table_is_measured_again(shared, shipped, scores, pytestconfig):
    if pytestconfig.getoption("seed_shift"):
        pytest.skip("the score in the table is of the draws of seed 0")
    generator = shipped("gan")
    codes = generator.sample(scoring.DRAWS, 0)
    _, chances = scoring.seen(torch.cat([generator(part) for part in codes.split(500)]))
    assert inception_score(chances) == pytest.approx(scores["gan"]["score"], abs=1e-4)


def test_a_training_that_is_not_the_recipes_is_not_taken(tmp_path):
    def trained(steps, **config):
        LinearAutoencoder(**config).save_pretrained(tmp_path / "generator")
        (tmp_path / "losses.json").write_text(json.dumps([{"step": steps, "seconds": 1.0, "threads": 1}]))

    for steps, config in ((5, {}), (RECIPES["linear"].plan.steps, {"latent_size": 3})):
        trained(steps, **config)
        with pytest.raises(ValueError, match=r"is not what `python -m latent_vizae\.demos\.train_zoo linear"):
            take("linear", tmp_path)


def test_a_training_is_taken_in_half_precision(tmp_path, monkeypatch):
    monkeypatch.setattr("latent_vizae.demos.zoo.shelf.SHELF", tmp_path / "shelf")
    steps = RECIPES["linear"].plan.steps
    for name in ("linear", "stacked"):
        generator = RECIPES[name].architecture()
        generator.save_pretrained(tmp_path / name / "generator")
        last = {"step": RECIPES[name].plan.steps, "seconds": 7.5, "threads": 2, "test": 1.0}
        (tmp_path / name / "losses.json").write_text(json.dumps([{"step": 1, "seconds": 0.1}, last]))
    assert take("linear", tmp_path / "linear") == {"steps": steps, "seconds": 7.5, "threads": 2}
    whole, half = (path / MODEL_FILE for path in (tmp_path / "linear" / "generator", tmp_path / "shelf" / "linear"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    take("stacked", tmp_path / "stacked")
    assert not (tmp_path / "shelf" / "stacked").exists()  # does not ship


def test_the_command_says_what_it_does_not_know_and_what_is_missing(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        scoring.main(["no-such"])
    assert "there is no no-such in the zoo" in capsys.readouterr().err
    monkeypatch.setattr(scoring, "LENET", tmp_path / "lenet.pth")
    scoring.classifier.cache_clear()
    with pytest.raises(FileNotFoundError, match="a classifier of digits"):
        scoring.classifier()
