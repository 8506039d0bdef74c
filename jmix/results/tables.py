"""The tables of a fit, cells formatted as lme4 and R print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jmix.results.numbers import (
    abbreviate,
    format_estimates,
    format_numbers,
    format_p_column,
    format_statistics,
    round_to,
    zap_small,
)
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.base import FitBase, FloatArray

QUANTILES = ("Min", "1Q", "Median", "3Q", "Max")


def information_table(fit: FitBase, twice: str = "deviance") -> Table:
    """AIC, BIC, log likelihood, -2 times it under the name ``twice``, and residual degrees of freedom."""
    values = [round_to(v, 1) for v in (fit.aic, fit.bic, fit.loglik, -2.0 * fit.loglik)]
    return _one_row(("AIC", "BIC", "logLik", twice, "df.resid"), [*format_numbers(values, 15), f"{fit.df_residual}"])


def quantile_table(residuals: FloatArray) -> Table:
    """Minimum, quartiles and maximum."""
    quantiles = zap_small([float(q) for q in np.quantile(residuals, [0, 0.25, 0.5, 0.75, 1])], 5)
    return _one_row(QUANTILES, format_numbers(quantiles, 4))


def _one_row(names: tuple[str, ...], cells: list[str]) -> Table:
    width = max(len(c) for c in (*names, *cells))
    return Table(tuple(n.rjust(width) for n in names), (tuple(c.rjust(width) for c in cells),), "r" * len(names))


def random_table(fit: FitBase) -> Table:
    """Variance, standard deviation and correlations of every random term, and of the residual if there is one."""
    groups: list[str] = []
    names: list[str] = []
    variances: list[float] = []
    for label, term, cov in zip(fit.spec.labels, fit.spec.terms, fit.cov_terms(), strict=True):
        groups += [one_line(label), *[""] * (term.q - 1)]
        names += [one_line(name) for name in term.names]
        variances += [float(v) for v in np.diag(cov)]
    if fit.residual_sd is not None:
        groups, names, variances = [*groups, "Residual"], [*names, ""], [*variances, fit.residual_sd**2]
    columns = [
        ("Groups", "l", groups),
        ("Name", "l", names),
        ("Variance", "l", format_numbers(variances, 4)),
        ("Std.Dev.", "l", format_numbers([float(np.sqrt(v)) for v in variances], 4)),
    ]
    correlations = _correlation_columns(fit.cov_terms(), len(variances))
    columns += [("" if i else "Corr", "l", cells) for i, cells in enumerate(correlations)]
    return Table.of_columns(columns, labels=2)


def _correlation_columns(covariances: list[FloatArray], n_rows: int) -> list[list[str]]:
    """Cells of the correlations below the diagonal, one list of ``n_rows`` cells a column."""
    n_columns = max((len(c) for c in covariances), default=1) - 1
    rows: list[list[str]] = []
    for cov in covariances:
        texts = _lower_triangle(cov, decimals=2)
        rows += [line + [""] * (n_columns - len(line)) for line in texts]
    rows += [[""] * n_columns] * (n_rows - len(rows))
    return [list(column) for column in zip(*rows, strict=True)]


def _lower_triangle(cov: FloatArray, decimals: int) -> list[list[str]]:
    """Rows of formatted correlations, blank on and above the diagonal, the last column left out."""
    sd = np.sqrt(np.diag(cov))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = cov / np.outer(sd, sd)
    np.fill_diagonal(correlation, 1.0)
    q = len(cov)
    flat = format_numbers([round_to(float(v), decimals) for v in correlation.ravel()], 7, decimals)
    return [[flat[i * q + j] if j < i else "" for j in range(q - 1)] for i in range(q)]


def tests_table(tests: pd.DataFrame, *, df: bool, p_values: bool) -> Table:
    """Estimate, standard error and t value of every fixed effect; degrees of freedom and p-values where asked for.

    Args:
        tests: one row an effect, with the columns ``estimate std_error df statistic p_value``.
    """
    beta, errors, statistic = (tests[name].tolist() for name in ("estimate", "std_error", "statistic"))
    texts = _with_df(beta, errors, tests["df"].tolist()) if df else format_estimates(beta, errors)
    heads = ("Estimate", "Std. Error", "df")
    columns: list[tuple[str, str, list[str]]] = [("", "l", [one_line(str(n)) for n in tests.index])]
    columns += [(head, "r", cells) for head, cells in zip(heads, texts, strict=False)]
    columns.append(("t value", "r", format_statistics(statistic)))
    if p_values:
        columns.append(("Pr(>|t|)", "r", format_p_column(tests["p_value"].tolist())))
    return Table.of_columns(columns, labels=1)


def _with_df(beta: list[float], errors: list[float], df: list[float]) -> tuple[list[str], ...]:
    """Estimates, standard errors and degrees of freedom in one notation, as R's ``printCoefmat`` lays them out.

    Where that would be the scientific notation for the degrees of freedom alone, they have one decimal instead; whole
    numbers, as by counting, have none.
    """
    p = len(beta)
    alone = format_estimates(beta, errors)
    if all(v.is_integer() for v in df):
        return *alone, [f"{v:.0f}" for v in df]
    first, second = format_estimates([*beta, *errors], df)
    joint = (first[:p], first[p:], second)
    if any("e" in text for part in joint for text in part) and not any("e" in text for part in alone for text in part):
        return *alone, format_numbers([round_to(v, 1) for v in df], 15, 1)
    return joint


def coefficient_table(estimate: pd.Series, se: pd.Series, symbol: str, p_values: FloatArray | None = None) -> Table:
    """Estimates, standard errors and their ratio, the statistic ``symbol``; p-values where they are given."""
    beta, errors = estimate.to_numpy(), se.to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = beta / errors
    texts = format_estimates(beta.tolist(), errors.tolist())
    columns = [
        ("", "l", [one_line(str(n)) for n in estimate.index]),
        ("Estimate", "r", texts[0]),
        ("Std. Error", "r", texts[1]),
        (f"{symbol} value", "r", format_statistics(statistic.tolist())),
    ]
    if p_values is not None:
        columns.append((f"Pr(>|{symbol}|)", "r", format_p_column(p_values.tolist())))
    return Table.of_columns(columns, labels=1)


def correlation_table(fit: FitBase) -> Table:
    """Correlations of the fixed effects below the diagonal, with abbreviated names."""
    names = [one_line(n) for n in fit.x_names]
    columns = zip(*_lower_triangle(fit.fixed_covariance, decimals=3)[1:], strict=True)
    cells = [(head, "l", list(column)) for head, column in zip(abbreviate(names, 6)[:-1], columns, strict=True)]
    return Table.of_columns([("", "l", abbreviate(names, 11)[1:]), *cells], labels=1)
