"""Train the paper's f (Table 1) on the 60,000 MNIST training images and write the bundled decoder.

    python demos/train_mnist.py --data shared/data/mnist --out run

The loss is the paper's: binary cross-entropy, summed over the 784 pixels, mean over images. Weight matrices
are trained with Muon, everything else with Adam: with Adam alone this network sits on the plateau of the mean
image (206) for more than 600 steps; with Muon it has left it after 100, and 400 steps reach 96.

Stop it whenever you like: after every epoch all of the state goes to ``OUT/state.safetensors``, and the same
command goes on from there. At the end ``OUT/table1.safetensors`` (f_e and f_d) and ``OUT/codes.safetensors``
(codes and labels of the training images, some test images) are what `adapters/data/mnist` ships.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from latent_vizae.adapters.zoo.table1 import Table1Autoencoder
from latent_vizae.demos.zoo.data import as_input, read_mnist
from latent_vizae.demos.zoo.training import load_optimiser, one_cycle, optimiser_tensors
from latent_vizae.training.progress import Progress


def save_atomically(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file so that a kill leaves either the old file or the new one."""
    partial = path.with_suffix(".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial, metadata)
    partial.replace(path)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) as in ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``, in float32.

    torch's own runs its Newton-Schulz iteration in bfloat16, which on a CPU without bfloat16 units costs as
    much as the rest of the step.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Move every matrix against its orthogonalised momentum."""
        for group in self.param_groups:
            for matrix in group["params"]:
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - group["momentum"])
                update = self.orthogonalise(matrix.grad.lerp(momentum, group["momentum"]))
                matrix.sub_(update, alpha=0.2 * group["lr"] * math.sqrt(max(matrix.shape)))

    @staticmethod
    def orthogonalise(x: Tensor) -> Tensor:
        """Five quintic Newton-Schulz steps towards U V^T, for x = U S V^T."""
        wide = x if x.shape[0] <= x.shape[1] else x.T
        wide = wide / (wide.norm() + 1e-7)
        for _ in range(5):
            gram = wide @ wide.T
            wide = 3.4445 * wide + (-4.775 * gram + 2.0315 * gram @ gram) @ wide
        return wide if x.shape[0] <= x.shape[1] else wide.T


class Optimisers:
    """Muon on every weight, seen as a matrix (first axis against the rest), and Adam on the rest."""

    def __init__(self, model: nn.Module, lr: float) -> None:
        self.weights = [p for p in model.parameters() if p.dim() > 1]
        self.matrices = [nn.Parameter(p.data.flatten(1)) for p in self.weights]  # views: the same memory
        rest = [p for p in model.parameters() if p.dim() <= 1]
        self.muon = Muon(self.matrices, lr)
        self.adam = torch.optim.Adam(rest, lr / 5)
        self.rates = (lr, lr / 5)

    def step(self, rate: float) -> None:
        """One step with both learning rates multiplied by ``rate``; gradients are used up."""
        for optimiser, lr in zip((self.muon, self.adam), self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = lr * rate
        for matrix, weight in zip(self.matrices, self.weights, strict=True):
            matrix.grad = weight.grad.flatten(1)
        self.muon.step()
        self.adam.step()
        for parameter in (*self.weights, *self.adam.param_groups[0]["params"]):
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The state of both, flat, for safetensors."""
        return optimiser_tensors("muon", self.muon) | optimiser_tensors("adam", self.adam)

    def load(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        load_optimiser("muon", self.muon, tensors)
        load_optimiser("adam", self.adam, tensors)


@torch.no_grad()
def mean_loss(model: nn.Module, images: Tensor, device: str) -> float:
    """The paper's loss over a whole set of images: BCE summed over pixels, mean over images."""
    total = 0.0
    for batch in images.split(500):
        x = as_input(batch, device)
        total += binary_cross_entropy(model(x), x, reduction="sum").item()
    return total / len(images)


@torch.no_grad()
def start_at_mean_image(model: Table1Autoencoder, images: Tensor) -> None:
    """Let the untrained f return the mean grey everywhere.

    Otherwise the first steps drive the codes to serve as the missing bias, and one or two of the ten numbers
    of the code saturate for good (seen at rates of 0.005 and 0.01).
    """
    last = model.decoder[-2]
    last.weight *= 0.1
    last.bias.fill_(torch.logit(images.float().mean() / 255).item())


def train(images: Tensor, test: Tensor, arguments: argparse.Namespace) -> Table1Autoencoder:
    """Train, or go on training, f; one line of losses per epoch."""
    torch.manual_seed(arguments.seed)
    model = Table1Autoencoder()
    start_at_mean_image(model, images)
    model.to(arguments.device)
    optimisers = Optimisers(model, arguments.lr)
    state_file, done, history = arguments.out / "state.safetensors", 0, []
    settings = {key: getattr(arguments, key) for key in ("epochs", "batch_size", "lr", "seed")}
    if state_file.exists():
        with safe_open(state_file, "pt") as f:
            saved = json.loads(f.metadata()["training"])
        if saved["settings"] != settings:
            raise SystemExit(f"{state_file} was made with {saved['settings']}, asked for {settings}.")
        done, history = saved["epochs_done"], saved["history"]
        tensors = load_file(state_file, device=arguments.device)
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        optimisers.load(tensors)
    steps = math.ceil(len(images) / arguments.batch_size)
    for epoch in range(done, arguments.epochs):
        order = torch.Generator().manual_seed(arguments.seed * 1_000_003 + epoch)
        batches = torch.randperm(len(images), generator=order).split(arguments.batch_size)
        running = 0.0
        with Progress(sys.stderr.isatty(), f"epoch {epoch + 1}/{arguments.epochs}") as shown:
            for step, batch in enumerate(batches):
                x = as_input(images[batch], arguments.device)
                logits = model.decoder[:-1](model.encoder(x))  # without the sigmoid: stable far from 0.5
                loss = binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
                loss.backward()
                optimisers.step(one_cycle((epoch * steps + step) / (arguments.epochs * steps)))
                running += loss.item() * len(x)
                shown(step + 1, len(batches))
                if step % 20 == 0:
                    shown.note(f"loss {loss.item():.2f}")
        history.append({"train_running": running / len(images), "test": mean_loss(model, test, arguments.device)})
        print(f"epoch {epoch + 1}: training {history[-1]['train_running']:.2f}, test {history[-1]['test']:.2f}")
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | optimisers.tensors()
        meta = {"settings": settings, "epochs_done": epoch + 1, "history": history}
        save_atomically(tensors, state_file, {"training": json.dumps(meta)})
    return model


def main() -> None:
    """Parse the command line, train, evaluate and write the two files that the package ships."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the four MNIST idx files (.gz)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the results")
    parser.add_argument("--epochs", type=int, default=26)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.005, help="Muon's; Adam's is a fifth of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    images, labels = read_mnist(arguments.data, "train")
    test, test_labels = read_mnist(arguments.data, "t10k")
    model = train(images, test, arguments).eval()
    losses = {name: mean_loss(model, x, arguments.device) for name, x in (("train", images), ("test", test))}
    print(f"training loss {losses['train']:.2f} (the paper: 69.48), test loss {losses['test']:.2f}")
    with torch.no_grad():
        codes = torch.cat([model.encoder(as_input(batch, arguments.device)).cpu() for batch in images.split(500)])
        difference = torch.cat(
            [
                (model.decoder(part) - model.decoder(part.half().float())).abs()
                for part in codes[:5000].to(arguments.device).split(500)
            ]
        )
    print(f"codes in half precision: images change by {difference.max().item():.4f} at most (in [0, 1])")
    save_atomically(dict(model.state_dict()), arguments.out / "table1.safetensors", {"losses": json.dumps(losses)})
    bundle = {"codes": codes.half(), "labels": labels, "images": test[:100], "image_labels": test_labels[:100]}
    save_atomically(bundle, arguments.out / "codes.safetensors")


if __name__ == "__main__":
    main()
