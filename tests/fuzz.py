"""Damaged folders by the thousand: each ends in a clean error or in a correct load.

    python tests/fuzz.py --count 10000 [--seed 0] [--kind v|zoo]

Every mutation is written to a folder and loaded. Allowed: ValueError or FileNotFoundError; or a v (a generator) whose
weights and configuration are what the files say, checksum included. Anything else (another exception, a hang, memory
beyond the limit, other weights) is a failure, and its folder is kept.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
from zoo_sizes import SMALL, built

from latent_vizae import VizAE, fit, load_decoder
from latent_vizae.model.vizae import LATER
from latent_vizae.storage import folder as saving

SECONDS, MORE_MEMORY = 10, 2**30
ODD = [
    0,
    -1,
    1,
    2,
    3,
    4,
    10**9,
    2**63,
    1e308,
    float("nan"),
    True,
    None,
    "",
    "x",
    "../../x",
    [],
    {},
    [[]],
    "\ud800",
    b"".hex(),
]


def split(data: bytes) -> tuple[dict, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: dict, body: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert, zero, or mix up."""
    kind, out = rng.randrange(6), bytearray(data)
    at = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(len(out), 600))
    if kind == 0:
        for _ in range(rng.choice([1, 1, 4, 64])):
            out[rng.randrange(len(out)) if rng.random() < 0.5 else at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del out[at:]
    elif kind == 2:
        out[at:at] = out[at : at + rng.randrange(1, 200)]
    elif kind == 3:
        out[at:at] = rng.randbytes(rng.randrange(1, 64))
    elif kind == 4:
        out[at : at + rng.randrange(1, 64)] = b"\0" * rng.randrange(64)
    else:
        out[:8] = rng.choice([0, 1, 2**20, 2**40, 2**63, 2**64 - 1]).to_bytes(8, "little")
    return bytes(out)


def mutate_json(value, rng: random.Random):
    """Change one thing anywhere in a JSON value."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        value = dict(value)
        key = rng.choice(list(value))
        kind = rng.randrange(6)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[rng.choice(["x", "", "__class__", "../x", key + "x"])] = value.pop(key)
        elif kind == 2:
            value[rng.choice(["x", "__metadata__", "encoder.0.weight"])] = rng.choice(ODD)
        else:
            value[key] = mutate_json(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.7:
        value = list(value)
        at = rng.randrange(len(value))
        value[at] = mutate_json(value[at], rng)
        return value
    if isinstance(value, int) and rng.random() < 0.5:
        return rng.choice([value + 1, value - 1, -value, value * 2, value << 40])
    return rng.choice(ODD)


def mutate_v(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """One damaged v: bytes, header, configuration, or a configuration that was signed again."""
    files = dict(files)
    kind = rng.randrange(6)
    name = rng.choice([saving.MODEL_FILE, saving.MODEL_FILE, saving.CONFIG_FILE])
    if kind == 0:
        files[name] = mutate_bytes(files[name], rng)
    elif kind == 1:
        header, body = split(files[saving.MODEL_FILE])
        files[saving.MODEL_FILE] = join(mutate_json(header, rng) or {}, body)
    elif kind == 2:
        files[saving.CONFIG_FILE] = json.dumps(mutate_json(json.loads(files[saving.CONFIG_FILE]), rng)).encode()
    elif kind == 3:
        files.pop(name)
    else:  # a forger who knows how to sign
        header, body = split(files[saving.MODEL_FILE])
        config = mutate_json(json.loads(header["__metadata__"]["config"]), rng)
        header["__metadata__"]["config"] = json.dumps(config)
        if kind == 5:
            body = mutate_bytes(body, rng)[: len(body)].ljust(len(body), b"\0")
        tensors = {}
        for key, entry in header.items():
            if key != "__metadata__":
                start, end = entry["data_offsets"]
                kinds = {"F32": torch.float32, "I64": torch.int64}
                tensors[key] = torch.frombuffer(bytearray(body[start:end]), dtype=kinds[entry["dtype"]])
                tensors[key] = tensors[key].reshape(entry["shape"])
        header["__metadata__"]["sha256"] = saving.checksum(header["__metadata__"]["config"], tensors)
        files[saving.MODEL_FILE] = join(header, body)
        files[saving.CONFIG_FILE] = header["__metadata__"]["config"].encode("utf-8", "surrogatepass")
    return files


def check_v(folder: Path, files: dict[str, bytes]) -> None:
    """Load; what comes must be what the header says."""
    v = VizAE.from_pretrained(folder)
    header, body = split((folder / saving.MODEL_FILE).read_bytes())
    config = json.loads(header["__metadata__"]["config"])
    config = LATER | config
    assert {**v.config, "format": config["format"], "latent_vizae": config["latent_vizae"]} == config
    for name, tensor in v.state_dict().items():
        start, end = header[name]["data_offsets"]
        assert tensor.numpy().tobytes() == body[start:end], name
    codes = torch.zeros(2, *v.latent_shape)
    assert v.decode(v.encode(codes)).shape == codes.shape


def originals(kind: str, folder: Path) -> list[dict[str, bytes]]:
    """What gets damaged: a v; or the bundled generator and one of each architecture."""
    if kind == "v":
        codes = torch.randn(30, 3, 2, generator=torch.Generator().manual_seed(0))
        whole = [fit(codes, labels=[None, *"abcdefghijklmnopqrstuvwxyzäöü"], hidden=(8, 8))]
    else:
        whole = [load_decoder("mnist").autoencoder, *(built(name) for name in SMALL)]
    found = []
    for saved in whole:
        saved.save_pretrained(folder)
        found.append({name: (folder / name).read_bytes() for name in (saving.MODEL_FILE, saving.CONFIG_FILE)})
    return found


def check_zoo(folder: Path, files: dict[str, bytes]) -> None:
    decoder = load_decoder(f"hub:{folder}")
    header, body = split((folder / saving.MODEL_FILE).read_bytes())
    blobs = {body[slice(*entry["data_offsets"])] for name, entry in header.items() if name != "__metadata__"}
    for name, tensor in decoder.state_dict().items():
        assert tensor.contiguous().numpy().tobytes() in blobs, name


def mutate_zoo(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    files = dict(files)
    kind = rng.randrange(4)
    name = rng.choice([saving.MODEL_FILE, saving.MODEL_FILE, saving.CONFIG_FILE])
    if kind == 0:
        files[name] = mutate_bytes(files[name], rng)
    elif kind == 1:
        header, body = split(files[saving.MODEL_FILE])
        files[saving.MODEL_FILE] = join(mutate_json(header, rng) or {}, body)
    else:
        header, body = split(files[saving.MODEL_FILE])
        described = json.dumps(mutate_json(json.loads(files[saving.CONFIG_FILE]), rng))
        files[saving.CONFIG_FILE] = described.encode()
        if "config" in header.get("__metadata__", {}):
            header["__metadata__"]["config"] = described
            files[saving.MODEL_FILE] = join(header, body)
    return files


def too_slow(*_) -> None:
    raise SystemError(f"a load took more than {SECONDS} s")


def run(kind: str, count: int, seed: int = 0, keep: Path | None = None) -> collections.Counter:
    """Try ``count`` mutations; how often each outcome came. Raises AssertionError at the first failure."""
    rng = random.Random(seed)
    mutate, check = {"v": (mutate_v, check_v), "zoo": (mutate_zoo, check_zoo)}[kind]
    outcomes: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "folder"
        whole = originals(kind, folder)
        for number in range(count):
            files = rng.choice(whole)
            damaged = mutate(files, rng)
            for name in files:
                (folder / name).unlink(missing_ok=True)
            for name, data in damaged.items():
                (folder / name).write_bytes(data)
            signal.alarm(SECONDS)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # config.json that differs is warned of
                    check(folder, damaged)
                outcomes["loaded"] += 1
            except (ValueError, FileNotFoundError) as error:
                outcomes[type(error).__name__] += 1
            except BaseException as error:
                kept = (keep or Path(tempfile.gettempdir())) / f"latent-vizae-fuzz-{kind}-{seed}-{number}"
                shutil.copytree(folder, kept, dirs_exist_ok=True)
                raise AssertionError(f"mutation {number} of seed {seed}: {error!r}; kept in {kept}") from error
            finally:
                signal.alarm(0)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=["v", "zoo"], default="v")
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, -1))  # unbounded allocation is a MemoryError
    started = time.perf_counter()
    outcomes = run(given.kind, given.count, given.seed)
    print(f"{given.kind}: {given.count} mutations in {time.perf_counter() - started:.0f} s: {dict(outcomes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
