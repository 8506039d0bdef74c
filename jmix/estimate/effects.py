"""The random effects given each draw of the parameters: exact joint draws, means and variances, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.draws import Draws
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood import backward
from jmix.likelihood.conditional import covariances
from jmix.likelihood.structure import GaussianStats, Layout, SparseTail
from jmix.spec.covariance import lower_column_major

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Effects = dict[str, FloatArray]
"""By grouping factor, (m, J, q) for m draws: levels in the user's order, all terms of a factor side by side."""

CHUNK_BYTES = 1 << 26
"""Working memory of the draws that are computed together."""

MOST = 512
"""Most draws that are computed together."""

STREAM = 4
"""Keeps the random numbers apart from those of the sampler with the same seed."""


@dataclass(frozen=True)
class Given:
    """What the distribution of the random effects is conditional on, one row a draw, in the objective's coordinates.

    Attributes:
        phi: (N, k). contrast: (N, p + 1). sigma: (N,). number: (N,) of each draw among all that were kept.
    """

    phi: FloatArray
    contrast: FloatArray
    sigma: FloatArray
    number: IntArray

    def part(self, rows: IntArray) -> Given:
        """Some of the draws."""
        return Given(self.phi[rows], self.contrast[rows], self.sigma[rows], self.number[rows])


def given(objective: GaussianObjective, draws: Draws, numbers: IntArray) -> Given:
    """Conditions for the draws of these numbers, counted chain by chain."""
    sigma = draws.sigma.reshape(-1)[numbers]
    lower = []
    for factor in draws.chol:
        rows, columns = lower_column_major(factor.shape[-1])
        flat = factor.reshape(-1, *factor.shape[2:])[numbers]
        lower.append(flat[:, rows, columns] / sigma[:, None])
    theta = np.concatenate(lower, axis=1)
    fixed = objective.reduced.fixed
    beta = draws.beta.reshape(-1, draws.beta.shape[-1])[numbers]
    gamma = np.linalg.solve(fixed.inverse, (beta - fixed.beta_ols).T).T / fixed.y_scale if objective.p else beta
    contrast = np.concatenate([-gamma, np.ones((numbers.size, 1))], axis=1)
    return Given(theta @ objective.to_phi.T, contrast, sigma, numbers)


# --- draws and moments ----------------------------------------------------------------------------------------------
def draw_effects(
    objective: GaussianObjective, at: Given, seed: int, chunk: int | None = None
) -> Iterator[tuple[slice, Effects]]:
    """Exact joint draws of all random effects from their distribution given the data and the parameters.

    One draw for each row of ``at``, independent given the parameters. The random numbers are those of the draw's
    number, whatever else is drawn with it.

    Args:
        chunk: draws at a time; by default as many as ``CHUNK_BYTES`` allows.

    Yields:
        the rows, and (m, J, q) by grouping factor.
    """
    shapes = _shapes(objective.reduced.stats)

    def noise(part: Given) -> list[FloatArray]:
        rngs = [np.random.default_rng([seed, STREAM, number]) for number in part.number.tolist()]
        parts = zip(*([rng.standard_normal(shape) for shape in shapes] for rng in rngs), strict=True)
        return [np.stack(own) for own in parts]

    for rows, raw in _chunks(objective, at, chunk, _DRAWS, noise):
        yield rows, _by_name(objective, raw, rows)


def mean_effects(objective: GaussianObjective, at: Given, chunk: int | None = None) -> Iterator[tuple[slice, Effects]]:
    """Conditional means of the random effects for each row of ``at``, as ``draw_effects``."""
    for rows, raw in _chunks(objective, at, chunk, _MEANS):
        yield rows, _by_name(objective, raw, rows)


def average_effects(objective: GaussianObjective, at: Given, chunk: int | None = None) -> Effects:
    """(J, q) average over all draws of the conditional means, by grouping factor: the mean that ``moments`` gives."""
    total: Effects = {}
    for _, own in mean_effects(objective, at, chunk):
        total = {g: total.get(g, 0.0) + b.sum(axis=0) for g, b in own.items()}
    return {g: b / at.sigma.size for g, b in total.items()}


def moments(objective: GaussianObjective, at: Given, chunk: int | None = None) -> tuple[Effects, Effects]:
    """(J, q) mean of the random effects over all draws, and their standard deviation, by grouping factor.

    Both are free of the noise of drawing the effects: the mean is that of the conditional means (Rao-Blackwell), the
    variance the mean of the conditional variances plus the variance of the conditional means.
    """
    total: list[Running] = []
    for rows, (means, variances) in _chunks(objective, at, chunk, _MOMENTS):
        m = rows.stop - rows.start
        parts = [Running.of(np.asarray(b)[:m], np.asarray(v)[:m]) for b, v in zip(means, variances, strict=True)]
        total = [a.merged(b) for a, b in zip(total, parts, strict=True)] if total else parts
    groups = _groups(objective)
    return dict(zip(groups, [t.mean for t in total], strict=True)), dict(
        zip(groups, [t.sd for t in total], strict=True)
    )


@dataclass(frozen=True)
class Running:
    """Moments over draws so far: (J, q) mean and sum of squares of the conditional means, sum of the variances."""

    count: int
    mean: FloatArray
    squares: FloatArray
    variances: FloatArray

    @classmethod
    def of(cls, means: FloatArray, variances: FloatArray) -> Running:
        """Of (m, J, q) conditional means and variances."""
        mean = means.mean(axis=0)
        return cls(len(means), mean, np.square(means - mean).sum(axis=0), variances.sum(axis=0))

    def merged(self, other: Running) -> Running:
        """Of the draws of both."""
        count, shift = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + np.square(shift) * (self.count * other.count / count)
        mean = self.mean + shift * (other.count / count)
        return Running(count, mean, squares, self.variances + other.variances)

    @property
    def sd(self) -> FloatArray:
        """(J, q) standard deviations, by the law of total variance."""
        return np.sqrt(self.variances / self.count + self.squares / max(self.count - 1, 1))


