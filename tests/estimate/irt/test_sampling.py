"""The posterior density in the sampler's coordinates, default priors, and short runs of the sampler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

import jmix
from jmix import runtime
from jmix.estimate.irt.default_priors import TEXTS, with_defaults
from jmix.estimate.irt.posterior_density import build_density, log_density, point
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration

Make = Callable[..., tuple[Any, Any, Any]]
FEW = Integration(nodes=15)


def _density(spec: Any, read: Any) -> tuple[Any, Any, Any]:
    marginal = build_marginal(spec, read, FEW)
    density = build_density(marginal, spec)
    return marginal, density, runtime.put(density.data)


def test_density_is_likelihood_prior_and_jacobian(make: Make, simulate: Any) -> None:
    """By SciPy's densities, with a Jacobian by differences of the map that the program itself makes."""
    priors = {"a": "lognormal(0, 0.5)", "c": "beta(5, 17)", "d": "normal(0, 2)"}
    spec, read, _ = make(simulate(80, 4), "3PL", priors=priors)
    marginal, density, data = _density(spec, read)
    names = np.array(spec.table.free_names)
    z = np.random.default_rng(1).normal(0, 0.4, names.size)
    with runtime.float64():
        x = np.asarray(point(jnp.asarray(z), data, density.plan)[0])
        value = float(log_density(jnp.asarray(z), data, density.plan))
        slopes = [
            (point(jnp.asarray(z + h), data, density.plan)[0] - point(jnp.asarray(z - h), data, density.plan)[0]) / 2e-6
            for h in 1e-6 * np.eye(z.size)
        ]
    prior = 0.0
    for name, own in zip(names, x, strict=True):
        if name.startswith("a1"):
            prior += stats.lognorm(0.5).logpdf(own)
        elif name.startswith("d"):
            prior += stats.norm(0, 2).logpdf(own)
        else:
            p = expit(own)
            prior += stats.beta(5, 17).logpdf(p) + np.log(p * (1 - p))
    jacobian = np.log(np.abs(np.linalg.det(np.array(slopes))))
    assert value == pytest.approx(marginal.value_and_grad(x)[0] + prior + jacobian, abs=1e-5)
    np.testing.assert_allclose(density.coordinates(x), z, atol=1e-8)
    np.testing.assert_allclose(density.parameters(z), x, atol=1e-8)


def test_likelihoods_of_equal_shape_share_a_program(make: Make, simulate: Any) -> None:
    plans = []
    for seed in (1, 2):
        spec, read, _ = make(simulate(80, 4, seed=seed), "2PL", priors={"a": "normal(1, 1)"})
        spec = with_defaults(spec)
        plans.append(_density(spec, read)[1].plan)
    if getattr(build_marginal(spec, read, FEW), "plan", None) is not None:
        assert plans[0] == plans[1] and hash(plans[0]) == hash(plans[1])


def test_correlations_under_lkj(make: Make, simulate: Any) -> None:
    model = "F1 = 1-2\nF2 = 3-4\nF3 = 5-6\nCOV = F1*F2*F3"
    spec, read, _ = make(simulate(60, 6), "Rasch", model=model, priors={"corr": "lkj(3)", "sd": "half_normal(1)"})
    density = build_density(build_marginal(spec, read, Integration(nodes=5)), with_defaults(spec))
    z = np.linspace(-0.3, 0.3, spec.n_free)
    with runtime.float64():
        x, value = point(jnp.asarray(z), runtime.put(density.data), density.plan)
    own = dict(zip(spec.table.free_names, np.asarray(x), strict=True))
    r = np.eye(3)
    r[1, 0], r[2, 0], r[2, 1] = (own[f"corr[{pair}]"] for pair in ("F1,F2", "F1,F3", "F2,F3"))
    r = r + r.T - np.eye(3)
    wanted = 2.0 * np.log(np.linalg.det(r))
    for name, number in own.items():
        if name.startswith("d"):
            wanted += stats.norm(0, 5).logpdf(number)
        elif name.startswith("sd"):
            # a normal distribution cut at zero keeps its constant, as in the mixed models
            wanted += stats.halfnorm(scale=1).logpdf(number) + np.log(number)
        else:
            wanted += np.log(0.5 * (1 - number**2))
    assert float(value) == pytest.approx(wanted, abs=1e-8)


def test_default_priors_fill_what_is_missing(make: Make, simulate: Any) -> None:
    spec, _, _ = make(simulate(), "4PL", priors={"a": "lognormal(0, 1)"})
    table = with_defaults(spec).table
    shown = {table.names[i]: repr(table.priors[i]) for i in table.free}
    assert shown["a1[i1]"] == "lognormal(0, 1)" and shown["d[i2]"] == TEXTS["real"]
    assert shown["logit(c)[i1]"] == TEXTS["lower"] and shown["logit(u)[i1]"] == TEXTS["upper"]
    rasch, _, _ = make(simulate(), "Rasch")
    table = with_defaults(rasch).table
    assert repr(table.priors[list(table.names).index("sd[F1]")]) == TEXTS["positive"]


