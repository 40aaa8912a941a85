"""One code set and one family of methods, in a process of its own: fits, measures, prints one line of JSON per cell.

peers.py starts it and says what is to be measured. The measures are those of latent_vizae/metrics.py.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler
from torch import Tensor, nn
from torch.nn.functional import interpolate

from latent_vizae import LatentMap, fit, load_decoder
from latent_vizae.decoders.contract import decode_images
from latent_vizae.measures.metrics import (
    continuity,
    fvu,
    image_error,
    map_width,
    path_evenness,
    round_trip_error,
    scale_normalised_stress,
    shepard_rho,
    trustworthiness,
)
from latent_vizae.measures.realism import sliced_wasserstein, spread, unlikeness
from latent_vizae.measures.typicality import norm_ratio

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from peers import (
    BUNDLED,
    FRAMES,
    JUDGED,
    PAIRS,
    ROUND_TRIPS,
    SETS,
    SHARED,
    US,
    WIDE,
    WORK,
    held_out,
)
from shared_models import face_gan, face_vae, mlp_gan, taef2

Rows = Callable[[Tensor], Tensor]
BATCH, WARM, INDEXED = 128, 20, 4200  # from 4,096 codes on umap-learn runs other code


@dataclass
class Task:
    """A code set: shuffled codes (N, n), of which the first ``held`` are held out, and their decoder."""

    decoder: Rows
    codes: Tensor
    shape: tuple[int, ...]
    held: int
    umap: dict[tuple[int, int], Fitted] = field(default_factory=dict)

    @property
    def wide(self) -> bool:
        """Whether codes are so long that fewer of them are judged."""
        return self.codes.shape[1] > WIDE

    def draw(self, size: int, seed: int) -> Tensor:
        """Training codes (size, n)."""
        pool = self.codes[self.held :]
        return pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:size]]

    def images(self, codes: Tensor) -> Tensor:
        """(k, n) -> (k, C, H, W)."""
        return decode_images(self.decoder, codes.unflatten(1, self.shape))


@dataclass
class Cost:
    """What fitting took; several parts add up."""

    seconds: float = 0.0
    peak: float = 0.0
    cpu: float = 0.0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count what happens inside."""
        with contextlib.suppress(OSError):  # Linux only: the high-water mark starts anew
            Path("/proc/self/clear_refs").write_text("5")
        started, busy = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - started
        self.cpu += time.process_time() - busy
        try:
            line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
            peak = int(line.split()[1]) / 1024
        except OSError:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 ** (2 if sys.platform == "darwin" else 1)
        self.peak = max(self.peak, peak)


@dataclass
class Fitted:
    """A map, (k, n) <-> (k, 2), what it cost, and its path from code to code if it has one of its own.

    One without a way back has no ``decode``. The codes that a map shows at its points are those of ``shown``, where
    they are others.
    """

    encode: Rows
    decode: Rows | None
    cost: Cost
    path: Callable[[Tensor, Tensor], Tensor] | None = None
    shown: Rows | None = None


def load(name: str) -> Task:
    """A code set by its name in SETS, shuffled the same way every time."""
    one = name.partition("-")[2]
    if name in BUNDLED:
        decoder = load_decoder("mnist")
        codes, _ = decoder.examples(label=int(one) if one else None)
    elif name == "emoji":
        decoder = load_decoder("emoji")
        codes, _ = decoder.examples()
    elif name == "gan":
        decoder = mlp_gan(SHARED)
        codes = decoder.sample(max(SETS[name][0]) + held_out(name), seed=0)
    elif name.startswith("face"):
        decoder = face_gan() if name == "face-gan" else face_vae(SHARED)
        if decoder is None:
            raise SystemExit(
                "face-gan takes the weights of PyPI's gan_face_generate: pip install --no-deps gan_face_generate"
            )
        codes = decoder.sample(max(SETS[name][0]) + held_out(name), seed=0)
    elif name.startswith("fashion"):
        with gzip.open(SHARED / "data" / "fashion-mnist" / "train-images-idx3-ubyte.gz") as file:
            codes = torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=16).copy()).view(-1, 784) / 255
        if one:
            with gzip.open(SHARED / "data" / "fashion-mnist" / "train-labels-idx1-ubyte.gz") as file:
                codes = codes[torch.from_numpy(np.frombuffer(file.read(), np.uint8, offset=8).copy()) == int(one)]

        def decoder(z: Tensor) -> Tensor:
            return z.reshape(-1, 1, 28, 28).clamp(0, 1)
    else:
        decoder, codes = taef2(SHARED), _cifar_codes()
    codes = codes[torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))]
    return Task(decoder, codes.flatten(1), tuple(codes.shape[1:]), held_out(name))


