"""Limited-information goodness of fit: M2, M2* and C2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.results.irt.latent_grid import LatentGrid, spherical_grid
from jmix.results.irt.limited_moments import KINDS, Features, Moments, features, n_moments, sample_moments
from jmix.results.irt.multiple import chi_squared_p, rmsea, rmsea_interval
from jmix.results.irt.observed import Observed, observed
from jmix.results.irt.tables_at import STEP, TableSlopes, table_slopes, tables_at
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]

Density = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

LARGEST = 8_000
"""Most moments: their covariance matrix has this number of rows."""


@dataclass(frozen=True)
class LimitedFit:
    """Goodness of fit of the first and second margins.

    Attributes:
        type: "M2", "M2*" or "C2". statistic: asymptotically chi-squared with df degrees of freedom under the model;
            p_value: its upper tail.
        rmsea: with a 90% interval rmsea_lower, rmsea_upper (Maydeu-Olivares & Joe 2014, Multivar. Behav. Res. 49(4)).
        srmsr: root mean square of the residual correlations of the scores, by group; empty with nominal items.
        tli, cfi: beside the model of independent items, whose statistic and df are null_statistic, null_df.
        n: persons, those with missing responses left out.
    """

    type: str
    statistic: float
    df: int
    p_value: float
    rmsea: float
    rmsea_lower: float
    rmsea_upper: float
    srmsr: dict[str, float]
    tli: float
    cfi: float
    null_statistic: float
    null_df: int
    n: float

    def frame(self) -> pd.DataFrame:
        """One row with mirt's columns."""
        one = {"SRMSR": next(iter(self.srmsr.values()))} if len(self.srmsr) == 1 else {}
        several = {f"SRMSR.{g}": v for g, v in self.srmsr.items()} if len(self.srmsr) > 1 else {}
        row = {
            self.type: self.statistic,
            "df": self.df,
            "p": self.p_value,
            "RMSEA": self.rmsea,
            "RMSEA_5": self.rmsea_lower,
            "RMSEA_95": self.rmsea_upper,
            **one,
            **several,
            "TLI": self.tli,
            "CFI": self.cfi,
        }
        return pd.DataFrame([row], index=["stats"])

    def __str__(self) -> str:
        srmsr = ", ".join(f"{v:.3f}" if len(self.srmsr) == 1 else f"{v:.3f} ({g})" for g, v in self.srmsr.items())
        return (
            f"{self.type} = {self.statistic:.2f} on {self.df} df, p = {self.p_value:.3g}; "
            f"RMSEA {self.rmsea:.3f} (90% interval {self.rmsea_lower:.3f} to {self.rmsea_upper:.3f}); "
            + (f"SRMSR {srmsr}; " if srmsr else "")
            + f"TLI {self.tli:.3f}, CFI {self.cfi:.3f}"
        )


class _Part(NamedTuple):
    """One group: root of its number of persons, residual moments, their covariance and derivatives."""

    root_n: float
    residual: FloatArray
    covariance: FloatArray
    slopes: FloatArray


