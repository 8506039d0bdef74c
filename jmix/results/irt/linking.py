"""Put two calibrations that share items on one scale: ``theta_new scale = A theta_old scale + B``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.irt.latent_grid import LatentGrid, normal_grid
from jmix.results.irt.linking_tables import bank_table, difficulties, transformed
from jmix.results.irt.sources import bank_of

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]

METHODS = ("mean-mean", "mean-sigma", "haebara", "stocking-lord")


@dataclass(frozen=True, eq=False)
class Link:
    """Constants that carry one calibration to the scale of another.

    Attributes:
        A, B: ``theta_to = A theta_from + B``; slopes divide by A, difficulties become ``A b + B``.
        method: how they were found. anchors: names of the common items. criterion: of the characteristic-curve methods
            at the minimum.
        curves: for each anchor ``rmsd``, the root mean square difference of the expected scores after linking, and the
            differences of log slope and of difficulty where there is one; look for items that drifted.
    """

    A: float
    B: float
    method: str
    anchors: tuple[str, ...]
    criterion: float
    curves: pd.DataFrame

    def theta(self, theta: Any) -> FloatArray:
        """Traits on the scale linked to; standard errors only multiply by A."""
        return self.A * np.asarray(theta, dtype=np.float64) + self.B

    def items(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table of items, as ``fit.items()``, on the scale linked to; standard errors take the constants as known."""
        return transformed(frame, self.A, self.B)

    def __str__(self) -> str:
        return f"theta_to = {self.A:.4f} theta_from + {self.B:.4f} ({self.method}, {len(self.anchors)} common items)"


def link(
    source: Any,
    target: Any,
    *,
    method: str = "stocking-lord",
    anchors: Sequence[str] | Mapping[str, str] | None = None,
    grid: LatentGrid | None = None,
    symmetric: bool = True,
) -> Link:
    """Linking constants from common items (Kolen & Brennan 2014, Test Equating, Scaling, and Linking, ch. 6).

    "mean-mean" (Loyd & Hoover 1980): A is the ratio of the mean slopes. "mean-sigma" (Marco 1977): of the standard
    deviations of the difficulties, of all steps of polytomous items; both take B from the mean difficulties. "haebara"
    (1980) minimises the summed squared differences of the category curves of all items, "stocking-lord" (1983) those of
    the test characteristic curve.

    Args:
        source, target: fits, ``ItemBank``s or tables of items, of one factor; ``source`` is carried to the scale of
            ``target``. Of several groups the first counts.
        anchors: names of the common items, or source's name to target's; all names in both by default.
        grid: traits on the target's scale that the curve methods weigh; standard normal by default. symmetric: also
            compare on the source's scale, over the same grid there.

    Raises:
        ModelError: another method, several dimensions, or slopes of opposite sign. DataError: fewer than one (of
        "mean-sigma" two) common items, or items with different numbers of categories.
    """
    if method not in METHODS:
        raise ModelError(f"method='{method}': choose from {', '.join(METHODS)}")
    whole, other = bank_of(source), bank_of(target)
    pairs = _anchors(whole, other, anchors)
    if method == "mean-sigma" and len(pairs) < 2:
        raise DataError("mean-sigma needs at least two common items")
    one, two = whole.subset([s for s, _ in pairs]), other.subset([t for _, t in pairs])
    first, second = bank_table(one), bank_table(two)
    nodes = grid or normal_grid(0.0, 1.0, nodes=61)
    criterion = np.nan
    if method in ("mean-mean", "mean-sigma"):
        a, b = _moments(first, second, method)
    else:
        curves = _Curves(one, two, nodes, total=method == "stocking-lord", symmetric=symmetric)
        a, b, criterion = curves.minimum(*_start(first, second))
    report = _report(one, two, first, second, nodes, a, b)
    return Link(a, b, method, tuple(s for s, _ in pairs), criterion, report)


def _anchors(source: ItemBank, target: ItemBank, anchors: Any) -> list[tuple[str, str]]:
    for bank in (source, target):
        if bank.n_factors != 1:
            raise ModelError("linking is for unidimensional calibrations")
    if anchors is None:
        pairs = [(name, name) for name in source.items if name in target.items]
    else:
        pairs = list(anchors.items()) if isinstance(anchors, Mapping) else [(name, name) for name in anchors]
    for name, known in [(s, source.items) for s, _ in pairs] + [(t, target.items) for _, t in pairs]:
        if name not in known:
            raise DataError(f"anchor item {name!r} is not in both calibrations")
    if not pairs:
        raise DataError(
            "the calibrations have no item in common: name the pairs with anchors={'source item': 'target item'}"
        )
    for s, t in pairs:
        k, other = source.n_categories[source.items.index(s)], target.n_categories[target.items.index(t)]
        if k != other:
            raise DataError(f"anchor item {s!r} has {k} categories in one calibration and {other} in the other")
    return pairs


