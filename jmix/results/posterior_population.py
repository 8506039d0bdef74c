"""What the posterior says about groups not yet seen: where their coefficients lie, and how many satisfy a claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import posterior_effects as random
from jmix.results.document import Document
from jmix.results.expressions import compare
from jmix.results.frames import check_level
from jmix.results.posterior_table import bounds
from jmix.results.sections import SummaryContent
from jmix.results.summary import wrap

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]

BISECTIONS = 80


@dataclass(frozen=True, eq=False, repr=False)
class Population(Document):
    """Where the coefficients of future groups lie; ``print`` it as sentences, or take the numbers from ``table``.

    Attributes:
        table: one row a random coefficient, the columns as in :meth:`jmix.results.posterior.Posterior.population`.
        prob: the share of future groups, and the probability of the intervals of the limits.
    """

    table: pd.DataFrame
    prob: float

    @property
    def content(self) -> SummaryContent:
        """The sentences."""
        return SummaryContent("Population of groups", (), (), tuple(_sentences(self)))

    def __str__(self) -> str:
        return "\n".join(wrap(sentence, 2) for sentence in self.content.notes)


def _sentences(own: Population) -> Iterator[str]:
    share = f"{100 * own.prob:g}%"
    for row in own.table.to_dict("records"):
        yield (
            f"{share} of future levels of {row['group']} have {row['term']} between {row['lower']:.4g} and "
            f"{row['upper']:.4g}."
        )
        yield (
            f"The middle {share} of that population runs from {row['from']:.4g} ({share} interval "
            f"{row['from_lower']:.4g} to {row['from_upper']:.4g}) to {row['to']:.4g} ({row['to_lower']:.4g} to "
            f"{row['to_upper']:.4g})."
        )
    if own.table["group"].nunique() > 1:
        yield "Each at the average of the other grouping factors."


def population(post: Sampled, prob: float = 0.95) -> Population:
    """The work behind ``Posterior.population``; the columns are described there."""
    prob = check_level(prob, "prob")
    z, tails = NormalDist().inv_cdf(0.5 + 0.5 * prob), (0.5 - 0.5 * prob, 0.5 + 0.5 * prob)
    rows = []
    for group in post.spec.groups:
        for name in dict.fromkeys(random.columns(post, group)):
            mean, sd = _centre(post, name), _spread(post, group, {name: 1.0})
            lower, upper = (mixture_quantile(mean, sd, p) for p in tails)
            row = {"group": group, "term": name, "estimate": float(mean.mean()), "lower": lower, "upper": upper}
            for label, limit in (("from", mean - z * sd), ("to", mean + z * sd)):
                low, high = bounds(limit, prob)
                row |= {label: float(limit.mean()), f"{label}_lower": float(low), f"{label}_upper": float(high)}
            rows.append(row)
    return Population(pd.DataFrame(rows), prob)


def prob_new_group(post: Sampled, hypothesis: str, group: str | None, prob: float) -> pd.Series:
    """The work behind ``Posterior.prob_new_group``.

    The coefficients of a new group are normal given the parameters, so the share of groups for which a linear
    inequality holds is a normal probability in every draw.
    """
    prob, group = check_level(prob, "prob"), _chosen(post, group)
    sign, constant, slopes = _linear(post, hypothesis, group)
    total = np.full(post.n_draws, constant)
    for name, slope in slopes.items():
        total += slope * _centre(post, name)
    sd = _spread(post, group, slopes)
    share = _normal_cdf(total if sign == ">" else -total, sd)
    lower, upper = bounds(share, prob)
    return pd.Series(
        {"probability": float(share.mean()), "lower": float(lower), "upper": float(upper)}, name=hypothesis
    )


def _chosen(post: Sampled, group: str | None) -> str:
    groups = post.spec.groups
    if group is None and len(groups) == 1:
        return groups[0]
    if group not in groups:
        given = "several grouping factors" if group is None else f"no grouping factor {group!r}"
        raise ModelError(f"there are {given}: give group=, one of {', '.join(groups)}")
    return group


def _linear(post: Sampled, hypothesis: str, group: str) -> tuple[str, float, dict[str, float]]:
    """Sign, constant and slopes of an inequality that is linear in the coefficients of a group.

    Raises:
        ModelError: an equality, or an expression that is not linear.
    """
    known = list(dict.fromkeys([*post.design.x_names, *random.columns(post, group)]))
    names = {name: name for name in known}
    if "(Intercept)" in names:
        names.setdefault("Intercept", "(Intercept)")
    k = len(known)
    rng = np.random.default_rng(0)
    points = np.concatenate([np.zeros((1, k)), np.eye(k), rng.uniform(1.0, 3.0, (8, k))])
    sign, values = compare(hypothesis, names, {name: points[:, i] for i, name in enumerate(known)})
    if sign == "=":
        raise ModelError(f"hypothesis {hypothesis!r}: give an inequality, such as 'Days > 0'")
    slopes = values[1 : k + 1] - values[0]
    expected = values[0] + points @ slopes
    scale = np.abs(values[0]) + np.abs(points) @ np.abs(slopes)
    if not np.all(np.abs(values - expected) <= 1e-9 * scale):
        raise ModelError(f"hypothesis {hypothesis!r} is not linear in the coefficients {', '.join(known)}")
    return sign, float(values[0]), {name: float(s) for name, s in zip(known, slopes, strict=True) if s}


# --- distribution of a new group's coefficients ---------------------------------------------------------------------
def _centre(post: Sampled, name: str) -> FloatArray:
    """(N,) draws of the fixed effect of a column; zero where it has none."""
    if name not in post.design.x_names:
        return np.zeros(post.n_draws)
    return np.asarray(post.draws.beta[:, :, post.design.x_names.index(name)].reshape(-1))


def _spread(post: Sampled, group: str, slopes: dict[str, float]) -> FloatArray:
    """(N,) standard deviation of a linear combination of a new group's random effects."""
    variance = np.zeros(post.n_draws)
    for i in post.spec.members(group):
        weights = np.array([slopes.get(name, 0.0) for name in post.spec.terms[i].names])
        variance += np.sum(np.square(weights @ post.draws.chol[i]), axis=-1).reshape(-1)
    return np.sqrt(variance)


def _normal_cdf(mean: FloatArray, sd: FloatArray) -> FloatArray:
    """P(N(mean, sd) > 0); of a point mass where sd is zero."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, ndtr(mean / sd), (mean > 0).astype(np.float64))


def mixture_quantile(mean: FloatArray, sd: FloatArray, p: float) -> float:
    """Quantile of an equal mixture of normal distributions, by bisection."""
    z = NormalDist().inv_cdf(p)
    low, high = float(np.min(mean + z * sd)), float(np.max(mean + z * sd))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = float(_normal_cdf(middle - mean, sd).mean())
        low, high = (middle, high) if below < p else (low, middle)
    return 0.5 * (low + high)
