"""Generalized models fitted by glmmTMB, lme4, ordinal and jmix: live where R is installed, committed numbers elsewhere.

``python tests/r/test_glmm.py [MODEL ...]`` writes glmm_expected.json anew, with R's lme4, glmmTMB, ordinal, jsonlite.
Laplace's approximation by lme4 takes the expected information where the link is not canonical, jmix and glmmTMB the
observed one; lme4 is therefore asked only for quadrature.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import glmm_data  # noqa: E402

import jmix  # noqa: E402

ESTIMATES, LOGLIK = 1e-5, 1e-8
"""Relative to the number or, near zero, to its standard error; for glmmTMB, whose fits are polished by Newton steps."""

LOOSER = {"glmer": 1e-4, "clmm": 1e-4}
"""The project's promise, for programs whose optimiser and differences leave about that much."""


class Spec(NamedTuple):
    """A model: formula and data, family for jmix, the program that is compared with and its own family."""

    formula: str
    data: str
    family: str
    theirs: str = ""
    program: str = "glmmTMB"
    link: str | None = None
    n_agq: int = 1
    zi: str | None = None
    hurdle: str | None = None
    disp: str | None = None
    weights: str | None = None
    offset: str | None = None

    def r(self) -> dict[str, Any]:
        """What glmm.R reads."""
        fields = {k: v for k, v in self._asdict().items() if v is not None and k not in ("family", "theirs", "hurdle")}
        return fields | {"family": self.theirs} | ({"zi": self.hurdle} if self.hurdle else {})

    def fit(self) -> Any:
        """Ours."""
        keep = ("formula", "family", "link", "n_agq", "zi", "hurdle", "disp", "weights", "offset")
        options = {k: v for k, v in self._asdict().items() if k in keep and v is not None}
        return jmix.glmm(data=glmm_data.data(self.data), **options)


