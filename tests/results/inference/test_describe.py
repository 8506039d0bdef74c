"""Groups before a model: sizes, variance between and within, nesting, centring, regressions by group."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError

SHARED = Path(os.environ.get("JMIX_SHARED", Path(__file__).resolve().parents[4] / "shared"))


def shared(kind: str, name: str) -> Path:
    path = SHARED / kind / name
    if not path.is_file():
        pytest.skip(f"../shared is absent: {path}")
    return path


@pytest.fixture(scope="module")
def reference() -> Any:
    return json.loads(shared("reference", "inference.json").read_text())


@pytest.fixture(scope="module")
def classroom() -> pd.DataFrame:
    return pd.read_csv(shared("data", "classroom.csv"))


def toy() -> pd.DataFrame:
    """Three groups of 2, 3 and 5 rows; the third has a missing response."""
    y = [1.0, 3.0, 2.0, 4.0, 6.0, 5.0, 7.0, 9.0, 8.0, np.nan]
    return pd.DataFrame({"y": y, "g": ["a"] * 2 + ["b"] * 3 + ["c"] * 5, "x": np.arange(10.0)})


# --- summaries ------------------------------------------------------------------------------------------------------
def test_summaries_by_group() -> None:
    found = jmix.describe(toy(), "y", "g")
    expected = pd.DataFrame(
        {"n": [2, 3, 4], "mean": [2, 4, 7.25], "sd": [np.sqrt(2), 2, np.std([5, 7, 9, 8], ddof=1)], "min": [1.0, 2, 5],
         "max": [3.0, 6, 9], "missing": [0, 0, 1]}, index=pd.Index(list("abc"), name="g"),
    )  # fmt: skip
    pd.testing.assert_frame_equal(found.groups["g"], expected, check_dtype=False)
    assert found.sizes.loc["g"].tolist() == [3, 2, 3, 3, 4, 0]
    assert found.overall[["n", "missing"]].iloc[0].tolist() == [9, 1]
    assert "1 rows have no response" in found.notes[0]


def test_variance_between_and_within() -> None:
    """The textbook's sums of squares, written out."""
    data = toy().dropna()
    parts = [part.to_numpy() for _, part in data.groupby("g")["y"]]
    n, mean = np.array([len(p) for p in parts]), data["y"].mean()
    between = sum(len(p) * (p.mean() - mean) ** 2 for p in parts) / 2
    within = sum(((p - p.mean()) ** 2).sum() for p in parts) / 6
    n0 = (9 - (n**2).sum() / 9) / 2
    row = jmix.describe(toy(), "y", "g").variance.loc["g"]
    assert row["sd_between"] ** 2 == pytest.approx((between - within) / n0)
    assert row["sd_within"] ** 2 == pytest.approx(within)
    assert row["icc1"] == pytest.approx((between - within) / (between + (n0 - 1) * within))
    assert row["icc2"] == pytest.approx(1 - within / between)
    assert row["design_effect"] == pytest.approx(1 + ((n**2).sum() / 9 - 1) * row["icc1"])
    assert row[["F", "df1", "df2"]].tolist() == pytest.approx([between / within, 2, 6])


def test_a_column_without_variance_within_groups() -> None:
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 3), "y": np.repeat(np.random.default_rng(0).normal(size=30), 3)})
    row = jmix.describe(data, "y", "g").variance.loc["g"]
    assert (row["icc1"], row["sd_within"], row["p_value"]) == (1.0, 0.0, 0.0)
    single = jmix.describe(data.groupby("g").head(1), "y", "g")
    assert single.sizes.loc["g", "single"] == 30 and np.isnan(single.variance.loc["g", "icc1"])


def test_classroom(classroom: pd.DataFrame, reference: Any) -> None:
    found = jmix.describe(classroom, "mathkind", ["schoolid", "classid"])
    for group, name in (("school", "schoolid"), ("class", "classid")):
        expected = reference["classroom"]["groups"][group]
        sizes = found.sizes.loc[name]
        assert sizes[["groups", "min", "max"]].tolist() == [expected[k] for k in ("n", "min", "max")]
        assert sizes["mean"] == pytest.approx(expected["mean"], rel=1e-12)
    # R: anova(lm(mathkind ~ factor(schoolid))) and the formulas of Snijders & Bosker
    row = found.variance.loc["schoolid"]
    expected = [0.2204297, 0.7582362, 19.48876, 36.65024, 23.44066]
    np.testing.assert_allclose(row[["icc1", "icc2", "sd_between", "sd_within", "sd_means"]], expected, rtol=2e-7)


def test_regressions_by_school(classroom: pd.DataFrame, reference: Any) -> None:
    expected = reference["classroom"]["school_slopes"]
    row = jmix.lmlist("mathkind ~ ses | schoolid", classroom).describe().table.loc["ses"]
    found = row[["mean", "median", "mean_by_size"]]
    np.testing.assert_allclose(found, [expected[k] for k in ("mean", "median", "wtd")], rtol=1e-11)


