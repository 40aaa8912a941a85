"""Differentiable augmentation: images are changed in the ways that it says, each on its own, gradients flow."""

import pytest
import torch
from zoo_sizes import pictures

from latent_vizae.demos.zoo import augment
from latent_vizae.demos.zoo.augment import augmented


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_same_stream_gives_the_same_images_and_another_others():
    images = 2 * pictures(4, (3, 16, 16)) - 1
    before = images.clone()
    once = augmented(images, stream())
    assert torch.equal(once, augmented(images, stream()))
    assert not torch.equal(once, augmented(images, stream(1)))
    assert torch.equal(images, before)
    assert once.shape == images.shape


def test_a_translation_moves_what_is_there_by_whole_pixels():
    images = pictures(40, (2, 16, 24)) + 1
    moved, shifts = augment._translated(images, stream()), set()
    for image, there in zip(images, moved, strict=True):
        found = []
        for down in range(-2, 3):
            for right in range(-3, 4):
                wanted = torch.zeros_like(image)
                rows = slice(max(0, -down), 16 - max(0, down)), slice(max(0, down), 16 - max(0, -down))
                columns = slice(max(0, -right), 24 - max(0, right)), slice(max(0, right), 24 - max(0, -right))
                wanted[:, rows[0], columns[0]] = image[:, rows[1], columns[1]]
                found += [(down, right)] * torch.equal(wanted, there)
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 10


def test_a_hole_is_a_square_of_half_the_side_or_what_of_it_is_inside():
    left = augment._cutout(torch.ones(200, 3, 16, 16), stream())
    assert torch.equal(left[:, 0], left[:, 2])
    areas = (left[:, 0] == 0).sum((1, 2))
    assert 16 <= areas.min() < areas.max() == 64
    rows = (left[:, 0] == 0).any(2).sum(1)
    columns = (left[:, 0] == 0).any(1).sum(1)
    assert torch.equal(areas, rows * columns)


def test_colours_change_as_brightness_saturation_and_contrast_do():
    images = 2 * pictures(6, (3, 8, 8)) - 1
    factors = torch.rand(3, 6, 1, 1, 1, generator=stream())
    there = augment._recoloured(images, stream())
    assert torch.allclose(there.mean((1, 2, 3)), images.mean((1, 2, 3)) + factors[0].flatten() - 0.5, atol=1e-5)
    chroma = [x - x.mean(1, keepdim=True) for x in (images, there)]
    assert torch.allclose(chroma[1], 2 * factors[1] * (factors[2] + 0.5) * chroma[0], atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_flow_to_what_is_seen(channels):
    images = (2 * pictures(8, (channels, 16, 16)) - 1).requires_grad_()
    shown = augmented(images, stream())
    shown.square().sum().backward()
    assert (images.grad != 0).double().mean() > 0.4
