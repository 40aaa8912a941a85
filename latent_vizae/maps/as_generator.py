"""MapGenerator: a map as a generator, points in and images out, for metrics of generators.

``f_d(v_d(point))`` (eq. 8) is a generator whose latent space is the map. torchmetrics' ``PerceptualPathLength`` and
others take a module with ``sample(count)`` and ``forward(z)``, with images in [0, 255].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latent_vizae.inputs.checks import as_whole
from latent_vizae.inputs.surroundings import methods_in_own_surroundings

from .latent_map import LatentMap

__all__ = ["MapGenerator"]


@methods_in_own_surroundings
class MapGenerator(nn.Module):
    """v_d then f_d as one module, with a prior of points near the fitted codes.

    v and the decoder are not submodules, so ``to`` and ``train`` do not change them. There are no gradients.

    Args:
        m: the map.
        seed: of the points that `sample` draws.

    Raises:
        TypeError: m is not a LatentMap.
        ValueError: its v has no points.

    Example:
        >>> from latent_vizae import fit
        >>> generator = MapGenerator(LatentMap(fit(torch.eye(4)), lambda z: z.sigmoid().reshape(-1, 1, 2, 2)))
        >>> generator(generator.sample(5)).shape
        torch.Size([5, 1, 2, 2])
    """

    def __init__(self, m: LatentMap, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(m, LatentMap):
            raise TypeError(f"MapGenerator takes a LatentMap, got {type(m).__name__}.")
        if len(m.v.points) == 0:
            raise ValueError("This v has no points, so there is no prior on its map.")
        self.map = m
        self._generator = torch.Generator().manual_seed(as_whole(seed, "seed"))

    def sample(self, count: int) -> Tensor:
        """Random points near the fitted codes' points.

        Each is a fitted code's point, drawn with replacement, plus uniform noise of at most half of the spacing of
        `LatentMap.support` along each axis, clamped to [-1, 1]^d. Each call continues the random sequence.

        Args:
            count: number of points, at least 1.

        Returns:
            (count, d) float32, on the CPU.
        """
        count = as_whole(count, "count", 1)
        known = self.map.v.points.cpu()
        spacing = 2 / max(len(known), self.map.v.dim + 1) ** (1 / self.map.v.dim)
        chosen = known[torch.randint(len(known), (count,), generator=self._generator)]
        moves = torch.rand(chosen.shape, generator=self._generator) - 0.5
        points: Tensor = (chosen + spacing * moves).clamp(-1, 1)
        return points

    def forward(self, points: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 255], float32 on the points' device, of points (B, d)."""
        return 255 * self.map.render(points).to(points.device)
