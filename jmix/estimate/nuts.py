"""NumPyro's No-U-Turn sampler on a flat log density (Hoffman & Gelman 2014, J. Mach. Learn. Res. 15), in segments.

One compiled program advances all chains by a number of iterations that is decided when it runs, so that warm-up, draws,
progress and interruption share it. Coordinates are whitened by the curvature at the mode: warm-up has little to learn.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix import runtime

FloatArray = npt.NDArray[np.float64]
LogDensity = Callable[..., jax.Array]

BUFFER = 100
"""Draws that one call of the program can hold."""

PATIENCE = 0.5
"""Seconds that one call should take, so that progress shows and Ctrl-C is heard."""


class Points(NamedTuple):
    """Where the chains begin: (C, d) whitened coordinates, (C,) potential energies and their (C, d) gradients."""

    u: Any
    energy: Any
    gradient: Any


@dataclass(frozen=True)
class Kernel:
    """What selects a compiled sampler.

    Attributes:
        density: log density of (z, data, plan). output: (z, data, plan) to a pytree of what is kept of a draw.
        plan: hashable, passed to both. tune: warm-up iterations, which fix the schedule of adaptation.
        dense: a full mass matrix, or a diagonal one.
    """

    density: LogDensity
    output: Callable[..., Any]
    plan: Any
    tune: int
    target_accept: float
    max_tree_depth: int
    devices: int = 1
    dense: bool = True


def _coordinates(u: jax.Array, place: Any) -> jax.Array:
    """Undo the whitening, which covers the leading coordinates."""
    d = place["mode"].shape[0]
    head = place["mode"] + place["half"] @ u[:d]
    return head if d == u.shape[0] else jnp.concatenate([head, u[d:]])


def _potential(kernel: Kernel, data: Any, place: Any) -> Callable[[jax.Array], jax.Array]:
    def potential(u: jax.Array) -> jax.Array:
        value = kernel.density(_coordinates(u, place), data, kernel.plan)
        return jnp.where(jnp.isfinite(value), -value, jnp.inf)

    return potential


def _numpyro_kernel(kernel: Kernel, data: Any, place: Any) -> tuple[Any, Any]:
    """Functions that make a sampler state from a point with its potential energy, and that advance it."""
    from numpyro.infer.hmc import hmc
    from numpyro.infer.util import ParamInfo

    init, sample = hmc(potential_fn=_potential(kernel, data, place), algo="NUTS")

    def start(u: jax.Array, energy: jax.Array, gradient: jax.Array, key: jax.Array) -> Any:
        return init(
            ParamInfo(u, energy, gradient),
            num_warmup=kernel.tune,
            step_size=0.5,
            dense_mass=kernel.dense,
            target_accept_prob=kernel.target_accept,
            max_tree_depth=kernel.max_tree_depth,
            rng_key=key,
        )

    return start, sample


def _evaluate(u: jax.Array, data: Any, place: Any, kernel: Kernel) -> Any:
    """(C,) potential energies and their (C, d) gradients."""
    return jax.vmap(jax.value_and_grad(_potential(kernel, data, place)))(u)


def _start(keys: jax.Array, points: Points, data: Any, place: Any, kernel: Kernel) -> Any:
    """Sampler state of all chains from (C, 2) keys and the points where they begin."""
    start, _ = _numpyro_kernel(kernel, data, place)
    return jax.vmap(start)(points.u, points.energy, points.gradient, keys)


def _advance(state: Any, count: jax.Array, thin: jax.Array, data: Any, place: Any, kernel: Kernel) -> Any:
    """``count`` draws of all chains, each ``thin`` iterations after the one before.

    Returns:
        The new state and, with BUFFER rows of which the first ``count`` are filled: the kept parameters, log density,
        divergence, leapfrog steps, acceptance probability and energy.
    """
    start, sample = _numpyro_kernel(kernel, data, place)
    chains, dim = state.z.shape
    nowhere = jnp.zeros(dim)
    # sets the schedule of adaptation; the state it returns is unused
    start(nowhere, jnp.zeros(()), nowhere, jax.random.PRNGKey(0))
    sample = jax.vmap(sample)

    def iterate(_: Any, carry: Any) -> Any:
        state, diverging, steps = carry
        state = sample(state)
        return state, diverging | state.diverging, steps + state.num_steps

    def draw(i: jax.Array, carry: Any) -> Any:
        state, kept = carry
        none = (jnp.zeros(chains, bool), jnp.zeros(chains, state.num_steps.dtype))
        state, diverging, steps = jax.lax.fori_loop(0, thin, iterate, (state, *none))
        row = (state.z, -state.potential_energy, diverging, steps, state.accept_prob, state.energy, state.num_steps)
        return state, tuple(k.at[i].set(r) for k, r in zip(kept, row, strict=True))

    real, whole = jnp.zeros((BUFFER, chains)), jnp.zeros((BUFFER, chains), state.num_steps.dtype)
    kept = (jnp.zeros((BUFFER, chains, dim)), real, jnp.zeros((BUFFER, chains), bool), whole, real, real, whole)
    state, kept = jax.lax.fori_loop(0, count, draw, (state, kept))
    z = jax.vmap(jax.vmap(lambda u: _coordinates(u, place)))(kept[0])
    output = jax.vmap(jax.vmap(lambda one: kernel.output(one, data, kernel.plan)))(z)
    return state, (output, z, *kept[1:])


def _sharded(function: Callable[..., Any], spread: int) -> Callable[..., Any]:
    """The same program with the chains split over devices; the first ``spread`` arguments are by chain."""

    def split(*args: Any, kernel: Kernel) -> Any:
        if kernel.devices == 1:
            return function(*args, kernel=kernel)
        sharding: Any = jax.sharding
        mesh = sharding.Mesh(np.array(jax.devices()[: kernel.devices]), ("chain",))
        by_chain, everywhere = sharding.PartitionSpec("chain"), sharding.PartitionSpec()
        into = tuple(by_chain if i < spread else everywhere for i in range(len(args)))
        out = by_chain if function is _start else (by_chain, sharding.PartitionSpec(None, "chain"))
        shard: Any = jax.shard_map
        each = shard(
            lambda *own: function(*own, kernel=kernel), mesh=mesh, in_specs=into, out_specs=out, check_vma=False
        )
        return each(*args)

    return split


_EVALUATE = runtime.Program(_evaluate, static=("kernel",))
_START = runtime.Program(_sharded(_start, 2), static=("kernel",))
_ADVANCE = runtime.Program(_sharded(_advance, 1), static=("kernel",))


@dataclass(frozen=True)
class Run:
    """Kept draws of a sampler, chains first.

    Attributes:
        output: pytree of (C, D, ...) arrays. z: (C, D, d) coordinates. statistics: (C, D) each. step_size: (C,).
        seconds: by stage. interrupted: whether fewer draws than asked for are here.
    """

    output: Any
    z: FloatArray
    log_density: FloatArray
    diverging: npt.NDArray[np.bool_]
    n_steps: npt.NDArray[np.int64]
    accept_prob: FloatArray
    energy: FloatArray
    saturated: npt.NDArray[np.bool_]
    step_size: FloatArray
    seconds: dict[str, float]
    interrupted: bool


class Monitor:
    """What a sampler tells of its course; this one keeps silent."""

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Called after every segment."""


