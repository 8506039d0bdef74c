"""The deviance of a linear mixed model in the coordinates of each of its parameters.

Coordinates are ``w = [entries of the factors | log sigma | a fixed effect]`` over the scale of the data. The other
fixed effects are at their best in closed form: holding beta_j = v adds ``(v - beta_j)^2 / (X'V^{-1}X)^{-1}_jj`` to the
residual sum of squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from jmix.estimate.inference.profile_factors import (
    CORRELATION,
    Held,
    coordinates,
    flips,
    held_parameters,
    lower_array,
    lower_triangle,
    nearly_singular,
    permutation,
    sds_and_ties,
)
from jmix.estimate.inference.profile_lmm_program import EVALUATE, Plan
from jmix.estimate.inference.profile_point import Axis, Evaluation
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.one_factor_jet import fits
from jmix.likelihood.structure import FactorLayout

FloatArray = npt.NDArray[np.float64]

TOGETHER, BATCH_BYTES = 16, 1 << 23
"""Most points evaluated together, and the size of their cross-products."""


@dataclass(frozen=True, eq=False)
class LmmDeviance:
    """-2 log likelihood of one data set, about its maximum.

    Attributes:
        solution: by maximum likelihood. covariances: whether covariances, not correlations, are parameters.
    """

    objective: GaussianObjective
    solution: LmmSolution
    covariances: bool

    # --- the layout -------------------------------------------------------------------------------------------------
    @cached_property
    def plan(self) -> Plan:
        """The static part."""
        spec, factors = self.objective.spec, self.objective.reduced.elimination.factors
        layout, start = [], 0
        for f in factors:
            q = spec.group_q(f.group)
            rows, cols = np.divmod(np.arange(q * q), q)
            layout.append(
                FactorLayout(q, tuple(range(start, start + q * q)), tuple(rows.tolist()), tuple(cols.tolist()))
            )
            start += q * q
        members = tuple(tuple(spec.members(f.group)) for f in factors)
        p, sizes = self.objective.p, tuple(t.q for t in spec.terms)
        alone = len(factors) == 1 and bool(self.objective.reduced.stats.blocks) and fits(layout[0].q, p + 1)
        return Plan(sizes, members, tuple(layout), p, self.objective.expensive, alone)

    @cached_property
    def together(self) -> int:
        """How many points are evaluated together: a power of two."""
        stats = self.objective.reduced.stats
        numbers = sum(b.a.nbytes + b.w.nbytes for b in stats.blocks) + stats.tail_a.nbytes
        most = 1 if self.objective.expensive else BATCH_BYTES // max(numbers * (self.size + 1), 1)
        return int(min(TOGETHER, 1 << max(int(most), 1).bit_length() - 1))

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.objective.spec.n_theta + 2

    @cached_property
    def bases(self) -> list[tuple[FloatArray, FloatArray]]:
        """For each term ``T^{-1}``, which takes a factor to the objective's basis, and the scale of its columns."""
        inverse = {f.group: np.linalg.inv(f.basis) for f in self.objective.reduced.elimination.factors}
        out, start = [], dict.fromkeys(inverse, 0)
        for term in self.objective.spec.terms:
            at = start[term.group]
            block = inverse[term.group][at : at + term.q, at : at + term.q]
            out.append((np.asarray(block), np.asarray(np.sqrt(np.sum(block * block, axis=0)))))
            start[term.group] = at + term.q
        return out

    # --- axes -------------------------------------------------------------------------------------------------------
    @cached_property
    def held(self) -> list[Held]:
        """The parameters of the covariance matrices."""
        sds, ties = held_parameters(self.objective.spec, self.covariances)
        return [*sds, *ties]

    def axes(self, names: Sequence[str]) -> list[Axis]:
        """One for each parameter: fixed effects, standard deviations, correlations (covariances), sigma."""
        p = self.objective.p
        axes = [self._fixed_axis(j, names[j]) for j in range(p)]
        axes += [self._covariance_axis(p + i, names[p + i], held) for i, held in enumerate(self.held)]
        axes.append(self._sigma_axis(len(axes), names[-1]))
        spec = self.objective.spec
        return [replace(a, flips=flips(spec, 0, self.size, self.held_of(a))) for a in axes]

    def _start(self, held: Held | None) -> FloatArray:
        """(d,) the maximum in the coordinates of a parameter."""
        fixed, spec = self.objective.reduced.fixed, self.objective.spec
        sigma = self.solution.sigma / fixed.y_scale
        parts = []
        for t, lam in enumerate(spec.split(self.solution.theta)):
            own = held if held is not None and held.term == t else None
            parts.append(coordinates(self.bases[t][1][:, None] * lam * sigma, own))
        return np.concatenate([*parts, [np.log(sigma), 0.0]])

    def _free(self, held: int) -> npt.NDArray[np.bool_]:
        free = np.ones(self.size, dtype=np.bool_)
        free[-1] = False
        free[held] = False
        return free

    def _fixed_axis(self, j: int, name: str) -> Axis:
        fixed = self.objective.reduced.fixed
        scale = fixed.y_scale * float(np.linalg.norm(fixed.inverse[j]))
        start, origin = self._start(None), float(fixed.beta_ols[j])
        start[-1] = (self.solution.beta[j] - origin) / scale
        free = self._free(self.size - 1)
        return Axis(name, j, self.size - 1, free, start, -np.inf, np.inf, lambda u: origin + scale * u)

    def _sigma_axis(self, number: int, name: str) -> Axis:
        at, scale = self.size - 2, self.objective.reduced.fixed.y_scale
        free = self._free(at)
        return Axis(name, number, at, free, self._start(None), -np.inf, np.inf, lambda u: scale * float(np.exp(u)))

    def _covariance_axis(self, number: int, name: str, held: Held) -> Axis:
        start = self._start(held)
        at = self.plan.offsets[held.term] + held.place
        unit, scale = self.objective.reduced.fixed.y_scale, self.bases[held.term][1]
        free = self._free(at)
        if held.j is None:
            return Axis(name, number, at, free, start, 0.0, np.inf, lambda u: u * unit / float(scale[held.i]))
        known = bool(np.all(np.isfinite(start)))
        if held.kind == CORRELATION:
            return Axis(name, number, at, free, start, -0.5 * np.pi, 0.5 * np.pi, lambda u: float(np.sin(u)), known)
        size = unit**2 / float(scale[held.i] * scale[held.j])
        return Axis(name, number, at, free, start, -np.inf, np.inf, lambda u: u * size, known)

    @cached_property
    def tables(self) -> Any:
        """What the program needs of every axis, stacked: (axes, ...)."""
        p, k, fixed = self.objective.p, len(self.objective.spec.terms), self.objective.reduced.fixed
        rows = [(None, j) for j in range(p)] + [(held, None) for held in self.held] + [(None, None)]
        basis: list[list[FloatArray]] = [[] for _ in range(k)]
        kind, direction, flags = np.zeros((len(rows), k), dtype=np.int32), np.zeros((len(rows), p)), np.zeros(len(rows))
        direction[:, :1] = 1.0
        for a, (held, j) in enumerate(rows):
            for t, (inverse, scale) in enumerate(self.bases):
                own = held if held is not None and held.term == t else None
                basis[t].append(inverse @ (permutation(own, scale.size) / scale[:, None]))
                kind[a, t] = 0 if own is None else own.kind
            if j is not None:
                direction[a] = fixed.inverse[j] / np.linalg.norm(fixed.inverse[j])
                flags[a] = 1.0
        return {"basis": tuple(np.stack(b) for b in basis), "kind": kind, "direction": direction, "fixed": flags}

    # --- evaluation -------------------------------------------------------------------------------------------------
    def evaluate(self, axes: Sequence[Axis], w: FloatArray) -> Evaluation:
        """At (m, d) points, each in the coordinates of its axis; ``extra`` is the reduced cross-product."""
        m, size = len(axes), self.together
        which = np.array([a.number for a in axes])
        parts = [self._batch(which[i : i + size], w[i : i + size]) for i in range(0, m, size)]
        value, gradient, hessian, gram = (np.concatenate(v) for v in zip(*parts, strict=True))
        return Evaluation(value, gradient, hessian, list(gram))

    def _batch(self, which: npt.NDArray[np.intp], w: FloatArray) -> list[FloatArray]:
        """One call of the program, filled up with copies of the first point."""
        m, more = which.size, self.together - which.size
        rows = np.append(which, np.repeat(which[:1], more))
        own = jax.tree.map(lambda v: v[rows], self.tables)
        full = np.concatenate([w, np.repeat(w[:1], more, axis=0)])
        found = EVALUATE(full, own, self.objective.device_stats, float(self.objective.n), plan=self.plan)
        return [np.asarray(v)[:m] for v in found]

    def curvature(self, axis: Axis, w: FloatArray) -> FloatArray:
        """(d, d) exact Hessian at one point."""
        hessian = self.evaluate([axis], w[None]).hessian
        assert hessian is not None
        return np.asarray(hessian[0])

    def doubtful(self, axis: Axis, w: FloatArray) -> bool:
        """Whether a covariance matrix is nearly singular at a point, so that there may be another optimum."""
        return bool(axis.flips) and nearly_singular(self.factors(axis, w))

    # --- back to the user's parameters ------------------------------------------------------------------------------
    def factors(self, axis: Axis, w: FloatArray) -> list[FloatArray]:
        """The absolute (q, q) factor of each term, any B with covariance ``B B'``, on the data scale."""
        held = self.held_of(axis)
        at, unit, out = self.plan.offsets, self.objective.reduced.fixed.y_scale, []
        for t, q in enumerate(self.plan.q):
            own = held if held is not None and held.term == t else None
            low = lower_array(w[at[t] : at[t + 1]], 0 if own is None else own.kind, q)
            out.append(unit * (permutation(own, q) @ low) / self.bases[t][1][:, None])
        return out

    def held_of(self, axis: Axis) -> Held | None:
        """The covariance parameter that an axis holds."""
        i = axis.number - self.objective.p
        return self.held[i] if 0 <= i < len(self.held) else None

    def natural(self, axis: Axis, w: FloatArray, gram: FloatArray) -> FloatArray:
        """(P,) all parameters at a point, in the order of ``axes``."""
        sigma = self.objective.reduced.fixed.y_scale * float(np.exp(w[-2]))
        covariances = sds_and_ties(self.factors(axis, w), self.covariances)
        return np.concatenate([self._beta(axis, w, gram), covariances, [sigma]])

    def _beta(self, axis: Axis, w: FloatArray, gram: FloatArray) -> FloatArray:
        fixed, p = self.objective.reduced.fixed, self.objective.p
        if p == 0:
            return np.zeros(0)
        gamma = np.linalg.solve(gram[:p, :p], gram[:p, p])
        if axis.number < p:
            direction = self.tables["direction"][axis.number]
            along = np.linalg.solve(gram[:p, :p], direction)
            gamma = gamma + (w[-1] - direction @ gamma) / (direction @ along) * along
        return np.asarray(fixed.beta_ols + fixed.y_scale * (fixed.inverse @ gamma))

    def theta(self, axis: Axis, w: FloatArray) -> FloatArray:
        """(k,) theta at a point."""
        sigma = self.objective.reduced.fixed.y_scale * float(np.exp(w[-2]))
        lams = [lower_triangle(factor) / sigma for factor in self.factors(axis, w)]
        return self.objective.spec.join(lams)

    def moved(self, solution: LmmSolution) -> LmmDeviance:
        """About another maximum."""
        return replace(self, solution=solution)
