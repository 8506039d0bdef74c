"""Specifications at the estimates of mirt: the same free and fixed parameters, and the log likelihood it reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jmix.spec.irt import IrtSpec, build_spec, parameter_frame
from tests.spec.irt.tables import from_csv, log_likelihood

MODELS = {
    "LSAT7_Rasch": "Rasch",
    "LSAT7_2PL": "2PL",
    "LSAT7_1PL_eq": "1PL",
    "LSAT7_3PL": "3PL",
    "Science_graded": "graded",
    "Science_gpcm": "gpcm",
    "Science_nominal": "nominal",
    "Science_Rasch": "Rasch",
    "Science_sequential": "sequential",
    "Science_grsm": "grsm",
    "Science_rsm": "rsm",
    "Science_graded_2F_expl": "graded",
}


@pytest.mark.parametrize("name", MODELS)
def test_mirt(reference: Callable[[str], Any], shared_dir: Path, name: str) -> None:
    found = reference("irt")["mirt_1.47"][name]
    data = from_csv(shared_dir / "data" / ("LSAT7.csv" if name.startswith("LSAT7") else "mirt_Science.csv"))
    factors = len(found["cov"])
    spec, W = build_spec(data, MODELS[name], model=factors)
    assert W is None
    spec, _ = build_spec(data, MODELS[name], model=factors, start=_starts(spec, found))
    assert spec.n_free == found.get("npar", spec.n_free)
    loglik = log_likelihood(spec, spec.table.values[spec.table.free], data, nodes=61)
    assert loglik == pytest.approx(found["logLik"], abs=2e-5)


def _starts(spec: IrtSpec, found: dict[str, Any]) -> dict[str, float]:
    """Mirt's estimates of what the specification estimates; its other numbers must be those that are fixed."""
    given = {("GROUP", "sd[F1]"): np.sqrt(next(iter(found["cov"][0].values())))}
    for row in found["items"]:
        given |= {(row["_row"], name.replace("g", "c")): value for name, value in row.items() if name != "_row"}
    frame = parameter_frame(spec)
    starts = {}
    for item, name, value, estimated in zip(frame["item"], frame["name"], frame["value"], frame["est"], strict=True):
        key = name if item == "GROUP" else f"{name}[{item}]"
        if estimated:
            starts[key] = given[item, name]
        elif (item, name) in given:
            assert value == given[item, name], key
    return starts
