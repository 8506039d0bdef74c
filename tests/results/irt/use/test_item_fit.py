"""Item and person fit against mirt 1.47 and against sums over all response patterns."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from jmix.errors import DataError, ModelError
from jmix.results.irt.itemfit import item_fit
from jmix.results.irt.latent_grid import normal_grid
from jmix.results.irt.observed import observed
from jmix.results.irt.personfit import person_fit
from jmix.results.irt.q1 import binned, q1
from jmix.results.irt.s_x2 import ScoreTable, merge_cells, score_tables
from jmix.results.irt.tables_at import item_parameters, latent_free

CASES = ["LSAT7_Rasch", "LSAT7_2PL", "Science_graded", "Science_gpcm"]
SQUARES = {"Zh": "Zh", "outfit": "outfit", "z_outfit": "z.outfit", "infit": "infit", "z_infit": "z.infit"}


def fitted(case, statistics):
    return item_fit(
        case.bank, case.responses, case.theta, case.grid,
        n_parameters=item_parameters(case.spec), n_latent=int(latent_free(case.spec).sum()), statistics=statistics,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_mean_squares_and_zh_equal_mirt(mirt_case, name):
    case = mirt_case(name)
    np.testing.assert_allclose(
        case.theta[: len(case.mirt["EAP_first"]), 0], np.array(case.mirt["EAP_first"])[:, 0], atol=1e-6
    )
    found, want = fitted(case, ["infit", "Zh"]), pd.DataFrame(case.mirt["itemfit"])
    for ours, theirs in SQUARES.items():
        np.testing.assert_allclose(found[ours], want[theirs], atol=1e-5)
    persons, first = person_fit(case.bank, case.responses, case.theta), pd.DataFrame(case.mirt["personfit_first"])
    for ours, theirs in SQUARES.items():
        np.testing.assert_allclose(persons[ours].iloc[: len(first)], first[theirs], atol=1e-5)


@pytest.mark.parametrize("name", ["LSAT7_2PL", "Science_graded", "Science_gpcm"])
def test_x2_equals_mirt(mirt_case, name):
    # Not for the Rasch model: persons of one sum score have the same EAP, and mirt assigns them to its ten bins in the
    # order of rounding errors. Ours shares them out; see the test below.
    case = mirt_case(name)
    found, want = fitted(case, "X2"), pd.DataFrame(case.mirt["itemfit"])
    np.testing.assert_allclose(found["X2"], want["X2"], rtol=1e-6)
    np.testing.assert_array_equal(found["df_X2"], want["df.X2"])
    np.testing.assert_allclose(found["RMSEA_X2"], want["RMSEA.X2"], atol=1e-7)
    np.testing.assert_allclose(found["p_X2"], want["p.X2"], rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_s_x2_equals_mirt(mirt_case, name):
    case = mirt_case(name)
    found, want = fitted(case, "S_X2"), pd.DataFrame(case.mirt["itemfit"])
    same = np.ones(len(want), dtype=bool)
    if name == "Science_graded":  # see test_mirt_adds_categories_that_do_not_belong_together
        same[:2] = False
    np.testing.assert_allclose(found["S_X2"][same], want["S_X2"][same], rtol=1e-6)
    np.testing.assert_array_equal(found["df_S_X2"][same], want["df.S_X2"][same])
    np.testing.assert_allclose(found["p_S_X2"][same], want["p.S_X2"][same], atol=1e-6)
    np.testing.assert_allclose(found["RMSEA_S_X2"][same], want["RMSEA.S_X2"][same], atol=1e-7)


def test_mirt_adds_categories_that_do_not_belong_together(mirt_case):
    """Where mirt merges categories within two scores and then the scores, it adds the cells by their place after the
    first merging: the third category of one score to the fourth of the other. Done so, its numbers come out; ours keeps
    categories apart, and has one more degree of freedom for the first item.
    """
    case = mirt_case("Science_graded")
    want = pd.DataFrame(case.mirt["itemfit"])
    table = score_tables(case.bank, observed(case.responses), case.grid)
    for j in range(2):
        statistic, cells = _packed(table[j])
        np.testing.assert_allclose(statistic, want["S_X2"][j], rtol=1e-6)
        assert cells - 4 == want["df.S_X2"][j]
    ours = [merge_cells(t) for t in table[:2]]
    assert [m.cells for m in ours] == [11, 14]
    assert all(min(e.min() for e in m.expected) >= 1 for m in ours)


def _packed(table):
    rows = []
    whole = [(o, e) for o, e in zip(table.observed, table.expected, strict=True)]
    first = next(i for i, (_, e) in enumerate(whole) if (e > 0).all())
    last = max(i for i, (_, e) in enumerate(whole) if (e > 0).all())
    whole = [
        tuple(sum(r[k] for r in whole[: first + 1]) for k in range(2)),
        *whole[first + 1 : last],
        tuple(sum(r[k] for r in whole[last:]) for k in range(2)),
    ]
    for o, e in whole:
        o, e = list(o), list(e)
        while len(e) > 2 and min(e) < 1:
            at = max(i for i, v in enumerate(e) if v == min(e))
            to = min((i for i in (at - 1, at + 1) if 0 <= i < len(e)), key=lambda i: e[i])
            o[to] += o[at]
            e[to] += e[at]
            del o[at], e[at]
        rows.append((np.pad(o, (0, 4 - len(o))), np.pad(e, (0, 4 - len(e)))))
    while weak := [i for i, (_, e) in enumerate(rows) if ((e > 0) & (e < 1)).any()]:
        i = weak[0]
        to = min((k for k in (i - 1, i + 1) if 0 <= k < len(rows)), key=lambda k: rows[k][0].sum())
        rows[to] = (rows[to][0] + rows[i][0], rows[to][1] + rows[i][1])
        del rows[i]
    o, e = (np.array([r[k] for r in rows]) for k in range(2))
    some = e > 0
    return ((o[some] - e[some]) ** 2 / e[some]).sum(), some.sum() - len(rows)


def test_expected_responses_by_score_equal_the_sum_over_all_patterns(mirt_case):
    case = mirt_case("Science_graded")
    data = observed(case.responses)
    p = case.bank.probabilities(case.grid.theta)
    for j, table in enumerate(score_tables(case.bank, data, case.grid)):
        joint = np.zeros((13, 4))
        for pattern in itertools.product(range(4), repeat=4):
            mass = np.prod([p[i, k] for i, k in enumerate(pattern)], axis=0) @ case.grid.weights
            joint[sum(pattern), pattern[j]] += mass
        np.testing.assert_array_equal(table.score, np.arange(1, 12))
        share = joint[table.score] / joint[table.score].sum(axis=1, keepdims=True)
        n = np.bincount(data.table.sum(axis=1), minlength=13)[table.score]
        np.testing.assert_allclose(table.expected, share * n[:, None], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(table.observed.sum(axis=1), n)


def test_merging_keeps_every_person():
    rng = np.random.default_rng(3)
    for _ in range(50):
        e = rng.gamma(0.7, 1.5, size=(rng.integers(2, 9), rng.integers(2, 5)))
        o = rng.poisson(e).astype(float)
        merged = merge_cells(ScoreTable(np.arange(len(e)), o, e))
        kept = o.sum(axis=1) > 0
        np.testing.assert_allclose(sum(x.sum() for x in merged.observed), o.sum())
        np.testing.assert_allclose(sum(x.sum() for x in merged.expected), e[kept].sum())
        if len(merged.expected) > 1:
            assert min(x.min() for x in merged.expected) >= 1


def test_weights_equal_repeated_rows(mirt_case):
    case = mirt_case("LSAT7_2PL")
    table, count = np.unique(case.responses.table, axis=0, return_counts=True)
    weighted = _with(case, table, weights=count.astype(float))
    repeated = _with(case, np.repeat(table, count, axis=0))
    for one, two in zip(*(_all(case, r) for r in (weighted, repeated)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)


def test_the_order_of_the_rows_does_not_matter_where_estimates_are_tied(mirt_case):
    case = mirt_case("LSAT7_Rasch")
    data, order = observed(case.responses), np.random.default_rng(0).permutation(1000)
    one = [q1(t) for t in binned(case.bank, data, case.theta)]
    two = [q1(t) for t in binned(case.bank, data.take(order), case.theta[order])]
    np.testing.assert_allclose([v.x2 for v in one], [v.x2 for v in two], rtol=1e-9)


def test_missing_responses(mirt_case):
    case = mirt_case("LSAT7_2PL")
    table = case.responses.table.copy()
    table[:300, 0] = -1
    partly = _with(case, table)
    whole = _with(case, table[300:])
    found = item_fit(case.bank, partly, case.theta, case.grid, n_parameters=[2] * 5, statistics=["S_X2", "infit"])
    other = item_fit(case.bank, whole, case.theta[300:], case.grid, n_parameters=[2] * 5, statistics=["S_X2", "infit"])
    np.testing.assert_allclose(found["S_X2"], other["S_X2"])
    np.testing.assert_allclose(found["infit"].iloc[0], other["infit"].iloc[0])
    assert abs(found["infit"].iloc[1] - other["infit"].iloc[1]) > 1e-4
    table[:, 0] = -1
    with pytest.raises(DataError, match="answered every item"):
        item_fit(case.bank, _with(case, table), case.theta, case.grid, n_parameters=[2] * 5, statistics="S_X2")


def test_what_cannot_be_asked(mirt_case):
    case = mirt_case("LSAT7_2PL")
    with pytest.raises(ModelError, match="S_X2"):
        fitted(case, "chisq")
    theta = case.theta.copy()
    theta[7] = np.inf
    with pytest.raises(DataError, match="row 7"):
        item_fit(case.bank, case.responses, theta, case.grid, n_parameters=[2] * 5, statistics="infit")
    with pytest.raises(ModelError, match="one trait"):
        item_fit(
            case.bank, case.responses, case.theta, normal_grid([0, 0], np.eye(2)), n_parameters=[2] * 5, statistics="X2"
        )


def _with(case, table, **options):
    r = case.responses
    return type(r)(r.items, r.categories, table.astype(np.int8), None, pd.RangeIndex(len(table)), **options)


def _all(case, responses):
    log_p = case.bank.log_probabilities(case.grid.theta)
    w = np.exp(sum(log_p[j][responses.table[:, j]] for j in range(5))) * case.grid.weights
    theta = (w @ case.grid.theta) / w.sum(axis=1, keepdims=True)
    frame = item_fit(
        case.bank, responses, theta, case.grid, n_parameters=[2] * 5, statistics=["S_X2", "infit", "Zh", "X2", "G2"]
    )
    return frame.to_numpy().T


def test_sparse_responses_equal_a_table(mirt_case):
    from jmix.responses.data import Long

    case = mirt_case("Science_graded")
    table = case.responses.table.copy()
    table[np.random.default_rng(0).random(table.shape) < 0.3] = -1
    table[5] = -1
    dense = _with(case, table)
    person, item = np.nonzero(table >= 0)
    starts = np.concatenate([[0], np.cumsum((table >= 0).sum(axis=1))])
    long = Long(item.astype(np.int32), table[person, item], starts)
    r = case.responses
    sparse = type(r)(r.items, r.categories, None, long, pd.RangeIndex(len(table)))
    options = {"n_parameters": [4] * 4, "statistics": ["S_X2", "infit", "Zh", "X2"]}
    one, two = (item_fit(case.bank, s, case.theta, case.grid, **options) for s in (dense, sparse))
    pd.testing.assert_frame_equal(one, two)
    persons = [person_fit(case.bank, s, case.theta) for s in (dense, sparse)]
    pd.testing.assert_frame_equal(*persons)
    assert persons[0].iloc[5].isna().all()
    some = (table >= 0).any(axis=1)
    assert persons[0].loc[some, ["outfit", "infit", "Zh"]].notna().all(axis=None)


def test_person_fit_by_hand(mirt_case):
    case = mirt_case("LSAT7_2PL")
    p = case.bank.probabilities(case.theta)[:, 1].T
    x = case.responses.table
    found = person_fit(case.bank, case.responses, case.theta)
    z2 = (x - p) ** 2 / (p * (1 - p))
    np.testing.assert_allclose(found["outfit"], z2.mean(axis=1))
    np.testing.assert_allclose(found["infit"], ((x - p) ** 2).sum(axis=1) / (p * (1 - p)).sum(axis=1))
    loglik = np.where(x == 1, np.log(p), np.log(1 - p)).sum(axis=1)
    mean = (p * np.log(p) + (1 - p) * np.log(1 - p)).sum(axis=1)
    variance = (p * (1 - p) * np.log(p / (1 - p)) ** 2).sum(axis=1)
    np.testing.assert_allclose(found["Zh"], (loglik - mean) / np.sqrt(variance))


def test_level_of_s_x2_at_the_true_parameters():
    """With nothing estimated S-X2 has the degrees of freedom of the merged table; graded items, merged cells."""
    from jmix.items.bank import ItemBank
    from jmix.results.irt.observed import Observed

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.uniform(0.8, 2, 7), "d1": rng.uniform(0.5, 2, 7), "d2": rng.uniform(-2, 0, 7), "itemtype": "graded"},
        index=list("abcdefg"),
    )
    bank, grid, p_values = ItemBank.from_frame(frame), normal_grid(0.0, 1.0), []
    for _ in range(60):
        theta = rng.normal(size=800)
        below = np.cumsum(bank.probabilities(theta[:, None]), axis=1)
        table = (rng.random((7, 1, 800)) > below).sum(axis=1).T.astype(np.int8)
        data = Observed(table, np.ones(800), np.arange(800), bank.items, (3,) * 7)
        found = item_fit(bank, data, theta, grid, n_parameters=[0] * 7, statistics="S_X2")
        p_values += found["p_S_X2"].tolist()
    share = np.mean(np.array(p_values) < 0.05)
    assert 0.03 < share < 0.08  # 420 tests; cells that expect one person are not quite chi-squared
    assert 0.45 < np.mean(p_values) < 0.55


@pytest.mark.parametrize("name", CASES)
def test_sum_score_table_equals_mirt(mirt_case, name):
    from jmix.results.irt.lord_wingersky import category_scores, score_distribution, score_moments

    case = mirt_case(name)
    want = pd.DataFrame(case.mirt["EAPsum"])
    p = case.bank.probabilities(case.grid.theta)
    distribution = score_distribution(p, category_scores(case.responses.n_categories))
    found = score_moments(distribution, case.grid.theta, case.grid.weights)
    np.testing.assert_allclose(found.mean[:, 0], want["F1"], atol=1e-5)
    np.testing.assert_allclose(np.sqrt(found.covariance[:, 0, 0]), want["SE_F1"], atol=2e-5)
    np.testing.assert_allclose(found.probability * case.responses.n_persons, want["expected"], rtol=1e-4)
    np.testing.assert_array_equal(np.bincount(case.responses.table.sum(axis=1), minlength=len(want)), want["observed"])
