"""Ranks of true values among posterior draws, for data simulated from the priors of three small designs.

All data sets of a design are sampled side by side in one program. Parameters and data are simulated here, by NumPy, not
by jmix. Besides the parameters and some random effects, the log
density itself is ranked: it depends on the data, which makes the check sensitive to errors that parameters alone hide
(Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman & Vehtari 2023, Bayesian Analysis).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
import pandas as pd

import jmix
from jmix import runtime
from jmix.estimate.density import coordinates, log_density
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.estimate.effects import draw_effects, given
from jmix.estimate.nuts_program import BUFFER, Kernel, Points, advance, no_state
from jmix.estimate.options import Options
from jmix.estimate.sampling import chain_keys
from jmix.estimate.warm_start import marginal_output, warm_start
from jmix.spec.names import parameter_names

Array = Any
KEPT = 99
"""Posterior draws a data set, so that ranks run from 0 to 99."""


@dataclass(frozen=True)
class Truth:
    """Parameters drawn from their priors, with random effects of each grouping factor, (J, q)."""

    beta: Array
    chols: list[Array]
    sigma: float
    effects: dict[str, Array]
    y: Array


@dataclass(frozen=True)
class Design:
    """A model with proper priors, in words for jmix and as ``draw`` for the simulation.

    Attributes:
        draw: of a random generator, to (intercept at the means, slope), one Cholesky factor a group, and sigma.
    """

    formula: str
    priors: dict[str, str]
    draw: Callable[[np.random.Generator], tuple[tuple[float, float], dict[str, Array], float]]
    rows: pd.DataFrame
    options: dict[str, str] = field(default_factory=dict)

    def simulate(self, rng: np.random.Generator) -> Truth:
        """A data set from the prior."""
        (centred, slope), chols, sigma = self.draw(rng)
        x = self.rows.x.to_numpy()
        mean, effects = centred + slope * (x - x.mean()), {}
        for group, chol in chols.items():
            codes = self.rows[group].to_numpy()
            effects[group] = rng.normal(size=(codes.max() + 1, len(chol))) @ chol.T
            mean = mean + np.sum(np.stack([np.ones(len(x)), x], axis=1)[:, : len(chol)] * effects[group][codes], axis=1)
        scale = sigma / np.sqrt(self.rows[self.options["weights"]].to_numpy()) if self.options else sigma
        beta = np.array([centred - slope * x.mean(), slope])
        return Truth(beta, list(chols.values()), sigma, effects, mean + scale * rng.normal(size=len(x)))


def _rows(groups: int, each: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    g, h = np.repeat(np.arange(groups), each), np.tile(np.arange(each), groups)
    return pd.DataFrame({"g": g, "h": h, "x": rng.normal(0.8, 1.0, g.size), "w": rng.uniform(0.5, 2.0, g.size)})


def _draw_intercept(rng: np.random.Generator) -> Any:
    sd, sigma = abs(rng.normal(0.0, 1.5)), np.exp(rng.normal(0.0, 0.5))
    return (rng.normal(1.0, 2.0), rng.standard_t(4)), {"g": np.array([[sd]])}, sigma


def _draw_slope(rng: np.random.Generator) -> Any:
    sds, rho = abs(rng.normal(0.0, 1.0, 2)), 2.0 * rng.beta(2.0, 2.0) - 1.0
    chol = np.array([[sds[0], 0.0], [rho * sds[1], np.sqrt(1.0 - rho**2) * sds[1]]])
    return tuple(rng.normal(0.0, 2.0, 2)), {"g": chol}, rng.gamma(3.0, 1 / 2.0) ** -0.5


def _draw_crossed(rng: np.random.Generator) -> Any:
    first, second = rng.exponential(1.0), rng.uniform(0.0, 4.0) ** 0.5
    return (rng.normal(0.0, 3.0), rng.laplace(0.0, 1.0)), _square(g=first, h=second), abs(rng.normal(0.0, 1.5))


def _square(**sds: float) -> dict[str, Array]:
    return {group: np.array([[sd]]) for group, sd in sds.items()}


DESIGNS = {
    "random intercept": Design(
        "y ~ x + (1 | g)",
        {
            "Intercept": "normal(1, 2)",
            "b": "student_t(4, 0, 1)",
            "sd": "half_normal(1.5)",
            "sigma": "lognormal(0, 0.5)",
        },
        _draw_intercept,
        _rows(8, 5),
        {"weights": "w"},
    ),
    "correlated slope": Design(
        "y ~ x + (x | g)",
        {
            "Intercept": "normal(0, 2)",
            "b": "normal(0, 2)",
            "sd": "normal(0, 1)",
            "cor": "lkj(2)",
            "sigma": "gamma(3, 2) on precision",
        },
        _draw_slope,
        _rows(8, 6),
    ),
    "crossed": Design(
        "y ~ x + (1 | g) + (1 | h)",
        {
            "Intercept": "normal(0, 3)",
            "b": "laplace(0, 1)",
            "sd_g": "exponential(1)",
            "sd_h": "uniform(0, 4) on variance",
            "sigma": "half_normal(1.5)",
        },
        _draw_crossed,
        _rows(7, 6),
    ),
}


# --- all data sets of a design at once --------------------------------------------------------------------------------
def _advance_all(
    state: Any, points: Any, keys: Any, fresh: Any, count: Any, thin: Any, *where: Any, kernel: Any
) -> Any:
    """``advance`` of one chain for each data set."""
    own = partial(advance, kernel=kernel)
    return jax.vmap(own, in_axes=(0, 0, 0, None, None, None, 0, 0))(state, points, keys, fresh, count, thin, *where)


_ADVANCE_ALL = runtime.Program(_advance_all, static=("kernel",))


@dataclass(frozen=True)
class Ranks:
    """(N,) ranks from 0 to KEPT of every quantity, and the least effective sample size of the kept draws on average."""

    ranks: dict[str, Array]
    ess: float
    seconds: float


def calibrate(
    design: Design,
    datasets: int,
    seed: int,
    *,
    tune: int = 500,
    thin: int = 10,
    density: Any = log_density,
    priors: dict[str, str] | None = None,
) -> Ranks:
    """Ranks of true values among posterior draws.

    Args:
        density, priors: of the sampler, for a planted error.
    """
    begun = time.perf_counter()
    rng = np.random.default_rng(seed)
    truths = [design.simulate(rng) for _ in range(datasets)]
    models = [_model(design, truth, priors) for truth in truths]
    starts = [
        warm_start(m.objective, m.priors, Options(chains=1, seed=seed + i), m.design.x_names)
        for i, m in enumerate(models)
    ]
    assert len({start.plan for start in starts}) == 1, "the data sets do not share a program"
    kernel = Kernel(density, marginal_output, starts[0].plan, tune, target_accept=0.9, max_tree_depth=10)
    keys = np.stack([chain_keys(seed + i, 1) for i in range(datasets)])
    output, z = _run(kernel, starts, keys, tune, thin)
    ranks = _ranked(truths, models, starts, output, z, seed)
    from arviz_stats.base import array_stats

    ess = np.mean([min(float(array_stats.ess(zi[None, :, k])) for k in range(zi.shape[1])) for zi in z[:40]])
    return Ranks(ranks, float(ess), time.perf_counter() - begun)


def _model(design: Design, truth: Truth, priors: dict[str, str] | None) -> jmix.Model:
    return jmix.model(design.formula, design.rows.assign(y=truth.y), priors=priors or design.priors, **design.options)


def _run(kernel: Kernel, starts: list[Any], keys: Array, tune: int, thin: int) -> tuple[Any, Array]:
    """Kept parameters and (N, KEPT, d) coordinates."""

    def stack(*leaves: Any) -> Array:
        return np.stack([np.asarray(leaf) for leaf in leaves])

    first = starts[0]
    data = runtime.put(jax.tree.map(stack, *(s.data for s in starts)))
    place = runtime.put(jax.tree.map(stack, *(s.place for s in starts)))
    points: Points = jax.tree.map(stack, *(s.points for s in starts))
    empty = no_state(kernel, first.data, first.place, first.points, keys[0])
    state: Any = jax.tree.map(lambda leaf: np.zeros((len(starts), *leaf.shape), leaf.dtype), empty)
    for fresh, count, apart in [(True, 0, 1)] + [(False, BUFFER, 1)] * (tune // BUFFER) + [(False, KEPT, thin)]:
        state, part = _ADVANCE_ALL(state, points, keys, fresh, count, apart, data, place, kernel=kernel)
    kept = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :KEPT, 0], part)
    return kept[0], kept[1]


def _ranked(truths: list[Truth], models: list[Any], starts: list[Any], output: Any, z: Array, seed: int) -> Any:
    out: dict[str, list[int]] = {}
    density = runtime.Program(lambda zs, data, plan: jax.vmap(lambda z: log_density(z, data, plan))(zs), ("plan",))
    for i, (truth, model, start) in enumerate(zip(truths, models, starts, strict=True)):
        draws = _draws(jax.tree.map(lambda leaf, i=i: leaf[i][None], output))
        values = _named(
            model, [truth.beta, truth.chols, truth.sigma], [draws.beta[0], draws.sd, draws.cor, draws.sigma]
        )
        at = coordinates(model.priors, start.plan, model.objective, truth.beta, truth.chols, truth.sigma)
        levels = np.asarray(density(np.concatenate([at[None], z[i]]), start.data, plan=start.plan))
        values["log density"] = (levels[0], levels[1:])
        (_, effects), *rest = draw_effects(
            model.objective, given(model.objective, draws, np.arange(KEPT)), seed + i, KEPT
        )
        assert not rest
        for group, own in effects.items():
            for level, column in ((0, 0), (own.shape[1] - 1, own.shape[2] - 1)):
                values[f"{group}[{level}, {column}]"] = (truth.effects[group][level, column], own[:, level, column])
        for name, (true, among) in values.items():
            out.setdefault(name, []).append(int(np.sum(among < true)))
    return {name: np.array(own) for name, own in out.items()}


def _named(model: Any, truth: list[Any], draws: list[Any]) -> dict[str, tuple[float, Array]]:
    """True value and draws of every parameter, by name."""
    beta, chols, sigma = truth
    sds = [np.sqrt(np.sum(c**2, axis=1)) for c in chols]
    cors = [(c @ c.T / np.outer(s, s))[np.tril_indices(len(s), -1)] for c, s in zip(chols, sds, strict=True)]
    true = [*beta, *np.concatenate(sds), *np.concatenate(cors), sigma]
    fixed, sd, cor, last = draws
    below = [c[0][:, *np.tril_indices(c.shape[-1], -1)] for c in cor]
    columns = np.concatenate([fixed, *(s[0] for s in sd), *below, last[0][:, None]], axis=1)
    names = parameter_names(model.design.x_names, model.spec)
    return {name: (t, columns[:, k]) for k, (name, t) in enumerate(zip(names, true, strict=True))}


def _draws(output: Any) -> Draws:
    none = np.zeros((1, KEPT))
    stats_ = SamplerStats(none > 0, none.astype(int), none, none, np.zeros(1), none > 0)
    return Draws(output["beta"], output["chol"], output["sigma"], none, stats_, SamplerSettings(KEPT, 0, 1, 0))
