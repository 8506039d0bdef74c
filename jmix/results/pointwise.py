"""Pointwise log likelihood: of each row given the random effects, or of each group with them integrated out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.estimate import effects as conditional
from jmix.estimate.objective import GaussianObjective
from jmix.likelihood.random import Factor
from jmix.likelihood.suffstats import add_by_level
from jmix.results import posterior_effects as random
from jmix.results.posterior_predict import linear_blocks

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CELLS = 1 << 18
"""Log densities that are computed at a time, so that they stay in the processor's cache."""

GRAM_BYTES = 1 << 27
"""Cross-products of groups that are held at a time."""


def log_likelihood(post: Sampled, kind: Any, thin: int, seed: int) -> FloatArray:
    """The work behind ``Posterior.log_likelihood``."""
    if kind not in ("conditional", "marginal"):
        raise ModelError(f"log_likelihood({kind!r}): choose 'conditional' (by row) or 'marginal' (by group)")
    random.require_data(post)
    numbers = random.thinned(post, thin)
    count = post.nobs if kind == "conditional" else len(random.levels(post, post.law.marginal_group()))
    random.check_size(
        f"the {kind} log likelihood",
        float(numbers.size) * count,
        "thin= keeps fewer draws, to_arviz(log_likelihood=None) leaves it out",
    )
    flat = numbers.reshape(-1)
    values = by_row(post, flat, seed) if kind == "conditional" else post.law.by_group(flat)
    return values.reshape(*numbers.shape, count)


# --- given the random effects ---------------------------------------------------------------------------------------
def by_row(post: Sampled, numbers: IntArray, seed: int) -> FloatArray:
    """(N, n) log p(y_i | b, parameters), with b drawn from its distribution given the data and the draw."""
    out = np.empty((numbers.size, post.nobs))
    for block, mean in linear_blocks(post, numbers, seed):
        step = max(1, CELLS // numbers.size)
        for start in range(0, len(mean), step):
            part = slice(block.start + start, block.start + min(start + step, len(mean)))
            out[:, part] = post.law.log_density(mean[start : start + step], numbers, part).T
    return out


def location_log_density(post: Sampled, mean: FloatArray, numbers: IntArray, block: slice) -> FloatArray:
    """(m, N) normal or Student-t log densities of some rows."""
    weights = np.ones(post.nobs) if post.design.weights is None else post.design.weights
    sigma = post.draws.sigma.reshape(-1)[numbers]
    nu = None if post.draws.nu is None else post.draws.nu.reshape(-1)[numbers]
    return _log_density(post.design.y[block, None] - mean, weights[block, None], sigma, nu)


def _log_density(residual: FloatArray, weights: FloatArray, sigma: FloatArray, nu: FloatArray | None) -> FloatArray:
    """Normal or Student-t log density of residuals of scale sigma / sqrt(weight)."""
    square = np.square(residual) * (weights / sigma**2)
    scale = 0.5 * np.log(weights) - np.log(sigma)
    if nu is None:
        return np.asarray(scale - 0.5 * np.log(2.0 * np.pi) - 0.5 * square)
    from scipy.special import gammaln

    constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * nu)
    return np.asarray(scale + constant - 0.5 * (nu + 1.0) * np.log1p(square / nu))


# --- random effects integrated out ----------------------------------------------------------------------------------
def gaussian_group(post: Sampled) -> str:
    """The grouping factor between whose levels the rows are independent.

    Raises:
        ModelError: crossed grouping factors, or a response without a closed form.
    """
    if post.family != "gaussian":
        raise ModelError(
            f"the random effects of family={post.family!r} cannot be integrated out in closed form; "
            "take the conditional log likelihood"
        )
    elimination = post.objective.reduced.elimination
    if elimination.tail:
        names = ", ".join(f.group for f in elimination.factors)
        raise ModelError(
            f"the grouping factors {names} are not nested in one another, so that no group is independent of the "
            "others and none can be left out by itself; take the conditional log likelihood"
        )
    return elimination.chain[-1].group


def gaussian_by_group(post: Sampled, numbers: IntArray) -> FloatArray:
    """(N, J) log p(y_j | beta, Omega, sigma) of each level of the coarsest grouping factor.

    With the group's residuals r_j and V_j = W_j^{-1} + Z_j Lambda Lambda' Z_j',
    ``-2 log p = n_j log(2 pi sigma^2) + log|V_j| + r_j'V_j^{-1}r_j / sigma^2``, from sufficient statistics.
    """
    gaussian_group(post)
    objective = post.objective
    factor, scale = objective.reduced.elimination.chain[-1], objective.reduced.fixed.y_scale
    at = conditional.given(objective, post.draws, numbers)
    out = np.empty((numbers.size, factor.n_levels))
    place = np.argsort(objective.reduced.elimination.order[-1])
    for part, (logdet, quad) in conditional.group_terms(objective, at):
        out[part] = logdet[:, place] - quad[:, place] * np.square(scale / at.sigma[part, None])
    counts = np.bincount(factor.codes, minlength=factor.n_levels)
    out += counts * np.log(2.0 * np.pi * at.sigma**2)[:, None] - _log_weights(post, factor)
    for levels, squares in _squares(objective, factor, at.contrast):
        out[:, levels] += squares * np.square(scale / at.sigma[:, None])
    return -0.5 * out


def _log_weights(post: Sampled, factor: Factor) -> FloatArray | float:
    """(J,) sums of the log weights."""
    if post.design.weights is None:
        return 0.0
    return np.asarray(np.bincount(factor.codes, np.log(post.design.weights), factor.n_levels), dtype=np.float64)


def _squares(objective: GaussianObjective, factor: Factor, contrast: FloatArray) -> Any:
    """``r_j'W r_j`` over y_scale^2, (N, levels) for a block of levels at a time, from cross-products of ``[X~ e]``."""
    source = objective.reduced.rows
    k = contrast.shape[1]
    left, right = np.triu_indices(k)
    products = contrast[:, left] * contrast[:, right] * np.where(left == right, 1.0, 2.0)
    order = np.argsort(factor.codes, kind="stable")
    starts = np.searchsorted(factor.codes[order], np.arange(factor.n_levels + 1))
    step = max(1, GRAM_BYTES // (8 * left.size))
    for first in range(0, factor.n_levels, step):
        last = min(first + step, factor.n_levels)
        grams = np.zeros((last - first, left.size))
        rows = order[starts[first] : starts[last]]
        size = max(1, GRAM_BYTES // (16 * left.size))
        for begin in range(0, rows.size, size):
            own = rows[begin : begin + size]
            fixed = _fixed_rows(source, own)
            add_by_level(np.asarray(factor.codes[own] - first, dtype=np.int32), fixed[left] * fixed[right], grams)
        yield slice(first, last), products @ grams.T


def _fixed_rows(source: Any, rows: IntArray) -> FloatArray:
    """(p + 1, rows) of ``[X~ e]`` times the root of the weights."""
    fixed = source.fixed
    x = source.x[rows]
    residual = (source.y[rows] - x @ fixed.beta_ols) / fixed.y_scale
    both = np.concatenate([fixed.inverse.T @ x.T, residual[None]])
    return both if source.weights is None else both * np.sqrt(source.weights[rows])
