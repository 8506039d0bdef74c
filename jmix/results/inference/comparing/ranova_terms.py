"""Random terms as written, and what is left of one when a part of it is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.results.inference.comparing.lrt_nested import in_span, same_partition

if TYPE_CHECKING:
    from jmix.design import Design, RandomTerm

INTERCEPT = "(Intercept)"


@dataclass(frozen=True)
class Deletion:
    """One random term reduced or dropped.

    Attributes:
        label: as lmerTest writes it, ``(1 | g)`` or ``x in (x | g)``. random: the terms that are left, in the order of
            the formula.
    """

    label: str
    random: tuple[RandomTerm, ...]


def deletions(design: Design, reduce: bool) -> Iterator[Deletion]:
    """Every random term dropped in turn; or reduced by each of its parts, as far as it has any."""
    labels = term_labels(design)
    for i, (term, label) in enumerate(zip(design.random, labels, strict=True)):
        others = design.random[:i] + design.random[i + 1 :]
        parts = _parts(design, i) if reduce else {}
        done = False
        for part, columns in parts.items():
            left = _without(term, columns)
            if left is None or any(_repeats(left, other) for other in others):
                continue
            done = True
            yield Deletion(f"{part} in {label}", (*design.random[:i], left, *design.random[i + 1 :]))
        if not done:
            yield Deletion(label, others)


def _without(term: RandomTerm, columns: list[int]) -> RandomTerm | None:
    """The term less some columns, with the intercept that they may have held; None where nothing is left."""
    kept = [a for a in range(len(term.columns)) if a not in columns]
    rest = replace(term, names=[term.names[a] for a in kept], columns=tuple(term.columns[a] for a in kept))
    n = term.codes.size
    one = np.ones((n, 1))
    had = in_span(one, np.stack(term.columns, axis=1))
    has = bool(kept) and in_span(one, np.stack(rest.columns, axis=1))
    if had and not has:
        constant = np.broadcast_to(np.float64(1.0), (n,))
        rest = replace(rest, names=[INTERCEPT, *rest.names], columns=(constant, *rest.columns))
    return rest if rest.columns and len(rest.columns) < len(term.columns) else None


def _repeats(term: RandomTerm, other: RandomTerm) -> bool:
    """Whether a reduced term says no more than another one on the same groups."""
    if not same_partition(term.codes, other.codes):
        return False
    return in_span(np.stack(term.columns, axis=1), np.stack(other.columns, axis=1))


def _parts(design: Design, i: int) -> dict[str, list[int]]:
    """The columns of each droppable part of a random term: those not contained in a larger interaction."""
    found = columns_of_parts(design, i)
    if found is None:
        term = design.random[i]
        slopes = [a for a, name in enumerate(term.names) if name != INTERCEPT]
        return {term.names[a]: [a] for a in slopes}
    names = {part: frozenset(part.split(":")) for part in found}
    return {
        part: columns
        for part, columns in found.items()
        if not any(names[part] < names[other] for other in found if other != part)
    }


def columns_of_parts(design: Design, i: int) -> dict[str, list[int]] | None:
    """The columns of each model term of the i-th random term, the intercept left out; None where they are unknown."""
    from jmix.formula.coding import Coder
    from jmix.formula.values import Matrix

    blocks = getattr(getattr(design.encoding, "parsed", None), "blocks", ())
    if len(blocks) != len(design.random):
        return None
    terms, names, coded = blocks[i].terms, design.random[i].names, design.encoding.coded
    values: dict[str, Any] = {}
    for label in terms.labels:
        if label not in coded and label not in names:
            suffixes = tuple(name[len(label) :] for name in names if name.startswith(label) and ":" not in name)
            values[label] = Matrix(np.zeros((0, len(suffixes))), suffixes)
        else:
            values[label] = np.zeros(0)
    columns = Coder(values, coded, {}).columns(terms)
    if [column.name for column in columns] != list(names):
        return None
    wanted = {frozenset(terms.label(t).split(":")): terms.label(t) for t in terms.terms}
    variables = {frozenset(terms.labels[place] for place in terms.members(t)): terms.label(t) for t in terms.terms}
    out: dict[str, list[int]] = {label: [] for label in wanted.values()}
    for a, column in enumerate(columns):
        if column.key:
            out[variables[frozenset(part[0] for part in column.key)]].append(a)
    return out


def term_labels(design: Design) -> list[str]:
    """Each random term as text, ``(Days | Subject)``; as the user wrote it where that can be told."""
    parsed = getattr(design.encoding, "parsed", None)
    blocks = getattr(parsed, "blocks", ())
    if len(blocks) != len(design.random):
        return [f"({' + '.join(t.names)} | {t.group})" for t in design.random]
    return [f"({_left(parsed, block)} | {block.group})" for block in blocks]


def _left(parsed: Any, block: Any) -> str:
    written = [part.expr for part in parsed.random if part.bar == "|" and part.group == block.group]
    if len(written) == 1 and sum(b.group == block.group for b in parsed.blocks) == 1:
        return str(written[0])
    labels = [block.terms.label(t) for t in block.terms.terms]
    if block.terms.intercept:
        return " + ".join(labels) or "1"
    return " + ".join(["0", *labels])
