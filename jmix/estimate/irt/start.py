"""Starting values: slopes from the factor structure of the responses, intercepts from the proportions of categories.

A loading ``l`` of the normal response behind an item becomes the slope ``1.702 l / sqrt(1 - l^2)``; intercepts then
reproduce the proportions of the categories, theta being integrated out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.sample import Sample, factors, one_factor
from jmix.spec.irt.spec import Block, IrtSpec

FloatArray = npt.NDArray[np.float64]

LOGISTIC = 1.702
"""Scale of the logistic distribution that is closest to the normal."""

GUESS = 0.15
"""Lower asymptote at the start; one less of it is the upper."""

SLOPES = (0.3, 3.0)
"""Range of the sizes of slopes at the start."""


def start_values(spec: IrtSpec, sample: Sample, given: npt.NDArray[np.bool_] | None = None) -> FloatArray:
    """(P,) free parameters from which to search.

    Args:
        given: (M,) numbers that keep the value in ``spec.table``, because the user chose it.
    """
    size = len(spec.table.names)
    total, count = np.zeros(size), np.zeros(size)
    free = np.zeros(size, dtype=np.bool_)
    free[spec.table.free] = True
    targets = [part.target for part in spec.linear]
    open_ = free.copy()
    for target in targets:
        open_[target] = True
    slopes = _slopes(spec, sample, open_)
    scale = _scales(spec, slopes, open_)
    for block in spec.blocks:
        for g in range(len(spec.groups)):
            for places, value in _suggest(spec, block, slopes[list(block.columns)], scale, sample, g, open_):
                np.add.at(total, places, value)
                np.add.at(count, places, 1.0)
    v = spec.table.values.copy()
    told = count > 0
    v[told & open_] = (total / np.maximum(count, 1.0))[told & open_]
    _latent(spec, v, open_, scale)
    if given is not None:
        v[given] = spec.table.values[given]
    _sources(spec, v, given)
    kept = None if given is None else given[spec.table.free]
    return _inside(spec, np.asarray(v[spec.table.free]), kept)


def _inside(spec: IrtSpec, x: FloatArray, given: npt.NDArray[np.bool_] | None) -> FloatArray:
    """X (P,) moved inside the support of its priors, but for what the user chose."""
    if not spec.has_priors:
        return x
    from jmix.spec.irt.priors import support

    low, high = support(spec)
    width = np.where(np.isfinite(high - low), 0.1 * (high - low), 0.1)
    moved = np.minimum(np.maximum(x, low + width), high - width)
    return moved if given is None else np.where(given, x, moved)


def _latent(spec: IrtSpec, v: FloatArray, free: npt.NDArray[np.bool_], scale: FloatArray) -> None:
    """Standard deviations; the means, correlations and regressions start where the specification has them."""
    for d in range(spec.n_factors):
        places = spec.sd[:, d]
        v[places[free[places]]] = scale[d]
    if spec.cluster_sd is not None:
        places = spec.cluster_sd
        v[places[free[places]]] = 0.5


def _sources(spec: IrtSpec, v: FloatArray, given: npt.NDArray[np.bool_] | None) -> None:
    """Coefficients of linear models of parameters by least squares on what was suggested."""
    for part in reversed(spec.linear):
        found = np.linalg.lstsq(part.matrix, v[part.target], rcond=None)[0]
        keep = np.ones(part.source.size, dtype=np.bool_) if given is None else ~given[part.source]
        v[part.source[keep]] = found[keep]


# --- slopes -----------------------------------------------------------------------------------------------------------
def _slopes(spec: IrtSpec, sample: Sample, free: npt.NDArray[np.bool_]) -> FloatArray:
    """(J, D) slopes that the correlations suggest where they may differ from zero."""
    j, d = len(spec.items), spec.n_factors
    pattern = np.zeros((j, d), dtype=np.bool_)
    for block in spec.blocks:
        places = block.slopes[0]
        pattern[list(block.columns)] = free[places] | (spec.table.values[places] != 0.0)
    loadings = _loadings(pattern, sample, exploratory=spec.exploratory, general=spec.specific is not None)
    size = np.sqrt(np.sum(loadings * loadings, axis=1, keepdims=True))
    loadings = loadings * (np.minimum(size, 0.87) / np.maximum(size, 1e-12))
    unique = np.sqrt(1.0 - np.sum(loadings * loadings, axis=1, keepdims=True))
    slopes = LOGISTIC * loadings / unique
    low, high = SLOPES
    sized = np.where(slopes < 0, -1.0, 1.0) * np.clip(np.abs(slopes), low if d == 1 else 0.1, high)
    return np.where(pattern, sized, 0.0)


def _loadings(pattern: npt.NDArray[np.bool_], sample: Sample, *, exploratory: bool, general: bool) -> FloatArray:
    j, d = pattern.shape
    out = np.zeros((j, d))
    r = sample.correlations
    if d == 1 or r is None:
        share = np.sqrt(np.maximum(pattern.sum(axis=1), 1))
        return np.where(pattern, (sample.loadings / share)[:, None], 0.0)
    if exploratory:
        return _rotated(factors(r, d), pattern)
    rest = r
    if general:
        out[:, 0] = sample.loadings
        rest = r - np.outer(out[:, 0], out[:, 0])
    for f in range(1 if general else 0, d):
        own = np.flatnonzero(pattern[:, f])
        if len(own):
            part = rest[np.ix_(own, own)].copy()
            np.fill_diagonal(part, 1.0)
            out[own, f] = one_factor(part)
    if not general:
        out /= np.sqrt(np.maximum(pattern.sum(axis=1), 1))[:, None]
    return np.asarray(out)


def _rotated(loadings: FloatArray, pattern: npt.NDArray[np.bool_]) -> FloatArray:
    """The loadings turned so that those that must be zero are: items with most zeros first."""
    order = np.argsort(pattern.sum(axis=1), kind="stable")
    zeros = order[~pattern[order].all(axis=1)]
    d = loadings.shape[1]
    basis: list[FloatArray] = []
    by_factor = np.argsort(pattern[zeros].sum(axis=0), kind="stable") if len(zeros) else np.arange(d)
    # a factor is orthogonal to the rows of all items that do not load on it
    for f in by_factor:
        rows = [loadings[i] for i in zeros if not pattern[i, f]]
        against = np.array(rows + basis).reshape(-1, d)
        vectors = np.linalg.svd(against, full_matrices=True)[2] if len(against) else np.eye(d)
        basis.append(vectors[-1])
    turn = np.zeros((d, d))
    turn[:, by_factor] = np.array(basis).T
    out = loadings @ turn
    return np.asarray(out * np.where(out.sum(axis=0) < 0, -1.0, 1.0))


def _scales(spec: IrtSpec, slopes: FloatArray, free: npt.NDArray[np.bool_]) -> FloatArray:
    """(D,) standard deviations: where slopes are fixed they take the size of what the slopes would be."""
    out = np.ones(spec.n_factors)
    for d in range(spec.n_factors):
        if not free[spec.sd[:, d]].any():
            continue
        fixed = [
            slopes[c, d] / spec.table.values[p]
            for block in spec.blocks
            for c, p in zip(block.columns, block.slopes[0, :, d], strict=True)
            if not free[p] and spec.table.values[p] != 0.0
        ]
        if fixed:
            out[d] = float(np.clip(np.mean(np.abs(fixed)), 0.3, 3.0))
    return out


# --- one block --------------------------------------------------------------------------------------------------------
def _suggest(
    spec: IrtSpec,
    block: Block,
    slopes: FloatArray,
    scale: FloatArray,
    sample: Sample,
    group: int,
    free: npt.NDArray[np.bool_],
) -> list[tuple[npt.NDArray[np.int32], FloatArray]]:
    """Places and values for the items of a block in a group."""
    from jmix.items import kind_of

    k = block.n_categories
    step = 2.0 / k if kind_of(block.kind).linear else 1.0
    at = block.slopes[group]
    slopes = np.where(free[at], slopes * step / scale, spec.table.values[at])
    spread = np.sqrt(np.sum((slopes * scale) ** 2, axis=1))
    p = sample.proportions[list(block.columns), :k]
    own = MATCH[block.kind](p, spread, slopes)
    return [(at, slopes), (block.own[group], own)]


def logit(p: FloatArray) -> FloatArray:
    """Log odds, of probabilities drawn in from 0 and 1."""
    p = np.clip(p, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def _stretch(spread: FloatArray) -> FloatArray:
    """(J, 1) by how much an intercept exceeds the marginal logit."""
    return np.asarray(np.sqrt(1.0 + (spread / LOGISTIC) ** 2)[:, None])


def _above(p: FloatArray) -> FloatArray:
    """(J, K - 1) shares at or above each category."""
    return np.asarray(np.cumsum(p[:, ::-1], axis=1)[:, ::-1][:, 1:])


def _logistic(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    return logit(p[:, 1:]) * _stretch(spread)


def _asymptotes(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    inner = np.clip((p[:, 1:] - 0.5 * GUESS) / (1.0 - GUESS), 0.02, 0.98)
    ends = np.full((len(p), 2), [float(logit(np.array(GUESS))), float(logit(np.array(1.0 - GUESS / 3)))])
    return np.concatenate([logit(inner) * _stretch(spread), ends], axis=1)


def _graded(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    return logit(_above(p)) * _stretch(spread)


def _sequential(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    above = np.concatenate([np.ones((len(p), 1)), _above(p)], axis=1)
    return logit(above[:, 1:] / above[:, :-1]) * _stretch(spread)


def _cumulative(p: FloatArray, spread: FloatArray) -> FloatArray:
    """(J, K - 1) intercepts of adjacent-category items that reproduce the shares, by proportional fitting."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    k = np.arange(p.shape[1])
    slope = k[:, None] * (spread[:, None] * nodes)[:, None, :]
    d = np.log(p / p[:, :1])
    for _ in range(20):
        table = slope + d[:, :, None]
        table -= table.max(axis=1, keepdims=True)
        table = np.exp(table)
        expected = (table / table.sum(axis=1, keepdims=True)) @ (weights / weights.sum())
        d = d + np.log(p / expected)
        d -= d[:, :1]
    return np.asarray(d[:, 1:])


