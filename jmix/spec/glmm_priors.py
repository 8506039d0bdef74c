"""The priors of a generalized linear mixed model, with brms's names and defaults.

The dispersion goes by the name that brms gives it: ``sigma`` of Gaussian and Student-t responses, ``shape`` of the
negative binomial (NB2), gamma and inverse Gaussian ones, ``phi`` of beta responses. Where the density is written in
``phi = 1 / shape`` the change of variables is in ``sign``. brms has no NB1; its ``phi``, with Var = mu (1 + phi), has a
half Student-t prior here, which lets it vanish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import plain
from jmix.spec.prior import Prior, prior
from jmix.spec.prior_resolver import LEAST_SCALE, PriorResolver, default_scale
from jmix.spec.prior_sets import CoefficientPriors, GlmmPriorSet
from jmix.spec.supports import ScalarPrior, unit_prior

if TYPE_CHECKING:
    from jmix.design_response import Side
    from jmix.families import Family

FloatArray = npt.NDArray[np.float64]

DISPERSION: dict[str, tuple[str, int]] = {
    "gaussian": ("sigma", 1),
    "student": ("sigma", 1),
    "gamma": ("shape", -1),
    "inverse_gaussian": ("shape", -1),
    "nbinom2": ("shape", 1),
    "nbinom1": ("phi", 1),
    "beta": ("phi", 1),
}
"""The natural name of each family's dispersion, and whether it is phi of the density (1) or its inverse (-1)."""

SCALED = ("identity", "log", "inverse", "sqrt", "1/mu^2")
"""Links for which the default scales come from the response, as in brms."""


@dataclass(frozen=True, eq=False)
class SideColumns:
    """The linear predictor of the dispersion or of the zero part: names and (p,) means of its columns."""

    names: Sequence[str]
    means: FloatArray
    intercept_only: bool


def zero_name(family: Family) -> str:
    """``zi`` of a zero-inflated family, ``hu`` of a hurdle, else the empty text."""
    return {"inflated": "zi", "hurdle": "hu"}.get(family.zero, "")


def dispersion_name(family: Family) -> str:
    """The natural name of the dispersion; empty without one."""
    return DISPERSION[family.name][0] if family.has_dispersion else ""


def side_names(part: str, side: SideColumns | Side | None) -> list[str]:
    """Names of the parameters of a part: itself, or ``zi_Intercept``, ``zi_x`` where it has a formula."""
    if not part or side is None:
        return []
    return [part] if side.intercept_only else [f"{part}_{plain(name)}" for name in side.names]


def threshold_names(family: Family) -> list[str]:
    """``Intercept[1]``, ...: the thresholds of an ordinal family."""
    return [f"Intercept[{k + 1}]" for k in range(family.n_thresholds)]


def linked_scale(family: Family, y: FloatArray, offset: FloatArray | None) -> tuple[float, float]:
    """Location and scale of the default priors on the scale of the link.

    As in brms: for the identity, log, inverse and square-root links the median and median absolute deviation of the
    linked response, zeros moved to 0.1 where the link is not finite there, the mean offset taken off the location;
    0 and 2.5 for the others.
    """
    if family.link not in SCALED or family.n_thresholds:
        return 0.0, LEAST_SCALE
    moved = np.where(y == 0, 0.1, y) if family.link in ("log", "inverse", "1/mu^2") else y
    with np.errstate(invalid="ignore", divide="ignore"):
        linked = _linked(family.link, moved)
    location, scale = default_scale(linked[np.isfinite(linked)]) if np.isfinite(linked).any() else (0.0, LEAST_SCALE)
    return location - (0.0 if offset is None else float(np.mean(offset))), scale


def _linked(link: str, mu: FloatArray) -> FloatArray:
    if link == "log":
        return np.log(mu)
    if link == "sqrt":
        return np.sqrt(mu)
    return mu if link == "identity" else 1.0 / (mu if link == "inverse" else np.square(mu))


