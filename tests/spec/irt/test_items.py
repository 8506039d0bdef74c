"""Item types, factors and groups: what is free, what is shared, what it is called."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.errors import ModelError
from jmix.spec.irt import build_spec, unpack
from tests.spec.irt.tables import responses


def names(*args: Any, **options: Any) -> list[str]:
    return list(build_spec(*args, **options)[0].table.free_names)


def values(spec: Any, x: Any = None) -> Any:
    return unpack(np, spec, spec.table.values[spec.table.free] if x is None else np.asarray(x))


@pytest.mark.parametrize(
    ("itemtype", "categories", "kind", "free"),
    [
        ("Rasch", 2, "logistic", 5 + 1),
        ("1PL", 2, "logistic", 5 + 1),
        ("2PL", 2, "logistic", 10),
        ("3PL", 2, "logistic4", 15),
        ("3PLu", 2, "logistic4", 15),
        ("4PL", 2, "logistic4", 20),
        ("GRM", 4, "graded", 20),
        ("grsm", 4, "grsm", 5 + 3 + 4),
        ("PCM", 4, "gpcm", 15 + 1),
        ("Rasch", 4, "gpcm", 15 + 1),
        ("1PL", 4, "gpcm", 15 + 1),
        ("GPCM", 4, "gpcm", 20),
        ("RSM", 4, "rsm", 3 + 4 + 1),
        ("NRM", 4, "nominal", 5 * (1 + 2 + 3)),
        ("Tutz", 4, "sequential", 20),
        (None, 2, "logistic", 10),
        (None, 4, "graded", 20),
        ("graded", 2, "logistic", 10),
        ("nominal", 2, "logistic", 10),
        ("PCM", 2, "logistic", 6),
    ],
)
def test_types(itemtype: str | None, categories: int, kind: str, free: int) -> None:
    spec, _ = build_spec(responses(categories), itemtype)
    assert [block.kind for block in spec.blocks] == [kind]
    assert spec.n_free == free
    assert len(set(spec.table.names)) == len(spec.table.names)
    assert np.isfinite(spec.table.values[spec.table.free]).all()
    slopes = values(spec).slopes[0]
    assert slopes.shape == (1, 5, 1)
    scale_free = spec.sd[0, 0] in spec.table.free
    assert scale_free == (itemtype in ("Rasch", "PCM", "RSM"))


def test_mixed_test_keeps_every_item_in_one_block() -> None:
    data = responses([2, 4, 2, 3, 4, 2, 3])
    spec, _ = build_spec(data, ["2PL", "graded", "3PL", "gpcm", "graded", "Rasch", "nominal"])
    columns = sorted(j for block in spec.blocks for j in block.columns)
    assert columns == list(range(7))
    assert {(block.kind, block.n_categories): block.columns for block in spec.blocks} == {
        ("logistic", 2): (0, 5),
        ("graded", 4): (1, 4),
        ("logistic4", 2): (2,),
        ("gpcm", 3): (3,),
        ("nominal", 3): (6,),
    }
    by_dict, _ = build_spec(data, {"Item.3": "3PL", "Item.4": "gpcm", "Item.6": "Rasch", "Item.7": "nominal"})
    assert by_dict.table.names == spec.table.names
    assert spec.itemtypes == ("2PL", "graded", "3PL", "gpcm", "graded", "Rasch", "nominal")
    assert "sd[F1]" in spec.table.free_names, "the Rasch item carries the scale"


def test_table_goes_item_by_item() -> None:
    assert names(responses([2, 3, 2]), ["3PL", "gpcm", "2PL"]) == [
        *("a1[Item.1]", "d[Item.1]", "logit(c)[Item.1]"),
        *("a1[Item.2]", "d1[Item.2]", "d2[Item.2]", "a1[Item.3]", "d[Item.3]"),
    ]
    assert names(responses(n_items=2), "1PL") == ["a1", "d[Item.1]", "d[Item.2]"]
    assert names(responses(3, n_items=3), "rsm") == ["b1", "b2", "c[Item.2]", "c[Item.3]", "sd[F1]"]


def test_2pl_has_no_asymptotes_and_3pl_no_upper_one() -> None:
    spec, _ = build_spec(responses([2, 2, 2]), ["3PL", "3PLu", "2PL"])
    assert [block.kind for block in spec.blocks] == ["logistic4", "logistic"]
    own = values(spec).own[0][0]
    assert own[0, 2] == np.inf and np.isfinite(own[0, :2]).all()
    assert own[1, 1] == -np.inf and np.isfinite(own[1, 2])


# --- factors ----------------------------------------------------------------------------------------------------------
def test_exploratory_has_the_zeros_of_mirt() -> None:
    spec, _ = build_spec(responses(n_items=6), "2PL", model=3)
    zero = values(spec, np.arange(1.0, spec.n_free + 1)).slopes[0][0] == 0
    assert zero[:4].sum() == 0
    assert zero[4:].tolist() == [[False, False, True], [False, True, True]]
    assert spec.exploratory and spec.n_free == 6 * 3 - 3 + 6


PATTERN = np.array([[1, 0], [1, 0], [1, 1], [0, 1], [0, 1]])


@pytest.mark.parametrize(
    "model",
    [
        PATTERN,
        PATTERN.astype(bool),
        pd.DataFrame(PATTERN, index=[f"Item.{j}" for j in range(1, 6)], columns=["F1", "F2"]).iloc[::-1],
        {"F1": ["Item.1", "Item.2", "Item.3"], "F2": ["Item.3", "Item.4", "Item.5"]},
        {"F1": "1-3", "F2": [3, 4, 5]},
        "F1 = 1-3\nF2 = 3-5",
        "F1 = Item.1, Item.2-Item.3\n F2 = Item.3,\n 4, 5  # the rest",
        "F1 = 1-3; F2 = 3-5",
    ],
)
def test_confirmatory_by_every_way_of_saying_it(model: Any) -> None:
    spec, _ = build_spec(responses(), "2PL", model=model)
    assert spec.factors == ("F1", "F2") and not spec.exploratory
    np.testing.assert_array_equal(values(spec).slopes[0][0] != 0, PATTERN)
    assert spec.n_free == 6 + 5


def test_correlations_come_in_the_order_of_the_lower_triangle() -> None:
    model = {"A": "1-3", "B": "4-6", "C": "7-9"}
    data = responses(n_items=9)
    spec, _ = build_spec(data, "2PL", model=model, covariances=True)
    assert spec.table.free_names[-3:] == ("corr[A,B]", "corr[A,C]", "corr[B,C]")
    x = spec.table.values[spec.table.free].copy()
    x[-3:] = [0.5, -0.3, 0.2]
    chol = values(spec, x).chol[0]
    np.testing.assert_allclose(chol @ chol.T, [[1, 0.5, -0.3], [0.5, 1, 0.2], [-0.3, 0.2, 1]], atol=1e-15)
    one, _ = build_spec(data, "2PL", model=model, covariances=[("C", "A")])
    assert one.table.free_names[-1] == "corr[A,C]"
    with pytest.raises(ModelError, match="is not a pair of the factors A, B, C"):
        build_spec(data, "2PL", model=model, covariances=[("A", "D")])


@pytest.mark.parametrize("given", [[1, 1, 1, 2, 2, 2, None], {"S1": "1-3", "S2": ["Item.4", "Item.5", "Item.6"]}])
def test_bifactor(given: Any) -> None:
    spec, _ = build_spec(responses(n_items=7), "2PL", bifactor=given)
    assert spec.factors == ("G", "S1", "S2")
    assert spec.specific is not None and spec.specific.tolist() == [1, 1, 1, 2, 2, 2, -1]
    assert spec.n_free == 7 + 6 + 7
    assert not np.isin(spec.corr, spec.table.free).any() and not np.isin(spec.sd, spec.table.free).any()


def test_testlets_share_the_general_slope() -> None:
    spec, _ = build_spec(responses(n_items=6), "2PL", testlets=["x", "x", "x", "y", "y", "y"])
    assert spec.factors == ("G", "x", "y")
    assert spec.n_free == 6 + 6 + 2 and spec.table.free_names[-2:] == ("sd[x]", "sd[y]")
    slopes = values(spec, np.arange(1.0, spec.n_free + 1)).slopes[0][0]
    np.testing.assert_array_equal(slopes[:3, 0], slopes[:3, 1])
    np.testing.assert_array_equal(slopes[3:, 0], slopes[3:, 2])
    rasch, _ = build_spec(responses(n_items=6), "Rasch", testlets=[0, 0, 0, 1, 1, 1])
    assert rasch.table.free_names[-3:] == ("sd[G]", "sd[S0]", "sd[S1]")


# --- groups -----------------------------------------------------------------------------------------------------------
TWO = ("boys", "girls")


def test_groups_share_items_and_later_ones_have_their_own_distribution() -> None:
    data = responses(n_items=3, groups=TWO)
    assert names(data, "2PL")[-2:] == ["mean[F1|girls]", "sd[F1|girls]"]
    assert len(names(data, "2PL")) == 6 + 2
    assert names(data, "Rasch")[3:] == ["sd[F1|boys]", "mean[F1|girls]", "sd[F1|girls]"]
    assert names(data, "2PL", free=["mean"])[6:] == ["mean[F1|girls]"]
    assert names(data, "2PL", free=[])[6:] == []


def test_free_items_fix_the_distributions_and_anchors_release_them() -> None:
    data = responses(n_items=3, groups=TWO)
    free = names(data, "2PL", equal_items=False)
    assert len(free) == 12 and "a1[Item.2|girls]" in free
    anchored = names(data, "2PL", equal_items=["Item.1"])
    assert len(anchored) == 2 + 8 + 2 and "a1[Item.1]" in anchored and "d[Item.3|boys]" in anchored
    assert names(data, "2PL", equal_items=["1-2"])[-2:] == ["mean[F1|girls]", "sd[F1|girls]"]
    with pytest.raises(ModelError, match=r"equal_items: 'Item.9' is not an item"):
        build_spec(data, "2PL", equal_items=["Item.9"])
    with pytest.raises(ModelError, match=r"mean of factor F1 in group 'girls'.*Fix mean\[F1\|girls\] at 0"):
        build_spec(data, "2PL", equal_items=False, free=["mean"])
    with pytest.raises(ModelError, match=r"standard deviation of factor F1 in group 'girls'.*Fix sd\[F1\|girls\] at 1"):
        build_spec(data, "2PL", equal_items=False, free=["sd"])


def test_correlations_by_group() -> None:
    data = responses(n_items=6, groups=TWO)
    free = names(data, "2PL", model="F1 = 1-3\nF2 = 4-6\nCOV = F1*F2")
    later = ["mean[F1|girls]", "mean[F2|girls]", "sd[F1|girls]", "sd[F2|girls]", "corr[F1,F2|girls]"]
    assert free[-6:] == ["corr[F1,F2|boys]", *later]


def test_rating_scales_by_group() -> None:
    data = responses(3, n_items=3, groups=TWO)
    assert len(names(data, "rsm", equal_items=False)) == 2 * (2 + 2 + 1)
    assert names(data, "rsm")[:4] == ["b1", "b2", "c[Item.2]", "c[Item.3]"]
    anchored = names(data, "rsm", equal_items=["Item.2"])
    assert "c[Item.1|girls]" in anchored and "c[Item.1|boys]" not in anchored, "one zero for one set of thresholds"
    assert [name for name in anchored if name.startswith("b")] == ["b1", "b2"]


def test_clusters() -> None:
    data = responses(cluster=np.zeros(12, dtype=np.int32), clusters=pd.Index(["s"]))
    spec, _ = build_spec(data, "2PL")
    assert spec.cluster_sd is not None and spec.table.free_names[-1] == "cluster_sd[F1]"
    assert values(spec).cluster_sd.tolist() == [0.5]
    assert build_spec(data, "2PL", clusters=False)[0].cluster_sd is None
    with pytest.raises(ModelError, match="the responses have no clusters"):
        build_spec(responses(), "2PL", clusters=True)


# --- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"itemtype": "2PLX"}, "itemtype '2PLX' is unknown .did you mean '2pl'"),
        ({"itemtype": ["2PL"]}, "itemtype has 1 entries for 5 items"),
        ({"itemtype": {"Item.8": "2PL"}}, "'Item.8', which is not an item"),
        ({"model": 0}, "number of factors is between 1 and 5"),
        ({"model": 9}, "number of factors is between 1 and 5"),
        ({"model": np.ones((4, 2))}, r"shape \(4, 2\).*each of the 5 items"),
        ({"model": 2 * np.ones((5, 1))}, "must hold zeros and ones"),
        ({"model": {"F1": "1-4"}}, "'Item.5' loads on no factor"),
        ({"model": {"F1": "1-5", "F2": []}}, "factor F2 has no items"),
        ({"model": {"F1": "1-5", "F2": "6"}}, "factor F2: there is no item 6"),
        ({"model": {"F1": "5-1"}}, "runs backwards"),
        ({"model": {"F1": "Itm.1"}}, "did you mean 'Item.1'"),
        ({"bifactor": [1, 1, 2]}, "bifactor has 3 entries for 5 items"),
        ({"bifactor": [1, 1, 1, 2, 2], "model": 2}, "bifactor defines the factors; leave model out"),
        ({"bifactor": {"S": "1-3", "T": "3-5"}}, "item 'Item.3' is in two specific factors"),
        ({"covariances": True}, "covariances= is for confirmatory"),
        ({"model": {"F1": "1-5", "F2": "5"}}, "factor F2 has only the item 'Item.5'"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_spec(responses(), **{"itemtype": "2PL", **options})


def test_type_for_two_categories_on_more() -> None:
    with pytest.raises(ModelError, match=r"item 'Item.2' has 4 categories, but itemtype '2PL' is for two"):
        build_spec(responses([2, 4]), "2PL")
    with pytest.raises(ModelError, match="type rsm and loads on several factors"):
        build_spec(responses(3), "rsm", model={"F1": "1-4", "F2": "2-5"})


def test_twelve_thousand_items_are_quick() -> None:
    data = responses(n_items=12_000, n=2)
    begun = time.perf_counter()
    spec, _ = build_spec(data, "3PL", priors=None)
    assert spec.n_free == 36_000
    assert time.perf_counter() - begun < 5.0
