"""The truth of a power study: a design with parameters that nobody estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.design_response import GlmmDesign
from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec, semidefinite_cholesky
from jmix.spec.names import cor_names, parameter_names, sd_names

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Parameters on their natural scales.

    Attributes:
        beta: (p,). covariances: (q, q) of each term. others: sigma; or what a family has beside its mean.
    """

    beta: FloatArray
    covariances: tuple[FloatArray, ...]
    others: dict[str, float]


@dataclass(frozen=True)
class Subject:
    """The model under study.

    Attributes:
        design: the pilot's, or of the data skeleton. spec, terms: of its random effects. linear: whether a linear
            model. method: of a linear model, "REML", "ML" or "OLS". options: n_agq, method and n_points of a
            generalized one. truth: what responses are simulated from.
    """

    design: Any
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    linear: bool
    method: str
    options: dict[str, Any]
    truth: Truth

    @property
    def x_names(self) -> list[str]:
        """Names of the fixed effects."""
        return list((self.design.base if isinstance(self.design, GlmmDesign) else self.design).x_names)


def subject(
    model: Any, params: Mapping[str, float] | None, overrides: Mapping[str, float], effects: Sequence[str]
) -> Subject:
    """The model under study, from a fit or a specification.

    Args:
        params: values by name. overrides: of the effects. effects: names that must be fixed effects.

    Raises:
        ModelError: something else; parameters that are unknown, missing, or out of range.
    """
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit

    pilot: Any = getattr(model, "design", None)
    specified = callable(getattr(model, "fit", None)) and getattr(model, "family", "") != "student"
    if not isinstance(pilot, Design | GlmmDesign) or not (isinstance(model, Fit | GlmmFit) or specified):
        raise ModelError("power needs a fit (jmix.lmm, jmix.glmm), or a specification (jmix.model) with params=")
    parts = (pilot, model.spec, tuple(model.terms))
    known = dict(zip(*_estimates(model), strict=True)) if isinstance(model, Fit | GlmmFit) else {}
    linear = isinstance(pilot, Design)
    x_names = pilot.x_names if isinstance(pilot, Design) else pilot.base.x_names
    strange = [name for name in effects if name not in x_names]
    if strange:
        raise ModelError(f"effect={strange[0]!r}: the fixed effects are {', '.join(x_names)}")
    given = {**known, **dict(params or {}), **dict(overrides)}
    method = model.method if isinstance(model, Fit) and model.method in ("ML", "OLS") else "REML"
    options: dict[str, Any] = {}
    if isinstance(model, GlmmFit):
        own = model.objective
        options = {"n_agq": max(own.n_agq, 1), "method": own.method, "n_points": own.n_points or None}
    truth = _truth(parts[0], parts[1], linear, given)
    return Subject(*parts, linear, method, options, truth)


def _estimates(fit: Any) -> tuple[list[str], list[float]]:
    """Names and values of all parameters of a fit."""
    from jmix.results.refits_base import natural_scale

    random = natural_scale(fit.theta_values[None], np.array([fit.theta_scale]), fit.spec)
    others = family_parameters(fit.design, fit.solution) if isinstance(fit.design, GlmmDesign) else {"sigma": fit.sigma}
    names = parameter_names(fit.x_names, fit.spec, others=tuple(others))
    return names, [*map(float, fit.beta), *(float(r[0]) for r in random), *others.values()]


def family_parameters(design: GlmmDesign, solution: Any) -> dict[str, float]:
    """Thresholds, dispersion, zero part and nu on their natural scales, by the names of a posterior."""
    names = _family_names(design)
    parts = [*solution.thresholds]
    disp, sign = solution.disp, _sign(design)
    if design.disp is not None:
        parts += list(np.exp(sign * disp) if design.disp.intercept_only else sign * disp)
    if design.zi is not None:
        parts += list(1.0 / (1.0 + np.exp(-solution.zi)) if design.zi.intercept_only else solution.zi)
    if solution.shape is not None:
        parts.append(solution.shape)
    return dict(zip(names, map(float, parts), strict=True))


def _family_names(design: GlmmDesign) -> list[str]:
    from jmix.spec.glmm_priors import dispersion_name, side_names, threshold_names, zero_name

    family = design.family
    names = [*threshold_names(family), *side_names(dispersion_name(family), design.disp)]
    return [*names, *side_names(zero_name(family), design.zi), *(["nu"] if family.has_shape else [])]


def _sign(design: GlmmDesign) -> float:
    from jmix.spec.glmm_priors import DISPERSION

    return float(DISPERSION.get(design.family.name, ("", 1))[1])


def _truth(design: Any, spec: CovarianceSpec, linear: bool, given: dict[str, float]) -> Truth:
    base = design if linear else design.base
    others = ["sigma"] if linear else _family_names(design)
    names = parameter_names(base.x_names, spec, others=tuple(others))
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ModelError(f"params: there is no parameter '{unknown[0]}'; there are: {', '.join(names)}")
    correlations = {name for own in cor_names(spec) for name in own}
    missing = [name for name in names if name not in given and name not in correlations]
    if missing:
        raise ModelError(
            f"params lacks {', '.join(missing)}: a simulation needs a value for each (correlations may be 0)"
        )
    values = {name: float(given.get(name, 0.0)) for name in names}
    bad = [name for name, v in values.items() if not np.isfinite(v) and name not in correlations]
    if bad:
        raise ModelError(f"params: {bad[0]} must be a finite number, not {values[bad[0]]!r}")
    p = len(base.x_names)
    covariances = tuple(
        _covariance([values[n] for n in sds], [values[n] for n in cors], sds)
        for sds, cors in zip(sd_names(spec), cor_names(spec), strict=True)
    )
    if linear and not values["sigma"] > 0:
        raise ModelError(f"params: sigma must be positive, not {values['sigma']!r}")
    return Truth(np.array([values[n] for n in names[:p]]), covariances, {n: values[n] for n in others})


