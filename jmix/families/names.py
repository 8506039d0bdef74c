"""The families, their links and their properties; how a user's name for one is understood."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jmix.errors import ModelError

if TYPE_CHECKING:
    import jax

LINKS: dict[str, tuple[str, ...]] = {
    "gaussian": ("identity", "log", "inverse"),
    "student": ("identity", "log"),
    "bernoulli": ("logit", "probit", "cloglog", "cauchit", "log", "identity"),
    "binomial": ("logit", "probit", "cloglog", "cauchit", "log", "identity"),
    "poisson": ("log", "identity", "sqrt"),
    "nbinom2": ("log", "identity", "sqrt"),
    "nbinom1": ("log", "identity", "sqrt"),
    "gamma": ("inverse", "log", "identity"),
    "inverse_gaussian": ("1/mu^2", "inverse", "log", "identity"),
    "beta": ("logit", "probit", "cloglog"),
    "cumulative": ("logit", "probit", "cloglog", "cauchit"),
}
"""Links that a family allows, its default first."""

TITLES = {
    "gaussian": "Gaussian",
    "student": "Student t",
    "bernoulli": "Bernoulli",
    "binomial": "Binomial",
    "poisson": "Poisson",
    "nbinom2": "Negative binomial (NB2)",
    "nbinom1": "Negative binomial (NB1)",
    "gamma": "Gamma",
    "inverse_gaussian": "Inverse Gaussian",
    "beta": "Beta",
    "cumulative": "Cumulative",
}

ALIASES = {
    "normal": "gaussian",
    "student_t": "student",
    "studentt": "student",
    "t": "student",
    "t_family": "student",
    "binary": "bernoulli",
    "negbinomial": "nbinom2",
    "negbin": "nbinom2",
    "negative_binomial": "nbinom2",
    "negativebinomial": "nbinom2",
    "nb": "nbinom2",
    "nb2": "nbinom2",
    "nbinom": "nbinom2",
    "nb1": "nbinom1",
    "inversegaussian": "inverse_gaussian",
    "inverse_gauss": "inverse_gaussian",
    "invgauss": "inverse_gaussian",
    "ig": "inverse_gaussian",
    "beta_family": "beta",
    "ordinal": "cumulative",
    "ordered": "cumulative",
    "clm": "cumulative",
    "polr": "cumulative",
}
"""Other names of the families: lme4's, glmmTMB's, brms's, statsmodels'; looked up in lower case, ``.`` as ``_``."""

PREFIXED = {
    "zero_inflated_poisson": ("poisson", "inflated"),
    "zero_inflated_negbinomial": ("nbinom2", "inflated"),
    "hurdle_poisson": ("poisson", "hurdle"),
    "hurdle_negbinomial": ("nbinom2", "hurdle"),
    "truncated_poisson": ("poisson", "hurdle"),
    "truncated_nbinom2": ("nbinom2", "hurdle"),
    "truncated_nbinom1": ("nbinom1", "hurdle"),
}
"""Names that carry a model of the zeros: brms's, and glmmTMB's ``truncated_*``, with which it writes a hurdle."""

LINK_ALIASES = {
    "logistic": "logit",
    "normit": "probit",
    "id": "identity",
    "reciprocal": "inverse",
    "inverse_power": "inverse",
    "1/mu": "inverse",
    "1/mu**2": "1/mu^2",
    "inverse_squared": "1/mu^2",
    "inverse_square": "1/mu^2",
    "inversesquared": "1/mu^2",
    "cauchy": "cauchit",
}

_DISPERSED = {"gaussian", "student", "nbinom2", "nbinom1", "gamma", "inverse_gaussian", "beta"}
_DISCRETE = {"bernoulli", "binomial", "poisson", "nbinom2", "nbinom1", "cumulative"}
_COUNTS = {"poisson", "nbinom2", "nbinom1"}
_CONCAVE = {
    *(("gaussian", link) for link in ("identity",)),
    *((name, link) for name in ("bernoulli", "binomial") for link in ("logit", "probit", "cloglog", "log", "identity")),
    *(("poisson", link) for link in ("log", "identity", "sqrt")),
    ("nbinom2", "log"),
    ("nbinom1", "identity"),
    *(("gamma", link) for link in ("log", "inverse")),
    *(("inverse_gaussian", link) for link in ("1/mu^2", "inverse")),
    *(("cumulative", link) for link in ("logit", "probit", "cloglog")),
}
_CONCAVE_HURDLE = {("poisson", "log"), ("poisson", "identity"), ("poisson", "sqrt"), ("nbinom1", "identity")}
_TEXT = re.compile(r"^\s*([A-Za-z][\w.]*)\s*(?:\(\s*(?:link\s*=\s*)?([\"']?)([\w./^*]*)\2\s*\))?\s*$")


class Aux(NamedTuple):
    """What a row's density needs beside its linear predictor; None where the family has no use for it.

    Attributes:
        log_phi: log dispersion, broadcastable to the rows.
        zi: logit of the zero probability, broadcastable to the rows.
        tau: (K-1,) increasing thresholds.
        shape: Student's degrees of freedom, a scalar.
    """

    log_phi: jax.Array | None = None
    zi: jax.Array | None = None
    tau: jax.Array | None = None
    shape: jax.Array | None = None


@dataclass(frozen=True)
class Family:
    """A response distribution with its link: hashable, a static argument of programs.

    Attributes:
        name: a key of ``LINKS``.
        link: one of that family's links.
        zero: "" or, for counts, "inflated" (a mixture with a point mass at 0) or "hurdle" (0, or zero-truncated).
        n_categories: K, for a cumulative family whose response has been read; otherwise 0.
    """

    name: str
    link: str
    zero: str = ""
    n_categories: int = 0

    @property
    def has_dispersion(self) -> bool:
        """Whether a dispersion phi is estimated."""
        return self.name in _DISPERSED

    @property
    def n_thresholds(self) -> int:
        """Number of thresholds, K - 1 for a cumulative family."""
        return max(self.n_categories - 1, 0)

    @property
    def has_shape(self) -> bool:
        """Whether a shape parameter is estimated: Student's degrees of freedom."""
        return self.name == "student"

    @property
    def n_shape(self) -> int:
        """Number of shape parameters, 0 or 1."""
        return int(self.has_shape)

    @property
    def canonical(self) -> bool:
        """Whether y meets the parameters only as ``y * eta``, so that rows of equal eta can be merged by summing y."""
        return not self.zero and (self.name, self.link) in {
            ("bernoulli", "logit"),
            ("binomial", "logit"),
            ("poisson", "log"),
        }

    @property
    def log_concave(self) -> bool:
        """Whether -l''(eta) >= 0 at every eta of the link's domain, whatever y and the other parameters."""
        if self.zero:
            return self.zero == "hurdle" and (self.name, self.link) in _CONCAVE_HURDLE
        return (self.name, self.link) in _CONCAVE

    @property
    def discrete(self) -> bool:
        """Whether the response takes isolated values."""
        return self.name in _DISCRETE

    @property
    def has_trials(self) -> bool:
        """Whether the response counts successes out of a known number of trials."""
        return self.name == "binomial"

    @property
    def title(self) -> str:
        """For print: ``Zero-inflated Poisson (log)``."""
        zero = {"": "", "inflated": "Zero-inflated ", "hurdle": "Hurdle "}[self.zero]
        title = TITLES[self.name]
        if zero:
            title = title[0].lower() + title[1:] if title.startswith("Negative") else title
        return f"{zero}{title} ({self.link})"


