"""What is said of bad responses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse.csgraph import connected_components

from jmix.errors import DataError
from jmix.responses import MISSING, Long, Responses, check_responses, read_responses
from jmix.responses.connected import conditional_components, item_components
from jmix.responses.convert import to_long

RNG = np.random.default_rng(5)
GOOD = RNG.integers(0, 2, (400, 6)).astype(np.int8)


def with_column(j: int, values: object) -> np.ndarray:
    table = GOOD.copy()
    table[:, j] = values
    return table


def test_good_data_have_no_notes() -> None:
    assert check_responses(read_responses(GOOD)) == ()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("value", "text"), [(1, "all correct: 1"), (0, "all wrong: 0")])
def test_constant_items_are_named(value: int, text: str, sparse: bool) -> None:
    read = read_responses(with_column(2, value))
    if sparse:
        assert read.table is not None
        read = replace(read, table=None, long=to_long(read.table))
    with pytest.raises(DataError, match=rf"'Item.3' \({text}\).*priors"):
        check_responses(read)
    notes = check_responses(read, keep_constant=True)
    assert any("'Item.3'" in note and "prior" in note for note in notes)


def test_many_constant_items_are_counted() -> None:
    table = GOOD.copy()
    table[:, :] = 1
    table[:, 5] = GOOD[:, 5]
    with pytest.raises(DataError, match=r"5 items: 'Item\.1'"):
        check_responses(read_responses(table))


def test_one_category_of_a_polytomous_item() -> None:
    table = RNG.integers(0, 3, (100, 3))
    table[:, 1] = 2
    with pytest.raises(DataError, match=r"'Item\.2' .one category: 2"):
        check_responses(read_responses(table))
    with pytest.raises(DataError):
        check_responses(read_responses(table), keep_constant=True)


def test_items_and_persons_without_responses() -> None:
    with pytest.raises(DataError, match=r"nobody answered item 'Item\.4'"):
        check_responses(read_responses(with_column(3, MISSING)))
    with pytest.raises(DataError, match="all are missing"):
        check_responses(read_responses(np.full((3, 2), MISSING)))
    table = GOOD.copy()
    table[[7, 9]] = MISSING
    notes = check_responses(read_responses(pd.DataFrame(table, index=[f"p{i}" for i in range(400)])))
    assert any("2 persons have no responses (p7, p9)" in note for note in notes)


def test_duplicates_in_a_list_made_by_hand() -> None:
    long = Long(np.array([0, 1, 1, 0]), np.array([0, 1, 1, 1], np.int8), np.array([0, 3, 4]))
    read = Responses(("a", "b"), ((0, 1), (0, 1)), None, long, pd.Index(["x", "y"]))
    with pytest.raises(DataError, match="person 'x' answered item 'b' more than once"):
        check_responses(read)
    with pytest.raises(DataError, match="not sorted"):
        check_responses(replace(read, long=Long(np.array([1, 0, 0, 1]), long.value, np.array([0, 2, 4]))))
    fine = replace(read, long=Long(np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0], np.int8), np.array([0, 2, 4])))
    assert all("parameters" in note for note in check_responses(fine))


def test_empty_categories_identical_columns_and_few_persons() -> None:
    table = RNG.integers(1, 4, (300, 3))
    table[table == 2] = 4
    table = np.column_stack([table, table[:, 0]])
    notes = check_responses(read_responses(table))
    assert any("nobody chose category 2" in note for note in notes)
    assert any("Item.4 = Item.1" in note for note in notes)
    notes = check_responses(read_responses(GOOD[:20]), n_parameters=30)
    assert any("fewer persons (20) than parameters of the model (30)" in note for note in notes)


def test_a_measurement_among_the_items_is_told() -> None:
    table = np.column_stack([GOOD, RNG.integers(18, 60, 400)])
    assert any("item 'Item.7' has 15 or more categories" in note for note in check_responses(read_responses(table)))


def test_columns_that_differ_late_are_not_identical() -> None:
    table = np.random.default_rng(0).integers(0, 2, (9000, 3)).astype(np.int8)
    table[:, 2] = table[:, 0]
    assert any("exactly the responses" in note for note in check_responses(read_responses(table)))
    table[8999, 2] = 1 - table[8999, 0]
    assert check_responses(read_responses(table)) == ()


def test_disconnected_designs_are_told() -> None:
    table = np.full((200, 6), MISSING, dtype=np.int8)
    table[:100, :3] = RNG.integers(0, 2, (100, 3))
    table[100:, 3:] = RNG.integers(0, 2, (100, 3))
    read = read_responses(table)
    assert item_components(read).tolist() == [0, 0, 0, 1, 1, 1]
    notes = check_responses(read)
    assert any("2 parts" in note and "{Item.1, Item.2, Item.3}" in note for note in notes)
    table[0, 5] = 1
    assert item_components(read_responses(table)).max() == 0


@settings(max_examples=150, deadline=None)
@given(arrays(np.int8, st.tuples(st.integers(1, 40), st.integers(2, 6)), elements=st.integers(-1, 2)))
def test_components_by_brute_force(table: np.ndarray) -> None:
    names = tuple(f"i{j}" for j in range(table.shape[1]))
    persons = pd.RangeIndex(table.shape[0])
    top = 2
    wide = Responses(names, ((0, 1, 2),) * len(names), table, None, persons)
    sparse = replace(wide, table=None, long=to_long(table))
    answered = (table >= 0).astype(int)
    plain = connected_components(answered.T @ answered, directed=False)[1]
    up, down = (table > 0).astype(int), ((table >= 0) & (table < top)).astype(int)
    strong = connected_components(down.T @ up, directed=True, connection="strong")[1]
    for read in (wide, sparse):
        for ours, theirs in ((item_components(read), plain), (conditional_components(read), strong)):
            same = ours[:, None] == ours
            np.testing.assert_array_equal(same, theirs[:, None] == theirs)
            assert list(dict.fromkeys(ours.tolist())) == list(range(ours.max() + 1))


def test_many_links_between_two_parts_count_as_one() -> None:
    """300 items that the first persons tie together: the link to the last item comes 256 times in one step."""
    table = np.full((40, 513), MISSING, dtype=np.int8)
    table[:16, :256] = 1
    table[:16, 256:512] = 1
    table[20, :256] = 1
    table[20, 512] = 0
    read = Responses(tuple(f"i{j}" for j in range(513)), ((0, 1),) * 513, table, None, pd.RangeIndex(40))
    assert item_components(read).max() == 0


def test_a_category_that_only_others_chose_is_named() -> None:
    table = np.array([[0, 0, 1], [1, 2, 0], [0, 2, 1], [1, 0, 0]])
    notes = check_responses(read_responses(pd.DataFrame(table, columns=["a", "b", "c"])))
    assert any("nobody chose category 1 of item 'b'" in note for note in notes)
