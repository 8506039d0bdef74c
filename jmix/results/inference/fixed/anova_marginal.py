"""Hypotheses of type III that do not depend on how the factors are coded.

The terms' effects are written in the over-parametrised model with one column a level of every factor. Its estimable
functions give the hypotheses of type III by making each term orthogonal to those that contain it (Goodnight 1978, SAS
Technical Report R-101; SAS/STAT, "The Four Types of Estimable Functions"), as lmerTest does. No data are needed: every
column of the over-parametrised model is a linear combination of the model's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.formula.coding import INTERCEPT
from jmix.formula.contrasts import contrast_matrix
from jmix.formula.rank import independent_columns
from jmix.results.inference.fixed.terms import TermTable

FloatArray = npt.NDArray[np.float64]
Pieces = Mapping[str, FloatArray]
"""Of a product of variables: values over the levels (L,) of each factor, or over the columns (w,) of each number."""

ZERO = 1e-8
"""Size of coefficients that are zero but for rounding."""


def marginal_hypotheses(table: TermTable) -> dict[str, FloatArray]:
    """The rows (m, p) of each term's hypothesis of type III; m = 0 where nothing of it can be estimated.

    Raises:
        ModelError: a term whose factors are not within the span of the model.
    """
    if not table.labels:
        return {}
    coder = _Coordinates(table)
    names, columns = coder.all_levels()
    own = _treatment_columns(table, columns, names)
    basis = columns[:, own]  # the model's coordinates of a treatment coding of full rank
    inverse = np.linalg.inv(basis)
    general = _clean((inverse @ columns).T)  # (K, p) estimable functions, columns as in the treatment coding
    blocks = {label: [i for i, j in enumerate(own) if names[j][0] == label] for label in table.labels}
    order = sorted(table.labels, key=lambda label: -len(table.variables[label]))
    for label in order:
        above = [i for other in table.containing(label) for i in blocks[other]]
        if above and blocks[label]:
            block, over = general[:, blocks[label]], general[:, above]
            general[:, blocks[label]] = _clean(block - over @ np.linalg.lstsq(over, block, rcond=None)[0])
    rows = general[own]
    found = {label: rows[:, blocks[label]].T @ inverse for label in table.labels}
    kept = {label: L[np.abs(L).sum(axis=1) > ZERO] for label, L in found.items()}
    return {label: coder.without_thresholds(L) for label, L in kept.items()}


def _clean(values: FloatArray) -> FloatArray:
    return np.where(np.abs(values) < ZERO * max(1.0, float(np.abs(values).max(initial=0.0))), 0.0, values)


def _treatment_columns(table: TermTable, columns: FloatArray, names: list[tuple[str, tuple[int, ...]]]) -> list[int]:
    """Which columns of the over-parametrised model make up R's treatment coding, less those that depend on others."""
    wanted: list[tuple[str, tuple[int, ...]]] = [(INTERCEPT, ())] if table.terms.intercept else []
    for label in table.labels:
        for full in _full_factors(table, label):
            wanted.append((label, full))
    places = {name: i for i, name in enumerate(names)}
    candidates = [places[name] for name in wanted]
    independent = independent_columns(np.asfortranarray(columns[:, candidates]))
    own = [c for c, keep in zip(candidates, independent, strict=True) if keep]
    if len(own) != columns.shape[0]:
        raise ModelError("anova(type='III') needs the margins of every interaction in the formula; use type='I'")
    return own


def _full_factors(table: TermTable, label: str) -> list[tuple[int, ...]]:
    """Places of a term's columns in a treatment coding: the first level is left out unless the term codes all."""
    axes = []
    coded = _coded_fully(table)[label]
    for name in _ordered(table, label):
        size = _sizes(table)[name]
        first = 1 if name in table.encoding.coded and not coded[name] else 0
        axes.append(range(first, size))
    return [place[::-1] for place in itertools.product(*axes[::-1])]


def _ordered(table: TermTable, label: str) -> list[str]:
    """The variables of a term in the order of the formula."""
    return [name for name in table.terms.labels if name in table.variables[label]]


def _coded_fully(table: TermTable) -> dict[str, dict[str, bool]]:
    from jmix.formula.coding import _codings

    factors = [label in table.encoding.coded for label in table.terms.labels]
    return {
        table.terms.label(term): {table.terms.labels[place]: full for place, full in coded.items()}
        for term, coded in _codings(table.terms, factors)
    }


def _sizes(table: TermTable) -> dict[str, int]:
    """Levels of each factor, columns of each number."""
    found = {name: len(factor.levels) for name, factor in table.encoding.coded.items()}
    for column in table.coded:
        for name, kind, place in column.key:
            if kind == "number":
                found[name] = max(found.get(name, 0), place + 1)
    return found


