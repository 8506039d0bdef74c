"""Small simulated tests, shared by the files of this folder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.responses.read import read_responses
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.spec import IrtSpec


def simulated(n: int = 300, j: int = 5, seed: int = 1, categories: int = 2) -> pd.DataFrame:
    """Graded responses of n persons to j items."""
    rng = np.random.default_rng(seed)
    theta, a = rng.standard_normal(n), rng.uniform(0.8, 1.8, j)
    cuts = np.sort(rng.normal(0, 1.2, (j, categories - 1)), axis=1)
    latent = a * theta[:, None] + rng.logistic(size=(n, j))
    codes = (latent[:, :, None] > cuts).sum(axis=2)
    return pd.DataFrame(codes, columns=[f"i{k + 1}" for k in range(j)])


@pytest.fixture(scope="session")
def simulate() -> Callable[..., pd.DataFrame]:
    """``simulate(n, j, seed, categories)``."""
    return simulated


@pytest.fixture(scope="session")
def brute() -> Any:
    """The class ``Brute`` of the file beside."""
    found = importlib.util.spec_from_file_location("irt_brute", Path(__file__).parent / "brute.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["irt_brute"] = module
    found.loader.exec_module(module)
    return module.Brute


@pytest.fixture(scope="session")
def make() -> Callable[..., tuple[IrtSpec, Any, Any]]:
    """``make(table, itemtype, group=..., **options)``: specification, responses and W."""

    def build(table: pd.DataFrame, itemtype: str, **options: Any) -> tuple[IrtSpec, Any, Any]:
        reading = {k: options.pop(k) for k in ("group", "weights", "data", "item_data") if k in options}
        read = read_responses(table, **reading)
        spec, W = build_spec(read, itemtype, **options)
        return spec, read, W

    return build
