"""Plots of a posterior: what is on them, not how the pixels fall."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import JmixError, ModelError
from jmix.results import figure as look
from jmix.results.density_curve import density_curve, ranges
from jmix.results.parameter_choice import chosen
from jmix.results.posterior import Posterior

pytest.importorskip("matplotlib")
pytestmark = pytest.mark.filterwarnings("error::UserWarning")

NAMES = [
    "(Intercept)", "Days", "sd_Subject__Intercept", "sd_Subject__Days", "cor_Subject__Intercept__Days", "sigma",
]  # fmt: skip


def diverged(post: Posterior, *draws: int) -> Posterior:
    """The posterior with divergences of the second chain at these draws."""
    diverging = np.zeros(post.draws.shape, bool)
    diverging[1, list(draws)] = True
    return replace(post, draws=replace(post.draws, stats=replace(post.draws.stats, diverging=diverging)))


@pytest.fixture(scope="module")
def near_zero(fake_posterior: Posterior) -> Posterior:
    """Draws of a standard deviation that piles up at zero, and of a correlation that piles up at 1."""
    rng, (chol,) = np.random.default_rng(1), fake_posterior.draws.chol
    chol = chol.copy()
    chol[..., 0, 0] = np.abs(rng.normal(size=chol.shape[:2]))
    chol[..., 1, 1] = 1e-3 * rng.random(chol.shape[:2])
    return replace(fake_posterior, draws=replace(fake_posterior.draws, chol=(chol,)))


def titles(figure: Any) -> list[str]:
    return [axes.get_title("left") or axes.get_title() for axes in figure.axes]


def rendered(figure: Any) -> bytes:
    """The picture; a layout that does not fit would warn."""
    figure.set_dpi(30)
    return bytes(figure._repr_png_())


# --- choosing -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, NAMES),
        ("b", NAMES[:2]),
        (["sigma", "sd"], [NAMES[5], *NAMES[2:4]]),
        (["cor", "b_Days", "Days"], [NAMES[4], NAMES[1]]),
        ("Intercept", NAMES[:1]),
    ],
)
def test_names_and_classes_of_parameters(asked: Any, found: list[str], fake_posterior: Posterior) -> None:
    assert chosen(fake_posterior, asked) == found


def test_an_unknown_parameter_is_named(fake_posterior: Posterior) -> None:
    with pytest.raises(ModelError, match=r"no parameter 'Dayz'\. Did you mean 'Days'"):
        fake_posterior.plot_density(["sd", "Dayz"])
    with pytest.raises(ModelError, match="names none"):
        fake_posterior.plot_trace([])


# --- densities and their ranges -------------------------------------------------------------------------------------
def test_a_density_is_not_lost_beyond_its_bound() -> None:
    draws = np.abs(np.random.default_rng(0).normal(size=20_000))
    grid, density = density_curve(draws, (0.0, np.inf))
    assert grid[0] >= 0.0
    exact = np.sqrt(2 / np.pi) * np.exp(-0.5 * grid**2)
    np.testing.assert_allclose(density[grid < 2], exact[grid < 2], atol=0.05)
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.01)


def test_a_density_comes_down_where_there_is_no_bound() -> None:
    grid, density = density_curve(np.random.default_rng(0).normal(1e9, 1e-3, 500), (-np.inf, np.inf))
    assert density[[0, -1]].max() < 0.02 * density.max()
    assert np.trapezoid(density, grid - 1e9) == pytest.approx(1.0, abs=0.01)


def test_a_heavy_tail_does_not_hide_the_rest() -> None:
    draws = np.random.default_rng(0).standard_cauchy(20_000)
    grid, density = density_curve(draws, (-np.inf, np.inf))
    assert grid.max() < 40 < draws.max()
    middle = np.abs(grid) < 3
    np.testing.assert_allclose(density[middle], 1 / (np.pi * (1 + grid[middle] ** 2)), atol=0.02)


@pytest.mark.parametrize("draws", [np.ones(50), np.array([1.0, 2.0]), np.full(9, np.nan)])
def test_no_density_where_there_is_nothing_to_estimate(draws: np.ndarray) -> None:
    grid, density = density_curve(draws, (0.0, np.inf))
    assert grid.size == density.size == 0


def test_ranges_follow_the_priors(fake_posterior: Posterior) -> None:
    assert ranges(fake_posterior) == dict(
        zip(NAMES, [(-np.inf, np.inf)] * 2 + [(0, np.inf)] * 2 + [(-1, 1), (0, np.inf)], strict=True)
    )
    priors = {
        "b_Days": "uniform(0, 30)", "sd_Subject__Days": "uniform(1, 40)", "sigma": "uniform(0.0001, 0.04) on precision",
        "sd_Subject__Intercept": "gamma(1, 0.01) on variance",
    }  # fmt: skip
    model = jmix.model(fake_posterior.formula, jmix.load_data("sleepstudy"), priors=priors)
    found = ranges(replace(fake_posterior, priors=model.priors))
    assert found["(Intercept)"] == (-np.inf, np.inf)
    assert found["Days"] == (0, 30)
    assert found["sd_Subject__Intercept"] == (0, np.inf)
    assert found["sd_Subject__Days"] == (1, 40)
    assert found["sigma"] == pytest.approx((5, 100))


# --- the plots ------------------------------------------------------------------------------------------------------
def test_traces_of_every_chain(fake_posterior: Posterior) -> None:
    figure = diverged(fake_posterior, 7, 90).plot_trace()
    axes = np.array(figure.axes).reshape(-1, 2)
    assert [a.get_title("left") for a in axes[:, 0]] == NAMES
    for row, name in zip(axes, NAMES, strict=True):
        draws = fake_posterior[name]
        density, (*traces, rug) = row[0].lines, row[1].lines
        assert len(density) == len(traces) == 4
        for line, values in zip(traces, draws, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), values)
        assert rug.get_xdata().tolist() == [8, 91]
    assert [t.get_text() for t in figure.legends[0].get_texts()][-2:] == ["chain 4", "2 divergences"]
    assert type(figure.canvas).__name__ == "FigureCanvasBase"
    assert rendered(figure).startswith(b"\x89PNG")


def test_without_divergences_there_is_no_rug(fake_posterior: Posterior) -> None:
    figure = fake_posterior.plot_trace("Days", figsize=(5, 2))
    assert len(figure.axes[1].lines) == 4
    assert tuple(figure.get_size_inches()) == (5, 2)


def test_densities_with_their_interval(near_zero: Posterior) -> None:
    figure = near_zero.plot_density(prob=0.8, point="mean")
    assert titles(figure) == NAMES
    for axes, name in zip(figure.axes, NAMES, strict=True):
        curve, interval, point = axes.lines
        draws = near_zero[name]
        np.testing.assert_allclose(interval.get_xdata(), np.quantile(draws, [0.1, 0.9]))
        assert point.get_xdata() == pytest.approx(draws.mean())
        low, high = ranges(near_zero)[name]
        assert low <= curve.get_xdata().min() and curve.get_xdata().max() <= high
        assert f"[{look.number(np.quantile(draws, 0.1), draws.std())}, " in axes.get_xlabel()
    assert figure._supxlabel.get_text() == "Mean and 80% interval"
    rendered(figure)


def test_pairs_below_the_diagonal(fake_posterior: Posterior) -> None:
    figure = diverged(fake_posterior, 3).plot_pairs(["b", "sigma"], kind="scatter")
    assert len(figure.axes) == 6
    cloud, special = figure.axes[1].lines
    np.testing.assert_array_equal(cloud.get_xdata(), fake_posterior["(Intercept)"].reshape(-1))
    np.testing.assert_array_equal(cloud.get_ydata(), fake_posterior["Days"].reshape(-1))
    assert special.get_ydata().tolist() == [fake_posterior["Days"][1, 3]]
    assert [a.get_xlabel() for a in figure.axes[-3:]] == ["(Intercept)", "Days", "sigma"]
    assert [figure.axes[i].get_ylabel() for i in (1, 3)] == ["Days", "sigma"]
    rendered(figure)
    hexagons = fake_posterior.plot_pairs(["Days", "sigma"], kind="hexbin").axes[1].collections[0]
    assert hexagons.get_array().sum() > 0


def test_forest_by_class_of_parameter(fake_posterior: Posterior) -> None:
    figure = fake_posterior.plot_forest(prob=0.9, inner=0.4)
    assert titles(figure)[::2] == ["Intercept", "Regression coefficients", "Standard deviations", "Correlations"]
    spreads = figure.axes[4]
    assert [t.get_text() for t in spreads.get_yticklabels()] == [NAMES[2], NAMES[3], NAMES[5]]
    for lines, prob in zip(spreads.collections, (0.9, 0.4), strict=True):
        ends = [segment[:, 0].tolist() for segment in lines.get_segments()]
        expected = [np.quantile(fake_posterior[n], [0.5 - prob / 2, 0.5 + prob / 2]) for n in (*NAMES[2:4], NAMES[5])]
        np.testing.assert_allclose(ends, expected)
    judged = fake_posterior.diagnostics.loc["Days"]
    assert [t.get_text() for t in figure.axes[3].texts] == [f"{judged['rhat']:.3f}", f"{judged['ess_bulk']:.0f}"]
    assert len(fake_posterior.plot_forest("sd", diagnostics=False).axes) == 1
    rendered(figure)


def test_a_caterpillar_has_the_levels_in_order(fake_posterior: Posterior) -> None:
    rng = np.random.default_rng(2)
    effects = rng.normal(size=(4, 250, 18, 2)) + np.arange(18)[:, None] * np.array([1.0, -1.0])
    post = replace(fake_posterior, draws=replace(fake_posterior.draws, effects={"Subject": effects}))
    figure = post.plot_forest(group="Subject")
    left, right = figure.axes
    assert titles(figure) == ["(Intercept)", "Days"]
    assert [t.get_text() for t in left.get_yticklabels()] == post.terms[0].levels[::-1]
    for axes, column in ((left, 0), (right, 1)):
        medians = np.median(effects[..., column], axis=(0, 1))[::-1]
        np.testing.assert_allclose(axes.lines[0].get_xdata(), medians)
    assert titles(post.plot_forest("Days", group="Subject")) == ["Days"]
    rendered(figure)


def test_a_caterpillar_draws_integrated_effects(fake_posterior: Posterior) -> None:
    """The medians are near the conditional modes of the fit around which the draws were made up."""
    axes = fake_posterior.plot_forest("(Intercept)", group="Subject").axes[0]
    modes = jmix.lmm(fake_posterior.formula, jmix.load_data("sleepstudy")).ranef()["Subject"]["(Intercept)"]
    labels = [t.get_text() for t in axes.get_yticklabels()]
    medians = pd.Series(axes.lines[0].get_xdata(), index=labels)[modes.index.astype(str)]
    assert np.corrcoef(medians, modes)[0, 1] > 0.98


def test_many_levels_have_no_labels(make_posterior: Callable[..., Posterior]) -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.repeat(np.arange(150), 2).astype(str), "y": rng.normal(size=300)})
    data["y"] += np.repeat(rng.normal(size=150), 2)
    figure = make_posterior("y ~ 1 + (1 | g)", data, draws=30).plot_forest(group="g")
    assert figure.axes[0].get_yticks().size == 0
    assert len(figure.axes[0].collections[0].get_segments()) == 150


def test_long_and_odd_names_fit(make_posterior: Callable[..., Posterior]) -> None:
    rng, odd = np.random.default_rng(0), "a $name$ that_is ^ much longer than any panel of the figure is wide"
    data = pd.DataFrame({odd: rng.normal(size=60), "g": np.arange(60) % 6, "y": rng.normal(size=60)})
    data["y"] += data["g"]
    post = make_posterior(f"y ~ `{odd}` + (1 | g)", data, draws=30)
    assert "…" in post.plot_density().axes[1].get_title("left")
    for figure in (post.plot_trace(), post.plot_density(), post.plot_pairs(), post.plot_forest()):
        rendered(figure)


# --- what is refused ------------------------------------------------------------------------------------------------
REFUSED: dict[str, Callable[[Posterior], Any]] = {
    "figsize=": lambda p: p.plot_trace(figsize=(0, 3)),
    "figsize=3": lambda p: p.plot_pairs(figsize=3),  # type: ignore[arg-type]
    "prob": lambda p: p.plot_density(prob=1.5),
    "point='mode'": lambda p: p.plot_density(point="mode"),  # type: ignore[arg-type]
    "interval 'x'": lambda p: p.plot_density(interval="x"),  # type: ignore[arg-type]
    "kind='kde'": lambda p: p.plot_pairs(kind="kde"),  # type: ignore[arg-type]
    "inner=0.9 must be less than prob=0.5": lambda p: p.plot_forest(prob=0.5, inner=0.9),
    "no grouping factor 'Subj'; there are: Subject": lambda p: p.plot_forest(group="Subj"),
    "'Subject' have no column 'x'": lambda p: p.plot_forest("x", group="Subject"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_arguments_are_refused(message: str, fake_posterior: Posterior) -> None:
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        REFUSED[message](fake_posterior)


def test_too_many_pairs_are_refused(fake_posterior: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmix.results.posterior_pairs.MOST", 5)
    with pytest.raises(ModelError, match="6 parameters would have 21 panels; name at most 5"):
        fake_posterior.plot_pairs()


def test_without_matplotlib_the_remedy_is_named(fake_posterior: Posterior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(JmixError, match=r"pip install 'jmix\[plots\]'"):
        fake_posterior.plot_forest()
