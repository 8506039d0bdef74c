"""Conditional maximum likelihood against enumeration of all response patterns, eRm and psychotools."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from jmix.errors import DataError, ModelError
from jmix.estimate.irt.cml import ConditionalLikelihood, fit_conditional
from jmix.estimate.irt.cml_data import cml_data
from jmix.estimate.irt.cml_design import free_design, linear_design, rating_design, threshold_contrast
from jmix.estimate.irt.symmetric import NEVER, expected_totals, information, symmetric
from jmix.responses import MISSING, Responses, read_responses
from jmix.responses.convert import to_long

HERE = Path(__file__).parent


def enumerate_patterns(c: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(patterns, weights) of items with log easiness c_j = (0, c_j1, ...)."""
    patterns = np.array(list(itertools.product(*(range(len(own)) for own in c))))
    log_weight = sum(own[patterns[:, j]] for j, own in enumerate(c))
    return patterns, np.exp(log_weight)


def padded(c: list[np.ndarray]) -> np.ndarray:
    k = max(len(own) for own in c) - 1
    out = np.full((len(c), 1, k), NEVER)
    for j, own in enumerate(c):
        out[j, 0, : len(own) - 1] = own[1:]
    return out


ITEMS = st.lists(
    st.lists(st.floats(-4, 4), min_size=1, max_size=3).map(lambda own: np.array([0.0, *own])), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(ITEMS)
def test_symmetric_functions_and_moments_by_enumeration(c: list[np.ndarray]) -> None:
    patterns, weight = enumerate_patterns(c)
    score = patterns.sum(axis=1)
    top = int(score.max())
    found = symmetric(padded(c), top + 1)
    gamma = np.bincount(score, weights=weight)
    np.testing.assert_allclose(found.log_gamma[0], np.log(gamma), rtol=1e-12, atol=1e-12)

    counts = np.arange(1.0, top + 2.0)[None]
    share = counts[0, score] * weight / gamma[score]
    steps = max(len(own) for own in c) - 1
    dummy = (patterns[:, :, None] == np.arange(1, steps + 1)).reshape(len(patterns), -1).astype(float)
    totals = expected_totals(found.shares, counts)[:, 0].ravel()
    np.testing.assert_allclose(totals, share @ dummy, rtol=1e-11, atol=1e-12)
    expected = dummy.T @ (share[:, None] * dummy)
    for r in range(top + 1):
        mean = (weight * (score == r)) @ dummy / gamma[r]
        expected -= counts[0, r] * np.outer(mean, mean)
    np.testing.assert_allclose(information(found.shares, counts)[0], expected, rtol=1e-10, atol=1e-11)


def test_symmetric_functions_of_equal_items_are_binomial_coefficients() -> None:
    from scipy.special import gammaln

    j = 2000
    c = np.full((j, 1, 1), 0.7)
    r = np.arange(j + 1)
    exact = gammaln(j + 1) - gammaln(r + 1) - gammaln(j - r + 1) + 0.7 * r
    np.testing.assert_allclose(symmetric(c, j + 1).log_gamma[0], exact, rtol=1e-12, atol=1e-9)


def test_extreme_items_do_not_cancel() -> None:
    """A difference algorithm loses all digits here; the shares of a score stay probabilities."""
    c = np.concatenate([np.full(30, 12.0), np.full(30, -12.0), [0.0]])[:, None, None]
    found = symmetric(c, 62)
    counts = np.ones((1, 62))
    totals = expected_totals(found.shares, counts)
    assert np.all(totals >= 0) and totals.sum() == pytest.approx(np.arange(62).sum(), rel=1e-12)
    eigen = np.linalg.eigvalsh(information(found.shares, counts)[0])
    assert eigen.min() > -1e-12


def simulate(n: int, top: list[int], seed: int, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=n)
    out = np.empty((n, len(top)), dtype=np.int8)
    for j, k in enumerate(top):
        logits = np.concatenate([np.zeros((n, 1)), np.cumsum(theta[:, None] - rng.normal(size=k), axis=1)], axis=1)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        out[:, j] = (rng.random(n)[:, None] > (p / p.sum(axis=1, keepdims=True)).cumsum(axis=1)).sum(axis=1)
    return np.where(rng.random(out.shape) < missing, MISSING, out).astype(np.int8)


def brute_log_likelihood(c: np.ndarray, table: np.ndarray, owner: np.ndarray, weight: np.ndarray) -> float:
    """Sum over persons of the log probability of their responses given the score, all patterns enumerated."""
    own = [np.concatenate([[0.0], c[owner == j]]) for j in range(table.shape[1])]
    total = 0.0
    for row, w in zip(table, weight, strict=True):
        items = np.flatnonzero(row >= 0)
        if items.size == 0:
            continue
        patterns, weights = enumerate_patterns([own[j] for j in items])
        same = patterns.sum(axis=1) == row[items].sum()
        total += w * (sum(own[j][row[j]] for j in items) - np.log(weights[same].sum()))
    return float(total)


@pytest.mark.parametrize("top", [[1, 1, 1, 1], [2, 1, 3, 2]])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_likelihood_and_derivatives_by_enumeration(top: list[int], missing: float) -> None:
    table = simulate(60, top, 1, missing)
    weight = np.random.default_rng(0).random(60) + 0.5
    data = cml_data(read_responses(table, weights=weight))
    design = free_design(data.items, data.owner, data.step)
    likelihood = ConditionalLikelihood(data, design)
    eta = np.random.default_rng(2).normal(size=len(design.names))

    def brute(x: np.ndarray) -> float:
        return brute_log_likelihood(design.matrix @ x, table, data.owner, weight)

    value, grad = likelihood.value_and_grad(eta)
    assert value == pytest.approx(brute(eta), rel=1e-12)
    step = 1e-5
    numeric = [(brute(eta + step * e) - brute(eta - step * e)) / (2 * step) for e in np.eye(eta.size)]
    np.testing.assert_allclose(grad, numeric, rtol=1e-6, atol=1e-7)
    second = [
        (likelihood.value_and_grad(eta + step * e)[1] - likelihood.value_and_grad(eta - step * e)[1]) / (2 * step)
        for e in np.eye(eta.size)
    ]
    np.testing.assert_allclose(likelihood.hessian(eta), second, rtol=1e-6, atol=1e-6)


def test_the_maximum_by_another_optimiser() -> None:
    table = simulate(150, [1, 2, 2, 1], 4, 0.2)
    data = cml_data(read_responses(table))
    design = free_design(data.items, data.owner, data.step)
    found = fit_conditional(data, design)
    likelihood = ConditionalLikelihood(data, design)
    many = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-9, "fatol": 1e-12, "adaptive": True}
    start = np.zeros(found.eta.size)
    other = minimize(lambda x: -likelihood.value_and_grad(x)[0], start, method="Nelder-Mead", options=many)
    assert found.converged and found.loglik >= -other.fun - 1e-10
    np.testing.assert_allclose(found.eta, other.x, atol=1e-5)


