"""The exact likelihood-ratio test of one variance component: RLRsim's numbers, and the distribution itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.estimate.inference.rlrt import simulate_lrt, spectrum

DRAWS = 20_000


@pytest.fixture(scope="module")
def trial() -> pd.DataFrame:
    """Ten subjects with few rows each: the data "few groups" of tests/r/inference_models.py."""
    rng = np.random.default_rng(8)
    s = np.repeat(np.arange(10), [3, 5, 4, 6, 2, 4, 3, 5, 4, 4])
    x = rng.normal(size=s.size)
    y = 2.0 * x + 0.5 * rng.normal(size=10)[s] + rng.normal(size=s.size)
    return pd.DataFrame({"y": y.round(4), "x": x.round(4), "s": s.astype(str)})


@pytest.mark.slow
@pytest.mark.parametrize("reml", [True, False])
def test_against_a_dense_simulation(trial: pd.DataFrame, reml: bool) -> None:
    """Responses drawn without group effects and refitted have the simulated distribution."""
    fit = jmix.lmm("y ~ x + (1 | s)", trial, reml=reml)
    test = fit.rlrt(n=DRAWS)
    Y = np.random.default_rng(2).normal(size=(len(trial), 1000))
    null = [jmix.model("y ~ x", trial.assign(y=y)).fit("reml" if reml else "ml").loglik for y in Y.T[:1]]
    X = fit.design.X
    rss = np.sum((Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]) ** 2, axis=0)
    n, p = X.shape
    nu = n - p if reml else n
    less = -0.5 * nu * (1 + np.log(2 * np.pi * rss / nu)) - (0.5 * np.linalg.slogdet(X.T @ X)[1] if reml else 0.0)
    assert less[0] == pytest.approx(null[0], rel=1e-10)
    refitted = np.maximum(2 * (fit.refit(Y).loglik.to_numpy() - less), 0.0)
    for level in (1e-6, 0.5, 1.5, 3.0):
        share, wanted = np.mean(refitted > level), np.mean(test.simulated > level)
        assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 1000)


def test_the_report(trial: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ x + (1 | s)", trial)
    test, again = fit.rlrt(n=1000, seed=3), fit.rlrt("s", n=1000, seed=3)
    assert test.p_value == again.p_value and np.array_equal(test.simulated, again.simulated)
    assert test.statistic == pytest.approx(fit.ranova().table["lrt"].iloc[1], abs=1e-8)
    assert test.p_value == pytest.approx((1 + np.sum(test.simulated >= test.statistic)) / 1001)
    assert "Exact restricted likelihood-ratio test" in str(test)


def test_a_balanced_design_has_a_closed_form() -> None:
    """J groups of m rows and an intercept: the statistic depends on one F ratio only."""
    J, m, draws = 6, 5, 4000
    projected = spectrum(np.diag(np.full(J, float(m))) - np.full((J, J), m / J))
    assert projected.values == pytest.approx([m]) and projected.total == J - 1
    got = np.sort(simulate_lrt(projected, None, J * m, 1, draws, 5))
    rng = np.random.default_rng(6)
    a, b = rng.chisquare(J - 1, 200_000), rng.chisquare(J * m - J, 200_000)
    f = (a / (J - 1)) / (b / (J * m - J))
    nu = J * m - 1
    value = nu * np.log((a + b) / nu) - (J - 1) * np.log(a / (J - 1)) - (nu - J + 1) * np.log(b / (nu - J + 1))
    wanted = np.where(f > 1, value, 0.0)
    for q in (0.6, 0.8, 0.9, 0.97):
        assert got[int(q * draws)] == pytest.approx(np.quantile(wanted, q), abs=0.25)
    assert np.mean(got == 0.0) == pytest.approx(np.mean(f <= 1), abs=0.03)


def test_what_is_refused(trial: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ x + (x | s)", trial)
    with pytest.raises(jmix.ModelError, match="one variance"):
        fit.rlrt()
    with pytest.raises(jmix.ModelError, match="choose one of"):
        fit.rlrt("t")
    with pytest.raises(jmix.ModelError, match="n=10"):
        fit.rlrt(n=10)
    with pytest.raises(jmix.ModelError, match="none"):
        jmix.lm("y ~ x", trial).rlrt()


# what RLRsim 3.1.8 says with 400,000 simulations (exactRLRT, exactLRT) of models of tests/r/inference_models.py
RLRSIM = [
    ("few groups", "y ~ t + x + (1 | s)", "trial", True, None, 3.061532423, 0.03002, 0.56571),
    ("few groups", "y ~ t + x + (1 | s)", "trial", False, None, 1.80344657, 0.03147, 0.7345625),
    ("nested", "strength ~ 1 + (1 | batch) + (1 | sample)", "Pastes", True, "batch", 0.6576559269, 0.17875, 0.547855),
    ("split plot", "y ~ variety * nitro + (1 | block) + (1 | plot)", "plots", True, "plot", 4.084781921, 0.01924,
     0.5280175),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "formula", "data", "reml", "term", "statistic", "p", "zero"),
    [RLRSIM[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in RLRSIM[1:])],
)
def test_rlrsim(
    name: str, formula: str, data: str, reml: bool, term: str | None, statistic: float, p: float, zero: float
) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "r"))
    import inference_models

    fit = jmix.lmm(formula, inference_models.data(data), reml=reml)
    test = fit.rlrt(term, n=100_000)
    assert test.statistic == pytest.approx(statistic, rel=1e-6), name
    assert abs(test.p_value - p) < 4 * np.sqrt(p * (1 - p) * (1 / 100_000 + 1 / 400_000))
    assert np.mean(test.simulated == 0.0) == pytest.approx(zero, abs=0.006)
