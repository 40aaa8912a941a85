"""Tables and folders of pictures by the thousand: each is a right answer or a clear error.

    python tests/fuzz_inputs.py --kind tables|pictures --count 10000 [--seed 0]

Every case is made from numbers or pixels that are known, in a container drawn at random, whole or spoilt. Allowed:
what is whole comes back as it was; what is spoilt is a user's error (one that the command line shows in one line), or,
where bytes were changed at random, an answer in range. Anything else is a failure, and its number is printed.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import io
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse
import torch
from PIL import Image
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parent))
from fuzz import mutate_bytes

from latent_vizae import encode_images
from latent_vizae.cli.errors import as_user_error
from latent_vizae.inputs.names import as_labels
from latent_vizae.inputs.sources import open_codes

try:
    import polars
except ImportError:  # of Python 3.10 there is an older one
    polars = None

SECONDS, MORE_MEMORY = 10, 2**31

DTYPES = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
    ">f8", ">i4",
]  # fmt: skip


class WrongAnswerError(Exception):
    """A case that must be refused was not."""


# Tables.


def objects(items) -> np.ndarray:
    array = np.empty(len(items), object)
    for at, item in enumerate(items):
        array[at] = item
    return array


def frame(rows: list[list]) -> pd.DataFrame:
    width = max(map(len, rows), default=0)
    columns = {f"c{at}": [row[at] if at < len(row) else None for row in rows] for at in range(width)}
    return pd.DataFrame(columns)


def spoil(rows: list[list], rng: random.Random) -> str:
    """Change one thing so that the rows are no codes; its name."""
    at, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    kind = rng.choice(["nan", "infinity", "missing", "text", "day", "complex", "object", "ragged", "list"])
    kind = "nan" if kind == "list" and len(rows) == 1 else kind  # that may be one code
    odd = {
        "nan": float("nan"), "infinity": -float("inf"), "missing": None, "text": "a", "complex": 1 + 2j,
        "day": datetime.datetime(2020, 1, 1), "object": object(), "list": [1.0, 2.0],
    }  # fmt: skip
    if kind == "ragged":
        if len(rows) > 1:
            rows[at] = rows[at][:-1] if len(rows[at]) > 1 and rng.random() < 0.5 else [*rows[at], 1.0]
            return kind
        kind = "nan"
    if kind in ("text", "day") and rng.random() < 0.5:  # a whole column
        for row in rows:
            row[column] = odd[kind]
    rows[at][column] = odd[kind]
    return kind


def tidy_containers(array: np.ndarray, folder: Path, rng: random.Random) -> dict:
    """Ways to hand in a whole array (k, n)."""
    plain = array.astype(array.dtype.newbyteorder("="))
    numbers = plain if plain.dtype != np.float16 else plain.astype(np.float32)  # pyarrow and scipy
    lists, names = plain.tolist(), [f"c{at}" for at in range(array.shape[1])]
    capital = {"b": "boolean", "i": "Int64", "u": "UInt64", "f": "Float64"}[plain.dtype.kind]
    ways = {
        "array": lambda: array, "fortran": lambda: np.asfortranarray(array), "turned": lambda: array[::-1][::-1],
        "tensor": lambda: torch.from_numpy(plain.copy()), "tensors": lambda: list(torch.from_numpy(plain.copy())),
        "lists": lambda: lists, "tuples": lambda: tuple(map(tuple, lists)), "arrays": lambda: list(array),
        "objects": lambda: array.astype(object), "rows": lambda: objects(list(array)),
        "frame": lambda: pd.DataFrame(plain), "nullable": lambda: pd.DataFrame(plain).astype(capital),
        "object frame": lambda: pd.DataFrame(plain).astype(object), "series": lambda: pd.Series(list(plain)),
        "series of lists": lambda: pd.Series(lists), "column": lambda: pd.DataFrame({"e": list(plain)}),
        "arrow frame": lambda: pd.DataFrame(numbers, columns=names).convert_dtypes(dtype_backend="pyarrow"),
        "records": lambda: pd.DataFrame(plain, columns=names).to_records(index=False),
        "table": lambda: pa.table(dict(zip(names, numbers.T, strict=True))), "arrow lists": lambda: pa.array(lists),
        "fixed": lambda: pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), array.shape[1]),
        "csr": lambda: scipy.sparse.csr_matrix(numbers), "coo": lambda: scipy.sparse.coo_array(numbers),
        "npy": lambda: saved(folder / "z.npy", np.save, array),
        "npz": lambda: saved(folder / "z.npz", np.savez, plain),
        "safetensors": lambda: saved(folder / "z.safetensors", lambda p, a: save_file({"codes": a}, p), plain.copy()),
    }  # fmt: skip
    if polars is not None:
        ways |= {
            "polars": lambda: polars.DataFrame(numbers, schema=names), "polars lists": lambda: polars.Series(lists),
            "polars arrays": lambda: polars.Series(numbers),
        }  # fmt: skip
    if len(array) >= 16:
        ways["stream"] = lambda: iter(np.array_split(array, 2))
        ways["stream of frames"] = lambda: (pd.DataFrame(part) for part in np.array_split(plain, 2))
    return ways


def saved(path: Path, save, array) -> Path:
    save(path, array)
    return path


def spoilt_containers(rows: list[list], folder: Path) -> dict:
    """Ways to hand in rows that are no codes; some cannot hold them, which is theirs to say."""
    ways = {
        "lists": lambda: rows, "objects": lambda: objects([objects(row) for row in rows]),
        "frame": lambda: frame(rows), "object frame": lambda: frame(rows).astype(object),
        "series": lambda: pd.Series(rows),
        "table": lambda: pa.Table.from_pandas(frame(rows)), "arrow lists": lambda: pa.array(rows),
        "stream": lambda: iter([rows] * 2), "npy": lambda: saved(folder / "z.npy", np.save, np.array(rows)),
    }  # fmt: skip
    if polars is not None:
        ways |= {"polars": lambda: polars.from_pandas(frame(rows)), "polars lists": lambda: polars.Series(rows)}
    return ways


def try_table(folder: Path, rng: random.Random) -> str:
    """One table; what came of it."""
    k, n = rng.choice([0, 1, 2, 3, 20, 40]), rng.choice([1, 2, 5])
    dtype = np.dtype(rng.choice(DTYPES))
    values = np.random.default_rng(rng.randrange(2**32)).normal(0, 20, (k, n))
    array = (values > 0 if dtype.kind == "b" else abs(values) if dtype.kind == "u" else values).astype(dtype)
    if rng.random() < 0.5 or k == 0:
        way, make = rng.choice(list(tidy_containers(array, folder, rng).items()))
        try:
            given = make()
        except Exception:
            if k:
                raise
            return "cannot be made"  # of no rows
        if k == 0:
            refused(lambda: open_codes(given), f"{way} of no rows, {dtype}")
            return "refused"
        found = open_codes(given)[:].numpy()
        if not np.array_equal(found, array.astype(np.float32)):
            raise WrongAnswerError(f"{way} of {dtype} ({k}, {n}): {found[:2]} instead of {array[:2]}")
        return "right"
    rows = array.astype(np.float64).tolist()
    kind = spoil(rows, rng)
    way, make = rng.choice(list(spoilt_containers(rows, folder).items()))
    if (way, kind) == ("polars lists", "day"):  # polars makes a number of it
        return "not judged"
    try:
        given = make()
    except Exception:
        return "cannot be made"
    refused(lambda: open_codes(given), f"{way} with {kind}")
    return "refused"


def try_labels(rng: random.Random) -> str:
    """Labels of one kind, some of them missing."""
    k = rng.choice([1, 2, 9])
    kind = rng.choice(["words", "whole", "floats", "truth", "fractions", "objects", "too few"])
    items: list = [
        {"words": rng.choice("abcä"), "truth": rng.random() < 0.5, "floats": float(rng.randrange(-3, 4)),
         "fractions": rng.randrange(3) + 0.5, "objects": object()}.get(kind, rng.randrange(-3, 4))
        for _ in range(k)
    ]  # fmt: skip
    gaps = [rng.random() < 0.2 and kind in ("words", "whole", "floats", "truth") for _ in items]
    items = [rng.choice([None, float("nan")]) if gap else item for item, gap in zip(items, gaps, strict=True)]
    ways = {"list": lambda: items, "objects": lambda: objects(items), "series": lambda: pd.Series(items),
            "category": lambda: pd.Series(items).astype("category"),
            "arrow": lambda: pa.array(items, from_pandas=True)}  # fmt: skip
    if polars is not None:
        ways["polars"] = lambda: polars.Series([None if gap else x for x, gap in zip(items, gaps, strict=True)])
    way, make = rng.choice(list(ways.items()))
    try:
        given = make()
    except Exception:
        return "cannot be made"
    if (kind in ("objects", "too few", "fractions") and not (way == "category" and kind == "fractions")) or all(gaps):
        refused(lambda: as_labels(given, k + (kind == "too few")), f"labels: {way} of {kind}")
        return "refused"
    if kind == "fractions":
        return "not judged"
    found = as_labels(given, k)
    for number, item, gap in zip(found.numbers.tolist(), items, gaps, strict=True):
        called = found.names.get(number, str(number))
        wanted = "no label" if gap else str(int(item)) if kind in ("whole", "floats") else str(item)
        if called != wanted:
            raise WrongAnswerError(f"labels: {way} of {kind}: {item!r} is called {called!r}")
    return "right"


def refused(read, what: str) -> None:
    """Call; anything but a user's error is a failure."""
    try:
        found = read()
    except Exception as error:
        mendable = as_user_error(error)
        if mendable is None or not 10 < len(str(mendable)) < 2000:
            raise
        return
    raise WrongAnswerError(f"{what} was taken: {found}")


