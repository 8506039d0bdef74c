"""Posterior draws of an item response model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.estimate.draws import SamplerSettings, SamplerStats

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class IrtDraws:
    """C chains of D draws.

    Attributes:
        x: (C, D, P) free parameters in the order and on the scale of the specification. log_density: (C, D) log
            posterior density in the coordinates of the sampler, up to a constant.
    """

    x: FloatArray
    log_density: FloatArray
    stats: SamplerStats
    settings: SamplerSettings

    @property
    def shape(self) -> tuple[int, int]:
        """Chains and draws a chain."""
        chains, draws = self.log_density.shape
        return int(chains), int(draws)
