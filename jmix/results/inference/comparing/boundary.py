"""The distribution of a likelihood ratio when the smaller model lies on the boundary of the larger one.

Where the smaller model sets variances to zero, minus twice the log likelihood ratio is asymptotically the squared
length of the projection of a normal vector on a cone, a mixture of chi-squared distributions (Self & Liang 1987, J. Am.
Stat. Assoc. 82, 605-610; Silvapulle & Sen 2005, *Constrained Statistical Inference*, section 3.4). One variance with
its q covariances: half chi-squared on q, half on q + 1 degrees of freedom (Stram & Lee 1994, Biometrics 50, 1171-1177).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.results.inference.comparing.lrt_nested import Nesting

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

NEGLIGIBLE = 1e-6
"""Likelihood-ratio statistic, relative to the deviance's rounding near 1, that counts as zero."""


@dataclass(frozen=True)
class NullLaw:
    """A mixture of chi-squared distributions.

    Attributes:
        free: degrees of freedom of the unrestricted directions. weights: (m + 1,) probabilities of ``free``,
            ``free + 1``, ..., ``free + m`` degrees of freedom. how: where the weights come from, in words.
    """

    free: int
    weights: FloatArray
    how: str = ""

    @property
    def boundary(self) -> bool:
        """Whether it is a mixture."""
        return self.weights.size > 1

    def p_value(self, statistic: float) -> float:
        """Probability of a statistic at least as large."""
        from scipy.special import gammaincc

        if not np.isfinite(statistic):
            return float("nan")
        if statistic <= NEGLIGIBLE:
            return 1.0
        df = self.free + np.arange(self.weights.size)
        tail = np.where(df == 0, 0.0, gammaincc(0.5 * np.maximum(df, 1), 0.5 * statistic))
        return float(self.weights @ tail)

    def __str__(self) -> str:
        if not self.boundary:
            return f"chi-squared on {self.free} degrees of freedom"
        shown = [f"{w:.3g} chi2({self.free + j})" for j, w in enumerate(self.weights) if w > 5e-4]
        return " + ".join(shown)


def plain_p(statistic: float, df: int) -> float:
    """The p-value of a chi-squared distribution; NaN without degrees of freedom."""
    return NullLaw(df, np.ones(1)).p_value(statistic) if df > 0 else float("nan")


def null_law(small: FitBase, big: FitBase, nesting: Nesting) -> NullLaw:
    """The distribution of the likelihood ratio of two nested fits if the smaller model is true."""
    df, gone = big.npar - small.npar, [case.n_gone for case in nesting.cases if case.n_gone]
    cone = sum(m * (m + 1) // 2 for m in gone) + len(nesting.others)
    if cone == 0:
        return NullLaw(df, np.ones(1))
    if cone == 1:
        return NullLaw(df - 1, np.array([0.5, 0.5]), "Self & Liang 1987" if nesting.others else "Stram & Lee 1994")
    weights, how = _weights(small, big, nesting, gone)
    return NullLaw(df - cone, weights, how)


def _weights(small: FitBase, big: FitBase, nesting: Nesting, gone: list[int]) -> tuple[FloatArray, str]:
    from jmix.results.inference.comparing.boundary_cone import cone_weights, orthant_weights
    from jmix.results.inference.comparing.boundary_information import cone_information

    information = None if nesting.others else cone_information(small, big, nesting.cases)
    if information is None:
        identity = np.eye(sum(m * (m + 1) // 2 for m in gone) + len(nesting.others))
        weights, how = _known(identity, [*gone, *(1 for _ in nesting.others)])
        return weights, f"{how}, as if the restrictions were orthogonal"
    if all(m == 1 for m in gone):
        return orthant_weights(information), "weights from the Fisher information of the smaller model"
    return cone_weights(information, gone), "weights simulated from the Fisher information of the smaller model"


def _known(identity: FloatArray, gone: list[int]) -> tuple[FloatArray, str]:
    from jmix.results.inference.comparing.boundary_cone import cone_weights, orthant_weights

    if all(m == 1 for m in gone):
        return orthant_weights(identity), "binomial weights"
    return cone_weights(identity, gone), "weights simulated"
