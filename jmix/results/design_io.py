"""A design, the data and the encoding of its formula, as arrays and JSON types."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.results.archive import Arrays, floats, require
from jmix.results.index import decode_index, encode_index
from jmix.spec.covariance import CovarianceSpec, Term


def pack_spec(spec: CovarianceSpec) -> list[dict[str, Any]]:
    """The random terms as plain JSON types."""
    return [{"group": t.group, "names": list(t.names)} for t in spec.terms]


def unpack_spec(meta: list[dict[str, Any]], terms: tuple[RandomTerm, ...]) -> CovarianceSpec:
    """The inverse of ``pack_spec``; ValueError where it does not describe ``terms``."""
    spec = CovarianceSpec(tuple(Term(t["group"], tuple(t["names"])) for t in meta))
    require([(t.group, tuple(t.names)) for t in terms] == [(t.group, t.names) for t in spec.terms])
    return spec


def pack_design(design: Design, arrays: Arrays) -> dict[str, Any]:
    """Put the arrays of a design into ``arrays``; returns the rest as plain JSON types."""
    arrays |= {"y": design.y, "X": design.X}
    arrays |= {name: value for name in ("weights", "offset") if (value := getattr(design, name)) is not None}
    return {
        "formula": design.formula,
        "y_name": design.y_name,
        "x_names": list(design.x_names),
        "dropped": list(design.dropped),
        "n_missing": design.n_missing,
        "encoding": None if design.encoding is None else design.encoding.to_dict(),
        "index": encode_index(design.index, "index", arrays),
        "random": [_pack_term(term, f"random.{i}", design.X, arrays) for i, term in enumerate(design.random)],
        "columns": None if design.columns is None else _pack_columns(design, arrays),
    }


def _pack_columns(design: Design, arrays: Arrays) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for i, (name, value) in enumerate((design.columns or {}).items()):
        key, meta = f"columns.{i}", {"name": name}
        if isinstance(value, np.ndarray):
            same = [j for j in range(design.X.shape[1]) if np.array_equal(design.X[:, j], value)]
            out.append(meta | ({"fixed": same[0]} if same else {"array": key}))
            arrays |= {} if same else {key: value}
        else:
            arrays[key] = value.codes
            out.append(
                meta | {"codes": key, "levels": list(value.levels), "ordered": value.ordered, "logical": value.logical}
            )
    return out


def _unpack_columns(meta: list[dict[str, Any]] | None, X: npt.NDArray[np.float64], arrays: Arrays) -> Any:
    from jmix.formula.values import Categories

    if meta is None:
        return None
    out: dict[str, Any] = {}
    for column in meta:
        if "codes" in column:
            codes = arrays[column["codes"]]
            require(codes.shape == (X.shape[0],) and codes.dtype == np.int32 and codes.max() < len(column["levels"]))
            value: Any = Categories(codes, list(column["levels"]), bool(column["ordered"]), bool(column["logical"]))
        else:
            value = _unpack_column(column, X, arrays)
            require(value.shape == (X.shape[0],))
        out[str(column["name"])] = value
    return out


def _pack_term(term: RandomTerm, key: str, X: npt.NDArray[np.float64], arrays: Arrays) -> dict[str, Any]:
    arrays[f"{key}.codes"] = term.codes
    columns: list[dict[str, Any]] = []
    for i, column in enumerate(term.columns):
        same = [j for j in range(X.shape[1]) if np.array_equal(X[:, j], column)]
        if column.strides == (0,):
            columns.append({"constant": float(column[0])})
        elif same:
            columns.append({"fixed": same[0]})
        else:
            arrays[f"{key}.{i}"] = column
            columns.append({"array": f"{key}.{i}"})
    names = {"group": term.group, "levels": list(term.levels), "names": list(term.names)}
    return names | {"codes": f"{key}.codes", "columns": columns}


def unpack_design(meta: dict[str, Any], arrays: Arrays) -> Design:
    """The inverse of ``pack_design``; any of ``archive.UNREADABLE`` where the parts do not fit together."""
    y, X = floats(arrays["y"]), np.asfortranarray(floats(arrays["X"]))
    n = y.size
    optional = {name: floats(arrays[name]) if name in arrays else None for name in ("weights", "offset")}
    index = decode_index(meta["index"], arrays)
    require(y.shape == (n,) and X.shape == (n, len(meta["x_names"])) and len(index) == n)
    require(all(value is None or value.shape == (n,) for value in optional.values()))
    return Design(
        formula=str(meta["formula"]),
        y=y,
        y_name=str(meta["y_name"]),
        X=X,
        x_names=list(meta["x_names"]),
        dropped=tuple(meta["dropped"]),
        random=tuple(_unpack_term(term, X, arrays) for term in meta["random"]),
        n_missing=int(meta["n_missing"]),
        index=index,
        encoding=unpack_encoding(meta["encoding"]),
        columns=_unpack_columns(meta.get("columns"), X, arrays),
        **optional,
    )


def unpack_encoding(state: dict[str, Any] | None) -> Any:
    """The encoding of a formula from its ``to_dict``."""
    from jmix.formula.encoding import Encoding

    return None if state is None else Encoding.from_dict(state)


def _unpack_term(meta: dict[str, Any], X: npt.NDArray[np.float64], arrays: Arrays) -> RandomTerm:
    n, levels, codes = X.shape[0], list(meta["levels"]), arrays[meta["codes"]]
    require(codes.shape == (n,) and codes.dtype == np.int32 and codes.min() >= 0 and codes.max() < len(levels))
    columns = tuple(_unpack_column(column, X, arrays) for column in meta["columns"])
    require(len(columns) == len(meta["names"]) and all(c.shape == (n,) for c in columns))
    return RandomTerm(str(meta["group"]), levels, codes, list(meta["names"]), columns)


def _unpack_column(meta: dict[str, Any], X: npt.NDArray[np.float64], arrays: Arrays) -> npt.NDArray[np.float64]:
    if "constant" in meta:
        return np.broadcast_to(np.float64(meta["constant"]), (X.shape[0],))
    return X[:, meta["fixed"]] if "fixed" in meta else floats(arrays[meta["array"]])
