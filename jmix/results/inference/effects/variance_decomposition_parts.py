"""The variance of the linear predictor and of what lies below it, part by part.

The variance of a random term is its mean over the rows, ``mean_i z_i' Omega z_i`` (Johnson 2014, Methods Ecol. Evol. 5,
944-946, equation 10); that of the fixed effects the sample variance of ``X beta`` (Nakagawa & Schielzeth 2013, Methods
Ecol. Evol. 4, 133-142).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.results.inference.comparing.lrt_refit import is_linear
from jmix.results.inference.effects.variance_decomposition_law import Options, distribution_variance

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VarianceParts:
    """Variances on the scale of the linear predictor.

    Attributes:
        fixed: of ``X beta``. terms: (group, columns, variance) of each random term. rows: groups with one row a level,
            whose effects are part of the residual of a generalized model. residual: of the residual, or specific to
            the distribution. kind: "residual" or "distribution". notes: how it was computed.
    """

    fixed: float
    terms: tuple[tuple[str, tuple[str, ...], float], ...]
    rows: tuple[str, ...]
    residual: float
    kind: str
    notes: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> dict[str, float]:
        """Variance of each grouping factor, all its terms together, without those of single rows."""
        out: dict[str, float] = {}
        for group, _, variance in self.terms:
            if group not in self.rows:
                out[group] = out.get(group, 0.0) + variance
        return out

    @property
    def random(self) -> float:
        """Variance of the random effects."""
        return sum(self.groups.values())

    @property
    def overdispersion(self) -> float:
        """Variance of effects of single rows in a generalized model."""
        return sum(v for group, _, v in self.terms if group in self.rows)

    @property
    def unexplained(self) -> float:
        """Variance below the random effects."""
        return self.residual + self.overdispersion


def variance_parts(fit: Any, options: Options | None = None) -> VarianceParts:
    """The parts of a fit.

    Raises:
        ModelError: the family has no variance on the scale of its linear predictor, or an option that it does not have.
    """
    residual, notes = distribution_variance(fit, options or Options())
    terms = tuple(
        (term.group, tuple(term.names), mean_variance(term, cov))
        for term, cov in zip(fit.terms, fit.cov_terms(), strict=True)
    )
    single = tuple({g for g, count in fit.ngrps().items() if count == fit.nobs}) if not is_linear(fit) else ()
    kind = "residual" if is_linear(fit) or fit.residual_family else "distribution"
    said = [*notes, *_slope_notes(fit)]
    if single:
        said.append(f"effects of single rows ({', '.join(single)}) count as overdispersion, not as a level")
    return VarianceParts(fixed_variance(fit), terms, single, residual, kind, tuple(said))


def fixed_variance(fit: FitBase) -> float:
    """Sample variance of ``X beta``, the offset left out."""
    return float(np.var(fit.base.X @ fit.beta, ddof=1)) if fit.beta.size else 0.0


def mean_variance(term: RandomTerm, cov: FloatArray) -> float:
    """Mean over the rows of the variance of the term's part of the linear predictor."""
    if len(term.columns) == 1 and term.columns[0].strides == (0,):
        return float(cov[0, 0] * term.columns[0][0] ** 2)
    z = np.stack(term.columns, axis=1)
    return float(np.sum((z.T @ z) * cov) / len(z))


def _slope_notes(fit: FitBase) -> list[str]:
    slopes = [f"{t.group}" for t in fit.terms if tuple(t.names) != ("(Intercept)",)]
    if not slopes:
        return []
    return [f"random slopes ({', '.join(dict.fromkeys(slopes))}): variances averaged over the rows (Johnson 2014)"]
