"""The specification of a generalized linear mixed model bound to data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.design_response import GlmmDesign, Side
from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.control import Control
from jmix.families import Family
from jmix.models_options import Integration, as_integration
from jmix.spec.covariance import CovarianceSpec, Term

if TYPE_CHECKING:
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.posterior_glmm import GlmmPosterior
    from jmix.spec.prior_sets import GlmmPriorSet

FloatArray = npt.NDArray[np.float64]
GlmmMethod = Literal["ml", "map"]
Method = Literal["agq", "laplace", "qmc"]


@dataclass(frozen=True, eq=False)
class GlmmModel:
    """Formulas of a generalized linear mixed model evaluated on data.

    Attributes:
        design: the arrays, the family and the response. control: options of the optimiser.
        given_priors: as the user gave them.
    """

    design: GlmmDesign
    control: Control = field(default_factory=Control)
    given_priors: Mapping[str, Any] | None = None
    _objectives: dict[Integration, GlmmObjective] = field(default_factory=dict, init=False, repr=False)

    @property
    def family(self) -> Family:
        """The distribution and the link of the response."""
        return self.design.family

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """Random terms in lme4's order."""
        return self.design.terms

    @cached_property
    def spec(self) -> CovarianceSpec:
        """The layout of theta over the terms."""
        return CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in self.terms))

    @cached_property
    def priors(self) -> GlmmPriorSet:
        """The prior of every parameter; ``print`` it, or take ``priors.table()``.

        Raises:
            ModelError: a prior that is misspelt, does not fit its parameter, or contradicts another.
        """
        from jmix.spec.glmm_priors import resolve_glmm_priors

        base = self.design.base
        return resolve_glmm_priors(
            self.given_priors,
            family=self.family,
            x_names=base.x_names,
            x_means=base.X.mean(axis=0),
            spec=self.spec,
            response=base.y,
            offset=base.offset,
            dispersion=_columns(self.design.disp),
            zero=_columns(self.design.zi),
        )

    @property
    def family_names(self) -> list[str]:
        """The names of the parameters in draws that are neither coefficients nor covariances, e.g. ``["shape"]``."""
        from jmix.spec.glmm_priors import dispersion_name, side_names, threshold_names, zero_name

        family, design = self.family, self.design
        names = [*threshold_names(family), *side_names(dispersion_name(family), _columns(design.disp))]
        return [*names, *side_names(zero_name(family), _columns(design.zi)), *["nu"] * family.n_shape]

    def objective(self, n_agq: int = 1, integration: Method = "agq", n_points: int | None = None) -> GlmmObjective:
        """The marginal likelihood of these data; see ``fit`` for the arguments. Each is built once."""
        from jmix.estimate.glmm_objective import build_glmm_objective

        chosen = as_integration(n_agq, integration, n_points, self.spec)
        if chosen not in self._objectives:
            self._objectives[chosen] = build_glmm_objective(self.design, self.spec, self.terms, **chosen.options)
        return self._objectives[chosen]

    def fit(
        self,
        method: GlmmMethod = "ml",
        *,
        n_agq: int = 1,
        integration: Method = "agq",
        n_points: int | None = None,
        start: npt.ArrayLike | None = None,
    ) -> GlmmFit:
        """Estimate by maximum likelihood or, with the model's priors, maximum a posteriori.

        The random effects are integrated out: by Laplace's approximation (``n_agq=1``, any random terms), by adaptive
        Gauss-Hermite quadrature (``n_agq`` nodes per random effect of a level, one grouping factor; Pinheiro & Chao
        2006, J. Comput. Graph. Stat. 15, 58-81), or by a quasi-Monte-Carlo integral. A formula without random terms
        gives the plain generalized linear model.

        Args:
            method: "ml" or "map". integration: "agq", "laplace" (the same as ``n_agq=1``) or "qmc".
            n_agq: nodes per random effect. n_points: points of "qmc".
            start: (d,) parameters to start from, in the order of the objective's ``names``, for "ml".

        Raises:
            ModelError: an option that contradicts the model, or a model that the data cannot identify.
        """
        if method not in ("ml", "map"):
            raise ModelError(f"method={method!r}: choose 'ml' or 'map'; REML is for linear mixed models (jmix.lmm)")
        priors = self.priors if method == "map" else None
        objective = self.objective(n_agq, integration, n_points)
        if priors is not None:
            from jmix.estimate.glmm_map import fit_glmm_map

            if start is not None:
                raise ModelError("start is for method='ml'; MAP chooses its own starting values")
            solution = fit_glmm_map(objective, priors)
        else:
            from jmix.estimate.glmm_fit import fit_glmm

            solution = fit_glmm(
                objective, start=self._start(objective, start), max_iterations=self.control.max_iterations
            )
        from jmix.results.glmm_fit import GlmmFit

        return GlmmFit(self.design, self.spec, self.terms, solution, objective)

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
        n_agq: int | None = None,
        integration: Method = "agq",
        n_points: int | None = None,
    ) -> GlmmPosterior:
        """Sample the posterior by NUTS: the random effects integrated out approximately, or sampled exactly.

        With them integrated out there are few unknowns, so that draws are cheap, and the posterior is that of the
        approximate likelihood; ``n_agq`` sets how close it comes. The random effects follow from the draws afterwards.
        ``marginal=False`` samples them with the parameters, with no approximation, at a higher cost: for crossed
        factors with few rows a level, or as a check.

        Interrupting it (Ctrl-C) keeps the draws made so far.

        Args:
            draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress: as in
                ``Model.sample``.
            marginal: False samples the random effects too.
            n_agq: nodes per random effect of the marginal likelihood; by default several for one grouping factor with
                one or two random effects a level, otherwise 1 (Laplace's approximation).
            integration, n_points: as for ``fit``.

        Raises:
            ModelError: an option out of range, or a model that the data cannot identify.

        Warns:
            ConvergenceWarning: the draws cannot be trusted yet; ``status`` of the result says why and what to do.
        """
        from jmix.estimate.glmm_sampling import default_nodes, sample_glmm_full, sample_glmm_marginal
        from jmix.estimate.options import Options
        from jmix.results.posterior_glmm import GlmmPosterior

        options = Options(draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress)
        options.check()
        priors, groups = self.priors, self.spec.groups
        if marginal is False and (n_agq not in (None, 1) or integration == "qmc"):
            raise ModelError("n_agq and integration are for a marginal likelihood; leave them out with marginal=False")
        if n_agq is None:
            adaptive = marginal is not False and integration == "agq" and groups
            n_agq = default_nodes(len(groups), max(map(self.spec.group_q, groups))) if adaptive else 1
        objective = self.objective(n_agq, integration, n_points)
        run = sample_glmm_full if marginal is False and groups else sample_glmm_marginal
        kept = run(objective, priors, options)
        posterior = GlmmPosterior(self.design.base, self.spec, self.terms, objective, priors, kept)
        if not posterior.status.converged:
            warnings.warn("; ".join(posterior.status.messages), ConvergenceWarning, stacklevel=2)
        return posterior

    def sample_prior(self, draws: int = 1000, seed: int = 0) -> GlmmPosterior:
        """Draw the parameters from their priors alone, in the form of a posterior of one chain.

        Its ``simulate`` and ``predict(conditional=False)`` are prior predictive; ``hypothesis(..., prior=)`` takes it.

        Raises:
            ModelError: a flat prior, from which nothing can be drawn.
        """
        from jmix.estimate.glmm_prior_draws import draw_glmm_priors
        from jmix.estimate.options import Options
        from jmix.results.posterior_glmm import GlmmPosterior

        Options(draws=draws, seed=seed).check()
        objective, priors = self.objective(), self.priors
        kept = draw_glmm_priors(objective, priors, int(draws), int(seed))
        return GlmmPosterior(self.design.base, self.spec, self.terms, objective, priors, kept)

    def log_marginal(
        self,
        params: Mapping[str, Any],
        n_agq: int = 1,
        *,
        integration: Method = "agq",
        n_points: int | None = None,
    ) -> float:
        """Marginal log likelihood of the data, all constants of the densities included.

        Args:
            params: ``beta`` (p,) and ``theta`` (k,), the Cholesky factors of the random effects' covariances on the
                scale of the link, in lme4's order; where the family has them ``disp`` and ``zi`` (the coefficients of
                log dispersion and logit zero probability), ``thresholds`` (K - 1, increasing) and ``nu``.
            n_agq, integration, n_points: as for ``fit``.

        Raises:
            ModelError: for parameters of the wrong kind, number or size.
        """
        from jmix.estimate.glmm_objective import GlmmParameters

        values = self._parameters(params)
        objective = self.objective(n_agq, integration, n_points)
        shape = values.pop("nu", None)
        none: FloatArray = np.empty(0)
        beta, theta, disp, zi, tau = (values.get(n, none) for n in ("beta", "theta", "disp", "zi", "thresholds"))
        x = objective.join(GlmmParameters(beta, theta, disp, zi, tau, None if shape is None else float(shape[0])))
        return float(objective.evaluate(x)[0])

    def _sizes(self) -> dict[str, list[str]]:
        """The names of the numbers of each part of ``params`` that the model has."""
        design, levels = self.design, self.design.response.levels
        parts = {
            "beta": list(design.base.x_names),
            "theta": list(self.spec.theta_names()),
            "disp": [] if design.disp is None else list(design.disp.names),
            "zi": [] if design.zi is None else list(design.zi.names),
            "thresholds": [f"{low}|{high}" for low, high in pairwise(levels)] if self.family.n_thresholds else [],
            "nu": ["nu"] * self.family.n_shape,
        }
        return {name: names for name, names in parts.items() if names}

    def _parameters(self, params: Mapping[str, Any]) -> dict[str, FloatArray]:
        from jmix.estimate.parameters import parameter_array

        if not isinstance(params, Mapping):
            raise ModelError(f"params must be a dict such as {{'theta': [...]}}, not {type(params).__name__}")
        sizes = self._sizes()
        unknown = sorted(set(params) - set(sizes), key=str)
        lacking = [name for name in sizes if name not in params]
        if unknown or lacking:
            what = f"unknown parameters {unknown}" if unknown else f"params lack {', '.join(lacking)}"
            raise ModelError(f"{what}; this model takes {', '.join(sizes)}")
        given = {name: [value] if name == "nu" and np.isscalar(value) else value for name, value in params.items()}
        return {name: parameter_array(name, given[name], len(names), names) for name, names in sizes.items()}

    def _start(self, objective: GlmmObjective, start: npt.ArrayLike | None) -> FloatArray | None:
        from jmix.estimate.parameters import parameter_array

        return None if start is None else parameter_array("start", start, len(objective.names), objective.names)


def _columns(side: Side | None) -> Any:
    from jmix.spec.glmm_priors import SideColumns

    return None if side is None else SideColumns(side.names, side.X.mean(axis=0), side.intercept_only)
