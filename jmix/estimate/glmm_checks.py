"""Refusals before any long computation: generalized linear mixed models that the data cannot identify."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jmix.design import RandomTerm
from jmix.design_response import GlmmDesign
from jmix.errors import DataError, ModelError
from jmix.estimate.checks import check_duplicates
from jmix.estimate.identified import check_columns, check_same_levels
from jmix.estimate.scales import check_scales


def check_glmm(design: GlmmDesign, terms: Sequence[RandomTerm]) -> None:
    """Raise an error that names the term and the remedy when the model has no unique answer.

    Unlike in a linear model a factor may have one level a row: an observation-level effect is overdispersion.

    Raises:
        ModelError: too few rows, one level, random effects that are linear combinations of others or in two terms.
        DataError: weights that are negative, or columns out of the range of double precision.
    """
    n, p = design.base.X.shape
    if n < p:
        raise ModelError(f"{n} rows are too few for {p} fixed effects; drop predictors or add data")
    if design.weights is not None and not np.all(design.weights >= 0):
        raise DataError("weights must not be negative; drop these rows")
    check_scales(design.base, terms)
    for term in terms:
        label = f"({' + '.join(term.names)} | {term.group})"
        if len(term.levels) < 2:
            raise ModelError(
                f"{label}: {term.group} has only one level in the rows used; a variance needs at least two. Drop the "
                "term"
            )
        check_columns(term)
    check_duplicates(terms)
    check_same_levels(terms)
    for term in terms:
        _check_single_rows(design, term)


def _check_single_rows(design: GlmmDesign, term: RandomTerm) -> None:
    """Refuse an effect of which every level has one row of a family without overdispersion to explain."""
    family, n = design.family, term.codes.shape[0]
    if len(term.levels) < n:
        return
    label = f"({' + '.join(term.names)} | {term.group})"
    if family.name == "bernoulli":
        raise ModelError(
            f"{label}: every level of {term.group} has one row, and a single 0/1 response tells nothing of a variance: "
            f"the likelihood is about the same for all. Drop the term or use a coarser grouping factor"
        )
    if family.name in ("gaussian", "student") and family.link == "identity":
        raise ModelError(
            f"{label}: {term.group} has as many levels ({len(term.levels)}) as there are rows, so its variance cannot "
            "be told from the residual's. Drop the term or use a coarser grouping factor"
        )
