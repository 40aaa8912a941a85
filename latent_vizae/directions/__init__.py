"""Semantic directions of a latent space: found, measured, saved, walked along."""

from .directions import Direction, Directions

__all__ = ["Direction", "Directions"]
