"""Contrasts of marginal means within families."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.means.adjust import check_method
from jmix.results.inference.means.contrasts import Weights, weights_of
from jmix.results.inference.means.means import Means
from jmix.results.inference.means.scales import IDENTITY
from jmix.results.inference.means.show import families, make, names_of, plural, scale_of_contrasts

OPERATORS = tuple("-+*/")


def contrast(
    means: Means,
    method: Any,
    by: Any,
    ref: Any,
    adjust: str | None,
    interaction: bool | Sequence[Any],
    ratios: bool,
    level: float | None,
) -> Means:
    """The work behind ``Means.contrast``."""
    columns = by_columns(means, by)
    if interaction is not False:
        return _interaction(means, method, columns, interaction, adjust, level)
    rows = families(means.labels, columns)
    own = [n for n in means.labels if n not in columns]
    chosen, labels, blocks = [], [], []
    for group in rows:
        names = bracketed(names_of(means.labels.iloc[group][own]))
        weights = weights_of(method, names, ref)
        block = np.zeros((len(weights.names), len(means.labels)))
        block[:, group] = weights.matrix
        first = means.labels.iloc[group[0]]
        labels += [{"contrast": name} | {n: first[n] for n in columns} for name in weights.names]
        chosen.append(weights)
        blocks.append(block)
    return _report(means, chosen, labels, np.vstack(blocks), columns, adjust, ratios, level)


def by_columns(means: Means, by: Any) -> tuple[str, ...]:
    """The columns of ``by``, by default those of the means.

    Raises:
        ModelError: a column that the means do not have.
    """
    if by is None:
        return means.by
    columns = tuple([by] if isinstance(by, str) else by)
    unknown = [n for n in columns if n not in means.labels]
    if unknown:
        there = ", ".join(map(repr, means.labels)) or "none"
        raise ModelError(f"by={unknown[0]!r} is no column of these {plural(means.view.noun)}; there are: {there}")
    if len(columns) == means.labels.shape[1] and len(columns):
        raise ModelError(
            f"by= names every column ({', '.join(columns)}), so that each group has one mean; leave one out"
        )
    return columns


def bracketed(names: list[str]) -> list[str]:
    """Names, those that hold an operator in parentheses."""
    return [f"({n})" if any(sign in n for sign in OPERATORS) else n for n in names]


def _report(
    means: Means,
    chosen: list[Weights],
    labels: list[dict[str, Any]],
    matrix: Any,
    by: tuple[str, ...],
    adjust: str | None,
    ratios: bool,
    level: float | None,
) -> Means:
    view, first = means.view, chosen[0]
    true = all(w.contrasts for w in chosen)
    scale = scale_of_contrasts(view.scale, ratios=ratios) if true else view.scale
    if not true and not all(np.allclose(w.matrix.sum(axis=1), 1.0) for w in chosen):
        scale = IDENTITY
    facts = view.facts
    response = view.response and not scale.identity
    if view.response and scale.identity and not view.scale.identity:
        facts = (*facts, f"Contrasts are still on the {view.scale.name} scale; regrid('response') takes them off it.")
    if response and true:
        sign = "/"
        labels = [row | {"contrast": row["contrast"].replace(" - ", f" {sign} ")} for row in labels]
    sizes = {len(g) for g in families(means.labels, by)}
    method = adjust if adjust is not None else first.adjust
    pairs = first.pairs
    check_method(method, pairs=pairs)
    shown = replace(
        view,
        scale=scale,
        response=response,
        adjust=method,
        pairs=pairs,
        means=max(sizes),
        infer="both",
        noun="contrast",
        null=0.0,
        facts=facts,
        level=view.level if level is None else level,
    )
    noun = f"{view.scale.ratio}s" if response and true and view.scale.ratio else "contrasts"
    title = (
        f"{noun[0].upper()}{noun[1:]} of {plural(view.noun)}" if view.noun != "contrast" else "Contrasts of contrasts"
    )
    return make(pd.DataFrame(labels), by, means.quantities.combine(matrix), shown, title, means.call)


def _interaction(
    means: Means, method: Any, by: tuple[str, ...], interaction: Any, adjust: str | None, level: float | None
) -> Means:
    """Contrasts of one factor after another, each by all others."""
    factors = [n for n in means.labels if n not in by]
    methods = [method] * len(factors) if interaction is True else list(interaction)
    if isinstance(interaction, str) or len(methods) != len(factors):
        raise ModelError(f"interaction= needs a method for each of {', '.join(map(repr, factors))}")
    q, labels = means.quantities, means.labels
    for factor, own in zip(factors, methods, strict=True):
        others = tuple(str(n) for n in labels if n != factor)
        blocks, rows = [], []
        for group in families(labels, others):
            weights = weights_of(own, bracketed(names_of(labels.iloc[group][[factor]])))
            block = np.zeros((len(weights.names), len(labels)))
            block[:, group] = weights.matrix
            blocks.append(block)
            rows += [labels.iloc[group[0]].to_dict() | {factor: name} for name in weights.names]
        q, labels = q.combine(np.vstack(blocks)), pd.DataFrame(rows)[list(labels.columns)]
    names = {f: f"{f}_{m}" if isinstance(m, str) else f"{f}_custom" for f, m in zip(factors, methods, strict=True)}
    scale = scale_of_contrasts(means.view.scale, ratios=True)
    view = replace(
        means.view,
        scale=scale,
        response=means.view.response and not scale.identity,
        adjust=adjust or "none",
        pairs=False,
        infer="both",
        noun="contrast",
        null=0.0,
        level=means.view.level if level is None else level,
    )
    return make(
        labels.rename(columns=names), by, q, view, f"Interaction contrasts of {plural(means.view.noun)}", means.call
    )
