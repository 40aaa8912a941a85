"""A flow of emoji: noise paired with images, steps of whole segments, and the pipeline folder that is left."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.demos.train_zoo import main
from latent_vizae.demos.zoo.emoji import FILE, read_emoji
from latent_vizae.demos.zoo.flow import FLOWS, SIZES, STEPS, Flow, levels_of_noise, paired, train_flow
from latent_vizae.demos.zoo.loop import stream
from latent_vizae.demos.zoo.training import Plan
from latent_vizae.testing import check_decoder

pytest.importorskip("diffusers")
SMALL = {"block_out_channels": [8, 8], "norm_num_groups": 2, "attention_head_dim": 4}


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures in three groups, no two alike."""
    place = tmp_path / "emoji"
    place.mkdir()
    np.savez(
        place / FILE,
        images=np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8),
        names=np.array([f"thing {k}" for k in range(12)]),
        groups=np.arange(12) % 3,
        group_names=np.array(["A", "B", "C"]),
        skin_tone=np.zeros(12, bool),
    )
    return place


def test_the_command_leaves_a_pipeline_that_is_a_decoder(folder, tmp_path, capfd):
    out = tmp_path / "out"
    asked = ["flow-emoji", "--data", str(folder), "--out", str(out), "--steps", "5", "--batch-size", "8"]
    main([*asked, "--config", json.dumps(SMALL), "--device", "cpu"])
    said, _ = capfd.readouterr()
    assert f'load_decoder("diffusers-pipeline:{out / "pipeline"}")' in said
    assert {path.name for path in out.iterdir()} == {"pipeline", "losses.json", "samples.png", "state.safetensors"}
    rows = json.loads((out / "losses.json").read_text())
    assert "straight" not in rows[2]
    assert rows[-1]["step"] == 5
    assert {"flow", "straight", "test"} <= rows[-1].keys()

    f_d = load_decoder(f"diffusers-pipeline:{out / 'pipeline'}", code="noise", label=1)
    codes = f_d.sample(24, 0)
    assert codes.shape == (24, 3, 32, 32)
    check_decoder(f_d, codes)
    assert torch.equal(f_d(codes[:2]), load_decoder(f_d.source, **f_d.options, steps=STEPS)(codes[:2]))
    any_emoji = load_decoder(f_d.source, label=3)
    assert not torch.equal(f_d(codes[:2]), any_emoji(codes[:2]))
    with pytest.raises(ValueError, match="classes 0 to 3"):
        load_decoder(f_d.source, label=4)
    v = fit(codes, decoder=f_d, steps=20, budget=40)
    v.save_pretrained(tmp_path / "v")
    again = LatentMap.from_pretrained(tmp_path / "v")
    assert torch.equal(again.decoder(codes[:2]), f_d(codes[:2]))

    main([*asked, "--config", json.dumps(SMALL), "--device", "cpu"])  # done already
    with pytest.raises(SystemExit, match="choose another --out"):
        main([*asked, "--config", json.dumps(SMALL), "--device", "cpu", "--seed", "1"])
    with pytest.raises(SystemExit, match="A batch is 12 images, the data has 11"):
        main([*asked[:-1], "12", "--config", json.dumps(SMALL), "--device", "cpu"])


def test_a_stopped_training_ends_in_the_same_bits(folder, tmp_path):
    emoji = read_emoji(folder)
    recipe = replace(FLOWS["flow-emoji"], plan=Plan(6, batch_size=4, rate=1e-2), config=SMALL)
    for out, stops in (("whole", [6]), ("parts", [2, 2, 2])):
        (tmp_path / out).mkdir()
        for steps in stops:
            asked = iter(range(steps))
            train_flow(recipe, emoji, tmp_path / out, stop=lambda asked=asked: next(asked, None) is None)
    whole, parts = (
        load_file(tmp_path / out / "pipeline" / "unet" / "diffusion_pytorch_model.safetensors")
        for out in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_noise_is_paired_with_the_nearest_images_of_its_group():
    images, groups = torch.randn(40, 1, 2, 2), torch.arange(40) % 2
    pairs = paired(images, groups, stream("p"))
    drawn = torch.randn(images.shape, generator=stream("p"))
    for group in (0, 1):
        rows = groups == group
        assert torch.equal(*(part[rows].flatten(1).sort(0).values for part in (pairs, drawn)))  # the same noise
        cost, before = ((images[rows] - part[rows]).square().sum() for part in (pairs, drawn))
        assert cost < 0.8 * before


def test_steps_of_whole_segments_have_the_levels_of_the_scheduler():
    levels = levels_of_noise()
    assert levels.tolist() == pytest.approx([1, 0.889, 0.75, 0.571, 0], abs=1e-3)


def test_the_saved_network_takes_steps_of_whole_segments():
    training = Flow(replace(FLOWS["flow-emoji"], config=SMALL), 9, 0, "cpu")
    kept = training.network_of(SIZES - 1)
    x, level, groups = torch.randn(4, 3, 32, 32), torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([0, 3, 9, 1])
    wanted = training.result(x, level, class_labels=groups + 20).sample
    assert torch.equal(kept(x, level, class_labels=groups).sample, wanted)
    assert (kept.config.num_class_embeds, training.result.config.num_class_embeds) == (10, 30)


def test_larger_steps_begin_with_what_was_learned_of_small_ones():
    recipe = replace(FLOWS["flow-emoji"], plan=Plan(4, batch_size=4, rate=1e-2), straight_from=0.5, config=SMALL)
    training = Flow(recipe, 9, 0, "cpu")
    images, groups = torch.randn(4, 3, 32, 32), torch.tensor([0, 3, 8, 1])
    noise, seen = torch.randn(4, 3, 32, 32), []
    right = training._two_steps
    training._two_steps = lambda *given: seen.append(training.result.class_embedding.weight.clone()) or right(*given)
    for number in range(4):
        losses = training.step((images, noise, groups), stream("step", number), number)
        assert ("straight" in losses) == (number >= 2)
    small, half, whole = seen[0].split(10)
    assert torch.equal(small, half)
    assert torch.equal(small, whole)
    assert not torch.equal(*seen[1].split(10)[:2])


def test_two_half_steps_have_the_mean_of_their_velocities():
    training = Flow(replace(FLOWS["flow-emoji"], config=SMALL), 9, 0, "cpu")
    x, start, end, groups = (
        torch.randn(2, 3, 32, 32),
        torch.tensor([1.0, 0.8]),
        torch.tensor([0.8, 0.0]),
        torch.tensor([1, 9]),
    )
    sizes = torch.tensor([0, 1])
    mean = training._two_steps(x, start, end, groups, sizes)
    labels, middle = groups + 10 * sizes, (start + end) / 2
    first = training.result(x, start * STEPS, class_labels=labels).sample
    there = x + (middle - start)[:, None, None, None] * first
    second = training.result(there, middle * STEPS, class_labels=labels).sample
    to_the_end = there + (end - middle)[:, None, None, None] * second
    assert torch.allclose(x + (end - start)[:, None, None, None] * mean, to_the_end, atol=1e-5)
