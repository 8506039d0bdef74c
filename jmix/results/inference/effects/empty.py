"""The model without predictors on the rows of a fit, and what the predictors explain at each level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import FormulaError, ModelError
from jmix.results.inference.comparing.lrt_refit import refuse_map, with_design
from jmix.results.inference.report import TableReport

if TYPE_CHECKING:
    from jmix.design import Design, RandomTerm

INTERCEPT = "(Intercept)"
RANDOM = ("intercepts", "same")


def null_model(fit: Any, random: str = "intercepts") -> Any:
    """The work behind ``fit.null_model``; each kind is fitted once."""
    if random not in RANDOM:
        raise ModelError(f"null_model(random={random!r}): choose 'intercepts' or 'same'")
    refuse_map(fit, "null_model")
    kept = fit.__dict__.setdefault("_null_models", {})
    if random not in kept:
        kept[random] = with_design(fit, _empty(fit, random))
    return kept[random]


def _empty(fit: Any, random: str) -> Design:
    base = fit.base
    n = base.y.size
    intercept = getattr(getattr(fit, "family", None), "name", "") != "cumulative"
    names = [INTERCEPT] if intercept else []
    terms = base.random if random == "same" else _intercepts(base.random)
    text, encoding = _encoding(base, random, terms, names)
    return replace(
        base, formula=text, X=np.ones((n, len(names)), order="F"), x_names=names, dropped=(), random=terms,
        encoding=encoding,
    )  # fmt: skip


def _intercepts(random: tuple[RandomTerm, ...]) -> tuple[RandomTerm, ...]:
    """One intercept for every grouping factor."""
    out: dict[str, RandomTerm] = {}
    for term in random:
        constant = np.broadcast_to(np.float64(1.0), (term.codes.size,))
        out.setdefault(term.group, replace(term, names=[INTERCEPT], columns=(constant,)))
    return tuple(out.values())


def _encoding(base: Design, random: str, terms: tuple[RandomTerm, ...], names: list[str]) -> tuple[str, Any]:
    """The formula of the empty model, and the encoding that predicts for new data."""
    from jmix.formula.parse import parse_formula

    encoding = base.encoding
    if encoding is None:
        bars = [f"({' + '.join(t.names)} | {t.group})" for t in terms]
        return f"{base.y_name} ~ {' + '.join(['1', *bars])}", None
    parsed = encoding.parsed
    bars = list(map(str, parsed.random)) if random == "same" else [f"(1 | {t.group})" for t in terms]
    offsets = [f"offset({text})" for text in parsed.offsets]
    text = f"{parsed.response} ~ {' + '.join(['1', *offsets, *bars])}"
    try:
        again = parse_formula(text, general=True)
    except FormulaError:
        return text, None
    return text, replace(
        encoding, formula=text, parsed=again, x_names=list(names), kept=list(range(len(names))), dropped=()
    )


def variance_explained(fit: Any, null: Any = None) -> TableReport:
    """The work behind ``fit.variance_explained``."""
    other = null_model(fit, "intercepts") if null is None else null
    if type(other) is not type(fit) or other.nobs != fit.nobs:
        raise ModelError("variance_explained(null=...): give a fit of the same kind to the same rows")
    one, two = intercept_variances(other), intercept_variances(fit)
    rows = [name for name in two if name in one]
    if not rows:
        raise ModelError("the two models have no grouping factor with an intercept in common")
    null_v, model_v = np.array([one[r] for r in rows]), np.array([two[r] for r in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = 1.0 - model_v / null_v
    table = pd.DataFrame({"null": null_v, "model": model_v, "explained": explained}, index=pd.Index(rows, name="level"))
    notes = []
    if np.any(explained < 0):
        notes.append(
            "a negative share: a predictor of one level can raise the variance of another (Snijders & Bosker 1994)"
        )
    if any(tuple(t.names) != (INTERCEPT,) for t in fit.terms):
        notes.append("random slopes: the variance of the intercepts is that where the predictors are zero")
    if fit.residual_sd is None and _latent(fit):
        notes.append(
            "the variance of the latent residual is fixed, so that predictors of single rows raise the variances of "
            "the levels (Snijders & Bosker 2012, section 17.4)"
        )
    call = (("Model", " ".join(fit.formula.split())), ("Null", " ".join(other.formula.split())))
    return TableReport(table, "Variance explained at each level", call, tuple(notes))


def _latent(fit: Any) -> bool:
    from jmix.results.inference.effects.variance_decomposition_law import BINARY

    return fit.family.name in BINARY


def intercept_variances(fit: Any) -> dict[str, float]:
    """Variance of the intercepts of each grouping factor, and of the residual where there is one."""
    out: dict[str, float] = {}
    for term, cov in zip(fit.terms, fit.cov_terms(), strict=True):
        if INTERCEPT in term.names:
            place = term.names.index(INTERCEPT)
            out[term.group] = out.get(term.group, 0.0) + float(cov[place, place])
    if fit.residual_sd is not None:
        out["Residual"] = float(fit.residual_sd) ** 2
    return out
