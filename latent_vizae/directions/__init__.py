"""Semantic directions of a latent space: found, measured, saved, walked along."""

from .direction import Direction
from .directions import Directions

__all__ = ["Direction", "Directions"]
