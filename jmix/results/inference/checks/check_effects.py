"""Normality of the random effects, from their conditional modes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.rows import prior_covariances

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]


def random_effects(fit: FitBase) -> pd.DataFrame:
    """One row a random effect: ``group level term mode standardized normal_quantile``.

    ``standardized`` is the mode over its standard deviation under the model, the root of ``Var(b) - Var(b | data)``,
    so that levels with few rows, which are shrunk more, have the same variance as others (Lange & Ryan 1989, Ann. Stat.
    17, 624-642); NaN where a variance is zero. ``normal_quantile`` is that of its rank (Blom's positions).
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    frames = []
    prior = prior_covariances(fit)
    for group, modes in fit.modes.items():
        total = fit.theta_scale**2 * np.diag(prior[group])
        left = np.einsum("jaa->ja", fit.mode_covariances[group])
        explained = total - left
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(explained > 1e-8 * np.maximum(total, 1e-300), modes / np.sqrt(np.abs(explained)), np.nan)
        for k, term in enumerate(fit.group_columns(group)):
            own = z[:, k]
            known = np.isfinite(own)
            quantile = np.full(own.size, np.nan)
            if known.any():
                quantile[known] = ndtri((rankdata(own[known]) - 0.375) / (known.sum() + 0.25))
            columns = {
                "group": group,
                "level": fit.group_levels(group),
                "term": term,
                "mode": modes[:, k],
                "standardized": own,
                "normal_quantile": quantile,
            }
            frames.append(pd.DataFrame(columns))
    names = ["group", "level", "term", "mode", "standardized", "normal_quantile"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=names)


def normality(effects: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Name, Shapiro and Wilk's W and p-value of every column of random effects with at least 5 levels."""
    from scipy.stats import shapiro

    out = []
    for (group, term), part in effects.groupby(["group", "term"], sort=False):
        values = part["standardized"].dropna().to_numpy(dtype=np.float64)
        if values.size < 5 or np.ptp(values) == 0:
            continue
        if values.size > 5000:
            values = values[:: -(-values.size // 5000)]
        found = shapiro(values)
        out.append((f"normality, {group} {term}", float(found.statistic), float(found.pvalue)))
    return out
