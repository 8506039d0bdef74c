"""Recovery of a skewed latent trait by a Davidian curve and by the empirical histogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

from jmix.estimate.irt.density import DensityFit, curve, fit_davidian, fit_histogram
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.sample import take_sample
from jmix.estimate.irt.start import start_values
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.spec.irt.build import build_spec

NODES = Integration(nodes=41, limit=6.0)
N, J = 2000, 12


@pytest.fixture(scope="module")
def skewed() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    theta = (rng.gamma(2.0, size=N) - 2.0) / np.sqrt(2.0)
    a, d = rng.uniform(1.0, 2.2, J), rng.normal(0.3, 1.0, J)
    table = (rng.random((N, J)) < 1.0 / (1.0 + np.exp(-(np.outer(theta, a) + d)))).astype(np.int8)
    responses = Responses(
        items=tuple(f"i{j}" for j in range(J)),
        categories=((0, 1),) * J,
        table=table,
        long=None,
        persons=pd.RangeIndex(N),
    )
    spec, _ = build_spec(responses, "2PL")
    sample = take_sample(responses)
    start = start_values(spec, sample)
    normal, _ = fit_irt(build_marginal(spec, responses, NODES), sample, start, FitOptions(se="none", refine=False))
    data = {"spec": spec, "responses": responses, "integration": NODES, "sample": sample, "start": normal.x}
    return {
        "data": data,
        "normal": normal,
        "a": a,
        "places": [spec.table.free_names.index(f"a1[i{j}]") for j in range(J)],
    }


def distance(fit: DensityFit) -> float:
    """Integrated absolute difference from the true density, between 0 and 2."""
    true = gamma.pdf(fit.points * np.sqrt(2.0) + 2.0, 2.0) * np.sqrt(2.0)
    return float(np.sum(np.abs(fit.density - true)) * (fit.points[1] - fit.points[0]))


def better(fit: DensityFit, skewed: dict[str, Any], gain: float) -> None:
    assert fit.solution.status.converged
    assert fit.solution.loglik > skewed["normal"].loglik + gain
    places = skewed["places"]
    errors = [np.sqrt(np.mean((x[places] - skewed["a"]) ** 2)) for x in (fit.solution.x, skewed["normal"].x)]
    assert errors[0] < 0.8 * errors[1]
    step = fit.points[1] - fit.points[0]
    assert fit.density.sum() * step == pytest.approx(1.0, abs=1e-9)
    assert fit.density @ fit.points * step == pytest.approx(0.0, abs=1e-9)
    assert fit.density @ fit.points**2 * step == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
def test_davidian_curve_recovers_a_skewed_trait(skewed: dict[str, Any]) -> None:
    fit = fit_davidian(**skewed["data"], order=4, options=FitOptions(refine=False))
    better(fit, skewed, 20.0)
    assert fit.solution.spec.table.free_names[-1] == "angle4"
    assert distance(fit) < 0.3
    own = curve(fit.solution.x[-4:], np.linspace(-9, 9, 361), fit.points)
    np.testing.assert_allclose(fit.density, own, atol=1e-5)


def test_histogram_recovers_a_skewed_trait(skewed: dict[str, Any]) -> None:
    fit = fit_histogram(**skewed["data"])
    better(fit, skewed, 20.0)
    assert distance(fit) < 0.3
    assert fit.n_density == 40
