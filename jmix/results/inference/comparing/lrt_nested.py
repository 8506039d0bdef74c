"""Whether one model is a special case of another, and what it sets to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

TOLERANCE = 1e-8
"""Relative size of what is left of a column after projection, below which it lies in the space of the others."""


@dataclass(frozen=True)
class TermCase:
    """What the smaller model makes of one term of the larger one.

    Attributes:
        kept: (q, r) basis of the combinations of the term's columns whose variances it keeps. gone: (q, m) basis of
            those that it sets to zero. n_kept: covariance parameters that it has for the term.
    """

    kept: FloatArray
    gone: FloatArray
    n_kept: int

    @property
    def n_gone(self) -> int:
        """Number of directions whose variance the smaller model sets to zero."""
        return int(self.gone.shape[1])


@dataclass(frozen=True)
class Nesting:
    """The terms of the larger model as the smaller one has them, and what else is on a boundary.

    Attributes:
        cases: one for every term of the larger model. others: restrictions on a boundary that are not random effects,
            in words, each of one parameter.
    """

    cases: tuple[TermCase, ...]
    others: tuple[str, ...] = ()


def in_span(columns: FloatArray, X: FloatArray) -> bool:
    """Whether every one of ``columns`` (n, k) is a linear combination of those of X (n, p)."""
    size = np.linalg.norm(columns, axis=0)
    if not np.any(size > 0):
        return True
    if X.shape[1] == 0:
        return False
    scale = np.linalg.norm(X, axis=0)
    q, r = np.linalg.qr(X / np.where(scale > 0, scale, 1.0))
    q = q[:, np.abs(np.diag(r)) > 1e-10]
    rest = columns - q @ (q.T @ columns)
    rest -= q @ (q.T @ rest)
    return bool(np.all(np.linalg.norm(rest, axis=0) <= TOLERANCE * np.maximum(size, 1e-300)))


def fixed_nested(small: FitBase, big: FitBase) -> bool:
    """Whether the fixed effects and the offset of one model are a special case of the other's."""
    a, b = small.base, big.base
    shift = (0.0 if a.offset is None else a.offset) - (0.0 if b.offset is None else b.offset)
    if np.any(shift != 0.0) and not in_span(np.broadcast_to(shift, a.y.shape)[:, None], b.X):
        return False
    return (set(a.x_names) <= set(b.x_names) and _same_columns(small, big)) or in_span(a.X, b.X)


def _same_columns(small: FitBase, big: FitBase) -> bool:
    places = [big.x_names.index(name) for name in small.x_names]
    return bool(np.array_equal(small.base.X, big.base.X[:, places]))


def random_nested(small: Sequence[RandomTerm], big: Sequence[RandomTerm]) -> tuple[TermCase, ...] | None:
    """One case for every term of the larger model; None where the random effects are not nested.

    A term of the smaller model is a special case of one of the larger model on the same groups if its columns are
    combinations of that term's; or, ``(1 | g:f)`` of ``(0 + f | g)``, if that term tells the levels of f apart.
    """
    found: list[list[tuple[FloatArray, int]]] = [[] for _ in big]
    for term in small:
        places = sorted(range(len(big)), key=lambda j: len(big[j].columns))
        for j in places:
            basis = _within(term, big[j])
            if basis is not None:
                q = len(term.columns)
                found[j].append((basis, q * (q + 1) // 2))
                break
        else:
            return None
    return tuple(_case(len(term.columns), parts) for term, parts in zip(big, found, strict=True))


def _case(q: int, parts: list[tuple[FloatArray, int]]) -> TermCase:
    if not parts:
        return TermCase(np.zeros((q, 0)), np.eye(q), 0)
    left, values, _ = np.linalg.svd(np.concatenate([basis for basis, _ in parts], axis=1), full_matrices=True)
    rank = int(np.sum(values > 1e-8 * values[0]))
    return TermCase(left[:, :rank], left[:, rank:], sum(count for _, count in parts))


def _within(term: RandomTerm, other: RandomTerm) -> FloatArray | None:
    """(q, r) directions of ``other``'s effects that ``term`` gives a variance; None where it is no case of it."""
    if same_partition(term.codes, other.codes):
        z, columns = np.stack(other.columns, axis=1), np.stack(term.columns, axis=1)
        return np.asarray(np.linalg.lstsq(z, columns, rcond=None)[0]) if in_span(columns, z) else None
    return _compound(term, other)


def _compound(term: RandomTerm, other: RandomTerm) -> FloatArray | None:
    """``(1 | g:f)`` as a case of ``(f | g)``: f is what tells the distinct rows of the columns apart."""
    if len(term.columns) != 1 or np.ptp(term.columns[0]) != 0 or len(term.levels) <= len(other.levels):
        return None
    q = len(other.columns)
    patterns, place = np.unique(np.stack(other.columns, axis=1), axis=0, return_inverse=True)
    if len(patterns) != q or np.linalg.matrix_rank(patterns) < q:
        return None
    cells = other.codes.astype(np.int64) * q + place.reshape(-1)
    return np.eye(q) if same_partition(term.codes, cells) else None


def same_partition(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> bool:
    """Whether two codings divide the rows into the same groups."""
    if a is b or np.array_equal(a, b):
        return True
    pairs = np.unique(np.stack([a.astype(np.int64), b.astype(np.int64)]), axis=1)
    return bool(np.unique(pairs[0]).size == pairs.shape[1] == np.unique(pairs[1]).size)
