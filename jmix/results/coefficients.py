"""Coefficients of each group: fixed effects plus random effects."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd


def coefficients(fixef: pd.Series, ranef: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """By grouping factor, one row a level; terms of the same column add up."""
    out = {}
    for group, frame in ranef.items():
        extra = [c for c in dict.fromkeys(frame.columns) if c not in fixef.index]
        table = pd.DataFrame(0.0, index=frame.index, columns=[*fixef.index, *extra])
        table[fixef.index] += fixef
        for i, name in enumerate(frame.columns):
            table[name] += frame.iloc[:, i]
        out[group] = table
    return out
