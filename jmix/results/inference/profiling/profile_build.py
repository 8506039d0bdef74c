"""From a fit to its profiles."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate.inference.profile_curve import Zeta
from jmix.estimate.inference.profile_point import Axis, LowerDeviance
from jmix.estimate.inference.profile_trace import Curve, trace
from jmix.estimate.inference.watch import counting
from jmix.results.frames import check_level
from jmix.results.inference.profiling.profile import Profile, Profiled
from jmix.results.inference.profiling.profile_scale import Names, Parameters, Scale, names_of
from jmix.results.summary import call_lines

if TYPE_CHECKING:
    from jmix.estimate.lmm import LmmSolution
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

RESTARTS = 3
"""How often a better optimum, found on a profile, becomes the new start."""

REML_NOTE = (
    "the fit is by REML, its profile by maximum likelihood, as in lme4: estimates are those of maximum likelihood"
)
HELD_NOTE = "zero standard deviations make it meaningless: every value has the same likelihood"


def profile(fit: FitBase, parameters: Parameters, level: float, scale: Scale, progress: bool | None) -> Profile:
    """The work behind ``fit.profile``."""
    level = check_level(level)
    if getattr(fit, "method", None) == "MAP":
        raise ModelError(
            "profile() is of a likelihood, and this fit is by MAP, whose density has priors in it: fit by maximum "
            "likelihood, or use sample() for intervals of the posterior"
        )
    objective: Any = getattr(fit, "objective", None)
    if objective is None:
        from jmix.results.inference.profiling.profile_ols import profile_ols

        return profile_ols(fit, parameters, level, scale)  # type: ignore[arg-type]
    from jmix.estimate.glmm_objective import GlmmObjective

    if isinstance(objective, GlmmObjective):
        return _profile_glmm(fit, parameters, level, scale, progress)  # type: ignore[arg-type]
    return _profile_lmm(fit, parameters, level, scale, progress)  # type: ignore[arg-type]


# --- linear mixed models ----------------------------------------------------------------------------------------------
def _profile_lmm(fit: Fit, parameters: Parameters, level: float, scale: Scale, progress: bool | None) -> Profile:
    from jmix.estimate.inference.profile_lmm import LmmDeviance

    assert fit.objective is not None
    names = names_of(fit, scale)
    which = names.chosen(parameters)
    notes = [REML_NOTE] if fit.reml else []
    deviance = LmmDeviance(fit.objective, _maximum_likelihood(fit), scale == "varcov")
    for _ in range(RESTARTS):
        if not deviance.solution.status.converged:
            notes.append("the maximum of the likelihood: " + deviance.solution.status.messages[-1])
        try:
            curves = _traced(deviance, names, which, level, progress)
            break
        except LowerDeviance as lower:
            notes.append(_lower_note(lower))
            deviance = deviance.moved(_refit(fit, deviance.theta(lower.axis, lower.w)))
    else:
        raise ModelError(_lost("fit again with start=fit.theta of another start, or simplify the random effects"))
    return _report(fit, names, curves, deviance, level, notes, deviance.solution.criterion)


def _maximum_likelihood(fit: Fit) -> LmmSolution:
    """The maximum of the likelihood; kept with a fit by REML."""
    if fit.method == "ML":
        return fit.solution
    kept = fit.__dict__.get("_ml_solution")
    if kept is None:
        kept = fit.__dict__["_ml_solution"] = _refit(fit, fit.solution.theta)
    return kept


def _refit(fit: Fit, theta: FloatArray) -> LmmSolution:
    from jmix.estimate.lmm import fit_lmm

    assert fit.objective is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_lmm(fit.objective, reml=False, start=theta)


# --- generalized models -----------------------------------------------------------------------------------------------
def _profile_glmm(fit: GlmmFit, parameters: Parameters, level: float, scale: Scale, progress: bool | None) -> Profile:
    from jmix.estimate.glmm_fit import fit_glmm
    from jmix.estimate.glmm_initial import family_names
    from jmix.estimate.inference.profile_glmm import GlmmDeviance

    names = names_of(fit, scale, family_names(fit.objective))
    which = names.chosen(parameters)
    notes: list[str] = []
    solution = fit.solution
    for _ in range(RESTARTS):
        if not solution.status.converged:
            notes.append("the fit: " + solution.status.messages[-1])
        deviance = GlmmDeviance(fit.objective, solution.x, scale == "varcov", solution.unbounded)
        try:
            curves = _traced(deviance, names, which, level, progress)
            break
        except LowerDeviance as lower:
            notes.append(_lower_note(lower))
            x = deviance.natural_x(lower.axis, lower.w)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                solution = fit_glmm(fit.objective, start=x)
    else:
        raise ModelError(_lost("fit again with start=..., or simplify the model"))
    return _report(fit, names, curves, deviance, level, notes, -2.0 * solution.loglik)


# --- both -----------------------------------------------------------------------------------------------------------
def _lower_note(lower: LowerDeviance) -> str:
    value = lower.axis.to_value(float(lower.w[lower.axis.held]))
    return (
        f"a deviance {lower.gain:.3g} below the fit's was found with {lower.axis.name} = {value:.5g}: the fit was not "
        "the optimum; the profile is about the better one"
    )


def _lost(remedy: str) -> str:
    return f"profile(): ever lower deviances were found along the profiles, so that the fit is no maximum: {remedy}"


def _traced(deviance: Any, names: Names, which: Sequence[int], level: float, progress: bool | None) -> list[Curve]:
    axes: list[Axis] = deviance.axes(names.shown)
    goal = NormalDist().inv_cdf(0.5 + 0.5 * level)
    known = [axes[i] for i in which if axes[i].known]
    with counting(progress, "profiling", 2 * len(known)) as watch:
        curves, _ = trace(deviance, known, goal, watch)
    found = {curve.axis.number: curve for curve in curves}
    ends = {i: "bound" if names.kind(i) == "tie" else "failed" for i in which}
    return [found.get(i) or Curve(axes[i], [], 0, ends[i], ends[i]) for i in which]


def _report(
    fit: FitBase, names: Names, curves: Sequence[Curve], deviance: Any, level: float, notes: list[str], least: float
) -> Profile:
    frames, profiles = [], {}
    for curve in curves:
        i = curve.axis.number
        if not curve.knots:
            profiles[names.shown[i]] = _unknown(names, curve)
            why = HELD_NOTE if names.kind(i) == "tie" else "its estimate is unbounded; limits are NaN"
            notes.append(f"{names.shown[i]}: {why}")
            continue
        one = _profiled(names, curve)
        profiles[names.shown[i]] = one
        frames.append(_rows(names, curve, one, deviance))
        notes += _end_notes(names, curve, one)
    table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["parameter", "zeta", "value"])
    title = f"Profile likelihood of {len(profiles)} parameter{'s' if len(profiles) != 1 else ''}"
    return Profile(
        table=table, title=title, call=tuple(call_lines(fit)), notes=tuple(dict.fromkeys(notes)),
        profiles=profiles, level=level, deviance=least, scale=names.scale,
    )  # fmt: skip


def _value(names: Names, axis: Axis) -> Any:
    change = names.transform(axis.number)
    return lambda u: change(axis.to_value(u))


def _profiled(names: Names, curve: Curve) -> Profiled:
    value = _value(names, curve.axis)
    u = curve.knots[curve.middle].u
    return Profiled(names.shown[curve.axis.number], value(u), Zeta(curve), value, _sign(curve.axis))


def _sign(axis: Axis) -> float:
    """Whether the parameter grows (1) or falls (-1) with the held coordinate."""
    return 1.0 if axis.to_value(0.5) > axis.to_value(0.25) else -1.0


def _unknown(names: Names, curve: Curve) -> Profiled:
    value = _value(names, curve.axis)
    return Profiled(names.shown[curve.axis.number], float("nan"), Zeta(curve), value, _sign(curve.axis))


def _rows(names: Names, curve: Curve, one: Profiled, deviance: Any) -> pd.DataFrame:
    """The knots of a parameter by increasing value, with all parameters there."""
    changes = [names.transform(i) for i in range(len(names.shown))]
    rows = [deviance.natural(curve.axis, k.w, k.extra) for k in curve.knots]
    natural = np.array([[change(v) for change, v in zip(changes, row, strict=True)] for row in rows])
    values = [one.value(k.u) for k in curve.knots]
    frame = pd.DataFrame(natural, columns=list(names.shown))
    frame[names.shown[curve.axis.number]] = values
    frame.insert(0, "value", values)
    frame.insert(0, "zeta", one.sign * curve.zeta())
    frame.insert(0, "parameter", one.name)
    return frame if one.sign > 0 else frame.iloc[::-1]


def _end_notes(names: Names, curve: Curve, one: Profiled) -> list[str]:
    """What to say of a profile that ended early."""
    out = []
    sides = (("below", curve.below, curve.knots[0]), ("above", curve.above, curve.knots[-1]))
    for side, end, knot in sides:
        beyond = side if one.sign > 0 else {"below": "above", "above": "below"}[side]
        at = f"{beyond} {one.value(knot.u):.4g} (zeta {one.sign * (1 if side == 'above' else -1) * knot.z:.2f})"
        if end == "failed":
            out.append(f"{one.name}: no optimum of the other parameters was found {at}; limits there are NaN")
        elif end == "interrupted":
            out.append(f"{one.name}: interrupted {at}; limits there are NaN")
        elif end == "level":
            out.append(f"{one.name}: the likelihood levels off {at}; the interval is open there")
    return out
