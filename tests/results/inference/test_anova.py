"""Analysis of variance: lmerTest, car and nlme by committed numbers (anova.R), and what must not depend on the coding.

``python tests/results/inference/test_anova.py`` writes anova.json anew; it needs Rscript with these packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "r"))
import inference_models as models  # noqa: E402

CODED = {"f": "sum", "h": "helmert"}
MIXED: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "sum": ("y ~ f * h + x + (1 | g)", "cells", CODED),
    "noint": ("y ~ 0 + f * h + x + (1 | g)", "cells", None),
    "poly": ("y ~ f * poly(x, 2) + (1 | g)", "cells", None),
    "spline": ("y ~ h * ns(x, 3) + f + (1 | g)", "cells", None),
    "three": ("y ~ f * h * x + (1 | g)", "cells", CODED),
    "missing": ("y ~ f * k * h + x + (1 | g)", "cells", {"f": "sum", "k": "sum", "h": "helmert"}),
    "ordered": ("weight ~ sex * dose + lsize + (1 | litter)", "pups", {"sex": "sum"}),
    "cellmeans": ("y ~ f:h + x + (1 | g)", "cells", None),
    "nested": ("y ~ variety / nitro + (1 | block / plot)", "plots", None),
}
DEFAULT = ("sum", "noint", "missing")
"""Models of the default run; the others with ``-m slow``."""

DATA = ("cells", "pups", "plots", "Contraception")


@cache
def data(name: str) -> pd.DataFrame:
    frame = models.data(name)
    if name == "pups":
        return frame.assign(dose=pd.Categorical(frame["treatment"], ["Control", "Low", "High"], ordered=True))
    return frame.assign(x=np.arange(len(frame)) % 5.0) if name == "plots" else frame


@cache
def fit(formula: str, name: str, contrasts: str = "null") -> Any:
    return jmix.lmm(formula, data(name), contrasts=json.loads(contrasts))


@pytest.fixture(scope="module")
def committed() -> Any:
    return json.loads((HERE / "anova.json").read_text(encoding="utf-8"))


def numbers(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if v in (None, "NA") else v for v in values], dtype=float)


def compare(table: pd.DataFrame, theirs: dict[str, list[Any]], columns: dict[str, str], rel: float) -> None:
    """Every number of R's table; an F near zero on the scale of one hundredth."""
    assert list(table.index) == [str(row).strip() for row in theirs["rows"]]
    for ours, other in columns.items():
        known = numbers(theirs[other])
        found = table[ours].to_numpy(dtype=float)
        assert np.array_equal(np.isnan(known), np.isnan(found)), ours
        good = ~np.isnan(known)
        assert np.all(np.abs(found - known)[good] <= rel * np.maximum(np.abs(known[good]), 1e-2)), (ours, found, known)


LMER = {"sum_sq": "Sum Sq", "num_df": "NumDF", "den_df": "DenDF", "F": "F value"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in DEFAULT else pytest.mark.slow) for n in MIXED])
def test_lmertest(name: str, committed: Any) -> None:
    formula, frame, contrasts = MIXED[name]
    own = fit(formula, frame, json.dumps(contrasts))
    for kind, theirs in committed[name].items():
        table = own.anova(kind).table
        compare(table, theirs, LMER, 1e-5)
        assert table["p_value"].to_numpy() == pytest.approx(numbers(theirs["Pr(>F)"]), rel=1e-3, abs=1e-9)


def test_least_squares_as_car(committed: Any) -> None:
    own = jmix.lm("y ~ f * h + x * f", data("cells"), weights="w", contrasts={"f": "sum", "h": "sum"})
    for kind, theirs in committed["lm"].items():
        table = own.anova(kind).table
        compare(table, theirs, {"sum_sq": "Sum Sq", "num_df": "Df", "F": "F value"}, 1e-8)
    assert np.isnan(own.anova().table.loc["Residuals", "F"])


@pytest.mark.slow
def test_generalized_as_car(committed: Any) -> None:
    frame, coded = data("Contraception"), {"urban": "sum", "livch": "sum"}
    formula = "use ~ age + urban * livch + (1 | district)"
    own = jmix.glmm(formula, frame, family="binomial", contrasts=coded)
    for kind, theirs in committed["glmm"].items():
        compare(own.anova(kind).table, theirs, {"chisq": "Chisq", "df": "Df"}, 5e-3)  # glmer's Hessian is numeric
    other = jmix.glmm(formula, frame, family="binomial").anova()
    assert other.table["chisq"].to_numpy() == pytest.approx(own.anova().table["chisq"], rel=1e-5)


@pytest.mark.parametrize("df", ["satterthwaite", pytest.param("kenward-roger", marks=pytest.mark.slow)])
def test_type_three_does_not_depend_on_the_coding(df: Any) -> None:
    base = fit(MIXED["missing"][0], "cells").anova("III", df).table
    matrix = [[1.0, 0.5], [0.0, 1.0], [-2.0, 0.3]]
    codings = ({"f": "helmert", "k": "sum"}, {"f": "sas"}, {"f": matrix, "h": "sum"})
    for coded in codings:
        other = fit(MIXED["missing"][0], "cells", json.dumps(coded)).anova("III", df).table
        for column in ("num_df", "F"):
            assert other[column].to_numpy() == pytest.approx(base[column].to_numpy(), rel=1e-5, abs=1e-7), coded
        single = base["num_df"] == 1  # with more rows the rule depends on how they are rotated
        assert other.loc[single, "den_df"].to_numpy() == pytest.approx(base.loc[single, "den_df"].to_numpy(), rel=1e-5)


