"""The models of inference.R: their data, formulas, and what is asked about each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import jmix


class Spec(NamedTuple):
    """A model and what R is asked about it.

    Attributes:
        means: factor of the marginal means, or None. trend: numeric variable of the slopes, by ``means`` or alone.
        kr: Kenward-Roger, which pbkrtest does with n x n matrices. profile: lme4's profile intervals.
    """

    formula: str
    data: str
    reml: bool = True
    weights: str | None = None
    family: str | None = None
    means: str | None = None
    trend: str | None = None
    kr: bool = True
    profile: bool = True


MODELS = {
    "slopes": Spec("Reaction ~ Days + (Days | Subject)", "sleepstudy", trend="Days"),
    "slopes, ML": Spec("Reaction ~ Days + (Days | Subject)", "sleepstudy", reml=False, kr=False),
    "uncorrelated": Spec("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", "sleepstudy"),
    "crossed": Spec("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    "nested": Spec("strength ~ 1 + (1 | batch) + (1 | sample)", "Pastes"),
    "rat pups": Spec("weight ~ sex * treatment + lsize + (1 | litter)", "pups", means="treatment", trend="lsize"),
    "schools": Spec(
        "MathAch ~ meanses * cses + Sector * cses + (cses | School)",
        "schools",
        means="Sector",
        trend="cses",
        kr=False,
        profile=False,
    ),
    "split plot": Spec("y ~ variety * nitro + (1 | block) + (1 | plot)", "plots", means="variety"),
    "unbalanced factors": Spec("y ~ f * h + x + (1 | g)", "cells", means="f", trend="x"),
    "numeric by factor": Spec("y ~ f * x + (x | g)", "cells", means="f", trend="x"),
    "missing cell": Spec("y ~ f * k + (1 | g)", "cells"),
    "weights": Spec("y ~ x + f + (1 | g)", "cells", weights="w", kr=False, profile=False, means="f"),
    "crossed, unbalanced": Spec("y ~ x + (1 + x | a) + (1 | d)", "crossing"),
    "three slopes": Spec("y ~ x + z + (1 + x + z | g)", "wide", profile=False),
    "singular variance": Spec("y ~ x + (1 | g)", "noise"),
    "singular correlation": Spec("y ~ x + (1 + x | g)", "noise"),
    "few groups": Spec("y ~ t + x + (1 | s)", "trial", means="t"),
    "cbpp": Spec("cbind(incidence, size - incidence) ~ period + (1 | herd)", "cbpp", family="binomial", means="period"),
    "contraception": Spec(
        "use ~ age + I(age^2) + urban * livch + (1 | district)",
        "Contraception",
        family="binomial",
        means="livch",
        trend="age",
        profile=False,
    ),
    "seizures": Spec(
        "y ~ trt * lbase + lage + (1 | subject)", "seizures", family="poisson", means="trt", trend="lbase"
    ),
}


def _labels(prefix: str, codes: Any) -> list[str]:
    return [f"{prefix}{code:02d}" for code in codes]


def plots() -> pd.DataFrame:
    """A split plot: 6 blocks of 3 varieties (plots) of 4 nitrogen levels."""
    rng = np.random.RandomState(21)
    plot, nitro = np.repeat(np.arange(18), 4), np.tile(np.arange(4), 18)
    block, variety = plot // 3, plot % 3
    y = 80.0 + np.array([0.0, 5.0, -3.0])[variety] + np.array([0.0, 18.0, 30.0, 34.0])[nitro]
    y = y + 14.0 * rng.standard_normal(6)[block] + 10.0 * rng.standard_normal(18)[plot] + 13.0 * rng.standard_normal(72)
    return pd.DataFrame(
        {"y": y, "variety": _labels("v", variety), "nitro": _labels("n", nitro), "block": _labels("b", block)}
    ).assign(plot=_labels("p", plot))


def cells() -> pd.DataFrame:
    """14 groups of 4 to 17 rows; three unbalanced factors, of which f and k leave a cell empty; slopes that vary."""
    rng = np.random.RandomState(22)
    g = np.repeat(np.arange(14), 4 + np.arange(14))
    n = g.size
    f, h = rng.choice(3, n, p=[0.5, 0.3, 0.2]), rng.choice(2, n, p=[0.65, 0.35])
    k = np.where((f == 2) | (rng.uniform(size=n) < 0.6), 0, 1)
    x = rng.standard_normal(n) + 0.5 * f
    y = 10.0 + f - 0.8 * h + 0.7 * f * h + 0.5 * x + rng.standard_normal(14)[g] + 0.5 * rng.standard_normal(14)[g] * x
    frame = pd.DataFrame({"y": y + rng.standard_normal(n), "x": x, "w": rng.uniform(0.3, 2.5, n), "g": _labels("g", g)})
    return frame.assign(f=_labels("f", f), h=_labels("h", h), k=_labels("k", k))


def crossing() -> pd.DataFrame:
    """15 levels that cross 7, not all cells filled."""
    rng = np.random.RandomState(23)
    a, d = rng.randint(0, 15, 260), rng.randint(0, 7, 260)
    x = rng.standard_normal(260) + 0.5
    y = 1.0 + x + rng.standard_normal(15)[a] + 0.6 * rng.standard_normal(15)[a] * x + 0.7 * rng.standard_normal(7)[d]
    return pd.DataFrame({"y": y + rng.standard_normal(260), "x": x, "a": _labels("a", a), "d": _labels("d", d)})


def wide() -> pd.DataFrame:
    """Two predictors whose slopes vary, in 30 groups of 10."""
    rng = np.random.RandomState(24)
    g = np.repeat(np.arange(30), 10)
    x = rng.standard_normal((300, 2))
    b = rng.standard_normal((30, 3)) @ np.array([[1.0, 0.3, 0.2], [0.0, 0.7, 0.2], [0.0, 0.0, 0.6]])
    y = 1.0 + 0.3 * x[:, 0] + b[g, 0] + np.sum(b[g, 1:] * x, axis=1) + rng.standard_normal(300)
    return pd.DataFrame({"y": y, "x": x[:, 0], "z": x[:, 1], "g": _labels("g", g)})


def noise() -> pd.DataFrame:
    """A grouping factor that explains less than chance: group means are pulled together."""
    rng = np.random.RandomState(7)
    g = np.repeat(np.arange(12), 8)
    x, y = rng.standard_normal(96), rng.standard_normal(96)
    y = y - 0.9 * np.array([y[g == k].mean() for k in range(12)])[g] + 0.3 * rng.standard_normal(12)[g] * x
    return pd.DataFrame({"y": y, "x": x, "g": _labels("g", g)})


def trial() -> pd.DataFrame:
    """A cluster-randomised trial: ten sites of 3 to 12 pupils, treatment between sites."""
    rng = np.random.RandomState(25)
    s = np.repeat(np.arange(10), 3 + np.arange(10))
    t, x = s % 2, rng.standard_normal(s.size)
    y = 50.0 + 3.0 * t + 2.0 * x + 3.0 * rng.standard_normal(10)[s] + 6.0 * rng.standard_normal(s.size)
    return pd.DataFrame({"y": y, "x": x, "t": np.array(["control", "treated"])[t], "s": _labels("s", s)})


def schools() -> pd.DataFrame:
    """Bryk and Raudenbush's schools: socioeconomic status of the school and within it."""
    pupils = jmix.load_data("MathAchieve")
    pupils = pupils.assign(School=pupils["School"].astype(str))
    school = jmix.load_data("MathAchSchool").assign(School=lambda d: d["School"].astype(str))
    pupils["meanses"] = pupils.groupby("School")["SES"].transform("mean")
    pupils["cses"] = pupils["SES"] - pupils["meanses"]
    merged = pupils.merge(school[["School", "Sector"]], on="School")
    return merged[["School", "MathAch", "meanses", "cses", "Sector"]].assign(Sector=merged["Sector"].astype(str))


