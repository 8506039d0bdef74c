"""Inference of lmerTest, pbkrtest, car, lme4, emmeans and performance: live where R is installed, committed elsewhere.

``python tests/r/test_inference.py`` writes inference_expected.json anew; it needs Rscript with these packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import inference_models as models  # noqa: E402
from inference_models import MODELS  # noqa: E402

PACKAGES = ("lme4", "lmerTest", "pbkrtest", "car", "emmeans", "performance", "jsonlite")
LINEAR = [name for name, spec in MODELS.items() if not spec.family]
GENERAL = [name for name, spec in MODELS.items() if spec.family]
LIVE = {"rat pups", "singular variance", "cbpp"}
"""Models that are also fitted by R in the default run; all of them with ``-m slow``."""


def run_r(folder: Path, names: list[str]) -> Any:
    """Ask R about some models."""
    for data in {MODELS[name].data for name in names}:
        models.data(data).to_csv(folder / f"{data}.csv", index=False, float_format="%.17g")
    asked = {name: {k: v for k, v in MODELS[name]._asdict().items() if v is not None} for name in names}
    for name in names:  # one of lmer's starts
        asked[name]["theta"] = models.fit(name).theta.tolist()
    (folder / "models.json").write_text(json.dumps(asked), encoding="utf-8")
    command = ["Rscript", str(HERE / "inference.R"), str(folder)]
    subprocess.run(command, check=True, timeout=900, capture_output=True)
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def live(rscript: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    wanted = ", ".join(f'"{name}"' for name in PACKAGES)
    check = f"quit(status = !all(sapply(c({wanted}), requireNamespace, quietly = TRUE)))"
    if subprocess.run([rscript, "-e", check], check=False, capture_output=True).returncode:
        pytest.skip(f"one of the R packages {', '.join(PACKAGES)} is not installed")
    items = [i for i in request.session.items if i.path == request.path and i.originalname == "test_r_live"]
    return run_r(
        tmp_path_factory.mktemp("inference"),
        [item.callspec.params["name"] for item in items],
    )


@pytest.fixture(scope="module")
def committed() -> Any:
    return json.loads((HERE / "inference_expected.json").read_text(encoding="utf-8"))


def near(actual: Any, expected: Any, tolerance: float, floor: float = 0.0) -> None:
    """Relative differences below ``tolerance``; numbers below ``floor`` on its scale."""
    ours, theirs = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (actual, expected))
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs) / np.maximum(np.abs(theirs), max(floor, 1e-300))
    assert np.all((error < tolerance) | (np.isnan(ours) & np.isnan(theirs))), (float(np.nanmax(error)), ours, theirs)


def frame(block: dict[str, Any]) -> pd.DataFrame:
    """A table of R's, by its row names."""
    return pd.DataFrame(
        {k: np.atleast_1d(v) for k, v in block.items() if k != "rows"}, index=np.atleast_1d(block["rows"])
    )


TOLERANCE = 1e-4
"""Of estimates, standard errors, degrees of freedom and statistics; lmerTest's Hessians are finite differences."""

LOOSE_DF = {"singular variance": 2e-3, "singular correlation": 2e-3}
"""Degrees of freedom where a parameter is on its boundary: lmerTest differentiates through it."""


def coefficients(name: str, theirs: pd.DataFrame, method: str) -> None:
    """Estimate, standard error, df, t and p of every coefficient."""
    table = models.fit(name).summary(df=method).coefficients
    theirs = theirs.loc[table.index]
    scale = theirs["Std. Error"].to_numpy()
    near((table["estimate"] - theirs["Estimate"]) / scale + 1.0, np.ones(len(table)), TOLERANCE)
    near(table["std_error"], scale, TOLERANCE)
    near(table["df"], theirs["df"], LOOSE_DF.get(name, 10 * TOLERANCE))
    near(table["statistic"], theirs["t value"], 1e-3, 1.0)
    near(table["p_value"], theirs["Pr(>|t|)"], 5e-3, 1e-8)


