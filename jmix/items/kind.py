"""What an item response function is: log probabilities of K categories as a function of ``eta = a'theta``."""

from __future__ import annotations

from typing import Any, Protocol


class Kind(Protocol):
    """A family of item response functions, stateless and hashable.

    Each item has slopes ``a`` (D,), of which the probabilities know only ``eta = a'theta``, and ``m`` further
    parameters. The functions take ``xp``, ``numpy`` or ``jax.numpy``, and the dtype from their arrays. J items of one
    kind with the same number K of categories are evaluated together; eta may have any number of trailing axes.

    Attributes:
        name: "logistic", "graded", "gpcm", "nominal", "sequential", "rsm", "grsm".
        linear: log (P_k / P_0) is linear in eta: an exponential family.
    """

    name: str
    linear: bool

    def names(self, n_categories: int) -> tuple[str, ...]:
        """The m parameters of an item beside its slopes, by mirt's names: ("d",), ("d", "c", "u"), ("d1", "d2")."""
        ...

    def log_table(self, xp: Any, eta: Any, own: Any, n_categories: int) -> Any:
        """(J, K, ...) log probabilities.

        Args:
            eta: (J, ...). own: (J, m).
        """
        ...

    def linear_terms(self, xp: Any, own: Any, n_categories: int) -> tuple[Any, Any]:
        """Of a linear kind: (J, K - 1) factors of eta and (J, K - 1) constants of log (P_k / P_0), k = 1 to K - 1."""
        ...
