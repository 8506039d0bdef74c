"""Light fits of a generalized linear mixed model: estimates from a batch, the likelihood laid out when asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.inference.glmm_responses import replaced
from jmix.results.glmm_fit import GlmmFit

if TYPE_CHECKING:
    from jmix.estimate.glmm_solution import GlmmSolution
    from jmix.estimate.inference.glmm_refit import Refitter

FloatArray = npt.NDArray[np.float64]


class GlmmReplicate(GlmmFit):
    """A fit whose likelihood is laid out from the data when it is first asked for; nothing is compiled for it anew."""

    shared: Refitter

    @cached_property
    def objective(self) -> GlmmObjective:
        """The marginal likelihood of these data."""
        return self.shared.objective_of(self.design.response.y)


def replicate(fit: GlmmFit, y: FloatArray, solution: GlmmSolution, shared: Refitter) -> GlmmFit:
    """The fit of one response (n,)."""
    light = object.__new__(GlmmReplicate)
    fields = {
        "design": replaced(fit.design, y),
        "spec": fit.spec,
        "terms": fit.terms,
        "solution": solution,
        "shared": shared,
        "parts": fit.parts,
    }
    light.__dict__.update(fields)
    return light
