"""Conditional fits on disk: see ``archive`` for the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmix.estimate.irt.cml import CmlSolution
from jmix.estimate.irt.cml_data import cml_data
from jmix.estimate.irt.cml_design import CmlDesign
from jmix.results.archive import CML, Arrays, floats, require, write
from jmix.results.irt.io_responses import pack_responses, unpack_responses

if TYPE_CHECKING:
    from jmix.results.irt.cml_result import CmlFit

_SOLUTION = ("loglik", "decrement", "n_evaluations", "n_hessians", "converged")


def save(fit: CmlFit, path: str | Path) -> None:
    """Write a fit with its responses to exactly ``path``.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    solution, design = fit.solution, fit.design
    arrays: Arrays = {"eta": solution.eta, "hessian": solution.hessian, "matrix": design.matrix}
    meta = {
        "model": design.model,
        "names": list(design.names),
        "responses": pack_responses(fit.responses, arrays),
        "solution": {name: getattr(solution, name) for name in _SOLUTION},
        "notes": list(fit.notes),
    }
    write(path, CML, meta, arrays)


def unpack(meta: dict[str, Any], arrays: Arrays) -> CmlFit:
    """The fit of a file; any of ``archive.UNREADABLE`` where its parts do not fit together."""
    from jmix.results.irt.cml_result import CmlFit

    responses = unpack_responses(meta["responses"], arrays)
    data = cml_data(responses)
    names = tuple(map(str, meta["names"]))
    p = len(names)
    design = CmlDesign(str(meta["model"]), names, floats(arrays["matrix"], (data.n_categories, p)))
    entry = meta["solution"]
    require(isinstance(entry["converged"], bool))
    solution = CmlSolution(
        floats(arrays["eta"], (p,)),
        floats(arrays["hessian"], (p, p)),
        float(entry["loglik"]),
        float(entry["decrement"]),
        int(entry["n_evaluations"]),
        int(entry["n_hessians"]),
        entry["converged"],
    )
    return CmlFit(responses, data, design, solution, tuple(map(str, meta["notes"])))
