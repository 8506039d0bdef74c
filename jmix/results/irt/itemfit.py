"""Fit of single items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.results.irt.latent_grid import LatentGrid
from jmix.results.irt.mean_squares import item_mean_squares
from jmix.results.irt.multiple import adjusted, chi_squared_p, rmsea
from jmix.results.irt.observed import Observed, observed
from jmix.results.irt.q1 import binned, q1
from jmix.results.irt.s_x2 import merge_cells, score_tables

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank

STATISTICS = ("S_X2", "infit", "Zh", "X2", "G2")
DEFAULT = ("S_X2", "infit", "Zh")


def item_fit(
    bank: ItemBank,
    responses: Responses | Observed,
    theta: Any,
    grid: LatentGrid,
    *,
    n_parameters: Any,
    n_latent: int = 0,
    statistics: Sequence[str] | str = DEFAULT,
    p_adjust: str = "none",
    smallest: float = 1.0,
    bins: int = 10,
) -> pd.DataFrame:
    """Fit statistics of each item, with mirt's definitions.

    Args:
        bank: J items in the order of the responses. responses: of one group. theta: (N, D) trait estimates of infit,
            outfit, Zh, X2 and G2, EAP as a rule. grid: latent distribution of S-X2.
        n_parameters: (J,) free parameters of each item, and n_latent: those of the latent distribution, that S-X2's
            degrees of freedom are less; X2's and G2's only the former.
        statistics: of "S_X2" (Orlando & Thissen 2000; Kang & Chen 2008), "infit" (with outfit), "Zh", "X2" (Yen's Q1),
            "G2". S-X2 counts persons without a missing response. Only S-X2 keeps its level: X2, G2, infit and outfit
            take estimated traits for the true ones.
        p_adjust: of the p-values over the items: "none", "holm", "BH", "bonferroni".
        smallest: expected frequency to which S-X2 merges cells. bins: groups of persons of X2 and G2.

    Returns:
        Frame indexed by item: ``Zh outfit z_outfit infit z_infit``, and of each chi-squared statistic the value and
        ``df_ RMSEA_ p_``. Where no degree of freedom is left p and RMSEA are NaN.

    Raises:
        ModelError: an unknown statistic, or X2 and G2 with several dimensions. DataError: infinite trait estimates, or
        S-X2 where nobody answered every item.
    """
    wanted = (statistics,) if isinstance(statistics, str) else tuple(statistics)
    _check(wanted, grid.theta.shape[1])
    data = responses if isinstance(responses, Observed) else observed(responses)
    out = pd.DataFrame(index=pd.Index(data.items, name="item"))
    if {"infit", "Zh"} & set(wanted):
        squares = item_mean_squares(bank, data, theta)
        names = (["Zh"] if "Zh" in wanted else []) + (
            ["outfit", "z_outfit", "infit", "z_infit"] if "infit" in wanted else []
        )
        out[names] = squares[names]
    count = np.asarray(n_parameters, dtype=np.int64)
    if {"X2", "G2"} & set(wanted):
        found = [q1(table) for table in binned(bank, data, theta, bins=bins)]
        n = data.n
        if "X2" in wanted:
            _add(out, "X2", [f.x2 for f in found], [f.df_x2 for f in found] - count, n, p_adjust)
        if "G2" in wanted:
            _add(out, "G2", [f.g2 for f in found], [f.df_g2 for f in found] - count, n, p_adjust)
    if "S_X2" in wanted:
        whole = data.complete("S-X2")
        merged = [merge_cells(table, smallest) for table in score_tables(bank, whole, grid)]
        df = np.array([m.cells for m in merged]) - count - n_latent
        _add(out, "S_X2", [m.statistic for m in merged], df, whole.n, p_adjust)
    return out


def _add(out: pd.DataFrame, name: str, values: Any, df: Any, n: float, p_adjust: str) -> None:
    d = np.maximum(np.asarray(df, dtype=np.int64), 0)
    out[name] = np.asarray(values, dtype=np.float64)
    out[f"df_{name}"] = d
    out[f"RMSEA_{name}"] = rmsea(values, d, n)
    out[f"p_{name}"] = adjusted(chi_squared_p(values, d), p_adjust)


def _check(wanted: tuple[str, ...], d: int) -> None:
    unknown = [name for name in wanted if name not in STATISTICS]
    if unknown or not wanted:
        raise ModelError(f"statistics={list(wanted)}: choose from {', '.join(STATISTICS)}")
    if d > 1 and {"X2", "G2"} & set(wanted):
        raise ModelError("X2 and G2 group persons along one trait: with several dimensions use 'S_X2'")