def group_terms(objective: GaussianObjective, at: Given, chunk: int | None = None) -> Iterator[tuple[slice, Any]]:
    """For each row of ``at`` and each level of the last chain factor, its part of ``log|M|`` and of ``w'N w``.

    Yields:
        the rows, and two (m, J), levels in internal order.
    """
    for rows, raw in _chunks(objective, at, chunk, _BY_GROUP):
        yield rows, [np.asarray(part)[: rows.stop - rows.start] for part in raw]


# --- programs -------------------------------------------------------------------------------------------------------
def _draws(data: Any, at: Any, noise: list[jax.Array], layout: Layout) -> list[jax.Array]:
    def one(phi: jax.Array, contrast: jax.Array, sigma: jax.Array, unit: list[jax.Array]) -> list[jax.Array]:
        scaled = [sigma / data["y_scale"] * z for z in unit]
        return _restored(backward.effects(phi, data["stats"], contrast, layout, scaled), data)

    phi, contrast, sigma = at
    return jax.vmap(one)(phi, contrast, sigma, noise)


def _means(data: Any, at: Any, layout: Layout) -> list[jax.Array]:
    def one(phi: jax.Array, contrast: jax.Array) -> list[jax.Array]:
        return _restored(backward.effects(phi, data["stats"], contrast, layout), data)

    return jax.vmap(one)(*at[:2])


def _moments(data: Any, at: Any, layout: Layout) -> tuple[list[jax.Array], list[jax.Array]]:
    def one(phi: jax.Array, sigma: jax.Array) -> list[jax.Array]:
        blocks = covariances(phi, data["stats"], layout)
        own = [jnp.einsum("ab,bcj,ac->aj", t, n, t) for t, n in zip(data["basis"], blocks, strict=True)]
        return [sigma**2 * v[:, place].T for v, place in zip(own, data["place"], strict=True)]

    return _means(data, at, layout), jax.vmap(one)(at[0], at[2])


def _by_group(data: Any, at: Any, layout: Layout) -> tuple[jax.Array, jax.Array]:
    def one(phi: jax.Array, contrast: jax.Array) -> tuple[jax.Array, jax.Array]:
        return backward.by_group(phi, data["stats"], contrast, layout)

    return jax.vmap(one)(*at[:2])


_DRAWS = runtime.Program(_draws, static=("layout",))
_MEANS = runtime.Program(_means, static=("layout",))
_MOMENTS = runtime.Program(_moments, static=("layout",))
_BY_GROUP = runtime.Program(_by_group, static=("layout",))


def _shapes(stats: GaussianStats) -> list[tuple[int, int]]:
    """(q, J) of each factor in elimination order."""
    return [(b.a.shape[0], b.a.shape[-1]) for b in stats.blocks] + list(stats.tail_sizes)


def _restored(values: list[jax.Array], data: Any) -> list[jax.Array]:
    """(J, q) on the data scale, levels in the user's order."""
    each = zip(values, data["basis"], data["place"], strict=True)
    return [(data["y_scale"] * (basis @ b))[:, place].T for b, basis, place in each]


# --- chunks ---------------------------------------------------------------------------------------------------------
def _by_name(objective: GaussianObjective, raw: list[Any], rows: slice) -> Effects:
    return {g: np.asarray(b)[: rows.stop - rows.start] for g, b in zip(_groups(objective), raw, strict=True)}


def _groups(objective: GaussianObjective) -> list[str]:
    return [f.group for f in objective.reduced.elimination.factors]


def _data(objective: GaussianObjective) -> Any:
    elimination = objective.reduced.elimination
    places = [np.argsort(order).astype(np.int32) for order in elimination.order]
    places += [np.arange(f.n_levels, dtype=np.int32) for f in elimination.tail]
    return {
        "stats": objective.device_stats,
        "y_scale": np.float64(objective.reduced.fixed.y_scale),
        "basis": [f.basis for f in elimination.factors],
        "place": places,
    }


def _chunks(
    objective: GaussianObjective,
    at: Given,
    chunk: int | None,
    program: runtime.Program,
    noise: Callable[[Given], list[FloatArray]] | None = None,
) -> Iterator[tuple[slice, Any]]:
    """Run a program on chunks of one shape; the last is filled up with repetitions of the last draw."""
    total = at.sigma.size
    size = min(total, chunk or chunk_size(objective))
    data = runtime.put(_data(objective))
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        part = at.part(rows)
        more = () if noise is None else (noise(part),)
        out = program(data, (part.phi, part.contrast, part.sigma), *more, layout=objective.reduced.layout)
        yield slice(start, min(start + size, total)), out


def chunk_size(objective: GaussianObjective) -> int:
    """Draws that are computed together: bounded by working memory."""
    stats = objective.reduced.stats
    numbers = 0
    for block, (q, j) in zip(stats.blocks, _shapes(stats), strict=False):
        numbers += j * (4 * q * q + 4 * q) + sum(2 * link.e.size for link in block.links)
        if block.tail is not None:
            numbers += 3 * block.tail.x.size
        if isinstance(block.tail, SparseTail):
            numbers += (q + 1) * block.tail.left.size
    numbers += 8 * sum(q * j for q, j in stats.tail_sizes) ** 2
    return int(max(1, min(MOST, CHUNK_BYTES // (8 * numbers))))
