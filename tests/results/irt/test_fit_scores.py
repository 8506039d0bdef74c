"""Trait estimates: mirt 1.47 on its own estimates, and direct maximisation in plain NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from jmix.errors import DataError, ModelError
from jmix.results.irt.fit import IrtFit

FitAt = Callable[..., IrtFit]
Simulated = Callable[..., pd.DataFrame]
Mirt = Callable[[str], tuple[IrtFit, Any]]

MODELS = ("LSAT7_Rasch", "LSAT7_2PL", "Science_graded", "Science_gpcm")


# --- mirt -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["EAP", "MAP", "ML", "WLE"])
def test_scores_are_mirts(mirt_fit: Mirt, name: str, method: str) -> None:
    """Estimates to 1e-5, standard errors to 1e-4: mirt stops its optimiser early and differentiates numerically."""
    fit, mirt = mirt_fit(name)
    theirs = np.array([[np.nan if v is None else v for v in row] for row in mirt[f"{method}_first"]], dtype=float)
    ours = fit.scores(method).to_numpy()[: len(theirs)]
    infinite = np.isnan(theirs[:, 0])
    assert np.array_equal(infinite, np.isinf(ours[:, 0]))
    np.testing.assert_allclose(ours[~infinite, 0], theirs[~infinite, 0], atol=1e-5)
    np.testing.assert_allclose(ours[~infinite, 1], theirs[~infinite, 1], atol=1e-4)


def test_eap_by_pattern_is_the_references(fit_at: FitAt, reference: Any, shared_dir: Any) -> None:
    own = reference("irt")["LSAT7"]["twoPL"]
    start = {f"a1[{i}]": a for i, a in zip(own["items"], own["a"], strict=True)}
    start |= {f"d[{i}]": d for i, d in zip(own["items"], own["d"], strict=True)}
    fit = fit_at(pd.read_csv(shared_dir / "data" / "LSAT7.csv"), "2PL", start=start)
    patterns = np.array([[int(c) for c in text] for text in own["EAP"]["pattern"]])
    ours = fit.scores("EAP", patterns)
    np.testing.assert_allclose(ours["F1"], own["EAP"]["eap"], atol=1e-6)
    np.testing.assert_allclose(ours["se_F1"], own["EAP"]["sd"], atol=1e-6)


# --- brute force ----------------------------------------------------------------------------------------------------
def log_likelihood(fit: IrtFit, codes: Any, theta: Any) -> float:
    """Of one person, from the bank's table."""
    table = fit.bank().log_probabilities(np.atleast_2d(theta))[:, :, 0]
    return float(sum(table[j, k] for j, k in enumerate(codes) if k >= 0))


def with_holes(data: pd.DataFrame, share: float = 0.2, seed: int = 5) -> pd.DataFrame:
    return data.astype(float).mask(np.random.default_rng(seed).random(data.shape) < share)


def curvature(f: Callable[[float], float], at: float, h: float = 1e-3) -> float:
    """Second derivative by differences of fourth order."""
    return (-f(at + 2 * h) + 16 * f(at + h) - 30 * f(at) + 16 * f(at - h) - f(at - 2 * h)) / (12 * h * h)


def test_one_dimension_maximises_posterior_and_likelihood(fit_at: FitAt, simulated: Simulated) -> None:
    data = with_holes(simulated(n=60, j=9, categories=3))
    data.iloc[:, 0] = data.iloc[:, 0].clip(upper=1)
    types = ["3PL", "graded", "graded", "sequential", "nominal", "nominal", "graded", "graded", "graded"]
    start = {"c[i1]": 0.2, "ak1[i5]": 0.8, "d1[i5]": 0.4, "d2[i5]": 0.1}
    fit = fit_at(data, types, start=start, priors={"c": "beta(5, 17)"})
    table = fit.responses.table
    assert table is not None
    for method in ("MAP", "ML"):
        found = fit.scores(method)
        for i in range(0, 60, 6):
            theta, se = found.iloc[i]
            if not np.isfinite(theta):
                continue

            def f(t: float, codes: Any = table[i], method: str = method) -> float:
                return log_likelihood(fit, codes, t) - (0.5 * t * t if method == "MAP" else 0.0)

            grid = np.linspace(-8, 8, 33)
            best = grid[np.argmax([f(t) for t in grid])]
            exact = optimize.minimize_scalar(
                lambda t: -f(t), bounds=(best - 0.6, best + 0.6), method="bounded", options={"xatol": 1e-9}
            ).x
            assert theta == pytest.approx(exact, abs=2e-6)
            assert se == pytest.approx(1 / np.sqrt(-curvature(f, theta)), rel=1e-6)


