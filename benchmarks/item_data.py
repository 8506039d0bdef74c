"""Simulated item responses, the same for every contestant: files that a worker reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]
SLICE, WIDE = 100_000, 500


@dataclass(frozen=True)
class Test:
    """Slopes (J, D) and cutpoints (J, K - 1) in descending order: ``P(Y >= k) = logistic(a'theta + d_k)``."""

    slopes: Floats
    intercepts: Floats


def binary_test(n_items: int, n_factors: int = 1, rasch: bool = False, seed: int = 1) -> Test:
    """Two categories; with several factors every item measures one of them, and the first factor beside it."""
    rng = np.random.default_rng([seed, n_items, n_factors])
    slopes = np.zeros((n_items, n_factors))
    main = np.ones(n_items) if rasch else rng.lognormal(0.1, 0.3, n_items)
    slopes[np.arange(n_items), np.arange(n_items) % n_factors] = main
    if n_factors > 1:
        slopes[:, 0] = np.where(slopes[:, 0] == 0, 0.5, slopes[:, 0])
    return Test(slopes, rng.normal(0.0, 1.2, (n_items, 1)))


def graded_test(n_items: int, n_categories: int, seed: int = 1) -> Test:
    """Ordered categories."""
    rng = np.random.default_rng([seed, n_items, n_categories])
    cuts = np.linspace(1.8, -1.8, n_categories - 1) + rng.normal(0.0, 0.5, (n_items, 1))
    return Test(rng.lognormal(0.2, 0.3, (n_items, 1)), cuts)


def answer(test: Test, theta: Floats, rng: np.random.Generator) -> Codes:
    """(n, J) responses of persons with theta (n, D)."""
    eta = (theta @ test.slopes.T)[:, :, None] + test.intercepts
    uniform = rng.uniform(size=eta.shape[:2])[:, :, None]
    return np.sum(uniform < 1.0 / (1.0 + np.exp(-eta)), axis=2).astype(np.int8)


def slices(test: Test, n: int, seed: int = 2) -> Iterator[Codes]:
    """Persons in slices; the first ones are the same for every n, unless items are many."""
    n_items, n_factors = test.slopes.shape
    size = SLICE if n_items <= WIDE else min(n, SLICE)
    for at in range(0, n, size):
        rng = np.random.default_rng([seed, at])
        yield answer(test, rng.normal(size=(size, n_factors)), rng)[: n - at]


def table(test: Test, n: int, seed: int = 2) -> Codes:
    """(n, J) responses."""
    return np.concatenate(list(slices(test, n, seed)))


def save_table(path: Path, test: Test, n: int, seed: int = 2) -> Path:
    """Responses as a ``.npy`` file."""
    if not path.exists():
        np.save(path, table(test, n, seed))
    return path


def save_sparse(path: Path, n: int, n_items: int, each: int, seed: int = 3) -> Path:
    """A long list, ``each`` random items a person: columns person, item, response, shuffled."""
    rng = np.random.default_rng([seed, n, n_items])
    test = binary_test(n_items, seed=seed)
    item = np.stack([rng.choice(n_items, each, replace=False) for _ in range(n)]).astype(np.int32)
    theta = rng.normal(size=(n, 1))
    eta = test.slopes[item, 0] * theta + test.intercepts[item, 0]
    response = rng.uniform(size=eta.shape) < 1.0 / (1.0 + np.exp(-eta))
    person = np.repeat(np.arange(n, dtype=np.int32), each)
    rows = np.column_stack([person, item.ravel(), response.ravel().astype(np.int32)])
    np.save(path, rows[rng.permutation(len(rows))])
    return path


def save_parquet(path: Path, test: Test, n: int, seed: int = 2) -> Path:
    """Responses as a Parquet file of int8 columns, one row group a slice; plain, four bytes a response."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"i{j}" for j in range(test.slopes.shape[0])]
    writer = None
    for part in slices(test, n, seed):
        batch = pa.table([pa.array(np.ascontiguousarray(column)) for column in part.T], names=names)
        writer = writer or pq.ParquetWriter(path, batch.schema, compression="none", use_dictionary=False)
        writer.write_table(batch)
    assert writer is not None
    writer.close()
    return path


def describe(path: Path, **about: object) -> Path:
    """What a worker must know of a data file, beside it."""
    path.with_suffix(".json").write_text(json.dumps(about))
    return path
