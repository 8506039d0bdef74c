"""Designs with known parameters for the study of coverage: three of ordinary size, and the same three small.

The small ones were written first. Nothing but their sizes was changed for the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """A linear mixed model with its parameters.

    Attributes:
        title, about: what it is, in words. formula: of the model. rows: its data but for the response.
        beta: fixed effects. covariances: (q, q) of each random term in the order of the formula, by grouping factor.
        sigma: residual standard deviation.
    """

    title: str
    about: str
    formula: str
    rows: pd.DataFrame
    beta: tuple[float, ...]
    covariances: dict[str, FloatArray]
    sigma: float


def _growth(title: str, subjects: int, times: int) -> Design:
    rows = pd.DataFrame({"subject": np.repeat(np.arange(subjects), times), "time": np.tile(np.arange(times), subjects)})
    cov = np.array([[4.0, 0.2 * 2.0 * 0.6], [0.2 * 2.0 * 0.6, 0.36]])
    return Design(
        title,
        f"{subjects} subjects at {times} times, correlated random intercepts and slopes, balanced",
        "y ~ time + (time | subject)",
        rows.assign(time=rows["time"].astype(float), subject=rows["subject"].astype(str)),
        (10.0, 1.0),
        {"subject": cov},
        1.5,
    )


def _schools(title: str, schools: int) -> Design:
    rng = np.random.default_rng(20)
    parts = []
    for school in range(schools):
        for room in range(int(rng.integers(2, 5))):
            size = int(rng.integers(5, 16))
            parts.append(pd.DataFrame({"school": f"{school:02d}", "room": f"{school:02d}.{room}", "arm": school % 2,
                                       "pretest": rng.standard_normal(size)}))  # fmt: skip
    rows = pd.concat(parts, ignore_index=True).assign(arm=lambda d: d["arm"].astype(float))
    return Design(
        title,
        f"{schools} schools in two arms, {rows['room'].nunique()} classes of 5 to 15 pupils ({len(rows)} in all), "
        "treatment between schools, unbalanced",
        "y ~ arm + pretest + (1 | school) + (1 | room)",
        rows,
        (0.0, 0.5, 1.0),
        {"school": np.array([[1.0]]), "room": np.array([[0.64]])},
        2.0,
    )


def _items(title: str, subjects: int, items: int) -> Design:
    rows = pd.DataFrame({"subject": np.repeat(np.arange(subjects), items), "item": np.tile(np.arange(items), subjects)})
    rows["condition"] = np.where(rows["item"] % 2 == 0, -0.5, 0.5)
    return Design(
        title,
        f"{subjects} subjects crossed with {items} items, a condition between items",
        "y ~ condition + (1 | subject) + (1 | item)",
        rows.assign(subject=rows["subject"].astype(str), item=rows["item"].astype(str)),
        (5.0, 0.5),
        {"subject": np.array([[1.0]]), "item": np.array([[0.49]])},
        1.5,
    )


DESIGNS = {
    design.title: design
    for design in (
        _growth("growth", 60, 8),
        _schools("schools", 60),
        _items("items", 48, 24),
        _growth("growth, small", 24, 8),
        _schools("schools, small", 16),
        _items("items, small", 30, 16),
    )
}
