"""Every generalized linear model of the reference file: against lme4, and against an independent exact program.

lme4's standard errors come from finite differences of a deviance that is itself the result of an iteration, and its log
likelihood with more than one node lacks a constant. ``exact_glmm.json`` (see ``exact_glmm.py``) has both right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix

ESTIMATES = 1e-4
"""The project's promise, relative to the size of the number or, near zero, of its standard error."""

EXACT = 1e-6
"""Against the exact program, which goes on to a gradient below 1e-8."""

LOGLIK = 1e-9
"""Relative, against the exact program; the promise is 1e-4."""

MODELS = [
    *(f"rats_glmer/nAGQ{k}" for k in (1, 9, 25)),
    *(f"cbpp/nAGQ{k}" for k in (1, 9, 25)),
    *(f"Contraception/nAGQ{k}" for k in (1, 9, 20, 25)),
    *(f"vocabulary/{m}/nAGQ{k}" for m in ("published_model", "rasch5") for k in (1, 9, 25)),
    *(f"vocabulary/rasch10/nAGQ{k}" for k in (1, 25)),
    "VerbAgg/nAGQ1",
]

BETWEEN = ("nAGQ9", "nAGQ20")
"""Run with ``-m slow`` or ``-m ""`` only: between one node and 25."""

CASES = [pytest.param(name, marks=pytest.mark.slow if name.endswith(BETWEEN) else ()) for name in MODELS]

NOISY_SE = {
    "VerbAgg/nAGQ1": 1.3e-4,
    "vocabulary/published_model/nAGQ1": 3.3e-4,
    "vocabulary/rasch5/nAGQ1": 6.1e-4,
    "vocabulary/rasch10/nAGQ1": 5e-4,
}
"""By how much lme4's standard errors are off the exact ones where that is more than 1e-4."""

LACKS_CONSTANT = ("rats_glmer", "cbpp")
"""Binomial sets: with more than one node lme4 leaves out the saturated model's log likelihood. It is 0 for 0/1 data."""


def _words(shared: Path, used: str) -> pd.DataFrame:
    """One row a person and word, word by word; dummies A to E for the first five."""
    wide = pd.read_csv(shared / "data/gss2004_vocab.csv").drop(columns="id")
    wide["id"] = [str(k + 1) for k in range(len(wide))]
    long = wide.melt("id", [f"word{c}" for c in used], "item", "y")
    return long.assign(**{c.upper(): (long["item"] == f"word{c}").astype(float) for c in "abcde"})


def _data(name: str, shared: Path) -> pd.DataFrame:
    if name.startswith("vocabulary"):
        return _words(shared, "abcde" if "rasch5" in name else "abcdefghij")
    file = {"rats_glmer": "rats"}.get(name.split("/")[0], name.split("/")[0])
    frame = pd.read_csv(shared / f"data/{file}.csv")
    groups = {"rats": ["batch"], "cbpp": ["herd", "period"], "Contraception": ["district"], "VerbAgg": ["id", "item"]}
    return frame.astype(dict.fromkeys(groups[file], str))


def _leaf(tree: Any, path: str) -> Any:
    for key in path.split("/"):
        tree = tree[key]
    return tree


