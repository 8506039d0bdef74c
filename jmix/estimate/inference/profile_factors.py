"""Covariance factors in coordinates of which one is a standard deviation, a correlation or a covariance.

A term's covariance matrix is ``B B'`` with ``B = P L``: its columns in the order P that puts the parameter's own first,
L lower triangular. Then the first standard deviation is ``L_00``; a correlation r of the first two is held by
``L_1 = s (sin w, cos w)`` with ``r = sin w``, a covariance c by ``L_10 = c / L_00``.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.spec.covariance import CovarianceSpec, lower_column_major

FloatArray = npt.NDArray[np.float64]

PLAIN, CORRELATION, COVARIANCE = 0, 1, 2
"""What the first entries of a term's coordinates stand for."""


@dataclass(frozen=True)
class Held:
    """A parameter of a term: its standard deviation ``i`` (``j`` None), or what ties its columns i and j.

    Attributes:
        term: its number. kind: one of the three.
    """

    term: int
    i: int
    j: int | None = None
    kind: int = PLAIN

    def order(self, q: int) -> list[int]:
        """The columns of the term, the parameter's own first."""
        own = [self.i] if self.j is None else [self.i, self.j]
        return own + [c for c in range(q) if c not in own]

    @property
    def place(self) -> int:
        """Place of the parameter among the coordinates of its term."""
        return 0 if self.j is None else 1


def lower(w: jax.Array, kind: jax.Array, q: int) -> jax.Array:
    """(q, q) L from its coordinates (q (q + 1) / 2,), columns one after another."""
    entries = w
    if q > 1:
        tied, product = kind == CORRELATION, kind == COVARIANCE
        first = jnp.exp(jnp.where(tied | product, w[0], 0.0))
        second = jnp.exp(jnp.where(tied, w[q], 0.0))
        angle = jnp.where(tied, w[1], 0.0)
        below = jnp.where(tied, second * jnp.sin(angle), jnp.where(product, w[1] / first, w[1]))
        own = [jnp.where(tied | product, first, w[0]), below, jnp.where(tied, second * jnp.cos(angle), w[q])]
        entries = jnp.concatenate([jnp.stack(own[:2]), w[2:q], own[2][None], w[q + 1 :]])
    return (entries @ _places(q)).reshape(q, q)


def _places(q: int) -> FloatArray:
    """(m, q^2) which entry of the matrix each coordinate fills: a product compiles sooner than a scatter."""
    rows, cols = lower_column_major(q)
    out = np.zeros((rows.size, q * q))
    out[np.arange(rows.size), rows * q + cols] = 1.0
    return out


def lower_array(w: FloatArray, kind: int, q: int) -> FloatArray:
    """The same in NumPy."""
    entries = np.array(w)
    if kind == CORRELATION:
        first, second = np.exp(w[0]), np.exp(w[q])
        entries[0], entries[1], entries[q] = first, second * np.sin(w[1]), second * np.cos(w[1])
    elif kind == COVARIANCE:
        entries[0] = np.exp(w[0])
        entries[1] = w[1] / entries[0]
    out = np.zeros((q, q))
    out[lower_column_major(q)] = entries
    return out


def coordinates(factor: FloatArray, held: Held | None) -> FloatArray:
    """Coordinates of a (q, q) factor, any B with the term's covariance ``B B'``; -inf for the log of a zero."""
    q = factor.shape[0]
    order = list(range(q)) if held is None else held.order(q)
    low = lower_triangle(factor[order])
    out = low[lower_column_major(q)]
    with np.errstate(divide="ignore"):
        if held is not None and held.kind == CORRELATION:
            second = np.hypot(low[1, 0], low[1, 1])
            out[0], out[1], out[q] = np.log(low[0, 0]), np.arctan2(low[1, 0], low[1, 1]), np.log(second)
        elif held is not None and held.kind == COVARIANCE:
            out[0], out[1] = np.log(low[0, 0]), low[1, 0] * low[0, 0]
    return np.asarray(out)


def lower_triangle(factor: FloatArray) -> FloatArray:
    """The lower triangular L with ``L L' = B B'`` and a nonnegative diagonal, of any (q, q) B."""
    low = np.asarray(np.linalg.qr(factor.T)[1]).T
    return np.asarray(low * np.where(np.diag(low) < 0, -1.0, 1.0))


def permutation(held: Held | None, q: int) -> FloatArray:
    """(q, q) P that takes the columns back to the term's own order."""
    return np.eye(q) if held is None else np.eye(q)[:, held.order(q)]


def held_parameters(spec: CovarianceSpec, covariances: bool) -> tuple[list[Held], list[Held]]:
    """The standard deviations of all terms, and their correlations (or covariances), as ``spec.names`` lists them."""
    kind = COVARIANCE if covariances else CORRELATION
    sds = [Held(t, i) for t, term in enumerate(spec.terms) for i in range(term.q)]
    ties = [
        Held(t, i, j, kind) for t, term in enumerate(spec.terms) for i in range(term.q) for j in range(i + 1, term.q)
    ]
    return sds, ties


def sds_and_ties(factors: list[FloatArray], covariances: bool) -> FloatArray:
    """Standard deviations, then correlations (or covariances), of terms with these factors; NaN where undefined."""
    sds, ties = [], []
    for factor in factors:
        omega = factor @ factor.T
        sd = np.sqrt(np.diag(omega))
        sds.append(sd)
        rows, cols = np.tril_indices(omega.shape[0], -1)
        order = np.lexsort((rows, cols))
        values = omega[rows, cols][order]
        if not covariances:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.clip(values / (sd[rows] * sd[cols])[order], -1.0, 1.0)
        ties.append(values)
    return np.concatenate([*sds, *ties]) if factors else np.zeros(0)


NEARLY_SINGULAR = 0.05
"""Least eigenvalue of a correlation matrix below which another local optimum is looked for."""


def nearly_singular(factors: list[FloatArray]) -> bool:
    """Whether a term of several columns has a correlation matrix near its boundary, or a standard deviation of zero."""
    for factor in factors:
        sd = np.sqrt(np.sum(factor * factor, axis=1))
        if sd.size < 2:
            continue
        if np.min(sd) == 0.0:
            return True
        scaled = factor / sd[:, None]
        if np.linalg.eigvalsh(scaled @ scaled.T)[0] < NEARLY_SINGULAR:
            return True
    return False


def flips(spec: CovarianceSpec, first: int, size: int, held: Held | None) -> tuple[FloatArray, ...]:
    """(size,) signs that turn around the entries below the diagonal of one term, for each that is free to turn.

    Args:
        first: place of the first coordinate of the factors. held: the parameter of the axis.
    """
    out = []
    for t, (term, offset) in enumerate(zip(spec.terms, spec.offsets, strict=True)):
        if term.q == 1 or (held is not None and held.term == t and held.j is not None):
            continue
        rows, cols = lower_column_major(term.q)
        signs = np.ones(size)
        signs[first + offset : first + offset + rows.size] = np.where(rows == cols, 1.0, -1.0)
        out.append(signs)
    return tuple(out)
