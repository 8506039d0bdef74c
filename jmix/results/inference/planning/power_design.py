"""Designs with more or fewer groups than a pilot's, made of the pilot's groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design, RandomTerm
from jmix.design_response import GlmmDesign, Side
from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Pool:
    """The groups of a pilot design, from which others are made.

    Attributes:
        group: the grouping factor; None without random terms, where every row is a group. rows: of each group, in the
            order in which groups are taken. terms: the random terms of the pilot.
    """

    group: str | None
    rows: tuple[IntArray, ...]
    terms: tuple[RandomTerm, ...]

    def chosen(self, n_groups: int, n_per_group: int | None) -> tuple[IntArray, IntArray]:
        """The row of the pilot behind each row of the new design, and the new group of each.

        Groups beyond the pilot's repeat its covariate patterns; rows beyond a group's own repeat its rows.
        """
        rows = []
        for k in range(n_groups):
            own = self.rows[k % len(self.rows)]
            rows.append(own if n_per_group is None else own[np.arange(n_per_group) % own.size])
        return np.concatenate(rows), np.repeat(np.arange(n_groups), [r.size for r in rows])


def pool(design: Any, terms: tuple[RandomTerm, ...], group: str | None, seed: int) -> Pool:
    """The groups of a design in an order of which any beginning has the between-group covariates in proportion.

    Raises:
        ModelError: a grouping factor that the model does not have, or several to choose from.
    """
    base = design.base if isinstance(design, GlmmDesign) else design
    if not terms:
        order = np.random.default_rng(seed).permutation(base.X.shape[0])
        return Pool(None, tuple(order[:, None]), terms)
    name = group_of(terms, group)
    term = next(t for t in terms if t.group == name)
    members = np.argsort(term.codes, kind="stable")
    ends = np.cumsum(np.bincount(term.codes, minlength=len(term.levels)))
    rows = [r for r in np.split(members, ends[:-1]) if r.size]
    order = _interleaved(np.asarray(base.X), rows, seed)
    return Pool(name, tuple(rows[k] for k in order), terms)


def group_of(terms: tuple[RandomTerm, ...], group: str | None) -> str:
    """The grouping factor whose levels are the groups: the one that holds all others, where none is named."""
    names = list(dict.fromkeys(t.group for t in terms))
    if group is not None:
        if group not in names:
            raise ModelError(f"group={group!r}: the grouping factors are {', '.join(names)}")
        return group
    first = {t.group: t for t in terms}
    for name in names:
        if all(_nested(first[other], first[name]) for other in names):
            return name
    raise ModelError(
        f"the grouping factors {', '.join(names)} are crossed: say with group= which of them n_groups counts"
    )


def _nested(inner: RandomTerm, outer: RandomTerm) -> bool:
    """Whether every level of one factor lies within one level of the other."""
    pairs = pd.MultiIndex.from_arrays([inner.codes, outer.codes]).unique()
    return len(pairs) == np.unique(inner.codes).size


def _interleaved(X: FloatArray, rows: list[IntArray], seed: int) -> IntArray:
    """Groups so that strata of equal between-group covariates take turns in proportion to their sizes."""
    constant = np.array([np.all([np.ptp(X[r, j]) == 0.0 for r in rows]) for j in range(X.shape[1])])
    patterns = np.array([X[r[0], constant] for r in rows]).reshape(len(rows), -1)
    stratum = np.unique(patterns, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.random.default_rng(seed).permutation(len(rows))
    sizes, seen = np.bincount(stratum), np.zeros(stratum.max() + 1, dtype=int)
    turn = np.empty(len(rows))
    for k in order:
        turn[k] = (seen[stratum[k]] + 0.5) / sizes[stratum[k]]
        seen[stratum[k]] += 1
    return np.lexsort((stratum, turn))


STEP = 8
"""Sizes within this factor have arrays of one shape, so that one program serves them."""


def shaped_as(n_groups: int, largest: int) -> int:
    """The number of groups whose arrays a design uses, where the largest one has ``largest``."""
    while largest // STEP >= n_groups:
        largest //= STEP
    return largest


def extended(
    design: Any, own: Pool, n_groups: int, n_per_group: int | None, largest: int
) -> tuple[Any, tuple[RandomTerm, ...]]:
    """The design of so many groups, and its random terms.

    Its arrays are those of a larger one: with empty levels in a linear model, with rows of weight zero in a generalized
    one.

    Raises:
        ModelError: a design whose model matrix has lost its rank.
    """
    general, shape = isinstance(design, GlmmDesign), shaped_as(n_groups, largest)
    rows, group = own.chosen(shape if general else n_groups, n_per_group)
    one_factor = len({t.group for t in own.terms}) == 1
    terms = _terms(own, rows, group, shape if one_factor else 0)
    base = design.base if general else design
    X = np.asfortranarray(np.asarray(base.X)[rows])
    used = group < n_groups
    _check_rank(X[used], n_groups)
    new = _linear(base, X, rows, terms)
    if not general:
        return new, terms
    weights = _taken(design.weights, rows)
    weights = used.astype(np.float64) if weights is None else np.where(used, weights, 0.0)
    response = replace(design.response, y=new.y, size=_taken(design.response.size, rows))
    return replace(
        design,
        base=new,
        response=response,
        weights=weights,
        disp=_side(design.disp, rows),
        zi=_side(design.zi, rows),
    ), terms


def _check_rank(X: FloatArray, n_groups: int) -> None:
    size = np.sqrt(np.sum(X * X, axis=0))
    if np.linalg.matrix_rank(X / np.where(size > 0, size, 1.0)) < X.shape[1]:
        raise ModelError(
            f"{n_groups} groups of the pilot do not determine all fixed effects: take more groups, or drop predictors"
        )


def _linear(base: Design, X: FloatArray, rows: IntArray, terms: tuple[RandomTerm, ...]) -> Design:
    return replace(
        base,
        X=X,
        y=np.asarray(base.y)[rows],
        weights=_taken(base.weights, rows),
        offset=_taken(base.offset, rows),
        random=terms,
        n_missing=0,
        index=pd.RangeIndex(rows.size),
    )


def _taken(values: Any, rows: IntArray) -> Any:
    return None if values is None else np.asarray(values)[rows]


def _side(side: Side | None, rows: IntArray) -> Side | None:
    return None if side is None else replace(side, X=np.asfortranarray(np.asarray(side.X)[rows]))


def _terms(own: Pool, rows: IntArray, group: IntArray, levels: int) -> tuple[RandomTerm, ...]:
    """Random terms for the rows: new levels of the grouping factor and of those within it; crossed ones keep theirs."""
    out = []
    outer = next((t for t in own.terms if t.group == own.group), None)
    for term in own.terms:
        columns = tuple(np.asarray(c)[rows] for c in term.columns)
        if term.group == own.group:
            names = [f"{k + 1}" for k in range(max(levels, int(group.max()) + 1))]
            out.append(replace(term, levels=names, codes=group.astype(np.int32), columns=columns))
            continue
        assert outer is not None
        old = term.codes[rows]
        if _nested(term, outer):
            _, codes = np.unique(np.stack([group, old]), axis=1, return_inverse=True)
        else:
            codes = np.unique(old, return_inverse=True)[1]
        names = [f"{k + 1}" for k in range(int(codes.max()) + 1)]
        out.append(replace(term, levels=names, codes=codes.reshape(-1).astype(np.int32), columns=columns))
    return tuple(out)