def test_a_nested_term_contains_the_other() -> None:
    """Unlike lmerTest, which takes ``a/b`` for unrelated terms: the main effect is that of ``a * b``."""
    nested, crossed = (fit(f"y ~ variety {op} nitro + (1 | block / plot)", "plots") for op in ("/", "*"))
    assert nested.anova().table.loc["variety", "F"] == pytest.approx(
        crossed.anova().table.loc["variety", "F"], rel=1e-6
    )
    assert nested.anova("II").table.loc["variety", "F"] == pytest.approx(
        crossed.anova("II").table.loc["variety", "F"], rel=1e-6
    )


def test_a_polynomial_of_degree_one_is_its_number() -> None:
    """Unlike lmerTest, which takes the columns of a matrix for a factor."""
    plain, poly = (fit(f"y ~ f * {x} + (1 | g)", "cells") for x in ("scale(x)", "poly(x, 1)"))
    for kind in ("I", "II"):
        assert poly.anova(kind).table["F"].to_numpy() == pytest.approx(
            plain.anova(kind).table["F"].to_numpy(), rel=1e-6
        )


def test_containment_counts_as_nlme(committed: Any) -> None:
    wanted = committed["containment"]
    formulas = {
        "split": ("y ~ variety * nitro + x + (1 | block / plot)", "plots"),
        "noint": ("y ~ 0 + variety + x + (1 | block / plot)", "plots"),
        "pups": ("weight ~ sex * treatment + lsize + (1 | litter)", "pups"),
    }
    for name, (formula, frame) in formulas.items():
        found = fit(formula, frame).summary("containment").coefficients["df"]
        assert found.to_dict() == wanted[name], name


@pytest.mark.slow
def test_components_of_a_generalized_model() -> None:
    frame = jmix.load_data("grouseticks")
    own = jmix.glmm("TICKS ~ YEAR + (1 | BROOD)", frame, family="nbinom2", zi="~ YEAR", disp="~ 1")
    for component in ("cond", "zi"):
        table = own.anova(component=component).table
        names = [n for n in own.fixef(component).index if n.startswith("YEAR")]
        beta, vcov = own.fixef(component)[names].to_numpy(), own.vcov(component).loc[names, names].to_numpy()
        wald = float(beta @ np.linalg.solve(vcov, beta)) if np.all(np.isfinite(vcov)) else np.nan
        assert table.loc["YEAR", "chisq"] == pytest.approx(wald, rel=1e-6, nan_ok=True)
        assert table.loc["YEAR", "df"] == 2
    with pytest.raises(jmix.ModelError, match="this model has 'cond', 'zi'"):
        own.anova(component="hurdle")
    with pytest.raises(jmix.ModelError, match="Wald chi-squared"):
        own.anova(df="satterthwaite")


def test_wrong_arguments_name_the_remedy() -> None:
    own = fit("y ~ f * h + x + (1 | g)", "cells", json.dumps(CODED))
    for kind in (4, "IV", None, True, 2.0):
        with pytest.raises(jmix.ModelError, match="choose 'I'"):
            own.anova(kind)
    with pytest.raises(jmix.ModelError, match="only 'cond'"):
        own.anova(component="zi")


def run_r(folder: Path) -> Any:
    for name in DATA:
        models.data(name).to_csv(folder / f"{name}.csv", index=False, float_format="%.17g")
    subprocess.run(["Rscript", str(HERE / "anova.R"), str(folder)], check=True, capture_output=True, timeout=600)
    return json.loads((folder / "anova.json").read_text(encoding="utf-8"))


@pytest.mark.r
@pytest.mark.slow
def test_committed_numbers_are_those_of_r(rscript: str, tmp_path: Path, committed: Any) -> None:
    check = "quit(status = !all(sapply(c('lmerTest', 'car', 'nlme', 'jsonlite'), requireNamespace, quietly = TRUE)))"
    if subprocess.run([rscript, "-e", check], check=False, capture_output=True).returncode:
        pytest.skip("one of the R packages lmerTest, car, nlme, jsonlite is not installed")
    live = run_r(tmp_path)
    for name, blocks in committed.items():
        for kind, theirs in blocks.items():
            for column, values in theirs.items():
                again = np.atleast_1d(live[name][kind][column])
                if column != "rows":
                    known = numbers(np.atleast_1d(values).tolist())
                    assert numbers(again.tolist()) == pytest.approx(known, rel=1e-4, abs=1e-9, nan_ok=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        text = json.dumps(run_r(Path(temporary)), separators=(",", ":")).replace('},"', '},\n"')
    (HERE / "anova.json").write_text(text + "\n", encoding="utf-8")
