"""Log densities and their first four derivatives against 150-digit arithmetic, far into both tails."""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import Decimal, getcontext, localcontext
from functools import partial
from typing import Any

import numpy as np
import pytest

from jmix.families import Aux, Family, resolve_family

DIGITS = 150
STEP = Decimal("1e-20")
ONE, TWO = Decimal(1), Decimal(2)
ETA = np.concatenate([[-30.0, -20.0, -12.5, -10.01, -9.99, -7.0, -4.01, -3.01, -2.99], np.linspace(-2.0, 4.0, 13)])
ETA = np.concatenate([ETA, [5.5, 8.0, 11.0, 16.0, 23.0, 30.0]])
POSITIVE = np.concatenate([[1e-3, 0.05, 0.4], np.linspace(0.9, 30.0, ETA.size - 3)])
UNIT = np.concatenate([[1e-4, 0.99], np.linspace(0.02, 0.97, ETA.size - 2)])
PHI, ZI, NU = 0.7, -0.4, 3.5
TAU = np.array([-1.3, 0.1, 0.4, 2.0])
D_PHI, D_ZI = Decimal(float(np.log(PHI))).exp(), Decimal(ZI)

Exact = Callable[[Decimal], Decimal]


def softplus(x: Decimal) -> Decimal:
    return (ONE + x.exp()).ln()


def pi_constant() -> Decimal:
    """Machin's formula."""
    return machin(getcontext().prec)


@functools.cache
def machin(digits: int) -> Decimal:

    def arctan_inverse(n: int) -> Decimal:
        total, term, k = Decimal(0), ONE / n, 0
        while abs(term) > Decimal(10) ** -(digits + 5):
            total += term / (2 * k + 1) * (-1 if k % 2 else 1)
            term, k = term / (n * n), k + 1
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239))


def normal_cdf(x: Decimal) -> Decimal:
    """By its Taylor series, with digits enough for the cancellation in the lower tail."""
    with localcontext() as context:
        context.prec = DIGITS + 2 * int(abs(x) ** 2 / 4) + 60
        term = total = x
        k = 1
        while abs(term) > Decimal(10) ** -(context.prec - 5):
            term = -term * x * x / (2 * k)
            total += term / (2 * k + 1)
            k += 1
        value = ONE / 2 + total / (2 * pi_constant()).sqrt()
    return +value


def arctan(x: Decimal) -> Decimal:
    halvings = 0
    while abs(x) > Decimal("0.05"):
        x, halvings = x / (ONE + (ONE + x * x).sqrt()), halvings + 1
    term = total = x
    k = 1
    while abs(term) > Decimal(10) ** -(DIGITS + 5):
        term = -term * x * x
        total += term / (2 * k + 1)
        k += 1
    return total * 2**halvings


def cauchy_cdf(x: Decimal) -> Decimal:
    return ONE / 2 + arctan(x) / pi_constant()


CDF: dict[str, Exact] = {
    "logit": lambda x: ONE / (ONE + (-x).exp()),
    "probit": normal_cdf,
    "cloglog": lambda x: ONE - (-x.exp()).exp(),
    "cauchit": cauchy_cdf,
    "log": lambda x: x.exp(),
    "identity": lambda x: x,
}


def log_rising(r: Decimal, y: int) -> Decimal:
    """``log(r (r + 1) ... (r + y - 1))``."""
    return functools.reduce(lambda product, k: product * (r + k), range(y), ONE).ln()


def log_factorial(y: int) -> Decimal:
    return log_rising(ONE, y)


@functools.cache
def log_gamma(x: Decimal) -> Decimal:
    """Stirling's series at x + 60."""
    bernoulli = [(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510), (43867, 798)]
    w = x + 60
    series = sum(
        (Decimal(n) / d / (2 * k * (2 * k - 1)) / w ** (2 * k - 1) for k, (n, d) in enumerate(bernoulli, 1)), Decimal(0)
    )
    return (w - ONE / 2) * w.ln() - w + (2 * pi_constant()).ln() / 2 + series - log_rising(x, 60)


