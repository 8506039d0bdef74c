"""What a program of the grid likelihood is compiled for, and the arrays that it is fed."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from jmix.items import Kind, kind_of
from jmix.likelihood.structure import Array
from jmix.spec.irt.spec import IrtSpec


@dataclass(frozen=True)
class ItemBlock:
    """Items of one kind in neighbouring columns.

    Attributes:
        kind: name of it. n_categories: K. first: its first column. n_items: Jb. masked: some response is missing, and
            not accounted for by strata: category 0 then enters through a feature as the other categories do.
    """

    kind: str
    n_categories: int
    first: int
    n_items: int
    masked: bool = False

    @property
    def item_kind(self) -> Kind:
        """The functions."""
        return kind_of(self.kind)

    @property
    def linear(self) -> bool:
        """Whether the features are linear in z."""
        return self.item_kind.linear

    @property
    def columns(self) -> slice:
        """Of the table."""
        return slice(self.first, self.first + self.n_items)


@dataclass(frozen=True)
class Plan:
    """Shapes and choices that select a compiled program; hashable.

    Attributes:
        blocks: of items. n_factors: D. n_groups: G. chunk: persons in one step. dtype: of what is computed per person.
        scored: rows hold a sum score in place of the responses. complete: no response is missing.
        regressed: rows hold covariates of theta. devices: over which persons are spread.
    """

    blocks: tuple[ItemBlock, ...]
    n_factors: int
    n_groups: int
    chunk: int
    dtype: str = "float64"
    scored: bool = False
    complete: bool = True
    regressed: bool = False
    devices: int = 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Numbers:
    """The map from the free parameters to a model's numbers, as arrays, so that models share compiled programs.

    Attributes:
        values: (M,) of which only the fixed ones are read. linear: for each linear part its matrix and the places of
            its sources in ``(x, values, results of the linear parts before)``. index: places there of all that is
            read: for each block slopes and own, then mean, sd, corr and regression.
    """

    values: Array
    linear: tuple[tuple[Array, Array], ...]
    index: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rows:
    """Persons, or merged persons, in the order of their strata, and how they are cut into chunks of equal size.

    A chunk has the rows ``start`` to ``start + chunk``, of which ``low`` to ``high`` count: chunks may overlap, and
    no data are copied to fill them up.

    Attributes:
        x: (R, J) int8 responses; None where rows are scored. u: (R, m) float features: sum score, covariates; or None.
        weights: (R,) or None for ones. start, low, high, stratum: (C,).
    """

    x: Array | None
    u: Array | None
    weights: Array | None
    start: Array
    low: Array
    high: Array
    stratum: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GridData:
    """All arrays of a grid likelihood.

    Attributes:
        numbers: of the specification. rows: the persons. z: (Q, D) nodes, log_weights: (Q,).
        group: (S,) group of each stratum. observed: (S, J) whether persons of the stratum answered the item, None where
            all did or a mask accounts for it. totals: for each linear block (G, Jb (K - 1)) weighted counts of the
            categories above 0. centre: (G, p) means, spread: (G, p, p) weighted covariances and square: (G, p, p)
            weighted sums of squares about the means of the covariates, or None.
    """

    numbers: Numbers
    rows: Rows
    z: Array
    log_weights: Array
    group: Array
    observed: Array | None
    totals: tuple[Array, ...]
    centre: Array | None = None
    spread: Array | None = None
    square: Array | None = None


def numbers_of(spec: IrtSpec) -> Numbers:
    """The map of a specification."""
    m, p = spec.table.values.size, spec.n_free
    place = np.arange(p, p + m, dtype=np.int32)
    place[spec.table.free] = np.arange(p, dtype=np.int32)
    linear, end = [], p + m
    for part in spec.linear:
        linear.append((part.matrix, place[part.source]))
        place[part.target] = np.arange(end, end + len(part.target), dtype=np.int32)
        end += len(part.target)
    read = [index for block in spec.blocks for index in (block.slopes, block.own)]
    read += [spec.mean, spec.sd, spec.corr]
    if spec.regression is not None:
        read.append(spec.regression)
    return Numbers(spec.table.values, tuple(linear), place[np.concatenate([index.ravel() for index in read])])
