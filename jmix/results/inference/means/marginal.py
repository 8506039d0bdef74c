"""Marginal means on a reference grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.formula.syntax import names_in
from jmix.results.frames import check_level
from jmix.results.inference.means.choose import Choice, Question, choose
from jmix.results.inference.means.engines import Engine, spread_of
from jmix.results.inference.means.grid import Grid, checked_at, make_grid
from jmix.results.inference.means.means import Infer, Means, View
from jmix.results.inference.means.scales import IDENTITY, Function, biased, family_scale
from jmix.results.inference.means.show import make, plural

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GridOptions:
    """How the reference grid is made and averaged; see ``MeansFace.means``."""

    at: Mapping[str, Any] | None = None
    weights: Any = "equal"
    cov_reduce: Any = None
    nesting: bool = True


def named(given: Any, role: str = "specs") -> tuple[str, ...]:
    """Names of variables: None, one, several, or "a:b".

    Raises:
        ModelError: neither a name nor a list of names.
    """
    if given is None:
        return ()
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list | tuple | pd.Index) or not all(isinstance(p, str) for p in parts):
        raise ModelError(f"{role}={given!r}: give the name of a variable, or a list of names")
    split = [name.strip() for part in parts for name in part.replace("*", ":").split(":")]
    return tuple(dict.fromkeys(name for name in split if name not in ("", "1")))


def cells_of(by: tuple[str, ...], options: GridOptions) -> tuple[str, ...]:
    """The variables of ``by``, and those to which ``at`` gives several values."""
    several = [n for n, v in checked_at(options.at).items() if not isinstance(v, str) and np.size(v) > 1]
    return tuple(dict.fromkeys([*by, *several]))


def means(
    model: Any,
    specs: Any,
    by: Any,
    options: GridOptions,
    question: Question,
    *,
    level: float,
    infer: Infer,
    adjust: str,
    bias_adjust: bool | float,
    average: str,
) -> Means:
    """The work behind ``MeansFace.means``; arguments are described there."""
    check_level(level)
    if infer not in ("ci", "test", "both"):
        raise ModelError(f"infer={infer!r}: choose 'ci', 'test' or 'both'")
    if average not in ("link", "response"):
        raise ModelError(f"average={average!r}: choose 'link' or 'response', the scale on which means are averaged")
    own, within = named(specs), named(by, "by")
    chosen = choose(model, question)
    grid = grid_of(chosen.engine, [*(n for n in own if n not in within), *within], options)
    engine = chosen.direct() if average == "response" else chosen.engine
    q = averaged_rows(engine, grid, options.weights)
    scale = chosen.scale if engine is chosen.engine else IDENTITY
    shown = chosen.response
    link = scale_of_average(model) if question.averaged else None
    if link is not None:
        scale, shown = family_scale(model.family), True
        q = q.transform(*link)
    if bias_adjust is not False:
        scale = biased(scale, _variance(model, chosen, grid, options.weights, bias_adjust))
    labels, by_columns = labels_of(grid, engine, within)
    sizes = len(labels) // max(1, len(labels[list(by_columns)].drop_duplicates()) if by_columns else 1)
    noun = noun_of(model, question)
    view = View(scale, shown and not scale.identity, level, adjust, False, sizes, infer, noun)
    view = replace(view, interval=question.interval, facts=facts_of(model, grid))
    title = f"Marginal {plural(noun)}" + (", averaged over the random effects" if question.averaged else "")
    return make(labels, by_columns, q, view, title, call_of(model))


def scale_of_average(model: Any) -> tuple[Function, Function] | None:
    """The link and its derivative, on which intervals of averaged responses stay within bounds; None without one."""
    from jmix.families import link_derivative, link_function

    family = model.family
    if family.zero or family.name == "cumulative" or family.link == "identity":
        return None

    def link(mu: Any) -> Any:
        return link_function(family, mu)

    return link, lambda mu: 1.0 / link_derivative(family, link(mu))


def noun_of(model: Any, question: Question) -> str:
    """What a mean is a mean of."""
    name = getattr(getattr(model, "family", None), "name", "")
    if question.type == "zi":
        return "zero probability"
    return "mean" if name != "cumulative" or question.type in ("link", "mean_class") else "probability"


def call_of(model: Any) -> list[tuple[str, str]]:
    """The formula, for the head of a table."""
    return [("Formula", " ".join(str(model.formula).split()))]


def grid_of(engine: Engine, over: Sequence[str], options: GridOptions) -> Grid:
    """The reference grid of a model."""
    return make_grid(engine.variables, over, options.at, options.cov_reduce, nesting=options.nesting)


def averaged_rows(engine: Engine, grid: Grid, weights: Any) -> Any:
    """Quantities of the cells: rows of the grid averaged within each."""
    share = grid.weights(weights)
    known = engine.reference_offset(grid.at | set(grid.over))
    rows = engine.rows(grid.table(), grid.size, None if known is None else np.full(grid.size, known))
    step = share.shape[1]
    if step == 1 and (share == 1.0).all():
        return rows
    full = np.zeros((len(grid.cells_kept), grid.size))
    for row, cell in enumerate(grid.cells_kept):
        full[row, cell * step : (cell + 1) * step] = share[cell]
    return rows.combine(np.kron(np.eye(max(len(engine.categories), 1)), full))


def labels_of(grid: Grid, engine: Engine, within: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Labels of the quantities, and the columns that divide them into families."""
    labels = grid.labels()
    nests = tuple(o for n in grid.over for o in grid.nested.get(n, ()) if o in labels)
    by = tuple(dict.fromkeys([*within, *nests]))
    if not engine.categories:
        return labels, by
    copies = [labels.assign(category=c) for c in engine.categories]
    return pd.concat(copies, ignore_index=True), (*by, "category")


