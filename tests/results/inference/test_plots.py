"""Pictures of a fit: what is on them, not how the pixels fall."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError, JmixError, ModelError
from jmix.results import figure as look
from jmix.results.fit import Fit
from jmix.results.glmm_fit import GlmmFit
from jmix.results.inference.plots.parts import boxes, short_labels, smooth
from jmix.results.inference.plots.ranef import standardised_modes
from jmix.results.inference.plots.shrinkage import ellipse, pooling

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error::UserWarning")


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    return jmix.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep: pd.DataFrame) -> Fit:
    return jmix.lmm("Reaction ~ Days + (Days | Subject)", sleep)


@pytest.fixture(scope="module")
def intercepts(sleep: pd.DataFrame) -> Fit:
    data = sleep.assign(z=np.arange(180) % 7)
    return jmix.lmm("Reaction ~ Days + z + (1 | Subject)", data)


@pytest.fixture(scope="module")
def sites(sleep: pd.DataFrame) -> pd.DataFrame:
    site = (pd.factorize(sleep["Subject"])[0] // 6).astype(str)
    return sleep.assign(age=np.arange(180) % 13, sex=np.where(np.arange(180) % 3 == 0, "f", "m"), site=site)


@pytest.fixture(scope="module")
def nested(sites: pd.DataFrame) -> Fit:
    return jmix.lmm("Reaction ~ poly(Days, 2) + age + sex + (1 | site/Subject)", sites)


def titles(figure: Any) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def labels(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def rendered(figure: Any) -> bytes:
    """The picture; a layout that does not fit would warn."""
    figure.set_dpi(30)
    return bytes(figure._repr_png_())


# --- fixed effects --------------------------------------------------------------------------------------------------
def test_fixed_effects(fit: Fit) -> None:
    figure = fit.plot_fixef(0.9, intercept=True, df="none")
    panel, texts = figure.axes
    assert labels(panel.yaxis) == ["(Intercept)", "Days"]
    bounds = fit.fixef().to_numpy()[:, None] + np.outer(fit.se(), [-1.6448536269514722, 1.6448536269514722])
    np.testing.assert_allclose([s[:, 0] for s in panel.collections[0].get_segments()], bounds, rtol=1e-7)
    np.testing.assert_array_equal(panel.lines[0].get_xdata(), fit.fixef())
    assert texts.texts[1].get_text().startswith("10.5 [")
    assert labels(fit.plot_fixef().axes[0].yaxis) == ["Days"]
    rendered(figure)


def test_odds_ratios(glmm_fit: Callable[[str], GlmmFit]) -> None:
    fit = glmm_fit("cbpp")
    figure = fit.plot_fixef(exponentiate=True, sort=True)
    panel = figure.axes[0]
    assert labels(panel.yaxis) == ["period2", "period3", "period4"]
    np.testing.assert_allclose(panel.lines[0].get_xdata(), np.exp(fit.fixef()[1:]))
    assert panel.get_xscale() == "log" and "Odds ratios" in panel.get_xlabel()
    rendered(figure)


# --- random effects -------------------------------------------------------------------------------------------------
def test_a_caterpillar_has_levels_in_order(fit: Fit) -> None:
    figure = fit.plot_ranef(level=0.8)
    left, right = figure.axes
    modes, sds = fit.ranef()["Subject"], fit.ranef_sd()["Subject"]
    order = modes["(Intercept)"].sort_values().index
    assert labels(left.yaxis) == [str(level) for level in order]
    assert titles(figure) == ["(Intercept)", "Days"]
    for axes, column in ((left, "(Intercept)"), (right, "Days")):
        points = next(line for line in axes.lines if len(line.get_xdata()) == 18)
        np.testing.assert_array_equal(points.get_xdata(), modes.loc[order, column])
        pale, strong = (np.array(c.get_segments()).reshape(-1, 2, 2) for c in axes.collections)
        half = 1.2815515655446004 * sds.loc[order, column].to_numpy()
        ends = np.concatenate([pale, strong])
        ends = ends[np.argsort(ends[:, 0, 1])]
        centre = modes.loc[order, column].to_numpy()
        np.testing.assert_allclose(ends[:, :, 0], np.stack([centre - half, centre + half], 1), rtol=1e-6)
        assert len(strong) == np.sum(np.abs(centre) > half)
    rendered(figure)


def test_all_grouping_factors(nested: Fit) -> None:
    figure = nested.plot_ranef()
    assert [len(labels(axes.yaxis)) for axes in figure.axes] == [18, 3]
    assert titles(nested.plot_qq_ranef()) == ["Subject:site: (Intercept)", "site: (Intercept)"]
    assert len(nested.plot_ranef("site").axes) == 1
    rendered(figure)


def test_many_levels_have_no_labels(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmix.results.inference.plots.ranef.MOST_LABELS", 17)
    axes = fit.plot_ranef().axes[0]
    assert axes.get_yticks().size == 0
    assert axes.get_ylabel() == "18 levels of Subject"
    assert sum(len(c.get_segments()) for c in axes.collections) == 18


def test_standardised_modes(fit: Fit, intercepts: Fit) -> None:
    """With equal groups a mode is a multiple of a mean residual, and has variance sd^2 times that multiple."""
    one, n = intercepts, 10
    variance = one.cov_terms()[0][0, 0]
    share = variance / (variance + one.sigma**2 / n)
    expected = one.modes["Subject"][:, 0] / np.sqrt(variance * share)
    np.testing.assert_allclose(standardised_modes(one, "Subject")[:, 0], expected, rtol=1e-8)
    axes = fit.plot_qq_ranef(columns="Days").axes[0]
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), np.sort(standardised_modes(fit, "Subject")[:, 1]))
    assert axes.lines[1].get_xdata()[0] == pytest.approx(-1.9145058)  # qnorm(0.5 / 18)


# --- shrinkage ------------------------------------------------------------------------------------------------------
def test_shrinkage_in_the_plane(fit: Fit, sleep: pd.DataFrame) -> None:
    figure = fit.plot_shrinkage()
    axes = figure.axes[0]
    own, coef = jmix.lmlist("Reaction ~ Days | Subject", sleep).coef(), fit.coef()["Subject"]
    unpooled, partial, population = (line for line in axes.lines if not line.get_label().startswith("_"))
    np.testing.assert_allclose(unpooled.get_xydata(), own, rtol=1e-9)
    np.testing.assert_allclose(partial.get_xydata(), coef, rtol=1e-9)
    np.testing.assert_allclose(population.get_xydata()[0], fit.fixef())
    arrows = axes.collections[0]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), coef.to_numpy() - own.to_numpy(), rtol=1e-8)
    assert [text.get_text() for text in axes.texts] == [str(level) for level in coef.index]
    rendered(figure)


def test_an_ellipse_holds_its_share() -> None:
    cov = np.array([[4.0, 1.0], [1.0, 2.0]])
    x, y = ellipse(np.array([1.0, -2.0]), cov, 0.95)
    d = np.stack([x - 1.0, y + 2.0])
    np.testing.assert_allclose(np.einsum("ij,ik,kj->j", d, np.linalg.inv(cov), d), 5.991465, rtol=1e-6)


def test_shrinkage_of_one_column(fit: Fit) -> None:
    figure = fit.plot_shrinkage(columns="Days")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert len(lines) == 18
    pooled = fit.fixef()["Days"]
    for line, partial in zip(lines, fit.coef()["Subject"]["Days"], strict=True):
        assert line.get_ydata()[1:].tolist() == pytest.approx([partial, pooled])
    rendered(figure)


def test_separate_estimates_beside_other_terms(sleep: pd.DataFrame, intercepts: Fit) -> None:
    """With another covariate: separate regressions of what it leaves; of balanced intercepts these are means."""
    model, data = intercepts, sleep.assign(z=np.arange(180) % 7)
    unpooled, partial, pooled = pooling(model, "Subject")
    rest = data["Reaction"] - model.fixef()["Days"] * data["Days"] - model.fixef()["z"] * data["z"]
    np.testing.assert_allclose(unpooled[:, 0], rest.groupby(data["Subject"].astype(str)).mean(), rtol=1e-10)
    np.testing.assert_allclose(partial, model.coef()["Subject"][["(Intercept)"]], rtol=1e-10)
    assert pooled == pytest.approx(model.fixef()["(Intercept)"])


# --- fitted lines ---------------------------------------------------------------------------------------------------
def test_lines_are_predictions(fit: Fit, sleep: pd.DataFrame) -> None:
    figure = fit.plot_lines(levels=["308", "335"])
    assert titles(figure) == ["308", "335"]
    own = jmix.lmlist("Reaction ~ Days | Subject", sleep).coef()
    for axes, level in zip(figure.axes, ("308", "335"), strict=True):
        points, population, unpooled, partial = axes.lines
        rows = sleep[sleep["Subject"].astype(str) == level]
        np.testing.assert_array_equal(points.get_xydata(), rows[["Days", "Reaction"]])
        at = pd.DataFrame({"Days": partial.get_xdata(), "Subject": level})
        np.testing.assert_allclose(partial.get_ydata(), fit.predict(at), rtol=1e-10)
        np.testing.assert_allclose(population.get_ydata(), fit.predict(at, conditional=False), rtol=1e-10)
        expected = own.loc[level, "(Intercept)"] + own.loc[level, "Days"] * at["Days"]
        np.testing.assert_allclose(unpooled.get_ydata(), expected, rtol=1e-10)
    assert len(fit.plot_lines(n=5).axes) == 5
    rendered(figure)


def test_lines_with_other_variables_and_nested_groups(sites: pd.DataFrame, nested: Fit) -> None:
    """Others are at their mean or most frequent level in the group; an outer factor's effect counts."""
    model, data = nested, sites
    figure = model.plot_lines("Days", "Subject:site", n=3)
    assert "3 of 18 levels" in figure._suptitle.get_text()
    for axes in figure.axes:
        level = axes.get_title("left")
        rows = data[(data["Subject"].astype(str) + ":" + data["site"]) == level]
        partial = axes.lines[3]
        at = pd.DataFrame({"Days": partial.get_xdata(), "age": rows["age"].mean(), "sex": rows["sex"].mode()[0],
                           "Subject": rows["Subject"].iloc[0], "site": rows["site"].iloc[0]})  # fmt: skip
        np.testing.assert_allclose(partial.get_ydata(), model.predict(at), rtol=1e-9)
        quadratic = np.polynomial.Polynomial.fit(rows["Days"], rows["Reaction"], 2)
        np.testing.assert_allclose(axes.lines[2].get_ydata(), quadratic(at["Days"].to_numpy()), rtol=1e-8)


