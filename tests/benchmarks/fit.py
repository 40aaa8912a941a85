"""What a fit costs and gives, beside PCA on the same codes: `python tests/benchmarks/fit.py [--quick]`.

Codes of the bundled MNIST generator. Errors are those of held-out codes where there are any (500 that neither method
saw), else of the codes themselves. Times are one run each on this machine; compare within one run.
"""

from __future__ import annotations

import argparse
import time

import torch

from latent_vizae import fit, load_decoder
from latent_vizae.decoder import decode_images
from latent_vizae.metrics import continuity, fvu, image_error, trustworthiness


def main() -> None:
    """Print one markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 200 codes")
    quick = parser.parse_args().quick
    decoder = load_decoder("mnist")
    print("| codes | digits | fit s | FVU | PCA's | image error | PCA's | trust. 7 | cont. 7 | points decoded / s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for label, count in ((5, 1), (5, 20), (5, 200), (None, 200), (5, 4000), (None, 4000)):
        if quick and count > 200:
            continue
        held = 500 if count >= 200 else 0
        codes, _ = decoder.examples(label=label, count=count + held, seed=0)
        train, judged = (codes[:count], codes[count:]) if held else (codes, codes)
        started = time.perf_counter()
        v = fit(train, decoder, dim=2)
        seconds = time.perf_counter() - started
        axes = torch.linalg.svd(train - train.mean(0), full_matrices=False)[2][:2]
        linear = train.mean(0) + (judged - train.mean(0)) @ axes.T @ axes
        images = decode_images(decoder, judged)
        errors = [
            (fvu(judged, decoded, train.mean(0)), image_error(images, decode_images(decoder, decoded)))
            for decoded in (v(judged), linear)
        ]
        points = v.encode(judged)
        kept = [measure(judged, points) for measure in (trustworthiness, continuity)] if held else [float("nan")] * 2
        many = torch.rand(200_000, 2) * 2 - 1
        started = time.perf_counter()
        v.decode(many)
        rate = len(many) / (time.perf_counter() - started)
        print(
            f"| {count} | {'all' if label is None else label} | {seconds:.2f} | {errors[0][0]:.3g} "
            f"| {errors[1][0]:.3g} | {errors[0][1]:.3g} | {errors[1][1]:.3g} "
            f"| {kept[0]:.3f} | {kept[1]:.3f} | {rate:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
