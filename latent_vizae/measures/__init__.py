"""Measures: pure functions of tensors, each with its formula."""
