"""Hypotheses about parameters of a fit: linear ones exactly, others by the delta method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.expressions import compare, spellings
from jmix.results.frames import check_level
from jmix.results.hypothesis import _labelled
from jmix.results.inference.fixed.fixed_tests import FixedTests, Joint
from jmix.results.inference.means.laws import DeltaLaw, NormalLaw, glmm_law
from jmix.results.inference.means.marginal import call_of
from jmix.results.inference.means.means import Means, Side, View
from jmix.results.inference.means.quantities import Delta
from jmix.results.inference.means.scales import IDENTITY
from jmix.results.inference.means.show import make
from jmix.results.inference.means.slopes import STENCIL
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import parameter_names

FloatArray = npt.NDArray[np.float64]
Named = Callable[[FloatArray], Mapping[str, FloatArray]]

STEP = 1e-3
SIDES: dict[str, Side] = {"=": "two-sided", ">": "greater", "<": "less"}


@dataclass(frozen=True, eq=False)
class MixedLaw(NormalLaw):
    """Of fixed effects with a rule for degrees of freedom, followed by other parameters, which are normal."""

    tests: FixedTests | None = None

    def df(self, jacobian: FloatArray) -> FloatArray:
        """(m,) by the rule for functions of the fixed effects alone; infinite for others."""
        assert self.tests is not None
        p = self.tests.beta.size
        out = np.full(len(jacobian), np.inf)
        fixed = ~np.any(jacobian[:, p:] != 0, axis=1) & np.any(jacobian[:, :p] != 0, axis=1)
        if fixed.any():
            out[fixed] = self.tests.df(jacobian[fixed, :p])
        return out

    def joint(self, jacobian: FloatArray, rhs: FloatArray) -> Joint:
        """By the rule where only fixed effects are tested; otherwise Wald's."""
        assert self.tests is not None
        p = self.tests.beta.size
        if np.any(jacobian[:, p:] != 0):
            return super().joint(jacobian, rhs)
        return self.tests.joint(jacobian[:, :p], rhs)


@dataclass(frozen=True, eq=False)
class Parameters:
    """All parameters of a fit as functions of a vector with a known law.

    Attributes:
        names: of the parameters. fixed: of the fixed effects, the first entries of the vector. law: of the vector.
        values: from (R, d) vectors to (R,) of each parameter. reason: why other parameters cannot be used, or "".
    """

    names: tuple[str, ...]
    fixed: tuple[str, ...]
    law: DeltaLaw
    values: Named
    reason: str = ""


def hypothesis(fit: Any, hypotheses: Any, df: Any, level: float, adjust: str) -> Means:
    """The work behind ``MeansFace.hypothesis``; arguments are described there."""
    check_level(level)
    parameters = parameters_of(fit, df)
    rows, labels, signs = [], [], []
    for label, text in _labelled(hypotheses):
        value, gradient, sign = _differentiate(text, parameters)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            raise ModelError(f"hypothesis {text!r} is not finite, or has no derivative, at the estimates")
        if parameters.reason and np.any(gradient[len(parameters.fixed) :] != 0):
            raise ModelError(f"hypothesis {text!r}: {parameters.reason}")
        rows.append((value, gradient))
        labels.append(label)
        signs.append(sign)
    if len(set(signs)) > 1:
        raise ModelError("hypotheses with different signs (=, <, >) need separate calls")
    raw, jacobian = np.array([v for v, _ in rows]), np.array([g for _, g in rows])
    q = Delta(np.zeros((len(raw), 0)), raw, jacobian, parameters.law)
    side = SIDES[signs[0]]
    facts: tuple[str, ...] = ("Estimates are of the left side less the right side.",)
    if np.any(jacobian[:, len(parameters.fixed) :] != 0):
        facts = (*facts, "Standard errors of functions of variance parameters by the delta method, as normal.")
    view = View(IDENTITY, False, level, adjust, False, len(raw), "both", "hypothesis", side=side, facts=facts)
    return make(pd.DataFrame({"hypothesis": labels}), (), q, view, "Hypotheses", call_of(fit))


def _differentiate(text: str, parameters: Parameters) -> tuple[float, FloatArray, str]:
    """Left less right side at the estimates, its gradient in the vector, and the sign."""
    point = parameters.law.point
    size = STEP * np.maximum(np.abs(point), 1e-3)
    vectors, weights = [point], []
    for k, weight in STENCIL:
        for sign in (1.0, -1.0):
            vectors += list(point + sign * k * np.diag(size))
            weights.append(sign * weight)
    values = parameters.values(np.array(vectors))
    known = spellings(list(parameters.names), parameters.fixed)
    try:
        sign_text, found = compare(text, known, values)
    except ModelError as error:
        try:
            sign_text, found = compare(f"{text} = 0", known, values)
        except ModelError:
            raise error from None
    d = point.size
    moves = found[1:].reshape(len(weights), d)
    moves = np.where(moves == found[0], 0.0, moves - found[0])
    return float(found[0]), np.asarray(np.tensordot(weights, moves, axes=1) / size), sign_text


