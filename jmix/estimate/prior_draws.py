"""Draws from the priors alone: for prior predictive checks and for Savage-Dickey ratios."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.spec.priors import PriorSet, TermPrior
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]

ROUNDS = 200
"""Batches drawn before giving up on a prior that hardly ever falls into its parameter's range."""


def draw_priors(priors: PriorSet, names: list[str], draws: int, seed: int) -> Draws:
    """Independent draws, as one chain.

    Raises:
        ModelError: a coefficient has a flat prior, from which nothing can be drawn.
    """
    source = _Source(seed)
    with runtime.float64():
        beta = _coefficients(priors, names, draws, source)
        chols = tuple(_chol(own, draws, source)[None] for own in priors.terms)
        sigma = source.positive(priors.sigma, "sigma", draws)[None]
        nu = None if priors.nu is None else source.positive(priors.nu, "nu", draws)[None]
    zeros, none = np.zeros((1, draws)), np.zeros((1, draws), dtype=np.bool_)
    stats = SamplerStats(none, np.zeros((1, draws), dtype=np.int64), zeros + 1.0, zeros, np.zeros(1), none)
    settings = SamplerSettings(draws, 0, 1, seed, chain_method="prior", init="prior")
    return Draws(beta[None], chols, sigma, zeros, stats, settings, nu)


class _Source:
    """Keys for one distribution after another."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 5])

    def key(self) -> Any:
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


def _coefficients(priors: PriorSet, names: list[str], draws: int, source: _Source) -> FloatArray:
    beta = np.zeros((draws, len(names)))
    centred = priors.centred is not None
    for i, (own, name) in enumerate(zip(priors.coefficients, names, strict=True)):
        if centred and i == priors.intercept_at:
            continue
        if own.prior.flat:
            raise ModelError(f"b_{name} has a flat prior, from which nothing can be drawn: give priors={{'b': ...}}")
        beta[:, i] = source.variable(own, name, draws)
    if centred and priors.centred is not None and priors.centre is not None:
        if priors.centred.prior.flat:
            raise ModelError(
                "Intercept has a flat prior, from which nothing can be drawn: give priors={'Intercept': ...}"
            )
        level = source.variable(priors.centred, "Intercept", draws)
        beta[:, priors.intercept_at] = level - beta @ priors.centre
    return beta


def _chol(own: TermPrior, draws: int, source: _Source) -> FloatArray:
    """(draws, q, q) Cholesky factors of a term's covariance."""
    q = len(own.sds)
    if own.matrix is not None:
        from scipy.stats import invwishart, wishart

        matrix, df = own.matrix.matrix, own.matrix.df
        kind = invwishart(df, matrix) if own.matrix.inverse else wishart(df, np.linalg.inv(matrix))
        covariance = np.asarray(kind.rvs(size=draws, random_state=source.rng)).reshape(draws, q, q)
        return np.asarray(np.linalg.cholesky(covariance))
    sd = np.stack([source.positive(s, "a standard deviation", draws) for s in own.sds], axis=1)
    if q == 1:
        return sd[:, :, None]
    import numpyro.distributions as dist

    correlation = np.asarray(dist.LKJCholesky(q, own.concentration).sample(source.key(), (draws,)), dtype=np.float64)
    return sd[:, :, None] * correlation
