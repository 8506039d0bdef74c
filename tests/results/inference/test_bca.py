"""Confidence limits from draws: R's boot, a case that is known in closed form, ties."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from scipy import stats

from jmix.results.inference.bootstrapping import bca


def made_up() -> tuple[np.ndarray, np.ndarray]:
    """Skew draws and influence values, the same in R."""
    k = np.arange(1, 1000)
    return 3.0 * np.abs(np.sin(k)) ** 3 * (1 + k % 7), np.cos(np.arange(1, 31)) ** 3 + 0.1


# boot 1.3-28: boot.ci(conf = 0.95, type = c("norm", "basic", "perc", "bca"), L = L) of made_up() with t0 = 4
R_LIMITS = {
    "normal": (-7.85729256057, 13.69188062630),
    "basic": (-10.66167957615, 7.99933466775),
    "percentile": (6.65332252006e-04, 18.6616795762),
    "bca": (0.00588423778126, 20.74475275830588),
}


def ours(level: float) -> dict[str, bca.Limits]:
    """The same by jmix."""
    draws, influence = made_up()
    a = float(np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5))
    return {
        "normal": bca.normal(draws, 4.0, level),
        "basic": bca.basic(draws, 4.0, level),
        "percentile": bca.percentile(draws, level),
        "bca": bca.bca(draws, 4.0, a, level),
    }


@pytest.mark.parametrize("kind", R_LIMITS)
def test_limits_are_those_of_r_boot(kind: str) -> None:
    np.testing.assert_allclose(ours(0.95)[kind][:2], R_LIMITS[kind], rtol=1e-10)


@pytest.mark.r
def test_limits_against_r_live(rscript: str) -> None:
    code = """
    library(boot); k <- 1:999; x <- 3 * abs(sin(k))^3 * (1 + k %% 7); L <- cos(1:30)^3 + 0.1
    b <- list(t0 = 4, t = matrix(x), R = 999, data = matrix(0, 30, 1), sim = "ordinary", stype = "i",
              call = quote(boot()), strata = rep(1, 30), weights = rep(1 / 30, 30)); class(b) <- "boot"
    for (level in c(0.8, 0.95)) {
      ci <- boot.ci(b, conf = level, type = c("norm", "basic", "perc", "bca"), L = L)
      for (v in list(ci$normal, ci$basic, ci$percent, ci$bca)) cat(format(rev(rev(v)[1:2]), digits = 12), "\\n")
    }"""
    out = subprocess.run([rscript, "-e", code], capture_output=True, text=True, check=True).stdout
    theirs = np.array(out.split(), dtype=float).reshape(2, 4, 2)
    for level, block in zip((0.8, 0.95), theirs, strict=True):
        np.testing.assert_allclose([limits[:2] for limits in ours(level).values()], block, rtol=1e-9, atol=1e-11)


def test_a_normal_variance_has_its_known_limits() -> None:
    """Efron 1987: for s^2 ~ sigma^2 chi^2_nu / nu, z0 and a are known, and BCa nearly gives the exact interval."""
    nu = 19
    draws = stats.chi2.ppf((np.arange(200_000) + 0.5) / 200_000, nu) / nu
    a = np.sqrt(2.0) / (3.0 * np.sqrt(nu))
    z0 = stats.norm.ppf(stats.chi2.cdf(nu, nu))
    assert a == pytest.approx(0.1081, abs=1e-4)  # the number in Efron's paper
    assert bca.bias_correction(draws, 1.0) == pytest.approx(z0, abs=1e-4)
    moved = z0 + stats.norm.ppf([0.05, 0.95])
    expected = stats.chi2.ppf(stats.norm.cdf(z0 + moved / (1 - a * moved)), nu) / nu
    limits = bca.bca(draws, 1.0, a, 0.90)
    np.testing.assert_allclose(limits[:2], expected, rtol=1e-4)
    exact = nu / stats.chi2.ppf([0.95, 0.05], nu)
    np.testing.assert_allclose(limits[:2], exact, rtol=0.005)
    assert abs(bca.percentile(draws, 0.90).upper / exact[1] - 1) > 0.1  # what the correction is for


def test_ties_count_half_and_one_sided_draws_have_no_limits() -> None:
    draws = np.repeat([0.0, 1.0, 2.0], [60, 20, 20])
    assert bca.bias_correction(draws, 0.0) == pytest.approx(stats.norm.ppf(0.3))
    assert bca.bias_correction(draws, 1.0) == pytest.approx(stats.norm.ppf(0.7))
    assert np.isnan(bca.bca(draws, 3.0, 0.0, 0.95).lower)
    assert bca.bca(draws, 1.0, 0.0, 0.95).upper == 2.0
    assert bca.percentile(np.arange(10.0), 0.99).extreme and not bca.percentile(np.arange(999.0), 0.95).extreme


def test_studentized_limits_are_exact_for_a_known_pivot() -> None:
    rng = np.random.default_rng(4)
    z, se = rng.standard_t(5, size=99_999), rng.uniform(0.5, 2.0, 99_999)
    limits = bca.studentized(3.0 + se * z, se, 3.0, 0.7, 0.9)
    np.testing.assert_allclose(limits[:2], 3.0 + 0.7 * stats.t.ppf([0.05, 0.95], 5), atol=0.02)