def test_weights_equal_repeated_rows_and_a_list_equals_the_table() -> None:
    from dataclasses import replace

    table = simulate(80, [1, 1, 2, 1], 5, 0.25)
    weight = np.random.default_rng(1).integers(1, 4, 80)
    weighted, repeated = read_responses(table, weights=weight), read_responses(np.repeat(table, weight, axis=0))
    sparse = replace(weighted, table=None, long=to_long(table))
    fits = []
    for read in (weighted, repeated, sparse):
        data = cml_data(read)
        fits.append(fit_conditional(data, free_design(data.items, data.owner, data.step)))
    for other in fits[1:]:
        assert other.loglik == pytest.approx(fits[0].loglik, rel=1e-12)
        np.testing.assert_allclose(other.eta, fits[0].eta, atol=1e-9)
        np.testing.assert_allclose(other.hessian, fits[0].hessian, rtol=1e-8, atol=1e-8)


def test_sets_of_items_in_steps_equal_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from jmix.estimate.irt import cml

    data = cml_data(read_responses(simulate(300, [1] * 7, 6, 0.3)))
    design = free_design(data.items, data.owner, data.step)
    whole = fit_conditional(data, design)
    monkeypatch.setattr(cml, "MEMORY", 200)
    parts = fit_conditional(data, design)
    np.testing.assert_allclose(parts.eta, whole.eta, atol=1e-10)
    np.testing.assert_allclose(parts.hessian, whole.hessian, rtol=1e-9)