def anova(name: str, block: dict[str, Any], kind: str, df: str) -> None:
    """Every term of lmerTest's table."""
    theirs = frame(block)
    table = models.fit(name).anova(kind, df=df).table
    assert set(table.index) == set(theirs.index)
    theirs = theirs.loc[table.index]
    near(table["num_df"], theirs["NumDF"], 1e-12)
    near(table["F"], theirs["F value"], 1e-3, 0.1)
    near(table["den_df"], theirs["DenDF"], LOOSE_DF.get(name, 1e-3))
    near(table["sum_sq"], theirs["Sum Sq"], 1e-3, 0.1 * models.fit(name).sigma ** 2)
    near(table["p_value"], theirs["Pr(>F)"], 1e-2, 1e-8)


def random_terms(name: str, block: dict[str, Any]) -> None:
    """lmerTest's ranova: statistics and naive p-values."""
    theirs, table = frame(block), models.fit(name).ranova().table
    assert len(table) == len(theirs)
    near(table["lrt"].iloc[1:], theirs["LRT"].iloc[1:], 1e-3, 1e-2)
    near(table["df"].iloc[1:], theirs["Df"].iloc[1:], 1e-12)
    near(table["p_naive"].iloc[1:], theirs["Pr(>Chisq)"].iloc[1:], 1e-2, 1e-10)


def profile(name: str, block: dict[str, Any]) -> None:
    """lme4's profile intervals; its names ``cor_Days.(Intercept)|Subject`` in ours."""
    fit = models.fit(name)
    ours = fit.confint(method="profile", parameters="all")
    theirs = frame(block).astype(float)
    theirs.index = [our_name(label) for label in theirs.index]
    assert set(theirs.index) == set(ours.index)
    width = (ours["upper"] - ours["lower"]).to_numpy()
    for end, column in (("lower", "2.5 %"), ("upper", "97.5 %")):
        known = theirs.loc[ours.index, column].to_numpy()
        found = ours[end].to_numpy()
        good = ~np.isnan(known)
        assert np.all(np.abs(found - known)[good] < PROFILE.get(name, 1e-3) * width[good]), (end, found, known)


PROFILE = {"numeric by factor": 5e-3, "singular correlation": 5e-3}
"""Shares of the width by which lme4's interpolated ends are off: a dense program has zeta = 1.95996 at ours and
1.946 at lme4's lower end of the correlation of "numeric by factor"."""


def our_name(label: str) -> str:
    """lme4's ``sd_(Intercept)|g`` as ``sd_g__Intercept``."""
    kind, _, rest = label.partition("_")
    if kind not in ("sd", "cor") or "|" not in rest:
        return label
    names, group = rest.split("|")
    parts = names.split(".") if kind == "cor" else [names]
    return "__".join([f"{kind}_{group}", *(part.strip("()") for part in reversed(parts))])


def means(name: str, block: dict[str, Any], df: str | None) -> None:
    """emmeans: means, pairwise comparisons by Tukey's method, trends; on the scale of the response too."""
    fit, spec = models.fit(name), MODELS[name]
    if "means" in block:
        found = fit.means(spec.means, df=df)
        same_table(found.table, frame(block["means"]), "emmean")
        same_table(found.pairs().table, frame(block["pairs"]), "estimate")
    if "response" in block:
        back = fit.means(spec.means, type="response")
        value = "prob" if "prob" in block["response"] else "rate"
        same_table(back.table, frame(block["response"]), value)
        same_table(back.pairs().table, frame(block["ratios"]), "odds.ratio" if value == "prob" else "ratio")
    if "trends" in block:
        same_table(fit.slopes(spec.trend, by=spec.means, df=df).table, frame(block["trends"]), f"{spec.trend}.trend")


def same_table(ours: pd.DataFrame, theirs: pd.DataFrame, estimate: str) -> None:
    """Estimates, standard errors, df, limits and p-values, whichever there are, row by row."""
    value = estimate if estimate in theirs else next(c for c in theirs if c not in ("contrast", "SE", "df"))
    assert len(ours) == len(theirs)
    se = theirs["SE"].astype(float).to_numpy()
    near((ours["estimate"].to_numpy() - theirs[value].astype(float).to_numpy()) / se + 1.0, np.ones(len(se)), 1e-3)
    near(ours["std_error"], se, 2e-3)
    if "df" in theirs and "df" in ours:
        infinite = theirs["df"].isna().all()  # JSON has no infinity
        near(1.0 / ours["df"], np.zeros(len(ours)) if infinite else 1.0 / theirs["df"].astype(float), 2e-3, 1e-6)
    for column, other in (("lower", "lower.CL"), ("upper", "upper.CL"), ("lower", "asymp.LCL"), ("upper", "asymp.UCL")):
        if other in theirs and column in ours:
            near(ours[column].to_numpy() / se, theirs[other].astype(float).to_numpy() / se, 2e-3, 1.0)
    if "p.value" in theirs and "p_value" in ours:
        near(ours["p_value"], theirs["p.value"].astype(float), 3e-2, 1e-6)  # z^2 times the error of z


