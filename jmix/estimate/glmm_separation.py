"""Separation of a fitted model's responses, part by part: the fixed effects, and the model of the zeros."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jmix.design_response import GlmmDesign
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_scoring import bounded_link
from jmix.estimate.glmm_start import Start
from jmix.estimate.separation import (
    Wording,
    binary_conditions,
    describe,
    find_recession,
    ordinal_conditions,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

REMEDY = (
    'give the coefficients a prior for a MAP fit, e.g. priors={"b": "normal(0, 2.5)"}, drop the column, or merge the '
    "level with another"
)

MOST_TEXTS = 5
"""Most separated columns or levels that are described."""

COUNTS = ("poisson", "nbinom1", "nbinom2")


def separated(objective: GlmmObjective, x: FloatArray, begin: Start) -> tuple[list[str], BoolArray]:
    """Sentences on coefficients that no finite estimate fits, and which entries of x they are."""
    design, place = objective.design, objective.slices
    unbounded = np.zeros(x.size, dtype=np.bool_)
    texts: list[str] = []
    if _suspicious(design, begin):
        found = _fixed(design, begin)
        if found is not None:
            texts += found[0]
            p = design.base.X.shape[1]
            support = found[1]
            unbounded[support[support < p] + place["beta"].start] = True
            # a threshold that is unbounded takes the gaps on both of its sides with it
            taus = np.unique(np.concatenate([support[support >= p] - p, support[support >= p] - p + 1]))
            unbounded[taus[taus < objective.approx.plan.n_tau] + place["tau"].start] = True
    if design.zi is not None and (found := _zeros(design, x[place["zi"]])) is not None:
        texts += found[0]
        unbounded[found[1] + place["zi"].start] = True
    return [f"separation: {text}; {REMEDY}" for text in _folded(texts)], unbounded


def _folded(texts: list[str]) -> list[str]:
    """One text of the first few, where there are many."""
    if len(texts) <= MOST_TEXTS:
        return texts
    return ["; ".join([*texts[:MOST_TEXTS], f"and {len(texts) - MOST_TEXTS} more of the kind"])]


def _suspicious(design: GlmmDesign, begin: Start) -> bool:
    """Whether the responses may be separated: a finite fit without random effects rules it out."""
    family, scored = design.family, begin.scored
    if family.name in ("bernoulli", "binomial", "cumulative"):
        return bounded_link(family) and not (scored.converged and _determined(design, begin))
    if family.name in COUNTS and family.link == "log":
        wide = float(scored.eta.max(initial=0.0) - scored.eta.min(initial=0.0)) > 10.0
        return wide or not (scored.converged and _determined(design, begin))
    return False


def _determined(design: GlmmDesign, begin: Start) -> bool:
    """Whether the rows that were scored determine all coefficients, as all rows do."""
    if begin.kept == slice(None) or begin.kept.step == 1:
        return True
    X = np.asarray(design.base.X)[begin.kept]
    size = np.sqrt(np.sum(X * X, axis=0))
    if not np.all(size > 0):
        return False
    return bool(np.linalg.eigvalsh((X / size).T @ (X / size))[0] > 1e-12)


def _fixed(design: GlmmDesign, begin: Start) -> tuple[list[str], npt.NDArray[np.intp]] | None:
    family, X, y = design.family, np.asarray(design.base.X), np.asarray(design.response.y)
    used = np.ones(y.size, dtype=np.bool_) if design.weights is None else design.weights > 0
    if family.zero == "hurdle":
        used = used & (y > 0)
    X, y = X[used], y[used]
    names, factors = design.base.x_names, design.base.encoding.factors
    guess = begin.scored.step
    if family.name == "cumulative":
        k, codes = family.n_categories, y.astype(np.int64)
        found = find_recession(ordinal_conditions(X, codes, k))
        low, high = codes == 0, codes == k - 1
        labels = design.response.levels or tuple(map(str, range(k)))
        wording = Wording(repr(labels[0]), repr(labels[-1]))
    elif family.name in COUNTS:
        least = 1.0 if family.zero == "hurdle" else 0.0
        low, high = y == least, np.zeros(y.size, dtype=np.bool_)
        found = find_recession(binary_conditions(X, low, high), guess)
        wording = Wording(f"{least:g}", "positive", "counts")
    else:
        size = np.ones(y.size) if design.response.size is None else np.asarray(design.response.size)[used]
        low, high = y == 0, y == size
        found = find_recession(binary_conditions(X, low & (size > 0), high & (size > 0)), guess)
        labels = design.response.levels
        wording = Wording(*(map(repr, labels) if len(labels) == 2 else ("0", "1")))
        if family.name == "binomial":
            wording = Wording("0 successes", "successes in every trial", "rows")
    if found is None:
        return None
    return describe(found, X, names, low, high, wording, factors), found.support


def _zeros(design: GlmmDesign, zi: FloatArray) -> tuple[list[str], npt.NDArray[np.intp]] | None:
    assert design.zi is not None
    if design.zi.intercept_only or float(np.max(np.abs(np.asarray(design.zi.X) @ zi), initial=0.0)) < 8.0:
        return None
    y = np.asarray(design.response.y)
    low, high = y > 0, y == 0
    X, names = np.asarray(design.zi.X), design.zi.names
    found = find_recession(binary_conditions(X, low, high))
    if found is None:
        return None
    texts = describe(found, X, names, low, high, Wording("positive", "0", "counts"), design.zi.encoding.factors)
    return [f"zi: {text}" for text in texts], found.support
