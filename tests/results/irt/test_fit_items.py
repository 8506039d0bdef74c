"""Item tables: difficulties and delta-method standard errors of every kind, against differences and references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.results.irt.fit import IrtFit

FitAt = Callable[..., IrtFit]
Simulated = Callable[..., pd.DataFrame]


def moved(fit: IrtFit, x: Any) -> IrtFit:
    return replace(fit, solution=replace(fit.solution, x=np.asarray(x)))


def with_vcov(fit: IrtFit, seed: int = 0) -> IrtFit:
    """A fit whose covariance is some positive definite matrix."""
    p = fit.npar
    root = 0.1 * np.random.default_rng(seed).standard_normal((p, p + 2))
    return replace(fit, solution=replace(fit.solution, vcov=root @ root.T, se_type="hessian"))


def check_by_differences(fit: IrtFit, get: Callable[[IrtFit], pd.DataFrame], value: str, se: str) -> None:
    """Standard errors equal ``sqrt(diag(J V J'))`` with J by central differences of the printed values."""
    x, h = fit.solution.x, 1e-5
    jacobian = []
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        up, down = (get(moved(fit, x + s * step))[value].to_numpy(float) for s in (1, -1))
        jacobian.append((up - down) / (2 * h))
    j = np.stack(jacobian, axis=1)
    known = np.isfinite(j).all(axis=1)
    expected = np.sqrt(np.einsum("ip,pq,iq->i", j[known], fit.solution.vcov, j[known]))
    np.testing.assert_allclose(get(fit)[se].to_numpy(float)[known], expected, rtol=1e-6, atol=1e-9)
    assert known.any()


CASES: dict[str, dict[str, Any]] = {
    "2PL": {"itemtype": "2PL"},
    "3PL": {"itemtype": "3PL", "start": {"c[i1]": 0.2, "c[i2]": 0.1}, "priors": {"c": "beta(5, 17)"}},
    "4PL": {"itemtype": "4PL", "start": {"c[i1]": 0.2, "u[i2]": 0.9}, "priors": "default"},
    "graded": {"itemtype": "graded"},
    "gpcm": {"itemtype": "gpcm"},
    "nominal": {"itemtype": "nominal"},
    "sequential": {"itemtype": "sequential"},
    "rsm": {"itemtype": "rsm"},
    "grsm": {"itemtype": "grsm"},
    "2D": {"itemtype": "graded", "model": "F1 = i1-i4\nF2 = i4-i7\nCOV = F1*F2", "start": {"corr[F1,F2]": 0.3}},
}


@pytest.mark.parametrize("case", CASES)
def test_standard_errors_by_differences(fit_at: FitAt, simulated: Simulated, case: str) -> None:
    binary = case in ("2PL", "3PL", "4PL")
    own = dict(CASES[case])
    data = simulated(n=60, j=7 if case == "2D" else 4, categories=2 if binary else 3)
    fit = with_vcov(fit_at(data, own.pop("itemtype"), **own))
    columns = [c for c in fit.items() if c != "itemtype" and not c.startswith("se_")]
    for column in columns:
        check_by_differences(fit, IrtFit.items, column, f"se_{column}")
    check_by_differences(fit, IrtFit.latent, "estimate", "se")


def test_standard_errors_of_an_item_regression(fit_at: FitAt, simulated: Simulated) -> None:
    item_data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 0.5]})
    fit = fit_at(simulated(n=60, j=4), "2PL", item_data=item_data, item_formula="~ x")
    fit = with_vcov(fit)
    for column in ("a", "d", "b"):
        check_by_differences(fit, IrtFit.items, column, f"se_{column}")


@pytest.mark.parametrize("name", ["onePL", "twoPL"])
def test_difficulties_are_the_references(fit_at: FitAt, reference: Any, shared_dir: Any, name: str) -> None:
    own = reference("irt")["LSAT7"][name]
    start = {f"d[{i}]": d for i, d in zip(own["items"], own["d"], strict=True)}
    start |= (
        {"a1": own["a"][0]} if name == "onePL" else {f"a1[{i}]": a for i, a in zip(own["items"], own["a"], strict=True)}
    )
    fit = fit_at(
        pd.read_csv(shared_dir / "data" / "LSAT7.csv"), "1PL" if name == "onePL" else "2PL", start=start, se=True
    )
    items = fit.items()
    for column in ("a", "d", "b"):
        np.testing.assert_allclose(items[column], own[column], atol=1e-9)
        np.testing.assert_allclose(items[f"se_{column}"], own[f"se_{column}"], rtol=1e-5)
    assert fit.loglik == pytest.approx(own["logLik"], abs=1e-5)
    assert fit.aic == pytest.approx(own["AIC"], abs=1e-5)
    assert fit.bic == pytest.approx(own["BIC"], abs=1e-5)


