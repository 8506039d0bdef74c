"""Linear hypotheses about the fixed effects, from a matrix, weights by name, or text such as ``"Days = 0"``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.expressions import compare, spellings

FloatArray = npt.NDArray[np.float64]

NONLINEAR = 1e-9
"""Relative difference from a linear function at which an expression is not one."""


@dataclass(frozen=True, eq=False)
class LinearHypotheses:
    """Hypotheses ``L beta = rhs``, one a row.

    Attributes:
        L: (m, p). rhs: (m,). labels: m texts. signs: "=", "<" or ">" of each row.
    """

    L: FloatArray
    rhs: FloatArray
    labels: tuple[str, ...]
    signs: tuple[str, ...]


def linear_hypotheses(hypothesis: Any, names: Sequence[str], rhs: Any = None) -> LinearHypotheses:
    """Read hypotheses about coefficients.

    Args:
        hypothesis: an (m, p) matrix or (p,) row; a frame with the coefficients as columns; a dict of weights by
            coefficient, or a dict of such dicts by label; a text such as ``"Days = 0"`` or ``"2 * a - b = 1"`` (without
            a sign, = 0), or a sequence of them. names: the p coefficients. rhs: what each row equals, for hypotheses
            that are no texts; 0 by default.

    Raises:
        ModelError: an unknown coefficient, a wrong shape, no number, or an expression that is not linear.
    """
    if isinstance(hypothesis, str):
        hypothesis = [hypothesis]
    if isinstance(hypothesis, list | tuple) and hypothesis and all(isinstance(h, str) for h in hypothesis):
        if rhs is not None:
            raise ModelError("rhs is for hypotheses given as numbers; write it into the text, as in 'Days = 10'")
        return _of_texts(list(hypothesis), names)
    L, labels = _numbers(hypothesis, names)
    right = _right_side(rhs, L.shape[0])
    return LinearHypotheses(L, right, tuple(labels), ("=",) * L.shape[0])


def linear_form(text: str, names: Sequence[str], extra: Sequence[str] = ()) -> tuple[FloatArray, float, str]:
    """The coefficients of an expression, what they equal, and the sign: ``"a - b > 1"`` to ``([1, -1], 1, ">")``.

    Args:
        names: the p coefficients. extra: other parameters that the text may name by mistake.

    Raises:
        ModelError: it is not linear in the coefficients, or no expression at all.
    """
    p, rng = len(names), np.random.default_rng(0)
    probes = np.vstack([np.zeros(p), np.eye(p), rng.normal(size=(3, p))])
    values = {name: probes[:, i] for i, name in enumerate(names)}
    values |= {name: np.full(len(probes), np.nan) for name in extra if name not in values}
    known = spellings(list(values), names)
    try:
        sign, at = compare(text, known, values)
    except ModelError as error:
        try:
            sign, at = compare(f"{text} = 0", known, values)
        except ModelError:
            raise error from None
    row = at[1 : p + 1] - at[0]
    size = 1.0 + float(np.abs(row).sum() + abs(at[0])) * float(np.abs(probes).max())
    if not np.all(np.isfinite(at)) or np.any(np.abs(probes @ row + at[0] - at) > NONLINEAR * size):
        raise ModelError(
            f"hypothesis {text!r} is not a linear function of the fixed effects; fit.hypothesis({text!r}) tests it by "
            "the delta method"
        )
    return row, 0.0 - float(at[0]), sign


def _of_texts(texts: list[str], names: Sequence[str]) -> LinearHypotheses:
    found = [linear_form(text, names) for text in texts]
    rows, right, signs = zip(*found, strict=True)
    return LinearHypotheses(np.array(rows), np.array(right), tuple(" ".join(t.split()) for t in texts), tuple(signs))


def _numbers(hypothesis: Any, names: Sequence[str]) -> tuple[FloatArray, list[str]]:
    if isinstance(hypothesis, Mapping):
        return _of_weights(hypothesis, names)
    if isinstance(hypothesis, pd.DataFrame):
        return _of_frame(hypothesis, names)
    if isinstance(hypothesis, list | tuple) and hypothesis and all(isinstance(h, Mapping) for h in hypothesis):
        rows = [_row(weights, names) for weights in hypothesis]
        return np.array(rows), [_label(row, names) for row in rows]
    L = _array(hypothesis, "the hypothesis")
    L = L[None, :] if L.ndim == 1 else L
    if L.ndim != 2 or L.shape[1] != len(names) or not L.shape[0]:
        raise ModelError(
            f"the hypothesis has shape {L.shape}; it needs one column for each of the {len(names)} fixed effects: "
            f"{', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
        )
    return L, [_label(row, names) for row in L]


def _of_weights(weights: Mapping[Any, Any], names: Sequence[str]) -> tuple[FloatArray, list[str]]:
    if weights and all(isinstance(v, Mapping) for v in weights.values()):
        return np.array([_row(v, names) for v in weights.values()]), [str(k) for k in weights]
    row = _row(weights, names)
    return row[None, :], [_label(row, names)]


def _of_frame(frame: pd.DataFrame, names: Sequence[str]) -> tuple[FloatArray, list[str]]:
    rows = [_row(dict(zip(frame.columns, values, strict=True)), names) for values in frame.to_numpy()]
    if not rows:
        raise ModelError("the hypothesis has no rows")
    labelled = not isinstance(frame.index, pd.RangeIndex)
    return np.array(rows), [str(v) for v in frame.index] if labelled else [_label(row, names) for row in rows]


def _row(weights: Mapping[Any, Any], names: Sequence[str]) -> FloatArray:
    known, row = spellings(list(names), names), np.zeros(len(names))
    if not weights:
        raise ModelError("a hypothesis names no coefficient; write for example {'Days': 1}")
    for name, value in weights.items():
        if name not in known:
            raise ModelError(f"there is no fixed effect {name!r}; there are: {', '.join(names[:20])}")
        row[list(names).index(known[name])] += float(_array(value, f"the weight of {name}"))
    return row


def _label(row: FloatArray, names: Sequence[str]) -> str:
    """``2*a - b`` for weights."""
    parts = [(f"{abs(w):.6g}*" if abs(w) != 1 else "") + names[i] for i, w in enumerate(row) if w]
    signs = ["-" if w < 0 else "+" for w in row if w]
    if not parts:
        return "0"
    head = ("-" if signs[0] == "-" else "") + parts[0]
    return head + "".join(f" {s} {part}" for s, part in zip(signs[1:], parts[1:], strict=True))


def _right_side(rhs: Any, m: int) -> FloatArray:
    values = np.zeros(m) if rhs is None else _array(rhs, "rhs")
    if values.ndim > 1 or (values.ndim == 1 and values.shape[0] not in (1, m)):
        raise ModelError(f"rhs has shape {values.shape}; the hypothesis has {m} row{'s' if m > 1 else ''}")
    return np.broadcast_to(values, (m,)).astype(np.float64)


def _array(value: Any, what: str) -> FloatArray:
    try:
        out = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        out = np.array(np.nan)
    if not np.all(np.isfinite(out)):
        raise ModelError(f"{what} must be finite numbers; not {str(value)[:60]!r}")
    return out
