"""Whether a model is identified, as far as its structure tells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.items.kinds import kind_of
from jmix.spec.irt.identify_rotation import check_rotation
from jmix.spec.irt.spec import IrtSpec

BoolArray = npt.NDArray[np.bool_]

SLOPED = ("d", "d1", "c", "b1")
"""Own parameters that move an item along the trait."""


def check_identified(spec: IrtSpec) -> None:
    """Refuse a model whose location or scale is free in some direction that no item and no prior holds.

    Necessary conditions only, by factor and group: a free standard deviation needs an item whose slope is fixed or
    shared with a group whose scale is fixed; a free mean needs an item whose intercepts are; a factor of its own needs
    two items, or a fixed slope; one or two items have no more parameters than response patterns; a rotation of the
    factors changes the likelihood.

    Raises:
        ModelError: naming the factor, the group and the remedy.
    """
    known = np.ones(len(spec.table.names), dtype=np.bool_)
    known[spec.table.free] = False
    for place, prior in enumerate(spec.table.priors):
        known[place] |= prior is not None
    for part in spec.linear:
        known[part.target] = known[part.source].all()
    _check_count(spec, known)
    _check_scale(spec, known)
    for k in range(spec.n_factors):
        _check_location(spec, known, k)
        _check_items(spec, known, k)
    check_rotation(spec)


def _check_count(spec: IrtSpec, known: BoolArray) -> None:
    """One or two items have no more parameters than probabilities of response patterns."""
    if len(spec.items) > 2 or spec.regression is not None or spec.cluster_sd is not None:
        return
    patterns = len(spec.groups) * (math.prod(block.n_categories ** len(block.columns) for block in spec.blocks) - 1)
    free = int((~known[spec.table.free]).sum())
    if free > patterns:
        raise ModelError(
            f"{len(spec.items)} items have {patterns} free probabilities of response patterns, but the model has "
            f"{free} parameters; add items, or fix parameters or make them equal"
        )


def _slopes(spec: IrtSpec, k: int) -> tuple[npt.NDArray[np.int32], BoolArray]:
    """(G, J') places of the slopes of the items that load on a factor, and (J',) their columns."""
    places, columns = [], []
    for block in spec.blocks:
        places.append(block.slopes[:, :, k])
        columns.append(np.array(block.columns))
    found = np.concatenate(places, axis=1)
    loads = np.isin(found, spec.table.free) | (spec.table.values[found] != 0.0)
    targets = [part.target for part in spec.linear]
    if targets:
        loads |= np.isin(found, np.concatenate(targets))
    rows = loads.any(axis=0)
    return found[:, rows], np.concatenate(columns)[rows]


def _check_scale(spec: IrtSpec, known: BoolArray) -> None:
    """Also a slope that is shared with another factor whose scale is held, as in testlet models, holds a scale."""
    slopes = [_slopes(spec, k)[0] for k in range(spec.n_factors)]
    places = [slopes[k][g] for g in range(len(spec.groups)) for k in range(spec.n_factors)]
    held = _spread(known[spec.sd].ravel(), places, known)
    if not held.all():
        group, k = divmod(int(np.flatnonzero(~held)[0]), spec.n_factors)
        raise ModelError(
            f"the standard deviation of {_where(spec, k, group)} and all slopes on it are free: only their product is "
            f"identified. Fix {_name('sd', spec, k, group)} at 1, or fix the slope of an item"
        )


def _check_location(spec: IrtSpec, known: BoolArray, k: int) -> None:
    _, columns = _slopes(spec, k)
    wanted = set(columns.tolist())
    own = []
    for block in spec.blocks:
        rows = [at for at, j in enumerate(block.columns) if j in wanted]
        names = kind_of(block.kind).names(block.n_categories)
        moved = [m for m, name in enumerate(names) if name in SLOPED and not (name == "c" and "d" in names)]
        for m in moved:
            own.append(block.own[:, rows, m])
    held = _spread(known[spec.mean[:, k]], list(np.concatenate(own, axis=1)), known)
    if not held.all() and not spec.linear:
        group = int(np.flatnonzero(~held)[0])
        raise ModelError(
            f"the mean of {_where(spec, k, group)} and all intercepts of its items are free: only their sum is "
            f"identified. Fix {_name('mean', spec, k, group)} at 0, fix the intercept of an item, or let groups share "
            "items (equal_items)"
        )


def _spread(held: BoolArray, places: Sequence[npt.NDArray[np.int32]], known: BoolArray) -> BoolArray:
    """(n,) which of n distributions are held by a known number, or by one that they share with another that is held."""
    held = held | np.array([bool(known[mine].any()) for mine in places])
    fixed = np.zeros(known.size, dtype=np.bool_)
    while True:
        for i in np.flatnonzero(held).tolist():
            fixed[places[i]] = True
        more = held | np.array([bool(fixed[mine].any()) for mine in places])
        if (more == held).all():
            return held
        held = more


def _check_items(spec: IrtSpec, known: BoolArray, k: int) -> None:
    slopes, columns = _slopes(spec, k)
    if columns.size == 0:
        raise ModelError(f"no item has a slope on factor {spec.factors[k]} that is not zero; leave the factor out")
    if columns.size == 1 and not known[slopes[0, 0]] and known[spec.sd[0, k]] and _alone(spec, k):
        raise ModelError(
            f"factor {spec.factors[k]} has only the item '{spec.items[columns[0]]}' and is not correlated with "
            "others, so that its slope is not identified; give it another item, or leave the factor out"
        )


def _alone(spec: IrtSpec, k: int) -> bool:
    d = spec.n_factors
    pairs = [(i, j) for i in range(d) for j in range(i)]
    mine = [at for at, pair in enumerate(pairs) if k in pair]
    return not np.isin(spec.corr[:, mine], spec.table.free).any() if mine else True


def _where(spec: IrtSpec, k: int, group: int) -> str:
    return f"factor {spec.factors[k]}" + (f" in group '{spec.groups[group]}'" if len(spec.groups) > 1 else "")


def _name(what: str, spec: IrtSpec, k: int, group: int) -> str:
    return f"{what}[{spec.factors[k]}" + (f"|{spec.groups[group]}]" if len(spec.groups) > 1 else "]")
