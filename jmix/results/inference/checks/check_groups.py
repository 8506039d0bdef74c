"""Groups of rows: the levels of a grouping factor of the model, or labels that the user gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError

if TYPE_CHECKING:
    from jmix.results.base import FitBase

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowGroups:
    """The group of every row.

    Attributes:
        name: of the grouping. levels: G labels. codes: (n,) group of each row.
    """

    name: str
    levels: list[str]
    codes: IntArray

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.levels)

    @property
    def counts(self) -> IntArray:
        """(G,) rows of each group."""
        return np.bincount(self.codes, minlength=self.n_groups)

    def sums(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(G, ...) sums over the rows of each group of values (n, ...)."""
        flat = values.reshape(values.shape[0], -1)
        order = np.argsort(self.codes, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        return np.add.reduceat(flat[order], starts, axis=0).reshape(self.n_groups, *values.shape[1:])


def row_groups(fit: FitBase, group: Any, *, what: str) -> RowGroups:
    """The groups that a user means.

    Args:
        group: the name of a grouping factor of the model; or one label a row: an array of the rows of the fit, or a
            Series with the index of the data, from which the rows of the fit are taken. what: the caller, for messages.

    Raises:
        ModelError: a name that the model does not have. DataError: labels of another length, or missing ones.
    """
    if isinstance(group, str):
        for term in fit.terms:
            if term.group == group:
                return used(RowGroups(group, list(term.levels), np.asarray(term.codes, dtype=np.int64)))
        known = ", ".join(map(repr, fit.ngrps())) or "none"
        raise ModelError(
            f"{what}: {group!r} is not a grouping factor of the model, which has {known}; for other groups give one "
            f"label a row, such as data[{group!r}]"
        )
    return _labelled(fit, group, what)


def _labelled(fit: FitBase, group: Any, what: str) -> RowGroups:
    name = str(group.name) if isinstance(group, pd.Series) and group.name is not None else "group"
    if isinstance(group, pd.Series) and group.index.is_unique and fit.base.index.isin(group.index).all():
        labels = group.loc[fit.base.index]
    else:
        labels = pd.Series(np.asarray(group).reshape(-1))
    if len(labels) != fit.nobs:
        raise DataError(f"{what}: {len(labels)} labels for the {fit.nobs} rows of the fit; give one a row")
    try:
        codes, levels = pd.factorize(labels, sort=True)
    except TypeError:  # labels of several types have no order
        codes, levels = pd.factorize(labels)
    if (codes < 0).any():
        raise DataError(
            f"{what}: {int((codes < 0).sum())} of the labels of {name!r} are missing; give one for every row"
        )
    return RowGroups(name, [str(v) for v in levels], np.asarray(codes, dtype=np.int64))


def used(groups: RowGroups) -> RowGroups:
    """The groups without levels that have no rows."""
    counts = groups.counts
    if counts.all():
        return groups
    kept = np.flatnonzero(counts)
    place = np.cumsum(counts > 0) - 1
    return RowGroups(groups.name, [groups.levels[i] for i in kept], place[groups.codes])


def nested_in(fine: npt.NDArray[Any], coarse: npt.NDArray[Any]) -> bool:
    """Whether every level of ``fine`` (n,) lies within one level of ``coarse`` (n,)."""
    first = np.empty(int(fine.max()) + 1, dtype=np.int64)
    first[fine] = coarse
    return bool(np.array_equal(first[fine], coarse))


def crossing(fit: FitBase, codes: npt.NDArray[Any]) -> list[str]:
    """The grouping factors of the model whose levels reach over several groups of rows."""
    each = {term.group: term.codes for term in fit.terms}
    return [name for name, own in each.items() if not nested_in(own, codes)]


def coarsest(fit: FitBase) -> str | None:
    """The grouping factor in which all others are nested, or None; that of most levels where several are."""
    each = {term.group: term.codes for term in fit.terms}
    found = [name for name, codes in each.items() if not crossing(fit, codes)]
    return max(found, key=lambda name: len(np.unique(each[name]))) if found else None


def rows_as_groups(fit: FitBase) -> RowGroups:
    """Every row a group of its own, named by the index."""
    return RowGroups("row", [str(v) for v in fit.base.index], np.arange(fit.nobs))