def limited_fit(
    spec: IrtSpec,
    x: FloatArray,
    responses: Responses,
    *,
    type: str = "M2*",
    items: Sequence[str] | None = None,
    density: Density | None = None,
) -> LimitedFit:
    """M2, M2* or C2 of a fitted model, with mirt's indices.

    ``n e'(Xi^-1 - Xi^-1 D (D' Xi^-1 D)^-1 D' Xi^-1) e`` with e the residual moments, Xi the covariance of one
    person's and D their derivatives in all free parameters, those of the latent distribution included
    (Maydeu-Olivares & Joe 2005, J. Am. Stat. Assoc. 100, eq. 3.6).

    Args:
        spec: the model at estimates x (P,). responses: those without a missing response count.
        items: names of those whose margins count, all by default. density: of a model with one factor whose latent
            density is not normal, points (Q,) of the standardised trait and the density there, at parameters x.
        type: "M2", all categories of items and pairs (Maydeu-Olivares & Joe 2006); "M2*", expected scores (Cai & Hansen
            2013); "C2", categories of items and scores of pairs (Cai & Monroe 2014), for short tests of many
            categories. With two categories the three are the same.

    Raises:
        ModelError: another type, latent regression or clusters, too many items, or no degrees of freedom. DataError:
        nobody answered every item.
    """
    _check(spec, type)
    places = list(range(len(spec.items))) if items is None else [spec.items.index(name) for name in items]
    codes = range(len(spec.groups))
    groups = [observed(responses, g if len(codes) > 1 else None).columns(places).complete(type) for g in codes]
    size = n_moments(groups[0].n_categories, type)
    if size > LARGEST:
        raise ModelError(f"{type} of {len(places)} items needs {size} moments: choose fewer, with items=[...]")
    what = features(groups[0].n_categories, type)
    grid = spherical_grid(len(spec.factors)) if density is None else _discrete(density, x)
    width = max(groups[0].n_categories)
    tables = [tables_at(spec, x, grid.theta, g)[places, :width] for g in codes]
    slopes = [[_some(s, places, width) for s in table_slopes(spec, x, grid.theta, g)] for g in codes]
    parts = [_part(what, data, t, grid.weights, s) for data, t, s in zip(groups, tables, slopes, strict=True)]
    if density is not None and spec.density is not None:
        for g, part in enumerate(parts):
            _add_density_slopes(part, spec, x, density, g, lambda t, w: Moments(what, t[places, :width], w).mean())
    statistic, df = _quadratic(parts, spec.n_free)
    if df < 1:
        other = {"M2*": "; use type='C2' or 'M2'", "C2": "; use type='M2'"} if width > 2 else {}
        raise ModelError(
            f"{type} has {len(parts) * size} moments for {spec.n_free} parameters: no degree of freedom is left"
            + other.get(type, "")
        )
    null = _quadratic(
        [_null_part(what, data) for data in groups], sum(sum(d.n_categories) - len(d.items) for d in groups)
    )
    scores = features(groups[0].n_categories, "M2*")
    ordinal = all(block.kind != "nominal" for block in spec.blocks)
    srmsr = (
        {g: _srmsr(scores, d, t, grid.weights) for g, d, t in zip(spec.groups, groups, tables, strict=True)}
        if ordinal
        else {}
    )
    return _result(type, statistic, df, null, srmsr, sum(d.n for d in groups))


def _some(slope: TableSlopes, places: list[int], width: int) -> TableSlopes:
    """Derivatives of some of the items, by their new places."""
    place = {j: i for i, j in enumerate(places)}
    keep = [k for k, j in enumerate(slope.items.tolist()) if j in place]
    new = np.array([place[int(slope.items[k])] for k in keep], dtype=np.int64)
    return TableSlopes(new, slope.values[keep][:, :width])


def _result(
    type: str, statistic: float, df: int, null: tuple[float, int], srmsr: dict[str, float], n: float
) -> LimitedFit:
    low, high = rmsea_interval(statistic, df, n)
    null_statistic, null_df = null
    excess = max(null_statistic - null_df, np.finfo(np.float64).tiny)
    tli = (null_statistic / null_df - statistic / df) / (null_statistic / null_df - 1) if null_df > 0 else np.nan
    cfi = float(np.clip(1 - (statistic - df) / excess, 0.0, 1.0))
    p, error = float(chi_squared_p(statistic, df)), float(rmsea(statistic, df, n))
    return LimitedFit(type, statistic, df, p, error, low, high, srmsr, float(tli), cfi, null_statistic, null_df, n)


def _part(
    what: Features, data: Observed, tables: FloatArray, weights: FloatArray, slopes: Sequence[TableSlopes]
) -> _Part:
    model = Moments(what, tables, weights)
    residual = sample_moments(what, data) - model.mean()
    return _Part(float(np.sqrt(data.n)), residual, model.covariance(), model.derivatives(slopes))


def _discrete(density: Density, x: FloatArray) -> LatentGrid:
    points, height = density(x)
    return LatentGrid(np.asarray(points)[:, None], np.asarray(height) / np.sum(height))


