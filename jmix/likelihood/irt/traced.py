"""A specification inside a compiled program: its index arrays are data, so that models of one shape share a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmix.items import Kind, kind_of
from jmix.likelihood.structure import Array
from jmix.spec.irt.spec import Block, IrtSpec, Linear, Table, Values, full_vector, unpack


@dataclass(frozen=True)
class ItemBlock:
    """Items of one kind with the same number of categories."""

    kind: str
    n_categories: int

    @property
    def item_kind(self) -> Kind:
        """The functions."""
        return kind_of(self.kind)

    @property
    def linear(self) -> bool:
        """Whether ``log (P_k / P_0)`` is linear in eta."""
        return self.item_kind.linear

    @property
    def concave(self) -> bool:
        """Whether the log probabilities of all categories are concave in eta."""
        return self.kind != "logistic4"


@dataclass(frozen=True)
class Shape:
    """What a compiled program must know of the model; hashable. blocks: of items. n_factors: D. n_groups: G."""

    blocks: tuple[ItemBlock, ...]
    n_factors: int
    n_groups: int


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Numbers:
    """The arrays of an ``IrtSpec``, under its names."""

    values: Array
    free: Array
    slopes: tuple[Array, ...]
    own: tuple[Array, ...]
    mean: Array
    sd: Array
    corr: Array
    linear: tuple[tuple[Array, Array, Array], ...]
    regression: Array | None
    cluster_sd: Array | None
    density: Array | None


def shape_of(spec: IrtSpec) -> Shape:
    """The shape of a specification."""
    blocks = tuple(ItemBlock(block.kind, block.n_categories) for block in spec.blocks)
    return Shape(blocks, spec.n_factors, len(spec.groups))


def numbers_of(spec: IrtSpec) -> Numbers:
    """The arrays of a specification."""
    return Numbers(
        values=spec.table.values,
        free=spec.table.free,
        slopes=tuple(block.slopes for block in spec.blocks),
        own=tuple(block.own for block in spec.blocks),
        mean=spec.mean,
        sd=spec.sd,
        corr=spec.corr,
        linear=tuple((part.target, part.matrix, part.source) for part in spec.linear),
        regression=spec.regression,
        cluster_sd=spec.cluster_sd,
        density=spec.density,
    )


class Model(NamedTuple):
    """A model at given numbers. values: see there. angles: (k,) of the latent density, None where it is no curve."""

    values: Values
    angles: jax.Array | None


def model_of(shape: Shape, numbers: Numbers, x: jax.Array) -> Model:
    """The model at the free parameters x (P,)."""
    spec = _spec(shape, numbers)
    angles = None if spec.density is None else full_vector(jnp, spec, x)[spec.density]
    return Model(unpack(jnp, spec, x), angles)


def _spec(shape: Shape, numbers: Numbers) -> IrtSpec:
    n: Any = numbers
    blocks = tuple(
        Block("", (), block.n_categories, slopes, own)
        for block, slopes, own in zip(shape.blocks, n.slopes, n.own, strict=True)
    )
    return IrtSpec(
        items=(),
        factors=("",) * shape.n_factors,
        groups=("",) * shape.n_groups,
        blocks=blocks,
        table=Table((), n.values, n.free),
        mean=n.mean,
        sd=n.sd,
        corr=n.corr,
        itemtypes=(),
        linear=tuple(Linear(*part) for part in n.linear),
        regression=n.regression,
        cluster_sd=n.cluster_sd,
        density=n.density,
    )
