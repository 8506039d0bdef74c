"""The kinds of items by name."""

from __future__ import annotations

from jmix.errors import ModelError
from jmix.items.cumulative import Graded, GradedRatingScale, Sequential
from jmix.items.divide import GeneralisedPartialCredit, Nominal, RatingScale
from jmix.items.kind import Kind
from jmix.items.logistic import Logistic, LogisticAsymptotes

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Logistic(),
        LogisticAsymptotes(),
        Graded(),
        GradedRatingScale(),
        Sequential(),
        GeneralisedPartialCredit(),
        Nominal(),
        RatingScale(),
    )
}


def kind_of(name: str) -> Kind:
    """The kind with that name, always the same object.

    Raises:
        ModelError: there is none.
    """
    if name not in KINDS:
        raise ModelError(f"'{name}' is not a kind of item; there are {', '.join(KINDS)}")
    return KINDS[name]
