"""The likelihood-ratio test of nested models by its distribution under the smaller one, simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.inference.watch import counting
from jmix.results.inference.bootstrapping.bootstrap import batches
from jmix.results.inference.bootstrapping.bootstrap_responses import parametric
from jmix.results.inference.comparing.lrt_nested import fixed_nested, in_span, random_nested
from jmix.results.inference.comparing.lrt_refit import as_ml, as_reml, is_linear, refuse_map
from jmix.results.inference.report import TableReport
from jmix.results.predict import check_draws

if TYPE_CHECKING:
    from jmix.results.base import FitBase

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-6
"""Amount by which a log likelihood of the smaller model may exceed that of the larger one."""


@dataclass(frozen=True, eq=False, repr=False)
class BootstrapTest(TableReport):
    """A likelihood-ratio test by simulation; ``print`` it, or take ``table``, ``p_value`` and ``draws``.

    Attributes:
        draws: (n,) likelihood-ratio statistics of the simulated responses. statistic: that of the data.
    """

    draws: FloatArray = None  # type: ignore[assignment]
    statistic: float = float("nan")

    @property
    def p_value(self) -> float:
        """``(extreme + 1) / (n + 1)``, extreme those of n simulated statistics that are at least the observed."""
        return p_simulated(self.statistic, self.draws)


def p_simulated(statistic: float, draws: FloatArray) -> float:
    """The share of statistics at least as large as the observed one, itself among them (Davison & Hinkley 1997,
    equation 4.11).
    """
    tie = 1e-9 * (1.0 + abs(statistic))
    return float((np.sum(draws >= statistic - tie) + 1) / (draws.size + 1))


def bootstrap_test(larger: Any, smaller: Any, n: int, *, seed: int, progress: bool | None) -> BootstrapTest:
    """The work behind ``fit.bootstrap_test``; arguments are described there."""
    rng = check_draws("bootstrap_test", n, seed)
    big, small, df, boundary = compared(larger, smaller)
    statistic = 2.0 * (big.loglik - small.loglik)
    if statistic < -ROUNDING * (1.0 + abs(big.loglik)):
        raise ModelError(
            f"the larger model has a lower likelihood ({big.loglik:.6g}) than the smaller one ({small.loglik:.6g}): "
            "it has not converged; fit it again with start= or another control="
        )
    statistic = max(statistic, 0.0)
    draw = parametric(small, rng, conditional=False)
    found: list[FloatArray] = []
    stopped = False
    with counting(progress, "refits of both models", n) as watch:
        try:
            for size in batches(big, n):
                found.append(_ratios(big, small, draw(size)))
                watch.advance(found[-1].size)
                if found[-1].size < size:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            stopped = True
            if not found:
                raise
    draws = np.concatenate(found)
    failed = int(np.sum(~np.isfinite(draws)))
    kept = np.maximum(draws[np.isfinite(draws)], 0.0)
    return BootstrapTest(
        table=_table(statistic, df, kept, boundary),
        title="Likelihood-ratio test by parametric bootstrap",
        call=(("Larger", big.formula), ("Smaller", small.formula), ("Likelihood", _likelihood(big))),
        notes=_notes(kept.size, failed, n if stopped else None, boundary),
        draws=kept,
        statistic=statistic,
    )


def compared(larger: FitBase, smaller: FitBase) -> tuple[Any, Any, int, bool]:
    """Both models by a likelihood that can be compared, their difference in parameters, and whether the smaller one
    lies on a boundary of the larger.

    Raises:
        ModelError: they are not nested, or not of the same data, or one is fitted by MAP.
    """
    for fit in (larger, smaller):
        if not hasattr(fit, "loglik") or not hasattr(fit, "base"):
            raise ModelError(f"bootstrap_test compares two fits; {type(fit).__name__} is none")
        refuse_map(fit, "bootstrap_test")
    if is_linear(larger) != is_linear(smaller):
        raise ModelError("bootstrap_test: one model is linear and the other generalized; fit both by the same function")
    a, b = larger.base, smaller.base
    if a.y.shape != b.y.shape or not np.array_equal(a.y, b.y):
        raise ModelError(
            f"bootstrap_test: the fits are not of the same responses ({larger.nobs} and {smaller.nobs} rows); rows "
            "with missing values in any variable must be dropped from both"
        )
    if not _same_weights(a, b):
        raise ModelError("bootstrap_test: the fits have different weights")
    if not is_linear(larger) and _kind(larger) != _kind(smaller):
        raise ModelError("bootstrap_test: the models differ in family, link or method of integration")
    cases = random_nested(smaller.terms, larger.terms)
    df = larger.npar - smaller.npar
    if cases is None or not fixed_nested(smaller, larger) or df <= 0:
        raise ModelError(
            f"bootstrap_test: '{smaller.formula}' is not a special case of '{larger.formula}'; give the larger fit "
            "first: larger.bootstrap_test(smaller)"
        )
    boundary = any(case.n_gone for case in cases)
    if not is_linear(larger):
        return larger, smaller, df, boundary
    big: Any = larger
    small: Any = smaller
    restricted = big.reml and (small.reml or not small.terms) and in_span(a.X, b.X) and in_span(b.X, a.X)
    convert = as_reml if restricted else as_ml
    return convert(big), convert(small), df, boundary


def _same_weights(a: Any, b: Any) -> bool:
    one, other = (np.ones(d.y.shape) if d.weights is None else d.weights for d in (a, b))
    return bool(np.array_equal(one, other))


def _kind(fit: Any) -> tuple[Any, ...]:
    return fit.family.name, fit.family.link, fit.family.zero, fit.method, fit.objective.n_agq


def _ratios(big: Any, small: Any, responses: FloatArray) -> FloatArray:
    """(R,) likelihood-ratio statistics; fewer than responses after an interrupt."""
    first = small.refit(responses, progress=False).loglik
    second = big.refit(responses, progress=False).loglik
    both = first.index.intersection(second.index)
    return np.asarray(2.0 * (second[both] - first[both]))


def _table(statistic: float, df: int, draws: FloatArray, boundary: bool) -> pd.DataFrame:
    from scipy.special import chdtrc

    rows: dict[str, tuple[float, float, float]] = {
        "chi-squared": (statistic, df, float(chdtrc(df, statistic))),
        "bootstrap": (statistic, np.nan, p_simulated(statistic, draws)),
    }
    if not boundary:
        scaled = statistic * df / float(draws.mean())
        rows["Bartlett"] = (scaled, df, float(chdtrc(df, scaled)))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["statistic", "df", "p_value"])


def _likelihood(fit: Any) -> str:
    return "restricted" if getattr(fit, "reml", False) else "maximum likelihood"


def _notes(n: int, failed: int, asked: int | None, boundary: bool) -> tuple[str, ...]:
    out = [f"{n} responses simulated from the smaller model; p = (extreme + 1) / (n + 1)"]
    if boundary:
        out.append("a variance is zero under the hypothesis, so the chi-squared p-value is too large")
    if failed:
        out.append(f"{failed} simulated responses could not be fitted and are left out")
    if asked is not None:
        out.append(f"interrupted: {n} of {asked} responses")
    return tuple(out)
