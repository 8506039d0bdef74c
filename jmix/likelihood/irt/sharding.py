"""Persons spread over several devices: each computes its own, and sums are added across the mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmix.likelihood.irt.layout import GridData, Plan, Rows
from jmix.likelihood.irt.rows import Persons, chunked
from jmix.runtime import devices, put

AXIS = "persons"

_spec: Any = PartitionSpec
_sum: Any = jax.lax.psum

WORTH = 10_000_000
"""Rows times nodes that a device must have for it to be used beside others."""


def devices_for(n_rows: int, n_nodes: int) -> int:
    """How many devices to use: all that there are, where each has enough to do."""
    return max(1, min(len(devices()), n_rows * n_nodes // WORTH))


def _mesh(n: int) -> Mesh:
    return Mesh(np.array(devices()[:n]), (AXIS,))


def shard_rows(persons: Persons, chunk: int, n: int) -> tuple[Rows, tuple[Any, Any, Any]]:
    """Cut the persons into equal parts, one for each device, and each part into as many chunks.

    Returns:
        the rows, with the parts after each other along the first axis of every array, and the start, low and high of
        each chunk among the rows of all parts.
    """
    if n == 1:
        rows = chunked(persons, chunk)
        return rows, (rows.start, rows.low, rows.high)
    size = -(-persons.n // n)
    parts = [_chunks(persons, d * size, min((d + 1) * size, persons.n), size, chunk) for d in range(n)]
    most = max(part.start.shape[0] for part in parts)

    def joined(name: str) -> Any:
        return np.concatenate([np.pad(getattr(p, name), (0, most - p.start.shape[0])) for p in parts])

    def filled(a: Any) -> Any:
        return None if a is None else np.concatenate([a, np.repeat(a[-1:], n * size - persons.n, axis=0)])

    rows = Rows(
        x=filled(persons.x),
        u=filled(persons.u),
        weights=filled(persons.weights),
        **{name: joined(name) for name in ("start", "low", "high", "stratum")},
    )
    first = np.repeat(np.arange(n) * size, most)
    return rows, (rows.start + first, rows.low, rows.high)


def _chunks(persons: Persons, begin: int, end: int, size: int, chunk: int) -> Rows:
    """The chunks of one part, counted from its first row; a part that is not full has rows that never count."""

    def cut(a: Any) -> Any:
        return None if a is None else a[begin:end]

    own = replace(
        persons, x=cut(persons.x), u=cut(persons.u), weights=cut(persons.weights), stratum=cut(persons.stratum)
    )
    if end <= begin:
        none = np.zeros(0, dtype=np.int32)
        return Rows(None, None, None, none, none, none, none)
    return chunked(own, chunk, room=size)


def put_data(data: GridData, n_devices: int) -> GridData:
    """The arrays on the default device, or the rows spread over several."""
    if n_devices == 1:
        return put(data)
    with jax.enable_x64(True):
        mesh = _mesh(n_devices)
        placed = jax.tree.map(lambda spec: NamedSharding(mesh, spec), _specs(data), is_leaf=_is_spec)
        return jax.device_put(data, placed)


def over_devices(plan: Plan, function: Callable[..., Any], data: GridData, *shared: Any, total: bool) -> Any:
    """``function(data, *shared)`` on each device with its own rows.

    Args:
        total: add the results across devices; otherwise they stand after each other along their first axis.
    """
    if plan.devices == 1:
        return function(data, *shared)

    def own(data: GridData, *shared: Any) -> Any:
        out = function(data, *shared)
        return _sum(out, AXIS) if total else out

    spread = jax.shard_map(
        own,
        mesh=_mesh(plan.devices),
        in_specs=(_specs(data), *(_spec() for _ in shared)),
        out_specs=_spec() if total else _spec(AXIS),
        check_vma=False,
    )
    return spread(data, *shared)


def _specs(data: GridData) -> GridData:
    everywhere = jax.tree.map(lambda _: _spec(), data)
    return replace(everywhere, rows=jax.tree.map(lambda _: _spec(AXIS), data.rows))


def _is_spec(node: Any) -> bool:
    return isinstance(node, PartitionSpec)
