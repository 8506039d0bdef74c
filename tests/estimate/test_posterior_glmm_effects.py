"""Random effects given the parameters against their distribution on a dense grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from jmix.design_response import build_glmm_design
from jmix.estimate import glmm_effects
from jmix.estimate.glmm_conditional import places
from jmix.estimate.glmm_objective import GlmmObjective
from jmix.families import resolve_family
from jmix.models_glmm import GlmmModel

MANY = 6000


def _objective(formula: str, data: pd.DataFrame, family: str) -> GlmmObjective:
    return GlmmModel(build_glmm_design(formula, data, resolve_family(family))).objective(1)


def _drawn(objective: GlmmObjective, x: np.ndarray, many: int = MANY) -> dict[str, np.ndarray]:
    """(many, J, q) draws at the same parameters."""
    numbers = np.arange(many)
    own = glmm_effects.conditional(objective)
    out: dict[str, list[np.ndarray]] = {}
    for _, part in glmm_effects.draw_effects(own, np.tile(x, (many, 1)), numbers, 3):
        for group, values in part.items():
            out.setdefault(group, []).append(values)
    return {group: np.concatenate(parts) for group, parts in out.items()}


def _moments(objective: GlmmObjective, x: np.ndarray) -> tuple[Any, Any]:
    return glmm_effects.moments(glmm_effects.conditional(objective), x[None], np.arange(1))


# --- scalar effects ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["poisson", "bernoulli"])
def scalar(request: pytest.FixtureRequest) -> tuple[str, pd.DataFrame, GlmmObjective, np.ndarray]:
    """Groups of one to four rows, some equal, and a standard deviation so large that the distributions are skewed."""
    data = pd.DataFrame({"g": [0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 5], "x": [0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1]})
    data["y"] = [0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1]
    if request.param == "poisson":
        data["y"] *= [1, 9, 1, 9, 1, 1, 2, 1, 3, 1, 4, 2]
    objective = _objective("y ~ x + (1 | g)", data, request.param)
    return request.param, data, objective, np.array([0.3, -0.5, 2.5])


def _scalar_truth(family: str, data: pd.DataFrame, x: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    """A fine grid of b and the distribution function there."""
    own = data[data.g == level]
    b = np.linspace(-22.0, 18.0, 400_001)
    eta = (x[0] + x[1] * own.x.to_numpy())[:, None] + b
    rows = stats.poisson(np.exp(eta)) if family == "poisson" else stats.bernoulli(expit(eta))
    log_density = rows.logpmf(own.y.to_numpy()[:, None]).sum(axis=0) + stats.norm(0, x[2]).logpdf(b)
    density = np.exp(log_density - log_density.max())
    cdf = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return b, cdf / cdf[-1]


def test_scalar_draws_follow_the_distribution_on_a_fine_grid(scalar: Any) -> None:
    family, data, objective, x = scalar
    draws = _drawn(objective, x)["g"][:, :, 0]
    for level in range(6):
        b, cdf = _scalar_truth(family, data, x, level)
        assert stats.kstest(np.interp(draws[:, level], b, cdf), "uniform").pvalue > 1e-4


def test_scalar_moments_are_those_of_the_fine_grid(scalar: Any) -> None:
    family, data, objective, x = scalar
    means, sds = _moments(objective, x)
    for level in range(6):
        b, cdf = _scalar_truth(family, data, x, level)
        mass, middle = np.diff(cdf), 0.5 * (b[1:] + b[:-1])
        mean = float(mass @ middle)
        sd = float(np.sqrt(mass @ (middle - mean) ** 2))
        assert means["g"][level, 0] == pytest.approx(mean, abs=2e-3 * sd)
        assert sds["g"][level, 0] == pytest.approx(sd, rel=2e-3)


def test_levels_with_the_same_data_have_independent_draws(scalar: Any) -> None:
    _, _, objective, x = scalar
    draws = _drawn(objective, x)["g"][:, :, 0]  # levels 1 and 2 have equal rows, as have 0 and 4
    for a, b in ((1, 2), (0, 4)):
        assert abs(np.corrcoef(draws[:, a], draws[:, b])[0, 1]) < 5 / np.sqrt(MANY)
        assert not np.any(draws[:, a] == draws[:, b])


def test_a_draw_depends_on_its_number_alone(scalar: Any) -> None:
    _, _, objective, x = scalar
    own, some = glmm_effects.conditional(objective), np.array([2, 17, 40])
    part = next(glmm_effects.draw_effects(own, np.tile(x, (3, 1)), some, 3))[1]["g"]
    np.testing.assert_allclose(part, _drawn(objective, x, 50)["g"][some], rtol=1e-12)


def test_places_number_the_levels_of_a_merged_group() -> None:
    rank, repeats = places(np.array([2, 0, 2, 1, 2, 0]))
    assert rank.tolist() == [0, 0, 1, 0, 2, 1] and repeats == 3


# --- vectors and several factors --------------------------------------------------------------------------------------
def _weighted(points: np.ndarray, log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = weight @ points
    return mean, np.sqrt(weight @ (points - mean) ** 2)


def test_vector_draws_have_the_moments_of_a_dense_grid() -> None:
    data = pd.DataFrame({"g": [0, 0, 0, 1, 1, 2, 2], "x": [-1.0, 0.0, 1.5, 0.3, 2.0, 0.3, 2.0]})
    data["y"] = [1, 3, 9, 0, 1, 0, 1]  # the last two groups are equal
    objective = _objective("y ~ x + (x | g)", data, "poisson")
    x = np.array([0.2, 0.3, 1.0, 0.4, 0.7])
    chol = np.array([[1.0, 0.0], [0.4, 0.7]])
    draws = _drawn(objective, x, 3000)["g"]
    grid = np.stack(np.meshgrid(*[np.linspace(-6, 6, 401)] * 2), axis=-1).reshape(-1, 2)
    b = grid @ chol.T
    means, sds = _moments(objective, x)
    for level in range(3):
        own = data[data.g == level]
        eta = x[0] + b[:, :1] + (x[1] + b[:, 1:]) * own.x.to_numpy()
        log_density = stats.poisson(np.exp(eta)).logpmf(own.y.to_numpy()).sum(axis=1) - 0.5 * (grid**2).sum(axis=1)
        mean, sd = _weighted(b, log_density)
        error = sd / np.sqrt(3000)
        assert np.all(np.abs(draws[:, level].mean(axis=0) - mean) < 5 * error)
        assert np.all(np.abs(draws[:, level].std(axis=0) / sd - 1) < 0.08)
        assert np.all(np.abs(means["g"][level] - mean) < 0.5 * sd) and np.all(sds["g"][level] > 0.5 * sd)
    assert abs(np.corrcoef(draws[:, 1, 0], draws[:, 2, 0])[0, 1]) < 5 / np.sqrt(3000)


def test_crossed_draws_have_the_moments_of_a_dense_grid() -> None:
    data = pd.DataFrame({"g": ["a", "a", "b", "b", "a"], "h": ["u", "v", "u", "v", "u"], "y": [0, 3, 1, 6, 1]})
    objective = _objective("y ~ 1 + (1 | g) + (1 | h)", data, "poisson")
    x = np.array([0.1, 0.8, 1.1])
    draws = _drawn(objective, x, 4000)
    axis = np.linspace(-4.5, 4.5, 46)
    u = np.stack(np.meshgrid(*[axis] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    b = u * np.repeat(x[1:], 2)
    codes = {"g": data.g.map({"a": 0, "b": 1}).to_numpy(), "h": data.h.map({"u": 2, "v": 3}).to_numpy()}
    eta = x[0] + b[:, codes["g"]] + b[:, codes["h"]]
    log_density = stats.poisson(np.exp(eta)).logpmf(data.y.to_numpy()).sum(axis=1) - 0.5 * (u**2).sum(axis=1)
    mean, sd = _weighted(b, log_density)
    ours = np.concatenate([draws["g"][:, :, 0], draws["h"][:, :, 0]], axis=1)
    assert np.all(np.abs(ours.mean(axis=0) - mean) < 5 * sd / np.sqrt(4000))
    assert np.all(np.abs(ours.std(axis=0) / sd - 1) < 0.08)


def test_the_log_likelihood_of_groups_sums_to_that_of_the_model(scalar: Any) -> None:
    family, data, _, x = scalar
    objective = GlmmModel(build_glmm_design("y ~ x + (1 | g)", data, resolve_family(family))).objective(31)
    by_group = glmm_effects.by_group(objective, np.stack([x, x + 0.1]))
    assert by_group.shape == (2, 6)
    for own, at in zip(by_group, (x, x + 0.1), strict=True):
        assert own.sum() == pytest.approx(objective.evaluate(at)[0], rel=1e-10)
    np.testing.assert_allclose(by_group[:, 1], by_group[:, 2])
    b, step = np.linspace(-25, 20, 200_001, retstep=True)
    eta = x[0] + b
    rows = stats.poisson(np.exp(eta)) if family == "poisson" else stats.bernoulli(expit(eta))
    integral = np.sum(rows.pmf(0) * stats.norm(0, x[2]).pdf(b)) * step  # the first level has one row, y = 0
    assert by_group[0, 0] == pytest.approx(np.log(integral), abs=1e-4)
