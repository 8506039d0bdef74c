"""The marginal likelihood of an item response model by its textbook formula, in plain NumPy and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logsumexp

from jmix.responses.data import Responses
from jmix.spec.irt.spec import Block, IrtSpec, Table, Values, unpack


def probabilities(kind: str, eta: Any, own: Any, k: int) -> Any:
    """(K, Q) of one item, each model by its textbook formula."""
    eta = np.asarray(eta)
    if kind == "logistic":
        p = expit(eta + own[0])
        return np.stack([1 - p, p])
    if kind == "logistic4":
        c, u = expit(own[1]), expit(own[2])
        p = c + (u - c) * expit(eta + own[0])
        return np.stack([1 - p, p])
    if kind == "graded":
        x = np.stack([np.full_like(eta, np.inf), *(eta + d for d in own), np.full_like(eta, -np.inf)])
        upper, lower = x[:-1], x[1:]
        return np.where(upper < 0, expit(upper) - expit(lower), expit(-lower) - expit(-upper))
    if kind == "gpcm":
        x = np.exp(np.stack([s * eta + d for s, d in zip(range(k), [0.0, *own], strict=True)]))
        return x / x.sum(axis=0)
    if kind == "nominal":
        ak, d = [0.0, *own[: k - 1]], [0.0, *own[k - 1 :]]
        x = np.exp(np.stack([s * eta + c for s, c in zip(ak, d, strict=True)]))
        return x / x.sum(axis=0)
    raise AssertionError(kind)


def textbook(
    spec: IrtSpec, responses: Responses, x: Any, z: Any, log_weights: Any, w: Any = None
) -> tuple[Any, Any, Any]:
    """(N,) log likelihoods, (N, D) means and (N, D, D) covariances at nodes z of the latent variable's residual."""
    values: Values = unpack(np, spec, np.asarray(x, dtype=float))
    assert responses.table is not None
    n = responses.n_persons
    group = np.zeros(n, dtype=int) if responses.group is None else responses.group
    theta = values.mean[group][:, None] + np.einsum("nde,qe->nqd", values.chol[group], z)
    if w is not None:
        theta = theta + (w @ values.regression)[:, None]
    log_p = np.tile(np.asarray(log_weights, dtype=float), (n, 1))
    for block, slopes, own in zip(spec.blocks, values.slopes, values.own, strict=True):
        for j, column in enumerate(block.columns):
            for g in range(responses.n_groups):
                rows = np.flatnonzero((group == g) & (responses.table[:, column] >= 0))
                p = probabilities(block.kind, theta[rows] @ slopes[g, j], own[g, j], block.n_categories)
                log_p[rows] += np.log(p[responses.table[rows, column], np.arange(rows.size)])
    loglik = logsumexp(log_p, axis=1)
    post = np.exp(log_p - loglik[:, None])
    mean = np.einsum("nq,nqd->nd", post, theta)
    apart = theta - mean[:, None]
    return loglik, mean, np.einsum("nq,nqd,nqe->nde", post, apart, apart)


def derivative(f: Callable[[Any], Any], x: Any, h: float = 1e-3) -> Any:
    """Central differences of sixth order of f at x, the new axis first."""
    x = np.asarray(x, dtype=float)
    out = []
    for i in range(x.size):
        e = np.zeros_like(x)
        e[i] = h
        d = 45 * (f(x + e) - f(x - e)) - 9 * (f(x + 2 * e) - f(x - 2 * e)) + (f(x + 3 * e) - f(x - 3 * e))
        out.append(d / (60 * h))
    return np.array(out)


