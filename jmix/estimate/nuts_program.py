"""The compiled part of the sampler: NumPyro's No-U-Turn kernel on a flat log density, all chains at once.

One program makes the first state and advances all chains by a number of iterations that is decided when it runs, so
that warm-up, draws, progress and interruption share it (Hoffman & Gelman 2014, J. Mach. Learn. Res. 15). Coordinates
are whitened by the curvature at the mode: warm-up has little to learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmix import runtime

LogDensity = Callable[..., jax.Array]

BUFFER = 100
"""Draws that one call of the program can hold."""


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
        dense: a full mass matrix, or a diagonal one. batched: all chains in one program, on a leading axis; or a
            program for one chain, which is smaller and compiles sooner.
    """

    density: LogDensity
    output: Callable[..., Any]
    plan: Any
    tune: int
    target_accept: float
    max_tree_depth: int
    devices: int = 1
    dense: bool = True
    batched: bool = True


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


def advance(
    state: Any,
    points: Points,
    keys: jax.Array,
    fresh: jax.Array,
    count: jax.Array,
    thin: jax.Array,
    data: Any,
    place: Any,
    kernel: Kernel,
) -> Any:
    """``count`` draws of all chains, each ``thin`` iterations after the one before.

    Args:
        state: of the sampler; where ``fresh``, one made from ``points`` and the (C, 2) ``keys`` takes its place. A
            kernel that is not batched takes all three, and gives all results, without the axis of the chains.

    Returns:
        The new state and, with BUFFER rows of which the first ``count`` are filled: the kept parameters, z, log
        density, divergence, leapfrog steps, acceptance probability, energy and the steps of the last iteration.
    """
    start, sample = _numpyro_kernel(kernel, data, place)
    if kernel.batched:
        start, sample = jax.vmap(start), jax.vmap(sample)
    state = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), start(*points, keys), state)
    chains, dim = state.z.shape[:-1], state.z.shape[-1]

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

    real, whole = jnp.zeros((BUFFER, *chains)), jnp.zeros((BUFFER, *chains), state.num_steps.dtype)
    kept = (jnp.zeros((BUFFER, *chains, dim)), real, jnp.zeros((BUFFER, *chains), bool), whole, real, real, whole)
    state, kept = jax.lax.fori_loop(0, count, draw, (state, kept))

    def finish(u: jax.Array) -> Any:
        z = _coordinates(u, place)
        return kernel.output(z, data, kernel.plan), z

    finish_all = jax.vmap(jax.vmap(finish) if kernel.batched else finish)
    return state, (*finish_all(kept[0]), *kept[1:])


def _advance_sharded(*args: Any, kernel: Kernel) -> Any:
    """The same with the chains split over devices."""
    each: Any = partial(advance, kernel=kernel)
    if kernel.devices == 1:
        return each(*args)
    sharding: Any = jax.sharding
    shard: Any = jax.shard_map
    mesh = sharding.Mesh(np.array(jax.devices()[: kernel.devices]), ("chain",))
    by_chain, everywhere = sharding.PartitionSpec("chain"), sharding.PartitionSpec()
    into = (by_chain,) * 3 + (everywhere,) * (len(args) - 3)
    out = (by_chain, sharding.PartitionSpec(None, "chain"))
    return shard(each, mesh=mesh, in_specs=into, out_specs=out, check_vma=False)(*args)


EVALUATE = runtime.Program(_evaluate, static=("kernel",))
ADVANCE = runtime.Program(_advance_sharded, static=("kernel",))


def no_state(kernel: Kernel, data: Any, place: Any, points: Points, keys: Any) -> Any:
    """Zeros in the shape of a sampler state."""

    def start(points: Points, keys: Any) -> Any:
        one = _numpyro_kernel(kernel, data, place)[0]
        return (jax.vmap(one) if kernel.batched else one)(*points, keys)

    with runtime.float64():
        shapes = jax.eval_shape(start, points, keys)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
