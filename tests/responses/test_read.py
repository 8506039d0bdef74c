"""Responses from tables, lists and arrays are the same responses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jmix.errors import DataError
from jmix.responses import MISSING, read_responses
from jmix.responses.convert import as_table, take_items, take_persons, to_long, to_table

TABLE = np.array([[0, 1, 2], [1, -1, 0], [1, 1, 1], [0, 0, 2]], dtype=np.int8)


def frame(table: np.ndarray = TABLE) -> pd.DataFrame:
    values = pd.DataFrame(table, columns=["a", "b", "c"][: table.shape[1]])
    return values.where(values >= 0).astype("Int64")


CONTAINERS = {
    "int8": lambda: TABLE,
    "int64": lambda: TABLE.astype(np.int64),
    "fortran": lambda: np.asfortranarray(TABLE),
    "float": lambda: np.where(TABLE < 0, np.nan, TABLE),
    "float32": lambda: np.where(TABLE < 0, np.nan, TABLE).astype(np.float32),
    "masked": lambda: np.ma.masked_array(np.maximum(TABLE, 0), TABLE < 0),
    "object": lambda: np.where(TABLE < 0, None, TABLE.astype(object)),
    "text": lambda: np.where(TABLE < 0, None, TABLE.astype(str).astype(object)),
    "list": lambda: TABLE.tolist(),
    "pandas": frame,
    "pandas float": lambda: frame().astype(float),
    "pandas int": lambda: pd.DataFrame(TABLE),
    "pandas text": lambda: frame().astype("string"),
    "polars": lambda: pl.DataFrame(
        {k: [None if v < 0 else int(v) for v in c] for k, c in zip("abc", TABLE.T, strict=True)}
    ),
    "arrow": lambda: pa.table({k: [None if v < 0 else int(v) for v in c] for k, c in zip("abc", TABLE.T, strict=True)}),
    "dict": lambda: {k: np.where(c < 0, np.nan, c) for k, c in zip("abc", TABLE.T, strict=True)},
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_same_codes(kind: str) -> None:
    read = read_responses(CONTAINERS[kind]())
    assert read.table is not None and read.table.dtype == np.int8 and read.table.flags.c_contiguous
    np.testing.assert_array_equal(read.table, TABLE)
    assert read.n_categories == (2, 2, 3)
    assert [str(label) for label in read.categories[2]] == ["0", "1", "2"]
    assert read.items in (("a", "b", "c"), ("Item.1", "Item.2", "Item.3"), ("0", "1", "2"))


def test_an_int8_array_in_codes_is_not_copied() -> None:
    table = np.random.default_rng(1).integers(0, 3, (5000, 7)).astype(np.int8)
    assert read_responses(table).table is table


def test_truth_values() -> None:
    read = read_responses(TABLE[:, :1].astype(bool))
    assert read.categories == ((False, True),)
    np.testing.assert_array_equal(read.table, TABLE[:, :1])


def test_categories_are_recoded_by_item_and_gaps_close() -> None:
    read = read_responses(pd.DataFrame({"a": [1, 2, 4, 1], "b": [10, 20, 10, 20], "c": [-1, 0, 1, 0]}))
    assert read.categories == ((1, 2, 4), (10, 20), (0, 1))
    np.testing.assert_array_equal(read.table, [[0, 0, MISSING], [1, 1, 0], [2, 0, 1], [0, 1, 0]])
    assert any("-1" in note for note in read.notes)


@settings(max_examples=60, deadline=None)
@given(arrays(np.int16, st.tuples(st.integers(1, 60), st.integers(1, 5)), elements=st.integers(-1, 6)))
def test_codes_and_labels_give_back_the_values(values: np.ndarray) -> None:
    big = np.tile(values, (50, 1))  # beyond the sample in which categories are looked for first
    for given_values in (values, big.astype(np.int8), big.astype(np.int64), np.where(big < 0, np.nan, big)):
        read = read_responses(given_values)
        assert read.table is not None
        for j in range(values.shape[1]):
            labels = np.array([*read.categories[j], MISSING])
            np.testing.assert_array_equal(labels[read.table[:, j]], np.nan_to_num(given_values, nan=MISSING)[:, j])
            assert list(read.categories[j]) == sorted(read.categories[j])  # type: ignore[type-var]


def test_a_rare_category_far_down_is_found() -> None:
    table = np.zeros((10_000, 3), dtype=np.int8)
    table[::2] = 3
    table[7777, 1] = 1
    read = read_responses(table)
    assert read.categories == ((0, 3), (0, 1, 3), (0, 3))
    assert read.table is not None and read.table[7777].tolist() == [0, 1, 0]


def test_ordered_categoricals_keep_their_order_and_drop_what_nobody_chose() -> None:
    levels = ["never", "rarely", "often", "always"]
    values = pd.Categorical(["often", "never", "always", None], categories=levels, ordered=True)
    read = read_responses(pd.DataFrame({"x": values, "y": ["no", "yes", "no", "yes"]}))
    assert read.categories == (("never", "often", "always"), ("no", "yes"))
    assert read.table is not None and read.table[:, 0].tolist() == [1, 0, 2, MISSING]
    assert any("rarely" in note and "empty" in note for note in read.notes)


def test_text_that_is_numbers_is_sorted_as_numbers() -> None:
    read = read_responses(pd.DataFrame({"x": ["10", "9", "9", "2"]}))
    assert read.categories == (("2", "9", "10"),)
    assert read.notes == ()


def text() -> dict[str, list[str | None]]:
    return {k: [None if v < 0 else str(v) for v in c] for k, c in zip("abc", TABLE.T, strict=True)}


CATEGORICALS = {
    "pandas": lambda: pd.DataFrame(text()).astype("category"),
    "pandas reversed": lambda: pd.DataFrame(text()).apply(lambda c: pd.Categorical(c, ["10", "2", "1", "0"])),
    "polars": lambda: pl.DataFrame(text()).cast(pl.Categorical),
    "polars enum": lambda: pl.DataFrame(text()).cast(pl.Enum(["0", "1", "2"])),
    "arrow": lambda: pa.table({k: pa.array(v).dictionary_encode() for k, v in text().items()}),
    "arrow numbers": lambda: pa.table({k: pa.array([v and int(v) for v in c]) for k, c in text().items()}),
    "pandas arrow": lambda: pd.DataFrame(text()).astype("Int64").astype("int64[pyarrow]"),
    "pandas boolean": lambda: frame().astype({"a": "boolean"}),
    "blank": lambda: pd.DataFrame(text()).fillna(" "),
    "lazy": lambda: pl.DataFrame(text()).lazy(),
}


@pytest.mark.parametrize("kind", CATEGORICALS)
def test_categories_have_one_order_in_all_items(kind: str) -> None:
    """Polars and arrow number categories as they occur, which differs from item to item."""
    np.testing.assert_array_equal(read_responses(CATEGORICALS[kind]()).table, TABLE)


def test_a_declared_order_is_kept() -> None:
    levels = ["no", "maybe", "yes"]
    values = ["yes", "no", "maybe"]
    for table in (
        pl.DataFrame({"x": values}, schema={"x": pl.Enum(levels)}),
        pd.DataFrame({"x": pd.Categorical(values, levels)}),
        pd.DataFrame({"x": pd.Categorical(values, levels, ordered=True)}),
        pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([2, 0, 1]), pa.array(levels), ordered=True)}),
    ):
        assert read_responses(table).categories == (("no", "maybe", "yes"),)


def test_the_order_of_text_is_told() -> None:
    read = read_responses(pd.DataFrame({"x": ["mid", "low", "high", "low"]}))
    assert read.categories == (("high", "low", "mid"),)
    assert "high, low, mid" in read.notes[0] and "ordered categorical" in read.notes[0]


def test_an_item_that_all_got_right_is_still_dichotomous() -> None:
    read = read_responses(np.array([[1, 0], [1, 1], [1, 0]]))
    assert read.categories == ((0, 1), (0, 1))
    assert read.table is not None and read.table[:, 0].tolist() == [1, 1, 1]
    text = read_responses(pd.DataFrame({"x": ["yes"] * 3, "y": ["no", "yes", "no"]}))
    assert text.categories == (("no", "yes"), ("no", "yes"))
    assert text.table is not None and text.table[:, 0].tolist() == [1, 1, 1]


def test_columns_of_persons_are_taken_out_of_the_items() -> None:
    data = frame().assign(w=[1.0, 2.0, 0.5, 1.0], sex=["m", "f", "f", "m"], school=[7, 7, 3, 3], id=list("wxyz"))
    read = read_responses(data, weights="w", group="sex", cluster="school", person="id")
    assert read.items == ("a", "b", "c")
    assert read.weights is not None and read.weights.tolist() == [1.0, 2.0, 0.5, 1.0]
    assert read.groups == ("f", "m") and read.group is not None and read.group.tolist() == [1, 0, 0, 1]
    assert read.clusters is not None and read.clusters.tolist() == [3, 7]
    assert read.cluster is not None and read.cluster.tolist() == [1, 1, 0, 0]
    assert read.persons.tolist() == list("wxyz")
    labelled = read_responses(data.astype({"id": "category"})[["a", "id"]], person="id")
    assert not isinstance(labelled.persons, pd.CategoricalIndex) and labelled.persons.equals(read.persons)
    chosen = read_responses(data, items=["c", "a"], person="id")
    assert chosen.items == ("c", "a") and chosen.data is not None
    assert set(chosen.data.columns) == {"b", "w", "sex", "school"}


def listing(table: np.ndarray = TABLE, seed: int | None = 3) -> pd.DataFrame:
    rows, columns = np.nonzero(table >= 0)
    long = pd.DataFrame(
        {"who": rows + 100, "what": columns, "y": table[rows, columns], "age": rows * 2, "len": columns * 3}
    )
    return long if seed is None else long.sample(frac=1.0, random_state=seed)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_list_is_the_table(seed: int | None) -> None:
    read = read_responses(listing(seed=seed), person="who", item="what", response="y")
    order = read.persons.to_numpy() - 100
    np.testing.assert_array_equal(read.table, TABLE[order])
    assert read.items == ("0", "1", "2") and read.categories == ((0, 1), (0, 1), (0, 1, 2))
    assert read.data is not None and read.data["age"].tolist() == (order * 2).tolist()
    assert read.item_data is not None and read.item_data["len"].tolist() == [0, 3, 6]


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.int8, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.integers(-1, 3)), st.integers(0, 99)
)
def test_list_and_table_agree(table: np.ndarray, seed: int) -> None:
    table = table[(table >= 0).any(axis=1)][:, :]
    table = table[:, (table >= 0).any(axis=0)]
    if table.size == 0:
        return
    wide = read_responses(table)
    long = read_responses(listing(table, seed), person="who", item="what", response="y")
    order = long.persons.to_numpy() - 100
    assert wide.table is not None
    np.testing.assert_array_equal(as_table(long), wide.table[order])
    assert long.categories == wide.categories
    np.testing.assert_array_equal(to_table(to_long(wide.table), wide.n_items), wide.table)


def test_sparse_lists_stay_lists() -> None:
    rng = np.random.default_rng(0)
    n, j = 3000, 1000
    rows = pd.DataFrame(
        {
            "p": np.repeat(np.arange(n), 5),
            "i": rng.integers(0, j, 5 * n),
        }
    ).drop_duplicates()
    rows["y"] = rng.integers(0, 2, len(rows))
    read = read_responses(rows, person="p", item="i", response="y")
    assert read.table is None and read.long is not None and read.long.n == len(rows)
    dense = as_table(read)
    again = rows.sort_values(["p", "i"])
    np.testing.assert_array_equal(read.long.value, again["y"])
    assert (dense >= 0).sum() == len(rows)


def test_long_weights_groups_and_person_data() -> None:
    long = listing(seed=None).assign(w=lambda d: d["who"] / 100.0)
    people = pd.DataFrame({"who": [103, 101, 100, 102], "sex": ["f", "m", "m", "f"]})
    read = read_responses(long, person="who", item="what", response="y", weights="w", group="sex", data=people)
    assert read.weights is not None and read.weights.tolist() == [1.0, 1.01, 1.02, 1.03]
    assert read.group is not None and read.group.tolist() == [1, 1, 0, 0]
    by_row = read_responses(long, person="who", item="what", response="y", weights=long["w"].to_numpy())
    assert by_row.weights is not None and by_row.weights.tolist() == read.weights.tolist()


def test_item_data_are_matched_by_name() -> None:
    table = pd.DataFrame({"item": ["c", "a", "b", "zz"], "type": [3, 1, 2, 9]})
    for given_data in (table, table.set_index("item"), pl.from_pandas(table)):
        read = read_responses(frame(), item_data=given_data)
        assert read.item_data is not None and read.item_data["type"].tolist() == [1, 2, 3]


def test_parts_of_responses() -> None:
    read = read_responses(listing(seed=None), person="who", item="what", response="y")
    few = take_persons(read, [2, 0])
    np.testing.assert_array_equal(few.table, TABLE[[2, 0]])
    assert few.persons.tolist() == [102, 100]
    from dataclasses import replace

    sparse = replace(read, table=None, long=to_long(TABLE))
    np.testing.assert_array_equal(as_table(take_persons(sparse, [2, 0])), TABLE[[2, 0]])
    np.testing.assert_array_equal(as_table(take_items(sparse, ["2", "0"])), TABLE[:, [2, 0]])
    np.testing.assert_array_equal(take_items(read, ["2", "0"]).table, TABLE[:, [2, 0]])
    with pytest.raises(DataError, match="no item 'q'"):
        take_items(read, ["q"])


LONG = {"person": "who", "item": "what", "response": "y"}
MISTAKES: dict[str, tuple[object, dict[str, object], str]] = {
    "half": (np.array([[0.5, 1.0]]), {}, "0.5, which is not a whole number"),
    "continuous": (pd.DataFrame({"age": np.arange(200.0)}), {}, "'age' has 200 different values"),
    "negative": (np.array([[-2, 1], [0, 1]], dtype=np.int8), {}, "category -2"),
    "negative int64": (np.array([[-2, 1], [0, 1]]), {}, "category -2"),
    "infinite": (np.array([[np.inf, 1.0]]), {}, "infinite"),
    "one dimension": (np.arange(5), {}, "1 dimensions"),
    "no rows": (frame().iloc[:0], {}, "no persons"),
    "no columns": (frame()[[]], {}, "no items"),
    "same names": (pd.DataFrame(TABLE, columns=["a", "a", "b"]), {}, "two columns are named 'a'"),
    "mixed": (pd.DataFrame({"a": [1, "x", 2]}), {}, "mixes types"),
    "dates": (pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), {}, "datetime"),
    "a text": ("data.csv", {}, "responses are a str"),
    "weight zero": (frame(), {"weights": [1, 0, 1, 1]}, "weight of person 1 is zero"),
    "weight missing": (frame(), {"weights": [1, np.nan, 1, 1]}, "missing"),
    "weight text": (frame(), {"weights": ["a", "b", "c", "d"]}, "not numbers"),
    "weight short": (frame(), {"weights": [1.0]}, "1 values for 4 persons"),
    "no such column": (frame(), {"group": "sexx"}, "neither the responses nor data"),
    "array has no columns": (TABLE, {"group": "sex"}, "an array has none"),
    "group missing": (frame(), {"group": ["a", None, "b", "b"]}, "person 1 has no group"),
    "ids repeat": (frame().assign(i=[1, 1, 2, 3]), {"person": "i"}, "person 1 has several rows"),
    "items is text": (frame(), {"items": "a"}, "give a list"),
    "no such item": (frame(), {"items": ["a", "zz"]}, "no column 'zz'"),
    "item without response": (listing(), {"person": "who", "item": "what"}, "without response="),
    "list without person": (listing(), {"item": "what", "response": "y"}, "needs person="),
    "duplicate": (pd.concat([listing(), listing().iloc[:1]]), LONG, "more than once"),
    "weights vary": (listing().assign(w=np.arange(11)), {**LONG, "weights": "w"}, "not constant within person"),
    "missing person": (listing().assign(who=[np.nan, *range(10)]), LONG, "'who' is missing in 1 rows"),
    "data lack a person": (listing(), {**LONG, "data": pd.DataFrame({"x": [1]}, index=[100])}, "not in its index"),
    "data repeat": (listing(), {**LONG, "data": pd.DataFrame({"who": [100, 100, 101]})}, "more than once"),
    "item data lack": (frame(), {"item_data": pd.DataFrame({"t": [1]}, index=["a"])}, "item 'b' is not in its index"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    values, options, message = MISTAKES[name]
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        read_responses(values, **options)  # type: ignore[arg-type]


def test_shared_files_read(shared_dir: Path) -> None:
    science = read_responses(pd.read_csv(shared_dir / "data" / "mirt_Science.csv"))
    assert science.items == ("Comfort", "Work", "Future", "Benefit")
    assert science.n_categories == (4, 4, 4, 4) and science.n_persons == 392
    assert science.table is not None and science.table.max() == 3 and science.table.min() == 0


def test_a_million_rows_are_read_in_one_glance() -> None:
    import time

    table = np.random.default_rng(0).integers(0, 2, (200_000, 50)).astype(np.int8)
    best = np.inf
    for _ in range(5):
        began = time.perf_counter()
        read_responses(table)
        best = min(best, time.perf_counter() - began)
    assert best < 0.05  # 1,000,000 in a quarter of a second
