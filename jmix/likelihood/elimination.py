"""The order in which grouping factors are eliminated, and the internal order of their levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.likelihood.fixed import chunks
from jmix.likelihood.random import Factor

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Elimination:
    """The order in which factors are eliminated.

    Attributes:
        chain: factors, each nested in the next; tail: the others.
        order: for each chain factor, (J,) the original level at each internal position.
        parents: ``parents[i][k]`` is (J_i,) the internal position of each level of chain factor i in chain factor i +
            1 + k.
    """

    chain: tuple[Factor, ...]
    tail: tuple[Factor, ...]
    order: tuple[IntArray, ...]
    parents: tuple[tuple[IntArray, ...], ...]

    @property
    def factors(self) -> tuple[Factor, ...]:
        """All factors in elimination order."""
        return self.chain + self.tail


def plan(factors: list[Factor]) -> Elimination:
    """Most levels first; a factor joins the chain when the factor before it is nested in it."""
    if not factors:
        return Elimination((), (), (), ())
    ordered = sorted(factors, key=lambda f: -f.n_levels)
    chain: list[Factor] = [ordered[0]]
    raw_parents: list[IntArray] = []
    tail: list[Factor] = []
    for factor in ordered[1:]:
        parent = _parent(chain[-1], factor)
        if parent is None:
            tail.append(factor)
        else:
            raw_parents.append(parent)
            chain.append(factor)
    order, parents = _sort_chain(chain, raw_parents)
    return Elimination(tuple(chain), tuple(tail), order, parents)


def _parent(fine: Factor, coarse: Factor) -> IntArray | None:
    """(J,) the level of ``coarse`` that holds each level of ``fine``; None when they are not nested."""
    parent = np.zeros(fine.n_levels, dtype=np.int32)
    parent[fine.codes] = coarse.codes
    for rows in chunks(fine.codes.shape[0]):
        if not np.array_equal(parent[fine.codes[rows]], coarse.codes[rows]):
            return None
    return parent


def _sort_chain(
    chain: list[Factor], raw_parents: list[IntArray]
) -> tuple[tuple[IntArray, ...], tuple[tuple[IntArray, ...], ...]]:
    """Internal level orders in which every factor's levels are sorted by parent."""
    order = [np.arange(chain[-1].n_levels, dtype=np.int32)]
    parents: list[tuple[IntArray, ...]] = [()]
    for raw in reversed(raw_parents):
        position = np.empty_like(order[0])
        position[order[0]] = np.arange(order[0].size, dtype=np.int32)
        own = position[raw]
        sort = np.argsort(own, kind="stable").astype(np.int32)
        first = own[sort]
        parents.insert(0, (first, *(p[first] for p in parents[0])))
        order.insert(0, sort)
    return tuple(order), tuple(parents)


def internal_codes(factor: Factor, order: IntArray) -> IntArray:
    """(n,) position of each row's level in the internal order of the factor."""
    if np.array_equal(order, np.arange(order.size, dtype=order.dtype)):
        return factor.codes
    position = np.empty_like(order)
    position[order] = np.arange(order.size, dtype=order.dtype)
    return np.asarray(position[factor.codes], dtype=np.int32)
