"""Bayesian estimation of item response models: No-U-Turn sampling of the marginal posterior, theta integrated out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate import nuts
from jmix.estimate.irt.draws import IrtDraws
from jmix.estimate.irt.information import complete_information
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.posterior_density import Density, build_density, log_density, natural
from jmix.estimate.irt.sample import Sample
from jmix.estimate.irt.search import maximise
from jmix.estimate.mode import FLATTEST
from jmix.estimate.nuts_program import Kernel, Points
from jmix.estimate.options import Options
from jmix.estimate.sampling import make_kernel, run_kernel, settings_of, stats_of
from jmix.estimate.warm_start import spread
from jmix.likelihood.irt.marginal import Marginal
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]


def sample_irt(
    marginal: Marginal,
    spec: IrtSpec,
    options: Options,
    mode: FloatArray,
    information: FloatArray,
    init: Mapping[str, Any] | None = None,
) -> IrtDraws:
    """Draw from the posterior of the free parameters.

    Args:
        spec: that of the marginal, with the priors in force. mode: (P,) estimates near the posterior mode.
        information: (P, P) negative Hessian of the log posterior there, which whitens the coordinates.
        init: values by name from which the chains start.

    Raises:
        ModelError: a prior that does not suit its parameter, or a density that is not finite near the mode.
    """
    begun = time.perf_counter()
    density = build_density(marginal, spec)
    data = density.data | {
        "priors": runtime.put(density.data["priors"]),
        "derived": runtime.put(density.data["derived"]),
    }
    kernel = make_kernel(options, density=log_density, output=natural, plan=density.plan)
    z = density.coordinates(mode)
    place = {"mode": z, "half": whitening(density, z, information)}
    u = spread(options, z.size)
    if init is not None:
        names = list(spec.table.free_names)
        x = mode.copy()
        for name, value in init.items():
            x[names.index(name)] = value
        u = 0.1 * u + np.linalg.solve(place["half"], density.coordinates(x) - z)
    points = _finite(kernel, data, place, u)
    seconds = {"warm start": time.perf_counter() - begun}
    run = run_kernel(kernel, data, place, points, options)
    return IrtDraws(
        x=np.asarray(run.output["x"]),
        log_density=run.log_density,
        stats=stats_of(run),
        settings=settings_of(run, options, seconds, marginal=True),
    )


def find_mode(
    marginal: Marginal, spec: IrtSpec, sample: Sample, start: FloatArray, covariates: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """(P,) posterior mode in the free parameters and (P, P) the negative Hessian there, not necessarily definite."""
    objective = IrtObjective(marginal, spec, float(sample.sizes.sum()))
    information = complete_information(spec, start, sample, covariates)
    found = maximise(objective, start, information, max_iterations=100)
    own = -objective.hessian(found.x) if found.information is None else found.information
    return found.x, np.asarray(own)


def whitening(density: Density, z: FloatArray, information: FloatArray) -> FloatArray:
    """(P, P) ``half`` with ``half half'`` about the posterior covariance of the coordinates."""
    slope = density.slopes(z)
    scaled = information * np.outer(slope, slope)
    values, vectors = np.linalg.eigh(0.5 * (scaled + scaled.T))
    return np.asarray(vectors / np.sqrt(np.maximum(np.abs(values), FLATTEST)))


def _finite(kernel: Kernel, data: Any, place: dict[str, FloatArray], u: FloatArray) -> Points:
    """Points drawn in towards the mode until the density is finite there."""
    u = u.copy()
    for _ in range(30):
        points = nuts.evaluate(kernel, data, place, u)
        bad = ~(np.isfinite(points.energy) & np.all(np.isfinite(points.gradient), axis=1))
        if not bad.any():
            return points
        u[bad] *= 0.5
    raise ModelError(
        "the posterior density is not finite near its mode: a prior may exclude the data; compare model.priors with "
        "the estimates of model.fit()"
    )
