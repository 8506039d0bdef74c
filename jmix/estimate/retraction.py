"""Steps that are straight lines in the covariance matrix rather than in its Cholesky factor.

Where the first variance of a term is small, the criterion hardly changes as the rows of Lambda below it turn, and
Newton steps in theta crawl along the curved valley. In ``Omega = Lambda Lambda'`` the valley is straight: there the
step D leads to ``Omega + Lambda D' + D Lambda'``, which agrees with ``(Lambda + D)(Lambda + D)'`` to first order (a
retraction: Absil, Mahony & Sepulchre 2008, Optimization Algorithms on Matrix Manifolds, section 4.1).
Pure functions on NumPy or JAX arrays.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from jmix.likelihood.structure import FactorLayout, Layout

Array = Any

SLOW = 8
"""Iterations after which steps are taken this way."""


def retract(xp: ModuleType, theta: Array, step: Array, layout: Layout) -> Array:
    """Where a step leads: theta + step, but along Omega for factors with correlations while it is positive definite."""
    out = theta + step
    for factor in layout:
        if factor.q > 1 and any(r != c for r, c in zip(factor.rows, factor.cols, strict=True)):
            values = _factor(xp, theta, step, factor)
            place = np.eye(theta.shape[0])[list(factor.index)]
            out = out + (values - out[np.array(factor.index)]) @ place
    return out


def _factor(xp: ModuleType, theta: Array, step: Array, factor: FactorLayout) -> Array:
    """(k,) entries of one factor after the step."""
    entries = np.zeros((len(factor.index), factor.q, factor.q))
    entries[np.arange(len(factor.index)), list(factor.rows), list(factor.cols)] = 1.0
    index = np.array(factor.index)
    lam, d = xp.tensordot(theta[index], entries, 1), xp.tensordot(step[index], entries, 1)
    half = lam @ d.T
    chol, definite = _cholesky(xp, lam @ lam.T + half + half.T)
    signed = chol * xp.where(xp.diagonal(lam) < 0, -1.0, 1.0)
    moved = xp.where(definite, signed, lam + d)
    return moved[np.array(factor.rows), np.array(factor.cols)]


def _cholesky(xp: ModuleType, omega: Array) -> tuple[Array, Array]:
    """Lower Cholesky factor, and whether every pivot was positive."""
    columns, definite, rest = [], xp.asarray(True), omega
    for k in range(omega.shape[0]):
        definite = definite & (rest[0, 0] > 0)
        column = rest[:, 0] / xp.sqrt(xp.where(rest[0, 0] > 0, rest[0, 0], 1.0))
        columns.append(xp.concatenate([xp.zeros(k), column]))
        rest = rest[1:, 1:] - column[1:, None] * column[None, 1:]
    return xp.stack(columns, axis=1), definite
