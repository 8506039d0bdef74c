"""The log prior: SciPy's densities, differences of them, and the specification's own function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate.irt.prior import GeneralPrior, prior_density
from jmix.spec.irt.priors import log_prior
from jmix.spec.irt.spec import full_vector

Make = Callable[..., tuple[Any, Any, Any]]


def _check(spec: Any, x: Any) -> None:
    density = prior_density(spec)
    assert density is not None
    value, gradient, hessian = density.evaluate(x)
    with runtime.float64():
        own = float(log_prior(jnp, spec, jnp.asarray(x), jacobian=True))
        v = full_vector(np, spec, x)
        asymptotes = [p for p, e in enumerate(spec.table.priors) if e is not None and e.probability]
        own -= sum(np.log(expit(v[p]) * expit(-v[p])) for p in asymptotes if p in spec.table.free)
        assert value == pytest.approx(own, abs=1e-10)
    h = 1e-5
    for i, e in enumerate(np.eye(x.size)):
        up, down = density.evaluate(x + h * e), density.evaluate(x - h * e)
        assert gradient[i] == pytest.approx((up[0] - down[0]) / (2 * h), abs=1e-5)
        np.testing.assert_allclose(hessian[i], (up[1] - down[1]) / (2 * h), atol=1e-5)


def test_sums_of_densities(make: Make, simulate: Any) -> None:
    priors = {"a": "lognormal(0, 0.5)", "c": "beta(5, 17)", "d[i2]": "normal(1, 2)"}
    spec, _, _ = make(simulate(), "3PL", priors=priors)
    names = np.array(spec.table.free_names)
    x = np.random.default_rng(1).normal(0.8, 0.3, names.size)
    x[np.char.startswith(names, "a1")] = np.abs(x[np.char.startswith(names, "a1")])
    wanted = 0.0
    for name, value in zip(names, x, strict=True):
        if name.startswith("a1"):
            wanted += stats.lognorm(0.5).logpdf(value)
        elif name.startswith("logit(c)"):
            wanted += stats.beta(5, 17).logpdf(expit(value))
        elif name == "d[i2]":
            wanted += stats.norm(1, 2).logpdf(value)
    assert prior_density(spec).evaluate(x)[0] == pytest.approx(wanted, abs=1e-10)  # type: ignore[union-attr]
    _check(spec, x)


@pytest.mark.parametrize("text", ["half_normal(2)", "gamma(2, 3) on precision", "gamma(2, 3) on variance"])
def test_standard_deviations(text: str, make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "Rasch", priors={"sd": text})
    _check(spec, np.linspace(-0.5, 1.3, spec.n_free))


def test_outside_the_support(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "2PL", priors={"a": "lognormal(0, 0.5)"})
    assert prior_density(spec).evaluate(-np.ones(spec.n_free))[0] == -np.inf  # type: ignore[union-attr]
    spec, _, _ = make(simulate(), "2PL", priors={"a": "uniform(0, 2)"})
    assert prior_density(spec).evaluate(np.full(spec.n_free, 2.5))[0] == -np.inf  # type: ignore[union-attr]


def test_none(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "2PL", priors={"d": "flat"})
    assert prior_density(spec) is None


def test_priors_on_what_follows_linearly(make: Make, simulate: Any) -> None:
    items = pd.DataFrame({"x": [0.0, 1.0, 2.0, 1.0, 0.5]}, index=[f"i{k}" for k in range(1, 6)])
    try:
        spec, _, _ = make(simulate(), "Rasch", item_data=items, item_formula="~ x", priors={"d": "normal(0, 1)"})
    except ModelError:
        pytest.skip("the specification refuses a prior on numbers that are computed")
    _check(spec, np.linspace(0.2, 0.9, spec.n_free))


def test_correlations_together(make: Make, simulate: Any) -> None:
    model = "F1 = 1-2\nF2 = 3-4\nF3 = 5-6\nCOV = F1*F2*F3"
    spec, _, _ = make(simulate(200, 6), "2PL", model=model, priors={"corr": "lkj(2)", "a": "normal(1, 1)"})
    assert isinstance(prior_density(spec), GeneralPrior)
    x = np.linspace(0.5, 1.5, spec.n_free)
    x[[name.startswith("corr") for name in spec.table.free_names]] = (0.3, -0.2, 0.4)
    _check(spec, x)
