"""The variance of a response given its linear predictor, on the scale of that predictor.

Nakagawa, Johnson & Schielzeth (2017, J. R. Soc. Interface 14, 20170213): of binary and ordered responses that of the
link's latent variable; otherwise, with v the variance of the response and m its mean, by the delta method
``v g'(m)^2``, and with a log link also ``log(1 + v / m^2)`` (lognormal) or ``trigamma(m^2 / v)``. The mean is that of
the model without predictors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.comparing.lrt_refit import is_linear

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}
"""Variances of the standard logistic, normal and Gumbel distributions."""

BINARY = ("bernoulli", "binomial", "cumulative")
APPROXIMATIONS = ("lognormal", "delta", "trigamma", "latent")
MEANS = ("marginal", "intercept")


@dataclass(frozen=True)
class Options:
    """How the variance of the distribution is computed.

    Attributes:
        approximation: None for the family's default, "lognormal", "delta", "trigamma" or "latent". mean: "marginal",
            the mean response of the model without predictors; "intercept", that at random effects of zero.
    """

    approximation: str | None = None
    mean: str = "marginal"

    def check(self) -> None:
        """ModelError for names that do not exist."""
        if self.approximation is not None and self.approximation not in APPROXIMATIONS:
            raise ModelError(f"approximation={self.approximation!r}: choose {', '.join(map(repr, APPROXIMATIONS))}")
        if self.mean not in MEANS:
            raise ModelError(f"mean={self.mean!r}: choose {', '.join(map(repr, MEANS))}")


def distribution_variance(fit: Any, options: Options) -> tuple[float, list[str]]:
    """The variance, and how it was computed."""
    options.check()
    if is_linear(fit):
        if fit.design.weights is not None:
            return fit.sigma**2, ["weighted rows: the residual variance is that of a row of weight 1"]
        return fit.sigma**2, []
    family = fit.family
    if family.zero:
        raise ModelError(
            f"the family {family.title} mixes its zeros with the counts, and no variance on the scale of the linear "
            "predictor is defined for it; compare models by fit.aic, or describe the fit by fit.predict and simulate"
        )
    if family.name in BINARY and options.approximation in (None, "latent"):
        return _latent(family), [f"variance of the {family.link} link's latent variable"]
    if options.approximation == "latent":
        raise ModelError(f"approximation='latent' is for binary and ordered responses, not for {family.title}")
    if family.name in ("gaussian", "student") and family.link == "identity":
        return _residual(fit), []
    return _approximate(fit, options)


def _latent(family: Any) -> float:
    if family.link not in LATENT:
        raise ModelError(
            f"the link {family.link!r} of family {family.name} has no latent variable with a finite variance; use "
            "link='logit', 'probit' or 'cloglog', or approximation='delta'"
        )
    return float(LATENT[family.link])


def _residual(fit: GlmmFit) -> float:
    """Mean residual variance of a gaussian or student response."""
    scale = _phi(fit) ** 2
    factor = 1.0
    if fit.nu is not None:
        if fit.nu <= 2.0:
            raise ModelError(f"Student's t with {fit.nu:.3g} degrees of freedom has no variance, and so no ICC or R2")
        factor = fit.nu / (fit.nu - 2.0)
    return float(np.mean(scale) * factor)


def _phi(fit: GlmmFit) -> FloatArray:
    """Dispersion of each row, or one number."""
    disp = fit.design.disp
    if disp is None or disp.intercept_only:
        return np.array([fit.dispersion])
    return np.asarray(np.exp(disp.X @ fit.solution.disp))


def _approximate(fit: GlmmFit, options: Options) -> tuple[float, list[str]]:
    family = fit.family
    positive = family.link == "log" and family.name not in BINARY
    default = "lognormal" if positive else "delta"
    kind = options.approximation or default
    defined = {"lognormal": positive, "trigamma": _has_trigamma(family), "delta": True}
    if not defined[kind]:
        raise ModelError(f"approximation={kind!r} is not defined for {family.title}; use 'delta'")
    if family.name == "cumulative":
        raise ModelError("approximation='delta' is not defined for ordered categories; leave it out")
    mu = _null_mean(fit, options.mean)
    phi = _phi(fit)
    value = float(np.mean(_value(fit, kind, mu, phi)))
    what = "mean of the model without predictors" if options.mean == "marginal" else "its intercept"
    return value, [f"variance of the distribution: {kind} approximation at {mu:.4g}, the {what}"]


def _has_trigamma(family: Any) -> bool:
    if family.name == "beta":
        return bool(family.link == "logit")
    return bool(family.link == "log" and family.name in ("poisson", "nbinom1", "nbinom2", "gamma"))


def _value(fit: GlmmFit, kind: str, mu: float, phi: FloatArray) -> FloatArray:
    from scipy.special import polygamma

    family = fit.family
    if kind == "trigamma" and family.name == "beta":
        return np.asarray(polygamma(1, mu * phi) + polygamma(1, (1.0 - mu) * phi))
    variance = _response_variance(family.name, mu, phi, fit.nu)
    if kind == "lognormal":
        return np.asarray(np.log1p(variance / mu**2))
    if kind == "trigamma":
        return np.asarray(polygamma(1, mu**2 / variance))
    from jmix.families import link_derivative, link_function

    slope = link_derivative(family, np.asarray(link_function(family, np.asarray(mu))))
    return np.asarray(variance / slope**2)


def _response_variance(name: str, mu: float, phi: FloatArray, nu: float | None) -> FloatArray:
    from jmix.families import Aux, variance
    from jmix.families.names import LINKS, Family

    family = Family(name, "identity" if "identity" in LINKS[name] else LINKS[name][0])
    if name == "beta":
        return np.asarray(mu * (1.0 - mu) / (1.0 + phi))
    return np.asarray(variance(family, np.full_like(phi, mu), Aux(log_phi=np.log(phi), shape=nu)))  # type: ignore[arg-type]


def _null_mean(fit: GlmmFit, mean: str) -> float:
    """Mean response of the model without predictors: over its random effects, or where they are zero."""
    from jmix.families import inverse_link
    from jmix.numerics.quadrature import gauss_hermite
    from jmix.results.inference.effects.empty import null_model
    from jmix.results.inference.effects.variance_decomposition_parts import mean_variance

    null = null_model(fit, "same")
    intercept = float(null.beta[0])
    if mean == "intercept":
        return float(inverse_link(fit.family, np.asarray(intercept)))
    spread = sum(mean_variance(t, c) for t, c in zip(null.terms, null.cov_terms(), strict=True))
    offset = np.zeros(1) if fit.base.offset is None else fit.base.offset
    if fit.family.link == "log":
        return float(np.mean(np.exp(intercept + offset)) * np.exp(0.5 * spread))
    if fit.family.link in ("inverse", "1/mu^2"):
        return float(np.mean(inverse_link(fit.family, intercept + offset)))
    rule = gauss_hermite(41)
    eta = intercept + offset[:, None] + np.sqrt(spread) * rule.nodes[:, 0]
    return float(np.mean(inverse_link(fit.family, eta) @ np.exp(rule.log_weights)))
