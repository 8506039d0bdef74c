"""The models of the Bayesian benchmarks: data, priors in jmix's words, and how JAGS and the reference call the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHARED = Path(__file__).parents[2] / "shared"
"""Data that may not ship with jmix and reference posteriors; a case without them says so."""

SHIPPED = ("anorexia", "sleepstudy")

BUGS = Path(__file__).parent / "bugs"
UNIFORM_SD = "uniform(0.0001, 200)"
UNIFORM_SIGMA = "uniform(0.0001, 2000)"


@dataclass(frozen=True)
class Jags:
    """One way to put a model to JAGS."""

    file: str
    glm: bool

    @property
    def path(self) -> Path:
        """The model in the BUGS language."""
        return BUGS / self.file


@dataclass(frozen=True)
class BayesModel:
    """One model with its priors.

    Attributes:
        data: name of the data set. columns: used ones, the group last. priors: for jmix; ``{wide}`` stands for ten
            standard deviations of the response. names: jmix's parameter to JAGS's. reference: key path in
            posterior.json, with ``aliases`` from JAGS's names to those there. published: the sources' formulation.
            best: the fastest formulation that was found for JAGS. family: of a generalized model.
    """

    name: str
    title: str
    formula: str
    data: str
    columns: tuple[str, ...]
    priors: Mapping[str, str]
    names: Mapping[str, str]
    published: Jags
    best: Jags
    reference: tuple[str, str] | None
    aliases: Mapping[str, str]
    family: str = ""

    @property
    def group(self) -> str:
        """The grouping factor."""
        return self.columns[-1]

    @property
    def monitor(self) -> list[str]:
        """JAGS's nodes, without their indices."""
        return list(dict.fromkeys(name.split("[")[0] for name in self.names.values()))

    def priors_for(self, response: pd.Series) -> dict[str, str]:
        """The priors with the numbers that come from the response."""
        return {name: text.format(wide=repr(10.0 * float(response.std()))) for name, text in self.priors.items()}


COEFFICIENTS = {"b": "normal(0, {wide})", "b_(Intercept)": "normal(0, {wide})"}

MODELS = {
    model.name: model
    for model in (
        BayesModel(
            name="anorexia_5",
            title="anorexia, model 5",
            formula="weight ~ time + Rx1 + Rx3 + (1 | girl) + (0 + time | girl)",
            data="anorexia",
            columns=("weight", "time", "Rx1", "Rx3", "girl"),
            priors={
                **COEFFICIENTS,
                "sd_girl__Intercept": "gamma(0.001, 0.001) on precision",
                "sd_girl__time": UNIFORM_SD,
                "sigma": UNIFORM_SIGMA,
            },
            names={
                "(Intercept)": "b[1]",
                "time": "b[2]",
                "Rx1": "b[3]",
                "Rx3": "b[4]",
                "sd_girl__Intercept": "tau0",
                "sd_girl__time": "tau1",
                "sigma": "sigma",
            },
            published=Jags("anorexia_5.bug", glm=False),
            best=Jags("anorexia_5_best.bug", glm=True),
            reference=("anorexia", "anorexia_model5"),
            aliases={"b[1]": "g0", "b[2]": "g1", "b[3]": "g2", "b[4]": "g3"},
        ),
        BayesModel(
            name="nels_2",
            title="NELS, model 2",
            formula="math ~ homew + (1 | school) + (0 + homew | school)",
            data="nels23",
            columns=("math", "homew", "school"),
            priors={**COEFFICIENTS, "sd": UNIFORM_SD, "sigma": UNIFORM_SIGMA},
            names={
                "(Intercept)": "b[1]",
                "homew": "b[2]",
                "sd_school__Intercept": "tau0",
                "sd_school__homew": "tau1",
                "sigma": "sigma",
            },
            published=Jags("nels_2.bug", glm=False),
            best=Jags("nels_2.bug", glm=True),
            reference=None,
            aliases={},
        ),
        BayesModel(
            name="nels_3",
            title="NELS, model 3",
            formula="math ~ homew + (homew | school)",
            data="nels23",
            columns=("math", "homew", "school"),
            priors={
                **COEFFICIENTS,
                "cov_school": "wishart(2.1, 2.1) on precision",
                "sigma": "gamma(0.01, 0.01) on precision",
            },
            names={
                "(Intercept)": "b[1]",
                "homew": "b[2]",
                "sd_school__Intercept": "sd0",
                "sd_school__homew": "sd1",
                "cor_school__Intercept__homew": "rho",
                "sigma": "sigma",
            },
            published=Jags("nels_3.bug", glm=False),
            best=Jags("nels_3_best.bug", glm=True),
            reference=("nels", "nels_model3"),
            aliases={"b[1]": "mu[1]", "b[2]": "mu[2]"},
        ),
        BayesModel(
            name="sleepstudy",
            title="sleepstudy, default priors",
            formula="Reaction ~ Days + (Days | Subject)",
            data="sleepstudy",
            columns=("Reaction", "Days", "Subject"),
            priors={},
            names={
                "(Intercept)": "b[1]",
                "Days": "b[2]",
                "sd_Subject__Intercept": "sd0",
                "sd_Subject__Days": "sd1",
                "cor_Subject__Intercept__Days": "rho",
                "sigma": "sigma",
            },
            published=Jags("sleepstudy.bug", glm=False),
            best=Jags("sleepstudy_best.bug", glm=True),
            reference=("sleepstudy_brms_priors", "brms_prior_model"),
            aliases={"b[1]": "b0", "b[2]": "b1"},
        ),
    )
}

