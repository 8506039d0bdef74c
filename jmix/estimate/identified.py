"""Refusals of responses and random effects that leave nothing to estimate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jmix.design import Design, RandomTerm
from jmix.errors import DataError, ModelError
from jmix.formula.rank import independent_columns
from jmix.likelihood.fixed import ROUNDING, FixedBasis
from jmix.likelihood.suffstats import Reduced

FloatArray = npt.NDArray[np.float64]

UNEXPLAINED = 1e-10
"""Smallest share of the residual variance of the fixed effects that the random effects must leave: cross-products
lose about four of the remaining six digits below it."""

STILL_FALLING = 1e-7
"""The same share where the optimiser could not finish because it falls without end."""

ABSORBED = 1e-10
"""Share of a random effect's sum of squares outside the fixed effects below which there is none."""

LEVELS = 256
"""Levels that show in most data that some random effect is outside the fixed effects."""

SAMPLE = 4096
"""Rows that settle the independence of columns in most data."""


def check_response(design: Design, fixed: FixedBasis) -> None:
    """Refuse a response of which the fixed effects leave nothing but rounding errors.

    The scale of rounding is ``sum_j |beta_j| rms(x_j)``, so a small signal on a large origin passes as long as it is
    clearly above the spacing of the numbers themselves.

    Raises:
        DataError: naming the response, and whether it is constant.
    """
    terms = np.abs(fixed.beta_ols) * np.linalg.norm(np.linalg.inv(fixed.inverse), axis=0)
    scale = float(terms.sum()) + (0.0 if design.offset is None else float(np.sqrt(np.mean(design.offset**2))))
    if fixed.y_scale > ROUNDING * scale:
        return
    low, high = float(design.y.min()), float(design.y.max())
    if low == high:
        raise DataError(f"the response {design.y_name} is constant ({low:g} in every row); there is nothing to model")
    names = " + ".join(design.x_names[:5]) + (" + …" if len(design.x_names) > 5 else "")
    part = f"the fixed effects ({names})" + ("" if design.offset is None else " and the offset")
    raise DataError(
        f"{part} fit the response {design.y_name} exactly, so there is no residual variance to estimate; drop the "
        "predictor that the response was computed from, or fit with jmix.lm"
    )


def check_residual_share(rss: float, n: int, response: str, groups: Sequence[str], *, converged: bool) -> None:
    """Refuse a fit whose random effects leave nothing of the response.

    Args:
        rss: residual sum of squares in units in which that of least squares on the fixed effects is n.
        converged: whether this is an optimum, or a point on the way to a smaller share.

    Raises:
        ModelError: naming the response and the grouping factors.
    """
    if rss > (UNEXPLAINED if converged else STILL_FALLING) * n:
        return
    names = ", ".join(groups)
    raise ModelError(
        f"the fixed effects and the levels of {names} fit the response {response} (almost) exactly: the residual "
        f"variance goes to zero and the other variances, relative to it, to infinity. Keep one row for each level of "
        f"{names} and fit without that term, or drop the predictor or factor that the response was computed from"
    )


def check_responses(exact: npt.NDArray[np.bool_], left: FloatArray, first: int) -> None:
    """Refuse a batch of responses if any is fitted exactly.

    Args:
        exact: (R,) whether the fixed effects fit the response exactly. left: (R,) share of the residual variance of the
            fixed effects that the random effects leave. first: number of responses in the batches before.

    Raises:
        DataError: giving the positions of the responses.
    """
    bad = np.flatnonzero(exact | ~(left > UNEXPLAINED)) + first
    if bad.size:
        shown = ", ".join(map(str, bad[:8])) + (", …" if bad.size > 8 else "")
        raise DataError(
            f"of the new responses, those in column {shown} (counted from 0) are constant, or fitted exactly by the "
            "model, so there is no residual variance to estimate; drop these columns"
        )


def check_absorbed(reduced: Reduced) -> None:
    """Refuse random effects that are linear combinations of the fixed effects.

    Raises:
        ModelError: naming the grouping factor.
    """
    n = float(reduced.stats.gram[-1, -1])
    for factor, a, w in zip(reduced.elimination.factors, *_blocks(reduced), strict=True):
        few = _outside(a[..., :LEVELS], w[..., :LEVELS], n)
        if few is not None and few >= ABSORBED:
            continue
        every = _outside(a, w, n)
        if every is not None and every < ABSORBED:
            raise ModelError(
                f"the fixed effects already tell the levels of {factor.group} apart, so the variance of its random "
                f"effects is not identified; drop {factor.group}, or what stands for it, from the fixed effects, or "
                "drop the random term"
            )


def _outside(a: FloatArray, w: FloatArray, n: float) -> float | None:
    """Smallest share of a direction of the random effects that is outside the fixed effects, summed over levels.

    None where the random effects are nearly collinear, so that some direction has no length.
    """
    total = a.sum(axis=-1)
    if np.linalg.eigvalsh(total)[0] <= ABSORBED * np.trace(total):
        return None
    left = total - np.einsum("amj,bmj->ab", w[:, :-1], w[:, :-1]) / n
    root = np.linalg.inv(np.linalg.cholesky(total))
    return float(np.linalg.eigvalsh(root @ left @ root.T)[0])


def _blocks(reduced: Reduced) -> tuple[list[FloatArray], list[FloatArray]]:
    """Of each factor, (q, q, J) blocks of Z'Z and (q, p + 1, J) of Z'[X e]."""
    stats = reduced.stats
    a, w = [np.asarray(b.a) for b in stats.blocks], [np.asarray(b.w) for b in stats.blocks]
    start = 0
    for q, j in stats.tail_sizes:
        stop = start + q * j
        own = np.asarray(stats.tail_a)[start:stop, start:stop]
        a.append(np.array([[np.diagonal(own[i::q, k::q]) for k in range(q)] for i in range(q)]))
        w.append(np.asarray(stats.tail_w)[start:stop].reshape(j, q, -1).transpose(1, 2, 0))
        start = stop
    return a, w


def check_columns(term: RandomTerm) -> None:
    """Refuse a random term with a column that is zero, or a linear combination of its others.

    Raises:
        ModelError: naming the term and the column.
    """
    n = term.codes.shape[0]
    for rows in (slice(0, SAMPLE), slice(0, n)):
        independent = independent_columns(np.stack([c[rows] for c in term.columns], axis=1))
        if independent.all():
            return
    names = ", ".join(name for name, free in zip(term.names, independent, strict=True) if not free)
    raise ModelError(
        f"({' + '.join(term.names)} | {term.group}): {names} is zero or a linear combination of the term's other "
        f"columns, so the variances are not identified; drop {names} from the term"
    )


def check_same_levels(terms: Sequence[RandomTerm]) -> None:
    """Refuse a random effect on two grouping factors that divide the rows alike.

    Raises:
        ModelError: naming both factors.
    """
    for i, one in enumerate(terms):
        for other in terms[i + 1 :]:
            shared = [name for name in one.names if name in other.names]
            if one.group != other.group and shared and _same_partition(one, other):
                raise ModelError(
                    f"{one.group} and {other.group} divide the rows into the same {len(one.levels)} levels, so their "
                    f"variances of {shared[0]} cannot be told apart; drop the term of {one.group} or of {other.group}"
                )


def _same_partition(one: RandomTerm, other: RandomTerm) -> bool:
    if len(one.levels) != len(other.levels):
        return False
    partner = np.zeros(len(one.levels), dtype=np.int64)
    partner[one.codes] = other.codes
    return bool(np.array_equal(partner[one.codes], other.codes))
