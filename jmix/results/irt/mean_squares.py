"""Infit and outfit mean squares, their normal deviates, and Zh, of items and of persons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.irt.observed import Observed
from jmix.results.irt.standardized import cells

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]

Q_LIMIT = 1.4142
"""Largest standard deviation that the cube-root transformation takes (mirt's)."""


class _Sums:
    """Sums over persons or over items of what the mean squares need."""

    def __init__(self, n: int) -> None:
        self.count, self.outfit, self.outfit_fourth = np.zeros(n), np.zeros(n), np.zeros(n)
        self.square, self.variance, self.excess = np.zeros(n), np.zeros(n), np.zeros(n)
        self.surprise, self.surprise_variance = np.zeros(n), np.zeros(n)

    def frame(self) -> pd.DataFrame:
        """Columns of mirt's ``itemfit`` and ``personfit``; NaN where nothing was answered."""
        with np.errstate(divide="ignore", invalid="ignore"):
            outfit = self.outfit / self.count
            infit = self.square / self.variance
            sd_outfit = np.sqrt(self.outfit_fourth / self.count**2 - 1 / self.count)
            sd_infit = np.sqrt(self.excess / self.variance**2)
            zh = self.surprise / np.sqrt(self.surprise_variance)
        return pd.DataFrame(
            {
                "outfit": outfit,
                "z_outfit": _deviate(outfit, sd_outfit),
                "infit": infit,
                "z_infit": _deviate(infit, sd_infit),
                "Zh": zh,
            }
        )


def item_mean_squares(bank: ItemBank, data: Observed, theta: Any) -> pd.DataFrame:
    """Outfit, infit and Zh of each item, and the normal deviates of the first two.

    With the standardized residual ``z = (x - E) / sqrt(V)`` at the estimated trait, outfit is the mean of z squared
    over the persons who answered and infit the same weighted by V (Wright & Masters 1982, ch. 5).
    Their deviates are Wilson and Hilferty's cube roots ``(m^(1/3) - 1) 3 / q + q / 3``. Zh is the standardized log
    likelihood of the item's responses (Drasgow, Levine & Williams 1985, eq. 9). All treat the estimated traits as
    known: that they were estimated from the same responses makes infit and outfit smaller than 1.

    Args:
        bank: items. data: the responses, frequencies counted. theta: (N, D) estimates.

    Returns:
        Frame indexed by item: ``outfit z_outfit infit z_infit Zh``.

    Raises:
        DataError: trait estimates that are infinite.
    """
    sums = _Sums(len(data.items))
    for rows, part in cells(bank, data, theta):
        w = data.weights[rows][:, None]
        _add(sums, part, w, axis=0)
    return sums.frame().set_index(pd.Index(data.items, name="item"))


def person_mean_squares(bank: ItemBank, data: Observed, theta: Any) -> pd.DataFrame:
    """Outfit, infit and Zh (also called lz) of each person over the items that were answered.

    Args:
        bank, data, theta: as of ``item_mean_squares``, with the same definitions.

    Returns:
        Frame with N rows: ``outfit z_outfit infit z_infit Zh``. Persons without responses have NaN.
    """
    frames = []
    for rows, part in cells(bank, data, theta):
        sums = _Sums(rows.stop - rows.start)
        _add(sums, part, 1.0, axis=1)
        frames.append(sums.frame())
    return pd.concat(frames, ignore_index=True)


def _add(sums: _Sums, part: Any, w: Any, axis: int) -> None:
    variance = np.where(part.variance > 0, part.variance, np.inf)
    sums.count += (w * part.answered).sum(axis=axis)
    sums.outfit += (w * part.residual**2 / variance).sum(axis=axis)
    sums.outfit_fourth += (w * part.fourth / variance**2).sum(axis=axis)
    sums.square += (w * part.residual**2).sum(axis=axis)
    sums.variance += (w * part.variance).sum(axis=axis)
    sums.excess += (w * (part.fourth - part.variance**2)).sum(axis=axis)
    sums.surprise += (w * part.surprise).sum(axis=axis)
    sums.surprise_variance += (w * part.surprise_variance).sum(axis=axis)


def _deviate(mean_square: FloatArray, sd: FloatArray) -> FloatArray:
    q = np.minimum(sd, Q_LIMIT)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.cbrt(mean_square) - 1) * 3 / q + q / 3
