"""From unconstrained coordinates z to the parameters of a model, with log priors and log Jacobians, in JAX.

Each block gives its log prior density in the natural parameters (coefficients, standard deviations, correlation matrix)
and the log Jacobian of the natural parameters in z: their sum is the density that a sampler needs, the first alone the
one that MAP maximises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jmix.spec.covariance import lower_column_major
from jmix.spec.prior import On
from jmix.spec.supports import Kind

Pair = tuple[jax.Array, jax.Array]


@dataclass(frozen=True)
class ScalarPlan:
    """The static part of a scalar prior.

    Attributes:
        kind: shape of the support. on: what the distribution describes. flat: whether the density is constant.
        family: class of the NumPyro distribution, built anew from its ``arguments`` inside a program; None for one that
            is passed whole, as a pytree.
    """

    kind: Kind
    on: On
    flat: bool
    family: Any = None
    arguments: tuple[str, ...] = ()

    def log_prob(self, x: jax.Array, values: Any) -> jax.Array:
        """Log density of the prior's own variable."""
        if self.flat:
            return jnp.zeros_like(x)
        held = values["distribution"]
        built = held if self.family is None else self.family(**dict(zip(self.arguments, held, strict=True)))
        return built.log_prob(x)


@dataclass(frozen=True)
class TermPlan:
    """The static part of a term's priors; ``matrix`` is "", "wishart" or "inverse"."""

    q: int
    sds: tuple[ScalarPlan, ...]
    matrix: str = ""

    @property
    def size(self) -> int:
        """Number of unconstrained coordinates."""
        return self.q * (self.q + 1) // 2


def scalar(z: jax.Array, plan: ScalarPlan, values: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Parameter, log prior and log Jacobian of one scalar or of several under one prior.

    Args:
        values: ``distribution``, ``low`` and ``high`` of the prior's own variable.
    """
    x, jacobian = _into(z, plan.kind, values["low"], values["high"])
    if plan.on == "value":
        parameter, change = x, jnp.zeros_like(x)
    elif plan.on == "precision":
        parameter = x**-0.5
        change = jnp.log(2.0) - 3.0 * jnp.log(parameter)
    else:
        parameter = x**0.5
        change = jnp.log(2.0) + jnp.log(parameter)
    return parameter, plan.log_prob(x, values) + change, jacobian - change


def _into(z: jax.Array, kind: Kind, low: Any, high: Any) -> Pair:
    """A point of the interval and the log derivative there."""
    if kind == "real":
        return z, jnp.zeros_like(z)
    if kind == "above":
        return low + jnp.exp(z), z
    if kind == "below":
        return high - jnp.exp(-z), -z
    share = jax.nn.sigmoid(z)
    return low + (high - low) * share, jnp.log(high - low) + jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)


def term(z: jax.Array, plan: TermPlan, values: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(q, q) Cholesky factor of a term's covariance, log prior and log Jacobian."""
    q = plan.q
    parts = [scalar(z[a], plan.sds[a], values["sds"][a]) for a in range(q)]
    sd = jnp.stack([part[0] for part in parts])
    log_prior = sum((part[1] for part in parts), jnp.zeros(()))
    jacobian = sum((part[2] for part in parts), jnp.zeros(()))
    correlation, change = correlation_cholesky(z[q:], q)
    chol = sd[:, None] * correlation
    if plan.matrix:
        log_prior += _matrix_log_prior(chol, plan.matrix, values) + q * jnp.sum(jnp.log(sd))
    elif q > 1:
        log_prior += 2.0 * (values["concentration"] - 1.0) * jnp.sum(jnp.log(jnp.diagonal(correlation)))
    return chol, log_prior, jacobian + change


def correlation_cholesky(z: jax.Array, q: int) -> Pair:
    """Cholesky factor of a correlation matrix from canonical partial correlations ``tanh(z)``, row by row.

    The log Jacobian is that of the correlation matrix in z (Lewandowski, Kurowicka & Joe 2009, J. Multivariate Anal.
    100).
    """
    rows, jacobian, at = [[jnp.ones(())] + [jnp.zeros(())] * (q - 1)], jnp.zeros(()), 0
    for i in range(1, q):
        row, rest = [], jnp.ones(())
        for _ in range(i):
            partial = jnp.tanh(z[at])
            row.append(partial * jnp.sqrt(rest))
            # log(1 - tanh^2), written so that it does not cancel for large |z|
            shrink = 2.0 * (jnp.log(2.0) - z[at] - jax.nn.softplus(-2.0 * z[at]))
            jacobian += shrink + 0.5 * jnp.log(rest)
            rest = rest * jnp.exp(shrink)
            at += 1
        jacobian += 0.5 * (q - 1 - i) * jnp.log(rest)
        rows.append([*row, jnp.sqrt(rest)] + [jnp.zeros(())] * (q - 1 - i))
    return jnp.stack([jnp.stack(row) for row in rows]), jacobian


def correlation_coordinates(chol: Any, q: int) -> list[float]:
    """Z of a (q, q) Cholesky factor of a correlation matrix: the inverse of ``correlation_cholesky``, in NumPy."""
    import numpy as np

    out = []
    for i in range(1, q):
        rest = 1.0
        for j in range(i):
            partial = chol[i, j] / np.sqrt(max(rest, 1e-12))
            out.append(float(np.arctanh(np.clip(partial, -0.995, 0.995))))
            rest -= chol[i, j] ** 2
    return out


def _matrix_log_prior(chol: jax.Array, kind: str, values: Any) -> jax.Array:
    """Log density of the covariance matrix ``chol chol'`` under a Wishart or inverse-Wishart, up to a constant."""
    q = chol.shape[0]
    logdet = 2.0 * jnp.sum(jnp.log(jnp.diagonal(chol)))
    if kind == "wishart":
        return 0.5 * (values["df"] - q - 1.0) * logdet - 0.5 * jnp.sum(values["matrix"] * (chol @ chol.T))
    inverse = lower_inverse(chol)
    trace = jnp.sum(values["matrix"] * (inverse.T @ inverse))
    return -0.5 * (values["df"] + q + 1.0) * logdet - 0.5 * trace


def lower_inverse(chol: jax.Array) -> jax.Array:
    """Inverse of a small lower triangular matrix, row by row."""
    q = chol.shape[0]
    rows: list[jax.Array] = []
    for i in range(q):
        done = sum((chol[i, k] * rows[k] for k in range(i)), jnp.zeros(q))
        rows.append((jnp.eye(q)[i] - done) / chol[i, i])
    return jnp.stack(rows)


def join(chols: list[jax.Array]) -> jax.Array:
    """Column-major lower triangles of all terms, one after another, as ``theta`` is laid out."""
    return jnp.concatenate([c[lower_column_major(c.shape[0])] for c in chols]) if chols else jnp.zeros(0)
