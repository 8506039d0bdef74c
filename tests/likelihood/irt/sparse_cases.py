"""Small models written out by hand, their brute-force likelihood, and sparse responses to them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jmix.responses.data import Long, Responses
from jmix.spec.irt.spec import Block, IrtSpec, Table


class Case:
    """A test of 2PL items then graded items with three categories, one or two factors, any groups and covariates."""

    def __init__(self, n=40, n_binary=5, n_graded=3, d=1, groups=1, p=0, seed=0, rate=0.5, rasch=False):
        rng = np.random.default_rng(seed)
        self.n, self.j, self.d, self.n_groups, self.p = n, n_binary + n_graded, d, groups, p
        self.n_binary = n_binary
        names, values, free = [], [], []

        def add(name, value, is_free=True):
            names.append(name)
            values.append(value)
            if is_free:
                free.append(len(values) - 1)
            return len(values) - 1

        share = add("a", 1.2) if rasch else None
        slopes = np.zeros((self.j, d), dtype=np.int32)
        own = []
        for j in range(self.j):
            for k in range(d):
                fixed = d > 1 and k == 1 and j == 0
                slopes[j, k] = (
                    share if rasch else add(f"a{k + 1}[{j}]", 0.0 if fixed else rng.uniform(0.5, 1.8), not fixed)
                )
            if j < n_binary:
                own.append([add(f"d[{j}]", rng.normal())])
            else:
                top = rng.normal() + 0.8
                own.append([add(f"d1[{j}]", top), add(f"d2[{j}]", top - 1.5)])
        mean = np.array([[add(f"mean{g}{k}", 0.3 * g, g > 0) for k in range(d)] for g in range(groups)], dtype=np.int32)
        sd = np.array([[add(f"sd{g}{k}", 1 + 0.2 * g, g > 0) for k in range(d)] for g in range(groups)], dtype=np.int32)
        pairs = d * (d - 1) // 2
        corr = np.array([[add(f"corr{g}", 0.3) for _ in range(pairs)] for g in range(groups)], dtype=np.int32)
        regression = None
        if p:
            regression = np.array([[add(f"beta{r}{k}", 0.4 - 0.5 * r) for k in range(d)] for r in range(p)], np.int32)
        blocks = []
        if n_binary:
            blocks.append(self._block("logistic", range(n_binary), 2, slopes, own))
        if n_graded:
            blocks.append(self._block("graded", range(n_binary, self.j), 3, slopes, own))
        self.spec = IrtSpec(
            items=tuple(f"i{j}" for j in range(self.j)),
            factors=tuple(f"F{k}" for k in range(d)),
            groups=tuple(f"g{g}" for g in range(groups)),
            blocks=tuple(blocks),
            table=Table(tuple(names), np.array(values), np.array(free, dtype=np.int32)),
            mean=mean,
            sd=sd,
            corr=corr,
            itemtypes=("2PL",) * n_binary + ("graded",) * n_graded,
            covariates=tuple(f"w{r}" for r in range(p)),
            regression=regression,
        )
        self.x = self.spec.table.values[self.spec.table.free]
        self.W = rng.standard_normal((n, p)) if p else None
        self.group = rng.integers(0, groups, n).astype(np.int32)
        self.weights = rng.integers(1, 4, n).astype(float)
        self.table = self._answers(rng, rate)

    def _block(self, kind, columns, k, slopes, own):
        columns = list(columns)
        at = np.array([own[j] for j in columns], dtype=np.int32)
        g = self.n_groups
        return Block(kind, tuple(columns), k, np.stack([slopes[columns]] * g), np.stack([at] * g))

    def _answers(self, rng, rate):
        theta = rng.standard_normal((self.n, self.d))
        table = np.full((self.n, self.j), -1, dtype=np.int8)
        for j in range(self.j):
            p = np.exp(self.log_probabilities(self.spec.table.values, j, theta, 0))
            table[:, j] = (rng.random(self.n)[:, None] > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
        table[rng.random(table.shape) > rate] = -1
        table[0] = -1
        return table

    def log_probabilities(self, v, j, theta, g):
        """(Q, K) of item j, in plain NumPy."""
        binary = j < self.n_binary
        block = self.spec.blocks[0 if binary else -1]
        at = block.columns.index(j)
        eta = theta @ v[block.slopes[g, at]]
        above = 1 / (1 + np.exp(-(eta[:, None] + v[block.own[g, at]])))
        bounds = np.concatenate([np.ones((eta.size, 1)), above, np.zeros((eta.size, 1))], axis=1)
        return np.log(bounds[:, :-1] - bounds[:, 1:])

    def by_person(self, x, z, log_weights):
        """(N,) log likelihoods on the nodes z, in plain NumPy, person by person."""
        v = self.spec.table.values.copy()
        v[self.spec.table.free] = x
        out = np.zeros(self.n)
        for i in range(self.n):
            g = self.group[i]
            sd = np.diag(v[self.spec.sd[g]])
            corr = np.eye(self.d)
            if self.d == 2:
                corr[0, 1] = corr[1, 0] = v[self.spec.corr[g, 0]]
            mean = v[self.spec.mean[g]]
            if self.p:
                mean = mean + self.W[i] @ v[self.spec.regression]
            theta = mean + z @ np.linalg.cholesky(sd @ corr @ sd).T
            log_p = log_weights.copy()
            for j in range(self.j):
                if self.table[i, j] >= 0:
                    log_p = log_p + self.log_probabilities(v, j, theta, g)[:, self.table[i, j]]
            out[i] = np.logaddexp.reduce(log_p)
        return out

    def loglik(self, x, z, log_weights):
        """The weighted sum."""
        return float(self.weights @ self.by_person(x, z, log_weights))

    @property
    def long(self):
        """The answers as a sorted list."""
        person, item = np.nonzero(self.table >= 0)
        start = np.concatenate([[0], np.cumsum(np.bincount(person, minlength=self.n))]).astype(np.int64)
        return Long(item.astype(np.int32), self.table[person, item], start)

    def responses(self, wide=False):
        """As sparse responses."""
        return Responses(
            items=self.spec.items,
            categories=tuple(tuple(range(2 if j < self.n_binary else 3)) for j in range(self.j)),
            table=self.table if wide else None,
            long=None if wide else self.long,
            persons=pd.RangeIndex(self.n),
            weights=self.weights,
            group=self.group if self.n_groups > 1 else None,
            groups=self.spec.groups,
        )
