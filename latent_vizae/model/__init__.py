"""VizAE, the visualization autoencoder v: the thing that `fit` returns."""
