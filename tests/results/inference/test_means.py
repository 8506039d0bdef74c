"""Means, slopes, comparisons and hypotheses against formulas by hand; refusals; posteriors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special

import jmix
from jmix.errors import DataError, ModelError
from jmix.results.inference.fixed.fixed_tests import fixed_tests
from jmix.results.inference.means.adjust import adjusted_p, critical_values, stepwise
from jmix.results.inference.means.maximum import maximum_p
from jmix.results.inference.means.studentized import range_ppf, range_sf

sys.path.insert(0, str(Path(__file__).parent))
import means_cases


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return means_cases.cells()


@pytest.fixture(scope="module")
def linear(cells: pd.DataFrame) -> Any:
    return jmix.lmm("y ~ f * h + x + I(x^2) + log(z) + (1 | g)", cells)


@pytest.fixture(scope="module")
def herds() -> Any:
    data = jmix.load_data("cbpp").assign(age=lambda d: 0.1 * np.arange(len(d)) % 1.7)
    return jmix.glmm("cbind(incidence, size - incidence) ~ period + age + (1 | herd)", data, family="binomial"), data


@pytest.fixture(scope="module")
def inflated() -> Any:
    data = means_cases.seizures()
    zero = np.random.RandomState(1).uniform(size=len(data)) < 0.25
    data = data.assign(y=np.where(zero, 0, data["y"]), offset=np.log(data["time"]))
    fit = jmix.glmm("y ~ trt + lbase", data, family="poisson", zi="~ trt", offset=data["offset"].to_numpy())
    return fit, data


# --- averages over the data -----------------------------------------------------------------------------------------
def test_average_comparison_is_a_difference_of_mean_matrices(linear: Any, cells: pd.DataFrame) -> None:
    def rows(**values: Any) -> Any:
        return linear.design.encoding.encode(cells.assign(**values), random=False).X

    own = linear.comparisons({"f": "pairwise", "x": 0.5}, by="h").table
    L = [
        (rows(f=b) - rows(f=a))[cells["h"] == h].mean(axis=0)
        for a, b in (("f0", "f1"), ("f0", "f2"), ("f1", "f2"))
        for h in ("h0", "h1")
    ]
    L += [(rows(x=cells["x"] + 0.5) - rows())[cells["h"] == h].mean(axis=0) for h in ("h0", "h1")]
    expected = fixed_tests(linear).contrasts(np.array(L))
    columns = ["estimate", "std_error", "df", "statistic", "p_value"]
    np.testing.assert_allclose(own[columns], expected[columns], rtol=1e-9, atol=1e-14)


def test_average_slope_is_the_derivative(linear: Any, cells: pd.DataFrame) -> None:
    b = linear.fixef()
    x, z = cells["x"].mean(), cells["z"]
    average = linear.slopes(["x", "z"], average=True).table["estimate"]
    np.testing.assert_allclose(average, [b["x"] + 2 * b["I(x^2)"] * x, b["log(z)"] * (1 / z).mean()], rtol=1e-9)
    at = linear.slopes("z", at={"z": [0.01, 0.5, 9.0]})
    np.testing.assert_allclose(at.table["estimate"], b["log(z)"] / np.array([0.01, 0.5, 9.0]), rtol=1e-9)
    np.testing.assert_allclose(at.table["std_error"], linear.se()["log(z)"] / np.array([0.01, 0.5, 9.0]), rtol=1e-9)


def test_slopes_of_splines_on_their_knots(cells: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ bs(x, knots=c(0, 1)) + (1 | g)", cells)
    own = fit.slopes("x", at={"x": [0.0, 1.0, 0.4]}).table["estimate"]
    h = 1e-3

    def at(x: float) -> float:
        return float(fit.predict(pd.DataFrame({"x": [x]}), conditional=False).iloc[0])

    # a cubic between knots is recovered exactly from four points on one side of each
    for x, slope in zip((0.0, 1.0, 0.4), own, strict=True):
        values = [at(x + k * h) for k in range(4)]
        assert slope == pytest.approx(
            (-11 * values[0] + 18 * values[1] - 9 * values[2] + 2 * values[3]) / (6 * h), abs=1e-8
        )


def numeric(function: Any, point: np.ndarray) -> np.ndarray:
    steps = 1e-5 * np.eye(point.size)
    return np.array([(function(point + s) - function(point - s)) / 2e-5 for s in steps]).T


def test_comparisons_of_probabilities(herds: Any) -> None:
    fit, data = herds
    encode = fit.base.encoding.encode

    def value(x: np.ndarray) -> np.ndarray:
        beta = x[: len(fit.beta)]
        p = [special.expit(encode(data.assign(period=v), random=False).X @ beta).mean() for v in ("1", "2", "3", "4")]
        return np.array([p[1] - p[0], p[2] - p[0], p[3] - p[0]])

    own = fit.comparisons("period").table
    J = numeric(value, fit.solution.x)
    np.testing.assert_allclose(own["estimate"], value(fit.solution.x), rtol=1e-10)
    np.testing.assert_allclose(own["std_error"], np.sqrt(np.diag(J @ fit.solution.vcov @ J.T)), rtol=1e-6)
    ratio = fit.comparisons({"period": ("1", "4")}, ratio=True).table.iloc[0]
    q = fit.predictions(at={"period": ["1", "4"]}).table["estimate"]
    assert ratio["estimate"] == pytest.approx(q[1] / q[0])


def test_population_averages_by_quadrature(herds: Any) -> None:
    fit, _ = herds
    X = np.array([[1.0, 0, 0, 0, fit.base.X[:, 4].mean()], [1.0, 1, 0, 0, fit.base.X[:, 4].mean()]])

    def value(x: np.ndarray) -> np.ndarray:
        def one(eta: float) -> float:
            return integrate.quad(lambda t: special.expit(eta + x[5] * t) * np.exp(-t * t / 2), -9, 9, epsabs=1e-13)[0]

        return np.array([one(eta) for eta in X @ x[:5]]) / np.sqrt(2 * np.pi)

    own = fit.means("period", type="response", population_averaged=True)
    J = numeric(value, fit.solution.x)
    np.testing.assert_allclose(own.table["estimate"][:2], value(fit.solution.x), rtol=1e-9)
    np.testing.assert_allclose(own.table["std_error"][:2], np.sqrt(np.diag(J @ fit.solution.vcov @ J.T)), rtol=1e-6)
    assert ((own.table["lower"] > 0) & (own.table["upper"] < 1)).all()


def test_zero_inflated_response_and_an_offset_array(inflated: Any) -> None:
    fit, data = inflated
    X = fit.base.encoding.encode(data, random=False).X
    placebo = (data["trt"] == "placebo").to_numpy()
    V = np.column_stack([np.ones(len(data)), ~placebo])

    def mean(x: np.ndarray) -> np.ndarray:
        rate = np.exp(X @ x[fit.parts.slices["cond"]] + data["offset"].to_numpy())
        y = (1 - special.expit(V @ x[fit.parts.slices["zi"]])) * rate
        return np.array([y[placebo].mean(), y[~placebo].mean()])

    own = fit.predictions("trt").table
    J = numeric(mean, fit.solution.x)
    np.testing.assert_allclose(own["estimate"], mean(fit.solution.x), rtol=1e-10)
    np.testing.assert_allclose(own["std_error"], np.sqrt(np.diag(J @ fit.solution.vcov @ J.T)), rtol=1e-6)
    link = fit.means("trt").table["estimate"]
    b = fit.fixef()
    base = b["(Intercept)"] + b["lbase"] * data["lbase"].mean() + data["offset"].mean()
    np.testing.assert_allclose(
        link, [base + b["trtprogabide"] * (t == "progabide") for t in fit.means("trt").labels["trt"]]
    )
    zero = fit.means("trt", type="zi").table["estimate"]
    np.testing.assert_allclose(zero, special.expit(fit.fixef("zi").to_numpy() @ np.array([[1, 1], [0, 1]])), rtol=1e-10)


# --- hypotheses -----------------------------------------------------------------------------------------------------
def test_linear_hypotheses_are_exact(linear: Any) -> None:
    own = linear.hypothesis(["2 * ff1 - hh1 = 1", "x = 0"])
    L = np.zeros((2, len(linear.beta)))
    L[0, linear.x_names.index("ff1")], L[0, linear.x_names.index("hh1")] = 2, -1
    L[1, linear.x_names.index("x")] = 1
    expected = fixed_tests(linear).contrasts(L, np.array([1.0, 0.0]))
    np.testing.assert_allclose(own.table["estimate"], expected["estimate"] - [1, 0], rtol=1e-10)
    np.testing.assert_allclose(own.table[["std_error", "df"]], expected[["std_error", "df"]], rtol=1e-9)
    np.testing.assert_allclose(own.table[["statistic", "p_value"]], expected[["statistic", "p_value"]], rtol=1e-8)
    joint = fixed_tests(linear).joint(L, np.array([1.0, 0.0]))
    np.testing.assert_allclose(
        own.test(joint=True).table.iloc[0], [joint.df1, joint.df2, joint.statistic, joint.p_value], rtol=1e-6
    )
    one = linear.hypothesis("x > 0").table.iloc[0]
    t = expected.iloc[1]
    assert one["p_value"] == pytest.approx(special.stdtr(t["df"], -t["statistic"]))


def test_hypotheses_about_variances() -> None:
    fit = jmix.lmm("Yield ~ 1 + (1 | Batch)", jmix.load_data("Dyestuff"))
    own = fit.hypothesis(["sigma = 0", "sd_Batch__Intercept^2 = 0", "log(Intercept) = 7"]).table
    s2, t2, m, J = fit.sigma**2, fit.varcorr()["vcov"][0], 5, 6
    # balanced one-way layout, REML: the mean squares are independent multiples of chi-squared
    within, between = 2 * s2**2 / (J * (m - 1)), 2 * (s2 + m * t2) ** 2 / (J - 1)
    assert own["std_error"][0] == pytest.approx(np.sqrt(within) / (2 * fit.sigma), rel=1e-6)
    assert own["std_error"][1] == pytest.approx(np.sqrt((within + between) / m**2), rel=1e-6)
    assert own["std_error"][2] == pytest.approx(fit.se().iloc[0] / fit.beta[0], rel=1e-8)
    assert np.isinf(own["df"][:2]).all() and own["df"][2] == pytest.approx(J - 1, rel=1e-5)


def test_hypotheses_about_generalized_models(herds: Any) -> None:
    fit, _ = herds
    own = fit.hypothesis(["exp(period2) = 1", "sd_herd__Intercept = 0.5"]).table
    assert own["estimate"][0] == pytest.approx(np.exp(fit.beta[1]) - 1)
    assert own["std_error"][0] == pytest.approx(np.exp(fit.beta[1]) * fit.se().iloc[1], rel=1e-8)
    assert own["std_error"][1] == pytest.approx(np.sqrt(fit.solution.vcov[5, 5]), rel=1e-8)


# --- adjustment -----------------------------------------------------------------------------------------------------
def test_the_largest_of_two_is_dunnetts() -> None:
    from scipy.stats import multivariate_t

    R = np.array([[1.0, 0.5], [0.5, 1.0]])
    for t, v in ((1.3, 6.0), (2.5, 11.5)):
        box = multivariate_t.cdf([t, t], shape=R, df=v, lower_limit=[-t, -t], maxpts=50_000, random_state=1)
        assert maximum_p(np.full(2, t), np.full(2, v), R)[0] == pytest.approx(1 - box, rel=3e-3)


def test_the_largest_difference_is_tukeys() -> None:
    C = np.array([[1.0, -1, 0, 0], [1, 0, -1, 0], [1, 0, 0, -1], [0, 1, -1, 0], [0, 1, 0, -1], [0, 0, 1, -1]])
    R, df, t = C @ C.T / 2, np.full(6, 9.3), np.array([0.5, 1.0, 2.0, 3.0, 6.0, 12.0])
    exact = adjusted_p(t, df, "tukey", 4, R)
    np.testing.assert_allclose(maximum_p(t, df, R), exact, rtol=3e-3)
    np.testing.assert_allclose(
        critical_values(0.95, df, "mvt", 4, R), critical_values(0.95, df, "tukey", 4, R), rtol=1e-3
    )


def test_studentized_range() -> None:
    from scipy.stats import studentized_range

    for q, k, v in ((0.5, 3, 2.0), (3.5, 4, 7.3), (6.0, 20, 40.0), (4.0, 2.7, 300.0)):
        assert range_sf(q, k, v) == pytest.approx(studentized_range.sf(q, k, v), abs=1e-10)
    assert range_sf(25.0, 2, 20.0) == pytest.approx(2 * special.stdtr(20.0, -25.0 / np.sqrt(2)), rel=1e-7)
    assert range_sf(range_ppf(0.9, 5, np.inf), 5, np.inf) == pytest.approx(0.1)


def test_stepwise_skips_what_is_missing() -> None:
    p = np.array([0.01, np.nan, 0.04, 0.03])
    np.testing.assert_allclose(stepwise(p, "holm"), [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(stepwise(p, "fdr"), [0.03, np.nan, 0.04, 0.04])


# --- what can be asked ----------------------------------------------------------------------------------------------
def test_a_contrast_of_estimable_parts_is_estimable(cells: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ f * k + (1 | g)", cells)
    means = fit.means(["f", "k"])
    assert np.isnan(means.table["estimate"]).sum() == 1 and "cannot be estimated" in str(means)
    pairs = means.pairs().table
    assert np.isnan(pairs["p_value"]).sum() == 5 and (pairs["p_value"].dropna() <= 1).all()
    # what the empty cell stands for cancels from the sum over both cells of its factor's difference
    own = means.contrast({"a": {"f0 k0": 1, "f1 k0": -1}}).table
    assert own["estimate"][0] == pytest.approx(means.table["estimate"][0] - means.table["estimate"][1])


def test_saved_and_read_again(linear: Any, tmp_path: Path) -> None:
    linear.save(tmp_path / "fit.npz")
    again = jmix.load_fit(tmp_path / "fit.npz")
    pd.testing.assert_frame_equal(again.means("f").pairs().table, linear.means("f").pairs().table)
    pd.testing.assert_frame_equal(again.slopes("z", average=True).table, linear.slopes("z", average=True).table)


def test_joint_test_is_that_of_the_contrasts(linear: Any) -> None:
    pairs = linear.means("f").pairs()
    expected = fixed_tests(linear).joint(pairs.L[:2])
    own = pairs.test(joint=True).table.iloc[0]
    np.testing.assert_allclose(
        [own["F"], own["df2"], own["p_value"]], [expected.statistic, expected.df2, expected.p_value], rtol=1e-6
    )
    assert own["df1"] == 2


def test_coded_numbers_and_truth_values(cells: pd.DataFrame) -> None:
    fit = jmix.lmm("y ~ factor(two) + flag + (1 | g)", cells.assign(flag=cells["x"] > 0.5))
    assert fit.means("two").labels["two"].tolist() == [1.0, 3.0]
    assert fit.means("flag", at={"flag": [True]}).labels["flag"].tolist() == ["TRUE"]
    with pytest.raises(ModelError, match="makes a factor of two"):
        fit.slopes("two")
    with pytest.raises(DataError, match="has no level 2; it has 1, 3"):
        fit.means("two", at={"two": 2})


REFUSALS = [
    (lambda f: f.means("F"), "Did you mean 'f'"),
    (lambda f: f.means("g"), "is a grouping factor"),
    (lambda f: f.means("f", at={"f": ["f9"]}), "the factor f has no level 'f9'"),
    (lambda f: f.means("f", at={"x": ["a"]}), "x is numeric"),
    (lambda f: f.means("f", weights=[1, 2, 3]), "give 2 positive numbers, for the combinations of h"),
    (lambda f: f.means("f", type="probs"), "generalized"),
    (lambda f: f.means("f", population_averaged=True), "already averaged"),
    (lambda f: f.slopes("f"), "f is a factor, which has no slope"),
    (lambda f: f.means("f").pairs(by="h"), "by='h' is no column"),
    (lambda f: f.means("f").contrast("trt.vs.ctrl", ref="zz"), "ref='zz' is none of the means"),
    (lambda f: f.means("f").contrast({"a": [1, 2]}), "needs 3 weights"),
    (lambda f: f.means("f").pairs(adjust="tuckey"), "adjust='tuckey'"),
    (lambda f: f.comparisons({"x": "pairwise"}), "x is numeric"),
    (lambda f: f.comparisons({"f": ("f0", "f9")}), "no level 'f9'"),
    (lambda f: f.hypothesis("Days = 1"), "no parameter 'Days'"),
    (lambda f: f.means("f").draws, "a fit has L"),
]


@pytest.mark.parametrize(("ask", "message"), REFUSALS)
def test_refusals(linear: Any, ask: Any, message: str) -> None:
    with pytest.raises((ModelError, DataError), match=message):
        ask(linear)


def test_singular_fits_refuse_only_variances(cells: pd.DataFrame) -> None:
    noise = cells.assign(y=np.random.RandomState(3).standard_normal(len(cells)))
    noise["y"] -= noise.groupby("g")["y"].transform("mean")
    fit = jmix.lmm("y ~ f + (1 | g)", noise)
    assert fit.singular and np.isfinite(fit.means("f").pairs().table["p_value"]).all()
    with pytest.raises(ModelError, match="singular"):
        fit.hypothesis("sd_g__Intercept = 1")


def test_pictures(linear: Any, herds: Any) -> None:
    figure = linear.means("f", by="h").plot(comparisons=True)
    assert len(figure.axes) == 2 and figure.axes[0].get_title(loc="left") == "h = h0"
    ratios = herds[0].means("period", type="response").pairs().plot()
    assert ratios.axes[0].get_xscale() == "log"


# --- posteriors -----------------------------------------------------------------------------------------------------
def test_means_of_draws(make_posterior: Any) -> None:
    post = make_posterior("Reaction ~ Days + I(Days^2) + (1 | Subject)", jmix.load_data("sleepstudy"), draws=50)
    beta = post.draws.beta.reshape(-1, 3)
    means = post.means("Days", at={"Days": [0, 9]}, estimate="median", interval="hdi")
    expected = beta @ np.array([[1, 0, 0], [1, 9, 81]]).T
    np.testing.assert_allclose(means.draws, expected, rtol=1e-12)
    np.testing.assert_allclose(means.table["estimate"], np.median(expected, axis=0))
    difference = means.pairs()
    np.testing.assert_allclose(difference.draws[:, 0], expected[:, 0] - expected[:, 1])
    assert difference.table["prob_direction"][0] == pytest.approx((difference.draws < 0).mean())
    slopes = post.slopes("Days", average=True)
    np.testing.assert_allclose(slopes.draws[:, 0], beta[:, 1] + 9.0 * beta[:, 2], rtol=1e-8)
    np.testing.assert_allclose(
        post.comparisons({"Days": (0, 9)}).draws[:, 0], expected[:, 1] - expected[:, 0], rtol=1e-9
    )
    with pytest.raises(ModelError, match="no p values"):
        means.test()
    with pytest.raises(ModelError, match="a posterior has draws"):
        _ = means.L
