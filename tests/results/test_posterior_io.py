"""Posteriors written to disk and read again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

import jmix
from jmix import DataError, JmixError, ModelError, runtime
from jmix.estimate.draws import Draws
from jmix.results.posterior import Posterior
from jmix.spec.supports import ScalarPrior

FORMULA = "Reaction ~ Days + (Days | Subject)"


class OwnNormal(dist.Normal):
    """A class that no other program knows."""


def with_priors(post: Posterior, data: Any, priors: dict[str, Any] | None = None) -> Posterior:
    family: Any = post.family
    return replace(post, priors=jmix.model(post.formula, data, priors=priors, family=family).priors)


@pytest.fixture(scope="module")
def plain(fake_posterior: Posterior) -> Posterior:
    return with_priors(fake_posterior, jmix.load_data("sleepstudy"))


@pytest.fixture(scope="module")
def rich(make_posterior: Callable[..., Posterior]) -> Posterior:
    """Two terms of one factor, a spline, missing rows, a Student-t response, sampled effects, few draws."""
    data = jmix.load_data("sleepstudy")
    data.loc[3, "Reaction"] = np.nan
    formula = "log(Reaction) ~ bs(Days, df = 4) + offset(Days / 100) + (1 + Days || Subject)"
    post = make_posterior(formula, data, chains=2, draws=30, nu=True, marginal=False, interrupted=True, init="values")
    effects = {"Subject": np.random.default_rng(3).normal(size=(2, 30, 18, 2))}
    kept = replace(post.draws, effects=effects)
    return with_priors(replace(post, draws=kept), data, {"sd": "gamma(2, 0.5)", "nu": "gamma(3, 0.123456789)"})


@pytest.fixture(scope="module")
def saved(plain: Posterior, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "post.npz"
    plain.save(path)
    return path.read_bytes()


def same_draws(one: Draws, two: Draws) -> None:
    for field in fields(Draws):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if field.name in ("stats", "settings"):
            left, right = asdict(left), asdict(right)
            assert left.keys() == right.keys()
            pairs = [(left[name], right[name]) for name in left]
        elif field.name == "effects":
            pairs = [] if left is None and right is None else [(left[g], right[g]) for g in left]
        else:
            pairs = list(zip(left, right, strict=True)) if isinstance(left, tuple) else [(left, right)]
        for a, b in pairs:
            assert type(a) is type(b), field.name
            np.testing.assert_array_equal(a, b)
            assert not isinstance(a, np.ndarray) or a.dtype == b.dtype


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_round_trip(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    post: Posterior = request.getfixturevalue(kind)
    path = tmp_path / "a posterior.of.mine"
    post.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a posterior.of.mine"]
    back = jmix.load_posterior(path)
    assert type(back) is Posterior
    same_draws(post.draws, back.draws)
    assert str(back) == str(post)
    assert back.spec == post.spec and back.family == post.family
    assert [t.levels for t in back.terms] == [t.levels for t in post.terms]
    pd.testing.assert_frame_equal(back.frame(), post.frame())
    pd.testing.assert_frame_equal(back.glance(), post.glance())
    pd.testing.assert_frame_equal(back.priors.table(), post.priors.table())
    hypothesis = f"{post.design.x_names[1]} > sigma"
    pd.testing.assert_frame_equal(back.hypothesis(hypothesis).table, post.hypothesis(hypothesis).table)
    theta = post.theta.to_numpy()
    assert back.objective.log_marginal(theta, post.beta, post.sigma, False) == post.objective.log_marginal(
        theta, post.beta, post.sigma, False
    )


@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_a_read_posterior_predicts_as_the_original(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    post: Posterior = request.getfixturevalue(kind)
    post.save(tmp_path / "p.npz")
    back = jmix.load_posterior(tmp_path / "p.npz")
    new = pd.DataFrame({"Days": [0.5, 8.5], "Subject": ["308", "372"]})
    pd.testing.assert_frame_equal(back.predict(new), post.predict(new))
    pd.testing.assert_frame_equal(back.ranef_table(), post.ranef_table())


def test_a_read_posterior_can_be_saved_again(rich: Posterior, tmp_path: Path) -> None:
    rich.save(tmp_path / "one.npz")
    jmix.load_posterior(tmp_path / "one.npz").save(tmp_path / "two.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        assert one.files == two.files
        assert all(np.array_equal(one[name], two[name]) for name in one.files)


# --- priors ---------------------------------------------------------------------------------------------------------
PRIORS: dict[str, dict[str, Any]] = {
    "words": {
        "b": "normal(0.123456789, precision=0.001)", "sd_Subject__Days": "uniform(0, 12.3456789)",
        "sd": "half_student_t(3, 7.7)", "cor": "lkj(2.5)", "sigma": "gamma(0.0123456789, 0.01) on precision",
    },
    "objects": {
        "Intercept": dist.StudentT(3.0, 250.0, 0.1), "b": dist.Laplace(0.0, 12.345678901),
        "sd": dist.TruncatedNormal(0.0, 10.0, low=0.0), "sigma": dist.LogNormal(3.0, 0.5), "cor": dist.LKJ(2, 3.0),
    },
    "two-sided": {"b": dist.TruncatedNormal(0.0, 10.0, low=-5.0, high=20.0), "sigma": dist.HalfNormal(np.float32(0.1))},
    "matrix": {"cov_Subject": dist.InverseWishart(4.0, scale_matrix=np.array([[600.0, 10.0], [10.0, 40.0]]))},
    "matrix in words": {"cov_Subject": "wishart(3, 0.01) on precision"},
}  # fmt: skip


def scalars(post: Posterior) -> list[ScalarPrior]:
    priors = post.priors
    assert priors.centred is not None
    return [*priors.coefficients, priors.centred, priors.sigma, *(sd for term in priors.terms for sd in term.sds)]


@pytest.mark.parametrize("kind", PRIORS)
def test_priors_come_back_as_they_were(kind: str, fake_posterior: Posterior, tmp_path: Path) -> None:
    post = with_priors(fake_posterior, jmix.load_data("sleepstudy"), PRIORS[kind])
    post.save(tmp_path / "p.npz")
    back = jmix.load_posterior(tmp_path / "p.npz")
    pd.testing.assert_frame_equal(back.priors.table(), post.priors.table())
    for one, two in zip(scalars(post), scalars(back), strict=True):
        assert (one.low, one.high, one.on) == (two.low, two.high, two.on)
        assert one.prior.flat == two.prior.flat
        if not one.prior.flat:
            assert type(one.prior.distribution) is type(two.prior.distribution)
            with runtime.float64():
                left, right = (float(p.prior.distribution.log_prob(3.25)) for p in (one, two))
            assert left == pytest.approx(right, rel=1e-6)
    for a, b in zip(post.priors.terms, back.priors.terms, strict=True):
        assert a.concentration == b.concentration
        assert (a.matrix is None) == (b.matrix is None)
        if a.matrix is not None and b.matrix is not None:
            assert (a.matrix.df, a.matrix.inverse) == (b.matrix.df, b.matrix.inverse)
            np.testing.assert_allclose(a.matrix.matrix, b.matrix.matrix, rtol=1e-12)


def test_a_distribution_of_the_user_prints_and_is_refused_elsewhere(fake_posterior: Posterior, tmp_path: Path) -> None:
    mixture = dist.MixtureSameFamily(
        dist.Categorical(np.array([0.5, 0.5])), dist.Gamma(np.array([2.0, 3.0]), np.array([0.1, 0.1]))
    )
    priors = {"b": OwnNormal(0.0, 10.0), "sigma": mixture}
    post = with_priors(fake_posterior, jmix.load_data("sleepstudy"), priors)
    for _ in range(2):
        post.save(tmp_path / "p.npz")
        post = jmix.load_posterior(tmp_path / "p.npz")
        assert post.priors.table()["prior"].tolist()[1] == "OwnNormal(loc=0, scale=10)"
        assert (post.priors.sigma.low, post.priors.sigma.high) == (0.0, np.inf)
    for prior, name in ((post.priors.coefficients[1], "OwnNormal"), (post.priors.sigma, "MixtureSameFamily")):
        with pytest.raises(ModelError, match=f"{name} was not saved"):
            prior.prior.distribution.log_prob(1.0)


# --- what is refused ------------------------------------------------------------------------------------------------
def test_a_file_of_the_other_kind_names_its_reader(saved: bytes, tmp_path: Path) -> None:
    (tmp_path / "post.npz").write_bytes(saved)
    with pytest.raises(DataError, match=r"holds a posterior, not a fit; read it with jmix\.load_posterior"):
        jmix.load_fit(tmp_path / "post.npz")
    jmix.lmm("Reaction ~ Days + (1 | Subject)", jmix.load_data("sleepstudy")).save(tmp_path / "fit.npz")
    with pytest.raises(DataError, match=r"holds a fit, not a posterior; read it with jmix\.load_fit"):
        jmix.load_posterior(tmp_path / "fit.npz")


def rewrite(path: Path, content: bytes, arrays: dict[str, Any], **meta: Any) -> None:
    path.write_bytes(content)
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    text = json.dumps(json.loads(found["meta"].tobytes()) | meta).encode()
    found |= {"meta": np.frombuffer(text, dtype=np.uint8)} | arrays
    np.savez(path, **{k: v for k, v in found.items() if v is not None})


DAMAGE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no coefficients": ({"draws.beta": None}, {}),
    "draws of another number": ({"draws.sigma": np.ones((4, 7))}, {}),
    "no draws": ({"draws.sigma": np.ones((4, 0))}, {}),
    "text for numbers": ({"draws.log_density": np.full((4, 250), "a")}, {}),
    "whole numbers for divergences": ({"stats.diverging": np.zeros((4, 250), np.int64)}, {}),
    "a factor of another size": ({"draws.chol.0": np.ones((4, 250, 3, 3))}, {}),
    "a short response": ({"y": np.ones(5)}, {}),
    "effects that are not there": ({}, {"effects": ["Subject"]}),
    "effects of another factor": ({}, {"effects": ["Item"]}),
    "another family": ({}, {"family": "poisson"}),
    "an unknown setting": ({}, {"settings": {"draws": 250, "tune": 1, "chains": 4, "seed": 0, "more": 1}}),
    "no design": ({}, {"design": {}}),
    "no such class": (
        {},
        {
            "priors": [
                {
                    "parameter": "sigma", "default": False, "on": "value", "text": "x",
                    "distribution": {"numpyro": "util", "arguments": {}},
                }
            ]
        },
    ),
    "a prior too few": ({}, {"priors": []}),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused(damage: str, saved: bytes, tmp_path: Path) -> None:
    arrays, meta = DAMAGE[damage]
    rewrite(tmp_path / "post.npz", saved, arrays, **meta)
    with pytest.raises(DataError, match="damaged jmix posterior; sample and save"):
        jmix.load_posterior(tmp_path / "post.npz")


def test_truncated_and_foreign_files_are_refused(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "post.npz"
    for content in (b"", b"hello", saved[: len(saved) // 2], saved[:-30]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is not a posterior that jmix saved"):
            jmix.load_posterior(path)
    with pytest.raises(DataError, match=r"there is no file .* posterior\.save"):
        jmix.load_posterior(tmp_path / "nothing.npz")


def test_a_later_format_is_refused(saved: bytes, tmp_path: Path) -> None:
    rewrite(tmp_path / "post.npz", saved, {}, format=99)
    with pytest.raises(DataError, match="format 99"):
        jmix.load_posterior(tmp_path / "post.npz")


def test_a_folder_that_is_not_there_is_refused(plain: Posterior, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write"):
        plain.save(tmp_path / "no" / "folder.npz")
    assert list(tmp_path.iterdir()) == []


def test_draws_of_the_prior_are_saved_too(tmp_path: Path) -> None:
    model = jmix.model("Reaction ~ 1 + (1 | Subject)", jmix.load_data("sleepstudy"), priors={"sd": "half_normal(9)"})
    prior = model.sample_prior(50, seed=1)
    prior.save(tmp_path / "prior.npz")
    same_draws(jmix.load_posterior(tmp_path / "prior.npz").draws, prior.draws)


def test_netcdf_holds_the_draws_for_arviz(plain: Posterior, tmp_path: Path) -> None:
    arviz = pytest.importorskip("arviz")
    pytest.importorskip("h5netcdf")
    plain.save(tmp_path / "post.nc")
    data = arviz.from_netcdf(str(tmp_path / "post.nc"))
    np.testing.assert_array_equal(data["posterior"]["sigma"].values, plain["sigma"])
    with pytest.raises(DataError, match="cannot write"):
        plain.save(tmp_path / "no" / "folder.nc")


def test_netcdf_without_a_writer_is_refused(plain: Posterior, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmix.results.posterior_io.ENGINES", ("no_such_package",))
    with pytest.raises(JmixError, match="pip install h5netcdf"):
        plain.save(tmp_path / "post.nc")


def test_netcdf_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "post.nc").write_bytes(b"CDF")
    with pytest.raises(DataError, match=r"netCDF file.*arviz\.from_netcdf"):
        jmix.load_posterior(tmp_path / "post.nc")
