"""Scaled residuals of a fit: the rank in (0, 1) of each response among responses simulated from the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.checks.residual_standard import can_standardize, standardized
from jmix.results.predict import check_draws, draw_effects, fitted_rows
from jmix.results.rows import add_random, fixed_part

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.inference.checks.check_groups import RowGroups

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CELLS = 40_000_000
"""Simulated responses that are held; of larger data a sample of the rows enters the tests."""


@dataclass(frozen=True)
class Simulated:
    """The responses beside those simulated, and their scaled residuals; column 0 is what was observed.

    With the parameters known all columns have the same distribution, so that the rank of a statistic of column 0 among
    those of the others is a valid p-value, however the rows depend on one another.

    Attributes:
        responses: (m, n + 1) on the scale of the simulation. values: (m, n + 1) what is ranked: the responses, or of a
            linear model their residuals from what the other rows predict. scaled: (m, n + 1) ranks in (0, 1).
        rows: (m,) rows of the fit; all of them unless there are too many. eta: (m,) linear predictors, with the
            random effects if the simulations have them. weights: (m,) or None.
    """

    responses: FloatArray
    values: FloatArray
    scaled: FloatArray
    rows: IntArray
    eta: FloatArray
    weights: FloatArray | None

    @property
    def n(self) -> int:
        """Number of simulations."""
        return int(self.values.shape[1]) - 1

    @property
    def outside(self) -> npt.NDArray[np.bool_]:
        """(m,) whether the response lies beyond all its simulations."""
        own, others = self.values[:, 0], self.values[:, 1:]
        return np.asarray((own < others.min(axis=1)) | (own > others.max(axis=1)))


def simulated(
    fit: FitBase, n: int, seed: int, *, conditional: bool, caller: str, standardize: bool = False
) -> Simulated:
    """Simulate n responses of every row, or of a sample of the rows of very large data.

    Args:
        standardize: of a linear model rank residuals from what the other rows predict.

    Raises:
        ModelError: n is not a whole number of at least 20, or the seed none.
    """
    rng = check_draws(caller, n, seed)
    if n < 20:
        raise ModelError(f"{caller}(n={n}): give at least 20 simulations, better 250")
    most = CELLS // (int(n) + 1)
    rows = np.arange(fit.nobs)
    if fit.nobs > most:
        rows = np.sort(rng.choice(fit.nobs, most, replace=False))
    values = np.empty((rows.size, int(n) + 1))
    values[:, 0] = observed(fit)[rows]
    for i, y in enumerate(responses(fit, int(n), rng, conditional=conditional)):
        values[:, i + 1] = y[rows]
    drawn = values
    if standardize and not conditional and rows.size == fit.nobs and can_standardize(fit):
        residuals = standardized(fit, drawn)  # type: ignore[arg-type]
        kept = np.isfinite(residuals).all(axis=1)
        if kept.any():
            drawn, values, rows = drawn[kept], residuals[kept], rows[kept]
    weights = getattr(fit.design, "weights", None) if hasattr(fit, "reml") else None
    eta = fit.linear_parts[int(conditional)][rows]
    return Simulated(drawn, values, scaled(values, rng), rows, eta, None if weights is None else weights[rows])


def observed(fit: FitBase) -> FloatArray:
    """(n,) the response as the simulations give it."""
    design: Any = fit.design
    return np.asarray(design.y if hasattr(fit, "reml") else design.response.y, dtype=np.float64)


def responses(fit: Any, n: int, rng: np.random.Generator, *, conditional: bool) -> Iterator[FloatArray]:
    """Several responses (rows,); with new random effects unless ``conditional``."""
    if not hasattr(fit, "reml"):
        from jmix.results.glmm_simulate import responses as generalized

        yield from generalized(fit, n, rng, conditional=conditional)
        return
    rows = fitted_rows(fit.design, True)
    mean = fixed_part(fit, rows)
    if conditional:
        mean = add_random(mean, rows, fit.modes)
    weights = fit.design.weights
    noise = fit.sigma if weights is None else fit.sigma / np.sqrt(weights)
    for _ in range(n):
        own = mean if conditional else add_random(mean, rows, draw_effects(fit, rng))
        yield own + noise * rng.standard_normal(rows.n)


def scaled(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Ranks in (0, 1) within each row of (m, n + 1), each spread over its share, and ties over all of theirs.

    Column 0 are DHARMa's scaled residuals (Hartig 2022, R package, method "PIT"; Smith 1985, J. Forecast. 4, 283-291).
    """
    from scipy.stats import rankdata

    out = np.empty(values.shape)
    step = max(1, (1 << 21) // values.shape[1])
    for start in range(0, values.shape[0], step):
        part = values[start : start + step]
        below = rankdata(part, method="min", axis=1) - 1.0
        ties = rankdata(part, method="max", axis=1) - below
        out[start : start + step] = (below + rng.uniform(size=part.shape) * ties) / part.shape[1]
    return np.clip(out, 1e-12, 1.0 - 1e-12)


def aggregated(source: Simulated, groups: RowGroups, rng: np.random.Generator) -> FloatArray:
    """(G, n + 1) scaled residuals of the groups' sums, DHARMa's ``recalculateResiduals``.

    Args:
        groups: of the rows of ``source``.
    """
    return scaled(groups.sums(source.responses), rng)
