"""Log densities against SciPy, their sums over the support, and their behaviour far out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from jmix.families import Aux, Family, category_probabilities, inverse_link, resolve_family
from jmix.families.names import LINKS

ETA = np.linspace(-30.0, 30.0, 61)
AUX = Aux(np.log(0.7), -0.4, np.array([-1.3, 0.1, 0.4, 2.0]), 3.5)
RESPONSES = {
    "gaussian": [-2.0, 0.0, 0.3, 1.0, 40.0],
    "student": [-2.0, 0.0, 0.3, 1.0, 40.0],
    "bernoulli": [0.0, 1.0, 0.0, 1.0, 1.0],
    "binomial": [0.0, 1.0, 3.0, 6.0, 7.0],
    "poisson": [0.0, 1.0, 2.0, 9.0, 300.0],
    "nbinom2": [0.0, 1.0, 2.0, 9.0, 300.0],
    "nbinom1": [0.0, 1.0, 2.0, 9.0, 300.0],
    "gamma": [1e-3, 0.2, 1.0, 3.0, 50.0],
    "inverse_gaussian": [1e-3, 0.2, 1.0, 3.0, 50.0],
    "beta": [1e-4, 0.2, 0.5, 0.9, 1 - 1e-6],
    "cumulative": [0.0, 1.0, 2.0, 3.0, 4.0],
}
SIZE = 7.0
REACH = {
    ("nbinom2", ""): 10.0,
    ("nbinom1", ""): 10.0,
    ("beta", ""): 3.0,
    ("beta", "cloglog"): 2.0,
    ("cumulative", ""): 8.0,
    ("cumulative", "cloglog"): 3.0,
}
"""Linear predictors beyond which SciPy's own argument (a probability near 1, a difference of two) has lost its digits;
test_exact.py goes on from there."""
CDF = {"logit": stats.logistic, "probit": stats.norm, "cloglog": stats.gumbel_l, "cauchit": stats.cauchy}


def every_family() -> list[Family]:
    found = []
    for name, links in LINKS.items():
        zeros = ("", "inflated", "hurdle") if name in {"poisson", "nbinom1", "nbinom2"} else ("",)
        found += [resolve_family(name, link, zero) for link in links for zero in zeros]
    return found


FAMILIES = every_family()
IDS = [f"{f.name}-{f.link}-{f.zero}" for f in FAMILIES]


def domain(family: Family, eta: np.ndarray) -> np.ndarray:
    """The values that the link maps to a mean which SciPy can take."""
    if family.name in {"bernoulli", "binomial"}:
        keep = {"log": eta < 0, "identity": (eta > 0) & (eta < 1)}.get(family.link, np.full(eta.shape, True))
    elif family.name in {"gaussian", "student"}:
        keep = eta != 0
    elif family.link in {"identity", "sqrt", "inverse", "1/mu^2"}:
        keep = eta > 0
    else:
        keep = np.abs(eta) <= 20
    return keep


def grid(family: Family) -> np.ndarray:
    unit = family.name in {"bernoulli", "binomial"} and family.link == "identity"
    return np.linspace(0.01, 0.99, ETA.size) if unit else np.where(ETA == 0, 1e-3, ETA)


def count_law(family: Family, mu: np.ndarray, phi: float) -> Any:
    if family.name == "poisson":
        return stats.poisson(mu)
    r = np.full_like(mu, phi) if family.name == "nbinom2" else mu / phi
    return stats.nbinom(r, r / (r + mu) if family.name == "nbinom2" else 1.0 / (1.0 + phi))


def counts(family: Family, y: float, mu: np.ndarray, aux: Aux) -> np.ndarray:
    law = count_law(family, mu, np.exp(aux.log_phi))
    pi = 1.0 / (1.0 + np.exp(-aux.zi))
    if not family.zero:
        return law.logpmf(y)
    if family.zero == "inflated":
        return np.log(pi + (1 - pi) * law.pmf(0)) if y == 0 else np.log1p(-pi) + law.logpmf(y)
    return np.full(mu.shape, np.log(pi)) if y == 0 else np.log1p(-pi) + law.logpmf(y) - law.logsf(0)


def binary(family: Family, y: float, eta: np.ndarray) -> np.ndarray:
    """Log probabilities of 0/1, or of y successes out of SIZE, from SciPy's distribution functions."""
    if family.link in CDF:
        log_p, log_q = CDF[family.link].logcdf(eta), CDF[family.link].logsf(eta)
    else:
        log_p = eta if family.link == "log" else np.log(eta)
        log_q = np.log1p(-np.exp(eta)) if family.link == "log" else np.log1p(-eta)
    if family.name == "bernoulli":
        return log_p if y else log_q
    coefficient = stats.binom.logpmf(y, SIZE, 0.5) + SIZE * np.log(2.0)
    return coefficient + y * log_p + (SIZE - y) * log_q


