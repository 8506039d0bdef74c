"""One column of a regression table: the numbers of a fit or a posterior, by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.base import FitBase
from jmix.results.frames import check_level
from jmix.results.sampled import Sampled
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import plain, sd_names

if TYPE_CHECKING:
    from jmix.results.inference.fixed.fixed_tests import DfMethod

NAN = float("nan")

RATIO_LINKS = {"logit": "odds ratios", "log": "ratios", "cloglog": "hazard ratios"}
"""What exponentiated coefficients are, by the link of the model."""

COMPONENTS = {"zi": "Zero inflation (logit)", "hurdle": "Hurdle (logit of a zero)", "disp": "Dispersion (log)",
              "thresholds": "Thresholds"}  # fmt: skip
"""Titles of the coefficients beside those of the linear predictor."""


@dataclass(frozen=True)
class Coefficient:
    """A row of the upper part of the table; NaN for what there is not."""

    estimate: float
    std_error: float
    statistic: float = NAN
    df: float = NAN
    p_value: float = NAN
    lower: float = NAN
    upper: float = NAN


@dataclass(frozen=True)
class Spread:
    """A row of the random part: a standard deviation, a correlation or a parameter of the residual.

    Attributes:
        group: the grouping factor; empty for the residual. kind: "sd", "cor", or the name of another parameter.
        names: the columns of the random effects that it belongs to.
    """

    group: str
    kind: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """The numbers of one fit.

    Attributes:
        model: a fit or a posterior. coefficients: by component and name, in the order of the fit.
        spreads: standard deviations, correlations and dispersion. df_method: of the tests; None without tests.
        ratios: what the exponentiated coefficients are called; empty where they are as estimated.
    """

    model: Any
    coefficients: dict[tuple[str, str], Coefficient]
    spreads: dict[Spread, float]
    df_method: str | None
    ratios: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def bayesian(self) -> bool:
        """Whether it holds posterior means, standard deviations and intervals."""
        return isinstance(self.model, Sampled)

    @property
    def response(self) -> str:
        """The response as it stands in the formula."""
        return str(self.model.formula).partition("~")[0].strip()


def column_of(model: Any, df: DfMethod | None, level: float, exponentiate: bool) -> Column:
    """The numbers of a fit or posterior.

    Args:
        df: method of a linear mixed model's degrees of freedom; other models have their own.
        level: of the intervals.

    Raises:
        ModelError: it is neither, or ``df`` is not for this model.
    """
    level = check_level(level)
    if isinstance(model, Sampled):
        column = Column(model, dict(_posterior_rows(model, level)), dict(_posterior_spreads(model)), None)
    elif isinstance(model, FitBase):
        rows, method = _fit_rows(model, df, level)
        column = Column(model, rows, dict(_fit_spreads(model)), method, notes=_problems(model))
    else:
        raise ModelError(
            f"jmix.table compares fits and posteriors of mixed and linear models; {type(model).__name__} is none"
        )
    return _exponentiated(column) if exponentiate else column


# --- fits -----------------------------------------------------------------------------------------------------------
def _fit_rows(fit: FitBase, df: DfMethod | None, level: float) -> tuple[dict[tuple[str, str], Coefficient], str | None]:
    from scipy.special import stdtrit

    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    mixed = hasattr(fit, "reml") and bool(fit.terms)
    rows: dict[tuple[str, str], Coefficient] = {}
    method = None
    if fit.x_names:
        tests = fixed_tests(fit, df if mixed else None)
        table = tests.contrasts(np.eye(len(fit.x_names)))
        half = stdtrit(table["df"].to_numpy(), 0.5 + 0.5 * level) * table["std_error"].to_numpy()
        table = table.assign(lower=table["estimate"] - half, upper=table["estimate"] + half)
        for name, row in zip(fit.x_names, table.to_dict("records"), strict=True):
            rows["cond", name] = Coefficient(**{str(key): float(value) for key, value in row.items()})
        method = tests.method
    return rows | dict(_component_rows(fit, level)), method


def _component_rows(fit: Any, level: float) -> Iterator[tuple[tuple[str, str], Coefficient]]:
    """Coefficients of zero inflation, dispersion and thresholds, with normal tests; none of thresholds."""
    if not hasattr(fit, "parts"):
        return
    from scipy.special import ndtr, ndtri

    constant = fit.design.disp is None or fit.design.disp.intercept_only
    for component, names in fit.parts.names.items():
        if component == "cond" or not names or (component == "disp" and constant):
            continue
        title = "hurdle" if component == "zi" and fit.family.zero == "hurdle" else component
        estimates, errors = fit.fixef(component).to_numpy(), fit.se(component).to_numpy()
        for name, b, se in zip(names, estimates.tolist(), errors.tolist(), strict=True):
            z = b / se if se > 0 else NAN
            half = float(ndtri(0.5 + 0.5 * level)) * se
            p = NAN if component == "thresholds" else float(2.0 * ndtr(-abs(z)))
            yield (title, name), Coefficient(b, se, z, float("inf"), p, b - half, b + half)


def _fit_spreads(fit: Any) -> Iterator[tuple[Spread, float]]:
    yield from _varcorr_spreads(fit.varcorr(), fit.spec)
    if fit.residual_sd is None and getattr(fit, "family", None) is not None:
        phi = fit.dispersion
        if fit.design.disp is not None and np.isfinite(phi):
            yield Spread("", "Dispersion"), float(phi)
    if getattr(fit, "nu", None) is not None:
        yield Spread("", "Degrees of freedom of t"), float(fit.nu)


def _varcorr_spreads(table: pd.DataFrame, spec: CovarianceSpec) -> Iterator[tuple[Spread, float]]:
    labels = dict(zip(spec.labels, group_labels(spec), strict=True))
    for row in table.to_dict("records"):
        names = tuple(str(row[v]) for v in ("var1", "var2") if not pd.isna(row[v]))
        group = "" if not names else labels[str(row["grp"])]
        yield Spread(group, "cor" if len(names) == 2 else "sd", names), float(row["sdcor"])


def group_labels(spec: CovarianceSpec) -> list[str]:
    """The grouping factor of each term; numbered where two of its terms share a column, as in ``parameter_names``."""
    return [
        sds[0].removeprefix("sd_").removesuffix(f"__{plain(term.names[0])}")
        for term, sds in zip(spec.terms, sd_names(spec), strict=True)
    ]


def _problems(fit: FitBase) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    found = [] if fit.converged else ["has not converged"]
    return (*found, *(["is singular: a variance is estimated as zero or a correlation as 1"] if fit.singular else []))


# --- posteriors -----------------------------------------------------------------------------------------------------
def _posterior_rows(post: Any, level: float) -> Iterator[tuple[tuple[str, str], Coefficient]]:
    table = post.tidy(effects="fixed", conf_int=True, level=level)
    for row in table.to_dict("records"):
        values = (row["estimate"], row["std_error"], NAN, NAN, NAN, row["conf_low"], row["conf_high"])
        name = str(row["term"])
        component = "cond" if name in post.design.x_names else "thresholds" if name.startswith("Intercept[") else "more"
        yield (component, name), Coefficient(*map(float, values))


def _posterior_spreads(post: Any) -> Iterator[tuple[Spread, float]]:
    yield from _varcorr_spreads(post.varcorr(), post.spec)
    for name, draws in post.law.parameters().items():
        if name != "sigma" and name not in post.law.coefficients:
            yield Spread("", name), float(draws.mean())


# --- exponentiated --------------------------------------------------------------------------------------------------
def _exponentiated(column: Column) -> Column:
    """Ratios in place of coefficients on a log or logit scale; their standard errors by the delta method."""
    family = getattr(column.model, "family", None)
    ratios = RATIO_LINKS.get(str(getattr(family, "link", "")), "")
    if not ratios:
        return column
    rows = {
        key: _exp(value) if key[0] in ("cond", "zi", "hurdle") else value for key, value in column.coefficients.items()
    }
    return Column(column.model, rows, column.spreads, column.df_method, ratios, column.notes)


def _exp(row: Coefficient) -> Coefficient:
    with np.errstate(over="ignore"):
        b, lower, upper = (float(np.exp(v)) for v in (row.estimate, row.lower, row.upper))
    return Coefficient(b, b * row.std_error, row.statistic, row.df, row.p_value, lower, upper)
