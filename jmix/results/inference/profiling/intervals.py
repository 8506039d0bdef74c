"""Confidence intervals of a fit by any method: Wald, profile likelihood, parametric bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.frames import check_level
from jmix.results.inference.profiling.profile_scale import Parameters

if TYPE_CHECKING:
    from jmix.results.base import FitBase

METHODS = ("wald", "profile", "boot")
OPTIONS = {
    "wald": (),
    "profile": ("scale", "progress"),
    "boot": ("n", "seed", "kind", "resampling", "conditional", "progress"),
}
"""What each method takes beside the level and the parameters."""


def confint(
    fit: FitBase,
    level: float,
    method: str,
    df: Any,
    parameters: Parameters,
    options: Mapping[str, Any],
    component: str = "cond",
) -> pd.DataFrame:
    """The work behind ``confint`` of linear and generalized fits.

    Returns:
        Frame by parameter with columns ``lower`` and ``upper``.

    Raises:
        ModelError: an unknown method, option or parameter; ``df`` with another method than Wald's.
    """
    level = check_level(level)
    _check(method, df, options, component)
    if method == "profile":
        return _profile(fit, level, parameters, options)
    if method == "boot":
        return _bootstrap(fit, level, parameters, options)
    from jmix.results.inference.profiling.intervals_wald import wald

    return wald(fit, level, df, parameters, component)


def _check(method: str, df: Any, options: Mapping[str, Any], component: str) -> None:
    if not isinstance(method, str) or method not in METHODS:
        raise ModelError(f"confint(method={method!r}): choose {', '.join(map(repr, METHODS))}")
    unknown = sorted(set(options) - set(OPTIONS[method]))
    if unknown:
        own = ", ".join(OPTIONS[method]) or "no options"
        raise ModelError(f"confint(method={method!r}) does not take {', '.join(unknown)}; it takes {own}")
    if df is not None and method != "wald":
        raise ModelError(f"confint(df={df!r}) is for method='wald'; method={method!r} needs no degrees of freedom")
    if component != "cond" and method != "wald":
        raise ModelError(f"confint(component=...) is for method='wald'; with method={method!r} name the parameters")


def _profile(fit: Any, level: float, parameters: Parameters, options: Mapping[str, Any]) -> pd.DataFrame:
    wanted = "fixed" if parameters is None else parameters
    profile = fit.profile(wanted, level=level, **options)
    troubles = [note for note in profile.notes if "NaN" in note or "below the fit's" in note]
    if troubles:
        import warnings

        from jmix.errors import ConvergenceWarning

        warnings.warn("; ".join(troubles), ConvergenceWarning, stacklevel=5)
    limits: pd.DataFrame = profile.confint(level)
    return limits


def _bootstrap(fit: Any, level: float, parameters: Parameters, options: Mapping[str, Any]) -> pd.DataFrame:
    own = dict(options)
    kind = own.pop("kind", "percentile")
    if "resampling" in own:
        own["kind"] = own.pop("resampling")
    from jmix.results.inference.bootstrapping.bootstrap_result import KINDS

    if kind not in KINDS:
        raise ModelError(f"confint(kind={kind!r}): choose {', '.join(map(repr, KINDS))}")
    names = names_for(fit)
    chosen = [names.plain[i] for i in names.chosen("fixed" if parameters is None else parameters)]
    limits: pd.DataFrame = fit.bootstrap(**own).confint(level, kind=kind)
    missing = [name for name in chosen if name not in limits.index]
    limits = limits.reindex([*limits.index, *missing]) if missing else limits
    return limits.loc[chosen].astype(np.float64)


def names_for(fit: Any) -> Any:
    """The parameters of a fit, on the scale of standard deviations and correlations."""
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.results.inference.profiling.profile_scale import names_of

    if isinstance(fit.objective, GlmmObjective):
        from jmix.estimate.glmm_initial import family_names

        return names_of(fit, "sdcor", family_names(fit.objective))
    return names_of(fit, "sdcor")
