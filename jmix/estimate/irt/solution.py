"""A fitted item response model as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jmix.estimate.status import Status
from jmix.likelihood.irt.marginal import Integration
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IrtSolution:
    """Maximum likelihood or MAP estimates.

    Attributes:
        spec, integration: of the marginal likelihood. x: (P,) estimates. loglik: at x. log_prior: at x, 0 without
            priors. vcov: (P, P) of x, or None where it was not asked for; (P, P) with only blocks of items filled for
            se="item". se_type: "hessian", "crossprod", "sandwich", "item" or "none".
        status: the certificate. quadrature_error: log likelihood at twice the nodes less ``loglik``.
        notes: what the user must know of the data and of the estimates, each naming the item or person.
        seconds: by stage.
    """

    spec: IrtSpec
    integration: Integration
    x: FloatArray
    loglik: float
    log_prior: float
    vcov: FloatArray | None
    se_type: str
    status: Status
    quadrature_error: float
    n_evaluations: int
    n_hessians: int = 0
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
