"""Wald intervals: of the fixed effects, and by the delta method of the other parameters."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import frames
from jmix.results.inference.profiling.intervals import names_for
from jmix.results.inference.profiling.profile_scale import Parameters

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]


def wald(fit: FitBase, level: float, df: Any, parameters: Parameters, component: str) -> pd.DataFrame:
    """Wald intervals; see ``Fit.confint``."""
    if parameters is None or (isinstance(parameters, str) and parameters == "fixed"):
        return _fixed(fit, level, df, component)
    if component != "cond":
        raise ModelError(f"confint(component={component!r}) is of coefficients; leave it out to name other parameters")
    names = names_for(fit)
    which = names.chosen(parameters)
    fixed = _fixed(fit, level, df, "cond").to_numpy()
    table = np.concatenate([fixed, _others(fit, level)]) if len(names.plain) > fixed.shape[0] else fixed
    index = pd.Index([names.plain[i] for i in which])
    return pd.DataFrame(table[which], index=index, columns=["lower", "upper"])


def _fixed(fit: Any, level: float, df: Any, component: str) -> pd.DataFrame:
    if df is None:
        if hasattr(fit, "parts"):
            from jmix.results.glmm_frames import confint

            return confint(fit, level, component)
        return frames.confint(fit, level)
    if component != "cond":
        raise ModelError(f"confint(df={df!r}) is for component='cond'")
    from scipy.special import stdtrit

    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    tests = fixed_tests(fit, df)
    freedom = np.asarray(tests.df(np.eye(len(tests.beta))), dtype=np.float64)
    half = NormalDist().inv_cdf(0.5 + 0.5 * level) * np.ones(freedom.size)
    known = np.isfinite(freedom)
    half[known] = stdtrit(freedom[known], 0.5 + 0.5 * level)
    width = np.where(np.isnan(freedom), np.nan, half) * np.sqrt(np.diag(tests.vcov))
    return pd.DataFrame({"lower": tests.beta - width, "upper": tests.beta + width}, index=list(tests.names))


def _others(fit: Any, level: float) -> FloatArray:
    """(m, 2) limits of standard deviations, correlations and the rest: normal on log, Fisher's and the like scales."""
    width = NormalDist().inv_cdf(0.5 + 0.5 * level)
    if getattr(fit, "method", None) == "MAP":
        raise ModelError("confint: of the covariance parameters after MAP take fit.laplace(), or sample()")
    limits = _glmm(fit, width) if hasattr(fit, "parts") else _lmm(fit, width)
    return np.asarray(limits, dtype=np.float64).reshape(-1, 2)


def _lmm(fit: Any, width: float) -> FloatArray:
    if fit.objective is None:
        nu = fit.nobs if fit.test_df is None else fit.test_df
        return fit.sigma * np.exp(np.array([[-1.0, 1.0]]) * width / np.sqrt(2.0 * nu))
    from jmix.estimate.inference.satterthwaite import covariance_curve

    vcov = covariance_curve(fit.objective, fit.solution, reml=fit.reml).parameters
    values, jacobian = log_and_fisher(fit.spec, fit.theta_values)
    k, m = fit.spec.n_theta, values.size
    full = np.zeros((m + 1, k + 1))
    full[:m, :k] = jacobian
    full[: _n_sd(fit.spec), k] = full[m, k] = 1.0 / fit.sigma
    values[: _n_sd(fit.spec)] += np.log(fit.sigma)
    se = _errors(full, vcov)
    return _back(fit.spec, np.append(values, np.log(fit.sigma)), se, width, [("log", fit.sigma)])


def _glmm(fit: Any, width: float) -> FloatArray:
    slices, vcov = fit.parts.slices, fit.solution.vcov
    theta = slices["theta"]
    values, jacobian = log_and_fisher(fit.spec, fit.theta_values)
    limits = [_back(fit.spec, values, _errors(jacobian, vcov[theta, theta]), width, [])]
    if fit.parts.names["thresholds"]:
        interval = fit.fixef("thresholds").to_numpy(), width * fit.se("thresholds").to_numpy()
        limits.append(np.column_stack([interval[0] - interval[1], interval[0] + interval[1]]))
    limits += [_coordinate(fit, j, value, width) for j, value in _places(fit)]
    return np.concatenate(limits)


def _places(fit: Any) -> list[tuple[int, Any]]:
    from jmix.estimate.inference.profile_glmm import other_values

    return list(other_values(fit.objective))


def _coordinate(fit: Any, j: int, value: Any, width: float) -> FloatArray:
    """(1, 2) limits of a monotone function of an entry of x."""
    x, se = float(fit.solution.x[j]), float(fit.solution.se[j])
    with np.errstate(over="ignore"):
        return np.array([sorted((value(x - width * se), value(x + width * se)))])


def _n_sd(spec: CovarianceSpec) -> int:
    return sum(t.q for t in spec.terms)


def _errors(jacobian: FloatArray, vcov: FloatArray) -> FloatArray:
    """(m,) standard errors by the delta method; NaN where the covariance of a parameter it needs is."""
    out = np.empty(jacobian.shape[0])
    for i, row in enumerate(jacobian):
        used = row != 0
        out[i] = np.sqrt(row[used] @ vcov[np.ix_(used, used)] @ row[used]) if np.all(np.isfinite(row)) else np.nan
    return out


def log_and_fisher(spec: CovarianceSpec, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logs of all standard deviations, Fisher's z of all correlations, (m,), and their derivatives in theta (m, k)."""
    sds, ties, k = [], [], spec.n_theta
    at = np.arange(k, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        for lam, place in zip(spec.split(theta), spec.split(at), strict=True):
            sd = np.sqrt(np.sum(lam * lam, axis=1))
            for i in range(sd.size):
                row = np.zeros(k)
                row[place[i, : i + 1].astype(int)] = lam[i, : i + 1] / sd[i] ** 2
                sds.append((np.log(sd[i]), row))
            for a in range(sd.size):
                for b in range(a + 1, sd.size):
                    ties.append(_fisher(lam, place, sd, a, b, k))
    both = [*sds, *ties]
    return np.array([v for v, _ in both]), np.array([r for _, r in both]).reshape(-1, k)


def _fisher(lam: FloatArray, place: FloatArray, sd: FloatArray, a: int, b: int, k: int) -> tuple[float, FloatArray]:
    cor = float(np.clip(lam[a] @ lam[b] / (sd[a] * sd[b]), -1.0, 1.0))
    row = np.zeros(k)
    for i, other in ((a, b), (b, a)):
        slope = lam[other] / (sd[a] * sd[b]) - cor * lam[i] / sd[i] ** 2
        row[place[i, : i + 1].astype(int)] += slope[: i + 1] / (1.0 - cor**2)
    return float(np.arctanh(cor)), row


def _back(spec: CovarianceSpec, values: FloatArray, se: FloatArray, width: float, rest: list[Any]) -> FloatArray:
    """(m, 2) limits on the natural scales."""
    ends = np.column_stack([values - width * se, values + width * se])
    n_sd, n_tie = _n_sd(spec), values.size - _n_sd(spec) - len(rest)
    ends[:n_sd] = np.exp(ends[:n_sd])
    ends[n_sd : n_sd + n_tie] = np.tanh(ends[n_sd : n_sd + n_tie])
    ends[n_sd + n_tie :] = np.exp(ends[n_sd + n_tie :])
    return ends
