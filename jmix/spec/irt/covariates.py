"""Model matrices of one-sided formulas over persons or items, every row kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.formula.build import SidePart
from jmix.formula.evaluate import Evaluator
from jmix.formula.fixed import check_columns, choose_contrasts, fixed_part, settle
from jmix.formula.frame import Frame
from jmix.formula.matrices import not_missing, used_variables
from jmix.formula.parse import parse_side

FloatArray = npt.NDArray[np.float64]


@np.errstate(all="ignore")
def side_matrix(
    text: str, data: pd.DataFrame | None, rows: Any, role: str, of: str, contrasts: Mapping[str, Any] | None = None
) -> SidePart:
    """The matrix of a one-sided formula, with the names of its columns in ``encoding.x_names``.

    Args:
        text: "~ age + sex". data: one row each. rows: their labels. role: the argument that the formula came with.
        of: "person" or "item", for messages. contrasts: coding of factors by name.

    Raises:
        FormulaError: the formula cannot be read or names what is no column.
        DataError: there are no data, or a missing value, naming the row.
    """
    parsed = parse_side(text, role)
    if data is None:
        where = "data= (a frame with a row for each person)" if of == "person" else "item_data= (a row for each item)"
        raise DataError(f"{role}={text!r} needs {of} data; give {where}")
    frame = Frame(data)
    check_columns(parsed, frame, f"the formula of {role}")
    evaluator = Evaluator(frame, {})
    values = {label: evaluator.variable(node) for label, node in used_variables([parsed.terms]).items()}
    keep = not_missing(values.values(), frame.n)
    if keep is not None:
        gone = [str(rows[i]) for i in np.flatnonzero(~keep)[:3]]
        n = int((~keep).sum())
        raise DataError(
            f"{role}={text!r}: a covariate is missing for {n:,} {of}{'s' * (n > 1)} ({', '.join(gone)}"
            f"{', ...' if n > 3 else ''}); fill in the values or leave these {of}s out"
        )
    settled = settle(parsed, values, None)
    chosen = choose_contrasts(contrasts, [settled])[0]
    part = fixed_part(settled, chosen, frame.n)
    return SidePart(part.X, str(parsed), part.encoding(settled, evaluator.state))