def _covariance(sds: list[float], cors: list[float], names: list[str]) -> FloatArray:
    q = len(sds)
    if any(s < 0 for s in sds):
        raise ModelError(f"params: {names[0]} and the other standard deviations must not be negative")
    correlation = np.eye(q)
    at = iter(0.0 if np.isnan(c) else c for c in cors)
    for a in range(q):
        for b in range(a + 1, q):
            correlation[a, b] = correlation[b, a] = next(at)
    if float(np.linalg.eigvalsh(correlation)[0]) < -1e-10:
        raise ModelError(f"params: the correlations beside {names[0]} are those of no distribution")
    return np.asarray(correlation * np.outer(sds, sds))


def as_fit(own: Subject, design: Any, terms: tuple[RandomTerm, ...], method: str | None = None) -> Any:
    """A fit whose estimates are the truth, to simulate from; ``with_response`` makes one to refit."""
    if own.linear:
        return _linear_fit(own, design, terms, method or own.method)
    return _generalized_fit(own, design, terms)


def _linear_fit(own: Subject, design: Any, terms: tuple[RandomTerm, ...], method: str) -> Any:
    from jmix.estimate.lmm import LmmSolution
    from jmix.estimate.status import Status
    from jmix.results.fit import Fit

    sigma, p = own.truth.others["sigma"], design.X.shape[1]
    theta = own.spec.join([semidefinite_cholesky(c) / sigma for c in own.truth.covariances])
    k = theta.size
    solution = LmmSolution(
        theta=theta,
        phi=theta,
        hessian=np.full((k, k), np.nan),
        beta=own.truth.beta[:p],
        vcov=np.full((p, p), np.nan),
        sigma=sigma,
        criterion=np.nan,
        contrast=np.append(np.zeros(p), 1.0),
        status=Status(True, False, 0.0, 0.0, 1.0, 0, 0, ()),
    )
    return Fit(design, own.spec, terms, method if terms else "OLS", solution, None)


def _generalized_fit(own: Subject, design: GlmmDesign, terms: tuple[RandomTerm, ...]) -> Any:
    from jmix.estimate.glmm_objective import build_glmm_objective
    from jmix.results.glmm_fit import GlmmFit

    objective = build_glmm_objective(design, own.spec, terms, **own.options)
    x = _x(own, design)
    return GlmmFit(design, own.spec, terms, _solution(objective, x), objective)


def _x(own: Subject, design: GlmmDesign) -> FloatArray:
    """The parameter vector of the truth."""
    values, family = list(own.truth.others.values()), design.family
    tau = np.array(values[: family.n_thresholds])
    rest = values[family.n_thresholds :]
    with np.errstate(invalid="ignore", divide="ignore"):
        disp = np.array(rest[: 0 if design.disp is None else design.disp.X.shape[1]])
        rest = rest[disp.size :]
        if design.disp is not None:
            disp = _sign(design) * (np.log(disp) if design.disp.intercept_only else disp)
        zi = np.array(rest[: 0 if design.zi is None else design.zi.X.shape[1]])
        rest = rest[zi.size :]
        if design.zi is not None and design.zi.intercept_only:
            zi = np.log(zi) - np.log1p(-zi)
        shape = np.log(np.array(rest) - 1.0)
        gaps = np.append(tau[:1], np.log(np.diff(tau)))
    theta = own.spec.join([semidefinite_cholesky(c) for c in own.truth.covariances])
    x = np.concatenate([own.truth.beta[: design.base.X.shape[1]], theta, disp, zi, gaps, shape])
    if not np.all(np.isfinite(x)):
        raise ModelError(
            "params: dispersions must be positive, probabilities between 0 and 1, thresholds increasing, nu above 1"
        )
    return np.asarray(x, dtype=np.float64)


def _solution(objective: Any, x: FloatArray) -> Any:
    from jmix.estimate.glmm_solution import GlmmSolution
    from jmix.estimate.status import Status

    parts, d = objective.split(x), x.size
    no = np.zeros(d, dtype=np.bool_)
    return GlmmSolution(
        x=x,
        loglik=np.nan,
        gradient=np.full(d, np.nan),
        hessian=np.full((d, d), np.nan),
        vcov=np.full((d, d), np.nan),
        se=np.full(d, np.nan),
        status=Status(True, False, 0.0, 0.0, 1.0, 0, 0, ()),
        method=objective.title,
        beta=parts.beta,
        theta=parts.theta,
        disp=parts.disp,
        zi=parts.zi,
        thresholds=parts.thresholds,
        shape=parts.shape,
        unbounded=no,
        boundary=no,
    )
