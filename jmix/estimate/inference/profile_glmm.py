"""The deviance of a generalized linear mixed model in the coordinates of each of its parameters.

Coordinates are those of the objective, ``[beta | theta | disp | zi | tau | shape]``, but for an axis of a covariance
parameter the entries of its own term, which are those of ``profile_factors``, and for the axis of a threshold tau_k
the first threshold, whose place tau_k takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.glmm_initial import family_values
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.inference.profile_factors import (
    CORRELATION,
    Held,
    coordinates,
    flips,
    held_parameters,
    lower,
    nearly_singular,
    permutation,
    sds_and_ties,
)
from jmix.estimate.inference.profile_point import Axis, Evaluation
from jmix.spec.covariance import lower_column_major
from jmix.spec.glmm_priors import DISPERSION

FloatArray = npt.NDArray[np.float64]


def lower_form(b: jax.Array) -> jax.Array:
    """The lower triangular factor of ``B B'``: B times rotations of its columns."""
    q = b.shape[0]
    for i in range(q):
        for j in range(i + 1, q):
            x, y = b[i, i], b[i, j]
            square = x * x + y * y
            regular = square > 1e-280
            length = jnp.sqrt(jnp.where(regular, square, 1.0))
            c, s = jnp.where(regular, x / length, 1.0), jnp.where(regular, y / length, 0.0)
            left, right = b[:, i], b[:, j]
            b = b.at[:, i].set(c * left + s * right).at[:, j].set(c * right - s * left)
            b = b.at[i, j].set(jnp.where(regular, 0.0, b[i, j]))
    return b


def _natural_x(w: jax.Array, axis: Any, q: tuple[int, ...], first: int, tau: tuple[int, int]) -> jax.Array:
    """The objective's x from the coordinates of an axis."""
    x, at = w, first
    for t, size in enumerate(q):
        m = size * (size + 1) // 2
        own = w[at : at + m]
        low = lower_form(axis["basis"][t] @ lower(own, axis["kind"][t], size))
        theta = low[lower_column_major(size)]
        x = x.at[at : at + m].set(jnp.where(axis["own"][t], theta, own))
        at += m
    if tau[1] > tau[0]:
        gaps = jnp.where(axis["below"] > 0, w[tau[0] + 1 : tau[1]], 0.0)
        x = x.at[tau[0]].set(w[tau[0]] - jnp.sum(axis["below"] * jnp.exp(gaps)))
    return x


