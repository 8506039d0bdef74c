"""Predictions for new rows, their standard errors, and responses simulated from a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import Design
from jmix.errors import DataError, ModelError
from jmix.results.rows import Rows, add_random, conditional_variance, fixed_part, make_rows, population_variance

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

POPULATION = "new_levels='population' predicts them with a random effect of zero"


def predict(
    fit: Fit, data: Any = None, *, conditional: bool = True, new_levels: str = "error", se: bool = False
) -> pd.Series | pd.DataFrame:
    """Predict the linear predictor of new rows, or of the rows of the fit.

    Args:
        data: a table with the columns of the formula; the grouping columns only if ``conditional``.
        conditional: add the random effects at their conditional modes.
        new_levels: "error" refuses grouping levels that the fit has not seen and gives NaN for a missing level;
            "population" sets the random effect of both to zero, as lme4's ``allow.new.levels``.
        se: also give standard errors, given theta: of x'beta for the population, else of x'beta + z'(b_hat - b). A
            level that the fit has not seen contributes its full prior variance z'Sigma z.

    Returns:
        Series ``fit`` with the index of the rows, or a frame with the columns ``fit`` and ``se``. A row with a missing
        value is NaN.

    Raises:
        DataError: columns are missing, or levels are new and ``new_levels`` is "error".
        ModelError: another ``new_levels``.
    """
    if new_levels not in ("error", "population"):
        raise ModelError(f"new_levels={new_levels!r}: choose 'error' or 'population'")
    if data is None:
        rows, valid, index = fitted_rows(fit.design, conditional), np.ones(fit.nobs, dtype=np.bool_), fit.design.index
    else:
        rows, valid, index = new_rows(fit.design, data, conditional, new_levels)
    eta = add_random(fixed_part(fit, rows), rows, fit.modes if rows.columns else {})
    value = pd.Series(np.where(valid, eta, np.nan), index=index, name="fit")
    if not se:
        return value
    return pd.DataFrame({"fit": value, "se": _standard_errors(fit, rows, valid)}, index=index)


def fitted_rows(design: Design, conditional: bool) -> Rows:
    """The rows of the fit."""
    return make_rows(design.X, design.offset, design.terms if conditional else ())


def new_rows(
    design: Design, data: Any, conditional: bool, new_levels: str, remedy: str = POPULATION
) -> tuple[Rows, BoolArray, Any]:
    """Encoded rows, which of them can be predicted, and their index.

    Args:
        new_levels: "error" refuses unseen levels and gives no prediction for missing ones. remedy: against unseen ones.

    Raises:
        DataError: missing columns, unseen levels, or an offset that new rows cannot have.
    """
    random = conditional and bool(design.random)
    new = design.encoding.encode(data, response=False, random=random)
    if design.encoding.offset_array:
        raise DataError(
            "the fit has an offset that was given as an array, so new rows have none; fit with offset='column' or "
            "offset(column) in the formula to predict new data"
        )
    valid = new.complete.copy()
    terms = [new.random[i] for i in design.term_order] if random else []
    if new_levels == "error":
        for term in terms:
            _refuse_unseen(term, remedy)
            valid &= term.codes >= 0
    rows = make_rows(new.X, new.offset, terms)
    return replace(rows, fresh={term.group: term.fresh for term in terms}), valid, new.index


def _refuse_unseen(term: Any, remedy: str) -> None:
    if not term.unseen:
        return
    shown = ", ".join(map(repr, term.unseen[:5])) + (", …" if len(term.unseen) > 5 else "")
    raise DataError(
        f"the grouping factor {term.group} has levels that the fit has not seen: {shown}; "
        f"{remedy}, conditional=False predicts all rows without random effects"
    )


def _standard_errors(fit: Fit, rows: Rows, valid: BoolArray) -> FloatArray:
    out = np.full(rows.n, np.nan)
    part = rows if valid.all() else _select(rows, valid)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = fit.sigma**2 * conditional_variance(fit, part) if rows.columns else population_variance(fit, part)
    out[valid] = np.sqrt(np.maximum(variance, 0.0))
    return out


def _select(rows: Rows, keep: BoolArray) -> Rows:
    return Rows(
        rows.X[keep],
        None if rows.offset is None else rows.offset[keep],
        {g: c[keep] for g, c in rows.codes.items()},
        {g: tuple(c[keep] for c in columns) for g, columns in rows.columns.items()},
    )


def simulate(fit: Fit, n: int = 1, *, seed: int = 0, conditional: bool = False) -> pd.DataFrame:
    """Draw responses from the fitted model at the estimates.

    Args:
        n: number of responses. seed: of ``numpy.random.default_rng``; the same seed gives the same draws.
        conditional: keep the random effects at their conditional modes; otherwise draw new ones.

    Returns:
        (rows, n) frame with the index of the data and the columns ``sim_1``, ...

    Raises:
        ModelError: n is not a positive whole number, or seed a negative one or none.
    """
    rng = check_draws("simulate", n, seed)
    rows = fitted_rows(fit.design, True)
    mean = fixed_part(fit, rows)
    if conditional:
        mean = add_random(mean, rows, fit.modes)
    weights = fit.design.weights
    noise = fit.sigma if weights is None else fit.sigma / np.sqrt(weights)
    out = np.empty((rows.n, int(n)), order="F")
    for i in range(int(n)):
        eta = mean if conditional else add_random(mean, rows, draw_effects(fit, rng))
        out[:, i] = eta + noise * rng.standard_normal(rows.n)
    return pd.DataFrame(out, index=fit.design.index, columns=[f"sim_{i + 1}" for i in range(int(n))])


def check_draws(caller: str, n: Any, seed: Any) -> np.random.Generator:
    """The generator of a seed.

    Raises:
        ModelError: n is not a positive whole number, or seed a negative one or none.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ModelError(f"{caller}({name}={value!r}): {name} must be a whole number, at least {least}")
    return np.random.default_rng(seed)


def draw_effects(fit: FitBase, rng: np.random.Generator) -> dict[str, FloatArray]:
    """(J, q) random effects of each grouping factor, drawn term by term."""
    draws: dict[str, list[FloatArray]] = {}
    for term, lam in zip(fit.terms, fit.spec.split(fit.theta_values), strict=True):
        unit = rng.standard_normal((len(term.levels), lam.shape[0]))
        draws.setdefault(term.group, []).append(fit.theta_scale * unit @ lam.T)
    return {group: np.concatenate(parts, axis=1) for group, parts in draws.items()}
