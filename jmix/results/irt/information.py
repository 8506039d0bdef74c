"""Item and test information, standard errors of measurement, reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.irt.items import group_number

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

GRID = np.linspace(-4.0, 4.0, 81)
"""Trait values of a single factor where none are given."""


def theta_values(fit: IrtFit, theta: Any) -> FloatArray:
    """(Q, D) trait values; of one factor also a single number or (Q,).

    Raises:
        ModelError: another number of columns, or values that are not finite.
    """
    d = fit.spec.n_factors
    if theta is None:
        if d > 1:
            raise ModelError(f"the model has {d} factors: give theta as an array with {d} columns")
        return GRID[:, None]
    values = np.asarray(theta, dtype=np.float64)
    values = values.reshape(-1, 1) if d == 1 else np.atleast_2d(values)
    if values.ndim != 2 or values.shape[1] != d:
        raise ModelError(f"theta of shape {np.shape(theta)}: give one column for each of the {d} factors")
    if not np.isfinite(values).all():
        raise ModelError("theta must be finite")
    return values


def direction_vector(fit: IrtFit, direction: Any) -> FloatArray | None:
    """(D,) unit vector from cosines or from angles in degrees; None for one factor.

    Raises:
        ModelError: several factors without a direction, or a direction without length.
    """
    d = fit.spec.n_factors
    if d == 1:
        return None
    if direction is None:
        example = [1] + [0] * (d - 1)
        raise ModelError(f"the model has {d} factors: give the direction of the information, such as {example}")
    vector = np.asarray(direction, dtype=np.float64)
    if vector.shape != (d,) or not np.isfinite(vector).all() or not np.any(vector):
        raise ModelError(f"direction={direction!r}: give {d} numbers that are not all zero")
    return vector / np.linalg.norm(vector)


def information(fit: IrtFit, theta: Any, direction: Any, group: str | None) -> pd.DataFrame:
    """See ``IrtFit.information``."""
    values = theta_values(fit, theta)
    vector = direction_vector(fit, direction)
    bank = fit.bank(group)
    items = bank.information(values) if vector is None else bank.information(values, vector)
    frame = pd.DataFrame(np.asarray(items).T, columns=list(fit.spec.items), index=_index(fit, values))
    total = frame.to_numpy().sum(axis=1)
    frame["test"] = total
    with np.errstate(divide="ignore"):
        frame["se"] = 1.0 / np.sqrt(total)
    return frame


def _index(fit: IrtFit, values: FloatArray) -> pd.Index:
    if values.shape[1] == 1:
        return pd.Index(values[:, 0], name="theta")
    return pd.MultiIndex.from_arrays(list(values.T), names=list(fit.spec.factors))


def expected_scores(fit: IrtFit, theta: Any, group: str | None) -> pd.DataFrame:
    """Expected score of each item and of the test, the test characteristic curve, at values of theta."""
    values = theta_values(fit, theta)
    expected = np.asarray(fit.bank(group).expected(values)).T
    frame = pd.DataFrame(expected, columns=list(fit.spec.items), index=_index(fit, values))
    frame["test"] = expected.sum(axis=1)
    return frame


# --- reliability ----------------------------------------------------------------------------------------------------
def marginal_reliability(fit: IrtFit, group: str | None) -> float:
    """See ``IrtFit.reliability``."""
    from jmix.results.irt.sumscore import group_grid

    if fit.spec.n_factors > 1:
        raise ModelError("marginal reliability is for one factor; use fit.reliability('empirical')")
    g = 0 if group is None else group_number(fit.spec, group)
    grid = group_grid(fit, g)
    trait = grid.theta[:, 0]
    variance = float(grid.mean((trait - grid.mean(trait)) ** 2))
    total = np.asarray(fit.bank(fit.spec.groups[g]).information(grid.theta)).sum(axis=0)
    return float(grid.mean(total / (total + 1.0 / variance)))


def empirical_reliability(fit: IrtFit) -> pd.Series:
    """(D,) variance of the EAP estimates over that variance plus the mean posterior variance."""
    found, weights = fit.posterior_moments, fit.responses.weights
    mean = np.average(found.mean, axis=0, weights=weights)
    between = np.average((found.mean - mean) ** 2, axis=0, weights=weights)
    n = fit.responses.n_persons if weights is None else float(weights.sum())
    between = between * n / (n - 1.0)
    within = np.average(np.einsum("ndd->nd", found.covariance), axis=0, weights=weights)
    return pd.Series(between / (between + within), index=list(fit.spec.factors), name="reliability")


def reliability(fit: IrtFit, type: str, group: str | None) -> Any:
    """See ``IrtFit.reliability``."""
    if type == "marginal":
        return marginal_reliability(fit, group)
    if type == "empirical":
        return empirical_reliability(fit)
    raise ModelError(f"type={type!r}: choose 'marginal' or 'empirical'")
