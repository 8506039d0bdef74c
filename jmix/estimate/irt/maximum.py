"""Where a search ended, in the free parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Maximum:
    """The end of a search.

    Attributes:
        x: (P,) free parameters. value: log likelihood plus log prior. gradient: (P,) of it.
        information: (P, P) negative Hessian, exact, or None where it was not computed.
        settled: the search arrived. interrupted: the user stopped it. decrement: how far below the maximum it is, in
            units of the log likelihood, by the last quadratic model.
    """

    x: FloatArray
    value: float
    gradient: FloatArray
    information: FloatArray | None
    settled: bool
    interrupted: bool
    decrement: float
    n_evaluations: int
    n_hessians: int

    @property
    def max_gradient(self) -> float:
        """Largest component of the deviance's gradient, each in units of its own information's root."""
        if not self.x.size:
            return 0.0
        if self.information is None:
            return float(np.sqrt(4.0 * max(self.decrement, 0.0)))
        diagonal = np.maximum(2.0 * np.abs(np.diag(self.information)), 1e-300)
        return float(np.max(np.abs(2.0 * self.gradient) / np.sqrt(diagonal)))