def scipy_density(family: Family, y: float, eta: np.ndarray, aux: Aux) -> np.ndarray:
    if family.name in {"bernoulli", "binomial"}:
        return binary(family, y, eta)
    if family.name == "cumulative":
        law, tau = CDF[family.link], np.concatenate([[-np.inf], aux.tau, [np.inf]])
        a, b = tau[int(y) + 1] - eta, tau[int(y)] - eta
        return np.log(np.where(b > 0, law.sf(b) - law.sf(a), law.cdf(a) - law.cdf(b)))
    mu, phi = inverse_link(family, eta), np.exp(aux.log_phi)
    if family.name in {"poisson", "nbinom1", "nbinom2"}:
        return counts(family, y, mu, aux)
    if family.name == "gaussian":
        return stats.norm.logpdf(y, mu, phi)
    if family.name == "student":
        return stats.t.logpdf(y, aux.shape, mu, phi)
    if family.name == "gamma":
        return stats.gamma.logpdf(y, 1 / phi, scale=phi * mu)
    if family.name == "inverse_gaussian":
        return stats.invgauss.logpdf(y, mu * phi, scale=1 / phi)
    return stats.beta.logpdf(y, mu * phi, (1 - mu) * phi)


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_density_is_scipys(family: Family, density: Callable[..., Any]) -> None:
    eta = grid(family)
    y = RESPONSES[family.name]
    ours = density(family, y, SIZE, eta, AUX)
    keep = domain(family, eta)
    reach = REACH.get((family.name, family.link), REACH.get((family.name, ""), 30.0))
    keep &= np.abs(eta) <= reach
    assert keep.sum() >= 5
    with np.errstate(all="ignore"):
        theirs = np.stack([scipy_density(family, value, eta[keep], AUX) for value in y])
    known = np.isfinite(theirs)
    assert known.mean() > 0.8
    np.testing.assert_allclose(ours[:, keep][known], theirs[known], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES, ids=IDS)
def test_derivatives_are_finite_and_padding_is_harmless(family: Family, derivatives: Callable[..., Any]) -> None:
    y = np.array(RESPONSES[family.name])
    size = np.full(5, SIZE)
    if family.name not in {"gamma", "inverse_gaussian", "beta"}:
        y[0], size[0] = 0.0, 1.0
    for eta in (ETA, grid(family)):
        assert np.isfinite(derivatives(family, y, size, eta, AUX)).all()


@pytest.mark.parametrize("name", ["gamma", "inverse_gaussian", "beta"])
def test_padding_of_positive_families_is_finite(name: str) -> None:
    import jax
    import jax.numpy as jnp

    from jmix.families import log_density

    family = resolve_family(name)
    with jax.enable_x64(True):
        aux = Aux(jnp.asarray(0.3))
        row = jax.value_and_grad(lambda e: log_density(family, 0.0, 1.0, e, aux))
        out = jax.jit(jax.vmap(row))(jnp.linspace(-2.0, 2.0, 5))
    assert all(np.isfinite(part).all() for part in out)


@pytest.mark.parametrize("link", ["logit", "probit", "cauchit"])
def test_bernoulli_far_out(link: str, derivatives: Callable[..., Any]) -> None:
    eta = np.linspace(-700.0, 700.0, ETA.size)
    out = derivatives(resolve_family("bernoulli", link), RESPONSES["bernoulli"], np.full(5, SIZE), eta, AUX)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[0, 1], CDF[link].logcdf(eta), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.name in {"poisson", "nbinom1", "nbinom2"}], ids=lambda f: f.title
)
def test_counts_sum_to_one(family: Family, density: Callable[..., Any]) -> None:
    y = np.arange(2000.0)
    eta = np.array([0.3, 1.7])
    np.testing.assert_allclose(np.exp(density(family, y, 1.0, eta, AUX)).sum(axis=0), 1.0, rtol=1e-9)


