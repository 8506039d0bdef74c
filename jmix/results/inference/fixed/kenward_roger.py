"""Tests by Kenward and Roger's method."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.estimate.inference.kenward_roger import KenwardRoger, check_memory
from jmix.estimate.inference.kenward_roger import kenward_roger as adjust
from jmix.estimate.lmm import fit_lmm
from jmix.results.inference.fixed.df_rules import independent_contrasts, tail_probability
from jmix.results.inference.fixed.fixed_tests import FixedTests, Joint

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KenwardRogerTests(FixedTests):
    """F tests with the adjusted covariance, scaled, as in pbkrtest.

    Attributes:
        parts: the adjustment. note: what had to be done first.
    """

    parts: KenwardRoger
    note: str | None = None

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) degrees of freedom of each row."""
        return self.parts.df(np.atleast_2d(np.asarray(L, dtype=np.float64)))

    def joint(self, L: FloatArray, rhs: FloatArray | None = None) -> Joint:
        """The scaled F test of ``L beta = rhs``."""
        found = independent_contrasts(L, self.beta, self.vcov, rhs)
        rank = len(found.squares)
        if rank == 0:
            return Joint(float("nan"), 0, float("nan"), float("nan"))
        scale, df2 = self.parts.scaled_f(found.rows)
        statistic = scale * float(np.mean(found.squares))
        return Joint(statistic, rank, df2, tail_probability(statistic, rank, df2))


def kenward_roger(fit: Fit) -> KenwardRogerTests:
    """The tests of a mixed model; after maximum likelihood those of its refit by REML, as in pbkrtest.

    Raises:
        ModelError: it would not fit into memory.
    """
    assert fit.objective is not None
    check_memory(fit.objective)
    solution, note = fit.solution, None
    if not fit.reml:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            solution = fit_lmm(fit.objective, reml=True, start=fit.theta_values)
        note = "Kenward-Roger's method is for REML: the tests are those of the model refitted by REML"
    parts = adjust(fit.objective, solution)
    return KenwardRogerTests("kenward-roger", tuple(fit.x_names), solution.beta, parts.adjusted, parts, note)
