"""Conditional maximum likelihood for the Rasch family: Newton's method with the exact Hessian.

Given the scores, the trait drops out (Andersen 1972, J. R. Stat. Soc. B 34; Rasch 1960):
``log L = sum_jk n_jk c_jk - sum_S sum_r N_Sr log gamma_r(S; c)``, S running over the sets of answered items. The
log likelihood is concave in c, and the estimates need no distribution of the trait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.estimate.irt.cml_data import CmlData
from jmix.estimate.irt.cml_design import CmlDesign
from jmix.estimate.irt.cml_scores import approximate_information
from jmix.estimate.irt.symmetric import NEVER, expected_totals, information, symmetric

FloatArray = npt.NDArray[np.float64]

MEMORY = 1 << 22
"""Numbers of a step over the sets of items."""

TOLERANCE, ROUNDING = 1e-22, 1e-13
"""Newton decrements, in units of the log likelihood, at which the maximum is reached, and from which one that falls no
more is taken for rounding.
"""

TOGETHER = 1 << 16
"""Numbers of a step over the sets of items where second derivatives are computed."""

NEAR = 1e-8
"""Decrement up to which a long test is searched with an approximate Hessian."""

DEAR = 2e7
"""Work of an exact Hessian, in terms of sums, from which the search does with one or two."""

LOOSE = 1000.0
"""Standard error of the thresholds, in logits, that is taken for infinite."""

RUNAWAY = 40.0
"""Log easiness beyond which an estimate is taken for infinite."""

MOST_STEPS = 60


@dataclass(frozen=True, eq=False)
class CmlSolution:
    """Conditional estimates.

    Attributes:
        eta: (P,) basic parameters. hessian: (P, P) of the log likelihood there. loglik: conditional log likelihood.
        decrement: Newton decrement at the end. n_evaluations, n_hessians: what it took. converged: as it says.
    """

    eta: FloatArray
    hessian: FloatArray
    loglik: float
    decrement: float
    n_evaluations: int
    n_hessians: int
    converged: bool

    @property
    def vcov(self) -> FloatArray:
        """(P, P) inverse of the observed information."""
        return np.asarray(np.linalg.inv(-self.hessian))


class ConditionalLikelihood:
    """The conditional log likelihood of ``eta`` with its derivatives.

    Sets of answered items are taken some at a time, so that memory stays bounded.
    """

    def __init__(self, data: CmlData, design: CmlDesign) -> None:
        self.data, self.design = data, design
        length, m, steps = data.places.shape
        self._each = length * data.counts.shape[1] * (steps + 1)
        size = max(1, MEMORY // self._each)
        self._parts = [slice(start, min(start + size, m)) for start in range(0, m, size)]

    @property
    def dear(self) -> bool:
        """Whether an exact Hessian takes long."""
        return self.design.matrix.shape[1] * self._each * self.data.counts.shape[0] > DEAR

    def value_and_grad(self, eta: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        data, matrix = self.data, self.design.matrix
        c = np.append(matrix @ eta, NEVER)
        value, expected = float(data.totals @ c[:-1]), np.zeros(c.size)
        for part in self._parts:
            places, counts = data.places[:, part], data.counts[part]
            found = symmetric(c[places], counts.shape[1])
            value -= float(np.sum(counts * np.where(counts > 0, found.log_gamma, 0.0)))
            own = expected_totals(found.shares, counts)
            expected += np.bincount(places.ravel(), weights=own.ravel(), minlength=c.size)
        return value, matrix.T @ (data.totals - expected[:-1])

    def hessian(self, eta: FloatArray) -> FloatArray:
        """(P, P) second derivatives."""
        data, matrix = self.data, self.design.matrix
        c = np.append(matrix @ eta, NEVER)
        total = np.zeros((c.size, c.size))
        size = (data.places.shape[0] * data.places.shape[2]) ** 2
        step = max(1, TOGETHER // max(size, self._each))
        # sets with about as many scores together
        order = np.argsort((data.counts > 0).sum(axis=1), kind="stable")
        for start in range(0, order.size, step):
            places, counts = data.places[:, order[start : start + step]], data.counts[order[start : start + step]]
            own = information(symmetric(c[places], counts.shape[1]).shares, counts)
            _add_pairs(total, own, places.transpose(1, 0, 2).reshape(counts.shape[0], -1))
        return -matrix.T @ total[:-1, :-1] @ matrix


def _add_pairs(total: FloatArray, own: FloatArray, place: npt.NDArray[np.int32]) -> None:
    """Add (M, S, S) matrices at the places (M, S) of their rows and columns."""
    if own.shape[0] == 1:
        total[np.ix_(place[0], place[0])] += own[0]
        return
    flat = place[:, :, None].astype(np.int64) * total.shape[0] + place[:, None, :]
    total += np.bincount(flat.ravel(), weights=own.ravel(), minlength=total.size).reshape(total.shape)


def fit_conditional(data: CmlData, design: CmlDesign, start: FloatArray | None = None) -> CmlSolution:
    """Maximise the conditional likelihood.

    Args:
        start: (P,) basic parameters; by default from the items' odds.

    Raises:
        DataError: the maximum lies at infinity.
    """
    search = _Search(ConditionalLikelihood(data, design), data, design, start)
    if search.likelihood.dear:
        search.run(search.approximate, NEAR)
    search.run(search.exact, TOLERANCE)
    if not search.fresh:
        search.hessian = search.exact()
    _check_determined(data, design, search.hessian)
    decrement = _newton_step(search.grad, search.hessian)[1]
    arrived = decrement <= max(1e-10, 1e-14 * (1.0 + abs(search.value)))
    return CmlSolution(
        search.eta, search.hessian, search.value, decrement, search.n_evaluations, search.n_hessians, arrived
    )


class _Search:
    """Newton's method. ``hessian`` is kept as long as the decrement falls fast; ``fresh``: it is that of ``eta``."""

    def __init__(
        self, likelihood: ConditionalLikelihood, data: CmlData, design: CmlDesign, start: FloatArray | None
    ) -> None:
        self.likelihood, self.data, self.design = likelihood, data, design
        self.eta = _start(data, design) if start is None else np.asarray(start, dtype=np.float64)
        self.value, self.grad = likelihood.value_and_grad(self.eta)
        self.hessian: FloatArray = np.zeros((0, 0))
        self.fresh = False
        self.n_evaluations, self.n_hessians = 1, 0

    def exact(self) -> FloatArray:
        """The Hessian."""
        self.n_hessians += 1
        self.fresh = True
        return self.likelihood.hessian(self.eta)

    def approximate(self) -> FloatArray:
        """About the Hessian of a long test."""
        self.fresh = True
        matrix = self.design.matrix
        return -matrix.T @ approximate_information(matrix @ self.eta, self.data.places, self.data.counts) @ matrix

    def run(self, curvature: Callable[[], FloatArray], tolerance: float) -> None:
        """Newton steps until the decrement is below ``tolerance`` or the value rises no more."""
        self.hessian, before = curvature(), np.inf
        for _ in range(MOST_STEPS):
            step, decrement = _newton_step(self.grad, self.hessian)
            if decrement > 0.01 * before and not self.fresh:
                self.hessian = curvature()
                step, decrement = _newton_step(self.grad, self.hessian)
            settled = decrement <= tolerance or (decrement <= ROUNDING and decrement >= before)
            if settled or not self._advance(step, decrement):
                return
            before = decrement
            _check_finite(self.data, self.design, self.eta)

    def _advance(self, step: FloatArray, decrement: float) -> bool:
        """Take the step, or a share of it; whether the value has risen."""
        length = min(1.0, 5.0 / float(np.abs(step).max()))
        noise = 1e-13 * (1.0 + abs(self.value))
        for _ in range(30):
            value, grad = self.likelihood.value_and_grad(self.eta + length * step)
            self.n_evaluations += 1
            if np.isfinite(value) and value >= self.value + 1e-4 * length * decrement - noise:
                self.eta, self.value, self.grad, self.fresh = self.eta + length * step, value, grad, False
                return True
            length *= 0.5
        return False


