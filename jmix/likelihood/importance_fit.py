"""Simulated likelihood of any random structure, to be maximised: importance sampling at the same points throughout.

The points of a scrambled Sobol sequence stay, while the proposals follow the mode: the estimate is a smooth function
of the parameters, and its maximum tends to that of the exact likelihood (cf. Durbin & Koopman 1997, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from jmix.design import RandomTerm
from jmix.errors import ModelError
from jmix.likelihood.glmm_rows import RowData
from jmix.likelihood.importance import NUMBERS, chain_rules, log_ratio, propose, tail_points
from jmix.likelihood.laplace import Laplace, LaplaceData, Restore, build_laplace
from jmix.likelihood.laplace_solve import Effects
from jmix.likelihood.reweighted import Crossing
from jmix.likelihood.structure import Array
from jmix.numerics.quadrature import Rule
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign

TAIL_MAX = 300
"""Most crossed random effects that are sampled: beyond it the derivatives of the factorisation cost too much, and the
effective sample size is small.
"""


class SampledData(NamedTuple):
    """``LaplaceData`` with points.

    Attributes:
        tails: (D, Q2) points of the tail. logs: (D,) of their weights, which sum to about one. rules: nodes of each
            chain factor.
    """

    rows: RowData
    crossing: Crossing
    constant: Array
    tails: Array
    logs: Array
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Sampled(Laplace):
    """Laplace's approximation, corrected by importance sampling.

    Attributes:
        batch: draws that are evaluated at once.
    """

    batch: int = 1

    def marginal(self, x: jax.Array, data: SampledData, u: Effects) -> jax.Array:  # type: ignore[override]
        """The simulated log likelihood with its proposals about u."""
        rows = LaplaceData(data.rows, data.crossing, data.constant)
        at = propose(self, x, rows, u)

        # what a draw's derivative needs is computed again: all draws together would fill the memory
        @jax.checkpoint
        def draw(tail: jax.Array) -> jax.Array:
            return log_ratio(self, x, rows, at, tail, data.rules)

        ratios = jax.lax.map(draw, data.tails, batch_size=self.batch)
        return super().marginal(x, rows, u) + jax.nn.logsumexp(ratios + data.logs)

    def numbers(self, data: SampledData) -> int:  # type: ignore[override]
        """Numbers that one direction of a derivative holds at once: rows times nodes times draws."""
        nodes = int(np.prod([rule.nodes.shape[0] for rule in data.rules]))
        return self.batch * nodes * int(data.rows.y.shape[0])


def build_sampled(
    design: GlmmDesign,
    spec: CovarianceSpec,
    terms: Sequence[RandomTerm],
    n_points: int = 128,
    seed: int = 20,
    nodes: int | None = None,
) -> tuple[Sampled, SampledData, Restore]:
    """The simulated likelihood of a design: quadrature over a nested chain of factors, sampling of those that cross it.

    Args:
        terms: the random terms in the order of ``spec.terms``. n_points: draws, rounded up to a power of two.
        seed: of the scrambling. nodes: Gauss-Hermite nodes of each random effect of the chain; None for 15 in one
            dimension and fewer in more.

    Raises:
        ModelError: no random terms; too many nodes; or more crossed random effects than can be sampled.
    """
    laplace, data, restore = build_laplace(design, spec, terms)
    n_chain = len(data.crossing.parents)
    crossed = restore.elimination.tail
    size = sum(f.q * f.n_levels for f in crossed)
    if size > TAIL_MAX:
        names = ", ".join(f"{f.group} ({f.n_levels} levels)" for f in crossed)
        raise ModelError(
            f'method="qmc" samples at most {TAIL_MAX} crossed random effects, and {names} make {size}: use n_agq=1 '
            "(Laplace), or .sample(marginal=False) for the exact posterior"
        )
    rules = chain_rules(laplace, n_chain, nodes)
    tails, logs = tail_points(n_points, size, seed) if size else (np.zeros((1, 0)), np.zeros(1))
    count = int(np.prod([rule.nodes.shape[0] for rule in rules])) * data.rows.y.shape[0]
    batch = min(tails.shape[0], max(1, NUMBERS // count))
    approx = Sampled(laplace.plan, laplace.sizes, laplace.iterative, batch)
    return approx, SampledData(*data, tails, logs - np.log(logs.size), rules), restore