def pups() -> pd.DataFrame:
    """Rat pups, with names in small letters."""
    data = jmix.load_data("RatPupWeight").rename(columns=str.lower)
    return data.assign(**{name: data[name].astype(str) for name in ("sex", "litter", "treatment")})


def seizures() -> pd.DataFrame:
    """Epileptics: counts in four periods."""
    data = jmix.load_data("epil")
    return data[["y", "trt", "lbase", "lage", "subject"]].assign(
        trt=data["trt"].astype(str), subject=_labels("s", data["subject"])
    )


MADE: dict[str, Callable[[], pd.DataFrame]] = {
    d.__name__: d for d in (plots, cells, crossing, wide, noise, trial, schools, pups, seizures)
}


@cache
def data(name: str) -> pd.DataFrame:
    """The data of a model; text columns hold factors with levels in alphabetical order."""
    if name in MADE:
        return MADE[name]()
    frame = jmix.load_data(name)
    if name == "cbpp":
        frame = frame.assign(period=_labels("p", frame["period"].astype(int)))
    texts = {c: frame[c].astype(str) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])}
    return frame.assign(**texts)


@cache
def fit(name: str) -> Any:
    """The fit of a model, once a process."""
    spec = MODELS[name]
    if spec.family:
        return jmix.glmm(spec.formula, data(spec.data), family=spec.family)
    return jmix.lmm(spec.formula, data(spec.data), reml=spec.reml, weights=spec.weights)
