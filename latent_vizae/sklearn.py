"""VizAETransformer: `fit` as a scikit-learn estimator, for pipelines and grid searches (extra ``sklearn``).

scikit-learn takes two-dimensional arrays, so codes are flat here: (k, n) in, (k, n) out.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_array, check_is_fitted, validate_data
except ImportError as error:
    raise ModuleNotFoundError(
        'VizAETransformer needs scikit-learn, 1.6 or newer: pip install "latent-vizae[sklearn]".', name="sklearn"
    ) from error

from latent_vizae.decoders.load import load_decoder
from latent_vizae.fitting.fit import fit
from latent_vizae.model.vizae import VizAE, check_dim
from latent_vizae.storage.folder import CONFIG_FILE, MODEL_FILE

__all__ = ["VizAETransformer"]

PRECISIONS = [np.float64, np.float32]


class VizAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Codes to points of a map and back: `latent_vizae.fit` as a scikit-learn transformer.

    The parameters are those of `fit`, and are checked when ``fit`` is called.

    ``transform`` and ``inverse_transform`` return float32 for float32 and float64 for anything else. The weights of v
    are float32 in both cases; in float64 only the computation is more precise.

    Pickles and joblib files hold v as `VizAE.save_pretrained` writes it, safetensors and JSON, and it is checked as
    strictly when it is loaded (on the CPU). No torch module is pickled: a decoder from ``load_decoder`` is stored as
    its name, and a decoder without a name cannot be pickled. To pickle the map alone, first call
    ``set_params(decoder=None)``: only ``fit`` needs the decoder.

    Args:
        decoder: f_d, any callable codes (B, *latent_shape) -> images (B, C, H, W) in [0, 1], or a name for
            `load_decoder` ("mnist"). None: v is fitted to code values. Cloning (in every grid search) copies a
            callable as any other parameter; a name is loaded at each fit.
        dim: dimension of the map, 1, 2 or 3, at most n.
        hidden: units of v_e's hidden layers; by default `fit` chooses.
        steps: most steps of training in the frame (k >= 50); by default `fit` chooses.
        keep_neighbours: from 0 (unseen rows come back closest) to 1 (neighbours stay together), see `fit`.
        outliers: "keep" or "ignore" rows that are very far from all others, see `fit`.
        latent_shape: the shape of one code, with product n, in which the decoder gets codes. None: (n,).
        random_state: a whole number is the ``seed`` of `fit` itself: the same map. A ``RandomState`` draws a seed at
            each fit, None draws it from numpy's global generator: another map each time.

    Attributes:
        v_: the `VizAE`, for `LatentMap`, `certify` and ``save_pretrained``.
        embedding_: (k, dim) float32, the fitted codes on the map, in [-1, 1]^dim.
        n_features_in_: n.
        feature_names_in_: (n,) names of the columns, where X was a table with names.

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X = np.random.default_rng(0).normal(size=(20, 6))
        >>> pipe = make_pipeline(StandardScaler(), VizAETransformer(dim=2))
        >>> points = pipe.fit_transform(X)
        >>> points.shape, pipe.inverse_transform(points).shape
        ((20, 2), (20, 6))
    """

    def __init__(
        self,
        decoder: Callable[[Tensor], Tensor] | str | None = None,
        dim: int = 2,
        *,
        hidden: tuple[int, ...] | None = None,
        steps: int | None = None,
        keep_neighbours: float = 0.5,
        outliers: str = "keep",
        latent_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.decoder = decoder
        self.dim = dim
        self.hidden = hidden
        self.steps = steps
        self.keep_neighbours = keep_neighbours
        self.outliers = outliers
        self.latent_shape = latent_shape
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> VizAETransformer:
        """Train v.

        Args:
            X: (k, n) codes, k >= 1 and n >= dim, an array or a table.
            y: (k,) whole numbers (of an integer dtype within int64), words or truth values are stored with v as its
                labels, for colouring; they have no influence on the fit. Any other y is ignored.

        Returns:
            self.

        Raises:
            TypeError: X is sparse or not real numbers, or a parameter has the wrong type.
            ValueError: X is empty, holds NaN or infinity or has fewer columns than dim; its values are beyond float32
                or not distinct in it; ``latent_shape`` has not n values; what `latent_vizae.fit` refuses.
        """
        X = validate_data(self, X, dtype=PRECISIONS, ensure_min_features=check_dim(self.dim))
        decoder = load_decoder(self.decoder) if isinstance(self.decoder, str) else self.decoder
        seed = self.random_state
        if seed is None or isinstance(seed, np.random.RandomState):
            seed = check_random_state(seed).randint(2**31)
        labels = None if y is None else np.asarray(y)
        are_words = labels is not None and labels.dtype.kind in "UO" and all(isinstance(y, str) for y in labels.flat)
        if labels is not None and (labels.ndim != 1 or not (are_words or np.can_cast(labels.dtype, np.int64))):
            labels = None
        self.v_ = fit(
            _shaped(X, self.latent_shape),
            decoder,
            self.dim,
            labels=labels,
            hidden=self.hidden,
            steps=self.steps,
            keep_neighbours=self.keep_neighbours,
            outliers=self.outliers,
            seed=seed,
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Codes to points, v_e.

        Args:
            X: (k, n) codes.

        Returns:
            (k, dim); the fitted codes lie in [-1, 1]^dim.

        Raises:
            sklearn.exceptions.NotFittedError: before ``fit``.
            TypeError: X is sparse or not real numbers.
            ValueError: another number of columns, NaN or infinity.
        """
        check_is_fitted(self, "v_")
        X = validate_data(self, X, dtype=PRECISIONS, reset=False)
        v = self._v_like(X)
        points: np.ndarray = v._in_batches(v._encode, _as_rows(X)).cpu().numpy()
        return points

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Points to codes, v_d.

        Args:
            X: (k, dim) points.

        Returns:
            (k, n) codes, flat.

        Raises:
            sklearn.exceptions.NotFittedError: before ``fit``.
            TypeError: X is sparse or not real numbers.
            ValueError: points of another dimension, NaN or infinity.
        """
        check_is_fitted(self, "v_")
        X = check_array(X, dtype=PRECISIONS, input_name="X")
        if X.shape[1] != self.v_.dim:
            raise ValueError(f"Points of this map have {self.v_.dim} coordinates, X has {X.shape[1]} columns.")
        v = self._v_like(X)
        codes: np.ndarray = v._in_batches(v._decode, _as_rows(X)).cpu().numpy()
        return codes

    @property
    def embedding_(self) -> np.ndarray:
        """The fitted codes on the map, (k, dim) float32."""
        points: np.ndarray = self.v_.points.cpu().numpy().copy()
        return points

    @property
    def _n_features_out(self) -> int:
        """What get_feature_names_out counts."""
        return self.v_.dim

    def _v_like(self, X: np.ndarray) -> VizAE:
        """This v, in X's precision (rounding in float32 depends on how many rows come at once)."""
        return self.v_ if X.dtype == np.float32 else copy.deepcopy(self.v_).double()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), "decoder": _named(self.decoder)}
        if "v_" in state:
            with tempfile.TemporaryDirectory() as name:
                self.v_.save_pretrained(Path(name))
                state["v_"] = {file: (Path(name) / file).read_bytes() for file in (MODEL_FILE, CONFIG_FILE)}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "v_" in state:
            files = state["v_"]
            if not isinstance(files, dict) or files.keys() != {MODEL_FILE, CONFIG_FILE}:
                raise ValueError(f"The state of a VizAETransformer holds its v as {MODEL_FILE} and {CONFIG_FILE}.")
            with tempfile.TemporaryDirectory() as name:
                for file, content in files.items():
                    (Path(name) / file).write_bytes(content)
                v = state["v_"] = VizAE.from_pretrained(Path(name))
            if len(v.mean) != state.get("n_features_in_"):
                raise ValueError(
                    f"The state of a VizAETransformer for {state.get('n_features_in_')} features holds a v for "
                    f"codes of {len(v.mean)} values."
                )
        super().__setstate__(state)


