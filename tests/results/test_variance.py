"""Leverage and standard errors of predictions against dense textbook matrices."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.likelihood import tail
from jmix.likelihood.structure import DenseTail, SparseTail
from jmix.results.fit import Fit


def frame(seed: int, n: int = 90) -> pd.DataFrame:
    """Crossed and nested factors in which many pairs of levels never occur together."""
    rng = np.random.default_rng(seed)
    inner = rng.integers(0, 14, n)
    d = pd.DataFrame({
        "x": rng.normal(size=n),
        "t": rng.integers(0, 4, n).astype(float),
        "fine": [f"f{i:02d}" for i in inner],
        "coarse": [f"c{i // 3}" for i in inner],
        "item": [f"i{i}" for i in rng.integers(0, 9, n)],
        "rater": [f"r{i}" for i in rng.integers(0, 5, n)],
        "w": rng.uniform(0.3, 3.0, n),
    })  # fmt: skip
    for column, sd in (("fine", 1.0), ("coarse", 0.7), ("item", 0.8), ("rater", 0.6)):
        codes, levels = pd.factorize(d[column])
        d[f"e_{column}"] = rng.normal(scale=sd, size=len(levels))[codes]
        d[f"s_{column}"] = rng.normal(scale=0.4, size=len(levels))[codes]
    effects = d.filter(like="e_").sum(axis=1) + d.t * d.filter(like="s_").sum(axis=1)
    d["y"] = 2 + d.x + 0.3 * d.t + effects + rng.normal(scale=0.5, size=n) / np.sqrt(d.w)
    return d


MODELS = {
    "one factor": ("y ~ x + t + (1 + t | item)", False),
    "one factor, weighted": ("y ~ x + t + (1 + t | item)", True),
    "uncorrelated": ("y ~ x + t + (1 + t || item)", True),
    "nested": ("y ~ x + (1 + t | coarse) + (1 | fine)", True),
    "crossed": ("y ~ x + (1 | fine) + (1 | item)", False),
    "vector crossed": ("y ~ x + t + (1 + t | fine) + (1 + t | item)", True),
    "nested and crossed": ("y ~ x + (1 + t | fine) + (1 | coarse) + (1 + t | item) + (1 | rater)", True),
}


class Textbook:
    """V, the best linear unbiased predictor and its error, row by row, without any structure."""

    def __init__(self, fit: Fit) -> None:
        d = fit.design
        n = fit.nobs
        self.fit, self.sigma2 = fit, fit.sigma**2
        self.inverse_w = np.diag(1.0 / (np.ones(n) if d.weights is None else d.weights))
        self.omega = self._omega()
        self.Z = self.z_matrix(fit.terms)
        v = np.linalg.inv(self.inverse_w + self.Z @ self.omega @ self.Z.T)
        c = np.linalg.inv(d.X.T @ v @ d.X)
        self.beta_map = c @ d.X.T @ v
        self.b_map = self.omega @ self.Z.T @ v @ (np.eye(n) - d.X @ self.beta_map)

    def _omega(self) -> np.ndarray:
        blocks = []
        for term, cov in zip(self.fit.terms, self.fit.cov_terms(), strict=True):
            blocks += [cov / self.sigma2] * len(term.levels)
        out, at = np.zeros((sum(map(len, blocks)),) * 2), 0
        for block in blocks:
            out[at : at + len(block), at : at + len(block)] = block
            at += len(block)
        return out

    def z_matrix(self, terms, codes=None) -> np.ndarray:
        parts = []
        for i, term in enumerate(terms):
            j, q = len(self.fit.terms[i].levels), len(term.columns)
            part = np.zeros((len(term.codes), j, q))
            known = np.flatnonzero(term.codes >= 0)
            for a, column in enumerate(term.columns):
                part[known, term.codes[known], a] = column[known]
            parts.append(part.reshape(len(term.codes), j * q))
        return np.concatenate(parts, axis=1)

    def hat(self) -> np.ndarray:
        return np.diag(self.fit.design.X @ self.beta_map + self.Z @ self.b_map)

    def error_sd(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """SD of x'beta_hat + z'b_hat - (x'beta + z'b) over the distribution of b and e."""
        a = x @ self.beta_map + z @ self.b_map
        error_b = a @ self.Z - z
        variance = np.einsum("ij,jk,ik->i", error_b, self.omega, error_b) + np.einsum(
            "ij,jk,ik->i", a, self.inverse_w, a
        )
        return np.sqrt(self.sigma2 * variance)


def make(name: str, monkeypatch: pytest.MonkeyPatch, pair_cost: float) -> tuple[Fit, pd.DataFrame]:
    monkeypatch.setattr(tail, "PAIR_COST", pair_cost)
    formula, weighted = MODELS[name]
    d = frame(7)
    return jmix.lmm(formula, d, weights="w" if weighted else None), d


def new_terms(fit: Fit, d: pd.DataFrame):
    new = fit.design.encoding.encode(d)
    return new.X, [new.random[i] for i in fit.design.term_order]


CASES = [(name, cost) for name in MODELS for cost in (0.0, 1e12) if "crossed" in name or not cost]


@pytest.mark.parametrize(("name", "pair_cost"), CASES)
def test_leverage_and_standard_errors(name: str, pair_cost: float, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, d = make(name, monkeypatch, pair_cost)
    if "crossed" in name:
        kind = DenseTail if pair_cost else SparseTail
        assert isinstance(fit.objective.reduced.stats.blocks[0].tail, kind)
    book = Textbook(fit)
    np.testing.assert_allclose(fit.leverage(), book.hat(), rtol=1e-8)
    out = fit.predict(se=True)
    np.testing.assert_allclose(out["fit"], fit.fitted(), rtol=1e-12)
    np.testing.assert_allclose(out["se"], book.error_sd(fit.design.X, book.Z), rtol=1e-8)
    # every combination of levels, most of which the data do not hold
    grid = d[["fine", "coarse"]].drop_duplicates().merge(d[["item"]].drop_duplicates(), how="cross")
    grid = grid.merge(d[["rater"]].drop_duplicates(), how="cross").sample(150, random_state=1)
    grid["coarse"] = np.roll(grid["coarse"], 1)
    grid["x"], grid["t"] = np.linspace(-2, 3, 150), np.linspace(4, 0, 150)
    x, terms = new_terms(fit, grid)
    assert all((t.codes >= 0).all() for t in terms)
    np.testing.assert_allclose(fit.predict(grid, se=True)["se"], book.error_sd(x, book.z_matrix(terms)), rtol=1e-8)


@pytest.mark.parametrize("name", ["one factor, weighted", "nested and crossed"])
def test_a_new_level_adds_its_prior_variance(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, d = make(name, monkeypatch, 0.0)
    book = Textbook(fit)
    rows = d.head(12).copy()
    rows.loc[rows.index[:6], "item"] = "new"
    x, terms = new_terms(fit, rows)
    item = next(i for i, t in enumerate(fit.terms) if t.group == "item")
    z = np.stack(terms[item].columns, axis=1)[:6]
    extra = np.zeros(12)
    extra[:6] = np.einsum("ia,ab,ib->i", z, fit.cov_terms()[item], z)
    expected = np.sqrt(book.error_sd(x, book.z_matrix(terms)) ** 2 + extra)
    np.testing.assert_allclose(fit.predict(rows, new_levels="population", se=True)["se"], expected, rtol=1e-8)


def test_population_standard_errors() -> None:
    d = frame(3)
    fit = jmix.lmm("y ~ x + t + (1 + t | item)", d)
    X = fit.design.X
    expected = np.sqrt(np.diag(X @ fit.vcov().to_numpy() @ X.T))
    np.testing.assert_allclose(fit.predict(conditional=False, se=True)["se"], expected, rtol=1e-10)


def test_least_squares_leverage_and_standard_errors() -> None:
    d = frame(3)
    fit = jmix.lm("y ~ x + t", d, weights="w")
    X, w = fit.design.X, d.w.to_numpy()
    inverse = np.linalg.inv(X.T @ (w[:, None] * X))
    np.testing.assert_allclose(fit.leverage(), w * np.einsum("ij,jk,ik->i", X, inverse, X), rtol=1e-9)
    se = fit.sigma * np.sqrt(np.einsum("ij,jk,ik->i", X, inverse, X))
    np.testing.assert_allclose(fit.predict(d, se=True)["se"], se, rtol=1e-9)


@pytest.mark.parametrize("random", ["(1 | item)", "(1 | item) + (1 | fine)"])
def test_a_model_without_fixed_effects(random: str) -> None:
    d = frame(3)
    fit = jmix.lmm(f"y ~ 0 + {random}", d)
    book = Textbook(fit)
    np.testing.assert_allclose(fit.leverage(), book.hat(), rtol=1e-8)
    np.testing.assert_allclose(fit.predict(d, se=True)["se"], book.error_sd(fit.design.X, book.Z), rtol=1e-8)


def test_a_singular_fit_has_leverage() -> None:
    d = frame(5)
    d["flat"] = [f"g{i % 6}" for i in range(len(d))]
    fit = jmix.lmm("y ~ x + (1 | item) + (1 | flat)", d)
    assert fit.singular
    np.testing.assert_allclose(fit.leverage(), Textbook(fit).hat(), rtol=1e-8)


@pytest.mark.r
@pytest.mark.parametrize(
    ("data", "formula"),
    [
        pytest.param("sleepstudy", "Reaction ~ Days + (Days | Subject)", marks=pytest.mark.slow),
        pytest.param("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", marks=pytest.mark.slow),
        ("Pastes", "strength ~ 1 + (1 | batch/cask)"),
    ],
)
def test_leverage_agrees_with_lme4(data: str, formula: str, rscript: str) -> None:
    program = f"library(lme4); cat(format(hatvalues(lmer({formula}, {data})), digits=15), sep='\\n')"
    done = subprocess.run([rscript, "-e", program], capture_output=True, text=True, check=True, timeout=120)
    theirs = np.array([float(line) for line in done.stdout.split()])
    ours = jmix.lmm(formula, jmix.load_data(data)).leverage().to_numpy()
    np.testing.assert_allclose(ours, theirs, rtol=2e-4)
    assert abs(ours.sum() - theirs.sum()) < 1e-3
