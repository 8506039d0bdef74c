"""The front door of the marginal likelihoods: one function for every structure and way of integrating."""

from __future__ import annotations

import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec


def build_marginal(
    spec: IrtSpec, responses: Responses, integration: Integration | None = None, W: FloatArray | None = None
) -> Marginal:
    """The marginal likelihood of a model for a data set.

    Args:
        spec: the model. responses: the data. integration: how the latent trait is integrated out; None chooses.
        W: (N, p) model matrix of the persons where the specification has a latent regression.

    Raises:
        ModelError: the integration is not one that the model allows, or W does not fit the model.
    """
    if integration is None:
        from jmix.likelihood.irt.choose import choose_integration

        integration = choose_integration(spec, responses)
    _check(spec, responses, integration, W)
    if spec.cluster_sd is not None:
        from jmix.likelihood.irt.clustered import build_clustered

        return build_clustered(spec, responses, integration, W)
    if spec.specific is not None and integration.method == "grid":
        from jmix.likelihood.irt.bifactor import build_bifactor

        return build_bifactor(spec, responses, integration, W)
    if integration.method in ("adaptive", "adaptive-qmc", "qmc"):
        from jmix.likelihood.irt.adaptive import build_adaptive

        return build_adaptive(spec, responses, integration, W)
    if integration.method != "grid":
        raise ModelError(
            f'integration method "{integration.method}" does not exist: use "grid", "adaptive", "qmc" or "adaptive-qmc"'
        )
    if responses.long is not None:
        from jmix.likelihood.irt.sparse import build_sparse

        return build_sparse(spec, responses, integration, W)
    from jmix.likelihood.irt.grid_build import build_grid

    return build_grid(spec, responses, integration, W)


def _check(spec: IrtSpec, responses: Responses, integration: Integration, w: FloatArray | None) -> None:
    if integration.precision not in ("float64", "float32"):
        raise ModelError(f'precision="{integration.precision}" does not exist: use "float64" or "float32"')
    if integration.chunk is not None and integration.chunk < 1:
        raise ModelError(f"a chunk of {integration.chunk} persons is impossible: use 1 or more, or None")
    if (w is None) != (spec.regression is None):
        raise ModelError("a latent regression needs the persons' model matrix W, and W a latent regression")
    if w is None or spec.regression is None:
        return
    wanted = (responses.n_persons, spec.regression.shape[0])
    if np.shape(w) != wanted:
        raise ModelError(f"the model matrix of the persons has shape {np.shape(w)}; the model needs {wanted}")
    if not np.all(np.isfinite(w)):
        raise ModelError("the model matrix of the persons has missing or infinite values: leave these persons out")
