"""The mode of a posterior density: BFGS, bounds where the density is highest on them, and Newton steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.mode import ValueGrad
from jmix.estimate.prior_bounds import Bounded
from jmix.estimate.status import Status

FloatArray = npt.NDArray[np.float64]

CONVERGED = 1e-16
"""Newton decrement, in units of the log density, at which the mode is found."""

MAX_NEWTON = 50


@dataclass
class PosteriorSearch:
    """The mode over the coordinates that are free; the others stay where they are.

    Attributes:
        value_and_grad: of the log density. curve: its exact Hessian "hessian" and what else is wanted of a point.
        z: (d,). free: (d,).
    """

    value_and_grad: ValueGrad
    curve: Callable[[FloatArray], dict[str, Any]]
    z: FloatArray
    free: npt.NDArray[np.bool_]
    evaluations: int = 0
    hessians: int = 0

    def first(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient."""
        self.evaluations += 1
        return self.value_and_grad(z)

    def approach(self) -> None:
        """BFGS into the neighbourhood of the mode."""
        from scipy.optimize import minimize

        def negative(part: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = self.first(self._whole(part))
            if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
                return 1e300, np.zeros_like(part)
            return -value, -gradient[self.free]

        found = minimize(negative, self.z[self.free], jac=True, method="BFGS", options={"maxiter": 300, "gtol": 1e-4})
        self.z = self._whole(found.x)

    def _whole(self, part: FloatArray) -> FloatArray:
        z = self.z.copy()
        z[self.free] = part
        return z

    def polish(self) -> tuple[dict[str, Any], float]:
        """Newton steps on the exact Hessian; returns the curvature at the mode and the last decrement."""
        decrement = np.inf
        for _ in range(MAX_NEWTON):
            curvature = self.curve(self.z)
            self.hessians += 1
            value, gradient = self.first(self.z)
            information = -np.asarray(curvature["hessian"])[np.ix_(self.free, self.free)]
            values, vectors = np.linalg.eigh(0.5 * (information + information.T))
            positive = np.maximum(np.abs(values), 1e-10 * max(float(np.abs(values).max(initial=0.0)), 1e-10))
            step = vectors @ ((vectors.T @ gradient[self.free]) / positive)
            decrement = 0.5 * float(gradient[self.free] @ step)
            if decrement < CONVERGED or not self._halved(value, step, decrement):
                break
        return curvature, decrement

    def _halved(self, value: float, step: FloatArray, decrement: float) -> bool:
        noise = 1e-13 * (1.0 + abs(value))
        for k in range(30):
            trial = self._whole(self.z[self.free] + 0.5**k * step)
            if self.first(trial)[0] >= value + 1e-4 * 0.5**k * decrement - noise:
                self.z = trial
                return True
        return False


def search_mode(search: PosteriorSearch, bounded: Sequence[Bounded]) -> tuple[list[Bounded], dict[str, Any], float]:
    """Find the mode; returns what is on a bound, the curvature, and the last Newton decrement."""
    search.approach()
    pinned: list[Bounded] = []
    while (found := pin(search, bounded)) is not None:
        pinned.append(found)
        search.approach()
    return pinned, *search.polish()


def pin(search: PosteriorSearch, bounded: Sequence[Bounded]) -> Bounded | None:
    """Put one parameter on a bound if the density is no lower there; its coordinate is then no longer free."""
    value = search.first(search.z)[0]
    for own in bounded:
        for end in own.ends if search.free[own.at] else ():
            trial = search.z.copy()
            trial[own.at] = end
            trial[list(own.gone)] = 0.0
            if search.first(trial)[0] >= value - 1e-7:
                search.z = trial
                search.free[[own.at, *own.gone]] = False
                return own
    return None


def laplace(at: dict[str, Any], free: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Covariance of the natural parameters, NaN where they are on a boundary, and the least relative eigenvalue."""
    information = -np.asarray(at["hessian"])[np.ix_(free, free)]
    values, vectors = np.linalg.eigh(0.5 * (information + information.T))
    jacobian = np.asarray(at["jacobian"])
    least = float(values[0] / max(float(values[-1]), 1e-300))
    inverse = (vectors / np.where(values > 0, values, np.nan)) @ vectors.T
    covariance = jacobian[:, free] @ inverse @ jacobian[:, free].T
    fixed = np.all(jacobian[:, free] == 0.0, axis=1)
    covariance[fixed], covariance[:, fixed] = np.nan, np.nan
    return covariance, least


def map_status(search: PosteriorSearch, messages: list[str], decrement: float, least: float) -> Status:
    """What the search can vouch for.

    Args:
        messages: about bounds. decrement: Newton's last. least: eigenvalue of the information, relative.
    """
    converged = bool(decrement < 1e-6 and least > 0)
    singular = bool(messages)
    if not converged:
        messages.append(
            f"not converged: Newton decrement {decrement:.2g} after {search.evaluations} evaluations; the posterior "
            "may have no mode in its interior: use proper or stronger priors, or sample it"
        )
    return Status(
        converged=converged,
        singular=singular,
        max_gradient=float(np.sqrt(2.0 * max(decrement, 0.0))),
        decrement=decrement,
        min_eigenvalue=least,
        n_evaluations=search.evaluations,
        n_hessians=search.hessians,
        messages=tuple(messages),
    )
