"""What a conditional fit reports: items, scores, Andersen's test, text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from jmix.errors import DataError, ModelError
from jmix.responses import MISSING, read_responses
from jmix.results.irt.cml_fit import CmlFit, fit_cml

LRTEST = {"median": (34.21588, 8), "mean": (31.27373, 9), "sex": (35.14707, 9)}
"""Statistic and degrees of freedom by LRtest of eRm 1.0-2; at the median it leaves wordd out, as we do."""


@pytest.fixture(scope="module")
def vocabulary(shared_dir: Path) -> CmlFit:
    data = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv")
    words = [name for name in data if name.startswith("word")]
    return fit_cml(read_responses(data, items=words, person="id"))


@pytest.fixture(scope="module")
def science(shared_dir: Path) -> CmlFit:
    return fit_cml(read_responses(pd.read_csv(shared_dir / "data" / "mirt_Science.csv")), "PCM")


def test_items_agree_with_the_reference(vocabulary: CmlFit, reference: Callable[[str], Any]) -> None:
    expected = reference("irt")["cml_vocabulary_10words"]
    items = vocabulary.items()
    assert list(items.columns) == ["b", "se_b"] and items.index.tolist() == [f"word{x}" for x in "abcdefghij"]
    np.testing.assert_allclose(-items["b"], list(expected["beta"].values()), atol=1e-5)
    np.testing.assert_allclose(items["se_b"], expected["beta_se"], atol=3e-5)
    assert vocabulary.npar == 9 and vocabulary.model == "RM" and vocabulary.converged
    first = vocabulary.items("first")
    assert first["b"].iloc[0] == 0.0 and first["se_b"].iloc[0] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(first["b"], items["b"] - items["b"].iloc[0], atol=1e-12)


def test_trait_by_score_agrees_with_the_reference(vocabulary: CmlFit, reference: Callable[[str], Any]) -> None:
    """The lowest and the highest score are extrapolated by a spline in eRm; maximum likelihood is infinite there."""
    expected = reference("irt")["cml_vocabulary_10words"]["person_by_score"]
    table = vocabulary.score_table()
    assert table.index.tolist() == expected["score"] and table["n"].sum() == 1155
    np.testing.assert_allclose(table["theta_ML"].iloc[1:-1], expected["theta"][1:-1], atol=2e-5)
    assert table["theta_ML"].iloc[0] == -np.inf and table["theta_ML"].iloc[-1] == np.inf
    assert np.all(np.isfinite(table[["theta_WLE", "se_WLE"]]))


def weighted_log_likelihood(theta: float, thresholds: list[np.ndarray], score: int) -> float:
    """Log likelihood of a score, plus half the log of the information: Warm (1989)."""
    value, information = theta * score, 0.0
    for b in thresholds:
        logits = np.concatenate([[0.0], np.cumsum(theta - b)])
        p = np.exp(logits - logits.max())
        value -= np.log(p.sum()) + logits.max()
        p /= p.sum()
        k = np.arange(p.size)
        information += p @ k**2 - (p @ k) ** 2
    return value + 0.5 * np.log(information)


def test_weighted_likelihood_estimates_maximise_warms_function(science: CmlFit) -> None:
    thresholds = science.thresholds()
    own = [part["b"].to_numpy() for _, part in thresholds.groupby("item", sort=False)]
    table = science.score_table()
    for score, theta in table["theta_WLE"].items():
        best = minimize_scalar(
            lambda t, r=score: -weighted_log_likelihood(t, own, r), bounds=(-15, 15), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        assert theta == pytest.approx(best.x, abs=1e-5)


def test_scores_of_persons(vocabulary: CmlFit) -> None:
    scores, table = vocabulary.scores("ML"), vocabulary.score_table()
    assert scores.index.name == "id" and len(scores) == 1155
    np.testing.assert_allclose(scores["theta"], table["theta_ML"].loc[scores["score"]], rtol=1e-12)
    assert (scores["max"] == 10).all()
    with pytest.raises(ModelError, match="'WLE' or 'ML'"):
        vocabulary.scores("EAP")  # type: ignore[arg-type]


def test_scores_with_missing_responses(vocabulary: CmlFit) -> None:
    table = np.array(vocabulary.responses.table)
    table[:300, 7:] = MISSING
    table[5] = MISSING
    fit = fit_cml(read_responses(table))
    scores = fit.scores()
    assert scores["max"].iloc[:5].tolist() == [7] * 5 and scores["max"].iloc[-1] == 10
    assert scores.isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [5]
    b = fit.items()["b"].to_numpy()
    row = 3
    theta = scores["theta"].iloc[row]
    best = minimize_scalar(
        lambda t: -weighted_log_likelihood(t, [np.array([x]) for x in b[:7]], int(scores["score"].iloc[row])),
        bounds=(-15, 15), method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert theta == pytest.approx(best.x, abs=1e-5)


@pytest.mark.parametrize("split", LRTEST)
def test_andersen_agrees_with_erm(vocabulary: CmlFit, split: str) -> None:
    test = vocabulary.andersen(split)
    statistic, df = LRTEST[split]
    assert (test.statistic, test.df) == (pytest.approx(statistic, abs=1e-4), df)
    assert test.excluded == (("wordd",) if split == "median" else ())
    items = test.items
    z = (items.iloc[:, 0] - items.iloc[:, 1]) / np.sqrt(items.iloc[:, 2] ** 2 + items.iloc[:, 3] ** 2)
    np.testing.assert_allclose(items["z"], z)
    assert sum(test.sizes.values()) == 1155
    assert "Andersen" in str(test) and ("wordd" in str(test)) == (split == "median")


def test_andersen_by_any_values(vocabulary: CmlFit) -> None:
    sex = vocabulary.responses.data["sex"].to_numpy()  # type: ignore[index]
    assert vocabulary.andersen(sex).statistic == pytest.approx(vocabulary.andersen("sex").statistic)
    three = vocabulary.andersen(np.arange(1155) % 3)
    assert three.df == 18 and "z" not in three.items and 0.0 < three.p_value < 1.0
    for bad, message in (
        ("nosuch", "write 'median'"),
        (np.zeros(3), "one value for each"),
        (np.zeros(1155), "two parts"),
    ):
        with pytest.raises((ModelError, DataError), match=message):
            vocabulary.andersen(bad)
    with pytest.raises(DataError, match="missing for 1 persons"):
        vocabulary.andersen(np.r_[np.nan, sex[1:]])


def test_polytomous_items(science: CmlFit) -> None:
    """psychotools 0.7-2, pcmodel: thresholds with mean 0."""
    items, thresholds = science.items(), science.thresholds()
    assert list(items.columns) == ["b", "se_b", "b1", "se_b1", "b2", "se_b2", "b3", "se_b3"]
    expected = [
        *(-2.42163, -1.68545, 2.19640, -0.92519, -0.12957, 2.71327),
        *(-1.67185, -0.57596, 1.91687, -1.47886, -0.09568, 2.15766),
    ]
    np.testing.assert_allclose(thresholds["b"], expected, atol=2e-5)
    np.testing.assert_allclose(items["b"], items[["b1", "b2", "b3"]].mean(axis=1))
    assert thresholds.index[:3].tolist() == ["Comfort.1", "Comfort.2", "Comfort.3"]


def test_rating_scale_within_partial_credit(science: CmlFit) -> None:
    """eRm 1.0-2: log likelihood -807.2578."""
    rating = fit_cml(science.responses, "RSM")
    assert rating.loglik == pytest.approx(-807.2578, abs=1e-4) and rating.npar == 5
    compared = science.compare(rating)
    assert compared["df"] == 6 and compared["statistic"] == pytest.approx(2 * (science.loglik - rating.loglik))
    with pytest.raises(ModelError, match="equally many"):
        science.compare(science)


def test_lltm_by_formula_and_by_matrix(vocabulary: CmlFit) -> None:
    item_data = pd.DataFrame({"item": vocabulary.data.items, "x": np.arange(10.0), "type": ["a", "b"] * 5})
    from dataclasses import replace

    responses = replace(vocabulary.responses, item_data=item_data.set_index("item"))
    fit = fit_cml(responses, item_formula="~ x + type")
    assert fit.design.names == ("x", "typeb") and fit.model == "LLTM"
    other = fit_cml(vocabulary.responses, design=pd.DataFrame({"x": np.arange(10.0), "typeb": [0.0, 1.0] * 5}))
    np.testing.assert_allclose(fit.coef(), other.coef())
    assert vocabulary.compare(fit)["df"] == 7
    assert "Effects on difficulty" in str(fit)
    with pytest.raises(ModelError, match="free items"):
        fit.andersen()
    with pytest.raises(ModelError, match="properties of the items"):
        fit_cml(vocabulary.responses, "LLTM")
    with pytest.raises(ModelError, match="not both"):
        fit_cml(responses, item_formula="~ x", design=np.ones((10, 1)))


def test_the_rasch_model_is_the_logistic_regression_of_pairs() -> None:
    """With two items the conditional likelihood is binomial: b2 - b1 = log (n10 / n01)."""
    rng = np.random.default_rng(0)
    table = (rng.random((300, 2)) < [0.7, 0.4]).astype(np.int8)
    n10 = int(((table[:, 0] == 1) & (table[:, 1] == 0)).sum())
    n01 = int(((table[:, 0] == 0) & (table[:, 1] == 1)).sum())
    fit = fit_cml(read_responses(table))
    assert fit.items("first")["b"].iloc[1] == pytest.approx(np.log(n10 / n01), abs=1e-10)
    assert fit.items("first")["se_b"].iloc[1] == pytest.approx(np.sqrt(1 / n10 + 1 / n01), abs=1e-10)
    assert fit.nobs == n10 + n01


def test_the_summary_reads_well(vocabulary: CmlFit, science: CmlFit) -> None:
    text = str(vocabulary)
    assert text.startswith("Rasch model fit by conditional maximum likelihood\nPersons: 1,155, of whom 1,071")
    assert "5442.1" in text and "worda" in text and "84 persons" in text
    assert repr(science).startswith("Partial credit model") and "Comfort.1" in repr(science)
    assert "| worda" in vocabulary.summary().to_markdown()


ERM_FIT = {
    "outfit": [1.02230617, 0.65485563, 1.13572332, 0.31852504, 0.66686682, 0.56429336, 1.20831698, 0.90925595,
               1.12837111, 1.02249103],
    "infit": [0.97163610, 0.70452504, 1.00937979, 0.69004986, 0.81559297, 0.77485107, 0.95231492, 0.90262880,
              0.98950686, 0.82382546],
}  # fmt: skip
"""itemfit of eRm 1.0-2, whose estimates stop 1e-5 short of the maximum."""


def test_infit_and_outfit_agree_with_erm(vocabulary: CmlFit) -> None:
    found = vocabulary.itemfit()
    for name, expected in ERM_FIT.items():
        np.testing.assert_allclose(found[name], expected, atol=1e-5)
    persons = vocabulary.personfit()
    np.testing.assert_allclose(persons["outfit"].iloc[:3], [0.56258065, 2.91270303, 0.33729004], atol=1e-4)
    assert persons.index.equals(vocabulary.responses.persons)
    assert persons["infit"].isna().sum() == 84


def test_the_bank_has_the_same_curves(vocabulary: CmlFit, science: CmlFit) -> None:
    for fit in (vocabulary, science):
        thresholds = fit.thresholds()
        p = fit.bank().probabilities(np.array([[0.7]]))[:, :, 0]
        for j, name in enumerate(fit.data.items):
            b = thresholds.loc[thresholds["item"] == name, "b"].to_numpy()
            logits = np.concatenate([[0.0], np.cumsum(0.7 - b)])
            np.testing.assert_allclose(p[j], np.exp(logits) / np.exp(logits).sum(), atol=1e-12)


def test_frames_and_intervals(vocabulary: CmlFit) -> None:
    tidy = vocabulary.tidy(conf_int=True)
    assert list(tidy.columns) == ["term", "estimate", "std_error", "conf_low", "conf_high"] and len(tidy) == 9
    np.testing.assert_allclose(tidy["conf_high"] - tidy["estimate"], 1.959963984540054 * tidy["std_error"])
    np.testing.assert_allclose(np.sqrt(np.diag(vocabulary.vcov())), vocabulary.se())
    assert vocabulary.glance().loc[0, ["n_persons", "nobs", "npar"]].tolist() == [1155, 1071, 9]
    with pytest.raises(ModelError, match="level"):
        vocabulary.confint(1.5)


def test_a_saved_fit_comes_back(vocabulary: CmlFit, science: CmlFit, tmp_path: Path) -> None:
    import jmix

    for fit in (vocabulary, fit_cml(science.responses, "RSM")):
        fit.save(tmp_path / "fit.npz")
        loaded = jmix.load_fit(tmp_path / "fit.npz")
        assert isinstance(loaded, CmlFit) and str(loaded) == str(fit)
        pd.testing.assert_frame_equal(loaded.items(), fit.items())
        pd.testing.assert_frame_equal(loaded.scores(), fit.scores())
        pd.testing.assert_frame_equal(loaded.vcov(), fit.vcov())


def test_jmix_irt_reaches_it(vocabulary: CmlFit, shared_dir: Path) -> None:
    import jmix

    data = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv")
    fit: Any = jmix.irt(data, items=list(vocabulary.data.items), itemtype="Rasch", method="cml")
    assert fit.loglik == vocabulary.loglik


def test_wrong_models() -> None:
    read = read_responses(np.random.default_rng(0).integers(0, 2, (50, 3)))
    with pytest.raises(ModelError, match="'Rasch', 'PCM' and 'RSM'"):
        fit_cml(read, "2PL")
    mixed = np.random.default_rng(0).integers(0, [2, 3, 3], (60, 3))
    with pytest.raises(ModelError, match="same categories"):
        fit_cml(read_responses(mixed), "RSM")
