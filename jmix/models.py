"""The specification of a model bound to data: fit it, refit it, or evaluate its likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import ConvergenceWarning, ModelError
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
        target_accept: float = 0.9,
        max_tree_depth: int = 10,
        thin: int = 1,
        init: str | Mapping[str, Any] = "mode",
        progress: bool | None = None,
        marginal: bool | None = None,
    ) -> Posterior:
        """Sample the posterior by NUTS, the random effects integrated out; they follow from the draws exactly.

        With ``family="student"`` there is no closed form: the random effects are sampled with the parameters.

        Interrupting it (Ctrl-C) keeps the draws made so far.

        Args:
            draws: kept draws a chain. tune: warm-up iterations a chain. seed: the same seed, the same draws.
            chain_method: "vectorized", all chains in one program; "parallel", the same, split over all devices;
                "threads", one chain a core; "sequential"; or "auto": split over the devices where there are several,
                vectorized on one accelerator, and in threads on a CPU, where that compiles sooner and runs no slower.
            target_accept: mean acceptance probability to which the step size is tuned; raise it after divergences. A
                step is cheap here, so that the default is above Stan's 0.8.
            max_tree_depth: 2 to this power, less one, leapfrog steps a draw at most. thin: iterations a kept draw.
            init: "mode", around the posterior mode; "random"; or a dict of parameter values, e.g. ``{"sigma": 25}``.
            progress: show a progress bar; by default where standard error is a terminal or a notebook.
            marginal: False samples the random effects with the parameters, the same posterior at a higher cost.

        Raises:
            ModelError: an option out of range, or a model that the data cannot identify.

        Warns:
            ConvergenceWarning: the draws cannot be trusted yet; ``status`` of the result says why and what to do.
        """
        from jmix.estimate.options import Options
        from jmix.estimate.sampling import sample_full, sample_marginal
        from jmix.results.posterior import Posterior

        gaussian = self.family == "gaussian"
        if marginal and not gaussian:
            raise ModelError(f"marginal=True: the random effects of family={self.family!r} cannot be integrated out")
        options = Options(draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress)
        options.check()
        priors = self.priors
        check_design(self.design, self.terms)
        if gaussian and marginal is not False:
            kept = sample_marginal(self.objective, priors, options, self.design.x_names)
        else:
            kept = sample_full(self.design, self.terms, self.objective, priors, options)
        posterior = Posterior(self.design, self.spec, self.terms, self.objective, priors, kept, self.family)
        if not posterior.status.converged:
            warnings.warn("; ".join(posterior.status.messages), ConvergenceWarning, stacklevel=2)
        return posterior

    def sample_prior(self, draws: int = 1000, seed: int = 0) -> Posterior:
        """Draw the parameters from their priors alone, in the form of a ``Posterior`` of one chain.

        Its ``simulate`` and ``predict(conditional=False)`` are prior predictive; ``hypothesis(..., prior=)`` takes it.

        Raises:
            ModelError: a flat prior, from which nothing can be drawn.
        """
        from jmix.estimate.options import Options
        from jmix.estimate.prior_draws import draw_priors
        from jmix.results.posterior import Posterior

        Options(draws=draws, seed=seed).check()
        kept = draw_priors(self.priors, self.design.x_names, int(draws), int(seed))
        return Posterior(self.design, self.spec, self.terms, self.objective, self.priors, kept, self.family)

    def fit(self, method: Method = "reml", *, start: npt.ArrayLike | None = None) -> Fit:
        """Estimate by REML, maximum likelihood or, with the model's priors, maximum a posteriori.

        A formula without random terms is fitted by least squares. MAP maximises the density of the coefficients,
        standard deviations, correlations and sigma, and its standard errors are those of the Laplace approximation.

        Args:
            start: (k,) values of theta to start from, for "reml" and "ml".

        Raises:
            ModelError: for an unknown method, a start of the wrong length, or a model that the data cannot identify.
        """
        if method not in ("reml", "ml", "map"):
            raise ModelError(f"method={method!r}: choose 'reml', 'ml' or 'map'")
        if self.family != "gaussian":
            raise ModelError(f"family={self.family!r} is sampled, not fitted: use model.sample()")
        check_design(self.design, self.terms)
        if method == "map":
            return self._fit_map(start)
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

    def _fit_map(self, start: npt.ArrayLike | None) -> Fit:
        from jmix.estimate.maximum_posterior import fit_map

        if start is not None:
            raise ModelError("start is for method='reml' and 'ml'; MAP starts from moment estimates")
        solution = fit_map(self.objective, self.priors, self.design.x_names)
        return Fit(self.design, self.spec, self.terms, "MAP", solution, self.objective)

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
