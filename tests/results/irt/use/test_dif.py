"""DIF: the specification with items apart, tests from given log likelihoods, purification, and one live run."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.results.irt.dif import find_dif
from jmix.results.irt.dif_spec import carried, contrasts, joined, released, separate_items
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.spec import unpack

ITEMS = tuple("pqrstu")


def made(itemtype="2PL", groups=("ref", "foc"), n_categories=2, **options):
    n = 40 * len(groups)
    rng = np.random.default_rng(0)
    table = rng.integers(0, n_categories, size=(n, 6)).astype(np.int8)
    categories = (tuple(range(n_categories)),) * 6
    group = np.repeat(np.arange(len(groups)), 40).astype(np.int32)
    r = Responses(ITEMS, categories, table, None, pd.RangeIndex(n), group=group, groups=groups)
    return build_spec(r, itemtype, **options)[0]


def everything(spec, x):
    values = unpack(np, spec, x)
    return [*values.slopes, *values.own, values.mean, values.chol]


@pytest.mark.parametrize(("itemtype", "k"), [("2PL", 2), ("3PL", 2), ("graded", 4), ("gpcm", 3), ("Rasch", 2)])
@pytest.mark.parametrize("groups", [("ref", "foc"), ("ref", "b", "c")])
def test_items_apart_as_the_builder_makes_them(itemtype, k, groups):
    """Same parameters, and the same model at equal values by name, as with ``equal_items``."""
    mine = released(made(itemtype, groups, k), ["q", "t"])
    theirs = made(itemtype, groups, k, equal_items=[i for i in ITEMS if i not in "qt"])
    assert set(mine.table.free_names) == set(theirs.table.free_names)
    assert separate_items(mine) == ("q", "t")
    rng = np.random.default_rng(1)
    value = {name: rng.uniform(0.3, 1.0) for name in mine.table.free_names}
    for one, two in zip(
        *(everything(s, np.array([value[n] for n in s.table.free_names])) for s in (mine, theirs)), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_joined_undoes_it():
    spec = made()
    again = joined(released(spec, ["q", "t"]))
    assert separate_items(again) == ()
    assert again.n_free == spec.n_free


def test_only_slopes_or_only_intercepts():
    spec = made("graded", n_categories=3)
    assert {n for n in released(spec, ["q"], "a").table.free_names if "|" in n} == {
        "a1[q|ref]", "a1[q|foc]", "mean[F1|foc]", "sd[F1|foc]",
    }  # fmt: skip
    names = {n for n in released(spec, ["q"], "d").table.free_names if n.startswith("d") and "|" in n}
    assert names == {"d1[q|ref]", "d1[q|foc]", "d2[q|ref]", "d2[q|foc]"}


def test_values_are_carried_over():
    spec = made()
    x = np.random.default_rng(0).normal(size=spec.n_free) ** 2
    apart = released(spec, ["q"])
    moved = carried(spec, x, apart)
    for one, two in zip(everything(spec, x), everything(apart, moved), strict=True):
        np.testing.assert_array_equal(one, two)
    here, there = contrasts(apart, "q")
    assert [apart.table.free_names[i] for i in here] == ["a1[q|foc]", "d[q|foc]"]
    assert [apart.table.free_names[i] for i in there] == ["a1[q|ref]", "d[q|ref]"]
    np.testing.assert_array_equal(carried(apart, moved, spec), x)


def test_a_slope_that_all_items_share_cannot_differ():
    spec = made("1PL")
    assert [n for n in released(spec, ["q"]).table.free_names if "|foc]" in n and n[0] in "ad"] == ["d[q|foc]"]
    with pytest.raises(ModelError, match="'q'"):
        released(spec, ["q"], "a")


class Refit:
    """Log likelihoods by rule: freeing an item gains what it is worth, more while items with DIF tie the scales."""

    def __init__(self, gains, spill):
        self.gains, self.spill, self.calls = gains, spill, []

    def __call__(self, spec, start, se):
        free = set(separate_items(spec))
        self.calls.append(free)
        tied = [item for item in self.gains if item not in free]
        gain = sum(self.gains.get(item, 0.0) for item in free)
        gain += sum(self.spill for item in free if item not in self.gains) if tied else 0.0
        x = np.asarray(start)
        solution = SimpleNamespace(spec=spec, x=x, vcov=np.eye(x.size) * 0.02)
        return SimpleNamespace(loglik=-1000 + gain, npar=spec.n_free, solution=solution)


def start(spec):
    return np.full(spec.n_free, 0.7)


def test_purification_clears_items_that_only_seemed_to_differ():
    spec = made()
    with_it, without = Refit({"q": 30.0}, 6.0), Refit({"q": 30.0}, 6.0)
    once = find_dif(spec, start(spec), without, purify=False, p_adjust="none")
    assert once.flagged == ITEMS
    found = find_dif(spec, start(spec), with_it, p_adjust="none", items=["p", "q", "r", "s", "t"], alpha=0.001)
    assert found.flagged == ("q",)
    assert found.anchors == ("p", "r", "s", "t", "u")
    assert {"q"} in with_it.calls
    np.testing.assert_allclose(found.table.loc["q", "X2"], 60.0)
    np.testing.assert_allclose(found.table.loc["q", "p"], stats.chi2.sf(60.0, 2))
    assert separate_items(found.fit.solution.spec) == ("q",)
    assert len({frozenset(c) for c in with_it.calls}) == len(with_it.calls)  # nothing is fitted twice


def test_anchors():
    spec = made()
    refit = Refit({"q": 30.0}, 0.0)
    found = find_dif(spec, start(spec), refit, anchors=["p", "u"], parameters="d")
    assert found.table.index.tolist() == ["q", "r", "s", "t"]
    assert refit.calls[0] == {"q", "r", "s", "t"}
    assert found.flagged == ("q",)
    assert (found.table["df"] == 1).all()


def test_wald_statistic_by_hand():
    spec = made()
    x0 = start(spec)

    def refit(spec, start, se):
        assert se
        rng = np.random.default_rng(3)
        root = rng.normal(size=(start.size, start.size))
        x = start + np.array([0.5 if "|foc]" in n and n[0] in "ad" else 0.0 for n in spec.table.free_names])
        solution = SimpleNamespace(spec=spec, x=x, vcov=root @ root.T)
        return SimpleNamespace(loglik=0.0, npar=spec.n_free, solution=solution)

    found = find_dif(spec, x0, refit, method="Wald", anchors=["p", "u"], p_adjust="none")
    names = list(found.fit.solution.spec.table.free_names)
    c = np.zeros((2, len(names)))
    for row, letter in enumerate(("a1", "d")):
        c[row, names.index(f"{letter}[q|foc]")], c[row, names.index(f"{letter}[q|ref]")] = 1, -1
    d = c @ found.fit.solution.x
    want = d @ np.linalg.inv(c @ found.fit.solution.vcov @ c.T) @ d
    np.testing.assert_allclose(found.table.loc["q", "X2"], want)


def test_effect_sizes_by_hand():
    spec = made(groups=("ref", "foc"))
    apart = released(spec, ["q"])
    value = {
        "a1[q|ref]": 1.0,
        "a1[q|foc]": 1.0,
        "d[q|ref]": 0.0,
        "d[q|foc]": -0.8,
        "mean[F1|foc]": 0.3,
        "sd[F1|foc]": 1.2,
    }

    def refit(spec, start, se):
        x = np.array([value.get(name, 0.5) for name in spec.table.free_names])
        return SimpleNamespace(loglik=0.0, solution=SimpleNamespace(spec=spec, x=x, vcov=None))

    found = find_dif(spec, np.full(spec.n_free, 0.5), refit, items=["q"], purify=False)
    theta = np.linspace(-9, 10, 4001)
    w = stats.norm.pdf(theta, 0.3, 1.2)
    gap = 1 / (1 + np.exp(-(theta - 0.8))) - 1 / (1 + np.exp(-theta))
    np.testing.assert_allclose(found.table.loc["q", "signed"], (gap * w).sum() / w.sum(), rtol=1e-8)
    np.testing.assert_allclose(found.table.loc["q", "unsigned"], -found.table.loc["q", "signed"])
    assert apart.n_free == spec.n_free + 2


def test_what_cannot_be_asked():
    spec = made()
    refit = Refit({}, 0.0)
    for options, match in [
        ({"method": "score"}, "LRT"),
        ({"parameters": "c"}, "parameters"),
        ({"items": ["x"]}, "'x'"),
        ({"anchors": ["p"], "items": ["p"]}, "anchors"),
        ({"anchors": []}, "at least one"),
    ]:
        with pytest.raises(ModelError, match=match):
            find_dif(spec, start(spec), refit, **options)
    apart = made(equal_items=False)
    with pytest.raises(ModelError, match="equal_items=True"):
        find_dif(apart, start(apart), refit)
    one = made(groups=("ref",))
    with pytest.raises(ModelError, match="group="):
        find_dif(one, start(one), refit)


@pytest.mark.slow
def test_live():
    """Two items with DIF among eight are found, and the LRT equals that of two ordinary fits."""
    from jmix.api_irt import irt

    rng = np.random.default_rng(1)
    n = 2000
    group = np.repeat([0, 1], n // 2)
    theta = np.where(group, 0.5 + 1.2 * rng.normal(size=n), rng.normal(size=n))
    a, b = np.tile(rng.uniform(0.8, 2, 8), (n, 1)), np.tile(rng.normal(size=8), (n, 1))
    b[group == 1, 2] += 0.7
    a[group == 1, 5] *= 0.4
    frame = pd.DataFrame(
        (rng.random((n, 8)) < 1 / (1 + np.exp(-a * (theta[:, None] - b)))).astype(int),
        columns=[f"i{j}" for j in range(8)],
    )
    label = np.where(group, "foc", "ref")
    fit = irt(frame, itemtype="2PL", group=label)
    found = fit.dif()
    assert set(found.flagged) == {"i2", "i5"}
    first = fit.dif(purify=False, items=["i2"])
    apart = irt(frame, itemtype="2PL", group=label, equal_items=[c for c in frame if c != "i2"])
    np.testing.assert_allclose(first.table.loc["i2", "X2"], 2 * (apart.loglik - fit.loglik), atol=1e-4)
    wald = fit.dif(method="Wald", anchors=["i0", "i1", "i3"])
    assert set(wald.flagged) == {"i2", "i5"}


def test_models_that_did_not_converge_are_named():
    spec = made()
    refit = Refit({"q": 30.0}, 0.0)

    def shaky(spec, start, se):
        fit = refit(spec, start, se)
        fit.converged = "q" not in separate_items(spec)
        return fit

    found = find_dif(spec, start(spec), shaky, items=["q", "r"], purify=False)
    assert len(found.notes) == 1
    assert "in which q differs" in found.notes[0]
    assert found.notes[0] in str(found)