VOCABULARY = BayesModel(
    name="vocabulary",
    title="vocabulary, 1,155 people",
    formula="y ~ 0 + A + B + C + D + E + (1 | id)",
    data="gss2004_vocab",
    columns=("y", "A", "B", "C", "D", "E", "id"),
    priors={"b": f"normal(0, {1000**0.5!r})", "sd_id__Intercept": "gamma(0.01, 0.01) on precision"},
    names={**{name: f"b[{k}]" for k, name in enumerate("ABCDE", 1)}, "sd_id__Intercept": "tau"},
    published=Jags("vocabulary.bug", glm=False),
    best=Jags("vocabulary.bug", glm=True),
    reference=("vocabulary", "posterior_published_model"),
    aliases={f"b[{k}]": f"b{name}" for k, name in enumerate("abcde", 1)},
    family="bernoulli",
)
"""The model that took JAGS 59.7 minutes, apart from the others: JAGS needs minutes to say how fast it is."""


def frame_of(model: BayesModel) -> pd.DataFrame | None:
    """The model's columns, the group categorical; None where the data are not here."""
    import pandas as pd

    import jmix

    if model is VOCABULARY:
        from benchmarks.general_data import vocabulary

        return vocabulary()
    if model.data in SHIPPED:
        frame = jmix.load_data(model.data)
    else:
        source = SHARED / "data" / f"{model.data}.csv"
        if not source.exists():
            return None
        frame = pd.read_csv(source)
    frame = frame[list(model.columns)].astype(dict.fromkeys(model.columns[:-1], float))
    return frame.assign(**{model.group: frame[model.group].astype(str).astype("category")})


def constants_of(model: BayesModel, frame: pd.DataFrame) -> dict[str, float]:
    """Numbers that JAGS's models use."""
    y = frame[model.columns[0]]
    sizes = {"n": float(len(frame)), "groups": float(frame[model.group].nunique())}
    if model.family:
        return sizes
    if model.data != "sleepstudy":
        return sizes | {"prec_b": 1.0 / (100.0 * float(y.var()))}
    spread = 1.482602218505602 * float((y - y.median()).abs().median())
    return sizes | {
        "location": round(float(y.median()), 1),
        "scale": max(2.5, round(spread, 1)),
        "middle": float(frame["Days"].mean()),
    }


@cache
def _posteriors() -> Any:
    source = SHARED / "reference" / "posterior.json"
    return json.loads(source.read_text()) if source.exists() else None


def reference_of(model: BayesModel) -> dict[str, dict[str, float]] | None:
    """Published ``mean``, ``sd``, ``mcse`` and ``ess`` by jmix's parameter, or None where there are none."""
    if model.reference is None or _posteriors() is None:
        return None
    study, name = model.reference
    stats = _posteriors()[study][name]
    stats = stats.get("stats", stats)
    return {ours: stats[model.aliases.get(theirs, theirs)] for ours, theirs in model.names.items()}
