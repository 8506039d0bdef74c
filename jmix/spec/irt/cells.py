"""A specification while it is put together: one cell for each place of the model that holds a number.

Cells that must be equal are tied; ``Table`` has one entry for each class of tied cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.spec.irt.spec import Table

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LATENT = -1
"""Item code of a cell of the latent distribution or of a regression."""
SHARED = -1
"""Group code of a cell that all groups share."""


class Cells:
    """All cells of a model.

    Attributes:
        items, groups: names. params: names of parameters in the order of their first use. place: for each parameter the
            (G, J) cells, or (G, 1) of a latent parameter, -1 where an item has none.
        param, item, group: (n,) codes. value: (n,). free, given: (n,), given where the user chose the value.
        tie: (n,) the first cell of the class. prior: the prior by cell. explained: cells that an item formula explains.
    """

    def __init__(self, items: tuple[str, ...], groups: tuple[str, ...]) -> None:
        self.items, self.groups = items, groups
        self.params: list[str] = []
        self.place: dict[str, IntArray] = {}
        self.latent: set[str] = set()
        self.param = self.item = self.group = self.tie = np.empty(0, dtype=np.int64)
        self.value: FloatArray = np.empty(0)
        self.free = self.given = np.empty(0, dtype=np.bool_)
        self.prior: dict[int, Any] = {}
        self.explained: set[int] = set()

    def add(self, param: str, items: Any, value: Any, free: Any, own: Any = None) -> IntArray:
        """(G, Jb) new cells of a parameter of items.

        Args:
            items: (Jb,) columns. value, free: broadcast to (Jb,). own: (Jb,) whether each group has its own number.
        """
        columns = np.asarray(items, dtype=np.int64)
        size, n_groups = columns.size, len(self.groups)
        separate = np.zeros(size, dtype=np.bool_) if own is None or n_groups == 1 else np.asarray(own, dtype=np.bool_)
        first = self._extend(param, columns, np.where(separate, 0, SHARED), value, free)
        cells = np.repeat(first[None], n_groups, axis=0)
        value, free = np.broadcast_to(value, size), np.broadcast_to(free, size)
        for g in range(1, n_groups if separate.any() else 1):
            more = self._extend(
                param, columns[separate], np.full(int(separate.sum()), g), value[separate], free[separate]
            )
            cells[g, separate] = more
        where = self.place.setdefault(param, np.full((n_groups, len(self.items)), -1, dtype=np.int64))
        where[:, columns] = cells
        return cells

    def add_latent(self, param: str, value: Any, free: Any, *, by_group: bool = True) -> IntArray:
        """(G,) new cells of a latent parameter; one shared cell where not ``by_group``."""
        n = len(self.groups) if by_group else 1
        code = np.arange(n) if by_group and n > 1 else np.full(n, SHARED)
        cells = self._extend(param, np.full(n, LATENT), code, value, free)
        cells = np.broadcast_to(cells, len(self.groups)).copy()
        self.latent.add(param)
        self.place[param] = cells[:, None]
        return cells

    def _extend(self, param: str, items: IntArray, groups: Any, value: Any, free: Any) -> IntArray:
        if param not in self.params:
            self.params.append(param)
        start, n = self.item.size, items.size
        cells = np.arange(start, start + n)
        self.param = np.append(self.param, np.full(n, self.params.index(param)))
        self.item, self.group = np.append(self.item, items), np.append(self.group, groups)
        self.tie = np.append(self.tie, cells)
        self.value = np.append(self.value, np.broadcast_to(np.asarray(value, dtype=np.float64), n))
        self.free = np.append(self.free, np.broadcast_to(np.asarray(free, dtype=np.bool_), n))
        self.given = np.append(self.given, np.zeros(n, dtype=np.bool_))
        return cells

    def merge(self, cells: Any) -> None:
        """Make cells equal. A fixed one fixes the others."""
        roots = np.unique(self.tie[np.asarray(cells, dtype=np.int64).ravel()])
        if roots.size > 1:
            self.tie[np.isin(self.tie, roots)] = roots[0]

    def merge_columns(self, cells: IntArray) -> None:
        """Make the cells of each column of (r, n) equal, none of them tied before."""
        self.tie[cells] = np.min(cells, axis=0)

    def fix(self, cells: Any, value: Any = None) -> None:
        """Hold cells, and so whatever is tied to them, at a value, or at the present one."""
        self._set(cells, value)
        self.free[cells] = False

    def release(self, cells: Any) -> None:
        """Estimate cells, and whatever is tied to them."""
        self.free[np.isin(self.tie, self.tie[cells])] = True

    def start(self, cells: Any, value: Any) -> None:
        """The user's starting values."""
        self._set(cells, value)

    def _set(self, cells: Any, value: Any) -> None:
        if value is not None:
            self._check_values(np.asarray(cells, dtype=np.int64), value)
            self.value[cells] = value
            self.given[cells] = True

    def _check_values(self, cells: IntArray, value: Any) -> None:
        values = np.broadcast_to(np.asarray(value, dtype=np.float64), cells.shape)
        for cell, number in zip(cells.tolist(), values.tolist(), strict=True):
            param = self.params[self.param[cell]]
            stem = param.partition("[")[0]
            if math.isnan(number) or (math.isinf(number) and not param.startswith("logit(")):
                raise ModelError(f"the value of {self.name(cell)} must be a finite number, not {number:g}")
            if (stem == "sd" and number <= 0) or (stem == "cluster_sd" and number < 0):
                raise ModelError(f"{self.name(cell)} is a standard deviation and must be positive, not {number:g}")
            if stem == "corr" and abs(number) >= 1:
                raise ModelError(f"{self.name(cell)} is a correlation between -1 and 1, not {number:g}")

    def table(self) -> tuple[Table, IntArray]:
        """The distinct numbers, item by item and the latent ones last, and the entry of each cell (n,).

        Raises:
            ModelError: cells that are tied are fixed at different values.
        """
        roots, label = np.unique(self.tie, return_inverse=True)
        free = np.ones(roots.size, dtype=np.bool_)
        np.logical_and.at(free, label, self.free)
        value = self._class_values(roots, label, free)
        order = self._order(roots)
        entry = np.empty(roots.size, dtype=np.int64)
        entry[order] = np.arange(roots.size)
        names = self._names(roots, label)
        priors: list[Any] = [None] * roots.size
        for cell, prior in self.prior.items():
            priors[entry[label[cell]]] = prior
        given = np.zeros(roots.size, dtype=np.bool_)
        np.logical_or.at(given, label, self.given)
        places = np.flatnonzero(free[order]).astype(np.int32)
        table = Table(
            tuple(names[i] for i in order),
            value[order],
            places,
            tuple(priors) if self.prior else (),
            tuple(np.flatnonzero(given[order]).tolist()),
        )
        return table, entry[label]

    def _order(self, roots: IntArray) -> IntArray:
        latent = self.item[roots] == LATENT
        item = np.where(latent, len(self.items), self.item[roots])
        last = np.where(latent, len(self.groups), 0)
        group = np.where(self.group[roots] == SHARED, last, self.group[roots])
        return np.lexsort((self.param[roots], group, item))

    def _class_values(self, roots: IntArray, label: IntArray, free: npt.NDArray[np.bool_]) -> FloatArray:
        """The value of the first cell of the highest rank: fixed by the user, fixed, given as a start, any."""
        value, highest = self.value[roots].copy(), np.zeros(roots.size, dtype=np.int64)
        rank = 2 * ~self.free + self.given
        for wanted in (1, 2, 3):
            cells = np.flatnonzero(rank == wanted)[::-1]
            value[label[cells]], highest[label[cells]] = self.value[cells], wanted
        clash = np.flatnonzero(~self.free & (rank == highest[label]) & (self.value != value[label]))
        if clash.size:
            other = roots[label[clash[0]]]
            raise ModelError(
                f"{self.name(int(clash[0]))} and {self.name(int(other))} must be equal, but are fixed at "
                f"{self.value[clash[0]]:g} and {value[label[clash[0]]]:g}; fix them at the same value or untie them"
            )
        return value

    def name(self, cell: int) -> str:
        """Name of one cell as if it were alone: ``a1[Item.1|girls]``."""
        return self._name(self.params[self.param[cell]], [int(self.item[cell])], int(self.group[cell]))

    def _names(self, roots: IntArray, label: IntArray) -> list[str]:
        params, items, groups = self.params, self.items, self.groups
        size = np.bincount(label, minlength=roots.size)
        names = []
        for i, root in enumerate(roots.tolist()):
            if size[i] > 1:
                names.append("")
            elif self.item[root] >= 0 and self.group[root] < 0:
                names.append(f"{params[self.param[root]]}[{items[self.item[root]]}]")
            else:
                names.append(self.name(root))
        if (size > 1).any():
            order = np.argsort(label, kind="stable")
            ends = np.cumsum(size)
            for i in np.flatnonzero(size > 1).tolist():
                names[i] = self._tied_name(order[ends[i] - size[i] : ends[i]])
        return _distinct(names, groups)

    def _tied_name(self, members: IntArray) -> str:
        params = list(dict.fromkeys(self.params[p] for p in self.param[members].tolist()))
        codes = np.unique(self.group[members])
        group = int(codes[0]) if codes.size == 1 else SHARED
        if len(params) > 1:
            return "=".join(self.name(int(cell)) for cell in members[:3]) + ("=..." if members.size > 3 else "")
        holders = np.flatnonzero((self.place[params[0]] >= 0).any(axis=0))
        items = list(dict.fromkeys(self.item[members].tolist()))
        return self._name(params[0], [] if len(items) == holders.size and len(items) > 1 else items, group)

    def _name(self, param: str, items: list[int], group: int) -> str:
        if group >= 0 and len(self.groups) > 1:
            suffix = f"|{self.groups[group]}"
        else:
            suffix = ""
        if param in self.latent:
            return f"{param[:-1]}{suffix}]" if suffix else param
        if len(items) > 3:
            inside = f"{self.items[items[0]]}=...={self.items[items[-1]]}"
        else:
            inside = "=".join(self.items[i] for i in items)
        return f"{param}[{inside}{suffix}]" if inside or suffix else param


def _distinct(names: list[str], groups: tuple[str, ...]) -> list[str]:
    """The names, numbered where two are equal."""
    if len(set(names)) == len(names):
        return names
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return out