def _newton_step(grad: FloatArray, hessian: FloatArray) -> tuple[FloatArray, float]:
    """Step and decrement; the information is positive definite wherever it is finite, up to rounding."""
    curvature = -hessian
    ridge = 1e-13 * float(np.trace(curvature)) / grad.size
    step: FloatArray = np.asarray(np.linalg.solve(curvature + ridge * np.eye(grad.size), grad))
    return step, 0.5 * float(grad @ step)


def _start(data: CmlData, design: CmlDesign) -> FloatArray:
    """Least squares from the log odds of each category to the lowest one."""
    persons = np.zeros(data.n_categories + 1)
    weight = data.counts.sum(axis=1)
    np.add.at(persons, data.places.transpose(1, 0, 2).reshape(weight.size, -1), weight[:, None])
    chosen = np.bincount(data.owner, weights=data.totals)
    lowest = np.maximum(persons[:-1] - chosen[data.owner], 0.5)
    odds = np.log(np.maximum(data.totals, 0.5) / lowest)
    with_shift = np.column_stack([design.matrix, data.step])
    return np.linalg.lstsq(with_shift, odds, rcond=None)[0][:-1]


def _check_finite(data: CmlData, design: CmlDesign, eta: FloatArray) -> None:
    c = design.matrix @ eta
    if np.all(np.abs(c) < RUNAWAY * data.step):
        return
    raise _runaway(data, np.abs(c) / data.step)


def _check_determined(data: CmlData, design: CmlDesign, hessian: FloatArray) -> None:
    """Refuse a maximum at infinity, where the information has all but vanished in some direction."""
    values, vectors = np.linalg.eigh(-hessian)
    shape = design.matrix @ vectors[:, 0]
    if values[0] * LOOSE**2 > float(shape @ shape) / shape.size:
        return
    raise _runaway(data, np.abs(shape) / data.step)


def _runaway(data: CmlData, size: FloatArray) -> DataError:
    worst = int(np.argmax(size))
    return DataError(
        f"conditional estimates do not exist: those of item {data.items[data.owner[worst]]!r} (category "
        f"{data.step[worst]}) run to infinity; merge a rare category with a neighbour, or leave the item out"
    )
