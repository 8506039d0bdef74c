"""Fits of generalized linear mixed models: what must not matter does not, and what has no answer is said."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from jmix.design_response import build_glmm_design
from jmix.errors import ConvergenceWarning, ModelError
from jmix.estimate import glmm_fit
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_objective import GlmmObjective, build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.families import resolve_family
from jmix.spec.covariance import CovarianceSpec, Term


def objective_of(
    formula: str, data: pd.DataFrame, family: str, link: str | None = None, n_agq: int = 1, **options: Any
) -> GlmmObjective:
    parts = {key: options.pop(key) for key in ("disp", "zi", "weights", "offset") if key in options}
    design = build_glmm_design(formula, data, resolve_family(family, link), **parts)
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    return build_glmm_objective(design, spec, design.terms, n_agq=n_agq, **options)


def fit(*args: Any, **options: Any) -> GlmmSolution:
    return fit_glmm(objective_of(*args, **options))


@cache
def counts(sd: float = 0.8) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(14), 7)
    x, z = rng.normal(size=98), rng.normal(size=98)
    eta = 0.6 + 0.4 * x + sd * rng.normal(size=14)[g] + 0.6 * sd * rng.normal(size=14)[g] * x
    labels = [f"g{i:02d}" for i in g]
    binary = (rng.random(98) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame({"y": rng.poisson(np.exp(eta)), "b": binary, "x": x, "z": z, "g": labels})


def _same(left: GlmmSolution, right: GlmmSolution, tolerance: float = 1e-7) -> None:
    np.testing.assert_allclose(left.loglik, right.loglik, rtol=1e-10)
    np.testing.assert_allclose(left.x, right.x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(left.se, right.se, rtol=20 * tolerance)
    assert left.status.converged and right.status.converged


def test_the_scale_of_a_column_only_rescales_its_estimates() -> None:
    data = counts()
    one = fit("y ~ x + z + (1 + x | g)", data, "poisson")
    other = fit("y ~ x + z + (1 + x | g)", data.assign(x=1e4 * data["x"], z=1e-5 * data["z"]), "poisson")
    # (Intercept), x, z | sd, covariance and sd of the slope
    factor = np.array([1, 1e-4, 1e5, 1, 1e-4, 1e-4])
    np.testing.assert_allclose(other.loglik, one.loglik, rtol=1e-12)
    np.testing.assert_allclose(other.x, factor * one.x, rtol=1e-6)
    np.testing.assert_allclose(other.se, factor * one.se, rtol=1e-5)


def test_a_shifted_offset_shifts_the_intercept() -> None:
    data = counts()
    one = fit("y ~ x + (1 | g)", data, "poisson")
    other = fit("y ~ x + (1 | g)", data.assign(o=np.full(98, 5.0)), "poisson", offset="o")
    np.testing.assert_allclose(other.x, one.x - [5, 0, 0], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(other.se, one.se, rtol=1e-6)


def test_the_other_outcome_flips_the_signs() -> None:
    data = counts()
    one = fit("b ~ x + (1 | g)", data, "binomial", n_agq=5)
    other = fit("b ~ x + (1 | g)", data.assign(b=1 - data["b"]), "binomial", n_agq=5)
    np.testing.assert_allclose(other.x, one.x * [-1, -1, 1], rtol=1e-7)
    np.testing.assert_allclose(other.se, one.se, rtol=1e-6)


def test_the_order_of_rows_and_the_names_of_levels_do_not_matter() -> None:
    data = counts()
    mixed = data.sample(frac=1.0, random_state=3)
    mixed["g"] = ["k" + name[::-1] for name in mixed["g"]]
    _same(fit("y ~ x + (1 + x | g)", data, "poisson"), fit("y ~ x + (1 + x | g)", mixed, "poisson"))


@pytest.mark.parametrize(
    "start", [[0, 0, 0.1, 0, 0.1], [2, -1, 2, 0.5, 1.5], [0.5, 0.5, -1, 0.3, -0.4], [1, 0, 0, 0, 0]]
)
def test_every_start_leads_to_the_same_optimum(start: list[float]) -> None:
    objective = objective_of("y ~ x + (1 + x | g)", counts(), "poisson")
    _same(fit_glmm(objective, start=np.array(start, dtype=float)), fit_glmm(objective))


def test_a_fit_is_deterministic() -> None:
    objective = objective_of("b ~ x + (1 | g)", counts(), "binomial", n_agq=5)
    first, again = fit_glmm(objective), fit_glmm(objective)
    anew = fit("b ~ x + (1 | g)", counts(), "binomial", n_agq=5)
    for other in (again, anew):
        assert np.array_equal(first.x, other.x) and np.array_equal(first.vcov, other.vcov)


def test_the_factor_has_a_nonnegative_diagonal_and_the_status_its_numbers() -> None:
    objective = objective_of("y ~ x + (1 + x | g)", counts(), "poisson")
    solution = fit_glmm(objective, start=np.array([0.5, 0.5, -1, 0.3, -0.4]))
    assert np.all(np.diag(objective.spec.split(solution.theta)[0]) > 0)
    status = solution.status
    assert status.n_hessians <= 2 and status.n_evaluations < 30
    assert status.decrement < 1e-12 and status.max_gradient < 1e-5 and 0 < status.min_eigenvalue <= 1


def test_the_covariance_is_the_inverse_of_a_numerical_hessian() -> None:
    objective = objective_of("y ~ x + (1 | g)", counts(), "poisson")
    solution = fit_glmm(objective)
    h = 1e-4
    columns = []
    for unit in np.eye(3):
        up, down = objective.evaluate(solution.x + h * unit)[1], objective.evaluate(solution.x - h * unit)[1]
        columns.append((down - up) / (2 * h))
    np.testing.assert_allclose(solution.hessian, columns, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(solution.vcov @ solution.hessian, np.eye(3), atol=1e-8)


def test_a_variance_of_zero_is_exact_and_has_no_standard_error() -> None:
    data = counts(0.0)
    objective = objective_of("y ~ x + (1 | g)", data.assign(y=np.tile([1, 2, 3, 2, 1, 0, 4], 14)), "poisson")
    solution, plain = fit_glmm(objective), fit("y ~ x", data.assign(y=np.tile([1, 2, 3, 2, 1, 0, 4], 14)), "poisson")
    status = solution.status
    assert status.converged and status.singular
    assert solution.theta[0] == 0.0 and np.isnan(solution.se[2]) and solution.boundary[2]
    assert "standard deviation of (Intercept) is zero" in status.messages[0]
    np.testing.assert_allclose(solution.beta, plain.beta, rtol=1e-8)
    np.testing.assert_allclose(solution.se[:2], plain.se, rtol=1e-8)
    np.testing.assert_allclose(solution.loglik, plain.loglik, rtol=1e-12)


def test_a_perfect_correlation_is_named() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 8)
    x = rng.normal(size=96)
    b = np.linspace(-1, 1, 12)[g]
    y = np.round(np.exp(1.0 + b * (1 + 0.5 * x)))
    data = pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})
    solution = fit("y ~ x + (1 + x | g)", data, "poisson")
    assert solution.status.converged and solution.status.singular
    assert "the correlation of (Intercept) and x is +1" in solution.status.messages[0]
    assert np.isnan(solution.se[4]) and np.all(np.isfinite(solution.se[:4]))


def _maximum(loglik: Any, start: list[float]) -> tuple[np.ndarray, float]:
    found = optimize.minimize(lambda p: -loglik(p), start, method="BFGS", options={"gtol": 1e-7})
    return found.x, -found.fun


def test_student_regression_equals_scipy() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=150)
    y = 1.0 + 2.0 * x + 0.7 * rng.standard_t(3, size=150)

    def loglik(p: np.ndarray) -> float:
        return float(np.sum(stats.t.logpdf(y, 1 + np.exp(p[3]), loc=p[0] + p[1] * x, scale=np.exp(p[2]))))

    best, value = _maximum(loglik, [1, 2, 0, 1])
    solution = fit("y ~ x", pd.DataFrame({"y": y, "x": x}), "student")
    np.testing.assert_allclose(solution.x, best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solution.loglik, value, rtol=1e-10)
    assert solution.shape is not None and abs(solution.shape - 1 - np.exp(best[3])) < 1e-3


def test_inverse_gaussian_regression_equals_scipy() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=120)
    y = stats.invgauss.rvs(np.exp(0.3 * x) / 4.0, scale=4.0, size=120, random_state=4)

    def loglik(p: np.ndarray) -> float:
        mu, lam = np.exp(p[0] + p[1] * x), np.exp(-p[2])
        return float(np.sum(stats.invgauss.logpdf(y, mu / lam, scale=lam)))

    best, value = _maximum(loglik, [0, 0, 0])
    solution = fit("y ~ x", pd.DataFrame({"y": y, "x": x}), "inverse_gaussian", "log")
    np.testing.assert_allclose(solution.x, best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solution.loglik, value, rtol=1e-10)


def test_cumulative_cauchit_equals_scipy() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=140)
    codes = np.digitize(0.8 * x + rng.standard_cauchy(140), [-1.0, 1.0])

    def loglik(p: np.ndarray) -> float:
        tau = np.array([-np.inf, p[1], p[1] + np.exp(p[2]), np.inf])
        upper, lower = tau[codes + 1] - p[0] * x, tau[codes] - p[0] * x
        return float(np.sum(np.log(stats.cauchy.cdf(upper) - stats.cauchy.cdf(lower))))

    best, value = _maximum(loglik, [0.5, -1, 0.7])
    data = pd.DataFrame({"y": pd.Categorical(codes, ordered=True), "x": x})
    solution = fit("y ~ x", data, "cumulative", "cauchit")
    np.testing.assert_allclose(solution.x, best, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solution.loglik, value, rtol=1e-10)
    np.testing.assert_allclose(solution.thresholds, [best[1], best[1] + np.exp(best[2])], rtol=1e-4)


def test_counts_less_variable_than_poisson_run_to_its_limit() -> None:
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"y": rng.binomial(6, 0.5, 80), "x": rng.normal(size=80)})
    poisson = fit("y ~ x", data, "poisson")
    for family, limit in (("nbinom2", "infinity"), ("nbinom1", "0")):
        solution = fit("y ~ x", data, family)
        assert solution.status.converged and solution.status.singular
        assert f"phi -> {limit}" in solution.status.messages[0]
        np.testing.assert_allclose(solution.loglik, poisson.loglik, atol=1e-5)
        np.testing.assert_allclose(solution.se, [*poisson.se, np.nan], rtol=1e-4)


def test_no_extra_zeros() -> None:
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"y": rng.binomial(9, 0.4, 90)})
    solution = fit("y ~ 1", data, "poisson", zi="~ 1")
    assert "fit without zi" in solution.status.messages[0] and solution.status.singular
    assert np.isnan(solution.se[1]) and np.isfinite(solution.se[0])


def test_an_exact_response_is_refused_or_said() -> None:
    x = np.linspace(0, 1, 30)
    data = pd.DataFrame({"y": 1 + 2 * x, "x": x})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution = fit("y ~ x", data, "gaussian")
    assert not solution.status.converged
    assert "fits y (almost) exactly" in solution.status.messages[0]


def test_singletons_of_a_binary_response_are_refused() -> None:
    data = counts().assign(row=[f"r{i}" for i in range(98)])
    with pytest.raises(ModelError, match=r"every level of row has one row.*Drop the term"):
        objective_of("b ~ x + (1 | row)", data, "binomial")
    # an observation-level effect of counts is overdispersion
    assert fit("y ~ x + (1 | row)", data, "poisson").status.converged


def test_few_levels_are_noted() -> None:
    data = counts().assign(g3=np.tile(["a", "b"], 49))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solution = fit("y ~ x + (1 + x | g3)", data, "poisson")
    assert any("2 levels are few for 3 covariance parameters" in text for text in solution.status.messages)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_agq": 0}, "whole number of nodes"),
        ({"n_agq": 2.5}, "whole number of nodes"),
        ({"method": "laplace"}, "choose 'agq' or 'qmc'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        objective_of("y ~ x + (1 | g)", counts(), "poisson", **options)


def test_quadrature_over_crossed_factors_is_refused_with_the_way_out() -> None:
    data = counts().assign(h=np.tile(list("abcdefg"), 14))
    with pytest.raises(ModelError, match=r"2 \(g, h\): use n_agq=1"):
        objective_of("y ~ x + (1 | g) + (1 | h)", data, "poisson", n_agq=5)


def test_quasi_monte_carlo_agrees_with_quadrature() -> None:
    sampled = fit("b ~ x + (1 | g)", counts(), "binomial", method="qmc", n_points=4096)
    nodes = fit("b ~ x + (1 | g)", counts(), "binomial", n_agq=15)
    assert sampled.method == "QMC" and sampled.status.converged
    np.testing.assert_allclose(sampled.loglik, nodes.loglik, atol=1e-4)
    np.testing.assert_allclose(sampled.x, nodes.x, atol=1e-3)
    np.testing.assert_allclose(sampled.se, nodes.se, rtol=1e-3)


def test_a_start_of_the_wrong_length_is_refused_with_the_names() -> None:
    objective = objective_of("y ~ x + (1 | g)", counts(), "poisson")
    with pytest.raises(ModelError, match=r"start must hold 3 finite numbers.*g\.\(Intercept\)"):
        fit_glmm(objective, start=np.zeros(2))


def test_too_few_iterations_warn() -> None:
    objective = objective_of("y ~ x + (1 | g)", counts(), "poisson")
    with pytest.warns(ConvergenceWarning, match="max_iterations"):
        solution = fit_glmm(objective, max_iterations=1)
    assert not solution.status.converged


def test_an_interrupt_keeps_the_best_point(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_of("y ~ x + (1 | g)", counts(), "poisson")
    first, calls = glmm_fit.Coordinates.first, []

    def interrupted(self: Any, z: Any) -> Any:
        calls.append(z)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return first(self, z)

    monkeypatch.setattr(glmm_fit.Coordinates, "first", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_glmm(objective)
    calls.clear()
    monkeypatch.setattr("jmix.estimate.glmm_search.PATIENCE", -1.0)
    with pytest.warns(ConvergenceWarning, match=r"interrupted.*start=fit\.solution\.x"):
        solution = fit_glmm(objective)
    assert solution.status.interrupted and not solution.status.converged
    monkeypatch.undo()
    _same(fit_glmm(objective, start=solution.x), fit_glmm(objective))


def test_points_without_a_finite_likelihood_are_stepped_back_from(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = objective_of("y ~ x + (1 | g)", counts(), "poisson")
    expected, evaluate, refused = fit_glmm(objective), GlmmObjective.evaluate, []

    def holey(self: GlmmObjective, x: np.ndarray) -> tuple[float, np.ndarray]:
        if len(refused) < 3:
            refused.append(x)
            if len(refused) > 1:
                return np.nan, np.full(x.size, np.nan)
        return evaluate(self, x)

    monkeypatch.setattr(GlmmObjective, "evaluate", holey)
    _same(fit_glmm(objective), expected)
    assert len(refused) == 3


def test_modes_and_their_covariances_follow_the_users_levels() -> None:
    data = counts()
    objective = objective_of("y ~ x + (1 | g)", data, "poisson")
    solution = fit_glmm(objective)
    modes = objective.modes(solution.x)["g"][:, 0]
    spread = objective.mode_covariances(solution.x)["g"][:, 0, 0]
    theta = solution.theta[0]
    for level in (0, 6, 13):
        own = data[data["g"] == f"g{level:02d}"]
        y, eta = own["y"].to_numpy(), solution.beta[0] + solution.beta[1] * own["x"].to_numpy()

        def penalised(b: float, y: Any = y, eta: Any = eta) -> float:
            return float(np.sum(np.exp(eta + b) - y * (eta + b)) + 0.5 * (b / theta) ** 2)

        best = optimize.minimize_scalar(penalised, bracket=(-1, 1), tol=1e-12).x
        np.testing.assert_allclose(modes[level], best, atol=1e-6)
        np.testing.assert_allclose(spread[level], 1 / (np.exp(eta + best).sum() + theta**-2), rtol=1e-6)


def test_names_and_parts_agree() -> None:
    data = counts().assign(o=pd.Categorical(np.minimum(counts()["y"], 3), ordered=True))
    objective = objective_of("o ~ x + (1 | g)", data, "cumulative")
    assert objective.names == ["x", "g.(Intercept)", "tau1", "log(tau2 - tau1)", "log(tau3 - tau2)"]
    x = np.array([0.1, 0.5, -1.0, 0.2, 0.3])
    parts = objective.split(x)
    np.testing.assert_allclose(parts.thresholds, np.cumsum([-1.0, np.exp(0.2), np.exp(0.3)]))
    np.testing.assert_allclose(objective.join(parts), x)
    with pytest.raises(ModelError, match="increase"):
        objective.join(parts._replace(thresholds=np.array([0.0, 0.0, 1.0])))
