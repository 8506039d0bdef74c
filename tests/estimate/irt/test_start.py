"""Starting values and the complete-data information: near the truth, and what brute force says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from jmix.estimate.irt.information import complete_information, jacobian
from jmix.estimate.irt.sample import factors, take_sample
from jmix.estimate.irt.start import start_values
from jmix.items import kind_of
from jmix.responses.read import read_responses
from jmix.spec.irt.spec import full_vector, unpack

Make = Callable[..., tuple[Any, Any, Any]]
KINDS = ["2PL", "3PL", "graded", "gpcm", "nominal", "sequential", "rsm", "grsm", "PCM"]


def _proportions(spec: Any, x: Any, block: int) -> Any:
    """(J, K) probabilities of the categories, theta integrated out on a fine grid."""
    values = unpack(np, spec, x)
    z = np.linspace(-6, 6, 201)
    w = np.exp(-0.5 * z * z)
    eta = values.slopes[block][0] * (values.mean[0, 0] + values.chol[0, 0, 0] * z)
    own = spec.blocks[block]
    table = np.exp(kind_of(own.kind).log_table(np, eta, values.own[block][0], own.n_categories))
    return table @ (w / w.sum())


@pytest.mark.parametrize("itemtype", KINDS)
def test_starts_reproduce_the_proportions_of_the_categories(itemtype: str, make: Make, simulate: Any) -> None:
    categories = 2 if itemtype in ("2PL", "3PL") else 4
    data = simulate(2000, 6, seed=3, categories=categories)
    spec, read, _ = make(data, itemtype)
    x = start_values(spec, take_sample(read))
    assert np.all(np.isfinite(x))
    observed = np.stack([np.bincount(data[c], minlength=categories) / len(data) for c in data])
    shared = itemtype in ("rsm", "grsm", "3PL")
    rough = 0.25 if shared else 0.1 if itemtype == "sequential" else 0.03
    np.testing.assert_allclose(_proportions(spec, x, 0), observed, atol=rough)


def test_slopes_start_near_the_truth() -> None:
    rng = np.random.default_rng(4)
    a, d, theta = np.linspace(0.5, 2.0, 12), np.linspace(-1.5, 1.5, 12), rng.standard_normal(8000)
    table = (rng.random((8000, 12)) < expit(a * theta[:, None] + d)).astype(np.int8)
    from jmix.spec.irt.build import build_spec

    read = read_responses(table)
    spec, _ = build_spec(read, "2PL")
    start = dict(zip(spec.table.free_names, start_values(spec, take_sample(read)), strict=True))
    found = np.array([start[f"a1[{name}]"] for name in read.items])
    np.testing.assert_allclose(found, a, atol=0.25)


def test_sparse_lists_start_like_the_table(make: Make, simulate: Any) -> None:
    data = simulate(3000, 8, seed=5)
    _, read, _ = make(data, "2PL")
    long = data.assign(person=np.arange(len(data))).melt("person", var_name="item", value_name="y")
    listed = read_responses(long, person="person", item="item", response="y")
    from dataclasses import replace

    from jmix.responses.convert import to_long

    listed = replace(listed, table=None, long=to_long(listed.table)) if listed.long is None else listed
    one, two = take_sample(read), take_sample(listed)
    np.testing.assert_allclose(one.proportions, two.proportions, atol=1e-12)
    np.testing.assert_allclose(one.counts, two.counts)
    assert np.corrcoef(one.loadings, two.loadings)[0, 1] > 0.7
    np.testing.assert_allclose(one.loadings, two.loadings, atol=0.25)


def test_values_of_the_user_stay(make: Make, simulate: Any) -> None:
    data = simulate()
    spec, read, _ = make(data, "2PL", start={"d[i2]": 0.77})
    given = np.array([name == "d[i2]" for name in spec.table.names])
    x = start_values(spec, take_sample(read), given)
    assert x[spec.table.free_names.index("d[i2]")] == 0.77


def test_exploratory_starts_have_the_zeros_of_the_model(make: Make) -> None:
    rng = np.random.default_rng(6)
    loading = np.zeros((10, 3))
    loading[:4, 0], loading[4:7, 1], loading[7:, 2] = 1.5, 1.5, 1.5
    theta = rng.standard_normal((1500, 3))
    table = (rng.random((1500, 10)) < expit(theta @ loading.T)).astype(int)
    spec, read, _ = make(pd.DataFrame(table).add_prefix("x"), "2PL", model=3)
    sample = take_sample(read)
    x = start_values(spec, sample)
    slopes = unpack(np, spec, x).slopes[0][0]
    fixed = ~np.isin(spec.blocks[0].slopes[0], spec.table.free)
    assert fixed.sum() == 3 and np.all(slopes[fixed] == 0.0)
    # a rotation keeps the correlations that the factors imply
    loadings = factors(sample.correlations, 3)
    unit = slopes / 1.702
    unit = unit / np.sqrt(1 + np.sum(unit**2, axis=1, keepdims=True))
    off = ~np.eye(10, dtype=bool)
    assert np.corrcoef((unit @ unit.T)[off], (loadings @ loadings.T)[off])[0, 1] > 0.9


@pytest.mark.parametrize("itemtype", ["2PL", "graded", "gpcm", "3PL"])
def test_complete_information_is_that_of_a_regression_on_theta(itemtype: str, make: Make, simulate: Any) -> None:
    """Against differences of the expected log likelihood with theta known, integrated on a grid."""
    data = simulate(400, 3, seed=7, categories=2 if itemtype in ("2PL", "3PL") else 3)
    spec, read, _ = make(data, itemtype)
    x = start_values(spec, take_sample(read))
    found = complete_information(spec, x, take_sample(read), None)
    z = np.linspace(-6, 6, 121)
    w = np.exp(-0.5 * z * z)
    w /= w.sum()

    def tables(x: Any) -> Any:
        values = unpack(np, spec, x)
        eta = values.slopes[0][0] * z
        return kind_of(spec.blocks[0].kind).log_table(np, eta, values.own[0][0], spec.blocks[0].n_categories)

    p = np.exp(tables(x))
    s = np.stack([(tables(x + h) - tables(x - h)) / 2e-5 for h in 1e-5 * np.eye(x.size)])
    wanted = 400 * np.einsum("ajkq,bjkq,jkq,q->ab", s, s, p, w)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    # eleven nodes do for a scale of the search
    np.testing.assert_allclose(found / scale, wanted / scale, atol=0.03)


def test_information_of_two_factors_with_correlation(make: Make, simulate: Any) -> None:
    data = simulate(400, 6, seed=8)
    spec, read, _ = make(data, "2PL", model="F1 = 1-4\nF2 = 4-6\nCOV = F1*F2")
    x = start_values(spec, take_sample(read))
    x[spec.table.free_names.index("corr[F1,F2]")] = 0.4
    found = complete_information(spec, x, take_sample(read), None)
    rng = np.random.default_rng(1)
    theta = rng.standard_normal((200_000, 2)) @ np.linalg.cholesky(np.array([[1, 0.4], [0.4, 1.0]])).T
    values = unpack(np, spec, x)
    eta = theta @ values.slopes[0][0].T + values.own[0][0][:, 0]
    info = expit(eta) * expit(-eta)
    for j, block_row in enumerate(spec.blocks[0].slopes[0]):
        names = [spec.table.names[p] for p in block_row if p in spec.table.free]
        use = [k for k, p in enumerate(block_row) if p in spec.table.free]
        at = [spec.table.free_names.index(n) for n in names]
        wanted = 400 * np.einsum("n,na,nb->ab", info[:, j], theta[:, use], theta[:, use]) / len(theta)
        got = found[np.ix_(at, at)]
        np.testing.assert_allclose(got, wanted, rtol=0.05, atol=2.0)


def test_jacobian_of_an_affine_map(make: Make, simulate: Any) -> None:
    items = pd.DataFrame({"x": [0.0, 1.0, 2.0, 1.0, 0.5]}, index=[f"i{k}" for k in range(1, 6)])
    spec, _, _ = make(simulate(), "Rasch", item_data=items, item_formula="~ x")
    change = jacobian(spec)
    x = np.random.default_rng(1).standard_normal(spec.n_free)
    base = full_vector(np, spec, np.zeros(spec.n_free))
    np.testing.assert_allclose(base + change @ x, full_vector(np, spec, x), atol=1e-12)


def test_starts_lie_inside_the_priors(make: Make, simulate: Any) -> None:
    spec, read, _ = make(simulate(), "2PL", priors={"a": "uniform(0, 0.5)", "d": "lognormal(0, 1)"})
    x = start_values(spec, take_sample(read))
    slopes = np.array([name.startswith("a1") for name in spec.table.free_names])
    assert np.all((x[slopes] > 0) & (x[slopes] < 0.5)) and np.all(x[~slopes] > 0)