def _gpcm(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    return _cumulative(p, spread)


def _nominal(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    k = np.arange(1.0, p.shape[1])
    return np.concatenate([np.broadcast_to(k, (len(p), k.size)), _cumulative(p, spread)], axis=1)


def _rsm(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    """Thresholds ``b_k = c - step_k / a``, the item's location c from its mean step."""
    a = _one_slope(slopes)
    steps = np.diff(_cumulative(p, spread), axis=1, prepend=0.0) / a
    return _located(-steps, 1.0, a)


def _grsm(p: FloatArray, spread: FloatArray, slopes: FloatArray) -> FloatArray:
    a = _one_slope(slopes)
    return _located(_graded(p, spread, slopes) / a, -1.0, a)


def _located(thresholds: FloatArray, sign: float, a: FloatArray) -> FloatArray:
    """(J, K + 1) thresholds relative to the first item, locations relative to it, slopes."""
    middle = thresholds.mean(axis=1, keepdims=True)
    c = -sign * (middle - middle[0])
    return np.concatenate([thresholds + sign * c, c, a], axis=1)


def _one_slope(slopes: FloatArray) -> FloatArray:
    a = slopes.sum(axis=1, keepdims=True)
    return np.where(np.abs(a) < 0.1, 1.0, a)


MATCH: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "logistic": _logistic,
    "logistic4": _asymptotes,
    "graded": _graded,
    "sequential": _sequential,
    "gpcm": _gpcm,
    "nominal": _nominal,
    "rsm": _rsm,
    "grsm": _grsm,
}
