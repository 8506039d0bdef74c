"""Thousands of maximum likelihood fits of one generalized linear mixed model to new responses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning, JmixError
from jmix.estimate.boundary import SMALL, SNAP_COST, canonical_signs, snapped_phi, zero_columns
from jmix.estimate.glmm_fit import _interior, fit_glmm
from jmix.estimate.glmm_objective import GlmmObjective, build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.glmm_start import find_start
from jmix.estimate.inference.glmm_refit_search import Batch, Found, search
from jmix.estimate.inference.glmm_refit_solutions import GlmmRefitSolutions, Rows
from jmix.estimate.inference.glmm_refit_status import certified
from jmix.estimate.inference.glmm_responses import ResponseLayout, replaced, response_layout
from jmix.estimate.inference.watch import UNWATCHED, Watch
from jmix.estimate.trust_region import noise_level
from jmix.spec.covariance import CovarianceSpec, lower_column_major

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]

LANES = 128
"""Most responses that are worked on at once."""

NUMBERS = 1 << 18
"""Rows times nodes of all lanes, about; where one response has as many there is one lane."""


@dataclass(frozen=True, eq=False)
class Refitter:
    """What the refits of one fit share.

    Attributes:
        objective, solution: of the fit. layout: for any response; None where each has its own objective.
        x0: (d,) where searches start, and scale: (d, d) of ``x = x0 + scale z``.
    """

    objective: GlmmObjective
    solution: GlmmSolution
    layout: ResponseLayout | None
    x0: FloatArray
    scale: FloatArray

    @property
    def vmapped(self) -> bool:
        """Whether many responses go into one program; not where linear systems are solved iteratively."""
        return self.layout is not None and not getattr(self.layout.approx, "iterative", False)

    @property
    def width(self) -> int:
        """Lanes: a power of two."""
        approx, nodes = self.objective.approx, 1
        if len(self.objective.spec.groups) > 1:
            rows = approx.numbers(self.objective.data)
        else:
            rows = self.objective.design.base.X.shape[0]
            data = self.objective.data
            nodes = 1 if not self.objective.terms or approx.laplace else int(data.log_weights.size)
        fit = max(1, min(LANES, NUMBERS // max(1, rows * nodes)))
        return 1 << (fit.bit_length() - 1)

    def objective_of(self, y: FloatArray) -> GlmmObjective:
        """The likelihood of one response (n,); nothing is compiled anew for it."""
        own, design = self.objective, replaced(self.objective.design, y)
        if self.layout is not None:
            return self.layout.objective_of(design, y)
        options = {"n_agq": max(own.n_agq, 1), "method": own.method, "n_points": own.n_points or None}
        return build_glmm_objective(design, own.spec, own.terms, **options)  # type: ignore[arg-type]

    def one(self, y: FloatArray) -> GlmmSolution | None:
        """The fit of one response by itself; None where there is none."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                return fit_glmm(self.objective_of(y), start=None if self.vmapped else self.x0)
            except JmixError:
                return None


def refitter(objective: GlmmObjective, solution: GlmmSolution) -> Refitter:
    """Prepare the refits of a fit: all searches start from its estimates."""
    begin = find_start(objective.design, objective.terms, objective.spec)
    x0 = np.where(solution.unbounded | ~np.isfinite(solution.x), begin.x, solution.x)
    return Refitter(objective, solution, response_layout(objective), _interior(objective, x0, begin), begin.scale)


def refit_many(shared: Refitter, y: FloatArray, watch: Watch = UNWATCHED) -> GlmmRefitSolutions:
    """Fit every column of y (n, R); an interrupt keeps those that are done, ``rows`` says which.

    Args:
        watch: is told of every response that is done.
    """
    usable = _usable(shared.objective, y)
    jobs = np.flatnonzero(usable)
    rows = Rows.empty(y.shape[1], shared.x0.size)
    for i in np.flatnonzero(~usable).tolist():
        rows.put(i, None)
    watch.advance(int(usable.size - np.count_nonzero(usable)))
    if shared.vmapped and jobs.size:
        interrupted = _together(shared, y, jobs, rows, watch)
    else:
        interrupted = _one_by_one(shared, y, jobs, rows, watch)
    return rows.solutions(shared.objective, interrupted)


def _usable(objective: GlmmObjective, y: FloatArray) -> BoolArray:
    """(R,) False for responses that a cumulative model cannot have: a category that never occurs has no threshold."""
    k, weights = objective.design.family.n_categories, objective.design.weights
    if k and weights is not None:
        y = y[weights > 0]
    return np.all([np.any(y == code, axis=0) for code in range(k)] or [np.ones(y.shape[1], dtype=np.bool_)], axis=0)


def _one_by_one(shared: Refitter, y: FloatArray, jobs: IntArray, rows: Rows, watch: Watch) -> bool:
    """Fill the rows of ``jobs`` one after another; whether an interrupt ended it."""
    try:
        for i in jobs:
            rows.put(i, shared.one(y[:, i]))
            watch.advance(1)
    except KeyboardInterrupt:
        return True
    return False


