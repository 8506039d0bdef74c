"""What a sampler leaves behind: NumPy arrays, chains first, draws second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SamplerStats:
    """The course of the sampler after warm-up.

    Attributes:
        diverging: (C, D) whether the trajectory diverged. n_steps: (C, D) leapfrog steps.
        accept_prob: (C, D) mean acceptance probability of the trajectory. energy: (C, D) Hamiltonian at each draw.
        step_size: (C,) adapted step sizes. saturated: (C, D) whether the tree reached its greatest depth.
    """

    diverging: npt.NDArray[np.bool_]
    n_steps: npt.NDArray[np.int64]
    accept_prob: FloatArray
    energy: FloatArray
    step_size: FloatArray
    saturated: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SamplerSettings:
    """How the draws were made.

    Attributes:
        draws: kept draws a chain. tune: warm-up iterations a chain. thin: iterations per kept draw.
        seconds: wall time by stage: "warm start", "compile", "tune", "sample".
        interrupted: whether fewer draws than asked for are here because the user stopped the sampler.
    """

    draws: int
    tune: int
    chains: int
    seed: int
    thin: int = 1
    target_accept: float = 0.9
    max_tree_depth: int = 10
    chain_method: str = "vectorized"
    init: str = "mode"
    marginal: bool = True
    interrupted: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Draws:
    """Posterior draws on the data scale, C chains of D draws.

    Attributes:
        beta: (C, D, p) fixed effects, in the order of ``design.x_names``.
        chol: for each random term in lme4's order, (C, D, q, q) lower Cholesky factor of its covariance matrix.
        sigma: (C, D) residual standard deviation (the scale of the t distribution for family "student"); one where the
            family has none, as in lme4.
        nu: (C, D) degrees of freedom of a Student-t response, or None.
        log_density: (C, D) log posterior density, up to a constant, in the coordinates of the sampler.
        effects: by grouping factor, (C, D, J, q) random effects, where the sampler drew them; None where they were
            integrated out.
        x: (C, D, d) of a generalized model, all parameters of its density as ``glmm_rows`` lays them out; else None.
        tau: (C, D, K - 1) thresholds of an ordinal response, increasing; else None.
    """

    beta: FloatArray
    chol: tuple[FloatArray, ...]
    sigma: FloatArray
    log_density: FloatArray
    stats: SamplerStats
    settings: SamplerSettings
    nu: FloatArray | None = None
    effects: Mapping[str, FloatArray] | None = None
    x: FloatArray | None = None
    tau: FloatArray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Chains and draws a chain."""
        chains, draws = self.sigma.shape
        return int(chains), int(draws)

    @property
    def sd(self) -> tuple[FloatArray, ...]:
        """For each term, (C, D, q) standard deviations of its random effects."""
        return tuple(np.sqrt(np.einsum("...ab,...ab->...a", c, c)) for c in self.chol)

    @property
    def cor(self) -> tuple[FloatArray, ...]:
        """For each term, (C, D, q, q) correlation matrices."""
        out = []
        for c, sd in zip(self.chol, self.sd, strict=True):
            scaled = c / sd[..., None]
            out.append(np.einsum("...ac,...bc->...ab", scaled, scaled))
        return tuple(out)