def _moments(source: pd.DataFrame, target: pd.DataFrame, method: str) -> tuple[float, float]:
    b_from, b_to = difficulties(source), difficulties(target)
    both = np.isfinite(b_from) & np.isfinite(b_to) if b_from.shape == b_to.shape else np.zeros(0, dtype=bool)
    if not both.any():
        raise ModelError(f"{method} needs difficulties of the common items: use method='haebara' or 'stocking-lord'")
    b_from, b_to = b_from[both], b_to[both]
    if method == "mean-mean":
        a = float(source["a"].mean() / target["a"].mean())
    else:
        spread = b_from.std()
        if not spread > 0:
            raise DataError("mean-sigma needs common items of different difficulty")
        a = float(b_to.std() / spread)
    if not (np.isfinite(a) and a > 0):
        raise ModelError(
            "the mean slopes of the common items have opposite signs: reverse the scores of one calibration"
        )
    return a, float(b_to.mean() - a * b_from.mean())


def _start(source: pd.DataFrame, target: pd.DataFrame) -> tuple[float, float]:
    try:
        return _moments(source, target, "mean-mean")
    except ModelError:
        return 1.0, 0.0


class _Curves:
    """Differences of the characteristic curves as a function of the constants."""

    def __init__(self, source: ItemBank, target: ItemBank, grid: LatentGrid, *, total: bool, symmetric: bool) -> None:
        self.source, self.target, self.total, self.symmetric = source, target, total, symmetric
        self.theta, self.root = grid.theta[:, 0], np.sqrt(grid.weights)
        self.fixed_target, self.fixed_source = self._curves(target, self.theta), self._curves(source, self.theta)

    def _curves(self, bank: ItemBank, theta: FloatArray) -> FloatArray:
        points = theta[:, None]
        if self.total:
            return np.asarray(bank.expected(points)).sum(axis=0)
        return np.asarray(bank.probabilities(points))

    def residuals(self, constants: FloatArray) -> FloatArray:
        a, b = float(np.exp(constants[0])), float(constants[1])
        there = self._curves(self.source, (self.theta - b) / a) - self.fixed_target
        parts = [(there * self.root).ravel()]
        if self.symmetric:
            back = self._curves(self.target, a * self.theta + b) - self.fixed_source
            parts.append((back * self.root).ravel())
        return np.concatenate(parts)

    def minimum(self, a: float, b: float) -> tuple[float, float, float]:
        from scipy.optimize import least_squares

        found = least_squares(self.residuals, [np.log(a), b], xtol=1e-14, ftol=1e-14, gtol=1e-14)
        if not (found.success and np.isfinite(found.x).all()):
            raise ModelError("the characteristic curves could not be matched: are the items scored the same way?")
        return float(np.exp(found.x[0])), float(found.x[1]), float(2 * found.cost)


def _report(
    one: ItemBank,
    two: ItemBank,
    first: pd.DataFrame,
    second: pd.DataFrame,
    grid: LatentGrid,
    a: float,
    b: float,
) -> pd.DataFrame:
    moved = (grid.theta - b) / a
    difference = np.asarray(one.expected(moved)) - np.asarray(two.expected(grid.theta))
    out = pd.DataFrame({"rmsd": np.sqrt(grid.mean(difference**2))}, index=pd.Index(one.items, name="item"))
    carried = transformed(first, a, b)
    ratio = carried["a"].to_numpy(dtype=np.float64) / second["a"].to_numpy(dtype=np.float64)
    out["log_slope"] = np.log(np.where(ratio > 0, ratio, np.nan))
    if difficulties(carried).shape == difficulties(second).shape and difficulties(carried).size:
        with np.errstate(invalid="ignore"):
            gap = difficulties(carried) - difficulties(second)
            some = np.isfinite(gap)
            out["difficulty"] = np.where(some, gap, 0.0).sum(axis=1) / np.maximum(some.sum(axis=1), 1)
    return out
