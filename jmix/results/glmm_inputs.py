"""What the response of a row depends on: its linear predictors and the thresholds, with their derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.families import Aux
from jmix.results import glmm_variance
from jmix.results.predict import fitted_rows, new_rows
from jmix.results.rows import Rows, add_random, fixed_part

if TYPE_CHECKING:
    from jmix.design_response import Side
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """Linear predictors of n rows, (n,) each, or None for what is not needed.

    Attributes:
        eta: of the response. log_phi: of the dispersion. zi: of the logit of the zero probability. spread: standard
            deviation of a random part of eta that is to be averaged over. tau: (K - 1,) thresholds, the same for all
            rows. nu: Student's degrees of freedom.
    """

    eta: Any = None
    log_phi: Any = None
    zi: Any = None
    spread: Any = None
    tau: FloatArray | None = None
    nu: float | None = None

    @property
    def aux(self) -> Aux:
        """What the functions of ``jmix.families`` take beside eta."""
        extra: tuple[Any, ...] = (self.log_phi, self.zi, self.tau, self.nu)
        return Aux(*extra)

    def rows(self, part: Any) -> Inputs:
        """Some rows."""
        by_row = ("eta", "log_phi", "zi", "spread")
        return replace(self, **{f: None if (v := getattr(self, f)) is None else v[part] for f in by_row})


@dataclass(frozen=True)
class Evaluation:
    """Rows to evaluate.

    Attributes:
        inputs: their linear predictors. gradients: function that gives their derivatives in the parameters, (n, d) by
            field of ``inputs``; (K - 1, d) for tau. rows: of the linear predictor eta, None where it is not needed.
        valid: rows without missing values. index: their labels.
    """

    fit: GlmmFit
    inputs: Inputs
    rows: Rows | None
    sides: dict[str, FloatArray]
    factors: tuple[FloatArray, ...]
    valid: BoolArray
    index: pd.Index

    def gradient(self, name: str) -> FloatArray:
        """(n, d) derivatives of an input in the parameters x; (K - 1, d) for tau."""
        fit, d = self.fit, self.fit.solution.x.size
        if name == "eta":
            assert self.rows is not None
            return glmm_variance.jacobian(fit, self.rows)
        if name == "tau":
            out = np.zeros((fit.family.n_thresholds, d))
            out[:, fit.parts.slices["thresholds"]] = fit.parts.jacobian(fit.solution.x)
            return out
        if name == "spread":
            return self._spread_gradient()
        side = "disp" if name == "log_phi" else "zi"
        out = np.zeros((len(self.valid), d))
        out[:, fit.parts.slices[side]] = self.sides[side]
        return out

    def _spread_gradient(self) -> FloatArray:
        """Of ``s = sqrt(z'Lambda Lambda'z)`` in an entry (r, c) of Lambda: ``z_r (Lambda'z)_c / s``; 0 where s is 0."""
        fit = self.fit
        out, start = np.zeros((len(self.valid), fit.solution.x.size)), fit.parts.slices["theta"].start
        spread = np.asarray(self.inputs.spread)
        for z, lam in zip(self.factors, fit.spec.split(fit.theta_values), strict=True):
            q = lam.shape[0]
            pull = z @ lam
            for column in range(q):
                for row in range(column, q):
                    with np.errstate(divide="ignore", invalid="ignore"):
                        value = z[:, row] * pull[:, column] / spread
                    out[:, start] = np.where(spread > 0, value, 0.0)
                    start += 1
        return out


def evaluate(
    fit: GlmmFit,
    data: Any,
    needs: frozenset[str],
    *,
    conditional: bool = True,
    new_levels: str = "error",
    averaged: bool = False,
) -> Evaluation:
    """The inputs of rows of the fit, or of new ones.

    Args:
        data: new rows, or None. needs: which of eta, log_phi, zi. conditional: eta at the modes of the random effects.
        averaged: eta without random effects, and ``spread``.

    Raises:
        DataError: as ``Fit.predict``.
    """
    n = fit.nobs
    valid, index = np.ones(n, dtype=np.bool_), fit.base.index
    inputs, rows = Inputs(tau=_thresholds(fit), nu=fit.nu), None
    factors: tuple[FloatArray, ...] = ()
    if "eta" in needs:
        rows, valid, index = _rows(fit, data, conditional and not averaged, new_levels)
        with np.errstate(invalid="ignore"):
            eta = add_random(fixed_part(fit, rows), rows, fit.modes if rows.columns else {})
        inputs = replace(inputs, eta=eta)
        if averaged:
            factors, complete = _factors(fit, data, rows.n)
            valid = valid & complete
            inputs = replace(inputs, spread=_spread(fit, factors, rows.n))
    sides = {}
    for name, field in (("disp", "log_phi"), ("zi", "zi")):
        side: Side | None = getattr(fit.design, name)
        if field in needs and side is not None:
            sides[name], complete, index = _side(side, data, fit)
            valid = complete if "eta" not in needs and len(sides) == 1 else valid & complete
            inputs = replace(inputs, **{field: sides[name] @ getattr(fit.solution, name)})
    return Evaluation(fit, inputs, rows, sides, factors, valid, index)


def _thresholds(fit: GlmmFit) -> FloatArray | None:
    return np.asarray(fit.solution.thresholds) if fit.family.n_thresholds else None


def _rows(fit: GlmmFit, data: Any, conditional: bool, new_levels: str) -> tuple[Rows, BoolArray, pd.Index]:
    if new_levels not in ("error", "population"):
        raise ModelError(f"new_levels={new_levels!r}: choose 'error' or 'population'")
    if data is None:
        return fitted_rows(fit.base, conditional), np.ones(fit.nobs, dtype=np.bool_), fit.base.index
    return new_rows(fit.base, data, conditional, new_levels)


def _side(side: Side, data: Any, fit: GlmmFit) -> tuple[FloatArray, BoolArray, pd.Index]:
    if data is None:
        return side.X, np.ones(fit.nobs, dtype=np.bool_), fit.base.index
    new = side.encoding.encode(data, response=False, random=False)
    return new.X, new.complete, new.index


def _factors(fit: GlmmFit, data: Any, n: int) -> tuple[tuple[FloatArray, ...], BoolArray]:
    """(n, q) columns of each random term, which need no levels, and the rows where they are complete."""
    everywhere = np.ones(n, dtype=np.bool_)
    if data is None:
        return tuple(np.stack(t.columns, axis=1) for t in fit.terms), everywhere
    if all(list(t.names) == ["(Intercept)"] for t in fit.terms):
        return tuple(np.ones((n, 1)) for _ in fit.terms), everywhere
    new = fit.base.encoding.encode(_with_groups(fit, data, n), response=False, random=True)
    columns = tuple(np.stack(new.random[i].columns, axis=1) for i in fit.base.term_order)
    return columns, np.all([np.isfinite(c).all(axis=1) for c in columns], axis=0)


def _with_groups(fit: GlmmFit, data: Any, n: int) -> Any:
    """Rows whose groups do not matter, with levels that nobody has where grouping columns are missing."""
    parsed = fit.base.encoding.parsed
    used = {*parsed.columns(response=False, random=False), *parsed.random_columns()}
    wanted = [name for name in parsed.columns(response=False) if name not in used]
    if isinstance(data, pd.DataFrame):
        return data.assign(**{name: "" for name in wanted if name not in data.columns})
    if isinstance(data, Mapping):
        return {**{name: [""] * n for name in wanted}, **data}
    return data


def _spread(fit: GlmmFit, factors: tuple[FloatArray, ...], n: int) -> FloatArray:
    variance = np.zeros(n)
    for z, lam in zip(factors, fit.spec.split(fit.theta_values), strict=True):
        variance = variance + np.sum(np.square(z @ lam), axis=1)
    return np.sqrt(variance)
