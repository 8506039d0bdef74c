"""What a model predicts for rows of raw columns, as quantities with their uncertainty."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.formula.syntax import names_in
from jmix.results.inference.means.laws import FixedLaw, glmm_law
from jmix.results.inference.means.matrices import Matrices, Table
from jmix.results.inference.means.quantities import Delta, Quantities, stack
from jmix.results.inference.means.variables import Variables, variables_of

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.glmm_inputs import Inputs
    from jmix.results.glmm_predict import Target
    from jmix.results.inference.fixed.fixed_tests import FixedTests

FloatArray = npt.NDArray[np.float64]

CELLS = 1 << 21
"""Numbers of a block of rows that are held at a time."""


class Engine(ABC):
    """Predicts rows; of K categories K blocks of rows, category by category.

    Attributes:
        categories: labels of the quantities of each row, empty where there is one.
    """

    categories: tuple[str, ...] = ()
    width: int = 1
    part: DesignPart

    @property
    def variables(self) -> Variables:
        """The variables of the model."""
        return self.part.variables

    @abstractmethod
    def rows(self, table: Table, n: int, offset: FloatArray | None = None) -> Any:
        """Predictions of n rows, (K n) quantities.

        Args:
            offset: (n,) of the rows, in place of the model's.
        """

    def reference_offset(self, moved: frozenset[str]) -> float | None:
        """The mean of the offset in the data; None without one, or where one of its variables is ``moved``."""
        base = self.part.base
        return None if base.offset is None or moved & self.part.offset_names else float(np.mean(base.offset))

    def average(self, table: Table, codes: npt.NDArray[np.int64], weights: FloatArray, groups: int) -> Any:
        """Weighted averages over the rows of each group: (K groups) quantities.

        Args:
            codes: (n,) group of each row, -1 for none. weights: (n,).
        """
        total = np.bincount(codes[codes >= 0], weights[codes >= 0], groups)
        step = max(64, CELLS // self.width)
        sums: Any = None
        for start in range(0, codes.size, step):
            part = np.flatnonzero(codes[start : start + step] >= 0) + start
            if not part.size:
                continue
            offset = None if self.part.own_offset is None else self.part.own_offset[part]
            rows = self.rows({name: column[part] for name, column in table.items()}, part.size, offset)
            share = np.zeros((groups, part.size))
            share[codes[part], np.arange(part.size)] = weights[part] / total[codes[part]]
            found = rows.combine(np.kron(np.eye(max(len(self.categories), 1)), share))
            sums = found if sums is None else add(sums, found)
        return sums


def add(one: Quantities, other: Quantities) -> Any:
    """Sums of quantities one by one."""
    m = len(one)
    return stack([one, other]).combine(np.hstack([np.eye(m), np.eye(m)]))


@dataclass(frozen=True, eq=False)
class DesignPart:
    """The linear predictor of a design: matrices, variables and offsets.

    Attributes:
        base: the design of the linear predictor. sides: one-sided formulas of a generalized model.
    """

    base: Any
    sides: tuple[Any, ...] = ()
    thresholds: bool = False

    @cached_property
    def variables(self) -> Variables:
        """The variables of all formulas."""
        return variables_of(self.base, self.sides)

    @cached_property
    def matrices(self) -> Matrices:
        """Of the linear predictor."""
        return Matrices(self.base.encoding, self.base.X, self.variables.table(), thresholds=self.thresholds)

    @property
    def offset_names(self) -> frozenset[str]:
        """Variables of the offset."""
        encoding = self.base.encoding
        named = {name for node in encoding.parsed.offset_nodes for name in names_in(node)}
        return frozenset(named | ({encoding.offset_column} if encoding.offset_column else set()))

    @property
    def own_offset(self) -> FloatArray | None:
        """(n,) offset of the data where an array was given."""
        return self.base.offset if self.base.encoding.offset_array else None

    def linear(self, table: Table, n: int, offset: FloatArray | None) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(n, p) matrix, (n, k) gap and (n,) offset of rows."""
        X, gap = self.matrices.rows(table, n)
        if offset is not None:
            return X, gap, offset
        known = self.matrices.offset(table, n)
        return X, gap, np.zeros(n) if known is None else known


