"""The table and the notes of marginal means: intervals, tests, scales."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.frames import check_level
from jmix.results.inference.means.adjust import FOR_INTERVALS, adjusted_p, check_method, critical_values, rank_of
from jmix.results.inference.means.means import Means, View
from jmix.results.inference.means.quantities import Delta, Drawn, Quantities
from jmix.results.inference.means.scales import IDENTITY, Scale
from jmix.results.inference.report import TableReport

FloatArray = npt.NDArray[np.float64]
SIDES = {"two-sided": 2, "greater": 1, "less": -1}
DF_NOTES = {
    "satterthwaite": "Degrees of freedom by Satterthwaite's method.",
    "kenward-roger": "Degrees of freedom and covariance by Kenward and Roger's method.",
    "containment": "Degrees of freedom by containment.",
    "residual": "Residual degrees of freedom.",
}


def make(labels: pd.DataFrame, by: tuple[str, ...], quantities: Quantities, view: View, title: str, call: Any) -> Means:
    """The report of quantities."""
    check_level(view.level)
    labels = labels.reset_index(drop=True)
    columns = columns_of(labels, by, quantities, view)
    table = pd.concat([labels, pd.DataFrame(columns)], axis=1)
    notes = tuple(notes_of(labels, by, quantities, view))
    return Means(
        table=table, title=title, call=tuple(call), notes=notes, labels=labels, by=by, quantities=quantities, view=view
    )


def families(labels: pd.DataFrame, by: tuple[str, ...]) -> list[npt.NDArray[np.int64]]:
    """Rows of each combination of ``by``, in the order of their first rows."""
    if not by:
        return [np.arange(len(labels))]
    numbers = labels.groupby(list(by), sort=False, dropna=False, observed=True).ngroup().to_numpy()
    return [np.flatnonzero(numbers == i) for i in range(int(numbers.max()) + 1)]


def names_of(labels: pd.DataFrame) -> list[str]:
    """One name a row: its labels, numbers after the name of their variable."""
    parts = [
        [f"{name}{v:g}" if isinstance(v, int | float) else str(v) for v in labels[name].tolist()] for name in labels
    ]
    return [" ".join(row) for row in zip(*parts, strict=True)] if parts else ["overall"] * len(labels)


def plural(noun: str) -> str:
    """Several of what a row is."""
    return f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"


# --- columns --------------------------------------------------------------------------------------------------------
def columns_of(labels: pd.DataFrame, by: tuple[str, ...], q: Quantities, view: View) -> dict[str, Any]:
    """The columns of numbers."""
    if isinstance(q, Drawn):
        return _drawn_columns(q, view)
    assert isinstance(q, Delta)
    shown = q.transform(view.scale.inverse, view.scale.slope) if view.response else q
    columns: dict[str, Any] = {"estimate": shown.value, "std_error": shown.se, "df": q.df}
    groups = families(labels, by)
    if view.infer in ("ci", "both"):
        columns |= _limits(q, groups, view)
    if view.infer in ("test", "both"):
        columns |= _tests(q, groups, view)
    return columns


def _correlation(q: Quantities) -> FloatArray:
    covariance = q.covariance
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(np.diag(covariance))
        found = covariance / np.outer(scale, scale)
    return np.clip(found, -1.0, 1.0)


def _limits(q: Delta, groups: list[Any], view: View) -> dict[str, FloatArray]:
    lower, upper = np.full(len(q), np.nan), np.full(len(q), np.nan)
    sides = SIDES[view.side]
    for rows in groups:
        own = q.take(rows)
        method = check_method(view.adjust, pairs=view.pairs)
        correlation = _correlation(own) if method in ("mvt", "scheffe") else np.empty((0, 0))
        width = critical_values(view.level, own.df, method, view.means, correlation, 2 if sides == 2 else 1) * own.se
        lower[rows] = own.value - width if sides != -1 else -np.inf
        upper[rows] = own.value + width if sides != 1 else np.inf
    lower[np.isnan(q.value)], upper[np.isnan(q.value)] = np.nan, np.nan
    if view.response:
        with np.errstate(all="ignore"):
            ends = np.asarray(view.scale.inverse(lower)), np.asarray(view.scale.inverse(upper))
        lower, upper = np.minimum(*ends), np.maximum(*ends)
    return {"lower": lower, "upper": upper}


def _tests(q: Delta, groups: list[Any], view: View) -> dict[str, FloatArray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (q.value - view.null) / q.se
    p = np.full(len(q), np.nan)
    for rows in groups:
        own = q.take(rows)
        method = check_method(view.adjust, pairs=view.pairs)
        correlation = _correlation(own) if method in ("mvt", "scheffe") else np.empty((0, 0))
        p[rows] = adjusted_p(statistic[rows], own.df, method, view.means, correlation, SIDES[view.side])
    return {"statistic": statistic, "p_value": p}


def _drawn_columns(q: Drawn, view: View) -> dict[str, Any]:
    from jmix.results.posterior_table import bounds

    shown = q.transform(view.scale.inverse, view.scale.slope) if view.response else q
    ends = bounds(shown.draws.T, view.level, view.interval)
    lower, upper = (np.where(q.estimable, end, np.nan) for end in ends)
    positive = (q.draws > view.null).mean(axis=0)
    direction = np.where(q.estimable, np.maximum(positive, (q.draws < view.null).mean(axis=0)), np.nan)
    columns = {"estimate": shown.value, "std_error": shown.se, "lower": lower, "upper": upper}
    return columns | ({"prob_direction": direction} if view.infer != "ci" else {})


# --- notes ----------------------------------------------------------------------------------------------------------
def notes_of(labels: pd.DataFrame, by: tuple[str, ...], q: Quantities, view: View) -> list[str]:
    """What a reader must know of the numbers, as emmeans prints it."""
    notes = list(view.facts)
    if isinstance(q, Drawn):
        kind = "equal-tailed" if view.interval == "eti" else "highest-density"
        notes.append(f"Posterior {q.centre}s with {100 * view.level:g}% {kind} intervals.")
    else:
        assert isinstance(q, Delta)
        notes += law_notes(q)
        if view.infer in ("ci", "both"):
            notes.append(f"Confidence level used: {view.level:g}.")
        notes += _adjustment_notes(labels, by, q, view)
    if view.response and not view.scale.identity:
        notes.append(_scale_note(view, drawn=isinstance(q, Drawn)))
    lost = int((~q.estimable | np.isnan(q.value)).sum())
    if lost:
        notes.append(
            f"{lost} of {len(q)} cannot be estimated: the data have no rows for a combination that the model needs. "
            "Leave the interaction out, or average with weights='cells'."
        )
    return notes


def _adjustment_notes(labels: pd.DataFrame, by: tuple[str, ...], q: Delta, view: View) -> list[str]:
    method = check_method(view.adjust, pairs=view.pairs)
    groups = families(labels, by)
    size = max((len(g) for g in groups), default=0)
    if method == "none" or size < 2:
        return []
    of = f"for {size} tests"
    if method == "tukey":
        of = f"for comparing a family of {view.means} estimates"
    elif method == "scheffe":
        of = f"with rank {rank_of(_correlation(q.take(groups[0])))}"
    notes = []
    if view.infer in ("ci", "both"):
        own = method if method in FOR_INTERVALS else "bonferroni"
        notes.append(f"Confidence-level adjustment: {own} method {of.replace('tests', 'estimates')}.")
    if view.infer in ("test", "both"):
        notes.append(f"P value adjustment: {method} method {of}.")
    if view.adjust == "tukey" and method != "tukey":
        notes.append("Tukey's method is for one set of all pairwise comparisons; Sidak's was used.")
    return notes


def _scale_note(view: View, *, drawn: bool) -> str:
    if drawn:
        return f"Draws were transformed from the {view.scale.name} scale."
    what = {"ci": "Intervals", "test": "Tests", "both": "Tests and intervals"}[view.infer]
    if view.scale.name == "ratio" or view.noun == "contrast":
        return f"{what} are computed on the log{' odds ratio' if view.scale.unit == 'odds ratio' else ''} scale."
    return f"{what} are computed on the {view.scale.name} scale and back-transformed."


# --- other views ----------------------------------------------------------------------------------------------------
def reshow(means: Means, **changes: Any) -> Means:
    """The same quantities, shown otherwise; a change to None changes nothing."""
    view = replace(means.view, **{name: value for name, value in changes.items() if value is not None})
    if view.side not in SIDES:
        raise ModelError(f"side={view.side!r}: choose 'two-sided', 'greater' or 'less'")
    check_method(view.adjust, pairs=view.pairs)
    return make(means.labels, means.by, means.quantities, view, means.title, means.call)


def regrid(means: Means, type: str) -> Means:
    """The work behind ``Means.regrid``."""
    if type not in ("response", "link"):
        raise ModelError(f"regrid(type={type!r}): choose 'response' or 'link'")
    view = means.view
    if type == "link":
        if view.scale.identity:
            raise ModelError("regrid('link'): these quantities have no link; they were averaged where they are")
        return reshow(means, response=False) if view.response else means
    if view.scale.identity:
        return means
    moved = means.quantities.transform(view.scale.inverse, view.scale.slope)
    return make(means.labels, means.by, moved, replace(view, scale=IDENTITY, response=False), means.title, means.call)


def scale_of_contrasts(scale: Scale, *, ratios: bool) -> Scale:
    """Where differences on a scale are shown."""
    return scale.of_differences() if ratios else IDENTITY


def joint_tests(means: Means, null: float) -> TableReport:
    """One test of all rows of each family."""
    q, rows = means.quantities, []
    assert isinstance(q, Delta)
    for group in families(means.labels, means.by):
        own = q.take(group)
        own = own.take(np.flatnonzero(own.estimable))
        label = {name: means.labels[name].iloc[group[0]] for name in means.by}
        test = own.joint(np.full(len(own), null))
        rows.append(label | {"df1": test.df1, "df2": test.df2, "F": test.statistic, "p_value": test.p_value})
    title = f"Joint tests: every {means.view.noun} is {null:g}"
    return TableReport(pd.DataFrame(rows), title, means.call, tuple(law_notes(q)))


def law_notes(q: Delta) -> list[str]:
    """The covariance where it is not the model's, and the rule for the degrees of freedom."""
    rule = DF_NOTES.get(q.law.name) if np.any(np.isfinite(q.df)) else None
    return [*filter(None, [q.law.remark, rule])]
