"""Logistic models of two categories, with and without asymptotes.

With ``eta = a'theta``: ``P(1) = logistic(eta + d)`` (Birnbaum 1968), and ``P(1) = c + (u - c) logistic(eta + d)``
(Barton & Lord 1981, ETS RR-81-20) with the asymptotes on the logit scale; ``c = -inf`` and ``u = +inf`` are none.
"""

from __future__ import annotations

from typing import Any

from jmix.items.stable import beside, log_add_exp, log_logistic, softplus


class Logistic:
    """One and two parameters: own = (d,)."""

    name = "logistic"
    linear = True

    def names(self, n_categories: int) -> tuple[str, ...]:
        """The intercept."""
        return ("d",)

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, 2, ...) log probabilities; see ``Kind``."""
        x = eta + beside(own[:, 0], eta)
        return xp.stack([-softplus(xp, x), -softplus(xp, -x)], axis=1)

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """Ones and the intercepts."""
        return xp.ones_like(own), own


class LogisticAsymptotes:
    """Three and four parameters: own = (d, logit c, logit u)."""

    name = "logistic4"
    linear = False

    def names(self, n_categories: int) -> tuple[str, ...]:
        """Intercept, lower and upper asymptote, these two on the logit scale."""
        return ("d", "c", "u")

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, 2, ...) log probabilities; see ``Kind``."""
        d, c, u = (beside(own[:, m], eta) for m in range(3))
        x = eta + d
        up, down = -softplus(xp, -x), -softplus(xp, x)
        wrong = log_add_exp(xp, log_logistic(xp, -c) + down, log_logistic(xp, -u) + up)
        right = log_add_exp(xp, log_logistic(xp, u) + up, log_logistic(xp, c) + down)
        return xp.stack([wrong, right], axis=1)

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """None: not an exponential family."""
        raise NotImplementedError("a logistic model with asymptotes is not linear in eta")
