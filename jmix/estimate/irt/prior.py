"""The log prior of the free parameters with its derivatives, in one small program for all models.

It is a density of the natural parameters: standard deviations, even where the prior describes a precision or variance,
and asymptotes as probabilities. Its maximum with the likelihood is therefore that of the mixed models' MAP.

Priors lie on single numbers of the specification, so that the log prior is a sum of functions of one number each, and
those numbers are affine in the free parameters: the program gives value, first and second derivative of every term.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.spec.irt.priors import log_prior, support
from jmix.spec.irt.spec import IrtSpec, full_vector
from jmix.spec.prior import Lkj, Prior
from jmix.spec.supports import ScalarPrior

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Term:
    """Several numbers under priors of one shape.

    Attributes:
        plan: a ``ScalarPlan``. scale: "value", or "probability" for numbers on the logit scale whose prior is a density
            of the probability.
    """

    plan: Any
    scale: str


def _term_values(v: Any, values: Any, term: Term) -> Any:
    """(n,) log densities of numbers v."""
    import jax
    import jax.numpy as jnp

    own = jax.nn.sigmoid(v) if term.scale == "probability" else v
    if term.plan.on != "value":
        own = own**-2.0 if term.plan.on == "precision" else own**2
    change = jnp.zeros_like(v) if term.plan.on == "value" else _change(v, term.plan.on)
    return term.plan.log_prob(own, values) + change


def _change(v: Any, on: str) -> Any:
    import jax.numpy as jnp

    return jnp.log(2.0) + (-3.0 if on == "precision" else 1.0) * jnp.log(v)


def _derivatives(parts: Any, terms: tuple[Term, ...]) -> Any:
    """For each term value, first and second derivative, (n,) each."""
    import jax
    import jax.numpy as jnp

    out = []
    for (v, values), term in zip(parts, terms, strict=True):

        def total(v: Any, values: Any = values, term: Term = term) -> Any:
            return jnp.sum(_term_values(v, values, term))

        slope = jax.grad(total)
        first, second = jax.jvp(slope, (v,), (jnp.ones_like(v),))
        out.append((_term_values(v, values, term), first, second))
    return out


DERIVATIVES = runtime.Program(_derivatives, static=("terms",))


@dataclass(eq=False)
class PriorDensity:
    """The log prior of a specification.

    Attributes:
        places: for each term the places in v of its numbers. values: the numbers of their distributions. low, high:
            (M,) support of each number on its prior's scale.
    """

    spec: IrtSpec
    terms: tuple[Term, ...]
    places: tuple[npt.NDArray[np.int64], ...]
    values: tuple[Any, ...]
    scalars: tuple[ScalarPrior, ...]
    matrix: FloatArray | None = field(default=None)

    def evaluate(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log prior, gradient (P,) and Hessian (P, P); -inf outside the support."""
        v = full_vector(np, self.spec, x)
        gradient, curvature, total = np.zeros(v.size), np.zeros(v.size), 0.0
        if not self._inside(v):
            return -np.inf, np.zeros(x.size), np.zeros((x.size, x.size))
        parts = tuple((v[at], values) for at, values in zip(self.places, self.values, strict=True))
        found = DERIVATIVES(parts, terms=self.terms)
        for at, (value, first, second) in zip(self.places, found, strict=True):
            total += float(np.sum(np.asarray(value)))
            np.add.at(gradient, at, np.asarray(first))
            np.add.at(curvature, at, np.asarray(second))
        if self.matrix is None:
            free = self.spec.table.free
            return total, gradient[free], np.diag(curvature[free])
        return total, self.matrix.T @ gradient, self.matrix.T @ (curvature[:, None] * self.matrix)

    def _inside(self, v: FloatArray) -> bool:
        for term, at, own in zip(self.terms, self.places, self.scalars, strict=True):
            value = 1.0 / (1.0 + np.exp(-v[at])) if term.scale == "probability" else v[at]
            if term.plan.on != "value":
                value = np.where(value > 0, value, np.nan)
                value = value**-2.0 if term.plan.on == "precision" else value**2
            if not np.all((value >= own.low) & (value <= own.high)):
                return False
        return True