SLOPE, GROUP = "(1 + x | g)", "(1 | g)"
TICKS = "TICKS ~ YEAR + cHEIGHT + "
SEIZURES = "y ~ lbase * trt + lage + V4 + "
MODELS = {
    "logit": Spec(f"y ~ x + f + {GROUP}", "binary", "bernoulli", "binomial()"),
    "probit": Spec(f"y ~ x + {GROUP}", "binary", "bernoulli", 'binomial("probit")', link="probit"),
    "cloglog": Spec(f"rare ~ x + {GROUP}", "binary", "bernoulli", 'binomial("cloglog")', link="cloglog"),
    "logit slope": Spec(f"y ~ x + {SLOPE}", "binary", "bernoulli", "binomial()"),
    "logit slope apart": Spec("y ~ x + (1 | g) + (0 + x | g)", "binary", "bernoulli", "binomial()"),
    "trials three": Spec("cbind(three, n - three) ~ x + z + (1 + x + z | g)", "binary", "binomial", "binomial()"),
    "trials": Spec(f"cbind(m, n - m) ~ x + z + {SLOPE}", "binary", "binomial", "binomial()"),
    "trials probit offset": Spec(
        f"cbind(m, n - m) ~ x + {GROUP}", "binary", "binomial", 'binomial("probit")', link="probit", offset="o"
    ),
    "share": Spec(f"share ~ x + {GROUP}", "binary", "binomial", "binomial()", weights="n"),
    "logit weights": Spec(f"y ~ x + {GROUP}", "binary", "bernoulli", "binomial()", weights="w"),
    "logit agq": Spec(f"y ~ x + z + {GROUP}", "binary", "bernoulli", "binomial", "glmer", n_agq=25),
    "probit agq": Spec(
        f"y ~ x + {GROUP}", "binary", "bernoulli", 'binomial("probit")', "glmer", link="probit", n_agq=25
    ),
    "trials agq": Spec(f"cbind(m, n - m) ~ x + {GROUP}", "binary", "binomial", "binomial", "glmer", n_agq=15),
    "toenail": Spec("y ~ treat * time + (1 | id)", "toenail", "bernoulli", "binomial()"),
    "toenail agq": Spec("y ~ treat * time + (1 | id)", "toenail", "bernoulli", "binomial", "glmer", n_agq=25),
    "bacteria": Spec("y ~ trt + late + (1 | ID)", "bacteria", "bernoulli", "binomial()"),
    "bacteria agq": Spec("y ~ trt + late + (1 | ID)", "bacteria", "bernoulli", "binomial", "glmer", n_agq=20),
    "nested": Spec("y ~ x + (1 | a/b)", "nested", "bernoulli", "binomial()"),
    "nested counts, slope": Spec("count ~ x + (1 + x | a) + (1 | a:b)", "nested", "poisson", "poisson()"),
    "crossed": Spec("y ~ x + f + (1 | a) + (1 | d)", "crossed", "bernoulli", "binomial()"),
    "crossed slopes": Spec("y ~ x + (1 + x | a) + (1 + x | d)", "crossed", "bernoulli", "binomial()"),
    "crossed counts": Spec("count ~ x + (1 + x | a) + (1 | d)", "crossed", "poisson", "poisson()"),
    "ticks, three factors": Spec(
        TICKS + "(1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "grouseticks", "poisson", "poisson()"
    ),
    "ticks, nested": Spec(TICKS + "(1 | LOCATION/BROOD)", "grouseticks", "poisson", "poisson()"),
    "ticks, nbinom2": Spec(TICKS + "(1 | BROOD) + (1 | LOCATION)", "grouseticks", "nbinom2", "nbinom2()"),
    "ticks, nbinom1": Spec(TICKS + "(1 | BROOD)", "grouseticks", "nbinom1", "nbinom1()"),
    "epil": Spec(SEIZURES + "(1 | subject)", "epil", "poisson", "poisson()"),
    "epil agq": Spec(SEIZURES + "(1 | subject)", "epil", "poisson", "poisson", "glmer", n_agq=15),
    "epil slope": Spec("y ~ lbase * trt + lage + visit + (1 + visit | subject)", "epil", "poisson", "poisson()"),
    "epil nbinom2": Spec(SEIZURES + "(1 | subject)", "epil", "nbinom2", "nbinom2()"),
    "epil nbinom1": Spec(SEIZURES + "(1 | subject)", "epil", "nbinom1", "nbinom1()"),
    "poisson exposure": Spec(f"events ~ x + {GROUP}", "counts", "poisson", "poisson()", offset="log_exposure"),
    "poisson weights": Spec(f"poisson ~ x + {SLOPE}", "counts", "poisson", "poisson()", weights="w"),
    "poisson sqrt": Spec(f"poisson ~ z + {GROUP}", "counts", "poisson", 'poisson("sqrt")', link="sqrt"),
    "nbinom2 slope": Spec(f"nb2 ~ x + {SLOPE}", "counts", "nbinom2", "nbinom2()"),
    "nbinom2 disp": Spec(f"nb2_disp ~ x + {GROUP}", "counts", "nbinom2", "nbinom2()", disp="~ z"),
    "nbinom1": Spec(f"nb1 ~ x + {GROUP}", "counts", "nbinom1", "nbinom1()", offset="log_exposure"),
    "zero-inflated": Spec(f"zip ~ x + {GROUP}", "counts", "poisson", "poisson()", zi="~ z"),
    "zero-inflated nbinom2": Spec(f"zinb ~ x + {GROUP}", "counts", "nbinom2", "nbinom2()", zi="~ 1"),
    "zero-inflated nbinom1": Spec(f"zinb ~ x + {GROUP}", "counts", "nbinom1", "nbinom1()", zi="~ z"),
    "hurdle": Spec(f"hurdle ~ x + {GROUP}", "counts", "poisson", "truncated_poisson()", hurdle="~ z"),
    "hurdle nbinom2": Spec(f"hurdle ~ x + {GROUP}", "counts", "nbinom2", "truncated_nbinom2()", hurdle="~ 1"),
    "hurdle nbinom1": Spec(f"zinb ~ x + {GROUP}", "counts", "nbinom1", "truncated_nbinom1()", hurdle="~ z"),
    "gamma log": Spec(f"gamma ~ x + {SLOPE}", "positive", "gamma", 'Gamma("log")', link="log"),
    "gamma disp": Spec(f"gamma_disp ~ x + {GROUP}", "positive", "gamma", 'Gamma("log")', link="log", disp="~ z"),
    "gamma inverse": Spec(f"rate ~ x + {GROUP}", "positive", "gamma", 'Gamma("inverse")', link="inverse"),
    "gamma weights": Spec(f"gamma ~ x + {GROUP}", "positive", "gamma", 'Gamma("log")', link="log", weights="w"),
    "beta": Spec(f"beta ~ x + {GROUP}", "positive", "beta", "beta_family()"),
    "beta disp": Spec(f"beta_disp ~ x + {GROUP}", "positive", "beta", "beta_family()", disp="~ z"),
    "gaussian disp": Spec(f"real ~ x + {SLOPE}", "positive", "gaussian", "gaussian()", disp="~ z"),
    "student": Spec(f"heavy ~ x + {GROUP}", "positive", "student", "t_family()"),
    "no random terms": Spec("nb2 ~ x * z", "counts", "nbinom2", "nbinom2()"),
    "no random terms, zeros": Spec("zip ~ x", "counts", "poisson", "poisson()", zi="~ z"),
    "no random terms, cloglog": Spec("rare ~ x + z", "binary", "bernoulli", 'binomial("cloglog")', link="cloglog"),
    "no random terms, beta": Spec("beta_disp ~ x", "positive", "beta", "beta_family()", disp="~ z"),
    "ordinal": Spec("grade ~ x + f + (1 | a)", "crossed", "cumulative", "", "clmm", link="logit"),
    "ordinal crossed": Spec("grade ~ x + (1 | a) + (1 | d)", "crossed", "cumulative", "", "clmm", link="probit"),
    "wine": Spec("rating ~ temp + contact + (1 | judge)", "wine", "cumulative", "", "clmm", link="logit"),
    "wine agq": Spec("rating ~ temp + contact + (1 | judge)", "wine", "cumulative", "", "clmm", "probit", 10),
}

