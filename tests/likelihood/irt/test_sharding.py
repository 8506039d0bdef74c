"""Eight devices give what one gives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np, jax
from jmix.likelihood.irt.grid_build import build_grid
from jmix.likelihood.irt.marginal import Integration
from tests.likelihood.irt.textbook import Case

assert len(jax.devices()) == 8
case = Case([("logistic", 2, 3), ("graded", 3, 2)], n=203, groups=2, weights=True, missing=0.1, covariates=1)
grid = Integration(nodes=21, chunk=8)
one, all_ = (build_grid(case.spec, case.responses, grid, case.W, collapse=False, devices=n) for n in (1, 8))
assert len(all_.data.rows.x.sharding.device_set) == 8
for a, b in zip(all_.value_and_grad(case.x), one.value_and_grad(case.x)):
    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-9)
np.testing.assert_allclose(all_.by_person(case.x), one.by_person(case.x), rtol=1e-12)
np.testing.assert_allclose(all_.moments(case.x).mean, one.moments(case.x).mean, rtol=1e-10, atol=1e-12)
print("equal")
"""

HESSIAN = """
np.testing.assert_allclose(all_.hessian(case.x), one.hessian(case.x), rtol=1e-9, atol=1e-8)
np.testing.assert_allclose(all_.cross_product(case.x), one.cross_product(case.x), rtol=1e-9, atol=1e-8)
"""


@pytest.mark.parametrize("more", ["", pytest.param(HESSIAN, marks=pytest.mark.slow)])
def test_eight_devices_equal_one(more: str) -> None:
    root = os.path.dirname(os.path.abspath(__file__)).rsplit("tests", 1)[0]
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + more],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip() == "equal", done.stderr[-3000:]
