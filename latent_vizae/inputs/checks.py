"""Checks of single values: finite, precise enough for float32, whole numbers, available devices."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .surroundings import warn_caller

__all__ = ["as_device", "as_share", "as_whole", "check_finite", "check_latent_shape", "check_precision"]


MOST_LOST, ENOUGH = 0.01, 16
"""Share of the variance of codes that may go when they are rounded to float32; codes of a batch that tell."""

DOUBLE, UNSEEN = 2.0**-50, 1e-6
"""Rounding in float64, as a share of the values. Standard deviation, as a share of the widest column's, of
columns that need not be told of: units of a network that do nothing are constant but for noise."""


def check_finite(parts: Iterable[Tensor], count: int, what: str) -> None:
    """Check that ``count`` rows, given in parts, are finite.

    Raises:
        ValueError: rows with NaN or infinity; the message has their number and indices.
    """
    where: list[int] = []
    start = 0
    for part in parts:
        try:
            finite = bool(torch.isfinite(part.sum()))  # cheap, and infinite for large numbers too: then look at each
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            return  # inside of a vmap there is no looking at values
        if not finite:
            where += ((~torch.isfinite(part.flatten(1)).all(1)).nonzero().squeeze(1) + start).tolist()
        start += len(part)
    if where:
        shown = ", ".join(map(str, where[:8])) + (", ..." if len(where) > 8 else "")
        raise ValueError(f"{what} must be finite: {len(where)} of {count} rows hold NaN or infinity (rows {shown}).")


def check_precision(rows: Tensor | np.ndarray[Any, Any], what: str) -> None:
    """Check that float32 can hold rows without losing their variance, column by column.

    Float32 has lost already what it loses: then the loss is taken to be ``step^2 / 12``, that of values spread evenly
    between two of its numbers (Widrow 1956). Of float32 the first million values are looked at.

    Raises:
        ValueError: values beyond float32, or wider types of which more than 1 % of all variance is lost.

    Warns:
        UserWarning: columns that lose more than 1 % of their variance, and have more than a millionth of the widest
            column's standard deviation.
    """
    if rows.dtype.itemsize <= 2 or 0 in rows.shape:  # float32 has these numbers; none at all are refused elsewhere
        return
    if rounded := rows.dtype in (torch.float32, np.float32):
        rows = rows[: max(ENOUGH, 2**20 // max(1, math.prod(rows.shape[1:])))]
    tensor = rows.detach() if isinstance(rows, Tensor) else torch.from_numpy(rows.astype(np.float64))
    wide = tensor.double().flatten(1)
    sizes = wide.abs().amax(0)
    greatest = sizes.max().item()
    if not 0 < greatest < math.inf:  # what is not finite is told of elsewhere
        return
    if greatest > torch.finfo(torch.float32).max:
        raise ValueError(f"v computes in float32, up to 3.4e38; {what} reaches {greatest:.3g}. Scale it first.")
    variance = ((wide - wide[0]) / greatest).var(0, correction=0)
    variance[variance <= (DOUBLE * sizes / greatest).square()] = 0  # of one value many times there is but rounding
    if rounded:
        step = torch.ldexp(torch.ones_like(sizes), torch.frexp(sizes).exponent - 24)
        lost = (step / greatest).square() / 12
    else:
        rest = wide - wide.float()
        lost = ((rest - rest[0]) / greatest).var(0, correction=0)
    lost[variance == 0] = 0
    hardly = (lost > MOST_LOST * variance) & (variance > UNSEEN**2 * variance.max())
    if not hardly.any():
        return
    columns = hardly.nonzero().flatten().tolist()
    share = (lost.sum() / variance.sum()).item()
    shown = ", ".join(map(str, columns[:8])) + (", ..." if len(columns) > 8 else "")
    where = f"column {shown}" if len(columns) == 1 else f"columns {shown}"
    where = f"{where} of {what}" if rows.ndim == 2 else f"{what} (flat, {where})"
    if share > MOST_LOST and not rounded:
        raise ValueError(
            f"v computes in float32, in which {share:.0%} of the variance of {what} are lost. "
            f"Subtract the mean or scale first (StandardScaler): {where}."
        )
    warn_caller(
        f"v computes in float32, whose steps are too wide for {where}: the values are large, and differ by little. "
        "More than 1 % of their variance is rounding. Subtract the mean or scale first (StandardScaler), in float64."
    )


def check_latent_shape(shapes: list[Any], what: str) -> None:
    """Check that batches have one latent shape.

    Raises:
        ValueError: shapes of fewer than two dimensions, or of several latent shapes.
    """
    if min(map(len, shapes)) < 2 or len({tuple(shape[1:]) for shape in shapes}) > 1:
        listed = ", ".join(sorted({str(tuple(shape)) for shape in shapes})[:4])
        raise ValueError(f"{what}: a stream has batches (B, *latent_shape) of one latent_shape; got {listed}.")


def as_whole(value: Any, what: str, least: int = 0, most: int = 2**63 - 1) -> int:
    """A whole number from ``least`` to ``most``, from any kind of integer (numpy's too).

    Raises:
        TypeError: not a whole number.
        ValueError: too small or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{what} is a whole number, at least {least}, got {value!r}.")
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most}"
        raise ValueError(f"{what} is a whole number, {bound}, got {number}.")
    return number


def as_share(value: Any, what: str) -> float:
    """A number from 0 to 1, of any real kind (numpy's too).

    Raises:
        TypeError: not a number.
        ValueError: below 0, above 1, or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} is a number from 0 to 1, got {value!r}.")
    if not 0 <= (number := float(value)) <= 1:
        raise ValueError(f"{what} is a number from 0 to 1, got {value}.")
    return number


def as_device(device: str | torch.device) -> torch.device:
    """A device that is available.

    Raises:
        ValueError: there is no such device, or it is "meta".
    """
    try:
        there = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"There is no device {device!r} here: {str(error).splitlines()[0]}") from error
    if there.type == "meta":
        raise ValueError("The device 'meta' holds no values. Choose 'cpu' or an accelerator.")
    return there