def test_weighted_likelihood_solves_warms_equation(fit_at: FitAt, simulated: Simulated) -> None:
    """Warm (1989, eq. 7) with probabilities differentiated numerically, a 3PL test."""
    data = simulated(n=40, j=8)
    fit = fit_at(data, "3PL", start={f"c[i{k}]": 0.15 for k in range(1, 9)}, priors={"c": "beta(5, 17)"})
    found = fit.scores("WLE")["F1"].to_numpy()
    bank, h = fit.bank(), 1e-4
    codes = data.to_numpy()
    assert np.isfinite(found).all()
    for i in range(0, 40, 3):
        t = found[i]
        p = [bank.probabilities(np.array([[t + s * h]]))[:, 1, 0] for s in (-1, 0, 1)]
        first, second, mid = (p[2] - p[0]) / (2 * h), (p[2] - 2 * p[1] + p[0]) / h**2, p[1]
        weight = mid * (1 - mid)
        score = np.sum((codes[i] - mid) * first / weight)
        total = score + np.sum(first * second / weight) / (2 * np.sum(first**2 / weight))
        assert abs(total) < 1e-5 * np.sqrt(np.sum(first**2 / weight)) + 1e-6


@pytest.mark.parametrize("method", ["MAP", "ML", pytest.param("WLE", marks=pytest.mark.slow)])
def test_two_dimensions_maximise(fit_at: FitAt, simulated: Simulated, method: str) -> None:
    data = with_holes(simulated(n=50, j=12, categories=3, dimensions=2), 0.1)
    fit = fit_at(
        data, "graded", model="F1 = i1,i3,i5,i7,i9,i11\nF2 = i2,i4,i6,i8,i10,i12\nCOV = F1*F2", nodes=21,
        start={"corr[F1,F2]": 0.4},
    )  # fmt: skip
    found, table = fit.scores(method), fit.responses.table
    assert table is not None
    prior = np.linalg.inv([[1, 0.4], [0.4, 1]])
    bank = fit.bank()
    finite = np.flatnonzero(np.isfinite(found).all(axis=1))
    assert finite.size > 15
    for i in finite[:5]:

        def f(t: Any, codes: Any = table[i]) -> float:
            value = log_likelihood(fit, codes, t)
            if method == "MAP":
                return value - 0.5 * float(t @ prior @ t)
            if method == "WLE":
                info = bank.subset(np.flatnonzero(codes >= 0)).information_matrix(np.atleast_2d(t))[0]
                return value + 0.5 * float(np.linalg.slogdet(info)[1])
            return value

        options = {"xatol": 1e-8, "fatol": 1e-13}
        exact = optimize.minimize(lambda t: -f(t), np.zeros(2), method="Nelder-Mead", options=options)
        np.testing.assert_allclose(found.iloc[i, :2], exact.x, atol=5e-6)


# --- identities -----------------------------------------------------------------------------------------------------
def test_sparse_is_dense(fit_at: FitAt, simulated: Simulated) -> None:
    from dataclasses import replace

    from jmix.responses.data import Long
    from jmix.responses.read import read_responses

    wide = read_responses(with_holes(simulated(n=80, j=7, categories=3), 0.4))
    assert wide.table is not None
    person, item = np.nonzero(wide.table >= 0)
    counts = np.bincount(person, minlength=80)
    long = Long(
        item.astype(np.int32), wide.table[person, item], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    )
    sparse = replace(wide, table=None, long=long)
    fits = [fit_at(responses, "gpcm") for responses in (wide, sparse)]
    for method in ("EAP", "ML", "WLE"):
        dense_scores, sparse_scores = (fit.scores(method).to_numpy() for fit in fits)
        np.testing.assert_allclose(sparse_scores, dense_scores, atol=1e-8)


