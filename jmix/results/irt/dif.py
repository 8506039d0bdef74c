"""Differential item functioning: items that work differently in groups of persons with the same trait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.items.bank import ItemBank
from jmix.results.irt.dif_spec import PARAMETERS, carried, contrasts, joined, released, separate_items
from jmix.results.irt.latent_grid import normal_grid
from jmix.results.irt.multiple import adjusted, chi_squared_p
from jmix.spec.irt.spec import IrtSpec, unpack

FloatArray = npt.NDArray[np.float64]
Refit = Callable[[IrtSpec, FloatArray, bool], Any]
"""``refit(spec, start, se)``: the model ``spec`` fitted to the same responses, with ``loglik`` and ``solution``."""

METHODS = ("LRT", "Wald")


@dataclass(frozen=True, eq=False)
class Dif:
    """Tests of the items.

    Attributes:
        table: a row for each tested item: ``X2 df p p_adjusted dif``, and for each group after the first, the
            reference, ``signed`` and ``unsigned``: the mean difference of the expected item scores (group less
            reference) and the mean absolute one, over the group's traits. With several such groups their names follow
            in brackets.
        flagged: items with DIF. anchors: items that tie the groups' scales in the last round. method: "LRT" or "Wald".
        parameters: "all", "a" or "d". alpha: of the adjusted p-values. rounds: of purification.
        fit: the model in which the flagged items differ. notes: models that did not converge; their tests are not to be
            relied on.
    """

    table: pd.DataFrame
    flagged: tuple[str, ...]
    anchors: tuple[str, ...]
    method: str
    parameters: str
    alpha: float
    rounds: int
    fit: Any
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{len(self.flagged)} of {len(self.table)} items differ between groups"
        names = f": {', '.join(self.flagged)}" if self.flagged else ""
        shown = self.table.to_string(float_format=lambda v: f"{v:.4g}")
        return "\n".join([f"{what} ({self.method}, adjusted p < {self.alpha:g}){names}", shown, *self.notes])


@dataclass(frozen=True)
class _Plan:
    """What is tested and how."""

    base: IrtSpec
    tested: tuple[str, ...]
    method: str
    parameters: str
    p_adjust: str
    alpha: float


def find_dif(
    spec: IrtSpec,
    x: FloatArray,
    refit: Refit,
    *,
    items: Sequence[str] | None = None,
    anchors: Sequence[str] | None = None,
    method: str = "LRT",
    parameters: str = "all",
    purify: bool = True,
    p_adjust: str = "holm",
    alpha: float = 0.05,
    max_rounds: int = 10,
) -> Dif:
    """Test whether items have the same parameters in all groups (Thissen, Steinberg & Wainer 1993; Lord 1980).

    Without ``anchors`` each item is freed while all others tie the groups' scales; with purification the items found
    are then left free while the others are tested again, until the set stays the same (Candell & Drasgow 1988, Appl.
    Psychol. Meas. 12(3)): otherwise items with DIF make others seem to have it. With ``anchors`` all other items are
    free and each is tested against that model.

    Args:
        spec, x: a model with several groups at estimates; the first group is the reference. Items that have different
            parameters by group are taken for those to be tested, the others for anchors.
        refit: fits a specification from a start; asked for standard errors where ``method`` is "Wald".
        items: those to test, all by default. anchors: items without DIF.
        method: "LRT" compares the log likelihoods, "Wald" the estimates in the free model.
        parameters: "all" the item's parameters, "a" the slopes (non-uniform DIF) or "d" the others (uniform).
        purify: see above. p_adjust: "holm", "BH", "bonferroni" or "none". alpha: limit of the adjusted p.
        max_rounds: of purification.

    Raises:
        ModelError: one group, an unknown option or item, or no anchor left.
    """
    method = {name.lower(): name for name in METHODS}.get(str(method).lower(), method)
    _check(spec, method, parameters)
    names = spec.items
    apart = separate_items(spec)
    if len(apart) == len(names):
        raise ModelError("the groups share no item, so their scales are not tied: fit with equal_items=True first")
    if anchors is None and apart:
        anchors = [name for name in names if name not in apart]
    given = None if anchors is None else tuple(anchors)
    wanted = tuple(items) if items is not None else tuple(n for n in names if given is None or n not in given)
    unknown = [name for name in (*wanted, *(given or ())) if name not in names]
    if unknown:
        raise ModelError(f"there is no item {unknown[0]!r}")
    if given is not None and (not given or set(wanted) & set(given)):
        raise ModelError("anchors are items that are not tested, at least one")
    plan = _Plan(joined(spec), wanted, method, parameters, p_adjust, alpha)
    fits = _Fits(plan, refit, spec, x)
    if given is not None:
        others = tuple(name for name in names if name not in given)
        table, fit = _against_free(plan, fits, others)
        return _result(plan, table, given, 1, fit, fits.notes)
    return _purified(plan, fits, max_rounds if purify else 1)


class _Fits:
    """Fits by the set of items that differ, each made once and started from the last."""

    def __init__(self, plan: _Plan, refit: Refit, spec: IrtSpec, x: FloatArray) -> None:
        self.plan, self.refit, self.last = plan, refit, (spec, np.asarray(x))
        self.known: dict[frozenset[str], Any] = {}
        self.notes: list[str] = []

    def __call__(self, free: Iterable[str]) -> Any:
        key = frozenset(free)
        if len(key) == len(self.plan.base.items):
            raise ModelError("every item would differ between groups: name items without DIF with anchors=[...]")
        if key not in self.known:
            spec = released(self.plan.base, [n for n in self.plan.base.items if n in key], self.plan.parameters)
            fit = self.refit(spec, carried(*self.last, spec), self.plan.method == "Wald" and bool(key))
            self.known[key] = fit
            self._check(fit, key)
            self.last = (fit.solution.spec, np.asarray(fit.solution.x))
        return self.known[key]

    def _check(self, fit: Any, free: frozenset[str]) -> None:
        if not getattr(fit, "converged", True):
            items = ", ".join(name for name in self.plan.base.items if name in free) or "no item"
            self.notes.append(
                f"the model in which {items} differs between groups did not converge: leave out items with few "
                "responses in a group, or add priors"
            )


def _purified(plan: _Plan, fits: _Fits, max_rounds: int) -> Dif:
    """Each item against all others, those found so far left free, until the set repeats."""
    flagged: frozenset[str] = frozenset()
    seen = [flagged]
    rounds = 0
    while True:
        rounds += 1
        rows = [_row(plan, name, fits(flagged | {name}), partial(fits, flagged - {name})) for name in plan.tested]
        table = _table(plan, rows)
        found = frozenset(table.index[table["dif"]])
        if found in seen or rounds == max_rounds:
            break
        flagged = found
        seen.append(found)
    anchors = tuple(name for name in plan.base.items if name not in found)
    return _result(plan, table, anchors, rounds, fits(found) if anchors else None, fits.notes)


def _against_free(plan: _Plan, fits: _Fits, others: tuple[str, ...]) -> tuple[pd.DataFrame, Any]:
    full = fits(others)
    rows = [_row(plan, name, full, partial(fits, [o for o in others if o != name])) for name in plan.tested]
    return _table(plan, rows), full


def _row(plan: _Plan, name: str, free: Any, tied: Callable[[], Any]) -> dict[str, Any]:
    """Test of one item: ``free`` the fit in which it differs, ``tied`` gives that in which it does not."""
    here, there = contrasts(free.solution.spec, name)
    if plan.method == "LRT":
        statistic, df = max(2 * float(free.loglik - tied().loglik), 0.0), here.size
    else:
        statistic, df = _wald(free, name, here, there), here.size
    return {"item": name, "X2": statistic, "df": df, "p": float(chi_squared_p(statistic, df)), **_effects(free, name)}


def _wald(free: Any, name: str, here: npt.NDArray[np.int64], there: npt.NDArray[np.int64]) -> float:
    """``d' V(d)^-1 d`` of the differences d (Lord 1980, sec. 14.4)."""
    vcov = free.solution.vcov
    if vcov is None:
        raise ModelError("Wald tests need standard errors")
    x, v = np.asarray(free.solution.x), np.asarray(vcov)
    d = x[here] - x[there]
    covariance = v[np.ix_(here, here)] - v[np.ix_(here, there)] - v[np.ix_(there, here)] + v[np.ix_(there, there)]
    if not np.isfinite(covariance).all() or np.linalg.eigvalsh(covariance).min() <= 0:
        raise ModelError(f"the standard errors of item {name!r} in the groups are not defined: use method='LRT'")
    return float(d @ np.linalg.solve(covariance, d))


