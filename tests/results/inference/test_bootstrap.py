"""The bootstrap of a fit: its draws, its intervals, what it refuses, and the test of nested models."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.errors import JmixWarning, ModelError
from jmix.results.inference.bootstrapping import bootstrap as module
from jmix.results.inference.bootstrapping.bootstrap_acceleration import gaussian_scores
from jmix.results.inference.bootstrapping.bootstrap_responses import parametric, reflated

N = 60

pytestmark = pytest.mark.filterwarnings("ignore:.*replicates are few:jmix.errors.JmixWarning")


@pytest.fixture(scope="module")
def dyestuff() -> Any:
    """A random intercept of six batches, often estimated as zero."""
    return jmix.lmm("Yield ~ 1 + (1 | Batch)", jmix.load_data("Dyestuff"))


@pytest.fixture(scope="module")
def boot(dyestuff: Any) -> Any:
    """Its bootstrap."""
    return dyestuff.bootstrap(N, seed=3)


# --- the draws ------------------------------------------------------------------------------------------------------
def test_draws_are_refits_of_simulated_responses(dyestuff: Any, boot: Any) -> None:
    refits = dyestuff.refit(dyestuff.simulate(N, seed=3).to_numpy())
    np.testing.assert_allclose(boot.draws, refits.parameters(), rtol=1e-6, atol=1e-6)
    assert list(boot.draws.columns) == ["(Intercept)", "sd_Batch__Intercept", "sigma"]
    assert boot.singular == int(refits.singular.sum()) > 0
    by_hand = dyestuff.varcorr()["sdcor"].to_numpy()
    np.testing.assert_allclose(boot.observed, [dyestuff.beta[0], *by_hand], rtol=1e-12)


@pytest.mark.parametrize("conditional", [False, True])
def test_responses_are_those_of_simulate(dyestuff: Any, conditional: bool) -> None:
    draw = parametric(dyestuff, np.random.default_rng(8), conditional=conditional)
    ours = np.hstack([draw(2), draw(3)])
    np.testing.assert_allclose(ours, dyestuff.simulate(5, seed=8, conditional=conditional), rtol=1e-12)


def test_the_seed_gives_the_same_draws_whatever_the_batch(
    dyestuff: Any, boot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "batches", lambda fit, n: [40, 20])
    again = dyestuff.bootstrap(N, seed=3)
    np.testing.assert_allclose(again.draws, boot.draws, rtol=1e-6, atol=1e-6)
    assert not np.allclose(dyestuff.bootstrap(N, seed=4).draws, boot.draws)


def test_an_interrupt_keeps_what_is_finished(dyestuff: Any, boot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def refit(self: Any, responses: Any, **options: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, responses, **options)

    original = type(dyestuff).refit
    monkeypatch.setattr(module, "batches", lambda fit, n: [40, 20])
    monkeypatch.setattr(type(dyestuff), "refit", refit)
    short = dyestuff.bootstrap(N, seed=3)
    assert len(short) == 40 and short.stopped
    assert "interrupted: these are the first 40 of 60" in str(short)
    np.testing.assert_allclose(short.draws, boot.draws.iloc[:40], rtol=1e-6, atol=1e-6)


def test_an_interrupt_within_a_function_keeps_its_replicates(dyestuff: Any) -> None:
    seen: list[float] = []

    def third(fit: Any) -> float:
        seen.append(fit.sigma)
        if len(seen) == 30:
            raise KeyboardInterrupt
        return fit.sigma**2

    short = dyestuff.bootstrap(N, third)
    assert len(short) == 28 and short.stopped  # the first call is for the observed fit, the last is lost
    np.testing.assert_allclose(short.draws["third"], short.draws["sigma"] ** 2)


def test_resampled_residuals_have_the_estimated_variances(dyestuff: Any) -> None:
    effects = reflated(np.random.default_rng(0).normal(size=(40, 2)), np.array([[2.0, 0.5], [0.5, 1.0]]))
    np.testing.assert_allclose(np.cov(effects.T, bias=True), [[2.0, 0.5], [0.5, 1.0]], rtol=1e-10)
    boot = dyestuff.bootstrap(N, kind="residual")
    assert abs(boot.draws["sigma"].mean() / dyestuff.sigma - 1) < 0.1
    assert boot.draws["sd_Batch__Intercept"].std() > 0
    with pytest.raises(ModelError, match="bca"):
        boot.confint(kind="bca")


# --- derived quantities ---------------------------------------------------------------------------------------------
def test_functions_of_the_fit(dyestuff: Any) -> None:
    def share(fit: Any) -> float:
        sd = fit.varcorr()["sdcor"].to_numpy()
        return float(sd[0] ** 2 / (sd**2).sum())

    def several(fit: Any) -> pd.Series:
        return pd.Series({"var": fit.sigma**2, "loglik": fit.loglik})

    boot = dyestuff.bootstrap(N, [share, several, lambda fit: fit.beta], seed=3)
    assert list(boot.draws.columns[3:]) == ["share", "var", "loglik", "fn[0]"]
    sd, sigma = boot.draws["sd_Batch__Intercept"], boot.draws["sigma"]
    np.testing.assert_allclose(boot.draws["share"], sd**2 / (sd**2 + sigma**2), rtol=1e-10)
    np.testing.assert_allclose(boot.draws["var"], sigma**2, rtol=1e-10)
    limits = boot.confint(kind="bca")
    # BCa limits follow a monotone transformation of the quantity
    np.testing.assert_allclose(limits.loc["var"], limits.loc["sigma"] ** 2, rtol=0.01)
    assert boot.acceleration["share"] > 0 and boot.acceleration["fn[0]"] == pytest.approx(0.0, abs=0.01)


def test_built_in_quantities(dyestuff: Any) -> None:
    boot = dyestuff.bootstrap(N, "icc")
    sd, sigma = boot.draws["sd_Batch__Intercept"], boot.draws["sigma"]
    np.testing.assert_allclose(boot.draws.iloc[:, 3], sd**2 / (sd**2 + sigma**2), rtol=1e-8, atol=1e-12)


def test_a_function_that_fails_on_a_replicate_is_told(dyestuff: Any) -> None:
    def shy(fit: Any) -> float:
        if fit.singular:
            raise ValueError("nothing to see")
        return fit.sigma

    boot = dyestuff.bootstrap(N, shy, seed=3)
    assert boot.draws["shy"].isna().sum() == boot.singular
    assert "nothing to see" in str(boot) and f"missing in {boot.singular} draws" in str(boot).replace("\n ", "")


@pytest.mark.parametrize(
    ("fn", "message"),
    [("nothing", "fn='nothing'"), (lambda fit: "text", "must give numbers"), (lambda fit: fit.design.X, "shape")],
)
def test_functions_that_give_no_numbers(dyestuff: Any, fn: Any, message: str) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        dyestuff.bootstrap(N, fn)


# --- intervals ------------------------------------------------------------------------------------------------------
def test_the_table(boot: Any) -> None:
    table = boot.table
    assert list(table.columns) == ["estimate", "bias", "std_error", "lower", "upper"]
    np.testing.assert_allclose(table["bias"], boot.draws.mean() - boot.observed)
    np.testing.assert_allclose(table["std_error"], boot.draws.std(ddof=1))
    pd.testing.assert_frame_equal(table[["lower", "upper"]], boot.confint(kind="percentile"))
    assert "Parametric bootstrap" in str(boot) and "singular" in str(boot) and "<table" in boot.to_html()


def test_few_replicates_warn(boot: Any) -> None:
    few = replace(boot, draws=boot.draws.iloc[:30])
    with pytest.warns(JmixWarning, match="30 replicates are few"):
        few.confint()
    assert "30 replicates are too few" in str(few)


def test_studentized_limits_are_of_the_fixed_effects(dyestuff: Any, boot: Any) -> None:
    limits = boot.confint(kind="studentized")
    refits = dyestuff.refit(dyestuff.simulate(N, seed=3).to_numpy())
    z = np.sort((refits.fixef().iloc[:, 0] - dyestuff.beta[0]) / refits.se().iloc[:, 0])
    se = float(dyestuff.se().iloc[0])
    # (60 + 1) 0.975 = 59.5: between the two largest
    assert dyestuff.beta[0] - se * z[-1] < limits.iloc[0, 0] < dyestuff.beta[0] - se * z[-2]
    assert limits.iloc[1:].isna().all(axis=None)


def test_bca_of_a_residual_variance_is_nearly_exact() -> None:
    data = pd.DataFrame({"y": stats.norm.ppf((np.arange(20) + 0.5) / 20)})
    fit = jmix.lm("y ~ 1", data)
    boot = fit.bootstrap(20_000, seed=1)
    assert boot.acceleration["sigma"] == pytest.approx(np.sqrt(2) / (3 * np.sqrt(20)), rel=1e-10)
    exact = fit.sigma * np.sqrt(19 / stats.chi2.ppf([0.975, 0.025], 19))
    np.testing.assert_allclose(boot.confint(kind="bca").loc["sigma"], exact, rtol=0.025)
    assert boot.confint().loc["sigma", "upper"] < 0.9 * exact[1]


@pytest.mark.parametrize("reml", [True, False])
def test_acceleration_against_dense_matrices(reml: bool) -> None:
    """The skewness of the score, by products of n x n matrices."""
    data = pd.DataFrame({"a": np.repeat(list("abcdefgh"), 5), "b": np.tile(list("pqrst"), 8), "x": np.arange(40.0) % 7})
    weights = 1.0 + np.arange(40) % 3
    model = jmix.model("y ~ x + (x | a) + (1 | b)", data.assign(y=np.sin(np.arange(40))), weights=weights)
    fit: Any = SimpleNamespace(design=model.design, terms=model.terms, spec=model.spec, nobs=40, reml=reml)
    fit.theta_values, fit.sigma = np.array([0.8, -0.3, 0.5, 0.6]), 1.7
    scores = gaussian_scores(fit)
    assert scores is not None
    omegas = [lam @ lam.T for lam in fit.spec.split(fit.theta_values)]
    x, s2, w = fit.design.X, fit.sigma**2, np.diag(1.0 / weights)
    zs = []
    for term in fit.terms:
        z = np.zeros((40, len(term.levels) * len(term.columns)))
        for i, column in enumerate(term.columns):
            z[np.arange(40), term.codes * len(term.columns) + i] = column
        zs.append((z, len(term.levels)))
    relative = w + sum(z @ np.kron(np.eye(j), omega) @ z.T for (z, j), omega in zip(zs, omegas, strict=True))
    inverse = np.linalg.inv(s2 * relative)
    middle = inverse
    if reml:
        middle = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    moves = [relative] + [s2 * zs[i][0] @ np.kron(np.eye(zs[i][1]), unit) @ zs[i][0].T for i, unit in scores.directions]
    information = np.array([[0.5 * np.trace(middle @ a @ middle @ b) for b in moves] for a in moves])
    np.testing.assert_allclose(scores.information, information, rtol=1e-9)
    slope, fixed = np.array([0.3, 1.0, -0.2, 0.5, 0.7]), np.array([0.1, 0.4])
    along = sum(m * v for m, v in zip(np.linalg.solve(information, slope), moves, strict=True))
    a = middle @ along
    second, third = 0.5 * np.trace(a @ a), np.trace(a @ a @ a)
    assert scores.acceleration(slope) == pytest.approx(third / (6 * second**1.5), rel=1e-9)
    pull = x @ np.linalg.solve(x.T @ inverse @ x, fixed)
    second += pull @ inverse @ pull
    third += 3 * pull @ inverse @ along @ inverse @ pull
    assert scores.acceleration(slope, fixed) == pytest.approx(third / (6 * second**1.5), rel=1e-9)


def test_refusals(dyestuff: Any, boot: Any) -> None:
    for call, message in [
        (lambda: dyestuff.bootstrap(1), "at least 2"),
        (lambda: dyestuff.bootstrap(10, kind="cases"), "kind='cases'"),
        (lambda: dyestuff.bootstrap(10, kind="residual", conditional=True), "conditional"),
        (lambda: dyestuff.bootstrap(10, seed=-1), "seed"),
        (lambda: boot.confint(kind="exact"), "kind='exact'"),
        (lambda: boot.confint(1.5), "level"),
        (lambda: boot.plot("tau"), "tau"),
        (lambda: dyestuff.bootstrap(N, conditional=True).confint(kind="bca"), "new random effects"),
    ]:
        with pytest.raises(ModelError, match=message):
            call()
    mode = replace(dyestuff, method="MAP")
    with pytest.raises(ModelError, match="posterior"):
        mode.bootstrap(10)


def test_the_picture(boot: Any) -> None:
    figure = boot.plot(level=0.9, kind="bca")
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(boot.draws.columns)
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    share = 100 * float((boot.draws["sd_Batch__Intercept"] == 0).mean())
    assert texts == [f" {share:.0f}% at zero"]
    assert len(boot.plot("sigma").axes) == 1


# --- the test of nested models --------------------------------------------------------------------------------------
def test_the_likelihood_ratio_by_simulation(dyestuff: Any) -> None:
    smaller = jmix.lm("Yield ~ 1", jmix.load_data("Dyestuff"))
    test = dyestuff.bootstrap_test(smaller, N, seed=2)
    least = jmix.lmm("Yield ~ 1 + (1 | Batch)", jmix.load_data("Dyestuff")).loglik
    y = dyestuff.design.y
    reml = -0.5 * (29 * (np.log(2 * np.pi * np.var(y, ddof=1)) + 1) + np.log(30))
    assert test.statistic == pytest.approx(2 * (least - reml), abs=1e-8)
    assert test.p_value == pytest.approx((np.sum(test.draws >= test.statistic) + 1) / (N + 1))
    assert np.mean(test.draws < 1e-8) > 0.4  # half of a chi-squared distribution's mass lies at zero
    assert list(test.table.index) == ["chi-squared", "bootstrap"]
    again = dyestuff.bootstrap_test(smaller, N, seed=2)
    np.testing.assert_allclose(again.draws, test.draws)


def test_models_that_are_not_nested(dyestuff: Any) -> None:
    data = jmix.load_data("Dyestuff")
    smaller = jmix.lm("Yield ~ 1", data)
    for call, message in [
        (lambda: smaller.bootstrap_test(dyestuff), "not a special case"),
        (lambda: dyestuff.bootstrap_test(dyestuff), "not a special case"),
        (lambda: dyestuff.bootstrap_test(jmix.lm("Yield ~ 1", data.iloc[:-1])), "same responses"),
        (lambda: dyestuff.bootstrap_test(3), "two fits"),
    ]:
        with pytest.raises(ModelError, match=message):
            call()


@pytest.mark.slow
def test_fixed_effects_are_tested_by_maximum_likelihood() -> None:
    data = jmix.load_data("sleepstudy")
    larger = jmix.lmm("Reaction ~ Days + (1 | Subject)", data)
    data["noise"] = np.sin(np.arange(180.0))
    with_noise = jmix.lmm("Reaction ~ Days + noise + (1 | Subject)", data)
    test = with_noise.bootstrap_test(larger, 400)
    ml = [jmix.lmm(fit.formula, data, reml=False).loglik for fit in (with_noise, larger)]
    assert test.statistic == pytest.approx(2 * (ml[0] - ml[1]), abs=1e-6)
    chi = test.table.loc["chi-squared", "p_value"]
    assert abs(test.p_value - chi) < 4 * np.sqrt(chi * (1 - chi) / 400) + 0.03
    scaled = test.table.loc["Bartlett", "statistic"]
    assert scaled == pytest.approx(test.statistic / test.draws.mean(), rel=1e-10)


# --- generalized models ---------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_generalized_models() -> None:
    from jmix.results.inference.bootstrapping.bootstrap_scores import scores_of

    fit = jmix.glmm(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", jmix.load_data("cbpp"), family="binomial"
    )
    boot = fit.bootstrap(400, "icc", seed=5)
    assert list(boot.draws.columns[:5]) == [*fit.x_names, "sd_herd__Intercept"]
    np.testing.assert_allclose(boot.draws.iloc[:, 0].std(), fit.se().iloc[0], rtol=0.15)
    responses = fit.simulate(400, seed=5).to_numpy()
    scores = scores_of(fit, responses)
    # scores have mean zero, vanish at the maximum, and lead to the estimates
    z = scores.mean(axis=0) / (scores.std(axis=0) / 20)
    assert np.all(np.abs(z) < 4)
    own = scores_of(fit, fit.design.response.y[:, None])[0]
    assert np.all(np.abs(own) < 1e-5 * scores.std(axis=0))
    steps = scores @ np.linalg.inv(np.cov(scores.T))
    for j in range(4):
        assert np.corrcoef(steps[:, j], boot.draws.iloc[:, j])[0, 1] > 0.9
    assert 0.05 < boot.acceleration["sd_herd__Intercept"] < 0.25
    with pytest.warns(JmixWarning, match="few"):  # BCa reaches far into the upper tail of the sd
        assert boot.confint(kind="bca").notna().all(axis=None)
    with pytest.raises(ModelError, match="residual"):
        fit.bootstrap(10, kind="residual")
    one = jmix.glmm("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", jmix.load_data("cbpp"), family="binomial")
    test = fit.bootstrap_test(one, 100)
    assert test.p_value == pytest.approx(1 / 101) and test.table.loc["Bartlett", "p_value"] < 1e-3