# --- parameters -----------------------------------------------------------------------------------------------------
def parameters_of(fit: Any, df: Any) -> Parameters:
    """All parameters of a fit with the law of their estimators."""
    return _of_linear(fit, df) if getattr(fit, "family", None) is None else _of_generalized(fit, df)


def _columns(spec: CovarianceSpec, theta: FloatArray, scale: FloatArray) -> list[FloatArray]:
    """(R,) standard deviations term by term, then correlations, of (R, k) theta."""
    sds: list[FloatArray] = []
    cors: list[FloatArray] = []
    factors = [spec.split(row) for row in theta]
    for i, term in enumerate(spec.terms):
        lam = np.array([f[i] for f in factors])
        sd = np.sqrt(np.sum(lam**2, axis=2))
        sds += [scale * sd[:, a] for a in range(term.q)]
        with np.errstate(divide="ignore", invalid="ignore"):
            cors += [
                np.sum(lam[:, a] * lam[:, b], axis=1) / (sd[:, a] * sd[:, b])
                for a in range(term.q)
                for b in range(a + 1, term.q)
            ]
    return [*sds, *cors]


def _of_linear(fit: Any, df: Any) -> Parameters:
    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    tests = fixed_tests(fit, df)
    p, k = tests.beta.size, fit.spec.n_theta
    names = parameter_names(fit.x_names, fit.spec)
    point = np.concatenate([tests.beta, fit.theta_values, [fit.sigma]])
    matrix, reason = _linear_covariance(fit, tests)
    law = MixedLaw(tests.method, point, matrix, None, tests)

    def values(vectors: FloatArray) -> dict[str, FloatArray]:
        sigma = vectors[:, -1]
        columns = [*vectors[:, :p].T, *_columns(fit.spec, vectors[:, p : p + k], sigma), sigma]
        return dict(zip(names, columns, strict=True))

    return Parameters(tuple(names), tuple(fit.x_names), law, values, reason)


def _linear_covariance(fit: Any, tests: FixedTests) -> tuple[FloatArray, str]:
    """(d, d) of fixed effects, theta and sigma, asymptotically independent; and why that of the latter is unknown."""
    p, k = tests.beta.size, fit.spec.n_theta
    matrix = np.zeros((p + k + 1, p + k + 1))
    matrix[:p, :p] = tests.vcov
    if fit.objective is None:
        matrix[-1, -1] = fit.sigma**2 / (2.0 * max(fit.nobs - (p if fit.method == "OLS" else 0), 1))
        return matrix, ""
    if fit.method not in ("REML", "ML"):
        return matrix, (
            "after fit('map') standard errors of variance parameters are in laplace(); sample() gives draws, whose "
            "hypothesis() takes any function of them"
        )
    if fit.singular:
        return matrix, (
            "the fit is singular: at the boundary the delta method does not hold for variance parameters; use "
            "bootstrap() or profile()"
        )
    from jmix.estimate.inference.satterthwaite import covariance_curve

    matrix[p:, p:] = covariance_curve(fit.objective, fit.solution, reml=fit.method == "REML").parameters
    return matrix, ""


def _of_generalized(fit: Any, df: Any) -> Parameters:
    from jmix.estimate.glmm_initial import family_names, family_values
    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    if df not in (None, "none"):
        fixed_tests(fit, df)
        raise ModelError(f"df={df!r} is not for hypotheses about a generalized model; leave it out")
    others = tuple(family_names(fit.objective))
    names = parameter_names(fit.x_names, fit.spec, others=others)
    p, theta = len(fit.x_names), fit.parts.slices["theta"]

    def values(vectors: FloatArray) -> dict[str, FloatArray]:
        family = family_values(fit.objective, vectors[None])[0] if others else np.zeros((len(vectors), 0))
        ones = np.ones(len(vectors))
        columns = [*vectors[:, :p].T, *_columns(fit.spec, vectors[:, theta], ones), *family.T]
        return dict(zip(names, columns, strict=True))

    reason = ""
    if np.any(fit.solution.boundary):
        reason = "some parameters are on their boundary, where the delta method does not hold; use bootstrap()"
    return Parameters(tuple(names), tuple(fit.x_names), glmm_law(fit), values, reason)
