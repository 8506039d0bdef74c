"""Responses simulated from a fitted generalized linear mixed model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.glmm_law import law
from jmix.results.predict import check_draws, draw_effects, fitted_rows
from jmix.results.rows import add_random, fixed_part

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]


def responses(fit: GlmmFit, n: int, rng: np.random.Generator, *, conditional: bool) -> Iterator[FloatArray]:
    """Several responses (rows,) as numbers, see ``Response.y``; with new random effects unless ``conditional``."""
    own = law(fit, conditional=conditional)
    rows = fitted_rows(fit.base, True)
    population = fixed_part(fit, rows)
    for _ in range(n):
        eta = None if conditional or not fit.terms else add_random(population, rows, draw_effects(fit, rng))
        yield (own if eta is None else own.at(eta)).draw(rng)


def simulate(fit: GlmmFit, n: int, *, seed: int, conditional: bool) -> pd.DataFrame:
    """The work behind ``GlmmFit.simulate``; arguments are described there."""
    rng = check_draws("simulate", n, seed)
    out = np.empty((fit.nobs, int(n)), order="F")
    for i, y in enumerate(responses(fit, int(n), rng, conditional=conditional)):
        out[:, i] = y
    columns = [f"sim_{i + 1}" for i in range(int(n))]
    levels = fit.design.response.levels
    if not levels:
        return pd.DataFrame(out, index=fit.base.index, columns=columns)
    ordered = fit.family.name == "cumulative"
    kind = pd.CategoricalDtype(list(levels), ordered=ordered)
    labels = {name: pd.Categorical.from_codes(out[:, i].astype(int), dtype=kind) for i, name in enumerate(columns)}
    return pd.DataFrame(labels, index=fit.base.index)