def binary(link: str, y: int, n: int, eta: Decimal) -> Decimal:
    p, symmetric = CDF[link](eta), link in {"logit", "probit", "cauchit"}
    q = (-eta.exp()).exp() if link == "cloglog" else CDF[link](-eta) if symmetric else ONE - p
    coefficient = log_factorial(n) - log_factorial(y) - log_factorial(n - y)
    return coefficient + (y * p.ln() if y else 0) + ((n - y) * q.ln() if n > y else 0)


def count(name: str, link: str, y: int, eta: Decimal) -> Decimal:
    mu = {"log": eta.exp, "identity": lambda: eta, "sqrt": lambda: eta * eta}[link]()
    if name == "poisson":
        return y * mu.ln() - mu - log_factorial(y)
    r = D_PHI if name == "nbinom2" else mu / D_PHI
    return log_rising(r, y) - log_factorial(y) + r * (r / (r + mu)).ln() + y * (mu / (r + mu)).ln()


def zero_count(name: str, link: str, zero: str, y: int, eta: Decimal) -> Decimal:
    value = count(name, link, y, eta)
    if zero == "":
        return value
    if zero == "inflated":
        return (value if y else (D_ZI.exp() + value.exp()).ln()) - softplus(D_ZI)
    return (value - (ONE - count(name, link, 0, eta).exp()).ln() if y else D_ZI) - softplus(D_ZI)


def category(link: str, y: int, eta: Decimal) -> Decimal:
    """By a difference in the lower tail, where the digits are, for a symmetric link."""
    a, b = (None if k in {-1, 4} else Decimal(float(TAU[k])) - eta for k in (y, y - 1))
    if link != "cloglog" and (b if a is None else a) > 0:  # type: ignore[operator]
        a, b = (None if b is None else -b), (None if a is None else -a)
    return ((ONE if a is None else CDF[link](a)) - (0 if b is None else CDF[link](b))).ln()


def positive(name: str, link: str, y: float, eta: Decimal) -> Decimal:
    mu = {"log": eta.exp, "identity": lambda: eta, "inverse": lambda: 1 / eta, "1/mu^2": lambda: 1 / eta.sqrt()}[link]()
    d = Decimal(y)
    if name == "gamma":
        a = 1 / D_PHI
        return a * (a * d / mu).ln() - a * d / mu - d.ln() - log_gamma(a)
    return -((2 * pi_constant() * D_PHI * d**3).ln() + (d - mu) ** 2 / (D_PHI * d * mu * mu)) / 2


def proportion(link: str, y: float, eta: Decimal) -> Decimal:
    p = CDF[link](eta)
    q = (-eta.exp()).exp() if link == "cloglog" else CDF[link](-eta)
    a, b, d = p * D_PHI, q * D_PHI, Decimal(y)
    return log_gamma(D_PHI) - log_gamma(a) - log_gamma(b) + (a - 1) * d.ln() + (b - 1) * (1 - d).ln()


def real(name: str, link: str, y: float, eta: Decimal) -> Decimal:
    mu = {"identity": lambda: eta, "log": eta.exp, "inverse": lambda: 1 / eta}[link]()
    square = ((Decimal(y) - mu) / D_PHI) ** 2
    if name == "gaussian":
        return -D_PHI.ln() - (2 * pi_constant()).ln() / 2 - square / 2
    nu = Decimal(NU)
    norm = log_gamma((nu + 1) / 2) - log_gamma(nu / 2) - (nu * pi_constant()).ln() / 2 - D_PHI.ln()
    return norm - (nu + 1) / 2 * (1 + square / nu).ln()


def orders(function: Exact, eta: float) -> list[float]:
    """Value and four derivatives by central differences, whose error is of order STEP squared."""
    x = Decimal(eta)
    f = [function(x + k * STEP) for k in (-2, -1, 0, 1, 2)]
    d1, d2 = (f[3] - f[1]) / (2 * STEP), (f[3] - 2 * f[2] + f[1]) / STEP**2
    d3 = (f[4] - 2 * f[3] + 2 * f[1] - f[0]) / (2 * STEP**3)
    d4 = (f[4] - 4 * f[3] + 6 * f[2] - 4 * f[1] + f[0]) / STEP**4
    return [float(v) for v in (f[2], d1, d2, d3, d4)]


