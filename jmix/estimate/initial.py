"""Parameter values to start from: moments of the data, and what the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate.objective import GaussianObjective
from jmix.estimate.parameters import parameter_array
from jmix.estimate.start import moment_start
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.names import cor_names, parameter_names, sd_names

FloatArray = npt.NDArray[np.float64]


class Initial(NamedTuple):
    """Fixed effects, a Cholesky factor of each term's covariance, and the residual standard deviation."""

    beta: FloatArray
    chols: list[FloatArray]
    sigma: float


def moments(objective: GaussianObjective) -> Initial:
    """Least-squares coefficients and moment estimates of the covariances."""
    reduced, spec = objective.reduced, objective.spec
    theta = objective.to_theta @ moment_start(reduced.stats, reduced.layout, spec.n_theta)
    lams = spec.split(theta)
    sigma = reduced.fixed.y_scale / np.sqrt(2.0)
    return Initial(reduced.fixed.beta_ols, [sigma * lam for lam in lams], float(sigma))


def overridden(initial: Initial, given: Mapping[str, Any], x_names: Sequence[str], spec: CovarianceSpec) -> Initial:
    """Starting values with some replaced by the user's, by parameter name.

    Raises:
        ModelError: an unknown name, or a value out of range.
    """
    known = parameter_names(x_names, spec)
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise ModelError(f"init: there is no parameter '{unknown[0]}'; there are: {', '.join(known)}")
    values = {str(k): float(parameter_array(f"init['{k}']", [v], 1)[0]) for k, v in given.items()}
    beta = initial.beta.copy()
    for i, name in enumerate(known[: len(x_names)]):
        beta[i] = values.get(name, beta[i])
    sigma = values.get("sigma", initial.sigma)
    chols = [
        with_values(chol, [values.get(n) for n in sds], [values.get(n) for n in cors])
        for chol, sds, cors in zip(initial.chols, sd_names(spec), cor_names(spec), strict=True)
    ]
    if sigma <= 0 or any(np.any(np.diag(c) <= 0) for c in chols):
        raise ModelError("init: standard deviations must be positive")
    return Initial(beta, chols, sigma)


def with_values(chol: FloatArray, sds: list[float | None], cors: list[float | None]) -> FloatArray:
    """A Cholesky factor with some standard deviations and correlations replaced.

    Raises:
        ModelError: correlations that do not form a positive definite matrix.
    """
    sd = np.sqrt(np.sum(np.square(chol), axis=1))
    correlation = (chol / sd[:, None]) @ (chol / sd[:, None]).T
    sd = np.array([own if given is None else given for own, given in zip(sd, sds, strict=True)])
    pairs = [(b, a) for a in range(len(sd)) for b in range(a + 1, len(sd))]
    for (b, a), value in zip(pairs, cors, strict=True):
        if value is not None:
            correlation[a, b] = correlation[b, a] = value
    try:
        return np.asarray(sd[:, None] * np.linalg.cholesky(correlation))
    except np.linalg.LinAlgError:
        raise ModelError("init: the correlations do not form a positive definite matrix") from None
