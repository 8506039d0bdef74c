"""Rows of data in the terms of a fitted model, and the variance of their linear predictors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.filtered import FilteredCovariance

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

CELLS = 1 << 21
"""Numbers held at a time in a gathered array of row blocks."""


@dataclass(frozen=True)
class Rows:
    """Rows to predict.

    Attributes:
        X: (n, p). offset: (n,) or None.
        codes: (n,) level of each row by grouping factor, -1 for a level without estimates.
        columns: the random-effects columns of each grouping factor, in the order of the fit's modes.
        fresh: of new data, (n,) the number of each row's level among those that the fit has not seen, else -1.
    """

    X: FloatArray
    offset: FloatArray | None
    codes: dict[str, IntArray]
    columns: dict[str, tuple[FloatArray, ...]]
    fresh: dict[str, IntArray] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])


def make_rows(X: FloatArray, offset: FloatArray | None, terms: Sequence[Any]) -> Rows:
    """Gather random terms, in the order of ``fit.terms``, by grouping factor."""
    codes: dict[str, IntArray] = {}
    columns: dict[str, tuple[FloatArray, ...]] = {}
    for term in terms:
        codes.setdefault(term.group, term.codes)
        columns[term.group] = columns.get(term.group, ()) + tuple(term.columns)
    return Rows(X, offset, codes, columns)


def fixed_part(fit: FitBase, rows: Rows) -> FloatArray:
    """(n,) X beta + offset."""
    eta = rows.X @ fit.beta
    return eta if rows.offset is None else eta + rows.offset


def add_random(eta: FloatArray, rows: Rows, effects: dict[str, FloatArray]) -> FloatArray:
    """``eta`` plus Z b, for b given as (J, q) by grouping factor; a level of code -1 adds nothing."""
    for group, columns in rows.columns.items():
        codes = rows.codes[group]
        known = codes >= 0
        everywhere = bool(known.all())
        for i, column in enumerate(columns):
            part = column * effects[group][codes, i]
            eta = eta + (part if everywhere else np.where(known, part, 0.0))
    return eta


def population_variance(fit: FitBase, rows: Rows) -> FloatArray:
    """(n,) variance of x'beta_hat."""
    return np.einsum("ij,jk,ik->i", rows.X, fit.fixed_covariance, rows.X, optimize=True)


def conditional_variance(fit: Fit, rows: Rows) -> FloatArray:
    """(n,) variance of ``x'beta_hat + z'(b_hat - b)`` given theta, over sigma^2."""
    fixed, random = conditional_parts(fit, rows)
    return fixed + random


def conditional_parts(fit: Fit, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """(n,) parts of the variance of ``x'beta_hat + z'(b_hat - b)`` given theta, over sigma^2.

    With ``d = x - X'WZ N z`` they are ``d'(X'V^{-1}X)^{-1}d``, of the fixed effects with the modes moving along, and
    ``z'N z``, of the random effects given the fixed; together the quadratic form of (x, z) in the inverse of
    Henderson's mixed model equations (Henderson 1975, Biometrics 31, 423-447). A level without estimates contributes
    its prior variance.
    """
    objective, filtered = fit.objective, fit.filtered
    if objective is None or filtered is None:
        return population_variance(fit, rows) / fit.sigma**2, np.zeros(rows.n)
    modes = filtered.fixed_modes()
    gram = objective.reduce(fit.solution.phi)[1]
    root = np.linalg.inv(np.linalg.cholesky(gram[: objective.p, : objective.p]))
    prior = prior_covariances(fit)
    fixed, random = np.empty(rows.n), np.empty(rows.n)
    for part in blocks_of_rows(rows):
        x = rows.X[part] @ objective.reduced.fixed.inverse
        z = {g: np.stack([c[part] for c in columns], axis=1) for g, columns in rows.columns.items()}
        codes = {g: c[part] for g, c in rows.codes.items()}
        for g, values in z.items():
            known = codes[g] >= 0
            x[known] -= np.einsum("ia,iap->ip", values[known], modes[g][codes[g][known]])
        fixed[part] = np.sum(np.square(x @ root.T), axis=1)
        random[part] = random_variance(filtered, z, codes, prior)
    return fixed, random


def random_variance(
    filtered: FilteredCovariance, z: dict[str, FloatArray], codes: dict[str, IntArray], prior: dict[str, FloatArray]
) -> FloatArray:
    """(m,) z'N z; a level of code -1 contributes its prior variance, and no covariance."""
    groups = list(z)
    total = np.zeros(z[groups[0]].shape[0])
    for i, left in enumerate(groups):
        new = codes[left] < 0
        total[new] += np.einsum("ia,ab,ib->i", z[left][new], prior[left], z[left][new])
        for right in groups[i:]:
            rows = np.flatnonzero(~new & (codes[right] >= 0))
            blocks = filtered.blocks(left, right, codes[left][rows], codes[right][rows])
            value = np.einsum("ia,iab,ib->i", z[left][rows], blocks, z[right][rows])
            total[rows] += value if left == right else 2.0 * value
    return total


def prior_covariances(fit: FitBase) -> dict[str, FloatArray]:
    """(q, q) prior covariance, relative to ``theta_scale``^2, of each factor: block diagonal over its terms."""
    out: dict[str, FloatArray] = {}
    lams = fit.spec.split(fit.theta_values)
    for group in fit.spec.groups:
        q, start = fit.spec.group_q(group), 0
        block = np.zeros((q, q))
        for i in fit.spec.members(group):
            stop = start + lams[i].shape[0]
            block[start:stop, start:stop] = lams[i] @ lams[i].T
            start = stop
        out[group] = block
    return out


def blocks_of_rows(rows: Rows) -> Iterator[slice]:
    """Runs of rows whose gathered blocks stay below ``CELLS`` numbers."""
    width = max(len(c) for c in rows.columns.values())
    step = max(1024, CELLS // (width * max(width, rows.X.shape[1], 1)))
    for start in range(0, rows.n, step):
        yield slice(start, min(start + step, rows.n))
