"""Rows of raw columns to the matrices of a model, also the columns that were dropped for want of rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.formula.coding import INTERCEPT, Coder
from jmix.formula.encoding import Encoding, sum_offsets
from jmix.formula.evaluate import Evaluator
from jmix.formula.frame import Frame
from jmix.formula.matrices import fixed_matrix, used_variables

FloatArray = npt.NDArray[np.float64]
Table = Mapping[str, Any]


class Matrices:
    """Turns raw columns into model matrices.

    Attributes:
        encoding: of the formula. X: (n, p) matrix of the data, from which the dropped columns are known.
    """

    def __init__(self, encoding: Encoding, X: FloatArray, table: Table, *, thresholds: bool = False) -> None:
        self.encoding, self.thresholds = encoding, thresholds
        self._along = self._solve(X, table) if encoding.dropped else None

    def _solve(self, X: FloatArray, table: Table) -> FloatArray:
        """(p, k) the dropped columns as combinations of those kept."""
        full, names = self._full(table, X.shape[0])
        found = np.linalg.lstsq(self._basis(full), full[:, self._gone(names)], rcond=None)[0]
        return np.asarray(found)

    def _basis(self, full: FloatArray) -> FloatArray:
        """The columns kept, and the intercept where thresholds stand for it."""
        kept = full[:, self.encoding.kept]
        return np.column_stack([np.ones(len(full)), kept]) if self.thresholds else kept

    def _gone(self, names: list[str]) -> list[int]:
        kept = set(self.encoding.kept)
        lost = [i for i in range(len(names)) if i not in kept]
        return [i for i in lost if not (self.thresholds and names[i] == INTERCEPT)]

    def _full(self, table: Table, n: int) -> tuple[FloatArray, list[str]]:
        evaluator = _evaluator(self.encoding, table)
        values = self.encoding._values(evaluator, ())
        coder = Coder(values, self.encoding.coded, self.encoding.contrasts)
        columns = coder.columns(self.encoding.parsed.terms)
        return fixed_matrix(coder, columns, n), [c.name for c in columns]

    @np.errstate(all="ignore")
    def rows(self, table: Table, n: int) -> tuple[FloatArray, FloatArray]:
        """(n, p) model matrix, and (n, k) how far each row is from the span of the data along the dropped columns.

        Raises:
            DataError: an expression of the formula is undefined at these values.
        """
        full, names = self._full(table, n)
        X = full[:, self.encoding.kept]
        if self._along is None:
            return X, np.zeros((n, 0))
        gone = full[:, self._gone(names)]
        gap = gone - self._basis(full) @ self._along
        scale = np.maximum(1.0, np.abs(gone).max(axis=0))
        return X, np.where(np.abs(gap) < 1e-8 * scale, 0.0, gap / scale)

    @np.errstate(all="ignore")
    def offset(self, table: Table, n: int) -> FloatArray | None:
        """(n,) the sum of the offsets that are columns or expressions, or None."""
        column = self.encoding.offset_column
        return sum_offsets(Evaluator(Frame(_sized(table, n)), {}, training=False), self.encoding.parsed, column)

    def slopes(self, table: Table, n: int) -> list[FloatArray]:
        """(n, q) columns of each random term, in the order of the formula."""
        blocks = self.encoding.parsed.blocks
        evaluator = _evaluator(self.encoding, table)
        found = []
        for block in blocks:
            values = {
                label: value
                for label, value in self.encoding._values(evaluator, (block,)).items()
                if label in used_variables([block.terms])
            }
            coder = Coder(values, self.encoding.coded, {})
            found.append(fixed_matrix(coder, coder.columns(block.terms), n))
        return found


def _evaluator(encoding: Encoding, table: Table) -> Evaluator:
    return Evaluator(Frame(dict(table)), encoding.states, training=False)


def _sized(table: Table, n: int) -> dict[str, Any]:
    return dict(table) or {"": np.zeros(n)}
