"""Build the grid likelihood of a table of responses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from jmix.likelihood.irt.grid_marginal import GridMarginal
from jmix.likelihood.irt.kernel import RUN
from jmix.likelihood.irt.layout import GridData, ItemBlock, Plan, Rows, numbers_of
from jmix.likelihood.irt.marginal import FloatArray, Integration
from jmix.likelihood.irt.nodes import grid_rule, rounded
from jmix.likelihood.irt.rows import Persons, in_strata, item_blocks, merged, persons_of, scored, scores_suffice
from jmix.likelihood.irt.sharding import devices_for, put_data, shard_rows
from jmix.likelihood.irt.totals import Covariates, category_totals, covariate_moments
from jmix.numerics.quadrature import Rule
from jmix.responses.data import Responses
from jmix.runtime import default_device
from jmix.spec.irt.spec import IrtSpec

STRATA = 20_000_000
"""Numbers that the strata's second derivatives may hold: strata times nodes times features and parameters."""

REACH = 4.0
"""Standard deviations of theta given W that the grid holds beyond its mean."""

SMALL = 1_000_000
"""Rows times nodes to which float32 is not worth its error."""

ACCELERATOR = 16
"""How many times larger a step is on a device that has thousands of cores."""

CHUNK = 16_384
"""Most persons in one step (the fastest of 1,024 to 65,536, measured on 2 cores)."""

STEP = 2_097_152
"""Numbers that one step may hold: persons times features and nodes."""


def build_grid(
    spec: IrtSpec,
    responses: Responses,
    integration: Integration,
    W: FloatArray | None = None,
    *,
    collapse: bool = True,
    devices: int | None = None,
) -> GridMarginal:
    """The likelihood of a table of responses on a grid shared by the persons of a group.

    Args:
        W: (N, p) covariates of a latent regression. collapse: use sum scores where they suffice, and merge persons with
            equal responses. devices: over which the persons are spread; None uses all where that is worth it.
    """
    covariates = _covariates(responses, W)
    rule = grid_rule(integration if covariates is None else _widened(integration, covariates), spec.n_factors)
    held = _hold(spec, responses, covariates, rule.nodes.shape[0], collapse)
    persons = held.persons
    precision = "float64" if persons.n * rule.nodes.shape[0] <= SMALL else integration.precision
    rule = rounded(rule, precision)
    devices = devices_for(persons.n, rule.nodes.shape[0]) if devices is None else min(devices, persons.n)
    each = -(-persons.n // devices)
    chunk = max(1, min(each, integration.chunk or chunk_size(held.blocks, rule.nodes.shape[0], each)))
    rows, spans = shard_rows(persons, chunk, devices)
    shape = (spec.n_factors, responses.n_groups, chunk, precision)
    plan = Plan(held.blocks, *shape, held.scored, persons.complete, W is not None, devices)
    data = _data(spec, held, rows, rule, covariates)

    again = partial(build_grid, spec, responses, W=W, devices=devices)
    return GridMarginal(
        spec=spec,
        integration=integration,
        data=put_data(data, devices),
        plan=plan,
        spans=spans,
        place=persons.place,
        whole=cache(partial(again, integration, collapse=False)) if held.scored else None,
        rebuild=partial(again, collapse=collapse),
    )


class _Held(NamedTuple):
    persons: Persons
    blocks: tuple[ItemBlock, ...]
    totals: tuple[FloatArray, ...]
    scored: bool


def _hold(spec: IrtSpec, responses: Responses, covariates: Covariates | None, n_nodes: int, collapse: bool) -> _Held:
    """The persons as they are computed: ordered by stratum, with their sum scores, merged, or as they are."""
    width = sum(len(block.columns) * block.n_categories for block in spec.blocks)
    most = max(responses.n_groups, STRATA // (n_nodes * (width + spec.n_free)))
    persons = persons_of(spec, responses, None if covariates is None else covariates.centred, most)
    blocks = item_blocks(spec, persons.masked)
    if collapse and not any(persons.masked) and scores_suffice(spec):
        totals = category_totals(in_strata(persons), blocks, responses.n_groups)
        return _Held(in_strata(scored(persons)), blocks, totals, True)
    persons = in_strata(merged(persons) if collapse else persons)
    return _Held(persons, blocks, category_totals(persons, blocks, responses.n_groups), False)


def _data(spec: IrtSpec, held: _Held, rows: Rows, rule: Rule, covariates: Covariates | None) -> GridData:
    return GridData(
        numbers=numbers_of(spec),
        rows=rows,
        z=rule.nodes,
        log_weights=rule.log_weights,
        group=held.persons.group,
        observed=held.persons.observed,
        totals=held.totals,
        centre=None if covariates is None else covariates.mean,
        spread=None if covariates is None else covariates.covariance,
        square=None if covariates is None else covariates.square,
    )


def _covariates(responses: Responses, w: FloatArray | None) -> Covariates | None:
    if w is None:
        return None
    group = responses.group if responses.n_groups > 1 else None
    return covariate_moments(np.asarray(w, dtype=np.float64), responses.weights, group, responses.n_groups)


def _widened(integration: Integration, covariates: Covariates) -> Integration:
    """A grid that holds the posterior of the person with the most unusual covariates, at the same spacing.

    Whatever the coefficients, the means of theta given W lie within that person's Mahalanobis distance r, in standard
    deviations of the part of theta that W explains; with a share R^2 of the variance explained the posterior reaches to
    about ``r R + REACH sqrt(1 - R^2)``, at most ``sqrt(r^2 + REACH^2)``.
    """
    if integration.rule != "rectangle":
        return integration
    limit = float(np.sqrt(covariates.distance**2 + REACH**2))
    if limit <= integration.limit:
        return integration
    nodes = int(np.ceil(integration.nodes * limit / integration.limit))
    return replace(integration, limit=limit, nodes=nodes)


def chunk_size(blocks: tuple[ItemBlock, ...], n_nodes: int, n_rows: int) -> int:
    """Persons in one step: so many that features and nodes stay in the cache, in chunks of about equal size."""
    width = n_nodes + sum(block.n_items * block.n_categories for block in blocks)
    scale = 1 if default_device().platform == "cpu" else ACCELERATOR
    most = int(min(scale * CHUNK, max(64, 2 ** int(np.log2(scale * STEP / width)))))
    equal = -(-n_rows // -(-n_rows // most)) if n_rows else 1
    return min(most, RUN * -(-equal // RUN))
