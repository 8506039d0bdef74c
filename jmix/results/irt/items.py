"""The table of items: slopes, intercepts, difficulties and asymptotes with standard errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.items import kind_of
from jmix.results.irt.numbers import Numbers, standard_error
from jmix.spec.irt.spec import Block, IrtSpec

FloatArray = npt.NDArray[np.float64]


class Column(NamedTuple):
    """One quantity of the items of a block: values (J,) and derivatives (J, p) in slopes and own parameters."""

    name: str
    values: FloatArray
    gradient: FloatArray


def item_table(numbers: Numbers, group: int, *, se: bool) -> pd.DataFrame:
    """Items of one group; see ``IrtFit.items``."""
    spec = numbers.spec
    values: dict[str, FloatArray] = {}
    errors: dict[str, FloatArray] = {}
    for block in spec.blocks:
        columns = list(block.columns)
        places = np.concatenate([block.slopes[group], block.own[group]], axis=1)
        covariance = numbers.covariance(places) if se else None
        for name, column, gradient in _columns(numbers, block, group):
            values.setdefault(name, np.full(len(spec.items), np.nan))[columns] = column
            if covariance is not None:
                variance = np.einsum("jp,jpq,jq->j", gradient, covariance, gradient)
                errors.setdefault(f"se_{name}", np.full(len(spec.items), np.nan))[columns] = standard_error(variance)
    names = sorted(values, key=_order)
    frame = {name: values[name] for name in names}
    frame |= {f"se_{name}": errors[f"se_{name}"] for name in names if errors}
    out = pd.DataFrame(frame, index=pd.Index(spec.items, name="item"))
    out["itemtype"] = list(spec.itemtypes)
    return out


def items(numbers: Numbers, group: str | None, *, se: bool) -> pd.DataFrame:
    """The items of one group, or of all: one table where all groups share their items."""
    spec = numbers.spec
    if group is not None:
        return item_table(numbers, group_number(spec, group), se=se)
    if same_items(spec, numbers.v):
        return item_table(numbers, 0, se=se)
    parts = []
    for g, name in enumerate(spec.groups):
        part = item_table(numbers, g, se=se)
        part.insert(0, "group", name)
        parts.append(part)
    return pd.concat(parts)


def group_number(spec: IrtSpec, group: Any) -> int:
    """The number of a group by its name.

    Raises:
        ModelError: there is no such group.
    """
    if str(group) not in spec.groups:
        raise ModelError(f"there is no group {group!r}; the groups are {', '.join(map(repr, spec.groups))}")
    return spec.groups.index(str(group))


def same_items(spec: IrtSpec, v: FloatArray) -> bool:
    """Whether all groups have the same item parameters."""
    arrays = [a for block in spec.blocks for a in (block.slopes, block.own)]
    return all(bool(np.all((a == a[:1]) | (v[a] == v[a[:1]]))) for a in arrays)


def _columns(numbers: Numbers, block: Block, group: int) -> list[Column]:
    a, own = numbers.v[block.slopes[group]], numbers.v[block.own[group]]
    names = kind_of(block.kind).names(block.n_categories)
    part = _Part(a, own, names, block.n_categories)
    slopes = ["a"] if a.shape[1] == 1 else [f"a{d + 1}" for d in range(a.shape[1])]
    found = [Column(name, a[:, d], part.unit(d)) for d, name in enumerate(slopes)]
    return found + _KINDS[block.kind](part)


class _Part:
    """Slopes a (J, D) and own parameters (J, m) of a block, with derivatives in both side by side."""

    def __init__(self, a: FloatArray, own: FloatArray, names: tuple[str, ...], n_categories: int) -> None:
        self.a, self.own, self.names, self.n_steps = a, own, names, n_categories - 1
        self.size = a.shape[1] + own.shape[1]

    def unit(self, i: int) -> FloatArray:
        """(J, p) derivative of parameter i."""
        out = np.zeros((self.a.shape[0], self.size))
        out[:, i] = 1.0
        return out

    def get(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Own parameter by name."""
        m = self.names.index(name)
        return self.own[:, m], self.unit(self.a.shape[1] + m)

    def column(self, name: str, shown: str | None = None) -> Column:
        """Own parameter as a column."""
        return Column(shown or name, *self.get(name))

    def numbered(self, letter: str, k: int) -> str:
        """The letter alone for an item with two categories, else with its number."""
        return letter if self.n_steps == 1 else f"{letter}{k}"

    def difficulty(self, name: str, d: FloatArray, gradient: FloatArray) -> Column:
        """``-d / a``; in several dimensions over the length of a (Reckase 1985)."""
        if self.a.shape[1] == 1:
            size, turned = self.a[:, 0], self.unit(0)
        else:
            size = np.sqrt((self.a**2).sum(axis=1))
            turned = np.zeros((len(size), self.size))
            with np.errstate(invalid="ignore", divide="ignore"):
                turned[:, : self.a.shape[1]] = self.a / size[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = -d / size
            slope = -gradient / size[:, None] + (d / size**2)[:, None] * turned
        flat = size == 0
        values[flat], slope[flat] = np.nan, 0.0
        return Column(name, values, slope)


def _logistic(part: _Part) -> list[Column]:
    d, gradient = part.get("d")
    return [Column("d", d, gradient), part.difficulty("b", d, gradient)]


def _asymptotes(part: _Part) -> list[Column]:
    from scipy.special import expit

    out = _logistic(part)
    for name in part.names[1:]:
        value, gradient = part.get(name)
        p = np.asarray(expit(value))
        out.append(Column("c" if name == "g" else name, p, gradient * (p * (1.0 - p))[:, None]))
    return out


def _cumulative(part: _Part) -> list[Column]:
    """Graded and sequential: a difficulty for each intercept."""
    out = []
    for k in range(1, part.n_steps + 1):
        d, gradient = part.get(f"d{k}")
        name = part.numbered("d", k), part.numbered("b", k)
        out += [Column(name[0], d, gradient), part.difficulty(name[1], d, gradient)]
    return out


def _partial_credit(part: _Part) -> list[Column]:
    """Intercepts are cumulative; neighbouring categories are equally likely at the difficulty of the step."""
    out = []
    before, before_gradient = np.zeros(part.a.shape[0]), np.zeros((part.a.shape[0], part.size))
    for k in range(1, part.n_steps + 1):
        d, gradient = part.get(f"d{k}")
        out.append(Column(part.numbered("d", k), d, gradient))
        out.append(part.difficulty(part.numbered("b", k), d - before, gradient - before_gradient))
        before, before_gradient = d, gradient
    return out


def _nominal(part: _Part) -> list[Column]:
    return [part.column(name) for name in part.names]


def _rating(sign: float) -> Callable[[_Part], list[Column]]:
    """Thresholds of each item, ``b_k - c`` of the partial-credit kind (sign 1), ``-(b_k + c)`` of the graded (-1)."""

    def columns(part: _Part) -> list[Column]:
        out = []
        a, a_gradient = part.get("a")
        c, c_gradient = part.get("c")
        total, total_gradient = np.zeros(len(a)), np.zeros((len(a), part.size))
        for k in range(1, part.n_steps + 1):
            b, gradient = part.get(f"b{k}")
            threshold, slope = sign * b - c, sign * gradient - c_gradient
            keep = sign > 0
            total, total_gradient = threshold + total * keep, slope + total_gradient * keep
            d = Column(part.numbered("d", k), -a * total, -a[:, None] * total_gradient - total[:, None] * a_gradient)
            out += [d, Column(part.numbered("b", k), threshold, slope)]
        return out

    return columns


_KINDS: dict[str, Callable[[_Part], list[Column]]] = {
    "logistic": _logistic,
    "logistic4": _asymptotes,
    "graded": _cumulative,
    "sequential": _cumulative,
    "gpcm": _partial_credit,
    "nominal": _nominal,
    "rsm": _rating(1.0),
    "grsm": _rating(-1.0),
}


def _order(name: str) -> tuple[int, int]:
    letters = name.rstrip("0123456789")
    return ("a", "ak", "d", "b", "c", "u").index(letters), int(name[len(letters) :] or 0)
