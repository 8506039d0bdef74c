"""Random effects after sampling: exact draws given the parameters, their means, spreads and intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.posterior_table import bounds, spread

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Effects = dict[str, FloatArray]

CACHED = 1 << 28
"""Bytes up to which draws of the random effects are kept."""

LARGEST = 1 << 32
"""Bytes up to which an array of draws is made."""


# --- which draws ----------------------------------------------------------------------------------------------------
def whole(name: str, value: Any, least: int) -> int:
    """A whole number as int.

    Raises:
        ModelError: anything else, or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ModelError(f"{name}={value!r}: give a whole number, {least} or more")
    return int(value)


def thinned(post: Sampled, thin: Any = 1) -> IntArray:
    """(C, D') numbers of the draws kept of each chain, every ``thin``-th, counted chain by chain."""
    return np.arange(post.n_draws).reshape(post.draws.shape)[:, :: whole("thin", thin, 1)]


def check_size(what: str, count: float, remedy: str) -> None:
    """Refuse an array of so many numbers that would not fit.

    Raises:
        ModelError: it would exceed ``LARGEST`` bytes.
    """
    if 8.0 * count > LARGEST:
        raise ModelError(f"{what} would take {8 * count / 2**30:.1f} GiB, more than {LARGEST / 2**30:g}; {remedy}")


def require_data(post: Sampled) -> None:
    """Refuse draws of the prior, given which the data say nothing.

    Raises:
        ModelError: draws of the prior.
    """
    if post.settings.chain_method == "prior":
        raise ModelError(
            "these are draws of the prior, which has seen no data: there are no random effects of the groups in the "
            "data; simulate() and conditional=False draw from the prior predictive distribution"
        )


# --- draws ----------------------------------------------------------------------------------------------------------
def sizes(post: Sampled) -> dict[str, tuple[int, int]]:
    """(J, q) of each grouping factor."""
    levels = {t.group: len(t.levels) for t in post.terms}
    return {g: (levels[g], post.spec.group_q(g)) for g in post.spec.groups}


