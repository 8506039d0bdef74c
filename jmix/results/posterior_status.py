"""What the sampler can vouch for, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

LARGEST_RHAT = 1.01
"""R-hat above which chains count as not mixed (Vehtari et al. 2021)."""

LEAST_ESS = 100
"""Fewest effective draws a chain, in the bulk and in the tails (Vehtari et al. 2021)."""

MOST_NAMES = 5
"""Most parameters that a message lists."""


@dataclass(frozen=True)
class SamplingStatus:
    """What speaks against the draws.

    Attributes:
        converged: no divergence, every R-hat at most 1.01, and at least 100 effective draws a chain of every parameter,
            in the bulk and in the tails.
        divergences, saturated: draws whose trajectory diverged, and whose trajectory reached the greatest tree depth.
        max_rhat, min_ess_bulk, min_ess_tail: the worst over parameters; NaN where one of them cannot be computed.
        messages: what to know and what to do, one sentence each.
    """

    converged: bool
    divergences: int
    saturated: int
    max_rhat: float
    min_ess_bulk: float
    min_ess_tail: float
    messages: tuple[str, ...]


def sampling_status(post: Posterior) -> SamplingStatus:
    """Judge the draws of a posterior."""
    table, stats = post.diagnostics, post.draws.stats
    divergences, saturated = int(stats.diverging.sum()), int(stats.saturated.sum())
    least = LEAST_ESS * post.chains
    sound = (table["rhat"] <= LARGEST_RHAT) & (table["ess_bulk"] >= least) & (table["ess_tail"] >= least)
    messages = [*_transitions(post, divergences, saturated), *_unusable(post), *_chains(post), *_effective(post)]
    return SamplingStatus(
        converged=bool(sound.all()) and divergences == 0,
        divergences=divergences,
        saturated=saturated,
        max_rhat=float(table["rhat"].max(skipna=False)),
        min_ess_bulk=float(table["ess_bulk"].min(skipna=False)),
        min_ess_tail=float(table["ess_tail"].min(skipna=False)),
        messages=tuple(messages),
    )


def _transitions(post: Posterior, divergences: int, saturated: int) -> Iterator[str]:
    settings, n = post.settings, post.draws.stats.diverging.size
    if settings.interrupted:
        had = post.draws.shape[1]
        asked = f" of {settings.draws}" if settings.draws > had else ""
        yield f"sampling was interrupted after {had}{asked} draws a chain; these draws are valid, only fewer"
    if divergences:
        target = 0.95 if settings.target_accept < 0.95 else 0.99
        yield (
            f"the trajectories of {divergences} of {n} draws diverged: part of the posterior may be unexplored and "
            f"estimates biased; raise target_accept from {settings.target_accept:g} to {target:g}, or give standard "
            "deviations a stronger prior, or drop a random effect whose standard deviation is near zero"
        )
    if saturated:
        yield (
            f"the trajectories of {saturated} of {n} draws reached max_tree_depth={settings.max_tree_depth}: these "
            f"draws are valid but slow to mix; sample with max_tree_depth={settings.max_tree_depth + 2}, or rescale "
            "the predictors to similar sizes"
        )


def _unusable(post: Posterior) -> Iterator[str]:
    """Parameters whose draws allow no diagnostics."""
    if post.draws.shape[1] < 4:
        yield "fewer than 4 draws a chain: effective sample sizes and R-hat cannot be computed; sample more draws"
        return
    broken = {name: int((~np.isfinite(v)).sum()) for name, v in post.parameters.items()}
    broken = {name: count for name, count in broken.items() if count}
    if broken:
        listed = [f"{name} ({count} of {post.n_draws} draws)" for name, count in broken.items()]
        yield f"draws that are not finite: {_listed(listed)}; rescale the data, or give stronger priors"
    still = [n for n, v in post.parameters.items() if n not in broken and np.all(v == v[0, 0])]
    if still:
        yield (
            f"every draw is the same: {_listed(still)}; the sampler did not move: rescale the data, or raise tune from "
            f"{post.settings.tune}"
        )


def _chains(post: Posterior) -> Iterator[str]:
    if post.chains == 1:
        yield (
            "one chain only: R-hat compares the halves of that chain and cannot see chains that disagree; sample with "
            "chains=4"
        )
    rhat = post.diagnostics["rhat"]
    high = rhat[rhat > LARGEST_RHAT].sort_values(ascending=False)
    if len(high):
        listed = [f"{name} ({_above(value)})" for name, value in high.items()]
        yield (
            f"R-hat above {LARGEST_RHAT}: {_listed(listed)}; the chains have not mixed: run longer "
            f"(draws={_round_up(2 * post.draws.shape[1])}, tune={_round_up(2 * post.settings.tune)}), and if that does "
            "not help, use stronger priors or fewer random effects"
        )


def _above(rhat: float) -> str:
    """R-hat to two decimals, more where that would not show it above the limit."""
    text = f"{rhat:.2f}"
    return text if float(text) > LARGEST_RHAT else f"{rhat:.4f}"


def _effective(post: Posterior) -> Iterator[str]:
    least = LEAST_ESS * post.chains
    what = {"bulk": "means and medians", "tail": "interval ends and tail quantiles"}
    for kind, judged in what.items():
        ess: pd.Series = post.diagnostics[f"ess_{kind}"].dropna()
        low = ess[ess < least].sort_values()
        if len(low):
            listed = [f"{name} ({value:.0f})" for name, value in low.items()]
            draws = _round_up(post.draws.shape[1] * least / float(low.iloc[0]))
            yield (
                f"{kind} effective sample size below {least} ({LEAST_ESS} a chain): {_listed(listed)}; {judged} may be "
                f"unreliable: sample with draws={draws}"
            )


def _round_up(draws: float) -> int:
    """The next multiple of 500."""
    return 500 * max(1, math.ceil(draws / 500))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
