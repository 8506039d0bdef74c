"""From the scale of the linear predictor to that of the response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.formula.functions import plain_name
from jmix.formula.syntax import Call, Num, strip_groups

if TYPE_CHECKING:
    from jmix.families import Family

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Scale:
    """A link or a transformation of the response.

    Attributes:
        name: "identity", "log", "logit", ... inverse: from the linear predictor. slope: its derivative.
        unit: what the response scale holds: "probability", "rate", "response". noun: "link" or "transformation".
    """

    name: str
    inverse: Function
    slope: Function
    unit: str = "response"
    noun: str = "link"

    @property
    def identity(self) -> bool:
        """Whether both scales are the same."""
        return self.name == "identity"

    @property
    def ratio(self) -> str | None:
        """What the inverse makes of a difference: "odds ratio", "ratio", or None where it has no meaning."""
        if self.name == "logit":
            return "odds ratio"
        return "ratio" if self.name in ("log", "log2", "log10", "ratio") else None

    def of_differences(self) -> Scale:
        """The scale of contrasts: ratios for logarithms, otherwise none."""
        if self.name == "logit":
            return Scale("ratio", np.exp, np.exp, "odds ratio")
        return Scale(self.name, self.inverse, self.slope, "ratio") if self.ratio else IDENTITY


IDENTITY = Scale("identity", np.asarray, np.ones_like)


def family_scale(family: Family) -> Scale:
    """The link of a family."""
    from jmix.families import inverse_link, link_derivative

    if family.link == "identity":
        return IDENTITY
    unit = "probability" if family.name in ("binomial", "bernoulli", "beta", "betabinomial") else "response"
    unit = "rate" if family.link == "log" and "poisson" in family.name else unit
    return Scale(family.link, lambda eta: inverse_link(family, eta), lambda eta: link_derivative(family, eta), unit)


def response_scale(encoding: Any) -> Scale:
    """The transformation on the left side of a linear model's formula that can be undone: log(y), sqrt(y), ..."""
    node = strip_groups(encoding.parsed.response_node)
    if not isinstance(node, Call):
        return IDENTITY
    func = plain_name(node.func)
    base = {"log2": 2.0, "log10": 10.0}.get(func)
    if func == "log":
        extra = [part for _, part in node.args[1:]]
        base = float(extra[0].value) if extra and isinstance(extra[0], Num) else None if extra else float(np.e)
        func = {2.0: "log2", 10.0: "log10"}.get(base or 0.0, "log")
    if base is not None:
        rate = float(np.log(base))
        return Scale(func, lambda e: np.exp(rate * e), lambda e: rate * np.exp(rate * e), noun="transformation")
    known: dict[str, tuple[Function, Function]] = {
        "sqrt": (np.square, lambda e: 2.0 * e),
        "log1p": (np.expm1, np.exp),
        "exp": (np.log, lambda e: 1.0 / e),
        "logit": (_expit, lambda e: _expit(e) * _expit(-e)),
        "qlogis": (_expit, lambda e: _expit(e) * _expit(-e)),
        "asinh": (np.sinh, np.cosh),
        "arcsinh": (np.sinh, np.cosh),
    }
    if func not in known:
        return IDENTITY
    name = "logit" if func == "qlogis" else func
    return Scale(name, *known[func], noun="transformation")


def _expit(eta: Any) -> Any:
    from scipy.special import expit

    return expit(eta)


def biased(scale: Scale, variance: Any) -> Scale:
    """The scale with the second-order correction for normal noise of a variance about the linear predictor.

    ``h(eta) + h''(eta) variance / 2``, as emmeans's ``bias.adjust``.
    """
    step = 1e-3

    def second(eta: Any) -> Any:
        return (scale.slope(eta + step) - scale.slope(eta - step)) / (2.0 * step)

    def third(eta: Any) -> Any:
        return (scale.slope(eta + step) - 2.0 * scale.slope(eta) + scale.slope(eta - step)) / step**2

    return Scale(
        scale.name,
        lambda eta: scale.inverse(eta) + 0.5 * variance * second(eta),
        lambda eta: scale.slope(eta) + 0.5 * variance * third(eta),
        scale.unit,
        scale.noun,
    )