def resolve_family(family: str | Family, link: str | None = None, zero: str = "") -> Family:
    """The family that a name means, with its default link unless another is asked for.

    Args:
        family: a name of this package, lme4, glmmTMB, brms or statsmodels, optionally with a link as in
            ``"poisson(log)"`` or ``"Gamma(link='log')"``; or a ``Family``.
        link: replaces the link.
        zero: "", "inflated" or "hurdle".

    Raises:
        ModelError: an unknown family, or a link or treatment of zeros that the family does not allow.
    """
    if isinstance(family, Family):
        name, written, own_zero, categories = family.name, family.link, family.zero, family.n_categories
    elif isinstance(family, str):
        name, written, own_zero = _read(family)
        categories = 0
    else:
        raise ModelError(f"family must be a name such as 'binomial', or a Family, not {type(family).__name__}.")
    if zero and own_zero and zero != own_zero:
        raise ModelError(
            f"family {family!r} has its own model of the zeros, '{own_zero}'; zero={zero!r} contradicts it."
        )
    zero = _check_zero(name, zero or own_zero)
    return Family(name, _check_link(name, link if link is not None else written), zero, categories)


def _read(text: str) -> tuple[str, str, str]:
    """Family, link ("" for the default) and treatment of zeros that a text such as ``poisson(log)`` means."""
    match = _TEXT.match(text)
    if match is None:
        raise ModelError(f"cannot read family {text!r}: write a name, or a name with its link as in 'poisson(log)'.")
    key = match[1].lower().replace(".", "_")
    link = match[3] or ""
    if key in PREFIXED:
        return PREFIXED[key][0], link, PREFIXED[key][1]
    name = ALIASES.get(key, key)
    if name not in LINKS:
        known = ", ".join(LINKS)
        near = difflib.get_close_matches(key, [*LINKS, *ALIASES, *PREFIXED], n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ModelError(f"unknown family {match[1]!r}.{hint} Families: {known}.")
    return name, link, ""


def _check_link(name: str, link: str) -> str:
    allowed = LINKS[name]
    if not link:
        return allowed[0]
    if not isinstance(link, str):
        raise ModelError(f"link must be a name such as '{allowed[0]}', not {type(link).__name__}.")
    key = link.strip().lower()
    key = LINK_ALIASES.get(key, key)
    if key not in allowed:
        raise ModelError(f"family {name} has no link {link!r}; its links: {', '.join(allowed)} (default {allowed[0]}).")
    return key


def _check_zero(name: str, zero: str) -> str:
    if zero not in {"", "inflated", "hurdle"}:
        raise ModelError(f"zero must be '', 'inflated' or 'hurdle', not {zero!r}.")
    if zero and name not in _COUNTS:
        raise ModelError(
            f"family {name} has no {'zero-inflated' if zero == 'inflated' else 'hurdle'} variant; "
            f"those that have: {', '.join(sorted(_COUNTS))}."
        )
    return zero
