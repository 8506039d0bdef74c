"""A specification as a static shape and arrays, and the tables of log probabilities that sparse data gather from.

Programs are compiled for a shape; models that differ only in their numbers, their constraints or their data share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmix.items.kinds import kind_of
from jmix.likelihood.structure import Array
from jmix.spec.irt.spec import Block, IrtSpec, Linear, Table, Values, unpack


@dataclass(frozen=True)
class Shape:
    """What selects a program: kind and number of categories of each block, and the number of linear maps."""

    blocks: tuple[tuple[str, int], ...]
    n_factors: int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Places:
    """The index arrays and fixed numbers of an ``IrtSpec``, by its names."""

    values: Array
    free: Array
    slopes: tuple[Array, ...]
    own: tuple[Array, ...]
    mean: Array
    sd: Array
    corr: Array
    linear: tuple[tuple[Array, Array, Array], ...]
    regression: Array | None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Covariates:
    """Moments of the person model matrix W (N, p) within groups.

    Attributes:
        mean: (G, p). covariance: (G, p, p), both unweighted, for the place of the nodes. products: (G, p, p) ``W'wW``.
    """

    mean: Array
    covariance: Array
    products: Array


class Tables(NamedTuple):
    """All that a person's likelihood at the nodes is summed from.

    Attributes:
        rows: (G F + 1, Q) log probabilities of every category of every item by group; the last row is zero. prior:
            (G, Q) log weights of the nodes or, with covariates, (G (1 + p), Q) those and what a unit of each covariate
            adds to them. constant: what is left of the log density of all persons.
    """

    rows: Any
    prior: Any
    constant: Any


def split(spec: IrtSpec) -> tuple[Shape, Places]:
    """Shape and arrays of a specification."""
    shape = Shape(tuple((block.kind, block.n_categories) for block in spec.blocks), spec.n_factors)
    return shape, Places(
        values=np.asarray(spec.table.values, dtype=np.float64),
        free=np.asarray(spec.table.free),
        slopes=tuple(block.slopes for block in spec.blocks),
        own=tuple(block.own for block in spec.blocks),
        mean=spec.mean,
        sd=spec.sd,
        corr=spec.corr,
        linear=tuple((part.target, part.matrix, part.source) for part in spec.linear),
        regression=spec.regression,
    )


def values_at(shape: Shape, places: Places, x: Any) -> Values:
    """``unpack`` of the specification that was split."""
    blocks = tuple(
        Block(kind, (), k, slopes, own)
        for (kind, k), slopes, own in zip(shape.blocks, places.slopes, places.own, strict=True)
    )
    bare = IrtSpec(
        items=(),
        factors=("",) * shape.n_factors,
        groups=("",) * places.mean.shape[0],
        blocks=blocks,
        table=Table((), places.values, places.free),
        mean=places.mean,
        sd=places.sd,
        corr=places.corr,
        itemtypes=(),
        linear=tuple(Linear(*part) for part in places.linear),
        regression=places.regression,
    )
    return unpack(jnp, bare, x)


def frame(values: Values, covariates: Covariates | None) -> tuple[Any, Any]:
    """Centre (G, D) and lower factor (G, D, D) that take the nodes z to theta in each group.

    Those of theta given the group: with covariates, of the mixture over the persons' covariates.
    """
    if covariates is None:
        return values.mean, values.chol
    slopes = values.regression
    centre = values.mean + covariates.mean @ slopes
    spread = values.chol @ jnp.swapaxes(values.chol, -1, -2)
    between = jnp.einsum("pd,gpq,qe->gde", slopes, covariates.covariance, slopes)
    return centre, jnp.linalg.cholesky(spread + between)


def tables(shape: Shape, values: Values, covariates: Covariates | None, nodes: Any, log_weights: Any) -> Tables:
    """Log probabilities and log weights at the nodes (Q, D) with log weights (Q,)."""
    centre, factor = frame(values, covariates)
    theta = centre[:, None, :] + jnp.einsum("gde,qe->gqd", factor, nodes)
    by_block = []
    for (name, k), slopes, own in zip(shape.blocks, values.slopes, values.own, strict=True):
        by_block.append(log_probabilities(name, k, theta, slopes, own))
    rows = jnp.concatenate(by_block, axis=1)
    rows = jnp.concatenate([rows.reshape(-1, rows.shape[-1]), jnp.zeros((1, rows.shape[-1]), rows.dtype)])
    if covariates is None:
        return Tables(rows, jnp.broadcast_to(log_weights, (theta.shape[0], log_weights.size)), jnp.zeros(()))
    return Tables(rows, *_conditional(values, covariates, theta, factor, nodes, log_weights))


def log_probabilities(kind: str, n_categories: int, theta: Any, slopes: Any, own: Any) -> Any:
    """(G, Jb K, Q) of one block at theta (G, Q, D), the categories of an item next to each other."""

    def one(theta: Any, slopes: Any, own: Any) -> Any:
        table = kind_of(kind).log_table(jnp, slopes @ theta.T, own, n_categories)
        return table.reshape(-1, table.shape[-1])

    return jax.vmap(one)(theta, slopes, own)


def _conditional(values: Values, given: Covariates, theta: Any, factor: Any, nodes: Any, log_weights: Any) -> Any:
    """Log weights under ``theta ~ N(mu_g + W_i B, Sigma_g)``: ``log N(theta_q; W_i B, Sigma) + log(cell)``, as what all
    persons of a group share, what is linear in W_i, and the constant ``-1/2 sum_i w_i W_i B Sigma^-1 B' W_i'``.
    """
    identity = jnp.broadcast_to(jnp.eye(nodes.shape[1], dtype=theta.dtype), factor.shape)
    root = jax.scipy.linalg.solve_triangular(values.chol, identity, lower=True)
    z = jnp.einsum("gde,gqe->gqd", root, theta - values.mean[:, None, :])
    loading = jnp.einsum("gde,pe->gpd", root, values.regression)
    jacobian = jnp.log(jnp.abs(jnp.diagonal(factor, axis1=1, axis2=2) / jnp.diagonal(values.chol, axis1=1, axis2=2)))
    shared = log_weights + 0.5 * jnp.sum(nodes**2, axis=1) - 0.5 * jnp.sum(z**2, axis=2) + jacobian.sum(1)[:, None]
    linear = jnp.einsum("gpd,gqd->gpq", loading, z)
    prior = jnp.concatenate([shared[:, None, :], linear], axis=1).reshape(-1, nodes.shape[0])
    return prior, -0.5 * jnp.einsum("gpd,gpq,gqd->", loading, given.products, loading)
