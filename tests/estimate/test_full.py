"""The density with the random effects among the unknowns, against SciPy; a Student-t response."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import stats

import jmix
from jmix import runtime
from jmix.estimate.density import density_data, make_plan
from jmix.estimate.full import full_log_density, full_output, full_plan, row_data
from jmix.estimate.prior_plans import scalar_plan


@pytest.fixture(scope="module")
def crossed():
    rng = np.random.default_rng(3)
    n = 40
    return {
        "y": rng.normal(size=n) + 5,
        "x": rng.normal(size=n),
        "a": rng.integers(0, 6, n),
        "b": rng.integers(0, 4, n),
        "w": rng.uniform(0.5, 2.0, n),
        "o": rng.normal(size=n),
    }


@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_density_is_that_of_scipy(crossed, family):
    model = jmix.model("y ~ x + (x | a) + (1 | b)", crossed, weights="w", offset="o", family=family)
    priors, objective = model.priors, model.objective
    nu = None if priors.nu is None else scalar_plan(priors.nu)
    plan = full_plan(make_plan(objective, priors), model.spec, model.terms, nu)
    data = density_data(objective, priors) | {"rows": row_data(model.design, model.spec, model.terms)}
    density = runtime.Program(lambda z, d: full_log_density(z, d, plan))
    output = runtime.Program(lambda z, d: full_output(z, d, plan))
    base = runtime.Program(lambda z, d: jax.numpy.asarray(0.0) + _base(z, d, plan))
    rng, gaps = np.random.default_rng(4), []
    for _ in range(5):
        z = 0.5 * rng.standard_normal(plan.dim)
        kept = jax.tree.map(np.asarray, output(z, data))
        mean = kept["beta"][0] + kept["beta"][1] * crossed["x"] + crossed["o"]
        a, b = kept["effects"]
        mean += a[crossed["a"], 0] + a[crossed["a"], 1] * crossed["x"] + b[crossed["b"], 0]
        scale = kept["sigma"] / np.sqrt(crossed["w"])
        response = stats.norm(mean, scale) if family == "gaussian" else stats.t(kept["nu"], mean, scale)
        u = z[plan.n_parameters :]
        expected = response.logpdf(crossed["y"]).sum() + stats.norm.logpdf(u).sum() + float(base(z, data))
        gaps.append(float(density(z, data)) - expected)
        np.testing.assert_allclose(a, (kept["chol"][0] @ u[:12].reshape(2, 6)).T)
    np.testing.assert_allclose(np.diff(gaps), 0.0, atol=1e-8)


def _base(z, data, plan):
    """Log prior and Jacobian of the parameters, which tests/estimate/test_density.py checks."""
    from jmix.estimate.full import _parameters

    at, _, more = _parameters(z, data, plan)
    return at.log_prior + at.log_jacobian + more


@pytest.fixture(scope="module")
def outliers():
    sleep = jmix.load_data("sleepstudy")
    model = jmix.model("Reaction ~ Days + (1 | Subject)", sleep, family="student")
    return model, model.sample(draws=400, tune=400, chains=2, seed=1)


def test_a_student_response_is_sampled_with_its_random_effects(outliers):
    _, post = outliers
    assert list(post.parameters) == ["(Intercept)", "Days", "sd_Subject__Intercept", "sigma", "nu"]
    assert post.draws.effects["Subject"].shape == (2, 400, 18, 1)
    assert not post.settings.marginal
    assert (post["nu"] > 1).all()
    assert "student" in str(post)


def test_the_random_effects_of_a_student_response_are_not_integrated_out(outliers):
    model, _ = outliers
    with pytest.raises(jmix.ModelError, match="cannot be integrated out"):
        model.sample(marginal=True)


@pytest.mark.slow
def test_the_student_posterior_is_that_of_a_plain_numpyro_model(outliers):
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from arviz_stats.base import array_stats
    from numpyro.infer import MCMC, NUTS

    model, _ = outliers
    design = model.design
    y, days, code = design.y, design.X[:, 1], design.random[0].codes

    def plain():
        level = numpyro.sample("level", dist.StudentT(3.0, 288.7, 59.3))
        slope = numpyro.sample("slope", dist.ImproperUniform(dist.constraints.real, (), ()))
        half_t = dist.TruncatedDistribution(dist.StudentT(3.0, 0.0, 59.3), low=0.0)
        sd, sigma = numpyro.sample("sd", half_t), numpyro.sample("sigma", half_t)
        nu = numpyro.sample("nu", dist.TruncatedDistribution(dist.Normal(0.0, 100.0), low=1.0))
        numpyro.factor("gamma", dist.Gamma(2.0, 0.1).log_prob(nu) - dist.Normal(0.0, 100.0).log_prob(nu))
        u = numpyro.sample("u", dist.Normal(0.0, 1.0).expand([18]))
        mean = level + slope * (days - days.mean()) + sd * u[code]
        numpyro.sample("y", dist.StudentT(nu, mean, sigma), obs=y)

    with jax.enable_x64(True):
        mcmc = MCMC(
            NUTS(plain), num_warmup=1000, num_samples=2000, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(jax.random.PRNGKey(0))
        reference = {k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items()}
    reference["intercept"] = reference["level"] - reference["slope"] * float(jnp.mean(days))
    ours = model.sample(draws=2000, seed=2).parameters
    pairs = {"(Intercept)": "intercept", "Days": "slope", "sd_Subject__Intercept": "sd", "sigma": "sigma", "nu": "nu"}
    for own, other in pairs.items():
        for statistic in ("mean", "sd"):
            error = np.hypot(*(float(array_stats.mcse(x, method=statistic)) for x in (ours[own], reference[other])))
            value = np.mean if statistic == "mean" else np.std
            assert abs(value(ours[own]) - value(reference[other])) < 4.5 * error, (own, statistic)
