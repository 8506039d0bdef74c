"""The specification of a model bound to data: fit it, refit it, or evaluate its likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import ModelError
from jmix.estimate.checks import check_design
from jmix.estimate.control import Control
from jmix.estimate.lmm import fit_lmm
from jmix.estimate.objective import GaussianObjective, build_objective
from jmix.estimate.ols import fit_ols
from jmix.estimate.parameters import parameter_array
from jmix.estimate.scales import LARGEST
from jmix.results.fit import Fit
from jmix.spec.covariance import CovarianceSpec, Term

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior
    from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]
Method = Literal["reml", "ml", "map"]
Family = Literal["gaussian", "student"]


@dataclass(frozen=True, eq=False)
class Model:
    """A formula evaluated on data.

    Attributes:
        design: the arrays. control: options of the optimiser. given_priors: as the user gave them.
        family: of the response, "gaussian" or "student".
    """

    design: Design
    control: Control = field(default_factory=Control)
    given_priors: Mapping[str, Any] | None = None
    family: Family = "gaussian"

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """Random terms in lme4's order."""
        return self.design.terms

    @cached_property
    def spec(self) -> CovarianceSpec:
        """The layout of theta over the terms."""
        return CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in self.terms))

    @cached_property
    def objective(self) -> GaussianObjective:
        """The marginal likelihood of these data, reduced to sufficient statistics."""
        if not self.terms:
            raise ModelError(f"'{self.design.formula}' has no random-effects term such as (1 | group)")
        return build_objective(self.design, self.terms, self.spec)

    @cached_property
    def priors(self) -> PriorSet:
        """The prior of every parameter; ``print`` it, or take ``priors.table()``.

        Raises:
            ModelError: a prior that is misspelt, does not fit its parameter, or contradicts another.
        """
        from jmix.spec.priors import resolve_priors

        return resolve_priors(
            self.given_priors,
            x_names=self.design.x_names,
            x_means=self.design.X.mean(axis=0),
            spec=self.spec,
            response=self.design.y,
            student=self.family == "student",
        )

    def sample(
        self,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        seed: int = 0,
        *,
        chain_method: str = "auto",
        target_accept: float = 0.8,
        max_tree_depth: int = 10,
        thin: int = 1,
        init: str | Mapping[str, Any] = "mode",
        progress: bool | None = None,
    ) -> Posterior:
        """Sample the posterior by NUTS, the random effects integrated out; they follow from the draws exactly.

        Interrupting it (Ctrl-C) keeps the draws made so far.

        Args:
            draws: kept draws a chain. tune: warm-up iterations a chain. seed: the same seed, the same draws.
            chain_method: "vectorized" on one device; "parallel", split over all devices; "sequential"; or "auto": the
                second where there are several devices, else the first.
            target_accept: mean acceptance probability to which the step size is tuned; raise it after divergences.
            max_tree_depth: 2 to this power, less one, leapfrog steps a draw at most. thin: iterations a kept draw.
            init: "mode", around the posterior mode; "random"; or a dict of parameter values, e.g. ``{"sigma": 25}``.
            progress: show a progress bar; by default where standard error is a terminal or a notebook.

        Raises:
            ModelError: an option out of range, or a model that the data cannot identify.
        """
        from jmix.estimate.sampling import Options, sample_posterior
        from jmix.results.posterior import Posterior

        options = Options(
            draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress
        )  # fmt: skip
        options.check()
        priors = self.priors
        check_design(self.design, self.terms)
        kept = sample_posterior(self.objective, priors, options, self.design.x_names)
        return Posterior(self.design, self.spec, self.terms, self.objective, priors, kept, self.family)

    def fit(self, method: Method = "reml", *, start: npt.ArrayLike | None = None) -> Fit:
        """Estimate by REML or maximum likelihood; a formula without random terms is fitted by least squares.

        Args:
            start: (k,) values of theta to start from.

        Raises:
            ModelError: for an unknown method, a start of the wrong length, or a model that the data cannot identify.
        """
        if method not in ("reml", "ml"):
            raise ModelError(f"method={method!r}: choose 'reml' or 'ml'")
        check_design(self.design, self.terms)
        if not self.terms:
            solution = fit_ols(self.design, reml=method == "reml")
            return Fit(self.design, self.spec, self.terms, method.upper(), solution, None)
        theta = None if start is None else self._theta(start)
        solution = fit_lmm(
            self.objective,
            reml=method == "reml",
            start=theta,
            optimizer=self.control.optimizer,
            max_iterations=self.control.max_iterations,
        )
        return Fit(self.design, self.spec, self.terms, method.upper(), solution, self.objective)

    def log_marginal(self, params: Mapping[str, Any], *, reml: bool = False) -> float:
        """Marginal log likelihood of the data.

        Args:
            params: ``theta`` (k,), in lme4's order, and optionally ``beta`` (p,) and ``sigma``. What is left out is
                profiled out: set to its maximum given the rest.
            reml: the restricted likelihood; beta is then integrated out and may not be given.

        Raises:
            ModelError: for parameters of the wrong kind, number or size.
        """
        if not isinstance(params, Mapping):
            raise ModelError(f"params must be a dict such as {{'theta': [...]}}, not {type(params).__name__}")
        unknown = sorted(set(params) - {"theta", "beta", "sigma"}, key=str)
        if unknown:
            raise ModelError(f"unknown parameters {unknown}; log_marginal takes theta, beta and sigma")
        theta = self._theta(params.get("theta"))
        return self.objective.log_marginal(theta, params.get("beta"), params.get("sigma"), reml)

    def _theta(self, value: Any) -> FloatArray:
        k = self.spec.n_theta
        numbers = parameter_array("theta", [] if value is None else value, k, self.spec.theta_names())
        if np.any(np.abs(numbers) > LARGEST):
            raise ModelError(f"theta holds numbers beyond {LARGEST:g}; they are relative to the residual's, near 1")
        return numbers
