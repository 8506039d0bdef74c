"""Response families and links: names, log densities for JAX, and their NumPy side for results.

Importing this package loads neither jax nor scipy; each name is fetched from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jmix.families.names import Aux, Family, resolve_family

if TYPE_CHECKING:
    from jmix.families.constants import log_constant
    from jmix.families.density import log_density
    from jmix.families.deviance import deviance_units
    from jmix.families.distribution import cdf, cdf_below
    from jmix.families.links import inverse_link, link_derivative, link_function
    from jmix.families.moments import category_probabilities, mean, variance
    from jmix.families.response import check_response, start_dispersion, start_eta, start_mean
    from jmix.families.sampling import sample

_HOME = {
    "log_density": "density",
    "log_constant": "constants",
    "inverse_link": "links",
    "link_function": "links",
    "link_derivative": "links",
    "mean": "moments",
    "variance": "moments",
    "category_probabilities": "moments",
    "cdf": "distribution",
    "cdf_below": "distribution",
    "deviance_units": "deviance",
    "sample": "sampling",
    "check_response": "response",
    "start_mean": "response",
    "start_eta": "response",
    "start_dispersion": "response",
}

__all__ = [
    "Aux",
    "Family",
    "category_probabilities",
    "cdf",
    "cdf_below",
    "check_response",
    "deviance_units",
    "inverse_link",
    "link_derivative",
    "link_function",
    "log_constant",
    "log_density",
    "mean",
    "resolve_family",
    "sample",
    "start_dispersion",
    "start_eta",
    "start_mean",
    "variance",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
