"""Decoders: pretrained generators behind one contract."""
