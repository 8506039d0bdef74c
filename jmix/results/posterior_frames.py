"""Estimates from draws in the shapes of ``Fit``: fixed effects, variance components, ``tidy`` and ``glance``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.diagnostics import diagnose
from jmix.results.frames import EFFECTS, check_level
from jmix.results.posterior_table import Interval, bounds, spread
from jmix.spec.covariance import lower_column_major
from jmix.spec.names import cor_names, sd_names

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]

TEXT = ("effect", "group", "level", "term")


def fixed_draws(post: Posterior) -> FloatArray:
    """(p, C D) draws of the fixed effects."""
    beta = post.draws.beta
    return beta.reshape(post.n_draws, beta.shape[-1]).T


def vcov(post: Posterior) -> pd.DataFrame:
    """(p, p) posterior covariance matrix of the fixed effects."""
    names, draws = post.design.x_names, fixed_draws(post)
    centred = draws - draws.mean(axis=1, keepdims=True)
    divisor = draws.shape[1] - 1
    values = centred @ centred.T / divisor if divisor else np.full((len(names), len(names)), np.nan)
    return pd.DataFrame(values, index=names, columns=names)


def confint(post: Posterior, level: float = 0.95, method: Interval = "eti") -> pd.DataFrame:
    """Credible intervals of the fixed effects: (p, 2), columns ``lower`` and ``upper``."""
    lower, upper = bounds(fixed_draws(post), check_level(level), method)
    return pd.DataFrame({"lower": lower, "upper": upper}, index=post.design.x_names)


def theta(post: Posterior) -> pd.Series:
    """(k,) posterior means of the relative covariance parameters, in lme4's order and names."""
    sigma = post.draws.sigma
    parts = [c[..., *lower_column_major(c.shape[-1])].mean(axis=(0, 1)) for c in _relative(post.draws.chol, sigma)]
    values = np.concatenate(parts) if parts else np.zeros(0)
    return pd.Series(values, index=post.spec.theta_names(), name="theta")


def _relative(chol: tuple[FloatArray, ...], sigma: FloatArray) -> Iterator[FloatArray]:
    for factor in chol:
        yield factor / sigma[..., None, None]


# --- variance components --------------------------------------------------------------------------------------------
def varcorr(post: Posterior, level: float = 0.95) -> pd.DataFrame:
    """Posterior of the standard deviations and correlations; the columns are described in ``Posterior.varcorr``.

    Raises:
        ModelError: for a level outside (0, 1).
    """
    rows = [(*key, float(v.mean()), d) for key, v, d in _components(post)]
    draws = np.stack([d for *_, d in rows]).reshape(len(rows), -1) if rows else np.zeros((0, post.n_draws))
    frame = pd.DataFrame([row[:4] for row in rows], columns=["grp", "var1", "var2", "vcov"])
    lower, upper = bounds(draws, check_level(level))
    return frame.assign(sdcor=draws.mean(axis=1), est_error=spread(draws), lower=lower, upper=upper)


Component = tuple[tuple[str, str | None, str | None], FloatArray, FloatArray]


def _components(post: Posterior) -> Iterator[Component]:
    """Group, variable and variable; draws of the variance or covariance; of the sd or correlation: in lme4's order."""
    draws, spec = post.draws, post.spec
    for label, term, sd, cor in zip(spec.labels, spec.terms, draws.sd, draws.cor, strict=True):
        for a, name in enumerate(term.names):
            yield (label, name, None), sd[..., a] ** 2, sd[..., a]
        for a in range(term.q):
            for b in range(a + 1, term.q):
                value = cor[..., b, a]
                yield (label, term.names[a], term.names[b]), value * sd[..., a] * sd[..., b], value
    if post.law.residual:
        yield ("Residual", None, None), draws.sigma**2, draws.sigma


