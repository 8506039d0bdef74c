"""Simulate many data sets from one item model and fit all of them in one compiled program."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.recovery_designs import Design, Floats, persons, truth
from jmix.estimate.irt.sample import take_sample
from jmix.estimate.irt.start import start_values
from jmix.items.kinds import kind_of
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.priors import log_prior
from jmix.spec.irt.spec import IrtSpec, unpack

STEPS = 25
"""Most quasi-Newton steps between two exact Hessians."""

ARRIVED = 1e-10
"""Newton decrement at which a fit has arrived."""


@dataclass(frozen=True)
class Recovered:
    """Estimates (R, P), their standard errors, the true values (P,), and which fits arrived (R,)."""

    names: tuple[str, ...]
    truth: Floats
    x: Floats
    se: Floats
    settled: npt.NDArray[np.bool_]


def simulate(spec: IrtSpec, x: Floats, group: Any, W: Any, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    """(n, J) responses of persons drawn from the model at x."""
    at = unpack(np, spec, x)
    theta = at.mean[group] + np.einsum("nde,ne->nd", at.chol[group], rng.normal(size=(group.size, spec.n_factors)))
    if W is not None:
        theta = theta + W @ at.regression
    table = np.empty((group.size, len(spec.items)), dtype=np.int8)
    for block, slopes, own in zip(spec.blocks, at.slopes, at.own, strict=True):
        for g in range(len(spec.groups)):
            rows = np.flatnonzero(group == g)
            kind = kind_of(block.kind)
            log_p = kind.log_table(np, slopes[g] @ theta[rows].T, own[g], block.n_categories)
            below = np.cumsum(np.exp(log_p), axis=1)[:, :-1]
            uniform = rng.uniform(size=(len(block.columns), 1, rows.size))
            table[np.ix_(rows, block.columns)] = np.sum(below < uniform, axis=1).T
    return table


def make_responses(design: Design, table: Any, group: Any, data: pd.DataFrame | None) -> Responses:
    """As if read."""
    labels = tuple(range(design.categories))
    several = design.groups > 1
    return Responses(
        items=tuple(f"i{j + 1}" for j in range(design.items)),
        categories=(labels,) * design.items,
        table=table,
        long=None,
        persons=pd.RangeIndex(design.n),
        group=group if several else None,
        groups=tuple(f"g{g + 1}" for g in range(design.groups)) if several else ("all",),
        data=data,
    )


def recover(design: Design, replicates: int, seed: int) -> Recovered:
    """All replicates of a design."""
    rng = np.random.default_rng([seed, 1])
    group, data = persons(design, rng)
    template = make_responses(
        design, rng.integers(0, design.categories, (design.n, design.items)).astype(np.int8), group, data
    )
    spec, W = build_spec(template, design.itemtype, **design.options)
    true = truth(design, spec.table.free_names, seed)
    how = Integration(nodes=design.nodes, rule=design.rule, chunk=design.n)
    marginals, starts = [], []
    for at in range(replicates):
        own = np.random.default_rng([seed, 2, at])
        responses = replace(template, table=simulate(spec, true, group, W, own))
        marginals.append(build_marginal(spec, responses, how, W))
        starts.append(start_values(spec, take_sample(responses)))
    x, se, settled = fit_all(spec, marginals, np.stack(starts), design.batch, design.rounds)
    return Recovered(spec.table.free_names, true, x, se, settled)


def fit_all(spec: IrtSpec, marginals: list[Any], starts: Floats, batch: int, rounds: int) -> tuple[Floats, Floats, Any]:
    """Estimates, standard errors and whether they arrived, from one program vmapped over the data sets."""
    first = marginals[0]

    def objective(x: jax.Array, data: Any) -> jax.Array:
        return -(first.log_marginal(x, data) + log_prior(jnp, spec, x))

    def one(case: tuple[jax.Array, Any]) -> tuple[jax.Array, jax.Array, jax.Array]:
        start, data = case
        gradient = jax.grad(objective)
        evaluate = lambda x: jax.value_and_grad(objective)(x, data)  # noqa: E731
        again = lambda _, x: _minimise(evaluate, jax.jacfwd(gradient)(x, data), x)  # noqa: E731
        x = jax.lax.fori_loop(0, rounds, again, start)
        hessian = jax.jacfwd(gradient)(x, data)
        step = jnp.linalg.solve(hessian, gradient(x, data))
        x = x - step
        values = jnp.linalg.eigvalsh(hessian)
        se = jnp.sqrt(jnp.diag(jnp.linalg.inv(hessian)))
        return x, se, (values[0] > 0) & (0.5 * step @ hessian @ step < 1e-6)

    with jax.enable_x64(True):
        stacked = jax.tree.map(
            lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *[m.data for m in marginals]
        )
        run = jax.jit(lambda cases: jax.lax.map(one, cases, batch_size=batch))
        return tuple(np.asarray(part) for part in run((jnp.asarray(starts), stacked)))  # type: ignore[return-value]


def _minimise(evaluate: Any, hessian: jax.Array, start: jax.Array) -> jax.Array:
    """BFGS from an exact Hessian made definite, with step halving; every data set of a batch goes at its own pace."""
    values, vectors = jnp.linalg.eigh(hessian)
    inverse = (vectors / jnp.maximum(jnp.abs(values), 1e-3 * values[-1])) @ vectors.T
    value, gradient = evaluate(start)

    def going(state: Any) -> jax.Array:
        _, _, g, h, k = state
        return (k < STEPS) & (0.5 * g @ h @ g > ARRIVED)

    def advance(state: Any) -> Any:
        x, value, g, h, k = state
        step = -h @ g
        step = step * jnp.minimum(1.0, 1.0 / jnp.max(jnp.abs(step)))
        slope = g @ step

        def shorter(trial: Any) -> jax.Array:
            t, new, _ = trial
            return ~(new <= value + 1e-4 * t * slope) & (t > 1e-6)

        def halve(trial: Any) -> Any:
            t = 0.5 * trial[0]
            return (t, *evaluate(x + t * step))

        t, new, gradient = jax.lax.while_loop(shorter, halve, (jnp.ones(()), *evaluate(x + step)))
        s, y = t * step, gradient - g
        curvature = s @ y
        rho = 1.0 / jnp.where(curvature > 0, curvature, 1.0)
        left = jnp.eye(x.size) - rho * jnp.outer(s, y)
        h = jnp.where(curvature > 0, left @ h @ left.T + rho * jnp.outer(s, s), h)
        return x + s, new, gradient, h, k + 1

    return jax.lax.while_loop(going, advance, (start, value, gradient, inverse, 0))[0]
