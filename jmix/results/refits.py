"""Refits of one linear design to new responses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.estimate.inference.watch import counting
from jmix.estimate.lmm import fit_lmm
from jmix.estimate.objective import build_objective
from jmix.estimate.ols import fit_lm, fit_ols, refit_ols
from jmix.estimate.refit import RefitSolutions, batch_size, refit_many
from jmix.estimate.scales import check_response_scale
from jmix.results.refits_base import RefitsBase, natural_scale, parameter_frame

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Refits(RefitsBase):
    """Estimates of a linear (mixed) model for R responses on one design: a sequence of R light fits.

    ``refits[i]`` is a ``Fit`` of response i from the estimates found here; nothing is fitted again, and what needs the
    data anew, such as the random effects, is computed when it is asked for.

    Attributes:
        fit: the fit that was refitted. solutions: arrays with one row a response. index: labels of the responses.
        responses: (n, R). interrupted: whether fewer were fitted than were asked for.
    """

    fit: Fit
    solutions: RefitSolutions

    @property
    def sigma(self) -> pd.Series:
        """(R,) residual standard deviations."""
        return pd.Series(self.solutions.sigma, index=self.index, name="sigma")

    @property
    def loglik(self) -> pd.Series:
        """(R,) log likelihoods, restricted after REML."""
        return pd.Series(-0.5 * self.solutions.criterion, index=self.index, name="loglik")

    def covariances(self) -> FloatArray:
        """(R, p, p) covariance matrices of the fixed effects."""
        return self.solutions.vcov

    def parameters(self) -> pd.DataFrame:
        """(R, P) fixed effects, standard deviations, correlations and sigma, named as in a ``Posterior``.

        A correlation with a variance of zero is NaN.
        """
        own, spec = self.solutions, self.fit.spec
        random = natural_scale(own.theta, own.sigma, spec)
        return parameter_frame(own.beta, random, {"sigma": own.sigma}, (self.fit.x_names, spec), self.index)

    def to_frame(self) -> pd.DataFrame:
        """Everything in one frame: one row a response."""
        parts = [self.fixef(), self.theta, self.sigma, self.loglik, self.converged, self.singular]
        return pd.concat(parts, axis=1)

    def replicate(self, i: int) -> Fit:
        """The fit of response i."""
        from jmix.results.replicate import replicate

        return replicate(self.fit, self.responses[:, i], self.solutions, i)


def refit(fit: Fit, response: Any, *, progress: bool | None = None) -> Fit | Refits:
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
    return _one(fit, y) if y.ndim == 1 else _many(fit, y, labels, progress)


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
        solution = fit_lm(design) if fit.method == "OLS" else fit_ols(design, reml=fit.reml)
        return replace(fit, design=design, solution=solution)
    objective = build_objective(design, fit.terms, fit.spec)
    return replace(fit, design=design, objective=objective, solution=fit_lmm(objective, reml=fit.reml))


def _many(fit: Fit, y: FloatArray, labels: pd.Index | None, progress: bool | None) -> Refits:
    count, offset = y.shape[1], fit.design.offset
    if fit.objective is None:
        solutions = refit_ols(fit.design, y, unbiased=fit.method in ("OLS", "REML"), restricted=fit.reml)
    else:
        size = batch_size(fit.objective)

        def batches() -> Iterator[FloatArray]:
            for start in range(0, count, size):
                part = y[:, start : start + size]
                yield part if offset is None else part - offset[:, None]

        with counting(progress, "refits", count) if count > size else counting(False, "", 0) as watch:
            solutions = refit_many(fit.objective, batches(), fit.solution.phi, reml=fit.reml, watch=watch)
    done = len(solutions)
    index = pd.RangeIndex(count) if labels is None else labels
    return Refits(fit, solutions, index[:done], y[:, :done], done < count)
