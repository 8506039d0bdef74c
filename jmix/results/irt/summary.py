"""The printed summary of an item response model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jmix.results.irt.rebuild import histogram_of
from jmix.results.numbers import format_number, format_numbers, round_to
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import Report
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

HEAD, TAIL = 20, 5
"""Most items shown: the first and the last."""

LINEAR_NAMES = {"grid": "nodes on a grid", "adaptive": "adaptive nodes", "qmc": "quasi-Monte Carlo points"}


@dataclass(frozen=True, eq=False, repr=False)
class IrtSummary(Report):
    """A summary of ``fit``."""

    fit: IrtFit

    @cached_property
    def content(self) -> SummaryContent:
        """The headings, tables and messages, each as formatted text."""
        fit = self.fit
        notes = [*map(one_line, fit.status.messages), *map(one_line, fit.notes)]
        return SummaryContent(title(fit), tuple(_call(fit)), tuple(_sections(fit)), tuple(dict.fromkeys(notes)))


def title(fit: IrtFit) -> str:
    """What kind of model this is and how it was fitted."""
    types = list(dict.fromkeys(fit.spec.itemtypes))
    name = types[0] if len(types) == 1 else "Mixed" if len(types) > 3 else " and ".join(types)
    how = "maximum a posteriori" if fit.method == "MAP" else "maximum likelihood"
    return f"{name} item response model fit by marginal {how}"


def _call(fit: IrtFit) -> list[tuple[str, str]]:
    spec, responses = fit.spec, fit.responses
    lines = [("Data", f"{responses.n_persons} persons, {responses.n_items} items, {responses.n_responses} responses")]
    if responses.weights is not None:
        lines.append(("Weights", f"sum {format_number(float(responses.weights.sum()), 7)}"))
    if spec.n_factors > 1:
        kind = "bifactor" if spec.specific is not None else "exploratory" if spec.exploratory else "confirmatory"
        lines.append(("Factors", f"{spec.n_factors} ({kind}): {', '.join(map(one_line, spec.factors))}"))
    if len(spec.groups) > 1:
        sizes = np.bincount(responses.group if responses.group is not None else np.zeros(1, int))
        lines.append(("Groups", ", ".join(f"{one_line(g)} ({n})" for g, n in zip(spec.groups, sizes, strict=False))))
    if spec.covariates:
        lines.append(("Latent regression", " + ".join(map(one_line, spec.covariates))))
    if responses.cluster is not None and responses.clusters is not None:
        lines.append(("Clusters", f"{len(responses.clusters)}"))
    if spec.density is not None:
        lines.append(("Latent density", f"Davidian curve of order {spec.density.size}"))
    elif histogram_of(fit.marginal) is not None:
        lines.append(("Latent density", "empirical histogram"))
    return [*lines, ("Integration", integration_text(fit))]


def integration_text(fit: IrtFit) -> str:
    """How the trait was integrated out, and what that cost in accuracy."""
    integration, d = fit.solution.integration, fit.spec.n_factors
    method = LINEAR_NAMES.get(integration.method.removeprefix("adaptive-"), integration.method)
    if integration.method == "adaptive-qmc":
        method = f"adaptive {method}"
    per = f"{integration.nodes}" if d == 1 or "qmc" in integration.method else f"{integration.nodes} a dimension,"
    error = fit.quadrature_error
    checked = f"; twice as many change the log likelihood by {error:.1e}" if np.isfinite(error) else ""
    return f"{per} {method}{checked}"


def _sections(fit: IrtFit) -> list[Section]:
    sections = [Section(table=_criteria(fit)), *_items(fit)]
    latent = _latent(fit)
    if latent is not None:
        sections.append(Section("Latent distribution", latent))
    return sections


def _criteria(fit: IrtFit) -> Table:
    last, name = (fit.log_posterior, "logPosterior") if fit.method == "MAP" else (fit.deviance, "-2*log(L)")
    values = [round_to(v, 1) for v in (fit.aic, fit.bic, fit.loglik, last)]
    names = ["AIC", "BIC", "logLik", name]
    cells = [*format_numbers(values, 15), f"{fit.npar}"]
    names.append("parameters")
    width = max(len(c) for c in (*names, *cells))
    return Table(tuple(n.rjust(width) for n in names), (tuple(c.rjust(width) for c in cells),), "r" * len(names))


def _items(fit: IrtFit) -> list[Section]:
    """One table; difficulties of ordered categories in a table of their own."""
    frame = fit.items()
    names = [n for n in frame.columns if n not in ("group", "itemtype") and not n.startswith("se_")]
    for asymptote, none in (("c", 0.0), ("u", 1.0)):
        if asymptote in names and (frame[asymptote].fillna(none) == none).all():
            names.remove(asymptote)
    apart = [n for n in names if n.startswith("b")] if "d1" in names else []
    shown = frame if len(frame) <= HEAD + TAIL else pd.concat([frame.iloc[:HEAD], frame.iloc[-TAIL:]])
    lines: tuple[str, ...] = ()
    if len(shown) < len(frame):
        lines = (f"{len(frame) - len(shown)} items not shown; see fit.items().",)
    sections = [Section("Items", _item_table(fit, shown, [n for n in names if n not in apart]), () if apart else lines)]
    if apart:
        some = shown[shown[apart].notna().any(axis=1)]
        sections.append(Section("Difficulties", _item_table(fit, some, apart), lines))
    return sections


def _item_table(fit: IrtFit, frame: pd.DataFrame, names: list[str]) -> Table:
    labels = [("", "l", [one_line(str(v)) for v in frame.index])]
    if "group" in frame:
        labels.insert(0, ("group", "l", [one_line(str(v)) for v in frame["group"]]))
    columns = []
    for name in names:
        columns.append((name, "r", _cells(frame[name])))
        if f"se_{name}" in frame and np.nanmax(frame[f"se_{name}"].to_numpy(), initial=0.0) > 0:
            columns.append(("se", "r", _cells(frame[f"se_{name}"])))
    if len(set(fit.spec.itemtypes)) > 1:
        columns.append(("type", "l", [one_line(str(v)) for v in frame["itemtype"]]))
    return Table.of_columns([*labels, *columns], labels=len(labels))


def _cells(values: pd.Series) -> list[str]:
    """Three decimals; blank where there is no number."""
    texts = ["" if np.isnan(v) else f"{v:.3f}" if abs(v) < 1e5 else f"{v:.2e}" for v in values.to_numpy(dtype=float)]
    return texts


def _latent(fit: IrtFit) -> Table | None:
    frame = fit.latent()
    frame = frame[frame["parameter"].isin(["mean", "sd", "corr", "beta", "cluster_sd"])]
    if len(fit.spec.groups) == 1 and frame["fixed"].all():
        return None
    single = len(fit.spec.groups) == 1
    columns = [("", "l", [f"{r.parameter}[{one_line(str(r.term))}]" for r in frame.itertuples()])]
    if not single:
        columns.insert(0, ("group", "l", [one_line(str(g)) for g in frame["group"]]))
    labels = len(columns)
    columns.append(("estimate", "r", _cells(frame["estimate"])))
    if "se" in frame:
        fixed = frame["fixed"].to_numpy()
        columns.append(("se", "r", ["fixed" if f else c for f, c in zip(fixed, _cells(frame["se"]), strict=True)]))
    return Table.of_columns(columns, labels=labels)
