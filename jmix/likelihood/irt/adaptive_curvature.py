"""Second derivatives and cross-products of a likelihood by quadrature from the scores of the complete data.

With nodes theta_s of a person and their posterior probabilities p_s (Louis 1982, J. R. Stat. Soc. B 44, eq. 3.1)

    d log L / df = E(s),        d2 log L / df df' = E(ds / df') + Cov(s),

s the score of ``sum_j log P_j(x_j | theta) + log N(theta; m, L L')`` in the features f: slopes and own parameters of
the items, mean, Cholesky factor and regression of the trait. ``ds / df'`` is block diagonal, Cov(s) a matrix product
over persons and nodes. The chain rule leads from f to the free parameters x.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.likelihood.irt import passes
from jmix.likelihood.irt.adaptive_items import centres
from jmix.likelihood.irt.person_marginal import PersonData
from jmix.likelihood.irt.persons import arrange
from jmix.likelihood.irt.selected import scores, second_derivatives
from jmix.likelihood.irt.traced import ItemBlock, Shape, model_of
from jmix.runtime import Program, put
from jmix.spec.irt.spec import IrtSpec, Values

if TYPE_CHECKING:
    from jmix.likelihood.irt.adaptive import AdaptiveMarginal

FloatArray = npt.NDArray[np.float64]


class Posterior(NamedTuple):
    """Of the persons of a part: theta (D, S, n), the standard normal z behind it, and probabilities (S, n)."""

    theta: jax.Array
    z: jax.Array
    p: jax.Array


def live_features(spec: IrtSpec) -> tuple[npt.NDArray[np.int32], ...]:
    """For each block the places in its Jb (D + m) numbers that depend on a free parameter in any group."""
    moving = np.zeros(spec.table.values.size, bool)
    moving[spec.table.free] = True
    for part in spec.linear:
        moving[part.target] = moving[part.source].any()
    full = (np.concatenate([block.slopes, block.own], axis=2) for block in spec.blocks)
    return tuple(np.flatnonzero(moving[places].any(axis=0).ravel()).astype(np.int32) for places in full)


def features(plan: Shape, values: Values, live: Any) -> jax.Array:
    """(G, F) the features f."""
    groups = values.mean.shape[0]
    parts = [
        jnp.concatenate([a, own], axis=2).reshape(groups, -1)[:, at]
        for a, own, at in zip(values.slopes, values.own, live, strict=True)
    ]
    low = np.tril_indices(plan.n_factors)
    parts += [values.mean, values.chol[:, low[0], low[1]]]
    if values.regression is not None:
        parts.append(jnp.broadcast_to(values.regression.ravel(), (groups, values.regression.size)))
    return jnp.concatenate(parts, axis=1)


def item_scores(block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any, theta: jax.Array) -> jax.Array:
    """(Jb (D + m), S, n) scores of the items of a block."""
    s = scores(block, eta, own, codes)
    full = jnp.concatenate([s[0][:, None] * theta, jnp.moveaxis(s[1:], 0, 1)], axis=1)
    return full.reshape(-1, *eta.shape[1:])


def item_curvature(
    block: ItemBlock, eta: jax.Array, own: jax.Array, codes: Any, theta: jax.Array, wp: jax.Array
) -> jax.Array:
    """(Jb, D + m, D + m) expected second derivatives, ``wp`` (S, n) the weighted probabilities."""
    d, m, j = theta.shape[0], own.shape[1], eta.shape[0]
    second = [[(value * wp).reshape(j, -1) for value in row] for row in second_derivatives(block, eta, own, codes)]
    along, products = theta.reshape(d, -1), (theta[:, None] * theta[None]).reshape(d * d, -1)
    out = jnp.zeros((j, d + m, d + m), eta.dtype)
    out = out.at[:, :d, :d].set((second[0][0] @ products.T).reshape(j, d, d))
    for k in range(1, m + 1):
        row = d + k - 1
        mixed = second[k][0] @ along.T
        out = out.at[:, row, :d].set(mixed).at[:, :d, row].set(mixed)
        for i in range(1, k + 1):
            value = jnp.sum(second[k][i], axis=1)
            out = out.at[:, row, d + i - 1].set(value).at[:, d + i - 1, row].set(value)
    return out


def among(blocks: jax.Array, live: Any) -> jax.Array:
    """(F_b, F_b) block diagonal matrix of the live features from (Jb, k, k)."""
    k = blocks.shape[1]
    item, place = live // k, live % k
    values = blocks[item[:, None], place[:, None], place[None]]
    return jnp.where(item[:, None] == item[None], values, 0.0)


def trait_scores(chol: jax.Array, z: jax.Array, covariates: Any) -> jax.Array:
    """(R, S, n) derivatives of ``log N(theta; m, L L')`` in the mean, the lower triangle of L, and the regression."""
    d = chol.shape[0]
    inverse = jax.scipy.linalg.solve_triangular(chol, jnp.eye(d, dtype=chol.dtype), lower=True)
    e = jnp.einsum("ba,bsn->asn", inverse, z)
    low = np.tril_indices(d)
    spread = e[low[0]] * z[low[1]] - inverse.T[low][:, None, None]
    rows = [e, spread]
    if covariates is not None:
        rows.append((covariates[:, None, None] * e[None]).reshape(-1, *z.shape[1:]))
    return jnp.concatenate(rows)


def trait_curvature(phi: Any, theta: jax.Array, wp: jax.Array, covariates: Any) -> jax.Array:
    """(R, R) expected second derivatives of ``log N(theta; m, L L')``."""
    d = theta.shape[0]
    low = np.tril_indices(d)
    start = [phi.mean, phi.chol[low]]
    if phi.regression is not None:
        start.append(phi.regression.ravel())

    def expected(f: jax.Array) -> jax.Array:
        chol = jnp.zeros((d, d), f.dtype).at[low].set(f[d : d + low[0].size])
        centre = f[:d, None]
        if phi.regression is not None:
            centre = centre + f[d + low[0].size :].reshape(-1, d).T @ covariates
        away = (theta - centre[:, None]).reshape(d, -1)
        white = jax.scipy.linalg.solve_triangular(chol, away, lower=True).reshape(theta.shape)
        log_density = -jnp.sum(jnp.log(jnp.diagonal(chol))) - 0.5 * jnp.sum(white**2, axis=0)
        return jnp.sum(wp * log_density)

    return jax.hessian(expected)(jnp.concatenate(start))


class Pieces(NamedTuple):
    """One part's: scores (F, S, n), their means (F, n), and the posterior."""

    s: jax.Array
    mean: jax.Array
    posterior: Posterior


def _pieces(term: Any, phi: Any, slopes: Any, part: Any, data: PersonData, live: Any) -> Pieces:
    z, p, _ = term.posterior(phi, part, data.shared)
    theta = centres(phi, part)[:, None] + jnp.einsum("de,esn->dsn", phi.chol, z)
    rows = [
        item_scores(block, jnp.einsum("jd,dsn->jsn", a, theta), own, codes, theta)[at]
        for block, a, own, codes, at in zip(term.items.blocks, slopes, phi.own, part.codes, live, strict=True)
    ]
    s = jnp.concatenate([*rows, trait_scores(phi.chol, z, part.covariates)])
    return Pieces(s, jnp.sum(s * p, axis=1), Posterior(theta, z, p))


def _hessian_of_part(term: Any, phi: Any, slopes: Any, part: Any, data: PersonData, live: Any) -> Any:
    s, mean, (theta, _, p) = _pieces(term, phi, slopes, part, data, live)
    wp, size = part.weights * p, s.shape[0]
    flat = s.reshape(size, -1)
    cov = (flat * wp.ravel()) @ flat.T - (mean * part.weights) @ mean.T
    blocks = [
        among(item_curvature(block, jnp.einsum("jd,dsn->jsn", a, theta), own, codes, theta, wp), at)
        for block, a, own, codes, at in zip(term.items.blocks, slopes, phi.own, part.codes, live, strict=True)
    ]
    blocks.append(trait_curvature(phi, theta, wp, part.covariates))
    return cov + jax.scipy.linalg.block_diag(*blocks), mean @ part.weights


def _hessian(term: Any, x: jax.Array, data: PersonData, live: Any) -> jax.Array:
    """(P, P)."""

    def at(x: jax.Array) -> jax.Array:
        return features(term.items, model_of(term.items, data.numbers, x).values, live)

    model = model_of(term.items, data.numbers, x)
    phi = term.prepare(model, data.shared)
    groups, size = at(x).shape

    def step(carry: Any, part: Any) -> tuple[Any, None]:
        own, slopes = passes.of_group((phi, model.values.slopes), part.group)
        h, g = _hessian_of_part(term, own, slopes, part, data, live)
        return (carry[0].at[part.group].add(h), carry[1].at[part.group].add(g)), None

    zero = jnp.zeros((groups, size, size), x.dtype), jnp.zeros((groups, size), x.dtype)
    (h, g), _ = jax.lax.scan(step, zero, data.persons)
    jacobian = jax.jacfwd(at)(x)
    bend = jax.jacfwd(jax.grad(lambda x: jnp.sum(g * at(x))))(x)
    return jnp.einsum("gfp,gfe,geq->pq", jacobian, h, jacobian, optimize=True) + bend


def _cross_product(term: Any, x: jax.Array, data: PersonData, live: Any) -> jax.Array:
    """(P, P)."""
    model = model_of(term.items, data.numbers, x)
    phi = term.prepare(model, data.shared)
    jacobian = jax.jacfwd(lambda x: features(term.items, model_of(term.items, data.numbers, x).values, live))(x)

    def step(carry: jax.Array, part: Any) -> tuple[jax.Array, None]:
        own, slopes, to_x = passes.of_group((phi, model.values.slopes, jacobian), part.group)
        g = to_x.T @ _pieces(term, own, slopes, part, data, live).mean
        return carry + (g * part.weights) @ g.T, None

    return jax.lax.scan(step, jnp.zeros((x.size, x.size), x.dtype), data.persons)[0]


HESSIAN = Program(lambda x, data, live, term: _hessian(term, x, data, live), static=("term",))
CROSS_PRODUCT = Program(lambda x, data, live, term: _cross_product(term, x, data, live), static=("term",))


def hessian(marginal: AdaptiveMarginal, x: FloatArray) -> FloatArray:
    """(P, P) second derivatives of the log likelihood at x (P,)."""
    out = np.asarray(HESSIAN(x, *_arrays(marginal), term=marginal.term))
    return np.asarray(0.5 * (out + out.T))


def cross_product(marginal: AdaptiveMarginal, x: FloatArray) -> FloatArray:
    """(P, P) ``sum_i w_i g_i g_i'`` at x (P,)."""
    return np.asarray(CROSS_PRODUCT(x, *_arrays(marginal), term=marginal.term))


def _arrays(marginal: AdaptiveMarginal) -> tuple[PersonData, Any]:
    """The data in parts that have room for the scores, and the places of the live features."""
    spec, data = marginal.spec, marginal.data
    live = live_features(spec)
    d = spec.n_factors
    size = sum(at.size for at in live) + d + d * (d + 1) // 2
    cells = size * data.shared.nodes.shape[1]
    persons, _ = arrange(spec, marginal.responses, cells, marginal.covariates)
    return put(replace(data, persons=persons)), put(live)
