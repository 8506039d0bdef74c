"""Collinearity of the terms of the fixed effects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.report import TableReport

MODERATE, HIGH = 5.0, 10.0


def vif(fit: Any) -> TableReport:
    """The work behind ``fit.vif``."""
    from jmix.results.inference.fixed.terms import term_columns

    columns = {label: places for label, places in term_columns(fit).items() if places}
    intercept = columns.pop("(Intercept)", [])
    if len(columns) < 2:
        raise ModelError("collinearity needs two or more terms besides the intercept, and this model has fewer")
    cov = fit.fixed_covariance
    if not np.all(np.isfinite(cov)):
        raise ModelError("some coefficients have no standard errors, so that nothing can be said of their collinearity")
    keep = [i for i in range(len(cov)) if i not in intercept]
    scale = np.sqrt(np.diag(cov))
    correlation = cov / np.outer(scale, scale)
    whole = _logdet(correlation, keep)
    rows = []
    for places in columns.values():
        others = [i for i in keep if i not in places]
        gvif = float(np.exp(_logdet(correlation, places) + _logdet(correlation, others) - whole))
        df = len(places)
        rows.append((df, gvif, gvif ** (1.0 / (2 * df)), 1.0 / gvif))
    table = pd.DataFrame(rows, columns=["df", "vif", "vif_root", "tolerance"], index=pd.Index(columns, name="term"))
    return TableReport(
        table, "Variance inflation factors", (("Formula", " ".join(fit.formula.split())),),
        tuple(_notes(table, bool(intercept))),
    )  # fmt: skip


def _logdet(matrix: Any, places: list[int]) -> float:
    return float(np.linalg.slogdet(matrix[np.ix_(places, places)])[1]) if places else 0.0


def _notes(table: pd.DataFrame, intercept: bool) -> list[str]:
    notes = ["vif_root = vif^(1 / (2 df)): how much wider intervals are than without collinearity"]
    for name, low, high in (("moderate", MODERATE, HIGH), ("high", HIGH, np.inf)):
        found = table.index[(table["vif_root"] ** 2 >= low) & (table["vif_root"] ** 2 < high)]
        if len(found):
            notes.append(f"{name} collinearity: {', '.join(found)}")
    if any(":" in str(term) for term in table.index):
        notes.append("interactions are collinear with their parts; centre numeric predictors, or judge a model without")
    if not intercept:
        notes.append("without an intercept these factors are hard to interpret")
    return notes
