"""The specification with some items' parameters of their own in every group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.spec.irt.spec import Block, Index, IrtSpec, Table

FloatArray = npt.NDArray[np.float64]

PARAMETERS = ("all", "a", "d")


def separate_items(spec: IrtSpec) -> tuple[str, ...]:
    """Names of the items of which some parameter differs between groups."""
    out = []
    for block in spec.blocks:
        for at, column in enumerate(block.columns):
            numbers = np.concatenate([block.slopes[:, at], block.own[:, at]], axis=1)
            if (numbers != numbers[:1]).any():
                out.append(spec.items[column])
    return tuple(name for name in spec.items if name in set(out))


def joined(spec: IrtSpec) -> IrtSpec:
    """All items the same in every group, with the numbers of the first; entries that no item uses are not free."""
    blocks = tuple(
        replace(
            block,
            slopes=np.repeat(block.slopes[:1], len(spec.groups), axis=0),
            own=np.repeat(block.own[:1], len(spec.groups), axis=0),
        )
        for block in spec.blocks
    )
    used = _item_places(spec)
    kept = _item_places(replace(spec, blocks=blocks))
    lost = np.setdiff1d(used, kept)
    free = spec.table.free[~np.isin(spec.table.free, lost)]
    return replace(spec, blocks=blocks, table=replace(spec.table, free=free))


def released(spec: IrtSpec, items: Sequence[str], parameters: str = "all") -> IrtSpec:
    """The items' free parameters apart in every group.

    Args:
        spec: groups share the items. items: names. parameters: "all", "a" the slopes, or "d" what is not a slope.

    Raises:
        ModelError: an item none of whose parameters can be freed, as they are fixed or shared with other items.
    """
    if not items:
        return spec
    table = spec.table
    names, values, free = list(table.names), list(table.values), list(table.free)
    priors = list(table.priors) or [None] * len(names)
    uses = _uses(spec)
    free_places = set(table.free.tolist())
    blocks = []
    done: set[str] = set()
    for block in spec.blocks:
        arrays = {"a": block.slopes.copy(), "d": block.own.copy()}
        for at, column in enumerate(block.columns):
            if spec.items[column] not in items:
                continue
            for letter, places in arrays.items():
                for slot in range(places.shape[2]) if parameters in ("all", letter) else ():
                    place = int(places[0, at, slot])
                    if place not in free_places or uses[place] > 1:
                        continue
                    done.add(spec.items[column])
                    for g in range(1, len(spec.groups)):
                        places[g, at, slot] = len(names)
                        free.append(len(names))
                        names.append(_named(names[place], spec.groups[g]))
                        values.append(values[place])
                        priors.append(priors[place])
                    names[place] = _named(names[place], spec.groups[0])
        blocks.append(replace(block, slopes=arrays["a"], own=arrays["d"]))
    missing = [name for name in items if name not in done]
    if missing:
        raise ModelError(
            f"item {missing[0]!r} has no free parameter of its own ({parameters}) that could differ by group"
        )
    new = Table(tuple(names), np.asarray(values), np.asarray(free, dtype=np.int32), tuple(priors))
    return replace(spec, blocks=tuple(blocks), table=new)


def contrasts(spec: IrtSpec, item: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(k,) numbers in x of the item's parameters that differ: those of other groups, and those of the first."""
    place_of = {int(place): i for i, place in enumerate(spec.table.free)}
    block, at = _find(spec, item)
    other, first = [], []
    for places in (block.slopes, block.own):
        for slot in range(places.shape[2]):
            for g in range(1, places.shape[0]):
                here, there = int(places[g, at, slot]), int(places[0, at, slot])
                if here != there:
                    other.append(place_of[here])
                    first.append(place_of[there])
    return np.array(other, dtype=np.int64), np.array(first, dtype=np.int64)


def carried(spec: IrtSpec, x: FloatArray, target: IrtSpec) -> FloatArray:
    """Values of ``x`` for another specification of the items, those of a group from the number they split off."""
    known = dict(zip(spec.table.free_names, np.asarray(x).tolist(), strict=True))
    out = []
    for place, name in zip(target.table.free, target.table.free_names, strict=True):
        plain = _plain(name, target.groups)
        ways = (name, plain, _named(plain, target.groups[0]))
        out.append(next((known[way] for way in ways if way in known), float(target.table.values[place])))
    return np.array(out)


def _named(name: str, group: str) -> str:
    return f"{name[:-1]}|{group}]" if name.endswith("]") else f"{name}|{group}"


def _plain(name: str, groups: Sequence[str]) -> str:
    for group in groups:
        if name.endswith(f"|{group}]"):
            return name[: -len(group) - 2] + "]"
    return name


def _find(spec: IrtSpec, item: str) -> tuple[Block, int]:
    column = spec.items.index(item)
    for block in spec.blocks:
        if column in block.columns:
            return block, block.columns.index(column)
    raise ModelError(f"there is no item {item!r}")


def _item_places(spec: IrtSpec) -> Index:
    arrays = [a.ravel() for block in spec.blocks for a in (block.slopes, block.own)]
    return np.unique(np.concatenate(arrays))


def _uses(spec: IrtSpec) -> npt.NDArray[np.int64]:
    """(M,) by how many places of the first group's items, the latent distribution and regressions a number is used."""
    count = np.zeros(spec.table.values.size, dtype=np.int64)
    for block in spec.blocks:
        for places in (block.slopes[0], block.own[0]):
            for row in places:
                count[np.unique(row)] += 1
    for part in spec.linear:
        count[part.source] += 2
        count[part.target] += 2
    return count
