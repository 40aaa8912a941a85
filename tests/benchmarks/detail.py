"""How typical images of a map are: the sheet, detail at several length scales, and blended residuals of codes.

    python tests/benchmarks/detail.py [SET ...]

For each set: places all over the map with a support above one half, their images beside new images of the generator.
Norm, unlikeness, spread and contrast are 1 of new draws; the sliced Wasserstein distance is relative to that between
two sets of new images; a step of 0.01 on the map changes images by so many times what it changes on the sheet. Writes
results/detail.md and detail.json. The sets are those of ../shared where it is there, and the bundled one.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

import latent_vizae.fitting.detail as fitting
from latent_vizae import LatentMap, VizAE, fit, load_decoder
from latent_vizae.decoders.contract import decode_images
from latent_vizae.measures.realism import contrast, sliced_wasserstein, spread, unlikeness
from latent_vizae.measures.typicality import norm_ratio

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from shared_models import face_gan, face_vae, mlp_gan, taef2

ROOT = Path(__file__).parents[2]
SHARED, RESULTS = ROOT.parent / "shared", Path(__file__).parent / "results"
SETS = ("face GAN", "face VAE", "MLP GAN", "zoo GAN", "digits", "digit 5", "emoji latents", "photograph latents")
CHOSEN_ON = ("face GAN", "zoo GAN", "digits", "emoji latents")
"""The length scale was chosen on these (and on codes of the zoo that are not here); when detail is on by itself, on
all sets."""
SCALES = (0.14, 0.17, 0.2, 0.3)
PLACES, STEPS, DRAWS = 150, 60, 3
COLUMNS = ("norm", "unlikeness", "spread", "contrast", "sliced Wasserstein", "step")


def load(name: str) -> tuple[object, Tensor, int] | None:
    """A decoder, shuffled codes, and how many of them are fitted; None where they are not on this machine."""
    generator = torch.Generator().manual_seed(0)
    if name.startswith("digit"):
        f_d = load_decoder("mnist")
        codes = f_d.examples(label=5 if name == "digit 5" else None)[0]
        return f_d, codes[torch.randperm(len(codes), generator=generator)], 2000
    if name == "zoo GAN":
        f_d = load_decoder(f"hub:{ROOT / 'demos' / 'zoo' / 'gan'}")
        return f_d, f_d.sample(4000, 0), 1500
    if not SHARED.is_dir():
        return None
    if name.endswith("latents"):
        f_d = taef2(SHARED)
        if name.startswith("emoji"):
            saved = np.load(SHARED / "data" / "emoji" / "fluent-64.npz")
            images = torch.from_numpy(saved["images"][~saved["skin_tone"]]).permute(0, 3, 1, 2).float() / 255
        else:
            images = torch.from_numpy(np.load(SHARED / "data" / "cifar10" / "test-2000.npz")["images"])
            images = interpolate(images.permute(0, 3, 1, 2).float() / 255, (64, 64), mode="bicubic", antialias=True)
        with torch.no_grad():
            codes = torch.cat([f_d.encode(part.clamp(0, 1)) for part in images.split(32)])
        return f_d, codes[torch.randperm(len(codes), generator=generator)], 1500
    f_d = {"face GAN": face_gan, "face VAE": lambda: face_vae(SHARED), "MLP GAN": lambda: mlp_gan(SHARED)}[name]()
    return None if f_d is None else (f_d, f_d.sample(4000, 0), 1500)


def blended(v: VizAE, codes: Tensor, scale: float):
    """The other way: residuals of the codes around, with weights by distance over their norm; it stores codes."""
    points, residuals = v.encode(codes), (codes - v(codes)).flatten(1)

    def decode(places: Tensor) -> Tensor:
        weights = (-torch.cdist(places, points).square() / (2 * scale**2)).softmax(1)
        added = weights @ residuals / weights.norm(dim=1, keepdim=True)
        return v.decode(places, detail=0) + added.unflatten(1, v.latent_shape)

    return decode


@torch.no_grad()
def rows_of(name: str) -> list[dict]:
    """One row for each way."""
    found = load(name)
    if found is None:
        return []
    f_d, codes, k = found
    known, new = codes[:k], codes[k:]
    v = fit(known, f_d)
    m = LatentMap(v, f_d)
    generator = torch.Generator().manual_seed(1)
    some = 2 * torch.rand(1200, 2, generator=generator) - 1
    places = some[m.support(some) > 0.5]
    count = min(PLACES, len(places) // DRAWS, len(new) // 2)
    sets = [decode_images(f_d, part) for part in new[: 4 * count].split(count) if len(part) == count]
    images, known_images = torch.cat(sets), decode_images(f_d, known)
    apart = [sliced_wasserstein(one, other) for i, one in enumerate(sets) for other in sets[:i]]
    moves = torch.randn(STEPS, 2, generator=generator)
    moves *= 0.01 / moves.norm(dim=1, keepdim=True)

    def measured(decode) -> list[float]:
        each = []
        for part, reference in zip(places.split(count)[:DRAWS], sets * DRAWS, strict=False):
            made = decode(part)
            shown = decode_images(f_d, made)
            each.append([
                norm_ratio(made, new), unlikeness(shown, images, known_images), spread(shown, images),
                contrast(shown, images), sliced_wasserstein(shown, reference) / np.mean(apart),
            ])  # fmt: skip
        first, second = (decode_images(f_d, decode(part)) for part in (places[:STEPS], places[:STEPS] + moves))
        change = (first - second).flatten(1).square().mean(1).sqrt().mean().item()
        return [*np.mean(each, 0).tolist(), change]

    rows = [("sheet", measured(lambda p: v.decode(p, detail=0)))]
    chosen = fitting.SCALE
    for scale in SCALES:
        fitting.SCALE = scale
        w = fit(known, f_d)
        rows.append((f"detail, h = {scale}", measured(lambda p, w=w: w.decode(p, detail=1))))
    fitting.SCALE = chosen
    rows += [(f"blend, h = {scale}", measured(blended(v, known, scale))) for scale in (0.2, 0.4)]
    sheet = rows[0][1][-1]
    return [
        {
            "set": name,
            "way": way,
            "auto": v.detail,
            **dict(zip(COLUMNS, [*values[:-1], values[-1] / sheet], strict=True)),
        }
        for way, values in rows
    ]


def table(rows: list[dict]) -> str:
    """results/detail.md."""
    lines = [
        "# Detail", "",
        (
            "Made by `python tests/benchmarks/detail.py`. 1,500 codes (digits: 2,000), 2-D maps, one seed, "
            f"up to {DRAWS} times {PLACES} places with a support above one half. The length scale is 0.17. "
            f"It was chosen on: {', '.join(CHOSEN_ON)}; when detail is on by itself, on all sets."
        ), "",
        f"| set | way | {' | '.join(COLUMNS)} |", f"|---|---|{'---|' * len(COLUMNS)}",
    ]  # fmt: skip
    for row in rows:
        way = row["way"] + (" (auto)" if row["way"] == ("detail, h = 0.17" if row["auto"] else "sheet") else "")
        lines.append(f"| {row['set']} | {way} | {' | '.join(f'{row[name]:.2f}' for name in COLUMNS)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    stored = RESULTS / "detail.json"
    kept = json.loads(stored.read_text()) if stored.exists() else []
    for name in sys.argv[1:] or SETS:
        new_rows = rows_of(name)
        print(name, *new_rows, sep="\n", flush=True)
        if new_rows:
            kept = [row for row in kept if row["set"] != name] + new_rows
            stored.write_text(json.dumps(kept, indent=1) + "\n")
            (RESULTS / "detail.md").write_text(table(sorted(kept, key=lambda row: SETS.index(row["set"]))))
