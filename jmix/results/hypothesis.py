"""Hypotheses about parameters, judged by their posterior draws, as brms's ``hypothesis``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.document import Document
from jmix.results.expressions import compare, spellings
from jmix.results.frames import check_level
from jmix.results.posterior_summary import decimal_rows, special
from jmix.results.sections import Section, SummaryContent
from jmix.results.summary import section_text, wrap
from jmix.results.text_table import Table, one_line

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FloatArray = npt.NDArray[np.float64]

NO_PRIOR = "no evidence ratio without draws of the prior; give prior= for the Savage-Dickey ratio"


@dataclass(frozen=True, eq=False, repr=False)
class Hypotheses(Document):
    """Tested hypotheses; ``print`` them, or take the numbers from ``table``.

    Attributes:
        table: one row a hypothesis, the columns as in :meth:`jmix.results.posterior.Posterior.hypothesis`.
        draws: by row label, (C, D) draws of the left side less the right side.
        alpha: one less the probability that earns a star. notes: why an evidence ratio is missing.
    """

    table: pd.DataFrame
    draws: Mapping[str, FloatArray]
    alpha: float
    notes: tuple[str, ...]

    @property
    def content(self) -> SummaryContent:
        """The table and its legend as formatted text."""
        sections = (Section("Hypothesis Tests", _text_table(self.table)),)
        return SummaryContent("Hypotheses about a posterior", (), sections, (*_legend(self.alpha), *self.notes))

    def __str__(self) -> str:
        content = self.content
        return "\n".join([*map(section_text, content.sections), "---", *(wrap(note, 2) for note in content.notes)])


def judge(post: Posterior, hypotheses: Any, alpha: float = 0.05, prior: Any = None) -> Hypotheses:
    """The work behind ``Posterior.hypothesis``; arguments and columns are described there."""
    alpha = check_level(alpha, "alpha")
    names = spellings(list(post.parameters), list(post.parameters)[: len(post.design.x_names)])
    rows, draws, notes = {}, {}, []
    for label, text in _labelled(hypotheses):
        sign, difference = compare(text, names, post.parameters)
        bad = int((~np.isfinite(difference)).sum())
        if bad:
            raise ModelError(f"hypothesis {text!r} is not finite in {bad} of {difference.size} draws")
        row = _directed(difference, sign, alpha)
        if sign == "=":
            row |= _point(difference, _prior_difference(text, names, prior))
            if prior is None:
                notes.append(f"{one_line(label)}: {NO_PRIOR}")
        rows[label], draws[label] = {"hypothesis": text, **row}, difference
    table = pd.DataFrame.from_dict(rows, orient="index")
    return Hypotheses(table, draws, alpha, tuple(notes))


def _labelled(hypotheses: Any) -> list[tuple[str, str]]:
    """(label, text) of every hypothesis; a hypothesis without a name is its own label."""
    if isinstance(hypotheses, str):
        pairs: list[tuple[Any, Any]] = [(hypotheses, hypotheses)]
    elif isinstance(hypotheses, Mapping):
        pairs = list(hypotheses.items())
    elif isinstance(hypotheses, Iterable):
        pairs = [(text, text) for text in hypotheses]
    else:
        pairs = []
    if not pairs or not all(isinstance(part, str) for pair in pairs for part in pair):
        raise ModelError("hypothesis takes a text such as 'Days > 0', several in a list, or a dict of names to texts")
    return list(dict(pairs).items())


def _directed(difference: FloatArray, sign: str, alpha: float) -> dict[str, Any]:
    """Estimate, error and interval; of a one-sided hypothesis also its posterior odds, probability and star."""
    flat = difference.reshape(-1)
    tail = alpha / 2 if sign == "=" else alpha
    lower, upper = np.quantile(flat, [tail, 1 - tail])
    spread = float(flat.std(ddof=1)) if flat.size > 1 else math.nan
    row = {"estimate": float(flat.mean()), "est_error": spread, "lower": float(lower), "upper": float(upper)}
    if sign == "=":
        return row | {"evidence_ratio": math.nan, "probability": math.nan, "star": not lower <= 0.0 <= upper}
    holds = int((flat > 0).sum() if sign == ">" else (flat < 0).sum())
    fails = flat.size - holds
    probability = holds / flat.size
    ratio = holds / fails if fails else math.inf
    return row | {"evidence_ratio": ratio, "probability": probability, "star": probability > 1 - alpha}


# --- point hypotheses -----------------------------------------------------------------------------------------------
def _prior_difference(text: str, names: Mapping[str, str], prior: Any) -> FloatArray | None:
    """Finite draws of the same difference under the prior."""
    if prior is None:
        return None
    prior = getattr(prior, "parameters", prior)
    if not isinstance(prior, Mapping | pd.DataFrame):
        raise ModelError("prior= takes draws of the prior: model.sample_prior(), or a column for each parameter")
    given = {str(name): np.asarray(prior[name], dtype=np.float64).reshape(-1) for name in prior}
    known = {alias: name for alias, name in names.items() if name in given}
    difference = compare(text, known, given)[1]
    if not np.isfinite(difference).all():
        raise ModelError(f"hypothesis {text!r} is not finite in some draws of the prior")
    return difference


def _point(posterior: FloatArray, prior: FloatArray | None) -> dict[str, float]:
    """The Savage-Dickey ratio, posterior over prior density at zero, and the probability at even prior odds."""
    if prior is None:
        return {}
    below = density_at_zero(prior)
    ratio = density_at_zero(posterior) / below if below > 0 else math.nan
    return {"evidence_ratio": ratio, "probability": ratio / (1 + ratio)}


def density_at_zero(draws: FloatArray) -> float:
    """Gaussian kernel estimate of the density of draws at zero, with the bandwidth of Silverman (R's ``bw.nrd0``)."""
    flat = draws.reshape(-1)
    if flat.size < 2:
        return math.nan
    quartiles = np.quantile(flat, [0.25, 0.75])
    sd = float(flat.std(ddof=1))
    width = min(sd, float(quartiles[1] - quartiles[0]) / 1.34) or sd
    if width == 0:
        return math.nan
    bandwidth = 0.9 * width * flat.size**-0.2
    return float(np.exp(-0.5 * (flat / bandwidth) ** 2).mean() / (bandwidth * math.sqrt(2 * math.pi)))


# --- printing -------------------------------------------------------------------------------------------------------
def _text_table(table: pd.DataFrame) -> Table:
    numbers = table[["estimate", "est_error", "lower", "upper"]].to_numpy().tolist()
    columns = [("Hypothesis", "l", [one_line(str(label)) for label in table.index])]
    heads = ("Estimate", "Est.Error", "CI.Lower", "CI.Upper")
    columns += [(h, "r", list(c)) for h, c in zip(heads, zip(*decimal_rows(numbers), strict=True), strict=True)]
    for head, name in (("Evid.Ratio", "evidence_ratio"), ("Post.Prob", "probability")):
        columns.append((head, "r", [f"{v:.2f}" if math.isfinite(v) else special(v) for v in table[name]]))
    columns.append(("Star", "l", ["*" if star else "" for star in table["star"]]))
    return Table.of_columns(columns, labels=1)


def _legend(alpha: float) -> list[str]:
    one, two = f"{100 - 200 * alpha:g}%", f"{100 - 100 * alpha:g}%"
    return [
        f"'CI': {one}-CI for one-sided and {two}-CI for two-sided hypotheses.",
        f"'*': for one-sided hypotheses, the posterior probability exceeds {two}; for two-sided hypotheses, zero lies "
        f"outside the {two}-CI of the difference.",
        "Posterior probabilities of point hypotheses assume equal prior probabilities.",
    ]
