"""The log prior density of an item response model, and where its parameters may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.spec.irt.spec import IrtSpec, full_vector
from jmix.spec.prior import Lkj, Prior

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EntryPrior:
    """A prior of one entry of ``Table``.

    Attributes:
        prior: the distribution. probability: it is that of the probability whose logit stands in the table.
    """

    prior: Prior
    probability: bool = False

    def __repr__(self) -> str:
        return repr(self.prior)


def log_prior(xp: Any, spec: IrtSpec, x: Any, *, jacobian: bool = False) -> Any:
    """Log prior density at free parameters x (P,), the terms of all entries summed; a scalar.

    Each prior is a density of the quantity that it describes: the number itself, a standard deviation's precision or
    variance, an asymptote's probability. An LKJ prior is up to its constant.

    Args:
        xp: ``jax.numpy``, differentiable, inside ``runtime.float64``; or ``numpy``, which gives a float.
        jacobian: the density of the table's own numbers instead, as sampling in x needs it.
    """
    if not any(spec.table.priors):
        return 0.0 if xp is np else xp.zeros(())
    if xp is np:
        import jax.numpy as jnp

        with runtime.float64():
            return float(_log_prior(jnp, spec, jnp.asarray(x, dtype=jnp.float64), jacobian))
    return _log_prior(xp, spec, x, jacobian)


def _log_prior(xp: Any, spec: IrtSpec, x: Any, jacobian: bool) -> Any:
    v = full_vector(xp, spec, x)
    total = xp.zeros((), v.dtype)
    for prior, probability, places in _classes(spec):
        if isinstance(prior.distribution, Lkj):
            total = total + _lkj(xp, spec, v, prior.distribution.concentration)
        else:
            value = v[places]
            term, change = _on_scale(xp, prior, probability, value)
            total = total + xp.sum(prior.distribution.log_prob(term))
            if jacobian:
                total = total + xp.sum(change)
    return total


def _classes(spec: IrtSpec) -> list[tuple[Prior, bool, npt.NDArray[np.int64]]]:
    """Entries that are estimated, or computed from such, by their prior; flat ones left out."""
    live = np.zeros(len(spec.table.names), dtype=np.bool_)
    live[spec.table.free] = True
    for part in spec.linear:
        live[part.target] = True
    found: dict[tuple[int, bool], tuple[Prior, list[int]]] = {}
    for place, entry in enumerate(spec.table.priors):
        if entry is not None and live[place] and not entry.prior.flat:
            found.setdefault((id(entry.prior), entry.probability), (entry.prior, []))[1].append(place)
    return [(prior, key[1], np.array(places)) for key, (prior, places) in found.items()]


def _on_scale(xp: Any, prior: Prior, probability: bool, value: Any) -> tuple[Any, Any]:
    """What the prior describes, and the log of its derivative with respect to the number in the table."""
    if probability:
        import jax

        log_p, log_q = jax.nn.log_sigmoid(value), jax.nn.log_sigmoid(-value)
        return xp.exp(log_p), log_p + log_q
    if prior.on == "precision":
        return value**-2.0, np.log(2.0) - 3.0 * xp.log(xp.abs(value))
    if prior.on == "variance":
        return value**2.0, np.log(2.0) + xp.log(xp.abs(value))
    return value, xp.zeros_like(value)


def _lkj(xp: Any, spec: IrtSpec, v: Any, concentration: float) -> Any:
    """``(eta - 1) log |R|`` of each group, equal ones counted once (Lewandowski, Kurowicka & Joe 2009)."""
    from jmix.spec.irt.spec import correlation_chol

    _, first = np.unique(spec.corr, axis=0, return_index=True)
    chol = correlation_chol(xp, v[spec.corr[np.sort(first)]], spec.n_factors)
    return 2.0 * (concentration - 1.0) * xp.sum(xp.log(xp.diagonal(chol, axis1=1, axis2=2)))


def support(spec: IrtSpec) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bound (P,) of each free parameter: of its kind, and of its prior."""
    from jmix.spec.supports import bounds

    low = np.full(len(spec.table.names), -np.inf)
    high = np.full(len(spec.table.names), np.inf)
    low[spec.sd] = 0.0
    if spec.cluster_sd is not None:
        low[spec.cluster_sd] = 0.0
    if spec.corr.size:
        low[spec.corr], high[spec.corr] = -1.0, 1.0
    for prior, probability, places in _classes(spec):
        if isinstance(prior.distribution, Lkj) or prior.on != "value":
            continue
        with runtime.float64():
            start, end = bounds(prior.distribution, spec.table.names[places[0]])
        start = max(start, prior.least)
        if probability:
            start, end = _logit(max(start, 0.0)), _logit(min(end, 1.0))
        low[places], high[places] = np.maximum(low[places], start), np.minimum(high[places], end)
    return low[spec.table.free], high[spec.table.free]


def _logit(p: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(p) - np.log1p(-p))
