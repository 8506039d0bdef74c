"""The marginal likelihood of a fitted model for other responses, and its latent density where that is estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from jmix.likelihood.irt.marginal import Integration
    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit
    from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

FLOOR = -700.0
"""Log density outside of the points on which an estimated one is known."""


def histogram_of(marginal: Any) -> FloatArray | None:
    """(Q,) masses of an empirical histogram; None for other latent densities."""
    return getattr(marginal, "histogram", None)


def rebuilt(
    spec: IrtSpec,
    responses: Responses,
    integration: Integration,
    covariates: FloatArray | None,
    histogram: FloatArray | None,
) -> Any:
    """A marginal likelihood with the latent density that the model has."""
    if spec.density is None and histogram is None:
        from jmix.likelihood.irt.build import build_marginal

        return build_marginal(spec, responses, integration, covariates)
    from jmix.likelihood.irt.density import build_density

    return build_density(spec, responses, integration, histogram)


def latent_density(fit: IrtFit) -> tuple[FloatArray, FloatArray] | None:
    """Points (Q,) of the standardised trait and the estimated density there; None where it is normal."""
    if fit.spec.density is None and histogram_of(fit.marginal) is None:
        return None
    points, density = fit.marginal.density(fit.solution.x)
    return np.asarray(points, dtype=np.float64), np.asarray(density, dtype=np.float64)


def log_density(known: tuple[FloatArray, FloatArray], z: FloatArray) -> FloatArray:
    """Log of an estimated density at standardised trait values, linear between its points."""
    points, density = known
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(density), FLOOR)
    return np.interp(z, points, logs, left=FLOOR, right=FLOOR)
