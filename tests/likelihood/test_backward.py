"""Draws of the random effects, and the likelihood of each group, against dense linear algebra."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from jmix.errors import ModelError
from jmix.estimate import effects as conditional
from jmix.estimate.draws import Draws, SamplerSettings
from jmix.likelihood import tail
from jmix.likelihood.structure import DenseTail, SparseTail
from jmix.results.posterior import Posterior

Array = npt.NDArray[Any]

STRUCTURES = [
    ("q = 7", None),
    ("terms of one factor", None),
    ("nested three deep", None),
    ("crossed vectors", SparseTail),
    ("nested and crossed", SparseTail),
    ("nested and crossed", DenseTail),
]
"""Structures, and how a chain is coupled with its tail."""


def _draws(model: Any, thetas: Array, betas: Array, sigmas: Array) -> Draws:
    """One chain of given parameters."""
    each = [model.spec.split(theta) for theta in thetas]
    chol = tuple(
        np.stack([s * lams[i] for s, lams in zip(sigmas, each, strict=True)])[None] for i in range(len(each[0]))
    )
    settings = SamplerSettings(len(sigmas), 0, 1, 0)
    return Draws(betas[None], chol, sigmas[None], np.zeros((1, len(sigmas))), None, settings)  # type: ignore[arg-type]


def _posterior(drawn: Any, count: int = 3) -> Posterior:
    """A model with a few random values of its parameters."""
    model, rng = drawn.model, drawn.rng
    thetas = drawn.theta * rng.uniform(0.5, 1.5, (count, drawn.theta.size))
    spread = np.std(model.design.y)
    betas = spread * rng.normal(size=(count, model.design.X.shape[1]))
    draws = _draws(model, thetas, betas, spread * rng.uniform(0.2, 1.0, count))
    return Posterior(model.design, model.spec, model.terms, model.objective, None, draws)  # type: ignore[arg-type]


def _dense(twin: Any, post: Posterior, d: int) -> SimpleNamespace:
    """Residuals, Z, the prior covariance of b, and the weights at one draw."""
    sigma = post.draws.sigma[0, d]
    theta = post.spec.join([c[0, d] / sigma for c in post.draws.chol])
    z, lam = twin.random_effects(post, theta)
    design = post.design
    residual = design.y - design.X @ post.draws.beta[0, d] - (0.0 if design.offset is None else design.offset)
    weights = np.ones(design.y.size) if design.weights is None else design.weights
    return SimpleNamespace(residual=residual, z=z, omega=sigma**2 * lam @ lam.T, noise=sigma**2 / weights)


def _places(post: Posterior) -> dict[str, Array]:
    """(J, q) columns of Z of each factor's random effects, its terms side by side."""
    out: dict[str, list[Array]] = {}
    start = 0
    for term in post.terms:
        q, j = len(term.names), len(term.levels)
        out.setdefault(term.group, []).append(start + np.arange(q * j).reshape(j, q))
        start += q * j
    return {group: np.concatenate(parts, axis=1) for group, parts in out.items()}


@pytest.mark.parametrize(("structure", "coupling"), STRUCTURES)
def test_a_draw_is_the_conditional_mean_plus_a_root_of_the_joint_covariance(
    twin: Any, case: Any, near: Any, monkeypatch: pytest.MonkeyPatch, structure: str, coupling: Any
) -> None:
    """A draw is linear in its standard normal numbers: unit vectors give its whole distribution without chance."""
    monkeypatch.setattr(tail, "PAIR_COST", 0.0 if coupling is SparseTail else 1e9)
    post = _posterior(case(structure, 11, weighted=True, offset=True), 1)
    assert coupling is None or isinstance(post.objective.reduced.stats.blocks[0].tail, coupling)
    at = _dense(twin, post, 0)
    v = at.z @ at.omega @ at.z.T + np.diag(at.noise)
    gain = np.linalg.solve(v, at.z @ at.omega).T
    mean, covariance = gain @ at.residual, at.omega - gain @ at.z @ at.omega

    places, size = _places(post), at.z.shape[1]
    given = conditional.given(post.objective, post.draws, np.zeros(size + 1, dtype=np.int64))
    shapes = conditional._shapes(post.objective.reduced.stats)
    units = np.concatenate([np.zeros((1, size)), np.eye(size)])
    cuts = np.cumsum([q * j for q, j in shapes])[:-1]
    noise = [part.reshape(-1, *shape) for part, shape in zip(np.split(units, cuts, axis=1), shapes, strict=True)]
    found = np.zeros((size + 1, size))
    for _, raw in conditional._chunks(post.objective, given, size + 1, conditional._DRAWS, lambda _: noise):
        for group, values in zip(conditional._groups(post.objective), raw, strict=True):
            found[:, places[group]] = values
    scale = np.sqrt(np.max(np.diag(at.omega)))
    near(found[0] / scale, mean / scale, 1e-9)
    root = (found[1:] - found[0]) / scale
    near(root.T @ root, covariance / scale**2, 1e-9)


@pytest.mark.parametrize("structure", ["terms of one factor", "nested three deep"])
def test_the_likelihood_of_each_group_is_a_multivariate_normal_density(twin: Any, case: Any, structure: str) -> None:
    post = _posterior(case(structure, 5, weighted=True, offset=True))
    found = post.log_likelihood("marginal")
    last = post.objective.reduced.elimination.chain[-1].group
    codes = next(t.codes for t in post.terms if t.group == last)
    assert found.shape == (1, 3, codes.max() + 1)
    for d in range(3):
        at = _dense(twin, post, d)
        v = at.z @ at.omega @ at.z.T + np.diag(at.noise)
        for level in range(found.shape[2]):
            rows = np.flatnonzero(codes == level)
            expected = multivariate_normal.logpdf(at.residual[rows], cov=v[np.ix_(rows, rows)])
            assert found[0, d, level] == pytest.approx(expected, rel=1e-8, abs=1e-8)
        sigma = post.draws.sigma[0, d]
        theta = post.spec.join([c[0, d] / sigma for c in post.draws.chol])
        whole = post.objective.log_marginal(theta, post.draws.beta[0, d], sigma, False)
        assert found[0, d].sum() == pytest.approx(whole, rel=1e-10, abs=1e-8)


def test_groups_that_are_not_independent_have_no_likelihood_of_their_own(case: Any) -> None:
    with pytest.raises(ModelError, match="d, e are not nested"):
        _posterior(case("crossed", 1)).log_likelihood("marginal")


def test_moments_are_those_of_the_mixture_over_draws(twin: Any, case: Any, near: Any) -> None:
    post = _posterior(case("nested and crossed", 3), 4)
    means, variances = [], []
    for d in range(4):
        at = _dense(twin, post, d)
        v = at.z @ at.omega @ at.z.T + np.diag(at.noise)
        gain = np.linalg.solve(v, at.z @ at.omega).T
        means.append(gain @ at.residual)
        variances.append(np.diag(at.omega - gain @ at.z @ at.omega))
    mean, sd = np.mean(means, axis=0), np.sqrt(np.mean(variances, axis=0) + np.var(means, axis=0, ddof=1))
    scale = float(np.abs(mean).max())
    given = conditional.given(post.objective, post.draws, np.arange(4))
    found = conditional.moments(post.objective, given, 3)
    for group, place in _places(post).items():
        near(found[0][group] / scale, mean[place] / scale, 1e-9)
        near(found[1][group] / scale, sd[place] / scale, 1e-9)
