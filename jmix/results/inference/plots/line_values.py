"""Lines of groups: the fitted response over the range of a variable, others at what is typical of the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.by_group import regress_by_group
from jmix.formula.raw import as_column
from jmix.formula.values import Categories

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

POINTS = 41


@dataclass(frozen=True, eq=False)
class GroupLines:
    """The lines of one group.

    Attributes:
        x, y: (m,) the data of the group, x as codes of a factor. at: (k,) where the lines are evaluated.
        population, partial: (k,) the fitted response without random effects, and with them.
        unpooled: (k,) of the regression on the group's rows alone; None where there is none.
    """

    level: str
    x: FloatArray
    y: FloatArray
    at: FloatArray
    population: FloatArray
    partial: FloatArray
    unpooled: FloatArray | None


@dataclass(frozen=True, eq=False)
class Along:
    """The variable of the horizontal axis: its values on the rows, and where lines are evaluated."""

    name: str
    values: FloatArray
    levels: tuple[str, ...]
    raw: Any

    def grid(self, rows: npt.NDArray[np.intp]) -> FloatArray:
        """Places within the range of some rows; of a factor its levels there."""
        values = self.values[rows]
        if self.levels:
            return np.unique(values)
        return np.linspace(values.min(), values.max(), POINTS) if values.max() > values.min() else values[:1]

    def column(self, at: FloatArray) -> Any:
        """The places as a column of data."""
        if self.levels:
            return as_column(replace(self.raw, codes=at.astype(np.int32)))
        return at


def along(fit: FitBase, x: str | None, group: str) -> Along:
    """The variable asked for; by default the first random slope's, else the first numeric column of the formula.

    Raises:
        ModelError: the formula has no such column, or the fit does not know its data.
    """
    columns = fit.base.columns
    if columns is None:
        raise ModelError("this fit comes from a file that does not hold the columns of the data; fit it again")
    numeric = [name for name, value in columns.items() if not isinstance(value, Categories)]
    if x is None:
        slopes = [name for name in fit.group_columns(group) if name in numeric]
        if not (slopes or columns):
            raise ModelError("the formula has no variable to draw lines along")
        x = (slopes or numeric or list(columns))[0]
    if x not in columns:
        raise ModelError(f"x={x!r}: the formula has no such variable; it has {', '.join(columns) or 'none'}")
    value = columns[x]
    if isinstance(value, Categories):
        return Along(x, value.codes.astype(np.float64), tuple(value.levels), value)
    return Along(x, np.asarray(value, dtype=np.float64), (), value)


def group_lines(fit: FitBase, path: Along, group: str, levels: Sequence[int], *, unpooled: bool) -> list[GroupLines]:
    """The lines of some levels of a grouping factor."""
    codes = fit.terms[fit.spec.members(group)[0]].codes
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(fit.group_levels(group))))
    y = observed(fit)
    members = [order[(0 if j == 0 else ends[j - 1]) : ends[j]] for j in levels]
    grids = [path.grid(rows) for rows in members]
    tables = [_typical(fit, path, rows, at) for rows, at in zip(members, grids, strict=True)]
    table = {name: _concatenate([t[name] for t in tables]) for name in tables[0]}
    population, partial, X = _fitted(fit, table, members, grids)
    basis = _basis(fit, X, grids)
    own = _unpooled(fit, y, codes, basis) if unpooled else None
    cuts = np.cumsum([at.size for at in grids])[:-1]
    rows_of = zip(levels, members, grids, np.split(population, cuts), np.split(partial, cuts), np.split(X, cuts),
                  strict=True)  # fmt: skip
    return [
        GroupLines(
            fit.group_levels(group)[j], path.values[rows], y[rows], at, low, high,
            None if own is None or not np.isfinite(own[j]).all() else _with_intercept(part[:, basis]) @ own[j],
        )
        for j, rows, at, low, high, part in rows_of
    ]  # fmt: skip


def observed(fit: Any) -> FloatArray:
    """(n,) the response on the scale of its mean."""
    if not hasattr(fit, "family"):
        return np.asarray(fit.base.y)
    from jmix.results.glmm_residuals import proportions

    return np.asarray(proportions(fit), dtype=np.float64)


# --- rows to evaluate -----------------------------------------------------------------------------------------------
def _typical(fit: FitBase, path: Along, rows: npt.NDArray[np.intp], at: FloatArray) -> dict[str, Any]:
    """The columns of the formula at each place: the mean of numbers, the most frequent level of factors."""
    table: dict[str, Any] = {}
    for name, value in (fit.base.columns or {}).items():
        if name == path.name:
            table[name] = path.column(at)
        elif isinstance(value, Categories):
            code = np.bincount(value.codes[rows]).argmax()
            table[name] = as_column(replace(value, codes=np.full(at.size, code, dtype=np.int32)))
        else:
            table[name] = np.full(at.size, np.asarray(value)[rows].mean())
    return table


def _concatenate(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], pd.Categorical):
        return pd.Categorical.from_codes(np.concatenate([part.codes for part in parts]), dtype=parts[0].dtype)
    return np.concatenate(parts)


def _fitted(
    fit: Any, table: dict[str, Any], members: Sequence[npt.NDArray[np.intp]], grids: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expected responses without and with the random effects, and the fixed-effects matrix, of the places."""
    n = sum(at.size for at in grids)
    needed = fit.base.encoding.parsed.columns(response=False, random=True)
    table = table | {name: np.full(n, "") for name in needed if name not in table}
    new = fit.base.encoding.encode(table, response=False, random=True)
    population = new.X @ fit.beta + _offset(fit, new, members, grids)
    partial = population.copy()
    sizes = np.array([at.size for at in grids])
    seen: dict[str, int] = {}
    for place in fit.base.term_order:
        term, block = fit.base.random[place], new.random[place]
        start = seen.get(term.group, 0)
        codes = np.repeat([_only(term.codes[rows]) for rows in members], sizes)
        effects = fit.modes[term.group][codes, start : start + len(term.names)]
        part = np.einsum("ij,ij->i", np.stack(block.columns, axis=1), effects)
        partial += np.where(codes >= 0, part, 0.0)
        seen[term.group] = start + len(term.names)
    return _response(fit, population, table), _response(fit, partial, table), np.asarray(new.X)


