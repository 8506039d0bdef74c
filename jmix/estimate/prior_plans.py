"""Priors made ready for programs: what of them is static, and what are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.estimate.coordinates import ScalarPlan, TermPlan, correlation_coordinates, scalar
from jmix.spec.prior_sets import CoefficientPriors, TermPrior
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CoefficientPlan:
    """The static part of the priors of the coefficients of a linear predictor.

    Attributes:
        p: how many. groups: which coefficients share which prior. centred: whether the centred intercept has one.
        direct: whether coefficients are coordinates themselves because some have bounds, rather than whitened.
    """

    p: int
    groups: tuple[tuple[tuple[int, ...], ScalarPlan], ...]
    centred: ScalarPlan | None
    direct: bool


@dataclass(frozen=True)
class Basis:
    """Coordinates in which coefficients are uncorrelated and of unit scale: ``beta = centre + inverse z``.

    Attributes:
        centre: (p,). inverse: (p, p).
    """

    centre: FloatArray
    inverse: FloatArray

    @property
    def spread(self) -> FloatArray:
        """(p,) scale of each coefficient."""
        return np.asarray(np.sqrt(np.sum(np.square(self.inverse), axis=1)))

    def arrays(self, own: CoefficientPriors) -> dict[str, FloatArray]:
        """For ``coefficients``."""
        p = self.centre.size
        return {
            "middle": self.centre,
            "inverse": self.inverse,
            "forward": np.asarray(np.linalg.inv(self.inverse)) if p else self.inverse,
            "spread": self.spread,
            "centre": np.zeros(p) if own.centre is None else own.centre,
        }

    def coordinates(self, own: CoefficientPriors, beta: FloatArray) -> list[float]:
        """Z of given coefficients; those outside the support of their prior are moved inside."""
        if not beta.size:
            return []
        if all(c.kind == "real" for c in own.coefficients):
            return [float(v) for v in np.linalg.solve(self.inverse, beta - self.centre)]
        scaled = (beta - self.centre) / self.spread
        pairs = zip(own.coefficients, beta, scaled, strict=True)
        return [float(z) if c.kind == "real" else c.unconstrain(float(b)) for c, b, z in pairs]


def coefficient_plan(own: CoefficientPriors) -> CoefficientPlan:
    """The static part."""
    return CoefficientPlan(
        p=len(own.coefficients),
        groups=tuple((index, scalar_plan(prior)) for index, prior in _shared(own.coefficients)),
        centred=None if own.centred is None else scalar_plan(own.centred),
        direct=any(c.kind != "real" for c in own.coefficients),
    )


def coefficient_values(own: CoefficientPriors) -> dict[str, Any]:
    """The numbers of the priors."""
    return {
        "coefficients": [scalar_values(prior) for _, prior in _shared(own.coefficients)],
        "centred": None if own.centred is None else scalar_values(own.centred),
    }


def coefficients(
    z: jax.Array, plan: CoefficientPlan, basis: Any, priors: Any
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Coefficients, their whitened coordinates, log prior and log Jacobian.

    Args:
        basis: ``Basis.arrays``. priors: ``coefficient_values``.
    """
    zero = jnp.zeros(())
    if not plan.p:
        return z, z, zero, zero
    if not plan.direct:
        beta, gamma = basis["middle"] + basis["inverse"] @ z, z
    log_prior, jacobian = zero, zero
    pieces = []
    for (index, own), values in zip(plan.groups, priors["coefficients"], strict=True):
        at = np.array(index)
        if plan.direct:
            spread = jnp.where(own.kind == "real", basis["spread"][at], 1.0)
            shift = jnp.where(own.kind == "real", basis["middle"][at], 0.0)
            value, lp, lj = scalar(shift + spread * z[at], own, values)
            pieces.append((at, value))
            log_prior, jacobian = log_prior + jnp.sum(lp), jacobian + jnp.sum(lj)
        elif not own.flat:
            log_prior += jnp.sum(own.log_prob(beta[at], values))
    if plan.direct:
        order = np.argsort(np.concatenate([at for at, _ in pieces]))
        beta = jnp.concatenate([value for _, value in pieces])[order]
        gamma = basis["forward"] @ (beta - basis["middle"])
    if plan.centred is not None and not plan.centred.flat:
        log_prior += plan.centred.log_prob(basis["centre"] @ beta, priors["centred"])
    return beta, gamma, log_prior, jacobian


def _shared(coefficients: Sequence[ScalarPrior]) -> list[tuple[tuple[int, ...], ScalarPrior]]:
    """Coefficients gathered by the prior that they share."""
    found: dict[int, list[int]] = {}
    for i, own in enumerate(coefficients):
        found.setdefault(id(None) if own.prior.flat else id(own.prior), []).append(i)
    return [(tuple(index), coefficients[index[0]]) for index in found.values()]


# --- scalars and terms ------------------------------------------------------------------------------------------------
def scalar_plan(own: ScalarPrior) -> ScalarPlan:
    """The static part of one prior."""
    kind = type(own.prior.distribution)
    arguments = _arguments(own.prior.distribution)
    return ScalarPlan(own.kind, own.on, own.prior.flat, kind if arguments else None, arguments)


def _arguments(distribution: Any) -> tuple[str, ...]:
    """The arguments from which a distribution can be built anew, in a fixed order; none where that is not certain.

    The order of a NumPyro distribution's leaves as a pytree changes from process to process, and with it the key of the
    compilation cache.
    """
    names = tuple(sorted(getattr(distribution, "arg_constraints", {})))
    plain = type(distribution).__module__.startswith("numpyro.distributions.continuous")
    return names if plain and all(np.ndim(getattr(distribution, name, [0])) == 0 for name in names) else ()


def scalar_values(own: ScalarPrior) -> Any:
    """The numbers of one prior; NumPyro distributions are pytrees themselves."""
    low, high = (np.float64(v if np.isfinite(v) else 0.0) for v in (own.low, own.high))
    held, names = own.prior.distribution, _arguments(own.prior.distribution)
    if names:
        numbers = tuple(np.float64(getattr(held, name)) for name in names)
        return {"distribution": numbers, "low": low, "high": high}
    whole = jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float64), held)
    return {"distribution": whole, "low": low, "high": high}


def term_plan(own: TermPrior) -> TermPlan:
    """The static part of the priors of a random term."""
    matrix = "" if own.matrix is None else "inverse" if own.matrix.inverse else "wishart"
    return TermPlan(len(own.sds), tuple(scalar_plan(s) for s in own.sds), matrix)


def term_values(own: TermPrior) -> Any:
    """The numbers of the priors of a random term."""
    out: dict[str, Any] = {"sds": [scalar_values(s) for s in own.sds], "concentration": np.float64(own.concentration)}
    if own.matrix is not None:
        out |= {"df": np.float64(own.matrix.df), "matrix": own.matrix.matrix}
    return out


def term_coordinates(own: TermPrior, chol: FloatArray, least: float) -> list[float]:
    """Z of a term's Cholesky factor; standard deviations below ``least`` are raised to it."""
    sd = np.sqrt(np.maximum(np.sum(np.square(chol), axis=1), least**2))
    scalars = [prior.unconstrain(float(s)) for prior, s in zip(own.sds, sd, strict=True)]
    return scalars + correlation_coordinates(chol / sd[:, None], len(sd))
