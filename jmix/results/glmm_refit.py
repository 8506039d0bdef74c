"""Refits of a generalized linear mixed model to a new response, or to thousands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_initial import family_names, family_values
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.estimate.inference.glmm_refit import Refitter, refit_many, refitter
from jmix.estimate.inference.glmm_refit_solutions import GlmmRefitSolutions
from jmix.estimate.inference.watch import counting
from jmix.results.refits import as_numbers
from jmix.results.refits_base import RefitsBase, natural_scale, parameter_frame

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class GlmmRefits(RefitsBase):
    """Estimates of a generalized linear mixed model for R responses on one design: a sequence of R light fits.

    ``refits[i]`` is a ``GlmmFit`` of response i from the estimates found here; nothing is fitted again, and what needs
    the data anew, such as the random effects, is computed when it is asked for. A response without estimates, such as
    one that never takes a category of a cumulative model, has NaN and is not converged; so has, with estimates far out,
    one whose estimates do not exist. ``refits.messages`` says why.

    Attributes:
        fit: the fit that was refitted. solutions: arrays with one row a response. index: labels of the responses.
        responses: (n, R) as numbers. interrupted: whether fewer were fitted than were asked for.
    """

    fit: GlmmFit
    solutions: GlmmRefitSolutions
    shared: Refitter

    @property
    def loglik(self) -> pd.Series:
        """(R,) approximate marginal log likelihoods."""
        return pd.Series(self.solutions.loglik, index=self.index, name="loglik")

    @property
    def messages(self) -> pd.Series:
        """What there is to say of single responses, joined by semicolons; of most nothing."""
        found = self.solutions.messages
        texts = {self.index[i]: "; ".join(text) for i, text in sorted(found.items())}
        return pd.Series(texts, name="message", dtype=object)

    def covariances(self) -> FloatArray:
        """(R, p, p) covariance matrices of the fixed effects, from the exact Hessian of all parameters."""
        place = self.fit.parts.slices["cond"]
        return self.solutions.vcov[:, place, place]

    def parameters(self) -> pd.DataFrame:
        """(R, P) fixed effects, standard deviations, correlations, thresholds, dispersion, zero part and nu, named and
        scaled as in a ``Posterior`` of the model. A correlation with a variance of zero is NaN.
        """
        own, fit, objective = self.solutions, self.fit, self.solutions.objective
        with np.errstate(over="ignore"):
            values = family_values(objective, own.x)
        others = {name: values[:, j] for j, name in enumerate(family_names(objective))}
        random = natural_scale(own.theta, np.ones(len(self)), fit.spec)
        return parameter_frame(own.beta, random, others, (fit.x_names, fit.spec), self.index)

    def to_frame(self) -> pd.DataFrame:
        """Everything in one frame: one row a response; all entries of ``fit.solution.x`` by their names."""
        x = pd.DataFrame(self.solutions.x, index=self.index, columns=self.solutions.objective.names)
        return pd.concat([x, self.loglik, self.converged, self.singular], axis=1)

    def replicate(self, i: int) -> GlmmFit:
        """The fit of response i."""
        from jmix.results.glmm_replicate import replicate

        return replicate(self.fit, self.responses[:, i], self.solutions.solution(i), self.shared)


def refit(fit: GlmmFit, response: Any, *, progress: bool | None = None) -> GlmmFit | GlmmRefits:
    """The work behind ``GlmmFit.refit``."""
    from jmix.families import check_response

    if fit.method == "MAP":
        raise ModelError("refit is for maximum likelihood; fit the new response with its priors instead")
    labels = response.columns if isinstance(response, pd.DataFrame) else None
    y = _numbers(fit, response)
    if y.ndim not in (1, 2) or y.shape[0] != fit.nobs or 0 in y.shape:
        raise DataError(f"refit needs {fit.nobs} values, one a row of the fit; the new response has shape {y.shape}")
    if not np.all(np.isfinite(y)):
        raise DataError("the new response holds missing or infinite values; refit needs one for every row of the fit")
    size = fit.design.response.size
    many = y.ndim == 2
    check_response(
        fit.design.family,
        y.T.reshape(-1),
        None if size is None else np.tile(size, y.shape[1] if many else 1),
        name="the new response",
    )
    return _many(fit, y, labels, progress) if many else _one(fit, y)


def _one(fit: GlmmFit, y: FloatArray) -> GlmmFit:
    _check_categories(fit, y)
    design = replace(fit.design, base=replace(fit.design.base, y=y), response=replace(fit.design.response, y=y))
    old = fit.objective
    objective = build_glmm_objective(
        design, fit.spec, fit.terms, n_agq=max(old.n_agq, 1), method=old.method, n_points=fit.n_points
    )
    return replace(fit, design=design, objective=objective, solution=fit_glmm(objective))


def _many(fit: GlmmFit, y: FloatArray, labels: pd.Index | None, progress: bool | None) -> GlmmRefits:
    shared = refitter(fit.objective, fit.solution)
    with counting(progress, "refits", y.shape[1]) as watch:
        solutions = refit_many(shared, y, watch)
    index = pd.RangeIndex(y.shape[1]) if labels is None else labels
    whole = len(solutions) == y.shape[1]
    kept = y if whole else y[:, solutions.rows]
    return GlmmRefits(fit, solutions, index if whole else index[solutions.rows], kept, solutions.interrupted, shared)


def _numbers(fit: GlmmFit, response: Any) -> FloatArray:
    """The response as ``Response.y``: codes where it is given by the labels of its categories."""
    levels = fit.design.response.levels
    if levels and isinstance(response, pd.DataFrame):
        columns = [_numbers(fit, response.iloc[:, j]) for j in range(response.shape[1])]
        return np.stack(columns, axis=1) if columns else np.zeros(response.shape)
    if levels and isinstance(response, pd.Series) and isinstance(response.dtype, pd.CategoricalDtype):
        response = response.astype(object)
    values = np.asarray(response)
    if not levels or values.dtype.kind in "biuf":
        return as_numbers(response)
    codes = pd.Index(levels).get_indexer(pd.Index(values.ravel())).reshape(values.shape)
    strange = sorted({str(v) for v in values[codes < 0].ravel()})
    if strange:
        raise DataError(
            f"the new response has values that the fit has not: {', '.join(map(repr, strange[:5]))}; "
            f"its categories are {', '.join(map(repr, levels))}"
        )
    return codes.astype(np.float64)


def _check_categories(fit: GlmmFit, y: FloatArray) -> None:
    if fit.family.name != "cumulative":
        return
    counts = np.bincount(y.astype(np.int64), minlength=fit.family.n_categories)
    empty = [label for label, count in zip(fit.design.response.levels, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"the new response never takes the categories {', '.join(map(repr, empty))}, whose thresholds it cannot "
            "tell; fit it as a model of its own"
        )
