"""``jmix sample --family``: what reaches the sampler, and what one short run prints and writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import jmix
from jmix.cli import main

FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
BINOMIAL = ("--family", "binomial")
SHORT = ("--draws", "60", "--tune", "80", "--chains", "2", "--no-progress")


class Stop(Exception):
    """Raised in place of sampling."""


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {"n_agq": None, "integration": "agq", "marginal": None}),
        (("--agq", "7"), {"n_agq": 7, "integration": "agq", "marginal": None}),
        (("--method", "qmc"), {"n_agq": None, "integration": "qmc", "marginal": None}),
        (("--full",), {"n_agq": None, "integration": "agq", "marginal": False}),
    ],
)
def test_options_reach_the_sampler(
    words: tuple[str, ...], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def note(model: Any, *given: Any, **more: Any) -> Any:
        seen.update(model=model, given=given, **more)
        raise Stop

    monkeypatch.setattr("jmix.models_glmm.GlmmModel.sample", note)
    monkeypatch.setattr("jmix.cli._fail", lambda *_: 70)
    main(["sample", "cbpp", FORMULA, *BINOMIAL, "--link", "probit", "--prior", "b=normal(0, 3)", *SHORT, *words])
    assert seen["given"] == (60, 80, 2, 0) and seen["progress"] is False
    assert {name: seen[name] for name in options} == options
    model = seen["model"]
    assert (model.family.name, model.family.link) == ("binomial", "probit")
    assert model.priors.table().query("source == 'user'")["prior"].unique().tolist() == ["normal(0, 3)"]


def test_the_full_model_of_a_linear_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def note(_: Any, *given: Any, **more: Any) -> Any:
        seen.update(more)
        raise Stop

    monkeypatch.setattr("jmix.models.Model.sample", note)
    monkeypatch.setattr("jmix.cli._fail", lambda *_: 70)
    main(["sample", "sleepstudy", "Reaction ~ Days + (1 | Subject)", "--full", *SHORT])
    assert seen["marginal"] is False


def test_the_priors_alone(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--family", "nbinom2", "--zi", "~ 1", "--disp", "~ YEAR", "--priors-only")
    assert main(["sample", "grouseticks", "TICKS ~ YEAR + (1 | BROOD)", *words]) == 0
    data = jmix.load_data("grouseticks")
    model = jmix.model("TICKS ~ YEAR + (1 | BROOD)", data, family="nbinom2", zi="~ 1", disp="~ YEAR")
    assert capsys.readouterr().out == f"{model.priors}\n"


def test_a_short_run_prints_and_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--prior", "b=normal(0, 5)", "--hypothesis", "period2 < 0", "--out", "o")
    assert main(["sample", "cbpp", FORMULA, *BINOMIAL, *SHORT, *words]) == 0
    out = capsys.readouterr().out
    assert "period2 < 0" in out and "binomial" in out
    written = {file.name for file in (folder / "o").iterdir()}
    assert {
        "summary.csv",
        "draws.csv",
        "vcov.csv",
        "varcorr.csv",
        "ranef_herd.csv",
        "priors.csv",
        "posterior.npz",
    } <= written
    draws = pd.read_csv(folder / "o" / "draws.csv")
    assert draws.shape == (120, 7) and draws["period2"].mean() < -0.5
    loaded = jmix.load_posterior(folder / "o" / "posterior.npz")
    assert list(loaded.parameters) == ["(Intercept)", "period2", "period3", "period4", "sd_herd__Intercept"]
    assert loaded["period2"].reshape(-1) == pytest.approx(draws["period2"].to_numpy())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*BINOMIAL, "--prior", "sigma=normal(0, 1)"), "'binomial' has no dispersion"),
        ((*BINOMIAL, "--hypothesis", "period9 < 0"), "there is no parameter 'period9'"),
        ((*BINOMIAL, "--full", "--agq", "7"), "leave them out with marginal=False"),
        ((*BINOMIAL, "--agq", "0"), "n_agq=0: give a whole number"),
        (("--family", "gamma"), "is one of family 'binomial'"),
    ],
)
def test_mistakes_take_one_line(words: tuple[str, ...], message: str, refuse: Callable[..., str]) -> None:
    assert message in refuse("sample", "cbpp", FORMULA, *words)


def test_nodes_of_a_linear_model_are_refused(refuse: Callable[..., str]) -> None:
    words = ("sample", "sleepstudy", "Reaction ~ Days + (1 | Subject)", "--agq", "5")
    assert "--agq and --method are for a --family" in refuse(*words)