# --- broom.mixed ----------------------------------------------------------------------------------------------------
def tidy(post: Posterior, *, effects: str = "all", conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
    """One row a parameter; the columns are described in ``Posterior.tidy``.

    Raises:
        ModelError: for other effects, or a level outside (0, 1).
    """
    if not isinstance(effects, str) or effects not in EFFECTS:
        raise ModelError(f"effects={effects!r}: choose {', '.join(map(repr, EFFECTS))}")
    level = check_level(level)
    rows, values = _random_values(post) if effects == "ran_vals" else _parameters(post, EFFECTS[effects])
    draws, judged = values.reshape(len(values), post.n_draws), diagnose(values)
    columns: dict[str, Any] = {"estimate": draws.mean(axis=1), "std_error": spread(draws)}
    if conf_int:
        columns["conf_low"], columns["conf_high"] = bounds(draws, level)
    columns |= {"rhat": judged["rhat"], "ess": judged["ess_bulk"]}
    names = [name for name in TEXT if name != "level" or effects == "ran_vals"]
    head = {name: pd.Series([row[name] for row in rows], dtype="str") for name in names}
    return pd.DataFrame(head | columns)


Rows = list[dict[str, str | None]]


def _parameters(post: Posterior, effects: tuple[str, ...]) -> tuple[Rows, FloatArray]:
    """Texts and (K, C, D) draws of fixed effects, variance parameters or both."""
    named = [row for row in _named(post) if row[0] in effects]
    draws = [post.parameters[row[3]] for row in named]
    rows: Rows = [{"effect": effect, "group": group, "term": term} for effect, group, term, _ in named]
    return rows, np.stack(draws) if draws else np.zeros((0, *post.draws.shape))


def _random_values(post: Posterior) -> tuple[Rows, FloatArray]:
    """Texts and (K, C, D) draws of every random effect, level within term."""
    levels = {term.group: term.levels for term in post.terms}
    rows: Rows = []
    parts = [np.zeros((0, *post.draws.shape))]
    for group, values in post.effects().items():
        names = [name for i in post.spec.members(group) for name in post.spec.terms[i].names]
        rows += [
            {"effect": "ran_vals", "group": group, "level": str(level), "term": name}
            for name in names
            for level in levels[group]
        ]
        parts.append(np.transpose(values, (3, 2, 0, 1)).reshape(-1, *post.draws.shape))
    return rows, np.concatenate(parts)


def _named(post: Posterior) -> Iterator[tuple[str, str | None, str, str]]:
    """Effect, group and term as broom.mixed names them, and the name in ``post.parameters``."""
    for name, key in zip(post.design.x_names, post.parameters, strict=False):
        yield "fixed", None, name, key
    spec = post.spec
    for label, term, sds, cors in zip(spec.labels, spec.terms, sd_names(spec), cor_names(spec), strict=True):
        for name, key in zip(term.names, sds, strict=True):
            yield "ran_pars", label, f"sd__{name}", key
        pairs = [(a, b) for i, a in enumerate(term.names) for b in term.names[i + 1 :]]
        for (a, b), key in zip(pairs, cors, strict=True):
            yield "ran_pars", label, f"cor__{a}.{b}", key
    for name in post.law.parameters():
        if name in post.law.coefficients:
            yield "fixed", None, name, name
        else:
            yield "ran_pars", "Residual", f"{'sd' if name == 'sigma' else name}__Observation", name


def glance(post: Posterior) -> pd.DataFrame:
    """One row for the model; the columns are described in ``Posterior.glance``."""
    status, seconds = post.status, post.settings.seconds
    row = {
        "nobs": post.nobs,
        "sigma": post.sigma,
        "chains": post.chains,
        "draws": post.n_draws,
        "max_rhat": status.max_rhat,
        "min_ess_bulk": status.min_ess_bulk,
        "min_ess_tail": status.min_ess_tail,
        "divergences": status.divergences,
        "saturated": status.saturated,
        "converged": status.converged,
        "sampling_seconds": float(sum(seconds.get(stage, 0.0) for stage in ("tune", "sample"))),
        "seconds": float(sum(seconds.values())),
    }
    return pd.DataFrame([row])