@torch.no_grad()
def _cifar_codes() -> Tensor:
    """TAEF2's latents of the images at 64 pixels; encoded once, then kept in a file."""
    file = WORK / "cifar-codes.npy"
    if not file.exists():
        images = torch.from_numpy(np.load(SHARED / "data" / "cifar10" / "test-2000.npz")["images"])
        encode = taef2(SHARED).encode
        parts = (images.permute(0, 3, 1, 2) / 255).split(50)
        codes = torch.cat([encode(interpolate(part, size=64, mode="bilinear")) for part in parts])
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, codes.numpy())
    return torch.from_numpy(np.load(file))


def by_numpy(function: Callable[[np.ndarray], np.ndarray]) -> Rows:
    """Tensor -> tensor, by way of a function of float32 arrays."""
    return lambda rows: torch.from_numpy(np.asarray(function(rows.numpy().astype("float32")), dtype="float32"))


def fit_us(task: Task, codes: Tensor, seed: int) -> Fitted:
    cost, shape = Cost(), task.shape
    with cost.counting():
        v = fit(codes.unflatten(1, shape), task.decoder, dim=2, seed=seed)
    m = LatentMap(v, task.decoder)

    def path(one: Tensor, other: Tensor) -> Tensor:
        return m.path(one.view(shape), other.view(shape), frames=FRAMES).images

    return Fitted(
        lambda z: v.encode(z.unflatten(1, shape)),
        lambda p: v.decode(p, detail=0).flatten(1),
        cost,
        path,
        lambda p: v.decode(p).flatten(1),
    )


def fit_pca(task: Task, codes: Tensor, seed: int) -> Fitted:
    cost = Cost()
    with cost.counting():
        pca = PCA(2, random_state=seed).fit(codes.numpy())
    return Fitted(by_numpy(pca.transform), by_numpy(pca.inverse_transform), cost)


def fit_umap(task: Task, codes: Tensor, seed: int) -> Fitted:
    """The map that NNinv and RBF share; fitted once for the same training codes."""
    import umap

    key = (len(codes), seed)
    if key not in task.umap:
        cost = Cost()
        with cost.counting():
            reducer = umap.UMAP(n_components=2).fit(codes.numpy())
        task.umap = {key: Fitted(by_numpy(reducer.transform), by_numpy(reducer.inverse_transform), cost)}
    return task.umap[key]


def fit_nninv(task: Task, codes: Tensor, seed: int) -> Fitted:
    from inverse_projections import NNinv

    below = fit_umap(task, codes, seed)
    points, cost = below.encode(codes).numpy(), replace(below.cost)
    torch.manual_seed(seed)
    with cost.counting():
        scaler, inverse = MinMaxScaler().fit(codes.numpy()), NNinv()
        inverse.fit(points, scaler.transform(codes.numpy()), verbose=False)
    return Fitted(below.encode, by_numpy(lambda p: scaler.inverse_transform(inverse.inverse_transform(p))), cost)


def fit_rbf(task: Task, codes: Tensor, seed: int) -> Fitted:
    from inverse_projections import RBFinv

    below = fit_umap(task, codes, seed)
    points, cost, inverse = below.encode(codes).numpy(), replace(below.cost), RBFinv()
    with cost.counting():
        inverse.fit(points, codes.numpy())
    return Fitted(below.encode, by_numpy(inverse.inverse_transform), cost)


