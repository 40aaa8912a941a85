"""Affine maps of the map itself: the plane of least squares, rotation to principal axes, scale."""

from __future__ import annotations

import torch
from torch import Tensor

from latent_vizae.model.vizae import VizAE
from latent_vizae.network.perceptron import linear_layer

from .frame import Frame

__all__ = ["rescale", "set_identity", "set_plane", "to_principal_axes"]


@torch.no_grad()
def set_identity(v: VizAE) -> None:
    """Make an affine v of as many coordinates as dimensions the identity."""
    for network in (v.encoder, v.decoder):
        layer = linear_layer(network, 0)
        layer.weight.copy_(torch.eye(v.dim))
        layer.bias.zero_()


@torch.no_grad()
def set_plane(v: VizAE, frame: Frame) -> None:
    """Set an affine v to the plane of least squares through all codes: their principal components in the frame.

    In the basis of the frame the codes have mean 0 and the covariance diag(variances). Points have unit variance.
    """
    turned = frame.coordinates.frame.double()
    values, axes = torch.linalg.eigh(turned.T @ torch.diag(frame.variances) @ turned)
    axes, spread = axes.flip(1)[:, : v.dim], values.flip(0)[: v.dim].clamp(min=1e-30).sqrt()
    v_e, v_d = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    v_e.weight.copy_((axes / spread).T)
    v_d.weight.copy_(axes * spread)
    v_e.bias.zero_()
    v_d.bias.zero_()


@torch.no_grad()
def to_principal_axes(v: VizAE, x: Tensor) -> None:
    """Rotate the map to the principal axes of the points of x (K, rank), and scale it to these, in v's layers."""
    points = v.encoder(x).double()
    centred = points - points.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1].flip(1)
    axes = axes * torch.where((centred @ axes).pow(3).sum(0) < 0, -1.0, 1.0)
    last, first = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    last.weight.copy_(axes.T @ last.weight.double())
    last.bias.copy_(axes.T @ last.bias.double())
    first.weight.copy_(first.weight.double() @ axes)
    points = points @ axes
    rescale(v, points.amin(0), points.amax(0))


@torch.no_grad()
def rescale(v: VizAE, low: Tensor, high: Tensor) -> None:
    """Scale the map so that [low, high] becomes [-1, 1]^d, in v's layers."""
    middle, half = (low + high) / 2, ((high - low) / 2 * (1 + 1e-4)).clamp(min=1e-9)
    last, first = linear_layer(v.encoder, -1), linear_layer(v.decoder, 0)
    last.weight.copy_(last.weight.double() / half.unsqueeze(1))
    last.bias.copy_((last.bias.double() - middle) / half)
    first.bias.copy_(first.bias.double() + first.weight.double() @ middle)
    first.weight.copy_(first.weight.double() * half)
