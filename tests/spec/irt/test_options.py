"""Constraints, fixed and starting values, anchors, and the frame of all parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.spec.irt import build_spec, parameter_frame, unpack
from tests.spec.irt.tables import responses


def names(**options: Any) -> list[str]:
    return list(spec_of(**options).table.free_names)


def spec_of(**options: Any) -> Any:
    data = options.pop("data", None)
    return build_spec(responses() if data is None else data, options.pop("itemtype", "2PL"), **options)[0]


def value(spec: Any, name: str) -> float:
    return float(spec.table.values[spec.table.names.index(name)])


SLOPES = [f"a1[Item.{j}]" for j in range(1, 6)]


# --- equal ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("equal", ["a1", ["a1"], ["a"], [("a1", "1-5")], [SLOPES], ["a1[1-5]"], ["a1[Item.1-Item.5]"]])
def test_equal_slopes_are_the_1pl(equal: Any) -> None:
    assert spec_of(equal=equal).table.names == spec_of(itemtype="1PL").table.names


def test_equal_parts() -> None:
    free = names(equal=[("d", ["Item.1", "Item.3"]), ["a1[Item.2]", "a1[Item.4]"]])
    assert len(free) == 8
    assert {"d[Item.1=Item.3]", "a1[Item.2=Item.4]"} <= set(free)
    chained = spec_of(equal=[("d", [1, 2]), ("d", [2, 3]), ("d", [4, 5])])
    assert chained.n_free == 5 + 2
    block = chained.blocks[0].own[0, :, 0]
    assert len(set(block[:3])) == len(set(block[3:])) == 1 and block[0] != block[4]


def test_equal_slopes_of_a_pattern_leave_its_zeros() -> None:
    spec = spec_of(data=responses(n_items=6), model="F1 = 1-3\nF2 = 4-6", equal=["a1", "a2"])
    assert spec.n_free == 6 + 2
    v = unpack(np, spec, np.arange(1.0, 9.0))
    assert (v.slopes[0][0] != 0).tolist() == [[True, False]] * 3 + [[False, True]] * 3


def test_equal_within_and_between_groups() -> None:
    data = responses(n_items=4, groups=("x", "y"))
    within = names(data=data, equal_items=False, equal=["a1"])
    assert [name for name in within if name.startswith("a1")] == ["a1[|x]", "a1[|y]"] and len(within) == 8 + 2
    between = spec_of(data=data, equal_items=False, equal=[["d[Item.2|x]", "d[Item.2|y]"]])
    assert between.n_free == 16 - 1 and "d[Item.2]" in between.table.free_names
    sds = spec_of(data=data, itemtype="Rasch", equal=["sd[F1]"])
    assert sds.n_free == 4 + 1 + 1 and sds.sd[0, 0] == sds.sd[1, 0]


def test_fixed_wins_over_a_tie_and_a_clash_is_an_error() -> None:
    spec = spec_of(equal=["a1"], fixed={"a1[Item.3]": 0.7})
    assert spec.n_free == 5 and value(spec, "a1") == 0.7
    with pytest.raises(ModelError, match="must be equal, but are fixed at"):
        spec_of(equal=["a1"], fixed={"a1[Item.1]": 0.7, "a1[Item.2]": 0.8})


# --- fixed, start, free -----------------------------------------------------------------------------------------------
def test_fixed_by_name_and_array() -> None:
    spec = spec_of(fixed={"d": [0.1, 0.2, 0.3, 0.4, 0.5], ("a1", ("Item.2", 4)): 1.0})
    assert spec.table.free_names == ("a1[Item.1]", "a1[Item.3]", "a1[Item.5]")
    assert unpack(np, spec, np.full(3, 9.0)).own[0][0, :, 0].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert unpack(np, spec, np.full(3, 9.0)).slopes[0][0, :, 0].tolist() == [9, 1, 9, 1, 9]


def test_asymptotes_are_given_as_probabilities() -> None:
    spec = spec_of(itemtype="3PL", fixed={"c": 0.2}, start={"d": 1.5})
    assert spec.n_free == 10
    assert value(spec, "logit(c)[Item.2]") == pytest.approx(np.log(0.25))
    assert value(spec, "d[Item.4]") == 1.5
    assert value(spec_of(itemtype="3PL", fixed={"logit(c)[Item.2]": -2.0}), "logit(c)[Item.2]") == -2.0
    assert value(spec_of(itemtype="3PL", fixed={"g[Item.2]": 0}), "logit(c)[Item.2]") == -np.inf
    frame = parameter_frame(spec_of(itemtype="3PL", start={"c[Item.2]": 0.3}))
    assert frame.query("item == 'Item.2' and name == 'c'")["value"].item() == pytest.approx(0.3)
    with pytest.raises(ModelError, match=r"a probability between 0 and 1, not 1.2"):
        spec_of(itemtype="3PL", fixed={"c": 1.2})


def test_what_the_user_starts_is_marked() -> None:
    spec = spec_of(start={"a1[Item.2]": 1.3, "d": 0.4})
    assert [spec.table.names[i] for i in spec.table.given] == [
        "d[Item.1]",
        "a1[Item.2]",
        *(f"d[Item.{j}]" for j in (2, 3, 4, 5)),
    ]
    assert spec_of().table.given == ()


def test_free_releases_what_is_fixed() -> None:
    spec = spec_of(itemtype="3PL", free=["u[Item.2]"])
    assert "logit(u)[Item.2]" in spec.table.free_names and np.isfinite(spec.table.values[spec.table.free]).all()
    assert names(itemtype="Rasch", free=["a1[Item.2]"])[1] == "a1[Item.2]"
    anchored = spec_of(fixed={"a1[Item.1]": 1.0, "d[Item.1]": 0.0}, free=["mean", "sd"])
    assert anchored.table.free_names[-2:] == ("mean[F1]", "sd[F1]")


def test_anchors_from_a_frame_of_items() -> None:
    items = pd.DataFrame(
        {"a": [1.1, 0.9], "d": [0.5, np.nan], "c": [0.2, 0.0], "u": 1.0, "se_a": 0.1, "itemtype": "x"},
        index=["Item.1", "Item.3"],
    )
    spec = spec_of(itemtype={"Item.1": "3PL"}, fixed=items)
    assert "d[Item.3]" in spec.table.free_names
    assert not {"a1[Item.1]", "a1[Item.3]", "d[Item.1]", "logit(c)[Item.1]"} & set(spec.table.free_names)
    assert value(spec, "logit(c)[Item.1]") == pytest.approx(np.log(0.25)) and value(spec, "a1[Item.3]") == 0.9


def test_anchor_frames_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match=r"the frame's index holds 'Item.7', which is not an item"):
        spec_of(fixed=pd.DataFrame({"a": [1.0]}, index=["Item.7"]))
    with pytest.raises(ModelError, match="the frame has no column of parameters, such as a1, d"):
        spec_of(fixed=pd.DataFrame({"q": [1.0]}, index=["Item.1"]))
    with pytest.raises(ModelError, match="rating scale items share their thresholds"):
        spec_of(data=responses(3), itemtype="rsm", fixed=pd.DataFrame({"a": [1.0], "b1": 0.0}, index=["Item.1"]))
    with pytest.raises(ModelError, match=r"item 'Item.1' has no parameter 'c'"):
        spec_of(itemtype={"Item.2": "3PL"}, fixed=pd.DataFrame({"a": [1.0], "c": 0.2}, index=["Item.1"]))


def test_anchor_frame_holds_in_every_group() -> None:
    data = responses(n_items=3, groups=("x", "y"))
    items = pd.DataFrame({"a1": [1.1, 0.9], "d": [0.5, -0.5]}, index=["Item.3", "Item.1"])
    spec = spec_of(data=data, equal_items=False, fixed=items)
    assert spec.n_free == 4
    values = unpack(np, spec, np.arange(1.0, 5.0))
    for g in range(2):
        assert values.slopes[0][g, [0, 2], 0].tolist() == [0.9, 1.1]
        assert values.own[0][g, [0, 2], 0].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"z": 1.0}}, "no item has a parameter 'z'; there are a1, d"),
        ({"fixed": {"b": 1.0}}, "difficulties b are derived"),
        ({"fixed": {"a1[Itm.1]": 1.0}}, "did you mean 'Item.1'"),
        ({"fixed": {"d": [1.0, 2.0]}}, "means 5 parameters, but has 2 values"),
        ({"fixed": {"d": np.nan}}, "the value of 'd' is missing"),
        ({"fixed": {"sd[F2]": 1.0}}, r"'sd\[F2\]' does not exist; there are sd\[F1\]"),
        ({"fixed": {"corr": 0.0}}, "this model has no parameter 'corr'"),
        ({"fixed": {"sd[F1|x]": 1.0}}, "'x' is not a group"),
        ({"fixed": 3.0}, "fixed is a dict"),
        ({"fixed": {3: 1.0}}, "names no parameter"),
        ({"start": {"sd": 2.0}}, "'sd' is fixed, not estimated"),
        ({"start": {"d": np.inf}}, r"d\[Item.1\] must be a finite number, not inf"),
        ({"fixed": {"d[Item.2]": -np.inf}}, r"d\[Item.2\] must be a finite number, not -inf"),
        ({"fixed": {"sd": 0.0}}, r"sd\[F1\] is a standard deviation and must be positive, not 0"),
        ({"model": "F = 1-5\nSTART = (1, d, 1e400)"}, "must be a finite number"),
        ({"model": "F = 1-3\nG = 3-5\nCOV = F*G\nSTART = (GROUP, COV_21, 1.5)"}, "is a correlation between -1 and 1"),
        ({"equal": ["d[Item.1]"]}, "means a single parameter"),
        ({"free": ["mean"]}, "only their sum is identified"),
        ({"free": ["sd"]}, "only their product is identified"),
        ({"fixed": {"c": 0.2}}, "no item has a parameter 'c'"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        spec_of(**options)


def test_a_parameter_that_only_other_items_have() -> None:
    with pytest.raises(ModelError, match=r"item 'Item.1' has no parameter 'c'; it has a1, d"):
        spec_of(itemtype={"Item.2": "3PL"}, fixed={"c[Item.1]": 0.2})


# --- the frame of parameters ------------------------------------------------------------------------------------------
def test_frame_lists_everything_once_per_group() -> None:
    data = responses([2, 3, 2], groups=("x", "y"))
    spec = spec_of(data=data, itemtype=["3PL", "graded", "2PL"], priors={"c": "beta(5, 17)"})
    frame = parameter_frame(spec)
    assert frame.columns.tolist() == ["group", "item", "name", "value", "est", "parameter", "prior"]
    assert len(frame) == 2 * (4 + 3 + 2 + 2)
    assert frame.query("group == 'x' and item == 'GROUP'")["est"].tolist() == [False, False]
    assert frame.query("group == 'y' and item == 'GROUP'")["est"].tolist() == [True, True]
    asymptotes = frame.query("group == 'y' and item == 'Item.1' and name in ['c', 'u']")
    np.testing.assert_allclose(asymptotes["value"], [0.15, 1.0], atol=1e-4)
    assert asymptotes["prior"].tolist() == ["beta(5, 17)", ""]
    assert frame.loc[frame["est"], "parameter"].nunique() == spec.n_free


def test_frame_at_other_values() -> None:
    spec = spec_of()
    frame = parameter_frame(spec, np.arange(1.0, 11.0))
    assert frame.loc[frame["est"], "value"].tolist() == list(range(1, 11))


def test_edited_frame_comes_back() -> None:
    data = responses([2, 3, 2], groups=("x", "y"))
    itemtype = ["3PL", "graded", "2PL"]
    frame = parameter_frame(spec_of(data=data, itemtype=itemtype))
    same = spec_of(data=data, itemtype=itemtype, parameters=frame)
    assert same.table.free_names == spec_of(data=data, itemtype=itemtype).table.free_names
    frame.loc[(frame["item"] == "Item.1") & (frame["name"] == "c"), ["value", "est"]] = [0.25, False]
    frame.loc[(frame["item"] == "Item.3") & (frame["name"] == "d"), "value"] = -0.7
    spec = spec_of(data=data, itemtype=itemtype, parameters=frame)
    assert "logit(c)[Item.1]" not in spec.table.free_names
    assert value(spec, "logit(c)[Item.1]") == pytest.approx(np.log(1 / 3)) and value(spec, "d[Item.3]") == -0.7
    assert [spec.table.names[i] for i in spec.table.given if i in spec.table.free] == ["d[Item.3]"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "Item.9"}, "'Item.9' is not an item"),
        ({"name": "q"}, "item 'Item.1' has no parameter 'q'"),
        ({"value": np.nan}, "the value of 'a1' of Item.1 is missing"),
        ({"group": "z"}, "'z' is not a group"),
    ],
)
def test_frame_errors(change: dict[str, Any], message: str) -> None:
    frame = parameter_frame(spec_of())
    for column, new in change.items():
        frame.loc[0, column] = new
    with pytest.raises(ModelError, match=message):
        spec_of(parameters=frame)
    with pytest.raises(ModelError, match="columns item, name, value and est"):
        spec_of(parameters=frame.drop(columns="est"))


def test_frame_of_asymptotes_holds_probabilities() -> None:
    frame = parameter_frame(spec_of(itemtype="3PL"))
    c = frame["name"] == "c"
    with pytest.raises(ModelError, match=r"'c' of Item.1 is a probability; its value 1.5 must lie"):
        spec_of(itemtype="3PL", parameters=frame.assign(value=frame["value"].where(~c, 1.5)))
    with pytest.raises(ModelError, match=r"'c' of Item.1 is a probability; its value 0 must lie"):
        spec_of(itemtype="3PL", parameters=frame.assign(value=frame["value"].where(~c, 0.0)))
    none = frame.assign(value=frame["value"].where(~c, 0.0), est=frame["est"] & ~c)
    assert spec_of(itemtype="3PL", parameters=none).n_free == 10


def test_every_name_of_the_table_can_be_used() -> None:
    data = responses([2, 3, 2, 3, 2], groups=("x", "y"))
    options = {
        "itemtype": ["3PL", "graded", "2PL", "rsm", "1PL"],
        "equal_items": ["Item.1", "Item.2"],
        "equal": [("d", ["Item.1", "Item.3"]), ["d1[Item.2]", "a1[Item.2]"]],
    }
    spec = spec_of(data=data, **options)
    for name in spec.table.free_names:
        without = spec_of(data=data, **options, fixed={name: 0.3})
        assert set(spec.table.free_names) - set(without.table.free_names) == {name}
