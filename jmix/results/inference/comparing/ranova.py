"""Random terms dropped in turn, each tested by a likelihood ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.comparing.boundary import null_law, plain_p
from jmix.results.inference.comparing.compare import FORMATS, Laws
from jmix.results.inference.comparing.lrt_nested import Nesting, random_nested
from jmix.results.inference.comparing.lrt_refit import as_reml, is_linear, refuse_map, with_terms
from jmix.results.inference.comparing.ranova_terms import Deletion, deletions
from jmix.results.inference.report import TableReport

if TYPE_CHECKING:
    from jmix.results.base import FitBase


def ranova(fit: Any, reduce: bool = True) -> TableReport:
    """The work behind ``fit.ranova``."""
    refuse_map(fit, "ranova")
    if not fit.terms:
        raise ModelError("ranova drops random terms, and this model has none")
    rows: dict[str, dict[str, float]] = {"<none>": _row(fit)}
    notes: list[str] = []
    laws = Laws()
    for deletion in deletions(fit.base, reduce):
        row, said = _deleted(fit, deletion, laws)
        rows[_distinct(deletion.label, rows)] = row
        notes += said
    notes += laws.notes()
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="term")
    title = "Random terms dropped in turn" + (" (REML)" if is_linear(fit) and fit.reml else "")
    return TableReport(table, title, (("Formula", " ".join(fit.formula.split())),), tuple(notes), FORMATS)


def _deleted(fit: Any, deletion: Deletion, laws: Laws) -> tuple[dict[str, float], list[str]]:
    small = with_terms(fit, deletion.random)
    if is_linear(fit) and fit.reml and not small.terms:
        small = as_reml(small)
    cases = random_nested(small.terms, fit.terms)
    lrt, df = 2.0 * (fit.loglik - small.loglik), fit.npar - small.npar
    if cases is None:
        return _row(small) | {"lrt": lrt, "df": float(df)}, [f"{deletion.label}: not nested, and so without a p-value"]
    law = null_law(small, fit, Nesting(cases))
    laws.add(deletion.label, law, small)
    notes = []
    if -1e-5 * max(1.0, abs(fit.loglik)) < lrt < 0.0:
        lrt = 0.0
    if lrt < 0.0 or not small.converged:
        notes.append(f"{deletion.label}: the reduced model or the full one did not converge")
    test = {"lrt": lrt, "df": float(df), "p_value": law.p_value(lrt), "p_naive": plain_p(lrt, df)}
    return _row(small) | test, notes


def _row(fit: FitBase) -> dict[str, float]:
    nan = float("nan")
    own = {"npar": fit.npar, "loglik": fit.loglik, "aic": fit.aic}
    return own | {"lrt": nan, "df": nan, "p_value": nan, "p_naive": nan}


def _distinct(label: str, taken: dict[str, dict[str, float]]) -> str:
    return label if label not in taken else f"{label}.{len(taken)}"