@pytest.mark.parametrize("link", LINKS["cumulative"])
def test_categories_sum_to_one(link: str, density: Callable[..., Any]) -> None:
    family = resolve_family("cumulative", link)
    eta = np.linspace(-4.0, 4.0, ETA.size)
    p = np.exp(density(family, RESPONSES["cumulative"], SIZE, eta, AUX))
    np.testing.assert_allclose(p.sum(axis=0), 1.0, rtol=1e-13)
    np.testing.assert_allclose(p.T, category_probabilities(family, eta, AUX), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("link", LINKS["cumulative"])
def test_two_categories_are_bernoulli(link: str, density: Callable[..., Any]) -> None:
    """P(Y <= 1) = F(tau - eta): at tau = 0 a symmetric link gives the Bernoulli model of Y = 2."""
    eta = np.linspace(-20.0, 3.0, ETA.size)
    aux = Aux(tau=np.array([0.0]))
    ordinal = density(resolve_family("cumulative", link), [0.0, 1.0], 1.0, eta, aux)
    bernoulli = density(resolve_family("bernoulli", link), [1.0, 0.0], 1.0, -eta, Aux())
    np.testing.assert_allclose(ordinal, bernoulli, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["gaussian", "student", "gamma", "inverse_gaussian", "beta"])
def test_continuous_densities_integrate_to_one(name: str, density: Callable[..., Any]) -> None:
    family = resolve_family(name, "logit" if name == "beta" else "log")
    low, high = {"gaussian": (-30, 30), "student": (-1000, 1000), "beta": (0, 1)}.get(name, (0, 400))
    t = (np.arange(20000) + 0.5) / 20000
    x = low + (high - low) * t**2 * (3.0 - 2.0 * t)
    weights = (high - low) * 6.0 * t * (1.0 - t) / t.size
    phi = 8.0 if name == "beta" else 0.4
    value = np.exp(density(family, x, 1.0, np.array([0.3, -0.2]), AUX._replace(log_phi=np.log(phi))))
    np.testing.assert_allclose(weights @ value, 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "log_phi"), [("nbinom2", 60.0), ("nbinom2", 23.0), ("nbinom1", -60.0), ("nbinom1", -23.0)]
)
def test_negative_binomial_tends_to_poisson(name: str, log_phi: float, density: Callable[..., Any]) -> None:
    y, eta = RESPONSES["poisson"], np.linspace(-5.0, 6.0, ETA.size)
    near = density(resolve_family(name), y, SIZE, eta, Aux(log_phi))
    poisson = density(resolve_family("poisson"), y, SIZE, eta, Aux())
    mu, count = np.exp(eta), np.array(y)[:, None]
    order = np.exp(-abs(log_phi)) * ((count + mu) ** 2 + (count**2 / mu if name == "nbinom1" else 0.0))
    assert (np.abs(near - poisson) <= order + 1e-11 * np.abs(poisson) + 1e-11).all()


def test_student_tends_to_gaussian(density: Callable[..., Any]) -> None:
    y, eta = RESPONSES["gaussian"], np.linspace(-3.0, 3.0, ETA.size)
    near = density(resolve_family("student"), y, SIZE, eta, Aux(0.1, shape=1e13))
    normal = density(resolve_family("gaussian"), y, SIZE, eta, Aux(0.1))
    np.testing.assert_allclose(near, normal, rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "link", "outside"),
    [
        ("poisson", "identity", -0.5),
        ("nbinom2", "sqrt", -1e-3),
        ("gamma", "inverse", -2.0),
        ("inverse_gaussian", "1/mu^2", -1.0),
        ("binomial", "identity", 1.2),
        ("bernoulli", "log", 0.3),
    ],
)
def test_outside_the_domain_the_value_is_refused_and_leads_back(
    name: str, link: str, outside: float, derivatives: Callable[..., Any]
) -> None:
    family = resolve_family(name, link)
    step = np.linspace(0.0, 0.1, ETA.size) * np.sign(outside)
    out = derivatives(family, RESPONSES[name], np.full(5, SIZE), outside + step, AUX)
    assert np.isfinite(out).all()
    assert (out[0] < -1e11).all()
    assert (out[1] * np.sign(outside) < 0).all()
    assert (out[2] < 0).all()
