"""``load_decoder("emoji")``: the bundled generator in colour, with the names and groups of its codes."""

import pytest
import torch

from latent_vizae import load_decoder
from latent_vizae.adapters.emoji import CODES, DATA
from latent_vizae.demos.zoo.emoji import FILE, read_emoji
from latent_vizae.measures.metrics import image_error
from latent_vizae.testing import check_decoder


@pytest.fixture(scope="module")
def emoji():
    return load_decoder("emoji")


@pytest.mark.wheel
def test_it_keeps_the_contract(emoji):
    check_decoder(emoji)
    assert (emoji.source, emoji.latent_shape, emoji.image_shape) == ("emoji", (64,), (3, 64, 64))


@pytest.mark.wheel
def test_all_emoji_come_with_a_name_and_a_group(emoji):
    codes, labels = emoji.examples()
    assert len(codes) == len(labels) == len(emoji.names) > 1800
    assert len(set(emoji.names)) > 0.99 * len(emoji.names)
    assert sorted(labels.unique().tolist()) == sorted(emoji.label_names) == list(range(9))
    assert torch.equal(emoji.code("red heart"), codes[[emoji.names.index("red heart")]])
    by_name = emoji.examples(label="Food & Drink", count=20, seed=1)
    by_number = emoji.examples(label=3, count=20, seed=1)
    assert torch.equal(by_name[0], by_number[0])
    assert by_name[1].tolist() == [3] * 20


def test_what_is_not_there_is_said(emoji):
    with pytest.raises(ValueError, match="No emoji is called 'hart'"):
        emoji.code("hart")
    with pytest.raises(ValueError, match=r"there are .*smiling face with heart-eyes"):
        emoji.code("heart-eyes")
    with pytest.raises(ValueError, match="The groups of emoji are Activities"):
        emoji.examples(label="Cars")
    with pytest.raises(ValueError, match="Emoji have the groups 0 to 8, asked for label=9"):
        emoji.examples(label=9)
    with pytest.raises(ValueError, match="asked for count=4000"):
        emoji.examples(count=4000)
    with pytest.raises(ValueError, match="got 'emoji:smile'"):
        load_decoder("emoji:smile")


def test_the_codes_are_those_of_the_pictures_and_bring_them_back(emoji, shared):
    if not (shared / "data" / "emoji" / FILE).is_file():
        pytest.skip("the pictures are not here")
    known = read_emoji(shared / "data" / "emoji")
    assert known.names == emoji.names
    codes, labels = emoji.examples()
    assert torch.equal(labels, known.groups)
    images = known.images[::20].float() / 255
    with torch.no_grad():
        assert (emoji.encode(images) - codes[::20]).abs().max() < 0.01  # stored in half precision
        assert image_error(emoji(codes[::20]), images) < 0.25 * images.var(0).mean()


def test_it_is_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 3_300_000
    assert CODES.stat().st_size < 300_000
