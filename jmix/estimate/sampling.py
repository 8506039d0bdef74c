"""Bayesian estimation of linear mixed models: warm start, No-U-Turn sampling, draws on the data scale."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate import nuts
from jmix.estimate.density import Plan, coordinates, density_data, log_density, make_plan, parameters
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.estimate.initial import Initial, moments, overridden
from jmix.estimate.mode import Mode, find_mode
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.progress import progress_bar
from jmix.spec.priors import PriorSet

FloatArray = npt.NDArray[np.float64]
ChainMethod = Literal["auto", "vectorized", "parallel", "sequential"]
METHODS = ("auto", "vectorized", "parallel", "sequential")

SPREAD = 1.5
"""Standard deviation of the starting points about the mode, in posterior standard deviations."""


@dataclass(frozen=True)
class Options:
    """What the user asked of the sampler; see ``Model.sample``."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0
    chain_method: str = "auto"
    target_accept: float = 0.8
    max_tree_depth: int = 10
    thin: int = 1
    init: str | Mapping[str, Any] = "mode"
    progress: bool | None = None

    def check(self) -> None:
        """Raise ModelError for an option out of its range."""
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("thin", 1), ("max_tree_depth", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ModelError(f"{name}={value!r}: give a whole number, {least} or more")
        if not 0.0 < float(self.target_accept) < 1.0:
            raise ModelError(f"target_accept={self.target_accept!r}: give a number between 0 and 1, such as 0.95")
        if self.max_tree_depth > 15:
            raise ModelError(f"max_tree_depth={self.max_tree_depth}: 15 is the greatest, 32,767 steps a draw")
        if self.seed >= 2**63:
            raise ModelError(f"seed={self.seed}: give a number below 2**63")
        if self.chain_method not in METHODS:
            raise ModelError(f"chain_method={self.chain_method!r}: choose one of {', '.join(METHODS)}")
        if not isinstance(self.init, Mapping) and self.init not in ("mode", "random"):
            raise ModelError(f"init={self.init!r}: choose 'mode', 'random', or give a dict of parameter values")

    @property
    def devices(self) -> int:
        """Over how many devices the chains are split."""
        available = len(jax.devices())
        if self.chain_method == "parallel" or (self.chain_method == "auto" and available > 1):
            return math.gcd(self.chains, available)
        return 1


def _value_and_grad(z: jax.Array, data: Any, plan: Plan) -> Any:
    return jax.value_and_grad(log_density)(z, data, plan)


def _output(z: jax.Array, data: Any, plan: Plan) -> Any:
    at = parameters(z, data, plan)
    return {"beta": at.beta, "chol": tuple(at.chols), "sigma": at.sigma}


_VALUE_AND_GRAD = runtime.Program(_value_and_grad, static=("plan",))


def sample_posterior(objective: GaussianObjective, priors: PriorSet, options: Options, x_names: list[str]) -> Draws:
    """Draw from the posterior of a linear mixed model, random effects integrated out.

    Raises:
        ModelError: an option out of range, or a density that is not finite anywhere near the start.
    """
    options.check()
    begun = time.perf_counter()
    plan = make_plan(objective, priors)
    data = runtime.put(density_data(objective, priors))

    def value_and_grad(z: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = _VALUE_AND_GRAD(z, data, plan=plan)
        return float(value), np.asarray(gradient)

    initial = moments(objective)
    first = coordinates(priors, plan, objective, *initial)
    mode = find_mode(value_and_grad, first) if options.init != "random" else _flat_mode(first)
    _check_finite(value_and_grad, mode, objective)
    u = _starting_points(value_and_grad, mode, options)
    if isinstance(options.init, Mapping):
        given = overridden(_at_mode(mode, data, plan), options.init, x_names, objective.spec)
        z = coordinates(priors, plan, objective, *given)
        u = 0.1 * u / SPREAD + np.linalg.solve(mode.half, z - mode.z)
        u = _made_finite(value_and_grad, mode, u)
    warm = time.perf_counter() - begun
    kernel = nuts.Kernel(
        log_density, _output, plan, int(options.tune), float(options.target_accept), int(options.max_tree_depth),
        options.devices,
    )  # fmt: skip
    draws = _run(kernel, data, mode, u, options)
    return replace(draws, settings=replace(draws.settings, seconds={"warm start": warm, **draws.settings.seconds}))


def _at_mode(mode: Mode, data: Any, plan: Plan) -> Initial:
    values = _PARAMETERS(mode.z, data, plan=plan)
    return Initial(np.asarray(values["beta"]), [np.asarray(c) for c in values["chol"]], float(values["sigma"]))


_PARAMETERS = runtime.Program(_output, static=("plan",))


def _flat_mode(z: FloatArray) -> Mode:
    return Mode(z, np.eye(z.size), 0.0, 0.0, 0)


def _check_finite(value_and_grad: Any, mode: Mode, objective: GaussianObjective) -> None:
    value, gradient = value_and_grad(mode.z)
    if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
        raise ModelError(
            f"the posterior density of {objective.response} is not finite where the sampler would start: a prior may "
            "exclude the data; compare model.priors with the scale of the response"
        )


def _starting_points(value_and_grad: Any, mode: Mode, options: Options) -> FloatArray:
    """(C, d) overdispersed starting points in whitened coordinates, drawn in towards the mode until finite."""
    rng = np.random.default_rng([int(options.seed), 1])
    shape = (int(options.chains), mode.z.size)
    u = rng.uniform(-2.0, 2.0, shape) if options.init == "random" else SPREAD * rng.standard_normal(shape)
    return _made_finite(value_and_grad, mode, u)


def _made_finite(value_and_grad: Any, mode: Mode, u: FloatArray) -> FloatArray:
    out = u.copy()
    for chain in range(len(out)):
        for _ in range(30):
            value, gradient = value_and_grad(mode.z + mode.half @ out[chain])
            if np.isfinite(value) and np.all(np.isfinite(gradient)):
                break
            out[chain] *= 0.5
    return out


def _run(kernel: nuts.Kernel, data: Any, mode: Mode, u: FloatArray, options: Options) -> Draws:
    """Chains together, or one after another."""
    place = {"mode": mode.z, "half": mode.half}
    total = int(options.tune) + int(options.draws) * int(options.thin)
    groups = [u[c : c + 1] for c in range(len(u))] if options.chain_method == "sequential" else [u]
    runs = []
    with progress_bar(options.progress, len(u), total * len(groups)) as monitor:
        for i, own in enumerate(groups):
            keys = chain_keys(int(options.seed), len(u))[i : i + len(own)]
            told = nuts.Shifted(monitor, i * total)
            size = {"draws": int(options.draws), "thin": int(options.thin)}
            runs.append(nuts.sample(kernel, data, place, own, keys, monitor=told, **size))
            if runs[-1].interrupted:
                break
    return _draws(nuts.joined(runs), options)


def chain_keys(seed: int, chains: int) -> npt.NDArray[np.uint32]:
    """(C, 2) raw keys, the same for a chain whatever the number of chains."""
    return np.stack([np.random.SeedSequence([seed, 2, c]).generate_state(2) for c in range(chains)])


def _draws(run: nuts.Run, options: Options) -> Draws:
    method = options.chain_method
    if method == "auto":
        method = "parallel" if options.devices > 1 else "vectorized"
    settings = SamplerSettings(
        draws=int(run.log_density.shape[1]),
        tune=int(options.tune),
        chains=int(run.log_density.shape[0]),
        seed=int(options.seed),
        thin=int(options.thin),
        target_accept=float(options.target_accept),
        max_tree_depth=int(options.max_tree_depth),
        chain_method=method,
        init=options.init if isinstance(options.init, str) else "values",
        interrupted=run.interrupted,
        seconds=run.seconds,
    )
    stats = SamplerStats(run.diverging, run.n_steps, run.accept_prob, run.energy, run.step_size, run.saturated)
    return Draws(run.output["beta"], run.output["chol"], run.output["sigma"], run.log_density, stats, settings)
