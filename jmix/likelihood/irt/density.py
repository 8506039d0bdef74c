"""Marginal likelihood of one trait whose density is estimated: a Davidian curve, or a histogram on the nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.irt import passes
from jmix.likelihood.irt.density_part import DensityTerm, Nodes
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.likelihood.irt.person_marginal import PersonData, PersonMarginal
from jmix.likelihood.irt.persons import arrange
from jmix.likelihood.irt.traced import model_of, numbers_of, shape_of
from jmix.responses.data import Responses
from jmix.runtime import Program, put
from jmix.spec.irt.spec import IrtSpec, Table

FloatArray = npt.NDArray[np.float64]

MOST_ANGLES = 10


def with_davidian(spec: IrtSpec, order: int = 4) -> IrtSpec:
    """The model with a Davidian curve of that order for the latent density; ``angle1``, ... are its free parameters.

    Raises:
        ModelError: the order is not 1 to 10, or the model has several factors, covariates or clusters.
    """
    if not 1 <= order <= MOST_ANGLES:
        raise ModelError(f"a Davidian curve has an order of 1 to {MOST_ANGLES}, not {order}")
    _check(spec)
    table, m = spec.table, spec.table.values.size
    places = np.arange(m, m + order, dtype=np.int32)
    extended = Table(
        names=(*table.names, *(f"angle{k}" for k in range(1, order + 1))),
        values=np.concatenate([table.values, np.zeros(order)]),
        free=np.concatenate([table.free, places]).astype(np.int32),
        priors=(*table.priors, *[None] * order) if table.priors else (),
    )
    return replace(spec, table=extended, density=places)


class DensityMarginal(PersonMarginal):
    """A ``Marginal`` on a grid of one trait; see ``density_curve`` and ``density_part``.

    ``weights`` (Q,) is the histogram on the nodes, or None for that of N(0, 1); with a Davidian curve it is the normal
    density that the polynomial multiplies.
    """

    def __init__(
        self, spec: IrtSpec, responses: Responses, integration: Integration, weights: FloatArray | None = None
    ) -> None:
        _check(spec)
        if integration.method != "grid":
            raise ModelError(f'an estimated latent density needs method="grid", not "{integration.method}"')
        rule = grid_rule(_widened(integration, spec), 1)
        features = sum(block.n_categories * len(block.columns) for block in spec.blocks)
        persons, arrangement = arrange(spec, responses, features + rule.log_weights.size, None, integration.chunk)
        nodes = Nodes(rule.nodes[:, 0], rule.log_weights, spec.density)
        data = put(PersonData(numbers_of(spec), persons, nodes))
        super().__init__(spec, integration, DensityTerm(shape_of(spec)), data, arrangement, responses.weights)
        self.responses = responses
        self.histogram: FloatArray | None = None
        if weights is not None:
            self._set(weights)

    def _set(self, weights: FloatArray) -> None:
        if weights.shape != (self.integration.nodes,) or not np.all(np.isfinite(weights)) or weights.min() < 0:
            raise ModelError(f"a histogram has {self.integration.nodes} weights, none negative")
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(weights / weights.sum(), 1e-300))
        shared = self.data.shared._replace(log_weights=put(logs))
        self.data, self.histogram = replace(self.data, shared=shared), weights / weights.sum()

    def with_weights(self, weights: FloatArray) -> DensityMarginal:
        """The same with another histogram (Q,)."""
        other = object.__new__(DensityMarginal)
        other.__dict__.update(self.__dict__)
        other._set(weights)
        return other

    def counts(self, x: FloatArray) -> FloatArray:
        """(Q,) expected numbers of persons at the nodes given the responses, summed over groups."""
        return np.asarray(COUNTS(x, self.data, term=self.term))

    def density(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (Q,) of the standardised trait, and the density there, which integrates to one over them."""
        points, log_p = DENSITY(x, self.data, term=self.term)
        points, p = np.asarray(points), np.exp(np.asarray(log_p))
        return points, p / float(points[1] - points[0])

    def finer(self) -> DensityMarginal:
        """The same with twice the nodes; a histogram is interpolated."""
        finer = replace(self.integration, nodes=2 * self.integration.nodes - 1, chunk=None)
        weights = self.histogram
        if weights is not None:
            fine = np.empty(finer.nodes)
            fine[::2], fine[1::2] = weights, 0.5 * (weights[1:] + weights[:-1])
            weights = fine
        return DensityMarginal(self.spec, self.responses, finer, weights)


def build_density(
    spec: IrtSpec, responses: Responses, integration: Integration, weights: FloatArray | None = None
) -> DensityMarginal:
    """The marginal likelihood of a model of one factor, ``theta = mu_g + sd_g z``, with an estimated density of z.

    Args:
        spec: with ``density`` places, see ``with_davidian``; or without, for a histogram. weights: (nodes,) histogram
            on the nodes; None for that of the normal density.

    Raises:
        ModelError: several factors, covariates or clusters; or the integration is not a grid of equally spaced nodes.
    """
    if integration.rule != "rectangle":
        raise ModelError('an estimated latent density needs equally spaced nodes: rule="rectangle"')
    return DensityMarginal(spec, responses, integration, weights)


def _counts(term: Any, x: jax.Array, data: PersonData) -> jax.Array:
    phi = passes.prepared(term, data.numbers, x, data.shared)

    def step(carry: jax.Array, part: Any) -> tuple[jax.Array, None]:
        own = term.posterior(passes.of_group(phi, part.group), part)
        return carry + own @ part.weights, None

    return jax.lax.scan(step, jnp.zeros_like(data.shared.log_weights), data.persons)[0]


def _density(term: Any, x: jax.Array, data: PersonData) -> Any:
    return term.density(data.shared, model_of(term.items, data.numbers, x).angles)


COUNTS = Program(lambda x, data, term: _counts(term, x, data), static=("term",))
DENSITY = Program(lambda x, data, term: _density(term, x, data), static=("term",))


def _widened(integration: Integration, spec: IrtSpec) -> Integration:
    """Nodes as close as asked for, out to where the square of the curve's polynomial no longer matters."""
    if spec.density is None:
        return integration
    limit = integration.limit + 0.5 * spec.density.size
    return replace(integration, limit=limit, nodes=int(np.ceil(integration.nodes * limit / integration.limit)) | 1)


def _check(spec: IrtSpec) -> None:
    if spec.n_factors > 1 or spec.regression is not None or spec.cluster_sd is not None:
        raise ModelError(
            "the latent density can be estimated for one factor without covariates or clusters of persons; "
            'use density="normal" here'
        )
