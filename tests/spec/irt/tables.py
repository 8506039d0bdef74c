"""Responses without persons of interest, and a marginal log likelihood by brute force."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jmix.items import kind_of
from jmix.responses.data import Responses
from jmix.spec.irt import IrtSpec, unpack


def responses(
    categories: int | Sequence[int] = 2,
    *,
    n_items: int = 5,
    n: int = 12,
    groups: Sequence[str] = ("all",),
    items: Sequence[str] | None = None,
    table: Any = None,
    **more: Any,
) -> Responses:
    """Items "Item.1", ...; persons go to the groups in turn."""
    many = (
        [categories] * (n_items if items is None else len(items)) if isinstance(categories, int) else list(categories)
    )
    names = tuple(items or (f"Item.{j + 1}" for j in range(len(many))))
    codes = np.zeros((n, len(many)), dtype=np.int8) if table is None else np.asarray(table, dtype=np.int8)
    group = np.arange(len(codes), dtype=np.int32) % len(groups) if len(groups) > 1 else None
    labels = tuple(tuple(range(k)) for k in many)
    return Responses(names, labels, codes, None, pd.RangeIndex(len(codes)), group=group, groups=tuple(groups), **more)


def from_csv(path: Path) -> Responses:
    """A wide file of small integers."""
    frame = pd.read_csv(path)
    codes = frame.to_numpy() - frame.to_numpy().min(axis=0)
    return responses([int(k) for k in codes.max(axis=0) + 1], items=tuple(frame.columns), table=codes)


def log_likelihood(spec: IrtSpec, x: Any, data: Responses, nodes: int = 61, limit: float = 6.0) -> float:
    """Sum over persons on a tensor grid of equally spaced nodes in z, with nothing factored or merged."""
    values = unpack(np, spec, np.asarray(x, dtype=np.float64))
    axis = np.linspace(-limit, limit, nodes)
    z = np.stack([part.ravel() for part in np.meshgrid(*[axis] * spec.n_factors, indexing="ij")], axis=1)
    log_w = -0.5 * (z**2).sum(axis=1)
    log_w -= np.log(np.exp(log_w).sum())
    assert data.table is not None
    group = np.zeros(data.n_persons, dtype=int) if data.group is None else data.group
    total = 0.0
    for g in range(len(spec.groups)):
        theta = values.mean[g] + z @ values.chol[g].T
        rows = data.table[group == g]
        log_p = np.zeros((len(rows), len(z)))
        for block, slopes, own in zip(spec.blocks, values.slopes, values.own, strict=True):
            table = kind_of(block.kind).log_table(np, slopes[g] @ theta.T, own[g], block.n_categories)
            for at, j in enumerate(block.columns):
                seen = rows[:, j] >= 0
                log_p[seen] += table[at, rows[seen, j]]
        total += float(np.logaddexp.reduce(log_p + log_w, axis=1).sum())
    return total
