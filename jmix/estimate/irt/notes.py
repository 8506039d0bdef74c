"""What a user must know of the estimates: which item is not an ordinary one, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.spec.irt.spec import IrtSpec, full_vector

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

STEEP = 10.0
"""Slope, per standard deviation of theta, from which an item sorts persons almost without error."""

LOGIT_FLAT = -7.0
"""Logit of the distance of an asymptote from 0 or 1, 0.0009, below which it has run there."""

FAR = 15.0
"""Intercept at which nearly everybody answers in the same way."""

WEAK = 20.0
"""Standard error, relative to the estimate or to one, beyond which the data say nothing of a parameter."""

MOST = 8
"""Most names in one note."""


def estimate_notes(spec: IrtSpec, x: FloatArray, lost: BoolArray) -> tuple[str, ...]:
    """One sentence for every kind of estimate that needs attention.

    Args:
        lost: (P,) free parameters that the data do not identify.
    """
    v = full_vector(np, spec, x)
    free = np.zeros(v.size, dtype=np.bool_)
    free[spec.table.free] = True
    for part in spec.linear:
        free[part.target] = True
    return (
        *_slopes(spec, v, free),
        *_asymptotes(spec, v, free),
        *_thresholds(spec, v, free),
        *_latent(spec, v, free),
        *_unidentified(spec, lost),
    )


def runaway(spec: IrtSpec, x: FloatArray) -> BoolArray:
    """(P,) asymptotes that have run to 0 or 1, where the likelihood is flat in their logits."""
    out = np.zeros(len(spec.table.names), dtype=np.bool_)
    v = full_vector(np, spec, x)
    for block in spec.blocks:
        if block.kind == "logistic4":
            low, high = block.own[..., 1].reshape(-1), block.own[..., 2].reshape(-1)
            out[low[v[low] < LOGIT_FLAT]] = True
            out[high[v[high] > -LOGIT_FLAT]] = True
    return out[spec.table.free]


def degenerate(spec: IrtSpec, x: FloatArray) -> bool:
    """Whether an estimate is on the boundary of its parameter space: an asymptote, a standard deviation, a
    correlation.
    """
    v = full_vector(np, spec, x)
    free = np.zeros(v.size, dtype=np.bool_)
    free[spec.table.free] = True
    return bool(runaway(spec, x).any()) or steepest(spec, x) > STEEP or any(True for _ in _latent(spec, v, free))


def steepest(spec: IrtSpec, x: FloatArray) -> float:
    """Largest slope per standard deviation of theta."""
    v = full_vector(np, spec, x)
    sd = np.abs(v[spec.sd])[:, None, :]
    return max(float(np.sqrt(np.sum((v[block.slopes] * sd) ** 2, axis=-1)).max()) for block in spec.blocks)


def _slopes(spec: IrtSpec, v: FloatArray, free: BoolArray) -> Iterator[str]:
    negative: dict[str, float] = {}
    steep: dict[str, float] = {}
    sd = np.abs(v[spec.sd])
    signs = np.zeros(spec.n_factors)
    for block in spec.blocks:
        signs += np.sign(v[block.slopes]).sum(axis=(0, 1))
    for block in spec.blocks:
        for g in range(len(spec.groups)):
            for row, column in enumerate(block.columns):
                at = block.slopes[g, row]
                a, name = v[at], spec.items[column]
                one = np.count_nonzero(a) == 1
                if one and np.any(free[at] & (a * np.where(signs < 0, -1.0, 1.0) < 0)):
                    negative[name] = float(a[np.argmax(np.abs(a))])
                size = float(np.sqrt(np.sum((a * sd[g]) ** 2)))
                if size > STEEP and np.any(free[at]):
                    steep[name] = size
    if negative and not spec.exploratory:
        yield (
            f"negative discrimination: {_listed(negative, 'a')}; persons with more of the trait answer lower: check "
            "the key, or reverse the item"
        )
    if steep:
        yield (
            f"slopes without bound (Heywood case): {_listed(steep, 'a')}; the item repeats the trait almost without "
            "error: look for duplicate items or too few items for a factor, or give a prior, "
            "priors={'a': 'lognormal(0, 0.5)'}"
        )


def _asymptotes(spec: IrtSpec, v: FloatArray, free: BoolArray) -> Iterator[str]:
    low: list[str] = []
    high: list[str] = []
    for block in spec.blocks:
        if block.kind != "logistic4":
            continue
        for row, column in enumerate(block.columns):
            for own in block.own[:, row]:
                if free[own[1]] and v[own[1]] < LOGIT_FLAT:
                    low.append(spec.items[column])
                if free[own[2]] and v[own[2]] > -LOGIT_FLAT:
                    high.append(spec.items[column])
    if low:
        yield (
            f"the lower asymptote has run to 0 and the likelihood is flat there: {_names(low)}; fit these items as "
            "2PL, or give a prior, priors={'c': 'beta(5, 17)'}"
        )
    if high:
        yield (
            f"the upper asymptote has run to 1 and the likelihood is flat there: {_names(high)}; fit these items as "
            "3PL, or give a prior, priors={'u': 'beta(17, 5)'}"
        )


def _thresholds(spec: IrtSpec, v: FloatArray, free: BoolArray) -> Iterator[str]:
    from jmix.items import kind_of

    far: list[str] = []
    for block in spec.blocks:
        names = kind_of(block.kind).names(block.n_categories)
        use = [m for m, name in enumerate(names) if name.startswith(("d", "b"))]
        for row, column in enumerate(block.columns):
            own = block.own[:, row][:, use]
            sizes = np.abs(np.diff(v[own], axis=1, prepend=0.0)) if kind_of(block.kind).linear else np.abs(v[own])
            steep = np.sqrt(np.sum(v[block.slopes[:, row]] ** 2, axis=-1)).max(initial=1.0)
            if np.any(free[own] & (sizes > FAR * max(1.0, steep))):
                far.append(spec.items[column])
    if far:
        yield (
            f"difficulties without bound: {_names(far)}; a category has next to no responses, or the item does not "
            "go with the others: merge categories, leave the item out, or give a prior, priors={'d': 'normal(0, 5)'}"
        )


def _latent(spec: IrtSpec, v: FloatArray, free: BoolArray) -> Iterator[str]:
    sd = np.abs(v[spec.sd])
    for g, group in enumerate(spec.groups):
        where = f" in group {group}" if len(spec.groups) > 1 else ""
        for d, factor in enumerate(spec.factors):
            if free[spec.sd[g, d]] and sd[g, d] < 1e-3:
                yield (
                    f"the standard deviation of {factor} is zero{where}: the responses are no more alike than chance "
                    "has them; the items measure nothing in common"
                )
        at = spec.corr[g]
        rows, columns = np.tril_indices(spec.n_factors, -1)
        close = free[at] & (np.abs(v[at]) > 0.995)
        for i in np.flatnonzero(close):
            pair = f"{spec.factors[rows[i]]} and {spec.factors[columns[i]]}"
            yield f"the correlation of {pair} is {np.sign(v[at[i]]):+.0f}{where}: make one factor of the two"


def _unidentified(spec: IrtSpec, lost: BoolArray) -> Iterator[str]:
    if lost.any():
        names = [spec.table.free_names[i] for i in np.flatnonzero(lost)]
        yield (
            f"not identified by the data: {_names(names)}; their standard errors are infinite: fix some of them, "
            "constrain them to be equal, or give priors"
        )


def weak_notes(spec: IrtSpec, x: FloatArray, vcov: Any) -> tuple[str, ...]:
    """What the data say next to nothing of: finite standard errors beyond any use."""
    if vcov is None:
        return ()
    se = np.sqrt(np.maximum(vcov.diagonal(), 0.0))
    weak = np.isfinite(se) & (se > WEAK * np.maximum(1.0, np.abs(x)))
    if not weak.any():
        return ()
    names = [spec.table.free_names[i] for i in np.flatnonzero(weak)]
    return (
        f"weakly identified: {_names(names)} (standard errors above {WEAK:g}); fix or equate parameters, add items, or "
        "give priors",
    )


def _names(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - MOST} more" if len(unique) > MOST else ""
    return ", ".join(unique[:MOST]) + more


def _listed(values: dict[str, float], symbol: str) -> str:
    return _names([f"{name} ({symbol} = {value:.3g})" for name, value in values.items()])
