"""``jmix fit``: what it prints and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix import cli_fit
from jmix.cli import main

FORMULA = "Reaction ~ Days + (Days | Subject)"
SHORT = "Reaction ~ Days + (1 | Subject)"


def test_fit_prints_the_summary(capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    assert main(["fit", "sleepstudy", FORMULA]) == 0
    out, err = capsys.readouterr()
    assert out == f"{jmix.lmm(FORMULA, sleepstudy).summary()}\n"
    assert err == ""


def test_fit_options_reach_the_model(
    folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame
) -> None:
    rng = np.random.default_rng(1)
    data = sleepstudy.assign(
        Subject=sleepstudy["Subject"].astype(int), w=rng.uniform(1, 2, 180), o=rng.normal(size=180)
    )
    data["half"] = np.where(data["Days"] < 4, "early", "late")
    data.to_csv("s.csv", index=False)
    formula = "Reaction ~ half + Subject:Days + (1 | Subject)"
    words = ["fit", "s.csv", formula, "--ml", "--weights", "w", "--offset", "o", "--contrasts", "half=sum"]
    assert main([*words, "--factor", "Subject"]) == 0
    kinds = data.astype({"Subject": "category", "half": "category"})
    fit = jmix.lmm(formula, kinds, reml=False, weights="w", offset="o", contrasts={"half": "sum"})
    assert capsys.readouterr().out == f"{fit.summary()}\n"


def test_without_random_terms_it_is_least_squares(capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    assert main(["fit", "sleepstudy", "Reaction ~ Days"]) == 0
    assert capsys.readouterr().out == f"{jmix.lm('Reaction ~ Days', sleepstudy).summary()}\n"
    assert main(["fit", "sleepstudy", "Reaction ~ Days", "--ml"]) == 0
    assert "Linear model fit by maximum likelihood" in capsys.readouterr().out


def test_out_writes_the_tables(folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame) -> None:
    data = sleepstudy.copy()
    data.loc[2, "Reaction"] = np.nan
    data.to_csv("s.csv", index=False)
    assert main(["fit", "s.csv", FORMULA, "--factor", "Subject", "--out", "deep/results"]) == 0
    results = folder / "deep" / "results"
    written = {file.name for file in results.iterdir()}
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"Wrote to {Path('deep/results')}: fixef.csv, ")
    assert written == {
        "fixef.csv", "vcov.csv", "varcorr.csv", "ranef_Subject.csv", "augment.csv", "glance.csv",
        "summary.txt", "summary.md", "fit.npz",
    }  # fmt: skip
    fit = jmix.lmm(FORMULA, data)
    fixef = pd.read_csv(results / "fixef.csv", index_col="term")
    np.testing.assert_allclose(fixef["estimate"], fit.fixef(), rtol=1e-9)
    np.testing.assert_allclose(fixef["std_error"], fit.se(), rtol=1e-9)
    np.testing.assert_allclose(pd.read_csv(results / "vcov.csv", index_col="term"), fit.vcov(), rtol=1e-9)
    np.testing.assert_allclose(pd.read_csv(results / "varcorr.csv")["sdcor"], fit.varcorr()["sdcor"], rtol=1e-9)
    assert pd.read_csv(results / "glance.csv")["nobs"].item() == 179
    ranef = pd.read_csv(results / "ranef_Subject.csv", dtype={"level": str})
    wide = ranef.pivot(index="level", columns="term", values="estimate")[["(Intercept)", "Days"]]
    np.testing.assert_allclose(wide, fit.ranef()["Subject"], rtol=1e-6)
    augment = pd.read_csv(results / "augment.csv")
    assert augment["row"].tolist()[:4] == [1, 2, 4, 5]
    np.testing.assert_allclose(augment["fitted"] + augment["resid"], data["Reaction"].dropna(), rtol=1e-9)
    assert (results / "summary.txt").read_text(encoding="utf-8") == f"{fit.summary()}\n"
    assert "| Subject |" in (results / "summary.md").read_text(encoding="utf-8")
    np.testing.assert_allclose(jmix.load_fit(results / "fit.npz").fixef(), fit.fixef(), rtol=1e-9)


def test_out_works_for_least_squares(folder: Path) -> None:
    assert main(["fit", "sleepstudy", "Reaction ~ Days", "--out", "o", "--quiet"]) == 0
    assert not list((folder / "o").glob("ranef*"))
    assert jmix.load_fit(folder / "o" / "fit.npz").method == "OLS"


def test_group_names_become_safe_file_names() -> None:
    assert cli_fit.file_names(["g", "batch:cask", "a/../b", "G", "batch.cask"]) == [
        "ranef_g.csv", "ranef_batch_cask.csv", "ranef_a_.._b.csv", "ranef_G_2.csv", "ranef_batch.cask.csv",
    ]  # fmt: skip
    assert len(cli_fit.file_names(["x" * 500])[0]) < 120


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "sleepstudy", SHORT, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_singular_fit_is_a_result(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    g, y = np.repeat(list("abcd"), 6), np.tile([1.0, 2, 4, 3, 6, 5], 4)
    pd.DataFrame({"y": y, "g": g}).to_csv("s.csv", index=False)
    assert main(["fit", "s.csv", "y ~ 1 + (1 | g)", "--strict"]) == 0
    assert "singular" in capsys.readouterr().out.lower()


def test_strict_asks_for_convergence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmix.results.fit.Fit.converged", property(lambda fit: False))
    assert main(["fit", "sleepstudy", SHORT]) == 0
    assert capsys.readouterr().err == ""
    assert main(["fit", "sleepstudy", SHORT, "--strict"]) == 1
    assert capsys.readouterr().err == "jmix: the fit has not converged\n"


def test_an_interrupted_fit_shows_the_best_so_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jmix.estimate.newton._iterate", stop)
    monkeypatch.setattr("jmix.estimate.newton.PATIENCE", -1.0)
    assert main(["fit", "sleepstudy", SHORT]) == 130
    out, err = capsys.readouterr()
    assert "Fixed effects:" in out and "interrupted: these are the best" in out
    assert err == "jmix: interrupted: the results are the best so far\n"


def test_a_device_that_is_not_there(refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda':\nno driver")

    monkeypatch.setattr(cli_fit, "default_device", absent)
    assert refuse("fit", "sleepstudy", SHORT).startswith("JAX cannot start: Unable to initialize")


def test_df_and_anova_reach_the_output(
    folder: Path, capsys: pytest.CaptureFixture[str], sleepstudy: pd.DataFrame
) -> None:
    assert main(["fit", "sleepstudy", FORMULA, "--df", "kenward-roger", "--anova", "--out", "o"]) == 0
    out = capsys.readouterr().out
    fit = jmix.lmm(FORMULA, sleepstudy)
    summary, anova = fit.summary("kenward-roger"), fit.anova("III", "kenward-roger")
    assert out.startswith(f"{summary}\n\n{anova}\n")
    fixef = pd.read_csv(folder / "o" / "fixef.csv", index_col="term")
    np.testing.assert_allclose(fixef[["df", "p_value"]], summary.coefficients[["df", "p_value"]], rtol=1e-9)
    written = pd.read_csv(folder / "o" / "anova.csv", index_col="term")
    np.testing.assert_allclose(written["F"], anova.table["F"], rtol=1e-9)
    assert main(["fit", "sleepstudy", FORMULA, "--df", "none"]) == 0
    assert capsys.readouterr().out == f"{fit.summary('none')}\n"


def test_a_rule_that_the_model_does_not_have_is_refused(refuse: Callable[..., str]) -> None:
    assert "least squares" in refuse("fit", "sleepstudy", "Reaction ~ Days", "--df", "satterthwaite")
    assert "invalid choice: 'welch'" in refuse("fit", "sleepstudy", SHORT, "--df", "welch")
    binomial = ("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", "--family", "binomial")
    assert "Wald z tests" in refuse("fit", "cbpp", *binomial, "--df", "kenward-roger")