def _effects(fit: Any, name: str) -> dict[str, float]:
    """Differences of the expected scores over each group's traits (Meade 2010, J. Appl. Psychol. 95(4))."""
    spec, x = fit.solution.spec, np.asarray(fit.solution.x)
    values = unpack(np, spec, x)
    first = ItemBank.from_spec(spec, x, 0).subset([name])
    out = {}
    for g, group in enumerate(spec.groups[1:], start=1):
        grid = normal_grid(values.mean[g], values.chol[g] @ values.chol[g].T)
        own = ItemBank.from_spec(spec, x, g).subset([name])
        gap = np.asarray(own.expected(grid.theta) - first.expected(grid.theta))[0]
        label = "" if len(spec.groups) == 2 else f"[{group}]"
        out[f"signed{label}"] = float(grid.mean(gap))
        out[f"unsigned{label}"] = float(grid.mean(np.abs(gap)))
    return out


def _table(plan: _Plan, rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows).set_index("item")
    p = adjusted(table["p"], plan.p_adjust)
    table.insert(3, "p_adjusted", p)
    table.insert(4, "dif", p < plan.alpha)
    return table


def _result(
    plan: _Plan, table: pd.DataFrame, anchors: tuple[str, ...], rounds: int, fit: Any, notes: Sequence[str]
) -> Dif:
    flagged = tuple(str(name) for name in table.index[table["dif"]])
    return Dif(table, flagged, anchors, plan.method, plan.parameters, plan.alpha, rounds, fit, tuple(notes))


def _check(spec: IrtSpec, method: str, parameters: str) -> None:
    if len(spec.groups) < 2:
        raise ModelError("DIF compares groups: fit the model with group=... first")
    if method not in METHODS:
        raise ModelError(f"method='{method}': choose 'LRT' or 'Wald'")
    if parameters not in PARAMETERS:
        raise ModelError(f"parameters='{parameters}': choose 'all', 'a' or 'd'")
