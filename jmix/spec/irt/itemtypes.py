"""Item types by the names that users and other programs give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from jmix.errors import ModelError

Slope = Literal["one", "common", "free"]


class ItemType(NamedTuple):
    """What an item type means.

    Attributes:
        name: as it prints. two, many: kind of an item with two and with more categories, "" where there is none.
        slope: fixed at one, common to the items of the type, or free. lower, upper: whether the asymptotes are free.
    """

    name: str
    two: str
    many: str
    slope: Slope = "free"
    lower: bool = False
    upper: bool = False


TYPES: dict[str, ItemType] = {
    item_type.name.lower(): item_type
    for item_type in (
        ItemType("Rasch", "logistic", "gpcm", "one"),
        ItemType("1PL", "logistic", "gpcm", "common"),
        ItemType("2PL", "logistic", ""),
        ItemType("3PL", "logistic4", "", lower=True),
        ItemType("3PLu", "logistic4", "", upper=True),
        ItemType("4PL", "logistic4", "", lower=True, upper=True),
        ItemType("graded", "logistic", "graded"),
        ItemType("grsm", "grsm", "grsm"),
        ItemType("PCM", "logistic", "gpcm", "one"),
        ItemType("gpcm", "logistic", "gpcm"),
        ItemType("rsm", "rsm", "rsm", "one"),
        ItemType("nominal", "logistic", "nominal"),
        ItemType("sequential", "logistic", "sequential"),
    )
}
ALIASES = {"grm": "graded", "nrm": "nominal", "tutz": "sequential"}


def item_types(
    given: str | Sequence[str] | Mapping[str, str] | None, items: Sequence[str], categories: Sequence[int]
) -> tuple[ItemType, ...]:
    """(J,) types of the items.

    Args:
        given: a name for all items; a name for each; names by item, the others by default; or None. The default is
            2PL with two categories and graded with more.
        items: (J,) names. categories: (J,) numbers of categories.

    Raises:
        ModelError: an unknown type or item, or a type that does not fit an item's number of categories.
    """
    names = _by_item(given, items, categories)
    known = {name: _type_of(name) for name in dict.fromkeys(names)}
    types = tuple(known[name] for name in names)
    for item, kind, k in zip(items, types, categories, strict=True):
        if k > 2 and not kind.many:
            raise ModelError(
                f"item '{item}' has {k} categories, but itemtype '{kind.name}' is for two; use 'graded', 'gpcm' or "
                f"'nominal' for it, as itemtype={{'{item}': 'graded'}}"
            )
    return types


def _by_item(given: Any, items: Sequence[str], categories: Sequence[int]) -> list[Any]:
    default = ["2PL" if k <= 2 else "graded" for k in categories]
    if given is None:
        return default
    if isinstance(given, str):
        return [given] * len(items)
    if isinstance(given, Mapping):
        unknown = [item for item in given if item not in set(items)]
        if unknown:
            raise ModelError(f"itemtype names '{unknown[0]}', which is not an item{_near(unknown[0], items)}")
        return [given.get(item, other) for item, other in zip(items, default, strict=True)]
    names = list(given)
    if len(names) != len(items):
        raise ModelError(
            f"itemtype has {len(names)} entries for {len(items)} items; give one for each or a single name"
        )
    return names


def _type_of(name: Any) -> ItemType:
    key = str(name).strip().lower()
    key = ALIASES.get(key, key)
    if key not in TYPES:
        shown = ", ".join(item_type.name for item_type in TYPES.values())
        raise ModelError(f"itemtype '{name}' is unknown{_near(key, list(TYPES))}; there are {shown}")
    return TYPES[key]


def _near(name: Any, known: Sequence[str]) -> str:
    near = get_close_matches(str(name), known, 1)
    return f" (did you mean '{near[0]}'?)" if near else ""
