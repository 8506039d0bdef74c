"""One regression per group, as nlme's ``lmList``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.design import build_design
from jmix.errors import FormulaError, ModelError
from jmix.estimate.by_group import GroupRegressions, regress_by_group
from jmix.formula.tokens import tokenize

if TYPE_CHECKING:
    from jmix.results.inference.report import TableReport

FloatArray = npt.NDArray[np.float64]

_WANTED = "lmlist wants one grouping factor after a bar, and no random terms"

SHOWN = 10
"""Groups named in a message."""


@dataclass(frozen=True, eq=False)
class LmList:
    """Regressions of one formula in every group.

    Attributes:
        formula: as the user wrote it. group: the grouping factor. levels: its J labels. names: the p coefficients.
        regressions: the estimates as arrays. pool: one residual variance for all groups.
        n_missing: rows dropped for missing values. messages: what cannot be estimated, and where.
    """

    formula: str
    group: str
    levels: list[str]
    names: list[str]
    regressions: GroupRegressions
    pool: bool
    n_missing: int
    messages: tuple[str, ...]

    @property
    def nobs(self) -> int:
        """Rows used."""
        return int(self.regressions.n.sum())

    @property
    def df_residual(self) -> int:
        """Residual degrees of freedom of all groups together."""
        return int(self._df.sum())

    @property
    def sigma(self) -> float:
        """Pooled residual standard deviation; NaN when no group has residual degrees of freedom."""
        return float(np.sqrt(self.regressions.rss.sum() / self.df_residual)) if self.df_residual else float("nan")

    @property
    def _df(self) -> npt.NDArray[np.intp]:
        return np.asarray(self.regressions.n - self.regressions.rank)

    def sigmas(self) -> pd.Series:
        """(J,) residual standard deviation of each group; NaN without residual degrees of freedom."""
        df = self._df
        variance = np.divide(self.regressions.rss, df, out=np.full(df.size, np.nan), where=df > 0)
        return pd.Series(np.sqrt(variance), index=self._index, name="sigma")

    def coef(self) -> pd.DataFrame:
        """(J, p) coefficients, one row a group; NaN where the rows of the group do not determine them."""
        return pd.DataFrame(self.regressions.beta, index=self._index, columns=self.names)

    def se(self) -> pd.DataFrame:
        """(J, p) standard errors, from the pooled sigma or from each group's own."""
        root = np.sqrt(np.einsum("jaa->ja", self.regressions.unscaled))
        sigma = self.sigma if self.pool else self.sigmas().to_numpy()[:, None]
        return pd.DataFrame(sigma * root, index=self._index, columns=self.names)

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Student-t intervals: columns ``lower`` and ``upper``, rows (group, coefficient).

        Raises:
            ModelError: level is not between 0 and 1.
        """
        from scipy.special import stdtrit

        if not 0.0 < level < 1.0:
            raise ModelError(f"confint(level={level!r}): level must lie between 0 and 1, e.g. 0.95")
        half = stdtrit(self._t_df(), 0.5 + 0.5 * level)[:, None] * self.se().to_numpy()
        beta = self.regressions.beta
        index = pd.MultiIndex.from_product([self.levels, self.names], names=[self.group, "term"])
        return pd.DataFrame({"lower": (beta - half).ravel(), "upper": (beta + half).ravel()}, index=index)

    def tidy(self) -> pd.DataFrame:
        """One row a group and coefficient: estimate, standard error, t, its degrees of freedom and p."""
        from scipy.special import stdtr

        index = pd.MultiIndex.from_product([self.levels, self.names], names=[self.group, "term"])
        estimate, se = self.regressions.beta.ravel(), self.se().to_numpy().ravel()
        df = np.repeat(self._t_df(), len(self.names))
        t = np.divide(estimate, se, out=np.full(se.size, np.nan), where=se > 0)
        p = 2.0 * stdtr(df, -np.abs(t))
        columns = {"estimate": estimate, "std_error": se, "statistic": t, "df": df, "p_value": p}
        return pd.DataFrame(columns, index=index).reset_index()

    def summary(self) -> LmListSummary:
        """The estimates with their tests, one table a coefficient."""
        return LmListSummary(self)

    def describe(self, by: Any = None) -> TableReport:
        """The coefficients over the groups: ``n`` groups that determine them, ``mean sd min median max``, the means
        weighted by rows (``mean_by_size``) and by ``1 / se^2`` (``mean_by_precision``), and the ``std_error`` of the
        latter, given that all groups have one coefficient.

        Args:
            by: a category for each group, a Series or dict indexed by its label: one set of rows a category.

        Raises:
            DataError: a group has no category.
        """
        from jmix.results.inference.describing.describe_lmlist import describe_coefficients

        return describe_coefficients(self, by)

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.levels, name=self.group)

    def _t_df(self) -> FloatArray:
        """(J,) degrees of freedom of the t statistics; NaN where there are none."""
        df = np.full(len(self.levels), self.df_residual) if self.pool else self._df
        return np.where(df > 0, df, np.nan)

    def __repr__(self) -> str:
        return "\n".join([*_head(self), "Coefficients:", self.coef().to_string(na_rep="NA"), "", *_foot(self)])


@dataclass(frozen=True, eq=False)
class LmListSummary:
    """Printable summary of an ``LmList``; ``tables()`` gives one frame a coefficient."""

    fit: LmList

    def tables(self) -> dict[str, pd.DataFrame]:
        """(J, 5) frame of each coefficient: estimate, std_error, statistic, df, p_value by group."""
        long = self.fit.tidy()
        tables = {}
        for name in self.fit.names:
            tables[name] = long[long["term"] == name].drop(columns="term").set_index(self.fit.group)
        return tables

    def __repr__(self) -> str:
        lines = _head(self.fit)
        for name, table in self.tables().items():
            formats = {"p_value": "{:.4g}".format}
            lines += [f"{name}:", table.to_string(na_rep="NA", formatters=formats), ""]
        return "\n".join([*lines, *_foot(self.fit)])


def _head(fit: LmList) -> list[str]:
    return [f"Regressions by {fit.group}: {fit.formula}", f"{fit.nobs} rows in {len(fit.levels)} groups", ""]


def _foot(fit: LmList) -> list[str]:
    pooled = f"Residual standard error, pooled: {fit.sigma:.6g} on {fit.df_residual} degrees of freedom"
    own = "Standard errors from each group's own residual variance"
    dropped = [f"{fit.n_missing} rows dropped for missing values"] if fit.n_missing else []
    return [pooled, *([] if fit.pool else [own]), *dropped, *fit.messages]


def fit_lmlist(
    formula: str, data: Any, *, pool: bool, weights: Any, offset: Any, contrasts: Mapping[str, Any] | None
) -> LmList:
    """Evaluate the formula once on all rows, then regress within each group; see ``jmix.lmlist``."""
    fixed, group = split_formula(formula)
    design = build_design(f"{fixed} + (1 | {group})", data, weights=weights, offset=offset, contrasts=contrasts)
    if len(design.random) != 1:
        raise FormulaError(f"{formula!r}: {_WANTED}, e.g. 'y ~ x | g' or 'y ~ x | a:b'")
    term = design.random[0]
    y = design.y if design.offset is None else design.y - design.offset
    result = regress_by_group(design.X, y, term.codes, len(term.levels), design.weights)
    messages = _messages(term.group, term.levels, design.x_names, result, pool)
    return LmList(formula, term.group, term.levels, design.x_names, result, pool, design.n_missing, messages)


def split_formula(formula: str) -> tuple[str, str]:
    """``"y ~ x | g"`` to ``("y ~ x", "g")``.

    Raises:
        FormulaError: there is not exactly one bar, or it stands in parentheses.
    """
    bars: list[int] = []
    outside, depth = True, 0
    for token in tokenize(formula):
        if token.kind == "op":
            depth += (token.text in "([") - (token.text in ")]")
            if token.text in {"|", "||"}:
                bars.append(token.at)
                outside &= depth == 0 and token.text == "|"
    if len(bars) != 1 or not outside or not formula[bars[0] + 1 :].strip():
        raise FormulaError(f"{formula!r}: {_WANTED}, e.g. 'Reaction ~ Days | Subject'")
    return formula[: bars[0]].strip(), formula[bars[0] + 1 :].strip()


def _messages(group: str, levels: list[str], names: list[str], result: GroupRegressions, pool: bool) -> tuple[str, ...]:
    short = np.flatnonzero(result.rank < len(names))
    flat = np.flatnonzero(result.n == result.rank)
    out = []
    if short.size:
        parts = []
        for j in short[:SHOWN]:
            lost = ", ".join(name for name, value in zip(names, result.beta[j], strict=True) if np.isnan(value))
            parts.append(f"{levels[j]} ({result.n[j]} rows): {lost}")
        named = "; ".join(parts) + _more(short.size)
        out.append(f"not estimable in {short.size} of {len(levels)} groups of {group}: {named}")
    if flat.size and not pool:
        named = ", ".join(levels[j] for j in flat[:SHOWN]) + _more(flat.size)
        out.append(
            f"no residual degrees of freedom, so no standard errors, in {flat.size} groups of {group}: {named}; "
            "pool=True gives them"
        )
    return tuple(out)


def _more(count: int) -> str:
    return f"; and {count - SHOWN} more" if count > SHOWN else ""
