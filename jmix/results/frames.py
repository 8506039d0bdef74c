"""Results as data frames: confidence intervals and broom.mixed's ``tidy``, ``glance`` and ``augment``."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.inference.fixed.fixed_tests import DfMethod

EFFECTS = {"fixed": ("fixed",), "ran_pars": ("ran_pars",), "ran_vals": ("ran_vals",), "all": ("fixed", "ran_pars")}
"""What each value of ``effects`` stands for."""

COLUMNS = ["effect", "group", "term", "estimate", "std_error", "statistic"]
VALUE_COLUMNS = ["effect", "group", "level", "term", "estimate", "std_error"]
BOUNDS = ["conf_low", "conf_high"]


def check_level(level: Any, name: str = "level") -> float:
    """The level of an interval as a float; ``name`` is the argument it was given as.

    Raises:
        ModelError: unless it is a number strictly between 0 and 1.
    """
    number = isinstance(level, int | float | np.integer | np.floating) and not isinstance(level, bool)
    if not number or not 0.0 < float(level) < 1.0:
        raise ModelError(f"{name}={level!r}: choose a number between 0 and 1, such as 0.95")
    return float(level)


def half_width(fit: FitBase, level: float) -> float:
    """Half the width of a Wald interval in standard errors: normal quantile, Student's t for least squares."""
    upper = 0.5 + 0.5 * level
    if fit.test_df is None:
        return NormalDist().inv_cdf(upper)
    from scipy.special import stdtrit

    return float(stdtrit(fit.test_df, upper))


def confint(fit: FitBase, level: float = 0.95) -> pd.DataFrame:
    """Wald intervals of the fixed effects.

    Returns:
        (p, 2) frame with columns ``lower`` and ``upper``. Normal quantiles, as lme4's ``method = "Wald"``;
        Student's t for least squares, as R's ``confint`` of an ``lm``.

    Raises:
        ModelError: for a level outside (0, 1).
    """
    estimate, width = fit.fixef(), half_width(fit, check_level(level)) * fit.se()
    return pd.DataFrame({"lower": estimate - width, "upper": estimate + width})


def tidy(
    fit: FitBase, *, effects: str = "all", conf_int: bool = False, level: float = 0.95, df: DfMethod | None = None
) -> pd.DataFrame:
    """One row for each parameter or random effect, with the columns of broom.mixed's ``tidy``.

    Args:
        effects: "fixed"; "ran_pars", standard deviations ``sd__`` and correlations ``cor__``, without standard errors;
            "all" for both; "ran_vals" for the conditional modes, with their level and conditional standard deviation.
        conf_int: add the Wald limits ``conf_low`` and ``conf_high``. level: their coverage.
        df: the rule by which the columns ``df`` and ``p_value`` are added, and which the limits then use.

    Raises:
        ModelError: for other effects, a level outside (0, 1), or a rule that the model does not have.
    """
    if not isinstance(effects, str) or effects not in EFFECTS:
        raise ModelError(f"effects={effects!r}: choose {', '.join(map(repr, EFFECTS))}")
    width = half_width(fit, check_level(level))
    parts = {"fixed": _fixed, "ran_pars": _parameters, "ran_vals": _values}
    frame = pd.concat([parts[part](fit) for part in EFFECTS[effects]], ignore_index=True)
    if conf_int:
        for sign, bound in zip((-1.0, 1.0), BOUNDS, strict=True):
            frame[bound] = frame["estimate"] + sign * width * frame["std_error"]
    return frame if df is None or effects == "ran_vals" else _with_tests(fit, frame, level, df)


def _with_tests(fit: FitBase, frame: pd.DataFrame, level: float, df: DfMethod) -> pd.DataFrame:
    """The frame with the tests of the fixed effects by a rule; the other rows have none."""
    from jmix.results.inference.fixed.fixed_tests import fixed_tests
    from jmix.results.inference.fixed.wald import wald

    fixed = (frame["effect"] == "fixed").to_numpy()
    tests = fixed_tests(fit, df).contrasts(np.eye(len(fit.beta)))
    values = {name: np.full(len(frame), np.nan) for name in ("df", "p_value")}
    for name in ("std_error", "statistic", "df", "p_value"):
        column = values[name] if name in values else frame[name].to_numpy(copy=True)
        column[fixed] = tests[name].to_numpy()[: int(fixed.sum())]
        values[name] = column
    for name in ("std_error", "statistic"):
        frame[name] = values[name]
    place = list(frame.columns).index("statistic") + 1
    frame.insert(place, "df", values["df"])
    frame.insert(place + 1, "p_value", values["p_value"])
    if BOUNDS[0] in frame.columns:
        limits = wald(fit, level, df)
        for bound, name in zip(BOUNDS, ("lower", "upper"), strict=True):
            frame.loc[fixed, bound] = limits[name].to_numpy()[: int(fixed.sum())]
    return frame


