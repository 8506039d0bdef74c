"""Compiled programs are dropped before the process runs out of memory mappings."""

from __future__ import annotations

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jmix import runtime


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts /proc/self/maps")
def test_programs_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def mappings() -> int:
        return len(Path("/proc/self/maps").read_bytes().splitlines())

    program = runtime.Program(lambda x: jnp.linalg.cholesky(jnp.cov(x)) @ jnp.sort(jnp.tanh(x), axis=1))
    expected = np.asarray(program(np.eye(3)))
    for rows in range(2, 12):
        program(np.random.default_rng(rows).normal(size=(rows, 40)))
    crowded = mappings()
    assert not runtime._crowded()
    monkeypatch.setattr(runtime, "ROOM", 0.0)
    program(np.eye(4))
    assert mappings() < crowded
    assert len(program._seen) == 1
    np.testing.assert_array_equal(np.asarray(program(np.eye(3))), expected)
