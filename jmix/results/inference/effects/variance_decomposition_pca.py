"""Principal components of the random effects' covariance matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.status import vanished_directions
from jmix.results.inference.report import TableReport


def repca(fit: Any) -> TableReport:
    """The work behind ``fit.repca``."""
    if not fit.terms:
        raise ModelError("repca takes the random effects apart, and this model has none")
    lams = fit.spec.split(fit.theta_values)
    rows = []
    for label, term, lam in zip(fit.spec.labels, fit.spec.terms, lams, strict=True):
        left, values, _ = np.linalg.svd(fit.theta_scale * lam)
        square = values**2
        share = square / square.sum() if square.sum() > 0 else np.full(values.size, np.nan)
        for k, (sd, s, c) in enumerate(zip(values, share, np.cumsum(share), strict=True)):
            rows.append((label, k + 1, sd, s, c, _direction(term.names, left[:, k])))
    table = pd.DataFrame(rows, columns=["term", "component", "sd", "share", "cumulative", "direction"])
    notes = tuple(f"boundary (singular) fit: {text}" for text in vanished_directions(fit.spec, lams))
    if not notes:
        notes = ("every direction has some variance",)
    table = table.set_index(["term", "component"])
    call = (("Formula", " ".join(fit.formula.split())),)
    return TableReport(table, "Principal components of the random effects", call, notes)


def _direction(names: tuple[str, ...], vector: Any) -> str:
    if len(names) == 1:
        return names[0]
    vector = vector * (1.0 if vector[np.argmax(np.abs(vector))] > 0 else -1.0)
    return " ".join(f"{value:+.2f} {name}" for value, name in zip(vector, names, strict=True))
