"""Fits at given parameters: results follow from parameters and responses, however those were found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.status import Status
from jmix.likelihood.irt.build import build_marginal
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses
from jmix.responses.read import read_responses
from jmix.results.irt.fit import IrtFit
from jmix.results.irt.io import LazyMarginal
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.regression import side_of

READING = ("group", "weights", "cluster", "item_data", "person", "item", "response")
DONE = Status(True, False, 0.0, 0.0, 1.0, 1, 1, ())


@pytest.fixture(scope="session")
def fit_at() -> Callable[..., IrtFit]:
    """``fit_at(data, itemtype, x=None, se=False, nodes=61, **options)``: a fit at x, or at the starting values.

    Options are those of ``read_responses`` and of ``build_spec``; with ``se`` log likelihood and covariance are exact,
    else there is none.
    """

    def build(data: Any, itemtype: Any, x: Any = None, *, se: bool = False, nodes: int = 61, **options: Any) -> IrtFit:
        reading = {name: options.pop(name) for name in READING if name in options}
        if "persons" in options:
            reading["data"] = options.pop("persons")
        responses = data if isinstance(data, Responses) else read_responses(data, **reading)
        spec, W = build_spec(responses, itemtype, **options)
        values = spec.table.values[spec.table.free] if x is None else np.asarray(x, dtype=np.float64)
        integration = Integration(nodes=nodes)
        marginal = LazyMarginal(lambda: build_marginal(spec, responses, integration, W))
        vcov = np.linalg.inv(-marginal.hessian(values)) if se else None
        loglik = marginal.value_and_grad(values)[0] if se else -100.0
        solution = IrtSolution(spec, integration, values, loglik, 0.0, vcov, "hessian" if se else "none", DONE, 1e-7, 1)
        formula = options.get("formula")
        encodings = () if formula is None else (side_of(formula, responses).encoding,)
        return IrtFit(solution, responses, marginal, W, encodings)

    return build


@pytest.fixture(scope="session")
def mirt_fit(fit_at: Callable[..., IrtFit], reference: Any, shared_dir: Any) -> Callable[[str], tuple[IrtFit, Any]]:
    """``mirt_fit("LSAT7_2PL")``: a fit at mirt's own estimates, and mirt's results."""
    types = {"Rasch": "Rasch", "2PL": "2PL", "graded": "graded", "gpcm": "gpcm"}
    known: dict[str, tuple[IrtFit, Any]] = {}

    def build(name: str) -> tuple[IrtFit, Any]:
        if name not in known:
            mirt = reference("irt")["mirt_1.47"][name]
            file = "LSAT7" if name.startswith("LSAT7") else "mirt_Science"
            data = pd.read_csv(shared_dir / "data" / f"{file}.csv")[mirt["item_names"]]
            start: dict[Any, float] = {}
            for row in mirt["items"]:
                for own, value in row.items():
                    if own in ("a1", "d", "d1", "d2", "d3") and not (name.endswith("Rasch") and own == "a1"):
                        start[f"{own}[{row['_row']}]"] = value
            if name.endswith("Rasch"):
                start["sd[F1]"] = float(np.sqrt(mirt["cov"][0]["F1"]))
            known[name] = fit_at(data, types[name.split("_")[1]], start=start), mirt
        return known[name]

    return build


@pytest.fixture(scope="session")
def simulated() -> Callable[..., pd.DataFrame]:
    """``simulated(n, j, seed, categories, dimensions)``: graded responses, item k on factor k modulo dimensions."""

    def draw(n: int = 200, j: int = 6, seed: int = 1, categories: int = 2, dimensions: int = 1) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        theta = rng.standard_normal((n, dimensions))
        a = np.where(np.arange(j)[:, None] % dimensions == np.arange(dimensions), rng.uniform(0.8, 1.8, (j, 1)), 0.0)
        cuts = np.sort(rng.normal(0, 1.2, (j, categories - 1)), axis=1)
        latent = theta @ a.T + rng.logistic(size=(n, j))
        return pd.DataFrame((latent[:, :, None] > cuts).sum(axis=2), columns=[f"i{k + 1}" for k in range(j)])

    return draw
