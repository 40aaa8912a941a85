"""Decoders, any callable codes -> images: call them, check them, load them by name."""
