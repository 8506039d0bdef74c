"""What the variance of the response consists of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from jmix.results.inference.effects.variance_decomposition_law import Options
from jmix.results.inference.effects.variance_decomposition_parts import variance_parts
from jmix.results.inference.report import TableReport

FIXED = "fixed effects"


def variance_decomposition(fit: Any, options: Options) -> TableReport:
    """The work behind ``fit.variance_decomposition``."""
    parts = variance_parts(fit, options)
    rows = [(FIXED, parts.fixed)]
    rows += [(_label(group, names, fit), value) for group, names, value in parts.terms]
    rows.append((parts.kind, parts.residual))
    values = np.array([value for _, value in rows])
    below = values.sum() - parts.fixed
    table = pd.DataFrame(
        {
            "variance": values,
            "sd": np.sqrt(values),
            "share": values / values.sum(),
            "share_unexplained": np.where(np.arange(values.size) == 0, np.nan, values / below),
        },
        index=pd.Index([name for name, _ in rows], name="component"),
    )
    notes = (*parts.notes, "share: of all variance; share_unexplained: of what the fixed effects leave")
    return TableReport(table, "Variance decomposition", (("Formula", " ".join(fit.formula.split())),), notes)


def _label(group: str, names: tuple[str, ...], fit: Any) -> str:
    alone = sum(t.group == group for t in fit.terms) == 1
    return group if alone else f"{group}: {', '.join(names)}"
