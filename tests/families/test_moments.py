"""Means, variances, distribution functions, deviances and random draws of responses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jmix.errors import ModelError
from jmix.families import (
    Aux,
    Family,
    cdf,
    cdf_below,
    deviance_units,
    inverse_link,
    link_derivative,
    link_function,
    mean,
    resolve_family,
    sample,
    variance,
)
from jmix.families.names import LINKS

AUX: Any = Aux(np.log(0.7), -0.4, np.array([-1.3, 0.1, 0.4, 2.0]), 6.5)
PHI = 0.7
PI = 1.0 / (1.0 + np.exp(0.4))
COUNTS = [(name, zero) for name in ("poisson", "nbinom2", "nbinom1") for zero in ("", "inflated", "hurdle")]


def law(name: str, mu: float) -> Any:
    """SciPy's distribution of the family at mean mu."""
    if name == "poisson":
        return stats.poisson(mu)
    if name == "nbinom2":
        return stats.nbinom(PHI, PHI / (PHI + mu))
    if name == "nbinom1":
        return stats.nbinom(mu / PHI, 1 / (1 + PHI))
    if name == "gaussian":
        return stats.norm(mu, PHI)
    if name == "student":
        return stats.t(6.5, mu, PHI)
    if name == "gamma":
        return stats.gamma(1 / PHI, scale=PHI * mu)
    if name == "inverse_gaussian":
        return stats.invgauss(mu * PHI, scale=1 / PHI)
    if name == "beta":
        return stats.beta(mu * PHI, (1 - mu) * PHI)
    return stats.binom(7 if name == "binomial" else 1, mu)


def with_zeros(name: str, zero: str, mu: float, k: np.ndarray) -> np.ndarray:
    """Probabilities of counts k = 0, 1, ... ."""
    p = law(name, mu).pmf(k)
    if zero == "hurdle":
        p = np.where(k == 0, 0.0, p) / (1 - p[0])
    return p if not zero else (1 - PI) * p + PI * (k == 0)


@pytest.mark.parametrize(("name", "zero"), COUNTS)
def test_counts(name: str, zero: str) -> None:
    family = resolve_family(name, zero=zero)
    eta = np.array([-6.0, -1.0, 0.4, 2.0])
    k = np.arange(400.0)
    for e in eta:
        p = with_zeros(name, zero, float(np.exp(e)), k)
        np.testing.assert_allclose(mean(family, np.array([e]), AUX), [p @ k], rtol=1e-9)
        np.testing.assert_allclose(variance(family, np.array([e]), AUX), [p @ k**2 - (p @ k) ** 2], rtol=1e-9)
        np.testing.assert_allclose(cdf(family, k, None, np.array([e]), AUX), np.cumsum(p), rtol=1e-10)
        below = cdf_below(family, k, None, np.array([e]), AUX)
        np.testing.assert_allclose(below, np.cumsum(p) - p, atol=1e-13)


@pytest.mark.parametrize("name", ["gaussian", "student", "gamma", "inverse_gaussian", "beta", "bernoulli", "binomial"])
def test_the_others(name: str) -> None:
    family = resolve_family(name, "probit" if name in {"beta", "bernoulli", "binomial"} else "log")
    y = {"beta": np.linspace(0.01, 0.99, 5), "bernoulli": np.arange(2.0), "binomial": np.arange(8.0)}.get(
        name, np.array([0.01, 0.4, 1.0, 3.0])
    )
    for e in (-1.5, 0.0, 0.9):
        eta, theirs = np.full(y.shape, e), law(name, float(inverse_link(family, np.array(e))))
        scale = 7.0 if name == "binomial" else 1.0
        size = np.full(y.shape, 7.0)
        np.testing.assert_allclose(mean(family, eta, AUX), theirs.mean() / scale, rtol=1e-12)
        np.testing.assert_allclose(variance(family, eta, AUX, size), theirs.var() / scale**2, rtol=1e-9)
        np.testing.assert_allclose(cdf(family, y, size, eta, AUX), theirs.cdf(y), rtol=1e-9)
        np.testing.assert_allclose(
            cdf_below(family, y, size, eta, AUX), theirs.cdf(y - family.discrete), rtol=1e-9, atol=1e-15
        )


@pytest.mark.parametrize("link", LINKS["cumulative"])
def test_cumulative(link: str) -> None:
    family = resolve_family("cumulative", link)
    eta = np.array([-2.0, 0.3, 1.1])
    p = mean(family, eta, AUX)
    assert p.shape == (3, 5)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    codes = np.arange(5.0)
    np.testing.assert_allclose(variance(family, eta, AUX), p @ codes**2 - (p @ codes) ** 2)
    for k in codes:
        np.testing.assert_allclose(cdf(family, np.full(3, k), None, eta, AUX), p[:, : int(k) + 1].sum(axis=1))
    np.testing.assert_array_equal(cdf_below(family, np.zeros(3), None, eta, AUX), 0.0)


def every_family() -> list[Family]:
    return [resolve_family(n, z and "log", z) for n, z in COUNTS] + [
        resolve_family(name, "log" if name in {"gamma", "inverse_gaussian"} else None)
        for name in LINKS
        if name not in {"poisson", "nbinom1", "nbinom2"}
    ]


