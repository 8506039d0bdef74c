"""Sums over the persons of sparse data: log likelihood, expected counts, moments.

With log probabilities in rows of a table, ``l_iq = sum_r rows[f_r, q] + prior_iq`` over the responses r of person i,
``log L_i = log sum_q exp(l_iq)``, and by Fisher's identity the derivative by a row is the expected number of persons at
each node who gave that response, ``sum_i w_i p_iq``: one sum by person and one by response, both trees of gathers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.sparse_model import Covariates, Places, Shape, Tables, frame, tables, values_at
from jmix.likelihood.structure import Array

UNROLL = 4
"""Gathered rows that one turn adds."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Persons:
    """Persons in parts of C places, of which the last is empty.

    Attributes:
        by_person: levels (parts, m, S) of the tree that sums rows of the table by person. by_row: of the tree that sums
            persons by row. weights: (parts, C), 0 in empty places. features: (parts, C, G (1 + p)) the indicators of
            the group, each followed by the covariates times it; None in one group without covariates.
    """

    by_person: tuple[Array, ...]
    by_row: tuple[Array, ...]
    weights: Array
    features: Array | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseData:
    """Everything that the likelihood of a data set reads, on the device."""

    places: Places
    persons: Persons
    covariates: Covariates | None
    nodes: Array
    log_weights: Array


class Counts(NamedTuple):
    """Sums over persons: log likelihood, expected counts by row (G F, Q) and by feature of the prior."""

    value: Any
    rows: Any
    prior: Any


def gather_sum(values: Any, levels: tuple[Any, ...]) -> Any:
    """(S, Q) sums of rows of values (R, Q) by a tree of gathers, its levels (m, S).

    A loop in each level, a few rows a turn: nothing of size m S Q is written, and XLA cannot fuse one level into the
    next, where it would compute the sums again for every reader (4 times as slow).
    """
    for index in levels:

        def add(total: Any, row: Any, values: Any = values) -> tuple[Any, None]:
            return total + _rows(values, row), None

        start = jnp.zeros((index.shape[1], values.shape[1]), values.dtype)
        values = jax.lax.scan(add, start, index, unroll=min(UNROLL, index.shape[0]))[0]
    return values


def _rows(values: Any, index: Any) -> Any:
    return values.at[index].get(mode="promise_in_bounds")


def log_joint(given: Tables, part: Persons, dtype: Any) -> Any:
    """(C, Q) log of likelihood times weight at every node."""
    prior = given.prior.astype(dtype)
    own = prior[0] if part.features is None else part.features.astype(dtype) @ prior
    return gather_sum(given.rows.astype(dtype), part.by_person) + own


def normalise(joint: Any) -> tuple[Any, Any]:
    """Log likelihood (C,) and posterior weights (C, Q) by person."""
    top = jnp.max(joint, axis=1, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    relative = jnp.exp(joint - top)
    total = jnp.sum(relative, axis=1, keepdims=True)
    return (jnp.log(total) + top)[:, 0], relative / total


def count(given: Tables, persons: Persons, precision: str) -> Counts:
    """Log likelihood and expected counts, part by part; per person in ``precision``, sums in float64."""
    dtype = jnp.dtype(precision)

    def step(total: Counts, part: Persons) -> tuple[Counts, None]:
        loglik, posterior = normalise(log_joint(given, part, dtype))
        weighted = posterior * part.weights.astype(dtype)[:, None]
        if part.features is None:
            prior = jnp.sum(weighted, axis=0, keepdims=True, dtype=jnp.float64)
        else:
            prior = part.features.T @ weighted.astype(jnp.float64)
        rows = gather_sum(weighted, part.by_row).astype(jnp.float64)
        value = jnp.sum(part.weights * loglik.astype(jnp.float64))
        return Counts(total.value + value, total.rows + rows, total.prior + prior), None

    n_rows = persons.by_row[-1].shape[-1]
    q = given.prior.shape[-1]
    start = Counts(jnp.zeros(()), jnp.zeros((n_rows, q)), jnp.zeros_like(given.prior))
    return jax.lax.scan(step, start, persons)[0]


def by_part(function: Any, persons: Persons) -> Any:
    """Stack ``function(part)`` over the parts."""
    return jax.lax.map(function, persons)


@jax.custom_vjp
def _total(rows: Any, prior: Any, persons: Persons, like: Any) -> Any:
    return count(Tables(rows, prior, None), persons, like.dtype.name).value


def _total_forward(rows: Any, prior: Any, persons: Persons, like: Any) -> Any:
    counts = count(Tables(rows, prior, None), persons, like.dtype.name)
    return counts.value, (counts, persons, like)


def _total_backward(kept: Any, bar: Any) -> Any:
    counts, persons, like = kept
    zero = jnp.zeros((1, counts.rows.shape[1]), counts.rows.dtype)
    rows = jnp.concatenate([counts.rows, zero])
    return bar * rows, bar * counts.prior, _no_tangent(persons), jnp.zeros_like(like)


def _no_tangent(tree: Any) -> Any:
    def zero(a: Any) -> Any:
        if jnp.issubdtype(a.dtype, jnp.floating):
            return jnp.zeros_like(a)
        import numpy as np

        return np.zeros(a.shape, dtype=jax.dtypes.float0)

    return jax.tree.map(zero, tree)


_total.defvjp(_total_forward, _total_backward)


def tables_at(shape: Shape, x: Any, data: SparseData) -> Tables:
    """The tables at free parameters x (P,)."""
    values = values_at(shape, data.places, x)
    return tables(shape, values, data.covariates, data.nodes, data.log_weights)


def log_marginal(x: Any, data: SparseData, *, shape: Shape, precision: str) -> Any:
    """The log likelihood, differentiable once in reverse mode."""
    given = tables_at(shape, x, data)
    like = jnp.zeros((), dtype=precision)
    return _total(given.rows, given.prior, data.persons, like) + given.constant


def person_loglik(x: Any, data: SparseData, *, shape: Shape, precision: str) -> Any:
    """(parts, C) log likelihood of each person, less their share of the constant of the covariates."""
    given = tables_at(shape, x, data)
    return by_part(lambda part: normalise(log_joint(given, part, jnp.dtype(precision)))[0], data.persons)


def node_moments(x: Any, data: SparseData, *, shape: Shape, precision: str) -> Any:
    """Posterior mean (parts, C, D) and covariance (parts, C, D, D) of z, and the frame that takes z to theta."""
    given = tables_at(shape, x, data)
    z = data.nodes

    def one(part: Persons) -> Any:
        posterior = normalise(log_joint(given, part, jnp.dtype(precision)))[1].astype(z.dtype)
        mean = posterior @ z
        apart = z[None, :, :] - mean[:, None, :]
        return mean, jnp.einsum("cq,cqd,cqe->cde", posterior, apart, apart)

    mean, covariance = by_part(one, data.persons)
    return mean, covariance, *frame(values_at(shape, data.places, x), data.covariates)
