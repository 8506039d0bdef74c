"""Frames, printing, prediction, simulation, comparison and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import jmix
from jmix.errors import DataError, ModelError
from jmix.results.irt.fit import IrtFit

FitAt = Callable[..., IrtFit]
Simulated = Callable[..., pd.DataFrame]


def with_vcov(fit: IrtFit, **changes: Any) -> IrtFit:
    p = fit.npar
    root = 0.1 * np.random.default_rng(0).standard_normal((p, p + 2))
    return replace(fit, solution=replace(fit.solution, vcov=root @ root.T, se_type="hessian", **changes))


# --- frames and printing --------------------------------------------------------------------------------------------
def test_frames_of_one_model(fit_at: FitAt, simulated: Simulated) -> None:
    weights = np.tile([1.0, 2.0], 30)
    fit = with_vcov(fit_at(simulated(n=60, j=4), "2PL", weights=weights))
    assert fit.nobs == 90
    assert fit.aic == pytest.approx(200 + 16)
    assert fit.bic == pytest.approx(200 + 8 * np.log(90))
    assert fit.sabic == pytest.approx(200 + 8 * np.log(92 / 24))
    tidy = fit.tidy(conf_int=True, level=0.9)
    assert tidy["term"].tolist() == list(fit.coef().index) == fit.vcov().columns.tolist()
    np.testing.assert_allclose(tidy["std_error"], np.sqrt(np.diag(fit.vcov())))
    np.testing.assert_allclose(tidy["conf_high"] - tidy["conf_low"], 2 * 1.6448536 * tidy["std_error"], rtol=1e-6)
    np.testing.assert_allclose(fit.confint(0.9), tidy[["conf_low", "conf_high"]])
    glance = fit.glance().iloc[0]
    assert (glance["npar"], glance["nobs"], glance["loglik"]) == (8, 90, -100.0)


def test_print_shows_what_matters(fit_at: FitAt, simulated: Simulated) -> None:
    fit = with_vcov(fit_at(simulated(n=60, j=4, categories=3), "graded"), notes=("item 'i1': look at it",))
    text = str(fit.summary())
    for part in ("graded item response model", "60 persons, 4 items, 240 responses", "61 nodes", "Difficulties", "i4"):
        assert part in text
    assert text.endswith("item 'i1': look at it")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert repr(fit) == text
    assert "| i4" in fit.summary().to_markdown()
    assert "tabular" in fit.summary().to_latex()
    assert "<table" in fit._repr_html_()


def test_long_tests_print_in_short(fit_at: FitAt, simulated: Simulated) -> None:
    fit = with_vcov(fit_at(simulated(n=60, j=40), "2PL"))
    text = str(fit)
    assert "15 items not shown; see fit.items()." in text
    assert "i40" in text
    assert "i25" not in text


def test_latent_table(fit_at: FitAt, simulated: Simulated) -> None:
    fit = with_vcov(
        fit_at(simulated(n=60, j=7), "2PL", model="F1 = i1-i4\nF2 = i4-i7\nCOV = F1*F2", start={"corr[F1,F2]": 0.3})
    )
    latent = fit.latent().set_index(["parameter", "term"])
    assert latent.loc[("corr", "F1,F2"), "estimate"] == pytest.approx(0.3)
    assert latent.loc[("cov", "F1,F2"), "estimate"] == pytest.approx(0.3)
    assert not latent.loc[("corr", "F1,F2"), "fixed"]
    assert latent.loc[("mean", "F1"), "fixed"]
    assert latent.loc[("var", "F2"), "se"] == 0.0


# --- prediction and simulation --------------------------------------------------------------------------------------
def test_prediction(fit_at: FitAt, simulated: Simulated) -> None:
    fit = fit_at(simulated(n=60, j=4, categories=3), "gpcm")
    probs = fit.predict([-0.5, 1.0], type="probs")
    assert probs.columns.tolist()[:3] == [("i1", 0), ("i1", 1), ("i1", 2)]
    np.testing.assert_allclose(probs.T.groupby(level=0).sum(), 1.0)
    expected = fit.predict([-0.5, 1.0])
    np.testing.assert_allclose(expected["i2"], probs["i2"] @ [0, 1, 2])
    own = fit.predict()
    assert own.shape == (60, 4)
    np.testing.assert_allclose(own.iloc[5], fit.predict([fit.scores().iloc[5, 0]]).iloc[0])
    with pytest.raises(ModelError, match="'probs'"):
        fit.predict([0.0], type="both")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="finite"):
        fit.predict([np.nan])
    with pytest.raises(ModelError, match="'WLE'"):
        fit.predict(method="ML")


def test_simulation_follows_the_model(fit_at: FitAt, simulated: Simulated) -> None:
    fit = fit_at(simulated(n=60, j=4, categories=3), "gpcm", start={"a1": 1.2})
    drawn = fit.simulate(40_000, seed=1)
    theta = np.linspace(-8, 8, 401)
    weight = np.exp(-(theta**2) / 2)
    p = fit.bank().probabilities(theta[:, None]) @ (weight / weight.sum())
    shares = np.stack([np.bincount(drawn[c], minlength=3) / 40_000 for c in drawn])
    assert np.abs(shares - p).max() < 0.012
    pd.testing.assert_frame_equal(drawn, fit.simulate(40_000, seed=1))
    at = fit.simulate(theta=np.full(20_000, 0.7), seed=2)
    own = fit.bank().probabilities(np.array([[0.7]]))[:, :, 0]
    assert np.abs(np.stack([np.bincount(at[c], minlength=3) / 20_000 for c in at]) - own).max() < 0.015
    for bad in ({"persons": 0}, {"persons": 2.5}, {"seed": -1}):
        with pytest.raises(ModelError):
            fit.simulate(**bad)


def test_simulation_keeps_persons_labels_and_gaps(fit_at: FitAt) -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "x": pd.Categorical(rng.choice(["low", "high"], 40), categories=["low", "high"], ordered=True),
            "y": rng.choice([1.0, 2.0, 3.0], 40),
            "z": rng.choice([0, 1], 40),
        },
        index=[f"p{i}" for i in range(40)],
    )
    data.loc["p3", ["x", "y"]] = None
    fit = fit_at(data, ["2PL", "graded", "2PL"])
    drawn = fit.simulate(seed=4)
    assert drawn.index.tolist() == data.index.tolist()
    assert drawn.isna().equals(data.isna())
    assert set(drawn["x"].dropna()) == {"low", "high"}
    assert set(drawn["y"].dropna()) <= {1, 2, 3}
    assert not fit.simulate(seed=4, missing=False).isna().any().any()
    again = fit.scores("EAP", drawn)
    assert again.index.tolist() == data.index.tolist()


# --- comparison -----------------------------------------------------------------------------------------------------
def test_likelihood_ratio_test(fit_at: FitAt, simulated: Simulated) -> None:
    data = simulated(n=60, j=4)
    small, large = fit_at(data, "Rasch"), fit_at(data, "2PL")
    small, large = (replace(f, solution=replace(f.solution, loglik=v)) for f, v in ((small, -110.0), (large, -104.0)))
    for table in (small.anova(large), large.anova(small)):
        assert table["npar"].tolist() == [5, 8]
        assert table["chisq"].iloc[1] == pytest.approx(12.0)
        assert table["p_value"].iloc[1] == pytest.approx(chi2.sf(12.0, 3))
        assert np.isnan(table["chisq"].iloc[0])
    with pytest.raises(ModelError, match="different responses"):
        small.anova(fit_at(simulated(n=60, j=4, seed=9), "2PL"))
    with pytest.raises(ModelError, match="two fits"):
        small.anova()


# --- files ----------------------------------------------------------------------------------------------------------
def test_saved_fits_come_back(fit_at: FitAt, simulated: Simulated, tmp_path: Path) -> None:
    persons = pd.DataFrame({"age": np.linspace(-1, 1, 60), "sex": pd.Categorical(np.tile(["f", "m"], 30))})
    binary, polytomous = simulated(n=60, j=4), simulated(n=60, j=4, categories=3)
    priors = {"c": "beta(5, 17)", "a": "lognormal(0, 0.5)"}
    cases = [
        fit_at(binary, "3PL", priors=priors, weights=np.full(60, 2.0)),
        fit_at(polytomous, ["graded", "gpcm", "nominal", "rsm"], group=np.repeat(["x", "y"], 30)),
        fit_at(binary, "2PL", persons=persons, formula="~ age + sex", start={"beta[F1:age]": 0.5}),
        fit_at(binary, "Rasch", item_data=pd.DataFrame({"x": [0.0, 1, 2, 4]}), item_formula="~ x"),
    ]
    for number, fit in enumerate(map(with_vcov, cases)):
        path = tmp_path / f"{number}.irt"
        fit.save(path)
        again = jmix.load_fit(path)
        assert isinstance(again, IrtFit)
        assert str(again) == str(fit)
        pd.testing.assert_frame_equal(again.items(), fit.items())
        pd.testing.assert_frame_equal(again.simulate(seed=5), fit.simulate(seed=5))
        pd.testing.assert_frame_equal(again.vcov(), fit.vcov())
        assert [repr(p) for p in again.spec.table.priors] == [repr(p) for p in fit.spec.table.priors]
        if fit.responses.data is not None:
            pd.testing.assert_frame_equal(again.responses.data, fit.responses.data)
        with np.load(path, allow_pickle=False) as archive:
            assert "meta" in archive.files


def test_an_estimated_density_is_used_and_saved(fit_at: FitAt, simulated: Simulated, tmp_path: Path) -> None:
    """A histogram with two peaks: sum scores, simulations, plausible values and files all follow it."""
    from jmix.likelihood.irt.density import build_density

    fit = fit_at(simulated(n=60, j=4), "2PL", start={"a1": 1.5})
    z = np.linspace(-6, 6, 61)
    weights = np.exp(-0.5 * ((z - 0.9) / 0.4) ** 2) + np.exp(-0.5 * ((z + 0.9) / 0.4) ** 2)
    marginal = build_density(fit.spec, fit.responses, fit.solution.integration, weights)
    fit = with_vcov(replace(fit, marginal=marginal))
    points, density = marginal.density(fit.solution.x)
    mass = density / density.sum()
    p = fit.bank().probabilities(points[:, None])[:, 1] @ mass
    np.testing.assert_allclose(fit.simulate(40_000, seed=1).mean(), p, atol=0.012)
    table = fit.score_table()
    assert table["expected"].sum() == pytest.approx(60)
    np.testing.assert_allclose(table["expected"] @ table["F1"] / 60, mass @ points, atol=1e-9)
    draws = fit.plausible_values(60, seed=2)
    np.testing.assert_allclose(draws.mean(axis=1), fit.scores()["F1"], atol=0.5)
    assert abs((draws.mean(axis=1) - fit.scores()["F1"]).mean()) < 0.05
    fit.save(tmp_path / "fit.npz")
    again = jmix.load_fit(tmp_path / "fit.npz")
    assert isinstance(again, IrtFit)
    pd.testing.assert_frame_equal(again.scores(), fit.scores())
    assert "empirical histogram" in str(again)


def test_saved_sparse_fits_come_back(fit_at: FitAt, simulated: Simulated, tmp_path: Path) -> None:
    from jmix.responses.data import Long
    from jmix.responses.read import read_responses

    wide = read_responses(simulated(n=30, j=4))
    assert wide.table is not None
    long = Long(np.tile(np.arange(4, dtype=np.int32), 30), wide.table.ravel(), np.arange(0, 121, 4))
    fit = fit_at(replace(wide, table=None, long=long), "2PL")
    fit.save(tmp_path / "fit.npz")
    again = jmix.load_fit(tmp_path / "fit.npz")
    assert isinstance(again, IrtFit)
    pd.testing.assert_frame_equal(again.scores("MAP"), fit.scores("MAP"))
    many = [fit.simulate(seed=k) for k in range(200)]
    assert many[0].columns.tolist() == ["person", "item", "response"]
    assert many[0]["item"].tolist() == ["i1", "i2", "i3", "i4"] * 30
    whole = fit.simulate(20_000, seed=1).mean()
    drawn = pd.concat(many).groupby("item")["response"].mean()
    np.testing.assert_allclose(drawn[whole.index], whole, atol=0.03)


def test_damaged_files_are_refused(fit_at: FitAt, simulated: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    fit_at(simulated(n=30, j=4), "2PL").save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    for name, value in (("x", np.zeros(3)), ("responses", np.zeros((30, 3), np.int8)), ("block.0.slopes", np.ones(2))):
        with path.open("wb") as file:
            np.savez(file, **(arrays | {name: value}))  # type: ignore[arg-type]
        with pytest.raises(DataError, match="damaged"):
            jmix.load_fit(path)


def test_arviz_gets_the_normal_approximation(fit_at: FitAt, simulated: Simulated) -> None:
    pytest.importorskip("arviz")
    fit = with_vcov(fit_at(simulated(n=60, j=4), "3PL", priors={"c": "beta(5, 17)"}, start={"c[i1]": 0.2}))
    data = fit.to_arviz(2000, seed=1)
    names = fit.coef().index
    drawn = np.stack([np.asarray(data.posterior[name]).ravel() for name in names], axis=1)
    free = [i for i, name in enumerate(names) if not name.startswith("c[")]
    covariance = np.cov(drawn[:, free].T)
    np.testing.assert_allclose(np.diag(covariance), np.diag(fit.vcov())[free], rtol=0.15)
    np.testing.assert_allclose(drawn[:, free].mean(axis=0), fit.coef().to_numpy()[free], atol=0.05)
    asymptotes = np.delete(drawn, free, axis=1)
    assert asymptotes.shape == (2000, 4)
    assert ((asymptotes > 0) & (asymptotes < 1)).all()
    assert data.observed_data["response"].shape == (60, 4)
    with pytest.raises(ModelError, match="draws"):
        fit.to_arviz(0)
