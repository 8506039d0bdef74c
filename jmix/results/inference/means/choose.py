"""Which engine answers for a model and a type of prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.means.engines import DesignPart, Engine, GlmmEngine, LinearEngine
from jmix.results.inference.means.quantities import Quantities
from jmix.results.inference.means.scales import IDENTITY, Scale, family_scale, response_scale

if TYPE_CHECKING:
    from jmix.results.glmm_predict import Target

FloatArray = npt.NDArray[np.float64]

TYPES = ("link", "response", "conditional", "zi", "disp", "probs", "mean_class")


@dataclass(frozen=True)
class Question:
    """What is to be predicted, as the user asked.

    Attributes:
        type: of prediction. df: rule for degrees of freedom. averaged: over the random effects' distribution.
        thin, centre, interval: of a posterior: every thin-th draw; "mean" or "median"; "eti" or "hdi".
    """

    type: str = "link"
    df: Any = None
    averaged: bool = False
    thin: int = 1
    centre: str = "mean"
    interval: str = "eti"


@dataclass(frozen=True, eq=False)
class Choice:
    """An engine, the scale from its quantities to the response, and whether to show them there."""

    engine: Engine
    scale: Scale = IDENTITY
    response: bool = False

    def direct(self) -> Engine:
        """An engine whose rows are on the scale asked for."""
        return ScaledEngine(self.engine, self.scale) if self.response and not self.scale.identity else self.engine


class ScaledEngine(Engine):
    """Another engine's rows on the response scale."""

    def __init__(self, inner: Engine, scale: Scale) -> None:
        self.inner, self.scale, self.width, self.part = inner, scale, inner.width, inner.part

    def rows(self, table: Any, n: int, offset: FloatArray | None = None) -> Quantities:
        """Responses of n rows."""
        found = self.inner.rows(table, n, offset).transform(self.scale.inverse, self.scale.slope)
        assert isinstance(found, Quantities)
        return found


def choose(model: Any, question: Question) -> Choice:
    """The engine for a fit or a posterior.

    Raises:
        ModelError: another type, one that the model does not have, or options that do not go together.
    """
    if question.type not in TYPES:
        raise ModelError(f"type={question.type!r}: choose {', '.join(map(repr, TYPES[:2]))}" + _more(model))
    if hasattr(model, "draws"):
        from jmix.results.inference.means.drawn import choose_drawn

        return choose_drawn(model, question)
    family = getattr(model, "family", None)
    return _linear(model, question) if family is None else _generalized(model, question)


def _more(model: Any) -> str:
    family = getattr(model, "family", None)
    if getattr(family, "name", "") == "cumulative":
        return ", 'probs' or 'mean_class'"
    return ", 'conditional' or 'zi'" if getattr(family, "zero", "") else ""


def _linear(fit: Any, question: Question) -> Choice:
    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    if question.type not in ("link", "response"):
        raise ModelError(f"type={question.type!r} is for generalized models; choose 'link' or 'response'")
    refuse_average(question, "the response of a linear model is already averaged over the random effects")
    engine = LinearEngine(DesignPart(fit.base), fixed_tests(fit, question.df))
    return Choice(engine, response_scale(fit.base.encoding), question.type == "response")


def refuse_average(question: Question, why: str) -> None:
    """Refuse ``population_averaged``."""
    if question.averaged:
        raise ModelError(f"population_averaged=True: {why}")


def _generalized(fit: Any, question: Question) -> Choice:
    from jmix.results.inference.fixed.fixed_tests import fixed_tests

    family = fit.family
    part = part_of(fit.design)
    simple = not family.zero and family.name != "cumulative"
    if question.df not in (None, "none"):
        tests = fixed_tests(fit, question.df)
        if not simple or question.type not in ("link", "response") or question.averaged:
            raise ModelError(f"df={question.df!r} is for the linear predictor; leave it out")
        return Choice(LinearEngine(part, tests), family_scale(family), question.type == "response")
    if question.averaged:
        return Choice(GlmmEngine(fit, part, averaged_target(fit, question), averaged=bool(fit.terms)))
    if question.type == "link" or (question.type in ("response", "conditional") and simple):
        return Choice(
            GlmmEngine(fit, part, link_target(fit)),
            IDENTITY if family.name == "cumulative" else family_scale(family),
            question.type != "link",
        )
    return Choice(GlmmEngine(fit, part, target(fit, question.type)))


def part_of(design: Any) -> DesignPart:
    """The linear predictor of a generalized model's design."""
    return DesignPart(design.base, (design.disp, design.zi), thresholds=design.family.name == "cumulative")


def averaged_target(fit: Any, question: Question) -> Target:
    """What is averaged over the random effects.

    Raises:
        ModelError: the link, or a link under which the average does not exist.
    """
    if question.type == "link":
        raise ModelError("population_averaged=True is for the response: give type='response'")
    if fit.family.link in ("inverse", "1/mu^2"):
        raise ModelError(
            f"population_averaged=True: with the link {fit.family.link!r} the expected response over normal random "
            "effects does not exist; use a log link, or leave it out"
        )
    return target(fit, question.type)


def target(fit: Any, type: str) -> Target:
    """A type of prediction; "mean_class" is the expected number of the category, from 1."""
    from jmix.results.glmm_predict import Target, probabilities, target_of

    if type != "mean_class":
        return target_of(fit, type)
    family = fit.family
    if family.name != "cumulative":
        raise ModelError("type='mean_class' is for an ordinal response; choose 'link' or 'response'")

    def mean_class(at: Any) -> FloatArray:
        p = probabilities(family, at)
        return np.asarray(np.tensordot(np.arange(1.0, len(p) + 1.0), p, axes=1))[None]

    return Target(mean_class, frozenset({"eta"}))


def link_target(fit: Any) -> Target:
    """The linear predictor; of an ordinal model less the average threshold, the latent mean."""
    from jmix.results.glmm_predict import Target

    if fit.family.name == "cumulative":
        return Target(lambda at: np.asarray(at.eta - np.mean(np.asarray(at.tau)))[None], frozenset({"eta"}))
    return Target(lambda at: np.asarray(at.eta), frozenset({"eta"}))
