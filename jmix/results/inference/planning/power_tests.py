"""Simulate from one design, refit, and test: the unit of work of a power study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.estimate.inference.glmm_responses import replaced
from jmix.estimate.objective import build_objective
from jmix.results.inference.planning.power_truth import Subject, as_fit

FloatArray = npt.NDArray[np.float64]
Test = Literal["wald", "satterthwaite", "lrt"]


class Outcome(NamedTuple):
    """Of R simulated responses: estimates and p-values (R, m) of m effects, and flags (R,)."""

    estimate: FloatArray
    p_value: FloatArray
    converged: npt.NDArray[np.bool_]
    singular: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trial:
    """One design of a power study.

    Attributes:
        subject: the model and its truth. design, terms: of this size. places: of the effects among the fixed effects.
        test: how they are tested.
    """

    subject: Subject
    design: Any
    terms: tuple[RandomTerm, ...]
    places: tuple[int, ...]
    test: Test

    @property
    def method(self) -> str:
        """Likelihood-ratio tests of fixed effects need maximum likelihood."""
        return "ML" if self.test == "lrt" else self.subject.method

    def responses(self, count: int, seed: int) -> FloatArray:
        """(n, R) responses simulated from the truth."""
        truth = as_fit(self.subject, self.design, self.terms, self.method)
        if self.subject.linear:
            return np.asarray(truth.simulate(count, seed=seed))
        from jmix.results.glmm_simulate import responses

        rng = np.random.default_rng(seed)
        return np.stack(list(responses(truth, count, rng, conditional=False)), axis=1)

    def run(self, count: int, seed: int) -> Outcome:
        """Simulate so many responses, fit all, and test."""
        y = self.responses(count, seed)
        refits = self._refits(self.design, y)
        own = refits.solutions
        estimate = own.beta[:, list(self.places)]
        p_value = (
            np.stack([self._lrt(refits, y, j) for j in self.places], axis=1)
            if self.test == "lrt"
            else (self._wald(refits, estimate))
        )
        return Outcome(estimate, p_value, own.converged, own.singular)

    def _refits(self, design: Any, y: FloatArray) -> Any:
        """All responses fitted to a design that may lack columns of the subject's."""
        first = y[:, 0]
        if not self.subject.linear:
            return as_fit(self.subject, replaced(design, first), self.terms).refit(y, progress=False)
        fit = as_fit(self.subject, replace(design, y=first), self.terms, self.method)
        if self.terms:
            objective = build_objective(fit.design, self.terms, self.subject.spec)
            solution = replace(fit.solution, phi=objective.to_phi @ fit.solution.theta)
            fit = replace(fit, objective=objective, solution=solution)
        return fit.refit(y, progress=False)

    def _wald(self, refits: Any, estimate: FloatArray) -> FloatArray:
        """Two-sided p-values of t-tests; of z-tests where the degrees of freedom are infinite."""
        from scipy.special import stdtr

        places = list(self.places)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.sqrt(np.einsum("rii->ri", refits.covariances())[:, places])
            t = estimate / errors
        df = self._df(refits)
        return np.asarray(2.0 * stdtr(df, -np.abs(t)), dtype=np.float64)

    def _df(self, refits: Any) -> FloatArray | float:
        if self.test == "wald":
            return np.inf
        fit = refits.fit
        if fit.objective is None:
            return float(fit.nobs - len(fit.x_names))
        from jmix.estimate.inference.satterthwaite_batch import batch_df

        L = np.eye(len(fit.x_names))[list(self.places)]
        return batch_df(fit.objective, refits.solutions, L, reml=fit.reml)

    def _lrt(self, refits: Any, y: FloatArray, place: int) -> FloatArray:
        """p-values of the likelihood ratio with chi-squared on one degree of freedom."""
        from scipy.special import chdtrc

        smaller = self._without(place)._refits(self._without(place).design, y)
        statistic = 2.0 * (refits.loglik.to_numpy() - smaller.loglik.to_numpy())
        fine = refits.solutions.converged & smaller.solutions.converged
        return np.where(fine, chdtrc(1.0, np.maximum(statistic, 0.0)), np.nan)

    def _without(self, place: int) -> Trial:
        """The same trial without one fixed effect."""
        base = self.design if self.subject.linear else self.design.base
        kept = [j for j in range(base.X.shape[1]) if j != place]
        names = [base.x_names[j] for j in kept]
        less = replace(base, X=np.asfortranarray(base.X[:, kept]), x_names=names)
        truth = replace(self.subject.truth, beta=self.subject.truth.beta[kept])
        design = less if self.subject.linear else replace(self.design, base=less)
        return replace(self, subject=replace(self.subject, truth=truth), design=design, places=())


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Several runs of one trial as one."""
    return Outcome(*(np.concatenate(values) for values in zip(*parts, strict=True)))