class GeneralPrior:
    """The log prior by automatic differentiation, for priors of several numbers together; a program a specification."""

    def __init__(self, spec: IrtSpec) -> None:
        self._spec = spec
        entries, moving = spec.table.priors, moving_numbers(spec)
        told = [
            i for i, e in enumerate(entries) if e is not None and e.probability and i in moving and not e.prior.flat
        ]
        self._asymptotes = np.array(told, dtype=np.int64)
        self._program = runtime.Program(self._all)

    def _all(self, x: Any) -> Any:
        import jax
        import jax.numpy as jnp

        def value(x: Any) -> Any:
            change: Any = 0.0
            if self._asymptotes.size:
                v = full_vector(jnp, self._spec, x)[self._asymptotes]
                change = jnp.sum(jax.nn.log_sigmoid(v) + jax.nn.log_sigmoid(-v))
            return log_prior(jnp, self._spec, x, jacobian=True) - change

        return value(x), jax.grad(value)(x), jax.hessian(value)(x)

    def evaluate(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log prior, gradient (P,) and Hessian (P, P); -inf outside the support."""
        low, high = support(self._spec)
        if np.any((x < low) | (x > high)):
            return -np.inf, np.zeros(x.size), np.zeros((x.size, x.size))
        value, gradient, hessian = self._program(x)
        value = float(value)
        return value if np.isfinite(value) else -np.inf, np.asarray(gradient), np.asarray(hessian)


def prior_density(spec: IrtSpec) -> PriorDensity | GeneralPrior | None:
    """The log prior of a model, or None where no number that can move has one.

    Raises:
        ModelError: a prior that does not suit its parameter.
    """
    moving = moving_numbers(spec)
    at = [i for i, own in enumerate(spec.table.priors) if own is not None and not own.prior.flat and i in moving]
    if not at:
        return None
    if any(isinstance(spec.table.priors[i].prior.distribution, Lkj) for i in at):
        return GeneralPrior(spec)
    groups: dict[Any, list[int]] = {}
    for i in at:
        entry = spec.table.priors[i]
        groups.setdefault((id(entry.prior), entry.probability, quantity(spec, i)), []).append(i)
    return _gather(spec, list(groups.values()))


def _gather(spec: IrtSpec, groups: list[list[int]]) -> PriorDensity:
    from jmix.estimate.irt.information import jacobian
    from jmix.estimate.prior_plans import scalar_plan, scalar_values

    firsts = [scalar_prior(spec, group[0]) for group in groups]
    kinds = ["probability" if spec.table.priors[group[0]].probability else "value" for group in groups]
    return PriorDensity(
        spec,
        terms=tuple(Term(scalar_plan(own), kind) for own, kind in zip(firsts, kinds, strict=True)),
        places=tuple(np.array(group) for group in groups),
        values=tuple(scalar_values(own) for own in firsts),
        scalars=tuple(firsts),
        matrix=jacobian(spec) if spec.linear else None,
    )


def moving_numbers(spec: IrtSpec) -> set[int]:
    """Places in v of what depends on the free parameters."""
    found = {int(i) for i in spec.table.free}
    for part in spec.linear:
        found |= {int(i) for i in part.target}
    return found


def quantity(spec: IrtSpec, place: int) -> str:
    """What the table has at a place: "positive", "correlation" or "real"; asymptotes are logits."""
    if np.any(spec.sd == place) or (spec.cluster_sd is not None and np.any(spec.cluster_sd == place)):
        return "positive"
    return "correlation" if np.any(spec.corr == place) else "real"


def scalar_prior(spec: IrtSpec, place: int) -> ScalarPrior:
    """The prior of the number at a place with its support; the whole line where it has none.

    Raises:
        ModelError: a prior that does not suit its parameter.
    """
    from jmix.spec.supports import positive_prior, real_prior, unit_prior

    entry = spec.table.priors[place] if spec.table.priors else None
    name, kind = spec.table.names[place], quantity(spec, place)
    own = Prior(None) if entry is None or isinstance(entry.prior.distribution, Lkj) else entry.prior
    if kind == "correlation":
        bound = real_prior(own, name)
        return replace(bound, low=max(bound.low, -1.0), high=min(bound.high, 1.0))
    if entry is not None and entry.probability:
        return unit_prior(own, name)
    if kind == "positive":
        return positive_prior(own, name)
    return real_prior(own, name)
