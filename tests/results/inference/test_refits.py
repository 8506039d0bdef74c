"""Batches of refits: the same answers as one by one, as arrays and as light fits; nothing silently wrong."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError
from jmix.estimate.inference import glmm_refit, glmm_refit_search
from jmix.estimate.inference.watch import Watch
from jmix.results.glmm_fit import GlmmFit
from jmix.results.glmm_refit import GlmmRefits
from jmix.results.refits import Refits

COUNT = 60


@pytest.fixture(scope="module")
def cbpp() -> GlmmFit:
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return jmix.glmm(formula, jmix.load_data("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def refits(cbpp: GlmmFit) -> GlmmRefits:
    many = cbpp.refit(cbpp.simulate(COUNT, seed=11))
    assert isinstance(many, GlmmRefits)
    return many


@pytest.fixture(scope="module")
def sleepstudy() -> Refits:
    fit = jmix.lmm("Reaction ~ Days + (Days | Subject)", jmix.load_data("sleepstudy"))
    many = fit.refit(fit.simulate(COUNT, seed=5))
    assert isinstance(many, Refits)
    return many


def assert_same(one: Any, many: Any) -> None:
    """A fit by itself and one of a batch."""
    se = one.se().to_numpy()
    assert (one.converged, one.singular) == (many.converged, many.singular)
    assert np.max(np.abs(one.beta - many.beta) / se) < 1e-5
    assert abs(one.loglik - many.loglik) < 1e-6
    np.testing.assert_allclose(many.theta_values, one.theta_values, atol=1e-6)
    np.testing.assert_allclose(many.se(), se, rtol=1e-4)


# --- generalized ----------------------------------------------------------------------------------------------------
def test_a_batch_gives_what_single_fits_give(cbpp: GlmmFit, refits: GlmmRefits) -> None:
    singular = np.flatnonzero(refits.singular)
    assert refits.converged.all() and singular.size > 0
    for i in [0, 17, COUNT - 1, int(singular[0])]:
        one = cbpp.refit(refits.responses[:, i])
        assert_same(one, refits[i])
        np.testing.assert_allclose(refits[i].ranef()["herd"], one.ranef()["herd"], atol=1e-5)
        np.testing.assert_allclose(refits[i].vcov("all"), one.vcov("all"), rtol=1e-4, atol=1e-8)


def test_members_are_fits_without_a_new_search(refits: GlmmRefits) -> None:
    began = time.perf_counter()
    sds = [float(refits[i].varcorr()["sdcor"].iloc[0]) for i in range(COUNT)]
    assert time.perf_counter() - began < 1e-2 * COUNT
    np.testing.assert_allclose(refits.parameters()["sd_herd__Intercept"], sds)
    assert list(refits.parameters().columns) == [*refits.fit.x_names, "sd_herd__Intercept"]
    member = refits[-1]
    assert isinstance(member, GlmmFit) and member.loglik == refits.loglik.iloc[-1]
    assert str(member.summary()).count("period") >= 3
    assert "Laplace" in str(member)
    np.testing.assert_allclose(member.se(), refits.se().iloc[-1])
    with pytest.raises(IndexError):
        refits[COUNT]


def test_an_interrupt_keeps_what_is_done(cbpp: GlmmFit, monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(Watch):
        def advance(self, count: int) -> None:
            if count:
                raise KeyboardInterrupt

    y = cbpp.simulate(COUNT, seed=11).to_numpy()
    shared = glmm_refit.refitter(cbpp.objective, cbpp.solution)
    done = glmm_refit.refit_many(shared, y, Impatient())
    assert done.interrupted and 0 < len(done) < COUNT
    whole = glmm_refit.refit_many(shared, y)
    np.testing.assert_allclose(done.x, whole.x[done.rows], atol=1e-6)


def test_separated_responses_are_flagged() -> None:
    """A plain binary regression: one response separated by x, one constant, one ordinary."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=80)
    frame = pd.DataFrame({"x": x, "y": (x + rng.logistic(size=80) > 0).astype(float)})
    fit = jmix.glmm("y ~ x", frame, family="bernoulli")
    many = fit.refit(np.column_stack([frame["y"], x > 0, np.zeros(80)]))
    assert many.converged.tolist() == [True, False, False]
    assert_same(fit, many[0])
    assert "separation" in many.messages[1] and 0 not in many.messages
    assert not many[1].converged and np.all(np.isnan(many.se().iloc[1]))


def test_bad_responses_are_refused(cbpp: GlmmFit) -> None:
    good = cbpp.simulate(2, seed=0)
    with pytest.raises(DataError, match="56 values"):
        cbpp.refit(good.iloc[:10])
    with pytest.raises(DataError, match="missing or infinite"):
        cbpp.refit(good.astype(float).shift(1))
    with pytest.raises(DataError, match="new response"):
        cbpp.refit(good - 100)


def test_lanes_that_fail_go_on_one_by_one(cbpp: GlmmFit, refits: GlmmRefits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glmm_refit_search, "MOST", 3)
    again = cbpp.refit(refits.responses[:, :3])
    np.testing.assert_allclose(again.loglik, refits.loglik[:3], atol=1e-6)
    np.testing.assert_allclose(again.fixef(), refits.fixef()[:3], atol=1e-5)


