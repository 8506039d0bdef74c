"""Which item loads on which factor, from a number, a model text, a pattern, names of items by factor, or a bifactor."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.spec.irt.model_text import Instruction, read_model
from jmix.spec.irt.names import item_places

MOST_FACTORS = 50


@dataclass(frozen=True, eq=False)
class Loadings:
    """The structure of the factors.

    Attributes:
        factors: D names. pattern: (J, D) whether the slope is part of the model. exploratory: up to a rotation.
        specific: (J,) as in ``IrtSpec``. testlet: whether an item's specific slope equals its general one.
        pairs: factors that are correlated. variances, means: factors whose variance or mean is free by request.
        instructions: commands of a model text.
    """

    factors: tuple[str, ...]
    pattern: npt.NDArray[np.bool_]
    exploratory: bool = False
    specific: npt.NDArray[np.int32] | None = None
    testlet: bool = False
    pairs: tuple[tuple[str, str], ...] = ()
    variances: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    instructions: tuple[Instruction, ...] = ()


def read_loadings(model: Any, items: Sequence[str], *, bifactor: Any, testlets: Any, covariances: Any) -> Loadings:
    """The structure that the user asks for.

    Args:
        model: number of factors, more than one being exploratory; a model text; a (J, D) pattern of zeros and ones as
            an array or as a frame of items by factors; or the items of each factor in a dict.
        bifactor, testlets: the specific factor of each item, a label or a missing value, or a dict of items by factor.
        covariances: True for all pairs of factors, or a list of pairs; of confirmatory models.

    Raises:
        ModelError: what cannot be read, an item without a factor, a factor without items.
    """
    places: dict[Hashable, int] = {item: place for place, item in enumerate(items)}
    given = [name for name, value in (("bifactor", bifactor), ("testlets", testlets)) if value is not None]
    if len(given) == 2 or (given and not (isinstance(model, int) and model == 1)):
        other = "testlets" if len(given) == 2 else "model"
        raise ModelError(f"{given[0]} defines the factors; leave {other} out")
    if given:
        found = _specific(testlets if bifactor is None else bifactor, places, given[0])
    elif isinstance(model, str):
        read = read_model(model, places)
        pattern = _from_places(read.factors, places)
        found = Loadings(
            tuple(read.factors), pattern, False, None, False, read.pairs, read.variances, read.means, read.instructions
        )
    elif isinstance(model, bool) or not isinstance(model, int | np.integer):
        found = _pattern(model, places)
    else:
        found = _counted(int(model), len(items))
    return _checked(_with_covariances(found, covariances), items)


def _counted(n: int, n_items: int) -> Loadings:
    if not 1 <= n <= min(n_items, MOST_FACTORS):
        raise ModelError(f"model={n}: the number of factors is between 1 and {min(n_items, MOST_FACTORS)}")
    pattern = np.ones((n_items, n), dtype=np.bool_)
    for k in range(1, n):
        pattern[n_items - k, k:] = False
    return Loadings(tuple(f"F{k + 1}" for k in range(n)), pattern, exploratory=n > 1)


def _from_places(factors: Mapping[str, list[int]], places: Mapping[Hashable, int]) -> npt.NDArray[np.bool_]:
    pattern = np.zeros((len(places), len(factors)), dtype=np.bool_)
    for k, columns in enumerate(factors.values()):
        pattern[columns, k] = True
    return pattern


def _pattern(model: Any, places: Mapping[Hashable, int]) -> Loadings:
    if isinstance(model, Mapping):
        by_factor = {str(name): item_places(part, places, f"factor {name}") for name, part in model.items()}
        return Loadings(tuple(by_factor), _from_places(by_factor, places))
    if isinstance(model, pd.DataFrame):
        missing = [item for item in places if item not in model.index]
        if missing:
            raise ModelError(
                f"the pattern has no row for item '{missing[0]}'; its index must hold the names of the items"
            )
        model, names = model.loc[list(places)].to_numpy(), [str(name) for name in model.columns]
    else:
        model, names = np.asarray(model), []
    if model.ndim != 2 or model.shape[0] != len(places):
        raise ModelError(
            f"the pattern has shape {model.shape}; it must have a row for each of the {len(places)} items and a column "
            "for each factor"
        )
    if not np.isin(model, (0, 1)).all():
        raise ModelError("the pattern must hold zeros and ones (or False and True)")
    return Loadings(tuple(names or [f"F{k + 1}" for k in range(model.shape[1])]), model.astype(np.bool_))


def _specific(given: Any, places: Mapping[Hashable, int], what: str) -> Loadings:
    """General factor "G" and the specific ones, numbered from 1 in ``specific``."""
    code = np.full(len(places), -1, dtype=np.int32)
    if isinstance(given, Mapping):
        names = [str(name) for name in given]
        for k, part in enumerate(given.values()):
            columns = item_places(part, places, f"{what}['{names[k]}']")
            twice = [j for j in columns if code[j] >= 0]
            if twice:
                item = list(places)[twice[0]]
                raise ModelError(f"{what}: item '{item}' is in two specific factors; it may have one")
            code[columns] = k + 1
    else:
        labels = pd.Series(list(given), dtype=object)
        if len(labels) != len(places):
            raise ModelError(f"{what} has {len(labels)} entries for {len(places)} items; give each its factor, or None")
        codes, levels = pd.factorize(labels, sort=True)
        numbers = all(isinstance(level, int | float | np.number) for level in levels)
        names = [f"S{int(level)}" if numbers else str(level) for level in levels]
        code[:] = np.where(codes >= 0, codes + 1, -1)
    pattern = np.zeros((len(places), len(names) + 1), dtype=np.bool_)
    pattern[:, 0] = True
    rows = np.flatnonzero(code > 0)
    pattern[rows, code[rows]] = True
    return Loadings(("G", *names), pattern, specific=code, testlet=what == "testlets")


def _with_covariances(found: Loadings, covariances: Any) -> Loadings:
    if covariances is None or covariances is False:
        return found
    if found.exploratory or found.specific is not None or len(found.factors) == 1:
        raise ModelError(
            "covariances= is for confirmatory models of several factors: factors of an exploratory model are "
            "correlated by rotating, those of a bifactor model are independent"
        )
    if covariances is True:
        pairs = list(combinations(found.factors, 2))
    else:
        pairs = [_pair(pair, found.factors) for pair in covariances]
    return Loadings(
        found.factors,
        found.pattern,
        pairs=tuple(dict.fromkeys((*found.pairs, *pairs))),
        variances=found.variances,
        means=found.means,
        instructions=found.instructions,
    )


def _pair(pair: Any, factors: Sequence[str]) -> tuple[str, str]:
    names = [str(name) for name in pair]
    if len(names) != 2 or names[0] == names[1] or not set(names) <= set(factors):
        raise ModelError(f"covariances: {pair!r} is not a pair of the factors {', '.join(factors)}")
    return names[0], names[1]


def _checked(found: Loadings, items: Sequence[str]) -> Loadings:
    if len(set(found.factors)) < len(found.factors):
        raise ModelError(f"the factors must have different names, not {', '.join(found.factors)}")
    empty = np.flatnonzero(~found.pattern.any(axis=0))
    if empty.size:
        raise ModelError(f"factor {found.factors[empty[0]]} has no items; leave it out or give it some")
    alone = np.flatnonzero(~found.pattern.any(axis=1))
    if alone.size:
        raise ModelError(
            f"item '{items[alone[0]]}' loads on no factor; add it to one, or leave it out of the responses"
        )
    return found
