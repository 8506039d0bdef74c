"""Exact likelihood-ratio tests of one variance component."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.comparing.boundary import NEGLIGIBLE, NullLaw
from jmix.results.inference.comparing.lrt_refit import as_reml, is_linear, refuse_map, with_terms
from jmix.results.inference.comparing.ranova_terms import term_labels
from jmix.results.inference.report import TableReport

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]

LARGEST = 8000
"""Levels up to which the eigenvalues of the (J, J) matrix are computed."""


@dataclass(frozen=True, eq=False, repr=False)
class ExactTest(TableReport):
    """A (restricted) likelihood-ratio test with its simulated null distribution.

    Attributes:
        statistic: the observed one. p_value: share of simulated statistics at least as large, the observed one counted
            in. mc_error: its Monte Carlo standard error. simulated: (n,) statistics under the null hypothesis.
    """

    statistic: float = float("nan")
    p_value: float = float("nan")
    mc_error: float = float("nan")
    simulated: FloatArray = field(default_factory=lambda: np.zeros(0))


def rlrt(fit: Any, term: str | int | None, n: int, seed: int) -> ExactTest:
    """The work behind ``fit.rlrt``."""
    place = _checked(fit, term, n, seed)
    design = fit.design
    tested, others = design.random[place], design.random[:place] + design.random[place + 1 :]
    small = with_terms(fit, others)
    if fit.reml and not small.terms:
        small = as_reml(small)
    statistic = max(0.0, 2.0 * (fit.loglik - small.loglik))
    statistic = statistic if statistic > NEGLIGIBLE else 0.0
    simulated = _simulated(fit, tested, n, seed)
    p = (1.0 + float(np.sum(simulated >= statistic))) / (n + 1.0)
    error = float(np.sqrt(p * (1.0 - p) / n))
    name = "RLRT" if fit.reml else "LRT"
    label = term_labels(design)[place]
    row = {
        "statistic": statistic, "p_value": p, "mc_error": error,
        "p_boundary": NullLaw(0, np.array([0.5, 0.5])).p_value(statistic), "n": n,
    }  # fmt: skip
    return ExactTest(
        pd.DataFrame([row], index=pd.Index([label], name="term")),
        f"Exact {'restricted ' if fit.reml else ''}likelihood-ratio test of a variance component ({name})",
        (("Formula", " ".join(fit.formula.split())),),
        tuple(_notes(simulated, others)),
        statistic=statistic,
        p_value=p,
        mc_error=error,
        simulated=simulated,
    )


def _notes(simulated: FloatArray, others: tuple[RandomTerm, ...]) -> list[str]:
    zero = float(np.mean(simulated == 0.0))
    notes = [f"{zero:.1%} of the simulated statistics are zero; p_boundary takes half of them to be"]
    if others:
        notes.append(
            "approximate: the other random terms are left out of the simulated distribution (Greven et al. 2008)"
        )
    return notes


def _checked(fit: Any, term: str | int | None, n: int, seed: int) -> int:
    if not is_linear(fit):
        raise ModelError("rlrt is exact for linear mixed models; use fit.ranova() for generalized ones")
    refuse_map(fit, "rlrt")
    if not fit.terms:
        raise ModelError("rlrt tests a random term, and this model has none")
    for name, value, least in (("n", n, 100), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ModelError(f"{name}={value!r}: give a whole number of at least {least}")
    place = _place(fit, term)
    tested = fit.design.random[place]
    label = term_labels(fit.design)[place]
    if len(tested.columns) != 1:
        raise ModelError(
            f"rlrt tests one variance, and {label} has {len(tested.columns)} with their covariances: use fit.ranova(), "
            "or fit uncorrelated terms with ||"
        )
    if len(tested.levels) > LARGEST:
        raise ModelError(
            f"{label} has {len(tested.levels):,} levels, and rlrt takes the eigenvalues of a matrix of up to "
            f"{LARGEST:,}: use fit.ranova(), which is accurate with so many levels"
        )
    return place


def _place(fit: Fit, term: str | int | None) -> int:
    labels, groups = term_labels(fit.design), [t.group for t in fit.design.random]
    shown = ", ".join(map(repr, labels))
    if term is None:
        if len(labels) > 1:
            raise ModelError(f"rlrt(term=...): choose one of {shown}")
        return 0
    if isinstance(term, int | np.integer) and not isinstance(term, bool) and 0 <= term < len(labels):
        return int(term)
    if isinstance(term, str):
        squeezed = ["".join(label.split()) for label in labels]
        if squeezed.count("".join(term.split())) == 1:
            return squeezed.index("".join(term.split()))
        if groups.count(term) == 1:
            return groups.index(term)
    raise ModelError(f"rlrt(term={term!r}): choose one of {shown}")


def _simulated(fit: Fit, term: RandomTerm, n: int, seed: int) -> FloatArray:
    from jmix.estimate.inference.rlrt import simulate_lrt, spectrum

    z, codes, J = np.asarray(term.columns[0]), term.codes, len(term.levels)
    root = np.ones(fit.nobs) if fit.design.weights is None else np.sqrt(fit.design.weights)
    square: FloatArray = np.bincount(codes, (root * z) ** 2, minlength=J).astype(np.float64)
    q, r = np.linalg.qr(root[:, None] * fit.design.X)
    q = q[:, np.abs(np.diag(r)) > 0]
    cross = np.stack([np.bincount(codes, root * z * column, minlength=J) for column in q.T], axis=1) if q.size else None
    projected = spectrum(square if cross is None else np.diag(square) - cross @ cross.T)
    plain = None if fit.reml else square
    return simulate_lrt(projected, plain, fit.nobs, len(fit.x_names), int(n), int(seed))
