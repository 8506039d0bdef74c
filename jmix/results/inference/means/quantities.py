"""Estimated quantities with their uncertainty, closed under linear combination and differentiable functions.

Either by the delta method, a value and its derivatives in the parameters, or by draws from a posterior.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.formula.rank import independent_columns

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import Joint
    from jmix.results.inference.means.laws import DeltaLaw

FloatArray = npt.NDArray[np.float64]
Function = Callable[[Any], Any]

TOUCH = 1e-8
"""Largest part along a direction without information that counts as rounding."""


@dataclass(frozen=True, eq=False)
class Quantities(ABC):
    """m estimated quantities.

    Attributes:
        gap: (m, k) parts along the k columns that the model matrix lacks for want of rank, all zero where a quantity
            is estimable.
    """

    gap: FloatArray

    @property
    @abstractmethod
    def value(self) -> FloatArray:
        """(m,) estimates; NaN where the data do not determine one."""

    @property
    @abstractmethod
    def se(self) -> FloatArray:
        """(m,) standard errors, or posterior standard deviations."""

    @property
    @abstractmethod
    def covariance(self) -> FloatArray:
        """(m, m) covariance matrix."""

    @abstractmethod
    def combine(self, weights: FloatArray) -> Any:
        """Linear combinations, weights (c, m)."""

    @abstractmethod
    def transform(self, function: Function, derivative: Function) -> Any:
        """A function of each quantity."""

    @abstractmethod
    def take(self, rows: Any) -> Any:
        """Some of the quantities."""

    @property
    def size(self) -> int:
        """Number of quantities."""
        return int(self.gap.shape[0])

    @property
    def estimable(self) -> npt.NDArray[np.bool_]:
        """(m,) whether the data determine a quantity."""
        return np.asarray(~(np.abs(self.gap) > TOUCH).any(axis=1))

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, eq=False)
class Delta(Quantities):
    """By the delta method.

    Attributes:
        raw: (m,) values, also of what is not estimable. jacobian: (m, d) derivatives in the parameters of ``law``.
    """

    raw: FloatArray
    jacobian: FloatArray
    law: DeltaLaw

    @property
    def value(self) -> FloatArray:
        """(m,) estimates; NaN where the data do not determine one."""
        return np.where(self.estimable, self.raw, np.nan)

    @cached_property
    def se(self) -> FloatArray:
        """(m,) standard errors."""
        with np.errstate(invalid="ignore"):
            found = np.sqrt(np.maximum(self.law.variance(self.jacobian), 0.0))
        return np.where(self.estimable, found, np.nan)

    @cached_property
    def df(self) -> FloatArray:
        """(m,) degrees of freedom; infinite for the normal distribution."""
        out = np.full(self.size, np.nan)
        rows = self.estimable & np.isfinite(self.jacobian).all(axis=1)
        if rows.any():
            out[rows] = self.law.df(self.jacobian[rows])
        return out

    @cached_property
    def covariance(self) -> FloatArray:
        """(m, m) covariance matrix."""
        found = self.law.covariance(self.jacobian)
        lost = ~self.estimable
        found[lost], found[:, lost] = np.nan, np.nan
        return found

    def combine(self, weights: FloatArray) -> Delta:
        """Linear combinations, weights (c, m)."""
        weights = np.asarray(weights, dtype=np.float64)
        return Delta(
            times(weights, self.gap), times(weights, self.raw[:, None])[:, 0], times(weights, self.jacobian), self.law
        )

    def transform(self, function: Function, derivative: Function) -> Delta:
        """A function of each quantity, by its derivative."""
        with np.errstate(all="ignore"):
            slope = np.asarray(derivative(self.raw))[:, None]
            value = np.asarray(function(self.raw))
        return Delta(np.where(self.gap != 0, np.abs(self.gap), 0.0), value, slope * self.jacobian, self.law)

    def take(self, rows: Any) -> Delta:
        """Some of the quantities."""
        return Delta(self.gap[rows], self.raw[rows], self.jacobian[rows], self.law)

    def joint(self, null: FloatArray) -> Joint:
        """The test that all equal ``null`` (m,); of rows that follow from earlier ones, the earlier."""
        own = self if np.any(null) else self.take(independent_columns(self.jacobian.T))
        rhs = own.jacobian @ own.law.point - (own.raw - null[: len(own)])
        return own.law.joint(own.jacobian, rhs)


@dataclass(frozen=True, eq=False)
class Drawn(Quantities):
    """By draws from a posterior.

    Attributes:
        draws: (N, m). centre: the estimate, "mean" or "median".
    """

    draws: FloatArray
    centre: str = "mean"

    @property
    def value(self) -> FloatArray:
        """(m,) posterior means or medians; NaN where the data do not determine one."""
        found = self.draws.mean(axis=0) if self.centre == "mean" else np.median(self.draws, axis=0)
        return np.where(self.estimable, found, np.nan)

    @cached_property
    def se(self) -> FloatArray:
        """(m,) posterior standard deviations."""
        spread = self.draws.std(axis=0, ddof=1) if len(self.draws) > 1 else np.full(self.size, np.nan)
        return np.where(self.estimable, spread, np.nan)

    @cached_property
    def covariance(self) -> FloatArray:
        """(m, m) covariance matrix of the draws."""
        return np.atleast_2d(np.cov(self.draws, rowvar=False))

    def combine(self, weights: FloatArray) -> Drawn:
        """Linear combinations, weights (c, m)."""
        weights = np.asarray(weights, dtype=np.float64)
        return replace(self, gap=times(weights, self.gap), draws=times(weights, self.draws.T).T)

    def transform(self, function: Function, derivative: Function) -> Drawn:
        """A function of each quantity, draw by draw."""
        with np.errstate(all="ignore"):
            return replace(self, gap=np.abs(self.gap), draws=np.asarray(function(self.draws)))

    def take(self, rows: Any) -> Drawn:
        """Some of the quantities."""
        return replace(self, gap=self.gap[rows], draws=self.draws[:, rows])


def times(weights: FloatArray, values: FloatArray) -> FloatArray:
    """``weights @ values`` in which a weight of zero takes nothing from a value that is missing."""
    missing = np.isnan(values)
    if not missing.any():
        return np.asarray(weights @ values)
    out = weights @ np.where(missing, 0.0, values)
    out[((weights != 0).astype(np.float64) @ missing) > 0] = np.nan
    return np.asarray(out)


def stack(parts: Sequence[Any]) -> Any:
    """Quantities below each other."""
    first = parts[0]
    gap = np.concatenate([p.gap for p in parts])
    if isinstance(first, Drawn):
        return replace(first, gap=gap, draws=np.concatenate([p.draws for p in parts], axis=1))
    return Delta(gap, np.concatenate([p.raw for p in parts]), np.concatenate([p.jacobian for p in parts]), first.law)
