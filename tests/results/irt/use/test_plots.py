"""Pictures: that they show what they say. How they look was judged by eye."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.results.irt.dif import Dif
from jmix.results.irt.dimensions import parallel_analysis
from jmix.results.irt.empirical import empirical_points, plausible_traits
from jmix.results.irt.plots import IrtPlots

pytest.importorskip("matplotlib")


def drawn(figure, tmp_path):
    figure.savefig(tmp_path / "p.png", dpi=40)
    return figure.axes


def curve(panel, at=-1):
    return np.array(panel.lines[at].get_data())


def test_icc(mirt_fit, tmp_path):
    fit = mirt_fit("LSAT7_2PL")
    axes = drawn(IrtPlots.plot_icc(fit), tmp_path)
    assert [a.get_title(loc="left") for a in axes] == list(fit.spec.items)
    theta, p = curve(axes[2])
    np.testing.assert_allclose(p, fit.bank().probabilities(theta[:, None])[2, 1], rtol=1e-9)
    assert len(axes[0].containers) == 1  # observed proportions with their intervals
    plain = drawn(IrtPlots.plot_icc(fit, ["Item.2"], empirical=False), tmp_path)
    assert len(plain) == 1
    assert not plain[0].containers


def test_all_curves_in_one_panel(mirt_fit, tmp_path):
    fit = mirt_fit("Science_graded")
    (axes,) = drawn(IrtPlots.plot_icc(fit, facet=False, limits=(-2, 2)), tmp_path)
    assert len(axes.lines) == 4
    theta, share = curve(axes, 0)
    np.testing.assert_allclose(share, fit.bank().expected(theta[:, None])[0] / 3, rtol=1e-9)
    assert (theta[0], theta[-1]) == (-2, 2)


def test_categories(mirt_fit, tmp_path):
    fit = mirt_fit("Science_gpcm")
    axes = drawn(IrtPlots.plot_categories(fit, empirical=True, bins=6), tmp_path)
    assert len(axes) == 4
    lines = [line for line in axes[1].lines if len(line.get_xdata()) > 50]
    total = sum(np.array(line.get_ydata()) for line in lines)
    np.testing.assert_allclose(total, 1.0, rtol=1e-9)


def test_points_scatter_about_a_true_curve(mirt_case, mirt_fit):
    """Responses simulated from the model: the proportions by plausible value have no trend away from the curve."""
    case = mirt_case("LSAT7_2PL")
    rng = np.random.default_rng(0)
    theta = rng.normal(size=20_000)
    p = case.bank.probabilities(theta[:, None])[:, 1].T
    table = (rng.random(p.shape) < p).astype(np.int8)
    fit = mirt_fit("LSAT7_2PL")
    responses = type(fit.responses)(fit.responses.items, fit.responses.categories, table, None, pd.RangeIndex(20_000))
    fake = SimpleNamespace(
        spec=fit.spec, responses=responses, bank=fit.bank, numbers=fit.numbers, covariates=None, marginal=None
    )
    traits = plausible_traits(fake)
    for j in range(5):
        points = empirical_points(j, 0, traits, bins=10)
        np.testing.assert_allclose(points.n.sum(), 20_000)
        expected = case.bank.probabilities(points.theta[:, None])[j, 1]
        z = (points.share[:, 1] - expected) / points.score_error()
        assert np.abs(z).max() < 4.5


def test_information(mirt_fit, tmp_path):
    fit = mirt_fit("LSAT7_2PL")
    axes = drawn(IrtPlots.plot_information(fit), tmp_path)
    theta, total = curve(axes[0], 0)
    np.testing.assert_allclose(total, fit.bank().information(theta[:, None]).sum(axis=0), rtol=1e-9)
    se = curve(axes[1], 0)[1]
    shown = np.isfinite(se)
    np.testing.assert_allclose(se[shown], 1 / np.sqrt(total[shown]), rtol=1e-9)
    (items,) = drawn(IrtPlots.plot_information(fit, ["Item.1", "Item.3"], what="items"), tmp_path)
    assert len(items.lines) == 2


def test_wright_map_and_histogram(mirt_fit, tmp_path):
    fit = mirt_fit("Science_graded")
    left, right = drawn(IrtPlots.plot_wright(fit), tmp_path)
    points = np.concatenate([line.get_ydata() for line in right.lines])
    b = fit.items()[["b1", "b2", "b3"]].to_numpy().ravel()
    np.testing.assert_allclose(np.sort(points), np.sort(b))
    names = [t.get_text() for t in right.get_xticklabels()]
    means = fit.items()[["b1", "b2", "b3"]].mean(axis=1)
    assert names == list(means.sort_values().index)
    assert left.get_ylim() == right.get_ylim()
    top, bottom = drawn(IrtPlots.plot_histogram(mirt_fit("LSAT7_Rasch"), bins=10), tmp_path)
    assert sum(p.get_height() for p in top.patches) == 1000
    assert sum(p.get_height() for p in bottom.patches) == 5


def test_dependence_and_scree(mirt_fit, tmp_path):
    fit = mirt_fit("LSAT7_2PL")
    axes = drawn(IrtPlots.plot_residuals(fit), tmp_path)
    assert len(axes[0].texts) == 20
    found = parallel_analysis(fit.responses, n_simulations=5)
    (panel,) = drawn(found.plot(), tmp_path)
    np.testing.assert_allclose(curve(panel, 1)[1], found.eigenvalues["observed"])


def test_dif(mirt_case, tmp_path):
    from jmix.results.irt.plots_dif import plot_dif

    case = mirt_case("LSAT7_2PL")
    table = pd.DataFrame(
        {
            "X2": [9.0, 1.0],
            "df": 2,
            "p": [0.001, 0.6],
            "p_adjusted": [0.002, 0.6],
            "dif": [True, False],
            "signed": [0.1, 0.0],
        },
        index=pd.Index(["Item.2", "Item.4"], name="item"),
    )
    from jmix.results.irt.dif_spec import released
    from jmix.spec.irt.build import build_spec

    group = np.repeat([0, 1], 500).astype(np.int32)
    r = case.responses
    both = type(r)(r.items, r.categories, r.table, None, r.persons, group=group, groups=("a", "b"))
    spec = released(build_spec(both, "2PL")[0], ["Item.2"])
    x = np.full(spec.n_free, 0.8)
    fit = SimpleNamespace(solution=SimpleNamespace(spec=spec, x=x))
    found = Dif(table, ("Item.2",), ("Item.1",), "LRT", "all", 0.05, 1, fit)
    (panel,) = drawn(plot_dif(found), tmp_path)
    assert panel.get_title(loc="left") == "Item.2, p = 0.002"
    assert len(panel.lines) == 2
    assert len(drawn(plot_dif(found, ["Item.2", "Item.4"]), tmp_path)) == 2
    none = Dif(table, (), (), "LRT", "all", 0.05, 1, fit)
    (overview,) = drawn(plot_dif(none), tmp_path)
    assert [t.get_text() for t in overview.get_yticklabels()] == ["Item.4", "Item.2"]


def test_what_cannot_be_drawn(mirt_fit):
    fit = mirt_fit("LSAT7_2PL")
    for call, match in [
        (lambda: IrtPlots.plot_icc(fit, ["Item.9"]), "Item.9"),
        (lambda: IrtPlots.plot_icc(fit, limits=(2, 1)), "limits"),
        (lambda: IrtPlots.plot_icc(fit, factor="G"), "factor 'G'"),
        (lambda: IrtPlots.plot_categories(fit, group="boys"), "boys"),
        (lambda: IrtPlots.plot_information(fit, what="all"), "what="),
        (lambda: IrtPlots.plot_wright(fit, ["x"]), "'x'"),
        (lambda: IrtPlots.plot_icc(fit, figsize=(0, 1)), "figsize"),
    ]:
        with pytest.raises(ModelError, match=match):
            call()