def test_curves_of_a_generalized_model(glmm_fit: Callable[[str], GlmmFit]) -> None:
    fit = glmm_fit("cbpp")
    figure = fit.plot_lines("period", levels=["1"])
    axes = figure.axes[0]
    points, population, partial = axes.lines
    at = pd.DataFrame({"period": ["1", "2", "3", "4"], "herd": "1"})
    np.testing.assert_allclose(partial.get_ydata(), fit.predict(at), rtol=1e-10)
    np.testing.assert_allclose(population.get_ydata(), fit.predict(at, conditional=False), rtol=1e-10)
    rows = jmix.load_data("cbpp").query("herd == '1'")
    np.testing.assert_allclose(points.get_ydata(), rows["incidence"] / rows["size"])
    assert labels(axes.xaxis) == ["1", "2", "3", "4"]
    rendered(figure)


# --- residuals ------------------------------------------------------------------------------------------------------
def test_residuals(fit: Fit, glmm_fit: Callable[[str], GlmmFit]) -> None:
    figure = fit.plot_residuals()
    against, quantiles, scale, by_group = figure.axes
    scaled = fit.residuals("scaled").to_numpy()
    np.testing.assert_array_equal(against.lines[0].get_xydata(), np.stack([fit.fitted(), scaled], 1))
    np.testing.assert_allclose(quantiles.lines[1].get_ydata(), np.sort(scaled / scaled.std()))
    np.testing.assert_array_equal(scale.lines[0].get_ydata(), np.sqrt(np.abs(scaled)))
    assert len(labels(by_group.xaxis)) == 18
    rendered(figure)
    general = glmm_fit("cbpp")
    again = general.plot_residuals(seed=3).axes[0].lines[0]
    np.testing.assert_array_equal(again.get_ydata(), general.residuals("quantile", seed=3))


