"""Data sets of the comparisons of generalized linear mixed models: simulated, or one of jmix's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import jmix


def _labels(prefix: str, codes: Any) -> list[str]:
    return [f"{prefix}{code:02d}" for code in codes]


def _logistic(eta: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-eta))


def binary() -> pd.DataFrame:
    """40 groups of 3 to 14 rows; correlated intercepts and slopes; responses of four links and of trials."""
    rng = np.random.RandomState(11)
    g = np.repeat(np.arange(40), 3 + np.arange(40) % 12)
    n = g.size
    x, z = rng.standard_normal(n), rng.standard_normal(n) + 0.4 * rng.standard_normal(40)[g]
    b = rng.standard_normal((40, 3)) @ np.array([[1.2, 0.5, 0.1], [0.0, 0.7, 0.2], [0.0, 0.0, 0.4]])
    eta = 0.3 + 0.8 * x + b[g, 0] + b[g, 1] * x
    frame = pd.DataFrame({"x": x, "z": z, "g": _labels("g", g), "o": 0.5 * rng.standard_normal(n)})
    frame["y"] = (rng.uniform(size=n) < _logistic(eta)).astype(float)
    steep = _logistic(eta + b[g, 2] * z + 0.7 * rng.standard_normal(40)[g] * z)
    frame["rare"] = (rng.uniform(size=n) < 1.0 - np.exp(-np.exp(eta - 1.5))).astype(float)
    frame["n"] = 1.0 + rng.poisson(6, n)
    frame["m"] = rng.binomial(frame["n"].astype(int), _logistic(eta)).astype(float)
    frame["three"] = rng.binomial(frame["n"].astype(int), steep).astype(float)
    frame["share"] = frame["m"] / frame["n"]
    frame["w"] = rng.uniform(0.3, 2.0, n)
    frame["f"] = np.array(["p", "q", "r"])[np.arange(n) % 3]
    return frame


def toenail() -> pd.DataFrame:
    """A trial with up to seven visits a patient, most outcomes zero, and a standard deviation of four."""
    rng = np.random.RandomState(12)
    visits = 3 + rng.randint(0, 5, 150)
    id, visit = np.repeat(np.arange(150), visits), np.concatenate([np.arange(v) for v in visits])
    treat, time = (id % 2).astype(float), visit * 2.0 + rng.uniform(0, 0.5, id.size)
    eta = -1.5 - 0.2 * treat - 0.4 * time - 0.15 * treat * time + 4.0 * rng.standard_normal(150)[id]
    y = (rng.uniform(size=id.size) < _logistic(eta)).astype(float)
    return pd.DataFrame({"y": y, "treat": treat, "time": time, "id": _labels("p", id)})


def counts() -> pd.DataFrame:
    """30 groups of 4 to 16 rows; counts of six kinds, exposures, and predictors of zeros and dispersion."""
    rng = np.random.RandomState(13)
    g = np.repeat(np.arange(30), 4 + np.arange(30) % 13)
    n = g.size
    x, z = rng.standard_normal(n), rng.standard_normal(n)
    b = rng.standard_normal((30, 2)) @ np.array([[0.6, 0.1], [0.0, 0.3]])
    exposure = rng.uniform(0.5, 4.0, n)
    mu = np.exp(0.9 + 0.4 * x + b[g, 0] + b[g, 1] * x)
    size = np.exp(0.5 + 0.6 * z)
    zero = rng.uniform(size=n) < _logistic(-1.0 + 0.8 * z)
    frame = pd.DataFrame({"x": x, "z": z, "g": _labels("g", g), "exposure": exposure, "log_exposure": np.log(exposure)})
    frame["poisson"] = rng.poisson(mu)
    frame["events"] = rng.poisson(mu * exposure / 2.0)
    frame["nb2"] = rng.poisson(mu * rng.gamma(1.5, 1.0 / 1.5, n))
    frame["nb1"] = rng.poisson(rng.gamma(mu / 1.3, 1.3))
    frame["nb2_disp"] = rng.poisson(mu * rng.gamma(size, 1.0 / size))
    frame["zip"] = np.where(zero, 0, rng.poisson(mu * 1.5))
    frame["zinb"] = np.where(zero, 0, rng.poisson(2.0 * mu * rng.gamma(2.0, 0.5, n)))
    positive = rng.poisson(mu + 0.5)
    while np.any(positive == 0):
        positive = np.where(positive == 0, rng.poisson(mu + 0.5), positive)
    frame["hurdle"] = np.where(zero, 0, positive)
    frame["w"] = rng.uniform(0.3, 2.0, n)
    return frame


def positive() -> pd.DataFrame:
    """25 groups of 6 to 13 rows; positive, unit-interval and real responses."""
    rng = np.random.RandomState(14)
    g = np.repeat(np.arange(25), 6 + np.arange(25) % 8)
    n = g.size
    x, z = rng.standard_normal(n), rng.standard_normal(n)
    b = rng.standard_normal((25, 2)) * np.array([0.5, 0.2])
    eta = 0.6 + 0.3 * x + b[g, 0]
    mu, sloped = np.exp(eta), np.exp(eta + b[g, 1] * x)
    frame = pd.DataFrame({"x": x, "z": z, "g": _labels("g", g), "w": rng.uniform(0.3, 2.0, n)})
    frame["gamma"] = sloped * rng.gamma(2.5, 1.0 / 2.5, n)
    frame["gamma_disp"] = mu * rng.gamma(np.exp(1.0 - 0.5 * z), np.exp(-1.0 + 0.5 * z))
    frame["rate"] = rng.gamma(4.0, 1.0 / (4.0 * (1.5 + 0.25 * np.tanh(x) + 0.3 * np.tanh(b[g, 0]))))
    frame["wald"] = rng.wald(mu, 3.0)
    p, precision = _logistic(eta - 0.8), np.exp(1.8 + 0.5 * z)
    frame["beta"] = rng.beta(p * 6.0, (1.0 - p) * 6.0)
    frame["beta_disp"] = rng.beta(p * precision, (1.0 - p) * precision)
    frame["real"] = eta + b[g, 1] * x + np.exp(-0.3 + 0.4 * z) * rng.standard_normal(n)
    frame["heavy"] = eta + 0.5 * rng.standard_t(3.0, n)
    return frame


def nested() -> pd.DataFrame:
    """12 a, 48 b in them, 3 to 6 rows each; binary and counted."""
    rng = np.random.RandomState(15)
    b = np.repeat(np.arange(48), 3 + np.arange(48) % 4)
    a, x = b // 4, rng.standard_normal(b.size)
    eta = 0.2 + 0.6 * x + 0.8 * rng.standard_normal(12)[a] + 0.7 * rng.standard_normal(48)[b]
    frame = pd.DataFrame({"x": x, "a": _labels("a", a), "b": _labels("b", b % 4)})
    frame["y"] = (rng.uniform(size=b.size) < _logistic(eta)).astype(float)
    frame["count"] = rng.poisson(np.exp(0.5 + 0.5 * eta))
    return frame


def crossed() -> pd.DataFrame:
    """30 subjects cross 14 items, four cells in five filled; slopes over both."""
    rng = np.random.RandomState(16)
    kept = rng.uniform(size=420) < 0.8
    a, d = np.repeat(np.arange(30), 14)[kept], np.tile(np.arange(14), 30)[kept]
    x = rng.standard_normal(a.size)
    e = rng.standard_normal((30, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
    h = rng.standard_normal((14, 2)) @ np.array([[0.7, -0.2], [0.0, 0.4]])
    eta = -0.2 + 0.7 * x + e[a, 0] + e[a, 1] * x + h[d, 0] + h[d, 1] * x
    frame = pd.DataFrame({"x": x, "a": _labels("a", a), "d": _labels("d", d), "f": np.array(["u", "v"])[a % 2]})
    frame["y"] = (rng.uniform(size=a.size) < _logistic(eta)).astype(float)
    frame["count"] = rng.poisson(np.exp(0.3 + 0.5 * eta))
    noise = rng.logistic(size=a.size)
    grades = np.searchsorted([-1.5, 0.0, 1.2], eta + noise)
    frame["grade"] = pd.Categorical(np.array(list("ABCD"))[grades], categories=list("ABCD"), ordered=True)
    return frame


def epil() -> pd.DataFrame:
    frame = jmix.load_data("epil")
    return frame.assign(subject=frame["subject"].astype(str).astype("category"), visit=(2.0 * frame["period"] - 5) / 10)


def bacteria() -> pd.DataFrame:
    frame = jmix.load_data("bacteria")
    return frame.assign(late=(frame["week"] > 2).astype(float))


def grouseticks() -> pd.DataFrame:
    return jmix.load_data("grouseticks")


def wine() -> pd.DataFrame:
    return jmix.load_data("wine")


SETS: dict[str, Callable[[], pd.DataFrame]] = {
    make.__name__: make
    for make in (binary, toenail, counts, positive, nested, crossed, epil, bacteria, grouseticks, wine)
}


@cache
def data(name: str) -> pd.DataFrame:
    """A data set by its name."""
    return SETS[name]()
