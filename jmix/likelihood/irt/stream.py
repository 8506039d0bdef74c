"""The marginal likelihood of responses that do not fit in memory: sums over blocks of persons, pass after pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import jax
import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal, Moments
from jmix.likelihood.irt.stream_coding import Coding, coded_blocks
from jmix.likelihood.irt.stream_source import Source
from jmix.spec.irt.spec import IrtSpec

MEMORY = 2**28
"""Bytes of blocks, as the likelihood stores them, that are kept between passes."""

T = TypeVar("T")


@dataclass(eq=False)
class StreamMarginal:
    """A ``Marginal`` over blocks of persons; every call of a method is one pass over the data.

    Blocks that are small enough, such as the sum scores of a Rasch model, are kept from the first pass on, and the data
    not read again.

    Attributes:
        source, coding: where the responses come from. memory: bytes of blocks that may be kept. watch: told of the
            persons done, after every block. n_passes: so far.
    """

    spec: IrtSpec
    integration: Integration
    source: Source
    coding: Coding
    memory: int = MEMORY
    watch: Callable[[int], None] | None = None
    n_passes: int = 0
    data: Any = None
    _kept: list[tuple[Marginal, int]] | None = field(default=None, repr=False)
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
        for v, g in self.each(lambda part: part.value_and_grad(x)):
            value, gradient = value + v, gradient + g
        return value, gradient

    def value_gradient_hessian(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log likelihood, gradient (P,) and exact Hessian (P, P) in one pass."""
        p = self.spec.n_free
        value, gradient, hessian = 0.0, np.zeros(p), np.zeros((p, p))
        for (v, g), h in self.each(lambda part: (part.value_and_grad(x), part.hessian(x))):
            value, gradient, hessian = value + v, gradient + g, hessian + h
        return value, gradient, hessian

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives of the log likelihood."""
        out = np.zeros((self.spec.n_free, self.spec.n_free))
        for part in self.each(lambda part: part.hessian(x)):
            out += part
        return out

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'`` over persons."""
        out = np.zeros((self.spec.n_free, self.spec.n_free))
        for part in self.each(lambda part: part.cross_product(x)):
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
        """The likelihood of each block and its number of persons, in order: one pass."""
        if self._kept is not None:
            yield from self._kept
            return
        self.n_passes += 1
        kept: list[tuple[Marginal, int]] = []
        size = 0
        for responses in coded_blocks(self.source, self.coding):
            part = build_marginal(self.spec, responses, self.integration), responses.n_persons
            size += 0 if self._large else _bytes(part[0].data)
            self._large = self._large or size > self.memory
            kept = [] if self._large else [*kept, part]
            yield part
        self._kept = None if self._large else kept

    def each(self, function: Callable[[Marginal], T]) -> Iterator[T]:
        """``function`` of the likelihood of each block, in order."""
        done = 0
        for part, persons in self.batches():
            yield function(part)
            done += persons
            if self.watch is not None:
                self.watch(done)


def _bytes(tree: Any) -> int:
    return sum(int(leaf.nbytes) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "nbytes"))
