"""The random effects of a generalized model given each draw of the parameters, a chunk of draws at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.effects import CHUNK_BYTES, MOST, STREAM, Effects, Running
from jmix.estimate.glmm_conditional import Drawn, joint_effects, places, scalar_effects, vector_effects
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.likelihood.adaptive import Adaptive

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NODES = 9
"""Nodes of the quadrature by default, where the random effects of a group are scalar."""

FEW_NODES = 5
"""Nodes a dimension by default, where they are two-dimensional."""

WASTE = 8
"""Most draws of merged groups that are made for each level; beyond it groups are not merged."""


def _scalar(x: Any, data: Any, centres: Any, uniform: Any, approx: Any) -> Drawn:
    return jax.vmap(partial(scalar_effects, approx=approx), (0, None, None, 0))(x, data, centres, uniform)


def _vector(x: Any, data: Any, centres: Any, keys: Any, approx: Any) -> Drawn:
    return jax.vmap(partial(vector_effects, approx=approx), (0, None, None, 0))(x, data, centres, keys)


def _joint(x: Any, data: Any, centres: Any, keys: Any, approx: Any) -> Drawn:
    one = partial(joint_effects, approx=approx)
    return jax.lax.map(lambda own: one(own[0], data, centres, own[1]), (x, keys))


def _group_terms(x: Any, data: Any, centres: Any, approx: Any) -> Any:
    def one(x: jax.Array) -> jax.Array:
        u, _ = approx.find_mode(x, data, centres)
        return approx.by_group(x, data, u)

    return jax.vmap(one)(x)


_SCALAR = runtime.Program(_scalar, static=("approx",))
_VECTOR = runtime.Program(_vector, static=("approx",))
_JOINT = runtime.Program(_joint, static=("approx",))
_GROUP_TERMS = runtime.Program(_group_terms, static=("approx",))


def default_nodes(groups: int, q: int) -> int:
    """Quadrature nodes a dimension for sampling; 1 is Laplace's approximation, for several grouping factors or q > 2.

    The error of the log likelihood is then below what any number of draws could tell for all but tiny groups of binary
    data; ``GlmmPosterior.integration_error`` measures it.
    """
    if groups != 1 or q > 2:
        return 1
    return NODES if q == 1 else FEW_NODES


@dataclass(frozen=True)
class Conditional:
    """The distribution of the random effects given parameters, ready to be drawn from.

    Attributes:
        approx, data, restore: as of ``GlmmObjective``. centres: where the searches for the modes start.
        rank: (J,) which draw of its merged group each level takes, of one factor. repeats: how many there are.
    """

    approx: Any
    data: Any
    restore: Any
    centres: Any
    rank: IntArray | None
    repeats: int

    def chunks(
        self, x: FloatArray, numbers: IntArray, seed: int, *, draw: bool = True
    ) -> Iterator[tuple[slice, dict[str, Drawn]]]:
        """For each row of x (N, d), draws, means and variances (m, J, q) by grouping factor, chunk by chunk.

        The random numbers are those of the draw's number, whatever else is drawn with it.

        Args:
            draw: whether draws are wanted, and not the moments alone.
        """
        for start in range(0, numbers.size, self.size):
            rows = np.minimum(np.arange(start, start + self.size), numbers.size - 1)
            stop = min(start + self.size, numbers.size)
            out = self._program(x[rows], self._noise(numbers[rows], seed, self.repeats if draw else 0))
            yield slice(start, stop), self._restored(out, stop - start)

    @property
    def size(self) -> int:
        """Draws that are computed together: bounded by working memory."""
        if self.rank is None:
            count = 8 * int(self.data.rows.y.size)
        else:
            groups = self.data.groups
            count = 1024 + 8 * int(groups.rows.y.size) + (400 + 8 * self.repeats) * int(groups.multiplicity.size)
        return int(max(1, min(MOST, CHUNK_BYTES // (8 * count))))

    @property
    def _scalar(self) -> bool:
        return self.rank is not None and self.approx.plan.layout[0].q == 1

    def _program(self, x: FloatArray, noise: Any) -> Drawn:
        program = _SCALAR if self._scalar else _JOINT if self.rank is None else _VECTOR
        found: Drawn = program(x, self.data, self.centres, noise, approx=self.approx)
        return found

    def _noise(self, numbers: IntArray, seed: int, repeats: int) -> Any:
        rngs = [np.random.default_rng([seed, STREAM, number]) for number in numbers.tolist()]
        if not self._scalar:
            return np.stack([rng.integers(0, 2**32, 2, dtype=np.uint32) for rng in rngs])
        parts, j = self.data.groups.multiplicity.shape
        return np.stack([rng.random((parts, repeats, j)) for rng in rngs])

    def _restored(self, out: Drawn, m: int) -> dict[str, Drawn]:
        """By grouping factor, levels in the user's order."""
        if self.rank is None:
            own = [self._levels(part, m) for part in out]
            return {g: Drawn(*(part[g] for part in own)) for g in own[0]}
        draws, mean, variance = (np.asarray(part)[:m] for part in out)
        if self._scalar:
            chosen = draws
            if draws.size:
                flat = np.moveaxis(draws, 2, 1).reshape(m, draws.shape[2], -1)
                chosen = flat[:, self.rank, self.restore.position][:, :, None]
            moments = [v.reshape(m, -1)[:, self.restore.position][:, :, None] for v in (mean, variance)]
            return {self.restore.group: Drawn(chosen, *moments)}
        return {self.restore.group: Drawn(*(self._picked(v) for v in (draws, mean, variance)))}

    def _picked(self, values: FloatArray) -> FloatArray:
        """(m, J, q) from (m, parts, q, places)."""
        m, _, q, _ = values.shape
        return np.moveaxis(values, 3, 2).reshape(m, -1, q)[:, self.restore.position]

    def _levels(self, values: Any, m: int) -> dict[str, FloatArray]:
        """(m, J, q) by grouping factor from (m, q, J) in elimination order."""
        each = [np.asarray(v)[:m] for v in values]
        found = [self.restore.levels([v[k] for v in each]) for k in range(m)]
        return {g: np.stack([own[g] for own in found]) for g in found[0]}