def resolve_glmm_priors(
    given: Mapping[str, Any] | None,
    *,
    family: Family,
    x_names: Sequence[str],
    x_means: FloatArray,
    spec: CovarianceSpec,
    response: FloatArray,
    offset: FloatArray | None = None,
    dispersion: SideColumns | None = None,
    zero: SideColumns | None = None,
) -> GlmmPriorSet:
    """The user's priors where there are any, brms's defaults elsewhere.

    Args:
        given: parameter name or class to prior; see ``docs/bayes.md``.
        x_means: (p,) column means of the model matrix. response: (n,). offset: (n,) or None.
        dispersion, zero: the columns of their linear predictors, None where the family has no such part.

    Raises:
        ModelError: as ``resolve_priors``.
    """
    location, scale = linked_scale(family, response, offset)
    names = [*_names(dispersion_name(family), dispersion), *_names(zero_name(family), zero), *_threshold_keys(family)]
    with runtime.float64():
        resolver = PriorResolver(
            given,
            x_names,
            spec,
            location=location,
            scale=scale,
            extra=[*names, *(["nu"] if family.has_shape else [])],
            reasons=_reasons(family, dispersion, zero),
        )
        thresholds = _thresholds(resolver, family)
        fixed, terms = resolver.fixed(x_means), resolver.terms()
        disp, disp_side = _dispersion(resolver, family, dispersion)
        zi, zi_side = _zero(resolver, family, zero)
        nu = resolver.positive("nu", ("nu",), prior("gamma(2, 0.1)"), 1.0) if family.has_shape else None
        return GlmmPriorSet(
            fixed,
            terms,
            resolver.finish(),
            dispersion_name=dispersion_name(family),
            dispersion=disp,
            dispersion_side=disp_side,
            sign=DISPERSION.get(family.name, ("", 1))[1],
            zero_name=zero_name(family),
            zero=zi,
            zero_side=zi_side,
            thresholds=thresholds,
            threshold_centre=np.asarray(x_means, dtype=np.float64) if thresholds else None,
            nu=nu,
        )


def _names(part: str, side: SideColumns | None) -> list[str]:
    """Keys of the priors of a part."""
    if not part or side is None:
        return []
    if side.intercept_only:
        return [part]
    level = [f"Intercept_{part}"] if "(Intercept)" in side.names else []
    return [*level, f"b_{part}", *side_names(part, side)]


def _threshold_keys(family: Family) -> list[str]:
    return ["Intercept", *threshold_names(family)] if family.n_thresholds else []


def _reasons(family: Family, dispersion: SideColumns | None, zero: SideColumns | None) -> dict[str, str]:
    """Why parameters of other families are not there."""
    own = dispersion_name(family)
    title = family.name
    none = f"family={title!r} has no dispersion"
    instead = f"the dispersion of family={title!r} is '{own}'" if own else none
    if dispersion is not None and own and not dispersion.intercept_only:
        instead = f"'{own}' has a formula: its coefficients are {', '.join(side_names(own, dispersion))}"
    out = {name: f"{instead[0].upper()}{instead[1:]}." for name in ("sigma", "shape", "phi")}
    out |= {
        "zi": "zi is the probability of an extra zero, of a model with zi=.",
        "hu": "hu is the probability of a zero, of a hurdle model.",
        "nu": "nu is a parameter of family='student'.",
    }
    part = zero_name(family)
    if part and zero is not None and not zero.intercept_only:
        out[part] = f"'{part}' has a formula: its coefficients are {', '.join(side_names(part, zero))}."
    return out


def _thresholds(resolver: PriorResolver, family: Family) -> tuple[ScalarPrior, ...]:
    return tuple(resolver.level(name, (name, "Intercept"), resolver.student(0.0)) for name in threshold_names(family))


def _dispersion(
    resolver: PriorResolver, family: Family, side: SideColumns | None
) -> tuple[ScalarPrior | None, CoefficientPriors | None]:
    part = dispersion_name(family)
    if not part or side is None:
        return None, None
    if not side.intercept_only:
        return None, resolver.side(part, side.names, side.means, prior("student_t(3, 0, 2.5)"))
    if part == "sigma":
        default = resolver.student(0.0)
    elif family.name == "nbinom1":
        default = prior("half_student_t(3, 2.5)")
    else:
        default = prior("gamma(0.01, 0.01)")
    own = resolver.positive(part, (part,), default)
    if part != "sigma" and own.on != "value":
        raise ModelError(f"the prior of {part} is on its {own.on}, which only a standard deviation has")
    return own, None


def _zero(
    resolver: PriorResolver, family: Family, side: SideColumns | None
) -> tuple[ScalarPrior | None, CoefficientPriors | None]:
    part = zero_name(family)
    if not part or side is None:
        return None, None
    if not side.intercept_only:
        return None, resolver.side(part, side.names, side.means, prior("logistic(0, 1)"))
    value: Prior = resolver.row(part, (part,), prior("beta(1, 1)"))
    return unit_prior(value, part), None
