"""The dispersion and the zeros mean what they mean in glmmTMB 1.1.5 and MASS 7.3-58.2: their log likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jmix.families import Aux, resolve_family

# library(glmmTMB); library(MASS); d <- data.frame(x = X, k = K, g = G, b = B)
# for each line f <- glmmTMB(response ~ x, d, family = ..., ziformula = ~1 for "zip", "zinb" and the truncated ones);
# unlist(f$fit$par); logLik(f).  The dispersion is log sigma^2 for gaussian there, -log phi for Gamma.
# For t the degrees of freedom are held: start = list(psi = log(4)), map = list(psi = factor(NA)). Near the Gaussian
# limit glmmTMB's own density has lost eight digits.
# o <- polr(factor(C) ~ x, method = "cloglog"); c(coef(o), o$zeta, logLik(o))
X = np.array([-1.2, -0.7, -0.3, 0.1, 0.4, 0.6, 0.9, 1.1, 1.5, 2.0])
K = np.array([0, 6, 0, 3, 14, 0, 2, 1, 25, 31.0])
G = np.array([0.3, 0.8, 0.5, 1.9, 1.1, 2.6, 2.2, 1.4, 5.1, 4.4])
T = np.array([-1.1, -0.4, 7.3, 0.2, 0.3, 0.9, 0.7, -6.2, 1.4, 2.1])
B = np.array([0.12, 0.31, 0.22, 0.35, 0.6, 0.41, 0.55, 0.81, 0.7, 0.88])
C = np.array([1, 1, 2, 1, 3, 2, 3, 2, 4, 4.0]) - 1.0

# family, link, zero, response, beta, log phi, zi, log of nu, log likelihood
FITS = [
    ("nbinom1", "log", "", K, (1.0639768205870, 1.1567876889329), 2.1649684270512, None, None, -26.8568738392203),
    ("nbinom2", "log", "", K, (1.2831139694347, 0.9328657656653), -0.4203147094965, None, None, -27.8467720148244),
    ("gamma", "log", "", G, (0.0920834781637, 0.8187938838190), -1.9674248014612, None, None, -8.3931741936725),
    ("beta", "logit", "", B, (-0.5117242657367, 1.1023235285365), 3.3121742653210, None, None, 10.8946240808904),
    (
        "gaussian",
        "identity",
        "",
        G,
        (1.4278466327836, 1.3685286229311),
        -0.3736121874849 / 2,
        None,
        None,
        -12.3213263168528,
    ),
    (
        "student",
        "identity",
        "",
        T,
        (0.1183046197529, 0.8727530216583),
        -0.2285000130208,
        None,
        np.log(4),
        -23.2919907676622,
    ),
    (
        "poisson",
        "log",
        "inflated",
        K,
        (1.5133038606588, 0.8978620481604),
        None,
        -1.0836623932105,
        None,
        -39.4812553174969,
    ),
    (
        "poisson",
        "log",
        "hurdle",
        K,
        (1.5712363865301, 0.8590646216420),
        None,
        -0.8472979998404,
        None,
        -39.8701010153796,
    ),
    (
        "nbinom1",
        "log",
        "inflated",
        K,
        (1.0639813951319, 1.1567853407384),
        2.1649744603522,
        -20.5627708299747,
        None,
        -26.8568738422428,
    ),
    (
        "nbinom2",
        "log",
        "hurdle",
        K,
        (1.6316848366652, 0.6930493129187),
        -0.0485122315377,
        -0.8472980054599,
        None,
        -28.7346604746505,
    ),
    (
        "nbinom1",
        "log",
        "hurdle",
        K,
        (-0.7559678637220, 2.2215276747200),
        2.3932136221798,
        -0.8472979406414,
        None,
        -28.0086588731440,
    ),
]


def total(density: Callable[..., Any], family: Any, y: Any, eta: Any, aux: Aux) -> float:
    """Sum of the log densities of the rows, which are the diagonal of responses by linear predictors."""
    return float(np.trace(density(family, y, np.ones(y.size), eta, aux)))


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: "-".join(fit[:3]))
def test_log_likelihood_of_glmmtmb(fit: Any, density: Callable[..., Any]) -> None:
    name, link, zero, y, beta, log_phi, zi, log_nu, expected = fit
    aux: Any = Aux(log_phi, zi, None, None if log_nu is None else np.exp(log_nu))
    value = total(density, resolve_family(name, link, zero), y, beta[0] + beta[1] * X, aux)
    assert value == pytest.approx(expected, abs=1e-8)


def test_log_likelihood_of_polr(density: Callable[..., Any]) -> None:
    """MASS writes P(Y <= k) = F(zeta_k - eta) too; its "cloglog" is F(x) = 1 - exp(-exp(x))."""
    tau = np.array([-0.92373772049370917, 1.21307724262953576, 2.78440830122289018])
    aux: Any = Aux(tau=tau)
    value = total(density, resolve_family("cumulative", "cloglog"), C, 2.38544642971245535 * X, aux)
    assert value == pytest.approx(-7.24061326419898865, abs=1e-9)
