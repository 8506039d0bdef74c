"""What every marginal likelihood of an item response model offers to the layers above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Integration:
    """How the latent trait is integrated out.

    Attributes:
        method: "grid" (nodes in z shared by all persons of a group), "adaptive" (nodes at each person's mode), "qmc"
            (shared quasi-Monte Carlo points), "adaptive-qmc". nodes: per dimension, or points in all for qmc.
        rule: "rectangle" (equally spaced on [-limit, limit]) or "gh". limit: in standard deviations of z.
        precision: "float64", or "float32" for what is computed per person; sums over persons are float64 always.
        chunk: persons in one step; None chooses.
    """

    method: str = "grid"
    nodes: int = 61
    rule: str = "rectangle"
    limit: float = 6.0
    precision: str = "float64"
    chunk: int | None = None
    seed: int = 0


class Moments(NamedTuple):
    """Posterior of theta by person, in the order of the responses: mean (N, D), covariance (N, D, D)."""

    mean: FloatArray
    covariance: FloatArray


class Marginal(Protocol):
    """The log likelihood of the free parameters x (P,), the latent trait integrated out, for one data set.

    ``log_marginal(x, data)`` is pure JAX with its own derivative rule, for NUTS and for the user's code; the other
    methods take and give NumPy arrays and are compiled at their first call. Weights multiply each person's term.
    """

    @property
    def spec(self) -> IrtSpec:
        """The model."""
        ...

    @property
    def integration(self) -> Integration:
        """How the latent trait is integrated out."""
        ...

    @property
    def data(self) -> Any:
        """What ``log_marginal`` takes as ``data``, on the device."""
        ...

    def log_marginal(self, x: Any, data: Any) -> Any:
        """Scalar; traceable, differentiable once in reverse mode. ``data`` is ``self.data``."""
        ...

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        ...

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives of the log likelihood."""
        ...

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'`` over persons."""
        ...

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log likelihood of each person, without the weight."""
        ...

    def moments(self, x: FloatArray) -> Moments:
        """EAP estimates: mean and covariance of theta given the responses."""
        ...

    def finer(self) -> Marginal:
        """The same with twice the nodes, for the quadrature error."""
        ...
