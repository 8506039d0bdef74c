"""Peak resident memory of this process over a stretch of work, from the kernel's own high-water mark (Linux)."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Growth:
    """Bytes by which the peak exceeded the resident size at the start; filled in when the block ends."""

    bytes: int = 0


def resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process in bytes."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {field}; peak memory is measured on Linux only.")


def settle() -> None:
    """Return freed memory to the system, so that reuse of it does not hide growth."""
    gc.collect()
    with suppress(ImportError):
        import pyarrow

        pyarrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def peak_growth() -> Iterator[Growth]:
    """Measure the growth of peak resident memory inside the block."""
    settle()
    CLEAR.write_text("5")
    start = resident("VmRSS")
    growth = Growth()
    yield growth
    growth.bytes = max(0, resident("VmHWM") - start)
