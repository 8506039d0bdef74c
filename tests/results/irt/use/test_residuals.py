"""Local dependence against mirt 1.47."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jmix.responses.data import Responses
from jmix.results.irt.residuals import dependence_matrix, local_dependence, q3, response_residuals

CASES = ["LSAT7_Rasch", "LSAT7_2PL", "Science_graded", "Science_gpcm"]


@pytest.mark.parametrize("name", CASES)
def test_q3_and_ld_equal_mirt(mirt_case, name):
    case = mirt_case(name)
    np.testing.assert_allclose(q3(case.bank, case.responses, case.theta), case.mirt["Q3"], atol=1e-6)
    pairs = local_dependence(case.bank, case.responses, case.grid)
    assert (pairs["df"] == (case.responses.n_categories[0] - 1) ** 2).all()
    want = np.array(case.mirt["LD"], dtype=float)
    np.testing.assert_allclose(dependence_matrix(pairs, case.responses.items), want, rtol=1e-6, atol=1e-6)


def test_q3_with_weights_and_missing_equals_numpy(mirt_case):
    case = mirt_case("Science_graded")
    r = case.responses
    rng = np.random.default_rng(2)
    table, w = r.table.copy(), rng.integers(1, 4, len(r.table)).astype(float)
    table[rng.random(table.shape) < 0.2] = -1
    partly = Responses(r.items, r.categories, table, None, r.persons, weights=w)
    expected = case.bank.expected(case.theta).T
    residual = np.where(table >= 0, table - expected, np.nan)
    found = q3(case.bank, partly, case.theta).to_numpy()
    for i in range(4):
        for j in range(i):
            both = np.isfinite(residual[:, i]) & np.isfinite(residual[:, j])
            pair = np.repeat(residual[both][:, [i, j]], w[both].astype(int), axis=0)
            np.testing.assert_allclose(found[i, j], np.corrcoef(pair.T)[0, 1], rtol=1e-9)


def test_centred_q3_has_mean_zero(mirt_case):
    case = mirt_case("LSAT7_2PL")
    found = q3(case.bank, case.responses, case.theta, centred=True).to_numpy()
    np.testing.assert_allclose(found[~np.eye(5, dtype=bool)].mean(), 0, atol=1e-12)


def test_items_never_answered_together(mirt_case):
    case = mirt_case("LSAT7_2PL")
    r = case.responses
    table = r.table.copy()
    table[:500, 0] = -1
    table[500:, 1] = -1
    apart = Responses(r.items, r.categories, table, None, r.persons)
    assert np.isnan(q3(case.bank, apart, case.theta).iloc[0, 1])
    pairs = local_dependence(case.bank, apart, case.grid)
    assert np.isnan(pairs.loc[(pairs["item1"] == "Item.2") & (pairs["item2"] == "Item.1"), "X2"]).all()
    assert pairs["X2"].notna().sum() == 9


def test_likelihood_ratio_and_standardized_residuals(mirt_case):
    case = mirt_case("LSAT7_2PL")
    g2, x2 = (local_dependence(case.bank, case.responses, case.grid, g2=g) for g in (True, False))
    np.testing.assert_allclose(g2["G2"], x2["X2"], rtol=0.15, atol=0.02)
    found = response_residuals(case.bank, case.responses, case.theta)
    p = case.bank.probabilities(case.theta)[:, 1].T
    np.testing.assert_allclose(found, (case.responses.table - p) / np.sqrt(p * (1 - p)), rtol=1e-9)
    assert isinstance(found, pd.DataFrame)
