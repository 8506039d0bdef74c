"""The specification of a generalized linear mixed model bound to data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.design_response import GlmmDesign, Side, as_glmm_design
from jmix.errors import ModelError
from jmix.estimate.control import Control
from jmix.families import Family, resolve_family
from jmix.models import Model
from jmix.models_options import Integration, as_integration
from jmix.spec.covariance import CovarianceSpec, Term

if TYPE_CHECKING:
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.results.glmm_fit import GlmmFit
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


class StudentModel(Model):
    """A linear mixed model whose errors have a t distribution: ``sample`` as a linear model, ``fit`` as a GLMM."""

    @cached_property
    def general(self) -> GlmmModel:
        """The same model as a generalized one.

        Raises:
            ModelError: it has weights, which divide the squared scale here and multiply the log likelihood there.
        """
        if self.design.weights is not None:
            raise ModelError(
                "weights with family='student' divide the squared scale of a row when sampling, but a fit has none "
                "such: leave them out, or use jmix.glmm, where they multiply the log likelihood"
            )
        return GlmmModel(as_glmm_design(self.design, resolve_family("student")), self.control, self.given_priors)

    def fit(self, method: GlmmMethod = "ml", **options: Any) -> GlmmFit:  # type: ignore[override]
        """Estimate by maximum likelihood or maximum a posteriori; see ``GlmmModel.fit``."""
        return self.general.fit(method, **options)

    def log_marginal(self, params: Mapping[str, Any], n_agq: int = 1, **options: Any) -> float:
        """Marginal log likelihood of the data; see ``GlmmModel.log_marginal``."""
        return self.general.log_marginal(params, n_agq, **options)


def _columns(side: Side | None) -> Any:
    from jmix.spec.glmm_priors import SideColumns

    return None if side is None else SideColumns(side.names, side.X.mean(axis=0), side.intercept_only)
