"""Autoencoders of the zoo: each has the property that its name promises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from zoo_sizes import built, pictures

from latent_vizae.adapters.zoo import (
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    LinearAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from latent_vizae.adapters.zoo.regularised import gaussian_kl, sparsity_kl


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def minimise(model, images, steps, rate=0.01):
    adam = torch.optim.Adam(model.parameters(), rate)
    for step in range(steps):
        adam.zero_grad()
        sum(model.losses(images, stream(step), step / steps).values()).backward()
        adam.step()
    return model


def test_the_linear_autoencoder_finds_the_subspace_of_pca():
    random = stream()
    strong = torch.randn(60, 3, generator=random) @ torch.randn(3, 12, generator=random)
    rows = (0.5 + strong + 0.3 * torch.randn(60, 12, generator=random)).double()
    images = rows.reshape(-1, 1, 4, 3)
    model = LinearAutoencoder(latent_size=3, image_shape=(1, 4, 3)).double()
    lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=300, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def loss():
        lbfgs.zero_grad()
        value = model.reconstruction(model.encode(images), images)
        value.backward()
        return value

    lbfgs.step(loss)
    centred = rows - rows.mean(0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    assert loss().item() == pytest.approx(sizes[3:].square().sum().item() / len(images), rel=1e-6)
    basis, _ = torch.linalg.qr(model.decoder[0].weight.detach())
    assert torch.allclose(basis @ basis.T, axes[:3].T @ axes[:3], atol=1e-3)
    codes = model.encode(images).detach()
    codes, scores = codes - codes.mean(0), centred @ axes[:3].T
    rest = scores - codes @ torch.linalg.lstsq(codes, scores).solution
    assert rest.norm() < 1e-3 * scores.norm()


def test_tied_weights_are_one_matrix():
    tied, free = built("StackedAutoencoder"), built("StackedAutoencoder", tied=False)
    ups = [layer for layer in tied.encoder if isinstance(layer, nn.Linear)]
    downs = [layer for layer in tied.decoder if isinstance(layer, nn.Linear)]
    x = codes = pictures(4, (3,))
    for number, (up, down) in enumerate(zip(ups[::-1], downs, strict=True)):
        x = (x.relu() if number else x) @ up.weight + down.bias
    assert torch.allclose(tied.logits(codes), x.unflatten(1, tied.image_shape), atol=1e-6)
    matrices = sum(up.weight.numel() for up in ups)
    assert sum(map(torch.numel, free.parameters())) - sum(map(torch.numel, tied.parameters())) == matrices
    assert torch.allclose(free.logits(codes), free.decoder(codes), atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_pretraining_teaches_one_pair_of_layers_at_a_time(tied):
    model = built("StackedAutoencoder", tied=tied, pretrain=0.3)
    images = pictures(6, model.image_shape)
    ups = [f"encoder.{index}" for index in (1, 3, 5)]
    downs = [f"decoder.{index}" for index in (4, 2, 0)]
    for progress, pair in ((0.0, 0), (0.11, 1), (0.29, 2)):
        model.zero_grad()
        losses = model.losses(images, stream(), progress)
        assert list(losses) == [f"layer {pair + 1}"]
        sum(losses.values()).backward()
        learning = {name.rpartition(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
        assert learning == {ups[pair], downs[pair]}
    assert list(model.losses(images, stream(), 0.3)) == ["reconstruction"]
    assert list(built("StackedAutoencoder").losses(images, stream(), 0.0)) == ["reconstruction"]


def test_pretraining_lowers_what_it_minimises():
    model = built("StackedAutoencoder", pretrain=1.0)
    images = pictures(20, model.image_shape)
    marks = (0.0, 0.34, 0.67)

    def losses():
        return [sum(model.losses(images, stream(), mark).values()).item() for mark in marks]

    for mark in marks:
        before = losses()[marks.index(mark)]
        adam = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(30):
            adam.zero_grad()
            sum(model.losses(images, stream(), mark).values()).backward()
            adam.step()
        assert losses()[marks.index(mark)] < before


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 6), (1, 1, 2)])
def test_the_convolutions_have_their_mirrors(shape):
    model = ConvolutionalAutoencoder(channels=[2, 3, 4], image_shape=shape)
    down, up, x = [shape], [], pictures(1, shape)
    for layer in model.encoder:
        x = layer(x)
        down += [tuple(x.shape[1:])] if isinstance(layer, nn.Conv2d) else []
    for layer in model.decoder:
        x = layer(x)
        up += [tuple(x.shape[1:])] if isinstance(layer, nn.Unflatten | nn.ConvTranspose2d) else []
    assert up[::-1] == down


def test_the_default_convolutional_one_is_the_published_one():
    model = ConvolutionalAutoencoder()
    convolutions = [layer for layer in model.encoder if isinstance(layer, nn.Conv2d)]
    assert [(layer.out_channels, layer.stride) for layer in convolutions] == [
        (32, (2, 2)),
        (64, (2, 2)),
        (128, (2, 2)),
    ]
    assert model.latent_shape == (2,)


def test_the_recurrent_one_reads_and_writes_row_by_row():
    model = built("RecurrentAutoencoder")
    images = pictures(2, model.image_shape)
    rows = images.permute(0, 2, 1, 3).flatten(2)
    state = None
    for row in range(rows.shape[1]):  # seq2vec, one row after the other
        out, state = model.encoder.read(rows[:, row : row + 1], state)
    codes = model.encode(images)
    assert torch.allclose(codes, model.encoder.code(out[:, 0]), atol=1e-6)
    state, written = None, []
    for _ in range(rows.shape[1]):  # vec2seq: the code again for each row
        out, state = model.decoder.write(codes[:, None], state)
        written.append(model.decoder.row(out[:, 0]).unflatten(1, (images.shape[1], images.shape[3])))
    assert torch.allclose(model.logits(codes), torch.stack(written, 2), atol=1e-6)


@pytest.mark.parametrize(("noise", "amount"), [("gaussian", 0.3), ("dropout", 0.3)])
def test_the_denoising_one_sees_damage_and_is_judged_by_the_clean_image(noise, amount):
    model = DenoisingAutoencoder(noise=noise, amount=amount)
    assert model.latent_shape[0] > 28 * 28
    images = 0.5 + 0.5 * pictures(20, model.image_shape)
    given = images.clone()
    damaged = model.damage(images, stream(3))
    assert torch.equal(images, given)
    if noise == "gaussian":
        assert (damaged - images).std().item() == pytest.approx(amount, abs=0.01)
        assert (damaged - images).mean().item() == pytest.approx(0, abs=0.01)
    else:
        assert (damaged == 0).float().mean().item() == pytest.approx(amount, abs=0.01)
        assert torch.allclose(damaged[damaged > 0], images[damaged > 0] / 0.7)
        assert damaged.mean().item() == pytest.approx(images.mean().item(), abs=0.01)
    (loss,) = model.losses(images, stream(3), 0.0).values()
    assert torch.equal(loss, model.reconstruction(model.encode(damaged), images))
    assert not torch.equal(loss, model.reconstruction(model.encode(images), images))


def test_the_sparsity_term_is_the_divergence_of_coins():
    activity = pictures(1, (7,))[0]
    expected = kl_divergence(Bernoulli(torch.tensor(0.1)), Bernoulli(activity)).sum()
    assert sparsity_kl(activity, 0.1).item() == pytest.approx(expected.item(), rel=1e-5)
    assert sparsity_kl(torch.full((5,), 0.1), 0.1).item() == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(sparsity_kl(torch.tensor([0.0, 1.0]), 0.1))


@pytest.mark.parametrize("target", [0.05, 0.3])
def test_the_codes_of_the_sparse_one_follow_their_target(target):
    images = pictures(64, (1, 4, 3))
    model = minimise(SparseAutoencoder(10, 7, "kl", 10.0, target, (1, 4, 3)), images, 200, 0.02)
    activity = model.encode(images).mean(0)
    assert np.allclose(activity.detach(), target, atol=0.03)


def test_a_heavier_l1_makes_codes_smaller():
    images = pictures(64, (1, 4, 3))
    light, heavy = (
        minimise(SparseAutoencoder(10, 7, "l1", weight, image_shape=(1, 4, 3)), images, 80, 0.03).encode(images).mean()
        for weight in (0.0, 3.0)
    )
    assert heavy < 0.5 * light
    model = built("SparseAutoencoder", penalty="l1", weight=2.0)
    assert torch.allclose(model.losses(images, stream(), 0)["l1"], 2 * model.encode(images).abs().sum(1).mean())


def test_the_variational_terms_are_those_of_the_distributions():
    mean, log_variance = torch.randn(2, 5, 3, generator=stream())
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(gaussian_kl(mean, log_variance), expected, atol=1e-5)
    model, four = built("VariationalAutoencoder"), built("VariationalAutoencoder", beta=4.0)
    images = pictures(5, model.image_shape)
    mean, log_variance = model.posterior(images)
    assert torch.equal(model.encode(images), mean)
    losses = model.losses(images, stream(), 0.0)
    assert torch.allclose(losses["kl"], gaussian_kl(mean, log_variance).mean())
    assert torch.allclose(four.losses(images, stream(), 0.0)["kl"], 4 * losses["kl"])
    assert torch.equal(losses["reconstruction"], model.losses(images, stream(), 0.5)["reconstruction"])
    assert not torch.equal(losses["reconstruction"], model.losses(images, stream(1), 0.0)["reconstruction"])


def test_the_drawn_codes_are_the_posteriors(monkeypatch):
    model = built("VariationalAutoencoder")
    image = pictures(1, model.image_shape)
    seen = []
    monkeypatch.setattr(model, "reconstruction", lambda codes, images: seen.append(codes) or codes.sum())
    model.losses(image.expand(20_000, -1, -1, -1), stream(), 0.0)
    mean, log_variance = model.posterior(image)
    assert torch.allclose(seen[0].mean(0), mean[0], atol=0.05)
    assert torch.allclose(seen[0].std(0), (0.5 * log_variance[0]).exp(), rtol=0.05)


def test_a_heavy_kl_brings_the_codes_to_the_prior():
    images = pictures(64, (1, 4, 3))
    model = minimise(VariationalAutoencoder(3, [7], beta=50.0, image_shape=(1, 4, 3)), images, 150, 0.02)
    mean, log_variance = model.posterior(images)
    assert gaussian_kl(mean, log_variance).mean() < 0.05
    draws = model.sample(5000, 1)
    assert torch.allclose(draws.mean(0), torch.zeros(3), atol=0.1)
    assert torch.allclose(draws.std(0), torch.ones(3), atol=0.1)


@pytest.mark.parametrize(
    "name",
    [
        "ConvolutionalAutoencoder",
        "LinearAutoencoder",
        "RecurrentAutoencoder",
        "StackedAutoencoder",
        "VariationalAutoencoder",
    ],
)
def test_an_untrained_one_may_start_at_the_mean_grey(name):
    model = type(built(name))(**built(name).config)
    model.start_at_mean(0.2)
    images = model(torch.zeros(1, *model.latent_shape))
    assert images.mean().item() == pytest.approx(0.2, abs=0.05)
