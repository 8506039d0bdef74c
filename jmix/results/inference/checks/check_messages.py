"""What each check means, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jmix.errors import JmixError
from jmix.results.inference.checks.residual_tests import Test
from jmix.results.text_table import one_line

if TYPE_CHECKING:
    from jmix.results.base import FitBase

NOTABLE = 0.05
"""p-value below which a check is remarked on."""

FEW_LEVELS = 5
"""Levels of a grouping factor below which its variance is hardly estimable."""

COLLINEAR = 10.0
"""Variance inflation that is remarked on."""


class Row(NamedTuple):
    """One check."""

    test: str
    statistic: float
    p_value: float
    ok: bool
    message: str


def advise(test: str, found: Test, about: str = "") -> Row:
    """The row of a test, its message in words."""
    ok = not found.p_value < NOTABLE
    return Row(test, found.statistic, found.p_value, ok, _fine(test) if ok else _remedy(test, found, about))


def _fine(test: str) -> str:
    if test.startswith("normality"):
        return "no sign of another distribution than the normal"
    return {
        "uniformity": "the residuals are as the model expects",
        "dispersion": "as much spread as the model expects",
        "outliers": "as many responses beyond all simulations as chance gives",
        "zeros": "as many zeros as the model expects",
        "quartiles by prediction": "no pattern along the predictions",
        "spread by prediction": "the same spread along the predictions",
        "uniformity by group": "no group stands out",
        "spread by group": "the groups have the same spread",
        "uniformity of group sums": "the sums of the groups are as the model expects",
        "autocorrelation in time": "no correlation between neighbours",
    }[test]


def _remedy(test: str, found: Test, about: str) -> str:
    if test == "dispersion":
        return _dispersion(found, about)
    if test == "outliers":
        look = f"{found.statistic:.0f} responses lie outside all simulations: look at them"
        return look + (", and at family='student' of glmm" if about == "gaussian" else ", and at the dispersion")
    if test == "zeros":
        more = "more zeros than the model expects; consider zi='~ 1' (zero inflation) or a hurdle"
        if about == "binomial":
            more = "more zeros than the model expects; consider a random effect for every row, or a predictor of them"
        return more if found.above else "fewer zeros than the model expects; consider a hurdle or another family"
    if test.startswith("normality"):
        return (
            "the random effects are not normal: plot random_effects(); look for outlying levels, a missing predictor "
            "of the groups or a transformation; fixed effects bear this well, predictions of levels less"
        )
    spread = (
        "the spread changes with the prediction: transform the response, model the dispersion (disp= of glmm) or use "
        "robust() standard errors"
    )
    return {
        "uniformity": "the responses have another distribution than the model's: look at plot(), then at the family, "
        "the link or a transformation of the response",
        "quartiles by prediction": "the residuals follow a pattern along the predictions: a term is missing from the "
        "formula (a curve, an interaction), or the spread is not as modelled",
        "spread by prediction": spread,
        "uniformity by group": f"the residuals differ between the groups of {about}: add it to the formula",
        "spread by group": f"the spread differs between the groups of {about}: model the dispersion by it (disp= of "
        "glmm) or use robust() standard errors",
        "uniformity of group sums": f"the sums of the groups of {about} are not as the model expects: add a random or "
        "fixed effect of it",
        "autocorrelation in time": "neighbours in time are "
        + ("less" if found.above else "more")
        + " alike than the model expects: add a trend or a random effect of time",
    }[test]


def _dispersion(found: Test, family: str) -> str:
    if not found.above:
        return (
            "less spread than the model expects: standard errors are too large; consider a simpler random part or "
            "another family"
        )
    remedy = {
        "poisson": "family='nbinom2', or a random effect for every row",
        "binomial": "a random effect for every row",
    }.get(family, "another family, or terms that are missing from the formula")
    return f"more spread than the model expects: standard errors are too small; consider {remedy}"


def structure(fit: FitBase) -> list[Row]:
    """Convergence, singularity, levels, collinearity: no tests, and so without p-values."""
    text = "; ".join(one_line(message) for message in fit.status.messages)
    none = float("nan")
    rows = [Row("converged", none, none, fit.converged, "the search arrived" if fit.converged else text)]
    if fit.terms:
        fine = "no variance is zero and no correlation is one"
        advice = f"{text}; simplify the random effects, or fit('map') with priors"
        rows.append(Row("not singular", none, none, not fit.singular, advice if fit.singular else fine))
        name, least = min(fit.ngrps().items(), key=lambda item: item[1])
        message = f"{one_line(name)} has {least} levels"
        if least < FEW_LEVELS:
            message += ", too few to estimate a variance well: consider it as a fixed effect, or a prior"
        rows.append(Row("enough levels", float(least), none, least >= FEW_LEVELS, message))
    largest = _inflation(fit)
    if largest is not None:
        name, value = largest
        message = f"the largest variance inflation is that of {one_line(name)}"
        if value > COLLINEAR:
            message += ": predictors explain one another; centre them, or leave one out"
        rows.append(Row("collinearity", value, none, not value > COLLINEAR, message))
    return rows


def _inflation(fit: Any) -> tuple[str, float] | None:
    """The term of the largest variance inflation; None where there is none to tell."""
    try:
        table = fit.vif()
        table = getattr(table, "table", table)
        values = table["vif_root"].astype(float) ** 2
        place = int(np.nanargmax(values.to_numpy()))
        return str(values.index[place]), float(values.iloc[place])
    except (JmixError, AttributeError, KeyError, ValueError, NotImplementedError):
        return None