@pytest.fixture(scope="module")
def exact() -> Any:
    return json.loads(Path(__file__).with_name("exact_glmm.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, reference: Callable[[str], Any], shared_dir: Path, exact: Any
) -> tuple[str, Any, Any, Any]:
    """Name, our fit, lme4's numbers, the exact ones."""
    name = request.param
    expected = _leaf(reference("glmm"), name)
    nodes = int(name.rsplit("nAGQ", 1)[1])
    fit = jmix.glmm(expected["formula"], _data(name, shared_dir), family="binomial", n_agq=nodes)
    return name, fit, expected, exact[name]


def _close(actual: Any, expected: Any, scale: Any = 0.0, tolerance: float = ESTIMATES) -> None:
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    error = np.abs(actual - expected) / np.maximum(np.abs(expected), scale)
    assert np.all(error < tolerance), (actual, expected, error.max())


def test_the_list_of_models_is_complete(reference: Callable[[str], Any], exact: Any) -> None:
    def paths(node: Any, at: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, dict) and "formula" in node:
            yield "/".join(at)
        elif isinstance(node, dict):
            for key, value in node.items():
                yield from paths(value, (*at, key))

    assert sorted(MODELS) == sorted(paths(reference("glmm"), ())) == sorted(exact)


def test_estimates(case: tuple[str, Any, Any, Any]) -> None:
    _, fit, expected, exact = case
    p = len(expected["fixef"])
    se = np.array(exact["se"])
    assert list(fit.fixef().index) == list(expected["fixef"])
    _close(fit.fixef(), list(expected["fixef"].values()), se[:p])
    _close(fit.theta, np.atleast_1d(expected["theta"]))
    own = np.concatenate([fit.fixef(), fit.theta])
    _close(own, exact["x"], se, EXACT)


def test_standard_errors(case: tuple[str, Any, Any, Any]) -> None:
    name, fit, expected, exact = case
    p = len(expected["fixef"])
    _close(fit.se(), list(expected["se"].values()), tolerance=NOISY_SE.get(name, ESTIMATES))
    se, vcov = np.array(exact["se"])[:p], np.array(exact["vcov"])
    _close(fit.se(), se, tolerance=EXACT)
    _close(fit.vcov(), vcov[:p, :p], np.outer(se, se), EXACT)
    _close(fit.solution.vcov, vcov, np.sqrt(np.outer(np.diag(vcov), np.diag(vcov))), EXACT)


def test_variance_components(case: tuple[str, Any, Any, Any]) -> None:
    _, fit, expected, _ = case
    table = fit.varcorr()
    assert list(table["grp"]) == list(expected["varcorr"])
    assert table["var2"].isna().all()
    _close(table["sdcor"], [entry["sd"][0] for entry in expected["varcorr"].values()])
    assert fit.sigma == expected["sigma"]


def test_likelihood(case: tuple[str, Any, Any, Any]) -> None:
    name, fit, expected, exact = case
    _close(fit.loglik, exact["loglik"], tolerance=LOGLIK)
    if name.endswith("nAGQ1") or name.split("/")[0] not in LACKS_CONSTANT:
        _close(fit.loglik, expected["logLik"], tolerance=1e-5)
        assert fit.loglik > expected["logLik"] - 1e-6
        _close([fit.aic, fit.bic], [expected["AIC"], expected["BIC"]], tolerance=1e-5)
    assert fit.npar == expected["npar"]
    assert fit.nobs == expected["nobs"]
    assert fit.ngrps() == expected["ngrps"]


def test_random_effects(case: tuple[str, Any, Any, Any]) -> None:
    _, fit, expected, _ = case
    for group, entry in expected["ranef"].items():
        modes, sds = fit.ranef()[group], fit.ranef_sd()[group]
        assert len(modes) == entry["n_levels"]
        assert list(modes.columns) == entry["terms"]
        levels = [str(level) for level in entry["levels"]]
        spread = np.sqrt(entry["sumsq"][0] / len(modes))
        _close(modes.loc[levels], entry["values"], spread)
        _close(modes.sum().iloc[0], entry["sum"][0], spread * len(modes))
        _close((modes**2).sum().iloc[0], entry["sumsq"][0])
        _close(sds.loc[levels[:5]], entry["cond_sd_first5"])


def test_fitted_values_and_residuals(case: tuple[str, Any, Any, Any]) -> None:
    _, fit, expected, _ = case
    _close(fit.fitted()[:5], expected["fitted_first5"])
    quantiles = np.quantile(fit.residuals("pearson"), [0, 0.25, 0.5, 0.75, 1])
    _close(quantiles, expected["scaled_resid_quantiles"], 1.0)
    _close((fit.residuals("deviance") ** 2).sum(), expected["deviance_conditional"])


def test_certificate(case: tuple[str, Any, Any, Any]) -> None:
    _, fit, expected, _ = case
    assert fit.converged
    assert fit.singular == expected["singular"]
    assert not fit.status.messages


@pytest.mark.parametrize("name", ["cbpp", "rats_glmer"])
def test_exact_log_likelihood_at_the_estimates_of_lme4(
    name: str, reference: Callable[[str], Any], shared_dir: Path
) -> None:
    """The file's own ``exact_logLik``: the true marginal likelihood at every fit's estimates."""
    entries = reference("glmm")[name]
    data = _data(name, shared_dir)
    model = jmix.model(entries["nAGQ1"]["formula"], data, family="binomial")
    known = entries.get("exact_logLik_by_quadrature", {})
    known |= {k: v["exact_logLik_at_estimates"] for k, v in entries.items() if "exact_logLik_at_estimates" in v}
    assert len(known) > 1
    for key, value in known.items():
        at = {"beta": list(entries[key]["fixef"].values()), "theta": np.atleast_1d(entries[key]["theta"])}
        _close(model.log_marginal(at, n_agq=35), value, tolerance=1e-9)


def test_population_of_the_batches(reference: Callable[[str], Any], shared_dir: Path) -> None:
    """The probability of a batch whose effect is zero, and the range of 95% of the batches."""
    expected = reference("glmm")["rats_population"]
    fit = jmix.glmm("cbind(m, n - m) ~ 1 + (1 | batch)", _data("rats_glmer", shared_dir), family="binomial")
    middle, sd = fit.fixef().iloc[0], fit.varcorr()["sdcor"].iloc[0]
    _close([middle - 1.96 * sd, middle + 1.96 * sd], expected["lohi"], tolerance=1e-3)
    new = pd.DataFrame({"m": [0], "n": [1], "batch": ["none"]})
    _close(fit.predict(new, conditional=False), [expected["p"]])
    z, weight = np.polynomial.hermite_e.hermegauss(101)
    averaged = float(np.sum(weight / weight.sum() / (1.0 + np.exp(-middle - sd * z))))
    assert averaged > expected["p"] + 0.01
    _close(fit.predict(new, population_averaged=True), [averaged], tolerance=1e-8)


def test_poisson_regression(reference: Callable[[str], Any], shared_dir: Path) -> None:
    """Without random terms: R's glm, whose standard errors are those of the iteration before the last."""
    expected = reference("glmm")["poisson_regression"]
    data = pd.read_csv(shared_dir / "data/poisson_regression.csv")
    fit = jmix.glmm("y ~ x", data, family="poisson")
    _close(fit.fixef(), list(expected["coef"].values()), tolerance=1e-8)
    _close(fit.se(), list(expected["se"].values()))
    X = np.column_stack([np.ones(len(data)), data["x"]])
    information = (X.T * np.exp(X @ fit.fixef())) @ X
    _close(fit.se(), np.sqrt(np.diag(np.linalg.inv(information))), tolerance=1e-9)
    _close(fit.loglik, expected["logLik"], tolerance=1e-10)
    _close(fit.aic, expected["AIC"], tolerance=1e-10)
    deviances = fit.residuals("deviance")
    _close((deviances**2).sum(), expected["deviance"], tolerance=1e-8)
    _close(np.quantile(deviances, [0, 0.25, 0.5, 0.75, 1]), expected["dev_resid_q"], tolerance=1e-7)
    null = jmix.glmm("y ~ 1", data, family="poisson")
    _close((null.residuals("deviance") ** 2).sum(), expected["null_deviance"], tolerance=1e-8)


def test_one_batch_alone(reference: Callable[[str], Any], shared_dir: Path) -> None:
    expected = reference("glmm")["rats_glm42"]
    rats = _data("rats_glmer", shared_dir)
    fit = jmix.glmm("cbind(m, n - m) ~ 1", rats[rats["batch"] == "42"], family="binomial")
    _close(fit.fixef(), [expected["coef"]], tolerance=1e-8)
    _close(1.0 / (1.0 + np.exp(-fit.fixef())), [expected["theta"]], tolerance=1e-8)


def test_separated_batches_are_named(reference: Callable[[str], Any], shared_dir: Path) -> None:
    """A coefficient a batch: R's glm ends at -27.8 with a standard error of a million where a batch has no tumour."""
    expected = reference("glmm")["rats_glm"]["coef"]
    rats = _data("rats_glmer", shared_dir)
    empty = set(rats["batch"][rats["m"] == 0])
    finite = {name: value for name, value in expected.items() if name.removeprefix("batch") not in empty}
    assert min(finite.values()) > -3.0
    with pytest.warns(jmix.ConvergenceWarning, match="separation"):
        fit = jmix.glmm("cbind(m, n - m) ~ 0 + batch", rats, family="binomial")
    assert not fit.converged
    named = {name for name in rats["batch"] for text in fit.status.messages if f"batch{name}:" in text}
    assert named and named <= empty
    _close(fit.fixef()[list(finite)], list(finite.values()), tolerance=1e-7)
    m, n = (rats.set_index("batch")[c].loc[[k.removeprefix("batch") for k in finite]] for c in ("m", "n"))
    _close(fit.se()[list(finite)], np.sqrt(n / (m * (n - m))), tolerance=1e-6)
    assert list(fit.se().index[fit.se().isna()]) == [name for name in fit.se().index if name[5:] in empty]
