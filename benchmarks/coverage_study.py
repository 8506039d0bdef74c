"""One design of the study of coverage: simulate, fit, and see which intervals hold the true values."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

import jmix
from benchmarks.coverage_designs import Design
from benchmarks.coverage_profile import statistics
from jmix.estimate.refit import refit_many
from jmix.results.inference.bootstrapping import bca
from jmix.results.inference.bootstrapping.bootstrap_acceleration import gaussian_scores
from jmix.results.inference.bootstrapping.bootstrap_responses import parametric
from jmix.results.inference.bootstrapping.bootstrap_skewness import _slopes
from jmix.results.inference.comparing.lrt_refit import as_ml
from jmix.results.inference.fixed.fixed_tests import fixed_tests
from jmix.results.refits_base import natural_scale
from jmix.spec.names import parameter_names

FloatArray = npt.NDArray[np.float64]

METHODS = (
    "Wald, normal",
    "Wald, Satterthwaite",
    "profile",
    "bootstrap, percentile",
    "bootstrap, BCa",
    "bootstrap, studentized",
)
CHI_SQUARED, LEVEL = 3.841458820694124, 0.95


@dataclass
class Coverage:
    """What was found for a design.

    Attributes:
        names, truth: of the parameters. below, above, sets: by method, for every parameter the number of data sets
            whose interval lies below, or above, the truth, and of data sets; sets 0 where a method has no interval.
        singular: data sets whose REML fit is on a boundary. seconds: by stage. notes: in words.
    """

    names: list[str]
    truth: list[float]
    below: dict[str, list[int]]
    above: dict[str, list[int]]
    sets: dict[str, list[int]]
    singular: int
    seconds: dict[str, float]
    notes: list[str]


@dataclass(frozen=True, eq=False)
class World:
    """A design with a fit to one of its data sets, and the parameters that simulate them."""

    design: Design
    truth: Any
    names: list[str]
    values: FloatArray


def world(design: Design) -> World:
    """A fit that has the design's parameters as its estimates."""
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = jmix.lmm(design.formula, design.rows.assign(y=rng.standard_normal(len(design.rows))))
    roots = [np.linalg.cholesky(design.covariances[t.group]) / design.sigma for t in fit.spec.terms]
    theta = fit.spec.join(roots)
    phi = fit.objective.to_phi @ theta
    beta = np.array(design.beta)
    solution = replace(fit.solution, theta=theta, phi=phi, beta=beta, sigma=design.sigma)
    truth = replace(fit, solution=solution)
    natural = natural_scale(theta[None], np.array([design.sigma]), fit.spec)
    values = np.array([*beta, *(float(v[0]) for v in natural), design.sigma])
    return World(design, truth, parameter_names(fit.x_names, fit.spec), values)


def study(design: Design, datasets: int, replicates: int, seed: int) -> Coverage:
    """Coverage of all intervals; an interrupt of the bootstrap keeps the data sets that are done."""
    here = world(design)
    clock = time.perf_counter
    begin = clock()
    responses = parametric(here.truth, np.random.default_rng([seed, 1]), conditional=False)(datasets)
    restricted = here.truth.refit(responses, progress=False)
    likelihood = as_ml(here.truth).refit(responses, progress=False)
    singular = int(restricted.singular.sum())
    out = Coverage(here.names, here.values.tolist(), {}, {}, {}, singular, {"fits": clock() - begin}, [])
    begin = clock()
    _wald(here, restricted, out)
    out.seconds["Wald"] = clock() - begin
    begin = clock()
    _profile(here, likelihood, out)
    out.seconds["profile"] = clock() - begin
    begin = clock()
    _bootstrap(here, restricted, replicates, seed, out)
    out.seconds["bootstrap"] = clock() - begin
    return out


def _count(out: Coverage, method: str, lower: FloatArray, upper: FloatArray) -> None:
    """Tally intervals (R, P); a parameter without any has none, one that is missing does not cover."""
    truth, some = np.array(out.truth), np.isfinite(lower).any(axis=0)
    below, above = upper < truth, lower > truth
    missing = ~np.isfinite(lower) & some
    out.below[method] = np.sum(below | missing, axis=0).tolist()
    out.above[method] = np.sum(above, axis=0).tolist()
    out.sets[method] = np.where(some, len(lower), 0).tolist()