def effect_sizes(name: str, block: dict[str, Any]) -> None:
    """performance: adjusted and unadjusted ICC, marginal and conditional R-squared."""
    fit = models.fit(name)
    if name == "uncorrelated":  # insight 0.19 forgets a slope that stands in a term of its own
        intercept = fit.varcorr()["vcov"][0]
        near(intercept / (intercept + fit.sigma**2), block["icc"]["ICC_adjusted"], 1e-3)
        return
    options = {"mean": "intercept"} if MODELS[name].family else {}
    icc, r2 = block["icc"], block["r2"]
    if icc:
        near(fit.icc(**options).adjusted, icc["ICC_adjusted"], 1e-3)
        near(fit.icc(**options).conditional, icc["ICC_unadjusted"], 1e-3)
    if "R2_conditional" in r2 and r2["R2_conditional"] not in (None, []):
        near(fit.r2(**options).marginal, r2["R2_marginal"], 1e-3, 1e-3)
        near(fit.r2(**options).conditional, r2["R2_conditional"], 1e-3)


def compare(name: str, block: dict[str, Any]) -> None:
    """Everything that R said of a model."""
    if MODELS[name].family:
        compare_general(name, block)
        return
    near(models.fit(name).loglik, block["loglik"], 1e-7)
    coefficients(name, frame(block["satterthwaite"]), "satterthwaite")
    for kind in ("I", "II", "III"):
        if len(np.atleast_1d(block[f"anova{len(kind)}"].get("rows", []))):
            anova(name, block[f"anova{len(kind)}"], kind, "satterthwaite")
    random_terms(name, block["ranova"])
    means(name, block["satterthwaite_means"], "satterthwaite")
    effect_sizes(name, block)
    if "kr" in block:
        coefficients(name, frame(block["kr"]), "kenward-roger")
        near(models.fit(name).vcov_adjusted(), block["kr_vcov"], 1e-3, float(np.abs(block["kr_vcov"]).max()) * 1e-2)
        if len(np.atleast_1d(block["kr3"].get("rows", []))):
            anova(name, block["kr3"], "III", "kenward-roger")
        means(name, block["kr_means"], "kenward-roger")


def compare_general(name: str, block: dict[str, Any]) -> None:
    """Wald tests, analysis of deviance, means and effect sizes of a generalized model."""
    fit = models.fit(name)
    near(fit.loglik, block["loglik"], 1e-6)
    for kind in ("II", "III"):
        theirs = frame(block[f"anova{len(kind)}"])
        table = fit.anova(kind).table
        rows = [r for r in theirs.index if r in table.index]
        assert len(rows) == len(table)
        near(table.loc[rows, "chisq"], theirs.loc[rows, "Chisq"], 5e-3, 0.1)
        near(table.loc[rows, "df"], theirs.loc[rows, "Df"], 1e-12)
    means(name, block["asymptotic_means"], None)
    effect_sizes(name, block)


@pytest.mark.parametrize("name", MODELS)
def test_committed_numbers_of_r(name: str, committed: Any) -> None:
    compare(name, committed[name])


PROFILED = [name for name, spec in MODELS.items() if spec.profile]
QUICK_PROFILES = {"slopes", "crossed", "singular variance", "cbpp"}
"""Profiles that are compared by default: every structure compiles programs of its own."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK_PROFILES else pytest.mark.slow) for n in PROFILED]
)
def test_committed_profiles_of_lme4(name: str, committed: Any) -> None:
    profile(name, committed[name]["profile"])


@pytest.mark.r
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in LIVE else pytest.mark.slow) for n in MODELS])
def test_r_live(name: str, live: Any) -> None:
    compare(name, live[name])
    if MODELS[name].profile:
        profile(name, live[name]["profile"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        values = run_r(Path(temporary), list(MODELS))
    text = json.dumps(values, separators=(",", ":")).replace('},"', '},\n"')
    (HERE / "inference_expected.json").write_text(text + "\n", encoding="utf-8")
    sys.exit(0)
