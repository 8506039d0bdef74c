"""Moments of each response under the model at estimated traits: what fit statistics of items and persons sum up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError
from jmix.responses.data import MISSING
from jmix.results.irt.observed import Observed

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]

CELLS = 4_000_000
"""Most probabilities held at once."""


class Cells(NamedTuple):
    """Of some persons and all items, arrays (n, J); zero where there is no response.

    Attributes:
        answered: whether there is a response. residual: score less its expectation, the score of a category being its
            place 0, 1, ...; variance and fourth: the second and fourth central moments of the score. surprise: log
            probability of the response less its expectation, and surprise_variance: the variance.
    """

    answered: npt.NDArray[np.bool_]
    residual: FloatArray
    variance: FloatArray
    fourth: FloatArray
    surprise: FloatArray
    surprise_variance: FloatArray


def cells(bank: ItemBank, data: Observed, theta: Any) -> Iterator[tuple[slice, Cells]]:
    """The moments in chunks of persons.

    Args:
        bank: the items in the order of the table's columns. theta: (N, D) estimates, or (N,) of one dimension.

    Raises:
        DataError: estimates that are missing or infinite, or their number is not that of the persons.
    """
    points = estimates(data, theta)
    width = max(bank_categories(bank))
    step = max(64, CELLS // max(1, len(data.items) * width))
    for begin in range(0, points.shape[0], step):
        rows = slice(begin, min(begin + step, points.shape[0]))
        yield rows, _cells(bank, data.table[rows], points[rows])


def estimates(data: Observed, theta: Any) -> FloatArray:
    """(N, D) trait estimates of the persons of ``data``, checked.

    Raises:
        DataError: as of ``cells``.
    """
    points = np.asarray(theta, dtype=np.float64)
    points = points[:, None] if points.ndim == 1 else points
    if points.shape[0] != data.table.shape[0]:
        raise DataError(f"{points.shape[0]} trait estimates for {data.table.shape[0]} persons")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise DataError(
            f"{bad.size} persons have an infinite or missing trait estimate (first: row {int(data.rows[bad[0]])}): "
            "use scores='EAP', 'MAP' or 'WLE', which are finite for all-correct persons too"
        )
    return points


def bank_categories(bank: ItemBank) -> tuple[int, ...]:
    """(J,) number of categories of each item."""
    return tuple(int(k) for k in bank.n_categories)


def standardized_residuals(bank: ItemBank, data: Observed, theta: Any) -> FloatArray:
    """(N, J) residuals over their standard deviation at the estimated trait, NaN where there is no response."""
    out = np.full(data.table.shape, np.nan)
    for rows, part in cells(bank, data, theta):
        out[rows] = np.where(part.answered, part.residual / np.sqrt(_positive(part.variance)), np.nan)
    return out


def _cells(bank: ItemBank, table: Any, theta: FloatArray) -> Cells:
    log_p = np.moveaxis(np.asarray(bank.log_probabilities(theta)), -1, 0)
    p = np.exp(log_p)
    log_p = np.where(p > 0, log_p, 0.0)
    score = np.arange(p.shape[2])
    expected = p @ score
    centred = score - expected[..., None]
    square = centred * centred * p
    mean_log = (p * log_p).sum(axis=2)
    answered = table != MISSING
    seen = np.where(answered, table, 0).astype(np.intp)
    own = np.take_along_axis(log_p, seen[..., None], axis=2)[..., 0]
    parts = (
        seen - expected,
        square.sum(axis=2),
        (square * centred * centred).sum(axis=2),
        own - mean_log,
        (p * (log_p - mean_log[..., None]) ** 2).sum(axis=2),
    )
    return Cells(answered, *(np.where(answered, part, 0.0) for part in parts))


def _positive(variance: FloatArray) -> FloatArray:
    return np.maximum(variance, np.finfo(np.float64).tiny)
