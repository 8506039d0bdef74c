"""All parameters of one fit by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jmix.results.refits_base import natural_scale, parameter_frame


def parameters(fit: Any) -> pd.Series:
    """(P,) fixed effects, standard deviations, correlations and sigma of a fit, as ``Refits.parameters`` has them."""
    if hasattr(fit, "family"):
        return _generalized(fit)
    sigma = np.array([fit.sigma])
    random = natural_scale(fit.theta_values[None], sigma, fit.spec)
    names = (fit.x_names, fit.spec)
    frame = parameter_frame(fit.beta[None], random, {"sigma": sigma}, names, pd.RangeIndex(1))
    return frame.iloc[0].rename("estimate")


def _generalized(fit: Any) -> pd.Series:
    from jmix.estimate.glmm_initial import family_names, family_values

    x = fit.solution.x[None]
    with np.errstate(over="ignore"):
        values = family_values(fit.objective, x)
    others = {name: values[:, j] for j, name in enumerate(family_names(fit.objective))}
    random = natural_scale(fit.theta_values[None], np.ones(1), fit.spec)
    frame = parameter_frame(fit.beta[None], random, others, (fit.x_names, fit.spec), pd.RangeIndex(1))
    return frame.iloc[0].rename("estimate")
