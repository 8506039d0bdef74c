"""What every benchmark case is told: the sizes wanted, the contestants, and a scratch folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Session:
    """Settings of one run of ``python -m benchmarks``."""

    scratch: Path
    contestants: tuple[str, ...]
    quick: bool
    limit: float
    budget: float

    def size(self, full: int, quick: int) -> int:
        """The full size, or the small one under ``--quick``."""
        return quick if self.quick else full

    def peers(self, *names: str) -> tuple[str, ...]:
        """Those of ``names`` that take part in this run, in the order given."""
        return tuple(name for name in names if name in self.contestants)
