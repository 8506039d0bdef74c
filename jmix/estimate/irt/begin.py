"""Where a fit begins: of very many persons, at the maximum for some of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.search import MOST
from jmix.estimate.irt.stream_stages import two_stage_start
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

PERSONS = 300_000
"""Persons beyond which a fit begins with one of a part of them."""

COLLAPSED = {"Rasch", "1PL", "PCM", "rsm"}
"""Item types of which sum scores hold everything: all persons cost no more than some."""


def begin(
    responses: Responses, spec: IrtSpec, x: FloatArray, integration: Integration, W: FloatArray | None
) -> tuple[FloatArray, FloatArray | None]:
    """Start (P,), and the negative Hessian (P, P) there if it is known."""
    table = responses.table
    many = table is not None and len(table) > PERSONS and spec.n_factors == 1 and x.size <= MOST
    if not many or set(spec.itemtypes) <= COLLAPSED or spec.cluster_sd is not None:
        return x, None
    x, hessian = two_stage_start(responses, spec, x, integration=integration, W=W)
    return x, -hessian