@dataclass(frozen=True)
class Shifted(Monitor):
    """A monitor told of a part of the work: ``before`` iterations were done earlier."""

    monitor: Monitor
    before: int

    def update(self, done: int, tuning: bool, diverging: int, steps: float) -> None:
        """Pass on, counted from the beginning of the whole."""
        self.monitor.update(self.before + done, tuning, diverging, steps)


def evaluate(kernel: Kernel, data: Any, place: dict[str, FloatArray], u: FloatArray) -> Points:
    """Points with their potential energies and gradients."""
    energy, gradient = _EVALUATE(u, data, place, kernel=kernel)
    return Points(u, np.asarray(energy), np.asarray(gradient))


def sample(
    kernel: Kernel,
    data: Any,
    place: dict[str, FloatArray],
    points: Points,
    keys: npt.NDArray[np.uint32],
    *,
    draws: int,
    thin: int,
    monitor: Monitor,
) -> Run:
    """Tune and draw.

    Args:
        place: ``mode`` (d,) and ``half`` (d, d) of the whitening, of the first d coordinates.
        points: where the chains begin, e.g. from ``evaluate``.
        keys: (C, 2) of all randomness. draws: kept draws a chain, ``thin`` iterations apart.

    Raises:
        KeyboardInterrupt: the user stopped the sampler before there was a draw to keep.
    """
    seconds = {}
    begun = time.perf_counter()
    state = _START(keys, points, data, place, kernel=kernel)
    state, _ = _ADVANCE(state, 0, 1, data, place, kernel=kernel)
    np.asarray(state.i)
    seconds["compile"] = time.perf_counter() - begun
    driver = _Driver(kernel, data, place, monitor, state)
    begun = time.perf_counter()
    driver.go(kernel.tune, 1, keep=False)
    seconds["tune"] = time.perf_counter() - begun
    begun = time.perf_counter()
    interrupted = False
    try:
        driver.go(draws, thin, keep=True)
    except KeyboardInterrupt:
        if not driver.parts:
            raise
        interrupted = True
    seconds["sample"] = time.perf_counter() - begun
    return _gather(driver, seconds, interrupted, kernel)