def _add_density_slopes(
    part: _Part,
    spec: IrtSpec,
    x: FloatArray,
    density: Density,
    group: int,
    mean: Callable[[FloatArray, FloatArray], FloatArray],
) -> None:
    """Derivatives in the parameters of the latent density, which move its points and masses: central differences."""
    assert spec.density is not None
    for p in np.flatnonzero(np.isin(spec.table.free, spec.density)):
        at = {}
        for t in (-2, -1, 1, 2):
            moved = x.copy()
            moved[p] += t * STEP
            grid = _discrete(density, moved)
            at[t] = mean(tables_at(spec, x, grid.theta, group), grid.weights)
        part.slopes[:, p] = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * STEP)


def _null_part(what: Features, data: Observed) -> _Part:
    """Independent items with the observed margins: the parameters are the probabilities of all categories but one."""
    width = max(data.n_categories)
    tables = np.zeros((len(data.items), width, 1))
    slopes = []
    for j, k in enumerate(data.n_categories):
        tables[j, :k, 0] = np.bincount(data.table[:, j], weights=data.weights, minlength=k) / data.n
        for category in range(1, k):
            move = np.zeros((1, width, 1))
            move[0, category], move[0, 0] = 1.0, -1.0
            slopes.append(TableSlopes(np.array([j]), move))
    return _part(what, data, tables, np.ones(1), slopes)


def _quadratic(parts: Sequence[_Part], n_parameters: int) -> tuple[float, int]:
    """The statistic and its degrees of freedom: squared length of the whitened residuals beside the derivatives."""
    residuals, slopes = [], []
    for part in parts:
        white = _whitener(part.covariance)
        residuals.append(part.root_n * white(part.residual[:, None])[:, 0])
        slopes.append(part.root_n * white(part.slopes))
    e, d = np.concatenate(residuals), np.vstack(slopes)
    size = np.linalg.norm(d, axis=0)
    d = d[:, size > 0] / size[size > 0]
    u, values, _ = np.linalg.svd(d, full_matrices=False)
    basis = u[:, values > 1e-8 * values[0]] if values.size else u
    return float(e @ e - np.sum((basis.T @ e) ** 2)), int(e.size - basis.shape[1])


def _whitener(covariance: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Multiplication by an inverse root of the covariance; moments without variance are left out."""
    from scipy.linalg import cho_factor, solve_triangular

    spread = np.sqrt(np.diag(covariance))
    keep = np.flatnonzero(spread > 1e-10)
    scaled = covariance[np.ix_(keep, keep)] / np.outer(spread[keep], spread[keep])
    try:
        factor = cho_factor(scaled, lower=True)[0]
    except np.linalg.LinAlgError:
        raise ModelError(
            "the covariance of the moments is singular: some category has hardly any probability, or two items are the "
            "same; leave such items out or merge categories"
        ) from None
    return lambda b: solve_triangular(factor, b[keep] / spread[keep, None], lower=True)


def _srmsr(scores: Features, data: Observed, tables: FloatArray, weights: FloatArray) -> float:
    """Root mean square difference of observed and expected correlations of the scores."""
    model = Moments(scores, tables, weights)
    square = np.einsum("fk,fkq,q->f", scores.values**2, tables[scores.item], weights)
    seen = (scores.values[scores.item, data.table[:, scores.item].astype(np.intp)] ** 2).T @ data.weights / data.n
    expected, got = model.mean(), sample_moments(scores, data)
    difference = _pair_correlations(scores, got, seen) - _pair_correlations(scores, expected, square)
    return float(np.sqrt(np.mean(difference**2)))


def _pair_correlations(scores: Features, moments: FloatArray, square: FloatArray) -> FloatArray:
    n = scores.item.size
    mean, cross = moments[:n], moments[n:]
    sd = np.sqrt(square - mean**2)
    i, j = scores.first[n:], scores.second[n:]
    return (cross - mean[i] * mean[j]) / (sd[i] * sd[j])


def _check(spec: IrtSpec, type: str) -> None:
    if type not in KINDS:
        raise ModelError(f"type='{type}': choose from {', '.join(KINDS)}")
    if spec.regression is not None or spec.cluster_sd is not None:
        what = "latent regression" if spec.regression is not None else "clusters of persons"
        raise ModelError(f"{type} is not defined for a model with {what}: fit the items without it first")
