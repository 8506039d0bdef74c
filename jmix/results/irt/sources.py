"""Item banks and responses from whatever holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jmix.errors import ModelError
from jmix.responses.data import Responses

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank


def bank_of(source: Any, group: str | None = None) -> ItemBank:
    """An item bank: itself; that of one group of a fit, the first by default; or of a table as ``fit.items()``.

    Raises:
        ModelError: something else, or a group that a fit lacks.
    """
    import pandas as pd

    from jmix.items.bank import ItemBank

    if isinstance(source, ItemBank):
        return source
    if isinstance(source, pd.DataFrame):
        return ItemBank.from_frame(source)
    if hasattr(source, "bank") and hasattr(source, "spec"):
        bank: ItemBank = source.bank(source.spec.groups[0] if group is None else group)
        return bank
    raise ModelError(f"a fit, an ItemBank or a table of items is needed, not {type(source).__name__}")


def responses_of(source: Any, **reading: Any) -> Responses:
    """Responses: themselves, those of a fit, or read from a table as by ``jmix.irt``.

    Args:
        reading: of a table: ``person``, ``item``, ``response``, ``items``, ``weights``, ...

    Raises:
        DataError: a table that cannot be read.
    """
    if isinstance(source, Responses):
        return source
    if isinstance(getattr(source, "responses", None), Responses):
        found: Responses = source.responses
        return found
    from jmix.responses.read import read_responses

    return read_responses(source, **reading)
