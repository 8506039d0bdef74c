"""Estimated latent densities against formulas and quadrature that know nothing of the code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import eval_hermitenorm, factorial
from scipy.stats import norm

from jmix.errors import ModelError
from jmix.likelihood.irt.density import DensityMarginal, build_density, with_davidian
from jmix.likelihood.irt.density_curve import coefficients, davidian
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.runtime import float64

from .textbook import Case, derivative, textbook

NODES = Integration(nodes=61, limit=6.0)
ANGLES = np.array([0.2, -0.3, 0.4])


@pytest.fixture(scope="module")
def case() -> Case:
    return Case([("logistic", 2, 4), ("graded", 3, 2)], groups=2, weights=True, missing=0.1)


def exact_curve(angles: Any) -> Any:
    """Mean, standard deviation and density of the curve that is not yet standardised, by SciPy."""
    sin, cos = np.sin(angles), np.cos(angles)
    c = np.array([np.prod(cos)] + [sin[k] * np.prod(cos[k + 1 :]) for k in range(len(angles))])

    def density(z: Any) -> Any:
        polynomial = sum(c[k] * eval_hermitenorm(k, z) / np.sqrt(factorial(k)) for k in range(c.size))
        return polynomial**2 * norm.pdf(z)

    moments = [quad(lambda z, k=k: z**k * density(z), -12, 12, epsabs=1e-13)[0] for k in range(3)]
    return moments, density


def test_davidian_curve_is_a_density_with_mean_zero_and_variance_one() -> None:
    moments, density = exact_curve(ANGLES)
    assert moments[0] == pytest.approx(1.0, abs=1e-12)
    sd = np.sqrt(moments[2] - moments[1] ** 2)
    z = np.linspace(-9, 9, 181)
    with float64():
        assert float(np.sum(np.asarray(coefficients(ANGLES)) ** 2)) == pytest.approx(1.0, abs=1e-14)
        points, log_p = (np.asarray(v) for v in davidian(ANGLES, z, norm.logpdf(z)))
    np.testing.assert_allclose(points, (z - moments[1]) / sd, atol=1e-9)
    np.testing.assert_allclose(np.exp(log_p), density(z) * (z[1] - z[0]), atol=1e-9)


def test_no_angles_are_the_normal_density(case: Case) -> None:
    spec = with_davidian(case.spec, 3)
    marginal = build_density(spec, case.responses, NODES)
    rule = grid_rule(Integration(nodes=121, limit=8.0), 1)
    loglik, mean, covariance = textbook(case.spec, case.responses, case.x, rule.nodes, rule.log_weights)
    x = np.append(case.x, np.zeros(3))
    np.testing.assert_allclose(marginal.by_person(x), loglik, atol=1e-8)
    moments = marginal.moments(x)
    np.testing.assert_allclose(moments.mean, mean, atol=1e-7)
    np.testing.assert_allclose(moments.covariance, covariance, atol=1e-7)


def test_likelihood_and_derivatives_of_a_curve(case: Case) -> None:
    spec = with_davidian(case.spec, 3)
    assert spec.table.free_names[-3:] == ("angle1", "angle2", "angle3")
    marginal = build_density(spec, case.responses, NODES)
    x = np.append(case.x, ANGLES)
    moments, density = exact_curve(ANGLES)
    fine = np.linspace(-10, 10, 401)
    p = density(fine) / density(fine).sum()
    points = (fine - moments[1]) / np.sqrt(moments[2] - moments[1] ** 2)
    loglik, mean, _ = textbook(case.spec, case.responses, case.x, points[:, None], np.log(p + 1e-300))
    np.testing.assert_allclose(marginal.by_person(x), loglik, atol=1e-7)
    np.testing.assert_allclose(marginal.moments(x).mean, mean, atol=1e-6)
    value, grad = marginal.value_and_grad(x)
    assert value == pytest.approx(case.weights @ loglik, abs=1e-5)
    numeric = derivative(lambda x: marginal.value_and_grad(x)[0], x)
    np.testing.assert_allclose(grad, numeric, atol=1e-8 * np.abs(numeric).max())
    hessian = derivative(lambda x: marginal.value_and_grad(x)[1], x)
    np.testing.assert_allclose(marginal.hessian(x), hessian, atol=1e-7 * np.abs(hessian).max())


def histogram(case: Case) -> tuple[DensityMarginal, Any]:
    weights = np.random.default_rng(0).uniform(0.2, 1.0, 21)
    return build_density(case.spec, case.responses, Integration(nodes=21, limit=4.0), weights), weights / weights.sum()


def test_histogram_is_standardised_and_its_update_is_em(case: Case) -> None:
    marginal, p = histogram(case)
    z = np.linspace(-4, 4, 21)
    mean = p @ z
    points = (z - mean) / np.sqrt(p @ (z - mean) ** 2)
    shown, density = marginal.density(case.x)
    np.testing.assert_allclose(shown, points, atol=1e-12)
    np.testing.assert_allclose(density * (points[1] - points[0]), p, atol=1e-12)
    loglik, _, _ = textbook(case.spec, case.responses, case.x, points[:, None], np.log(p))
    np.testing.assert_allclose(marginal.by_person(case.x), loglik, atol=1e-11)
    by_node = [textbook(case.spec, case.responses, case.x, points[q : q + 1, None], [0.0])[0] for q in range(21)]
    posterior = np.exp(np.array(by_node) + np.log(p)[:, None] - loglik)
    np.testing.assert_allclose(marginal.counts(case.x), posterior @ case.weights, rtol=1e-9)


def test_update_of_the_histogram_gains(case: Case) -> None:
    """EM with the items held at their places climbs, where the nodes are not moved by standardising."""
    marginal, _ = histogram(case)
    updated = marginal.with_weights(marginal.counts(case.x))
    assert updated.value_and_grad(case.x)[0] > marginal.value_and_grad(case.x)[0]
    assert updated.finer().integration.nodes == 41


def test_what_is_impossible_is_said(case: Case) -> None:
    two = Case([("logistic", 2, 3)], d=2, n=5)
    with pytest.raises(ModelError, match="one factor"):
        build_density(two.spec, two.responses, NODES)
    with pytest.raises(ModelError, match="1 to 10"):
        with_davidian(case.spec, 11)
    with pytest.raises(ModelError, match="grid"):
        build_density(case.spec, case.responses, replace(NODES, method="adaptive"))
    with pytest.raises(ModelError, match="rectangle"):
        build_density(case.spec, case.responses, replace(NODES, rule="gh"))
    with pytest.raises(ModelError, match="61 weights"):
        build_density(case.spec, case.responses, NODES, np.ones(7))