def _wald(here: World, refits: Any, out: Coverage) -> None:
    p, count = len(here.truth.beta), len(refits)
    ends = {method: np.full((2, count, len(here.names)), np.nan) for method in METHODS[:2]}
    for i, fit in enumerate(refits):
        for method, rule in zip(METHODS[:2], ("none", "satterthwaite"), strict=True):
            tests = fixed_tests(fit, rule)  # type: ignore[arg-type]
            half = _quantile(tests.df(np.eye(p))) * np.sqrt(np.diag(tests.vcov))
            ends[method][:, i, :p] = fit.beta - half, fit.beta + half
    for method, (lower, upper) in ends.items():
        _count(out, method, lower, upper)


def _quantile(df: FloatArray) -> FloatArray:
    from scipy.special import ndtri, stdtrit

    finite = np.isfinite(df)
    return np.where(finite, stdtrit(np.where(finite, df, 1.0), 0.5 + 0.5 * LEVEL), ndtri(0.5 + 0.5 * LEVEL))


def _profile(here: World, refits: Any, out: Coverage) -> None:
    found, failed = statistics(refits, here.names, here.values)
    estimates = refits.parameters().to_numpy()
    missed = found > CHI_SQUARED
    # on the side of the estimate lies the interval
    left = np.where(np.isfinite(estimates), estimates, 0.0) < here.values
    out.below["profile"] = np.sum(missed & left, axis=0).tolist()
    out.above["profile"] = np.sum(missed & ~left, axis=0).tolist()
    out.sets["profile"] = [len(refits)] * len(here.names)
    if failed:
        out.notes.append(f"{failed} of {found.size} constrained fits of the profile did not arrive")


def _bootstrap(here: World, refits: Any, replicates: int, seed: int, out: Coverage) -> None:
    ends: list[FloatArray] = []
    try:
        for limits in _intervals(here, refits, replicates, seed):
            ends.append(limits)
    except KeyboardInterrupt:
        out.notes.append(f"interrupted: the bootstrap is of {len(ends)} data sets")
    if not ends:
        return
    for k, method in enumerate(METHODS[3:]):
        every = np.stack([limits[k] for limits in ends])
        _count(out, method, every[:, 0], every[:, 1])


def _intervals(here: World, refits: Any, replicates: int, seed: int) -> Iterator[FloatArray]:
    """For each data set the limits (3, 2, P) of its own parametric bootstrap: percentile, BCa, studentized."""
    objective, spec = here.truth.objective, here.truth.spec
    observed = refits.parameters().to_numpy()
    scores = gaussian_scores(here.truth)
    assert scores is not None
    p = len(here.truth.beta)
    for i, fit in enumerate(refits):
        rng = np.random.default_rng([seed, 2, i])
        draw = parametric(replace(here.truth, solution=fit.solution), rng, conditional=False)
        own = refit_many(objective, iter([draw(replicates)]), fit.solution.phi, reml=True)
        draws = np.stack([*own.beta.T, *natural_scale(own.theta, own.sigma, spec), own.sigma], axis=1)
        local = replace(scores, sigma=fit.sigma, lams=spec.split(fit.theta_values))
        speeds = [local.acceleration(s) if np.isfinite(s).all() else np.nan for s in _slopes(fit)]
        limits = _limits(draws, observed[i], [0.0] * p + speeds)
        errors = np.sqrt(np.einsum("rii->ri", own.vcov))
        for j, error in enumerate(np.sqrt(np.diag(fit.fixed_covariance))):
            limits[2, :, j] = bca.studentized(draws[:, j], errors[:, j], observed[i, j], error, LEVEL)[:2]
        yield limits


def _limits(draws: FloatArray, observed: FloatArray, speeds: list[float]) -> FloatArray:
    """(3, 2, P) percentile and BCa limits; the third kind is left open."""
    out = np.full((3, 2, observed.size), np.nan)
    for j in range(observed.size):
        values = draws[np.isfinite(draws[:, j]), j]
        if values.size < len(draws) / 2:
            continue
        out[0, :, j] = bca.percentile(values, LEVEL)[:2]
        if np.isfinite(observed[j]):
            out[1, :, j] = bca.bca(values, float(observed[j]), speeds[j], LEVEL)[:2]
    return out