def facts_of(model: Any, grid: Grid) -> tuple[str, ...]:
    """What was averaged over, where numbers are held, and interactions that averages hide."""
    facts = []
    if grid.averaged:
        facts.append(f"Averaged over the levels of: {', '.join(grid.averaged)}.")
        if _interacts(model, grid):
            facts.append("Means may mislead where the factors averaged over interact with those of the means.")
    held = [f"{n} = {v[0]:.4g}" for n, v in grid.levels.items() if len(v) == 1 and isinstance(v[0], float)]
    base = getattr(model.design, "base", model.design)
    if base.offset is not None:
        facts.append(f"The offset is at its mean, {base.offset.mean():.4g}, unless at= or by= name its variables.")
    if held and len(held) <= 8:
        facts.append(f"Held at: {', '.join(held)}.")
    for inner, outer in grid.nested.items():
        facts.append(f"{inner} is nested in {', '.join(outer)}: only combinations in the data count.")
    return tuple(facts)


def _interacts(model: Any, grid: Grid) -> bool:
    base = getattr(model.design, "base", model.design)
    terms = base.encoding.parsed.terms
    for term in terms.terms:
        names = {name for place in terms.members(term) for name in names_in(terms.variables[place])}
        if names & set(grid.over) and names & set(grid.averaged):
            return True
    return False


def _variance(model: Any, chosen: Choice, grid: Grid, weights: Any, given: bool | float) -> Any:
    """Variance of the random part for the correction of bias, by cell where slopes vary."""
    if not chosen.response or chosen.scale.identity or hasattr(model, "draws"):
        raise ModelError(
            "bias_adjust= is for back-transformed means of a fit: give type='response' and a link other than identity"
        )
    if given is not True:
        return float(given) ** 2
    part: Any = getattr(chosen.engine, "part", None)
    columns = part.matrices.slopes(grid.table(), grid.size)
    lams = [model.theta_scale * lam for lam in model.spec.split(model.theta_values)]
    spread = spread_of(tuple(columns[i] for i in model.base.term_order), lams, grid.size)
    residual = model.sigma**2 if getattr(model, "family", None) is None else 0.0
    step = grid.size // grid.cells
    cells = np.sum(grid.weights(weights) * (spread**2).reshape(-1, step), axis=1)[grid.cells_kept] + residual
    return float(cells[0]) if np.allclose(cells, cells[0]) else cells
