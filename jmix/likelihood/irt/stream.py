"""The marginal likelihood of responses that do not fit in memory: sums over blocks of persons, pass after pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import jax
import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal, Moments
from jmix.likelihood.irt.stream_coding import Coding, coded_blocks, joined
from jmix.likelihood.irt.stream_source import Source
from jmix.responses.collapse import merge_patterns
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

MEMORY = 2**27
"""Bytes of blocks, as the likelihood stores them, that are kept between passes."""

REPEATING = 0.25
"""Share of different patterns in a block up to which those of all blocks are put together."""

LEAST = 100_000
"""Patterns that are put together at once."""

T = TypeVar("T")


@dataclass(eq=False)
class StreamMarginal:
    """A ``Marginal`` over blocks of persons; every call of a method is one pass over the data.

    Where patterns repeat, those of all blocks are put together; blocks that are small enough, such as the sum scores of
    a Rasch model, are kept from the first pass on. Sums then do not read the data again.

    Attributes:
        source, coding: where the responses come from. memory: bytes of blocks that may be kept. watch: told of the
            persons done, after every block. n_passes: so far. total_weight: sum of the persons' weights, None without
            weights or before the first pass.
    """

    spec: IrtSpec
    integration: Integration
    source: Source
    coding: Coding
    memory: int = MEMORY
    watch: Callable[[int], None] | None = None
    n_passes: int = 0
    total_weight: float | None = None
    data: Any = None
    _kept: list[Marginal] | None = field(default=None, repr=False)
    _large: bool = field(default=False, repr=False)

    @property
    def n_persons(self) -> int:
        """N."""
        return self.coding.n

    def log_marginal(self, x: Any, data: Any) -> Any:
        """Not available.

        Raises:
            ModelError: always.
        """
        raise ModelError("responses that are streamed have no traceable likelihood: fit a sample of them in memory")

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        value, gradient = 0.0, np.zeros(self.spec.n_free)
        for v, g in self._sums(lambda part: part.value_and_grad(x)):
            value, gradient = value + v, gradient + g
        return value, gradient

    def value_gradient_hessian(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log likelihood, gradient (P,) and exact Hessian (P, P) in one pass."""
        p = self.spec.n_free
        value, gradient, hessian = 0.0, np.zeros(p), np.zeros((p, p))
        for (v, g), h in self._sums(lambda part: (part.value_and_grad(x), part.hessian(x))):
            value, gradient, hessian = value + v, gradient + g, hessian + h
        return value, gradient, hessian

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives of the log likelihood."""
        out = np.zeros((self.spec.n_free, self.spec.n_free))
        for part in self._sums(lambda part: part.hessian(x)):
            out += part
        return out

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'`` over persons."""
        out = np.zeros((self.spec.n_free, self.spec.n_free))
        for part in self._sums(lambda part: part.cross_product(x)):
            out += part
        return out

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log likelihood of each person, without the weight."""
        return np.concatenate(list(self.each(lambda part: part.by_person(x))))

    def moments(self, x: FloatArray) -> Moments:
        """Mean (N, D) and covariance (N, D, D) of theta given the responses."""
        means, covariances = zip(*self.blocks_of_moments(x), strict=True)
        return Moments(np.concatenate(means), np.concatenate(covariances))

    def blocks_of_moments(self, x: FloatArray) -> Iterator[Moments]:
        """The same block by block, in the order of the data."""
        return self.each(lambda part: part.moments(x))

    def finer(self) -> StreamMarginal:
        """The same with twice the nodes."""
        finer = replace(self.integration, nodes=2 * self.integration.nodes - 1, precision="float64")
        return replace(self, integration=finer, n_passes=0, _kept=None, _large=False)

    def batches(self) -> Iterator[tuple[Marginal, int]]:
        """The likelihood of each block and its number of persons, in order: one pass over the data."""
        for responses in self._blocks():
            yield build_marginal(self.spec, responses, self.integration), responses.n_persons

    def each(self, function: Callable[[Marginal], T]) -> Iterator[T]:
        """``function`` of the likelihood of each block, in order."""
        return (function(part) for part, _ in self.batches())

    def _sums(self, function: Callable[[Marginal], T]) -> Iterator[T]:
        """``function`` of likelihoods whose sum is that of all persons."""
        return (function(part) for part in (self._parts() if self._kept is None else self._kept))

    def _parts(self) -> Iterator[Marginal]:
        """Those likelihoods from the data: equal patterns of all blocks together, where patterns repeat."""
        kept: list[Marginal] = []
        size, pool = 0, None if self._large else Pool()
        for responses in self._blocks():
            if pool is not None:
                if pool.add(responses) and pool.bytes <= self.memory:
                    continue
                responses, pool = pool.take(), None
            part = build_marginal(self.spec, responses, self.integration)
            size += 0 if self._large else _bytes(part.data)
            self._large = self._large or size > self.memory
            kept = [] if self._large else [*kept, part]
            yield part
        if pool is not None:
            kept = [build_marginal(self.spec, pool.take(), self.integration)]
            yield kept[0]
        self._kept = None if self._large else kept

    def _blocks(self) -> Iterator[Responses]:
        self.n_passes += 1
        done, weight = 0, 0.0
        for responses in coded_blocks(self.source, self.coding):
            yield responses
            done += responses.n_persons
            weight += 0.0 if responses.weights is None else float(responses.weights.sum())
            if self.watch is not None:
                self.watch(done)
        self.total_weight = None if self.coding.weights is None else weight


@dataclass(eq=False)
class Pool:
    """Persons of several blocks, those with equal responses and group as one with a weight."""

    held: Responses | None = None
    fresh: list[Responses] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Size of the responses held."""
        return sum(
            part.table.nbytes for part in [*self.fresh, *([self.held] if self.held else [])] if part.table is not None
        )

    def add(self, responses: Responses) -> bool:
        """Take a block in; False where its patterns do not repeat, so that nothing is saved."""
        merged = _merged(responses)
        self.fresh.append(merged)
        held = 0 if self.held is None else self.held.n_persons
        if sum(part.n_persons for part in self.fresh) > max(held, LEAST):
            self.held, self.fresh = self.take(), []
        return merged.n_persons <= REPEATING * responses.n_persons

    def take(self) -> Responses:
        """All that was taken in."""
        parts = ([] if self.held is None else [self.held]) + self.fresh
        return parts[0] if len(parts) == 1 else _merged(joined(parts, 0))


def _merged(responses: Responses) -> Responses:
    """Equal rows of a group as one with a weight."""
    assert responses.table is not None
    found = merge_patterns(responses.table, responses.weights, responses.group)
    if found.table.shape[0] == responses.n_persons:
        return responses
    return replace(
        responses,
        table=found.table,
        weights=found.weights,
        group=None if responses.group is None else responses.group[found.first],
        persons=pd.RangeIndex(found.table.shape[0]),
    )


def _bytes(tree: Any) -> int:
    return sum(int(leaf.nbytes) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "nbytes"))