def test_small_steps_are_one_large_step(fit_at: FitAt, simulated: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    from jmix.estimate.irt import persons

    fit = fit_at(with_holes(simulated(n=100, j=7, categories=3), 0.4), "gpcm", group=np.tile(["x", "y"], 50))
    whole = fit.scores("WLE")
    monkeypatch.setattr(persons, "ENTRIES", 64)
    np.testing.assert_allclose(fit.scores("WLE"), whole, atol=1e-9)


def test_groups_and_regression_move_the_prior(fit_at: FitAt, simulated: Simulated) -> None:
    """With one nearly uninformative item the MAP estimate is the prior's mean, and so are draws on the average."""
    data = simulated(n=60, j=3)
    group = np.repeat(["x", "y"], 30)
    start = {"a1": 0.01, "mean[F1|y]": 0.7, "sd[F1|y]": 0.5}
    fit = fit_at(data, "2PL", group=group, start=start)
    found = fit.scores("MAP")
    np.testing.assert_allclose(found["F1"], np.where(group == "x", 0.0, 0.7), atol=0.02)
    np.testing.assert_allclose(found["se_F1"], np.where(group == "x", 1.0, 0.5), atol=1e-3)
    age = np.linspace(-1, 1, 60)
    start = {"a1": 0.01, "beta[F1:age]": 2.0}
    own = fit_at(data, "2PL", persons=pd.DataFrame({"age": age}), formula="~ age", start=start)
    for method in ("EAP", "MAP"):
        np.testing.assert_allclose(own.scores(method)["F1"], 2.0 * age, atol=0.02)


def test_persons_without_responses(fit_at: FitAt, simulated: Simulated) -> None:
    data = simulated(n=30, j=4).astype(float)
    data.iloc[3] = np.nan
    fit = fit_at(data, "2PL")
    for method in ("EAP", "MAP"):
        np.testing.assert_allclose(fit.scores(method).iloc[3], [0.0, 1.0], atol=1e-6)
    for method in ("ML", "WLE"):
        assert fit.scores(method).iloc[3].isna().all()
        assert not fit.scores(method).drop(index=3).isna().any().any()


def test_extreme_persons_have_infinite_ml_with_a_note(fit_at: FitAt) -> None:
    data = pd.DataFrame([[0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]], columns=list("abc"))
    found = fit_at(data, "2PL", start={"a1": 1.0}).scores("ML")
    assert found["F1"].tolist()[:2] == [-np.inf, np.inf]
    assert np.isinf(found["se_F1"][:2]).all()
    assert np.isfinite(found.iloc[2:]).all().all()
    assert "2 persons" in found.attrs["notes"][0]
    assert np.isfinite(fit_at(data, "2PL", start={"a1": 1.0}).scores("WLE")).all().all()


# --- new responses --------------------------------------------------------------------------------------------------
def test_new_responses_in_any_order_and_of_some_items(fit_at: FitAt, simulated: Simulated) -> None:
    data = simulated(n=40, j=5, categories=3)
    fit = fit_at(data, "gpcm")
    for method in ("EAP", "MAP"):
        old = fit.scores(method)
        new = fit.scores(method, data.iloc[::-1, ::-1])
        np.testing.assert_allclose(new, old.iloc[::-1], atol=1e-9)
    part = data.astype(float)
    part.iloc[:, 3:] = np.nan
    np.testing.assert_allclose(fit.scores("MAP", data.iloc[:, :3]), fit.scores("MAP", part), atol=1e-9)


def test_new_responses_that_do_not_fit_are_named(fit_at: FitAt, simulated: Simulated) -> None:
    fit = fit_at(simulated(n=40, j=4), "2PL")
    with pytest.raises(DataError, match="'zz'"):
        fit.scores("EAP", pd.DataFrame({"zz": [0, 1]}))
    with pytest.raises(DataError, match=r"i2.*7"):
        fit.scores("EAP", pd.DataFrame({"i1": [0, 1], "i2": [1, 7]}))
    with pytest.raises(DataError, match=r"'i33'.*items="):
        fit.scores("EAP", pd.DataFrame({"i1": [0, 1], "i33": [1, 0]}))
    some = pd.DataFrame({"i1": [0, 1], "age": [30, 40]})
    pd.testing.assert_frame_equal(fit.scores("EAP", some, items=["i1"]), fit.scores("EAP", some[["i1"]]))
    with pytest.raises(DataError, match="4 items"):
        fit.scores("EAP", np.zeros((2, 3), dtype=int))
    with pytest.raises(ModelError, match="group"):
        fit.scores("EAP", group=["a"])
    with pytest.raises(ModelError, match="'EAP', 'MAP'"):
        fit.scores("EPA")  # type: ignore[arg-type]


# --- plausible values -----------------------------------------------------------------------------------------------
def test_plausible_values_follow_the_posterior(fit_at: FitAt, simulated: Simulated) -> None:
    """Mid-ranks within each person's exact posterior, on a fine grid, are uniform."""
    data = with_holes(simulated(n=100, j=5, categories=3))
    fit = fit_at(data, "graded")
    draws = fit.plausible_values(20, seed=3).to_numpy()
    grid = np.linspace(-7, 7, 2801)
    table, log_p = fit.responses.table, fit.bank().log_probabilities(grid[:, None])
    assert table is not None
    u = []
    for i in range(100):
        log_density = -0.5 * grid**2 + sum(log_p[j, k] for j, k in enumerate(table[i]) if k >= 0)
        cdf = np.cumsum(np.exp(log_density - log_density.max()))
        u.append(np.interp(draws[i], grid, cdf / cdf[-1]))
    ranks = np.sort(np.ravel(u))
    assert np.abs(ranks - (np.arange(2000) + 0.5) / 2000).max() < 1.63 / np.sqrt(2000)
    np.testing.assert_array_equal(draws, fit.plausible_values(20, seed=3).to_numpy())
    assert list(fit.scores("plausible", n=2).columns) == ["PV1_F1", "PV2_F1"]
    with pytest.raises(ModelError, match="positive"):
        fit.plausible_values(0)


def test_new_persons_of_a_latent_regression(fit_at: FitAt, simulated: Simulated, tmp_path: Any) -> None:
    """The encoding of the formula codes new covariates, also after a round trip through a file."""
    import jmix

    data = simulated(n=60, j=4)
    persons = pd.DataFrame({"age": np.linspace(-1, 1, 60), "sex": np.tile(["f", "m"], 30)})
    start = {"beta[F1:age]": 0.8, "beta[F1:sexm]": -0.5}
    fit = fit_at(data, "2PL", persons=persons, formula="~ age + sex", start=start)
    old = fit.scores("MAP").iloc[7:9]
    fit.save(tmp_path / "fit.npz")
    for one in (fit, jmix.load_fit(tmp_path / "fit.npz")):
        assert isinstance(one, IrtFit)
        np.testing.assert_allclose(one.scores("MAP", data.iloc[7:9], data=persons.iloc[7:9]), old, atol=1e-8)
    with pytest.raises(DataError, match="data="):
        fit.scores("EAP", data.iloc[:2])
    table = fit.score_table()
    assert table["observed"].sum() == pytest.approx(table["expected"].sum())
    assert 0 < fit.reliability() < 1


def test_new_persons_of_groups(fit_at: FitAt, simulated: Simulated) -> None:
    data, group = simulated(n=60, j=4), np.repeat(["x", "y"], 30)
    fit = fit_at(data, "2PL", group=group, start={"mean[F1|y]": 1.0})
    found = fit.scores("EAP", data.iloc[[0, 0]], group=["y", "x"])
    assert found["F1"].iloc[0] > found["F1"].iloc[1]
    assert found["F1"].iloc[1] == pytest.approx(fit.scores()["F1"].iloc[0])
    with pytest.raises(DataError, match="'x', 'y'"):
        fit.scores("EAP", data.iloc[:1], group=["z"])
    with pytest.raises(DataError, match="group="):
        fit.scores("EAP", data.iloc[:1])
