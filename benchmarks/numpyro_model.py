"""sleepstudy as a plain NumPyro program: all random effects are sampled, non-centred, as NumPyro's users write it."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

NAMES = {
    "(Intercept)": "b_Intercept",
    "Days": "b_Days",
    "sd_Subject__Intercept": "sd_Intercept",
    "sd_Subject__Days": "sd_Days",
    "cor_Subject__Intercept__Days": "cor",
    "sigma": "sigma",
}


def model(subject: Any, days: Any, middle: float, location: float, scale: float, subjects: int, y: Any) -> None:
    """brms's default priors: on the intercept at the mean of Days, flat on the slope, half-t, LKJ(1)."""
    centred = numpyro.sample("Intercept", dist.StudentT(3.0, location, scale))
    slope = numpyro.sample("b_Days", dist.ImproperUniform(dist.constraints.real, (), ()))
    numpyro.deterministic("b_Intercept", centred - slope * middle)
    half_t = dist.FoldedDistribution(dist.StudentT(3.0, 0.0, scale))
    sd = numpyro.sample("sd", half_t.expand([2]))
    factor = numpyro.sample("L", dist.LKJCholesky(2, 1.0))
    sigma = numpyro.sample("sigma", half_t)
    z = numpyro.sample("z", dist.Normal().expand([subjects, 2]).to_event(2))
    effects = numpyro.deterministic("effects", z @ (sd[:, None] * factor).T)
    numpyro.deterministic("cor", factor[1, 0])
    numpyro.deterministic("sd_Intercept", sd[0])
    numpyro.deterministic("sd_Days", sd[1])
    mean = centred + slope * (days - middle) + effects[subject, 0] + effects[subject, 1] * days
    numpyro.sample("y", dist.Normal(mean, sigma), obs=y)


def sampler(draws: int, chains: int, chain_method: str) -> MCMC:
    """NUTS at its default settings; "parallel" gives each chain a device of its own on the cores there are."""
    if chain_method == "parallel":
        numpyro.set_host_device_count(chains)
    options: dict[str, Any] = {"num_warmup": 1000, "num_samples": draws, "num_chains": chains, "progress_bar": False}
    return MCMC(NUTS(model), chain_method=chain_method, **options)


def arguments(frame: Any) -> tuple[Any, ...]:
    """What the model takes, from a frame with Reaction, Days and Subject."""
    y = frame["Reaction"]
    codes, levels = frame["Subject"].factorize()
    spread = 1.482602218505602 * float((y - y.median()).abs().median())
    location, scale = round(float(y.median()), 1), max(2.5, round(spread, 1))
    days = frame["Days"].to_numpy(float)
    return jnp.asarray(codes), jnp.asarray(days), float(days.mean()), location, scale, len(levels), y.to_numpy()


def run(mcmc: MCMC, frame: Any, seed: int) -> None:
    """Warm-up and draws in one go."""
    mcmc.run(jax.random.PRNGKey(seed), *arguments(frame))


def timed(mcmc: MCMC, frame: Any, seed: int, path: Path) -> tuple[dict[str, float], int]:
    """Seconds of warm-up (with compilation) and of the draws alone, and divergences; the draws are kept in ``path``.

    Every call of NumPyro's ``run`` traces and compiles anew, so the draws are timed in a loop over its kernel, compiled
    once: the chains together, on a device each, or one after another.
    """
    own, kernel = arguments(frame), mcmc.sampler
    start = time.perf_counter()
    mcmc.warmup(jax.random.PRNGKey(seed), *own)
    np.asarray(mcmc.post_warmup_state.i)
    tuned = time.perf_counter() - start

    def step(state: Any, _: Any) -> Any:
        state = kernel.sample(state, own, {})
        return state, (state.z, state.diverging)

    def chain(state: Any) -> Any:
        return jax.lax.scan(step, state, None, length=mcmc.num_samples)

    programs: dict[str, Any] = {
        "vectorized": lambda: jax.jit(chain),  # NumPyro has vmapped its kernel itself
        "parallel": lambda: jax.pmap(chain),
        "sequential": lambda: jax.jit(partial(jax.lax.map, chain)),
    }
    program = programs[mcmc.chain_method]()
    state, _ = program(mcmc.post_warmup_state)
    np.asarray(state.i)
    start = time.perf_counter()
    _, (z, diverging) = program(state)
    found = int(np.asarray(diverging).sum())
    seconds = {"tune": tuned, "sample": time.perf_counter() - start}
    if mcmc.chain_method == "vectorized":
        z = jax.tree.map(lambda values: jnp.swapaxes(values, 0, 1), z)
    keep(jax.vmap(jax.vmap(kernel.postprocess_fn(own, {})))(z), path)
    return seconds, found


def population(mcmc: MCMC) -> None:
    """NumPyro's summary of the population parameters."""
    from numpyro.diagnostics import print_summary

    held = mcmc.get_samples(group_by_chain=True)
    print_summary({name: held[site] for name, site in NAMES.items()})


def keep(draws: Any, path: Path) -> None:
    """Keep (chains, draws) of the population parameters by jmix's names."""
    from benchmarks.posteriors import save_draws

    save_draws(path, {name: np.asarray(draws[site], dtype=np.float64) for name, site in NAMES.items()})