@pytest.mark.parametrize("name", ["GRM", "GPCM"])
def test_difficulties_of_categories_are_the_references(
    fit_at: FitAt, reference: Any, shared_dir: Any, name: str
) -> None:
    own = reference("irt")["Science"][name]
    d = np.array(own["intercepts"])
    d = np.cumsum(d, axis=1) if name == "GPCM" else d
    start = {f"a1[{i}]": a for i, a in zip(own["items"], own["a"], strict=True)}
    start |= {f"d{k + 1}[{i}]": d[j, k] for j, i in enumerate(own["items"]) for k in range(3)}
    fit = fit_at(
        pd.read_csv(shared_dir / "data" / "mirt_Science.csv")[own["items"]], name.replace("GRM", "graded"), start=start
    )
    np.testing.assert_allclose(fit.items()[["b1", "b2", "b3"]], own["b"], rtol=1e-7)
    np.testing.assert_allclose(fit.items()[["d1", "d2", "d3"]], d, rtol=1e-9)


def test_rating_scales_in_slope_intercept_form_are_the_same_items(fit_at: FitAt, simulated: Simulated) -> None:
    """The frame of intercepts, read as partial credit or graded items, gives the same probabilities."""
    from jmix.items.bank import ItemBank

    theta = np.linspace(-3, 3, 7)
    for kind in ("rsm", "grsm"):
        fit = fit_at(simulated(n=60, j=4, categories=4), kind)
        again = ItemBank.from_frame(fit.items())
        np.testing.assert_allclose(again.probabilities(theta), fit.bank().probabilities(theta), atol=1e-12)


def test_item_tables_by_group(fit_at: FitAt, simulated: Simulated) -> None:
    data, group = simulated(n=80, j=4), np.repeat(["x", "y"], 40)
    shared = fit_at(data, "2PL", group=group)
    assert list(shared.items().index) == list(data.columns)
    free = fit_at(data, "2PL", group=group, equal_items=["i1", "i2"], start={"d[i3|y]": 2.0})
    table = free.items()
    assert table["group"].tolist() == ["x"] * 4 + ["y"] * 4
    assert free.items("y").loc["i3", "d"] == pytest.approx(2.0)
    with pytest.raises(ModelError, match="'x', 'y'"):
        free.items("z")


def test_infinite_variances_do_not_become_nan(fit_at: FitAt, simulated: Simulated) -> None:
    fit = with_vcov(fit_at(simulated(n=60, j=4), "2PL", start={"d": 0.5}))
    vcov = np.array(fit.solution.vcov)
    vcov[0] = vcov[:, 0] = 0.0
    vcov[0, 0] = np.inf
    fit = replace(fit, solution=replace(fit.solution, vcov=vcov))
    items = fit.items()
    assert np.isinf(items.loc["i1", "se_a"])
    assert np.isinf(items.loc["i1", "se_b"])
    assert not items.isna().any().any()
    assert np.isfinite(items.loc["i2", ["se_a", "se_b", "se_d"]].to_numpy(float)).all()
    assert not fit.latent().isna().any().any()
    assert not fit.tidy(conf_int=True).isna().any().any()


def test_without_standard_errors(fit_at: FitAt, simulated: Simulated) -> None:
    fit = fit_at(simulated(n=60, j=4), "2PL")
    assert not any(c.startswith("se_") for c in fit.items())
    assert "std_error" not in fit.tidy()
    for call in (fit.se, fit.vcov, fit.confint):
        with pytest.raises(ModelError, match="se='hessian'"):
            call()


def test_asymptotes_are_probabilities_with_intervals_inside(fit_at: FitAt, simulated: Simulated) -> None:
    fit = with_vcov(fit_at(simulated(n=60, j=4), "3PL", start={"c[i2]": 0.02}, priors={"c": "beta(5, 17)"}))
    coef, limits = fit.coef(), fit.confint(0.9999)
    assert coef["c[i2]"] == pytest.approx(0.02)
    rows = [name for name in coef.index if name.startswith("c[")]
    assert len(rows) == 4
    assert ((limits.loc[rows] > 0) & (limits.loc[rows] < 1)).all().all()
    assert fit.vcov(["logit(c)[i2]"]).shape == (1, 1)
    assert fit.vcov("d[i1]").index.tolist() == ["d[i1]"]
    with pytest.raises(ModelError, match=r"c\[zz\]"):
        fit.vcov(["c[zz]"])
    with pytest.raises(ModelError, match="level"):
        fit.confint(2.0)


def test_sparse_covariance_serves(fit_at: FitAt, simulated: Simulated) -> None:
    from scipy.sparse import csr_array

    fit = with_vcov(fit_at(simulated(n=60, j=4), "2PL"))
    sparse = replace(fit, solution=replace(fit.solution, vcov=csr_array(fit.solution.vcov)))
    pd.testing.assert_frame_equal(sparse.items(), fit.items())
    pd.testing.assert_frame_equal(sparse.vcov(), fit.vcov())
    pd.testing.assert_frame_equal(sparse.tidy(conf_int=True), fit.tidy(conf_int=True))
