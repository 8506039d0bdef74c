"""Log likelihood plus log prior of an item response model as a function of the free parameters."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.prior import GeneralPrior, PriorDensity, prior_density
from jmix.likelihood.irt.marginal import Marginal
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

SINGLE = 4e-7
"""Relative rounding error of one person's log likelihood in float32, with some room."""


@dataclass(eq=False)
class IrtObjective:
    """What is maximised.

    Attributes:
        marginal: the log likelihood. spec: the specification with the priors in force, that of the likelihood by
            default. persons: N, the sum of the weights. seconds: spent in values and gradients, and in Hessians.
    """

    marginal: Marginal
    spec: IrtSpec | None = None
    persons: float = 1.0
    seconds: dict[str, float] = field(default_factory=lambda: {"gradients": 0.0, "hessians": 0.0})

    @cached_property
    def prior(self) -> PriorDensity | GeneralPrior | None:
        """The log prior; None where there is none."""
        return prior_density(self.marginal.spec if self.spec is None else self.spec)

    def evaluate(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient (P,); -inf outside the support of a prior or where the model does not exist."""
        begun = time.perf_counter()
        prior, slope = 0.0, np.zeros(x.size)
        if self.prior is not None:
            prior, slope, _ = self.prior.evaluate(x)
            if not np.isfinite(prior):
                return -np.inf, np.zeros(x.size)
        value, gradient = self.marginal.value_and_grad(x)
        self.seconds["gradients"] += time.perf_counter() - begun
        return float(value) + prior, np.asarray(gradient) + slope

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives."""
        begun = time.perf_counter()
        out = np.asarray(self.marginal.hessian(x))
        self.seconds["hessians"] += time.perf_counter() - begun
        return out if self.prior is None else out + self.prior.evaluate(x)[2]

    def noise(self, value: float) -> float:
        """Rounding error of a value beyond that of its last digits: from persons computed in float32.

        Their errors are independent, so that their sum is off by about ``1e-7 |value| / sqrt(N)``; the gradient's share
        is far below a standard error.
        """
        if self.marginal.integration.precision != "float32":
            return 0.0
        return SINGLE * abs(value) / float(np.sqrt(max(self.persons, 1.0)))

    def log_prior(self, x: FloatArray) -> float:
        """Log prior at x; 0 without priors."""
        return 0.0 if self.prior is None else self.prior.evaluate(x)[0]
