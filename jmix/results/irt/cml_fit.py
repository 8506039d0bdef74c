"""Fitting the Rasch family by conditional maximum likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.irt.cml import fit_conditional
from jmix.estimate.irt.cml_data import CmlData, cml_data
from jmix.estimate.irt.cml_design import CmlDesign, free_design, linear_design, rating_design
from jmix.responses.checks import check_responses
from jmix.responses.data import Responses
from jmix.results.irt.cml_result import CmlFit

__all__ = ["CmlFit", "fit_cml"]

MODELS = {"rasch": "free", "rm": "free", "1pl": "free", "pcm": "free", "rsm": "rating", "lltm": "free", "lpcm": "free"}


def fit_cml(
    responses: Responses,
    itemtype: str | None = None,
    *,
    item_formula: str | None = None,
    contrasts: Mapping[str, Any] | None = None,
    design: npt.ArrayLike | pd.DataFrame | None = None,
) -> CmlFit:
    """Fit by conditional maximum likelihood: item difficulties without a distribution of the trait.

    Args:
        responses: from ``read_responses``. itemtype: "Rasch" (two or more categories; the default), "PCM" or "RSM".
        item_formula: difficulties as a linear function of the item data (LLTM), ``"~ position + type"``.
        contrasts: coding of factors in the formula.
        design: the same as a matrix: (J, P) properties of items, or (C, P) of thresholds.

    Raises:
        DataError: the estimates do not exist, naming the items.
        ModelError: no such model, or properties of items that are not identified.
    """
    name = "rasch" if itemtype is None else itemtype.lower() if isinstance(itemtype, str) else ""
    kind = MODELS.get(name)
    if kind is None:
        raise ModelError(
            f"there is no conditional likelihood for itemtype {itemtype!r}; 'Rasch', 'PCM' and 'RSM' have one"
        )
    if name in ("lltm", "lpcm") and item_formula is None and design is None:
        raise ModelError("an LLTM needs the properties of the items: item_formula= with item_data, or design=")
    notes = check_responses(responses, n_parameters=0)
    data = cml_data(responses)
    structure = _structure(responses, data, kind, item_formula, contrasts, design)
    return CmlFit(responses, data, structure, fit_conditional(data, structure), (*notes, *_notes(data)))


def _structure(
    responses: Responses, data: CmlData, kind: str, item_formula: str | None, contrasts: Any, design: Any
) -> CmlDesign:
    base = rating_design(data.items, data.owner, data.step) if kind == "rating" else None
    if item_formula is None and design is None:
        return free_design(data.items, data.owner, data.step) if base is None else base
    if item_formula is not None and design is not None:
        raise ModelError("give item_formula= or design=, not both")
    if item_formula is not None:
        from jmix.spec.irt.covariates import side_matrix

        part = side_matrix(item_formula, responses.item_data, responses.items, "item_formula", "item", contrasts)
        return linear_design(data.owner, data.step, part.X, part.encoding.x_names, base)
    if isinstance(design, pd.DataFrame):
        aligned = design.loc[list(data.items)] if set(data.items) <= set(design.index) else design
        return linear_design(data.owner, data.step, aligned.to_numpy(), [str(c) for c in design.columns], base)
    matrix = np.asarray(design, dtype=np.float64)
    return linear_design(data.owner, data.step, matrix, [f"eta{k + 1}" for k in range(matrix.shape[-1])], base)


def _notes(data: CmlData) -> list[str]:
    extreme = data.n_persons - data.n_used
    if not extreme:
        return []
    return [
        f"{extreme:,} person{'s' * (extreme > 1)} with the lowest or the highest score say nothing of the items and "
        "are left out of the conditional likelihood"
    ]
