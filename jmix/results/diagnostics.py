"""How far draws can be trusted: effective sample sizes, R-hat, Monte Carlo standard errors, autocorrelation; by ArviZ.

Draws come as (..., C, D): any leading axes, C chains, D draws a chain. What cannot be computed is NaN: fewer than four
draws a chain, constant draws, draws that are not finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FEWEST_DRAWS = 4
"""Fewest draws a chain for which anything is estimated."""

TAILS = (0.05, 0.95)
"""The quantiles behind the tail ESS, as in Stan and brms."""


def diagnose(values: FloatArray) -> dict[str, FloatArray]:
    """Every diagnostic of (K, C, D) draws of K parameters.

    Returns:
        (K,) arrays. ``ess_bulk``, ``ess_tail`` (5% and 95% quantiles) and ``rhat`` (the larger of the rank-normalised
        split R-hats of the draws and of their distances from the median) after Vehtari, Gelman, Simpson, Carpenter &
        Bürkner (2021, Bayesian Analysis 16(2)); ``mcse_mean`` and ``mcse_sd``, the Monte Carlo standard errors of the
        posterior mean and standard deviation.
    """
    names = ("mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "rhat")
    out = {name: np.full(values.shape[0], np.nan) for name in names}
    usable = moving(values)
    if not usable.any():
        return out
    z, sd = _standardised(values[usable])
    stats = array_stats()
    out["mcse_mean"][usable] = sd * stats.mcse(z, method="mean")
    out["mcse_sd"][usable] = sd * stats.mcse(z, method="sd")
    out["ess_bulk"][usable] = stats.ess(z, method="bulk")
    out["ess_tail"][usable] = stats.ess(z, method="tail", prob=TAILS)
    out["rhat"][usable] = rhat(values[usable])
    return out


def moving(values: FloatArray) -> npt.NDArray[np.bool_]:
    """(...) whether (..., C, D) draws are finite, at least four a chain, and not all the same."""
    if values.shape[-1] < FEWEST_DRAWS:
        return np.zeros(values.shape[:-2], dtype=bool)
    finite = np.isfinite(values).all(axis=(-2, -1))
    return np.asarray(finite & (values != values[..., :1, :1]).any(axis=(-2, -1)))


def rhat(values: FloatArray) -> FloatArray:
    """(...) rank-normalised split R-hat of (..., C, D) finite draws; of a single chain, from its two halves."""
    half = values.shape[-1] // 2
    halves = np.concatenate([values[..., :half], values[..., -half:]], axis=-2)
    folded = np.abs(halves - np.median(halves, axis=(-2, -1), keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [array_stats().rhat(_rank_normalised(part), method="identity") for part in (halves, folded)]
    return np.asarray(np.maximum(*parts), dtype=np.float64)


def _rank_normalised(values: FloatArray) -> FloatArray:
    """Normal scores of the ranks among all chains together (Blom's 3/8)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = rankdata(values.reshape(*values.shape[:-2], -1), axis=-1)
    return np.asarray(ndtri((ranks - 0.375) / (ranks.shape[-1] + 0.25)).reshape(values.shape))


def autocorrelation(values: FloatArray, lag: int) -> FloatArray:
    """(...) autocorrelation of (..., C, D) draws at a lag counted in kept draws, averaged over chains.

    With lag 10 and no thinning this is the ``AC.10`` of R's runjags.
    """
    out = np.full(values.shape[:-2], np.nan)
    usable = moving(values)
    if lag >= values.shape[-1] or not usable.any():
        return out
    z, _ = _standardised(values[usable])
    z = z - z.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        products = (z[..., : z.shape[-1] - lag] * z[..., lag:]).sum(axis=-1) / (z * z).sum(axis=-1)
    out[usable] = products.mean(axis=-1)
    return out


def _standardised(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Draws with mean 0 and standard deviation 1, and that standard deviation: ArviZ holds tiny ranges for constant."""
    values = values - values[..., :1, :1]
    centred = values - values.mean(axis=(-2, -1), keepdims=True)
    largest = np.abs(centred).max(axis=(-2, -1), keepdims=True)
    centred = centred / largest
    sd = centred.std(axis=(-2, -1), ddof=1, keepdims=True)
    return centred / sd, (sd * largest)[..., 0, 0]


def array_stats() -> Any:
    """ArviZ's functions of arrays, loaded when they are needed."""
    from arviz_stats.base.array import array_stats

    return array_stats
