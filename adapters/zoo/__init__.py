"""Generators that we define and train ourselves."""