class LinearEngine(Engine):
    """``x'beta + offset`` of a fit with a rule for degrees of freedom."""

    def __init__(self, part: DesignPart, tests: FixedTests) -> None:
        self.part, self.law = part, FixedLaw(tests)
        self.width = max(part.base.X.shape[1], 1)

    def rows(self, table: Table, n: int, offset: FloatArray | None = None) -> Delta:
        """Linear predictors of n rows."""
        X, gap, known = self.part.linear(table, n, offset)
        return Delta(gap, X @ self.law.point + known, X, self.law)


class GlmmEngine(Engine):
    """Any type of prediction of a generalized model, random effects at zero or averaged over.

    Args:
        target: what is computed of each row. averaged: over the distribution of the random effects.
    """

    def __init__(self, fit: GlmmFit, part: DesignPart, target: Target, *, averaged: bool = False) -> None:
        self.fit, self.part, self.target, self.averaged = fit, part, target, averaged
        self.law = glmm_law(fit)
        self.categories = tuple(target.labels)
        self.width = fit.solution.x.size * max(len(target.labels), 1)

    def rows(self, table: Table, n: int, offset: FloatArray | None = None) -> Delta:
        """Predictions of n rows by the delta method."""
        from jmix.results.glmm_average import average
        from jmix.results.glmm_predict import derivatives

        at, gap = evaluation(self.fit, self.part, table, n, offset, self.target.needs, averaged=self.averaged)

        def value(inputs: Inputs) -> FloatArray:
            if inputs.spread is None:
                return self.target.value(inputs)
            return average(self.fit.family, self.target.value, inputs)

        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            raw = np.asarray(value(at.inputs))
            jacobian = derivatives(self.fit, at, value)
        copies = max(len(self.categories), 1)
        return Delta(np.tile(gap, (copies, 1)), raw.reshape(-1), jacobian.reshape(raw.size, -1), self.law)


def evaluation(
    fit: GlmmFit,
    part: DesignPart,
    table: Table,
    n: int,
    offset: FloatArray | None,
    needs: frozenset[str],
    *,
    averaged: bool,
) -> tuple[Any, FloatArray]:
    """The inputs of rows of raw columns, and their gaps."""
    import pandas as pd

    from jmix.results.glmm_inputs import Evaluation, Inputs
    from jmix.results.rows import Rows

    X, gap, known = part.linear(table, n, offset)
    eta = X @ fit.beta + known
    tau = np.asarray(fit.solution.thresholds) if fit.family.n_thresholds else None
    factors: tuple[FloatArray, ...] = ()
    spread = None
    if averaged and fit.terms:
        columns = part.matrices.slopes(table, n)
        factors = tuple(columns[i] for i in fit.base.term_order)
        spread = spread_of(factors, fit.spec.split(fit.theta_values), n)
    sides, extra = {}, {}
    for name, field in (("disp", "log_phi"), ("zi", "zi")):
        side = getattr(fit.design, name)
        if field in needs and side is not None:
            sides[name] = side_matrix(side, table, n)
            extra[field] = sides[name] @ getattr(fit.solution, name)
    inputs = Inputs(eta=eta if "eta" in needs else None, tau=tau, nu=fit.nu, spread=spread, **extra)
    rows = Rows(X, known, {}, {})
    return Evaluation(fit, inputs, rows, sides, factors, np.ones(n, dtype=np.bool_), pd.RangeIndex(n)), gap


def side_matrix(side: Any, table: Table, n: int) -> FloatArray:
    """(n, p) columns of a one-sided formula."""
    own = side.encoding.parsed.columns(response=False, random=False)
    if not own:
        return np.ones((n, len(side.names)))
    return np.asarray(side.encoding.encode(dict(table), response=False, random=False).X)


def spread_of(factors: tuple[FloatArray, ...], lams: Any, n: int) -> FloatArray:
    """(n,) standard deviation of the random part of the linear predictor."""
    variance = np.zeros(n)
    for z, lam in zip(factors, lams, strict=True):
        variance = variance + np.sum(np.square(z @ lam), axis=1)
    return np.sqrt(variance)