def _chain(
    w: jax.Array, axis: Any, slope: jax.Array, q: tuple[int, ...], first: int, tau: tuple[int, int]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """X, its Jacobian, and the Hessian of ``slope'x``."""

    def at(v: jax.Array) -> jax.Array:
        return _natural_x(v, axis, q, first, tau)

    return at(w), jax.jacfwd(at)(w), jax.hessian(lambda v: at(v) @ slope)(w)


_CHAIN = runtime.Program(_chain, static=("q", "first", "tau"))


def other_values(objective: GlmmObjective) -> list[tuple[int, Callable[[float], float]]]:
    """Places in x of dispersion, zeros and nu, in the order of ``family_names``, and their natural values."""
    design, slices = objective.design, objective.slices
    sign = DISPERSION.get(design.family.name, ("", 1))[1]
    plain_disp = design.disp is not None and design.disp.intercept_only
    plain_zi = design.zi is not None and design.zi.intercept_only
    values: dict[str, Callable[[float], float]] = {
        "disp": (lambda u: float(np.exp(sign * u))) if plain_disp else (lambda u: sign * u),
        "zi": _logistic if plain_zi else float,
        "shape": lambda u: 1.0 + float(np.exp(u)),
    }
    return [(j, values[part]) for part in values for j in range(slices[part].start, slices[part].stop)]


def _logistic(u: float) -> float:
    return float(np.exp(-np.logaddexp(0.0, -u)))


@dataclass(frozen=True, eq=False)
class GlmmDeviance:
    """-2 log likelihood of one data set, about its maximum.

    Attributes:
        x: (d,) the maximum. covariances: whether covariances, not correlations, are parameters. unbounded: (d,)
            entries of x that have no estimate.
    """

    objective: GlmmObjective
    x: FloatArray
    covariances: bool
    unbounded: npt.NDArray[np.bool_]

    together = 1

    @cached_property
    def held(self) -> list[Held]:
        """The parameters of the covariance matrices."""
        sds, ties = held_parameters(self.objective.spec, self.covariances)
        return [*sds, *ties]

    @cached_property
    def _static(self) -> dict[str, Any]:
        tau, theta = self.objective.slices["tau"], self.objective.slices["theta"]
        q = tuple(t.q for t in self.objective.spec.terms)
        return {"q": q, "first": theta.start, "tau": (tau.start, tau.stop)}

    # --- axes -------------------------------------------------------------------------------------------------------
    def axes(self, names: Sequence[str]) -> list[Axis]:
        """Fixed effects, standard deviations, correlations (covariances), thresholds, dispersion, zeros, nu."""
        slices = self.objective.slices
        out: list[Axis] = []
        for j in range(slices["beta"].stop):
            out.append(self._plain(names[len(out)], len(out), j, lambda u: u))
        for held in self.held:
            out.append(self._covariance_axis(names[len(out)], len(out), held))
        for k in range(slices["tau"].stop - slices["tau"].start):
            out.append(self._threshold_axis(names[len(out)], len(out), k))
        for j, to_value in other_values(self.objective):
            out.append(self._plain(names[len(out)], len(out), j, to_value))
        spec, first = self.objective.spec, slices["theta"].start
        return [replace(a, flips=flips(spec, first, self.x.size, self.held_of(a))) for a in out]

    def _free(self, held: int) -> npt.NDArray[np.bool_]:
        free = ~self.unbounded
        free[held] = False
        return free

    def _plain(self, name: str, number: int, j: int, to_value: Any) -> Axis:
        known = not bool(self.unbounded[j])
        return Axis(name, number, j, self._free(j), self.x.copy(), -np.inf, np.inf, to_value, known)

    def _threshold_axis(self, name: str, number: int, k: int) -> Axis:
        start, place = self.x.copy(), self.objective.slices["tau"]
        start[place.start] = self.objective.split(self.x).thresholds[k]
        known = not bool(self.unbounded[place].any())
        return Axis(name, number, place.start, self._free(place.start), start, -np.inf, np.inf, lambda u: u, known)

    def _covariance_axis(self, name: str, number: int, held: Held) -> Axis:
        spec, start = self.objective.spec, self.x.copy()
        at = self.objective.slices["theta"].start + spec.offsets[held.term]
        place = slice(at, at + spec.terms[held.term].n_theta)
        start[place] = coordinates(spec.split(self.x[self.objective.slices["theta"]])[held.term], held)
        free = self._free(at + held.place)
        known = bool(np.all(np.isfinite(start))) and not bool(self.unbounded[place].any())
        limits = (0.0, np.inf) if held.j is None else (-0.5 * np.pi, 0.5 * np.pi)
        if held.kind == CORRELATION:
            return Axis(name, number, at + held.place, free, start, *limits, lambda u: float(np.sin(u)), known)
        limits = limits if held.j is None else (-np.inf, np.inf)
        return Axis(name, number, at + held.place, free, start, *limits, lambda u: u, known)

    def held_of(self, axis: Axis) -> Held | None:
        """The covariance parameter that an axis holds."""
        i = axis.number - self.objective.slices["beta"].stop
        return self.held[i] if 0 <= i < len(self.held) else None

    def doubtful(self, axis: Axis, w: FloatArray) -> bool:
        """Whether a covariance matrix is nearly singular at a point, so that there may be another optimum."""
        if not axis.flips:
            return False
        theta = self.natural_x(axis, w)[self.objective.slices["theta"]]
        return nearly_singular(self.objective.spec.split(theta))

    def _table(self, axis: Axis) -> Any:
        """What the map to x needs of an axis."""
        spec, i = self.objective.spec, axis.number - self.objective.slices["beta"].stop
        held = self.held_of(axis)
        own = [held if held is not None and held.term == t else None for t in range(len(spec.terms))]
        size = self.objective.slices["tau"].stop - self.objective.slices["tau"].start
        k = i - len(self.held)
        return {
            "basis": tuple(permutation(h, t.q) for h, t in zip(own, spec.terms, strict=True)),
            "kind": np.array([0 if h is None else h.kind for h in own], dtype=np.int32),
            "own": np.array([h is not None for h in own], dtype=np.bool_),
            "below": (np.arange(max(size - 1, 0)) < (k if 0 <= k < size else 0)).astype(np.float64),
        }

    # --- evaluation -------------------------------------------------------------------------------------------------
    def evaluate(self, axes: Sequence[Axis], w: FloatArray) -> Evaluation:
        """At (m, d) points, each in the coordinates of its axis, without Hessians; ``extra`` is x."""
        values, gradients, points = [], [], []
        for axis, point in zip(axes, w, strict=True):
            x, jacobian, _ = self._map(axis, point, np.zeros_like(point))
            value, slope = self.objective.evaluate(x) if np.all(np.isfinite(x)) else (np.nan, np.full(x.size, np.nan))
            values.append(-2.0 * value)
            gradients.append(-2.0 * (jacobian.T @ slope))
            points.append(x)
        return Evaluation(np.array(values), np.stack(gradients), None, points)

    def curvature(self, axis: Axis, w: FloatArray) -> FloatArray:
        """(d, d) exact Hessian at one point."""
        x, _, _ = self._map(axis, w, np.zeros_like(w))
        _, slope = self.objective.evaluate(x)
        _, jacobian, bend = self._map(axis, w, slope)
        return np.asarray(-2.0 * (jacobian.T @ self.objective.hessian(x) @ jacobian + bend))

    def _map(self, axis: Axis, w: FloatArray, slope: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = _CHAIN(w, self._table(axis), slope, **self._static)
        return tuple(np.array(v) for v in found)  # type: ignore[return-value]

    # --- back to the user's parameters ------------------------------------------------------------------------------
    def natural_x(self, axis: Axis, w: FloatArray) -> FloatArray:
        """(d,) the objective's x at a point."""
        return self._map(axis, w, np.zeros_like(w))[0]

    def natural(self, axis: Axis, w: FloatArray, extra: Any) -> FloatArray:
        """(P,) all parameters at a point, in the order of ``axes``."""
        x = self.natural_x(axis, w)
        slices = self.objective.slices
        factors = self.objective.spec.split(x[slices["theta"]])
        return np.concatenate(
            [x[slices["beta"]], sds_and_ties(factors, self.covariances), family_values(self.objective, x)]
        )