QUICK = {
    *("logit slope", "cloglog", "share", "toenail agq", "crossed slopes", "ticks, three factors", "zero-inflated"),
    *("hurdle nbinom2", "gamma disp", "beta disp", "student", "wine agq", "no random terms, zeros"),
}
"""Run by default; the others, each of which compiles programs of its own, with ``-m slow`` or ``-m ""``."""

NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MODELS]

DISPERSION = {"gaussian": 0.5, "gamma": -1.0}
"""Our log dispersion per glmmTMB 1.1.5's: that of a Gaussian is the log variance, that of a gamma the log shape."""


NOISY_SE = {"wine": 3e-2}
"""By how much a program's standard errors are off: clmm's Hessian by differences depends on its optimiser there."""

EXACT_SE = {"wine": (0.595390980, 0.512558250)}
"""Of the coefficients, by a program in the manner of tests/reference/exact_glmm.py."""


@cache
def fit(name: str) -> Any:
    return MODELS[name].fit()


def run_r(folder: Path, names: list[str]) -> Any:
    """Fit models with R."""
    models = {name: MODELS[name] for name in names}
    levels: dict[str, dict[str, Any]] = {}
    for name in {spec.data for spec in models.values()}:
        frame = glmm_data.data(name)
        frame.to_csv(folder / f"{name}.csv", index=False, float_format="%.17g")
        kinds = {str(c): frame[c] for c in frame if not pd.api.types.is_numeric_dtype(frame[c].dtype)}
        factors = {c: s if isinstance(s.dtype, pd.CategoricalDtype) else s.astype("category") for c, s in kinds.items()}
        levels[name] = {
            c: {"levels": list(map(str, s.cat.categories)), "ordered": s.cat.ordered} for c, s in factors.items()
        }
    (folder / "levels.json").write_text(json.dumps(levels), encoding="utf-8")
    (folder / "models.json").write_text(json.dumps({n: s.r() for n, s in models.items()}), encoding="utf-8")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    subprocess.run(["Rscript", str(HERE / "glmm.R"), str(folder)], check=True, timeout=900, env=environment)
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def live(rscript: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    packages = ("lme4", "glmmTMB", "ordinal", "jsonlite")
    wanted = ", ".join(f'"{name}"' for name in packages)
    check = f"quit(status = !all(sapply(c({wanted}), requireNamespace, quietly = TRUE)))"
    if subprocess.run([rscript, "-e", check], check=False, capture_output=True).returncode:
        pytest.skip(f"one of the R packages {', '.join(packages)} is not installed")
    asked = [i for i in request.session.items if i.path == request.path and i.originalname == "test_r_live"]
    return run_r(
        tmp_path_factory.mktemp("glmm"),
        [item.callspec.params["name"] for item in asked],
    )


@pytest.fixture(scope="module")
def committed() -> Any:
    return json.loads((HERE / "glmm_expected.json").read_text(encoding="utf-8"))


def near(actual: Any, expected: Any, scale: Any = 0.0, tolerance: float = ESTIMATES) -> None:
    actual, expected = np.atleast_1d(np.asarray(actual, float)), np.atleast_1d(np.asarray(expected, float))
    assert actual.shape == expected.shape
    error = np.abs(actual - expected) / np.maximum(np.maximum(np.abs(expected), scale), 1e-300)
    assert np.all(error < tolerance), (float(error.max()), actual, expected)


def compare(name: str, expected: Any) -> None:
    """Everything that identifies the fit."""
    found, spec = fit(name), MODELS[name]
    assert found.converged, found.status.messages
    tolerance = LOOSER.get(spec.program, ESTIMATES)
    near(found.loglik, expected["loglik"], tolerance=LOGLIK if spec.program == "glmmTMB" else 1e-7)
    assert list(found.fixef().index) == list(expected["fixef"])
    near(found.fixef(), list(expected["fixef"].values()), found.se().to_numpy(), tolerance)
    errors = NOISY_SE.get(name, tolerance)
    near(found.se(), expected["se"], tolerance=errors)
    near(found.se(), EXACT_SE.get(name, found.se()), tolerance=1e-6)
    assert len(found.terms) == len(expected["vc"])
    for group in {term.group for term in found.terms}:
        ours = [cov for term, cov in zip(found.terms, found.cov_terms(), strict=True) if term.group == group]
        theirs = [np.asarray(entry["cov"]) for entry in expected["vc"] if entry["grp"] == group]
        for one, other in zip(ours, theirs, strict=True):
            sd = np.sqrt(np.diag(other))
            near(one, other, np.outer(sd, sd), tolerance)
    for part, factor in (("disp", DISPERSION.get(spec.family, 1.0)), ("zi", 1.0), ("thresholds", 1.0)):
        if np.size(expected.get(part, [])) and component(found, part):
            se = np.abs(factor) * np.atleast_1d(expected[f"{part}_se"])
            near(found.fixef(part), factor * np.atleast_1d(expected[part]), se, tolerance)
            near(found.se(part), se, tolerance=errors)
    if spec.family == "student":
        near(found.nu, np.exp(expected["shape"]), tolerance=tolerance)
    if expected.get("ranef"):
        canonical = spec.link is None or spec.program != "glmer"
        compare_random_effects(found, expected["ranef"], tolerance, canonical)


def component(found: Any, part: str) -> bool:
    """Whether the model has it; glmmTMB reports a dispersion of zero for families that have none."""
    return bool(
        {"disp": found.design.disp, "zi": found.design.zi, "thresholds": found.design.family.n_thresholds}[part]
    )


def compare_random_effects(found: Any, expected: Any, tolerance: float, observed: bool) -> None:
    """Modes, and conditional standard deviations unless theirs come from the expected information."""
    names = ["grpvar", "term", "grp", "condval", "condsd"]
    table = pd.DataFrame({k: expected[k] for k in names}).set_index(names[:3]).sort_index()
    sds = found.ranef_sd()
    for group, frame in found.ranef().items():
        for term in frame.columns:
            theirs = table.loc[(group, term)].loc[list(frame.index)]
            near(frame[term], theirs["condval"], float(np.abs(theirs["condval"]).max()), tolerance)
            if observed:
                near(sds[group][term], theirs["condsd"], float(theirs["condsd"].max()), tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_committed_numbers_of_r(name: str, committed: Any) -> None:
    compare(name, committed[name])


@pytest.mark.r
@pytest.mark.parametrize("name", NAMES)
def test_r_live(name: str, live: Any) -> None:
    compare(name, live[name])


def main(names: list[str]) -> None:
    """Fit the models named, all by default, and keep the numbers of the others."""
    file = HERE / "glmm_expected.json"
    values = json.loads(file.read_text(encoding="utf-8")) if names else {}
    with tempfile.TemporaryDirectory() as temporary:
        values |= run_r(Path(temporary), names or list(MODELS))
    ordered = {name: values[name] for name in MODELS}
    text = json.dumps(ordered, indent=None, separators=(",", ":")).replace('},"', '},\n"')
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
