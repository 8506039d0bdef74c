"""Every family: what follows from a fit, at parameters that are given rather than estimated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import jmix
from jmix.design_response import build_glmm_design
from jmix.errors import ModelError
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.status import Status
from jmix.families import resolve_family
from jmix.results.glmm_fit import GlmmFit
from jmix.spec.covariance import CovarianceSpec

N = 300
T = np.linspace(-1, 1, N)


class Case(NamedTuple):
    """Parameters x, and the options and response of a design; the response is replaced by a simulated one."""

    x: list[float]
    y: Any
    link: str | None = None
    zero: str = ""
    disp: str | None = None
    zi: str | None = None


COUNTS = np.arange(N) % 5
CASES = {
    "gaussian": Case([1.0, 2.0, np.log(0.7)], T),
    "gaussian disp": Case([1.0, 2.0, np.log(0.7), 0.4], T, disp="~ t"),
    "student": Case([1.0, 2.0, np.log(0.7), np.log(4.0)], T),
    "bernoulli": Case([0.3, 1.0], COUNTS % 2, "probit"),
    "binomial": Case([0.3, -1.0], None, "cloglog"),
    "poisson": Case([1.0, 0.6], COUNTS, "sqrt"),
    "poisson inflated": Case([1.0, 0.6, -0.5], COUNTS, zero="inflated"),
    "poisson hurdle": Case([0.2, 0.6, -0.5, 0.7], COUNTS, zero="hurdle", zi="~ t"),
    "nbinom2": Case([1.0, 0.6, np.log(2.0)], COUNTS),
    "nbinom1": Case([1.0, 0.6, np.log(1.5)], COUNTS),
    "nbinom1 hurdle": Case([0.5, 0.6, np.log(1.5), -0.5], COUNTS, zero="hurdle"),
    "gamma": Case([1.0, 0.6, np.log(0.5)], 2 + T, "log"),
    "inverse_gaussian": Case([0.3, 0.4, np.log(0.4)], 2 + T, "log"),
    "beta": Case([0.2, 0.8, np.log(6.0)], 0.5 + 0.4 * T),
    "cumulative": Case([0.9, -0.5, np.log(1.1)], np.arange(N) % 3, "cloglog"),
}


def made(name: str, y: Any = None) -> GlmmFit:
    """A fit without random terms at the parameters of a case."""
    case, family = CASES[name], resolve_family(name.split()[0], CASES[name].link, CASES[name].zero)
    data: dict[str, Any] = {"t": T, "y": case.y if y is None else y}
    formula = "y ~ t"
    if name == "binomial":
        n = 3 + np.arange(N) % 6
        data |= {"y": np.minimum(np.arange(N) % 3, n) if y is None else y, "n": n}
        formula = "cbind(y, n - y) ~ t"
    design = build_glmm_design(formula, data, family, disp=case.disp, zi=case.zi)
    spec, x = CovarianceSpec(()), np.asarray(case.x)
    objective = build_glmm_objective(design, spec, ())
    parts, d = objective.split(x), x.size
    no = np.zeros(d, dtype=bool)
    status = Status(True, False, 0.0, 0.0, 1.0, 1, 1, ())
    solution = GlmmSolution(
        x, -123.0, np.zeros(d), np.eye(d) * 100, np.eye(d) / 100, np.full(d, 0.1), status, "ML", *parts, no, no
    )
    return GlmmFit(design, spec, (), solution, objective)


@pytest.mark.parametrize("name", CASES)
def test_simulated_responses_agree_with_the_moments_and_the_quantiles(name: str) -> None:
    fit = made(name)
    y = fit.simulate(1, seed=8)["sim_1"].to_numpy()
    again = made(name, y)
    values = again.residuals("quantile", seed=3)
    assert stats.kstest(values, "norm").pvalue > 0.01
    scaled = again.residuals("quantile", simulated=True, n=99)
    assert stats.kstest(scaled, "uniform").pvalue > 0.01
    if name == "cumulative":
        return
    draws = fit.simulate(3000, seed=9).to_numpy()
    size = fit.design.response.size
    if fit.family.has_trials and size is not None:
        draws = draws / size[:, None]
    z = (draws.mean(axis=1) - fit.fitted()) / (draws.std(axis=1) / np.sqrt(3000))
    assert abs(np.mean(z**2) - 1) < 5 * np.sqrt(2 / N)
    if name != "student":  # its scale is not its standard deviation
        sd = np.abs((again.residuals("response") / again.residuals("scaled")).to_numpy())
        ratio = draws.var(axis=1) / sd**2
        assert abs(np.median(ratio) - 1) < 0.03


@pytest.mark.parametrize("name", CASES)
def test_everything_can_be_asked_of_every_family(name: str, tmp_path: Path) -> None:
    fit = made(name, made(name).simulate(1, seed=8)["sim_1"].to_numpy())
    text = str(fit)
    assert "fit by maximum likelihood" in text
    assert "nan" not in text.lower().replace("dominant", "")
    for ask in (GlmmFit.tidy, GlmmFit.glance, GlmmFit.augment, GlmmFit.confint, GlmmFit.coef):
        ask(fit)
    for kind in ("deviance", "pearson", "scaled", "response", "working", "quantile"):
        try:
            assert np.isfinite(fit.residuals(kind)).all()  # type: ignore[arg-type]
        except ModelError:
            assert kind in ("deviance", "working") or name == "cumulative"
    fit.save(tmp_path / "f")
    back = jmix.load_fit(tmp_path / "f")
    assert str(back) == text
    pd.testing.assert_frame_equal(back.augment(), fit.augment())


@pytest.mark.parametrize("name", CASES)
def test_standard_errors_are_the_delta_method_for_every_family(name: str) -> None:
    fit, h = made(name), 1e-6
    kinds = ["response", "link"]
    kinds += ["zi", "conditional"] * bool(fit.family.zero) + ["disp"] * fit.family.has_dispersion

    def at(x: np.ndarray, kind: Any) -> np.ndarray:
        from dataclasses import replace

        parts = dict(zip(("beta", "theta", "disp", "zi", "thresholds", "shape"), fit.objective.split(x), strict=True))
        moved = replace(fit, solution=replace(fit.solution, x=x, **parts))
        return np.asarray(moved.predict(type=kind))

    x = fit.solution.x
    for kind in kinds:
        steps = [(at(x + h * e, kind) - at(x - h * e, kind)) / (2 * h) for e in np.eye(x.size)]
        expected = np.sqrt(np.sum(np.square(steps), axis=0)) / 10
        table = fit.predict(type=kind, se=True)  # type: ignore[arg-type]
        np.testing.assert_allclose(table["se"], expected, rtol=1e-6, atol=1e-9)


def test_student_residuals_are_over_the_scale() -> None:
    fit = made("student")
    assert fit.nu == pytest.approx(5.0)
    assert fit.sigma == fit.residual_sd == pytest.approx(0.7)
    np.testing.assert_allclose(fit.residuals("scaled"), fit.residuals("response") / 0.7)
    assert "Degrees of freedom of Student's t: 5" in str(fit)


def test_a_dispersion_on_the_scale_of_the_response_is_the_residual() -> None:
    assert made("gaussian").varcorr().iloc[-1].tolist()[3:] == pytest.approx([0.49, 0.7])
    assert made("gamma").varcorr().empty
    assert made("gamma").sigma == pytest.approx(np.sqrt(0.5))
    assert made("nbinom2").dispersion == pytest.approx(2.0)
    assert made("nbinom2").sigma == 1.0


Asked = Callable[[GlmmFit], Any]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda fit: fit.fitted("probs"), "choose 'response' or 'link'"),
        (lambda fit: fit.residuals("deviances"), "choose 'deviance'"),
        (lambda fit: fit.confint(component="random"), "choose 'cond'"),
        (lambda fit: fit.zero_check(n=0), r"zero_check\(n=0\)"),
    ],
)
def test_bad_requests_name_the_choices(ask: Asked, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ask(made("poisson"))
