"""Decoders: any callable codes -> images, called and checked, or loaded by name."""
