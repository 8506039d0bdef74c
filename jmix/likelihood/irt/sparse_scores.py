"""Derivatives of the tables of sparse data by the distinct numbers v of a model: first ones, and sums of second ones.

A number of an item moves the rows of that item alone, so that one tangent serves all items at once; numbers of the
latent distribution move the nodes, and with them all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from scipy import sparse

from jmix.items.kinds import kind_of
from jmix.likelihood.irt.sparse_kernel import Counts, SparseData
from jmix.likelihood.irt.sparse_model import Places, Shape, Tables, frame, tables, values_at
from jmix.runtime import Program
from jmix.spec.irt.spec import IrtSpec, Values, full_vector

IntArray = npt.NDArray[np.int64]


class Directions(NamedTuple):
    """First derivatives of the tables.

    Attributes:
        local: (G F + 1, L, Q) of each row by the L = D + m numbers of its own item. rows: (V, G F + 1, Q) and prior:
            (V, H, Q) by each of the V latent numbers.
    """

    local: Any
    rows: Any
    prior: Any


class Seconds(NamedTuple):
    """Second derivatives of the expected complete-data log likelihood, the expected counts held fixed.

    Attributes:
        local: for each block (G, Jb, L, L). cross: for each block (V, G, Jb, L). latent: (V, M).
    """

    local: tuple[Any, ...]
    cross: tuple[Any, ...]
    latent: Any


@dataclass(frozen=True, eq=False)
class Numbers:
    """Which of the M numbers vary, and where they act.

    Attributes:
        jacobian: (M, P) of v by x. used: (U,) numbers that x moves. latent: (V,) those of the latent distribution.
        by_block: for each block (G, Jb, L) places among the U, -1 for none. by_row: (G F + 1, L) the same by row.
    """

    jacobian: Any
    used: IntArray
    latent: IntArray
    by_block: tuple[IntArray, ...]
    by_row: IntArray

    @property
    def latent_places(self) -> IntArray:
        """(V,) places of the latent numbers among the U."""
        return np.searchsorted(self.used, self.latent)

    @property
    def chain(self) -> Any:
        """(U, P) derivative of the numbers that vary by x."""
        return self.jacobian[self.used]


def numbers_of(spec: IrtSpec) -> Numbers:
    """The numbers that vary."""
    jacobian = number_jacobian(spec)
    moves = np.diff(jacobian.indptr) > 0
    used = np.flatnonzero(moves)
    place = np.full(moves.size, -1)
    place[used] = np.arange(used.size)
    parts = [spec.mean, spec.sd, spec.corr] + ([] if spec.regression is None else [spec.regression])
    latent = np.unique(np.concatenate([part.ravel() for part in parts]))
    length = max(block.slopes.shape[2] + block.own.shape[2] for block in spec.blocks)
    by_block, by_row = [], []
    for block in spec.blocks:
        own = place[np.concatenate([block.slopes, block.own], axis=2)]
        own = np.pad(own, ((0, 0), (0, 0), (0, length - own.shape[2])), constant_values=-1)
        by_block.append(own)
        by_row.append(np.repeat(own, block.n_categories, axis=1))
    rows = np.concatenate(by_row, axis=1).reshape(-1, length)
    rows = np.concatenate([rows, np.full((1, length), -1)])
    return Numbers(jacobian, used, latent[moves[latent]], tuple(by_block), rows)


def number_jacobian(spec: IrtSpec) -> Any:
    """(M, P) sparse derivative of all numbers in the free ones; the map is affine."""
    m, p = spec.table.values.size, spec.n_free
    out = sparse.csr_matrix((np.ones(p), (spec.table.free, np.arange(p))), shape=(m, p))
    for part in spec.linear:
        new = sparse.csr_matrix(part.matrix) @ out[part.source]
        kept = np.ones(m)
        kept[part.target] = 0.0
        place = sparse.csr_matrix((np.ones(part.target.size), (part.target, np.arange(part.target.size))))
        place.resize((m, part.target.size))
        out = sparse.csr_matrix(sparse.diags(kept) @ out + place @ new)
    out.eliminate_zeros()
    return out


def owners(spec: IrtSpec, chain: Any) -> IntArray:
    """(P,) the item that a parameter belongs to alone; -1 where it belongs to several or to the latent distribution."""
    number, item = [], []
    for block in spec.blocks:
        both = np.concatenate([block.slopes, block.own], axis=2)
        number.append(both.ravel())
        columns = np.broadcast_to(np.asarray(block.columns)[None, :, None], both.shape)
        item.append(columns.ravel())
    touched = sparse.csr_matrix(
        (np.ones(sum(n.size for n in number)), (np.concatenate(item), np.concatenate(number))),
        shape=(len(spec.items), chain.shape[0]),
    )
    by_x = sparse.csc_matrix((touched @ abs(chain)) != 0)
    out = np.full(chain.shape[1], -1, dtype=np.int64)
    single = np.diff(by_x.indptr) == 1
    out[single] = by_x.indices[by_x.indptr[:-1][single]]
    latent = np.concatenate([spec.mean.ravel(), spec.sd.ravel(), spec.corr.ravel()])
    out[np.diff(sparse.csc_matrix(chain[np.unique(latent)]).indptr) > 0] = -1
    return out


def directions_at(marginal: Any, numbers: Numbers, x: npt.NDArray[np.float64]) -> tuple[Tables, Directions]:
    """The tables and their first derivatives."""
    v = full_vector(np, marginal.spec, x)
    out = _directions(v, _basis(numbers.latent, v.size), marginal.data, shape=_shape(marginal))
    return Tables(*out[0]), Directions(*out[1])


def seconds_at(marginal: Any, numbers: Numbers, x: npt.NDArray[np.float64], counts: Counts) -> Seconds:
    """The sums of second derivatives."""
    v = full_vector(np, marginal.spec, x)
    return Seconds(*_seconds(v, _basis(numbers.latent, v.size), marginal.data, counts, shape=_shape(marginal)))


def constants_at(marginal: Any, numbers: Numbers, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """(N, V) derivatives of ``-1/2 |L^-1 B'W_i|^2``, what of a person's log density is the same at all nodes."""
    if marginal.covariates is None:
        return None
    v = full_vector(np, marginal.spec, x)
    own = (marginal.covariates, marginal.layout.group)
    return np.asarray(_constants(v, _basis(numbers.latent, v.size), marginal.data, *own, shape=_shape(marginal))).T


def _shape(marginal: Any) -> Shape:
    return marginal.static["shape"]


def _basis(places: IntArray, size: int) -> npt.NDArray[np.float64]:
    out = np.zeros((places.size, size))
    out[np.arange(places.size), places] = 1.0
    return out


def _at(shape: Shape, places: Places, v: Any) -> Values:
    """The model with all numbers v (M,) as given."""
    bare = replace(places, values=v, free=np.zeros(0, dtype=np.int32), linear=())
    return values_at(shape, bare, jnp.zeros(0))


def _first(v: Any, basis: Any, data: SparseData, *, shape: Shape) -> tuple[Tables, Directions]:
    values = _at(shape, data.places, v)

    def latent(v: Any) -> tuple[Any, Any]:
        moved = _at(shape, data.places, v)._replace(slopes=values.slopes, own=values.own)
        given = tables(shape, moved, data.covariates, data.nodes, data.log_weights)
        return given.rows, given.prior

    given = tables(shape, values, data.covariates, data.nodes, data.log_weights)
    rows, prior = jax.lax.map(lambda t: jax.jvp(latent, (v,), (t,))[1], basis)
    return given, Directions(_local(shape, values, data), rows, prior)


def _local(shape: Shape, values: Values, data: SparseData) -> Any:
    """(G F + 1, L, Q) derivatives of each row by its item's slopes and own numbers."""
    centre, factor = frame(values, data.covariates)
    theta = centre[:, None, :] + jnp.einsum("gde,qe->gqd", factor, data.nodes)
    g, q, d = theta.shape
    length = d + max(own.shape[2] for own in values.own)
    parts = []
    for (name, k), slopes, own in zip(shape.blocks, values.slopes, values.own, strict=True):
        eta = jnp.einsum("gjd,gqd->gjq", slopes, theta)
        along = _by_unit(name, k, eta, own)
        by_slope = along[0, :, :, :, None, :] * jnp.swapaxes(theta, 1, 2)[:, None, None]
        by_own = jnp.moveaxis(along[1:], 0, 3)
        stacked = jnp.concatenate([by_slope, by_own], axis=3)
        stacked = jnp.where(jnp.isfinite(stacked), stacked, 0.0).reshape(g, -1, stacked.shape[3], q)
        parts.append(jnp.pad(stacked, ((0, 0), (0, 0), (0, length - stacked.shape[2]), (0, 0))))
    local = jnp.concatenate(parts, axis=1).reshape(-1, length, q)
    return jnp.concatenate([local, jnp.zeros((1, length, q), local.dtype)])


