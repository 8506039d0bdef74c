"""The dispersion and the zeros mean what they mean in glmmTMB 1.1.5 and MASS 7.3-58.2: their log likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jmix.families import Aux, resolve_family

# library(glmmTMB); library(MASS); d <- data.frame(x = X, k = K, g = G, b = B)
# for each line f <- glmmTMB(response ~ x, d, family = ..., ziformula = ~1 for "zip", "zinb" and the truncated ones);
# unlist(f$fit$par); logLik(f).  The dispersion of gaussian and t is log sigma^2 there, that of Gamma -log phi.
# o <- polr(factor(C) ~ x, method = "cloglog"); c(coef(o), o$zeta, logLik(o))
X = np.array([-1.2, -0.7, -0.3, 0.1, 0.4, 0.6, 0.9, 1.1, 1.5, 2.0])
K = np.array([0, 6, 0, 3, 14, 0, 2, 1, 25, 31.0])
G = np.array([0.3, 0.8, 0.5, 1.9, 1.1, 2.6, 2.2, 1.4, 5.1, 4.4])
B = np.array([0.12, 0.31, 0.22, 0.35, 0.6, 0.41, 0.55, 0.81, 0.7, 0.88])
C = np.array([1, 1, 2, 1, 3, 2, 3, 2, 4, 4.0]) - 1.0

# family, link, zero, response, beta, log phi, zi, log of nu, log likelihood
FITS = [
    ("nbinom1", "log", "", K, (1.0639768205870506, 1.1567876889329853), 2.1649684270512086, None, None, -26.856873839220324),
    ("nbinom2", "log", "", K, (1.28311396943477263, 0.93286576566535384), -0.42031470949656574, None, None, -27.846772014824467),
    ("gamma", "log", "", G, (0.092083478163767815, 0.818793883819012747), -1.967424801461259642, None, None, -8.3931741936725235),
    ("beta", "logit", "", B, (-0.51172426573676733, 1.10232352853653071), 3.31217426532105907, None, None, 10.894624080890404),
    ("gaussian", "identity", "", G, (1.42784663278363788, 1.36852862293115418), -0.37361218748490849 / 2, None, None, -12.321326316852863),
    ("student", "identity", "", G, (1.42784675976905295, 1.3685285611412854), -0.18680614979388011, None, 15.76926745760561488, -12.321326328523154),
    ("poisson", "log", "inflated", K, (1.5133038606588771, 0.8978620481604217), None, -1.0836623932105081, None, -39.481255317496917),
    ("poisson", "log", "hurdle", K, (1.57123638653014996, 0.85906462164204145), None, -0.84729799984047871, None, -39.870101015379618),
    ("nbinom1", "log", "inflated", K, (1.0639813951319248, 1.1567853407384265), 2.1649744603522709, -20.5627708299747134, None, -26.856873842242873),
    ("nbinom2", "log", "hurdle", K, (1.631684836665228122, 0.693049312918746274), -0.048512231537756655, -0.847298005459962922, None, -28.734660474650589),
    ("nbinom1", "log", "hurdle", K, (-0.75596786372201985, 2.22152767472008472), 2.39321362217982703, -0.84729794064145525, None, -28.008658873144057),
]  # fmt: skip


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
