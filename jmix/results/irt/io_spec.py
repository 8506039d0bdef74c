"""The specification of an item response model as arrays and JSON types."""

from __future__ import annotations

from typing import Any

import numpy as np

from jmix.results.archive import Arrays, floats, require
from jmix.spec.irt.spec import Block, Index, IrtSpec, Linear, Table

_NAMES = ("items", "factors", "groups", "itemtypes", "covariates")
_OPTIONAL = ("regression", "cluster_sd", "specific", "density")


def pack_spec(spec: IrtSpec, arrays: Arrays) -> dict[str, Any]:
    """Put the arrays of a specification into ``arrays``; returns the rest as plain JSON types."""
    arrays |= {f"spec.{name}": getattr(spec, name) for name in ("mean", "sd", "corr")}
    arrays |= {f"spec.{name}": v for name in _OPTIONAL if (v := getattr(spec, name)) is not None}
    arrays |= {"table.values": spec.table.values, "table.free": spec.table.free}
    for i, block in enumerate(spec.blocks):
        arrays |= {f"block.{i}.slopes": block.slopes, f"block.{i}.own": block.own}
        arrays[f"block.{i}.columns"] = np.asarray(block.columns, dtype=np.int64)
    for i, part in enumerate(spec.linear):
        arrays |= {f"linear.{i}.{name}": getattr(part, name) for name in ("target", "matrix", "source")}
    return {name: list(getattr(spec, name)) for name in _NAMES} | {
        "blocks": [{"kind": block.kind, "n_categories": block.n_categories} for block in spec.blocks],
        "n_linear": len(spec.linear),
        "exploratory": spec.exploratory,
        "table": {"names": list(spec.table.names), "priors": _pack_priors(spec.table)},
    }


def unpack_spec(meta: dict[str, Any], arrays: Arrays) -> IrtSpec:
    """The inverse of ``pack_spec``; any of ``archive.UNREADABLE`` where the parts do not fit together."""
    table = Table(
        tuple(map(str, meta["table"]["names"])),
        floats(arrays["table.values"], (len(meta["table"]["names"]),)),
        _index(arrays["table.free"]),
        _unpack_priors(meta["table"]),
    )
    blocks = tuple(
        Block(
            str(entry["kind"]),
            tuple(int(j) for j in arrays[f"block.{i}.columns"]),
            int(entry["n_categories"]),
            _index(arrays[f"block.{i}.slopes"]),
            _index(arrays[f"block.{i}.own"]),
        )
        for i, entry in enumerate(meta["blocks"])
    )
    linear = tuple(
        Linear(
            _index(arrays[f"linear.{i}.target"]), floats(arrays[f"linear.{i}.matrix"]),
            _index(arrays[f"linear.{i}.source"]),
        )
        for i in range(int(meta["n_linear"]))
    )  # fmt: skip
    parts: dict[str, Any] = {name: tuple(map(str, meta[name])) for name in _NAMES}
    parts |= {name: _index(arrays[f"spec.{name}"]) for name in ("mean", "sd", "corr")}
    parts |= {name: _index(arrays[f"spec.{name}"]) for name in _OPTIONAL if f"spec.{name}" in arrays}
    spec = IrtSpec(blocks=blocks, table=table, linear=linear, exploratory=bool(meta["exploratory"]), **parts)
    _check(spec)
    return spec


def _index(values: Any) -> Index:
    require(values.dtype.kind == "i")
    return np.asarray(values, dtype=np.int32)


def _check(spec: IrtSpec) -> None:
    """Every place exists and every item is in one block."""
    g, d, size = len(spec.groups), spec.n_factors, spec.table.values.size
    require(sorted(j for block in spec.blocks for j in block.columns) == list(range(len(spec.items))))
    require(spec.mean.shape == (g, d) and spec.sd.shape == (g, d) and spec.corr.shape == (g, d * (d - 1) // 2))
    places = [spec.table.free, spec.mean, spec.sd, spec.corr]
    for block in spec.blocks:
        require(block.slopes.shape == (g, len(block.columns), d) and block.own.shape[:2] == block.slopes.shape[:2])
        places += [block.slopes, block.own]
    require(all(p.size == 0 or (p.min() >= 0 and p.max() < size) for p in places))


def _pack_priors(table: Table) -> list[dict[str, Any]]:
    """Each distinct prior once, with the numbers that it is for."""
    from jmix.results.prior_io import pack_prior
    from jmix.spec.irt.priors import EntryPrior

    found: dict[int, dict[str, Any]] = {}
    for place, prior in enumerate(table.priors):
        if prior is None:
            continue
        if id(prior) not in found:
            inner = prior.prior if isinstance(prior, EntryPrior) else prior
            scale = {"probability": bool(prior.probability)} if isinstance(prior, EntryPrior) else {}
            found[id(prior)] = {"prior": pack_prior(inner, table.names[place]), "places": [], **scale}
        found[id(prior)]["places"].append(place)
    return list(found.values())


def _unpack_priors(meta: dict[str, Any]) -> tuple[Any, ...]:
    if not meta["priors"]:
        return ()
    from jmix.results.prior_io import unpack_prior
    from jmix.spec.irt.priors import EntryPrior

    out: list[Any] = [None] * len(meta["names"])
    for entry in meta["priors"]:
        prior: Any = unpack_prior(entry["prior"])
        if "probability" in entry:
            prior = EntryPrior(prior, bool(entry["probability"]))
        for place in entry["places"]:
            out[int(place)] = prior
    return tuple(out)