# Folders of pictures.


class Pixels:
    """Codes are the pixels themselves."""

    image_shape = (3, 6, 6)

    def encode(self, images):
        return images.flatten(1)


def picture(rng: random.Random) -> tuple[bytes, str, np.ndarray]:
    """A whole picture of 6 x 6: its bytes, its ending, and its pixels (3, 6, 6) in [0, 1] on black."""
    noise = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (6, 6, 4), np.uint8)
    mode = rng.choice(["L", "RGB", "RGBA", "LA", "1", "P", "I;16", "P with alpha", "turned", "frames"])
    ending = rng.choice(["png", "tif", "webp"] if mode in ("RGBA", "RGB", "L") else ["png"])
    file, options = io.BytesIO(), {"lossless": True} if ending == "webp" else {}
    seen = noise.astype(np.float64) / 255
    alpha = np.ones((6, 6))
    if mode in ("L", "LA", "turned", "frames", "1"):
        noise[..., :3] = noise[..., :1] if mode != "1" else (noise[..., :1] > 127) * 255
        seen = noise.astype(np.float64) / 255
    if mode in ("RGBA", "LA"):
        alpha = seen[..., 3]
    made = Image.fromarray(noise if mode == "RGBA" else noise[..., :3])
    if mode in ("L", "LA", "1"):
        made = Image.fromarray(noise[..., [0, 3]]) if mode == "LA" else made.convert(mode)
    elif mode in ("P", "P with alpha"):
        made = made.quantize(16)
        seen = np.asarray(made.convert("RGB")).astype(np.float64) / 255
        if mode == "P with alpha":
            options["transparency"] = 3
            alpha = np.where(np.asarray(made) == 3, 0.0, 1.0)
    elif mode == "I;16":
        deep = noise[..., 0].astype(np.uint16) * 256 + noise[..., 1]
        made, seen = Image.fromarray(deep), np.repeat(deep[..., None] / 65535, 3, 2)
    elif mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = 3
        options["exif"], seen = exif, seen[::-1, ::-1]
    elif mode == "frames":
        options |= {"save_all": True, "append_images": [Image.new("RGB", (6, 6))]}
    made.save(file, {"png": "PNG", "tif": "TIFF", "webp": "WEBP"}[ending], **options)
    return file.getvalue(), ending, np.moveaxis(seen[..., :3] * alpha[..., None], 2, 0)


