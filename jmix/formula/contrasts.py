"""Contrast codings of a factor, as R's ``contr.*`` functions define them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, FormulaError
from jmix.formula.syntax import Call, Const, Name, Node, Num, Str, deparse, strip_groups

_KINDS = {
    "treatment": "treatment", "dummy": "treatment", "sas": "sas", "sum": "sum", "deviation": "sum", "effect": "sum",
    "helmert": "helmert", "poly": "poly", "polynomial": "poly", "diff": "diff", "sdif": "diff",
}  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """A coding of a factor.

    Attributes:
        kind: ``treatment``, ``sas``, ``sum``, ``helmert``, ``poly``, ``diff`` or ``matrix``.
        base: the reference of a treatment coding, a label or a 1-based place.
        matrix: the user's own coding, one row per level.
        numbered: columns are named by the levels' numbers, as R does for ``C(f, contr.treatment)``.
    """

    kind: str
    base: str | int | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None
    numbered: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        matrix = self.matrix and [list(row) for row in self.matrix]
        return {"kind": self.kind, "base": self.base, "matrix": matrix, "numbered": self.numbered}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Contrast:
        """The inverse of :meth:`to_dict`."""
        matrix = state["matrix"]
        return cls(state["kind"], state["base"], tuple(map(tuple, matrix)) if matrix else None, state["numbered"])


def contrast_kind(name: str) -> str:
    """The kind that a name such as ``contr.sum``, ``Sum`` or ``sum`` stands for."""
    kind = _KINDS.get(name.lower().removeprefix("contr."))
    if kind is None:
        raise FormulaError(f"unknown contrast {name!r}; use treatment, sum, helmert, poly, diff or SAS")
    return kind


def contrast_from_node(node: Node) -> Contrast:
    """A contrast written in a formula: ``Sum``, ``contr.sum``, ``Treatment("b")``, ``contr.treatment(base = 2)``."""
    match strip_groups(node):
        case Name(name=name):
            return Contrast(contrast_kind(name), numbered=name.startswith("contr."))
        case Str(value=name):
            return Contrast(contrast_kind(name))
        case Call(func=func, args=args):
            return _contrast_call(func, args, node)
    raise FormulaError(f'{deparse(node)} is not a contrast; write for example Treatment("b") or Sum')


def _contrast_call(func: str, args: tuple[tuple[str, Node], ...], node: Node) -> Contrast:
    kind = contrast_kind(func.rpartition("::")[2])
    numbered = func.startswith("contr.")
    if not args or (kind == "sas" and len(args) == 1):
        return Contrast(kind, numbered=numbered)
    if kind != "treatment":
        raise FormulaError(f"{deparse(node)}: only a treatment contrast takes a reference level")
    key, value = args[-1]
    count_first = len(args) == 2 and not args[0][0] and isinstance(args[0][1], Num)
    if len(args) > 2 or (len(args) == 2 and not count_first) or key not in {"", "base", "ref", "reference"}:
        raise FormulaError(f"{deparse(node)}: a treatment contrast takes one reference level")
    match strip_groups(value):
        case Str(value=label):
            return Contrast(kind, label)
        case Num() if numbered and len(args) == 1 and not key:
            return Contrast(kind, numbered=True)
        case Num(value=place) if place.is_integer() and (numbered or key == "base"):
            return Contrast(kind, int(place), numbered=True)
        case Num(text=text):
            return Contrast(kind, text.rstrip("L"))
        case Const(value=bool() as flag):
            return Contrast(kind, str(flag).upper())
    raise FormulaError(f"{deparse(node)}: the reference must be the label of a level in quotes")


def contrast_from_user(value: Any, column: str) -> Contrast:
    """A value of the ``contrasts=`` argument: a name, or an (L, k) matrix for a factor with L levels."""
    if isinstance(value, Contrast):
        return value
    if isinstance(value, str):
        return Contrast(contrast_kind(value))
    try:
        matrix = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise FormulaError(f"contrasts[{column!r}] must be a name such as 'sum' or a matrix with one row per level")
    return Contrast("matrix", None, tuple(tuple(map(float, row)) for row in matrix))


def base_level(contrast: Contrast, levels: Sequence[str], factor: str) -> int:
    """The place of the reference level of a treatment coding."""
    if contrast.kind == "sas":
        return len(levels) - 1
    base = 1 if contrast.base is None else contrast.base
    if isinstance(base, str):
        if base not in levels:
            raise DataError(f"the reference level {base!r} of {factor} does not occur; its levels are {_some(levels)}")
        return list(levels).index(base)
    if not 1 <= base <= len(levels):
        raise DataError(f"the reference level number {base} of {factor} does not exist; it has {len(levels)} levels")
    return base - 1


def contrast_matrix(contrast: Contrast, n_levels: int, factor: str) -> tuple[npt.NDArray[np.float64], list[str]]:
    """The (L, L - 1) coding matrix of a contrast that is not a treatment, and R's names of its columns."""
    columns = n_levels - 1
    if contrast.kind == "matrix":
        matrix = np.asarray(contrast.matrix)
        if matrix.shape[0] != n_levels:
            raise DataError(f"the contrast matrix of {factor} has {matrix.shape[0]} rows for {n_levels} levels")
        columns = matrix.shape[1]
    elif contrast.kind == "sum":
        matrix = np.vstack([np.eye(columns), -np.ones((1, columns))])
    elif contrast.kind == "helmert":
        matrix = np.triu(-np.ones((n_levels, columns))) + np.diag(np.arange(1.0, n_levels), -1)[:, :columns]
    elif contrast.kind == "diff":
        steps = np.arange(1, n_levels)
        matrix = np.where(np.arange(n_levels)[:, None] < steps, steps - n_levels, steps) / n_levels
        return matrix, [f"{i + 1}-{i}" for i in range(1, n_levels)]
    else:
        return _orthogonal_polynomials(n_levels), _polynomial_names(columns)
    return matrix, [str(i + 1) for i in range(columns)]


def _orthogonal_polynomials(n_levels: int) -> npt.NDArray[np.float64]:
    if n_levels > 95:
        raise DataError("polynomial contrasts of more than 95 levels are not accurate; use contrasts='treatment'")
    points = np.arange(n_levels) - (n_levels - 1) / 2
    q, r = np.linalg.qr(np.vander(points, n_levels, increasing=True))
    return np.asarray((q * np.sign(np.diag(r)))[:, 1:])


def _polynomial_names(columns: int) -> list[str]:
    return [".L", ".Q", ".C"][:columns] + [f"^{i}" for i in range(4, columns + 1)]


def _some(levels: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(repr(level) for level in list(levels)[:most])
    return shown + (", …" if len(levels) > most else "")
