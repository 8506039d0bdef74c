"""How grouping factors lie in each other: nested, crossed, or labelled so that one cannot tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.inference.describing.group_columns import Groups

NESTED, CROSSED, PARTLY = "nested", "crossed", "partly crossed"
COLUMNS = ["inner", "outer", "relation", "cells"]


def nesting_table(factors: Sequence[Groups]) -> pd.DataFrame:
    """One row a pair: the factor with more levels first, how they lie in each other, and combinations that occur."""
    rows = [(a.name, b.name, _relation(a, b), len(_cells(a, b))) for a, b in _pairs(factors)]
    return pd.DataFrame(rows, columns=COLUMNS)


def nesting_sentences(factors: Sequence[Groups]) -> list[str]:
    """What the relation of each pair means for the formula."""
    out = []
    for a, b in _pairs(factors):
        relation = _relation(a, b)
        if relation == NESTED:
            out += _nested(a, b)
        elif _numbered_within(a, b) or _numbered_within(b, a):
            out.append(_ambiguous(a, b) if _numbered_within(a, b) else _ambiguous(b, a))
        else:
            how = "in every combination" if relation == CROSSED else "in some combinations"
            out.append(
                f"{a.name} and {b.name} are crossed, {how}: write (1 | {a.name}) + (1 | {b.name}); "
                f"(1 | {a.name}:{b.name}) adds their interaction, where there are several rows in a cell."
            )
    return out


def _pairs(factors: Sequence[Groups]) -> Iterator[tuple[Groups, Groups]]:
    for first, second in combinations(factors, 2):
        yield (first, second) if len(first.levels) >= len(second.levels) else (second, first)


def _cells(a: Groups, b: Groups) -> npt.NDArray[np.int64]:
    """(C,) combinations that occur, those of one level of b together."""
    return np.unique(b.codes.astype(np.int64) * len(a.levels) + a.codes)


def _relation(a: Groups, b: Groups) -> str:
    cells = len(_cells(a, b))
    if cells == len(a.levels):
        return NESTED
    return CROSSED if cells == len(a.levels) * len(b.levels) else PARTLY


def _numbered_within(a: Groups, b: Groups) -> bool:
    """Whether each level of b has the first levels of a, as ids that begin anew in every group do."""
    cells = _cells(a, b)
    outer, inner = np.divmod(cells, len(a.levels))
    counts = np.bincount(outer)
    first = inner == np.arange(cells.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return bool(np.mean(first) > 0.9) and int(np.unique(counts).size) > 1


def _nested(a: Groups, b: Groups) -> list[str]:
    if ":" in a.name and b.name in a.name.split(":"):
        return []
    if len(a.levels) == len(b.levels):
        return [f"{a.name} and {b.name} have the same groups: a model can hold only one of them."]
    return [
        f"Every {a.name} lies in one {b.name}: (1 | {b.name}) + (1 | {a.name}) and (1 | {b.name}/{a.name}) "
        "are the same model."
    ]


def _ambiguous(a: Groups, b: Groups) -> str:
    return (
        f"The levels of {a.name} begin anew in each {b.name}. If {a.name} {a.levels[0]} of one {b.name} has nothing to "
        f"do with {a.name} {a.levels[0]} of another, write (1 | {b.name}/{a.name}), or describe {b.name}/{a.name}; "
        f"(1 | {b.name}) + (1 | {a.name}) would take them for one group."
    )
