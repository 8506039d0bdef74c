"""The specification of a model bound to data: fit it, refit it, or evaluate its likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

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

FloatArray = npt.NDArray[np.float64]
Method = Literal["reml", "ml"]


@dataclass(frozen=True, eq=False)
class Model:
    """A formula evaluated on data.

    Attributes:
        design: the arrays. control: options of the optimiser.
    """

    design: Design
    control: Control = field(default_factory=Control)

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
