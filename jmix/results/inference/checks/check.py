"""All checks of a fit in one table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import DataError, ModelError
from jmix.results.inference.checks import residual_tests as tests
from jmix.results.inference.checks.check_effects import normality, random_effects
from jmix.results.inference.checks.check_groups import RowGroups, row_groups, used
from jmix.results.inference.checks.check_messages import Row, advise, structure
from jmix.results.inference.checks.simulated_residuals import Simulated, aggregated, simulated
from jmix.results.inference.report import TableReport, text_of
from jmix.results.sections import Section, SummaryContent
from jmix.results.text_table import one_line

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

NOTABLE = 0.05
"""p-value below which a check is remarked on."""

COUNTS = ("poisson", "nbinom1", "nbinom2", "binomial")


@dataclass(frozen=True, eq=False, repr=False)
class Checks(TableReport):
    """The checks of a fit.

    ``table`` has one row a test: ``statistic``, ``p_value`` (NaN for what is no test), ``ok``, and ``message``, what it
    means and what to do. Printed are the results, and the messages of what is not in order.

    Attributes:
        fit: what was checked. simulations: the simulated responses and the scaled residuals of all of them.
    """

    fit: Any = None
    simulations: Any = None

    @property
    def ok(self) -> bool:
        """Whether every check is in order."""
        return bool(self.table["ok"].all())

    @cached_property
    def residuals(self) -> pd.Series:
        """Scaled residuals of the rows that were tested, uniform on (0, 1) under the model."""
        index = self.fit.base.index[self.simulations.rows]
        return pd.Series(self.simulations.scaled[:, 0], index=index, name="scaled_residual")

    def random_effects(self) -> pd.DataFrame:
        """One row a random effect for a normal quantile plot: ``group level term mode standardized normal_quantile``.

        ``standardized`` is the mode over its standard deviation under the model.
        """
        return random_effects(self.fit)

    @cached_property
    def content(self) -> SummaryContent:
        """The results, with messages below for what is not in order."""
        shown = self.table[["statistic", "p_value"]].copy()
        shown["result"] = np.where(self.table["ok"], "ok", "look")
        lines = [f"{name}: {text}" for name, text in self.table["message"][~self.table["ok"]].items()]
        return SummaryContent(self.title, self.call, (Section(table=text_of(shown, {})),), (*lines, *self.notes))

    def plot(self, *, figsize: Any = None) -> Any:
        """Two panels: a quantile plot of the scaled residuals, and the residuals over the ranks of the predictions.

        The band of the first holds 95% of simulated data sets at every point; in the second the quartiles of the
        residuals, in bins of the predictions, stand beside 1/4, 1/2 and 3/4. Outliers are responses outside the range
        of all simulations.

        Raises:
            JmixError: matplotlib is missing.
        """
        from jmix.results.inference.checks.check_plot import check_plot

        return check_plot(self, figsize)


def check(fit: FitBase, n: int, seed: int, *, conditional: bool, group: Any = None, time: Any = None) -> Checks:
    """The work behind ``check``."""
    groups = None if group is None else row_groups(fit, group, what="check()")
    order = None if time is None else _times(fit, time)
    source = simulated(fit, n, seed, conditional=conditional, caller="check", standardize=True)
    if groups is not None:
        groups = used(replace(groups, codes=groups.codes[source.rows]))
    rows = [*residual_rows(fit, source)]
    if groups is not None:
        rows += group_rows(source, groups, seed)
    if order is not None:
        rows.append(advise("autocorrelation in time", tests.durbin_watson(source.scaled, order[source.rows])))
    rows += [advise(name, tests.Test(w, p)) for name, w, p in normality(random_effects(fit))]
    rows += structure(fit)
    table = pd.DataFrame([row._asdict() for row in rows]).set_index("test")
    call = [("Formula", one_line(fit.formula)), ("Simulations", f"{n}, {_kind(fit, conditional)}")]
    notes = []
    if source.rows.size < fit.nobs:
        notes.append(f"the tests use a random sample of {source.rows.size} of the {fit.nobs} rows")
    return Checks(table, "Checks of the fit", tuple(call), tuple(notes), None, fit, source)


def _kind(fit: FitBase, conditional: bool) -> str:
    if not fit.terms:
        return "from the model"
    return "random effects at their modes" if conditional else "new random effects"


def _times(fit: FitBase, time: Any) -> FloatArray:
    if isinstance(time, pd.Series) and time.index.is_unique and fit.base.index.isin(time.index).all():
        time = time.loc[fit.base.index]
    values = pd.Series(np.asarray(time).reshape(-1))
    if len(values) != fit.nobs or values.isna().any():
        raise DataError(f"check(time=): give a value for each of the {fit.nobs} rows of the fit, none of them missing")
    return np.asarray(pd.factorize(values, sort=True)[0], dtype=np.float64)


def residual_rows(fit: FitBase, source: Simulated) -> list[Row]:
    """The tests of the scaled residuals that the model's response allows."""
    family = getattr(getattr(fit, "family", None), "name", "gaussian")
    out = [advise("uniformity", tests.uniformity(source.scaled))]
    if family not in ("bernoulli", "cumulative"):
        if source.values is source.responses:
            out.append(advise("dispersion", tests.dispersion(source.values, source.weights), family))
        out.append(advise("outliers", tests.outliers(source.values), family))
    if family in COUNTS:
        out += pearson(fit)
        out.append(advise("zeros", tests.zeros(source.values), family))
    codes = tests.bins_of(source.eta)
    if codes is not None:
        out.append(advise("quartiles by prediction", tests.quantiles(source.scaled, codes)))
        out.append(advise("spread by prediction", tests.spread(source.scaled, codes), family))
    return out


def pearson(fit: Any) -> list[Row]:
    """Pearson's chi-squared over its degrees of freedom, given the random effects."""
    try:
        found = fit.overdispersion()
    except ModelError:
        return []
    return [Row("Pearson dispersion", found.ratio, found.p_value, not found.p_value < NOTABLE, found.message)]


def group_rows(source: Simulated, groups: RowGroups, seed: int) -> list[Row]:
    """Tests by the groups that the user names."""
    name = one_line(groups.name)
    out = [
        advise("uniformity by group", tests.by_group(source.scaled, groups.codes), name),
        advise("spread by group", tests.spread(source.scaled, groups.codes), name),
    ]
    sums = aggregated(source, groups, np.random.default_rng([seed, 1]))
    return [*out, advise("uniformity of group sums", tests.uniformity(sums), name)]


def check_residuals(fit: FitBase, n: int, seed: int, *, conditional: bool, group: Any) -> pd.Series:
    """The work behind ``check_residuals``."""
    groups = None if group is None else row_groups(fit, group, what="check_residuals()")
    source = simulated(fit, n, seed, conditional=conditional, caller="check_residuals")
    if groups is None:
        return pd.Series(source.scaled[:, 0], index=fit.base.index[source.rows], name="scaled_residual")
    groups = used(replace(groups, codes=groups.codes[source.rows]))
    sums = aggregated(source, groups, np.random.default_rng([seed, 1]))[:, 0]
    return pd.Series(sums, index=pd.Index(groups.levels, name=groups.name), name="scaled_residual")