def test_a_long_test_by_way_of_the_approximate_information(monkeypatch: pytest.MonkeyPatch) -> None:
    from jmix.estimate.irt import cml

    data = cml_data(read_responses(simulate(400, [1, 2] * 15, 7, 0.05)))
    design = free_design(data.items, data.owner, data.step)
    exact = fit_conditional(data, design)
    monkeypatch.setattr(cml, "DEAR", 0.0)
    found = fit_conditional(data, design)
    assert found.converged and found.n_hessians <= 2
    np.testing.assert_allclose(found.eta, exact.eta, atol=1e-8)
    np.testing.assert_allclose(found.vcov, exact.vcov, rtol=1e-6, atol=1e-12)


def test_rating_scale_and_linear_designs_nest() -> None:
    table = simulate(400, [2, 2, 2, 2, 2], 8)
    data = cml_data(read_responses(table))
    free = fit_conditional(data, free_design(data.items, data.owner, data.step))
    rating_scale = rating_design(data.items, data.owner, data.step)
    rating = fit_conditional(data, rating_scale)
    assert rating.loglik < free.loglik and rating.eta.size == 5
    # a saturated linear model of the items is the rating scale model again
    linear = linear_design(data.owner, data.step, np.eye(5)[:, 1:], list("bcde"), rating_scale)
    again = fit_conditional(data, linear)
    assert again.loglik == pytest.approx(rating.loglik, rel=1e-12)
    assert linear.names == ("b", "c", "d", "e", "tau2")


@pytest.mark.parametrize(
    ("matrix", "names", "message"),
    [
        (np.array([[1.0, 2], [1, 2], [2, 4], [2, 4]]), ["x", "twice"], "'twice' is not identified"),
        (np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), ["one", "other"], "'other' is not identified"),
        (np.ones((4, 1)), ["(Intercept)"], "no property"),
        (np.ones((3, 1)), ["x"], "a row for each of the 4 items"),
        (np.array([[1.0], [np.nan], [2], [3]]), ["x"], "missing or infinite"),
    ],
)
def test_designs_that_are_not_identified(matrix: np.ndarray, names: list[str], message: str) -> None:
    owner, step = np.arange(4, dtype=np.int32), np.ones(4, dtype=np.int32)
    with pytest.raises(ModelError, match=message):
        linear_design(owner, step, matrix, names)


def test_estimates_that_do_not_exist() -> None:
    table = simulate(100, [1] * 5, 9)
    solved_by_all_informative = table.copy()
    score = table[:, 1:].sum(axis=1)
    solved_by_all_informative[:, 0] = score > 0
    with pytest.raises(DataError, match=r"Item\.1"):
        cml_data(read_responses(solved_by_all_informative))
    split = np.full((40, 4), MISSING, dtype=np.int8)
    split[:20, :2], split[20:, 2:] = simulate(20, [1, 1], 1), simulate(20, [1, 1], 2)
    with pytest.raises(DataError, match="link"):
        cml_data(read_responses(split))


def test_a_category_that_only_extreme_persons_chose() -> None:
    table = simulate(200, [1, 1, 1], 3)
    extra = np.full((200, 1), 1, dtype=np.int8)
    extra[::2] = 0
    both = np.hstack([table, extra])
    both[(table == 1).all(axis=1), 3] = 2
    with pytest.raises(DataError, match=r"category 2 of item 'Item\.4'"):
        cml_data(read_responses(both))


def test_a_lowest_category_that_only_the_lowest_chose() -> None:
    x = np.random.default_rng(0).integers(0, 3, (100, 3))
    x[:, 0] = np.where((x[:, 1] + x[:, 2]) > 0, np.maximum(x[:, 0], 1), 0)
    with pytest.raises(DataError, match=r"category 0 of item 'Item\.1' was chosen only by persons with the lowest"):
        cml_data(read_responses(x))
    with pytest.raises(DataError, match="two or more"):
        cml_data(read_responses(x[:, :1]))


