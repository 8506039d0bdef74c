"""Generalized linear mixed models written to disk and read again."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import DataError
from jmix.results.glmm_fit import GlmmFit

Fits = Callable[[str], GlmmFit]

NEW = {
    "cbpp": {"period": ["1", "3"], "herd": ["1", "7"]},
    "zinb": {"x": [0.1, 1.3], "Subject": ["308", "372"]},
    "ordinal": {"x": [0.1, 1.3], "Subject": ["308", "372"]},
    "crossed": {"plate": ["a", "b"], "sample": ["A", "F"]},
    "plain": {"period": ["1", "3"]},
}


def same(a: Any, b: Any) -> None:
    (pd.testing.assert_frame_equal if a.ndim == 2 else pd.testing.assert_series_equal)(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("name", NEW)
def test_round_trip(glmm_fit: Fits, name: str, tmp_path: Path) -> None:
    fit = glmm_fit(name)
    path = tmp_path / "a fit.of.mine"
    fit.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a fit.of.mine"]
    back = jmix.load_fit(path)
    assert type(back) is GlmmFit
    for component in ("cond", "disp", "zi", "thresholds"):
        if fit.parts.names[component]:
            same(fit.fixef(component), back.fixef(component))
            same(fit.vcov(component), back.vcov(component))
            same(fit.se(component), back.se(component))
    same(fit.varcorr(), back.varcorr())
    same(fit.residuals("quantile"), back.residuals("quantile"))
    same(fit.fitted(), back.fitted())
    for group, frame in fit.ranef().items():
        same(frame, back.ranef()[group])
        same(fit.ranef_sd()[group], back.ranef_sd()[group])
    same(fit.predict(NEW[name]), back.predict(NEW[name]))
    same(fit.predict(NEW[name], population_averaged=True), back.predict(NEW[name], population_averaged=True))
    same(fit.augment(), back.augment())
    assert fit.simulate(2, seed=1).equals(back.simulate(2, seed=1))
    assert str(fit) == str(back)
    for scalar in ("loglik", "aic", "npar", "method", "formula", "status", "family", "dispersion", "converged"):
        before, after = getattr(fit, scalar), getattr(back, scalar)
        assert before == after or (before != before and after != after), scalar


def test_standard_errors_of_new_rows_survive(glmm_fit: Fits, tmp_path: Path) -> None:
    for name in ("zinb", "crossed"):
        fit = glmm_fit(name)
        fit.save(tmp_path / name)
        back = jmix.load_fit(tmp_path / name)
        assert isinstance(back, GlmmFit)
        np.testing.assert_allclose(back.predict(NEW[name], se=True), fit.predict(NEW[name], se=True), rtol=1e-7)


def test_the_points_of_an_integral_are_made_anew(tmp_path: Path) -> None:
    formula = "cbind(incidence, size - incidence) ~ 1 + (1 | herd)"
    fit = jmix.glmm(formula, jmix.load_data("cbpp"), family="binomial", method="qmc", n_points=64)
    assert "(Quasi-Monte Carlo, 64 points)" in str(fit).split("\n")[0]
    fit.save(tmp_path / "f")
    back = jmix.load_fit(tmp_path / "f")
    assert isinstance(back, GlmmFit)
    assert back.n_points == 64
    assert back.objective.loglik(back.solution.x) == pytest.approx(fit.loglik, abs=1e-9)


def test_a_loaded_fit_can_be_refitted(glmm_fit: Fits, tmp_path: Path) -> None:
    fit = glmm_fit("cbpp")
    fit.save(tmp_path / "f")
    back = jmix.load_fit(tmp_path / "f")
    assert isinstance(back, GlmmFit)
    y = fit.simulate(1, seed=2)["sim_1"]
    np.testing.assert_allclose(back.refit(y).fixef(), fit.refit(y).fixef(), rtol=1e-7)


def test_the_other_readers_say_what_the_file_holds(glmm_fit: Fits, tmp_path: Path) -> None:
    glmm_fit("cbpp").save(tmp_path / "f")
    with pytest.raises(DataError, match=r"holds a fit, not a posterior; read it with jmix\.load_fit"):
        jmix.load_posterior(tmp_path / "f")
    linear = jmix.lmm("Reaction ~ Days + (1 | Subject)", jmix.load_data("sleepstudy"))
    linear.save(tmp_path / "l")
    assert type(jmix.load_fit(tmp_path / "l")) is type(linear)


def changed(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], Any]) -> None:
    """Rewrite a file with its description and arrays changed."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(arrays.pop("meta").tobytes().decode())
    change(meta, arrays)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())


DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Any]] = {
    "no solution": lambda meta, arrays: arrays.pop("solution.x"),
    "short x": lambda meta, arrays: arrays.update({"solution.x": arrays["solution.x"][:-1]}),
    "text": lambda meta, arrays: arrays.update({"solution.vcov": arrays["solution.vcov"].astype(str)}),
    "modes": lambda meta, arrays: arrays.update({"modes.0": arrays["modes.0"][:-1]}),
    "response": lambda meta, arrays: arrays.pop("response.y"),
    "family": lambda meta, arrays: meta["design"].update(family={"name": "poisson"}),
    "side": lambda meta, arrays: meta["design"]["sides"].update(zi=None),
    "levels": lambda meta, arrays: meta["design"].update(family=meta["design"]["family"] | {"n_categories": 3}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_called_one(glmm_fit: Fits, damage: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    glmm_fit("zinb").save(path)
    changed(path, DAMAGE[damage])
    with pytest.raises(DataError, match="damaged jmix fit; fit and save the model again"):
        jmix.load_fit(path)


def test_a_truncated_file_and_a_later_version_are_told(glmm_fit: Fits, tmp_path: Path) -> None:
    path = tmp_path / "fit.npz"
    glmm_fit("cbpp").save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        jmix.load_fit(path)
    path.write_bytes(whole)
    changed(path, lambda meta, arrays: meta.update(format=99))
    with pytest.raises(DataError, match="has format 99, this version of jmix reads 1"):
        jmix.load_fit(path)
    assert zipfile.is_zipfile(path)


def test_labels_and_missing_rows_survive(tmp_path: Path) -> None:
    data = jmix.load_data("cbpp").set_index(pd.Index([f"r{i}" for i in range(56)], name="row"))
    data["sick"] = np.where(data["incidence"] > 1, "yes", "no")
    data.loc["r3", "sick"] = None
    fit = jmix.glmm("sick ~ period", data, family="bernoulli")
    fit.save(tmp_path / "f")
    back = jmix.load_fit(tmp_path / "f")
    assert isinstance(back, GlmmFit)
    assert back.design.response.levels == ("no", "yes")
    assert "r3" not in back.fitted().index
    assert set(back.simulate(1)["sim_1"]) == {"no", "yes"}
    assert "1 row dropped for missing values" in str(back)
