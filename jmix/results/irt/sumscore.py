"""Sum scores: the expected trait for each, by the recursion of Lord and Wingersky, and how often each occurs.

Thissen, Pommerich, Billeaud & Williams (1995, Appl. Psychol. Meas. 19(1), eqs. 1-5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError
from jmix.responses.data import MISSING
from jmix.results.irt.items import group_number
from jmix.results.irt.latent import group_moments, person_means
from jmix.results.irt.latent_grid import LatentGrid, normal_grid
from jmix.results.irt.lord_wingersky import ScoreMoments, category_scores, score_distribution, score_moments
from jmix.results.irt.rebuild import latent_density

if TYPE_CHECKING:
    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

MOST_PATTERNS = 2000
"""Most patterns of missing responses for which a table is made."""


def score_table(fit: IrtFit, group: str | None) -> pd.DataFrame:
    """See ``IrtFit.score_table``."""
    from scipy.stats import norm

    numbers = range(len(fit.spec.groups)) if group is None else [group_number(fit.spec, group)]
    parts = []
    for g in numbers:
        found = group_score_moments(fit, g)
        frame = score_frame(fit, found)
        n = observed_scores(fit, g)
        if n is not None:
            frame["observed"] = n
            frame["expected"] = n.sum() * found.probability
            with np.errstate(invalid="ignore", divide="ignore"):
                z = (n - frame["expected"]) / np.sqrt(frame["expected"])
            frame["std_residual"] = z.where(frame["expected"] > 0, 0.0)
        below = np.cumsum(found.probability) - 0.5 * found.probability
        frame["percentile"] = 100.0 * np.clip(below, 0.0, 1.0)
        frame["T"] = 50.0 + 10.0 * norm.ppf(np.clip(below, 1e-12, 1.0 - 1e-12))
        if len(fit.spec.groups) > 1 and group is None:
            frame.insert(0, "group", fit.spec.groups[g])
        parts.append(frame)
    return pd.concat(parts) if len(parts) > 1 else parts[0]


def score_frame(fit: IrtFit, found: ScoreMoments) -> pd.DataFrame:
    """EAP estimate and posterior standard deviation for each sum score; rows of impossible scores are left out."""
    sd = np.sqrt(np.maximum(np.einsum("sdd->sd", found.covariance), 0.0))
    columns = {name: found.mean[:, d] for d, name in enumerate(fit.spec.factors)}
    columns |= {f"se_{name}": sd[:, d] for d, name in enumerate(fit.spec.factors)}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(sd), name="sum_score"))


def group_score_moments(fit: IrtFit, g: int, items: npt.NDArray[np.int64] | None = None) -> ScoreMoments:
    """Probability and trait moments of the sum scores of some of the items in group g."""
    grid = group_grid(fit, g)
    probabilities = fit.bank(fit.spec.groups[g]).probabilities(grid.theta)
    scores = category_scores(fit.responses.n_categories)
    if items is not None:
        probabilities, scores = probabilities[items], scores[items]
    return score_moments(score_distribution(probabilities, scores), grid.theta, grid.weights)


def group_grid(fit: IrtFit, g: int) -> LatentGrid:
    """Nodes and masses of the latent distribution of group g; of a latent regression over the covariates' spread."""
    mean, covariance = (moments[g] for moments in group_moments(fit.numbers))
    known = latent_density(fit)
    if known is not None:
        points, density = known
        return LatentGrid(mean + np.sqrt(covariance[0]) * points[:, None], density / density.sum())
    data, weights = fit.responses, fit.responses.weights
    if fit.covariates is not None:
        rows = slice(None) if data.group is None else data.group == g
        means = person_means(fit.numbers, data.group, data.n_persons, fit.covariates)[rows]
        w = None if weights is None else weights[rows]
        mean = np.average(means, axis=0, weights=w)
        centred = means - mean
        covariance = covariance + np.atleast_2d(np.cov(centred.T, bias=True, aweights=w))
    return normal_grid(mean, covariance)


def observed_scores(fit: IrtFit, g: int) -> FloatArray | None:
    """(S + 1,) how many persons of group g have each sum score, weighted; None where responses are missing."""
    data = fit.responses
    if data.table is None:
        return None
    rows = slice(None) if data.group is None else data.group == g
    table = data.table[rows]
    if (table == MISSING).any():
        return None
    weights = None if data.weights is None else data.weights[rows]
    size = int(sum(k - 1 for k in data.n_categories)) + 1
    counts = np.bincount(table.sum(axis=1, dtype=np.int64), weights=weights, minlength=size)
    return counts.astype(np.float64)


def sum_score_estimates(fit: IrtFit, data: Responses) -> tuple[FloatArray, FloatArray]:
    """(N, D) EAP estimates given each person's sum score on the items answered, and covariances (N, D, D).

    Raises:
        DataError: the responses are a sparse list, or miss in too many patterns.
    """
    if data.table is None:
        raise DataError("'EAPsum' needs persons who answered the same items: use 'EAP' for sparse responses")
    theta = np.empty((data.n_persons, fit.spec.n_factors))
    covariance = np.empty((*theta.shape, fit.spec.n_factors))
    answered = data.table != MISSING
    patterns, which = _patterns(answered)
    if len(patterns) > MOST_PATTERNS:
        raise DataError(f"'EAPsum': responses are missing in {len(patterns)} different patterns; use 'EAP'")
    total = np.where(answered, data.table, 0).sum(axis=1, dtype=np.int64)
    group = data.group if data.group is not None else np.zeros(data.n_persons, dtype=np.int32)
    for g in range(len(fit.spec.groups)):
        for p in np.unique(which[group == g]):
            rows = np.flatnonzero((which == p) & (group == g))
            found = group_score_moments(fit, g, np.flatnonzero(patterns[p]))
            theta[rows] = found.mean[total[rows]]
            covariance[rows] = found.covariance[total[rows]]
    return theta, covariance


def _patterns(answered: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """The distinct rows, and which one each person has."""
    packed = np.ascontiguousarray(np.packbits(answered, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return answered[first], which.reshape(-1)