def _as_rows(X: np.ndarray) -> Tensor:
    """A tensor of its own: X may be read-only."""
    return torch.from_numpy(np.array(X, order="C"))


def _shaped(X: np.ndarray, latent_shape: tuple[int, ...] | None) -> np.ndarray:
    """Rows (k, n) as codes (k, *latent_shape)."""
    if latent_shape is None:
        return X
    if (
        not isinstance(latent_shape, tuple | list)
        or math.prod(latent_shape) != X.shape[1]
        or min(latent_shape, default=0) < 1
    ):
        raise ValueError(
            f"latent_shape is the shape of a code of {X.shape[1]} values, one per column of X, got {latent_shape!r}."
        )
    return X.reshape(len(X), *latent_shape)


def _named(decoder: Any) -> Any:
    """A decoder as a pickle may hold it: its name, or a function, which pickle stores by name.

    Raises:
        TypeError: it has no name.
    """
    if decoder is None or isinstance(decoder, str | FunctionType | BuiltinFunctionType):
        return decoder
    source = getattr(decoder, "source", None)
    if isinstance(source, str) and not getattr(decoder, "options", {}):
        return source
    raise TypeError(
        f"A VizAETransformer is pickled without torch modules, and this decoder ({type(decoder).__name__}) has no "
        "name with which load_decoder alone could load it. Give a name (decoder='mnist') or an importable "
        "function, or, once fitted, call set_params(decoder=None): transform and inverse_transform need no decoder."
    )
