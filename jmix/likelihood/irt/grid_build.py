"""Build the grid likelihood of a table of responses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from jmix.likelihood.irt.grid_marginal import GridMarginal
from jmix.likelihood.irt.kernel import RUN
from jmix.likelihood.irt.layout import GridData, ItemBlock, Plan, numbers_of
from jmix.likelihood.irt.marginal import FloatArray, Integration
from jmix.likelihood.irt.nodes import grid_rule, rounded
from jmix.likelihood.irt.rows import in_strata, item_blocks, merged, persons_of, scored, scores_suffice
from jmix.likelihood.irt.sharding import devices_for, put_data, shard_rows
from jmix.likelihood.irt.totals import Covariates, category_totals, covariate_moments
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

STRATA = 20_000_000
"""Numbers that the strata's second derivatives may hold: strata times nodes times features and parameters."""

REACH = 4.0
"""Standard deviations of theta given W that the grid holds beyond its mean."""

SMALL = 1_000_000
"""Rows times nodes to which float32 is not worth its error."""

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
    group = responses.group if responses.n_groups > 1 else None
    covariates = None
    if W is not None:
        covariates = covariate_moments(np.asarray(W, dtype=np.float64), responses.weights, group, responses.n_groups)
    rule = grid_rule(integration if covariates is None else _widened(integration, covariates), spec.n_factors)
    n_nodes, width = rule.nodes.shape[0], sum(len(b.columns) * b.n_categories for b in spec.blocks)
    most = max(responses.n_groups, STRATA // (n_nodes * (width + spec.n_free)))
    persons = persons_of(spec, responses, None if covariates is None else covariates.centred, most)
    blocks = item_blocks(spec, persons.masked)
    score = collapse and not any(persons.masked) and scores_suffice(spec)
    totals = category_totals(in_strata(persons), blocks, responses.n_groups) if score else None
    if score:
        persons = scored(persons)
    elif collapse:
        persons = merged(persons)
    persons = in_strata(persons)
    precision = "float64" if persons.n * n_nodes <= SMALL else integration.precision
    rule = rounded(rule, precision)
    devices = devices_for(persons.n, n_nodes) if devices is None else min(devices, persons.n)
    each = -(-persons.n // devices)
    chunk = max(1, min(each, integration.chunk or chunk_size(blocks, n_nodes, each)))
    rows, spans = shard_rows(persons, chunk, devices)
    plan = Plan(
        blocks=blocks,
        n_factors=spec.n_factors,
        n_groups=responses.n_groups,
        chunk=chunk,
        dtype=precision,
        scored=score,
        complete=persons.complete,
        regressed=W is not None,
        devices=devices,
    )
    data = GridData(
        numbers=numbers_of(spec),
        rows=rows,
        z=rule.nodes,
        log_weights=rule.log_weights,
        group=persons.group,
        observed=persons.observed,
        totals=totals if totals is not None else category_totals(persons, blocks, responses.n_groups),
        centre=None if covariates is None else covariates.mean,
        spread=None if covariates is None else covariates.covariance,
        square=None if covariates is None else covariates.square,
    )

    def whole() -> GridMarginal:
        return build_grid(spec, responses, integration, W, collapse=False, devices=devices)

    return GridMarginal(
        spec=spec,
        integration=integration,
        data=put_data(data, devices),
        plan=plan,
        spans=spans,
        place=persons.place,
        whole=cache(whole) if score else None,
        rebuild=lambda other: build_grid(spec, responses, other, W, collapse=collapse, devices=devices),
    )


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
    most = int(min(CHUNK, max(64, 2 ** int(np.log2(STEP / width)))))
    equal = -(-n_rows // -(-n_rows // most)) if n_rows else 1
    return min(most, RUN * -(-equal // RUN))
