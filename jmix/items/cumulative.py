"""Models of ordered categories by cumulative or continuation logits.

Graded response: ``P(Y >= k) = logistic(eta + d_k)`` with ``d_1 > d_2 > ...`` (Samejima 1969, Psychometrika Monograph
17); graded rating scale: ``d_k = a (b_k + c)`` (Muraki 1990, Appl. Psychol. Meas. 14, in mirt's signs); sequential:
``P(Y >= k | Y >= k - 1) = logistic(eta + d_k)`` (Tutz 1990, Br. J. Math. Stat. Psychol. 43).

A category of the graded model is ``logistic(x_k) logistic(-x_k+1) (1 - exp(-(d_k - d_k+1)))``, never a difference.
"""

from __future__ import annotations

from typing import Any

from jmix.items.stable import beside, log1mexp, softplus

LEAST_GAP = 1e-10
"""Distance of neighbouring intercepts below which the log probabilities go on as a steep straight line: out of order,
an item has a finite, hopeless likelihood, with a derivative that leads back."""


class Graded:
    """Graded response model: own = (d1, ..., dK-1), decreasing."""

    name = "graded"
    linear = False

    def names(self, n_categories: int) -> tuple[str, ...]:
        """The K - 1 intercepts."""
        return tuple(f"d{k}" for k in range(1, n_categories))

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, K, ...) log probabilities; see ``Kind``."""
        x = eta[:, None] + beside(own, eta)
        below, above = -softplus(xp, x), -softplus(xp, -x)
        if n_categories == 2:
            return xp.concatenate([below, above], axis=1)
        gap = own[:, :-1] - own[:, 1:]
        narrow = gap < LEAST_GAP
        width = log1mexp(xp, xp.where(narrow, LEAST_GAP, gap))
        disorder = xp.sum(xp.where(narrow, gap / LEAST_GAP - 1.0, 0.0), axis=1, keepdims=True)
        middle = above[:, :-1] + below[:, 1:] + beside(width, eta)
        return xp.concatenate([below[:, :1], middle, above[:, -1:]], axis=1) + beside(disorder, eta)

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """None: not an exponential family."""
        raise NotImplementedError("the graded response model is not linear in eta")


class GradedRatingScale(Graded):
    """Graded response with one set of thresholds for several items: own = (b1, ..., bK-1, c, a), a the item's slope."""

    name = "grsm"

    def names(self, n_categories: int) -> tuple[str, ...]:
        """Thresholds, the item's location and, again, its slope."""
        return (*(f"b{k}" for k in range(1, n_categories)), "c", "a")

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, K, ...) log probabilities; see ``Kind``."""
        d = own[:, -1:] * (own[:, :-2] + own[:, -2:-1])
        return super().log_table(xp, eta, d, n_categories)


class Sequential:
    """Sequential model: own = (d1, ..., dK-1), in any order."""

    name = "sequential"
    linear = False

    def names(self, n_categories: int) -> tuple[str, ...]:
        """The intercepts of the K - 1 steps."""
        return tuple(f"d{k}" for k in range(1, n_categories))

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, K, ...) log probabilities; see ``Kind``."""
        x = eta[:, None] + beside(own, eta)
        stop = -softplus(xp, x)
        reached = xp.cumsum(-softplus(xp, -x), axis=1)
        return xp.concatenate([stop[:, :1], reached[:, :-1] + stop[:, 1:], reached[:, -1:]], axis=1)

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """None: not an exponential family."""
        raise NotImplementedError("the sequential model is not linear in eta")