def chunks(post: Sampled, numbers: IntArray, seed: Any) -> Iterator[tuple[slice, Effects]]:
    """(m, J, q) effects by grouping factor for draws of these numbers (N,), a slice of them at a time."""
    require_data(post)
    seed = whole("seed", seed, 0)
    stored = post.draws.effects if post.draws.effects is not None else _cached(post, seed)
    if stored is None:
        yield from post.law.draw_effects(numbers, seed)
        return
    flat = {g: v.reshape(-1, *v.shape[2:]) for g, v in stored.items()}
    step = max(1, CACHED // 8 // max(1, sum(v[0].size for v in flat.values())))
    for start in range(0, numbers.size, step):
        part = numbers[start : start + step]
        yield slice(start, start + part.size), {g: v[part] for g, v in flat.items()}


def _cached(post: Sampled, seed: int) -> Effects | None:
    """(C, D, J, q) draws of modest size, made once for a seed; None where they would be large."""
    if 8 * post.n_draws * sum(j * q for j, q in sizes(post).values()) > CACHED:
        return None
    if post.memory.get("seed") != seed:
        drawn = post.law.draw_effects(np.arange(post.n_draws), seed)
        made = _filled(post, drawn, post.n_draws, list(sizes(post)))
        made = {g: v.reshape(*post.draws.shape, *v.shape[1:]) for g, v in made.items()}
        post.memory.update(seed=seed, effects=made)
    found: Effects = post.memory["effects"]
    return found


def _filled(post: Sampled, parts: Iterator[tuple[slice, Effects]], count: int, groups: list[str]) -> Effects:
    """(N, J, q) from chunks."""
    out = {g: np.empty((count, *sizes(post)[g])) for g in groups}
    for rows, own in parts:
        for g in groups:
            out[g][rows] = own[g]
    return out


def effects(post: Sampled, group: str | None = None, *, thin: int = 1, seed: int = 0) -> Effects:
    """The work behind ``Posterior.effects``."""
    known = sizes(post)
    if group is not None and group not in known:
        raise ModelError(f"there is no grouping factor {group!r}; there are: {', '.join(known)}")
    if not known:
        return {}
    groups = list(known) if group is None else [group]
    numbers = thinned(post, thin)
    total = float(numbers.size) * sum(known[g][0] * known[g][1] for g in groups)
    check_size("draws of the random effects", total, "thin= keeps fewer draws, group= one grouping factor")
    made = _filled(post, chunks(post, numbers.reshape(-1), seed), numbers.size, groups)
    return {g: v.reshape(*numbers.shape, *v.shape[1:]) for g, v in made.items()}


# --- means, spreads and intervals -----------------------------------------------------------------------------------
def means(post: Sampled, thin: int = 1) -> Effects:
    """(J, q) posterior means by grouping factor, computed once; ``moments`` has them too, at a higher cost."""
    require_data(post)
    if not post.spec.groups:
        return {}
    key = ("means", whole("thin", thin, 1))
    if not post.law.exact_moments or ("moments", thin) in post.memory:
        return moments(post, thin)[0]
    if key not in post.memory:
        post.memory[key] = post.law.mean_effects(thinned(post, thin).reshape(-1))
    found: Effects = post.memory[key]
    return found


def moments(post: Sampled, thin: int = 1) -> tuple[Effects, Effects]:
    """(J, q) posterior means and standard deviations by grouping factor, computed once.

    For a Gaussian response without the noise of drawing the effects; for another from the draws.
    """
    require_data(post)
    if not post.spec.groups:
        return {}, {}
    key = ("moments", whole("thin", thin, 1))
    if key not in post.memory:
        if post.law.exact_moments:
            post.memory[key] = post.law.moments(thinned(post, thin).reshape(-1))
        else:
            post.memory[key] = _moments_of_draws(effects(post, thin=thin))
    found: tuple[Effects, Effects] = post.memory[key]
    return found


def _moments_of_draws(drawn: Effects) -> tuple[Effects, Effects]:
    flat = {g: v.reshape(-1, *v.shape[2:]) for g, v in drawn.items()}
    return {g: v.mean(axis=0) for g, v in flat.items()}, {g: spread(np.moveaxis(v, 0, -1)) for g, v in flat.items()}


def columns(post: Sampled, group: str) -> list[str]:
    """Names of the random-effects columns of a grouping factor, all its terms."""
    return [name for i in post.spec.members(group) for name in post.spec.terms[i].names]


def levels(post: Sampled, group: str) -> list[str]:
    """Level labels of a grouping factor."""
    return post.terms[post.spec.members(group)[0]].levels


def frames(post: Sampled, values: Effects) -> dict[str, pd.DataFrame]:
    """One row a level, one column a random effect."""
    return {
        g: pd.DataFrame(values[g], index=pd.Index(levels(post, g), name=g), columns=columns(post, g))
        for g in post.spec.groups
    }


def table(post: Sampled, prob: float = 0.95, interval: Any = "eti", *, thin: int = 1, seed: int = 0) -> pd.DataFrame:
    """The work behind ``Posterior.ranef_table``."""
    centres, sds = moments(post, thin)
    parts = []
    for group, (size, q) in sizes(post).items():
        drawn = effects(post, group, thin=thin, seed=seed)[group]
        flat = np.moveaxis(drawn.reshape(-1, size, q), 0, -1)
        lower, upper = bounds(flat, prob, interval)
        head = {
            "group": pd.Series([group] * (size * q), dtype="str"),
            "level": pd.Series([str(v) for v in levels(post, group)] * q, dtype="str"),
            "term": pd.Series([name for name in columns(post, group) for _ in range(size)], dtype="str"),
        }
        numbers = {"estimate": centres[group], "est_error": sds[group], "lower": lower, "upper": upper}
        parts.append(pd.DataFrame(head | {k: v.ravel(order="F") for k, v in numbers.items()}))
    names = ["group", "level", "term", "estimate", "est_error", "lower", "upper"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)
