"""One prior: words, NumPyro objects, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jmix import runtime
from jmix.errors import ModelError
from jmix.spec.prior import WORDS, Lkj, Prior, WishartLike, parse_prior, prior

# --- words ------------------------------------------------------------------------------------------------------------
SAME_AS_SCIPY = {
    "normal(1, 2)": stats.norm(1, 2),
    "normal(1, sd=2)": stats.norm(1, 2),
    "normal(1, precision=0.25)": stats.norm(1, 2),
    "normal(sd=2, mean=1)": stats.norm(1, 2),
    "student_t(3, 1, 2)": stats.t(3, 1, 2),
    "cauchy(1, 2)": stats.cauchy(1, 2),
    "laplace(1, 2)": stats.laplace(1, 2),
    "logistic(1, 2)": stats.logistic(1, 2),
    "uniform(-1, 4)": stats.uniform(-1, 5),
    "gamma(2, 3)": stats.gamma(2, scale=1 / 3),
    "gamma(rate=3, shape=2)": stats.gamma(2, scale=1 / 3),
    "inv_gamma(2, 3)": stats.invgamma(2, scale=3),
    "exponential(3)": stats.expon(scale=1 / 3),
    "lognormal(0.5, 2)": stats.lognorm(2, scale=np.exp(0.5)),
    "weibull(1.5, 2)": stats.weibull_min(1.5, scale=2),
    "half_normal(2)": stats.halfnorm(scale=2),
    "half_cauchy(2)": stats.halfcauchy(scale=2),
    "half_student_t(3, 2)": stats.t(3, 0, 2),
}


def test_every_word_is_tried() -> None:
    tried = {text.partition("(")[0] for text in SAME_AS_SCIPY} | {"lkj", "wishart", "inv_wishart", "beta"}
    assert tried == set(WORDS)


@pytest.mark.parametrize(("text", "law"), SAME_AS_SCIPY.items())
def test_a_word_is_the_distribution_of_that_name_with_stans_arguments(text: str, law: Any) -> None:
    points = np.array([0.3, 0.9, 2.5])
    with runtime.float64():
        ours = np.asarray(parse_prior(text).distribution.log_prob(points))
    np.testing.assert_allclose(ours, law.logpdf(points), rtol=1e-12)


def test_beta_is_that_of_scipy() -> None:
    points = np.array([0.1, 0.6])
    with runtime.float64():
        ours = np.asarray(parse_prior("beta(2, 3)").distribution.log_prob(points))
    np.testing.assert_allclose(ours, stats.beta(2, 3).logpdf(points), rtol=1e-12)


def test_words_of_matrices() -> None:
    assert parse_prior("lkj(2)").distribution == Lkj(2.0)
    assert parse_prior("wishart(3, scale=0.5)").distribution == WishartLike("Wishart", 3.0, 0.5)
    assert parse_prior("inv_wishart(3, 2)").distribution == WishartLike("InverseWishart", 3.0, 2.0)


@pytest.mark.parametrize(
    ("text", "shown", "on"),
    [
        ("  Gamma ( 0.01 ,0.01 )  on precision ", "gamma(0.01, 0.01) on precision", "precision"),
        ("inv_gamma(1, 1) on variance", "inv_gamma(1, 1) on variance", "variance"),
        ("normal(0, precision=0.001)", "normal(0, precision=0.001)", "value"),
        ("normal(1234567.8, 1e-3)", "normal(1234567.8, 0.001)", "value"),
        ("flat", "flat", "value"),
        ("flat()", "flat", "value"),
    ],
)
def test_a_prior_prints_as_it_was_written(text: str, shown: str, on: str) -> None:
    own = prior(text)
    assert (repr(own), own.on) == (shown, on)
    again = prior(repr(own))
    assert (repr(again), again.on) == (shown, on)


def test_on_may_be_given_apart() -> None:
    assert prior("gamma(1, 1)", on="precision").on == "precision"
    changed = prior(prior("gamma(1, 1)"), on="variance")
    assert repr(changed) == "gamma(1, 1) on variance"
    assert prior(dist.Gamma(2.0, 3.0), on="precision").on == "precision"
    assert prior(None).flat and prior(dist.ImproperUniform(dist.constraints.real, (), ())).flat


REFUSED_TEXTS = {
    "norml(0, 1)": "did you mean normal?",
    "hafl_normal(1)": "did you mean half_normal?",
    "zzz(1)": "There are: flat, normal, student_t",
    "flat(1)": "unknown distribution 'flat'",
    "normal": r"write normal\(mean, sd, precision\)",
    "normal(0)": "missing, given twice or out of range",
    "normal(0, 1, 1)": "given twice",
    "normal(0, sd=1, precision=1)": "given twice",
    "normal(0, 1, mean=2)": "given twice",
    "gamma(1, 2, rate=3)": "given twice",
    "gamma(1, 2, 3)": r"write gamma\(shape, rate\)",
    "gamma(shape=1, shape=2)": "'shape' is unknown or repeated",
    "gamma(1, scale=2)": "'scale' is unknown or repeated",
    "gamma(rate=1, 2)": "without a name come first",
    "gamma(1,)": "'' is not a number",
    "gamma(one, 2)": "'one' is not a number",
    "gamma(1, inf)": "is not finite",
    "normal(nan, 1)": "is not finite",
    "normal(0, 1e999)": "is not finite",
    "normal(0, -1)": "out of range",
    "normal(0, 0)": "out of range",
    "normal(0, precision=0)": "out of range",
    "student_t(-1, 0, 1)": "out of range",
    "half_student_t(3, -1)": "out of range",
    "uniform(5, 1)": "out of range",
    "uniform(1, 1)": "out of range",
    "exponential(0)": "out of range",
    "lkj(0)": "out of range",
    "wishart(0, 1)": "out of range",
    "gamma(1, 1) on sd": "choose one of value, precision, variance",
    "gamma(1, 1) on": "cannot be read",
    "gamma(1, 1": "cannot be read",
    "gamma 1, 1": "cannot be read",
    "": "cannot be read",
    "__import__('os').system('true')": "unknown distribution '__import__'",
}


@pytest.mark.parametrize(("text", "message"), REFUSED_TEXTS.items())
def test_a_text_that_is_no_prior_is_refused_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prior(text)


PIECES = st.sampled_from(
    [
        *WORDS,
        *"()=,.; \n\x00½٣",
        "flat",
        " on ",
        "precision",
        "variance",
        "sd",
        "1",
        "-2.5",
        "1e999",
        "nan",
        "os",
        "None",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=9).map("".join)))
def test_any_text_is_a_prior_or_refused(text: str) -> None:
    try:
        own = prior(text)
    except ModelError:
        return
    assert isinstance(own, Prior)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([w for w in WORDS if w not in ("lkj", "wishart", "inv_wishart", "half_student_t")]),
    st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=1, max_size=3),
)
def test_whatever_is_accepted_is_a_proper_density_somewhere(word: str, numbers: list[float]) -> None:
    try:
        own = prior(f"{word}({', '.join(map(str, numbers))})")
    except ModelError:
        return
    low, high = (getattr(own.distribution.support, k, None) for k in ("lower_bound", "upper_bound"))
    inside = 0.3 if low is None else float(low) + 0.3 * (1.0 if high is None else float(high) - float(low))
    with runtime.float64():
        assert not np.isnan(float(own.distribution.log_prob(inside)))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "not int"),
        ((0, 1), "not tuple"),
        (dist.Poisson(2.0), "discrete"),
        (dist.Uniform(2.0, 1.0), "low must be below high"),
        (dist.ImproperUniform(dist.constraints.positive, (), ()), "flat priors have no bounds"),
        (dist.Normal(0.0, -1.0, validate_args=False), r"Normal\(scale=-1.0\): out of range"),
        (dist.Gamma(np.nan, 1.0, validate_args=False), "out of range"),
    ],
)
def test_an_object_that_is_no_prior_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        prior(value)


def test_objects_in_double_precision_are_taken() -> None:
    with runtime.float64():
        wishart = dist.Wishart(3.0, np.eye(2))
    assert prior(wishart, on="precision").on == "precision"
