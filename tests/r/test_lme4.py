"""Models fitted by lme4 with tight tolerances and by jmix: live where R is installed, committed numbers everywhere.

``python tests/r/test_lme4.py`` writes expected.json anew; it needs Rscript with lme4 and jsonlite.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

import jmix

HERE = Path(__file__).parent
ESTIMATES, CRITERION = 1e-5, 1e-6
SMALL_SD = 0.1
"""Conditional modes and standard deviations below this share of sigma are compared on its scale."""


class Spec(NamedTuple):
    """A model: formula, data set, method, columns of weights and offset; whether its theta is identified."""

    formula: str
    data: str
    reml: bool = True
    weights: str | None = None
    offset: str | None = None
    identified: bool = True


MODELS = {
    "unbalanced": Spec("y ~ x + (1 + x | g)", "slopes"),
    "unbalanced, ML": Spec("y ~ x + (1 + x | g)", "slopes", reml=False),
    "uncorrelated": Spec("y ~ x + (x || g)", "slopes"),
    "weights": Spec("y ~ x + (1 + x | g)", "slopes", weights="w"),
    "offset": Spec("y ~ x + (1 | g)", "slopes", offset="z"),
    "weights and offset, ML": Spec("y ~ x + (1 + x | g)", "slopes", reml=False, weights="w", offset="z"),
    "rank deficient": Spec("y ~ x + x2 + f + (1 + x | g)", "slopes"),
    "three slopes": Spec("y ~ x + z + (1 + x + z | g)", "slopes"),
    "four slopes": Spec("y ~ x + z + v + (1 + x + z + v | g)", "wide"),
    "polynomial slopes": Spec("y ~ poly(x, 2) + (poly(x, 2) | g)", "slopes"),
    "factor slopes": Spec("y ~ f + (0 + f | g)", "factors"),
    "factor slopes with intercept": Spec("y ~ f + (f | g)", "factors"),
    "double bar with a factor": Spec("y ~ f + (f || g)", "factors", identified=False),
    "years, centred": Spec("y ~ since + (1 + since | g)", "years"),
    "years, uncorrelated": Spec("y ~ year + (year || g)", "years"),
    "millions": Spec("y_big ~ x + (1 + x | g)", "slopes"),
    "millionths": Spec("y_small ~ x + (1 + x | g)", "slopes", reml=False),
    "nested": Spec("y ~ x + (1 | a/b/c)", "nested"),
    "nested slopes": Spec("y ~ x + (1 + x | a) + (1 | a:b)", "nested"),
    "crossed": Spec("y ~ x + (1 | a) + (1 | d)", "crossed"),
    "crossed vectors": Spec("y ~ x + (1 + x | a) + (1 + x | d)", "crossed"),
    "crossed vectors, ML": Spec("y ~ x + (1 + x | a) + (1 + x | d)", "crossed", reml=False),
    "nested and crossed": Spec("y ~ x + (1 | a/b) + (1 + x | d)", "crossed"),
    "singular variance": Spec("y ~ x + (1 | g)", "noise"),
    "singular correlation": Spec("y ~ x + (1 + x | g)", "noise"),
    "singular in three": Spec("y ~ x + (1 + x + z | g)", "noise"),
    "singular, crossed": Spec("y ~ x + (1 + x | g) + (1 | f)", "noise"),
}


def _labels(prefix: str, codes: Any) -> list[str]:
    return [f"{prefix}{code:02d}" for code in codes]


def slopes() -> pd.DataFrame:
    """Groups of 2 to 20 rows, intercepts and slopes that vary together."""
    rng = np.random.RandomState(1)
    g = np.repeat(np.arange(15), (2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20))
    n = g.size
    x, z = rng.standard_normal(n) + 1.0, rng.standard_normal(n)
    b = rng.standard_normal((15, 3)) @ np.array([[1.5, 0.4, 0.2], [0.0, 0.7, 0.3], [0.0, 0.0, 0.5]])
    y = 2.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + b[g, 2] * z + rng.standard_normal(n)
    frame = pd.DataFrame({"y": y, "x": x, "z": z, "w": rng.uniform(0.2, 3.0, n), "g": _labels("g", g)})
    frame["x2"] = 2.0 * x - 3.0
    frame["f"] = np.array(["p", "q", "r"])[np.arange(n) % 3]
    frame["y_big"], frame["y_small"], frame["x_big"] = 1e6 * y + 3e6, 1e-6 * y, 1e8 * x
    return frame


def wide() -> pd.DataFrame:
    """Three predictors whose slopes all vary, in 40 groups of 12."""
    rng = np.random.RandomState(2)
    g = np.repeat(np.arange(40), 12)
    x = rng.standard_normal((480, 3))
    b = rng.standard_normal((40, 4)) * np.array([1.0, 0.6, 0.5, 0.8])
    y = 1.0 + b[g, 0] + np.sum(b[g, 1:] * x, axis=1) + rng.standard_normal(480)
    return pd.DataFrame({"y": y, "x": x[:, 0], "z": x[:, 1], "v": x[:, 2], "g": _labels("g", g)})


def factors() -> pd.DataFrame:
    """A factor of three levels whose effects vary over 25 groups, unevenly filled."""
    rng = np.random.RandomState(3)
    g = np.repeat(np.arange(25), 12)
    f = rng.randint(0, 3, g.size)
    b = rng.standard_normal((25, 3)) * np.array([1.0, 0.6, 1.4]) + 0.7 * rng.standard_normal((25, 1))
    y = np.array([1.0, 0.0, -1.0])[f] + b[g, f] + rng.standard_normal(g.size)
    return pd.DataFrame({"y": y, "f": np.array(["lo", "mid", "hi"])[f], "g": _labels("g", g)})


def years() -> pd.DataFrame:
    """Trends from 1990 to 2020, not centred."""
    rng = np.random.RandomState(4)
    g, year = np.repeat(np.arange(20), 31), np.tile(np.arange(1990, 2021), 20)
    trend = (0.3 + 0.1 * rng.standard_normal(20))[g] * (year - 2005)
    y = 50.0 + 2.0 * rng.standard_normal(20)[g] + trend + rng.standard_normal(g.size)
    return pd.DataFrame({"y": y, "year": year, "since": year - 2005, "g": _labels("g", g)})


def nested() -> pd.DataFrame:
    """Three levels: 8 a, 26 b, 78 c; 2 or 3 rows each."""
    rng = np.random.RandomState(5)
    b = np.repeat(np.arange(26), 3)
    c = np.repeat(np.arange(78), np.where(np.arange(78) % 2, 3, 2))
    b, a = b[c], np.repeat(np.arange(8), (2, 3, 3, 3, 3, 4, 4, 4))[b[c]]
    x = rng.standard_normal(c.size)
    y = 1.0 + x + 1.2 * rng.standard_normal(8)[a] + 0.8 * rng.standard_normal(26)[b] + 0.9 * rng.standard_normal(78)[c]
    y = y + 0.5 * rng.standard_normal(8)[a] * x + rng.standard_normal(c.size)
    return pd.DataFrame({"y": y, "x": x, "a": _labels("a", a), "b": _labels("b", b), "c": _labels("c", c)})


def crossed() -> pd.DataFrame:
    """18 levels that cross 9, not all cells filled; b nested in a."""
    rng = np.random.RandomState(6)
    a, d, b = rng.randint(0, 18, 400), rng.randint(0, 9, 400), rng.randint(0, 3, 400)
    x = rng.standard_normal(400) + 0.5
    y = 1.0 + x + rng.standard_normal(18)[a] + 0.7 * rng.standard_normal(9)[d]
    y = y + 0.6 * rng.standard_normal(54)[3 * a + b]
    y = y + (0.5 * rng.standard_normal(18)[a] + 0.8 * rng.standard_normal(9)[d]) * x + rng.standard_normal(400)
    return pd.DataFrame({"y": y, "x": x, "a": _labels("a", a), "b": _labels("b", b), "d": _labels("d", d)})


def noise() -> pd.DataFrame:
    """A grouping factor that explains less than chance: group means are pulled together."""
    rng = np.random.RandomState(7)
    g = np.repeat(np.arange(12), 8)
    x, z, y = rng.standard_normal(96), rng.standard_normal(96), rng.standard_normal(96)
    y = y - 0.9 * np.array([y[g == k].mean() for k in range(12)])[g] + 0.3 * rng.standard_normal(12)[g] * x
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": _labels("g", g), "f": _labels("f", np.arange(96) % 5)})


DATA = {d.__name__: d for d in (slopes, wide, factors, years, nested, crossed, noise)}


@cache
def fit(name: str) -> jmix.results.fit.Fit:
    spec = MODELS[name]
    return jmix.lmm(spec.formula, DATA[spec.data](), reml=spec.reml, weights=spec.weights, offset=spec.offset)


def run_lme4(folder: Path) -> Any:
    """Fit all models with lme4; jmix's theta is one of its starts."""
    for name, make in DATA.items():
        make().to_csv(folder / f"{name}.csv", index=False, float_format="%.17g")
    models = {name: {**spec._asdict(), "theta": fit(name).theta.tolist()} for name, spec in MODELS.items()}
    cleaned = {n: {k: v for k, v in m.items() if v is not None} for n, m in models.items()}
    (folder / "models.json").write_text(json.dumps(cleaned), encoding="utf-8")
    subprocess.run(["Rscript", str(HERE / "lme4.R"), str(folder)], check=True, timeout=600)
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def live(rscript: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    check = 'quit(status = !all(sapply(c("lme4", "jsonlite"), requireNamespace, quietly = TRUE)))'
    if subprocess.run([rscript, "-e", check], check=False).returncode:
        pytest.skip("the R packages lme4 and jsonlite are not installed")
    return run_lme4(tmp_path_factory.mktemp("lme4"))


@pytest.fixture(scope="module")
def committed() -> Any:
    return json.loads((HERE / "expected.json").read_text(encoding="utf-8"))


def near(actual: Any, expected: Any, scale: Any = 0.0, tolerance: float = ESTIMATES) -> None:
    actual, expected = np.atleast_1d(np.asarray(actual, float)), np.atleast_1d(np.asarray(expected, float))
    assert actual.shape == expected.shape
    error = np.abs(actual - expected) / np.maximum(np.maximum(np.abs(expected), scale), 1e-300)
    assert np.all(error < tolerance), (float(error.max()), actual, expected)


def row_scale(found: Any) -> Any:
    """For every entry of theta the relative standard deviation of its row's random effect, or 1 where that is zero."""
    out = []
    for lam in found.spec.split(found.theta.to_numpy()):
        sd = np.sqrt(np.sum(lam * lam, axis=1, keepdims=True))
        out.append(np.where(sd > 0, sd, 1.0) * np.ones_like(lam))
    return found.spec.join(out)


def compare(name: str, expected: Any) -> None:
    """Everything that identifies the fit, against lme4's."""
    found, spec = fit(name), MODELS[name]
    assert found.converged
    near(found.criterion, expected["criterion"], tolerance=CRITERION)
    if isinstance(expected["own"], float):
        assert found.criterion <= expected["own"] + CRITERION * abs(expected["own"])
    assert list(found.fixef().index) == list(expected["fixef"])
    near(found.se(), expected["se"])
    near(found.fixef(), list(expected["fixef"].values()), found.se().to_numpy())
    near(found.sigma, expected["sigma"])
    if spec.identified:
        near(found.theta, expected["theta"], row_scale(found))
        compare_random_effects(found, expected)


def compare_random_effects(found: Any, expected: Any) -> None:
    names = ["grpvar", "term", "grp", "condval", "condsd"]
    table = pd.DataFrame({k: expected[k] for k in names}).set_index(names[:3]).sort_index()
    modes, sds = found.ranef(), found.ranef_sd()
    for group, frame in modes.items():
        for term in frame.columns:
            theirs = table.loc[(group, term)].loc[list(frame.index)]
            unit = found.sigma / column_size(found, group, term)
            near(frame[term], theirs["condval"], max(float(np.abs(theirs["condval"]).max()), SMALL_SD * unit))
            near(sds[group][term], theirs["condsd"], max(float(theirs["condsd"].max()), unit) * SMALL_SD)


def column_size(found: Any, group: str, name: str) -> float:
    """Root mean square of the random-effects column ``name`` of ``group``."""
    columns = [c for t in found.terms if t.group == group for n, c in zip(t.names, t.columns, strict=True) if n == name]
    return float(np.sqrt(np.mean(np.square(columns[0]))))


@pytest.mark.parametrize("name", MODELS)
def test_committed_numbers_of_lme4(name: str, committed: Any) -> None:
    compare(name, committed[name])


@pytest.mark.r
@pytest.mark.parametrize("name", MODELS)
def test_lme4_live(name: str, live: Any) -> None:
    compare(name, live[name])


def test_singular_fits_are_flagged(committed: Any) -> None:
    """A fit is singular where a diagonal entry of lme4's Lambda is below its own ``isSingular`` tolerance of 1e-4."""
    for name in (n for n in MODELS if MODELS[n].identified):
        found = fit(name)
        lams = found.spec.split(np.atleast_1d(np.asarray(committed[name]["theta"], float)))
        scale = [np.sqrt(np.mean(np.square(c))) for t in found.terms for c in t.columns]
        diagonal = np.concatenate([np.diag(lam) for lam in lams]) * scale
        assert found.singular == bool(diagonal.min() < 1e-4), name


def test_origin_of_a_predictor_does_not_matter(committed: Any) -> None:
    """With years as they are lme4 (1.1-31) stops 195 above the optimum: theta is too ill conditioned for bobyqa.

    The truth is therefore lme4's fit with centred years: the same model, and the same criterion.
    """
    frame = years()
    raw, centred = jmix.lmm("y ~ year + (1 + year | g)", frame), committed["years, centred"]
    assert raw.converged and not raw.singular
    near(raw.criterion, centred["criterion"], tolerance=1e-9)
    near(raw.sigma, centred["sigma"])
    near(raw.fixef()["year"], centred["fixef"]["since"])
    near(raw.se()["year"], centred["se"][1])
    same = fit("years, centred")
    np.testing.assert_allclose(raw.ranef()["g"]["year"], same.ranef()["g"]["since"], rtol=1e-6)
    np.testing.assert_allclose(raw.fitted(), same.fitted(), rtol=1e-9)


def test_scale_of_a_predictor_does_not_matter(committed: Any) -> None:
    """With a predictor of size 1e8 lme4 (1.1-31) dies, or stops 0.002 too high, by the last digit of its start.

    The truth is therefore lme4's fit with the predictor over 1e8; the criterion differs by ``2 log 1e8``, which is in
    ``log|X'V^{-1}X|``.
    """
    big, expected = jmix.lmm("y ~ x_big + (1 + x_big | g)", slopes()), committed["unbalanced"]
    assert big.converged
    assert big.singular == fit("unbalanced").singular
    near(big.criterion - 2.0 * np.log(1e8), expected["criterion"], tolerance=1e-9)
    near(big.sigma, expected["sigma"])
    near(big.fixef()["x_big"] * 1e8, expected["fixef"]["x"])
    near(big.se()["x_big"] * 1e8, expected["se"][1])
    np.testing.assert_allclose(big.fitted(), fit("unbalanced").fitted(), rtol=1e-7)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        values = run_lme4(Path(temporary))
    text = json.dumps(values, indent=None, separators=(",", ":")).replace('},"', '},\n"')
    (HERE / "expected.json").write_text(text + "\n", encoding="utf-8")
    sys.exit(0)
