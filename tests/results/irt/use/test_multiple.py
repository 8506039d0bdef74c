"""Adjusted p-values against R's p.adjust, and the RMSEA's interval against the distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jmix.errors import ModelError
from jmix.results.irt.multiple import adjusted, chi_squared_p, rmsea, rmsea_interval

P = [0.01, 0.04, 0.03, 0.005, 0.6, 0.03]


@pytest.mark.parametrize(
    ("method", "want"),
    [  # p.adjust(p, method) in R 4.2
        ("holm", [0.05, 0.12, 0.12, 0.03, 0.6, 0.12]),
        ("BH", [0.03, 0.048, 0.045, 0.03, 0.6, 0.045]),
        ("bonferroni", [0.06, 0.24, 0.18, 0.03, 1.0, 0.18]),
        ("none", P),
    ],
)
def test_adjusted_as_in_r(method, want):
    np.testing.assert_allclose(adjusted(P, method), want, rtol=1e-12)
    with_nan = adjusted([*P, np.nan], method)
    np.testing.assert_allclose(with_nan[:-1], want, rtol=1e-12)
    assert np.isnan(with_nan[-1])


def test_unknown_method():
    with pytest.raises(ModelError, match="holm"):
        adjusted(P, "tukey")


def test_interval_of_the_rmsea():
    low, high = rmsea_interval(60.0, 20, 500)
    for value, tail in ((low, 0.95), (high, 0.05)):
        np.testing.assert_allclose(stats.ncx2.cdf(60.0, 20, value**2 * 20 * 499), tail, rtol=1e-8)
    assert rmsea_interval(5.0, 20, 500)[0] == 0.0
    np.testing.assert_allclose(rmsea(60.0, 20, 500), np.sqrt(2 / 499))
    assert np.isnan(rmsea(3.0, 0, 500))
    assert np.isnan(chi_squared_p(3.0, 0))
