"""The log density of a row as a function of its linear predictor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jmix.families.discrete import bernoulli, binomial, nbinom1, nbinom2, poisson
from jmix.families.names import Aux, Family
from jmix.families.ordinal import cumulative
from jmix.families.positive import beta, gamma, inverse_gaussian
from jmix.families.real import gaussian, student
from jmix.families.scale import charge, inside
from jmix.families.zero import with_zeros

Kernel = Callable[[str, Any, Any, jax.Array, Aux], jax.Array]

KERNELS: dict[str, Kernel] = {
    "gaussian": gaussian,
    "student": student,
    "bernoulli": bernoulli,
    "binomial": binomial,
    "poisson": poisson,
    "nbinom2": nbinom2,
    "nbinom1": nbinom1,
    "gamma": gamma,
    "inverse_gaussian": inverse_gaussian,
    "beta": beta,
    "cumulative": cumulative,
}


def log_density(family: Family, y: Any, size: Any, eta: Any, aux: Aux) -> jax.Array:
    """Log density of each row less ``log_constant``: the terms that depend on eta or on a parameter in ``aux``.

    ``log_density(...) + log_constant(family, y, size)`` is the complete, normalised log density. The constant is left
    out because it would be recomputed at every node and step; the likelihood adds its weighted sum once.

    The value and its derivatives in eta to the fourth are finite for |eta| up to 30 or more (700 under the logit), also
    in rows of padding (y = 0, size = 1). Outside the domain of a link (``scale.domain``) the value is that at the edge
    less ``((eta - edge) / 1e-10)^2 / 2``: a line search refuses it, its derivatives are finite.

    Args:
        family: the response family.
        y: responses, broadcastable to eta; successes for a binomial, codes 0..K-1 for a cumulative family.
        size: trials of a binomial, broadcastable to eta; ignored otherwise.
        eta: linear predictors, any shape.
        aux: the family's other parameters.
    """
    eta = jnp.asarray(eta)
    safe = inside(family.name, family.link, eta)
    kernel = KERNELS[family.name]
    value = with_zeros(family, y, safe, aux, kernel) if family.zero else kernel(family.link, y, size, safe, aux)
    return charge(family.name, family.link, eta, value)
