"""The grid likelihood as a ``Marginal``: NumPy in, NumPy out, persons in the order of the responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmix.likelihood.irt import grid
from jmix.likelihood.irt.layout import GridData, Plan
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal, Moments
from jmix.likelihood.irt.nodes import finer
from jmix.likelihood.irt.rows import Order
from jmix.spec.irt.spec import IrtSpec


@dataclass(frozen=True, eq=False)
class GridMarginal:
    """A ``Marginal``: nodes shared by all persons of a group.

    Attributes:
        spec, integration: what was asked for. data: on the device. plan: selects the compiled programs. spans: the
            start, low and high of each chunk. place: (N,) row of each person, or None where that is their number.
        whole: builds the same likelihood with every person's own responses, where ``data`` has only sum scores.
        rebuild: builds it anew for another ``Integration``.
    """

    spec: IrtSpec
    integration: Integration
    data: GridData
    plan: Plan
    spans: tuple[FloatArray, FloatArray, FloatArray]
    place: Order | None
    whole: Callable[[], Marginal] | None
    rebuild: Callable[[Integration], Marginal]

    def log_marginal(self, x: Any, data: Any) -> Any:
        """Scalar; pure JAX, differentiable once in reverse mode."""
        return grid.log_marginal(x, data, self.plan)

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        value, grad = grid.VALUE_AND_GRAD(np.asarray(x, dtype=np.float64), self.data, plan=self.plan)
        return float(value), np.asarray(grad)

    def value(self, x: FloatArray) -> float:
        """Log likelihood alone: a smaller program than that of ``value_and_grad``, not a faster one."""
        return float(grid.VALUE(np.asarray(x, dtype=np.float64), self.data, plan=self.plan))

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives of the log likelihood (Louis 1982)."""
        from jmix.likelihood.irt.curvature import HESSIAN

        return np.asarray(HESSIAN(np.asarray(x, dtype=np.float64), self.data, plan=self.plan))

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'`` over persons."""
        if self.whole is not None:
            return self.whole().cross_product(x)
        from jmix.likelihood.irt.curvature import CROSS_PRODUCT

        return np.asarray(CROSS_PRODUCT(np.asarray(x, dtype=np.float64), self.data, plan=self.plan))

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log likelihood of each person, without the weight."""
        if self.whole is not None:
            return self.whole().by_person(x)
        return self._gather(grid.BY_PLACE(np.asarray(x, dtype=np.float64), self.data, plan=self.plan))

    def moments(self, x: FloatArray) -> Moments:
        """Posterior means (N, D) and covariances (N, D, D) of theta given the responses."""
        mean, covariance = grid.MOMENTS(np.asarray(x, dtype=np.float64), self.data, plan=self.plan)
        return Moments(self._gather(mean), self._gather(covariance))

    def finer(self) -> Marginal:
        """The same with nodes twice as near to each other, or as near as a grid of that many dimensions can have."""
        return self.rebuild(finer(self.integration, self.spec.n_factors))

    def _gather(self, places: Any) -> FloatArray:
        """By person (N, ...) from values by place (C, n, ...)."""
        values = np.asarray(places)
        start, low, high = self.spans
        rows = np.concatenate([v[a:b] for v, a, b in zip(values, low, high, strict=True)])
        out = np.empty_like(rows)
        out[np.concatenate([np.arange(s + a, s + b) for s, a, b in zip(start, low, high, strict=True)])] = rows
        return out if self.place is None else out[self.place]
