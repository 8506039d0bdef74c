"""The priors of a linear mixed model: the user's and the defaults, resolved to one for every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.prior import prior
from jmix.spec.prior_resolver import PriorResolver, default_scale
from jmix.spec.prior_sets import PriorRow, PriorSet, TermPrior

__all__ = ["PriorRow", "PriorSet", "TermPrior", "resolve_priors"]

FloatArray = npt.NDArray[np.float64]


def resolve_priors(
    given: Mapping[str, Any] | None,
    *,
    x_names: Sequence[str],
    x_means: FloatArray,
    spec: CovarianceSpec,
    response: FloatArray,
    student: bool = False,
) -> PriorSet:
    """The user's priors where there are any, brms's defaults elsewhere.

    Args:
        given: parameter name or class to prior; see ``docs/bayes.md``.
        x_means: (p,) column means of the model matrix. response: (n,) from which the default scales come.

    Raises:
        ModelError: an unknown name, a prior that does not fit its parameter, two that contradict each other, or an
            improper one where the parameter needs none.
    """
    extra = ["sigma", *(["nu"] if student else [])]
    location, scale = default_scale(response)
    with runtime.float64():
        resolver = PriorResolver(
            given,
            x_names,
            spec,
            location=location,
            scale=scale,
            extra=extra,
            reasons={"nu": "nu is a parameter of family='student'."},
        )
        fixed, terms = resolver.fixed(x_means), resolver.terms()
        sigma = resolver.positive("sigma", ("sigma",), resolver.student(0.0))
        nu = resolver.positive("nu", ("nu",), prior("gamma(2, 0.1)"), 1.0) if student else None
        return PriorSet(fixed, terms, resolver.finish(), sigma, nu)
