"""Divide-by-total models, ``log P_k / P_0 = f_k eta + c_k``: exponential families in theta.

Generalised partial credit ``f_k = k`` (Muraki 1992, Appl. Psychol. Meas. 16, eq. 3), the intercepts cumulative;
nominal (Bock 1972, Psychometrika 37, in the scoring form of Thissen, Cai & Bock 2010); rating scale
``log P_k / P_k-1 = a (theta - b_k + c)`` (Andrich 1978, Psychometrika 43).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jmix.items.stable import beside, log_softmax


class _Divide:
    """What the three share: probabilities from the linear terms."""

    linear = True

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        raise NotImplementedError

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, K, ...) log probabilities; see ``Kind``."""
        factors, constants = self.linear_terms(xp, own, n_categories)
        x = beside(factors, eta) * eta[:, None] + beside(constants, eta)
        return log_softmax(xp, xp.concatenate([xp.zeros_like(x[:, :1]), x], axis=1))


def _steps(xp: Any, own: Any, n_categories: int) -> Any:
    """(J, K - 1) rows 1, ..., K - 1."""
    k = xp.asarray(np.arange(1, n_categories), dtype=own.dtype)
    return xp.broadcast_to(k, (own.shape[0], n_categories - 1))


class GeneralisedPartialCredit(_Divide):
    """Own = (d1, ..., dK-1), mirt's cumulative intercepts ``log P_k / P_0`` at eta = 0."""

    name = "gpcm"

    def names(self, n_categories: int) -> tuple[str, ...]:
        """The K - 1 intercepts."""
        return tuple(f"d{k}" for k in range(1, n_categories))

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """Factors 1 to K - 1 and the intercepts."""
        return _steps(xp, own, n_categories), own


class Nominal(_Divide):
    """Own = (ak1, ..., akK-1, d1, ..., dK-1); ak0 = 0, and the last ak is K - 1 where slopes are free."""

    name = "nominal"

    def names(self, n_categories: int) -> tuple[str, ...]:
        """Scoring factors and intercepts of categories 1 to K - 1."""
        k = range(1, n_categories)
        return (*(f"ak{i}" for i in k), *(f"d{i}" for i in k))

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """Scoring factors and intercepts."""
        return own[:, : n_categories - 1], own[:, n_categories - 1 :]


class RatingScale(_Divide):
    """One set of thresholds for several items: own = (b1, ..., bK-1, c, a), a the item's slope."""

    name = "rsm"

    def names(self, n_categories: int) -> tuple[str, ...]:
        """Thresholds, the item's location and, again, its slope."""
        return (*(f"b{k}" for k in range(1, n_categories)), "c", "a")

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """Factors 1 to K - 1; ``a (k c - b_1 - ... - b_k)``."""
        k = _steps(xp, own, n_categories)
        return k, own[:, -1:] * (k * own[:, -2:-1] - xp.cumsum(own[:, :-2], axis=1))
