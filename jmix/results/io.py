"""Fits on disk: see ``archive`` for the file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmix.estimate.lmm import LmmSolution
from jmix.estimate.objective import build_objective
from jmix.estimate.status import Status
from jmix.results.archive import CML, FIT, GLMM, IRT, UNREADABLE, Arrays, damaged, floats, read, require, write
from jmix.results.design_io import pack_design, pack_spec, unpack_design, unpack_spec

if TYPE_CHECKING:
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.irt.cml_result import CmlFit
    from jmix.results.irt.fit import IrtFit

_SOLUTION = ("theta", "phi", "hessian", "beta", "vcov", "contrast")


def save(fit: Fit, path: str | Path) -> None:
    """Write a fit, with the arrays of its design, to exactly ``path``; the file appears when it is complete.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    solution = fit.solution
    arrays: Arrays = {}
    meta = {
        "method": fit.method,
        "spec": pack_spec(fit.spec),
        "solution": {"sigma": solution.sigma, "criterion": solution.criterion, "status": asdict(solution.status)},
        "design": pack_design(fit.design, arrays),
    }
    arrays |= {f"solution.{name}": getattr(solution, name) for name in _SOLUTION}
    if solution.laplace is not None:
        arrays["solution.laplace"] = solution.laplace
    write(path, FIT, meta, arrays)


def load_fit(path: str | Path) -> Fit | GlmmFit | IrtFit | CmlFit:
    """Read a fit that its ``save`` wrote: it does all that the original did. Nothing in the file is executed.

    Raises:
        DataError: there is no such file, it is not a saved fit, it is damaged, or a later version of jmix wrote it.
    """
    meta, arrays = read(path, FIT, GLMM, IRT, CML)
    try:
        if meta["kind"] == FIT.name:
            return _build(meta, arrays)
        if meta["kind"] == IRT.name:
            from jmix.results.irt import io

            return io.unpack(meta, arrays)
        if meta["kind"] == CML.name:
            from jmix.results.irt import cml_io

            return cml_io.unpack(meta, arrays)
        from jmix.results.glmm_io import unpack

        return unpack(meta, arrays)
    except UNREADABLE as error:
        raise damaged(path, FIT) from error


def _build(meta: dict[str, Any], arrays: Arrays) -> Fit:
    from jmix.results.fit import Fit

    design = unpack_design(meta["design"], arrays)
    terms = design.terms
    spec = unpack_spec(meta["spec"], terms)
    solution = _unpack_solution(meta["solution"], arrays)
    k, p = spec.n_theta, len(design.x_names)
    shapes = {"theta": (k,), "phi": (k,), "hessian": (k, k), "beta": (p,), "vcov": (p, p), "contrast": (p + 1,)}
    require(all(getattr(solution, name).shape == shape for name, shape in shapes.items()))
    require(solution.laplace is None or solution.laplace.shape == (p + k + 1, p + k + 1))
    objective = build_objective(design, terms, spec) if terms else None
    return Fit(design, spec, terms, meta["method"], solution, objective)


def _unpack_solution(meta: dict[str, Any], arrays: Arrays) -> LmmSolution:
    status = Status(**(meta["status"] | {"messages": tuple(meta["status"]["messages"])}))
    values = {name: floats(arrays[f"solution.{name}"]) for name in _SOLUTION}
    laplace = floats(arrays["solution.laplace"]) if "solution.laplace" in arrays else None
    return LmmSolution(
        sigma=float(meta["sigma"]), criterion=float(meta["criterion"]), status=status, laplace=laplace, **values
    )
