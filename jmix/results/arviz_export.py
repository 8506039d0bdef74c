"""Draws as ArviZ reads them: an ``InferenceData``, or a ``DataTree`` since ArviZ 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import JmixError, ModelError
from jmix.results import posterior_effects as random
from jmix.results.pointwise import log_likelihood
from jmix.results.posterior_predict import predict

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

Array = npt.NDArray[Any]
Variables = dict[str, tuple[tuple[str, ...], Array]]

CHOICES = ("conditional", "marginal", "both", None)
ROW = "obs_id"
"""Dimension of the rows of the data."""

SLASH = "÷"
"""What stands for the slash in names, which separates groups in a file."""


def to_arviz(
    post: Sampled,
    log_likelihood: Any,
    *,
    effects: bool,
    posterior_predictive: bool,
    prior: Any,
    thin: int,
    seed: int,
) -> Any:
    """The work behind ``Posterior.to_arviz``."""
    if log_likelihood not in CHOICES:
        raise ModelError(f"log_likelihood={log_likelihood!r}: choose 'conditional', 'marginal', 'both' or None")
    try:
        import arviz
    except ImportError as error:
        raise JmixError("to_arviz() needs ArviZ: pip install 'jmix[plots]'") from error
    numbers = random.thinned(post, thin)
    of_prior = post.settings.chain_method == "prior"
    main = "prior" if of_prior else "posterior"
    groups = {main: _parameters(post, numbers)}
    if effects:
        groups[main] |= _effects(post, thin, seed)
    if not of_prior:
        groups["sample_stats"] = _sample_stats(post, numbers)
        if log_likelihood is not None:
            groups["log_likelihood"] = _log_likelihood(post, log_likelihood, thin, seed)
    if posterior_predictive:
        groups[f"{main}_predictive"] = {clean(post.design.y_name): _predictive(post, numbers, thin, seed)}
    groups["observed_data"] = {clean(post.design.y_name): ((ROW,), post.design.y)}
    if prior is not None:
        groups["prior"] = _prior(prior)
    coords = _coordinates(post, numbers)
    sets = {
        name: _dataset(variables, coords if name != "prior" or of_prior else {}) for name, variables in groups.items()
    }
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.InferenceData(**sets)
    from xarray import DataTree

    return DataTree.from_dict(sets)


def clean(name: str) -> str:
    """A name without a slash."""
    return name.replace("/", SLASH)


def _dataset(variables: Variables, coords: Mapping[str, Any]) -> Any:
    from xarray import Dataset

    dims = {d: n for own, values in variables.values() for d, n in zip(own, values.shape, strict=True)}
    own = {d: coords[d] if d in coords else np.arange(n) for d, n in dims.items()}
    return Dataset(variables, coords=own, attrs={"inference_library": "jmix"})


def _coordinates(post: Sampled, numbers: Array) -> dict[str, Any]:
    """Chains, draws as counted by the sampler, rows by the index of the data, levels and columns by label."""
    index = post.design.index
    plain = isinstance(index, pd.Index) and index.nlevels == 1 and index.is_unique
    row_labels = np.asarray(index) if plain and index.dtype.kind in "iuf" else np.arange(post.nobs)
    if plain and index.dtype.kind not in "iuf":
        row_labels = np.array([str(v) for v in index])
    coords = {"chain": np.arange(post.chains), "draw": numbers[0], ROW: row_labels}
    for group in post.spec.groups:
        coords[f"{clean(group)}_level"] = np.array([str(v) for v in random.levels(post, group)])
        coords[f"{clean(group)}_column"] = np.array(_unique(random.columns(post, group)))
    return coords


def _unique(names: list[str]) -> list[str]:
    """Names with a number where they repeat."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        count = seen.get(name, 0)
        out.append(f"{name}.{count}" if count else name)
        seen[name] = count + 1
    return out


# --- the groups -----------------------------------------------------------------------------------------------------
def _kept(values: Array, numbers: Array) -> Array:
    """(C, D') of (C, D) draws."""
    return values[:, numbers[0]]


def _parameters(post: Sampled, numbers: Array) -> Variables:
    return {clean(name): (("chain", "draw"), _kept(values, numbers)) for name, values in post.parameters.items()}


def _effects(post: Sampled, thin: int, seed: int) -> Variables:
    drawn = random.effects(post, thin=thin, seed=seed)
    return {
        f"r_{clean(g)}": (("chain", "draw", f"{clean(g)}_level", f"{clean(g)}_column"), values)
        for g, values in drawn.items()
    }


def _sample_stats(post: Sampled, numbers: Array) -> Variables:
    stats = post.draws.stats
    found = {
        "lp": post.draws.log_density,
        "diverging": stats.diverging,
        "energy": stats.energy,
        "n_steps": stats.n_steps,
        "tree_depth": np.ceil(np.log2(stats.n_steps + 1.0)).astype(np.int64),
        "reached_max_treedepth": stats.saturated,
        "acceptance_rate": stats.accept_prob,
        "step_size": np.broadcast_to(stats.step_size[:, None], post.draws.shape),
    }
    return {name: (("chain", "draw"), _kept(values, numbers)) for name, values in found.items()}


def _log_likelihood(post: Sampled, kind: str, thin: int, seed: int) -> Variables:
    out: Variables = {}
    if kind != "marginal":
        values = log_likelihood(post, "conditional", thin, seed)
        out[clean(post.design.y_name)] = (("chain", "draw", ROW), values)
    if kind != "conditional":
        group = clean(post.law.marginal_group())
        out[group] = (("chain", "draw", f"{group}_level"), log_likelihood(post, "marginal", thin, seed))
    return out


def _predictive(post: Sampled, numbers: Array, thin: int, seed: int) -> tuple[tuple[str, ...], Array]:
    if post.settings.chain_method == "prior":
        from jmix.results.posterior_predict import simulate

        values = simulate(post, post.n_draws, seed, False).to_numpy().T[numbers.reshape(-1)]
    else:
        values = np.asarray(
            predict(
                post, None, conditional=True, new_levels="error", kind="response", prob=0.95, summary=False,
                weights=None, thin=thin, seed=seed,
            )
        )  # fmt: skip
    return ("chain", "draw", ROW), values.reshape(*numbers.shape, post.nobs)


def _prior(prior: Any) -> Variables:
    """Draws of the prior: those of another posterior, or arrays by name."""
    named = getattr(prior, "parameters", prior)
    if not isinstance(named, Mapping | pd.DataFrame):
        raise ModelError("prior= takes model.sample_prior(), or draws by parameter: a dict or a data frame")
    values = {str(name): np.atleast_2d(np.asarray(named[name], dtype=np.float64)) for name in named}
    shapes = {v.shape for v in values.values()}
    if len(shapes) != 1:
        raise ModelError("prior=: every parameter must have as many draws as the others")
    return {clean(name): (("chain", "draw"), v) for name, v in values.items()}
