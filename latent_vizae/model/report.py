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
            no slopes). None in reports of earlier versions, as what follows.
        outliers: number of codes that are more than ten times as far from the middle as nine tenths of the codes.
        outliers_ignored: whether v was fitted without outliers.
        farthest: distance of the farthest code from the middle, where nine tenths of the codes are nearer than 1.
        fvu_of_rest: ``fvu`` of the codes that are not outliers, about their own mean; None without outliers.
        narrow_columns: number of columns (values of a code) that vary, but by less than a hundredth of the standard
            deviation of the widest one: they hardly count in v.
        norm: the norm that all codes have, within 0.1 %; None where they differ, as those of most generators.
        norm_decoded: mean norm of decoded codes, where all codes have one norm.
        images_decoded: images that were asked of the decoder; a backward pass counts for two, and the four that look
            once whether a decoder is deterministic do not count.
        images_wanted: about as many as a fit without a budget asks for.
        decoding_seconds: that the images took, where it was a second or more.
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
    outliers: int | None = None
    outliers_ignored: bool | None = None
    farthest: float | None = None
    fvu_of_rest: float | None = None
    narrow_columns: int | None = None
    norm: float | None = None
    norm_decoded: float | None = None
    sheet_norm: float | None = None
    sheet_unlikeness: float | None = None
    sheet_spread: float | None = None
    detail_norm: float | None = None
    detail_unlikeness: float | None = None
    detail_spread: float | None = None
    images_decoded: int | None = None
    images_wanted: int | None = None
    decoding_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FitReport:
        """The inverse of `to_dict`; raises TypeError or ValueError for other entries."""
        names = {field.name for field in fields(cls)}
        later = {field.name for field in fields(cls) if field.default is None}  # which reports did not have at first
        if not isinstance(values, dict) or not names - later <= set(values) <= names:
            raise ValueError("the report's entries are not those of a FitReport.")
        if values.get("guided_by") not in (None, "slopes", "images", "codes"):
            raise ValueError(f"a fit is guided by slopes, images or codes, not by {values['guided_by']!r}.")
        if not all(
            value is None or isinstance(value, int | float) for name, value in values.items() if name != "guided_by"
        ):
            raise TypeError("the report's values are not numbers.")
        return cls(**values)

    @property
    def notes(self) -> list[str]:
        """What to know of these codes beside the numbers, a sentence each; mostly none."""
        found = []
        if self.outliers and self.farthest and self.fvu_of_rest is not None:
            found.append(
                f"{self.outliers} of {self.k} codes {'is an outlier' if self.outliers == 1 else 'are outliers'}, up "
                f"to {self.farthest:.3g} times as far from the middle as nine tenths of the codes. "
                f"FVU of the rest: {self.fvu_of_rest:.4g}. "
                + ("v was fitted without outliers." if self.outliers_ignored
                   else "fit(..., outliers='ignore') fits v to the rest.")
            )  # fmt: skip
        if self.narrow_columns:
            found.append(
                f"{self.narrow_columns} of {self.n} columns vary by less than a hundredth of what the widest one "
                "does: they hardly count in v and in its FVU. Columns of different units are to be standardised first "
                "(scikit-learn's StandardScaler)."
            )
        if self.images_wanted and self.images_decoded is not None and self.images_decoded < self.images_wanted:
            seconds = (self.decoding_seconds or 0.0) * self.images_wanted / max(1, self.images_decoded)
            left_out = [
                *(["the metric of image changes"] if self.guided_by == "codes" else []),
                *(["image errors"] if self.image_error is None else []),
                *(["whether detail makes images more typical"] if self.sheet_unlikeness is None else []),
            ]
            found.append(
                f"The budget was spent: the decoder was asked for {self.images_decoded} of about {self.images_wanted} "
                f"images. fit(..., budget=None) asks for all"
                + (f", in about {seconds:.0f} s" if self.images_decoded else "")
                + (
                    f", for {', '.join(left_out)}."
                    if left_out
                    else ", for a more exact metric and errors of more codes."
                )
            )
        if self.norm and self.norm_decoded is not None and self.norm_decoded < 0.99 * self.norm:
            found.append(
                f"All codes have norm {self.norm:.4g}; decoded ones have {self.norm_decoded:.4g} on average. Where "
                "only the direction of a code counts, as with cosine similarity, scale decoded codes to norm "
                f"{self.norm:.4g}."
            )
        return found

    def __str__(self) -> str:
        """One line, and one for each of the notes, for printing."""

        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.4g}"

        line = (
            f"{self.k} codes of {self.n} numbers on a {self.dim}-D map: FVU {number(self.fvu)} "
            f"(held out {number(self.fvu_held_out)}, PCA {number(self.fvu_pca)}), image error "
            f"{number(self.image_error)} (held out {number(self.image_error_held_out)}), "
            f"{self.steps} steps, {self.seconds:.1f} s"
            + (f", guided by {self.guided_by}" if self.guided_by else "")
            + (f"; {self.typicality()}" if self.sheet_norm is not None else "")
            + self._decoding()
            + (", interrupted" if self.interrupted else "")
        )
        return "\n".join([line, *self.notes])

    def _decoding(self) -> str:
        """What the decoder took, where that is to be waited for."""
        if not self.decoding_seconds:
            return ""
        return f", {self.images_decoded} images decoded in {self.decoding_seconds:.0f} s"

    def typicality(self) -> str:
        """What the map's codes and images are beside the fitted ones, without detail and with all of it."""
        texts = []
        for name in ("sheet", "detail"):
            norm, unlike, spread = (getattr(self, f"{name}_{what}") for what in ("norm", "unlikeness", "spread"))
            of_images = "" if unlike is None else f", images {unlike:.2f} as unlike and {spread:.2f} as varied"
            texts.append(f"{name}: decoded codes have {norm:.2f} of the codes' norm{of_images}")
        return "; ".join(texts)
