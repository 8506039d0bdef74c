"""Statistics below the coefficients of a regression table: size, likelihood, R-squared, ICC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jmix.errors import JmixError, ModelError
from jmix.results.inference.tables.etable_columns import Column
from jmix.results.sampled import Sampled

Value = float | int | str | None

DEFAULT = ("nobs", "groups", "r2_marginal", "r2_conditional", "r2", "icc", "loglik", "aic", "bic", "method")
"""What the table shows unless asked otherwise, where at least one of the fits has it."""

CRITERIA = ("loglik", "aic", "bic", "criterion", "deviance")
"""Statistics of the likelihood, with one decimal."""


@dataclass(frozen=True)
class Statistic:
    """A row below the coefficients.

    Attributes:
        name: in ``stats``. label: in the table; of "groups" the grouping factor. values: one a fit; None where there is
            none.
    """

    name: str
    label: str
    values: tuple[Value, ...]


def statistics(columns: Sequence[Column], asked: Sequence[str] | None) -> list[Statistic]:
    """The rows asked for; by default those that some fit has.

    Raises:
        ModelError: there is no such statistic.
    """
    names = DEFAULT if asked is None else tuple([asked] if isinstance(asked, str) else asked)
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise ModelError(f"stats: there is no {unknown[0]!r}; choose among {', '.join(map(repr, KNOWN))}")
    rows: list[Statistic] = []
    for name in names:
        if name == "groups":
            rows += _groups(columns)
            continue
        label, value = KNOWN[name]
        values = tuple(value(column.model) for column in columns)
        if asked is not None or any(v is not None for v in values):
            rows.append(Statistic(name, label, values))
    return rows


def _groups(columns: Sequence[Column]) -> list[Statistic]:
    counts = [column.model.ngrps() for column in columns]
    names = dict.fromkeys(group for count in counts for group in count)
    return [Statistic("groups", group, tuple(count.get(group) for count in counts)) for group in names]


def _attribute(name: str) -> Callable[[Any], Value]:
    def value(model: Any) -> Value:
        if isinstance(model, Sampled):
            return None
        found = getattr(model, name, None)
        return None if found is None or not np.isfinite(found) else float(found)

    return value


def _method(model: Any) -> Value:
    return "posterior" if isinstance(model, Sampled) else str(model.method)


def _effect_size(method: str, key: str) -> Callable[[Any], Value]:
    """A number of ``fit.r2()`` or ``fit.icc()``; None where the model has none."""

    def value(model: Any) -> Value:
        if isinstance(model, Sampled) or not model.terms or not hasattr(model, method):
            return None
        try:
            found = getattr(getattr(model, method)(), key)
        except JmixError:
            return None
        return float(found) if found is not None and np.isfinite(found) else None

    return value


def _least_squares_r2(model: Any) -> Value:
    """Multiple R-squared of least squares, as R's ``summary.lm``."""
    if isinstance(model, Sampled) or model.terms or getattr(model, "method", "") != "OLS":
        return None
    from jmix.results.least_squares import _sums_of_squares

    explained, total = _sums_of_squares(model, "(Intercept)" in model.x_names)
    return float(explained / total) if total > 0 else None


KNOWN: dict[str, tuple[str, Callable[[Any], Value]]] = {
    "nobs": ("N", lambda model: int(model.nobs)),
    "groups": ("N", lambda _: None),
    "npar": ("Parameters", lambda model: None if isinstance(model, Sampled) else int(model.npar)),
    "df_residual": ("Residual df", lambda model: None if isinstance(model, Sampled) else int(model.df_residual)),
    "r2": ("R²", _least_squares_r2),
    "r2_marginal": ("R² marginal", _effect_size("r2", "marginal")),
    "r2_conditional": ("R² conditional", _effect_size("r2", "conditional")),
    "icc": ("ICC", _effect_size("icc", "adjusted")),
    "loglik": ("Log likelihood", _attribute("loglik")),
    "criterion": ("REML criterion / deviance", _attribute("criterion")),
    "deviance": ("Deviance", _attribute("deviance")),
    "aic": ("AIC", _attribute("aic")),
    "bic": ("BIC", _attribute("bic")),
    "method": ("Estimation", _method),
    "family": ("Family", lambda model: _family(model)),
    "formula": ("Formula", lambda model: " ".join(str(model.formula).split())),
}


def _family(model: Any) -> Value:
    family = getattr(model, "family", None)
    if family is None or isinstance(family, str):
        return family or "gaussian"
    return f"{family.name} ({family.link})"
