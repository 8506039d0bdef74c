"""Estimated latent densities: a Davidian curve with the other parameters, or the empirical histogram."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.irt.fit import FitOptions, fit_irt
from jmix.estimate.irt.information import complete_information
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.search import maximise
from jmix.estimate.irt.solution import IrtSolution
from jmix.likelihood.irt.density import DensityMarginal, build_density, with_davidian
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

CYCLES = 200
"""Most cycles of items and histogram."""

TOLERANCE = 0.03
"""Gain of a cycle in the log likelihood at which the histogram is taken for done."""

WARM = 5
"""Updates of a histogram from which the first angles are taken."""


@dataclass(frozen=True, eq=False)
class DensityFit:
    """A model with an estimated latent density.

    Attributes:
        solution: estimates; its parameters include the angles of a Davidian curve, not the weights of a histogram.
        marginal: the likelihood. points: (Q,) of the standardised trait. density: (Q,) there. n_density: number of
            parameters of the density. cycles: of items and histogram.
    """

    solution: IrtSolution
    marginal: DensityMarginal
    points: FloatArray
    density: FloatArray
    n_density: int
    cycles: int = 0


def fit_davidian(
    spec: IrtSpec,
    responses: Responses,
    integration: Integration,
    sample: Sample,
    start: FloatArray,
    order: int = 4,
    options: FitOptions | None = None,
) -> DensityFit:
    """Maximise over the items and a Davidian curve (Woods & Lin 2009) from ``start`` (P,), estimates or starting values
    with a normal density.

    Raises:
        ModelError: the model has several factors, covariates or clusters, or the order is not 1 to 10.
    """
    curved = with_davidian(spec, order)
    marginal = build_density(curved, responses, integration)
    normal = build_density(spec, responses, integration)
    found = _maximum(normal, sample, start)
    angles = start_angles(_warmed(normal, found), order)
    solution, best = fit_irt(marginal, sample, np.concatenate([found, angles]), options)
    assert isinstance(best, DensityMarginal)
    points, density = best.density(solution.x)
    return DensityFit(solution, best, points, density, order)


def fit_histogram(
    spec: IrtSpec,
    responses: Responses,
    integration: Integration,
    sample: Sample,
    start: FloatArray,
    options: FitOptions | None = None,
) -> DensityFit:
    """Alternate maximising over the items and an EM update of the weights of the nodes (Bock & Aitkin 1981, section 4;
    Woods 2007), the nodes always standardised, until a cycle gains less than ``TOLERANCE``.

    With the histogram free, its maximum likelihood estimate has only a few atoms (Laird 1978, J. Am. Stat. Assoc. 73);
    from a normal start, the cycles end long before that.

    Raises:
        ModelError: the model has several factors, covariates or clusters.
    """
    marginal, x = build_density(spec, responses, integration), start
    before, cycles = -np.inf, 0
    for cycle in range(CYCLES):
        cycles = cycle + 1
        x = _maximum(marginal, sample, x)
        value = marginal.value_and_grad(x)[0]
        if value - before < TOLERANCE:
            break
        before = value
        marginal = _warmed(marginal, x, 1)
    given = FitOptions() if options is None else options
    solution, best = fit_irt(marginal, sample, x, replace(given, refine=False))
    assert isinstance(best, DensityMarginal)
    points, density = best.density(solution.x)
    return DensityFit(solution, best, points, density, integration.nodes - 1, cycles)


def start_angles(marginal: DensityMarginal, order: int, seed: int = 0) -> FloatArray:
    """(k,) angles whose curve is nearest to a histogram, in Kullback-Leibler divergence, of several local minima."""
    from scipy.optimize import minimize

    if marginal.histogram is None:
        raise ModelError("the first angles are taken from a histogram, and this likelihood has none")
    points, density = marginal.density(np.zeros(marginal.spec.n_free))
    p = density / density.sum()
    z = np.linspace(-marginal.integration.limit, marginal.integration.limit, p.size)
    starts = np.random.default_rng(seed).uniform(-1.0, 1.0, (8, order))
    fits = [minimize(lambda a: -float(p @ np.log(curve(a, z, points))), s, method="BFGS") for s in starts]
    best = min(fits, key=lambda fit: float(fit.fun))
    return np.asarray(np.clip(best.x, -1.5, 1.5))


def curve(angles: FloatArray, z: FloatArray, at: FloatArray) -> FloatArray:
    """Density at points ``at`` (n,) of the standardised Davidian curve with these angles (k,), by a grid z (Q,)."""
    c = np.cumprod(np.concatenate([[1.0], np.cos(angles[::-1])]))[::-1] * np.concatenate([[1.0], np.sin(angles)])
    p = _squared(c, z)
    p = p / p.sum()
    mean = p @ z
    sd = float(np.sqrt(p @ (z - mean) ** 2))
    return np.maximum(sd * _squared(c, mean + sd * at), 1e-300)


def _squared(c: FloatArray, z: FloatArray) -> FloatArray:
    rows = [np.ones_like(z), z]
    for k in range(2, c.size):
        rows.append((z * rows[-1] - np.sqrt(k - 1.0) * rows[-2]) / np.sqrt(k))
    return np.asarray((c @ np.stack(rows[: c.size])) ** 2 * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi))


def _maximum(marginal: DensityMarginal, sample: Sample, start: FloatArray) -> FloatArray:
    """(P,) the free parameters of greatest likelihood with the histogram as it is."""
    information = complete_information(marginal.spec, start, sample, None)
    persons = max(float(sample.sizes.sum()), 1.0)
    return maximise(IrtObjective(marginal), start, information, persons, max_iterations=100).x


def _warmed(marginal: DensityMarginal, x: FloatArray, updates: int = WARM) -> DensityMarginal:
    """The likelihood after some EM updates of its histogram with the items as they are."""
    for _ in range(updates):
        marginal = marginal.with_weights(marginal.counts(x))
    return marginal