@settings(max_examples=200, deadline=None)
@given(arrays(np.int8, st.tuples(st.integers(3, 25), st.integers(2, 4)), elements=st.integers(-1, 2)))
def test_any_small_table_is_refused_or_has_a_finite_maximum(table: np.ndarray) -> None:
    from jmix.responses import check_responses

    try:
        read = read_responses(table)
        check_responses(read)
        data = cml_data(read)
        design = free_design(data.items, data.owner, data.step)
        found = fit_conditional(data, design)
    except DataError as error:
        assert "nan" not in str(error).lower()
        return
    assert found.converged and np.all(np.isfinite(found.vcov))
    assert np.sqrt(np.diag(found.vcov)).max() < 3000.0
    value, grad = ConditionalLikelihood(data, design).value_and_grad(found.eta)
    assert value <= 1e-12 and np.abs(grad).max() < 1e-5
    step = np.random.default_rng(0).normal(size=(5, found.eta.size))
    for direction in step:
        assert ConditionalLikelihood(data, design).value_and_grad(found.eta + 0.05 * direction)[0] <= value + 1e-10


def vocabulary(shared_dir: Path) -> Responses:
    data = pd.read_csv(shared_dir / "data" / "gss2004_vocab.csv")
    return read_responses(data, items=[name for name in data if name.startswith("word")])


def test_vocabulary_agrees_with_the_reference(shared_dir: Path, reference: Callable[[str], Any]) -> None:
    """eRm; its own search stops 1e-5 short of the maximum, within the contract's 1e-4."""
    expected = reference("irt")["cml_vocabulary_10words"]
    data = cml_data(vocabulary(shared_dir))
    design = free_design(data.items, data.owner, data.step)
    found = fit_conditional(data, design)
    assert found.loglik == pytest.approx(expected["cond_logLik"], abs=1e-6)
    assert found.loglik >= expected["cond_logLik"]
    own = threshold_contrast(data.owner) @ design.matrix
    np.testing.assert_allclose(-own @ found.eta, list(expected["beta"].values()), atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(own @ found.vcov @ own.T)), expected["beta_se"], atol=3e-5)


@pytest.mark.r
def test_live_erm_and_psychotools(rscript: str, shared_dir: Path, tmp_path: Path) -> None:
    missing = simulate(250, [1] * 6, 11, 0.2)
    rated = simulate(250, [3] * 4, 12)
    for name, table in (("missing", missing), ("rated", rated)):
        pd.DataFrame(table).replace(MISSING, np.nan).to_csv(tmp_path / f"{name}.csv", index=False)
    out = tmp_path / "out.json"
    done = subprocess.run([rscript, str(HERE / "cml.R"), str(shared_dir / "data"), str(tmp_path), str(out)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode == 3:
        pytest.skip("eRm, psychotools or jsonlite is not installed")
    assert done.returncode == 0, done.stderr
    theirs = json.loads(out.read_text())
    science = read_responses(pd.read_csv(shared_dir / "data" / "mirt_Science.csv"))
    for name, read, build in (
        ("rasch_vocabulary", vocabulary(shared_dir), free_design),
        ("pcm_science", science, free_design),
        ("pcm_rated", read_responses(rated), free_design),
        ("rsm_rated", read_responses(rated), rating_design),
        ("rasch_missing", read_responses(missing), free_design),
    ):
        data = cml_data(read)
        design = build(data.items, data.owner, data.step)
        found = fit_conditional(data, design)
        own = threshold_contrast(data.owner) @ design.matrix
        assert found.loglik == pytest.approx(theirs[name]["loglik"], abs=2e-5), name
        np.testing.assert_allclose(own @ found.eta, theirs[name]["threshold"], atol=1e-4, err_msg=name)
        if "se" in theirs[name]:
            se = np.sqrt(np.diag(own @ found.vcov @ own.T))
            np.testing.assert_allclose(se, theirs[name]["se"], atol=1e-4, err_msg=name)
    properties = np.column_stack([np.arange(10.0), (np.arange(10) % 3 == 0).astype(float)])
    data = cml_data(vocabulary(shared_dir))
    lltm = fit_conditional(data, linear_design(data.owner, data.step, properties, ["x", "z"]))
    assert lltm.loglik == pytest.approx(theirs["lltm"]["loglik"], abs=2e-5)
    np.testing.assert_allclose(lltm.eta, theirs["lltm"]["eta"], atol=1e-4)
    np.testing.assert_allclose(np.sqrt(np.diag(lltm.vcov)), theirs["lltm"]["se"], atol=1e-4)