def bomb(rng: random.Random) -> bytes:
    """A small PNG that says that it is immense."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = rng.choice([30_000, 2**16, 2**31 - 1])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def try_pictures(folder: Path, rng: random.Random) -> str:
    """One folder of one to three pictures, and of what lies beside them."""
    shutil.rmtree(folder)
    folder.mkdir()
    wanted, spoilt, loose = {}, None, False
    for number in range(rng.randrange(1, 4)):
        data, ending, pixels = picture(rng)
        name = f"{rng.choice(['', 'a/', 'b c/', 'ä/'])}{number}.{rng.choice([ending, ending.upper(), 'png', 'jpg'])}"
        wanted[name] = pixels
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    kind = rng.choice(["whole", "whole", "cut", "bytes", "bomb", "text", "empty", "of a Mac", "other", "folder"])
    name = rng.choice(list(wanted))
    path = folder / name
    if kind == "cut":
        path.write_bytes(path.read_bytes()[: rng.randrange(len(path.read_bytes()) * 3 // 4)])
        loose = True  # of an animation the first frame may be whole
    elif kind == "bytes":
        path.write_bytes(mutate_bytes(path.read_bytes(), rng))
        loose = True
    elif kind in ("bomb", "text", "empty"):
        path.write_bytes({"bomb": bomb(rng), "text": b"no picture at all", "empty": b""}[kind])
        spoilt = name
    elif kind == "of a Mac":
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (folder / ".DS_Store").write_bytes(b"Bud1")
    elif kind == "other":
        (folder / "IMG_1.HEIC").write_bytes(b"ftypheic")
    elif kind == "folder":
        (folder / "c.png").mkdir()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if spoilt:
            try:
                encode_images(Pixels(), folder)
            except ValueError as error:
                if Path(spoilt).name not in str(error) or as_user_error(error) is None:
                    raise
                return "refused"
            raise WrongAnswerError(f"{kind} of {spoilt} was taken")
        try:
            codes = encode_images(Pixels(), folder)
        except ValueError as error:
            if not loose or as_user_error(error) is None:
                raise
            return "refused"
    if (kind == "other") != any("HEIC" in str(warning.message) for warning in said):
        raise WrongAnswerError(f"{kind}: {[str(warning.message) for warning in said]}")
    if len(codes) != len(wanted) or not 0 <= codes.min() <= codes.max() <= 1:
        raise WrongAnswerError(f"{len(codes)} codes of {len(wanted)} pictures")
    if loose:
        return "taken"
    for code, (_, pixels) in zip(codes, sorted(wanted.items(), key=lambda item: Path(item[0])), strict=True):
        if np.abs(code.view(3, 6, 6).numpy() - pixels).max() > 2.1 / 255:
            raise WrongAnswerError(f"{kind}: other pixels")
    return "right"


def run(kind: str, count: int, seed: int = 0) -> collections.Counter:
    """Try ``count`` cases; how often each outcome came. Raises AssertionError at the first failure."""
    outcomes: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "folder"
        folder.mkdir()
        for number in range(count):
            rng = random.Random(f"{kind} {seed} {number}")
            signal.alarm(SECONDS)
            try:
                if kind == "pictures":
                    outcomes[try_pictures(folder, rng)] += 1
                else:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        outcomes[try_labels(rng) if rng.random() < 0.3 else try_table(folder, rng)] += 1
            except BaseException as error:
                raise AssertionError(f"case {number} of seed {seed}: {error!r}") from error
            finally:
                signal.alarm(0)
    return outcomes


def too_slow(*_) -> None:
    raise SystemError(f"a case took more than {SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["tables", "pictures"], default="tables")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, too_slow)
    run(given.kind, 20, given.seed + 1)  # libraries start their threads
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY, -1))  # unbounded allocation is a MemoryError
    started = time.perf_counter()
    outcomes = run(given.kind, given.count, given.seed)
    print(f"{given.kind}: {given.count} cases in {time.perf_counter() - started:.0f} s: {dict(outcomes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
