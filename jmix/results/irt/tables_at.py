"""Category probabilities of a specification at any parameters, in NumPy, and their derivatives in the parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.items.kinds import kind_of
from jmix.spec.irt.spec import IrtSpec, unpack

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

STEP = 1e-3
"""Step of the differences, relative to one or to the parameter's size: error about 1e-12."""


class TableSlopes(NamedTuple):
    """Derivatives of the tables in one free parameter.

    Attributes:
        items: (m,) those whose probabilities move. values: (m, K, Q).
    """

    items: npt.NDArray[np.int64]
    values: FloatArray


def tables_at(spec: IrtSpec, x: FloatArray, z: FloatArray, group: int = 0) -> FloatArray:
    """(J, K, Q) probabilities at ``theta = mu_g + L_g z`` of the Q nodes z (Q, D), zero beyond an item's categories."""
    values = unpack(np, spec, x)
    theta = values.mean[group] + z @ values.chol[group].T
    width = max(block.n_categories for block in spec.blocks)
    out = np.zeros((len(spec.items), width, z.shape[0]))
    for block, slopes, own in zip(spec.blocks, values.slopes, values.own, strict=True):
        log_p = kind_of(block.kind).log_table(np, slopes[group] @ theta.T, own[group], block.n_categories)
        out[list(block.columns), : block.n_categories] = np.exp(log_p)
    return out


def table_slopes(spec: IrtSpec, x: FloatArray, z: FloatArray, group: int = 0) -> list[TableSlopes]:
    """For each of the P free parameters the derivatives of ``tables_at``.

    Central differences of fourth order; parameters that no item shares move together, so the number of evaluations is
    that of the parameters of one item, not of the test.
    """
    touches = touched_items(spec, group)
    step = STEP * np.maximum(1.0, np.abs(x))
    out: list[TableSlopes] = [_EMPTY] * x.size
    for together in _colours(touches):
        moved = np.zeros_like(x)
        moved[together] = 1.0
        direction = _difference(partial(_moved_tables, spec, x, moved * step, z, group))
        for p in together:
            items = np.flatnonzero(touches[p])
            out[p] = TableSlopes(items, direction[items] / step[p])
    return out


def touched_items(spec: IrtSpec, group: int = 0) -> BoolArray:
    """(P, J) whether a free parameter moves the probabilities of an item, at fixed z."""
    n = len(spec.items)
    touched = np.zeros((spec.table.values.size, n), dtype=bool)
    for block in spec.blocks:
        for at, column in enumerate(block.columns):
            touched[block.slopes[group, at], column] = True
            touched[block.own[group, at], column] = True
    for places in (spec.mean[group], spec.sd[group], spec.corr[group]):
        touched[places] = True
    for part in reversed(spec.linear):
        through = (part.matrix != 0).T @ touched[part.target]
        touched[part.source] |= through
    return touched[spec.table.free]


def item_parameters(spec: IrtSpec, group: int = 0) -> npt.NDArray[np.int64]:
    """(J,) number of free parameters of each item, shared ones included."""
    latent = latent_free(spec, group)
    return touched_items(spec, group)[~latent].sum(axis=0).astype(np.int64)


def latent_free(spec: IrtSpec, group: int = 0) -> BoolArray:
    """(P,) which free parameters belong to the latent distribution of the group."""
    places = [spec.mean[group], spec.sd[group], spec.corr[group]]
    if spec.regression is not None:
        places.append(spec.regression.ravel())
    places += [own for own in (spec.cluster_sd, spec.density) if own is not None]
    return np.isin(spec.table.free, np.concatenate([np.asarray(p).ravel() for p in places]))


def _moved_tables(spec: IrtSpec, x: FloatArray, move: FloatArray, z: FloatArray, group: int, t: float) -> FloatArray:
    return tables_at(spec, x + t * move, z, group)


_EMPTY = TableSlopes(np.zeros(0, dtype=np.int64), np.zeros((0, 0, 0)))


def _difference(value: Callable[[float], FloatArray]) -> FloatArray:
    """Derivative at 0 in units of the step: ``(8 (f(1) - f(-1)) - (f(2) - f(-2))) / 12``."""
    return (8 * (value(1.0) - value(-1.0)) - (value(2.0) - value(-2.0))) / 12


def _colours(touches: BoolArray) -> list[list[int]]:
    """Parameters in sets of which no two touch the same item."""
    sets: list[list[int]] = []
    taken: list[BoolArray] = []
    for p in range(touches.shape[0]):
        free = next((i for i, busy in enumerate(taken) if not (busy & touches[p]).any()), None)
        if free is None:
            sets.append([])
            taken.append(np.zeros(touches.shape[1], dtype=bool))
            free = len(sets) - 1
        sets[free].append(p)
        taken[free] |= touches[p]
    return sets
