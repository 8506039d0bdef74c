"""Items with known parameters: probabilities, expected scores and information in NumPy."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.items.derivatives import Three, eta_derivatives
from jmix.items.kinds import kind_of

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BankBlock:
    """Items of one kind and number of categories: columns (Jb,), slopes (Jb, D), own (Jb, m)."""

    kind: str
    columns: IntArray
    n_categories: int
    slopes: FloatArray
    own: FloatArray


@dataclass(frozen=True, eq=False)
class ItemBank:
    """J calibrated items of one group, on D factors.

    Attributes:
        items: J names. factors: D names. itemtypes: (J,). blocks: partition the items. group: whose items they are.
        scores: (J, K) score of each category, NaN beyond an item's last; 0, 1, ... by default.
    """

    items: tuple[str, ...]
    factors: tuple[str, ...]
    itemtypes: tuple[str, ...]
    blocks: tuple[BankBlock, ...]
    group: str = "all"
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        if not self.scores.size:
            k = np.arange(int(self.n_categories.max(initial=0)), dtype=np.float64)
            scores = np.where(k < self.n_categories[:, None], k, np.nan)
            object.__setattr__(self, "scores", scores)

    @classmethod
    def from_spec(cls, spec: Any, x: FloatArray, group: int | str = 0) -> ItemBank:
        """The items of a model at free parameters x (P,), for one group by number or name."""
        from jmix.items.bank_sources import bank_from_spec

        return bank_from_spec(spec, x, group)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> ItemBank:
        """From a frame indexed by item with itemtype, a or a1, a2, ..., d or d1, d2, ..., c and u as ``items()`` gives.

        Raises:
            ModelError: a column is missing or an item's parameters are.
        """
        from jmix.items.bank_sources import bank_from_frame

        return bank_from_frame(frame)

    @property
    def n_items(self) -> int:
        """J."""
        return len(self.items)

    @property
    def n_factors(self) -> int:
        """D."""
        return len(self.factors)

    @property
    def n_categories(self) -> IntArray:
        """(J,) numbers of categories."""
        out = np.zeros(len(self.items), dtype=np.int64)
        for block in self.blocks:
            out[block.columns] = block.n_categories
        return out

    @property
    def slopes(self) -> FloatArray:
        """(J, D)."""
        out = np.zeros((self.n_items, self.n_factors))
        for block in self.blocks:
            out[block.columns] = block.slopes
        return out

    def log_probabilities(self, theta: Any) -> FloatArray:
        """(J, K, Q) log probabilities, -inf beyond an item's last category.

        Args:
            theta: (Q, D), or (Q,) with one factor.
        """
        nodes = self._nodes(theta)
        out = self._filled(nodes, -np.inf)
        for block in self.blocks:
            eta = block.slopes @ nodes.T
            out[block.columns, : block.n_categories] = _log_table(block, eta)
        return out

    def probabilities(self, theta: Any) -> FloatArray:
        """(J, K, Q) probabilities, 0 beyond an item's last category."""
        return np.exp(self.log_probabilities(theta))

    def derivatives(self, theta: Any) -> Three:
        """Derivatives of the log probabilities in eta = a'theta: first, second and third, each (J, K, Q), 0 beyond.

        With respect to theta multiply by the slopes.
        """
        nodes = self._nodes(theta)
        out = tuple(self._filled(nodes, 0.0) for _ in range(3))
        for block in self.blocks:
            eta = block.slopes @ nodes.T
            parts = eta_derivatives(kind_of(block.kind), np, eta, block.own, block.n_categories)
            for whole, part in zip(out, parts, strict=True):
                whole[block.columns, : block.n_categories] = part
        return out[0], out[1], out[2]

    def expected(self, theta: Any) -> FloatArray:
        """(J, Q) expected item scores."""
        return np.einsum("jkq,jk->jq", self.probabilities(theta), np.nan_to_num(self.scores))

    def eta_information(self, theta: Any) -> FloatArray:
        """(J, Q) Fisher information about eta, ``sum_k P_k (d log P_k / d eta)^2``."""
        nodes = self._nodes(theta)
        out = np.empty((self.n_items, nodes.shape[0]))
        for block in self.blocks:
            eta = block.slopes @ nodes.T
            first = eta_derivatives(kind_of(block.kind), np, eta, block.own, block.n_categories)[0]
            out[block.columns] = np.sum(np.exp(_log_table(block, eta)) * first**2, axis=1)
        return out

    def information(self, theta: Any, direction: Any = None) -> FloatArray:
        """(J, Q) Fisher information about theta, or about theta along a direction (Reckase & McKinley 1991).

        Args:
            theta: (Q, D). direction: (D,), scaled to length one; needed with several factors.

        Raises:
            ModelError: no direction with several factors, or one of the wrong length.
        """
        if direction is None:
            if self.n_factors > 1:
                raise ModelError(
                    f"with the factors {', '.join(self.factors)} information needs a direction, as [1, 0] for the "
                    "first alone; or use information_matrix"
                )
            along = np.ones(1)
        else:
            along = np.asarray(direction, dtype=np.float64).ravel()
            if along.size != self.n_factors or not np.linalg.norm(along) > 0:
                raise ModelError(f"direction must hold {self.n_factors} numbers, not all zero")
            along = along / np.linalg.norm(along)
        return self.eta_information(theta) * (self.slopes @ along)[:, None] ** 2

    def information_matrix(self, theta: Any) -> FloatArray:
        """(Q, D, D) Fisher information of the whole test."""
        a = self.slopes
        return np.einsum("jq,jd,je->qde", self.eta_information(theta), a, a, optimize=True)

    def subset(self, items: Iterable[Hashable]) -> ItemBank:
        """The bank of some items, by name or column, in that order.

        Raises:
            ModelError: an item that the bank lacks.
        """
        places = {item: place for place, item in enumerate(self.items)}
        wanted = []
        for item in items:
            if item in places:
                wanted.append(places[str(item)])
            elif isinstance(item, int | np.integer) and 0 <= item < self.n_items:
                wanted.append(int(item))
            else:
                raise ModelError(f"the bank has no item '{item}'")
        new = np.full(self.n_items, -1)
        new[wanted] = np.arange(len(wanted))
        blocks = []
        for block in self.blocks:
            keep = new[block.columns] >= 0
            if keep.any():
                columns = new[block.columns[keep]]
                blocks.append(BankBlock(block.kind, columns, block.n_categories, block.slopes[keep], block.own[keep]))
        widest = max((block.n_categories for block in blocks), default=0)
        return ItemBank(
            tuple(self.items[j] for j in wanted),
            self.factors,
            tuple(self.itemtypes[j] for j in wanted),
            tuple(blocks),
            self.group,
            self.scores[wanted][:, :widest],
        )

    def rescaled(self, slope: float, shift: float) -> ItemBank:
        """The same items on the scale ``slope * theta + shift``, with one factor (Kolen & Brennan 2014, ch. 6)."""
        from jmix.items.bank_sources import rescaled_block

        if self.n_factors != 1 or not slope > 0:
            raise ModelError("a bank is rescaled with one factor and a positive slope")
        blocks = tuple(rescaled_block(block, slope, shift) for block in self.blocks)
        return ItemBank(self.items, self.factors, self.itemtypes, blocks, self.group, self.scores)

    def _nodes(self, theta: Any) -> FloatArray:
        nodes = np.asarray(theta, dtype=np.float64)
        if nodes.ndim < 2:
            nodes = nodes.reshape(-1, 1) if self.n_factors == 1 else nodes.reshape(1, -1)
        if nodes.ndim != 2 or nodes.shape[1] != self.n_factors:
            raise ModelError(f"theta has shape {np.shape(theta)}; it must be (Q, {self.n_factors})")
        return nodes

    def _filled(self, nodes: FloatArray, value: float) -> FloatArray:
        return np.full((self.n_items, self.scores.shape[1], nodes.shape[0]), value)


def _log_table(block: BankBlock, eta: FloatArray) -> FloatArray:
    table: FloatArray = kind_of(block.kind).log_table(np, eta, block.own, block.n_categories)
    return table
