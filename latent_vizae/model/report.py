"""What `fit` measured: a record for printing and for config.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["FitReport"]


@dataclass(frozen=True)
class FitReport:
    """What `fit` measured. Values that a fit does not have (no held-out codes, no decoder) are None.

    Attributes:
        k: number of codes given.
        n: numbers in one code.
        dim: dimension of the map.
        rank: dimension of the subspace that v works in.
        lost_variance: share of the codes' variance outside of that subspace, 0 to 1.
        held_out: number of codes that were not trained on.
        fvu: fraction of variance unexplained of the training codes, 0 best.
        fvu_held_out: the same of the held-out codes.
        fvu_pca: the same of the best linear map of that dimension, all codes.
        image_error: mean square over pixels, f_d(code) against f_d(v_d(v_e(code))), of at most 100 training
            codes (fewer where images are large, 42 at 64 pixels in colour; at least 8).
        image_error_held_out: the same of the held-out codes.
        steps: steps of the optimiser.
        seconds: wall-clock time of the fit.
        interrupted: whether Ctrl-C stopped the fit; v is then the best one so far.
        guided_by: what distances in the fit are made from: the decoder's "slopes" (its Jacobian, averaged over codes),
            "images" (of one code, or of few with large images), or "codes" alone (without a decoder, or where it has
            no slopes). None in reports of earlier versions.
    """

    k: int
    n: int
    dim: int
    rank: int
    lost_variance: float
    held_out: int
    fvu: float
    fvu_held_out: float | None
    fvu_pca: float
    image_error: float | None
    image_error_held_out: float | None
    steps: int
    seconds: float
    interrupted: bool
    guided_by: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FitReport:
        """The inverse of `to_dict`; raises TypeError or ValueError for other entries."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) | {"guided_by"} != names:  # which no report had at first
            raise ValueError("the report's entries are not those of a FitReport.")
        if values.get("guided_by") not in (None, "slopes", "images", "codes"):
            raise ValueError(f"a fit is guided by slopes, images or codes, not by {values['guided_by']!r}.")
        if not all(
            value is None or isinstance(value, int | float) for name, value in values.items() if name != "guided_by"
        ):
            raise TypeError("the report's values are not numbers.")
        return cls(**values)

    def __str__(self) -> str:
        """One line, for printing."""

        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.4g}"

        return (
            f"{self.k} codes of {self.n} numbers on a {self.dim}-D map: FVU {number(self.fvu)} "
            f"(held out {number(self.fvu_held_out)}, PCA {number(self.fvu_pca)}), image error "
            f"{number(self.image_error)} (held out {number(self.image_error_held_out)}), "
            f"{self.steps} steps, {self.seconds:.1f} s"
            + (f", guided by {self.guided_by}" if self.guided_by else "")
            + (", interrupted" if self.interrupted else "")
        )
