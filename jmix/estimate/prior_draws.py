"""Draws from the priors alone: for prior predictive checks and for Savage-Dickey ratios."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.spec.prior_sets import CoefficientPriors, PriorSet, TermPrior
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]

ROUNDS = 200
"""Batches drawn before giving up on a prior that hardly ever falls into its parameter's range."""


def draw_priors(priors: PriorSet, names: list[str], draws: int, seed: int) -> Draws:
    """Independent draws, as one chain.

    Raises:
        ModelError: a coefficient has a flat prior, from which nothing can be drawn.
    """
    source = Source(seed)
    with runtime.float64():
        beta = source.coefficients(priors.fixed, [f"b_{name}" for name in names], "Intercept", draws)
        chols = tuple(source.chol(own, draws)[None] for own in priors.terms)
        sigma = source.positive(priors.sigma, "sigma", draws)[None]
        nu = None if priors.nu is None else source.positive(priors.nu, "nu", draws)[None]
    settings = SamplerSettings(draws, 0, 1, seed, chain_method="prior", init="prior")
    return Draws(beta[None], chols, sigma, np.zeros((1, draws)), no_stats(draws), settings, nu)


def no_stats(draws: int) -> SamplerStats:
    """Of draws that no sampler made."""
    zeros, none = np.zeros((1, draws)), np.zeros((1, draws), dtype=np.bool_)
    return SamplerStats(none, np.zeros((1, draws), dtype=np.int64), zeros + 1.0, zeros, np.zeros(1), none)


class Source:
    """Keys for one distribution after another."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 5])

    def key(self) -> Any:
        """The next key."""
        import jax

        return jax.random.PRNGKey(int(self.rng.integers(2**31)))

    def variable(self, own: ScalarPrior, name: str, draws: int) -> FloatArray:
        """(draws,) values of the prior's own variable, within its range."""
        kept = np.zeros(0)
        for _ in range(ROUNDS):
            values = np.asarray(own.prior.distribution.sample(self.key(), (2 * draws,)), dtype=np.float64)
            kept = np.append(kept, values[(values > own.low) & (values < own.high)])
            if kept.size >= draws:
                return kept[:draws]
        raise ModelError(f"the prior {own.prior!r} of {name} hardly ever falls between {own.low:g} and {own.high:g}")

    def positive(self, own: ScalarPrior, name: str, draws: int) -> FloatArray:
        """(draws,) values of a positive parameter."""
        return np.asarray(own.parameter(self.variable(own, name, draws)))

    def coefficients(self, own: CoefficientPriors, names: Sequence[str], level: str, draws: int) -> FloatArray:
        """(draws, p) coefficients of one linear predictor; ``level`` is the name of the centred intercept."""
        beta = np.zeros((draws, len(names)))
        for i, (prior, name) in enumerate(zip(own.coefficients, names, strict=True)):
            if own.centred is not None and i == own.intercept_at:
                continue
            _refuse_flat(prior, name, "b" if name.startswith("b_") else name)
            beta[:, i] = self.variable(prior, name, draws)
        if own.centred is not None and own.centre is not None:
            _refuse_flat(own.centred, level, level)
            beta[:, own.intercept_at] = self.variable(own.centred, level, draws) - beta @ own.centre
        return beta

    def chol(self, own: TermPrior, draws: int) -> FloatArray:
        """(draws, q, q) Cholesky factors of a term's covariance."""
        q = len(own.sds)
        if own.matrix is not None:
            from scipy.stats import invwishart, wishart

            matrix, df = own.matrix.matrix, own.matrix.df
            kind = invwishart(df, matrix) if own.matrix.inverse else wishart(df, np.linalg.inv(matrix))
            covariance = np.asarray(kind.rvs(size=draws, random_state=self.rng)).reshape(draws, q, q)
            return np.asarray(np.linalg.cholesky(covariance))
        sd = np.stack([self.positive(s, "a standard deviation", draws) for s in own.sds], axis=1)
        if q == 1:
            return sd[:, :, None]
        import numpyro.distributions as dist

        drawn = dist.LKJCholesky(q, own.concentration).sample(self.key(), (draws,))
        return sd[:, :, None] * np.asarray(drawn, dtype=np.float64)


def _refuse_flat(own: ScalarPrior, name: str, key: str) -> None:
    if own.prior.flat:
        raise ModelError(f"{name} has a flat prior, from which nothing can be drawn: give priors={{'{key}': ...}}")
