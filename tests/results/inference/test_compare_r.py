"""ranova, ICC and R-squared of every model of tests/r/inference_models.py against lmerTest and performance."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).resolve().parents[2] / "r"
sys.path.insert(0, str(HERE))
import inference_models as models  # noqa: E402

QUICK = {"few groups"}
WORSE = {"singular correlation"}
"""lme4 stops short of the boundary, 0.045 below the likelihood found here."""

SINGULAR = {"singular variance", "singular correlation"}
"""performance gives no ICC for singular fits."""

SLOPE_ALONE = {"uncorrelated"}
"""lmerTest writes ``(0 + x | g)`` anew as ``(1 | g)``, and insight overlooks the variance of such a term."""

MEAN = {"seizures": "intercept"}
"""insight 0.19 takes the mean of a Poisson response at random effects of zero."""


@cache
def expected() -> Any:
    return json.loads((HERE / "inference_expected.json").read_text())


NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in models.MODELS]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "cbpp"])
def test_ranova(name: str) -> None:
    known = expected()[name].get("ranova")
    if not known:
        pytest.skip("lmerTest has no ranova of generalized models")
    table = models.fit(name).ranova().table
    for i, label in enumerate(known["rows"]):
        if name in SLOPE_ALONE and label.startswith("Days in (0"):
            assert table.loc["(0 + Days | Subject)", "df"] == 1
            continue
        row = table.loc[label]
        gained = 0.1 if name in WORSE else 1e-6
        assert -1e-6 < row["loglik"] - known["logLik"][i] < gained and row["npar"] == known["npar"][i]
        if known["LRT"][i] is not None:
            assert row["df"] == known["Df"][i]
            assert row["lrt"] == pytest.approx(known["LRT"][i], rel=1e-6, abs=2 * gained)
            assert row["p_naive"] == pytest.approx(known["Pr(>Chisq)"][i], rel=0.1 if name in WORSE else 1e-5)
            assert row["p_value"] <= row["p_naive"]


@pytest.mark.parametrize("name", NAMES)
def test_icc_and_r2(name: str) -> None:
    if name in SINGULAR | SLOPE_ALONE:
        pytest.skip("performance gives none, or counts a slope without intercept for nothing")
    known, fit, mean = expected()[name], models.fit(name), MEAN.get(name, "marginal")
    icc, r2 = fit.icc(mean=mean), fit.r2(mean=mean)
    got = [icc.adjusted, icc.conditional, r2.marginal, r2.conditional]
    keys = [("icc", "ICC_adjusted"), ("icc", "ICC_unadjusted"), ("r2", "R2_marginal"), ("r2", "R2_conditional")]
    tolerance = 3e-4 if name == "contraception" else 5e-5  # glmer's own Laplace optimum
    np.testing.assert_allclose(got, [known[a][b] for a, b in keys], rtol=tolerance, atol=1e-9)
