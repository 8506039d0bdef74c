"""Several models of the same data side by side: criteria and likelihood-ratio tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.base import FitBase
from jmix.results.inference.comparing.boundary import NullLaw, null_law, plain_p
from jmix.results.inference.comparing.compare_checks import check_same_data, nesting_of
from jmix.results.inference.comparing.lrt_refit import as_ml, as_reml, is_linear, refuse_map
from jmix.results.inference.report import TableReport, decimals, significant
from jmix.results.text_table import one_line

FORMATS = {
    "aic": significant(7), "bic": significant(7), "loglik": significant(7), "deviance": significant(7),
    "lrt": decimals(3),
    "delta_aic": decimals(2), "weight": decimals(3), "npar": significant(9), "df": significant(9),
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(TableReport):
    """Models side by side; ``fits`` holds them as they were compared, in the order of the table."""

    fits: tuple[FitBase, ...] = ()


def compare(
    *fits: Any,
    refit: bool | None = None,
    names: Sequence[str] | None = None,
    weights: bool = False,
) -> Comparison:
    """Compare models of the same data: AIC, BIC, and a likelihood-ratio test of each against the one before.

    The models are sorted by their number of parameters. A pair that is not nested gets no test. Where the smaller model
    sets variances to zero it lies on the boundary of the larger one, and ``p_value`` is that of the chi-bar-square
    mixture (Stram & Lee 1994; Self & Liang 1987), ``p_naive`` that of the plain chi-squared distribution; elsewhere
    they agree. Linear models may stand beside least squares (``jmix.lm``), generalized mixed models beside plain ones.

    Args:
        fits: two or more results of ``jmix.lmm``, ``jmix.lm`` or ``jmix.glmm``.
        refit: restricted likelihoods are comparable only between models with the same fixed effects. None refits by
            maximum likelihood where they differ, True always, False never: the likelihoods are taken as they are.
        names: of the models, in the order given; by default ``m1``, ``m2``, ...
        weights: also the difference to the smallest AIC, and Akaike weights.

    Returns:
        A report; ``table`` has the columns ``npar aic bic loglik deviance chisq df p_value p_naive``, one row a model.

    Raises:
        ModelError: fewer than two fits, fits of different data or likelihoods, MAP fits or posteriors, or names of the
            wrong number.
    """
    if refit is not None and not isinstance(refit, bool | np.bool_):
        raise ModelError(f"refit={refit!r}: choose None (where fixed effects differ), True or False")
    given = _checked(fits)
    labels = _labels(names, len(given))
    ready, notes = _comparable(given, labels, refit)
    order = sorted(range(len(ready)), key=lambda i: ready[i].npar)
    ordered, labels_ordered = [ready[i] for i in order], [labels[i] for i in order]
    tests, laws = [_no_test()], Laws()
    for (small, a), (big, b) in pairwise(zip(ordered, labels_ordered, strict=True)):
        row, said = _test(small, big, a, b, laws)
        tests.append(row)
        notes += said
    notes += laws.notes()
    table = pd.concat([_criteria(ordered, labels_ordered), pd.DataFrame(tests, index=labels_ordered)], axis=1)
    if weights:
        table = table.join(akaike(table["aic"]))
    call = tuple((label, _described(fit)) for label, fit in zip(labels_ordered, ordered, strict=True))
    return Comparison(table, "Comparison of models", call, tuple(notes), FORMATS, tuple(ordered))


def _checked(fits: tuple[Any, ...]) -> list[FitBase]:
    if len(fits) == 1 and isinstance(fits[0], list | tuple):
        fits = tuple(fits[0])
    for fit in fits:
        if type(fit).__name__.endswith("Posterior"):
            raise ModelError(
                "compare is for maximum likelihood; compare posteriors by leave-one-out cross-validation: "
                "arviz.compare({'m1': m1.to_arviz(), ...})"
            )
        if not isinstance(fit, FitBase):
            raise ModelError(
                f"compare takes results of jmix.lmm, jmix.lm and jmix.glmm, not {type(fit).__name__}; item response "
                "models have their own fit.compare(other)"
            )
        refuse_map(fit, "compare")
    if len(fits) < 2:
        raise ModelError("compare needs two or more fits; for the terms of one fit use fit.ranova() or fit.drop1()")
    check_same_data(list(fits))
    return list(fits)


def _labels(names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [f"m{i + 1}" for i in range(count)]
    if isinstance(names, str) or len(names) != count or len(set(names)) != count:
        raise ModelError(f"names={names!r}: give {count} different names, one a fit")
    return [str(name) for name in names]


def _comparable(fits: list[Any], labels: list[str], refit: bool | None) -> tuple[list[FitBase], list[str]]:
    """The fits with likelihoods that can be compared, and what was done for it."""
    linear: list[Any] = [fit for fit in fits if is_linear(fit)]
    restricted = [fit for fit in linear if fit.reml]
    if not restricted:
        return fits, []
    same = len(linear) == len(fits) and all(_same_fixed(fit, linear[0]) for fit in linear[1:])
    ml = [label for fit, label in zip(fits, labels, strict=True) if is_linear(fit) and fit.method == "ML"]
    if refit is False:
        if same and len(restricted) == len(linear):
            return fits, []
        why = "the fixed effects differ" if not same else "some are restricted and some are not"
        return fits, [f"refit=False: the log likelihoods are not comparable, since {why}; the tests mean nothing"]
    if refit is None and same and not ml:
        plain = [label for fit, label in zip(fits, labels, strict=True) if fit.method == "OLS"]
        notes = ["restricted likelihoods (REML); the fixed effects are the same"]
        if plain:
            notes.append(f"least squares ({', '.join(plain)}) with its restricted likelihood")
        return [as_reml(fit) for fit in linear], notes
    why = "" if refit else f" because {_reason(same, len(linear) == len(fits))}"
    moved = [label for fit, label in zip(fits, labels, strict=True) if is_linear(fit) and fit.reml]
    return [_ml(fit) for fit in fits], [f"refitted by maximum likelihood{why}: {', '.join(moved)}"]


def _reason(same: bool, all_linear: bool) -> str:
    if not all_linear:
        return "generalized models have no restricted likelihood"
    return "some of the fits are" if same else "the fixed effects differ"


def _ml(fit: Any) -> FitBase:
    return as_ml(fit) if is_linear(fit) and fit.reml else fit


def _same_fixed(a: FitBase, b: FitBase) -> bool:
    one, two = a.base, b.base
    return one.X.shape == two.X.shape and bool(np.allclose(one.X, two.X, rtol=1e-12, atol=0.0))


def _criteria(fits: list[FitBase], labels: list[str]) -> pd.DataFrame:
    columns = {
        "npar": [fit.npar for fit in fits],
        "aic": [fit.aic for fit in fits],
        "bic": [fit.bic for fit in fits],
        "loglik": [fit.loglik for fit in fits],
        "deviance": [-2.0 * fit.loglik for fit in fits],
    }
    return pd.DataFrame(columns, index=pd.Index(labels, name="model"))


def _no_test() -> dict[str, float]:
    return dict.fromkeys(("chisq", "df", "p_value", "p_naive"), float("nan"))


def _test(small: FitBase, big: FitBase, a: str, b: str, laws: Laws) -> tuple[dict[str, float], list[str]]:
    """The likelihood-ratio test of one model against the next, and what is to be said of it."""
    chisq, df = 2.0 * (big.loglik - small.loglik), big.npar - small.npar
    nesting = nesting_of(small, big) if df > 0 else None
    if nesting is None:
        return _no_test(), [f"{a} and {b} are not nested: compare them by AIC and BIC"]
    if isinstance(nesting, str):
        return _no_test(), [f"{a} and {b}: {nesting}; compare them by AIC and BIC"]
    law = null_law(small, big, nesting)
    chisq = max(chisq, 0.0) if chisq > -1e-5 * max(1.0, abs(small.loglik)) else chisq
    laws.add(f"{b} against {a}", law, small, nesting.others)
    notes = []
    if chisq < 0.0:
        notes.append(f"{b} has the smaller likelihood although {a} is a special case of it: check that both converged")
    row = {"chisq": chisq, "df": float(df), "p_value": law.p_value(chisq), "p_naive": plain_p(chisq, df)}
    return row, notes


class Laws:
    """The null distributions of several tests, so that one note speaks for all that share one."""

    def __init__(self) -> None:
        self.mixtures: dict[str, list[str]] = {}
        self.singular: list[str] = []

    def add(self, what: str, law: NullLaw, small: FitBase, others: Sequence[str] = ()) -> None:
        """Take up a test: its distribution, its smaller model, and boundaries that are not variances."""
        if law.boundary:
            why = f" ({', '.join(others)})" if others else ""
            self.mixtures.setdefault(f"{law}{why}; {law.how}", []).append(what)
        if small.singular:
            self.singular.append(what)

    def notes(self) -> list[str]:
        """Which mixtures were used, and where they are in doubt."""
        notes = [f"p_value from the mixture {text}: {', '.join(of)}" for text, of in self.mixtures.items()]
        if self.singular:
            notes.append(
                f"the smaller model is itself singular, so that p_value is approximate: {', '.join(self.singular)}"
            )
        return notes


def akaike(aic: pd.Series) -> pd.DataFrame:
    """Differences to the smallest AIC, and Akaike weights."""
    delta = aic - aic.min()
    weight = np.exp(-0.5 * delta)
    return pd.DataFrame({"delta_aic": delta, "weight": weight / weight.sum()})


def _described(fit: Any) -> str:
    kind = fit.method if is_linear(fit) else f"{fit.family.title}, {fit.method}"
    return f"{one_line(' '.join(fit.formula.split()))} ({kind})"
