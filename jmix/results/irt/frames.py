"""Results of an item response model as data frames: intervals, broom's ``tidy`` and ``glance``."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import pandas as pd

from jmix.results.frames import BOUNDS, check_level

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit


def confint(fit: IrtFit, level: float) -> pd.DataFrame:
    """See ``IrtFit.confint``."""
    width = NormalDist().inv_cdf(0.5 + 0.5 * check_level(level))
    fit.se()
    low, high = fit.numbers.interval(width)
    return pd.DataFrame({"lower": low, "upper": high}, index=fit.numbers.names)


def tidy(fit: IrtFit, *, conf_int: bool, level: float) -> pd.DataFrame:
    """See ``IrtFit.tidy``."""
    frame = pd.DataFrame({"term": fit.numbers.names, "estimate": fit.numbers.estimates})
    if fit.solution.vcov is not None:
        frame["std_error"] = fit.numbers.se
    if conf_int:
        limits = confint(fit, level)
        frame[BOUNDS[0]], frame[BOUNDS[1]] = limits["lower"].to_numpy(), limits["upper"].to_numpy()
    return frame


def glance(fit: IrtFit) -> pd.DataFrame:
    """See ``IrtFit.glance``."""
    row = {
        "nobs": fit.nobs,
        "n_items": fit.responses.n_items,
        "npar": fit.npar,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "deviance": fit.deviance,
        "quadrature_error": fit.quadrature_error,
        "converged": fit.converged,
    }
    return pd.DataFrame([row])
