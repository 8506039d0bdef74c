"""Marginal means against emmeans: committed numbers of means.R, and live where R has what it needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.results.inference.means.means import Means

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import means_cases  # noqa: E402

FORMULAS = {
    "fh": "y ~ f * h + x + (1 | g)",
    "fk": "y ~ f * k + (1 | g)",
    "fx": "y ~ f * x + (x | g)",
    "two": "y ~ f + two * x + (1 | g)",
    "curve": "y ~ f + poly(x, 3) + ns(z, 3) + log(z) + I(z^2) + (1 | g)",
    "sums": "y ~ f * factor(two) + (1 | g)",
    "logged": "log(z) ~ f + x + (1 | g)",
    "rooted": "sqrt(z) ~ f + x + (1 | g)",
    "nest": "y ~ treat + class + x + (1 | g)",
    "off": "y ~ f + x + offset(log(z)) + (1 | g)",
    "plain": "y ~ f * h + x",
}
PERIODS = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@cache
def fit(name: str) -> Any:
    data = means_cases.frames()
    if name in FORMULAS:
        return jmix.lmm(FORMULAS[name], data["cells"], contrasts={"f": "sum"} if name == "sums" else None)
    if name == "weights":
        return jmix.lmm(FORMULAS["fh"], data["cells"], weights="w")
    if name == "oats":
        return jmix.lmm("yield ~ Variety * nitro + (1 | Block / Variety)", data["oats"])
    if name in ("cbpp", "probit"):
        return jmix.glmm(PERIODS, data["cbpp"], family="binomial", link="logit" if name == "cbpp" else name)
    if name == "contraception":
        return jmix.glmm("use ~ age + I(age^2) + urban * livch + (1 | district)", data[name], family="bernoulli")
    if name == "seizures":
        return jmix.glmm("y ~ trt * lbase + lage + offset(log(time)) + (1 | subject)", data[name], family="poisson")
    return jmix.glmm("rating ~ temp * contact", data["wine"].assign(rating=ordered(data["wine"])), family="cumulative")


def ordered(wine: Any) -> Any:
    return pd.Categorical(wine["rating"].astype(str), ordered=True)


WEIGHTS = ("equal", "proportional", "outer", "cells", "flat")
METHODS = ("pairwise", "revpairwise", "trt.vs.ctrl", "trt.vs.ctrlk", "eff", "del.eff", "consec", "mean_chg", "poly")


def contrast(method: str) -> Means:
    return fit("fh").means("f").contrast(method, adjust="none" if method in ("consec", "mean_chg") else None)


CASES: dict[str, Callable[[], Means]] = {
    **{f"cells {w}": (lambda w=w: fit("fh").means("f", weights=w)) for w in WEIGHTS},
    "cells KR": lambda: fit("fh").means("f", df="kenward-roger"),
    "cells KR pairs": lambda: fit("fh").means("f", df="kenward-roger").pairs(),
    **{f"contrast {m}": (lambda m=m: contrast(m)) for m in METHODS},
    **{
        f"adjust {a}": (lambda a=a: fit("fh").means("f").pairs(adjust=a))
        for a in ("none", "tukey", "sidak", "scheffe", "bonferroni", "holm", "hochberg", "hommel", "fdr", "by")
    },
    "six pairs": lambda: fit("fh").means(["f", "h"]).pairs(),
    "by h": lambda: fit("fh").means("f", by="h").pairs(),
    "interaction": lambda: fit("fh").means(["f", "h"]).contrast(interaction=["pairwise", "consec"]),
    "custom": lambda: fit("fh").means("f").contrast({"first": [1, -0.5, -0.5], "sum": [1, 1, 1]}),
    "one-sided": lambda: fit("fh").means("f").test(10, side="greater"),
    "at": lambda: fit("fh").means(["f", "x"], at={"x": [-1, 0, 2]}),
    "median": lambda: fit("fh").means("f", cov_reduce=np.median),
    "missing cell": lambda: fit("fk").means(["f", "k"]),
    "missing cell f": lambda: fit("fk").means("f"),
    "trend": lambda: fit("fx").slopes("x", "f"),
    "trend pairs": lambda: fit("fx").slopes("x", "f").pairs(),
    "two values": lambda: fit("two").means("f"),
    "two values proportional": lambda: fit("two").means("f", weights="proportional"),
    "two values at": lambda: fit("two").means(["two", "f"], at={"two": 1}),
    "curve": lambda: fit("curve").means("f"),
    "curve x": lambda: fit("curve").slopes("x", at={"x": [-1, 0.25, 1]}),
    "curve z": lambda: fit("curve").slopes("z", at={"z": [0.5, 2, 4]}),
    "weights": lambda: fit("weights").means("f", weights="proportional"),
    "sum coding": lambda: fit("sums").means(["two", "f"]),
    "log": lambda: fit("logged").means("f", type="response", infer="both"),
    "log pairs": lambda: fit("logged").means("f", type="response").pairs(),
    "sqrt": lambda: fit("rooted").means("f", type="response", infer="both"),
    "sqrt pairs": lambda: fit("rooted").means("f", type="response").pairs(),
    "nested": lambda: fit("nest").means("treat"),
    "nested class": lambda: fit("nest").means("class"),
    "offset": lambda: fit("off").means("f"),
    "oats": lambda: fit("oats").means("nitro"),
    "oats poly": lambda: fit("oats").means("nitro").contrast("poly"),
    "oats KR": lambda: fit("oats").means("Variety", df="kenward-roger").pairs(),
    "lm": lambda: fit("plain").means("f").pairs(),
    "cbpp": lambda: fit("cbpp").means("period", type="response"),
    "cbpp odds": lambda: fit("cbpp").means("period", type="response").pairs(),
    "cbpp regrid": lambda: fit("cbpp").means("period").regrid().pairs(),
    "cbpp bias": lambda: fit("cbpp").means("period", type="response", bias_adjust=True),
    "contraception": lambda: fit("contraception").means("livch", type="response"),
    "contraception regrid": lambda: fit("contraception").means("livch", type="response", average="response"),
    "contraception odds": lambda: fit("contraception").means("livch", "urban", type="response").contrast("trt.vs.ctrl"),
    "contraception trend": lambda: fit("contraception").slopes("age", at={"age": [-1, 0, 1]}),
    "seizures": lambda: fit("seizures").means("trt", type="response"),
    "seizures rates": lambda: fit("seizures").means("trt", type="response").pairs(),
    "probit": lambda: fit("probit").means("period", type="response"),
    "probit pairs": lambda: fit("probit").means("period", type="response").pairs(),
    "wine latent": lambda: fit("wine").means(["temp", "contact"]),
    "wine pairs": lambda: fit("wine").means("temp").pairs(),
    "wine prob": lambda: fit("wine").means("temp", type="probs"),
    "wine class": lambda: fit("wine").means("temp", type="mean_class"),
}  # fmt: skip


COLUMNS = {
    "std_error": ("SE",),
    "df": ("df",),
    "lower": ("lower.CL", "asymp.LCL"),
    "upper": ("upper.CL", "asymp.UCL"),
    "statistic": ("t.ratio", "z.ratio"),
    "p_value": ("p.value",),
}
GENERALIZED = ("cbpp", "contraception", "seizures", "probit", "wine")
LABELS = {"f", "h", "k", "x", "z", "g", "two", "treat", "class", "nitro", "Variety", "period", "livch", "urban", "age",
          "trt", "temp", "contact", "rating", "contrast", "f_pairwise", "h_consec"}  # fmt: skip


def compare(name: str, expected: dict[str, list[Any]]) -> None:
    table = CASES[name]().table
    known = {n for names in COLUMNS.values() for n in names} | LABELS | {"null"}
    estimate = next(n for n in expected if n not in known)
    close = 2e-4 if name.split()[0] in GENERALIZED else 2e-5 if name.startswith("curve ") else 2e-6
    for own, theirs in {"estimate": (estimate,), **COLUMNS}.items():
        column = next((t for t in theirs if t in expected), None)
        if column is None or own not in table:
            continue
        values = expected[column]
        values = values if isinstance(values, list) else [values]
        want = np.array([np.nan if v in (None, "NA") else np.inf if v == "Inf" else v for v in values], dtype=float)
        have = table[own].to_numpy()
        if own == "df" and name.split()[0] in GENERALIZED:
            assert np.isinf(have).all()
            continue
        if own == "df":
            want[np.isnan(table["estimate"].to_numpy())] = np.nan
        atol = 2e-6 if own == "p_value" else close * float(np.nanmax(np.abs(table["std_error"])))
        np.testing.assert_allclose(
            have, want, rtol=50 * close if own == "df" else close, atol=atol, err_msg=f"{name}: {own}"
        )


@cache
def committed() -> dict[str, Any]:
    return json.loads((HERE / "means.json").read_text())


COSTLY = ("contraception", "probit", "seizures", "sqrt", "sum", "weights", "offset")
"""Models whose fits would make the quick tests slower than they need to be."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n.startswith(COSTLY) else []) for n in CASES]
)
def test_numbers_of_emmeans(name: str) -> None:
    compare(name, committed()[name])


@pytest.mark.r
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R")
def test_numbers_of_emmeans_now(tmp_path: Path) -> None:
    means_cases.write(tmp_path)
    done = subprocess.run(["Rscript", str(HERE / "means.R"), str(tmp_path)], capture_output=True, text=True)
    if "there is no package" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    now = json.loads((tmp_path / "means.json").read_text())
    assert set(now) == set(CASES)
    for name, expected in now.items():
        compare(name, expected)
