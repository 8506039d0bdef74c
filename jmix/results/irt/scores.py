"""Estimates of the traits of persons, with standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.irt.population import person_prior

if TYPE_CHECKING:
    from jmix.likelihood.irt.marginal import Moments
    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

METHODS = ("EAP", "MAP", "ML", "WLE", "EAPsum", "plausible")


def scores(
    fit: IrtFit,
    method: str,
    responses: Responses | None,
    covariates: FloatArray | None,
    n: int,
    seed: int,
    rotate: str | None = None,
) -> pd.DataFrame:
    """See ``IrtFit.scores``; new responses aligned, with their person model matrix (N, p)."""
    name = {known.lower(): known for known in METHODS}.get(str(method).lower())
    if name is None:
        raise ModelError(f"method={method!r}: choose one of {', '.join(map(repr, METHODS))}")
    turn = None if rotate is None else fit.rotate(rotate).matrix
    data = fit.responses if responses is None else responses
    if name == "plausible":
        from jmix.results.irt.plausible import plausible_values

        return plausible_values(fit, responses, covariates, n, seed, turn)
    if name == "EAPsum":
        from jmix.results.irt.sumscore import sum_score_estimates

        return _frame(fit, data, *turned(*sum_score_estimates(fit, data), turn))
    start = moments(fit, responses, covariates)
    if name == "EAP":
        return _frame(fit, data, *turned(*start, turn))
    return _by_likelihood(fit, data, fit.covariates if responses is None else covariates, name, start, turn)


def turned(theta: FloatArray, covariance: FloatArray, turn: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Estimates (N, D) of ``turn' theta`` and their standard errors from covariances (N, D, D)."""
    if turn is not None:
        theta, covariance = theta @ turn, np.einsum("de,ndf,fg->neg", turn, covariance, turn)
    return theta, np.sqrt(np.maximum(np.einsum("ndd->nd", covariance), 0.0))


def moments(fit: IrtFit, responses: Responses | None = None, covariates: FloatArray | None = None) -> Moments:
    """Mean and covariance of theta given the responses, of the data of the fit or of new ones."""
    if responses is None:
        return fit.posterior_moments
    from jmix.results.irt.rebuild import histogram_of, rebuilt

    if fit.spec.regression is not None and covariates is None:
        raise DataError(
            "the model has a latent regression: give the new persons' covariates with data=, a table with a row each"
        )
    histogram = histogram_of(fit.marginal)
    new = rebuilt(fit.spec, responses, fit.solution.integration, covariates, histogram)
    return new.moments(fit.solution.x)


def _by_likelihood(
    fit: IrtFit,
    data: Responses,
    covariates: FloatArray | None,
    method: str,
    start: Moments,
    turn: FloatArray | None,
) -> pd.DataFrame:
    from jmix.estimate.irt.persons import estimate_persons

    prior = person_prior(fit, data, covariates)
    found = estimate_persons(fit.spec, fit.solution.x, data, prior, start.mean, method)
    estimates, information = found.theta, found.information
    if turn is not None:
        back = np.linalg.inv(turn)
        estimates, information = estimates @ turn, np.einsum("de,nef,gf->ndg", back, information, back)
    frame = _frame(fit, data, estimates, standard_errors(information, estimates))
    infinite = int(np.isinf(found.theta).any(axis=1).sum())
    if infinite:
        frame.attrs["notes"] = (
            f"{infinite} persons have no finite maximum likelihood estimate, as those with all responses in the lowest "
            "or highest category: use 'WLE', 'EAP' or 'MAP' for finite ones",
        )
    return frame


def standard_errors(information: FloatArray, theta: FloatArray) -> FloatArray:
    """(N, D) roots of the diagonal of the inverse; infinite without information, NaN where theta is."""
    out = np.full(theta.shape, np.inf)
    good = np.isfinite(theta).all(axis=1)
    for i in np.flatnonzero(np.isfinite(theta).any(axis=1) & ~good):
        some = np.isfinite(theta[i])
        out[i, some] = np.sqrt(np.diag(np.linalg.inv(information[i][np.ix_(some, some)])))
    if theta.shape[1] == 1:
        good &= information[:, 0, 0] > 0
        out[good, 0] = 1.0 / np.sqrt(information[good, 0, 0])
    else:
        good &= np.linalg.eigvalsh(information)[:, 0] > 0
        out[good] = np.sqrt(np.einsum("ndd->nd", np.linalg.inv(information[good])))
    out[np.isnan(theta)] = np.nan
    return out


def _frame(fit: IrtFit, data: Responses, theta: FloatArray, se: FloatArray) -> pd.DataFrame:
    names = list(fit.spec.factors)
    columns: dict[str, Any] = {name: theta[:, d] for d, name in enumerate(names)}
    columns |= {f"se_{name}": se[:, d] for d, name in enumerate(names)}
    return pd.DataFrame(columns, index=data.persons)
