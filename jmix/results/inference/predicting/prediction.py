"""Prediction intervals: what is asked for, checked, and handed to the kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.frames import check_level
from jmix.results.predict import check_draws

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

PARTS = ("fixed", "random", "residual")
METHODS = ("analytic", "simulate", "bootstrap")


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        level: coverage. parts: of the uncertainty that count. conditional: the rows' own groups, or new ones.
        new_levels: "error" or "population". n: simulated responses. rng: their source.
        progress: whether to show a bar.
    """

    level: float
    parts: frozenset[str]
    conditional: bool
    new_levels: str
    n: int
    rng: np.random.Generator
    progress: bool | None = None


@dataclass(frozen=True)
class Intervals:
    """Numbers of m rows: predictions, limits, the variance of each part, and degrees of freedom or None."""

    fit: FloatArray
    lower: FloatArray
    upper: FloatArray
    variances: dict[str, FloatArray]
    df: FloatArray | None = None

    def frame(self, valid: BoolArray, index: Any) -> pd.DataFrame:
        """As a table, with NaN where a row has a missing value."""
        columns = {"fit": self.fit, "lower": self.lower, "upper": self.upper}
        columns |= {f"var_{part}": self.variances[part] for part in PARTS}
        if self.df is not None:
            columns["df"] = self.df
        return pd.DataFrame({name: np.where(valid, values, np.nan) for name, values in columns.items()}, index=index)


def predict_interval(
    fit: Any,
    data: Any,
    *,
    level: float,
    include: str | Sequence[str],
    conditional: bool,
    new_levels: str,
    method: str | None,
    df: Any,
    weights: Any,
    n: int,
    seed: int,
    progress: bool | None,
) -> pd.DataFrame:
    """The work behind ``fit.predict_interval``; arguments are described there."""
    general = hasattr(fit, "family")
    rng = check_draws("predict_interval", n, seed)
    if method is not None and method not in METHODS:
        raise ModelError(f"method={method!r}: choose {', '.join(map(repr, METHODS))}")
    if new_levels not in ("error", "population"):
        raise ModelError(f"new_levels={new_levels!r}: choose 'error' or 'population'")
    parts = _parts(include)
    request = Request(check_level(level), parts, bool(conditional), new_levels, int(n), rng, progress)
    if general:
        from jmix.results.inference.predicting.prediction_general import general_intervals

        if method not in (None, "simulate") or df is not None:
            raise ModelError(
                "predict_interval of a generalized model simulates: method='analytic', 'bootstrap' and df= are for "
                "linear models; predict(se=True) has standard errors on the scale of the link"
            )
        return general_intervals(fit, data, request, weights)
    from jmix.results.inference.predicting.prediction_linear import linear_intervals

    return linear_intervals(fit, data, request, method or "analytic", df, weights)


def _parts(include: Any) -> frozenset[str]:
    asked = [include] if isinstance(include, str) else list(include) if isinstance(include, Sequence | set) else []
    strange = [part for part in asked if part not in PARTS]
    if strange or not asked:
        raise ModelError(f"include={include!r}: choose of {', '.join(map(repr, PARTS))}")
    return frozenset(asked)


def row_weights(weights: Any, own: FloatArray | None, data: Any, n: int, default: float = 1.0) -> FloatArray:
    """(n,) weights of rows: those given, those of the fit for its own rows, else ``default``.

    Raises:
        DataError: weights that are not n positive numbers, or that are given for the rows of the fit.
    """
    if weights is None:
        return np.full(n, default) if data is not None or own is None else own
    if data is None:
        raise DataError("weights= is for new rows; the rows of the fit have their own")
    values = data[weights] if isinstance(weights, str) else weights
    out = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), (n,))
        if np.ndim(values) == 0
        else np.asarray(values, dtype=np.float64)
    )
    if out.shape != (n,) or not np.all(out > 0):
        raise DataError(f"weights= needs {n} positive numbers, one a row; its shape is {out.shape}")
    return out
