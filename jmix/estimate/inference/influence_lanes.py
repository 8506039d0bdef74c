"""The remaining rows of each group as statistics of the same shape, for designs of any structure."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jmix import runtime
from jmix.errors import ConvergenceWarning, JmixError
from jmix.estimate.boundary import SNAP_COST, canonical_signs, snapped_phi
from jmix.estimate.inference.influence import (
    LANE_BYTES,
    BoolArray,
    FloatArray,
    IntArray,
    LeftOut,
    closed_form,
    fill,
    nothing_yet,
    scales,
    steps,
)
from jmix.estimate.lmm import fit_lmm
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.refit import SMALL, _minimise
from jmix.estimate.start import interior
from jmix.likelihood.derivatives import Derivatives, value_grad_hessian
from jmix.likelihood.structure import GaussianStats, Layout
from jmix.likelihood.suffstats import _accumulate

Axes = tuple[int | None, ...]
"""The axis of the lanes of each array of the statistics; None for what all lanes share."""

FEW = 200
"""Groups that go one by one through the programs of the fit, rather than in lanes that need a program of their own."""

ITERATIONS = 100


def _stats_without(objective: GaussianObjective, rows: BoolArray) -> GaussianStats:
    """The statistics without some rows, in the same basis and structure."""
    source = objective.reduced.rows
    weights = np.ones(source.n) if source.weights is None else source.weights
    elimination = objective.reduced.elimination
    kept = np.where(rows, 0.0, weights)
    return _accumulate(elimination, replace(source, weights=kept))


def _lanes(objective: GaussianObjective, codes: IntArray, which: IntArray) -> Iterator[tuple[IntArray, Any, Axes]]:
    """Numbers of groups, the statistics without each of them with lanes first, and the axes of the lanes."""
    stats = objective.reduced.stats
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(stats) if leaf.dtype.kind == "f")
    step = max(1, min(256, LANE_BYTES // max(size, 1)))
    axes = tuple(0 if leaf.dtype.kind == "f" else None for leaf in jax.tree.leaves(stats))
    for start in range(0, which.size, step):
        part = which[start : start + step]
        padded = np.resize(part, min(step, 1 << max(part.size - 1, 0).bit_length()))
        each = [_stats_without(objective, codes == g) for g in part]
        each += [each[0]] * (padded.size - part.size)
        stacked = jax.tree.map(lambda *v: np.stack(v) if v[0].dtype.kind == "f" else v[0], *each)
        yield part, stacked, axes


def _evaluate(
    phi: jax.Array, stats: GaussianStats, n: jax.Array, axes: Axes, layout: Layout, reml: bool
) -> Derivatives:
    own = jax.tree.unflatten(jax.tree.structure(stats), axes)
    return jax.vmap(lambda t, s, m: value_grad_hessian(t, s, m, layout, reml), in_axes=(0, own, 0))(phi, stats, n)


def _search(
    phi: jax.Array, stats: GaussianStats, n: jax.Array, axes: Axes, layout: Layout, reml: bool
) -> tuple[jax.Array, Derivatives, jax.Array]:
    own = jax.tree.unflatten(jax.tree.structure(stats), axes)
    return jax.vmap(lambda t, s, m: _minimise(t, s, m, layout, reml, ITERATIONS), in_axes=(0, own, 0))(phi, stats, n)


_EVALUATE = runtime.Program(_evaluate, static=("axes", "layout", "reml"))
_SEARCH = runtime.Program(_search, static=("axes", "layout", "reml"))


def one_step(
    objective: GaussianObjective, phi: FloatArray, codes: IntArray, counts: IntArray, hessian: FloatArray, *, reml: bool
) -> LeftOut:
    """One Newton step for each group of any structure, by evaluations of the criterion without it.

    Args:
        codes: (n,) group of each row. counts: (G,). hessian: (k, k) of all rows at phi.
    """
    out = nothing_yet(objective, counts)
    diagonal = scales(objective)
    if counts.size <= FEW:
        for g in range(counts.size):
            lane = _without(objective, codes == g)
            at = lane.full(phi, reml)
            assert at.hessian is not None
            step, doubt = steps(phi, at.gradient[None], at.hessian[None], hessian, diagonal)
            gram = lane.reduce(phi + step[0])[1]
            fill(out, np.array([g]), phi + step, gram[None], doubt)
        return out
    for part, stats, axes in _lanes(objective, codes, np.arange(counts.size)):
        lanes = jax.tree.leaves(stats)[0].shape[0]
        options: dict[str, Any] = {"axes": axes, "layout": objective.reduced.layout, "reml": reml}
        data, n = runtime.put(stats), np.resize(out.n[part], lanes).astype(np.float64)
        at_all = _EVALUATE(np.tile(phi, (lanes, 1)), data, n, **options)
        step, doubt = steps(phi, np.asarray(at_all.gradient), np.asarray(at_all.hessian), hessian, diagonal)
        gram = np.asarray(_EVALUATE(phi + step, data, n, **options).gram)
        fill(out, part, phi + step, gram, doubt)
    return out


def _without(objective: GaussianObjective, rows: BoolArray) -> GaussianObjective:
    """The objective of the other rows, whose programs are those of all."""
    reduced = replace(objective.reduced, stats=_stats_without(objective, rows))
    return replace(objective, reduced=reduced, n=objective.n - int(np.sum(rows)))


def refit(
    objective: GaussianObjective, starts: FloatArray, codes: IntArray, counts: IntArray, which: IntArray, *, reml: bool
) -> LeftOut:
    """True refits without each of the groups ``which``; the others are NaN, and those after Ctrl-C.

    A few go one by one, for which nothing needs compiling; many in vmapped lanes.

    Args:
        starts: (G, k) phi from which the searches begin.
    """
    out = nothing_yet(objective, counts)
    with contextlib.suppress(KeyboardInterrupt):
        if which.size <= FEW:
            for g in which:
                _refit_one(objective, starts[g], codes == g, int(g), out, reml=reml)
        else:
            _refit_many(objective, starts, codes, which, out, reml=reml)
    return out


def _refit_many(
    objective: GaussianObjective, starts: FloatArray, codes: IntArray, which: IntArray, out: LeftOut, *, reml: bool
) -> None:
    for part, stats, axes in _lanes(objective, codes, which):
        lanes = jax.tree.leaves(stats)[0].shape[0]
        options: dict[str, Any] = {"axes": axes, "layout": objective.reduced.layout, "reml": reml}
        data, n = runtime.put(stats), np.resize(out.n[part], lanes).astype(np.float64)
        begin = np.stack([interior(objective.spec, starts[g]) for g in np.resize(part, lanes)])
        found, at, done = _SEARCH(begin, data, n, **options)
        phi, gram = _settled(objective, np.array(found), at, data, n, options)
        fill(out, part, phi, gram, np.zeros(lanes), np.asarray(done))


def _refit_one(
    objective: GaussianObjective, start: FloatArray, rows: BoolArray, g: int, out: LeftOut, *, reml: bool
) -> None:
    lane = _without(objective, rows)
    out.doubt[g] = 0.0
    if not np.all(np.isfinite(closed_form(lane.reduced.stats.gram[None])[2])):
        return  # the remaining rows do not determine the fixed effects
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = fit_lmm(lane, reml=reml, start=objective.to_theta @ start)
    except JmixError:
        return
    if found.status.interrupted:
        out.doubt[g] = np.nan
        raise KeyboardInterrupt
    phi = found.phi[None]
    converged = np.array([found.status.converged])
    fill(out, np.array([g]), phi, lane.reduce(phi[0])[1][None], np.zeros(1), converged)


def _settled(
    objective: GaussianObjective, phi: FloatArray, at: Derivatives, data: Any, n: FloatArray, options: dict[str, Any]
) -> tuple[FloatArray, FloatArray]:
    """Canonical signs, and exact zeros where the criterion allows them."""
    spec = objective.spec
    value, gram = np.asarray(at.value), np.asarray(at.gram)
    phi = np.stack([canonical_signs(spec, own) * own for own in phi])
    snapped = np.stack([snapped_phi(spec, own, SMALL) for own in phi])
    if np.array_equal(snapped, phi):
        return phi, gram
    other = _EVALUATE(snapped, data, n, **options)
    take = np.asarray(other.value) <= value + SNAP_COST
    return np.where(take[:, None], snapped, phi), np.where(take[:, None, None], np.asarray(other.gram), gram)