def _only(codes: npt.NDArray[np.int32]) -> int:
    """The level that all rows of a group have, as of a factor that the group is nested in; -1 where there are more."""
    return int(codes[0]) if (codes == codes[0]).all() else -1


def _offset(fit: Any, new: Any, members: Sequence[npt.NDArray[np.intp]], grids: Sequence[FloatArray]) -> Any:
    if fit.base.encoding.offset_array:
        means = [fit.base.offset[rows].mean() for rows in members]
        return np.repeat(means, [at.size for at in grids])
    return 0.0 if new.offset is None else new.offset


def _response(fit: Any, eta: FloatArray, table: dict[str, Any]) -> FloatArray:
    """The expected response of linear predictors; of a linear mixed model they are it."""
    if not hasattr(fit, "family"):
        return eta
    from jmix.results.glmm_inputs import Inputs
    from jmix.results.glmm_predict import target_of

    if fit.family.name == "cumulative":
        raise ModelError("the response of a cumulative model is a category; predict(type='probs') gives its curves")
    sides: dict[str, Any] = {}
    for name, field in (("disp", "log_phi"), ("zi", "zi")):
        side = getattr(fit.design, name)
        if side is not None:
            X = side.encoding.encode(table, response=False, random=False).X
            sides[field] = X @ getattr(fit.solution, name)
    inputs = Inputs(eta=eta, nu=fit.nu, **sides)
    return np.asarray(target_of(fit, "response").value(inputs), dtype=np.float64)


# --- separate regressions -------------------------------------------------------------------------------------------
def _basis(fit: FitBase, X: FloatArray, grids: Sequence[FloatArray]) -> list[int]:
    """Columns of the model matrix that vary along the axis within a group; interactions with other variables not."""
    cuts = np.cumsum([at.size for at in grids])[:-1]
    moving = np.any([np.ptp(part, axis=0) > 0 for part in np.split(X, cuts)], axis=0)
    return [j for j, name in enumerate(fit.x_names) if moving[j] and ":" not in name]


def _unpooled(fit: FitBase, y: FloatArray, codes: npt.NDArray[np.int32], basis: Sequence[int]) -> FloatArray:
    """(J, k) coefficients of every group's own regression on an intercept and the basis."""
    x = _with_intercept(fit.base.X[:, basis])
    return regress_by_group(x, y, codes, int(codes.max()) + 1, fit.base.weights).beta


def _with_intercept(x: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(x)), x])