def test_residuals_of_least_squares(sleep: pd.DataFrame) -> None:
    model = jmix.lm("Reaction ~ Days", sleep)
    assert titles(model.plot_residuals())[3] == "Distribution"
    with pytest.raises(ModelError, match="no random effects"):
        model.plot_ranef()


def test_a_local_line_follows_a_straight_one() -> None:
    x = np.random.default_rng(0).normal(size=200)
    at, values = smooth(x, 3 - 2 * x)
    np.testing.assert_allclose(values, 3 - 2 * at, atol=1e-10)
    assert smooth(np.ones(9), np.arange(9.0))[0].size == 0


# --- raw data -------------------------------------------------------------------------------------------------------
def test_raw_data_by_group(sleep: pd.DataFrame) -> None:
    figure = jmix.plot_groups(sleep, "Reaction", "Days", "Subject", n=4)
    means = sleep.groupby(sleep["Subject"].astype(str))["Reaction"].mean().sort_values()
    assert titles(figure)[0] == means.index[0] and titles(figure)[-1] == means.index[-1]
    own = jmix.lmlist("Reaction ~ Days | Subject", sleep).coef()
    for axes in figure.axes:
        line = own.loc[axes.get_title("left")]
        np.testing.assert_allclose(axes.lines[1].get_ydata(), line["(Intercept)"] + line["Days"] * np.array([0, 9]))
    rendered(figure)


