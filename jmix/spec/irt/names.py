"""Items, factors and parameters by the names that users write: ranges such as "1-5", "a1[Item.2]", "sd[F1|girls]"."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from jmix.errors import ModelError
from jmix.spec.irt.cells import Cells, FloatArray, IntArray

LATENT_CLASSES = ("mean", "sd", "corr", "cluster_sd", "beta")
PROBABILITIES = {"c": "logit(c)", "g": "logit(c)", "u": "logit(u)"}


def item_places(text: Any, items: Mapping[Hashable, int], what: str) -> list[int]:
    """Columns of items from a name, a position counted from 1, a range, or several of them with commas.

    Args:
        text: "Item.1", "1-5, 8", "Comfort-Future", an integer, or a list of such. items: name to column.
        what: for messages.

    Raises:
        ModelError: naming what is not an item.
    """
    if isinstance(text, list | tuple | np.ndarray | set | frozenset):
        return list(dict.fromkeys(place for part in text for place in item_places(part, items, what)))
    if text in items:
        return [items[text]]
    if isinstance(text, int | np.integer) and str(text) not in items:
        return [_position(int(text), items, what)]
    text = str(text).strip()
    if text in items:
        return [items[text]]
    if "," in text:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return list(dict.fromkeys(place for part in parts for place in item_places(part, items, what)))
    if text.isdigit():
        return [_position(int(text), items, what)]
    for cut in (i for i, letter in enumerate(text) if letter == "-"):
        ends = [_end(part.strip(), items) for part in (text[:cut], text[cut + 1 :])]
        if ends[0] is not None and ends[1] is not None:
            if ends[0] > ends[1]:
                raise ModelError(f"{what}: the range '{text}' runs backwards; write the earlier item first")
            return list(range(ends[0], ends[1] + 1))
    near = get_close_matches(text, [str(item) for item in items], 1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; the items are {_shown(items)}"
    raise ModelError(f"{what}: '{text}' is not an item or a range of items{hint}")


def _position(number: int, items: Mapping[Hashable, int], what: str) -> int:
    if not 1 <= number <= len(items):
        raise ModelError(f"{what}: there is no item {number}; the {len(items)} items are counted from 1")
    return number - 1


def _end(text: str, items: Mapping[Hashable, int]) -> int | None:
    if text in items:
        return items[text]
    return int(text) - 1 if text.isdigit() and 1 <= int(text) <= len(items) else None


def _shown(names: Iterable[Any]) -> str:
    listed = [str(name) for name in names]
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "")


def _first_of_tied(text: str) -> str:
    """``a1[Item.1]`` of ``a1[Item.1]=a2[Item.3]``, the name that ``Table`` gives to what is tied."""
    head, tied, _ = text.partition("]=")
    return f"{head}]" if tied else text


class Selection(NamedTuple):
    """Cells that a name means: (n,) cells, and for each whether the user speaks of it as a probability."""

    cells: IntArray
    probability: Any

    def value(self, given: Any) -> FloatArray:
        """(n,) values of the cells from what the user wrote, a number or one for each cell."""
        value = np.broadcast_to(np.asarray(given, dtype=np.float64), self.cells.shape)
        if not np.any(self.probability):
            return value.copy()
        p = np.where(self.probability, value, 0.5)
        if ((p < 0) | (p > 1)).any():
            raise ModelError(f"an asymptote is a probability between 0 and 1, not {p[(p < 0) | (p > 1)][0]:g}")
        with np.errstate(divide="ignore"):
            return np.where(self.probability, np.log(p) - np.log1p(-p), value)


class Selector:
    """Finds cells by name.

    Args:
        cells: of the model. factors: D names.
    """

    def __init__(self, cells: Cells, factors: Sequence[str]) -> None:
        self.cells, self.factors = cells, tuple(factors)
        self._items: dict[Hashable, int] = {item: place for place, item in enumerate(cells.items)}

    def __call__(self, key: Any, what: str) -> Selection:
        """The cells that ``key`` means.

        Args:
            key: "d", "a1[Item.1]", "a1[1-5]", "d[Item.2|girls]", "sd", "sd[F1|girls]", "corr[F1,F2]", or a pair
                such as ("a1", ["Item.1", "Item.2"]).
            what: the argument that it came with, for messages.

        Raises:
            ModelError: naming the parameter, item, factor or group that does not exist.
        """
        if isinstance(key, tuple) and len(key) == 2:
            return self._of_items(str(key[0]), item_places(key[1], self._items, what), None, what)
        if not isinstance(key, str):
            raise ModelError(f"{what}: {key!r} names no parameter; write 'a1[Item.1]', 'd' or ('a1', ['Item.1'])")
        text = _first_of_tied(key.strip())
        latent = self._latent(text, what)
        if latent is not None:
            return Selection(latent, np.zeros(latent.size, dtype=np.bool_))
        name, bracket, inside = text.partition("[")
        if not bracket:
            return self._of_items(name, None, None, what)
        inside = inside.removesuffix("]")
        group: int | None = None
        if "=" in inside and inside not in self._items:
            first, _, label = inside.partition("|")
            inside = first.split("=")[0] + (f"|{label}" if label else "")
        if inside not in self._items and "|" in inside:
            inside, _, label = inside.rpartition("|")
            group = self._group(label, what)
        return self._of_items(name, item_places(inside, self._items, what) if inside else None, group, what)

    def _group(self, label: str, what: str) -> int:
        if label.strip() not in self.cells.groups:
            raise ModelError(f"{what}: '{label.strip()}' is not a group; there are {_shown(self.cells.groups)}")
        return self.cells.groups.index(label.strip())

    def _latent(self, text: str, what: str) -> IntArray | None:
        """Cells of the latent distribution or of a regression, None if the text is about items."""
        name, bracket, inside = text.partition("[")
        if name not in LATENT_CLASSES:
            return None
        known = [param for param in self.cells.params if param in self.cells.latent and param.startswith(f"{name}[")]
        if not known:
            raise ModelError(f"{what}: '{text}': this model has no parameter '{name}'")
        if not bracket:
            return np.unique(np.concatenate([self.cells.place[param].ravel() for param in known]))
        inside, bar, label = inside.removesuffix("]").partition("|")
        param = f"{name}[{inside}]"
        if name == "corr" and param not in known:
            param = f"{name}[{','.join(part.strip() for part in reversed(inside.split(',')))}]"
        if param not in known:
            raise ModelError(f"{what}: '{text}' does not exist; there are {_shown(known)}")
        cells = self.cells.place[param][:, 0]
        return cells[[self._group(label, what)]] if bar else np.unique(cells)

    def _of_items(self, name: str, items: list[int] | None, group: int | None, what: str) -> Selection:
        params = self._params(name)
        found, probability = [], []
        for param in params:
            block = self.cells.place[param]
            block = block if group is None else block[[group]]
            picked = (block if items is None else block[:, items]).T.ravel()
            picked = picked[picked >= 0]
            found.append(picked)
            probability.append(np.full(picked.size, name in PROBABILITIES and param.startswith("logit(")))
        cells = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        if not cells.size:
            raise ModelError(self._missing(name, items, what))
        cells, first = np.unique(cells, return_index=True)
        order = np.argsort(first)
        return Selection(cells[order], np.concatenate(probability)[first[order]])

    def _params(self, name: str) -> list[str]:
        known = [param for param in self.cells.params if param not in self.cells.latent]
        slopes = [f"a{k + 1}" for k in range(len(self.factors))]
        if name == "a":
            return [param for param in slopes if param in known]
        wanted = [name] if name not in PROBABILITIES else [PROBABILITIES[name], name]
        if name == "ak":
            wanted = [param for param in known if param.startswith("ak")]
        return [param for param in wanted if param in known]

    def _missing(self, name: str, items: list[int] | None, what: str) -> str:
        cells = self.cells
        if name == "b" and "b" not in cells.params:
            return f"{what}: difficulties b are derived from the intercepts; name 'd' (or 'd1', 'd2', ...) instead"
        if items is None or not self._params(name):
            known = [p for p in cells.params if p not in cells.latent]
            return f"{what}: no item has a parameter '{name}'; there are {', '.join(known)}"
        item = items[0]
        own = [p for p in cells.params if p not in cells.latent and cells.place[p][0, item] >= 0]
        return f"{what}: item '{cells.items[item]}' has no parameter '{name}'; it has {', '.join(own)}"
