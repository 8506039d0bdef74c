"""``jmix.irt`` and ``IrtModel``: identities between models, options, priors, starts, mistakes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import jmix
from jmix.errors import ConvergenceWarning, DataError, ModelError

N, J = 500, 5


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    theta, a, d = rng.standard_normal(N), rng.uniform(0.8, 1.8, J), np.linspace(-1.2, 1.2, J)
    table = (rng.random((N, J)) < expit(a * theta[:, None] + d)).astype(int)
    return pd.DataFrame(table, columns=[f"i{k + 1}" for k in range(J)])


@pytest.fixture(scope="module")
def rasch(data: pd.DataFrame) -> Any:
    return jmix.irt(data, itemtype="Rasch")


@pytest.fixture(scope="module")
def two(data: pd.DataFrame) -> Any:
    return jmix.irt(data, itemtype="2PL")


# --- identities -------------------------------------------------------------------------------------------------------
def test_rasch_is_the_mixed_model_of_items_and_persons(rasch: Any, data: pd.DataFrame) -> None:
    """At equal quadrature: 1PL is ``y ~ 0 + item + (1 | person)``."""
    long = data.assign(person=np.arange(N)).melt("person", var_name="item", value_name="y")
    other = jmix.glmm("y ~ 0 + item + (1 | person)", long, family="binomial", n_agq=25)
    assert rasch.loglik == pytest.approx(other.loglik, abs=1e-6)
    np.testing.assert_allclose(rasch.coef().to_numpy()[:J], other.fixef().to_numpy(), atol=1e-5)
    np.testing.assert_allclose(rasch.se().to_numpy()[:J], np.sqrt(np.diag(other.vcov()))[:J], atol=1e-5)
    assert rasch.coef()["sd[F1]"] == pytest.approx(other.varcorr()["sdcor"].iloc[0], abs=1e-5)


def test_common_slope_is_the_standard_deviation(rasch: Any, data: pd.DataFrame) -> None:
    one = jmix.irt(data, itemtype="1PL")
    assert one.loglik == pytest.approx(rasch.loglik, abs=1e-7)
    assert one.coef()["a1"] == pytest.approx(rasch.coef()["sd[F1]"], abs=1e-6)


def test_graded_with_two_categories_is_2pl(two: Any, data: pd.DataFrame) -> None:
    other = jmix.irt(data, itemtype="graded")
    assert other.loglik == pytest.approx(two.loglik, abs=1e-8)
    np.testing.assert_allclose(np.sort(other.coef()), np.sort(two.coef()), atol=1e-6)


def test_weights_are_repeated_rows(two: Any, data: pd.DataFrame) -> None:
    counts = data.value_counts(sort=False)
    frame = counts.index.to_frame(index=False)
    other = jmix.irt(frame, itemtype="2PL", weights=counts.to_numpy())
    assert other.loglik == pytest.approx(two.loglik, abs=1e-8)
    np.testing.assert_allclose(other.coef(), two.coef(), atol=1e-6)
    np.testing.assert_allclose(other.se(), two.se(), rtol=1e-5)
    doubled = jmix.irt(data, itemtype="2PL", weights=np.full(N, 2.0))
    np.testing.assert_allclose(doubled.se() * np.sqrt(2.0), two.se(), rtol=1e-5)


def test_a_list_of_responses_is_the_table(data: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    holes = data.astype(float).mask(rng.random(data.shape) < 0.2)
    table = jmix.irt(holes, itemtype="2PL")
    long = holes.assign(p=np.arange(N)).melt("p", var_name="item", value_name="y").dropna()
    listed = jmix.irt(long, itemtype="2PL", person="p", item="item", response="y")
    assert listed.loglik == pytest.approx(table.loglik, abs=1e-8)
    pd.testing.assert_series_equal(listed.coef().sort_index(), table.coef().sort_index(), atol=1e-6)


@pytest.mark.slow
def test_groups_with_all_free_are_separate_fits(data: pd.DataFrame) -> None:
    group = np.where(np.arange(N) < 260, "a", "b")
    both = jmix.irt(data, itemtype="2PL", group=group, equal_items=False)
    parts = [jmix.irt(data[group == g], itemtype="2PL") for g in "ab"]
    assert both.loglik == pytest.approx(sum(part.loglik for part in parts), abs=1e-6)
    assert both.npar == 4 * J


# --- MAP, starts, restarts --------------------------------------------------------------------------------------------
def test_map_is_the_maximum_of_the_posterior(data: pd.DataFrame) -> None:
    model = jmix.irt_model(data, itemtype="2PL", priors={"a": "normal(1, 0.3)", "d": "normal(0, 1)"})
    fit = model.fit()
    assert fit.method == "MAP"
    x = fit.solution.x

    def log_posterior(x: Any) -> float:
        slopes = np.array([name.startswith("a1") for name in model.names])
        prior = -0.5 * np.sum(((x[slopes] - 1.0) / 0.3) ** 2) - 0.5 * np.sum(x[~slopes] ** 2)
        return model.log_marginal(x) + float(prior)

    h = 1e-4
    for e in np.eye(x.size):
        assert log_posterior(x + h * e) - log_posterior(x - h * e) == pytest.approx(0.0, abs=1e-6)
    assert model.fit("ml").method == "ML"
    assert fit.solution.log_prior < 0 and fit.loglik == pytest.approx(model.log_marginal(x), abs=1e-9)


def test_starts_by_name_and_as_a_vector(two: Any, data: pd.DataFrame) -> None:
    for start in ({"a1[i2]": 0.4, "d[i1]": 1.0}, two.solution.x):
        fit = jmix.irt(data, itemtype="2PL", start=start)
        np.testing.assert_allclose(fit.coef(), two.coef(), atol=1e-6)
    model = jmix.irt_model(data, itemtype="2PL", start={"a1[i2]": 0.4})
    assert model.start()[model.names.index("a1[i2]")] == 0.4
    assert model.start({"d[i1]": 2.0})[model.names.index("d[i1]")] == 2.0


def test_parameters_edited_and_given_back(two: Any, data: pd.DataFrame) -> None:
    frame = jmix.irt_model(data, itemtype="2PL").parameters
    at = (frame["item"] == "i1") & (frame["name"] == "a1")
    frame.loc[at, ["value", "est"]] = [1.25, False]
    fit = jmix.irt(data, itemtype="2PL", parameters=frame)
    assert fit.npar == two.npar - 1 and fit.items().loc["i1", "a"] == 1.25
    assert fit.loglik < two.loglik


def test_log_marginal_is_pure_jax(two: Any, data: pd.DataFrame) -> None:
    import jax
    import jax.numpy as jnp

    model = jmix.irt_model(data, itemtype="2PL")
    assert model.log_marginal(two.solution.x) == pytest.approx(two.loglik, abs=1e-9)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(model.log_marginal))(jnp.asarray(two.solution.x))
        assert float(jnp.max(jnp.abs(gradient))) < 1e-4
    assert model.log_marginal({"a1[i1]": 1.0}) < two.loglik


def test_a_checkpoint_is_used_and_removed(two: Any, data: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    fit = jmix.irt(data, itemtype="2PL", checkpoint=path)
    assert not path.exists() and fit.loglik == pytest.approx(two.loglik, abs=1e-9)


# --- integration ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_adaptive_nodes_agree_with_the_grid(two: Any, data: pd.DataFrame) -> None:
    fit = jmix.irt(data, itemtype="2PL", integration="adaptive", nodes=15)
    assert fit.loglik == pytest.approx(two.loglik, abs=1e-3)
    np.testing.assert_allclose(fit.coef(), two.coef(), atol=2e-3)


def test_nodes_of_the_user_stay(data: pd.DataFrame) -> None:
    fit = jmix.irt(data, itemtype="2PL", nodes=21)
    assert fit.solution.integration.nodes == 21 and abs(fit.quadrature_error) < 1e-2


# --- what is said -----------------------------------------------------------------------------------------------------
def test_a_reversed_item_is_named(data: pd.DataFrame) -> None:
    fit = jmix.irt(data.assign(i3=1 - data.i3), itemtype="2PL")
    assert any("negative discrimination: i3" in note for note in fit.notes)
    assert fit.items().loc["i3", "a"] < 0 < fit.items().loc["i1", "a"]


def test_runaway_asymptotes_do_not_spoil_the_other_errors(data: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = jmix.irt(data, itemtype="3PL")
    tamed = jmix.irt(data, itemtype="3PL", priors="default")
    for own in (fit, tamed):
        assert not own.items().isna().any().any()
    assert np.all(np.isfinite(tamed.se())) and tamed.converged
    assert tamed.loglik < fit.loglik


def test_too_few_iterations_are_said(data: pd.DataFrame) -> None:
    with pytest.warns(ConvergenceWarning, match="max_iterations"):
        fit = jmix.irt(data, itemtype="2PL", max_iterations=1)
    assert not fit.converged and np.all(np.isfinite(fit.coef()))


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"itemtype": "5PL"}, ModelError, "5PL"),
        ({"se": "wald"}, ModelError, "crossprod"),
        ({"method": "reml"}, ModelError, "'ml' or 'map'"),
        ({"method": "map"}, ModelError, "priors"),
        ({"nodes": 1}, ModelError, "nodes=1"),
        ({"integration": "laplace"}, ModelError, "adaptive"),
        ({"integration": {"node": 5}}, ModelError, "nodes"),
        ({"density": "cauchy"}, ModelError, "davidian"),
        ({"start": [1.0, 2.0]}, ModelError, "10 free parameters"),
        ({"start": {"a1[i9]": 1.0}}, ModelError, "i9"),
        ({"max_iterations": 0}, ModelError, "max_iterations"),
        ({"method": "cml", "priors": {"d": "normal(0, 1)"}}, ModelError, "priors"),
        ({"person": "i1", "item": "i2"}, DataError, "response"),
        ({"group": "sex"}, DataError, "sex"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], error: type[Exception], match: str, data: pd.DataFrame) -> None:
    with pytest.raises(error, match=match):
        jmix.irt(data, **options)


def test_bad_items_are_named_before_anything_is_computed(data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="i2"):
        jmix.irt(data.assign(i2=1), itemtype="2PL")


def test_conditional_estimates(data: pd.DataFrame, rasch: Any) -> None:
    fit = jmix.irt(data, itemtype="Rasch", method="cml")
    b = fit.items()["b"] if "b" in fit.items() else fit.items().iloc[:, 0]
    own = rasch.items()["b"]
    np.testing.assert_allclose(b - b.mean(), own - own.mean(), atol=0.1)


def test_the_model_shows_itself(data: pd.DataFrame) -> None:
    model = jmix.irt_model(data, itemtype="2PL", priors={"a": "normal(1, 1)"})
    assert repr(model) == "IrtModel(2PL; 500 persons, 5 items, 1 factor, 10 free parameters)"
    assert set(model.priors["prior"]) == {"normal(1, 1)", "flat"}
    assert "flat" not in set(model.with_default_priors().priors["prior"])


# --- size -------------------------------------------------------------------------------------------------------------
def test_beginning_with_some_of_the_persons_gives_the_same_fit(
    two: Any, data: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jmix.estimate.irt.begin.PERSONS", 100)
    fit = jmix.irt(data, itemtype="2PL")
    np.testing.assert_allclose(fit.coef(), two.coef(), atol=1e-6)
    np.testing.assert_allclose(fit.se(), two.se(), rtol=1e-4)
    assert fit.solution.n_evaluations < two.solution.n_evaluations


@pytest.mark.slow
def test_many_parameters_take_another_search_to_the_same_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    theta, a, d = rng.standard_normal(250), rng.uniform(0.6, 1.6, 155), rng.normal(0, 1, 155)
    table = (rng.random((250, 155)) < expit(a * theta[:, None] + d)).astype(np.int8)
    options: dict[str, Any] = {"itemtype": "2PL", "priors": {"a": "lognormal(0, 0.5)", "d": "normal(0, 3)"}}
    many = jmix.irt(table, **options)
    assert many.npar == 310 and many.converged
    monkeypatch.setattr("jmix.estimate.irt.fit.MOST", 1000)
    few = jmix.irt(table, **options)
    assert many.loglik + many.solution.log_prior == pytest.approx(few.loglik + few.solution.log_prior, abs=1e-6)
    np.testing.assert_allclose(many.coef(), few.coef(), atol=1e-3)
    np.testing.assert_allclose(many.se(), few.se(), rtol=1e-3)
