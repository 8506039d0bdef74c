"""What least squares adds to a summary: exact tests, R-squared and the F statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jmix.results.numbers import format_number, format_p_values

if TYPE_CHECKING:
    from jmix.results.fit import Fit


def residual_df(fit: Fit) -> int:
    """Rows less the number of fixed effects."""
    return fit.nobs - len(fit.design.x_names)


def goodness_lines(fit: Fit) -> list[str]:
    """Residual standard error, R-squared and F test, as R's ``summary.lm`` states them."""
    df = residual_df(fit)
    lines = [f"Residual standard error: {format_number(fit.sigma, 4)} on {df} degrees of freedom"]
    intercept = int("(Intercept)" in fit.design.x_names)
    df_model = len(fit.design.x_names) - intercept
    if df_model == 0:
        return lines
    explained, total = _sums_of_squares(fit, bool(intercept))
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = float(np.divide(explained, total))
        f = float(np.divide(explained / df_model, fit.sigma**2))
    adjusted = 1.0 - (1.0 - r2) * (fit.nobs - intercept) / df
    lines.append(f"Multiple R-squared: {format_number(r2, 4)}, Adjusted R-squared: {format_number(adjusted, 4)}")
    return [*lines, _f_line(f, df_model, df)]


def is_perfect(fit: Fit) -> bool:
    """Whether nothing but rounding is left in the residuals, so that their tests mean nothing."""
    return bool(fit.sigma**2 <= 1e-28 * float(np.mean(fit.design.y**2)))


def _sums_of_squares(fit: Fit, intercept: bool) -> tuple[float, float]:
    """Explained and total sum of squares, about the mean where there is an intercept."""
    w = np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights
    fitted = fit.fitted().to_numpy()
    centre = float(np.average(fitted, weights=w)) if intercept else 0.0
    explained = float(np.sum(w * (fitted - centre) ** 2))
    return explained, explained + float(np.sum(fit.residuals("pearson").to_numpy() ** 2))


def _f_line(f: float, df_model: int, df: int) -> str:
    from scipy.special import fdtrc

    p = format_p_values([float(fdtrc(df_model, df, f))], 4)[0]
    return f"F-statistic: {format_number(f, 4)} on {df_model} and {df} DF, p-value: {p}"
