"""Marginal likelihoods of item models against a program that shares no code with jmix: `exact_irt.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix

SPEC = importlib.util.spec_from_file_location("exact_irt", Path(__file__).with_name("exact_irt.py"))
assert SPEC is not None and SPEC.loader is not None
exact = importlib.util.module_from_spec(SPEC)
sys.modules["exact_irt"] = exact
SPEC.loader.exec_module(exact)

N = 240
KINDS = {
    "A": "2PL", "B": "3PL", "C": "4PL", "D": "graded", "E": "gpcm", "F": "nominal", "G": "sequential",
}  # fmt: skip
CATEGORIES = {"A": 2, "B": 2, "C": 2, "D": 3, "E": 3, "F": 4, "G": 3}
NAME = {"2PL": "2PL", "3PL": "4PL", "4PL": "4PL"}


def expit(value: float) -> float:
    return float(1.0 / (1.0 + np.exp(-value)))


@pytest.fixture(scope="module")
def responses() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    theta = rng.normal(size=(N, 1))
    columns = {}
    for name, k in CATEGORIES.items():
        cuts = np.sort(rng.normal(0, 1, k - 1))
        columns[name] = np.sum(theta + rng.logistic(size=(N, 1)) > cuts, axis=1)
    frame = pd.DataFrame(columns).astype(float)
    return frame.mask(rng.uniform(size=frame.shape) < 0.1)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    return pd.DataFrame(
        {
            "age": rng.normal(size=N),
            "sex": rng.choice(["f", "m"], N),
            "school": rng.integers(0, 12, N),
            "w": rng.uniform(0.5, 2.0, N),
        }
    )


def values(model: Any, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """A random point near the start, and the same by name."""
    rng = np.random.default_rng(seed)
    x = model.start() + 0.2 * rng.normal(size=len(model.names))
    return x, dict(zip(model.names, x, strict=True))


def item(name: str, kind: str, v: dict[str, float], factors: int = 1) -> Any:
    """One item of the exact program, from jmix's names."""
    own = {key.split("[")[0]: value for key, value in v.items() if key.endswith(f"[{name}]")}
    a = [own.get(f"a{f + 1}", 0.0) for f in range(factors)]
    if "d" in own:
        c, u = expit(own.get("logit(c)", -np.inf)), expit(own.get("logit(u)", np.inf))
        return exact.Item("4PL", a, [own["d"]], c, u)
    d = [own[f"d{k}"] for k in range(1, CATEGORIES[name])]
    ak = (
        [0.0, *(own[f"ak{k}"] for k in range(1, CATEGORIES[name] - 1)), CATEGORIES[name] - 1.0]
        if "ak1" in own
        else None
    )
    return exact.Item(kind, a, d, ak=ak)


def codes(frame: pd.DataFrame) -> np.ndarray:
    return frame.fillna(-1).to_numpy().astype(int)


def close(model: Any, x: np.ndarray, wanted: float) -> None:
    assert model.log_marginal(x) == pytest.approx(wanted, rel=1e-9)


def test_mixed_types_and_missing(responses: pd.DataFrame) -> None:
    model = jmix.irt_model(responses, itemtype=KINDS, nodes=121, integration={"nodes": 121, "limit": 8.0})
    x, v = values(model, 1)
    items = [item(name, KINDS[name], v) for name in responses]
    close(model, x, exact.log_likelihoods(items, codes(responses), nodes=121).sum())


def test_groups_regression_and_weights(responses: pd.DataFrame, people: pd.DataFrame) -> None:
    model = jmix.irt_model(
        responses, itemtype=KINDS, group=people["sex"], data=people, formula="~ age", weights=people["w"],
        integration={"nodes": 161, "limit": 8.0},
    )  # fmt: skip
    x, v = values(model, 2)
    items = [item(name, KINDS[name], v) for name in responses]
    rows, total = codes(responses), 0.0
    for i in range(N):
        second = people["sex"][i] == "m"
        mean = (v["mean[F1|m]"] if second else 0.0) + v["beta[F1:age]"] * people["age"][i]
        sd = v["sd[F1|m]"] if second else 1.0
        total += people["w"][i] * exact.log_likelihoods(items, rows[[i]], mean, sd**2, nodes=121)[0]
    close(model, x, total)