def cases() -> list[tuple[Family, list[float], np.ndarray, Callable[..., Exact]]]:
    found: list[tuple[Family, list[float], np.ndarray, Callable[..., Exact]]] = []
    for link in ("logit", "probit", "cloglog", "cauchit", "log", "identity"):
        eta = {"log": -POSITIVE, "identity": UNIT}.get(link, ETA)
        if link == "cloglog":
            eta = np.minimum(ETA, 5.0)
        found.append(
            (resolve_family("binomial", link), [0, 3, 7], eta, lambda y, k=link: partial(binary, k, int(y), 7))
        )
        found.append(
            (resolve_family("bernoulli", link), [0, 1, 1], eta, lambda y, k=link: partial(binary, k, int(y), 1))
        )
    for name in ("poisson", "nbinom2", "nbinom1"):
        for link, zero in [("log", ""), ("log", "inflated"), ("log", "hurdle"), ("identity", "hurdle"), ("sqrt", "")]:
            family = resolve_family(name, link, zero)
            eta = POSITIVE if link != "log" else np.minimum(ETA, 5.0)
            if (link, zero) == ("identity", "hurdle"):
                eta = np.maximum(POSITIVE, 0.05)  # below, the fourth derivative at y = 1 loses digits: 1/mu^4 cancels
            found.append(
                (family, [0, 1, 9], eta, lambda y, f=family: partial(zero_count, f.name, f.link, f.zero, int(y)))
            )
    for name, links in [("gamma", ["log", "inverse", "identity"]), ("inverse_gaussian", ["1/mu^2", "inverse", "log"])]:
        for link in links:
            eta = np.clip(ETA, -12.0, 12.0) if link == "log" else POSITIVE
            family = resolve_family(name, link)
            found.append((family, [0.2, 1.0, 50.0], eta, lambda y, f=family: partial(positive, f.name, f.link, y)))
    for link in ("logit", "probit", "cloglog"):
        reach = {"logit": 30.0, "probit": 7.0, "cloglog": 4.0}[link]
        eta = np.clip(ETA, -reach if link != "cloglog" else -20.0, reach)
        found.append(
            (resolve_family("beta", link), [1e-4, 0.3, 0.95], eta, lambda y, k=link: partial(proportion, k, y))
        )
    for link in ("logit", "probit", "cloglog", "cauchit"):
        eta = np.maximum(ETA, -3.0) if link == "cloglog" else ETA
        family = resolve_family("cumulative", link)
        found.append((family, [0, 2, 4], eta, lambda y, k=link: partial(category, k, int(y))))
    for name, link in [("gaussian", "log"), ("gaussian", "inverse"), ("student", "identity"), ("student", "log")]:
        eta = POSITIVE if link == "inverse" else np.clip(ETA, -30.0, 12.0)
        family = resolve_family(name, link)
        found.append((family, [-2.0, 0.3, 40.0], eta, lambda y, f=family: partial(real, f.name, f.link, y)))
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: case[0].title)
def test_value_and_derivatives(case: Any, derivatives: Callable[..., Any]) -> None:
    """Each derivative to 1e-8 of the largest of the derivatives up to its own order there, as a Newton step needs."""
    family, responses, eta, exact = case
    getcontext().prec = DIGITS + 40
    aux = Aux(np.log(PHI), ZI, TAU, NU)
    ours = derivatives(family, responses, 1.0 if family.name == "bernoulli" else 7.0, eta, aux)
    picked = np.arange(0, eta.size, 2 if family.link in {"probit", "cauchit"} else 1)
    theirs = np.stack([np.stack([orders(exact(y), float(eta[i])) for i in picked], axis=1) for y in responses], axis=1)
    scale = np.maximum.accumulate(np.abs(theirs[1:]), axis=0)
    np.testing.assert_allclose(ours[0][:, picked], theirs[0], rtol=1e-12, atol=1e-13)
    assert (np.abs(ours[1:][..., picked] - theirs[1:]) <= 1e-8 * scale + 1e-10).all()