def _fixed(fit: FitBase) -> pd.DataFrame:
    estimate, se = fit.beta, fit.se().to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = estimate / se
    columns = ["fixed", None, fit.x_names, estimate, se, statistic]
    return _frame(dict(zip(COLUMNS, columns, strict=True)), len(estimate))


def _parameters(fit: FitBase) -> pd.DataFrame:
    table = fit.varcorr()
    pairs = [
        (None if pd.isna(a) else str(a), None if pd.isna(b) else str(b))
        for a, b in zip(table["var1"], table["var2"], strict=True)
    ]
    terms = [f"sd__{a or 'Observation'}" if b is None else f"cor__{a}.{b}" for a, b in pairs]
    columns = ["ran_pars", table["grp"].tolist(), terms, table["sdcor"].to_numpy(), np.nan, np.nan]
    return _frame(dict(zip(COLUMNS, columns, strict=True)), len(terms))


def _values(fit: FitBase) -> pd.DataFrame:
    frames = [_frame(columns, n) for columns, n in _group_values(fit)]
    if not frames:
        empty: dict[str, Any] = dict.fromkeys(VALUE_COLUMNS[:4]) | dict.fromkeys(VALUE_COLUMNS[4:], np.nan)
        return _frame(empty, 0)
    return pd.concat(frames, ignore_index=True)


def _group_values(fit: FitBase) -> Iterator[tuple[dict[str, Any], int]]:
    """The rows of each grouping factor, level within term, and their number."""
    sds = fit.ranef_sd()
    for group, modes in fit.ranef().items():
        size, q = modes.shape
        levels = np.tile(np.asarray(modes.index.astype(str), dtype=object), q)
        terms = np.repeat(np.asarray(modes.columns, dtype=object), size)
        estimate, se = modes.to_numpy().ravel(order="F"), sds[group].to_numpy().ravel(order="F")
        yield dict(zip(VALUE_COLUMNS, ["ran_vals", group, levels, terms, estimate, se], strict=True)), size * q


def _frame(columns: dict[str, Any], n: int) -> pd.DataFrame:
    """A frame of n rows: text columns of type ``str``, the others float64."""
    numeric = {"estimate", "std_error", "statistic"}
    data = {
        name: pd.Series(v, index=range(n), dtype="float64" if name in numeric else "str") for name, v in columns.items()
    }
    return pd.DataFrame(data)


def glance(fit: Fit) -> pd.DataFrame:
    """One row for the model: size, sigma, likelihood, and whether the fit converged and is singular.

    ``deviance`` after maximum likelihood, ``REMLcrit`` after REML, as in broom.mixed.
    """
    row = {
        "nobs": fit.nobs,
        "sigma": fit.sigma,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "REMLcrit" if fit.reml else "deviance": fit.criterion,
        "df_residual": fit.df_residual,
        "converged": fit.converged,
        "singular": fit.singular,
    }
    return pd.DataFrame([row])


def augment(fit: Fit) -> pd.DataFrame:
    """One row for each observation used.

    Returns:
        (n, .) frame on the index of the data: the response, the columns of the fixed-effects matrix but the intercept,
        the grouping factors, ``offset`` and ``weights`` where given; then ``fitted`` (with random effects), ``fixed``
        (without), ``resid`` and ``hat`` (leverage). Where the data have a column of such a name, the added one begins
        with a dot.
    """
    added = {
        "fitted": fit.fitted(),
        "fixed": fit.fitted(conditional=False),
        "resid": fit.residuals(),
        "hat": fit.leverage(),
    }
    return with_data(fit, {}, added)


def with_data(fit: FitBase, more: dict[str, Any], added: dict[str, Any]) -> pd.DataFrame:
    """(n, .) frame of the data used and ``added`` columns, which give way in name.

    Args:
        more: columns that replace or follow those of the data.
    """
    data = _data_columns(fit)
    for name, values in more.items():
        data[name if name == fit.base.y_name else _free(name, data)] = values
    free = {_free(name, data): values for name, values in added.items()}
    return pd.DataFrame(data | free, index=fit.base.index)


def _data_columns(fit: FitBase) -> dict[str, Any]:
    design = fit.base
    data: dict[str, Any] = {design.y_name: design.y}
    names = zip(design.x_names, design.X.T, strict=True)
    data |= {name: column for name, column in names if name not in ("(Intercept)", design.y_name)}
    for term in fit.terms:
        if term.group not in data:
            data[term.group] = pd.Categorical.from_codes(term.codes, categories=pd.Index(term.levels))
    for name, values in (("offset", design.offset), ("weights", design.weights)):
        if values is not None:
            data[_free(name, data)] = values
    return data


def _free(name: str, taken: dict[str, Any]) -> str:
    """The name, with as many leading dots as keep it apart from the columns of the data."""
    while name in taken:
        name = f".{name}"
    return name