def test_spaghetti_and_distributions(sleep: pd.DataFrame) -> None:
    lines = jmix.plot_groups(sleep.sample(frac=1, random_state=0), "Reaction", "Days", "Subject", kind="lines").axes[0]
    assert len(lines.lines) == 19
    assert all(np.all(np.diff(line.get_xdata()) > 0) for line in lines.lines)
    np.testing.assert_allclose(lines.lines[-1].get_ydata(), sleep.groupby("Days")["Reaction"].mean())
    figure = jmix.plot_groups(sleep, "Reaction", None, "Subject")
    medians = sleep.groupby(sleep["Subject"].astype(str))["Reaction"].median().sort_values(kind="stable")
    assert labels(figure.axes[0].xaxis) == medians.index.tolist()
    rendered(figure)


def test_boxes_have_quartiles() -> None:
    axes = look.new_figure((4, 3)).subplots()
    part = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 30.0])
    boxes(axes, [part], wide=True)
    reach, box = (c.get_segments()[0][:, 1].tolist() for c in axes.collections)
    assert box == np.quantile(part, [0.25, 0.75]).tolist()
    assert reach == [1.0, 5.0] and axes.lines[1].get_ydata().tolist() == [30.0]


def test_labels_keep_what_tells_them_apart() -> None:
    long = [f"patient number {i} of the clinic in the north" for i in (7, 8)]
    assert short_labels(long, 16) == ["…7…", "…8…"]
    assert short_labels(["a", "b"], 16) == ["a", "b"]
    assert len(short_labels(["x" * 50], 16)[0]) <= 16


def test_odd_names_fit(sleep: pd.DataFrame) -> None:
    odd = "a $group$ with_a name ^ of many words"
    data = sleep.rename(columns={"Subject": odd})
    data[odd] = "patient $" + data[odd].astype(str) + "$ of the clinic in the north"
    fit = jmix.lmm(f"Reaction ~ Days + (Days | `{odd}`)", data)
    group = fit.spec.groups[0]
    for figure in (fit.plot_ranef(), fit.plot_shrinkage(), fit.plot_lines(n=2), fit.plot_residuals()):
        rendered(figure)
    assert labels(fit.plot_ranef(group).axes[0].yaxis)[0].startswith("…$3")


# --- refusals -------------------------------------------------------------------------------------------------------
REFUSED: dict[str, Callable[[Fit, Fit], Any]] = {
    "no grouping factor 'x'; there are: Subject": lambda fit, _: fit.plot_ranef("x"),
    "have no column 'x'": lambda fit, _: fit.plot_ranef(columns="x"),
    "choose the grouping factor: group='Subject:site'": lambda _, nested: nested.plot_lines(),
    "no such variable; it has Days": lambda fit, _: fit.plot_lines("x"),
    "there is no level 'x'": lambda fit, _: fit.plot_lines(levels=["x"]),
    "n=0": lambda fit, _: fit.plot_lines(n=0),
    "level=95": lambda fit, _: fit.plot_ranef(level=95),
    "figsize=3": lambda fit, _: fit.plot_residuals(figsize=3),  # type: ignore[arg-type]
    "component='zi'": lambda fit, _: fit.plot_fixef(component="zi"),
    "exponentiate=True is for": lambda fit, _: fit.plot_fixef(exponentiate=True),
    "choose one or two columns": lambda fit, _: fit.plot_shrinkage(columns=["Days", "Days", "Days"]),
    "type='x'": lambda fit, _: fit.plot_residuals(type="x"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_refused(message: str, fit: Fit, nested: Fit) -> None:
    with pytest.raises(ModelError, match=re.escape(message)):
        REFUSED[message](fit, nested)


def test_what_does_not_serve_is_refused(
    sleep: pd.DataFrame, fit: Fit, glmm_fit: Callable[[str], GlmmFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="separate least-squares regressions"):
        glmm_fit("cbpp").plot_shrinkage()
    with pytest.raises(DataError, match="no column 'z'"):
        jmix.plot_groups(sleep, "Reaction", "z", "Subject")
    with pytest.raises(ModelError, match="kind='x'"):
        jmix.plot_groups(sleep, "Reaction", "Days", "Subject", kind="x")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(JmixError, match=r"pip install 'jmix\[plots\]'"):
        fit.plot_ranef()
