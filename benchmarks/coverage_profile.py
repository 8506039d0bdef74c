"""Likelihood-ratio statistics of the true values of parameters, for many data sets in one vmapped program.

A profile interval covers a value exactly if twice the drop of the log likelihood, maximised with the parameter held
there, is at most the chi-squared quantile; no end of an interval has to be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate.inference.profile_lmm import LmmDeviance
from jmix.estimate.inference.profile_lmm_program import deviance
from jmix.estimate.inference.profile_point import Axis
from jmix.estimate.trust_region import judge, noise_level, propose

FloatArray = npt.NDArray[np.float64]

LANES = 256
"""Data sets that are worked on together."""

TOLERANCE, MOST = 1e-9, 100


def _minimum(w: Any, free: Any, axis: Any, stats: Any, n: Any, plan: Any) -> Any:
    """Least deviance over the coordinates ``free`` (d,) from w, by trust-region Newton, and whether it was found."""

    def value(v: Any) -> Any:
        return deviance(v, axis, stats, n, plan)[0]

    def at(v: Any) -> Any:
        hessian = jax.hessian(value)(v)
        kept = free[:, None] * free[None, :]
        return value(v), jax.grad(value)(v) * free, jnp.where(kept > 0, hessian, jnp.diag(1.0 - free))

    first = at(w)
    values, vectors = jnp.linalg.eigh(first[2])
    scale = vectors / jnp.sqrt(jnp.maximum(jnp.abs(values), 1e-6 * jnp.max(jnp.abs(values))))

    def step(state: Any) -> Any:
        v, (f, g, h), radius, done, count = state
        proposal = propose(jnp, scale.T @ g, scale.T @ h @ scale, radius)
        arrived = proposal.decrement <= jnp.maximum(TOLERANCE, noise_level(f))
        candidate = v + free * (scale @ proposal.step)
        new = at(candidate)
        accepted, radius = judge(jnp, f, new[0], proposal, radius, noise_level(f))
        move = accepted & ~arrived & ~done
        kept = jax.tree.map(lambda a, b: jnp.where(move, a, b), (candidate, new), (v, (f, g, h)))
        return (*kept, radius, done | arrived, count + 1)

    start = (w, first, jnp.asarray(2.0), jnp.asarray(False), jnp.asarray(0))
    _, (f, _, _), _, done, _ = jax.lax.while_loop(lambda s: ~s[3] & (s[4] < MOST), step, start)
    return f, done


def _minima(w: Any, free: Any, axis: Any, stats: Any, n: Any, plan: Any) -> Any:
    return jax.vmap(lambda v, s: _minimum(v, free, axis, s, n, plan))(w, stats)


def _values(w: Any, axis: Any, stats: Any, n: Any, plan: Any) -> Any:
    return jax.vmap(lambda v, s: deviance(v, axis, s, n, plan)[0])(w, stats)


_MINIMA = runtime.Program(_minima, static=("plan",))
_VALUES = runtime.Program(_values, static=("plan",))


def statistics(fits: Sequence[Any], names: Sequence[str], truth: FloatArray) -> tuple[FloatArray, int]:
    """(R, P) likelihood-ratio statistics of the true values, and how many searches did not arrive.

    Args:
        fits: by maximum likelihood. names, truth: of all parameters, in the order of ``Fit.bootstrap``.
    """
    parts, failed = [], 0
    for first in range(0, len(fits), LANES):
        chosen = [fits[i] for i in range(first, min(first + LANES, len(fits)))]
        values, lost = _batch(chosen, names, truth)
        parts.append(values)
        failed += lost
    return np.concatenate(parts), failed


def _batch(fits: list[Any], names: Sequence[str], truth: FloatArray) -> tuple[FloatArray, int]:
    deviances = [LmmDeviance(fit.objective, fit.solution, False) for fit in fits]
    padded = deviances + [deviances[-1]] * (LANES - len(deviances))
    stats = jax.tree.map(lambda *leaves: np.stack(leaves), *(d.objective.reduced.stats for d in padded))
    plan, n = deviances[0].plan, float(deviances[0].objective.n)
    out, failed = np.empty((len(fits), len(names))), 0
    axes = [d.axes(names) for d in deviances]
    for a, value in enumerate(truth):
        own = [row[a] for row in axes] + [axes[-1][a]] * (LANES - len(fits))
        tables = jax.tree.map(lambda t, a=a: t[a], deviances[0].tables)
        free = own[0].free.astype(float)
        top = np.stack([axis.start for axis in own])
        begin = np.stack([_start(axis, float(value)) for axis in own])
        with np.errstate(invalid="ignore"):
            least = np.asarray(_VALUES(np.nan_to_num(top), tables, stats, n, plan=plan))
        found, done = (np.asarray(v) for v in _MINIMA(begin, free, tables, stats, n, plan=plan))
        kept = slice(0, len(fits))
        out[:, a] = np.maximum(found - least, 0.0)[kept]
        failed += int(np.sum(~done[kept]))
    return out, failed


def _start(axis: Axis, value: float) -> FloatArray:
    """The maximum with the parameter moved to ``value``; zeros of other coordinates are left."""
    w = np.nan_to_num(axis.start)
    log_sigma = w.size - 2
    small = np.abs(w[:log_sigma]) < 0.02
    w[:log_sigma][small] = 0.02
    w[axis.held] = _coordinate(axis, value)
    return w


def _coordinate(axis: Axis, value: float) -> float:
    """The coordinate at which a parameter has a value, from the axis's map back."""
    if axis.low == -0.5 * np.pi:
        return float(np.arcsin(value))
    zero, one = axis.to_value(0.0), axis.to_value(1.0)
    if zero > 0 and np.isclose(one / zero, np.e) and np.isclose(axis.to_value(2.0) / one, np.e):
        return float(np.log(value / zero))
    return (value - zero) / (one - zero)
