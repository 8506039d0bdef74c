"""The options of a sampler."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jmix import runtime
from jmix.errors import ModelError

METHODS = ("auto", "vectorized", "parallel", "threads", "sequential")


@dataclass(frozen=True)
class Options:
    """What the user asked of the sampler; see ``Model.sample``."""

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0
    chain_method: str = "auto"
    target_accept: float = 0.9
    max_tree_depth: int = 10
    thin: int = 1
    init: str | Mapping[str, Any] = "mode"
    progress: bool | None = None

    def check(self) -> None:
        """Raise ModelError for an option out of its range."""
        for name, least in (("draws", 1), ("tune", 0), ("chains", 1), ("thin", 1), ("max_tree_depth", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ModelError(f"{name}={value!r}: give a whole number, {least} or more")
        accept = self.target_accept
        if isinstance(accept, bool) or not isinstance(accept, int | float | np.number) or not 0.0 < accept < 1.0:
            raise ModelError(f"target_accept={self.target_accept!r}: give a number between 0 and 1, such as 0.95")
        if self.max_tree_depth > 15:
            raise ModelError(f"max_tree_depth={self.max_tree_depth}: 15 is the greatest, 32,767 steps a draw")
        if self.seed >= 2**63:
            raise ModelError(f"seed={self.seed}: give a number below 2**63")
        if self.chain_method not in METHODS:
            raise ModelError(f"chain_method={self.chain_method!r}: choose one of {', '.join(METHODS)}")
        if not isinstance(self.init, Mapping) and self.init not in ("mode", "random"):
            raise ModelError(f"init={self.init!r}: choose 'mode', 'random', or give a dict of parameter values")

    @property
    def devices(self) -> int:
        """Over how many devices the chains are split."""
        available = len(jax.devices())
        if self.chain_method == "parallel" or (self.chain_method == "auto" and available > 1):
            return math.gcd(int(self.chains), available)
        return 1

    @property
    def method(self) -> str:
        """How the chains run, "auto" resolved: over the devices, the cores of a CPU, or the lanes of an accelerator."""
        if self.chain_method != "auto":
            return self.chain_method
        if self.devices > 1:
            return "parallel"
        return "threads" if runtime.default_device().platform == "cpu" else "vectorized"

    @property
    def workers(self) -> int:
        """Threads that run chains at the same time."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(int(self.chains), cores) if self.method == "threads" else 1
