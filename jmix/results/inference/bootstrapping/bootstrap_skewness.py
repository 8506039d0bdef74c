"""The acceleration of every quantity of a bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.bootstrapping.bootstrap_acceleration import LARGEST, gaussian_scores
from jmix.spec.covariance import lower_column_major
from jmix.spec.names import cor_names, sd_names

if TYPE_CHECKING:
    from jmix.results.fit import Fit
    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap

FloatArray = npt.NDArray[np.float64]


def accelerations(boot: Bootstrap) -> pd.Series:
    """The work behind ``Bootstrap.acceleration``.

    Parameters have their exact derivatives; the gradient of a derived quantity is that of its linear regression on
    the parameters over the draws.
    """
    if boot.conditional or boot.kind != "parametric":
        raise ModelError(
            "kind='bca' is for a parametric bootstrap with new random effects: the acceleration is a property of the "
            "fitted model, and these draws are from another; choose 'percentile', 'basic' or 'normal'"
        )
    if hasattr(boot.fit, "family"):
        from jmix.results.inference.bootstrapping.bootstrap_scores import simulated_accelerations

        return simulated_accelerations(boot)
    fit: Any = boot.fit
    scores = gaussian_scores(fit)
    if scores is None:
        raise ModelError(
            f"kind='bca' forms matrices of the size of the random effects, and is for at most {LARGEST} of them; "
            "with so many the percentile interval differs little: kind='percentile'"
        )
    p = len(fit.beta)
    out = [0.0] * p
    out += [scores.acceleration(slope) if np.isfinite(slope).all() else np.nan for slope in _slopes(fit)]
    for name in boot.draws.columns[len(out) :]:
        slope = _regression(boot, boot.draws[name].to_numpy())
        known = np.isfinite(slope).all()
        out.append(scores.acceleration(slope[p:], slope[:p]) if known else np.nan)
    return pd.Series(out, index=boot.draws.columns, name="acceleration")


def _slopes(fit: Fit) -> list[FloatArray]:
    """(1 + m,) derivatives in sigma^2 and the entries of Omega, of every sd, correlation and sigma.

    Of a standard deviation those of its square, which has the same acceleration.
    """
    entries = [(i, r, c) for i, t in enumerate(fit.spec.terms) for r, c in zip(*lower_column_major(t.q), strict=True)]
    place = {entry: k + 1 for k, entry in enumerate(entries)}
    omegas = [lam @ lam.T for lam in fit.spec.split(fit.theta_values)]
    sds, cors = [], []
    for i, omega in enumerate(omegas):
        q = omega.shape[0]
        for a in range(q):
            slope = np.zeros(len(entries) + 1)
            slope[0], slope[place[i, a, a]] = omega[a, a], fit.sigma**2
            sds.append(slope)
            for b in range(a + 1, q):
                cors.append(
                    _correlation_slope(omega, (a, b), [place[i, b, a], place[i, a, a], place[i, b, b]], len(entries))
                )
    last = np.zeros(len(entries) + 1)
    last[0] = 1.0
    return [*sds, *cors, last]


def _correlation_slope(omega: FloatArray, pair: tuple[int, int], places: list[int], size: int) -> FloatArray:
    a, b = pair
    slope = np.zeros(size + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(omega[a, a] * omega[b, b])
        slope[places] = np.array([1.0, -0.5 * omega[a, b] / omega[a, a], -0.5 * omega[a, b] / omega[b, b]]) / scale
    return slope


def _regression(boot: Bootstrap, values: FloatArray) -> FloatArray:
    """(p + 1 + m,) least-squares slopes of a quantity on beta, sigma^2 and the entries of Omega over the draws."""
    x = _coordinates(boot)
    keep = np.isfinite(values) & np.isfinite(x).all(axis=1)
    if keep.sum() < x.shape[1] + 2:
        return np.full(x.shape[1], np.nan)
    centred = x[keep] - x[keep].mean(axis=0)
    scale = centred.std(axis=0)
    scale[scale == 0] = 1.0
    found = np.linalg.lstsq(centred / scale, values[keep] - values[keep].mean(), rcond=None)[0]
    return np.asarray(found / scale)


def _coordinates(boot: Bootstrap) -> FloatArray:
    """(n, p + 1 + m) beta, sigma^2 and the entries of Omega of every draw."""
    draws, spec = boot.draws, boot.fit.spec
    p = len(boot.fit.beta)
    variance = np.square(draws["sigma"].to_numpy()) if "sigma" in draws.columns else np.ones(len(draws))
    columns = [*draws.iloc[:, :p].to_numpy().T, variance]
    for term, sds, cors in zip(spec.terms, sd_names(spec), cor_names(spec), strict=True):
        pairs = {(a, b): k for k, (a, b) in enumerate((a, b) for a in range(term.q) for b in range(a + 1, term.q))}
        sd = draws[sds].to_numpy()
        for r, c in zip(*lower_column_major(term.q), strict=True):
            cor = 1.0 if r == c else np.nan_to_num(draws[cors[pairs[c, r]]].to_numpy())
            columns.append(sd[:, r] * sd[:, c] * cor / variance)
    return np.stack(columns, axis=1)
