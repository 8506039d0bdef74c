"""The normal distribution of each person's trait before the responses, at the estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jmix.estimate.irt.persons import PersonPrior
from jmix.results.irt.latent import group_moments, person_means

if TYPE_CHECKING:
    import numpy.typing as npt

    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit

    FloatArray = npt.NDArray[np.float64]


def person_prior(fit: IrtFit, responses: Responses, covariates: FloatArray | None) -> PersonPrior:
    """Means by person, of group and latent regression; covariances by group, variances between clusters included."""
    mean = person_means(fit.numbers, responses.group, responses.n_persons, covariates)
    return PersonPrior(mean, group_moments(fit.numbers)[1])
