"""The printed summary of a generalized linear mixed model, in the layout of glmer's, glmmTMB's and clmm's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.numbers import format_number
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report, call_lines, design_notes, fixed_sections, observations
from jmix.results.tables import coefficient_table, information_table, quantile_table, random_table
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

PHI = {
    "gaussian": "residual standard deviation",
    "student": "residual scale",
    "gamma": "phi, Var = phi mu^2",
    "inverse_gaussian": "phi, Var = phi mu^3",
    "nbinom2": "size, Var = mu + mu^2/size",
    "nbinom1": "phi, Var = mu (1 + phi)",
    "beta": "precision, Var = mu (1 - mu)/(1 + precision)",
}
"""What the dispersion of each family is."""


@dataclass(frozen=True, eq=False, repr=False)
class GlmmSummary(Report):
    """A summary of ``fit``."""

    fit: GlmmFit

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        fit = self.fit
        call = (("Family", f"{family_name(fit)}  ( {fit.family.link} )"), *call_lines(fit), *_side_formulas(fit))
        notes = [*map(one_line, fit.status.messages), *design_notes(fit.base)]
        return SummaryContent(title(fit), call, tuple(_sections(fit)), tuple(notes))


def title(fit: GlmmFit) -> str:
    """What kind of model this is and how it was fitted."""
    mixed = "mixed " if fit.terms else ""
    kind = "Cumulative link" if fit.family.name == "cumulative" else "Generalized linear"
    how = {
        "Laplace": "Laplace Approximation",
        "AGQ": f"Adaptive Gauss-Hermite Quadrature, nAGQ = {fit.objective.n_agq}",
        "QMC": f"Quasi-Monte Carlo, {fit.n_points} points",
    }.get(fit.objective.title)
    estimator = "maximum a posteriori" if fit.method == "MAP" else "maximum likelihood"
    remarks = [text for text in ("MAP" if fit.method == "MAP" else None, how) if text]
    return f"{kind} {mixed}model fit by {estimator}" + (f" ({'; '.join(remarks)})" if remarks else "")


def family_name(fit: GlmmFit) -> str:
    """The family as R calls it; zero inflation and hurdle first."""
    zero = {"": "", "inflated": "zero-inflated ", "hurdle": "hurdle "}[fit.family.zero]
    return f"{zero}{ {'bernoulli': 'binomial', 'gamma': 'Gamma'}.get(fit.family.name, fit.family.name) }"


def _side_formulas(fit: GlmmFit) -> list[tuple[str, str]]:
    lines = []
    if fit.design.zi is not None:
        lines.append((_zero_title(fit), one_line(fit.design.zi.formula)))
    if fit.design.disp is not None and not fit.design.disp.intercept_only:
        lines.append(("Dispersion", one_line(fit.design.disp.formula)))
    return lines


def _zero_title(fit: GlmmFit) -> str:
    return "Hurdle" if fit.family.zero == "hurdle" else "Zero inflation"


def _sections(fit: GlmmFit) -> list[Section]:
    sections = [Section(table=information_table(fit, "-2*log(L)"))]
    if fit.family.name != "cumulative":
        sections.append(Section("Scaled residuals", quantile_table(_finite(fit.residuals("scaled").to_numpy()))))
    if fit.terms:
        sections.append(Section("Random effects", random_table(fit), (observations(fit),), indent=" "))
    else:
        sections.append(Section(lines=(observations(fit),)))
    sections += _scale_sections(fit)
    sections += fixed_sections(fit, _table(fit, "cond"))
    headings = {
        "zi": "Hurdle model (logit of a zero)" if fit.family.zero == "hurdle" else "Zero-inflation model",
        "disp": "Dispersion model (log)",
        "thresholds": "Threshold coefficients",
    }
    shown = [c for c in headings if fit.parts.names[c] and not (c == "disp" and _constant_dispersion(fit))]
    return [*sections, *(Section(headings[c], _table(fit, c)) for c in shown)]


def _finite(values: FloatArray) -> FloatArray:
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1)


def _constant_dispersion(fit: GlmmFit) -> bool:
    return fit.design.disp is not None and fit.design.disp.intercept_only


def _scale_sections(fit: GlmmFit) -> list[Section]:
    lines = []
    if _constant_dispersion(fit):
        lines.append(f"Dispersion ({PHI[fit.family.name]}): {format_number(fit.dispersion, 4)}")
    if fit.nu is not None:
        lines.append(f"Degrees of freedom of Student's t: {format_number(fit.nu, 4)}")
    return [Section(lines=tuple(lines))] if lines else []


def _table(fit: GlmmFit, component: str) -> Table:
    estimate, se = fit.fixef(component), fit.se(component)
    return coefficient_table(estimate, se, "z", None if component == "thresholds" else p_values(estimate, se))


def p_values(estimate: pd.Series, se: pd.Series) -> FloatArray:
    """Two-sided p-values of the normal test that a coefficient is zero."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(estimate.to_numpy() / se.to_numpy())
    return np.asarray(2.0 * ndtr(-z), dtype=np.float64)