# --- linear ---------------------------------------------------------------------------------------------------------
def test_linear_members_are_the_single_fits(sleepstudy: Refits) -> None:
    singular = np.flatnonzero(sleepstudy.singular)
    for i in [0, 31, *singular[:1].tolist()]:
        one, member = sleepstudy.fit.refit(sleepstudy.responses[:, i]), sleepstudy[i]
        assert_same(one, member)
        np.testing.assert_allclose(member.vcov(), one.vcov(), rtol=1e-5)
        np.testing.assert_allclose(member.sigma, one.sigma, rtol=1e-6)
        np.testing.assert_allclose(member.solution.hessian, one.solution.hessian, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(member.ranef()["Subject"], one.ranef()["Subject"], atol=1e-3)


def test_linear_parameters_are_those_of_the_members(sleepstudy: Refits) -> None:
    table = sleepstudy.parameters()
    assert list(table.columns)[2:] == [
        "sd_Subject__Intercept",
        "sd_Subject__Days",
        "cor_Subject__Intercept__Days",
        "sigma",
    ]
    for i in (0, 9):
        np.testing.assert_allclose(table.iloc[i, 2:], sleepstudy[i].varcorr()["sdcor"])
    np.testing.assert_allclose(sleepstudy.se().iloc[3], sleepstudy[3].se())


def test_least_squares_in_a_batch_is_exact() -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=40), "w": rng.uniform(0.5, 2, 40)}).assign(y=rng.normal(size=40))
    fit = jmix.lm("y ~ x", frame, weights="w")
    y = rng.normal(size=(40, 3)) + 1e3
    many = fit.refit(y)
    for i in range(3):
        one = fit.refit(y[:, i])
        np.testing.assert_allclose(many[i].beta, one.beta, rtol=1e-9)
        np.testing.assert_allclose(many[i].vcov(), one.vcov(), rtol=1e-9)
        assert many[i].sigma == pytest.approx(one.sigma, rel=1e-9) and many[i].loglik == pytest.approx(one.loglik)
        assert many[i].test_df == fit.test_df


# --- families -------------------------------------------------------------------------------------------------------
def _data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    n, groups = 240, 24
    g = np.repeat(np.arange(groups), n // groups)
    x = rng.normal(size=n)
    eta = 0.3 + 0.5 * x + 0.7 * rng.normal(size=groups)[g] + 0.3 * rng.normal(size=groups)[g] * x
    mu = 1 / (1 + np.exp(-eta))
    return pd.DataFrame(
        {
            "g": g.astype(str),
            "h": np.tile(np.arange(8), n // 8).astype(str),
            "x": x,
            "binary": (rng.random(n) < mu).astype(float),
            "count": rng.poisson(np.exp(eta)).astype(float),
            "nb": rng.poisson(np.exp(eta) * rng.gamma(2, 0.5, n)).astype(float),
            "zi": np.where(rng.random(n) < 0.3, 0.0, rng.poisson(np.exp(eta))),
            "share": np.clip(rng.beta(mu * 8, (1 - mu) * 8), 1e-6, 1 - 1e-6),
            "ordered": np.digitize(eta + rng.logistic(size=n), [-1, 0.5, 2]),
        }
    )


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "quadrature": ("binary ~ x + (1 | g)", {"family": "bernoulli", "n_agq": 7}),
    "slopes": ("count ~ x + (x | g)", {"family": "poisson"}),
    "uncorrelated": ("count ~ x + (x || g)", {"family": "poisson"}),
    "dispersion": ("nb ~ x + (1 | g)", {"family": "nbinom2"}),
    "at the Poisson limit": ("count ~ x + (1 | g)", {"family": "nbinom2"}),
    "dispersion formula": ("nb ~ x + (1 | g)", {"family": "nbinom2", "disp": "~ x"}),
    "beta": ("share ~ x + (1 | g)", {"family": "beta"}),
    "thresholds": ("ordered ~ x + (1 | g)", {"family": "cumulative"}),
    "zeros": ("zi ~ x + (1 | g)", {"family": "poisson", "zi": "~ 1"}),
    "hurdle": ("zi ~ x + (1 | g)", {"family": "poisson", "hurdle": "~ x"}),
    "crossed": ("binary ~ x + (1 | g) + (1 | h)", {"family": "bernoulli"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_family_and_structure(case: str) -> None:
    """The search by itself, on the same layout, is an independent route to the same optimum."""
    formula, options = CASES[case]
    fit = jmix.glmm(formula, _data(), **options)
    many = fit.refit(fit.simulate(40, seed=3))
    assert isinstance(many, GlmmRefits) and len(many) == 40
    own = many.solutions
    chosen = {0, 7, 23, 39, *np.flatnonzero(own.singular)[:3].tolist(), *np.flatnonzero(~own.converged)[:2].tolist()}
    for i in sorted(chosen):
        one = many.shared.one(many.responses[:, i])
        assert one is not None
        assert (one.status.converged, one.status.singular) == (own.converged[i], own.singular[i])
        if one.status.converged:
            se = np.sqrt(np.diag(own.vcov[i]))
            np.testing.assert_array_equal(np.isnan(one.se), np.isnan(se))
            usable = np.isfinite(one.se)
            assert np.max(np.abs(one.x - own.x[i])[usable] / one.se[usable]) < 1e-5
            np.testing.assert_allclose(se[usable], one.se[usable], rtol=1e-3)
            assert abs(one.loglik - own.loglik[i]) < 1e-6
    assert np.isfinite(many.parameters().loc[own.converged].iloc[:, :2].to_numpy()).all()


@pytest.mark.slow
def test_a_category_that_never_occurs_has_no_fit() -> None:
    fit = jmix.glmm("ordered ~ x", _data(), family="cumulative")
    y = fit.simulate(3, seed=1).apply(lambda s: s.astype(str).astype(float)).to_numpy().copy()
    y[:, 1] = np.where(y[:, 1] == 3, 2, y[:, 1])
    many = fit.refit(y)
    assert many.converged.tolist() == [True, False, True]
    assert np.isnan(many.loglik.iloc[1]) and "never occurs" in many.messages[1]
