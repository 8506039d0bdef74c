"""The left side of a formula as the response of a family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, ModelError
from jmix.families import Family
from jmix.formula.build import Left
from jmix.formula.columns import from_numbers
from jmix.formula.values import Categories

FloatArray = npt.NDArray[np.float64]

MOST_CATEGORIES = 100
WHOLE = 1e-3
"""Departure of a count from a whole number that is taken for rounding, as in R's ``binomial()``."""


@dataclass(frozen=True)
class Response:
    """The response as numbers.

    Attributes:
        y: (n,) float64. Binomial: successes; bernoulli: 0 or 1; cumulative: the category's place, 0 to K - 1.
        size: (n,) trials of a binomial response, or None.
        levels: labels of the categories of a bernoulli or cumulative response given as such, in order; else empty. The
            second of a bernoulli response's is the success.
    """

    y: FloatArray
    size: FloatArray | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """A response, the family that it settles, and the weights that are left to multiply the log likelihood."""

    response: Response
    family: Family
    weights: FloatArray | None


@dataclass(frozen=True)
class LeftSide:
    """A left side on the rows used.

    Attributes:
        values: its columns, see :func:`jmix.formula.left.read_left`. name: its text. index: labels of the rows.
    """

    values: Left
    name: str
    index: Any

    def refuse(self, bad: npt.NDArray[np.bool_], why: str) -> None:
        """Raise DataError if any row is ``bad``; the message counts them and names the first."""
        count = int(bad.sum())
        if count:
            rows = f"{count:,} rows, first in row" if count > 1 else "row"
            label = self.index[int(np.argmax(bad))]
            label = label.item() if isinstance(label, np.generic) else label
            raise DataError(f"the response {self.name} {why} (in {rows} {label!r})")

    def numbers(self, family: Family) -> FloatArray:
        """One column of numbers; TRUE and FALSE count as 1 and 0."""
        if len(self.values) == 2:
            raise ModelError(
                f"the response {self.name} is one of family 'binomial'; family {family.name!r} takes one column"
            )
        (value,) = self.values
        if isinstance(value, Categories):
            if not value.logical:
                raise DataError(
                    f"the response {self.name} holds text or categories; family {family.name!r} takes numbers "
                    "(pandas.to_numeric converts)"
                )
            return value.codes.astype(np.float64)
        return value


def read_response(left: LeftSide, family: Family, weights: FloatArray | None) -> Reading:
    """The response of a family.

    Args:
        weights: (n,) positive, as given; of a binomial proportion they are the trials.

    Raises:
        DataError, ModelError: the left side is not a response of this family.
    """
    if family.name == "bernoulli":
        return Reading(_binary(left, family), family, weights)
    if family.name == "binomial":
        return _counts(left, family, weights) if len(left.values) == 2 else _proportions(left, family, weights)
    if family.name == "cumulative":
        response = _ordered(left, family)
        return Reading(response, replace(family, n_categories=len(response.levels)), weights)
    return Reading(Response(left.numbers(family)), family, weights)


def _binary(left: LeftSide, family: Family) -> Response:
    """0/1, logical, or two levels of which the second is the success (R's rule)."""
    if len(left.values) == 2:
        raise ModelError(f"the response {left.name} counts successes and failures; that is family='binomial'")
    (value,) = left.values
    if isinstance(value, Categories) and not value.logical:
        return _two_levels(value, left.name)
    y = left.numbers(family)
    inside = bool(((y >= 0) & (y <= 1)).all())
    remedy = (
        "for proportions choose family='binomial', with their trials as weights"
        if inside
        else f"write e.g. I({left.name} > 0), or choose another family"
    )
    left.refuse((y != 0) & (y != 1), f"must be 0 or 1 in family {family.name!r}; {remedy}")
    return Response(y)


def _two_levels(value: Categories, name: str) -> Response:
    value = value.used()
    k, shown = len(value.levels), ", ".join(map(repr, value.levels[:5]))
    if k < 2:
        raise DataError(f"the response {name} has only the level {shown}; a binary response needs two")
    if k > 2:
        raise DataError(
            f"the response {name} has {k} levels ({shown}{', ...' if k > 5 else ''}); a binary response has two. Write "
            f"e.g. {name} == \"{value.levels[-1]}\", or choose family='cumulative' if they are ordered"
        )
    return Response(value.codes.astype(np.float64), None, tuple(value.levels))


def _counts(left: LeftSide, family: Family, weights: FloatArray | None) -> Reading:
    """``cbind(successes, failures)``; weights multiply the log likelihood."""
    parts = []
    for part, what in zip(left.values, ("successes", "failures"), strict=True):
        assert not isinstance(part, Categories)
        left.refuse(part < 0, f"has a negative number of {what}")
        left.refuse(np.abs(part - np.round(part)) > WHOLE, f"has numbers of {what} that are not whole")
        parts.append(np.round(part))
    left.refuse(parts[0] + parts[1] == 0, "has no trials at all, and such rows tell nothing: drop them")
    return Reading(Response(parts[0], parts[0] + parts[1]), family, weights)


def _proportions(left: LeftSide, family: Family, weights: FloatArray | None) -> Reading:
    """Proportions whose trials are the weights; 0/1 or two levels without weights are bernoulli."""
    (value,) = left.values
    if isinstance(value, Categories) and not value.logical:
        response = _two_levels(value, left.name)
    else:
        response = Response(left.numbers(family))
    y = response.y
    hint = "give cbind(successes, failures), or the proportion and its trials as weights"
    left.refuse((y < 0) | (y > 1), f"must lie between 0 and 1 in family 'binomial'; {hint}")
    if weights is None:
        left.refuse((y != 0) & (y != 1), f"is a proportion, but its trials are not known; {hint}")
        return Reading(response, replace(family, name="bernoulli"), None)
    size = np.round(weights)
    left.refuse(
        np.abs(weights - size) > WHOLE,
        "needs whole weights in family 'binomial', where they are the trials; with 0/1 responses and "
        "family='bernoulli' they multiply the log likelihood",
    )
    successes = y * size
    left.refuse(
        np.abs(successes - np.round(successes)) > WHOLE,
        "times the weights, which are the trials, is not a whole number of successes; give cbind(successes, failures)",
    )
    return Reading(Response(np.round(successes), size, response.levels), family, None)


def _ordered(left: LeftSide, family: Family) -> Response:
    """Categories in the order of their levels; whole numbers in their own."""
    value = left.values[0]
    if len(left.values) == 2:
        raise ModelError(f"the response {left.name} counts successes and failures; that is family='binomial'")
    if not isinstance(value, Categories):
        left.refuse(
            value != np.round(value),
            f"must be categories or whole numbers in family {family.name!r}; ordered({left.name}) makes categories",
        )
        value = from_numbers(value)
    value = value.used()
    k = len(value.levels)
    if k < 2:
        raise DataError(f"the response {left.name} has only the category {value.levels[0]!r}; it needs two or more")
    if k > MOST_CATEGORIES:
        raise DataError(
            f"the response {left.name} has {k:,} different values, and {k - 1:,} thresholds would part them; merge "
            f"categories ({MOST_CATEGORIES} are the most), or choose a family for numbers or counts"
        )
    return Response(value.codes.astype(np.float64), None, tuple(value.levels))