def _epochs(count: int) -> int:
    """100, and at least 1,000 steps."""
    return max(100, -(-1000 // -(-count // BATCH)))


def _perceptron(sizes: list[int]) -> nn.Sequential:
    layers = [part for i, o in itertools.pairwise(sizes) for part in (nn.Linear(i, o), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def fit_autoencoder(task: Task, codes: Tensor, seed: int) -> Fitted:
    hidden = fit(codes, dim=2, steps=1).hidden  # our default widths
    torch.manual_seed(seed)
    cost, tenth = Cost(), max(1, len(codes) // 10)
    with cost.counting():
        mean, scale = codes.mean(0), codes.std()
        judged, x = ((codes - mean) / scale).split([tenth, len(codes) - tenth])
        encoder = _perceptron([x.shape[1], *hidden, 2])
        decoder = _perceptron([2, *reversed(hidden), x.shape[1]])
        both = nn.Sequential(encoder, decoder)
        optimiser, best, weights = torch.optim.Adam(both.parameters(), 1e-3), float("inf"), {}
        for _ in range(_epochs(len(x))):
            for rows in x[torch.randperm(len(x))].split(BATCH):
                optimiser.zero_grad()
                (both(rows) - rows).square().mean().backward()
                optimiser.step()
            with torch.no_grad():
                error = (both(judged) - judged).square().mean().item()
            if error < best:
                best, weights = error, {name: value.clone() for name, value in both.state_dict().items()}
        both.load_state_dict(weights)
    return Fitted(lambda z: encoder((z - mean) / scale), lambda p: decoder(p) * scale + mean, cost)


def fit_pythae(task: Task, codes: Tensor, seed: int) -> Fitted:
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, AEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    torch.manual_seed(seed)
    cost, tenth = Cost(), max(1, len(codes) // 10)
    with cost.counting(), tempfile.TemporaryDirectory() as folder:
        scaler = MinMaxScaler().fit(codes.numpy())
        parts = torch.from_numpy(scaler.transform(codes.numpy())).float().split([tenth, len(codes) - tenth])
        judged, train = (BaseDataset(part, torch.zeros(len(part))) for part in parts)
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=_epochs(len(train)),
            learning_rate=1e-3,
            seed=seed,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=1000,
        )
        model = AE(AEConfig(input_dim=(codes.shape[1],), latent_dim=2))
        trainer = BaseTrainer(model, train, judged, training_config=config)
        trainer.train()
        model = AE.load_from_folder(str(Path(trainer.training_dir) / "final_model")).eval()
    scale, low = torch.from_numpy(scaler.scale_).float(), torch.from_numpy(scaler.min_).float()
    return Fitted(
        lambda z: model.encoder(z * scale + low).embedding,
        lambda p: (model.decoder(p)["reconstruction"].flatten(1) - low) / scale,
        cost,
    )


def fit_torchdr(task: Task, codes: Tensor, seed: int) -> Fitted:
    from torchdr import UMAP

    torch.manual_seed(seed)
    cost, n = Cost(), codes.shape[1]
    layers = [part for i, o in itertools.pairwise((n, 100, 100, 100, 2)) for part in (nn.Linear(i, o), nn.ReLU())]
    reducer = UMAP(
        n_neighbors=min(15, len(codes) - 1), encoder=nn.Sequential(*layers[:-1]), optimizer="Adam", lr=1e-3,
        device="cpu", backend=None, random_state=seed,
    )  # fmt: skip
    with cost.counting():
        reducer.fit(codes)
    return Fitted(reducer.transform, None, cost)


METHODS: dict[str, Callable[[Task, Tensor, int], Fitted]] = {
    US: fit_us,
    "PCA": fit_pca,
    "UMAP": fit_umap,
    "NNinv": fit_nninv,
    "RBF": fit_rbf,
    "autoencoder": fit_autoencoder,
    "pythae": fit_pythae,
    "TorchDR": fit_torchdr,
}


def occupied(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Places (count, d) where a map is occupied: fitted points, moved by about the distance to their nearest one.

    All lie in the box of the fitted points: beyond it there is no map.
    """
    some = points[torch.randint(len(points), (4 * count,), generator=generator)]
    distances = torch.cdist(some, points)
    nearest = distances.masked_fill(distances < 1e-6 * map_width(points), float("inf")).amin(1).median()
    moved = some + nearest / points.shape[1] ** 0.5 * torch.randn(some.shape, generator=generator)
    inside = (moved >= points.amin(0)).all(1) & (moved <= points.amax(0)).all(1)
    return moved[inside][:count]


def rate(function: Rows, rows: Tensor, values: int) -> float:
    """Rows a second, on ever larger batches until one takes long enough to time; ``values`` per row come in or out."""
    count, most = 64, min(2**18, 2**24 // values)
    while True:
        batch = rows[torch.arange(count) % len(rows)]
        started = time.perf_counter()
        function(batch)
        seconds = time.perf_counter() - started
        if seconds > 0.3 or 4 * count > most:
            return count / seconds
        count *= 4


def pace(task: Task, fitted: Fitted, codes: Tensor, points: Tensor) -> float:
    """Mean evenness of the paths between pairs of fitted codes: the method's own, or straight at even steps."""
    along, found = torch.linspace(0, 1, FRAMES).unsqueeze(1), []
    for one in range(0, 2 * PAIRS[task.wide], 2):
        if fitted.path is not None:
            images = fitted.path(codes[one], codes[one + 1])
        else:
            images = task.images(fitted.decode(torch.lerp(points[one], points[one + 1], along)))
        found.append(path_evenness(images))
    return sum(found) / len(found)


def typical(task: Task, codes: Tensor, images: Tensor, shown: Tensor) -> dict[str, float]:
    """How typical codes (P, n) of places and their images are, beside held-out codes and their images."""
    made, count = task.images(shown), min(len(shown), len(images) // 2)
    one, other = images[:count], images[count : 2 * count]
    return {
        "norm": norm_ratio(shown, task.codes[: task.held]),
        "unlikeness": unlikeness(made, images, task.images(codes[: JUDGED[task.wide]])),
        "spread": spread(made, images),
        "wasserstein": sliced_wasserstein(made[:count], one) / sliced_wasserstein(one, other),
    }


@torch.no_grad()
def measure(task: Task, method: str, size: int, seed: int) -> dict[str, float]:
    """One cell of the table."""
    codes, load_before = task.draw(size, seed), os.getloadavg()[0]
    with torch.enable_grad():
        fitted = METHODS[method](task, codes, seed)
    held, n = task.codes[: task.held], codes.shape[1]
    points, places = fitted.encode(codes), fitted.encode(held)
    judged = held[: JUDGED[task.wide]]
    images, cell = task.images(judged), {}
    whose, where, sizes = (held, places, (7, 20)) if size >= 200 else (codes, points, (7,))
    for neighbours in sizes:
        cell[f"trust_{neighbours}"] = trustworthiness(whose, where, neighbours)
        cell[f"cont_{neighbours}"] = continuity(whose, where, neighbours)
    cell["stress"], cell["shepard"] = scale_normalised_stress(whose, where), shepard_rho(whose, where)
    looks, where = (images, places[: len(images)]) if size >= 200 else (task.images(codes), points)
    for name, measured in (("trust", trustworthiness), ("cont", continuity)):
        cell[f"image_{name}_7"] = measured(looks.flatten(1), where, 7)
    cell["encode_rate"] = rate(fitted.encode, held, n)
    if fitted.decode is not None:
        decoded = fitted.decode(places[: len(judged)])
        cell["image_error"] = image_error(images, task.images(decoded))
        cell["fvu"] = fvu(judged, decoded, codes.mean(0))
        near = occupied(points, ROUND_TRIPS[task.wide], torch.Generator().manual_seed(seed))
        cell["round_trip"] = 100 * round_trip_error(near, fitted.encode(fitted.decode(near))) / map_width(points)
        cell |= typical(task, codes, images, (fitted.shown or fitted.decode)(near))
        cell["pace"], cell["decode_rate"] = pace(task, fitted, codes, points), rate(fitted.decode, near, n)
    cost = {"fit_s": fitted.cost.seconds, "fit_cpu_s": fitted.cost.cpu, "peak_mib": fitted.cost.peak}
    return cell | cost | {"load": load_before}


def warm_up(task: Task, methods: set[str], largest: int) -> None:
    """Import and compile what the methods need; what fails here fails again, and is told, when it is measured."""
    for method in sorted(methods):
        for size in (WARM, INDEXED) if method == "UMAP" and largest >= INDEXED else (WARM,):
            with contextlib.suppress(Exception):
                fitted = METHODS[method](task, task.draw(size, 2**32), 2**31)
                with torch.no_grad():
                    points = fitted.encode(task.codes[:WARM])
                    if fitted.decode is not None:
                        fitted.encode(fitted.decode(points))


def main() -> None:
    """Measure what the JSON on the command line asks for."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what methods print is no result
    job = json.loads(sys.argv[1])
    task = load(job["set"])
    warm_up(task, {cell["method"] for cell in job["cells"]}, max(cell["size"] for cell in job["cells"]))
    for cell in job["cells"]:
        try:
            found = measure(task, cell["method"], cell["size"], cell["seed"])
        except Exception as error:  # a peer's failure is a result too
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        lines.write(json.dumps(cell | found) + "\n")


if __name__ == "__main__":
    main()
