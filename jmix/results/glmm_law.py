"""The distribution of each row's response under a fitted model, given its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.families import Family
from jmix.results.glmm_inputs import Inputs, evaluate

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """Responses on the scale of ``Response.y``: counts of successes of a binomial, codes of a category.

    Attributes:
        inputs: linear predictors of n rows. size: (n,) trials, or None.
    """

    family: Family
    inputs: Inputs
    size: FloatArray | None

    def at(self, eta: FloatArray) -> Law:
        """The same rows at other linear predictors."""
        return replace(self, inputs=replace(self.inputs, eta=eta))

    def mean(self) -> FloatArray:
        """(n,) expected responses; of a binomial the expected proportion."""
        from jmix.families import mean

        return np.asarray(mean(self.family, self.inputs.eta, self.inputs.aux))

    def variance(self) -> FloatArray:
        """(n,) variances of the responses; of a binomial those of the proportion."""
        from jmix.families import variance

        return np.asarray(variance(self.family, self.inputs.eta, self.inputs.aux, self.size))

    def cdf(self, y: FloatArray) -> FloatArray:
        """(n,) ``P(Y <= y)``."""
        from jmix.families import cdf

        return np.asarray(cdf(self.family, y, self.size, self.inputs.eta, self.inputs.aux))

    def below(self, y: FloatArray) -> FloatArray:
        """(n,) ``P(Y < y)``."""
        from jmix.families import cdf_below

        return np.asarray(cdf_below(self.family, y, self.size, self.inputs.eta, self.inputs.aux))

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """(n,) responses."""
        from jmix.families import sample

        return np.asarray(sample(self.family, rng, self.size, self.inputs.eta, self.inputs.aux), dtype=np.float64)


def law(fit: GlmmFit, *, conditional: bool = True) -> Law:
    """The distributions of the rows of the fit, random effects at their modes or at zero."""
    needs = frozenset(
        {"eta", *(["log_phi"] if fit.family.has_dispersion else []), *(["zi"] if fit.family.zero else [])}
    )
    inputs = evaluate(fit, None, needs, conditional=conditional).inputs
    return Law(fit.family, inputs, fit.design.response.size)
