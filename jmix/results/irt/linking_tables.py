"""Tables of items on another scale, and the difficulties of a bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.items.kinds import kind_of

if TYPE_CHECKING:
    from jmix.items.bank import BankBlock, ItemBank

FloatArray = npt.NDArray[np.float64]


def transformed(frame: pd.DataFrame, a: float, b: float) -> pd.DataFrame:
    """Slopes, difficulties and intercepts of a table of items after ``theta -> a theta + b``.

    Args:
        frame: as ``fit.items()``, with one slope. Standard errors take the constants as known; those of intercepts are
            left out where b is not 0, as they need the covariance with the slope.
    """
    out = frame.copy()
    slope = frame["a"].to_numpy(dtype=np.float64)
    for name in [str(column) for column in frame.columns]:
        if name == "a":
            out[name] = slope / a
        elif name == "se_a":
            out[name] = frame[name] / abs(a)
        elif numbered(name, "b"):
            out[name] = a * frame[name] + b
        elif numbered(name, "se_b"):
            out[name] = abs(a) * frame[name]
        elif numbered(name, "d"):
            out[name] = frame[name] - _multiple(frame, name) * slope * b / a
    lost = [str(name) for name in out.columns if numbered(str(name), "se_d")]
    return out.drop(columns=lost) if b else out


def numbered(name: str, letters: str) -> bool:
    """Whether a name is the letters alone or with a number."""
    return name.startswith(letters) and (name == letters or name[len(letters) :].isdigit())


def difficulties(frame: pd.DataFrame) -> FloatArray:
    """(J, m) columns ``b`` and ``b1, b2, ...``, NaN where an item has none."""
    names = sorted((str(c) for c in frame.columns if numbered(str(c), "b")), key=lambda c: (len(c), c))
    return frame[names].to_numpy(dtype=np.float64)


def bank_table(bank: ItemBank) -> pd.DataFrame:
    """Slopes and difficulties of a unidimensional bank, columns ``a``, ``b`` and ``b1, b2, ...``."""
    columns: dict[str, FloatArray] = {"a": bank.slopes[:, 0]}
    for block in bank.blocks:
        for k, values in enumerate(_block_difficulties(block).T, start=1):
            name = "b" if block.n_categories == 2 else f"b{k}"
            columns.setdefault(name, np.full(len(bank.items), np.nan))[np.asarray(block.columns)] = values
    return pd.DataFrame(columns, index=pd.Index(list(bank.items), name="item"))


def _block_difficulties(block: BankBlock) -> FloatArray:
    """(Jb, K - 1); NaN for nominal items."""
    a, steps = block.slopes[:, :1], block.n_categories - 1
    own = dict(zip(kind_of(block.kind).names(block.n_categories), block.own.T, strict=True))
    if block.kind in ("rsm", "grsm"):
        b = np.stack([own[f"b{k}"] for k in range(1, steps + 1)], axis=1)
        return np.asarray(b - own["c"][:, None] if block.kind == "rsm" else -(b + own["c"][:, None]))
    if block.kind == "nominal":
        return np.full((a.shape[0], steps), np.nan)
    d = np.stack([own["d"] if "d" in own else own[f"d{k}"] for k in range(1, steps + 1)], axis=1)
    if block.kind == "gpcm":
        d = np.diff(d, axis=1, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-d / a)


def _multiple(frame: pd.DataFrame, name: str) -> FloatArray:
    """By how much of the slope an intercept moves: k of partial-credit items, whose intercepts are cumulative."""
    k = int(name[1:] or 1)
    if f"ak{k}" in frame:
        nominal = frame[f"ak{k}"].to_numpy(dtype=np.float64)
    else:
        nominal = np.full(len(frame), np.nan)
    total = np.zeros(len(frame))
    for i in range(1, k + 1):
        step = f"b{i}" if f"b{i}" in frame else "b"
        total += frame[step].to_numpy(dtype=np.float64) if step in frame else np.nan
    d, a = frame[name].to_numpy(dtype=np.float64), frame["a"].to_numpy(dtype=np.float64)
    cumulative = np.abs(d + a * total) <= 1e-6 * (1 + np.abs(d))
    return np.where(np.isfinite(nominal), nominal, np.where(cumulative, float(k), 1.0))
