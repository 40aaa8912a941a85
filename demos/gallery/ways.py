"""Ways from one image to another: through pixels, through codes, over the map; and around in a GAN's latent space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latent_vizae import LatentMap
from latent_vizae.decoders.contract import decode_images
from latent_vizae.demos.gallery.data import table
from latent_vizae.demos.gallery.spaces import nearest_distance
from latent_vizae.maps.samples import Samples
from latent_vizae.measures.metrics import path_evenness

__all__ = ["Way", "around", "measure_ways", "slerp", "three_ways", "walk", "ways_table"]


@dataclass(frozen=True)
class Way:
    """How good the frames of a way are, as a mean over several ways.

    Attributes:
        evenness: `latent_vizae.measures.metrics.path_evenness`; 0 is a constant pace.
        unreal: `nearest_distance` of the frames between the ends to real images.
        farthest: the largest of these on a way.
    """

    evenness: float
    unreal: float
    farthest: float


def three_ways(m: LatentMap, one: Tensor, other: Tensor, frames: int = 12) -> dict[str, Tensor]:
    """Three ways between the images of two codes.

    Args:
        m: a map of codes of this kind.
        one: (*latent_shape), the code to start from.
        other: (*latent_shape), the code to end at.
        frames: of each way, ends included.

    Returns:
        Images (frames, C, H, W) of each: "pixels", a straight line between the two images, one fading into the other;
        "codes", a straight line between the codes; "map", `LatentMap.path` with the residuals of the ends, so that it
        has the same ends.
    """
    shares = torch.linspace(0, 1, frames)
    codes = torch.lerp(one.expand(frames, *one.shape), other.expand(frames, *one.shape), _as_column(shares, one))
    images = decode_images(m.decoder, codes)
    pixels = torch.lerp(images[:1], images[-1:], _as_column(shares, images[0]))
    return {"pixels": pixels, "codes": images, "map": m.path(one, other, frames=frames, residual=True).images}


def _as_column(shares: Tensor, like: Tensor) -> Tensor:
    return shares.reshape(-1, *(1,) * like.dim())


def measure_ways(ways: list[Tensor], real: Tensor) -> Way:
    """Measures of ways of one kind, each images (frames, C, H, W), beside real images (N, C, H, W)."""
    distances = [nearest_distance(way[1:-1], real) for way in ways]
    evenness = sum(path_evenness(way) for way in ways) / len(ways)
    farthest = sum(one.max().item() for one in distances) / len(ways)
    return Way(evenness, torch.cat(distances).mean().item(), farthest)


def ways_table(results: dict[str, Way]) -> str:
    """A table of Markdown."""
    rows = [(name, f"{w.evenness:.2f}", f"{w.unreal:.3f}", f"{w.farthest:.3f}") for name, w in results.items()]
    return table(("through", "unevenness of the pace", "unlike real images", "at its worst"), rows)


def slerp(one: Tensor, other: Tensor, shares: Tensor) -> Tensor:
    """Spherical interpolation: an arc, along which the length changes evenly from the one's to the other's.

    ``(sin((1 - t) w) a + sin(t w) b) / sin w`` for unit vectors a and b at the angle w (Shoemake 1985, "Animating
    rotation with quaternion curves"). Draws from N(0, I) in n dimensions have lengths near sqrt(n); a straight line
    between two of them runs through the inside, where the prior has no mass (White 2016).

    Args:
        one: (n,), not 0.
        other: (n,), not 0, nor opposite to ``one``.
        shares: (F,) t, in [0, 1].

    Returns:
        (F, n).

    Raises:
        ValueError: opposite vectors, between which there is no one arc, or a vector of length 0.
    """
    lengths = torch.stack([one.norm(), other.norm()])
    if lengths.min() == 0:
        raise ValueError("Spherical interpolation is between vectors that have a direction; got one of length 0.")
    a, b = one / lengths[0], other / lengths[1]
    angle = 2 * torch.atan2((a - b).norm(), (a + b).norm())  # exact for small angles too
    if angle > 3.1415:
        raise ValueError("There is no one arc between opposite vectors.")
    at = shares.unsqueeze(1).to(one)
    if angle < 1e-4:
        arc = torch.lerp(a.expand(len(at), -1), b.expand(len(at), -1), at)
    else:
        arc = (((1 - at) * angle).sin() * a + (at * angle).sin() * b) / angle.sin()
    return arc * torch.lerp(lengths[:1], lengths[1:], at)


def around(stops: Tensor, frames: int, straight: bool = False) -> Tensor:
    """A closed loop through codes.

    Args:
        stops: (s, n), s >= 2.
        frames: from one stop to the next.
        straight: along straight lines; by default along arcs, see `slerp`.

    Returns:
        (s * frames, n), the first stop first; the frame after the last one would be the first again.
    """
    shares = torch.arange(frames) / frames
    legs = []
    for one, other in zip(stops, stops.roll(-1, 0), strict=True):
        if straight:
            legs.append(torch.lerp(one.expand(frames, -1), other.expand(frames, -1), shares.unsqueeze(1)))
        else:
            legs.append(slerp(one, other, shares))
    return torch.cat(legs)


@torch.no_grad()
def walk(m: LatentMap, codes: Tensor) -> Samples:
    """A loop of codes (F, n) with its images and its points on a map; it saves itself as ``.gif``."""
    return Samples(m.v.encode(codes), codes, decode_images(m.decoder, codes), rows=1)
