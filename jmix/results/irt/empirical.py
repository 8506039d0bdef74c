"""What persons along the trait answered, beside the curves of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.responses.data import MISSING
from jmix.results.irt.observed import Observed, observed_rows
from jmix.results.irt.population import person_prior
from jmix.results.irt.rebuild import latent_density, log_density

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

PERSONS = 20_000
"""Most persons from whom plausible values are drawn for a picture."""
DRAWS, NODES, CHUNK = 5, 241, 1024


class Points(NamedTuple):
    """Of one item and group, by bins of persons.

    Attributes:
        theta: (B,) mean trait. n: (B,) persons. share: (B, K) proportions of the categories.
    """

    theta: FloatArray
    n: FloatArray
    share: FloatArray

    def score(self) -> FloatArray:
        """(B,) mean score."""
        return self.share @ np.arange(self.share.shape[1])

    def score_error(self) -> FloatArray:
        """(B,) standard error of the mean score, by Agresti and Coull's added observations where all answered alike."""
        k = np.arange(self.share.shape[1])
        smooth = (self.share * self.n[:, None] + 2.0 / k.size) / (self.n[:, None] + 2.0)
        variance = smooth @ k**2 - (smooth @ k) ** 2
        return np.sqrt(variance / self.n)


class Traits(NamedTuple):
    """Draws of the trait for some persons.

    Attributes:
        data: their responses. group: (n,) codes. draws: (n, M).
    """

    data: Observed
    group: npt.NDArray[np.int64]
    draws: FloatArray


def plausible_traits(fit: IrtFit, *, seed: int = 0) -> Traits:
    """Draws from the posteriors of at most ``PERSONS`` persons under a model with one factor.

    Plausible values and responses follow the model together, so that proportions by plausible value scatter about the
    item's curve; proportions by EAP do not, as EAPs are drawn to the mean (Chalmers & Ng 2017).
    """
    n = fit.responses.n_persons
    rng = np.random.default_rng(seed)
    rows = np.arange(n) if n <= PERSONS else np.sort(rng.choice(n, PERSONS, replace=False))
    data = observed_rows(fit.responses, rows)
    group = np.zeros(n, dtype=np.int64) if fit.responses.group is None else fit.responses.group.astype(np.int64)
    return Traits(data, group[rows], _by_grid(fit, data, group[rows], rng))


def empirical_points(item: int, group: int, traits: Traits, *, bins: int) -> Points:
    """Proportions of an item's categories in bins of equal numbers of plausible values."""
    data = traits.data
    keep = (data.table[:, item] != MISSING) & (traits.group == group)
    code, w = data.table[keep, item].astype(np.int64), data.weights[keep]
    k, m = data.n_categories[item], traits.draws.shape[1]
    if code.size == 0:
        return Points(np.zeros(0), np.zeros(0), np.zeros((0, k)))
    theta = traits.draws[keep].ravel()
    code, w = np.repeat(code, m), np.repeat(w, m)
    order = np.argsort(theta, kind="stable")
    edge = np.cumsum(w[order]) - w[order] / 2
    bin_of = np.empty(theta.size, dtype=np.int64)
    bin_of[order] = np.minimum((edge / w.sum() * bins).astype(np.int64), bins - 1)
    count = np.bincount(bin_of * k + code, weights=w, minlength=bins * k).reshape(bins, k)
    n = count.sum(axis=1)
    some = n > 0
    centre = np.bincount(bin_of, weights=w * theta, minlength=bins)[some] / n[some]
    return Points(centre, n[some] / m, count[some] / n[some, None])


def _by_grid(fit: IrtFit, data: Observed, group: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    """(n, M) draws by inversion of each person's posterior on a grid, uniform within its cells."""
    prior, known = person_prior(fit, fit.responses, fit.covariates), latent_density(fit)
    out = np.empty((data.rows.size, DRAWS))
    for g, name in enumerate(fit.spec.groups):
        own = np.flatnonzero(group == g)
        if own.size == 0:
            continue
        mean, sd = prior.mean[data.rows[own], 0], float(np.sqrt(prior.covariance[g, 0, 0]))
        line = np.linspace(mean.min() - 6 * sd, mean.max() + 6 * sd, NODES)
        log_p = fit.bank(name).log_probabilities(line[:, None])
        for begin in range(0, own.size, CHUNK):
            part = slice(begin, begin + CHUNK)
            rows = own[part]
            z = (line - mean[part, None]) / sd
            log = -0.5 * z**2 if known is None else log_density(known, z)
            for j in range(len(data.items)):
                code = data.table[rows, j]
                log += np.where(code[:, None] != MISSING, log_p[j][np.maximum(code, 0)], 0.0)
            out[rows] = _inverted(log, line, rng)
    return out


def _inverted(log: FloatArray, line: FloatArray, rng: np.random.Generator) -> FloatArray:
    p = np.exp(log - log.max(axis=1, keepdims=True))
    below = np.cumsum(p, axis=1)
    below /= below[:, -1:]
    u = rng.random((log.shape[0], DRAWS))
    cell = np.minimum((below[:, None, :] < u[:, :, None]).sum(axis=2), line.size - 1)
    return line[cell] + (rng.random(cell.shape) - 0.5) * (line[1] - line[0])
