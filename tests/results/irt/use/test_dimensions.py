"""Tetrachoric and polychoric correlations and parallel analysis."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from jmix.errors import DataError, ModelError
from jmix.responses.data import Responses
from jmix.results.irt.dimensions import parallel_analysis
from jmix.results.irt.polychoric import bivariate_normal_cdf, correlations_of_tables, polychoric


def responses(table, **options):
    table = np.asarray(table, dtype=np.int8)
    k = table.max(axis=0) + 1
    names = tuple(f"i{j}" for j in range(table.shape[1]))
    return Responses(names, tuple(tuple(range(v)) for v in k), table, None, pd.RangeIndex(len(table)), **options)


@pytest.mark.parametrize("r", [-0.99, -0.6, 0.0, 0.3, 0.9, 0.99])
def test_bivariate_normal(r):
    for h, k in [(-1.0, 0.5), (0.3, -2.0), (2.0, 1.0), (0.4, 0.41), (10.0, 0.2), (-10.0, 1.0)]:
        want = stats.multivariate_normal(cov=[[1, r], [r, 1]]).cdf([h, k])
        np.testing.assert_allclose(bivariate_normal_cdf(h, k, r), want, atol=1e-11)


def test_maximum_of_the_likelihood_of_one_table():
    table = np.array([[20, 12, 4], [15, 30, 18], [3, 14, 40]], dtype=float)
    row = np.r_[-np.inf, stats.norm.ppf(np.cumsum(table.sum(1))[:-1] / table.sum()), np.inf]
    column = np.r_[-np.inf, stats.norm.ppf(np.cumsum(table.sum(0))[:-1] / table.sum()), np.inf]

    def minus_loglik(r):
        law = stats.multivariate_normal(cov=[[1, r], [r, 1]])
        cdf = np.array([[law.cdf([min(h, 9), min(k, 9)]) if min(h, k) > -9 else 0 for k in column] for h in row])
        return -(table * np.log(np.diff(np.diff(cdf, axis=0), axis=1))).sum()

    want = optimize.minimize_scalar(minus_loglik, bounds=(-0.9, 0.95), method="bounded", options={"xatol": 1e-9}).x
    np.testing.assert_allclose(correlations_of_tables(table[None]), [want], atol=1e-6)


def test_median_split_is_known():
    """With both thresholds at zero the correlation is sin(2 pi (p - 1/4)), p the share of (0, 0)."""
    table = np.array([[[40, 10], [10, 40]], [[25, 25], [25, 25]], [[10, 40], [40, 10]]], dtype=float)
    want = np.sin(2 * np.pi * (table[:, 0, 0] / 100 - 0.25))
    np.testing.assert_allclose(correlations_of_tables(table), want, atol=1e-8)


def test_empty_cells_and_constant_items():
    r = correlations_of_tables(np.array([[[50, 0], [10, 40]], [[0, 50], [40, 10]], [[50, 50], [0, 0]]], dtype=float))
    assert 0.9 < r[0] < 1
    assert -1 < r[1] < -0.9
    assert r[2] == 0


def test_recovers_the_correlation():
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0, 0], [[1, 0.6, 0.2], [0.6, 1, -0.4], [0.2, -0.4, 1]], size=40_000)
    table = np.stack(
        [np.digitize(x[:, 0], [0.5]), np.digitize(x[:, 1], [-1, 0.3]), np.digitize(x[:, 2], [-0.5, 0, 1])], axis=1
    )
    r = polychoric(table, [2, 3, 4])
    np.testing.assert_allclose(r[np.tril_indices(3, -1)], [0.6, 0.2, -0.4], atol=0.02)
    weights = rng.integers(0, 3, 40_000).astype(float)
    repeated = np.repeat(table, weights.astype(int), axis=0)
    np.testing.assert_allclose(polychoric(table, [2, 3, 4], weights), polychoric(repeated, [2, 3, 4]), atol=1e-12)


@pytest.mark.r
def test_equals_psych(rscript, shared_dir):
    code = (
        "suppressMessages({library(psych);library(jsonlite)});"
        f"w<-read.csv('{shared_dir}/data/gss2004_vocab.csv');w<-w[,grep('word',names(w))];"
        f"s<-read.csv('{shared_dir}/data/mirt_Science.csv');"
        "cat(toJSON(list(w=tetrachoric(w)$rho,s=polychoric(s)$rho),digits=8))"
    )
    ran = subprocess.run([rscript, "-e", code], capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode:
        pytest.skip(f"psych is not installed: {ran.stderr[-200:]}")
    want = json.loads(ran.stdout)
    words = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv").filter(like="word").to_numpy()
    science = pd.read_csv(shared_dir / "data" / "mirt_Science.csv").to_numpy() - 1
    # psych's optimiser stops at four digits
    np.testing.assert_allclose(polychoric(words, [2] * 10), want["w"], atol=2e-4)
    np.testing.assert_allclose(polychoric(science, [4] * 4), want["s"], atol=2e-4)


def two_factors(n=600, seed=1):
    rng = np.random.default_rng(seed)
    f = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], size=n)
    a = np.repeat(np.eye(2), 6, axis=0) * 1.8
    return (rng.random((n, 12)) < 1 / (1 + np.exp(-(f @ a.T)))).astype(int)


@pytest.mark.parametrize("correlation", ["polychoric", "pearson"])
def test_number_of_dimensions(correlation):
    found = parallel_analysis(responses(two_factors()), correlation=correlation, n_simulations=20)
    assert found.n_dimensions == 2
    np.testing.assert_allclose(found.eigenvalues["observed"].sum(), 12)
    one = parallel_analysis(responses(two_factors()[:, :6]), correlation=correlation, n_simulations=20)
    assert one.n_dimensions == 1
    assert "1 dimension (" in str(one)


def test_independent_items_have_none():
    table = np.random.default_rng(0).integers(0, 3, size=(500, 8))
    assert parallel_analysis(responses(table), n_simulations=20).n_dimensions == 0


def test_pearson_equals_numpy_and_missing_are_pairwise():
    table = two_factors()
    found = parallel_analysis(responses(table), correlation="pearson", n_simulations=2)
    np.testing.assert_allclose(found.matrix, np.corrcoef(table.T), atol=1e-12)
    table = table.copy()
    table[:100, 0] = -1
    found = parallel_analysis(responses(table), correlation="pearson", n_simulations=2)
    np.testing.assert_allclose(found.matrix.iloc[0, 1], np.corrcoef(table[100:, 0], table[100:, 1])[0, 1], atol=1e-12)


def test_bad_input():
    table = two_factors(100)
    table[:, 3] = 1
    with pytest.raises(DataError, match="'i3'"):
        parallel_analysis(responses(table))
    with pytest.raises(DataError, match="three items"):
        parallel_analysis(responses(two_factors(50)[:, :2]))
    with pytest.raises(ModelError, match="polychoric"):
        parallel_analysis(responses(two_factors(50)), correlation="kendall")
    with pytest.raises(ModelError, match="n_simulations"):
        parallel_analysis(responses(two_factors(50)), n_simulations=0)