class Case:
    """A small model with every parameter free where it is identified, or not: derivatives do not mind."""

    def __init__(
        self,
        kinds: list[tuple[str, int, int]],
        *,
        d: int = 1,
        groups: int = 1,
        n: int = 40,
        missing: float | str = 0.0,
        covariates: int = 0,
        weights: bool = False,
        common: bool = False,
        seed: int = 0,
        columns: list[int] | None = None,
        no_upper: bool = False,
    ) -> None:
        """Kinds are (name, K, items); ``common``: one free slope for all items; ``missing`` "pattern": booklets;
        ``no_upper``: upper asymptotes are fixed at one, infinity on the logit scale."""
        rng = np.random.default_rng(seed)
        names: list[str] = []
        values: list[float] = []

        def place(shape: tuple[int, ...], draw: Any, label: str) -> Any:
            out = np.arange(len(values), len(values) + int(np.prod(shape)), dtype=np.int32).reshape(shape)
            values.extend(np.broadcast_to(draw, shape).reshape(-1).tolist())
            names.extend(f"{label}{i}" for i in range(out.size))
            return out

        shared = place((1,), 1.3, "a") if common else None
        blocks, first = [], 0
        total = sum(m for _, _, m in kinds)
        columns = list(range(total)) if columns is None else columns
        for kind, k, m in kinds:
            if shared is not None:
                slopes = np.broadcast_to(shared, (groups, m, d)).astype(np.int32)
            else:
                one = place((1, m, d), rng.uniform(0.5, 1.8, (1, m, d)), "a")
                slopes = np.repeat(one, groups, axis=0)
            own = self._own(rng, kind, k, m)
            place_own = place((1, m, own.shape[1]), own[None], "own")
            blocks.append(
                Block(kind, tuple(columns[first : first + m]), k, slopes, np.repeat(place_own, groups, axis=0))
            )
            first += m
        mean = place((groups, d), rng.normal(0, 0.3, (groups, d)), "mean")
        sd = place((groups, d), rng.uniform(0.8, 1.3, (groups, d)), "sd")
        corr = place((groups, d * (d - 1) // 2), 0.3, "corr")
        regression = place((covariates, d), rng.normal(0, 0.5, (covariates, d)), "beta") if covariates else None
        if no_upper:
            for block in blocks:
                if block.kind == "logistic4":
                    for at in block.own[..., 2].ravel():
                        values[at] = np.inf
        free = np.flatnonzero(np.isfinite(values)).astype(np.int32)
        table = Table(tuple(names), np.array(values), free)
        items = tuple(f"i{j}" for j in range(total))
        self.spec = IrtSpec(
            items=items,
            factors=tuple(f"F{i + 1}" for i in range(d)),
            groups=tuple(f"g{i}" for i in range(groups)),
            blocks=tuple(blocks),
            table=table,
            mean=mean,
            sd=sd,
            corr=corr,
            itemtypes=tuple("x" for _ in items),
            covariates=tuple(f"w{i}" for i in range(covariates)),
            regression=regression,
        )
        self.x = np.array(values)[free]
        self.W = rng.normal(0.5, 1.0, (n, covariates)) if covariates else None
        self.responses = self._responses(rng, kinds, n, groups, missing, weights, columns)

    @staticmethod
    def _own(rng: Any, kind: str, k: int, m: int) -> Any:
        d = np.sort(rng.normal(0, 1.2, (m, k - 1)), axis=1)[:, ::-1] - 0.3 * np.arange(k - 1)
        if kind == "logistic4":
            return np.column_stack([d, rng.normal(-1.5, 0.2, m), rng.normal(2.5, 0.2, m)])
        if kind == "nominal":
            return np.column_stack([np.arange(1, k) + rng.normal(0, 0.3, (m, k - 1)), d])
        return d

    def _responses(
        self, rng: Any, kinds: Any, n: int, groups: int, missing: Any, weights: bool, columns: list[int]
    ) -> Responses:
        table = np.zeros((n, len(columns)), dtype=np.int8)
        at, ks = 0, np.zeros(len(columns), dtype=int)
        for _, k, m in kinds:
            for j in range(at, at + m):
                table[:, columns[j]] = rng.integers(0, k, n)
                ks[columns[j]] = k
            at += m
        if missing == "pattern":
            table[: n // 3, : len(columns) // 2] = -1
            table[-n // 4 :, -1] = -1
        elif missing:
            table[rng.random(table.shape) < missing] = -1
            table[0] = -1
        return Responses(
            items=self.spec.items,
            categories=tuple(tuple(range(k)) for k in ks),
            table=table,
            long=None,
            persons=pd.RangeIndex(n),
            weights=rng.integers(1, 4, n).astype(float) if weights else None,
            group=rng.integers(0, groups, n).astype(np.int32) if groups > 1 else None,
            groups=tuple(f"g{i}" for i in range(groups)),
        )

    @property
    def weights(self) -> Any:
        """(N,) ones without weights."""
        own = self.responses.weights
        return np.ones(self.responses.n_persons) if own is None else own
