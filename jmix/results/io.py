"""Fits on disk: one ``.npz`` archive of plain arrays and JSON text, without pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import DataError, JmixError
from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import build_objective
from jmix.estimate.status import Status
from jmix.results.index import decode_index, encode_index
from jmix.spec.covariance import CovarianceSpec, Term

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FORMAT = 1
"""Version of the layout; raised when a reader of the previous one could no longer read the file."""

_KIND = "jmix-fit"
_SOLUTION = ("theta", "phi", "hessian", "beta", "vcov", "contrast")
_UNREADABLE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, JmixError, np.linalg.LinAlgError,
)  # fmt: skip

Arrays = dict[str, npt.NDArray[Any]]


def save(fit: Fit, path: str | Path) -> None:
    """Write a fit, with the arrays of its design, to exactly ``path``; the file appears when it is complete.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    target = Path(path)
    arrays: Arrays = {}
    meta = {
        "kind": _KIND,
        "format": FORMAT,
        "method": fit.method,
        "spec": [{"group": t.group, "names": list(t.names)} for t in fit.spec.terms],
        "solution": {
            "sigma": fit.solution.sigma,
            "criterion": fit.solution.criterion,
            "status": asdict(fit.solution.status),
        },
        "design": _pack_design(fit.design, arrays),
    }
    arrays |= {f"solution.{name}": getattr(fit.solution, name) for name in _SOLUTION}
    arrays["meta"] = np.frombuffer(json.dumps(meta, default=_plain_number).encode("utf-8"), dtype=np.uint8)
    try:
        _write(target, arrays)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(target)!r}: {reason}; choose a folder that exists and allows it") from error


def _write(target: Path, arrays: Arrays) -> None:
    partial = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        with partial.open("xb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def load_fit(path: str | Path) -> Fit:
    """Read a fit that ``Fit.save`` wrote: it does all that the original did. Nothing in the file is executed.

    Raises:
        DataError: there is no such file, it is not a saved fit, it is damaged, or a later version of jmix wrote it.
    """
    target = Path(path)
    if not target.is_file():
        raise DataError(f"there is no file {str(target)!r}; save a fit with fit.save(path)")
    meta, arrays = _read(target)
    if meta["format"] != FORMAT:
        raise DataError(
            f"{str(target)!r} has format {meta['format']}, this version of jmix reads {FORMAT}; "
            "fit and save the model again"
        )
    try:
        return _build(meta, arrays)
    except _UNREADABLE as error:
        raise DataError(f"{str(target)!r} is a damaged jmix fit; fit and save the model again") from error


def _read(target: Path) -> tuple[dict[str, Any], Arrays]:
    try:
        archive = np.load(target, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with archive:
            meta = json.loads(archive["meta"].tobytes().decode("utf-8"))
            if meta["kind"] != _KIND or not isinstance(meta["format"], int):
                raise ValueError("another kind of archive")
            return meta, {name: archive[name] for name in archive.files if name != "meta"}
    except _UNREADABLE as error:
        raise DataError(
            f"{str(target)!r} is not a fit that jmix saved, or it is damaged; fit and save the model again"
        ) from error


def _build(meta: dict[str, Any], arrays: Arrays) -> Fit:
    from jmix.results.fit import Fit

    design = _unpack_design(meta["design"], arrays)
    terms = design.terms
    spec = CovarianceSpec(tuple(Term(t["group"], tuple(t["names"])) for t in meta["spec"]))
    _require([(t.group, tuple(t.names)) for t in terms] == [(t.group, t.names) for t in spec.terms])
    solution = _unpack_solution(meta["solution"], arrays)
    k, p = spec.n_theta, len(design.x_names)
    shapes = {"theta": (k,), "phi": (k,), "hessian": (k, k), "beta": (p,), "vcov": (p, p), "contrast": (p + 1,)}
    _require(all(getattr(solution, name).shape == shape for name, shape in shapes.items()))
    objective = build_objective(design, terms, spec) if terms else None
    return Fit(design, spec, terms, meta["method"], solution, objective)


def _unpack_solution(meta: dict[str, Any], arrays: Arrays) -> LmmSolution:
    status = Status(**(meta["status"] | {"messages": tuple(meta["status"]["messages"])}))
    values = {name: _floats(arrays[f"solution.{name}"]) for name in _SOLUTION}
    return LmmSolution(sigma=float(meta["sigma"]), criterion=float(meta["criterion"]), status=status, **values)


def _pack_design(design: Design, arrays: Arrays) -> dict[str, Any]:
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
    }


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


def _unpack_design(meta: dict[str, Any], arrays: Arrays) -> Design:
    y, X = _floats(arrays["y"]), np.asfortranarray(_floats(arrays["X"]))
    n = y.size
    optional = {name: _floats(arrays[name]) if name in arrays else None for name in ("weights", "offset")}
    index = decode_index(meta["index"], arrays)
    _require(y.shape == (n,) and X.shape == (n, len(meta["x_names"])) and len(index) == n)
    _require(all(value is None or value.shape == (n,) for value in optional.values()))
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
        encoding=_unpack_encoding(meta["encoding"]),
        **optional,
    )


def _unpack_encoding(state: dict[str, Any] | None) -> Any:
    from jmix.formula.encoding import Encoding

    return None if state is None else Encoding.from_dict(state)


def _unpack_term(meta: dict[str, Any], X: npt.NDArray[np.float64], arrays: Arrays) -> RandomTerm:
    n, levels, codes = X.shape[0], list(meta["levels"]), arrays[meta["codes"]]
    _require(codes.shape == (n,) and codes.dtype == np.int32 and codes.min() >= 0 and codes.max() < len(levels))
    columns = tuple(_unpack_column(column, X, arrays) for column in meta["columns"])
    _require(len(columns) == len(meta["names"]) and all(c.shape == (n,) for c in columns))
    return RandomTerm(str(meta["group"]), levels, codes, list(meta["names"]), columns)


def _unpack_column(meta: dict[str, Any], X: npt.NDArray[np.float64], arrays: Arrays) -> npt.NDArray[np.float64]:
    if "constant" in meta:
        return np.broadcast_to(np.float64(meta["constant"]), (X.shape[0],))
    return X[:, meta["fixed"]] if "fixed" in meta else _floats(arrays[meta["array"]])


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _floats(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    _require(values.dtype == np.float64)
    return values


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("the arrays of the file do not fit together")
