"""The distribution of the random effects given the data against Henderson's mixed model equations."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jmix.estimate.filtered import FilteredCovariance


def _henderson(twin: Any, model: Any, theta: Any) -> tuple[Any, Any, Any]:
    """Modes (Q,), their covariance given beta over sigma^2 (Q, Q), and beta, from the equations in b = Lambda u."""
    z, lam = twin.random_effects(model, theta)
    design = model.design
    weights = np.ones(design.y.size) if design.weights is None else design.weights
    y = design.y if design.offset is None else design.y - design.offset
    zl = z @ lam
    x, w = design.X, weights[:, None]
    top = np.concatenate([x.T @ (w * x), x.T @ (w * zl)], axis=1)
    bottom = np.concatenate([zl.T @ (w * x), zl.T @ (w * zl) + np.eye(zl.shape[1])], axis=1)
    right = np.concatenate([x.T @ (weights * y), zl.T @ (weights * y)])
    solution = np.linalg.solve(np.concatenate([top, bottom]), right)
    p = x.shape[1]
    return lam @ solution[p:], lam @ np.linalg.solve(bottom[:, p:], lam.T), solution[:p]


def _by_factor(model: Any) -> dict[str, Any]:
    """(J, q) positions in Henderson's order of each factor's random effects, its terms side by side."""
    out: dict[str, list[Any]] = {}
    start = 0
    for term in model.terms:
        q, j = len(term.names), len(term.levels)
        out.setdefault(term.group, []).append(start + np.arange(q * j).reshape(j, q))
        start += q * j
    return {group: np.concatenate(parts, axis=1) for group, parts in out.items()}


@given(seed=st.integers(0, 2**32 - 1), weighted=st.booleans())
def test_modes_and_covariances(structure: str, twin: Any, case: Any, near: Any, seed: int, weighted: bool) -> None:
    drawn = case(structure, seed, weighted=weighted)
    model, objective = drawn.model, drawn.model.objective
    modes, covariance, beta = _henderson(twin, model, drawn.theta)
    gram = objective.reduce(drawn.phi)[1]
    contrast = objective._contrast(gram, beta)
    spread = max(1.0, float(np.abs(modes).max()))
    found, blocks = objective.modes(drawn.phi, contrast), objective.covariances(drawn.phi)
    size = max(1.0, float(np.abs(covariance).max()))
    for group, place in _by_factor(model).items():
        near(found[group] / spread, modes[place] / spread, 1e-9)
        near(blocks[group] / size, covariance[place[:, :, None], place[:, None, :]] / size, 1e-9)


@given(
    seed=st.integers(0, 2**32 - 1),
    structure=st.sampled_from(["nested vectors", "crossed vectors", "nested and crossed"]),
)
def test_covariances_between_factors(twin: Any, case: Any, near: Any, structure: str, seed: int) -> None:
    drawn = case(structure, seed)
    model = drawn.model
    covariance = _henderson(twin, model, drawn.theta)[1]
    size = max(1.0, float(np.abs(covariance).max()))
    places = _by_factor(model)
    filtered = FilteredCovariance(model.objective, drawn.phi)
    for left, right in [(a, b) for a in places for b in places if a != b]:
        j = drawn.rng.integers(0, len(places[left]), 12)
        k = drawn.rng.integers(0, len(places[right]), 12)
        expected = covariance[places[left][j][:, :, None], places[right][k][:, None, :]]
        near(filtered.blocks(left, right, j, k) / size, expected / size, 1e-9)
