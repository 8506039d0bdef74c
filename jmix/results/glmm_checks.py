"""Checks of a fitted model of counts: more spread, or more zeros, than it allows for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jmix.errors import ModelError
from jmix.results.glmm_simulate import responses
from jmix.results.predict import check_draws

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

NOTABLE = 0.05
"""p-value below which a check gives advice."""

COUNTS = ("poisson", "nbinom1", "nbinom2")


@dataclass(frozen=True)
class OverdispersionCheck:
    """Pearson's chi-squared over its degrees of freedom, as in Bolker's GLMM FAQ.

    Attributes:
        chisq: sum of the squared Pearson residuals. df: rows less parameters. ratio: of the two; 1 is as the family
            says. p_value: of a chi-squared that large or larger. message: what it means and what to do.
    """

    chisq: float
    df: int
    ratio: float
    p_value: float
    message: str

    def __str__(self) -> str:
        return (
            f"Pearson chi-squared {self.chisq:.4g} on {self.df} df, ratio {self.ratio:.3g}, p = {self.p_value:.3g}: "
            f"{self.message}"
        )


@dataclass(frozen=True)
class ZeroCheck:
    """Observed zeros beside those of responses simulated with new random effects, as DHARMa's ``testZeroInflation``.

    Attributes:
        observed: zeros in the data. expected: mean number among the simulations. sd: its standard deviation.
        ratio: observed over expected. p_value: two-sided, from the simulations. message: what it means.
    """

    observed: int
    expected: float
    sd: float
    ratio: float
    p_value: float
    message: str

    def __str__(self) -> str:
        return (
            f"{self.observed} zeros, {self.expected:.4g} expected (sd {self.sd:.2g}), p = {self.p_value:.3g}: "
            f"{self.message}"
        )


def overdispersion(fit: GlmmFit) -> OverdispersionCheck:
    """The work behind ``GlmmFit.overdispersion``."""
    from scipy.special import chdtrc

    family = fit.family
    if family.name == "bernoulli":
        raise ModelError("overdispersion(): a single 0/1 response has no spread beyond its mean; nothing to check")
    if family.name not in (*COUNTS, "binomial"):
        raise ModelError(f"overdispersion() is for counts and binomial responses, not for family {family.name!r}")
    df = fit.df_residual
    if df < 1:
        raise ModelError(f"overdispersion(): {fit.nobs} rows and {fit.npar} parameters leave no degrees of freedom")
    chisq = float(np.sum(np.square(fit.residuals("pearson").to_numpy())))
    ratio, p = chisq / df, float(chdtrc(df, chisq))
    return OverdispersionCheck(chisq, df, ratio, p, _advice(family.name, p))


def _advice(name: str, p: float) -> str:
    if not p < NOTABLE:
        return "no sign of overdispersion"
    remedy = {
        "poisson": "family='nbinom2', or a random effect for every row",
        "binomial": "a random effect for every row",
    }.get(name, "another family, or terms that are missing from the formula")
    return f"overdispersed: standard errors are too small; consider {remedy}"


def zero_check(fit: GlmmFit, n: int, seed: int) -> ZeroCheck:
    """The work behind ``GlmmFit.zero_check``."""
    if fit.family.name not in (*COUNTS, "binomial"):
        raise ModelError(f"zero_check() is for counts and binomial responses, not for family {fit.family.name!r}")
    rng = check_draws("zero_check", n, seed)
    observed = int(np.sum(fit.design.response.y == 0))
    zeros = np.array([np.sum(y == 0) for y in responses(fit, int(n), rng, conditional=False)], dtype=np.float64)
    expected = float(zeros.mean())
    p = min(1.0, 2.0 * min(float(np.mean(zeros >= observed)), float(np.mean(zeros <= observed))))
    ratio = observed / expected if expected > 0 else float("nan" if observed == 0 else "inf")
    sd = float(zeros.std(ddof=1)) if zeros.size > 1 else float("nan")
    return ZeroCheck(observed, expected, sd, ratio, p, _zero_message(fit, observed > expected, p))


def _zero_message(fit: GlmmFit, more: bool, p: float) -> str:
    if not p < NOTABLE:
        return "as many zeros as the model expects"
    if not more:
        return "fewer zeros than the model expects"
    remedy = "; consider zi='~ 1' (zero inflation) or a hurdle" if fit.family.name in COUNTS else ""
    return f"more zeros than the model expects{remedy}"
