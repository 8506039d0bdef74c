"""Whether two fits can be compared at all, and whether one is a special case of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.base import FitBase
from jmix.results.inference.comparing.lrt_nested import Nesting, fixed_nested, in_span, random_nested
from jmix.results.inference.comparing.lrt_refit import is_linear

if TYPE_CHECKING:
    from jmix.design_response import Side

FloatArray = npt.NDArray[np.float64]


def check_same_data(fits: Sequence[Any]) -> None:
    """ModelError where likelihoods of two fits are not of the same data, or not computed in the same way."""
    first = fits[0]
    for i, fit in enumerate(fits[1:], start=2):
        _check_rows(first, fit, i)
        if _discrete(first) != _discrete(fit):
            raise ModelError(
                f"fits 1 and {i}: one likelihood is of probabilities and one of densities "
                f"({_name(first)}, {_name(fit)}); they are not comparable"
            )
    _check_integration([fit for fit in fits if not is_linear(fit) and fit.terms])


def _check_rows(first: Any, fit: Any, i: int) -> None:
    if fit.nobs != first.nobs:
        raise ModelError(
            f"fits 1 and {i} use {first.nobs} and {fit.nobs} rows: they are fits of different data. Drop the rows with "
            "a missing value in any variable of either model, and fit both to the rest"
        )
    if not _equal(_response(first), _response(fit)):
        raise ModelError(
            f"fits 1 and {i} have different responses ({first.base.y_name}, {fit.base.y_name}): likelihoods of "
            "different data are not comparable"
        )
    if not _equal(_weights(first), _weights(fit)):
        raise ModelError(f"fits 1 and {i} have different weights: fit both with the same")


def _equal(a: FloatArray, b: FloatArray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-10, atol=0.0))


def _response(fit: Any) -> FloatArray:
    if is_linear(fit):
        return np.asarray(fit.base.y)
    response = fit.design.response
    return np.asarray(response.y) if response.size is None else np.concatenate([response.y, response.size])


def _weights(fit: Any) -> FloatArray:
    given = fit.design.weights
    return np.ones(fit.nobs) if given is None else np.asarray(given)


def _discrete(fit: Any) -> bool:
    return not is_linear(fit) and bool(fit.family.discrete)


def _name(fit: Any) -> str:
    return "gaussian" if is_linear(fit) else str(fit.family.name)


def _check_integration(fits: Sequence[Any]) -> None:
    ways = {(fit.objective.method, fit.objective.n_agq, fit.n_points): fit for fit in fits}
    if len(ways) > 1:
        shown = ", ".join(f"{f.objective.title} (n_agq={f.objective.n_agq})" for f in ways.values())
        raise ModelError(
            f"the likelihoods are approximated in different ways ({shown}), and their difference is no test: fit all "
            "with the same n_agq and integration"
        )


def nesting_of(small: FitBase, big: FitBase) -> Nesting | str | None:
    """How the smaller model is a special case of the larger one; None where it is not, text where there is no test."""
    if not fixed_nested(small, big):
        return None
    others: list[str] = []
    if not (is_linear(small) and is_linear(big)):
        found = _general(small, big)
        if found is None or isinstance(found, str):
            return found
        others = found
    cases = random_nested(small.terms, big.terms)
    return None if cases is None else Nesting(cases, tuple(others))


def _general(small: Any, big: Any) -> list[str] | str | None:
    """What is on a boundary beside variances; None where the families are not nested, text where there is no test."""
    if is_linear(small) or is_linear(big):
        return [] if _plain_gaussian(small) and _plain_gaussian(big) else None
    one, two = small.family, big.family
    if one.link != two.link:
        return None
    others: list[str] = []
    if one.name != two.name:
        if (one.name, two.name) not in (("poisson", "nbinom2"), ("poisson", "nbinom1"), ("gaussian", "student")):
            return None
        others.append("no overdispersion" if one.name == "poisson" else "infinite degrees of freedom")
        if big.design.disp is not None and one.name == "poisson" and not big.design.disp.intercept_only:
            return "without overdispersion the coefficients of its formula mean nothing, and no chi-squared law holds"
    elif not _side_nested(small.design.disp, big.design.disp):
        return None
    if one.zero != two.zero:
        if one.zero or two.zero == "hurdle":
            return None
        if not big.design.zi.intercept_only:
            return "without zero inflation the coefficients of its formula mean nothing, and no chi-squared law holds"
        others.append("no zero inflation")
    elif not _side_nested(small.design.zi, big.design.zi):
        return None
    return others


def _plain_gaussian(fit: Any) -> bool:
    if is_linear(fit):
        return True
    family, disp = fit.family, fit.design.disp
    return family.name == "gaussian" and family.link == "identity" and disp is not None and bool(disp.intercept_only)


def _side_nested(small: Side | None, big: Side | None) -> bool:
    return small is None or big is None or in_span(small.X, big.X)
