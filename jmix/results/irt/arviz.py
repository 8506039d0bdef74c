"""A fit as ArviZ reads it: draws from the normal approximation of the estimates' distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.errors import JmixError, ModelError

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit


def to_arviz(fit: IrtFit, draws: int, seed: int) -> Any:
    """See ``IrtFit.to_arviz``."""
    try:
        import arviz
    except ImportError as error:
        raise JmixError("to_arviz() needs ArviZ: pip install 'jmix[plots]'") from error
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise ModelError(f"draws={draws!r} must be a positive whole number")
    values = _draws(fit, int(draws), seed)
    from xarray import Dataset

    table = fit.responses.table
    names = [name.replace("/", "÷") for name in fit.numbers.names]
    posterior = {name: (("chain", "draw"), values[None, :, i]) for i, name in enumerate(names)}
    coords: dict[str, Any] = {"chain": [0], "draw": np.arange(draws)}
    attributes = {"inference_library": "jmix", "approximation": "normal, at the estimates"}
    sets = {"posterior": Dataset(posterior, coords=coords, attrs=attributes)}
    if table is not None:
        coords = {"person": np.array([str(p) for p in fit.responses.persons]), "item": list(fit.responses.items)}
        sets["observed_data"] = Dataset({"response": (("person", "item"), table)}, coords=coords)
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.InferenceData(**sets)  # type: ignore[arg-type]
    from xarray import DataTree

    return DataTree.from_dict(sets)


def _draws(fit: IrtFit, n: int, seed: int) -> Any:
    """(n, P) reported parameters: normal draws on the scale of the specification, asymptotes mapped afterwards."""
    from scipy.special import expit

    vcov = fit.vcov().to_numpy()
    if not np.isfinite(vcov).all():
        raise ModelError("to_arviz(): some parameters are not identified and have infinite variances; see fit.notes")
    values, vectors = np.linalg.eigh(vcov)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    x = fit.solution.x + np.random.default_rng(seed).standard_normal((n, len(values))) @ root.T
    return np.where(fit.numbers.logit[fit.spec.table.free], expit(x), x)
