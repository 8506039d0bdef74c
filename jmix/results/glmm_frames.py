"""Results of a generalized linear mixed model as data frames: broom.mixed's ``tidy``, ``glance``, ``augment``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jmix.results import frames
from jmix.results.glmm_summary import p_values

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit


def confint(fit: GlmmFit, level: float, component: str) -> pd.DataFrame:
    """Wald intervals of the coefficients of a component, or of all of them one after the other.

    Returns:
        Frame with columns ``lower`` and ``upper``; for ``component="all"`` the index has levels ``component`` and
        ``term``.
    """
    frames.check_level(level)
    if component != "all":
        return _interval(fit, level, component)
    parts = {name: _interval(fit, level, name) for name, terms in fit.parts.names.items() if terms}
    return pd.concat(parts, names=["component", "term"])


def _interval(fit: GlmmFit, level: float, component: str) -> pd.DataFrame:
    estimate = fit.fixef(component)
    width = frames.half_width(fit, level) * fit.se(component)
    return pd.DataFrame({"lower": estimate - width, "upper": estimate + width})


def tidy(fit: GlmmFit, *, effects: str = "all", conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
    """One row a parameter or random effect, with broom.mixed's columns and ``p_value``.

    The fixed effects of a model with zero inflation, a dispersion formula or thresholds are preceded by a column
    ``component``: "cond", "zi", "disp" (log dispersion) or "thresholds".
    """
    table = frames.tidy(fit, effects=effects, conf_int=conf_int, level=level)
    if effects == "ran_vals":
        return table
    fixed = table["effect"] == "fixed"
    others = [] if effects == "ran_pars" else _others(fit)
    own = [table[fixed].assign(component="cond"), *(_component(fit, name, conf_int, level) for name in others)]
    coefficients = pd.concat(own, ignore_index=True)
    coefficients["p_value"] = p_values(coefficients["estimate"], coefficients["std_error"])
    out = pd.concat([coefficients, table[~fixed].assign(component="cond", p_value=np.nan)], ignore_index=True)
    names = [*frames.COLUMNS, "p_value", *(frames.BOUNDS if conf_int else [])]
    return out[[names[0], "component", *names[1:]] if _others(fit) else names]


def _others(fit: GlmmFit) -> list[str]:
    """The components besides the linear predictor that have coefficients of their own, in the order of printing."""
    disp = fit.design.disp
    plain = disp is None or disp.intercept_only
    return [name for name in ("zi", "disp", "thresholds") if fit.parts.names[name] and not (name == "disp" and plain)]


def _component(fit: GlmmFit, component: str, conf_int: bool, level: float) -> pd.DataFrame:
    estimate, se = fit.fixef(component), fit.se(component)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (estimate / se).to_numpy()
    texts = {"effect": "fixed", "component": component, "group": None, "term": list(estimate.index)}
    table = pd.DataFrame({name: pd.Series(v, index=range(len(se)), dtype="str") for name, v in texts.items()})
    table = table.assign(estimate=estimate.to_numpy(), std_error=se.to_numpy(), statistic=statistic)
    if conf_int:
        interval = _interval(fit, level, component)
        table[frames.BOUNDS[0]], table[frames.BOUNDS[1]] = interval["lower"].to_numpy(), interval["upper"].to_numpy()
    return table


def glance(fit: GlmmFit) -> pd.DataFrame:
    """One row for the model: size, sigma, likelihood, and whether the fit converged and is singular.

    ``deviance`` is -2 times the log likelihood.
    """
    row = {
        "nobs": fit.nobs,
        "sigma": fit.sigma,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "deviance": fit.deviance,
        "df_residual": fit.df_residual,
        "converged": fit.converged,
        "singular": fit.singular,
    }
    return pd.DataFrame([row])


def augment(fit: GlmmFit) -> pd.DataFrame:
    """One row for each observation used.

    Returns:
        (n, .) frame on the index of the data: the columns of ``Fit.augment``'s data part, ``trials`` of a binomial
        response; then ``fitted`` and ``fixed``, expected responses with and without random effects, ``link``, the
        linear predictor, and ``resid``, deviance residuals where the family has them, else quantile residuals (seed
        0). Where the data have a column of such a name, the added one begins with a dot.
    """
    added = {
        "fitted": fit.fitted(),
        "fixed": fit.fitted(conditional=False),
        "link": fit.fitted("link"),
        "resid": fit.residuals("deviance" if fit.has_deviance else "quantile"),
    }
    return frames.with_data(fit, _more_columns(fit), added)


def _more_columns(fit: GlmmFit) -> dict[str, object]:
    response = fit.design.response
    more: dict[str, object] = {}
    if response.levels:
        codes = response.y.astype(np.int64)
        more[fit.base.y_name] = pd.Categorical.from_codes(codes, categories=pd.Index(response.levels))
    if response.size is not None and fit.family.has_trials:
        more["trials"] = response.size
    if fit.design.weights is not None:
        more["weights"] = fit.design.weights
    return more
