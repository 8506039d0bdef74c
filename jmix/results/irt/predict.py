"""What the model expects: category probabilities and expected scores at trait values or of the persons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.irt.information import theta_values

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]


def predict(fit: IrtFit, theta: Any, type: str, method: Any, group: str | None) -> pd.DataFrame:
    """See ``IrtFit.predict``."""
    if type not in ("expected", "probs"):
        raise ModelError(f"type={type!r}: choose 'expected' or 'probs'")
    if theta is not None:
        return _at(fit, theta_values(fit, theta), type, group, _labels(theta))
    found = fit.scores(method)
    values = found[list(fit.spec.factors)].to_numpy()
    if not np.isfinite(values).all():
        raise ModelError(f"method={method!r} has no finite estimate for some persons: use 'EAP', 'MAP' or 'WLE'")
    groups = fit.responses.group
    if groups is None or len(fit.spec.groups) == 1:
        return _at(fit, values, type, group, found.index)
    parts = [
        _at(fit, values[groups == g], type, name, found.index[groups == g]) for g, name in enumerate(fit.spec.groups)
    ]
    order = np.argsort(np.concatenate([np.flatnonzero(groups == g) for g in range(len(parts))]), kind="stable")
    return pd.concat(parts).iloc[order]


def _labels(theta: Any) -> Any:
    return theta.index if isinstance(theta, pd.Series | pd.DataFrame) else None


def _at(fit: IrtFit, values: FloatArray, type: str, group: str | None, index: Any) -> pd.DataFrame:
    bank = fit.bank(group)
    items = list(fit.spec.items)
    if type == "expected":
        return pd.DataFrame(np.asarray(bank.expected(values)).T, columns=items, index=index)
    table = np.asarray(bank.probabilities(values))
    names, columns = [], []
    for j, labels in enumerate(fit.responses.categories):
        for k, label in enumerate(labels):
            names.append((items[j], label))
            columns.append(table[j, k])
    return pd.DataFrame(
        np.stack(columns, axis=1), columns=pd.MultiIndex.from_tuples(names, names=["item", "category"]), index=index
    )
