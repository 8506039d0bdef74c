"""The conditional covariance of the random effects as NumPy blocks: the jit boundary of ``likelihood.selected``."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood import selected
from jmix.likelihood.random import Factor
from jmix.likelihood.structure import SparseTail

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]

COLUMNS = 64
"""Unit vectors solved for at a time."""

_SELECTED = runtime.Program(selected.selected, static=("layout",))
_PRODUCT = runtime.Program(selected.product, static=("layout",))
_FIXED_MODES = runtime.Program(selected.fixed_modes, static=("layout",))


class FilteredCovariance:
    """``N = Lambda (I + Lambda'Z'WZ Lambda)^{-1} Lambda'``: sigma^2 N is the covariance of b given beta and the data.

    Args:
        phi: (k,) covariance parameters in the basis of the objective.
    """

    def __init__(self, objective: GaussianObjective, phi: FloatArray) -> None:
        self.objective, self.phi = objective, phi
        self.elimination = objective.reduced.elimination
        self.place = {f.group: i for i, f in enumerate(self.elimination.factors)}
        self.starts = np.cumsum([0, *(f.q * f.n_levels for f in self.elimination.tail)]).tolist()

    @cached_property
    def _selected(self) -> tuple[list[tuple[FloatArray, list[FloatArray], Any]], FloatArray]:
        layout = self.objective.reduced.layout
        chain, tail = _SELECTED(self.phi, self.objective.device_stats, layout=layout)
        blocks = [
            (np.asarray(own), [np.asarray(e) for e in links], None if x is None else np.asarray(x))
            for own, links, x in chain
        ]
        return blocks, np.asarray(tail)

    def fixed_modes(self) -> dict[str, FloatArray]:
        """(J, q, p) ``N Z'W X~`` of each factor, levels in the user's order, X~ the basis of ``likelihood.fixed``."""
        raw = _FIXED_MODES(self.phi, self.objective.device_stats, layout=self.objective.reduced.layout)
        out = {}
        for i, (factor, values) in enumerate(zip(self.elimination.factors, raw, strict=True)):
            data_scale = np.einsum("ab,bpj->jap", factor.basis, np.asarray(values))
            out[factor.group] = data_scale[self._position(i)]
        return out

    def blocks(self, left: str, right: str, j: IntArray, k: IntArray) -> FloatArray:
        """(m, q_left, q_right) blocks of N between levels ``j`` (m,) of one factor and ``k`` (m,) of another.

        The two factors may be the same; ``j`` and ``k`` must then be equal.
        """
        first, second = self.place[left], self.place[right]
        if first > second:
            return np.swapaxes(self.blocks(right, left, k, j), 1, 2)
        inner_j, inner_k = self._position(first)[j], self._position(second)[k]
        values, present = self._coupled(first, second, inner_j, inner_k)
        if not present.all():
            absent = np.flatnonzero(~present)
            values[absent] = self._solved(first, second, inner_j[absent], inner_k[absent])
        return self._factor(first).basis @ values @ self._factor(second).basis.T

    def _factor(self, i: int) -> Factor:
        return self.elimination.factors[i]

    @cached_property
    def _positions(self) -> list[IntArray]:
        out: list[IntArray] = []
        for order in self.elimination.order:
            position = np.empty_like(order)
            position[order] = np.arange(order.size, dtype=order.dtype)
            out.append(position)
        return out + [np.arange(f.n_levels) for f in self.elimination.tail]

    def _position(self, i: int) -> IntArray:
        """(J,) internal place of each level of factor i."""
        return self._positions[i]

    def _coupled(self, first: int, second: int, j: IntArray, k: IntArray) -> tuple[FloatArray, BoolArray]:
        """Blocks (m, q1, q2) where the data couple the levels, and where that is."""
        chain, tail = self._selected
        n_chain, everywhere = len(chain), np.ones(j.size, dtype=np.bool_)
        if first == second and first < n_chain:
            return np.moveaxis(chain[first][0][:, :, j], -1, 0).copy(), everywhere
        if second < n_chain:
            link = second - first - 1
            parent = np.asarray(self.objective.reduced.stats.blocks[first].links[link].parent)
            return np.moveaxis(chain[first][1][link][:, :, j], -1, 0).copy(), parent[j] == k
        columns = self._tail_columns(second, k)
        if first >= n_chain:
            return tail[self._tail_columns(first, j)[:, :, None], columns[:, None, :]], everywhere
        x = chain[first][2]
        coupling = self.objective.reduced.stats.blocks[first].tail
        if not isinstance(coupling, SparseTail):
            return np.moveaxis(x[:, j[:, None], columns], 0, 1).copy(), everywhere
        entry, found = self._entries(coupling, j[:, None], columns)
        return np.moveaxis(x[:, entry], 0, 1).copy(), np.asarray(found.all(axis=1))

    def _entries(self, coupling: SparseTail, level: IntArray, columns: IntArray) -> tuple[IntArray, BoolArray]:
        """Place of each (level, column) among the entries of a sparse coupling, and whether it is there."""
        size = self.starts[-1]
        keys = np.asarray(coupling.level).astype(np.int64) * size + coupling.column
        wanted = level.astype(np.int64) * size + columns
        entry = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
        return entry, np.asarray(keys[entry] == wanted)

    def _tail_columns(self, i: int, level: IntArray) -> IntArray:
        """(m, q) columns of the tail that belong to levels of factor i."""
        start = self.starts[i - len(self.elimination.chain)]
        q = self._factor(i).q
        return start + level.astype(np.int64)[:, None] * q + np.arange(q)

    def _solved(self, first: int, second: int, j: IntArray, k: IntArray) -> FloatArray:
        """Blocks (m, q1, q2) between levels that the data do not couple, from columns of N for the fewer levels."""
        q1, q2 = self._factor(first).q, self._factor(second).q
        if np.unique(k).size * q2 > np.unique(j).size * q1:
            return np.swapaxes(self._solved_columns(second, first, k, j), 1, 2)
        return self._solved_columns(first, second, j, k)

    def _solved_columns(self, read: int, unit: int, j: IntArray, k: IntArray) -> FloatArray:
        q = self._factor(unit).q
        levels, which = np.unique(k, return_inverse=True)
        out = np.empty((j.size, self._factor(read).q, q))
        step = max(1, COLUMNS // q)
        for start in range(0, levels.size, step):
            part = levels[start : start + step]
            values = self._columns(unit, part, step)[read]
            rows = np.flatnonzero((which >= start) & (which < start + step))
            columns = (which[rows] - start)[:, None] * q + np.arange(q)
            out[rows] = np.moveaxis(values[:, columns, j[rows, None]], 0, 1)
        return out

    def _columns(self, unit: int, levels: IntArray, width: int) -> list[FloatArray]:
        """The columns of N for some levels of one factor: (q, width * q_unit, J) of every factor."""
        q = self._factor(unit).q
        ws = [np.zeros((f.q, width * q, f.n_levels)) for f in self.elimination.chain]
        tail = np.zeros((self.starts[-1], width * q))
        column = np.arange(levels.size * q).reshape(levels.size, q)
        if unit < len(ws):
            ws[unit][np.arange(q), column, levels[:, None]] = 1.0
        else:
            tail[self._tail_columns(unit, levels), column] = 1.0
        layout = self.objective.reduced.layout
        return [np.asarray(v) for v in _PRODUCT(self.phi, self.objective.device_stats, tuple(ws), tail, layout=layout)]