def _together(shared: Refitter, y: FloatArray, jobs: IntArray, rows: Rows, watch: Watch) -> bool:
    """Fill the rows of ``jobs`` by searches in lanes; those that fail there go on one by one."""
    layout = shared.layout
    assert layout is not None

    def responses(index: IntArray) -> dict[str, FloatArray]:
        return layout.own(y[:, index])

    batch = Batch(layout, responses, shared.x0, shared.scale, shared.width)
    d = shared.x0.size
    nothing = np.zeros((jobs.size, d), dtype=np.bool_)
    found, interrupted = search(batch, jobs, np.zeros((jobs.size, d)), nothing, watch=watch)
    arrived = np.flatnonzero(found.done)
    if shared.objective.terms:
        _settle(batch, shared.objective, found, jobs, arrived)
    place = jobs[arrived]
    certified(shared, y, found, arrived, place, rows)
    failed = jobs[found.ended & ~found.done]
    if interrupted:
        return True
    return _one_by_one(shared, y, failed, rows, UNWATCHED)


@dataclass(frozen=True)
class _Theta:
    """Theta's part of z: ``phi = z + origin`` is Lambda in the basis of the scale."""

    place: slice
    origin: FloatArray

    def phi(self, z: FloatArray) -> FloatArray:
        """(L, k)."""
        return np.asarray(z[:, self.place] + self.origin)


def _settle(batch: Batch, objective: GlmmObjective, found: Found, jobs: IntArray, arrived: IntArray) -> None:
    """Bring the searches ``arrived`` to their canonical form, as ``glmm_boundary.settle`` does one; in place."""
    place, spec = objective.slices["theta"], objective.spec
    origin = np.linalg.solve(batch.scale[place, place], batch.x0[place])
    theta = _Theta(place, np.asarray(origin))
    left = arrived
    for share in SMALL:
        phi = theta.phi(found.z[left])
        snapped = phi.copy()
        for r in np.flatnonzero(_small(spec, phi, share)):
            snapped[r] = snapped_phi(spec, phi[r], share)
        changed = np.any(snapped != phi, axis=1)
        tried = left[changed]
        if tried.size:
            left = np.setdiff1d(left, _snap(batch, theta, found, jobs, tried, snapped[changed], objective))
    _sign(batch, theta, found, jobs, arrived, objective)


def _small(spec: CovarianceSpec, phi: FloatArray, share: float) -> BoolArray:
    """(L,) where ``snapped_phi`` may find something: a squared diagonal entry is no larger than its variance."""
    out = np.zeros(len(phi), dtype=np.bool_)
    for begin, term in zip(spec.offsets, spec.terms, strict=True):
        own, (rows, cols) = phi[:, begin : begin + term.n_theta], lower_column_major(term.q)
        variances = np.stack([np.sum(own[:, rows == k] ** 2, axis=1) for k in range(term.q)], axis=1)
        top = np.maximum(1e-3, variances.max(axis=1, keepdims=True))
        out |= np.any(own[:, rows == cols] ** 2 <= 1.01 * share * top, axis=1)
    return out


def _snap(
    batch: Batch,
    theta: _Theta,
    found: Found,
    jobs: IntArray,
    tried: IntArray,
    snapped: FloatArray,
    objective: GlmmObjective,
) -> IntArray:
    """Search on with variances at zero; which of the searches ``tried`` are no worse for it."""
    z, held = found.z[tried], np.zeros((tried.size, found.z.shape[1]), dtype=np.bool_)
    z[:, theta.place] = snapped - theta.origin
    held[:, theta.place] = [zero_columns(objective.spec, p) for p in snapped]
    other, _ = search(batch, jobs[tried], z, held)
    worst = found.value[tried] + SNAP_COST + 2.0 * noise_level(found.value[tried])
    kept = np.flatnonzero(other.done & (other.value <= worst))
    values = np.linalg.eigvalsh(other.hessian[kept])
    size = np.max(np.abs(values), axis=1, initial=1e-300)
    kept = kept[values.min(axis=1, initial=0.0) >= -1e-6 * size]
    found.put(tried[kept], other, kept)
    return np.asarray(tried[kept])


def _sign(
    batch: Batch, theta: _Theta, found: Found, jobs: IntArray, arrived: IntArray, objective: GlmmObjective
) -> None:
    """Flip columns of Lambda with a negative diagonal; search on where points that are not symmetric feel it."""
    phi = theta.phi(found.z[arrived])
    signs = np.ones(phi.shape)
    for r in np.flatnonzero(np.any(phi < 0, axis=1)):
        signs[r] = canonical_signs(objective.spec, phi[r])
    flipped = np.any(signs != 1.0, axis=1)
    every = np.ones((arrived.size, found.z.shape[1]))
    every[:, theta.place] = signs
    found.z[np.ix_(arrived, np.arange(found.z.shape[1])[theta.place])] = signs * phi - theta.origin
    found.gradient[arrived] *= every
    found.hessian[arrived] *= every[:, :, None] * every[:, None, :]
    again = arrived[flipped]
    if objective.method == "qmc" and again.size:
        none = np.zeros((again.size, found.z.shape[1]), dtype=np.bool_)
        other, _ = search(batch, jobs[again], found.z[again], none)
        found.put(again, other, np.arange(again.size))
