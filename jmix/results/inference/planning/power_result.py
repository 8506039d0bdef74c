"""The result of a power study: a table that prints, the size that is needed, and a curve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.inference.planning.power_tests import Outcome
from jmix.results.inference.planning.power_truth import Subject
from jmix.results.inference.report import TableReport, decimals
from jmix.results.sections import SummaryContent

FloatArray = npt.NDArray[np.float64]

TESTS = {
    "satterthwaite": "t-tests with Satterthwaite's degrees of freedom of every simulated response",
    "wald": "z-tests",
    "lrt": "likelihood-ratio tests, chi-squared on one degree of freedom",
}

LEVEL = 0.95
"""Of the intervals for the power."""


@dataclass(frozen=True, eq=False, repr=False)
class Power(TableReport):
    """Power by number of groups: ``print`` it, take ``table``, ``required()`` or ``plot()``.

    Attributes:
        target: the power of the note. interrupted: whether sizes or responses are missing.
    """

    target: float = 0.8
    interrupted: bool = False

    @cached_property
    def content(self) -> SummaryContent:
        """As printed: without the columns that the lines above the table state."""
        shown = self.table.drop(columns=["n_rows", "n_sim", "mean_estimate"])
        return replace_table(self, shown)

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        own: Subject,
        group: str | None,
        test: str,
        alpha: float,
        target: float,
        *,
        interrupted: bool,
    ) -> Power:
        """Assemble the report."""
        base = own.design if own.linear else own.design.base
        what = f"levels of {group}" if group else "rows"
        sims = sorted(set(table["n_sim"].tolist()))
        call = (
            ("Formula", str(base.formula)),
            ("Groups", what),
            ("Test", f"{TESTS[test]}; alpha = {alpha:g}"),
            ("Simulated", f"{' to '.join(map(str, sims))} responses for each size"),
        )
        notes = ["Intervals are Clopper and Pearson's; fits that did not converge count as not significant."]
        notes += _required_notes(table, target, what)
        if interrupted:
            notes.append("Interrupted: not all sizes or responses are there.")
        same = ["n_per_group"] if table["n_per_group"].isna().all() else []
        shown = table.drop(columns=same)
        formats = {
            **dict.fromkeys(("power", "lower", "upper", "type_s", "converged", "singular"), decimals(3)),
            **dict.fromkeys(("type_m",), decimals(2)),
        }
        return cls(shown, "Power by simulation", call, tuple(notes), formats, target=target, interrupted=interrupted)

    def required(self, power: float | None = None) -> pd.DataFrame:
        """The smallest number of groups with this power, by effect (and rows a group); NaN outside of the sizes tried.

        Between two sizes the probit of the power is interpolated in the root of the number of groups, in which it is a
        straight line in large samples.
        """
        return required(self.table, self.target if power is None else power)

    def plot(self, *, figsize: Any = None) -> Any:
        """Power against the number of groups with its intervals, one line an effect; returns a matplotlib ``Figure``.

        Raises:
            JmixError: matplotlib is missing.
        """
        from jmix.results.inference.planning.power_plot import plot

        return plot(self, figsize)


def replace_table(report: TableReport, table: pd.DataFrame) -> SummaryContent:
    """The printed form of a report with other columns."""
    whole = TableReport(table, report.title, report.call, report.notes, report.formats)
    return whole.content


def summarised(
    outcome: Outcome, names: list[str], truth: FloatArray, size: tuple[int, int | None], design: Any, alpha: float
) -> pd.DataFrame:
    """One row an effect."""
    base = getattr(design, "base", design)
    count = len(outcome.converged)
    weights = design.weights if base is not design else None
    rows_used = int(base.X.shape[0] if weights is None else np.sum(weights > 0))
    rows = []
    for j, (name, value) in enumerate(zip(names, truth, strict=True)):
        estimate = outcome.estimate[:, j]
        hit = outcome.converged & (outcome.p_value[:, j] < alpha)
        lower, upper = clopper_pearson(int(hit.sum()), count)
        wrong, larger = _errors(estimate[hit], float(value))
        rows.append(
            {
                "effect": name,
                "n_groups": size[0],
                "n_per_group": np.nan if size[1] is None else size[1],
                "n_rows": rows_used,
                "value": float(value),
                "power": hit.mean(),
                "lower": lower,
                "upper": upper,
                "mean_estimate": float(np.mean(estimate[outcome.converged])) if outcome.converged.any() else np.nan,
                "type_s": wrong,
                "type_m": larger,
                "n_sim": count,
                "converged": outcome.converged.mean(),
                "singular": outcome.singular.mean(),
            }
        )
    return pd.DataFrame(rows)


def _errors(significant: FloatArray, value: float) -> tuple[float, float]:
    """Share of significant estimates of the wrong sign, and their mean size over the true one; NaN for no effect."""
    if value == 0.0 or not significant.size:
        return float("nan"), float("nan")
    return float(np.mean(np.sign(significant) != np.sign(value))), float(np.mean(np.abs(significant)) / abs(value))


def clopper_pearson(hits: int, count: int, level: float = LEVEL) -> tuple[float, float]:
    """The exact interval of a proportion (Clopper & Pearson 1934, Biometrika 26, 404-413)."""
    from scipy.special import betaincinv

    tail = 0.5 * (1.0 - level)
    lower = 0.0 if hits == 0 else float(betaincinv(hits, count - hits + 1, tail))
    upper = 1.0 if hits == count else float(betaincinv(hits + 1, count - hits, 1.0 - tail))
    return lower, upper


def required(table: pd.DataFrame, power: float) -> pd.DataFrame:
    """Groups needed for a power, by effect and rows a group."""
    keys = ["effect", *(["n_per_group"] if "n_per_group" in table else [])]
    rows = []
    for key, part in table.groupby(keys, sort=False, dropna=False):
        ordered = part.sort_values("n_groups")
        found = crossing(ordered["n_groups"].to_numpy(float), ordered["power"].to_numpy(float), power)
        rows.append({**dict(zip(keys, key, strict=True)), "power": power, "n_groups": found})
    return pd.DataFrame(rows)


def crossing(n: FloatArray, power: FloatArray, target: float) -> float:
    """The first n, rounded up, at which the curve reaches the target from below; NaN where it does not."""
    from scipy.special import ndtri

    probit = ndtri(np.clip(power, 1e-4, 1.0 - 1e-4))
    wanted, root = float(ndtri(target)), np.sqrt(n)
    for k in range(1, n.size):
        if probit[k - 1] < wanted <= probit[k]:
            share = (wanted - probit[k - 1]) / (probit[k] - probit[k - 1])
            return float(np.ceil((root[k - 1] + share * (root[k] - root[k - 1])) ** 2 - 1e-9))
    return float("nan")


def _required_notes(table: pd.DataFrame, target: float, what: str) -> list[str]:
    """A sentence for each curve that crosses the target, or says on which side it stays."""
    notes = []
    for key, part in table.groupby(["effect", "n_per_group"], sort=False, dropna=False):
        if len(part) < 2:
            continue
        name, each = cast(tuple[str, float], key)
        of = f"{name}" if np.isnan(each) else f"{name} with {each:g} rows a group"
        ordered = part.sort_values("n_groups")
        found = crossing(ordered["n_groups"].to_numpy(float), ordered["power"].to_numpy(float), target)
        if np.isfinite(found):
            notes.append(f"{of}: power {target:g} from about {found:g} {what}.")
        else:
            side = "above" if ordered["power"].iloc[0] >= target else "below"
            notes.append(f"{of}: the power stays {side} {target:g} at the sizes tried.")
    return notes