@pytest.mark.parametrize("family", every_family(), ids=lambda family: family.title)
@pytest.mark.parametrize("eta", [-4.0, 0.6])
def test_draws_follow_the_distribution_function(family: Family, eta: float) -> None:
    """Randomised quantile residuals of the draws are uniform (Kolmogorov-Smirnov), their mean and variance right."""
    n = 20_000
    rng = np.random.default_rng(7)
    etas, size = np.full(n, eta), np.full(n, 7.0)
    y = sample(family, rng, size, etas, AUX)
    assert y.shape == (n,)
    low, high = cdf_below(family, y, size, etas, AUX), cdf(family, y, size, etas, AUX)
    if family.discrete:
        assert (high > low).all()
    assert stats.kstest(low + rng.uniform(size=n) * (high - low), "uniform").pvalue > 1e-3
    if family.name == "cumulative":
        return
    spread = np.sqrt(variance(family, etas[:1], AUX, size[:1])[0])
    share = y / 7.0 if family.has_trials else y
    assert abs(share.mean() - mean(family, etas[:1], AUX)[0]) < 4.5 * spread / np.sqrt(n)


def test_hurdle_draws_at_tiny_means_are_ones() -> None:
    family = resolve_family("nbinom2", zero="hurdle")
    y = sample(family, np.random.default_rng(1), None, np.full(500, -40.0), AUX._replace(zi=-30.0))
    np.testing.assert_array_equal(y, 1.0)


@pytest.mark.parametrize(("name", "link"), [(name, link) for name, links in LINKS.items() for link in links])
def test_links(name: str, link: str) -> None:
    """The inverse undoes the link; its derivative is that of a central difference; JAX gives what NumPy gives."""
    import jax
    import jax.numpy as jnp

    family = resolve_family(name, link)
    eta = np.array([0.05, 0.3, 0.9]) if link != "log" else np.array([-2.0, -0.4, -0.1])
    mu = inverse_link(family, eta)
    np.testing.assert_allclose(link_function(family, mu), eta, rtol=1e-12)
    step = 1e-6
    slope = (inverse_link(family, eta + step) - inverse_link(family, eta - step)) / (2 * step)
    np.testing.assert_allclose(link_derivative(family, eta), slope, rtol=1e-7)
    with jax.enable_x64(True):
        np.testing.assert_allclose(inverse_link(family, jnp.asarray(eta), jnp), mu, rtol=1e-14)


# R 4, one call a family:
#   y <- c(0,1,2,5,9); p <- c(0.2,1,2.5,5,9); mu <- c(0.3,1.2,4,4.5,12); n <- c(3,4,2,8,11); wt <- rep(1, 5)
#   poisson()$dev.resids(y, mu, wt); MASS::negative.binomial(2.5)$dev.resids(y, mu, wt)
#   binomial()$dev.resids(y / n, c(.1, .3, .9, .5, .95), n)
#   gaussian()$dev.resids(p, mu, wt); Gamma()$dev.resids(p, mu, wt); inverse.gaussian()$dev.resids(p, mu, wt)
R_DEVIANCES = {
    "poisson": [
        0.599999999999999978,
        0.035356886412090727,
        1.227411277760218855,
        0.053605156578263591,
        0.821722695867944,
    ],
    "nbinom2": [
        0.566643426535015537,
        0.024345844495766156,
        0.536934298888075201,
        0.018712084273992291,
        0.1531598191864,
    ],
    "binomial": [
        0.632163093946958132,
        0.049314115333799313,
        0.421442062631305403,
        0.505343078431412129,
        2.475143505919,
    ],
    "gaussian": [0.01, 0.04, 2.25, 0.25, 9.0],
    "gamma": [0.144263549549662029, 0.031309780254575925, 0.190007258491471154, 0.011501190906569508, 0.07536414490356],
    "inverse_gaussian": [0.5555555555555554, 0.0277777777777777658, 0.05625, 0.0024691358024691358, 0.0069444444444444],
}


@pytest.mark.parametrize("name", R_DEVIANCES)
def test_deviance_is_rs(name: str) -> None:
    family = resolve_family(name)
    y = np.array([0.0, 1.0, 2.0, 5.0, 9.0])
    if name in {"gaussian", "gamma", "inverse_gaussian"}:
        y = np.array([0.2, 1.0, 2.5, 5.0, 9.0])
    mu = np.array([0.1, 0.3, 0.9, 0.5, 0.95] if name == "binomial" else [0.3, 1.2, 4.0, 4.5, 12.0])
    size = np.array([3.0, 4.0, 2.0, 8.0, 11.0])
    units = deviance_units(family, y, size, link_function(family, mu), Aux(np.log(2.5)))  # type: ignore[arg-type]
    np.testing.assert_allclose(units, R_DEVIANCES[name], rtol=1e-11)


@pytest.mark.parametrize(("name", "zero"), [("student", ""), ("beta", ""), ("nbinom1", ""), ("poisson", "hurdle")])
def test_families_without_deviance_name_another_residual(name: str, zero: str) -> None:
    with pytest.raises(ModelError, match="quantile"):
        deviance_units(resolve_family(name, zero=zero), np.ones(2), None, np.zeros(2), AUX)
