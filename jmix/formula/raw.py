"""The columns of the data that a formula read, kept for averages over the rows and for reference values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import DataError
from jmix.formula.columns import as_factor, as_variable
from jmix.formula.fixed import FixedPart
from jmix.formula.frame import Frame
from jmix.formula.parse import ParsedFormula
from jmix.formula.values import BoolArray, Categories, FloatArray

Raw = FloatArray | Categories


def raw_columns(
    frame: Frame, formulas: Iterable[ParsedFormula], offset: Any, keep: BoolArray | None, part: FixedPart
) -> dict[str, Raw]:
    """The columns of fixed effects, slopes and offsets on the complete rows; grouping factors are in their terms.

    A number that is a column of the model matrix is a view of it, so that large data are not held twice.
    """
    names = dict.fromkeys(name for parsed in formulas for name in parsed.columns(response=False, random=False))
    first = next(iter(formulas), None)
    for block in first.blocks if first is not None else ():
        names |= dict.fromkeys(name for label in _variables(block.terms) for name in label)
    if isinstance(offset, str):
        names[offset] = None
    own = {part.columns[place].name: j for j, place in enumerate(part.kept) if len(part.columns[place].key) == 1}
    found: dict[str, Raw] = {}
    for name in names:
        if name not in frame.names:
            continue
        value = _read(frame.column(name), name)
        if isinstance(value, Categories):
            found[name] = value.rows(keep)
        else:
            found[name] = part.X[:, own[name]] if name in own else np.array(value if keep is None else value[keep])
    return found


def _variables(terms: Any) -> Iterable[list[str]]:
    from jmix.formula.matrices import used_variables
    from jmix.formula.syntax import names_in

    return (list(names_in(node)) for node in used_variables([terms]).values())


def _read(raw: Any, name: str) -> Raw:
    """As a variable; what can only be a factor, such as a date inside ``factor()``, as a factor."""
    try:
        return as_variable(raw, name)
    except DataError:
        return as_factor(raw, name)


def raw_table(columns: Mapping[str, Raw]) -> dict[str, Any]:
    """The columns as a table that an encoding reads again."""
    return {name: as_column(value) for name, value in columns.items()}


def as_column(value: Raw) -> Any:
    """Numbers, truth values, or a pandas Categorical."""
    if not isinstance(value, Categories):
        return value
    if value.logical and not value.missing():
        return value.codes.astype(np.bool_)
    return pd.Categorical.from_codes(value.codes, categories=pd.Index(value.levels), ordered=value.ordered)
