"""Generalized linear mixed models on disk: see ``archive`` for the file."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.design_response import GlmmDesign, Response, Side
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.status import Status
from jmix.families import Family
from jmix.results.archive import GLMM, Arrays, floats, require, write
from jmix.results.design_io import pack_design, pack_spec, unpack_design, unpack_encoding, unpack_spec
from jmix.results.glmm_parts import parts_of

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

_VECTORS = ("x", "gradient", "se", "unbounded", "boundary")
_MATRICES = ("hessian", "vcov")
_NATURAL = ("beta", "theta", "disp", "zi", "thresholds")


def save(fit: GlmmFit, path: str | Path) -> None:
    """Write a fit, with the arrays of its design and the modes of its random effects, to exactly ``path``.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    solution, objective = fit.solution, fit.objective
    arrays: Arrays = {}
    meta = {
        "spec": pack_spec(fit.spec),
        "solution": {
            "loglik": solution.loglik,
            "method": solution.method,
            "shape": solution.shape,
            "status": asdict(solution.status),
        },
        "objective": {"n_agq": objective.n_agq, "method": objective.method, "n_points": fit.n_points},
        "design": pack_glmm_design(fit.design, arrays),
    }
    arrays |= {f"solution.{name}": getattr(solution, name) for name in (*_VECTORS, *_MATRICES, *_NATURAL)}
    arrays |= {f"modes.{i}": fit.modes[g] for i, g in enumerate(fit.spec.groups)}
    arrays |= {f"mode_covariances.{i}": fit.mode_covariances[g] for i, g in enumerate(fit.spec.groups)}
    write(path, GLMM, meta, arrays)


def pack_glmm_design(design: GlmmDesign, arrays: Arrays) -> dict[str, Any]:
    """Put the arrays of a design into ``arrays``; returns the rest as plain JSON types."""
    out = pack_design(design.base, arrays)
    response = design.response
    arrays |= {f"response.{name}": v for name in ("y", "size") if (v := getattr(response, name)) is not None}
    if design.weights is not None:
        arrays["multipliers"] = design.weights
    sides = {name: _pack_side(getattr(design, name), name, arrays) for name in ("disp", "zi")}
    return {"base": out, "family": asdict(design.family), "levels": list(response.levels), "sides": sides}


def _pack_side(side: Side | None, key: str, arrays: Arrays) -> dict[str, Any] | None:
    if side is None:
        return None
    arrays[f"side.{key}"] = side.X
    return {"names": list(side.names), "formula": side.formula, "encoding": side.encoding.to_dict()}


def unpack(meta: dict[str, Any], arrays: Arrays) -> GlmmFit:
    """The fit of a file; any of ``archive.UNREADABLE`` where its parts do not fit together."""
    from jmix.results.glmm_fit import GlmmFit

    design = unpack_glmm_design(meta["design"], arrays)
    terms = design.terms
    spec = unpack_spec(meta["spec"], terms)
    solution = _unpack_solution(meta["solution"], arrays)
    sizes = {name: part.stop - part.start for name, part in parts_of(design, spec).slices.items()}
    d = sum(sizes.values())
    require(all(getattr(solution, name).shape == (d,) for name in _VECTORS))
    require(all(getattr(solution, name).shape == (d, d) for name in _MATRICES))
    require(all(getattr(solution, n).shape == (sizes["cond" if n == "beta" else n],) for n in _NATURAL))
    options = meta["objective"]
    objective = build_glmm_objective(
        design,
        spec,
        terms,
        n_agq=max(int(options["n_agq"]), 1),
        method=options["method"],
        n_points=int(options["n_points"]),
    )
    fit = GlmmFit(design, spec, terms, solution, objective)
    for name in ("modes", "mode_covariances"):  # the very numbers, not those of another search
        vars(fit)[name] = {g: floats(arrays[f"{name}.{i}"]) for i, g in enumerate(spec.groups)}
    levels, q = fit.ngrps(), spec.group_q
    require(all(fit.modes[g].shape == (levels[g], q(g)) for g in spec.groups))
    require(all(fit.mode_covariances[g].shape == (levels[g], q(g), q(g)) for g in spec.groups))
    return fit


def unpack_glmm_design(meta: dict[str, Any], arrays: Arrays) -> GlmmDesign:
    """The inverse of ``pack_glmm_design``; any of ``archive.UNREADABLE`` where the parts do not fit together."""
    base = unpack_design(meta["base"], arrays)
    n = base.y.shape
    size = floats(arrays["response.size"], n) if "response.size" in arrays else None
    response = Response(floats(arrays["response.y"], n), size, tuple(map(str, meta["levels"])))
    weights = floats(arrays["multipliers"], n) if "multipliers" in arrays else None
    family = Family(**meta["family"])
    require(family.n_categories == (len(response.levels) if family.name == "cumulative" else 0))
    sides = {name: _unpack_side(meta["sides"][name], name, n[0], arrays) for name in ("disp", "zi")}
    require(
        bool(family.has_dispersion) == (sides["disp"] is not None) and bool(family.zero) == (sides["zi"] is not None)
    )
    return GlmmDesign(base, family, response, weights, **sides)


def _unpack_side(meta: dict[str, Any] | None, key: str, n: int, arrays: Arrays) -> Side | None:
    if meta is None:
        return None
    X = np.asfortranarray(floats(arrays[f"side.{key}"], (n, len(meta["names"]))))
    return Side(X, list(map(str, meta["names"])), str(meta["formula"]), unpack_encoding(meta["encoding"]))


def _unpack_solution(meta: dict[str, Any], arrays: Arrays) -> GlmmSolution:
    status = Status(**(meta["status"] | {"messages": tuple(meta["status"]["messages"])}))
    names = {f.name for f in fields(GlmmSolution)} - {"loglik", "status", "method", "shape"}
    values = {name: arrays[f"solution.{name}"] for name in names}
    for name, value in values.items():
        require(value.dtype == (np.bool_ if name in ("unbounded", "boundary") else np.float64))
    shape = None if meta["shape"] is None else float(meta["shape"])
    return GlmmSolution(loglik=float(meta["loglik"]), status=status, method=str(meta["method"]), shape=shape, **values)
