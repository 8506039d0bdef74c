"""An adaptive test from a calibrated bank: the next item by information, the trait by its posterior mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, ModelError
from jmix.results.irt.latent_grid import LatentGrid, normal_grid
from jmix.results.irt.sources import bank_of

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]


class AdaptiveTest:
    """One person's test: ask ``next_item``, give the answer to ``record``, until ``done``.

    The trait is estimated by the mean of its posterior (EAP; Bock & Mislevy 1982, Appl. Psychol. Meas. 6(4)), the next
    item has the most Fisher information there (Lord 1980, Applications of IRT, ch. 10).

    Args:
        bank: unidimensional items: a fit, an ``ItemBank`` or a table of items.
        prior: latent distribution, standard normal by default. se: stop when the posterior standard deviation is at
            most this; None never. min_items, max_items: fewest and most items.
        randomesque: choose among this many most informative items at random (Kingsbury & Zara 1989). seed: of that.

    Raises:
        ModelError: several dimensions, or limits that make no sense.
    """

    def __init__(
        self,
        bank: Any,
        *,
        prior: LatentGrid | None = None,
        se: float | None = 0.3,
        min_items: int = 1,
        max_items: int | None = None,
        randomesque: int = 1,
        seed: int = 0,
    ) -> None:
        self.bank: ItemBank = bank_of(bank)
        self.rules = StoppingRules.checked(self.bank, se, min_items, max_items, randomesque)
        self.prior = prior or normal_grid(0.0, 1.0)
        self.log_table = np.asarray(self.bank.log_probabilities(self.prior.theta))
        self.administered: list[int] = []
        self.responses: list[int] = []
        self._log_posterior = np.log(self.prior.weights)
        self._rng = np.random.default_rng(seed)

    @property
    def theta(self) -> float:
        """Mean of the posterior."""
        return float(self._posterior() @ self.prior.theta[:, 0])

    @property
    def se(self) -> float:
        """Standard deviation of the posterior."""
        return float(np.sqrt(self._posterior() @ (self.prior.theta[:, 0] - self.theta) ** 2))

    @property
    def done(self) -> bool:
        """Whether the test is over."""
        n = len(self.administered)
        exact = self.rules.se is not None and self.se <= self.rules.se
        return n >= self.rules.max_items or (n >= self.rules.min_items and exact)

    def next_item(self) -> str:
        """Name of the most informative item that was not asked.

        Raises:
            DataError: none is left.
        """
        information = np.asarray(self.bank.information(np.array([[self.theta]])))[:, 0]
        free = np.ones(information.size, dtype=bool)
        free[self.administered] = False
        if not free.any():
            raise DataError("the bank has no item left")
        return str(self.bank.items[_choose(information, free, self.rules.randomesque, self._rng)])

    def record(self, item: str, category: int) -> None:
        """Take an answer: the item's name and the category, 0 to K - 1.

        Raises:
            DataError: an item that is not in the bank or was asked before, or a category that it does not have.
        """
        if item not in self.bank.items:
            raise DataError(f"item {item!r} is not in the bank")
        j = list(self.bank.items).index(item)
        if j in self.administered:
            raise DataError(f"item {item!r} was answered before")
        if not 0 <= category < self.bank.n_categories[j]:
            raise DataError(f"item {item!r} has categories 0 to {self.bank.n_categories[j] - 1}, not {category}")
        self.administered.append(j)
        self.responses.append(int(category))
        self._log_posterior = self._log_posterior + self.log_table[j, category]

    def _posterior(self) -> FloatArray:
        return normalised(self._log_posterior)


class StoppingRules:
    """When a test ends and among how many items the next is drawn."""

    def __init__(self, se: float | None, min_items: int, max_items: int, randomesque: int) -> None:
        self.se, self.min_items, self.max_items, self.randomesque = se, min_items, max_items, randomesque

    @classmethod
    def checked(
        cls, bank: ItemBank, se: float | None, min_items: int, max_items: int | None, randomesque: int
    ) -> StoppingRules:
        """The rules, where they make sense.

        Raises:
            ModelError: they do not, or the bank has several dimensions.
        """
        if bank.n_factors != 1:
            raise ModelError("adaptive tests are for unidimensional banks")
        most = len(bank.items) if max_items is None else min(int(max_items), len(bank.items))
        if se is not None and not se > 0:
            raise ModelError(f"se={se!r}: give a positive standard error at which the test stops, or None")
        if not 1 <= min_items <= most:
            raise ModelError(f"min_items={min_items} and max_items={most}: give 1 <= min_items <= max_items")
        if randomesque < 1:
            raise ModelError(f"randomesque={randomesque}: give the number of items to choose from, at least 1")
        return cls(se, int(min_items), most, int(randomesque))


def normalised(log_density: FloatArray) -> FloatArray:
    """Probabilities from their logarithms, along the last axis."""
    p = np.exp(log_density - log_density.max(axis=-1, keepdims=True))
    total: Any = p.sum(axis=-1, keepdims=True)
    return p / total


def _choose(information: FloatArray, free: npt.NDArray[np.bool_], among: int, rng: np.random.Generator) -> int:
    """One of the ``among`` most informative free items."""
    value = np.where(free, information, -np.inf)
    if among == 1:
        return int(np.argmax(value))
    best = np.argsort(-value, kind="stable")[: min(among, int(free.sum()))]
    return int(rng.choice(best))
