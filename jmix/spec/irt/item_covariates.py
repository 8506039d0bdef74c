"""Explanatory item models: intercepts or slopes that are linear in item covariates.

Linear logistic test model ``d = W eta`` (Fischer 1973, Acta Psychol. 37). With more than two categories the covariates
move the item as a whole and the distances between its steps are common to the items of a type: ``d_k = k W eta +
tau_k`` for partial credit (Fischer & Ponocny 1994, Psychometrika 59, with common tau), ``d_k = W eta + tau_k`` for the
graded and sequential models; ``tau_1 = 0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.spec.irt.cells import Cells, IntArray
from jmix.spec.irt.covariates import side_matrix
from jmix.spec.irt.item_cells import DraftBlock

FloatArray = npt.NDArray[np.float64]
DraftLinear = tuple[IntArray, FloatArray, IntArray]


class ItemFormula(NamedTuple):
    """Coefficients and what they explain: target cells (r,), matrix (r, q), source cells (q,)."""

    param: str
    target: IntArray
    matrix: FloatArray
    source: IntArray


def add_item_formulas(
    cells: Cells,
    item_formula: str | Mapping[str, str] | None,
    responses: Responses,
    blocks: Sequence[DraftBlock],
    contrasts: Mapping[str, Any] | None = None,
) -> list[ItemFormula]:
    """Cells of the coefficients of each formula, and what they explain. Items whose parameter is fixed keep it.

    Raises:
        ModelError: a formula for what is no parameter of the items. DataError, FormulaError: as ``side_matrix``.
    """
    if item_formula is None:
        return []
    by_param = {"d": item_formula} if isinstance(item_formula, str) else dict(item_formula)
    found = []
    for param, text in by_param.items():
        part = side_matrix(text, responses.item_data, responses.items, "item_formula", "item", contrasts)
        names, X = part.encoding.x_names, part.X
        if param == "d":
            rows = [row for block in blocks for row in _intercept_rows(cells, block)]
        elif param in cells.place and param not in cells.latent:
            where = cells.place[param]
            items = np.flatnonzero(where[0] >= 0)
            rows = [(int(cell), int(j), 1.0, "") for row in where[:, items] for cell, j in zip(row, items, strict=True)]
        else:
            known = ", ".join(p for p in cells.params if p not in cells.latent)
            raise ModelError(f"item_formula names '{param}', which no item has; write 'd' or one of {known}")
        found.append(_plan(cells, param, rows, names, X))
    return found


Row = tuple[int, int, float, str]


def _intercept_rows(cells: Cells, block: DraftBlock) -> list[Row]:
    """Cell, item, multiple of W eta and name of the common step for each intercept of a block."""
    if block.kind in ("nominal", "rsm", "grsm"):
        raise ModelError(
            f"item '{cells.items[block.columns[0]]}' is of type {block.kind}, which has no intercepts that "
            "item_formula could explain; use 'PCM', 'gpcm' or 'graded'"
        )
    steps = 1 if block.kind.startswith("logistic") else block.n_categories - 1
    multiple = block.kind == "gpcm"
    out = []
    for k in range(steps):
        step = f"step{k + 1}.{block.n_categories}" if k else ""
        for row in block.own[:, :, k]:
            for cell, j in zip(row, block.columns, strict=True):
                out.append((int(cell), int(j), float(k + 1) if multiple else 1.0, step))
    return out


def _plan(cells: Cells, param: str, rows: Sequence[Row], names: Sequence[str], X: FloatArray) -> ItemFormula:
    """Add the cells of the coefficients; the starting values come with ``finish``."""
    steps = list(dict.fromkeys(step for *_, step in rows if step))
    matrix = np.zeros((len(rows), len(names) + len(steps)))
    for i, (_, item, multiple, step) in enumerate(rows):
        matrix[i, : len(names)] = multiple * X[item]
        if step:
            matrix[i, len(names) + steps.index(step)] = 1.0
    target = np.array([cell for cell, *_ in rows])
    cells.explained |= set(target.tolist())
    labels = [*names, *steps]
    source = [cells.add_latent(f"beta[{param}:{label}]", 0.0, True, by_group=False)[0] for label in labels]
    return ItemFormula(param, target, matrix, np.array(source))


def finish_item_formulas(cells: Cells, planned: Sequence[ItemFormula]) -> list[DraftLinear]:
    """Target cells, matrix and source cells of each formula, once the options have said what is fixed and tied.

    Raises:
        ModelError: everything is fixed, or the items that are left do not determine the coefficients.
    """
    found = []
    for plan in planned:
        _, first = np.unique(cells.tie[plan.target], return_index=True)
        rows = np.sort(first)
        rows = rows[cells.free[plan.target[rows]]]
        if not rows.size:
            raise ModelError(f"item_formula: every '{plan.param}' is fixed, so that there is nothing to explain")
        target, matrix = plan.target[rows], plan.matrix[rows]
        if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
            raise ModelError(
                f"item_formula: the {rows.size} values of '{plan.param}' that are not fixed or tied do not determine "
                f"the {matrix.shape[1]} coefficients; leave a covariate out, or fix fewer items"
            )
        start = np.linalg.lstsq(matrix, cells.value[target], rcond=None)[0]
        open_ = cells.free[plan.source] & ~cells.given[plan.source]
        cells.value[plan.source[open_]] = start[open_]
        cells.free[np.isin(cells.tie, cells.tie[target])] = False
        found.append((target, matrix, plan.source))
    return found
