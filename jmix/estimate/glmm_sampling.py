"""Bayesian estimation of generalized linear mixed models: warm start, No-U-Turn sampling, draws on the data scale."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.estimate import nuts
from jmix.estimate.draws import Draws
from jmix.estimate.glmm_density import log_density, natural
from jmix.estimate.glmm_effects import default_nodes
from jmix.estimate.glmm_full import full_log_density, full_output, full_plan, full_rows
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_warm_start import glmm_warm_start
from jmix.estimate.options import Options
from jmix.estimate.sampling import make_kernel, run_kernel, settings_of, stats_of
from jmix.spec.prior_sets import GlmmPriorSet

__all__ = ["default_nodes", "residual_sd", "sample_glmm_full", "sample_glmm_marginal"]

FloatArray = npt.NDArray[np.float64]


def sample_glmm_marginal(objective: GlmmObjective, priors: GlmmPriorSet, options: Options) -> Draws:
    """Draw from the posterior of the parameters, the random effects integrated out as the objective does it.

    Raises:
        ModelError: an option out of range, or a density that is not finite anywhere near the start.
    """
    begun = time.perf_counter()
    start = glmm_warm_start(objective, priors, options)
    kernel = make_kernel(options, density=log_density, output=natural, plan=start.density.plan)
    seconds = {"warm start": time.perf_counter() - begun}
    run = run_kernel(kernel, start.density.data, start.place, start.points, options)
    return _draws(run, objective, options, seconds)


def sample_glmm_full(objective: GlmmObjective, priors: GlmmPriorSet, options: Options) -> Draws:
    """Draw from the joint posterior of the parameters and the random effects, exactly; a step touches every row.

    The warm start is that of the marginal density of ``objective``, which may be Laplace's approximation.
    """
    begun = time.perf_counter()
    start = glmm_warm_start(objective, priors, options)
    plan = full_plan(objective, start.density.plan)
    data = start.density.data | {"likelihood": None, "centres": None, "rows": runtime.put(full_rows(objective))}
    kernel = make_kernel(options, density=full_log_density, output=full_output, plan=plan, dense=False)
    u = np.concatenate([start.points.u, _random(plan.dim - plan.n_parameters, options)], axis=1)
    points = nuts.evaluate(kernel, data, start.place, u)
    seconds = {"warm start": time.perf_counter() - begun}
    return _draws(run_kernel(kernel, data, start.place, points, options), objective, options, seconds)


def _random(size: int, options: Options) -> FloatArray:
    """(C, size) starting points of the spherical random effects."""
    rngs = [np.random.default_rng([int(options.seed), 3, chain]) for chain in range(int(options.chains))]
    return np.stack([0.5 * rng.standard_normal(size) for rng in rngs])


def _draws(run: nuts.Run, objective: GlmmObjective, options: Options, seconds: dict[str, float]) -> Draws:
    output: dict[str, Any] = run.output
    effects = dict(zip(objective.spec.groups, output["effects"], strict=True)) if "effects" in output else None
    return Draws(
        beta=output["beta"],
        chol=output["chol"],
        sigma=residual_sd(objective, output["x"]),
        log_density=run.log_density,
        stats=stats_of(run),
        settings=settings_of(run, options, seconds, marginal=effects is None),
        nu=output.get("nu"),
        effects=effects,
        x=output["x"],
        tau=output["tau"] if objective.design.family.n_thresholds else None,
    )


def residual_sd(objective: GlmmObjective, x: FloatArray) -> FloatArray:
    """(...) residual standard deviations at parameters (..., d); ones where the family has none, or a formula."""
    design = objective.design
    if design.family.name not in ("gaussian", "student") or design.disp is None or not design.disp.intercept_only:
        return np.ones(x.shape[:-1])
    return np.asarray(np.exp(x[..., objective.slices["disp"]])[..., 0])