def test_clusters(responses: pd.DataFrame, people: pd.DataFrame) -> None:
    two = responses[["A", "D", "E"]]
    model = jmix.irt_model(
        two, itemtype={k: KINDS[k] for k in two}, cluster=people["school"], integration={"nodes": 161, "limit": 8.0}
    )
    x, v = values(model, 3)
    items = [item(name, KINDS[name], v) for name in two]
    schools = np.unique(people["school"], return_inverse=True)[1]
    close(model, x, exact.clustered(items, codes(two), schools, 1.0, abs(v["cluster_sd[F1]"])))


def test_two_correlated_factors(responses: pd.DataFrame) -> None:
    text = "F1 = 1-4\nF2 = 4-7\nCOV = F1*F2"
    model = jmix.irt_model(responses, itemtype=KINDS, model=text, integration={"nodes": 61, "limit": 8.0})
    x, v = values(model, 4)
    r = float(np.tanh(v["corr[F1,F2]"]))
    x[list(model.names).index("corr[F1,F2]")] = r
    items = [item(name, KINDS[name], v, 2) for name in responses]
    close(model, x, exact.log_likelihoods(items, codes(responses), [0, 0], [[1, r], [r, 1]], nodes=81).sum())


def test_bifactor(responses: pd.DataFrame) -> None:
    specific = [0, 0, 0, 1, 1, 1, 1]
    model = jmix.irt_model(responses, itemtype=KINDS, bifactor=specific, integration={"nodes": 61, "limit": 8.0})
    x, v = values(model, 5)
    items = [item(name, KINDS[name], v, 3) for name in responses]
    z, weight = exact.grid(0.0, 1.0, nodes=61)
    rows, total = codes(responses), np.zeros(N)
    for g, w in zip(z[:, 0], weight, strict=True):
        inner = np.ones(N)
        for s in (0, 1):
            theta = np.zeros((z.shape[0], 3))
            theta[:, 0], theta[:, 1 + s] = g, z[:, 0]
            mine = [j for j, own in enumerate(specific) if own == s]
            inner *= exact.given_theta([items[j] for j in mine], rows[:, mine], theta) @ weight
        total += w * inner
    close(model, x, np.log(total).sum())


def test_item_covariates_and_sparse_long(responses: pd.DataFrame) -> None:
    binary = responses[["A", "B", "C"]]
    about = pd.DataFrame({"position": [1.0, 2.0, 3.5], "kind": ["u", "v", "u"]}, index=list(binary))
    long = binary.rename_axis("person").reset_index().melt("person", var_name="item", value_name="y").dropna()
    options: dict[str, Any] = {
        "item_data": about,
        "item_formula": "~ position",
        "integration": {"nodes": 121, "limit": 8.0},
    }
    wide = jmix.irt_model(binary, itemtype="2PL", **options)
    model = jmix.irt_model(
        long, itemtype="2PL", person="person", item="item", response="y", items=list(binary), **options
    )
    x, v = values(wide, 6)
    items = [
        exact.Item("2PL", [v[f"a1[{name}]"]], [v["beta[d:(Intercept)]"] + v["beta[d:position]"] * at])
        for name, at in about["position"].items()
    ]
    wanted = exact.log_likelihoods(items, codes(binary), nodes=121).sum()
    close(wide, x, wanted)
    close(model, x, wanted)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(None, id="grid"),
        pytest.param({"method": "adaptive", "nodes": 31}, id="adaptive", marks=pytest.mark.slow),
    ],
)
def test_estimates_are_the_maximum(responses: pd.DataFrame, how: Any) -> None:
    """The gradient of the exact likelihood vanishes at jmix's estimates; its Hessian gives jmix's standard errors."""
    few = responses[["A", "D", "E"]]
    fit = jmix.irt(few, itemtype={k: KINDS[k] for k in few}, integration=how)
    names, rows = fit.solution.spec.table.free_names, codes(few)

    def likelihood(x: np.ndarray) -> float:
        v = dict(zip(names, x, strict=True))
        return exact.log_likelihoods([item(name, KINDS[name], v) for name in few], rows).sum()

    assert fit.loglik == pytest.approx(likelihood(fit.solution.x), abs=1e-6)
    curvature = exact.hessian(likelihood, fit.solution.x)
    step = np.linalg.solve(curvature, exact.gradient(likelihood, fit.solution.x))
    errors = np.sqrt(np.diag(np.linalg.inv(-curvature)))
    assert np.max(np.abs(step) / errors) < 1e-4
    np.testing.assert_allclose(np.sqrt(np.diag(fit.solution.vcov)), errors, rtol=1e-4)