def test_regressions_by_sector(reference: Any) -> None:
    data = pd.read_csv(shared("data", "mathachieve_bryk.csv"))
    sector = data.drop_duplicates("school").set_index("school")["sector"]
    table = jmix.lmlist("mathach ~ ses | school", data).describe(sector).table
    for name, expected in reference["bryk_nlme"]["lmList"].items():
        rows = table.loc[name]
        assert rows["n"].tolist() == [expected["n"]] * 2
        np.testing.assert_allclose(rows[["mean", "sd"]].to_numpy().T, [expected["mean"], expected["sd"]], rtol=1e-11)


def test_precision_weights() -> None:
    fits = jmix.lmlist("Reaction ~ Days | Subject", jmix.load_data("sleepstudy"), pool=False)
    row = fits.describe().table.loc["Days"]
    weight = fits.se()["Days"] ** -2
    assert row["mean_by_precision"] == pytest.approx((weight * fits.coef()["Days"]).sum() / weight.sum())
    assert row["std_error"] == pytest.approx(weight.sum() ** -0.5)
    with pytest.raises(DataError, match="no category for 17 groups of Subject: 309"):
        fits.describe({"308": "a"})


# --- nesting --------------------------------------------------------------------------------------------------------
def nesting(data: Any, *groups: str) -> tuple[list[str], str]:
    found = jmix.describe(data, "y", groups)
    return found.nesting["relation"].tolist(), " ".join(found.notes)


def test_nested_crossed_and_numbered_anew() -> None:
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(12), rng.integers(6, 30, 12))
    data = pd.DataFrame({"school": school, "y": rng.normal(size=school.size)})
    data["k"] = data.groupby("school").cumcount() // 5 + 1
    data["room"] = data["school"] * 100 + data["k"]
    data["site"] = rng.integers(0, 3, school.size)
    relation, text = nesting(data, "school", "room")
    assert relation == ["nested"] and "Every room lies in one school" in text
    relation, text = nesting(data, "school", "k")
    assert relation == ["partly crossed"] and "begin anew in each school" in text and "(1 | school/k)" in text
    assert nesting(data, "school/k")[0] == ["nested"]
    assert nesting(data, "school", "site")[0] == ["crossed"]
    assert "the same groups" in nesting(data.assign(also=data["school"] + 7), "school", "also")[1]


def test_labels_as_in_a_fit(classroom: pd.DataFrame) -> None:
    found = jmix.describe(classroom, "mathkind", "schoolid/classid")
    model = jmix.model("mathkind ~ 1 + (1 | schoolid/classid)", classroom)
    assert list(found.groups) == ["schoolid", "schoolid:classid"]
    assert len(found.groups["schoolid:classid"]) == len(model.terms[0].levels)


# --- centring -------------------------------------------------------------------------------------------------------
def test_group_means_and_deviations() -> None:
    data = toy()
    found = data.join(jmix.center(data, ["x", "y"], "g"))
    for name in ("x", "y"):
        mean = data.groupby("g")[name].transform("mean")
        np.testing.assert_allclose(found[f"{name}_mean"], mean)
        np.testing.assert_allclose(found[f"{name}_within"], data[name] - mean)
    assert found["y_within"].isna().sum() == 1 and found["y_mean"].notna().all()
    data.loc[0, "g"] = None
    assert jmix.center(data, "x", "g").iloc[0].isna().all()


def test_centring_as_bryk_and_raudenbush() -> None:
    data = pd.read_csv(shared("data", "mathachieve_bryk.csv"))
    made = jmix.center(data, "ses", "school", names=("meanses", "cses"))
    np.testing.assert_allclose(made, data[["meanses", "cses"]], atol=1e-13)


# --- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("no column 'h'", lambda d: jmix.describe(d, "y", "h")),
        ("holds categories", lambda d: jmix.describe(d, "g", "g")),
        ("names no grouping factor", lambda d: jmix.describe(d, "y", [])),
        ("no row has a value", lambda d: jmix.describe(d.assign(y=np.nan), "y", "g")),
        ("two names", lambda d: jmix.center(d, "x", "g", names=("a",))),
        ("by: give a Series or dict", lambda d: jmix.lmlist("y ~ x | g", d).describe(by=["a"])),
    ],
)
def test_bad_arguments_are_refused(message: str, call: Any) -> None:
    with pytest.raises(DataError, match=message):
        call(toy())


def test_other_tables_serve() -> None:
    polars = pytest.importorskip("polars")
    data = toy()
    found = jmix.describe(polars.from_pandas(data), "y", "g")
    pd.testing.assert_frame_equal(found.groups["g"], jmix.describe(data, "y", "g").groups["g"])
    assert jmix.center(polars.from_pandas(data), "x", "g").shape == (10, 2)
