"""How families are named, and what they say of themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.families import Aux, Family, resolve_family
from jmix.families.names import LINKS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("binomial", ("binomial", "logit", "")),
        ("Gamma", ("gamma", "inverse", "")),
        ("Gamma(link='log')", ("gamma", "log", "")),
        ('Gamma(link = "log")', ("gamma", "log", "")),
        ("poisson(log)", ("poisson", "log", "")),
        ("poisson(link=sqrt)", ("poisson", "sqrt", "")),
        ("inverse.gaussian", ("inverse_gaussian", "1/mu^2", "")),
        ("inverse.gaussian(1/mu^2)", ("inverse_gaussian", "1/mu^2", "")),
        ("InverseGaussian", ("inverse_gaussian", "1/mu^2", "")),
        ("negbinomial", ("nbinom2", "log", "")),
        ("NegativeBinomial", ("nbinom2", "log", "")),
        ("nbinom1", ("nbinom1", "log", "")),
        ("t", ("student", "identity", "")),
        ("beta_family()", ("beta", "logit", "")),
        ("ordinal(probit)", ("cumulative", "probit", "")),
        ("zero_inflated_poisson", ("poisson", "log", "inflated")),
        ("hurdle_negbinomial", ("nbinom2", "log", "hurdle")),
        ("truncated_nbinom1", ("nbinom1", "log", "hurdle")),
        ("bernoulli(link = cauchit)", ("bernoulli", "cauchit", "")),
    ],
)
def test_names_of_other_packages(text: str, expected: tuple[str, str, str]) -> None:
    family = resolve_family(text)
    assert (family.name, family.link, family.zero) == expected
    assert resolve_family(family) == family
    assert hash(resolve_family(family)) == hash(family)


def test_arguments_override_the_text() -> None:
    assert resolve_family("binomial(probit)", "cloglog").link == "cloglog"
    assert resolve_family("poisson", zero="hurdle") == Family("poisson", "log", "hurdle")


@pytest.mark.parametrize(
    ("family", "link", "zero", "message"),
    [
        ("binomal", None, "", "Did you mean 'binomial'"),
        ("tweedie", None, "", "Families: gaussian, student"),
        ("poisson(log", None, "", "cannot read family"),
        ("poisson(__import__('os'))", None, "", "cannot read family"),
        ("poisson", "logit", "", "its links: log, identity, sqrt"),
        ("beta(log)", None, "", "its links: logit, probit, cloglog"),
        ("gamma", None, "inflated", "no zero-inflated variant"),
        ("gaussian", None, "hurdle", "no hurdle variant"),
        ("poisson", None, "some", "zero must be"),
        (3, None, "", "not int"),
        ("poisson", 3, "", "not int"),
    ],
)
def test_what_is_refused(family: Any, link: Any, zero: str, message: str) -> None:
    with pytest.raises(ModelError) as error:
        resolve_family(family, link, zero)
    assert message in str(error.value)


def test_a_chosen_zero_part_does_not_silently_replace_another() -> None:
    with pytest.raises(ModelError, match="hurdle"):
        resolve_family("hurdle_poisson", zero="inflated")


def test_properties() -> None:
    dispersed = {name for name in LINKS if resolve_family(name).has_dispersion}
    assert dispersed == set(LINKS) - {"bernoulli", "binomial", "poisson", "cumulative"}
    assert Family("cumulative", "logit", n_categories=4).n_thresholds == 3
    assert [name for name in LINKS if resolve_family(name).n_shape] == ["student"]
    assert [name for name in LINKS if resolve_family(name).canonical] == ["bernoulli", "binomial", "poisson"]
    assert not resolve_family("poisson", zero="inflated").canonical
    assert not resolve_family("binomial", "probit").canonical
    assert resolve_family("nbinom1", zero="inflated").title == "Zero-inflated negative binomial (NB1) (log)"


def test_importing_the_package_loads_no_jax_or_scipy() -> None:
    code = "import sys, jmix.families; print(sorted({'jax', 'scipy', 'numpyro'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _every_family() -> list[Family]:
    counts = {"poisson", "nbinom2", "nbinom1"}
    return [
        resolve_family(name, link, zero)
        for name, links in LINKS.items()
        for link in links
        for zero in (("", "inflated", "hurdle") if name in counts else ("",))
    ]


@pytest.mark.parametrize("family", _every_family(), ids=lambda family: family.title)
def test_log_concave_is_what_the_curvature_says(family: Family, derivatives: Callable[..., Any]) -> None:
    """Where it is claimed no curvature is positive; where it is not, some is, for one of a few dispersions."""
    grid = {"sqrt": 0.02 * 1.13 ** np.arange(61), "inverse": 0.02 * 1.13 ** np.arange(61)}
    eta = grid.get(family.link, np.linspace(-15.0, 15.0, 61))
    if family.link in {"identity", "1/mu^2"} and family.name not in {"gaussian", "student"}:
        eta = np.linspace(0.01, 0.99, 61) if family.name in {"bernoulli", "binomial"} else 0.02 * 1.13 ** np.arange(61)
    if (family.name, family.link) in {("bernoulli", "log"), ("binomial", "log")}:
        eta = -0.02 * 1.13 ** np.arange(61)
    y = np.array([1e-4, 0.2, 0.5, 0.9, 1 - 1e-6] if family.name == "beta" else [0.0, 1.0, 2.0, 4.0, 300.0])
    if family.name in {"gamma", "inverse_gaussian"}:
        y[0] = 0.01
    y = np.minimum(y, {"bernoulli": 1.0, "binomial": 7.0, "cumulative": 4.0}.get(family.name, 1e9))
    worst = -np.inf
    for log_phi, zi in [(0.0, -1.0), (-3.0, 0.5), (2.0, -4.0)]:
        out = derivatives(family, y, np.full(5, 7.0), eta, Aux(log_phi, zi, np.array([-1.3, 0.1, 0.4, 2.0]), 3.5))
        worst = max(worst, float(np.max(out[2] / (1.0 + np.abs(out[1]) + np.abs(out[0])))))
    if family.log_concave:
        assert worst <= 1e-13
    else:
        assert worst > 1e-6
