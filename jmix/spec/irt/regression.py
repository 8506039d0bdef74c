"""Latent regression: the person model matrix and which covariate acts on which factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.formula.build import SidePart
from jmix.responses.data import Responses
from jmix.spec.irt.covariates import side_matrix
from jmix.spec.irt.loadings import Loadings

FloatArray = npt.NDArray[np.float64]
Acts = tuple[tuple[str, ...], npt.NDArray[np.bool_]]

INTERCEPT = "(Intercept)"


def person_matrix(
    formula: str | Mapping[str, str] | None,
    responses: Responses,
    loadings: Loadings,
    contrasts: Mapping[str, Any] | None = None,
) -> tuple[Acts | None, FloatArray | None]:
    """Names of the p covariates with (p, D) where they act, and the (N, p) matrix; None and None without a formula.

    The intercept is left out: the items' intercepts take its place.

    Raises:
        ModelError: an unknown factor, or covariates from which a constant or a free group mean can be formed.
        DataError, FormulaError: as ``side_matrix``.
    """
    if formula is None:
        return None, None
    columns: dict[str, FloatArray] = {}
    acts: dict[str, list[bool]] = {}
    for text, factors in _by_formula(formula, loadings).items():
        part = side_of(text, responses, contrasts)
        for name, column in zip(part.encoding.x_names, part.X.T, strict=True):
            if name != INTERCEPT:
                columns[name] = column
                on = acts.setdefault(name, [False] * len(loadings.factors))
                for k in factors:
                    on[k] = True
    if not columns:
        raise ModelError(f"formula={formula!r} has no covariate; leave it out, or write '~ age'")
    W = np.ascontiguousarray(np.stack(list(columns.values()), axis=1))
    _check_rank(W, list(columns), responses)
    return (tuple(columns), np.array(list(acts.values()), dtype=np.bool_)), W


def side_of(text: str, responses: Responses, contrasts: Mapping[str, Any] | None = None) -> SidePart:
    """The matrix of one formula on the person data, with the encoding that serves new persons."""
    return side_matrix(text, responses.data, responses.persons, "formula", "person", contrasts)


def _by_formula(formula: str | Mapping[str, str], loadings: Loadings) -> dict[str, list[int]]:
    if isinstance(formula, str):
        last = 1 if loadings.specific is not None else len(loadings.factors)
        return {formula: list(range(last))}
    found: dict[str, list[int]] = {}
    for factor, text in formula.items():
        if factor not in loadings.factors:
            raise ModelError(
                f"formula names '{factor}', which is not a factor; there are {', '.join(loadings.factors)}"
            )
        found.setdefault(text, []).append(loadings.factors.index(factor))
    return found


def _check_rank(W: FloatArray, names: list[str], responses: Responses) -> None:
    constant = np.ones((W.shape[0], 1))
    if responses.group is not None and responses.n_groups > 1:
        constant = (responses.group[:, None] == np.arange(responses.n_groups)).astype(np.float64)
    rest = W - constant @ np.linalg.lstsq(constant, W, rcond=None)[0]
    scale = np.linalg.norm(W, axis=0)
    scaled = rest / np.where(scale > 0, scale, 1.0)
    flat = np.flatnonzero(np.linalg.norm(scaled, axis=0) < 1e-10)
    if flat.size:
        raise ModelError(
            f"the covariate '{names[flat[0]]}' does not vary between persons"
            f"{' within groups' * (constant.shape[1] > 1)}, so that its effect cannot be told from the "
            "means; leave it out"
        )
    if np.linalg.matrix_rank(scaled) < W.shape[1]:
        raise ModelError(
            f"a constant can be formed from the covariates {', '.join(names)}, so that they cannot be told from the "
            "items' intercepts; write the formula with its intercept ('~ sex', not '~ 0 + sex'), or leave one out"
        )
