"""The frozen specification of an item response model, and the one map from the free parameters to everything else.

All distinct numbers of a model, free or fixed, stand in one vector ``v`` (M,): what must be equal shares an entry. The
items, the latent distribution and the regressions are index arrays into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Table:
    """The distinct numbers of a model.

    Attributes:
        names: M names such as "a1[Item.1]", "d[Item.3]", "sd[F1]", "corr[F1,F2]", "mean[F1|girls]", "beta[F1:age]";
            of what several items share, "a1". values: (M,) start or fixed value. free: (P,) places of the free ones.
        priors: for each of the M, None or a ``jmix.spec.irt.priors.EntryPrior``; empty without priors.
        given: places whose value the user chose, so that no other starting value takes its place.
    """

    names: tuple[str, ...]
    values: FloatArray
    free: Index
    priors: tuple[Any, ...] = ()
    given: tuple[int, ...] = ()

    @property
    def free_names(self) -> tuple[str, ...]:
        """Names of the P free parameters."""
        return tuple(self.names[i] for i in self.free)


@dataclass(frozen=True, eq=False)
class Block:
    """Items of one kind with the same number of categories.

    Attributes:
        kind: name of the ``Kind``. columns: (Jb,) of the responses. n_categories: K.
        slopes: (G, Jb, D) and own: (G, Jb, m) places in ``v``.
    """

    kind: str
    columns: tuple[int, ...]
    n_categories: int
    slopes: Index
    own: Index


@dataclass(frozen=True, eq=False)
class Linear:
    """Numbers that are linear in others (LLTM): ``v[target] = matrix @ v[source]``."""

    target: Index
    matrix: FloatArray
    source: Index


@dataclass(frozen=True, eq=False)
class IrtSpec:
    """An item response model.

    Attributes:
        items: J names. factors: D names. groups: G names. blocks: partition the items. table: the numbers.
        mean: (G, D), sd: (G, D), corr: (G, D (D - 1) / 2) row by row of the lower triangle: places in ``v``.
        linear: applied in order before anything is read. itemtypes: (J,) as the user named them.
        covariates: names of the columns of the person model matrix (without an intercept unless the mean is fixed at
            zero there), regression: (p, D) places in ``v``; None without latent regression.
        cluster_sd: (D,) places of the standard deviations between clusters; None without clusters.
        specific: (J,) the specific factor of each item, -1 for none, where factor 0 is general and the others are
            independent of each other and of it (bifactor, testlet); None for other structures.
        exploratory: whether the factors are defined only up to a rotation.
        density: (k,) places of the angles of a Davidian curve, the density of the standardised trait, where it is
            estimated (one factor); None where it is normal.
    """

    items: tuple[str, ...]
    factors: tuple[str, ...]
    groups: tuple[str, ...]
    blocks: tuple[Block, ...]
    table: Table
    mean: Index
    sd: Index
    corr: Index
    itemtypes: tuple[str, ...]
    linear: tuple[Linear, ...] = ()
    covariates: tuple[str, ...] = ()
    regression: Index | None = None
    cluster_sd: Index | None = None
    specific: Index | None = None
    exploratory: bool = False
    density: Index | None = None

    @property
    def n_factors(self) -> int:
        """D."""
        return len(self.factors)

    @property
    def n_free(self) -> int:
        """P."""
        return int(self.table.free.size)

    @property
    def has_priors(self) -> bool:
        """Whether some number has a prior."""
        return any(own is not None for own in self.table.priors)

    def without_priors(self) -> IrtSpec:
        """The same model without priors."""
        return replace(self, table=replace(self.table, priors=(None,) * len(self.table.names)))

    def numbers(self, x: FloatArray) -> FloatArray:
        """(M,) all numbers from the free ones (P,), in NumPy."""
        v: FloatArray = full_vector(np, self, x)
        return v


class Values(NamedTuple):
    """A model at given numbers; arrays of NumPy or JAX.

    Attributes:
        slopes, own: for each block (G, Jb, D) and (G, Jb, m). mean: (G, D). chol: (G, D, D) lower Cholesky factor of
            the covariance of theta within group (and within cluster, given the covariates). regression: (p, D) or None.
            cluster_sd: (D,) or None.
    """

    slopes: tuple[Any, ...]
    own: tuple[Any, ...]
    mean: Any
    chol: Any
    regression: Any
    cluster_sd: Any


def full_vector(xp: Any, spec: IrtSpec, x: Any) -> Any:
    """(M,) all numbers from the free ones (P,)."""
    v = xp.asarray(spec.table.values)
    v = _put(xp, v, spec.table.free, x)
    for part in spec.linear:
        v = _put(xp, v, part.target, xp.asarray(part.matrix) @ v[part.source])
    return v


def unpack(xp: Any, spec: IrtSpec, x: Any) -> Values:
    """The model at free parameters x (P,); differentiable where ``xp`` is ``jax.numpy``."""
    v = full_vector(xp, spec, x)
    return Values(
        slopes=tuple(v[block.slopes] for block in spec.blocks),
        own=tuple(v[block.own] for block in spec.blocks),
        mean=v[spec.mean],
        chol=_chol(xp, v[spec.sd], v[spec.corr]),
        regression=None if spec.regression is None else v[spec.regression],
        cluster_sd=None if spec.cluster_sd is None else v[spec.cluster_sd],
    )


def _put(xp: Any, v: Any, places: Index, values: Any) -> Any:
    if xp is np:
        out = v.copy()
        out[places] = values
        return out
    return v.at[places].set(values)


def _chol(xp: Any, sd: Any, corr: Any) -> Any:
    """(G, D, D) Cholesky factor of ``diag(sd) R diag(sd)``."""
    return sd[:, :, None] * correlation_chol(xp, corr, sd.shape[1])


def correlation_chol(xp: Any, corr: Any, d: int) -> Any:
    """(G, D, D) Cholesky factor of correlation matrices from (G, D (D - 1) / 2) correlations, column by column.

    NaN where a matrix is not positive definite. The graph grows as D, not as its cube.
    """
    place = np.full((d, d), d * (d - 1) // 2)
    place[np.tril_indices(d, -1)] = np.arange(d * (d - 1) // 2)
    place = np.minimum(place, place.T)
    matrix = xp.concatenate([corr, xp.ones((corr.shape[0], 1), corr.dtype)], axis=1)[:, place]
    columns: list[Any] = []
    for j in range(d):
        column = matrix[:, :, j]
        if columns:
            before = xp.stack(columns, axis=2)
            column = column - xp.sum(before * before[:, j : j + 1], axis=2)
        column = column / xp.sqrt(column[:, j : j + 1])
        columns.append(xp.where(np.arange(d) >= j, column, 0.0))
    return xp.stack(columns, axis=2)
