"""Bayesian estimation of linear mixed models: warm start, No-U-Turn sampling, draws on the data scale."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.design import Design, RandomTerm
from jmix.estimate import nuts
from jmix.estimate.density import log_density
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.estimate.full import FullPlan, full_log_density, full_output, full_plan, row_data
from jmix.estimate.nuts_program import Kernel, Points
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.options import Options
from jmix.estimate.prior_plans import scalar_plan
from jmix.estimate.progress import progress_bar
from jmix.estimate.warm_start import marginal_output, warm_start
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]

START_NU = 10.0
"""Degrees of freedom from which the sampler of a Student-t response starts."""


def sample_marginal(objective: GaussianObjective, priors: PriorSet, options: Options, x_names: list[str]) -> Draws:
    """Draw from the posterior of a linear mixed model, random effects integrated out.

    Raises:
        ModelError: an option out of range, or a density that is not finite anywhere near the start.
    """
    begun = time.perf_counter()
    start = warm_start(objective, priors, options, x_names)
    kernel = make_kernel(options, density=log_density, output=marginal_output, plan=start.plan)
    seconds = {"warm start": time.perf_counter() - begun}
    return _draws(run_kernel(kernel, start.data, start.place, start.points, options), options, seconds)


def sample_full(
    design: Design,
    terms: Sequence[RandomTerm],
    objective: GaussianObjective,
    priors: PriorSet,
    options: Options,
) -> Draws:
    """Draw from the joint posterior of the parameters and the random effects; with a prior of nu, a Student-t response.

    The warm start is that of the Gaussian model with the same priors. The cost of a step grows with the rows.
    """
    begun = time.perf_counter()
    start = warm_start(objective, priors, options, design.x_names)
    plan = full_plan(start.plan, objective.spec, terms, None if priors.nu is None else scalar_plan(priors.nu))
    data = start.data | {"rows": runtime.put(row_data(design, objective.spec, terms))}
    kernel = make_kernel(options, density=full_log_density, output=full_output, plan=plan, dense=False)
    u = np.concatenate([start.points.u, _more(plan, priors, options)], axis=1)
    points = nuts.evaluate(kernel, data, start.place, u)
    seconds = {"warm start": time.perf_counter() - begun}
    return _draws(run_kernel(kernel, data, start.place, points, options), options, seconds, objective.spec.groups)


def _more(plan: FullPlan, priors: PriorSet, options: Options) -> FloatArray:
    """(C, ...) starting points of nu and the spherical random effects."""
    rngs = [np.random.default_rng([int(options.seed), 3, chain]) for chain in range(int(options.chains))]
    size = plan.dim - plan.n_parameters
    nu = [] if priors.nu is None else [priors.nu.unconstrain(START_NU)]
    return np.stack([np.concatenate([nu, 0.5 * rng.standard_normal(size)]) for rng in rngs])


def make_kernel(options: Options, **what: Any) -> Kernel:
    """What the options say of the compiled sampler; the rest is given by name."""
    return Kernel(
        tune=int(options.tune),
        target_accept=float(options.target_accept),
        max_tree_depth=int(options.max_tree_depth),
        devices=options.devices,
        batched=options.method in ("vectorized", "parallel"),
        **what,
    )


def run_kernel(kernel: Kernel, data: Any, place: dict[str, FloatArray], points: Points, options: Options) -> nuts.Run:
    """Tune and draw, with a progress bar where the options ask for one."""
    chains, draws, thin = len(points.u), int(options.draws), int(options.thin)
    keys = chain_keys(int(options.seed), chains)
    with progress_bar(options.progress, chains, int(options.tune) + draws * thin) as monitor:
        return nuts.sample(
            kernel, data, place, points, keys, draws=draws, thin=thin, monitor=monitor, workers=options.workers
        )


def chain_keys(seed: int, chains: int) -> npt.NDArray[np.uint32]:
    """(C, 2) raw keys; that of a chain does not depend on the number of chains."""
    return np.stack([np.random.SeedSequence([seed, 2, c]).generate_state(2) for c in range(chains)])


def _draws(run: nuts.Run, options: Options, seconds: dict[str, float], groups: Sequence[str] = ()) -> Draws:
    output = run.output
    effects = dict(zip(groups, output["effects"], strict=True)) if "effects" in output else None
    return Draws(
        beta=output["beta"],
        chol=output["chol"],
        sigma=output["sigma"],
        log_density=run.log_density,
        stats=stats_of(run),
        settings=settings_of(run, options, seconds, marginal=effects is None),
        nu=output.get("nu"),
        effects=effects,
    )


def stats_of(run: nuts.Run) -> SamplerStats:
    """The course of a sampler."""
    return SamplerStats(run.diverging, run.n_steps, run.accept_prob, run.energy, run.step_size, run.saturated)


def settings_of(run: nuts.Run, options: Options, seconds: dict[str, float], *, marginal: bool) -> SamplerSettings:
    """How draws were made."""
    return SamplerSettings(
        draws=int(run.log_density.shape[1]),
        tune=int(options.tune),
        chains=int(run.log_density.shape[0]),
        seed=int(options.seed),
        thin=int(options.thin),
        target_accept=float(options.target_accept),
        max_tree_depth=int(options.max_tree_depth),
        chain_method=options.method,
        init=options.init if isinstance(options.init, str) else "values",
        marginal=marginal,
        interrupted=run.interrupted,
        seconds=seconds | run.seconds,
    )
