"""One prior for every parameter of a model: what both linear and generalized models have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.spec.matrix_priors import MatrixPrior
from jmix.spec.prior import Prior
from jmix.spec.supports import ScalarPrior

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TermPrior:
    """Priors of one random term: of its standard deviations and its correlations, or of its covariance matrix."""

    sds: tuple[ScalarPrior, ...]
    concentration: float = 1.0
    matrix: MatrixPrior | None = None


@dataclass(frozen=True, eq=False)
class PriorRow:
    """One line of the table: what the prior is of, the prior, and whether it is a default."""

    parameter: str
    prior: Prior
    default: bool


@dataclass(frozen=True, eq=False)
class CoefficientPriors:
    """Priors of the coefficients of one linear predictor.

    Attributes:
        coefficients: in the order of its columns. centred: of the intercept at the means of the predictors, or None;
            ``centre`` (p,) times the coefficients gives that intercept. intercept_at: its column, or -1.
    """

    coefficients: tuple[ScalarPrior, ...]
    centred: ScalarPrior | None
    centre: FloatArray | None
    intercept_at: int = -1

    @property
    def proper(self) -> bool:
        """Whether every prior integrates to one."""
        flat = [c.prior.flat for c in self.coefficients]
        if self.centred is not None and not self.centred.prior.flat and self.intercept_at >= 0:
            flat[self.intercept_at] = False
        return not any(flat)


@dataclass(frozen=True, eq=False)
class Priors:
    """One prior for every parameter of a model.

    Attributes:
        fixed: of the fixed effects, in the order of ``design.x_names``. terms: in lme4's order. rows: for the table.
    """

    fixed: CoefficientPriors
    terms: tuple[TermPrior, ...]
    rows: tuple[PriorRow, ...]

    def table(self) -> pd.DataFrame:
        """One row a parameter or class: ``prior``, ``parameter`` and ``source``, "default" or "user"."""
        import pandas as pd

        cells = [(repr(r.prior), r.parameter, "default" if r.default else "user") for r in self.rows]
        return pd.DataFrame(cells, columns=["prior", "parameter", "source"])

    def __repr__(self) -> str:
        return str(self.table().to_string(index=False))

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False))

    @property
    def proper(self) -> bool:
        """Whether every prior integrates to one."""
        return self.fixed.proper

    @property
    def coefficients(self) -> tuple[ScalarPrior, ...]:
        """Of the fixed effects, in the order of ``design.x_names``."""
        return self.fixed.coefficients

    @property
    def centred(self) -> ScalarPrior | None:
        """Of the intercept at the means of the predictors."""
        return self.fixed.centred

    @property
    def centre(self) -> FloatArray | None:
        """(p,) times beta gives the centred intercept."""
        return self.fixed.centre

    @property
    def scalars(self) -> Mapping[str, ScalarPrior]:
        """Of the parameters that are neither coefficients nor covariances, by name."""
        return {}

    @property
    def intercept_at(self) -> int:
        """Position of the intercept among the coefficients, or -1."""
        return self.fixed.intercept_at


@dataclass(frozen=True, eq=False, repr=False)
class PriorSet(Priors):
    """One prior for every parameter of a linear mixed model.

    Attributes:
        sigma: of the residual standard deviation. nu: of the degrees of freedom of a Student-t response, or None.
    """

    sigma: ScalarPrior
    nu: ScalarPrior | None

    @property
    def scalars(self) -> Mapping[str, ScalarPrior]:
        """Of sigma and nu."""
        return {"sigma": self.sigma} | ({} if self.nu is None else {"nu": self.nu})


@dataclass(frozen=True, eq=False, repr=False)
class GlmmPriorSet(Priors):
    """One prior for every parameter of a generalized linear mixed model; None where the family has no such parameter.

    Attributes:
        dispersion_name, dispersion, dispersion_side: of the dispersion by its natural name (sigma, shape, phi), or of
            the coefficients of its logarithm. sign: that logarithm is ``sign`` times log phi of the density.
        zero_name, zero, zero_side: of the probability of the zero part, or of the coefficients of its logit.
        thresholds: of the thresholds at the means of the predictors. threshold_centre: (p,) those means.
        nu: of the degrees of freedom of a Student-t response.
    """

    dispersion_name: str = ""
    dispersion: ScalarPrior | None = None
    dispersion_side: CoefficientPriors | None = None
    sign: int = 1
    zero_name: str = ""
    zero: ScalarPrior | None = None
    zero_side: CoefficientPriors | None = None
    thresholds: tuple[ScalarPrior, ...] = ()
    threshold_centre: FloatArray | None = None
    nu: ScalarPrior | None = None

    @property
    def scalars(self) -> Mapping[str, ScalarPrior]:
        """Of the dispersion, the probability of a zero and nu, where they have no formula."""
        named = {self.dispersion_name: self.dispersion, self.zero_name: self.zero, "nu": self.nu}
        return {name: own for name, own in named.items() if own is not None}

    @property
    def proper(self) -> bool:
        """Whether every prior integrates to one."""
        sides = [side.proper for side in (self.dispersion_side, self.zero_side) if side is not None]
        return self.fixed.proper and all(sides) and not any(t.prior.flat for t in self.thresholds)