def _by_unit(name: str, n_categories: int, eta: Any, own: Any) -> Any:
    """(1 + m, G, J, K, Q) derivatives of log probabilities by eta and by each of an item's own numbers."""
    m = own.shape[2]

    def table(eta: Any, own: Any) -> Any:
        return jax.vmap(lambda e, o: kind_of(name).log_table(jnp, e, o, n_categories))(eta, own)

    def along(unit: Any) -> Any:
        tangent = (jnp.full_like(eta, unit[0]), jnp.broadcast_to(unit[1:], own.shape))
        return jax.jvp(table, (eta, own), tangent)[1]

    return jax.lax.map(along, jnp.eye(1 + m, dtype=own.dtype))


def _second(v: Any, basis: Any, data: SparseData, counts: Counts, *, shape: Shape) -> Seconds:
    values = _at(shape, data.places, v)
    d = shape.n_factors
    length = d + max(own.shape[2] for own in values.own)

    def expected(slopes: Any, own: Any, v: Any) -> Any:
        moved = _at(shape, data.places, v)._replace(slopes=slopes, own=own)
        given = tables(shape, moved, data.covariates, data.nodes, data.log_weights)
        prior = jnp.where(counts.prior != 0.0, counts.prior * given.prior, 0.0)
        return jnp.sum(counts.rows * given.rows[:-1]) + jnp.sum(prior) + given.constant

    gradient = jax.grad(expected, argnums=(0, 1, 2))

    def along(tangent: tuple[Any, Any]) -> Any:
        """Derivative of the gradient along one number of every item at once, or along one latent number."""
        unit, latent = tangent
        slopes = tuple(jnp.broadcast_to(unit[:d], a.shape) for a in values.slopes)
        own = tuple(jnp.broadcast_to(unit[d : d + a.shape[2]], a.shape) for a in values.own)
        out = jax.jvp(gradient, (values.slopes, values.own, v), (slopes, own, latent))[1]
        pad = [jnp.zeros((*a.shape[:2], length - d - a.shape[2])) for a in own]
        return tuple(jnp.concatenate(each, axis=2) for each in zip(*out[:2], pad, strict=True)), out[2]

    units = jnp.concatenate([jnp.eye(length), jnp.zeros((basis.shape[0], length))])
    latents = jnp.concatenate([jnp.zeros((length, v.size)), basis])
    by_item, latent = jax.lax.map(along, (units, latents))
    local = tuple(jnp.moveaxis(each[:length], 0, 3) for each in by_item)
    return Seconds(local, tuple(each[length:] for each in by_item), latent[length:])


def _constant(v: Any, basis: Any, data: SparseData, w: Any, group: Any, *, shape: Shape) -> Any:
    def by_person(v: Any) -> Any:
        values = _at(shape, data.places, v)
        loading = jnp.einsum("gde,pe->gpd", jnp.linalg.inv(values.chol), values.regression)
        return -0.5 * jnp.sum(jnp.einsum("np,npd->nd", w, loading[group]) ** 2, axis=1)

    return jax.lax.map(lambda t: jax.jvp(by_person, (v,), (t,))[1], basis)


_constants = Program(_constant, static=("shape",))
_directions = Program(_first, static=("shape",))
_seconds = Program(_second, static=("shape",))
