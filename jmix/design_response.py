"""Data frame to arrays: the design of a generalized linear mixed model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.design_left import LeftSide, Response, read_response
from jmix.errors import ModelError
from jmix.families import Family, resolve_family

if TYPE_CHECKING:
    from jmix.formula.build import SidePart
    from jmix.formula.encoding import Encoding

__all__ = ["GlmmDesign", "Response", "Side", "as_glmm_design", "build_glmm_design"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """A one-sided formula, of the dispersion or of the zeros, as arrays.

    Attributes:
        X: (n, p) model matrix, Fortran order, full column rank; names its p labels.
        formula: its text in R's spelling, e.g. ``"~ x"``.
        encoding: builds the same columns for new data: ``encoding.encode(new_data).X``.
    """

    X: FloatArray
    names: list[str]
    formula: str
    encoding: Encoding

    @property
    def intercept_only(self) -> bool:
        """Whether its only column is the intercept."""
        return self.names == ["(Intercept)"]


@dataclass(frozen=True)
class GlmmDesign:
    """Formulas evaluated on data for a family, rows with missing values dropped from all parts.

    Attributes:
        base: fixed and random effects, offset and rows; its ``y`` is the response's, its weights are None.
        family: with what the response settles: "binomial" of 0/1 responses is "bernoulli"; ``n_categories``.
        response: the response as numbers. weights: (n,) multipliers of the rows' log likelihoods, or None.
        disp: formula of the log dispersion; None where the family has none.
        zi: formula of the logit of the zero probability; None without zero inflation or hurdle.
    """

    base: Design
    family: Family
    response: Response
    weights: FloatArray | None
    disp: Side | None
    zi: Side | None

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """The random terms in lme4's order."""
        return self.base.terms


def build_glmm_design(
    formula: str,
    data: Any,
    family: Family,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    disp: str | None = None,
    zi: str | None = None,
) -> GlmmDesign:
    """Evaluate the formulas of a generalized linear mixed model on data.

    Args:
        formula: e.g. ``"cbind(incidence, size - incidence) ~ period + (1 | herd)"``.
        family: from ``jmix.families.resolve_family``.
        weights: n positive numbers, or the name of a column. Of a binomial proportion they are the trials, as in R;
            otherwise they multiply the rows' log likelihoods, as in glmmTMB.
        offset: a known part of the linear predictor, such as a log exposure: n numbers, or the name of a column.
        contrasts: codings of fixed-effects factors of any of the formulas.
        disp: formula of the log dispersion, ``"~ 1"`` if left out.
        zi: formula of the logit of the zero probability; with ``family.zero == ""`` it means zero inflation.

    Raises:
        FormulaError: a formula cannot be read, or holds something not allowed.
        DataError: a column cannot be used, no rows are left, or the response is not one of the family.
        ModelError: the options contradict the family.
    """
    from jmix.families import check_response
    from jmix.formula.build import build_general

    family, sides = _sides(family, disp, zi)
    parts = build_general(
        formula, data, weights, offset, contrasts, sides=sides, thresholds=family.name == "cumulative"
    )
    fields = parts.fields
    left = LeftSide(parts.left, fields["y_name"], fields["index"])
    read = read_response(left, family, fields.pop("weights"))
    check_response(read.family, read.response.y, read.response.size, name=left.name)
    terms = tuple(RandomTerm(**term) for term in fields.pop("random"))
    base = Design(**fields, random=terms, weights=None, y=read.response.y)
    built = {name: _side(side) for name, side in parts.sides.items()}
    return GlmmDesign(base, read.family, read.response, read.weights, built.get("disp"), built.get("zi"))


def _sides(family: Family, disp: str | None, zi: str | None) -> tuple[Family, dict[str, str]]:
    """The family, its zeros settled, and the one-sided formulas that it needs."""
    if disp is not None and not family.has_dispersion:
        raise ModelError(f"disp={disp!r}: family {family.name!r} has no dispersion to model; leave disp out")
    if zi is not None and not family.zero:
        family = resolve_family(family, zero="inflated")
    sides = {"disp": "~ 1" if disp is None else disp} if family.has_dispersion else {}
    return family, sides | ({"zi": "~ 1" if zi is None else zi} if family.zero else {})


def _side(part: SidePart) -> Side:
    return Side(part.X, list(part.encoding.x_names), part.formula, part.encoding)


def as_glmm_design(design: Design, family: Family) -> GlmmDesign:
    """The design of a linear model without weights as that of a family with one column of numbers, constant sides."""
    from jmix.formula.encoding import Encoding

    family, sides = _sides(family, None, None)
    built = {name: _constant(design.y.size, Encoding.constant(text)) for name, text in sides.items()}
    return GlmmDesign(design, family, Response(design.y), None, built.get("disp"), built.get("zi"))


def _constant(n: int, encoding: Encoding) -> Side:
    return Side(np.ones((n, 1), order="F"), list(encoding.x_names), encoding.formula, encoding)
