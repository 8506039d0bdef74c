"""Fit statistics as methods of a fit, against mirt 1.47 and NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.results.irt import use


def test_statistics_of_a_fit_equal_mirt(mirt_fit, mirt_case):
    fit, mirt = mirt_fit("LSAT7_2PL"), mirt_case("LSAT7_2PL").mirt
    want = pd.DataFrame(mirt["itemfit"])
    found = use.itemfit(fit, ("S_X2", "infit", "Zh", "X2"), "EAP")
    for ours, theirs in {"S_X2": "S_X2", "df_S_X2": "df.S_X2", "X2": "X2", "infit": "infit", "Zh": "Zh"}.items():
        np.testing.assert_allclose(found[ours], want[theirs], atol=1e-5)
    np.testing.assert_allclose(
        use.personfit(fit, "EAP")["Zh"].iloc[:3], [p["Zh"] for p in mirt["personfit_first"][:3]], atol=1e-5
    )
    np.testing.assert_allclose(use.residuals(fit, "Q3", "EAP", matrix=True, p_adjust="none"), mirt["Q3"], atol=1e-6)
    ld = use.residuals(fit, "LD", "EAP", matrix=True, p_adjust="none")
    np.testing.assert_allclose(ld, np.array(mirt["LD"], dtype=float), atol=1e-5)
    row = use.fit_statistics(fit)
    for ours, theirs in {"AIC": "AIC", "BIC": "BIC", "loglik": "logLik"}.items():
        np.testing.assert_allclose(row[ours].iloc[0], mirt[theirs], rtol=1e-9)
    np.testing.assert_allclose(row["M2*"].iloc[0], mirt["M2"]["M2"], rtol=1e-5)


def test_m2_takes_c2_where_it_must(mirt_fit):
    assert use.m2(mirt_fit("Science_graded"), None).type == "C2"
    assert use.m2(mirt_fit("LSAT7_2PL"), None).type == "M2*"
    assert "RMSEA" in str(use.m2(mirt_fit("LSAT7_2PL"), None))


def test_p_values_of_pairs_can_be_adjusted(mirt_fit):
    fit = mirt_fit("LSAT7_Rasch")
    plain, holm = (use.residuals(fit, "LD", "EAP", matrix=False, p_adjust=a) for a in ("none", "holm"))
    assert len(plain) == 10
    np.testing.assert_allclose(holm["p"].min(), min(1.0, 10 * plain["p"].min()))


def test_standardized_residuals(mirt_fit):
    frame = use.residuals(mirt_fit("LSAT7_2PL"), "standardized", "EAP", matrix=True, p_adjust="none")
    assert frame.shape == (1000, 5)
    with pytest.raises(ModelError, match="Q3"):
        use.residuals(mirt_fit("LSAT7_2PL"), "Q4", "EAP", matrix=True, p_adjust="none")


def test_groups_are_reported_apart(mirt_fit, mirt_case):
    from jmix.spec.irt.build import build_spec

    case, fit = mirt_case("LSAT7_2PL"), mirt_fit("LSAT7_2PL")
    r = case.responses
    both = Responses(
        r.items, r.categories, np.vstack([r.table, r.table]), None, pd.RangeIndex(2000),
        group=np.repeat([0, 1], 1000).astype(np.int32), groups=("a", "b"),
    )  # fmt: skip
    spec, _ = build_spec(both, "2PL")
    one = dict(zip(case.spec.table.free_names, case.x, strict=True)) | {"mean[F1|b]": 0.0, "sd[F1|b]": 1.0}
    x = np.array([one[name] for name in spec.table.free_names])

    class Twice:
        def moments(self, x):
            found = fit.posterior_moments
            return type(found)(*(np.concatenate([part, part]) for part in found))

    two = replace(fit, solution=replace(fit.solution, spec=spec, x=x), responses=both, marginal=Twice())
    single = use.itemfit(fit, ("S_X2", "infit"), "EAP")
    found = use.itemfit(two, ("S_X2", "infit"), "EAP")
    assert found["group"].tolist() == ["a"] * 5 + ["b"] * 5
    for g in "ab":
        np.testing.assert_allclose(found.loc[found["group"] == g, "S_X2"], single["S_X2"], rtol=1e-9)
    # the second group's mean and standard deviation are estimated too
    np.testing.assert_array_equal(found["df_S_X2"], [2] * 5 + [0] * 5)
    persons = use.personfit(two, "EAP")
    np.testing.assert_allclose(persons["Zh"].to_numpy()[:1000], persons["Zh"].to_numpy()[1000:])
    q3 = use.residuals(two, "Q3", "EAP", matrix=True, p_adjust="none")
    np.testing.assert_allclose(q3[q3["group"] == "b"].drop(columns="group"), case.mirt["Q3"], atol=1e-6)
    assert use.residuals(two, "standardized", "EAP", matrix=True, p_adjust="none").shape == (2000, 5)


def test_some_items(mirt_fit, mirt_case):
    """Statistics of some items are those of a table that holds only these."""
    case, fit = mirt_case("LSAT7_2PL"), mirt_fit("LSAT7_2PL")
    some = ["Item.1", "Item.4", "Item.5", "Item.2"]
    places = [case.responses.items.index(name) for name in some]
    from jmix.results.irt.itemfit import item_fit
    from jmix.results.irt.limited import limited_fit
    from jmix.spec.irt.build import build_spec

    r = case.responses
    part = Responses(tuple(some), r.categories[:4], r.table[:, places].copy(), None, r.persons)
    found = use.itemfit(fit, ("S_X2", "infit"), "EAP", items=some)
    want = item_fit(
        case.bank.subset(some), part, case.theta, case.grid, n_parameters=[2] * 4, statistics=("S_X2", "infit")
    )
    pd.testing.assert_frame_equal(found, want)
    spec, _ = build_spec(part, "2PL")
    value = dict(zip(case.spec.table.free_names, case.x, strict=True))
    x = np.array([value[name] for name in spec.table.free_names])
    one, two = use.m2(fit, None, some), limited_fit(spec, x, part)
    assert one.df == two.df == 2
    np.testing.assert_allclose([one.statistic, one.cfi, one.srmsr["all"]], [two.statistic, two.cfi, two.srmsr["all"]])
    with pytest.raises(ModelError, match="'x'"):
        use.itemfit(fit, "S_X2", "EAP", items=["x"])