class _Coordinates:
    """Products of variables as linear combinations of the columns of X, those that it lacks included."""

    def __init__(self, table: TermTable) -> None:
        self.table = table
        self.sizes, self.full = _sizes(table), _coded_fully(table)
        self.place = {column.key: i for i, column in enumerate(table.coded)}
        self.by_variables = {names: label for label, names in table.variables.items()}
        self.bases = {name: self._basis(name) for name in self.sizes if name in table.encoding.coded}
        self.map, self.threshold = self._reduction()

    def _reduction(self) -> tuple[FloatArray, bool]:
        """(p, P) that maps all coded columns to those kept, and whether the first stands for thresholds."""
        encoding, total = self.table.encoding, len(self.table.coded)
        kept, names = list(encoding.kept), [column.name for column in self.table.coded]
        dropped = [i for i in range(total) if i not in set(kept) and names[i] in set(encoding.dropped)]
        threshold = [i for i in range(total) if i not in set(kept) and i not in set(dropped)]
        rows = sorted([*threshold, *kept])
        out = np.zeros((len(rows), total))
        out[np.arange(len(rows)), rows] = 1.0
        if dropped:
            if encoding.aliases is None or encoding.aliases.shape != (len(rows), len(dropped)):
                raise ModelError("this saved fit does not say how its dropped columns depend on others; fit it again")
            out[:, dropped] = encoding.aliases
        return out, bool(threshold)

    def without_thresholds(self, L: FloatArray) -> FloatArray:
        """Hypotheses without the coefficient that thresholds stand for."""
        return L[:, 1:] if self.threshold else L

    def _basis(self, name: str) -> FloatArray:
        """(L, L) coefficients of the constant and the contrasts of a factor that give each of its levels."""
        levels = len(self.table.encoding.coded[name].levels)
        return np.asarray(np.linalg.pinv(np.column_stack([np.ones(levels), self._contrasts(name)])))

    def _contrasts(self, name: str) -> FloatArray:
        from jmix.formula.contrasts import base_level

        factor, coding = self.table.encoding.coded[name], self.table.contrast(name)
        if coding.kind in {"treatment", "sas"}:
            return np.delete(np.eye(len(factor.levels)), base_level(coding, factor.levels, name), axis=1)
        return contrast_matrix(coding, len(factor.levels), name)[0]

    def all_levels(self) -> tuple[list[tuple[str, tuple[int, ...]]], FloatArray]:
        """The columns of the over-parametrised model: (term, places) of each, and (p, K) in the model's coordinates."""
        names: list[tuple[str, tuple[int, ...]]] = []
        columns: list[FloatArray] = []
        if self.table.terms.intercept:
            names.append((INTERCEPT, ()))
            columns.append(self.map @ self.express({}))
        for label in self.table.labels:
            variables = _ordered(self.table, label)
            for place in itertools.product(*(range(self.sizes[v]) for v in variables[::-1])):
                pieces = {v: np.eye(self.sizes[v])[i] for v, i in zip(variables, place[::-1], strict=True)}
                names.append((label, place[::-1]))
                columns.append(self.map @ self.express(pieces))
        return names, np.column_stack(columns)

    def express(self, pieces: Pieces) -> FloatArray:
        """(P,) coefficients of all coded columns that give the product of the pieces."""
        out = np.zeros(len(self.table.coded))
        if not pieces and self.table.terms.intercept:
            out[self.place[()]] = 1.0
            return out
        label = self.by_variables.get(frozenset(pieces))
        if label is None:
            return self.express(self._within_larger(pieces))
        coded = self.full[label]
        for name, values in pieces.items():
            if name in self.bases and not coded[name]:
                constant = float(self.bases[name][0] @ values)
                if abs(constant) > ZERO:
                    rest = {other: v for other, v in pieces.items() if other != name}
                    varying = {**pieces, name: values - constant}
                    return constant * self.express(rest) + self.express(varying)
        return self._direct(label, pieces)

    def _within_larger(self, pieces: Pieces) -> dict[str, FloatArray]:
        """The same product, summed over all levels of the factors of a larger term."""
        for label in self.table.labels:
            more = self.table.variables[label] - frozenset(pieces)
            if frozenset(pieces) < self.table.variables[label] and all(v in self.bases for v in more):
                return {**pieces, **{v: np.ones(self.sizes[v]) for v in more}}
        raise ModelError("anova(type='III') needs the margins of every interaction in the formula; use type='I'")

    def _direct(self, label: str, pieces: Pieces) -> FloatArray:
        """The product within its own term, each factor without its constant part unless all its levels are coded."""
        out = np.zeros(len(self.table.coded))
        weights: dict[str, FloatArray] = {
            name: values if name not in self.bases or self.full[label][name] else self.bases[name][1:] @ values
            for name, values in pieces.items()
        }
        for place in self.table.positions[label]:
            weight = 1.0
            for name, kind, i in self.table.coded[place].key:
                weight *= self._weight(label, name, kind, i, weights[name])
            out[place] = weight
        return out

    def _weight(self, label: str, name: str, kind: str, place: int, weights: FloatArray) -> float:
        if kind == "level" and not self.full[label][name]:  # treatment coding: places skip the reference level
            from jmix.formula.contrasts import base_level

            base = base_level(self.table.contrast(name), self.table.encoding.coded[name].levels, name)
            place -= int(place > base)
        return float(weights[place])
