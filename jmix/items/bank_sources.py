"""Where the numbers of an item bank come from: a specification, a frame, another scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.items.bank import BankBlock, ItemBank
from jmix.items.kinds import kind_of

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]


def bank_from_spec(spec: Any, x: FloatArray, group: int | str = 0) -> ItemBank:
    """See ``ItemBank.from_spec``; ``spec`` is a ``jmix.spec.irt.spec.IrtSpec``."""
    if isinstance(group, str):
        if group not in spec.groups:
            raise ModelError(f"'{group}' is not a group; there are {', '.join(spec.groups)}")
        g = spec.groups.index(group)
    else:
        g = int(group)
    v = spec.numbers(x)
    blocks = tuple(
        BankBlock(block.kind, np.array(block.columns), block.n_categories, v[block.slopes[g]], v[block.own[g]])
        for block in spec.blocks
    )
    return ItemBank(spec.items, spec.factors, spec.itemtypes, blocks, spec.groups[g])


KIND_OF_TYPE = {
    "rasch": ("logistic", "gpcm"),
    "1pl": ("logistic", "gpcm"),
    "2pl": ("logistic", "gpcm"),
    "3pl": ("logistic4", ""),
    "3plu": ("logistic4", ""),
    "4pl": ("logistic4", ""),
    "graded": ("logistic", "graded"),
    "grm": ("logistic", "graded"),
    "grsm": ("logistic", "graded"),
    "pcm": ("logistic", "gpcm"),
    "gpcm": ("logistic", "gpcm"),
    "rsm": ("logistic", "gpcm"),
    "nominal": ("logistic", "nominal"),
    "sequential": ("logistic", "sequential"),
}
"""Kind of an item with two and with more categories, from its type; rating scales by their intercepts."""


def bank_from_frame(frame: pd.DataFrame) -> ItemBank:
    """See ``ItemBank.from_frame``."""
    columns = {str(name): frame[name].to_numpy() for name in frame.columns}
    if "itemtype" not in columns:
        raise ModelError("the frame has no column 'itemtype'; add it, as frame['itemtype'] = '2PL'")
    slopes = _slopes(columns, len(frame))
    items = tuple(str(item) for item in frame.index)
    rows: dict[tuple[str, int], list[tuple[int, list[float]]]] = {}
    for j, item in enumerate(items):
        kind, k, own = _row(columns, j, item)
        rows.setdefault((kind, k), []).append((j, own))
    if np.isnan(slopes).any():
        raise ModelError(f"item '{items[int(np.argwhere(np.isnan(slopes))[0, 0])]}' has no slope")
    blocks = []
    for (kind, k), found in rows.items():
        places = np.array([j for j, _ in found])
        blocks.append(BankBlock(kind, places, k, slopes[places], np.array([own for _, own in found])))
    factors = tuple(f"F{k + 1}" for k in range(slopes.shape[1]))
    return ItemBank(items, factors, tuple(str(name) for name in columns["itemtype"]), tuple(blocks))


def _slopes(columns: dict[str, Any], n: int) -> FloatArray:
    names = [name for name in (f"a{k}" for k in range(1, 51)) if name in columns] or ["a"]
    if names[0] not in columns:
        raise ModelError("the frame has no slopes; it needs a column 'a', or 'a1', 'a2', ...")
    found = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=1)
    return found if len(names) == 1 else np.nan_to_num(found)


def _row(columns: dict[str, Any], j: int, item: str) -> tuple[str, int, list[float]]:
    """Kind, number of categories and own parameters of one item."""
    name = str(columns["itemtype"][j]).lower()
    if name not in KIND_OF_TYPE:
        raise ModelError(f"item '{item}' has the unknown itemtype '{columns['itemtype'][j]}'")
    steps = _values(columns, "d", j)
    single = float(columns["d"][j]) if "d" in columns else np.nan
    if not steps:
        steps = [] if np.isnan(single) else [single]
    if not steps:
        raise ModelError(f"item '{item}' has no intercepts; the frame needs 'd', or 'd1', 'd2', ...")
    k = len(steps) + 1
    kind = KIND_OF_TYPE[name][0 if k == 2 else 1]
    if not kind:
        raise ModelError(f"item '{item}' of type {columns['itemtype'][j]} has {k} categories; it may have two")
    if kind == "logistic4":
        return kind, 2, [*steps, _logit(columns, "c", j, 0.0), _logit(columns, "u", j, 1.0)]
    if kind == "nominal":
        factors = _values(columns, "ak", j)[-(k - 1) :]
        if len(factors) != k - 1:
            raise ModelError(f"item '{item}' is nominal and needs the columns 'ak1', ..., 'ak{k - 1}'")
        return kind, k, [*factors, *steps]
    return kind, k, steps


def _values(columns: dict[str, Any], stem: str, j: int) -> list[float]:
    """The values of ``stem1``, ``stem2``, ... up to the first that is missing."""
    out: list[float] = []
    while f"{stem}{len(out) + 1}" in columns:
        value = float(columns[f"{stem}{len(out) + 1}"][j])
        if np.isnan(value):
            break
        out.append(value)
    return out


def _logit(columns: dict[str, Any], name: str, j: int, default: float) -> float:
    p = float(columns[name][j]) if name in columns else default
    p = default if np.isnan(p) else p
    with np.errstate(divide="ignore"):
        return float(np.log(p) - np.log1p(-p))


def rescaled_block(block: BankBlock, slope: float, shift: float) -> BankBlock:
    """The items of a block on the scale ``slope * theta + shift``."""
    a = block.slopes / slope
    moved = a * shift
    own = block.own.copy()
    if block.kind in ("rsm", "grsm"):
        sign = 1.0 if block.kind == "rsm" else -1.0
        own[:, :-2] = slope * own[:, :-2] + sign * shift
        own[:, -2] *= slope
        own[:, -1] /= slope
    elif block.kind == "logistic4":
        own[:, 0] -= moved[:, 0]
    elif kind_of(block.kind).linear:
        factors, constants = kind_of(block.kind).linear_terms(np, own, block.n_categories)
        own[:, -constants.shape[1] :] = constants - factors * moved
    else:
        own -= moved
    return replace(block, slopes=a, own=own)
