"""Log prior densities against SciPy, their Jacobians, supports, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jmix import runtime
from jmix.errors import ModelError
from jmix.spec.irt import build_spec
from jmix.spec.irt.priors import log_prior, support
from tests.spec.irt.tables import responses


def spec_of(itemtype: Any = "3PL", categories: Any = 2, n_items: int = 3, **options: Any) -> Any:
    more = {key: options.pop(key) for key in ("groups",) if key in options}
    return build_spec(responses(categories, n_items=n_items, **more), itemtype, **options)[0]


def at(spec: Any, **values: float) -> np.ndarray:
    """Free parameters: a number for every name that starts so."""
    x = np.zeros(spec.n_free)
    for i, name in enumerate(spec.table.free_names):
        x[i] = next((v for stem, v in values.items() if name.startswith(stem.replace("_", "("))), 0.0) + 0.01 * i
    return x


def by_stem(spec: Any, x: np.ndarray, stem: str) -> np.ndarray:
    return x[[name.startswith(stem) for name in spec.table.free_names]]


def test_sum_of_scipy_densities() -> None:
    priors = {"a": "lognormal(0.2, 0.5)", "d": "normal(0, 2)", "c": "beta(5, 17)", "d[Item.2]": "student_t(3, 1, 2)"}
    spec = spec_of(priors=priors)
    x = at(spec, a1=1.2, d=0.4, logit_c=-1.5)
    c = 1 / (1 + np.exp(-by_stem(spec, x, "logit(c)")))
    d = by_stem(spec, x, "d")
    expected = (
        stats.lognorm(0.5, scale=np.exp(0.2)).logpdf(by_stem(spec, x, "a1")).sum()
        + stats.norm(0, 2).logpdf(d[[0, 2]]).sum()
        + stats.t(3, 1, 2).logpdf(d[1])
        + stats.beta(5, 17).logpdf(c).sum()
    )
    assert log_prior(np, spec, x) == pytest.approx(expected, rel=1e-12)
    jacobian = np.log(c * (1 - c)).sum()
    assert log_prior(np, spec, x, jacobian=True) == pytest.approx(expected + jacobian, rel=1e-12)


def test_on_the_logit_itself() -> None:
    spec = spec_of(priors={"logit(c)": "normal(-1.1, 0.5)"})
    x = at(spec, a1=1.0, logit_c=-1.5)
    expected = stats.norm(-1.1, 0.5).logpdf(by_stem(spec, x, "logit(c)")).sum()
    assert log_prior(np, spec, x) == pytest.approx(expected, rel=1e-12)
    assert log_prior(np, spec, x, jacobian=True) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("on", "power"), [("precision", -2.0), ("variance", 2.0)])
def test_on_precision_or_variance(on: str, power: float) -> None:
    spec = spec_of("Rasch", priors={"sd": f"gamma(2, 0.5) on {on}"})
    x = at(spec, sd=1.3)
    sd = x[-1]
    expected = stats.gamma(2, scale=2).logpdf(sd**power)
    assert log_prior(np, spec, x) == pytest.approx(expected, rel=1e-12)
    change = np.log(abs(power) * sd ** (power - 1))
    assert log_prior(np, spec, x, jacobian=True) == pytest.approx(expected + change, rel=1e-12)


def test_lkj_is_the_power_of_the_determinant() -> None:
    model = "F1 = 1-3\nF2 = 4-6\nF3 = 7-9\nCOV = F1*F2*F3"
    spec = spec_of("2PL", n_items=9, model=model, priors={"corr": "lkj(3)"})
    x = at(spec, a1=1.0, corr=0.2)
    r = np.eye(3)
    r[np.tril_indices(3, -1)] = x[-3:]
    r = r + r.T - np.eye(3)
    assert log_prior(np, spec, x) == pytest.approx(2 * np.log(np.linalg.det(r)), rel=1e-12)
    with pytest.raises(ModelError, match="is for 'corr', all correlations together"):
        spec_of(priors={"a": "lkj(2)"})


def test_gradient_is_finite_and_right() -> None:
    import jax
    import jax.numpy as jnp

    spec = spec_of(priors={"a": "lognormal(0, 0.5)", "c": "beta(5, 17)", "d": "normal(0, 2)"})
    x = at(spec, a1=1.2, d=0.4, logit_c=-1.5)
    with runtime.float64():
        gradient = np.asarray(jax.jit(jax.grad(lambda x: log_prior(jnp, spec, x, jacobian=True)))(jnp.asarray(x)))
    h = 1e-6
    for i in range(spec.n_free):
        step = h * (np.arange(spec.n_free) == i)
        ends = [log_prior(np, spec, x + sign * step, jacobian=True) for sign in (-1, 1)]
        assert gradient[i] == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-6, abs=1e-7)


def test_default_priors_are_bilogs() -> None:
    spec = spec_of(["2PL", "3PL", "4PL"], priors="default")
    shown = {name: repr(prior) for name, prior in zip(spec.table.names, spec.table.priors, strict=True) if prior}
    assert shown == {
        "logit(c)[Item.2]": "beta(5, 17)",
        "logit(c)[Item.3]": "beta(5, 17)",
        "logit(u)[Item.3]": "beta(17, 5)",
    }
    assert spec_of("2PL", priors="default").table.priors == ()
    assert spec_of(["2PL", "3PL", "4PL"]).table.priors == ()


def test_tied_parameters_count_once_and_later_names_win() -> None:
    spec = spec_of("2PL", equal=["a1"], priors={"a1[Item.2]": "normal(1, 0.1)", "a": "normal(0, 1)"})
    x = at(spec, a1=1.5)
    assert log_prior(np, spec, x) == pytest.approx(stats.norm(1, 0.1).logpdf(x[0]))
    groups = spec_of("2PL", groups=("x", "y"), priors={"a": "normal(0, 1)"})
    x = at(groups, a1=1.5)
    assert log_prior(np, groups, x) == pytest.approx(stats.norm.logpdf(by_stem(groups, x, "a1")).sum())


def test_without_priors_and_flat_ones() -> None:
    spec = spec_of()
    assert log_prior(np, spec, np.zeros(spec.n_free)) == 0.0
    assert log_prior(np, spec_of(priors={"a": "flat"}), np.zeros(9)) == 0.0


def test_text_priors() -> None:
    text = """F = 1-3
    PRIOR = (1-3, a1, lnorm, 0.2, 0.5), (1-2, g, expbeta, 5, 17),
            (3, g, norm, -1.1, 0.5), (2, d, norm, 0, 2)"""
    priors = {
        "a": "lognormal(0.2, 0.5)",
        ("c", "1-2"): "beta(5, 17)",
        "logit(c)[Item.3]": "normal(-1.1, 0.5)",
        "d[Item.2]": "normal(0, 2)",
    }
    one, two = spec_of(model=text), spec_of(model="F = 1-3", priors=priors)
    x = at(one, a1=1.2, d=0.4, logit_c=-1.5)
    assert log_prior(np, one, x) == pytest.approx(log_prior(np, two, x), rel=1e-12)


def test_support() -> None:
    spec = spec_of(
        ["2PL", "3PL", "Rasch"],
        priors={"a1[Item.1]": "lognormal(0, 1)", "c": "uniform(0, 0.5)", "d[Item.2]": "normal(0, 1)"},
    )
    low, high = support(spec)
    bounds = dict(zip(spec.table.free_names, zip(low, high, strict=True), strict=True))
    assert bounds["a1[Item.1]"] == (0.0, np.inf) and bounds["d[Item.2]"] == (-np.inf, np.inf)
    assert bounds["logit(c)[Item.2]"] == (-np.inf, 0.0) and bounds["sd[F1]"] == (0.0, np.inf)
    corr = spec_of("2PL", n_items=6, model="F1 = 1-3\nF2 = 4-6\nCOV = F1*F2")
    assert [end[-1] for end in support(corr)] == [-1.0, 1.0]


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ("weak", "write 'default', or a dict"),
        (["normal(0, 1)"], "priors is a dict"),
        ({"z": "normal(0, 1)"}, "no item has a parameter 'z'"),
        ({"a": "gauss(0, 1)"}, "unknown distribution 'gauss'"),
        ({"u": "beta(17, 5)"}, "'u' is fixed, so that a prior has no effect"),
        ({"c": "uniform(2, 3)"}, "leaves 'c' no value between 0 and 1"),
        ({"a": "gamma(1, 1) on precision"}, "only standard deviations have a precision"),
        ({"a": "wishart(3, 1)"}, "give the standard deviations and 'corr' their own priors"),
    ],
)
def test_errors(priors: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        spec_of(priors=priors)


def test_a_prior_identifies_what_the_data_cannot() -> None:
    with pytest.raises(ModelError, match="only their product"):
        spec_of("2PL", free=["sd"])
    assert spec_of("2PL", free=["sd"], priors={"sd": "half_normal(1)"}).n_free == 7
