"""Posterior predictions for rows of data, and responses simulated from the posterior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results import posterior_effects as random
from jmix.results.frames import check_level
from jmix.results.posterior_table import bounds, spread
from jmix.results.predict import fitted_rows, new_rows
from jmix.results.rows import Rows, add_random

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

KINDS = ("expected", "response", "linear")
LEVELS = ("error", "population", "sample")
REMEDY = (
    "new_levels='population' predicts them with a random effect of zero, 'sample' with one drawn from the population"
)
BLOCK_BYTES = 1 << 29
"""Draws of the predictions that are held at a time for a summary."""

NOISE, NEW, SIMULATE = 6, 7, 8
"""Keep the random numbers of different purposes apart."""


@dataclass(frozen=True)
class Prediction:
    """Rows to predict and how.

    Attributes:
        rows: with all levels >= 0: those of the fit, then new ones, whose effects are drawn, then one without effect.
        fresh: how many levels of each grouping factor are drawn. parts: what the response of the rows needs
            beside the linear predictor, from ``Law.parts``. kind: of prediction.
    """

    rows: Rows
    fresh: dict[str, int]
    parts: Any
    kind: str
    seed: int


def predict(
    post: Sampled,
    data: Any,
    *,
    conditional: bool,
    new_levels: str,
    kind: str,
    prob: float,
    summary: bool,
    weights: Any,
    thin: int,
    seed: int,
) -> pd.DataFrame | FloatArray:
    """The work behind ``Posterior.predict``; arguments are described there."""
    _check_choices(new_levels, kind)
    prob, seed = check_level(prob, "prob"), random.whole("seed", seed, 0)
    design = post.design
    if data is None:
        rows, valid, index = fitted_rows(design, conditional), np.ones(post.nobs, dtype=np.bool_), design.index
    else:
        rows, valid, index = new_rows(design, data, conditional, new_levels, REMEDY)
    parts = None if kind == "linear" else post.law.parts(data, weights, rows.n, kind == "response")
    plan = _levels(post, Prediction(rows, {}, parts, kind, seed), new_levels)
    numbers = random.thinned(post, thin).reshape(-1)
    blocks = _blocks(post, plan, numbers)
    return summarised(blocks, valid, index, prob) if summary else gathered(blocks, valid, numbers.size)


def gathered(blocks: Iterator[tuple[slice, FloatArray]], valid: npt.NDArray[np.bool_], size: int) -> FloatArray:
    """(N, n) draws, or (N, n, K) where a row has K numbers."""
    random.check_size(f"predictions of {valid.size} rows", float(valid.size) * size, "thin= keeps fewer draws")
    out = np.concatenate([values for _, values in blocks])
    out[~valid] = np.nan
    return np.ascontiguousarray(np.moveaxis(out, -1, 0))


def summarised(
    blocks: Iterator[tuple[slice, FloatArray]], valid: npt.NDArray[np.bool_], index: Any, prob: float
) -> pd.DataFrame:
    """Mean, standard deviation and interval of the draws of every row."""
    parts = [np.stack([v.mean(axis=-1), spread(v), *bounds(v, prob)], axis=1) for _, v in blocks]
    table = np.concatenate(parts)
    table[~valid] = np.nan
    columns = ["fit", "se", "lower", "upper"]
    if table.ndim == 2:
        return pd.DataFrame(table, index=index, columns=columns)
    k = table.shape[2]
    wide = pd.MultiIndex.from_product([columns, range(1, k + 1)], names=[None, "category"])
    return pd.DataFrame(table.reshape(len(table), -1), index=index, columns=wide)


def _check_choices(new_levels: Any, kind: Any) -> None:
    if kind not in KINDS:
        raise ModelError(f"kind={kind!r}: choose {', '.join(map(repr, KINDS))}")
    if new_levels not in LEVELS:
        raise ModelError(f"new_levels={new_levels!r}: choose {', '.join(map(repr, LEVELS))}")


def _levels(post: Sampled, plan: Prediction, new_levels: str) -> Prediction:
    """Give every row a level whose effect is known, drawn or zero."""
    codes, fresh = {}, {}
    for group, own in plan.rows.codes.items():
        known, count = random.sizes(post)[group][0], 0
        code = own.astype(np.int64)
        if new_levels == "sample":
            new = plan.rows.fresh.get(group, np.full(own.size, -1)).astype(np.int64)
            missing = np.flatnonzero((own < 0) & (new < 0))
            new[missing] = new.max(initial=-1) + 1 + np.arange(missing.size)
            count = int(new.max(initial=-1)) + 1
            code = np.where(own < 0, known + new, code)
        codes[group] = np.where(code < 0, known + count, code)
        fresh[group] = count
    return replace(plan, rows=replace(plan.rows, codes=codes), fresh=fresh)


# --- draws ----------------------------------------------------------------------------------------------------------
def _blocks(post: Sampled, plan: Prediction, numbers: IntArray) -> Iterator[tuple[slice, FloatArray]]:
    """(m, N) draws of every row, a block of rows at a time."""
    step = max(1, BLOCK_BYTES // (8 * numbers.size))
    for start in range(0, plan.rows.n, step):
        block = slice(start, min(start + step, plan.rows.n))
        yield block, _block(post, plan, numbers, block)


def linear_blocks(post: Sampled, numbers: IntArray, seed: int) -> Iterator[tuple[slice, FloatArray]]:
    """(m, N) draws of the linear predictor of the rows of the model, a block of rows at a time."""
    rows = fitted_rows(post.design, True)
    yield from _blocks(post, Prediction(rows, dict.fromkeys(rows.codes, 0), None, "linear", seed), numbers)


def _block(post: Sampled, plan: Prediction, numbers: IntArray, block: slice) -> FloatArray:
    rows = plan.rows
    beta = post.draws.beta.reshape(-1, post.draws.beta.shape[-1])[numbers]
    out = rows.X[block] @ beta.T
    if rows.offset is not None:
        out += rows.offset[block, None]
    if rows.columns:
        for part, effects in random.chunks(post, numbers, plan.seed):
            _add(post, plan, numbers[part], block, effects, out[:, part])
    if plan.kind == "expected":
        return post.law.expected(out, numbers, plan.parts, block)
    if plan.kind == "response":
        _respond(post, plan, numbers, block, out)
    return out


def _add(
    post: Sampled, plan: Prediction, numbers: IntArray, block: slice, effects: random.Effects, out: FloatArray
) -> None:
    """Add Z b of a chunk of draws, (m, N)."""
    rngs = [np.random.default_rng([plan.seed, NEW, number]) for number in numbers.tolist()]
    for group, columns in plan.rows.columns.items():
        new = new_effects(post, group, numbers, rngs, plan.fresh[group])
        none = np.zeros((numbers.size, 1, len(columns)))
        every = np.ascontiguousarray(np.moveaxis(np.concatenate([effects[group], new, none], axis=1), 0, -1))
        codes = plan.rows.codes[group][block]
        for i, column in enumerate(columns):
            out += column[block, None] * every[codes, i]


def new_effects(
    post: Sampled, group: str, numbers: IntArray, rngs: list[np.random.Generator], count: int
) -> FloatArray:
    """(N, count, q) effects of new levels, one generator a draw."""
    parts = []
    for i in post.spec.members(group):
        chol = post.draws.chol[i]
        q = chol.shape[-1]
        unit = np.stack([rng.standard_normal((count, q)) for rng in rngs])
        parts.append(unit @ np.swapaxes(chol.reshape(-1, q, q)[numbers], 1, 2))
    return np.concatenate(parts, axis=2)


def _respond(post: Sampled, plan: Prediction, numbers: IntArray, block: slice, out: FloatArray) -> None:
    """Turn the draws of the linear predictor into new responses."""
    for k, number in enumerate(numbers.tolist()):
        rng = np.random.default_rng([plan.seed, NOISE, number, block.start])
        out[:, k] = post.law.respond(out[:, k], number, plan.parts, block, rng)


# --- fitted values and simulated responses --------------------------------------------------------------------------
def fitted(post: Sampled, conditional: bool) -> FloatArray:
    """(n,) posterior mean of the linear predictor: that of its terms, in which it is linear."""
    rows = fitted_rows(post.design, conditional)
    eta = rows.X @ post.beta
    if rows.offset is not None:
        eta = eta + rows.offset
    return add_random(eta, rows, random.means(post) if rows.columns else {})


def residuals(post: Sampled, kind: str) -> FloatArray:
    """(n,) residuals from the posterior mean."""
    if kind not in ("raw", "response", "pearson", "scaled"):
        raise ModelError(f"residuals(type={kind!r}): choose 'raw', 'pearson' or 'scaled'")
    values = post.design.y - fitted(post, True)
    if kind in ("pearson", "scaled") and post.design.weights is not None:
        values = values * np.sqrt(post.design.weights)
    return values / post.sigma if kind == "scaled" else values


def simulate(post: Sampled, n: int, seed: int, conditional: bool) -> pd.DataFrame:
    """(rows, n) responses, each from another draw of the parameters, evenly spaced over all of them."""
    n, seed = random.whole("n", n, 1), random.whole("seed", seed, 0)
    total = post.n_draws
    numbers = np.arange(n) * total // n if n <= total else np.arange(n) % total
    rows = fitted_rows(post.design, True)
    random.check_size(f"{n} simulated responses of {rows.n} rows", float(n) * rows.n, "simulate fewer at a time")
    parts, everything = post.law.parts(None, None, rows.n, True), slice(0, rows.n)
    beta = post.draws.beta.reshape(total, -1)
    out = np.empty((rows.n, n), order="F")
    for i, effects in enumerate(_simulated_effects(post, numbers, seed, conditional)):
        rng = np.random.default_rng([seed, SIMULATE, i, 1])
        eta = rows.X @ beta[numbers[i]] if rows.offset is None else rows.X @ beta[numbers[i]] + rows.offset
        out[:, i] = post.law.respond(add_random(eta, rows, effects), int(numbers[i]), parts, everything, rng)
    return pd.DataFrame(out, index=post.design.index, columns=[f"sim_{i + 1}" for i in range(n)])


def _simulated_effects(post: Sampled, numbers: IntArray, seed: int, conditional: bool) -> Iterator[random.Effects]:
    """(J, q) effects of one simulation after another: given the data, or those of new groups."""
    if conditional:
        for part, drawn in random.chunks(post, numbers, seed):
            for k in range(part.stop - part.start):
                yield {g: v[k] for g, v in drawn.items()}
        return
    for i in range(numbers.size):
        rngs = [np.random.default_rng([seed, SIMULATE, i, 0])]
        sizes = random.sizes(post)
        yield {g: new_effects(post, g, numbers[i : i + 1], rngs, sizes[g][0])[0] for g in sizes}
