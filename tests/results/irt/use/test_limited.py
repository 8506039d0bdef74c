"""M2, M2* and C2 against mirt 1.47 and against sums over all response patterns."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jmix.errors import DataError, ModelError
from jmix.responses.data import Responses
from jmix.results.irt.limited import limited_fit
from jmix.results.irt.tables_at import table_slopes, tables_at
from jmix.spec.irt.build import build_spec

INDICES = {"df": "df", "p": "p", "RMSEA": "RMSEA", "SRMSR": "SRMSR", "TLI": "TLI", "CFI": "CFI"}


@pytest.mark.parametrize(
    ("name", "type", "key"),
    [
        ("LSAT7_Rasch", "M2", "M2"),
        ("LSAT7_2PL", "M2", "M2"),
        ("LSAT7_2PL", "M2*", "M2"),
        ("LSAT7_2PL", "C2", "C2"),
        ("Science_graded", "C2", "C2"),
    ],
)
def test_equals_mirt(mirt_case, name, type, key):
    case = mirt_case(name)
    found, want = limited_fit(case.spec, case.x, case.responses, type=type), case.mirt[key]
    frame = found.frame()
    np.testing.assert_allclose(frame[type].iloc[0], want["M2"], rtol=2e-6)
    for ours, theirs in INDICES.items():
        np.testing.assert_allclose(frame[ours].iloc[0], want[theirs], rtol=1e-4, atol=1e-6)
    # mirt's RMSEA has n - 1 in the denominator, but its interval n
    n = case.responses.n_persons
    np.testing.assert_allclose(found.rmsea_lower * np.sqrt((n - 1) / n), want["RMSEA_5"], atol=1e-6)
    np.testing.assert_allclose(found.rmsea_upper * np.sqrt((n - 1) / n), want["RMSEA_95"], atol=1e-6)


def test_a_rasch_model_and_its_1pl_form_fit_equally_well(mirt_case):
    one, two = (limited_fit(c.spec, c.x, c.responses) for c in map(mirt_case, ("LSAT7_Rasch", "LSAT7_1PL_eq")))
    assert one.df == two.df == 9
    np.testing.assert_allclose(one.statistic, two.statistic, rtol=1e-5)


@pytest.mark.parametrize("type", ["C2", "M2"])
@pytest.mark.parametrize("name", ["Science_graded", "Science_gpcm"])
def test_equals_the_sum_over_all_patterns(mirt_case, name, type):
    """Also where mirt does not: its C2 of the GPCM is 16.34, that of the definition 19.04."""
    case = mirt_case(name)
    want = _dense(case, type)
    found = limited_fit(case.spec, case.x, case.responses, type=type)
    np.testing.assert_allclose(found.statistic, want, rtol=1e-6)
    assert found.df == {"C2": 2, "M2": 50}[type]
    if name == "Science_gpcm" and type == "C2":
        np.testing.assert_allclose(found.statistic, 19.0394, atol=1e-4)
        np.testing.assert_allclose(found.srmsr["all"], case.mirt["C2"]["SRMSR"], atol=1e-6)


def _probability(name, x, z, k):
    """(4, Q) of one item, from its slope and intercepts, written here a second time."""
    a, d = x[0], x[1:]
    if name == "Science_graded":
        above = np.vstack([np.ones(z.size), 1 / (1 + np.exp(-(a * z + d[:, None]))), np.zeros(z.size)])
        return above[:-1] - above[1:]
    e = np.exp(a * np.arange(k)[:, None] * z + np.r_[0, d][:, None])
    return e / e.sum(axis=0)


def _dense(case, type):
    """The statistic from the probabilities of all 256 patterns and their derivatives by plain differences."""
    name = "Science_graded" if "graded" in case.spec.blocks[0].kind else "Science_gpcm"
    z = np.linspace(-8, 8, 401)
    w = np.exp(-z * z / 2)
    w /= w.sum()
    items = case.mirt["items"]
    start = np.array([v for i in items for v in (i["a1"], i["d1"], i["d2"], i["d3"])])
    patterns = np.array(list(itertools.product(range(4), repeat=4)))

    def probability(x):
        out = np.ones((256, z.size))
        for j in range(4):
            out *= _probability(name, x[4 * j : 4 * j + 4], z, 4)[patterns[:, j]]
        return out @ w

    def moments(table):
        rows = [table[:, j] == k for j in range(4) for k in (1, 2, 3)]
        for i, j in itertools.combinations(range(4), 2):
            if type == "C2":
                rows.append(table[:, i] * table[:, j])
            else:
                rows += [(table[:, i] == k) & (table[:, j] == m) for k in (1, 2, 3) for m in (1, 2, 3)]
        return np.array(rows, dtype=float)

    t, p = moments(patterns), probability(start)
    steps = np.eye(16) * 1e-4
    slopes = t @ np.array([(probability(start + h) - probability(start - h)) / 2e-4 for h in steps]).T
    xi = np.linalg.inv(t @ (np.diag(p) - np.outer(p, p)) @ t.T)
    table = case.responses.table.astype(int)
    e = moments(table).mean(axis=1) - t @ p
    middle = xi - xi @ slopes @ np.linalg.solve(slopes.T @ xi @ slopes, slopes.T @ xi)
    return len(table) * e @ middle @ e


def test_derivatives_of_the_tables_equal_plain_differences(mirt_case):
    case = mirt_case("Science_graded")
    z = np.linspace(-3, 3, 7)[:, None]
    slopes = table_slopes(case.spec, case.x, z)
    for p in range(case.x.size):
        h = np.zeros_like(case.x)
        h[p] = 1e-5
        want = (tables_at(case.spec, case.x + h, z) - tables_at(case.spec, case.x - h, z)) / 2e-5
        full = np.zeros_like(want)
        full[slopes[p].items] = slopes[p].values
        np.testing.assert_allclose(full, want, atol=1e-8)


def _simulated(rng, n, a, d, theta):
    p = 1 / (1 + np.exp(-(theta @ a.T + d)))
    table = (rng.random((n, len(d))) < p).astype(np.int8)
    names = tuple(f"i{j}" for j in range(len(d)))
    return names, table


def test_level_under_the_model():
    """At the true parameters without estimation the statistic with no parameter is chi-squared; two dimensions."""
    rng = np.random.default_rng(5)
    a = np.array([[1.2, 0], [0.8, 0], [1.5, 0], [0, 1.0], [0, 1.4], [0, 0.7]])
    d = np.array([0.5, -0.3, 0.0, 1.0, -1.0, 0.2])
    chol = np.linalg.cholesky([[1, 0.5], [0.5, 1]])
    p_values = []
    for _ in range(60):
        names, table = _simulated(rng, 1000, a, d, rng.normal(size=(1000, 2)) @ chol.T)
        r = Responses(names, ((0, 1),) * 6, table, None, pd.RangeIndex(1000))
        spec, _ = build_spec(r, "2PL", model="F1 = 1-3\nF2 = 4-6\nCOV = F1*F2")
        values = {f"d[{n}]": v for n, v in zip(names, d, strict=True)} | {"corr[F2,F1]": 0.5, "corr[F1,F2]": 0.5}
        values |= {f"a{f + 1}[{n}]": a[j, f] for j, n in enumerate(names) for f in range(2)}
        x = np.array([values[name] for name in spec.table.free_names])
        found = limited_fit(spec, x, r)
        assert found.df == 21 - 13
        p_values.append(found.p_value)
    # true parameters are consistent ones, so the projected statistic keeps its distribution
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_several_groups_at_equal_data_double_the_statistic(mirt_case):
    case = mirt_case("LSAT7_2PL")
    r = case.responses
    table = np.vstack([r.table, r.table])
    group = np.repeat([0, 1], 1000).astype(np.int32)
    both = Responses(r.items, r.categories, table, None, pd.RangeIndex(2000), group=group, groups=("a", "b"))
    spec, _ = build_spec(both, "2PL", equal_items=False)
    one = dict(zip(case.spec.table.free_names, case.x, strict=True))
    x = np.array([one[name.replace("|a]", "]").replace("|b]", "]")] for name in spec.table.free_names])
    found, single = limited_fit(spec, x, both), limited_fit(case.spec, case.x, r)
    np.testing.assert_allclose(found.statistic, 2 * single.statistic, rtol=1e-9)
    assert found.df == 2 * single.df
    np.testing.assert_allclose(list(found.srmsr.values()), [single.srmsr["all"]] * 2)


def test_what_cannot_be_asked(mirt_case):
    case = mirt_case("Science_graded")
    with pytest.raises(ModelError, match="type='C2'"):
        limited_fit(case.spec, case.x, case.responses, type="M2*")
    with pytest.raises(ModelError, match="choose from M2"):
        limited_fit(case.spec, case.x, case.responses, type="M3")
    table = case.responses.table.copy()
    table[:, 2] = -1
    r = case.responses
    with pytest.raises(DataError, match="answered every item"):
        limited_fit(case.spec, case.x, Responses(r.items, r.categories, table, None, r.persons), type="C2")


@pytest.mark.parametrize("type", ["M2", "M2*", "C2"])
def test_moments_of_a_mixed_test_equal_the_sum_over_all_patterns(type):
    """Means, covariances and derivatives for items with two, three and four categories."""
    from jmix.results.irt.latent_grid import spherical_grid
    from jmix.results.irt.limited_moments import Moments, features, n_moments

    k = (2, 4, 3, 2)
    rng = np.random.default_rng(0)
    patterns = np.array(list(itertools.product(*(range(v) for v in k))), dtype=np.int8)
    r = Responses(tuple("abcd"), tuple(tuple(range(v)) for v in k), patterns, None, pd.RangeIndex(len(patterns)))
    spec, _ = build_spec(r, ["Rasch", "gpcm", "graded", "3PL"])
    x = np.where([n.startswith("d2") for n in spec.table.free_names], -0.4, rng.uniform(0.4, 1.2, spec.n_free))
    grid = spherical_grid(1)

    def probability(x):
        tables = tables_at(spec, x, grid.theta)
        return np.prod([tables[j][patterns[:, j]] for j in range(4)], axis=0) @ grid.weights

    columns = []
    for j in range(4):
        columns += [patterns[:, j]] if type == "M2*" else [patterns[:, j] == c for c in range(1, k[j])]
    for j in range(4):
        for i in range(j):
            if type == "M2":
                columns += [
                    (patterns[:, i] == c) & (patterns[:, j] == e) for c in range(1, k[i]) for e in range(1, k[j])
                ]
            else:
                columns.append(patterns[:, i].astype(int) * patterns[:, j])
    t, p = np.array(columns, dtype=float), probability(x)
    assert n_moments(k, type) == len(t)
    model = Moments(features(k, type), tables_at(spec, x, grid.theta), grid.weights)
    np.testing.assert_allclose(model.mean(), t @ p, rtol=1e-10)
    np.testing.assert_allclose(model.covariance(), t @ (np.diag(p) - np.outer(p, p)) @ t.T, atol=1e-12)
    h = np.eye(x.size) * 1e-5
    slopes = np.array([t @ (probability(x + s) - probability(x - s)) / 2e-5 for s in h]).T
    np.testing.assert_allclose(model.derivatives(table_slopes(spec, x, grid.theta)), slopes, atol=1e-8)


def test_a_latent_density_that_is_not_normal(mirt_case):
    """Three points of mass, all sums by hand: a density parameter moves them and takes a degree of freedom."""
    from dataclasses import replace

    case = mirt_case("LSAT7_2PL")
    table, places = case.spec.table, np.array([len(case.spec.table.values)], dtype=np.int32)
    more = type(table)(
        (*table.names, "angle1"), np.append(table.values, 0.3), np.append(table.free, places).astype(np.int32), ()
    )
    spec, x = replace(case.spec, table=more, density=places), np.append(case.x, 0.3)

    def density(x):
        p = 1 / (1 + np.exp(-x[-1]))  # standardised: mean 0, variance 1
        return np.array([-1, 0, 1]) / np.sqrt(p), np.array([p / 2, 1 - p, p / 2])

    r = case.responses
    patterns = np.array(list(itertools.product((0, 1), repeat=5)))
    values = dict(zip(case.spec.table.free_names, case.x, strict=True))

    def probability(x):
        z, w = density(x)
        a, d = (np.array([x[list(values).index(f"{n}[{item}]")] for item in r.items]) for n in ("a1", "d"))
        p = 1 / (1 + np.exp(-(a[:, None] * z + d[:, None])))
        return np.prod(np.where(patterns[:, :, None] == 1, p, 1 - p), axis=1) @ w

    def moments(t):
        return np.array([*t.T, *(t[:, i] * t[:, j] for i, j in itertools.combinations(range(5), 2))], dtype=float)

    t, p = moments(patterns), probability(x)
    slopes = t @ np.array([(probability(x + s) - probability(x - s)) / 2e-4 for s in np.eye(11) * 1e-4]).T
    xi = np.linalg.inv(t @ (np.diag(p) - np.outer(p, p)) @ t.T)
    e = moments(r.table.astype(int)).mean(axis=1) - t @ p
    want = 1000 * e @ (xi - xi @ slopes @ np.linalg.solve(slopes.T @ xi @ slopes, slopes.T @ xi)) @ e
    found = limited_fit(spec, x, r, density=density)
    assert found.df == 4
    np.testing.assert_allclose(found.statistic, want, rtol=1e-5)
