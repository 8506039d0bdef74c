"""Zeta by brute force: the dense normal density and SciPy's minimiser.

It shares nothing with jmix but the order of the parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize


class Dense:
    """-2 log likelihood of ``y ~ N(X beta, sum_t Z_t (I x S_t) Z_t' + sigma^2 W^-1)``.

    Args:
        terms: of each random term its codes (n,) and columns (n, q).
    """

    def __init__(self, y: Any, X: Any, terms: list[tuple[Any, Any]], weights: Any = None) -> None:
        self.y, self.X = np.asarray(y, float), np.asarray(X, float)
        n = self.y.size
        self.q = [np.asarray(z).shape[1] for _, z in terms]
        self.products = []
        for codes, z in terms:
            same = (np.asarray(codes)[:, None] == np.asarray(codes)[None]).astype(float)
            self.products.append([[same * np.outer(a, b) for b in np.asarray(z).T] for a in np.asarray(z).T])
        self.noise = np.diag(np.ones(n) if weights is None else 1.0 / np.asarray(weights))
        self.p = self.X.shape[1]
        self.kinds = ["sd"] * sum(self.q) + ["cor"] * sum(q * (q - 1) // 2 for q in self.q) + ["sd"]

    def variance(self, psi: Any) -> Any:
        """V from standard deviations, correlations and sigma."""
        sds, cors, out = list(psi[: sum(self.q)]), list(psi[sum(self.q) : -1]), psi[-1] ** 2 * self.noise
        for q, products in zip(self.q, self.products, strict=True):
            sd = [sds.pop(0) for _ in range(q)]
            cor = np.eye(q)
            for a in range(q):
                for b in range(a + 1, q):
                    cor[a, b] = cor[b, a] = cors.pop(0)
            if np.linalg.eigvalsh(cor)[0] < -1e-12:
                return None
            for a in range(q):
                for b in range(q):
                    out = out + sd[a] * sd[b] * cor[a, b] * products[a][b]
        return out

    def deviance(self, psi: Any, fixed: tuple[int, float] | None = None) -> float:
        """With the other fixed effects at their best."""
        v = self.variance(psi)
        if v is None:
            return np.inf
        try:
            chol = np.linalg.cholesky(v)
        except np.linalg.LinAlgError:
            return np.inf
        y, X = self.y, self.X
        if fixed is not None:
            y, X = y - X[:, fixed[0]] * fixed[1], np.delete(X, fixed[0], axis=1)
        wy, wx = np.linalg.solve(chol, y), np.linalg.solve(chol, X)
        rest = wy - wx @ np.linalg.lstsq(wx, wy, rcond=None)[0] if X.shape[1] else wy
        return float(2 * np.log(np.diag(chol)).sum() + rest @ rest + y.size * np.log(2 * np.pi))

    def _to(self, t: Any, kinds: list[str]) -> Any:
        return np.array([np.exp(v) if k == "sd" else np.tanh(v) for v, k in zip(t, kinds, strict=True)])

    def _from(self, psi: Any, kinds: list[str]) -> Any:
        pairs = zip(psi, kinds, strict=True)
        return np.array([np.log(max(v, 1e-4)) if k == "sd" else np.arctanh(np.clip(v, -0.99, 0.99)) for v, k in pairs])

    def minimum(self, start: Any, held: int | None = None, value: float = 0.0) -> tuple[float, Any]:
        """The least deviance, all parameters or with one held (fixed effects first)."""
        at = None if held is None or held < self.p else held - self.p
        kinds = [k for i, k in enumerate(self.kinds) if i != at]
        fixed = (held, value) if held is not None and held < self.p else None

        def full(t: Any) -> Any:
            psi = self._to(t, kinds)
            return psi if at is None else np.insert(psi, at, value)

        def f(t: Any) -> float:
            d = self.deviance(full(t), fixed)
            return d if np.isfinite(d) else 1e10

        psi = np.asarray(start, float)
        t = self._from(psi if at is None else np.delete(psi, at), kinds)
        if t.size == 0:
            return f(t), full(t)
        found = minimize(f, t, method="BFGS", options={"gtol": 1e-6})
        return float(found.fun), full(found.x)

    def zeta(self, start: Any, held: int, value: float) -> float:
        """Root of the rise of the deviance with one parameter held, from the maximum near ``start``."""
        least, psi = self.minimum(start)
        return float(np.sqrt(max(self.minimum(psi, held, value)[0] - least, 0.0)))
