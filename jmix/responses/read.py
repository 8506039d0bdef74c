"""Item responses from whatever holds them: a table of persons by items, a list of responses, or an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jmix.errors import DataError
from jmix.responses.data import Responses
from jmix.responses.persons import Column, align_to_items


def read_responses(
    responses: Any,
    *,
    person: str | None = None,
    item: str | None = None,
    response: str | None = None,
    items: Sequence[str] | None = None,
    weights: Column | None = None,
    group: Column | None = None,
    cluster: Column | None = None,
    data: Any = None,
    item_data: Any = None,
) -> Responses:
    """Read item responses.

    Args:
        responses: one of
            - persons by items: a pandas, polars or arrow table or a dict of columns (N rows, one column an item), or a
              NumPy array (N, J) of numbers, truth values or text;
            - a list of responses, with a row for each, where ``item`` and ``response`` name its columns.
            Missing are NaN, None, NA, empty text, and -1 in integers.
        person: name of the column with the persons' labels. item, response: of a list, names of the columns.
        items: of a table, the columns that are items; the others become person data. Of a list, the items to keep.
        weights, group, cluster: a column of ``responses`` (in a list, constant within person) or of ``data``, or the
            values: (N,) in the order of the persons, or one a row of a list. The columns are taken out of the items.
            Weights are positive: how often each person counts. Groups are sorted, or in the order of their categories;
            the first one is the reference.
        data: person data, a table with a row for each person: matched by a column named as ``person``, by the index, or
            by the place of the rows.
        item_data: item data, a table with a row for each item: matched by a column "item", by the index, or by place.

    Returns:
        The responses. Categories are coded 0 to K - 1 in their order: numbers, ordered categoricals, truth values, and
        text by its alphabet with a note. Persons stand in the order of the rows, or of their first response in a list;
        items in the order of the columns; in a list in that of the categories, sorted if numbers, else as they occur.

    Raises:
        DataError: the data hold no responses, a column is missing or no categories, a person answered an item twice,
            or something known of a person is missing or not constant. The message names it and the remedy.
    """
    if isinstance(responses, Responses):
        _refuse_options(person, item, response, items, weights, group, cluster, data, item_data)
        return responses
    if (item is None) != (response is None):
        given, absent = ("item", "response") if response is None else ("response", "item")
        raise DataError(f"{given}= is given without {absent}=; a list of responses needs the names of both columns")
    if item is not None and response is not None:
        from jmix.responses.listing import read_listing

        out = read_listing(responses, person, item, response, items, weights, group, cluster, data, item_data is None)
    else:
        from jmix.responses.wide import read_wide

        out = read_wide(responses, person, items, weights, group, cluster, data)
    if item_data is None:
        return out
    from dataclasses import replace

    return replace(out, item_data=align_to_items(item_data, out.items, item))


def _refuse_options(*options: Any) -> None:
    if any(option is not None for option in options):
        raise DataError("these responses have been read already: give weights, group and the like when reading them")
