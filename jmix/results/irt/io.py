"""Item response fits on disk: see ``archive`` for the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.status import Status
from jmix.likelihood.irt.marginal import Integration
from jmix.results.archive import IRT, Arrays, floats, require, write
from jmix.results.irt.io_responses import pack_responses, unpack_responses
from jmix.results.irt.io_spec import pack_spec, unpack_spec
from jmix.results.irt.rebuild import histogram_of, rebuilt

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

_NUMBERS = ("loglik", "log_prior", "quadrature_error")
_COUNTS = ("n_evaluations", "n_hessians")


class LazyMarginal:
    """A marginal likelihood that is built when something of it is asked for."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if "_built" not in vars(self):
            self._built = self._build()
        return getattr(self._built, name)


def save(fit: IrtFit, path: str | Path) -> None:
    """Write a fit with its responses to exactly ``path``.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    arrays: Arrays = {"x": np.asarray(fit.solution.x, dtype=np.float64)}
    solution = fit.solution
    meta = {
        "spec": pack_spec(fit.spec, arrays),
        "responses": pack_responses(fit.responses, arrays),
        "integration": asdict(solution.integration),
        "solution": {name: float(getattr(solution, name)) for name in _NUMBERS}
        | {name: int(getattr(solution, name)) for name in _COUNTS}
        | {
            "se_type": solution.se_type,
            "status": asdict(solution.status),
            "notes": list(solution.notes),
            "seconds": {str(k): float(v) for k, v in solution.seconds.items()},
        },
        "vcov": _pack_vcov(solution.vcov, arrays),
        "encodings": [encoding.to_dict() for encoding in fit.encodings],
    }
    if fit.covariates is not None:
        arrays["covariates"] = fit.covariates
    histogram = histogram_of(fit.marginal)
    if histogram is not None:
        arrays["histogram"] = histogram
    write(path, IRT, meta, arrays)


def unpack(meta: dict[str, Any], arrays: Arrays) -> IrtFit:
    """The fit of a file; any of ``archive.UNREADABLE`` where its parts do not fit together."""
    from jmix.formula.encoding import Encoding
    from jmix.results.irt.fit import IrtFit

    spec = unpack_spec(meta["spec"], arrays)
    responses = unpack_responses(meta["responses"], arrays)
    require(responses.items == spec.items and responses.n_groups == len(spec.groups))
    covariates = None
    if spec.regression is not None:
        covariates = floats(arrays["covariates"], (responses.n_persons, len(spec.covariates)))
    entry = meta["solution"]
    status = Status(**(entry["status"] | {"messages": tuple(entry["status"]["messages"])}))
    integration = Integration(**meta["integration"])
    numbers: dict[str, Any] = {name: float(entry[name]) for name in _NUMBERS}
    numbers |= {name: int(entry[name]) for name in _COUNTS}
    solution = IrtSolution(
        spec=spec,
        integration=integration,
        x=floats(arrays["x"], (spec.n_free,)),
        vcov=_unpack_vcov(meta["vcov"], spec.n_free, arrays),
        se_type=str(entry["se_type"]),
        status=status,
        notes=tuple(map(str, entry["notes"])),
        seconds={str(k): float(v) for k, v in entry["seconds"].items()},
        **numbers,
    )

    histogram = floats(arrays["histogram"]) if "histogram" in arrays else None

    def build() -> Any:
        return rebuilt(spec, responses, integration, covariates, histogram)

    encodings = tuple(Encoding.from_dict(state) for state in meta["encodings"])
    return IrtFit(solution, responses, LazyMarginal(build), covariates, encodings)


def _pack_vcov(vcov: Any, arrays: Arrays) -> str | None:
    if vcov is None:
        return None
    if isinstance(vcov, np.ndarray):
        arrays["vcov"] = np.asarray(vcov, dtype=np.float64)
        return "dense"
    from scipy.sparse import coo_array

    found = coo_array(vcov)
    arrays |= {"vcov.data": found.data, "vcov.row": found.coords[0], "vcov.column": found.coords[1]}
    return "sparse"


def _unpack_vcov(kind: str | None, p: int, arrays: Arrays) -> Any:
    if kind is None:
        return None
    if kind == "dense":
        return floats(arrays["vcov"], (p, p))
    from scipy.sparse import coo_array

    places = arrays["vcov.row"], arrays["vcov.column"]
    return coo_array((floats(arrays["vcov.data"]), places), shape=(p, p)).tocsr()
