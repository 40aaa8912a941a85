"""Training the zoo: every recipe makes steps, a stopped training ends in the same bits, data comes from anywhere."""

import itertools
import json
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from idx_files import blobs, write_idx
from loopback_hub import running_hub
from PIL import Image
from zoo_sizes import built, pictures

from latent_vizae import load_decoder
from latent_vizae.adapters.zoo import (
    DCGAN,
    ColourGAN,
    ConvolutionalAutoencoder,
    LatentVAE,
    ProgressiveGAN,
    StackedAutoencoder,
    StyleGAN,
    VariationalAutoencoder,
)
from latent_vizae.demos.train_zoo import main
from latent_vizae.demos.zoo import data, loop, training
from latent_vizae.demos.zoo.data import as_input, checksum, framed, load_images, read_from_hub, read_idx, some
from latent_vizae.demos.zoo.loop import Stop, save_sheet, stream, train
from latent_vizae.demos.zoo.recipes import RECIPES
from latent_vizae.demos.zoo.training import Adversarial, Plan, build, one_cycle, r1_penalty, training_of

GAME = {"rate": 1e-3, "betas": (0.5, 0.99), "r1": 0.1, "r1_every": 3}
FEW = GAME | {"augment": True, "keep_best": True}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def folder(tmp_path):
    """A folder of idx files, 40 training and 30 test images of 28x28."""
    place = tmp_path / "data"
    place.mkdir()
    for split, count in (("train", 40), ("t10k", 30)):
        write_idx(place / f"{split}-images-idx3-ubyte.gz", blobs(count)[:, 0].numpy())
        write_idx(place / f"{split}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return place


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_steps_that_change_all_weights(name):
    recipe = RECIPES[name]
    model = build(recipe.architecture, recipe.config, 0, "cpu")
    training = training_of(model, replace(recipe.plan, batch_size=4), 0)
    grey = framed(blobs(4), model.image_shape[-1])
    images = as_input(grey.expand(-1, model.image_shape[0], -1, -1), "cpu")
    if isinstance(model, LatentVAE):  # as if they were made by TAEF2
        images = pictures(4, (32, 8, 8))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    last = recipe.plan.steps - 2  # grown up, nothing pretrained any more
    for number in (last, last + 1):  # noise enters a StyleGAN with the second
        losses = training.step(images, stream(0, number), number)
    assert all(torch.isfinite(loss) for loss in losses.values())
    still = [key for key, value in model.state_dict().items() if torch.equal(value, before[key])]
    fixed = {"growth", "mean", "deviation"}
    assert all(".fixed" in key or key in fixed or "to_image" in key for key in still), still


def test_a_reconstruction_learns(tmp_path):
    plan = Plan(60, batch_size=16, rate=5e-3)
    model = build(ConvolutionalAutoencoder, {"channels": [8, 16]}, 0, "cpu")
    _, rows = train(model, plan, blobs(), blobs(20, seed=1), tmp_path, say=lambda _: None)
    assert rows[-1]["test"] < 0.7 * rows[0]["test"]


def test_a_game_learns(tmp_path):
    plan = Plan(80, batch_size=16, **GAME | {"rate": 5e-3}, average=0.9)
    model = build(ProgressiveGAN, {"channels": [6, 4], "latent_size": 4}, 0, "cpu")
    images = blobs(64, 8)
    real = images.float().mean().item() / 255
    codes = model.sample(200, 5)
    with torch.no_grad():
        before = model(codes).mean().item()
    result, _ = train(model, plan, images, images, tmp_path, say=lambda _: None)
    assert abs(result(codes).mean().item() - real) < 0.3 * abs(before - real)


SPECIMENS = {
    "convolutional": (ConvolutionalAutoencoder, {"channels": [3, 4]}, {}),
    "pretrained": (StackedAutoencoder, {"hidden": [9, 5], "pretrain": 0.5}, {}),
    "variational": (VariationalAutoencoder, {"hidden": [8]}, {}),
    "dcgan": (DCGAN, {"latent_size": 3, "channels": [4, 4]}, GAME),
    "colour": (ColourGAN, {"latent_size": 3, "channels": [4, 4], "image_channels": 1}, FEW),
    "progressive": (ProgressiveGAN, {"channels": [4, 3, 3], "latent_size": 3}, GAME),
    "stylegan": (StyleGAN, {"channels": [4, 3], "latent_size": 3}, GAME),
}


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_stopped_training_ends_in_the_same_bits(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "ROWS", 3)  # a row every four steps: the stops are between rows
    architecture, config, options = SPECIMENS[name]
    plan, weights, losses = Plan(12, batch_size=8, **options), [], []
    for parts in ([12], [5, 2, 5]):
        place, done = tmp_path / str(len(parts)), 0
        place.mkdir()
        for part in parts:
            model = build(architecture, config, 3, "cpu")
            images = blobs(20, model.image_shape[-1])  # two batches an epoch
            stop = itertools.chain([False] * part, [True]).__next__
            train(model, plan, images, images[:4], place, seed=3, stop=stop, say=lambda _: None)
            done += part
            assert facts(place / "state.safetensors")["done"] == done
        weights.append((place / "generator" / "model.safetensors").read_bytes())
        rows = json.loads((place / "losses.json").read_text())
        losses.append([{key: value for key, value in row.items() if key != "seconds"} for row in rows])
    assert weights[0] == weights[1]
    assert losses[0] == losses[1]
    assert [row["step"] for row in losses[0]] == [4, 8, 12]


def facts(path):
    """What a checkpoint says of itself."""
    raw = path.read_bytes()
    return json.loads(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["facts"])


def test_another_seed_is_another_training(tmp_path):
    plan, results = Plan(3, batch_size=8), []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        model = build(VariationalAutoencoder, {"hidden": [8]}, seed, "cpu")
        result, _ = train(model, plan, blobs(16), blobs(4), tmp_path / str(seed), seed=seed, say=lambda _: None)
        results.append(result(torch.zeros(1, 10)))
    assert not torch.equal(*results)


def test_a_state_of_another_training_is_refused(tmp_path):
    def run(**changes):
        model = build(VariationalAutoencoder, {"hidden": [8]}, 0, "cpu")
        plan = replace(Plan(2, batch_size=8), **changes)
        return train(model, plan, blobs(16), blobs(4), tmp_path, say=lambda _: None)

    run()
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(ValueError, match="choose another --out"):
        run(rate=0.5)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    run()  # done already: nothing more to do
    with pytest.raises(ValueError, match="A batch is 17 images"):
        run(batch_size=17)


def test_nothing_of_torchs_random_state_is_touched(tmp_path):
    before = torch.get_rng_state()
    for architecture, config, options in (SPECIMENS["variational"], SPECIMENS["dcgan"]):
        place = tmp_path / architecture.__name__
        place.mkdir()
        model = build(architecture, config, 0, "cpu")
        train(model, Plan(2, batch_size=8, **options), blobs(16), blobs(4), place, say=lambda _: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_explodes_says_so(tmp_path):
    model = build(VariationalAutoencoder, {"hidden": [8]}, 0, "cpu")
    with pytest.raises(RuntimeError, match="not finite"):
        train(model, Plan(20, batch_size=8, rate=1e30), blobs(16), blobs(4), tmp_path, say=lambda _: None)


def test_ctrl_c_is_listened_to_and_given_back():
    before, stop = signal.getsignal(signal.SIGINT), Stop()
    with stop.on_interrupt():
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_penalty_of_a_linear_discriminator_is_its_weights():
    images, weight = pictures(5, (1, 3, 3)).requires_grad_(), torch.arange(9.0).requires_grad_()
    penalty = r1_penalty(images.flatten(1) @ weight, images)
    assert penalty.item() == pytest.approx(0.5 * weight.square().sum().item())
    penalty.backward()
    assert torch.allclose(weight.grad, weight)


def test_the_result_of_a_game_is_an_average():
    model = built("PlainGAN").train()
    images = pictures(4, model.image_shape)
    game = Adversarial(model, Plan(10, rate=0.1, average=0.75))
    name = "layers.0.weight"
    for number in range(200, 204):
        before = game.result.state_dict()[name].clone()
        game.step(images, stream(number), number)
        assert torch.allclose(game.result.state_dict()[name], before.lerp(model.state_dict()[name], 0.25), atol=1e-6)


def test_what_is_kept_of_a_game_is_the_average_that_was_nearest(monkeypatch):
    model = built("ColourGAN", image_channels=3).train()
    images = pictures(8, model.image_shape)
    distances = iter([0.5, 0.7, 0.3])
    monkeypatch.setattr(training, "sliced_wasserstein", lambda *_: next(distances))
    game, kept = Adversarial(model, Plan(10, keep_best=True, augment=True)), []
    for number, best in enumerate((0.5, 0.7, 0.3)):
        game.step(images, stream(number), number)
        assert game.test(images) == {"distance": best}
        kept.append([tensor.clone() for tensor in game.result.state_dict().values()])
        now = game.average.state_dict().values()
        same = all(torch.equal(*pair) for pair in zip(kept[-1], now, strict=True))
        assert same == (number != 1)
    assert all(torch.equal(*pair) for pair in zip(kept[0], kept[1], strict=True))


def test_the_discriminator_sees_augmented_images_only(monkeypatch):
    seen = []
    monkeypatch.setattr(training, "augmented", lambda images, _: seen.append(images.shape) or images)
    model = built("ColourGAN").train()
    images = pictures(4, model.image_shape)
    Adversarial(model, Plan(10, augment=True)).step(images, stream(0), 0)
    assert seen == 3 * [images.shape]
    Adversarial(model, Plan(10)).step(images, stream(0), 0)
    assert len(seen) == 3


def test_the_rate_goes_up_and_then_down():
    rates = [one_cycle(step / 100) for step in range(101)]
    assert rates[0] == 0
    assert max(rates) == rates[5] == 1
    assert rates[100] == pytest.approx(0)


# The command.


def test_the_command_trains_from_a_folder(folder, tmp_path, capfd):
    out = tmp_path / "out"
    asked = ["dcgan", "--data", str(folder), "--out", str(out), "--steps", "2", "--batch-size", "8"]
    main([*asked, "--config", '{"latent_size": 3, "channels": [4, 4]}', "--device", "cpu"])
    said, bars = capfd.readouterr()
    assert bars == ""
    assert "Done in" in said
    assert {path.name for path in out.iterdir()} == {"generator", "losses.json", "samples.png", "state.safetensors"}
    rows = json.loads((out / "losses.json").read_text())
    assert [row["step"] for row in rows] == [1, 2]
    assert {"discriminator", "generator", "seconds", "threads"} <= rows[0].keys()
    with Image.open(out / "samples.png") as sheet:
        assert sheet.size == (16 * 29 + 1, 6 * 29 + 1)
    f_d = load_decoder(f"hub:{out / 'generator'}")
    assert f_d.sample(2, 0).shape == (2, 3)
    main([*asked, "--config", '{"latent_size": 3, "channels": [4, 4]}', "--device", "cpu"])  # done already
    with pytest.raises(SystemExit, match="choose another --out"):
        main([*asked, "--seed", "1", "--device", "cpu"])


def test_the_command_frames_images_for_those_that_grow(folder, tmp_path):
    config = '{"channels": [3, 3, 2, 2], "latent_size": 3}'
    asked = ["--data", str(folder), "--steps", "2", "--batch-size", "8", "--config", config, "--device", "cpu"]
    main(["progressive", "--out", str(tmp_path / "out"), *asked])
    assert load_decoder(f"hub:{tmp_path / 'out' / 'generator'}").image_shape == (1, 32, 32)
    with pytest.raises(SystemExit, match="takes images of 16x16"):
        main(["progressive", "--out", str(tmp_path / "b"), *asked, "--config", '{"channels": [3, 3, 2]}'])


def test_the_command_refuses_grey_images_for_those_in_colour(folder, tmp_path):
    with pytest.raises(SystemExit, match=r"takes images of 3 channels, those of .* have 1"):
        main(["colour-gan", "--data", str(folder), "--steps", "2", "--out", str(tmp_path / "out"), "--device", "cpu"])


@pytest.mark.parametrize(
    ("name", "rows"), [("StackedAutoencoder", 6), ("VariationalAutoencoder", 12), ("PlainGAN", 6)]
)
def test_a_sheet_shows_what_there_is(name, rows, tmp_path):
    model = built(name)
    save_sheet(model, pictures(60, model.image_shape), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (16 * 4 + 1, rows * 5 + 1)


def test_the_sheet_of_two_numbers_is_a_map_of_them(tmp_path):
    class Plane(ConvolutionalAutoencoder):  # the code is where the image is; the image is the code
        def encode(self, images):
            return images.flatten(1)[:, :2]

        def decode(self, codes):
            return codes.clamp(0, 1)[:, None, None, :].expand(-1, 1, 3, 2)

    save_sheet(Plane([2], image_shape=(1, 3, 2)), pictures(500, (1, 3, 2)), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (16 * 3 + 1, 22 * 4 + 1)
        shown = np.asarray(sheet)[25::4, :, 0]
    across, up = shown[:, 1::3], shown[:, 2::3]
    assert (np.diff(across, axis=1) > 0).all()  # the first number grows to the right
    assert (np.diff(up.astype(int), axis=0) < 0).all()  # the second upwards
    assert (across == across[0]).all()
    assert (up == up[:, :1]).all()


# The data.


def test_idx_files_are_read_and_others_refused(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for name in ("a.gz", "a"):
        write_idx(tmp_path / name, array)
        assert np.array_equal(read_idx(tmp_path / name), array)
    (tmp_path / "b").write_bytes(b"\x00\x00\x0d\x01")
    with pytest.raises(ValueError, match="not an idx file"):
        read_idx(tmp_path / "b")


def test_a_folder_is_data_and_what_it_lacks_is_named(folder):
    train_images, test_images = load_images(str(folder))
    assert train_images.shape == (40, 1, 28, 28)
    assert test_images.shape == (30, 1, 28, 28)
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-images"):
        load_images(str(folder))
    with pytest.raises(ValueError, match="a folder of idx files"):
        load_images("no-such-data")


def hub_files(name, counts, folder):
    """A dataset repository laid out as ylecun/mnist is: a card that names a configuration, and its parquet files."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(num_classes=10)})
    card = f"---\nconfigs:\n- config_name: {name}\n  default: true\n  data_files:\n"
    files = {}
    for split, count in counts.items():
        columns = {"image": [Image.fromarray(x) for x in blobs(count)[:, 0].numpy()], "label": list(range(count))}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / split)
        files[f"{name}/{split}-00000-of-00001.parquet"] = (folder / split).read_bytes()
        card += f"  - split: {split}\n    path: {name}/{split}-*\n"
    return files | {"README.md": f"{card}---\n".encode()}


def test_a_dataset_of_the_hubs_form_is_read(tmp_path, monkeypatch, capfd):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, content in hub_files("some", {"train": 5, "test": 3}, tmp_path).items():
        path = tmp_path / "repo" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    capfd.readouterr()
    train_images, test_images = read_from_hub(str(tmp_path / "repo"))
    assert torch.equal(train_images, blobs(5))
    assert torch.equal(test_images, blobs(3))
    assert capfd.readouterr().err == ""  # no bars
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.parametrize(
    ("name", "repo"), [("mnist", "ylecun/mnist"), ("fashion-mnist", "zalando-datasets/fashion_mnist")]
)
def test_a_training_reads_its_images_from_the_hub(tmp_path, name, repo):
    wanted = checksum(blobs(6)), checksum(blobs(3))
    code = f"""
        from pathlib import Path
        from latent_vizae.demos import train_zoo
        from latent_vizae.demos.zoo import data
        data.SHARED = Path("nowhere")
        data.CHECKSUMS[{name!r}] = {wanted}
        print([part.tolist() for part in data.load_labels({name!r})])
        train_zoo.main(["linear", "--data", {name!r}, "--out", "out", "--steps", "2", "--batch-size", "4"])
    """
    with running_hub(tmp_path) as hub:
        hub.add_repo(repo, hub_files("some", {"train": 6, "test": 3}, tmp_path), repo_type="dataset")
        done = hub.run(code, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert hub.sent("GET", f"datasets/{repo}/resolve") != []
        again = hub.run(code.replace(wanted[0], wanted[1]).replace('"out"', '"other"'), cwd=tmp_path)
    assert done.stdout.startswith("[[0, 1, 2, 3, 4, 5], [0, 1, 2]]")
    assert load_decoder(f"hub:{tmp_path / 'out' / 'generator'}").image_shape == (1, 28, 28)
    assert again.returncode == 1
    assert f"training images of {repo} are not those of {name}: (6, 1, 28, 28)" in again.stderr
    assert "Traceback" not in again.stderr
    assert not (tmp_path / "other" / "generator").exists()


def test_a_dataset_that_is_not_on_the_hub_is_said_so(tmp_path):
    pytest.importorskip("datasets")
    code = """
        from pathlib import Path
        from latent_vizae.demos import train_zoo
        from latent_vizae.demos.zoo import data
        data.SHARED = Path("nowhere")
        train_zoo.main(["linear", "--out", "out"])
    """
    with running_hub(tmp_path) as hub:
        done = hub.run(code, cwd=tmp_path)
    assert done.returncode == 1
    assert "ylecun/mnist could not be read from the Hub" in done.stderr
    assert "--data a folder of idx files" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_not_beside_the_checkout_comes_from_the_hub(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "SHARED", tmp_path)
    monkeypatch.setattr(data, "read_from_hub", lambda repo: asked.append(repo) or (blobs(3), blobs(2)))
    monkeypatch.setattr(data, "checksum", lambda images: {3: "train", 2: "test"}[len(images)])
    for name in ("mnist", "fashion-mnist"):
        monkeypatch.setitem(data.CHECKSUMS, name, ("train", "test"))
    train_images, test_images = load_images("fashion-mnist")
    assert (len(train_images), len(test_images)) == (3, 2)
    load_images("mnist")
    assert asked == ["zalando-datasets/fashion_mnist", "ylecun/mnist"]
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        read_from_hub("ylecun/mnist")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_shared_folder_has_both(shared, name):
    train_images, test_images = load_images(name)
    assert (train_images.shape, test_images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert train_images.dtype == torch.uint8
    assert (checksum(train_images), checksum(test_images)) == data.CHECKSUMS[name]


def test_a_checksum_is_of_the_images_and_not_of_their_order():
    images = blobs(9)
    assert checksum(images) == checksum(images[torch.randperm(9)])
    assert checksum(images) != checksum(torch.cat([images, images[:1]]))
    touched = images.clone()
    touched[4, 0, 0, 0] ^= 1
    assert checksum(images) != checksum(touched)


def test_other_images_on_the_hub_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SHARED", tmp_path)
    monkeypatch.setattr(data, "read_from_hub", lambda _: (blobs(3), blobs(2)))
    monkeypatch.setitem(data.CHECKSUMS, "mnist", (checksum(blobs(3)), checksum(blobs(2, seed=1))))
    with pytest.raises(ValueError, match=r"test images of ylecun/mnist are not those of mnist"):
        load_images("mnist")


def test_some_images_are_of_every_class():
    sorted_by_class = torch.arange(10_000)
    drawn = some(sorted_by_class, 500)
    assert torch.equal(drawn, some(sorted_by_class, 500))
    assert len(drawn.unique()) == 500
    assert torch.bincount(drawn // 1000).min() > 25
    assert torch.equal(some(sorted_by_class[:7], 500).sort().values, sorted_by_class[:7])


def test_a_frame_is_black_and_even():
    images = blobs(2)
    wide = framed(images, 32)
    assert torch.equal(wide[..., 2:-2, 2:-2], images)
    assert wide.sum() == images.sum()
    assert torch.equal(framed(images, 28), images)
    with pytest.raises(ValueError, match="16x16"):
        framed(images, 16)
