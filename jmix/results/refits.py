"""Refits of one design to new responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.estimate.lmm import fit_lmm
from jmix.estimate.objective import build_objective
from jmix.estimate.ols import fit_ols
from jmix.estimate.refit import RefitSolutions, batch_size, refit_many
from jmix.estimate.scales import check_response_scale

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Refits:
    """Estimates for R responses on one design.

    Attributes:
        fit: the fit that was refitted. solutions: arrays with one row a response. index: labels of the responses.
    """

    fit: Fit
    solutions: RefitSolutions
    index: pd.Index

    def __len__(self) -> int:
        return len(self.index)

    def fixef(self) -> pd.DataFrame:
        """(R, p) fixed effects."""
        return pd.DataFrame(self.solutions.beta, index=self.index, columns=self.fit.design.x_names)

    @property
    def theta(self) -> pd.DataFrame:
        """(R, k) relative covariance parameters."""
        return pd.DataFrame(self.solutions.theta, index=self.index, columns=self.fit.spec.theta_names())

    @property
    def sigma(self) -> pd.Series:
        """(R,) residual standard deviations."""
        return pd.Series(self.solutions.sigma, index=self.index, name="sigma")

    @property
    def loglik(self) -> pd.Series:
        """(R,) log likelihoods, restricted after REML."""
        return pd.Series(-0.5 * self.solutions.criterion, index=self.index, name="loglik")

    @property
    def converged(self) -> pd.Series:
        """(R,) whether each refit converged."""
        return pd.Series(self.solutions.converged, index=self.index, name="converged")

    @property
    def singular(self) -> pd.Series:
        """(R,) whether each refit is on a boundary."""
        return pd.Series(self.solutions.singular, index=self.index, name="singular")

    def to_frame(self) -> pd.DataFrame:
        """Everything in one frame: one row a response."""
        parts = [self.fixef(), self.theta, self.sigma, self.loglik, self.converged, self.singular]
        return pd.concat(parts, axis=1)

    def __repr__(self) -> str:
        converged, singular = int(self.solutions.converged.sum()), int(self.solutions.singular.sum())
        return f"{len(self)} refits of '{self.fit.formula}': {converged} converged, {singular} singular"


def refit(fit: Fit, response: Any) -> Fit | Refits:
    """One new response (n,) to a ``Fit``; several, (n, R) or a frame, to ``Refits`` in one vmapped program."""
    if fit.method == "MAP":
        raise ModelError("refit is for REML and maximum likelihood; fit the new response with its priors instead")
    labels = response.columns if isinstance(response, pd.DataFrame) else None
    y = as_numbers(response)
    if y.ndim not in (1, 2) or y.shape[0] != fit.nobs or 0 in y.shape:
        raise DataError(
            f"refit needs {fit.nobs} rows, one for each row of the fit; the new response has shape {y.shape}"
        )
    if not np.all(np.isfinite(y)):
        raise DataError(
            "the new response holds missing or infinite values; refit needs a number for every row of the fit"
        )
    root = 1.0 if fit.design.weights is None else float(np.sqrt(fit.design.weights.max()))
    check_response_scale(y.reshape(-1), fit.design.y_name, fit.design.offset, root)
    return _one(fit, y) if y.ndim == 1 else _many(fit, y, labels)


def as_numbers(response: Any) -> FloatArray:
    """The response as float64; DataError where it is not numeric."""
    message = "the new response must be numeric: an array, a Series or a DataFrame of numbers"
    if not hasattr(response, "__array__") and not isinstance(response, list | tuple):
        raise DataError(message)
    try:
        raw = np.asarray(response)
        text = raw.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in raw.flat)
        if text or raw.dtype.kind not in "biufO":
            raise DataError(f"{message}; it holds {raw.dtype}")
        return np.asarray(response, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise error if isinstance(error, DataError) else DataError(message) from None


def _one(fit: Fit, y: FloatArray) -> Fit:
    design = replace(fit.design, y=y)
    if fit.objective is None:
        return replace(fit, design=design, solution=fit_ols(design, reml=fit.reml))
    objective = build_objective(design, fit.terms, fit.spec)
    return replace(fit, design=design, objective=objective, solution=fit_lmm(objective, reml=fit.reml))


def _many(fit: Fit, y: FloatArray, labels: pd.Index | None) -> Refits:
    if fit.objective is None:
        raise ModelError("several responses at once need a random-effects term; fit them one by one")
    offset = fit.design.offset
    size = batch_size(fit.objective)

    def batches() -> Iterator[FloatArray]:
        for start in range(0, y.shape[1], size):
            part = y[:, start : start + size]
            yield part if offset is None else part - offset[:, None]

    solutions = refit_many(fit.objective, batches(), fit.solution.phi, reml=fit.reml)
    return Refits(fit, solutions, pd.RangeIndex(y.shape[1]) if labels is None else labels)
