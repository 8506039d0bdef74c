"""Refusals before any long computation: models that the data cannot identify."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmix.design import Design, RandomTerm
from jmix.errors import DataError, ModelError
from jmix.estimate.identified import check_columns, check_same_levels
from jmix.estimate.scales import check_scales


def check_design(design: Design, terms: Sequence[RandomTerm]) -> None:
    """Raise an error that names the term and the remedy when the model has no unique answer.

    Raises:
        ModelError: too few rows, one level, one row per level, more random effects than rows, random effects that are
            linear combinations of others.
        DataError: weights that are not positive, or columns out of the range of double precision.
    """
    n, p = design.X.shape
    if n <= p:
        raise ModelError(f"{n} rows are too few for {p} fixed effects; drop predictors or add data")
    if design.weights is not None and not np.all(design.weights > 0):
        raise DataError("weights must be positive; drop the rows with weight zero or less")
    if terms and n - p < 2:
        raise ModelError(
            f"{n} rows and {p} fixed effects leave one degree of freedom for the variance of {terms[0].group} and of "
            "the residuals; drop predictors or add data"
        )
    check_scales(design, terms)
    for term in terms:
        _check_term(term, n)
        check_columns(term)
    check_duplicates(terms)
    check_same_levels(terms)


def _check_term(term: RandomTerm, n: int) -> None:
    label = f"({' + '.join(term.names)} | {term.group})"
    j, q = len(term.levels), len(term.names)
    if j < 2:
        raise ModelError(
            f"{label}: {term.group} has only one level in the rows used; a variance needs at least two. Drop the term"
        )
    if j >= n and q == 1:
        raise ModelError(
            f"{label}: {term.group} has as many levels ({j}) as there are rows, so its variance cannot be told from "
            "the residual's. Drop the term or use a coarser grouping factor"
        )
    if j * q >= n:
        raise ModelError(
            f"{label}: {j} levels x {q} columns = {j * q} random effects for {n} rows cannot be told from the "
            f"residuals. Simplify the term, e.g. to (1 | {term.group})"
        )


def check_duplicates(terms: Sequence[RandomTerm]) -> None:
    """Refuse a random effect that two terms of one grouping factor share.

    Raises:
        ModelError: naming it.
    """
    seen: dict[tuple[str, str], str] = {}
    for term in terms:
        for name in term.names:
            if (term.group, name) in seen:
                raise ModelError(
                    f"the random effect {name} of {term.group} is in two terms, so its variance is not "
                    "identified; drop one"
                )
            seen[term.group, name] = name
