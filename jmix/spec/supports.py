"""Where a scalar prior lives, and the map from the real line onto it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jmix.errors import ModelError
from jmix.spec.prior import Lkj, On, Prior, WishartLike

Kind = Literal["real", "above", "below", "between"]


@dataclass(frozen=True)
class ScalarPrior:
    """A prior made ready for sampling: the prior's own variable x is a map of an unconstrained z.

    Attributes:
        prior: the distribution and what it describes. low, high: bounds of x. For a parameter that must be positive, a
            distribution on the whole line is cut at zero.
    """

    prior: Prior
    low: float = -np.inf
    high: float = np.inf

    @property
    def kind(self) -> Kind:
        """Which of the four shapes of interval it is."""
        below, above = np.isfinite(self.low), np.isfinite(self.high)
        return "between" if below and above else "above" if below else "below" if above else "real"

    @property
    def on(self) -> On:
        """What x is of the parameter."""
        return self.prior.on

    def variable(self, value: float) -> float:
        """X for a value of the parameter: itself, its square, or one over its square."""
        return float(value) if self.on == "value" else float(value) ** (-2 if self.on == "precision" else 2)

    def parameter(self, x: Any) -> Any:
        """The inverse of ``variable``."""
        return x if self.on == "value" else x ** (-0.5 if self.on == "precision" else 0.5)

    def constrain(self, z: float) -> float:
        """The parameter at a coordinate."""
        if self.kind == "above":
            return float(self.parameter(self.low + np.exp(z)))
        if self.kind == "below":
            return float(self.parameter(self.high - np.exp(-z)))
        if self.kind == "between":
            return float(self.parameter(self.low + (self.high - self.low) / (1.0 + np.exp(-z))))
        return float(self.parameter(z))

    def unconstrain(self, value: float) -> float:
        """Z for a value of the parameter; one outside the support is moved inside."""
        x, low, high = self.variable(value), self.low, self.high
        if self.kind == "above":
            return float(np.log(max(x - low, 1e-8 * max(1.0, abs(low)))))
        if self.kind == "below":
            return -float(np.log(max(high - x, 1e-8 * max(1.0, abs(high)))))
        if self.kind == "between":
            share = float(np.clip((x - low) / (high - low), 1e-6, 1.0 - 1e-6))
            return float(np.log(share) - np.log1p(-share))
        return x


def bounds(distribution: Any, name: str) -> tuple[float, float]:
    """Lower and upper end of a univariate continuous distribution's support.

    Raises:
        ModelError: a distribution of vectors, or a support that is not an interval.
    """
    if isinstance(distribution, Lkj | WishartLike) or distribution.event_shape or distribution.batch_shape:
        raise ModelError(
            f"the prior of {name} must be a distribution of one number; give each parameter its own prior by name"
        )
    support = distribution.support
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if low is None and high is None and type(support).__name__.strip("_").lower() != "real":
        raise ModelError(
            f"the prior of {name} has the support {support}; choose one on the real line, a half line or an interval"
        )
    return -np.inf if low is None else float(low), np.inf if high is None else float(high)


def real_prior(prior: Prior, name: str) -> ScalarPrior:
    """A prior of a coefficient."""
    if prior.on != "value":
        raise ModelError(
            f"the prior of {name} is on its {prior.on}; coefficients have none. For a normal distribution by precision "
            "write 'normal(0, precision=0.001)'"
        )
    if prior.flat:
        return ScalarPrior(prior)
    low, high = bounds(prior.distribution, name)
    return ScalarPrior(prior, max(low, prior.least), high)


def positive_prior(prior: Prior, name: str, least: float = 0.0) -> ScalarPrior:
    """A prior of a standard deviation, or of another parameter above ``least``.

    Raises:
        ModelError: a flat prior, which is improper, or one that reaches below the bound.
    """
    if prior.flat:
        raise ModelError(
            f"a flat prior on {name} is improper and need not be: give it an upper bound, 'uniform(0, 100)', or use "
            "'half_student_t(3, 2.5)'"
        )
    if least and prior.on != "value":
        raise ModelError(f"the prior of {name} is on its {prior.on}; it has none")
    low, high = bounds(prior.distribution, name)
    if np.isfinite(low) and low < 0 and np.isfinite(high):
        raise ModelError(f"the prior {prior!r} of {name} reaches below zero; start it at 0")
    low = max(low, least if prior.on == "value" else 0.0)
    if not low < high:
        raise ModelError(f"the prior {prior!r} leaves {name} no positive value")
    return ScalarPrior(prior, low, high)


def unit_prior(prior: Prior, name: str) -> ScalarPrior:
    """A prior of a probability.

    Raises:
        ModelError: a prior on a precision or variance, or one that leaves no room between 0 and 1.
    """
    if prior.on != "value":
        raise ModelError(f"the prior of {name} is on its {prior.on}; a probability has none")
    if prior.flat:
        return ScalarPrior(prior, 0.0, 1.0)
    low, high = bounds(prior.distribution, name)
    low, high = max(low, prior.least, 0.0), min(high, 1.0)
    if not low < high:
        raise ModelError(f"the prior {prior!r} leaves {name} no value between 0 and 1")
    return ScalarPrior(prior, low, high)