def test_coefficients_stay_flat(make: Make, simulate: Any) -> None:
    people = pd.DataFrame({"age": np.linspace(-1, 1, 300)})
    spec, _, _ = make(simulate(), "2PL", data=people, formula="~ age")
    table = with_defaults(spec).table
    assert table.priors[list(table.names).index("beta[F1:age]")] is None


@pytest.fixture(scope="module")
def post(simulate: Any) -> Any:
    model = jmix.irt_model(simulate(300, 4), itemtype="Rasch")
    return model.sample(draws=200, tune=150, chains=2, seed=3, progress=False)


def test_a_short_run_is_near_the_mode(post: Any, simulate: Any) -> None:
    fit = jmix.irt(simulate(300, 4), itemtype="Rasch")
    off = (post.coef() - fit.coef()) / fit.se()
    assert np.all(np.abs(off) < 0.4) and np.all(np.abs(np.log(post.se() / fit.se())) < 0.35)
    assert post.status.divergences == 0 and post.draws.shape == (2, 200)


def test_what_follows_from_draws(post: Any, simulate: Any) -> None:
    fit = jmix.irt(simulate(300, 4), itemtype="Rasch")
    items, scores = post.items(most=60), post.scores(most=20)
    assert list(items.columns) == ["a", "d", "b", "se_a", "se_d", "se_b", "itemtype"]
    np.testing.assert_allclose(items["d"], fit.items()["d"], atol=0.1)
    eap = fit.marginal.moments(fit.solution.x)
    np.testing.assert_allclose(scores["F1"], eap.mean[:, 0], atol=0.1)
    assert np.all(scores["se_F1"] > 0) and post.log_likelihood(most=4).shape == (2, 2, 300)
    text = str(post.summary())
    assert "sd[F1]" in text and "Rhat" in text and "300 persons, 4 items" in text
    assert post.summary().to_html().startswith("<div")


def test_save_and_load(post: Any, tmp_path: Path) -> None:
    path = tmp_path / "post.npz"
    post.save(path)
    back = jmix.load_posterior(path)
    np.testing.assert_array_equal(back.draws.x, post.draws.x)
    pd.testing.assert_series_equal(back.coef(), post.coef())
    pd.testing.assert_frame_equal(back.scores(most=4), post.scores(most=4), atol=1e-10)  # type: ignore[attr-defined]
    assert back.status == post.status


def test_the_seed_decides(simulate: Any, post: Any) -> None:
    again = jmix.irt_model(simulate(300, 4), itemtype="Rasch").sample(
        draws=200, tune=150, chains=2, seed=3, progress=False
    )
    np.testing.assert_array_equal(again.draws.x, post.draws.x)


@pytest.mark.slow
def test_it_is_the_posterior_of_jags(reference: Callable[[str], Any], shared_dir: Path) -> None:
    """Five words of the vocabulary test: means and standard deviations within Monte Carlo error."""
    theirs = reference("posterior")["vocabulary"]["posterior_rasch5"]
    frame = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv")[["worda", "wordb", "wordc", "wordd", "worde"]]
    priors = {"d": f"normal(0, {np.sqrt(1000)})", "sd": "gamma(0.01, 0.01) on precision"}
    post = jmix.irt_model(frame, itemtype="Rasch", priors=priors).sample(draws=2000, seed=1, progress=False)
    assert post.status.converged
    for name, wanted in zip(["ba", "bb", "bc", "bd", "be", "tau"], post.names, strict=True):
        own, table = post.parameters[wanted], theirs[name]
        mcse = np.hypot(own.std() / np.sqrt(post.diagnostics.loc[wanted, "ess_bulk"]), table["mcse"])
        assert abs(own.mean() - table["mean"]) < 4.5 * mcse
        assert own.std() == pytest.approx(table["sd"], rel=0.05)


def test_the_likelihood_does_not_keep_the_data_alive(make: Make, simulate: Any) -> None:
    spec, read, _ = make(simulate(80, 4), "2PL")
    marginal = build_marginal(spec, read, FEW)
    density = build_density(marginal, spec)
    held = density.plan.likelihood._own
    assert getattr(held, "data", None) is None or getattr(marginal, "plan", None) is None
    assert marginal.data is not None
    with runtime.float64():
        x = jnp.asarray(np.ones(spec.n_free))
        assert float(density.plan.likelihood(x, marginal.data)) == pytest.approx(marginal.value_and_grad(x)[0])