def conditional(objective: GlmmObjective) -> Conditional:
    """The distribution of the random effects of an objective with random terms."""
    approx, data, restore = objective.approx, objective.device_data, objective.restore
    if not isinstance(approx, Adaptive):
        return Conditional(approx, data, restore, _start(approx, data), None, 1)
    rank, repeats = places(restore.position)
    total = data.groups.multiplicity.size * repeats
    vector = approx.plan.layout[0].q > 1
    if repeats > 1 and (vector or total > WASTE * rank.size):
        approx, data, restore = _unmerged(objective)
        data = runtime.put(data)
        rank, repeats = places(restore.position)
    return Conditional(approx, data, restore, _start(approx, data), rank, repeats)


def _unmerged(objective: GlmmObjective) -> Any:
    from jmix.likelihood.adaptive_build import build_adaptive

    return build_adaptive(objective.design, objective.spec, objective.terms, 1, merge=False)


def _start(approx: Any, data: Any) -> Any:
    with runtime.float64():
        return approx.start(data)


def draw_effects(own: Conditional, x: FloatArray, numbers: IntArray, seed: int) -> Iterator[tuple[slice, Effects]]:
    """(m, J, q) draws by grouping factor, one for each row of x, independent given the parameters."""
    for rows, found in own.chunks(x, numbers, seed):
        yield rows, {g: np.asarray(v.draws) for g, v in found.items()}


def moments(own: Conditional, x: FloatArray, numbers: IntArray, seed: int = 0) -> tuple[Effects, Effects]:
    """(J, q) means over the draws and standard deviations, by the law of total variance."""
    total: dict[str, Running] = {}
    for _, found in own.chunks(x, numbers, seed, draw=False):
        parts = {g: Running.of(np.asarray(v.mean), np.asarray(v.variance)) for g, v in found.items()}
        total = {g: total[g].merged(p) if g in total else p for g, p in parts.items()}
    return {g: t.mean for g, t in total.items()}, {g: t.sd for g, t in total.items()}


def by_group(objective: GlmmObjective, x: FloatArray) -> FloatArray:
    """(N, J) log likelihood of each level of the one grouping factor at each row of x (N, d)."""
    approx, data, restore = _unmerged_like(objective)
    data = runtime.put(data)
    own = Conditional(approx, data, restore, _start(approx, data), np.zeros(1, dtype=np.int64), 1)
    out = np.empty((len(x), restore.position.size))
    for start in range(0, len(x), own.size):
        rows = np.minimum(np.arange(start, start + own.size), len(x) - 1)
        stop = min(start + own.size, len(x))
        values = np.asarray(_GROUP_TERMS(x[rows], data, own.centres, approx=approx))[: stop - start]
        out[start:stop] = values.reshape(stop - start, -1)[:, restore.position]
    return out + _outside(objective, x, linear=data.groups.zy is not None)


def _outside(objective: GlmmObjective, x: FloatArray, *, linear: bool) -> FloatArray:
    """(N, J) what the integrals leave out: constants, and of a canonical family the terms linear in beta."""
    from jmix.families import log_constant

    design = objective.design
    base, response = design.base, design.response
    term = objective.terms[0]
    weights = np.ones(base.X.shape[0]) if design.weights is None else design.weights

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(term.codes, weights * values, len(term.levels)), dtype=np.float64)

    constants = np.broadcast_to(log_constant(design.family, response.y, response.size), weights.shape)
    out = np.broadcast_to(total(constants), (len(x), len(term.levels)))
    if not linear:
        return out
    offset = 0.0 if base.offset is None else total(response.y * base.offset)
    columns = np.stack([total(response.y * c) for c in base.X.T]) if base.X.shape[1] else np.zeros((0, out.shape[1]))
    return np.asarray(out + offset + x[:, objective.slices["beta"]] @ columns)


def _unmerged_like(objective: GlmmObjective) -> Any:
    """The same integration with each group by itself; quadrature in place of Laplace's approximation."""
    from jmix.likelihood.adaptive_build import build_adaptive

    points = (np.asarray(objective.data.nodes), np.asarray(objective.data.log_weights))
    design, spec, terms = objective.design, objective.spec, objective.terms
    if objective.approx.laplace:
        nodes = default_nodes(1, spec.group_q(spec.groups[0]))
        return build_adaptive(design, spec, terms, nodes, merge=False)
    return build_adaptive(design, spec, terms, 1, points, merge=False)
