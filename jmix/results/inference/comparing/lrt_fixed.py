"""Terms of the fixed effects dropped in turn, each tested by a likelihood ratio."""

from __future__ import annotations

from typing import Any

import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.comparing.boundary import plain_p
from jmix.results.inference.comparing.compare import FORMATS
from jmix.results.inference.comparing.lrt_refit import as_ml, is_linear, refuse_map, with_columns
from jmix.results.inference.report import TableReport


def drop1(fit: Any) -> TableReport:
    """The work behind ``fit.drop1``."""
    from jmix.results.inference.fixed.terms import TermTable

    refuse_map(fit, "drop1")
    terms = TermTable.of(fit.base.encoding)
    droppable = [
        label for label in terms.labels if not terms.containing(label, same_numbers=False) and terms.columns[label]
    ]
    if not droppable:
        raise ModelError("drop1 drops terms of the fixed effects, and this model has none besides the intercept")
    linear = is_linear(fit)
    full = as_ml(fit) if linear else fit
    rows = {"<none>": _row(full)}
    for label in droppable:
        left = [i for i in range(len(fit.x_names)) if i not in terms.columns[label]]
        small = with_columns(full, left, reml=False if linear else None)
        df, lrt = full.npar - small.npar, max(0.0, 2.0 * (full.loglik - small.loglik))
        rows[label] = _row(small) | {"lrt": lrt, "df": float(df), "p_value": plain_p(lrt, df)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="term")
    notes = ("refitted by maximum likelihood, since fixed effects differ",) if linear and fit.method != "ML" else ()
    call = (("Formula", " ".join(fit.formula.split())),)
    return TableReport(table, "Fixed effects dropped in turn", call, notes, FORMATS)


def _row(fit: Any) -> dict[str, float]:
    nan = float("nan")
    return {"npar": fit.npar, "loglik": fit.loglik, "aic": fit.aic, "lrt": nan, "df": nan, "p_value": nan}
