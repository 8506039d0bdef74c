"""Marginal likelihood of bifactor and testlet models by dimension reduction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.irt.bifactor_part import BifactorTerm, Slots
from jmix.likelihood.irt.marginal import Integration
from jmix.likelihood.irt.nodes import grid_rule
from jmix.likelihood.irt.person_marginal import PersonData, PersonMarginal
from jmix.likelihood.irt.persons import arrange
from jmix.likelihood.irt.traced import numbers_of, shape_of
from jmix.responses.data import Responses
from jmix.runtime import put
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

MOST_NODES = 201
"""Most nodes of each of the two dimensions."""


class BifactorMarginal(PersonMarginal):
    """Dimension reduction; see ``bifactor_part``."""

    def __init__(
        self, spec: IrtSpec, responses: Responses, integration: Integration, covariates: FloatArray | None
    ) -> None:
        _check(spec)
        if integration.nodes > MOST_NODES:
            raise ModelError(f"nodes={integration.nodes} is more than the {MOST_NODES} that a bifactor model takes")
        rule = grid_rule(integration, 1)
        slots = _slots(spec, rule.nodes[:, 0], rule.log_weights)
        if covariates is not None:
            centre, spread = group_moments(responses, covariates)
            slots = slots._replace(centre=centre, spread=spread)
        cells = slots.factor.size * integration.nodes**2
        persons, arrangement = arrange(spec, responses, cells, covariates, integration.chunk)
        data = put(PersonData(numbers_of(spec), persons, slots))
        super().__init__(spec, integration, BifactorTerm(shape_of(spec)), data, arrangement, responses.weights)
        self.responses, self.covariates = responses, covariates

    def finer(self) -> BifactorMarginal:
        """The same with twice the nodes of each dimension."""
        nodes = min(2 * self.integration.nodes - 1, MOST_NODES)
        finer = replace(self.integration, nodes=nodes, chunk=None)
        return BifactorMarginal(self.spec, self.responses, finer, self.covariates)


def build_bifactor(
    spec: IrtSpec, responses: Responses, integration: Integration, W: FloatArray | None = None
) -> BifactorMarginal:
    """The marginal likelihood of a model with a general factor and specific ones (``spec.specific``), whose nodes per
    dimension are ``integration.nodes``.

    Args:
        W: (N, p) covariates of the general factor.

    Raises:
        ModelError: the model is not a bifactor model, or the integration is impossible.
    """
    if (spec.regression is None) != (W is None):
        raise ModelError("covariates of persons are given if and only if the model has a latent regression")
    return BifactorMarginal(spec, responses, integration, W)


def group_moments(responses: Responses, covariates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(G, p) weighted means and (G, p, p) covariances of the covariates (N, p) by group."""
    groups, p = max(1, responses.n_groups), covariates.shape[1]
    code = np.zeros(responses.n_persons, int) if responses.group is None else responses.group
    weights = np.ones(responses.n_persons) if responses.weights is None else responses.weights
    mean, spread = np.zeros((groups, p)), np.zeros((groups, p, p))
    for g in range(groups):
        own = code == g
        if own.any():
            mean[g] = np.average(covariates[own], axis=0, weights=weights[own])
            away = covariates[own] - mean[g]
            spread[g] = (away * weights[own, None]).T @ away / weights[own].sum()
    return mean, spread


def _slots(spec: IrtSpec, z: FloatArray, log_weights: FloatArray) -> Slots:
    assert spec.specific is not None
    specific = np.where(spec.specific > 0, spec.specific, 0)
    by_block = tuple(specific[list(block.columns)] for block in spec.blocks)
    owner = np.concatenate([np.repeat(of, block.n_categories) for of, block in zip(by_block, spec.blocks, strict=True)])
    factor = np.unique(owner)
    rows = [np.flatnonzero(owner == k) for k in factor]
    features = np.full((factor.size, max(map(len, rows))), owner.size, np.int32)
    for place, row in zip(features, rows, strict=True):
        place[: row.size] = row
    return Slots(z, log_weights, factor.astype(np.int32), tuple(of.astype(np.int32) for of in by_block), features)


def _check(spec: IrtSpec) -> None:
    """Whether the structure is one that dimension reduction integrates exactly."""
    if spec.specific is None:
        raise ModelError("the model has no specific factors: give them by bifactor= or testlets=")
    if spec.cluster_sd is not None:
        raise ModelError("clusters of persons and specific factors together are not implemented: leave one out")
    zero = _fixed_at_zero(spec)
    if not zero[spec.corr].all():
        raise ModelError(
            "the factors of a bifactor model must be uncorrelated for dimension reduction: leave out their "
            'covariances, or use method="adaptive-qmc"'
        )
    if spec.regression is not None and not zero[spec.regression[:, 1:]].all():
        raise ModelError("a latent regression of a bifactor model may only be on the general factor")
    for block in spec.blocks:
        for j, column in enumerate(block.columns):
            others = [d for d in range(1, spec.n_factors) if d != spec.specific[column]]
            if not zero[block.slopes[:, j, others]].all():
                raise ModelError(
                    f"item '{spec.items[column]}' loads on more than one specific factor; a bifactor model allows the "
                    'general factor and one more: use method="adaptive" or "adaptive-qmc"'
                )


def _fixed_at_zero(spec: IrtSpec) -> Any:
    """(M,) whether a number is zero and stays so."""
    zero = spec.table.values == 0.0
    zero[spec.table.free] = False
    for part in spec.linear:
        zero[part.target] = False
    return zero
