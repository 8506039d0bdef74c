"""Simulated adaptive tests of many persons at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.responses.data import MISSING
from jmix.results.irt.adaptive_test import StoppingRules, normalised
from jmix.results.irt.latent_grid import LatentGrid, normal_grid
from jmix.results.irt.sources import bank_of

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SELECT = ("information", "random")
EXACT = 200
"""Persons up to which information is computed at each estimate."""
FAR, STEP = 8.0, 0.01


@dataclass(frozen=True, eq=False)
class CatSimulation:
    """Simulated adaptive tests.

    Attributes:
        persons: a row each: ``theta`` (true; NaN where responses were given), ``estimate``, ``se``, ``n_items``.
        administered: (N, L) items in the order of the test by their place in the bank, -1 after the end. responses:
            (N, L) categories, -1 after the end. estimates, errors: (N, L) after each item, NaN after the end.
        items: names in the bank. exposure: share of the persons that were asked each item.
    """

    persons: pd.DataFrame
    administered: IntArray
    responses: IntArray
    estimates: FloatArray
    errors: FloatArray
    items: tuple[str, ...]
    exposure: pd.Series

    def summary(self) -> pd.Series:
        """Mean length, bias, root mean square error, their correlation, mean standard error, and items never used."""
        gap = self.persons["estimate"] - self.persons["theta"]
        return pd.Series(
            {
                "n_persons": float(len(self.persons)),
                "mean_items": self.persons["n_items"].mean(),
                "bias": gap.mean(),
                "rmse": float(np.sqrt((gap**2).mean())),
                "correlation": self.persons["estimate"].corr(self.persons["theta"]),
                "mean_se": self.persons["se"].mean(),
                "coverage_95": float((gap.abs() <= 1.96 * self.persons["se"]).mean()),
                "items_unused": float((self.exposure == 0).sum()),
                "max_exposure": float(self.exposure.max()),
            }
        )


def simulate_cat(
    bank: Any,
    theta: Any = None,
    *,
    responses: Any = None,
    prior: LatentGrid | None = None,
    se: float | None = 0.3,
    min_items: int = 1,
    max_items: int | None = None,
    select: str = "information",
    randomesque: int = 1,
    max_exposure: float = 1.0,
    seed: int = 0,
) -> CatSimulation:
    """Run the adaptive test of ``AdaptiveTest`` for N persons.

    Args:
        bank: unidimensional items: a fit, an ``ItemBank`` or a table of items.
        theta: (N,) true traits, from which responses are drawn.
        responses: instead (N, J) categories that were observed, ``MISSING`` where there is none: the test then asks
            only items that the person answered (a post-hoc simulation).
        prior: latent distribution of the posterior, standard normal by default. se: stop at this posterior standard
            deviation; None goes on to ``max_items``. min_items, max_items: fewest and most items.
        select: "information", the most at the current estimate, or "random", for comparison.
        randomesque: draw among this many best items. max_exposure: largest share of persons that may see an item;
            an item that has reached it is closed.
        seed: of responses and choices.

    Raises:
        ModelError: rules that make no sense, or several dimensions. DataError: neither or both of ``theta`` and
        ``responses``, values that are not finite, or an exposure that leaves too few items.
    """
    bank = bank_of(bank)
    rules = StoppingRules.checked(bank, se, min_items, max_items, randomesque)
    if select not in SELECT:
        raise ModelError(f"select='{select}': choose from {', '.join(SELECT)}")
    rng = np.random.default_rng(seed)
    answers, truth = _answers(bank, theta, responses, rng)
    n, j = answers.shape
    limit = _limit(max_exposure, n, j, rules)
    run = _Run(bank, answers, prior or normal_grid(0.0, 1.0), rules, limit, select, rng)
    for step in range(rules.max_items):
        if not run.step(step):
            break
    return run.result(truth)


class _Information:
    """(n, J) Fisher information at estimates; of many persons between the points of a fine table, to about 1e-5."""

    def __init__(self, bank: ItemBank, *, tabled: bool) -> None:
        self.bank = bank
        self.points = np.arange(-FAR, FAR + STEP / 2, STEP)
        self.table = np.asarray(bank.information(self.points[:, None])).T if tabled else None

    def __call__(self, theta: FloatArray) -> FloatArray:
        if self.table is None or np.abs(theta).max(initial=0.0) >= FAR - STEP:
            return np.asarray(self.bank.information(theta[:, None])).T.copy()
        place = (theta + FAR) / STEP
        at = place.astype(np.int64)
        part = (place - at)[:, None]
        return (1 - part) * self.table[at] + part * self.table[at + 1]


class _Run:
    """State of all tests after some items."""

    def __init__(
        self,
        bank: ItemBank,
        answers: IntArray,
        prior: LatentGrid,
        rules: StoppingRules,
        limit: int,
        select: str,
        rng: Any,
    ) -> None:
        self.bank, self.answers, self.rules, self.limit, self.select, self.rng = (
            bank,
            answers,
            rules,
            limit,
            select,
            rng,
        )
        n = answers.shape[0]
        self.information = _Information(bank, tabled=n > EXACT)
        self.nodes = prior.theta[:, 0]
        self.log_table = np.asarray(bank.log_probabilities(prior.theta))
        self.log_posterior = np.tile(np.log(prior.weights), (n, 1))
        self.free = answers != MISSING
        self.active = self.free.any(axis=1)
        self.count = np.zeros(answers.shape[1], dtype=np.int64)
        shape = (n, rules.max_items)
        self.administered, self.given = np.full(shape, -1), np.full(shape, -1)
        self.estimates, self.errors = np.full(shape, np.nan), np.full(shape, np.nan)
        self.mean, self.sd = self._moments(np.arange(n))

    def step(self, at: int) -> bool:
        """Ask everyone whose test is not over one item; False where nobody is left."""
        rows = np.flatnonzero(self.active)
        chosen = self._choose(rows)
        rows, chosen = rows[chosen >= 0], chosen[chosen >= 0]
        if rows.size == 0:
            return False
        answer = self.answers[rows, chosen]
        self.log_posterior[rows] += self.log_table[chosen, answer]
        self.mean[rows], self.sd[rows] = self._moments(rows)
        self.administered[rows, at], self.given[rows, at] = chosen, answer
        self.estimates[rows, at], self.errors[rows, at] = self.mean[rows], self.sd[rows]
        self.free[rows, chosen] = False
        exact = self.rules.se is not None and at + 1 >= self.rules.min_items
        over = self.sd[rows] <= (self.rules.se if exact and self.rules.se is not None else -1.0)
        going = np.zeros_like(self.active)
        going[rows] = ~over & self.free[rows].any(axis=1)
        self.active = going
        return bool(going.any())

    def _moments(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        p = normalised(self.log_posterior[rows])
        mean = p @ self.nodes
        return mean, np.sqrt(np.einsum("nq,nq->n", p, (self.nodes - mean[:, None]) ** 2))

    def _choose(self, rows: IntArray) -> IntArray:
        """An item for each row, -1 where none is open."""
        if self.select == "random":
            value = self.rng.random((rows.size, self.answers.shape[1]))
        else:
            value = self.information(self.mean[rows])
        value[~self.free[rows]] = -np.inf
        out = np.full(rows.size, -1)
        for i in self.rng.permutation(rows.size):
            out[i] = self._one(value[i])
            if out[i] >= 0:
                self.count[out[i]] += 1
        return out

    def _one(self, value: FloatArray) -> int:
        value = np.where(self.count < self.limit, value, -np.inf)
        best = int(np.argmax(value))
        if not np.isfinite(value[best]):
            return -1
        if self.rules.randomesque == 1:
            return best
        top = np.argsort(-value, kind="stable")[: self.rules.randomesque]
        return int(self.rng.choice(top[np.isfinite(value[top])]))

    def result(self, truth: FloatArray) -> CatSimulation:
        persons = pd.DataFrame(
            {
                "theta": truth,
                "estimate": self.mean,
                "se": self.sd,
                "n_items": (self.administered >= 0).sum(axis=1),
            }
        )
        names = tuple(str(name) for name in self.bank.items)
        share = pd.Series(self.count / len(truth), index=pd.Index(names, name="item"), name="exposure")
        return CatSimulation(persons, self.administered, self.given, self.estimates, self.errors, names, share)


def _answers(bank: ItemBank, theta: Any, responses: Any, rng: Any) -> tuple[IntArray, FloatArray]:
    if (theta is None) == (responses is None):
        raise DataError("give either theta=, from which responses are drawn, or responses= that were observed")
    n_items = len(bank.items)
    if responses is not None:
        table = np.asarray(responses, dtype=np.int64)
        top = np.asarray(bank.n_categories)
        if table.ndim != 2 or table.shape[1] != n_items or (table >= top).any() or (table < MISSING).any():
            raise DataError(
                f"responses {table.shape}: give (persons, {n_items}) categories from 0, {MISSING} where missing"
            )
        return table, np.full(table.shape[0], np.nan)
    truth = np.atleast_1d(np.asarray(theta, dtype=np.float64)).ravel()
    if truth.size == 0 or not np.isfinite(truth).all():
        raise DataError("theta: give finite traits of at least one person")
    below = np.cumsum(np.asarray(bank.probabilities(truth[:, None])), axis=1)
    draw = rng.random((n_items, 1, truth.size))
    answers = (draw > below).sum(axis=1)
    return np.minimum(answers, np.asarray(bank.n_categories)[:, None] - 1).T.astype(np.int64), truth


def _limit(max_exposure: float, n: int, j: int, rules: StoppingRules) -> int:
    if not 0 < max_exposure <= 1:
        raise ModelError(f"max_exposure={max_exposure!r}: give a share of the persons in (0, 1]")
    limit = max(1, int(np.floor(max_exposure * n + 1e-9)))
    if limit * j < rules.min_items * n:
        raise DataError(
            f"max_exposure={max_exposure} of {j} items gives {limit * j} administrations, fewer than {rules.min_items} "
            f"items for each of {n} persons"
        )
    return limit
