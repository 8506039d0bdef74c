"""Independent program for the models of glmm.json: estimates, standard errors and log likelihood to eight digits.

``python tests/reference/exact_glmm.py`` writes exact_glmm.json, in ten minutes. It shares no code with jmix: groups are
padded, the mode comes from plain Newton steps, the factorisation is dense, and the exact gradient and Hessian come from
differentiating through the last three steps. lme4 takes its Hessian by finite differences of a deviance that is itself
the result of an iteration: for a few of these models its standard errors are off by more than 1e-4.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.special import gammaln, logsumexp
from scipy.optimize import minimize

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"
Array = Any
STEPS = 40
LogLik = Callable[[Array], Array]


def binomial(y: Array, n: Array, eta: Array) -> Array:
    """Log density with a logit link, all constants in it."""
    return gammaln(n + 1) - gammaln(y + 1) - gammaln(n - y + 1) + y * eta - n * jax.nn.softplus(eta)


def climb(value: Callable[[Array], Array], step: Callable[[Array], Array], size: int) -> Array:
    """Newton with the best of six step lengths, to the end."""
    lengths = jnp.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.01])

    def move(_: int, u: Array) -> Array:
        along = step(u)
        values = jax.vmap(lambda t: value(u + t * along))(lengths)
        return u + lengths[jnp.nanargmax(values)] * along

    return jax.lax.stop_gradient(jax.lax.fori_loop(0, STEPS, move, jnp.zeros(size)))


def by_group(X: Array, y: Array, n: Array, g: Array, nodes: int) -> LogLik:
    """Random intercept by group: adaptive Gauss-Hermite quadrature, Laplace with one node. Takes (beta, theta)."""
    counts = np.bincount(g)
    order = np.argsort(g, kind="stable")
    at = np.concatenate([np.arange(c) for c in counts])

    def pad(a: Array) -> Array:
        out = np.zeros((counts.size, counts.max(), *a.shape[1:]))
        out[g[order], at] = a[order]
        return jnp.array(out)

    rows = (pad(X), pad(y), pad(n), pad(np.ones(len(y))))
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    log_weight = jnp.log(weight / weight.sum()) + 0.5 * z**2

    def group(x: Array, held: Array) -> Array:
        X, y, n, inside = held

        def joint(u: Array, x: Array) -> Array:
            eta = X @ x[:-1] + x[-1] * u
            return jnp.sum(inside * binomial(y, n, eta)) - 0.5 * u**2

        slope, bend = jax.grad(joint), jax.grad(jax.grad(joint))
        fixed = jax.lax.stop_gradient(x)
        u = climb(lambda v: joint(v[0], fixed), lambda v: v - (v + slope(v[0], fixed) / bend(v[0], fixed)), 1)[0]
        for _ in range(3):
            u = u - slope(u, x) / bend(u, x)
        scale = 1.0 / jnp.sqrt(-bend(u, x))
        values = jax.vmap(lambda point: joint(u + scale * point, x))(jnp.array(z))
        return jnp.log(scale) + logsumexp(values + log_weight)

    return lambda x: jnp.sum(jax.lax.map(lambda held: group(x, held), rows, batch_size=256))


def crossed(X: Array, y: Array, codes: list[Array]) -> LogLik:
    """Laplace with one random intercept a factor, the matrix of all levels dense. Takes (beta, theta)."""
    blocks = [jnp.eye(c.max() + 1)[c] for c in codes]
    size, count = sum(b.shape[1] for b in blocks), len(blocks)
    X, y = jnp.array(X), jnp.array(y)

    def joint(u: Array, x: Array) -> Array:
        return jnp.sum(binomial(y, 1.0, X @ x[:-count] + loaded(x) @ u)) - 0.5 * u @ u

    def loaded(x: Array) -> Array:
        return jnp.concatenate([t * b for t, b in zip(x[-count:], blocks, strict=True)], axis=1)

    def newton(u: Array, x: Array) -> tuple[Array, Array]:
        L = loaded(x)
        p = jax.nn.sigmoid(X @ x[:-count] + L @ u)
        M = jnp.eye(size) + (L.T * (p * (1 - p))) @ L
        return jnp.linalg.solve(M, L.T @ (y - p) - u), M

    def value(x: Array) -> Array:
        fixed = jax.lax.stop_gradient(x)
        u = climb(lambda v: joint(v, fixed), lambda v: newton(v, fixed)[0], size)
        for _ in range(3):
            u = u + newton(u, x)[0]
        return joint(u, x) - 0.5 * jnp.linalg.slogdet(newton(u, x)[1])[1]

    return value


def maximise(loglik: LogLik, start: Array) -> dict[str, Any]:
    """BFGS, then Newton on the exact Hessian until it stands still."""
    first, second = jax.jit(jax.value_and_grad(loglik)), jax.jit(jax.hessian(loglik))
    found = minimize(lambda x: [-np.asarray(v) for v in first(x)], start, jac=True, method="BFGS")
    x = found.x
    for _ in range(6):
        x = x - np.linalg.solve(np.asarray(second(x)), np.asarray(first(x)[1]))
    value, gradient = first(x)
    vcov = np.linalg.inv(-np.asarray(second(x)))
    assert np.abs(gradient).max() < 1e-8
    return {"x": x.tolist(), "se": np.sqrt(np.diag(vcov)).tolist(), "vcov": vcov.tolist(), "loglik": float(value)}


def designs() -> dict[str, tuple[Array, ...]]:
    """Model to (X, y, n, group)."""

    def read(name: str) -> pd.DataFrame:
        return pd.read_csv(SHARED / f"data/{name}.csv")

    rats, cbpp, con, vocabulary = (read(n) for n in ("rats", "cbpp", "Contraception", "gss2004_vocab"))
    out = {
        "rats_glmer": (np.ones((71, 1)), rats.m, rats.n, np.arange(71)),
        "cbpp": (
            np.column_stack([np.ones(56), *(cbpp.period == k for k in (2, 3, 4))]),
            *(cbpp.incidence, cbpp["size"], pd.factorize(cbpp.herd)[0]),
        ),
        "Contraception": (
            np.column_stack(
                [np.ones(len(con)), con.age, con.age**2, con.urban == "Y", *(con.livch == k for k in ("1", "2", "3+"))]
            ),
            *(con.use == "Y", np.ones(len(con)), pd.factorize(con.district)[0]),
        ),
    }
    words = vocabulary[[f"word{c}" for c in "abcdefghij"]].to_numpy()
    for name, used, items in (("published_model", 10, 5), ("rasch5", 5, 5), ("rasch10", 10, 10)):
        X = np.tile(np.eye(used)[:, :items], (len(words), 1))
        y = words[:, :used].reshape(-1)
        out[f"vocabulary/{name}"] = (X, y, np.ones(y.size), np.repeat(np.arange(len(words)), used))
    return {k: tuple(np.asarray(a, int if i == 3 else float) for i, a in enumerate(v)) for k, v in out.items()}


def verbal() -> LogLik:
    """VerbAgg, persons and items crossed."""
    d = pd.read_csv(SHARED / "data/VerbAgg.csv")
    columns = [np.ones(len(d)), d.Anger, d.Gender == "M", d.btype == "scold", d.btype == "shout", d.situ == "self"]
    X = np.column_stack(columns).astype(float)
    return crossed(X, (d.r2 == "Y").to_numpy(float), [pd.factorize(d[c])[0] for c in ("id", "item")])


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    reference = json.loads((SHARED / "reference/glmm.json").read_text())
    out = {}
    for name, design in designs().items():
        entries = reference
        for key in name.split("/"):
            entries = entries[key]
        for nodes in (int(key[4:]) for key in entries if key.startswith("nAGQ")):
            theirs = entries[f"nAGQ{nodes}"]
            start = np.array([*theirs["fixef"].values(), *theirs["theta"]])
            out[f"{name}/nAGQ{nodes}"] = maximise(by_group(*design, nodes), start)
    theirs = reference["VerbAgg"]["nAGQ1"]
    out["VerbAgg/nAGQ1"] = maximise(verbal(), np.array([*theirs["fixef"].values(), *theirs["theta"]]))
    lines = [f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'))}" for name, entry in out.items()]
    (HERE / "exact_glmm.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
