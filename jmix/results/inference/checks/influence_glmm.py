"""Groups left out of a generalized linear mixed model: the scores of each, one Newton step, or true refits."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning, JmixError, ModelError
from jmix.estimate.inference.influence import steps
from jmix.estimate.inference.influence_scores import group_derivatives, row_derivatives, weighted_objective

if TYPE_CHECKING:
    from jmix.estimate.glmm_objective import GlmmObjective
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.inference.checks.check_groups import RowGroups

FloatArray = npt.NDArray[np.float64]

BoolArray = npt.NDArray[np.bool_]

APART, MOST_DOUBTFUL = 0.2, 50
"""Doubt from which a group is refitted, as refits go one by one, and how many are at most."""

MOST = 2000
"""Groups of a model with several grouping factors that are evaluated one by one."""


def cluster_scores(fit: GlmmFit, groups: RowGroups) -> FloatArray:
    """(G, d) gradients of the log likelihood of each of G independent clusters, in all parameters."""
    own = separable(fit, groups)
    if own is not None:
        return own[0]
    _check_number(fit, groups)
    out = np.empty((groups.n_groups, fit.solution.x.size))
    weights = _weights(fit)
    for g in range(groups.n_groups):
        only = weighted_objective(fit.objective, np.where(groups.codes == g, weights, 0.0))
        out[g] = only.evaluate(fit.solution.x)[1]
    return out


def separable(fit: GlmmFit, groups: RowGroups) -> tuple[FloatArray, FloatArray] | None:
    """Gradients (G, d) and Hessians (G, d, d) of the groups; None unless they are sums over independent units.

    Those are the levels of the one grouping factor, each within a group, or the rows of a model without any.
    """
    from jmix.results.inference.checks.check_groups import nested_in

    if len(fit.spec.groups) > 1:
        return None
    if not fit.terms:
        gradient, hessian = row_derivatives(fit.objective, fit.solution.x)
        return groups.sums(gradient), groups.sums(hessian)
    codes = fit.terms[0].codes
    if not nested_in(codes, groups.codes):
        return None
    gradient, hessian = group_derivatives(fit.objective, fit.solution.x)
    owner = np.zeros(gradient.shape[0], dtype=np.int64)
    owner[codes] = groups.codes
    out = np.zeros((groups.n_groups, gradient.shape[1])), np.zeros((groups.n_groups, *hessian.shape[1:]))
    np.add.at(out[0], owner, gradient)
    np.add.at(out[1], owner, hessian)
    return out


def one_step(fit: GlmmFit, groups: RowGroups) -> tuple[FloatArray, FloatArray]:
    """Estimates (G, d) without each group, one Newton step on the likelihood of the other rows, and the doubt (G,).

    Parameters on a boundary, or without a finite estimate, stay where they are. Step and doubt as those of linear
    models: ``estimate.inference.influence.steps``.
    """
    x, free = fit.solution.x, np.isfinite(np.diag(fit.solution.vcov))
    parts = [
        (gradient[free], hessian[np.ix_(free, free)])
        for gradient, hessian in _left_out(fit, groups)
    ]  # fmt: skip
    diagonal = np.zeros(x.size, dtype=bool)
    diagonal[fit.objective.slices["theta"]] = fit.spec.join([np.eye(t.q) for t in fit.spec.terms]) == 1.0
    step, doubt = steps(
        x[free],
        -2.0 * np.stack([gradient for gradient, _ in parts]),
        -2.0 * np.stack([hessian for _, hessian in parts]),
        2.0 * fit.solution.hessian[np.ix_(free, free)],
        diagonal[free],
    )
    out = np.tile(x, (groups.n_groups, 1))
    out[:, free] += step
    return out, doubt


def doubtful(doubt: FloatArray) -> npt.NDArray[np.int64]:
    """The groups at which one step is not enough, the most doubtful ones where there are many."""
    order = np.argsort(-doubt, kind="stable")
    return np.sort(order[: min(int(np.sum(doubt > APART)), MOST_DOUBTFUL)])


def _left_out(fit: GlmmFit, groups: RowGroups) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Gradient and Hessian at the estimates of the log likelihood of all rows but those of each group."""
    own = separable(fit, groups)
    if own is not None:
        whole = fit.solution.gradient, -fit.solution.hessian
        for gradient, hessian in zip(*own, strict=True):
            yield whole[0] - gradient, whole[1] - hessian
        return
    _check_number(fit, groups)
    for objective in left_out_objectives(fit, groups):
        yield objective.evaluate(fit.solution.x)[1], objective.hessian(fit.solution.x)


def left_out_objectives(
    fit: GlmmFit, groups: RowGroups, which: npt.NDArray[np.int64] | None = None
) -> Iterator[GlmmObjective]:
    """The objective of all rows but those of each group, or of some, by weights of zero."""
    weights = _weights(fit)
    for g in range(groups.n_groups) if which is None else which:
        yield weighted_objective(fit.objective, np.where(groups.codes == g, 0.0, weights))


def refits(
    fit: GlmmFit, groups: RowGroups, starts: FloatArray, which: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
    """True refits without the groups ``which``: estimates (G, d), covariances (G, d, d), converged (G,) and done (G,).

    A group without which the model cannot be fitted gives NaN; Ctrl-C leaves the rest undone.
    """
    from jmix.estimate.glmm_fit import fit_glmm

    d = fit.solution.x.size
    x, vcov = np.full((groups.n_groups, d), np.nan), np.full((groups.n_groups, d, d), np.nan)
    converged = np.zeros(groups.n_groups, dtype=bool)
    done = np.zeros(groups.n_groups, dtype=bool)
    for g, objective in zip(which, left_out_objectives(fit, groups, which), strict=True):
        begin = starts[g] if np.all(np.isfinite(starts[g])) else fit.solution.x
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                solution = fit_glmm(objective, start=begin)
        except KeyboardInterrupt:
            break
        except JmixError:
            done[g] = True
            continue
        if solution.status.interrupted:
            break
        done[g] = True
        x[g], vcov[g], converged[g] = solution.x, solution.vcov, solution.status.converged
    return x, vcov, converged, done


def _weights(fit: GlmmFit) -> FloatArray:
    return np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights


def _check_number(fit: GlmmFit, groups: RowGroups) -> None:
    if groups.n_groups > MOST:
        raise ModelError(
            f"{groups.n_groups} groups of a generalized model with several grouping factors would be evaluated one by "
            f"one; at most {MOST} are: choose a coarser grouping"
        )


def covariances(fit: GlmmFit, groups: RowGroups) -> FloatArray:
    """(G, d, d) covariances of the estimates without each group, to the order of one step: the inverse information of
    the other rows at the estimates of all.
    """
    d, free = fit.solution.x.size, np.isfinite(np.diag(fit.solution.vcov))
    out = np.full((groups.n_groups, d, d), np.nan)
    for g, (_, hessian) in enumerate(_left_out(fit, groups)):
        own = -hessian[np.ix_(free, free)]
        if np.all(np.isfinite(own)) and np.linalg.eigvalsh(own)[0] > 0:
            out[g][np.ix_(free, free)] = np.linalg.inv(own)
    return out
