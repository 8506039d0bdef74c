"""How the random effects of a generalized linear mixed model are integrated out: the user's choice, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec

MOST_DIMENSIONS = 4
"""Random effects of a level for which a grid of nodes is offered."""

_LAPLACE = "n_agq=1 (Laplace's approximation, for any random terms)"


@dataclass(frozen=True)
class Integration:
    """Nodes per dimension, "agq" or "qmc", and the number of points of "qmc" (None: its default)."""

    n_agq: int = 1
    method: str = "agq"
    n_points: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``build_glmm_objective``."""
        points = {} if self.n_points is None else {"n_points": self.n_points}
        return {"n_agq": self.n_agq, "method": self.method, **points}


def as_integration(n_agq: Any, method: Any, n_points: Any, spec: CovarianceSpec) -> Integration:
    """The choice, if it suits the random terms.

    Raises:
        ModelError: numbers out of range; a grid for several grouping factors, too many dimensions or too many nodes.
    """
    if method not in ("agq", "laplace", "qmc"):
        raise ModelError(f"method={method!r}: choose 'agq' (adaptive quadrature), 'laplace' or 'qmc'")
    nodes = _whole("n_agq", n_agq, " nodes per random effect, 1 for Laplace's approximation")
    if n_points is not None and method != "qmc":
        raise ModelError(f"n_points={n_points!r} is for method='qmc'; n_agq sets the nodes of method={method!r}")
    if nodes > 1 and method != "agq":
        raise ModelError(f"n_agq={nodes} is for method='agq'; leave it out with method={method!r}")
    if not spec.groups:
        return Integration()
    if method == "qmc":
        return Integration(1, "qmc", None if n_points is None else _whole("n_points", n_points, " points"))
    if nodes > 1:
        _check_grid(nodes, spec)
    return Integration(nodes)


def _whole(name: str, value: Any, what: str) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole or value < 1:
        raise ModelError(f"{name}={value!r}: give a whole number of{what}")
    return int(value)


def _check_grid(nodes: int, spec: CovarianceSpec) -> None:
    from jmix.numerics.quadrature import LARGEST, LARGEST_GRID

    if len(spec.groups) > 1:
        raise ModelError(
            f"n_agq={nodes} needs a single grouping factor, but the formula has {len(spec.groups)}: "
            f"{', '.join(spec.groups)}; use {_LAPLACE}, method='qmc', or .sample(marginal=False), which is exact"
        )
    (group,) = spec.groups
    q = spec.group_q(group)
    if q > MOST_DIMENSIONS:
        raise ModelError(
            f"n_agq={nodes}: {group} has {q} random effects a level, and a grid serves up to {MOST_DIMENSIONS}; "
            f"use {_LAPLACE} or method='qmc'"
        )
    if nodes > LARGEST:
        raise ModelError(f"n_agq={nodes}: {LARGEST} nodes per random effect are the most; 25 are plenty")
    if nodes**q > LARGEST_GRID:
        raise ModelError(
            f"n_agq={nodes} with {q} random effects a level of {group} makes {nodes**q:,} nodes, more than "
            f"{LARGEST_GRID:,}; take fewer, or use {_LAPLACE} or method='qmc'"
        )
