"""Real pretrained generators as decoders, by the adapter for modules: those of ../shared/models, and one of PyPI."""

from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from latent_vizae import load_decoder


def _weights(file):
    return {name: value.float() for name, value in torch.load(file, weights_only=True, map_location="cpu").items()}


def mlp_gan(shared: Path):
    """The MLP GAN on MNIST: a plain nn.Sequential, flat images in [-1, 1], prior N(0, I) in R^64."""
    G = nn.Sequential(
        nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh()
    ).requires_grad_(False)  # fmt: skip
    G.load_state_dict(_weights(shared / "models" / "mnist-gan-mlp" / "G--300.ckpt"), strict=True)
    return load_decoder(
        "module", module=G, latent_shape=(64,), image_shape=(1, 28, 28), output_range=(-1, 1), sample="normal"
    )


def face_gan():
    """A DCGAN of synthetic faces, prior N(0, I) in R^100; None without ``pip install --no-deps gan_face_generate``."""
    package = find_spec("gan_face_generate")
    if package is None or package.origin is None:
        return None
    layers: list[nn.Module] = []
    for inputs, outputs in ((100, 512), (512, 256), (256, 128), (128, 64)):
        first = {"stride": 1, "padding": 0} if inputs == 100 else {"stride": 2, "padding": 1}
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, bias=False, **first), nn.BatchNorm2d(outputs), nn.ReLU()]
    G = nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())
    saved = torch.load(Path(package.origin).with_name("weights.tar"), weights_only=True, map_location="cpu")
    weights = {name.removeprefix("main."): value for name, value in saved["netG_state_dict"].items()}
    G.load_state_dict(weights, strict=True)
    return load_decoder(
        "module", module=G.eval().requires_grad_(False), latent_shape=(100, 1, 1), image_shape=(3, 64, 64),
        output_range=(-1, 1), sample="normal",
    )  # fmt: skip


def face_vae(shared: Path, name: str = "btcvae_celeba"):
    """A VAE of 64 x 64 pixels with 10 numbers a code: btcvae_celeba (faces) or VAE_chairs; it encodes to means."""
    weights = load_file(shared / "models" / "face-vae" / f"{name}.safetensors")
    channels, bent = len(weights["decoder.convT3.bias"]), nn.ReLU
    down = [nn.Conv2d(inputs, 32, 4, 2, 1) for inputs in (channels, 32, 32, 32)]
    up = [nn.ConvTranspose2d(32, outputs, 4, 2, 1) for outputs in (32, 32, 32, channels)]
    narrow = [nn.Linear(*sizes) for sizes in ((512, 256), (256, 256), (256, 20))]
    wide = [nn.Linear(*sizes) for sizes in ((10, 256), (256, 256), (256, 512))]
    encoder = nn.Sequential(
        *[layer for conv in down for layer in (conv, bent())], nn.Flatten(), narrow[0], bent(), narrow[1], bent(),
        narrow[2],
    )  # fmt: skip
    decoder = nn.Sequential(
        *[layer for linear in wide for layer in (linear, bent())], nn.Unflatten(1, (32, 4, 4)), up[0], bent(), up[1],
        bent(), up[2], bent(), up[3], nn.Sigmoid(),
    )  # fmt: skip
    names = {
        "encoder": ("conv1", "conv2", "conv3", "conv_64", "lin1", "lin2", "mu_logvar_gen"),
        "decoder": ("lin1", "lin2", "lin3", "convT_64", "convT1", "convT2", "convT3"),
    }
    for half, layers in (("encoder", [*down, *narrow]), ("decoder", [*wide, *up])):
        for layer, key in zip(layers, names[half], strict=True):
            layer.load_state_dict({kind: weights[f"{half}.{key}.{kind}"] for kind in ("weight", "bias")}, strict=True)
            layer.requires_grad_(False)
    return load_decoder(
        "module",
        module=decoder.eval(),
        latent_shape=(10,),
        image_shape=(channels, 64, 64),
        encoder=lambda images: encoder(images).unflatten(1, (10, 2))[:, :, 0],
        sample="normal",
    )


def _conv(inputs, outputs, **options):
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class _Clamp(nn.Module):
    def forward(self, x):
        return torch.tanh(x / 3) * 3


class _Block(nn.Module):
    def __init__(self, pooled=False):
        super().__init__()
        self.conv = nn.Sequential(_conv(64, 64), nn.ReLU(), _conv(64, 64), nn.ReLU(), _conv(64, 64))
        self.pool = nn.Sequential(
            nn.Conv2d(64, 256, 1, bias=False), nn.GroupNorm(4, 256), nn.ReLU(), nn.Conv2d(256, 64, 1, bias=False)
        ) if pooled else None  # fmt: skip

    def forward(self, x):
        x = x if self.pool is None else x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def taef2(shared: Path, size: int = 64):
    """TAEF2, the tiny autoencoder for FLUX.2's latents: codes (32, size/8, size/8), RGB images in [0, 1]."""
    down, blocks = {"stride": 2, "bias": False}, [[_Block() for _ in range(3)] for _ in range(4)]
    low = [[_Block(pooled=True) for _ in range(3)] for _ in range(2)]
    encoder = nn.Sequential(
        _conv(3, 64), _Block(), _conv(64, 64, **down), *blocks[0], _conv(64, 64, **down), *blocks[1],
        _conv(64, 64, **down), *low[0], _conv(64, 32),
    )  # fmt: skip
    decoder = nn.Sequential(
        _Clamp(), _conv(32, 64), nn.ReLU(), *low[1], nn.Upsample(scale_factor=2), _conv(64, 64, bias=False),
        *blocks[2], nn.Upsample(scale_factor=2), _conv(64, 64, bias=False), *blocks[3], nn.Upsample(scale_factor=2),
        _conv(64, 64, bias=False), _Block(), _conv(64, 3),
    )  # fmt: skip
    for name, half in (("encoder", encoder), ("decoder", decoder)):
        half.load_state_dict(_weights(shared / "models" / "taef2" / f"taef2_{name}.pth"), strict=True)
        half.eval().requires_grad_(False)
    shape = (32, size // 8, size // 8)
    return load_decoder(
        "module",
        module=lambda z: decoder(z).clamp(0, 1),
        latent_shape=shape,
        image_shape=(3, size, size),
        encoder=encoder,
    )


def lenet(shared: Path):
    """LeNet-5 on MNIST: images (B, 1, 28, 28) in [0, 1] -> logits (B, 10)."""
    weights = _weights(shared / "models" / "mnist-lenet" / "lenet.pth")
    c1, c3, c5, f6, f7 = (
        [weights[f"{name}.{kind}"] for kind in ("weight", "bias")]
        for name in ("convnet.c1", "convnet.c3", "convnet.c5", "fc.f6", "fc.f7")
    )

    def classifier(images: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.pad(images, (2, 2, 2, 2))
        for layer in (c1, c3):
            x = torch.nn.functional.max_pool2d(torch.conv2d(x, *layer).relu(), 2)
        x = torch.conv2d(x, *c5).relu().flatten(1)
        return torch.nn.functional.linear(torch.nn.functional.linear(x, *f6).relu(), *f7)

    return classifier
