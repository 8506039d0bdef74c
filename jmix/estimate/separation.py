"""Separation: directions along which the likelihood rises without end, found by linear programming and named.

A direction ``d`` of the coefficients is one of recession when no row's likelihood falls along it and some row's rises:
for a binary
response ``x_i'd >= 0`` where y is 1 and ``x_i'd <= 0`` where it is 0 (Albert & Anderson 1984, Biometrika 71(1); linear
programme: Konis 2007, DPhil thesis, Oxford, section 2.2). Random effects shift every row of a group alike, so the
marginal likelihood rises along ``d`` too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

LARGEST = 4_000_000
"""Most numbers in the constraints of the linear programme; beyond, only a given direction is tested."""

SLACK = 1e-7
"""How far, on columns of size one, a direction may violate its conditions by rounding."""


@dataclass(frozen=True)
class Conditions:
    """What a direction of recession must satisfy: ``rising @ d >= 0``, not all zero, and ``level @ d = 0``.

    Attributes:
        rising: (m, p) rows times their sign. owner: (m,) the data row behind each. level: (k, p).
    """

    rising: FloatArray
    owner: npt.NDArray[np.int64]
    level: FloatArray


@dataclass(frozen=True)
class Recession:
    """A direction of recession.

    Attributes:
        direction: (p,), zero where a coefficient stays bounded. rows: the data rows whose likelihood rises along it.
    """

    direction: FloatArray
    rows: npt.NDArray[np.int64]

    @property
    def support(self) -> npt.NDArray[np.intp]:
        """Positions of the unbounded coefficients."""
        return np.flatnonzero(self.direction)


def binary_conditions(X: FloatArray, low: BoolArray, high: BoolArray) -> Conditions:
    """Conditions for rows whose likelihood rises as eta falls (``low``), as it rises (``high``), or neither.

    Args:
        X: (n, p). low: (n,) responses at their least, e.g. y = 0. high: (n,) at their greatest, e.g. y = m of m trials.
    """
    owner = np.flatnonzero(low | high)
    sign = np.where(high[owner], 1.0, -1.0)
    return Conditions(sign[:, None] * X[owner], owner, X[~(low | high)])


def ordinal_conditions(X: FloatArray, codes: npt.NDArray[np.int64], k: int) -> Conditions:
    """Conditions on ``[beta, tau_1 .. tau_{K-1}]`` for ``P(Y <= c) = F(tau_c - x'beta)``.

    Args:
        X: (n, p). codes: (n,) categories 0 .. k - 1.
    """
    eye = np.eye(k - 1)
    below, above = np.flatnonzero(codes < k - 1), np.flatnonzero(codes > 0)
    upper = np.hstack([-X[below], eye[codes[below]]])
    lower = np.hstack([X[above], -eye[codes[above] - 1]])
    return Conditions(np.vstack([upper, lower]), np.concatenate([below, above]), np.zeros((0, X.shape[1] + k - 1)))


def find_recession(conditions: Conditions, guess: FloatArray | None = None) -> Recession | None:
    """A direction of recession with as large a sum of rises as any in the unit box, or None when there is none.

    Args:
        guess: (p,) a direction to test where the programme would be too large.
    """
    scale = _scales(conditions)
    rising, level = conditions.rising / scale, _independent_rows(conditions.level / scale)
    if level.shape[0] >= scale.size or not rising.shape[0]:
        return None
    distinct = _distinct_rows(rising)
    if distinct.size <= LARGEST:
        direction = _programme(distinct, level)
    else:
        direction = None if guess is None else _checked(rising, level, guess * scale)
    if direction is None:
        return None
    rises = rising @ direction > SLACK * np.maximum(np.abs(rising).sum(axis=1), 1.0)
    rows = np.unique(conditions.owner[rises])
    return Recession(direction / scale, rows) if rows.size else None


def _scales(conditions: Conditions) -> FloatArray:
    both = np.zeros(conditions.rising.shape[1])
    for part in (conditions.rising, conditions.level):
        if part.shape[0]:
            both = np.maximum(both, np.abs(part).max(axis=0))
    return np.where(both > 0, both, 1.0)


def _independent_rows(level: FloatArray) -> FloatArray:
    """A basis of the rows, from their cross-product."""
    if not level.shape[0]:
        return level
    values, vectors = np.linalg.eigh(level.T @ level)
    return np.asarray(vectors[:, values > 1e-12 * max(float(values[-1]), 1e-300)].T)


def _distinct_rows(rows: FloatArray) -> FloatArray:
    packed = np.ascontiguousarray(rows + 0.0)
    keys = packed.view(np.dtype((np.void, packed.dtype.itemsize * packed.shape[1]))).ravel()
    return packed[np.unique(keys, return_index=True)[1]]


def _programme(rising: FloatArray, level: FloatArray) -> FloatArray | None:
    from scipy.optimize import linprog

    p = rising.shape[1]
    found = linprog(
        -rising.mean(axis=0),
        A_ub=-rising,
        b_ub=np.zeros(rising.shape[0]),
        A_eq=level if level.shape[0] else None,
        b_eq=np.zeros(level.shape[0]) if level.shape[0] else None,
        bounds=[(-1.0, 1.0)] * p,
        method="highs",
    )
    if found.x is None:
        return None
    direction = np.where(np.abs(found.x) > SLACK, found.x, 0.0)
    return direction if np.any(rising @ direction > SLACK * rising.shape[1]) else None


def _checked(rising: FloatArray, level: FloatArray, guess: FloatArray) -> FloatArray | None:
    """The guess, cleaned of small entries, if it satisfies the conditions."""
    size = float(np.abs(guess).max(initial=0.0))
    if not np.isfinite(size) or size == 0.0:
        return None
    direction = np.where(np.abs(guess) > 1e-4 * size, guess / size, 0.0)
    fine = np.all(rising @ direction >= -SLACK) and np.all(np.abs(level @ direction) <= SLACK)
    return direction if fine and np.any(rising @ direction > SLACK) else None


@dataclass(frozen=True)
class Wording:
    """The words for the two ends of a response.

    Attributes:
        low, high: what a response at its least or greatest is called, e.g. "0" and "1". noun: what a row holds.
    """

    low: str
    high: str
    noun: str = "responses"


def describe(
    found: Recession,
    X: FloatArray,
    names: Sequence[str],
    low: BoolArray,
    high: BoolArray,
    wording: Wording,
    factors: dict[str, list[str]] | None = None,
) -> list[str]:
    """Which columns, and which of their levels, make some estimates unbounded: one sentence each.

    Args:
        found: its direction may be longer than ``names``: thresholds follow the columns. factors: levels of each
            factor among the columns' variables, the names of whose indicator columns are factor and level together.
    """
    rows = _Rows(X, tuple(names), low, high, wording)
    p = len(names)
    support = [int(j) for j in found.support if j < p]
    levels = [(text, part) for j in support if (text := rows.of_level(j)) for part in [X[:, j] == 1.0]]
    covered = np.any([part for _, part in levels], axis=0) if levels else np.zeros(X.shape[0], dtype=np.bool_)
    if levels and np.all(covered[found.rows]):
        return [text for text, _ in levels]
    reference = _reference(rows, found, support, factors or {})
    if reference:
        return [reference]
    return [rows.of_combination(found, support)]


@dataclass(frozen=True)
class _Rows:
    X: FloatArray
    names: tuple[str, ...]
    low: BoolArray
    high: BoolArray
    wording: Wording

    def constant(self, part: BoolArray) -> str:
        """What all responses of a part are, or ''."""
        for flag, word in ((self.low, self.wording.low), (self.high, self.wording.high)):
            if part.any() and np.all(flag[part]):
                return f"all {int(part.sum())} {self.wording.noun} of {{}} are {word}"
        return ""

    def of_level(self, j: int) -> str:
        column = self.X[:, j]
        indicator = bool(np.all((column == 0.0) | (column == 1.0)))
        text = self.constant(column == 1.0) if indicator else ""
        if not text:
            return ""
        every = bool(np.all(column == 1.0))
        whole = "the data" if every else ("this cell" if ":" in self.names[j] else "this level")
        return f"{self.names[j]}: {text.format(whole)}; its estimate is unbounded"

    def of_combination(self, found: Recession, support: Sequence[int]) -> str:
        names = [self.names[j] for j in support]
        shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
        slopes = [j for j in support if not np.all(self.X[:, j] == self.X[0, j])]
        if len(slopes) == 1 and not len(found.direction) > len(self.names):
            cut = self._cut(slopes[0], found)
            if cut:
                return f"{self.names[slopes[0]]}: {cut}; the estimates of {shown} are unbounded"
        ends = f"{self.wording.low} from {self.wording.high}"
        if not names:
            return "the thresholds alone separate the responses; they are unbounded"
        many = "these estimates are" if len(names) > 1 else "its estimate is"
        head = f"{shown}: {'a combination of these columns' if len(slopes) > 1 else 'this column'}"
        return f"{head} separates the responses {ends}; {many} unbounded"

    def _cut(self, j: int, found: Recession) -> str:
        """Where along a single column the responses change."""
        column, sign = self.X[:, j], np.sign(found.direction[j])
        ups, downs = column[self.high], column[self.low]
        if not (ups.size and downs.size):
            return ""
        above, below = (self.wording.high, self.wording.low) if sign > 0 else (self.wording.low, self.wording.high)
        upper, lower = (ups, downs) if sign > 0 else (downs, ups)
        if upper.min() < lower.max():
            return ""
        low, high, all_ = lower.max(), upper.min(), f"every one of the {self.wording.noun}"
        if low < high:
            return f"{all_} up to {low:.6g} is {below} and every one from {high:.6g} on is {above}"
        return f"{all_} below {low:.6g} is {below} and every one above is {above}; both occur at {low:.6g}"


def _reference(rows: _Rows, found: Recession, support: Sequence[int], factors: dict[str, list[str]]) -> str:
    """A sentence when the separated rows are those of a factor's reference level."""
    for label, levels in factors.items():
        own = {level: rows.names.index(label + level) for level in levels if label + level in rows.names}
        missing = [level for level in levels if level not in own]
        if len(missing) != 1 or not own or not set(own.values()) <= set(support):
            continue
        part = np.all(rows.X[:, list(own.values())] == 0.0, axis=1)
        text = rows.constant(part)
        if text and np.all(part[found.rows]):
            return (
                f"{label}: {text.format(f'its reference level {missing[0]}')}; the estimates of "
                f"{', '.join(rows.names[j] for j in support)} are unbounded"
            )
    return ""