def _first(part: Any, size: int) -> Any:
    """The filled rows of a segment, as NumPy arrays."""
    return jax.tree.map(lambda a: np.asarray(a)[:size], part)


class _Driver:
    """Calls the program segment by segment; what a segment gave is kept before the next begins."""

    def __init__(self, kernel: Kernel, data: Any, place: Any, monitor: Monitor, state: Any) -> None:
        self.kernel, self.data, self.place, self.monitor, self.state = kernel, data, place, monitor, state
        self.parts: list[Any] = []
        self.done = self.diverging = 0
        self.pace = 0.0

    def go(self, count: int, thin: int, keep: bool) -> None:
        left = count
        while left:
            size = min(left, BUFFER, self._affordable(thin))
            begun = time.perf_counter()
            state, part = _ADVANCE(self.state, size, thin, self.data, self.place, kernel=self.kernel)
            part = _first(part, size)
            self.state = state
            if keep:
                self.parts.append(part)
                self.diverging += int(part[3].sum())
            left -= size
            self.done += size * thin
            self.pace = (time.perf_counter() - begun) / (size * thin)
            self.monitor.update(self.done, not keep, self.diverging, float(part[4].mean()) / thin)

    def _affordable(self, thin: int) -> int:
        """Draws that fit into PATIENCE at the pace of the segment before; few at first."""
        return 10 if self.pace == 0.0 else max(1, int(PATIENCE / (self.pace * thin)))


def _gather(driver: _Driver, seconds: dict[str, float], interrupted: bool, kernel: Kernel) -> Run:
    joined = jax.tree.map(lambda *parts: np.swapaxes(np.concatenate(parts), 0, 1), *driver.parts)
    output, z, log_density, diverging, n_steps, accept, energy, last_steps = joined
    return Run(
        output=output,
        z=z,
        log_density=log_density,
        diverging=diverging,
        n_steps=n_steps,
        accept_prob=accept,
        energy=energy,
        saturated=last_steps >= 2**kernel.max_tree_depth - 1,
        step_size=np.asarray(driver.state.adapt_state.step_size),
        seconds=seconds,
        interrupted=interrupted,
    )


def joined(runs: list[Run]) -> Run:
    """Chains run one after another as one run; where the user stopped one, all are cut to the shortest."""
    if len(runs) == 1:
        return runs[0]
    whole = [r for r in runs if not r.interrupted] or runs[:1]
    length = min(r.log_density.shape[1] for r in whole)

    def stack(*parts: Any) -> Any:
        return np.concatenate([part[:, :length] for part in parts])

    output = jax.tree.map(stack, *(r.output for r in whole))
    names = ("z", "log_density", "diverging", "n_steps", "accept_prob", "energy", "saturated")
    arrays = {name: stack(*(getattr(r, name) for r in whole)) for name in names}
    seconds = {stage: sum(r.seconds[stage] for r in runs) for stage in runs[0].seconds}
    return Run(
        output=output,
        **arrays,
        step_size=np.concatenate([r.step_size for r in whole]),
        seconds=seconds,
        interrupted=any(r.interrupted for r in runs),
    )
