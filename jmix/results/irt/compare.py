"""Several fits to the same responses side by side, with likelihood ratio tests of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jmix.errors import ModelError

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit


def compare(*fits: IrtFit, names: list[str] | None = None) -> pd.DataFrame:
    """One row a fit in order of their numbers of parameters: criteria, and the test against the row above.

    The test is right where the smaller model is the larger one with some parameters fixed inside their range or equal;
    a variance or an asymptote at its bound makes it conservative.

    Args:
        fits: two or more. names: of the rows; None for "model 1", "model 2", ...

    Returns:
        Frame with columns ``npar loglik aic bic chisq df p_value``; the last three NaN in the first row, between models
        of equal size and after MAP.

    Raises:
        ModelError: fewer than two fits, or fits to different responses.
    """
    if len(fits) < 2:
        raise ModelError("compare() needs at least two fits")
    labels = names if names is not None else [f"model {i + 1}" for i in range(len(fits))]
    if len(labels) != len(fits):
        raise ModelError(f"names has {len(labels)} entries for {len(fits)} fits")
    for fit in fits[1:]:
        _check_same(fits[0], fit)
    order = sorted(range(len(fits)), key=lambda i: (fits[i].npar, i))
    rows = []
    for place, i in enumerate(order):
        fit = fits[i]
        row = {"npar": fit.npar, "loglik": fit.loglik, "aic": fit.aic, "bic": fit.bic}
        row |= dict(zip(("chisq", "df", "p_value"), _test(fits[order[place - 1]] if place else None, fit), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, index=[labels[i] for i in order])


def _test(smaller: IrtFit | None, larger: IrtFit) -> tuple[float, float, float]:
    """Statistic, degrees of freedom and p-value."""
    from scipy.stats import chi2

    if smaller is None or larger.npar == smaller.npar or "MAP" in (smaller.method, larger.method):
        return np.nan, np.nan, np.nan
    statistic, df = 2.0 * (larger.loglik - smaller.loglik), larger.npar - smaller.npar
    return statistic, float(df), float(chi2.sf(max(statistic, 0.0), df))


def _check_same(a: IrtFit, b: IrtFit) -> None:
    one, two = a.responses, b.responses
    same = one is two or (
        one.items == two.items and one.n_persons == two.n_persons and one.n_responses == two.n_responses
    )
    if same and one is not two and one.table is not None and two.table is not None:
        same = bool(np.array_equal(one.table, two.table))
    if not same or a.nobs != b.nobs:
        raise ModelError("the fits are to different responses: their likelihoods cannot be compared")
