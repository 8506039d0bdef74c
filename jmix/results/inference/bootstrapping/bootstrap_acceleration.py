"""The acceleration of BCa limits in a Gaussian model, exactly.

In a parametric model the acceleration is a sixth of the skewness of the score in the least favourable direction
(Efron 1987, J. Am. Stat. Assoc. 82(397), 171-185, section 6; DiCiccio & Efron 1996, Stat. Sci. 11(3), section 4). With
``t`` the quantity, ``I`` the expected information and ``mu = I^{-1} grad t``, that score is a quadratic form in the
whitened response ``w``: ``l'w + (w'A w - tr A) / 2``, with ``l = V^{-1/2} X mu_beta`` and ``A = V^{-1/2} (dV along mu)
V^{-1/2}``. Its second and third cumulants are ``l'l + tr(A^2) / 2`` and ``tr(A^3) + 3 l'A l``. A fixed effect has no
``A``, hence no acceleration. After REML the response is taken up to its fixed part: ``V^{-1}`` becomes ``P``.

Coordinates are sigma^2 and the entries of each term's relative covariance ``Omega = Lambda Lambda'``, in which the
score exists on the boundary too. For one variance of a normal sample the result is ``sqrt(2) / (3 sqrt(df))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.spec.covariance import lower_column_major

if TYPE_CHECKING:
    from jmix.results.fit import Fit

FloatArray = npt.NDArray[np.float64]

LARGEST = 4096
"""Most random effects for which matrices of their size are formed."""


@dataclass(frozen=True, eq=False)
class GaussianScores:
    """Cumulants of the scores of a linear mixed model at its estimates.

    Attributes:
        z: (n, Q) columns of all terms, level by level, times the root of the weights. x: (n, p) likewise.
        sigma: residual standard deviation. lams: (q, q) of each term. levels: number of levels of each term.
        reml: whether scores are those of the restricted likelihood.
    """

    z: object
    x: FloatArray
    sigma: float
    lams: list[FloatArray]
    levels: list[int]
    reml: bool

    @property
    def nu(self) -> int:
        """Degrees of freedom of the scores: rows, less fixed effects after REML."""
        return self.x.shape[0] - (self.x.shape[1] if self.reml else 0)

    @cached_property
    def _solved(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """``Z'V^{-1}Z``, ``Z'V^{-1}X`` and ``X'V^{-1}X`` relative to sigma^2."""
        z: object = self.z
        cross, own = np.asarray((z.T @ z).todense()), self.x.T @ self.x  # type: ignore[attr-defined]
        zx = np.asarray(z.T @ self.x)  # type: ignore[attr-defined]
        lam = self._lambda()
        half = cross @ lam
        m = np.linalg.cholesky(np.eye(lam.shape[0]) + lam.T @ half)
        left, right = np.linalg.solve(m, half.T), np.linalg.solve(m, lam.T @ zx)
        return cross - left.T @ left, zx - left.T @ right, own - right.T @ right

    def _lambda(self) -> FloatArray:
        from scipy.linalg import block_diag

        parts = [np.kron(np.eye(j), lam) for j, lam in zip(self.levels, self.lams, strict=True)]
        return np.asarray(block_diag(*parts)) if parts else np.zeros((0, 0))

    @cached_property
    def _b(self) -> FloatArray:
        """(Q, Q) ``Z'V^{-1}Z``, or ``Z'P Z`` after REML."""
        zvz, zvx, xvx = self._solved
        return zvz - zvx @ np.linalg.solve(xvx, zvx.T) if self.reml and xvx.size else zvz

    @cached_property
    def directions(self) -> list[tuple[int, FloatArray]]:
        """(term, (q, q) unit symmetric matrix) of every entry of the terms' Omegas."""
        out = []
        for i, lam in enumerate(self.lams):
            for r, c in zip(*lower_column_major(lam.shape[0]), strict=True):
                unit = np.zeros_like(lam)
                unit[r, c] = unit[c, r] = 1.0
                out.append((i, unit))
        return out

    def _times(self, matrix: FloatArray, parts: list[FloatArray]) -> FloatArray:
        """``matrix @ E`` for E block diagonal with ``parts[i]`` for every level of term i."""
        out, start = [], 0
        for part, j in zip(parts, self.levels, strict=True):
            stop = start + part.shape[0] * j
            blocks = matrix[:, start:stop].reshape(matrix.shape[0], j, part.shape[0])
            out.append((blocks @ part).reshape(matrix.shape[0], -1))
            start = stop
        return np.concatenate(out, axis=1) if out else matrix

    def _along(self, direction: FloatArray) -> list[FloatArray]:
        """(q, q) matrix of each term for coefficients of ``directions``."""
        parts = [np.zeros_like(lam) for lam in self.lams]
        for value, (i, unit) in zip(direction, self.directions, strict=True):
            parts[i] = parts[i] + value * unit
        return parts

    @cached_property
    def information(self) -> FloatArray:
        """(1 + m, 1 + m) expected information on sigma^2 and the entries of Omega."""
        unit = np.eye(len(self.directions))
        moved = [self._times(self._b, self._along(row)) for row in unit]
        out = np.empty((len(unit) + 1, len(unit) + 1))
        out[0, 0] = 0.5 * self.nu / self.sigma**4
        for k, left in enumerate(moved):
            out[0, k + 1] = out[k + 1, 0] = 0.5 * np.trace(left) / self.sigma**2
            for m, right in enumerate(moved[: k + 1]):
                out[k + 1, m + 1] = out[m + 1, k + 1] = 0.5 * float(np.sum(left * right.T))
        return out

    def acceleration(self, slope: FloatArray, fixed: FloatArray | None = None) -> float:
        """The acceleration of a quantity; NaN where the information does not determine it.

        Args:
            slope: (1 + m,) derivatives in sigma^2 and the entries of Omega. fixed: (p,) derivatives in beta.
        """
        try:
            mu = np.linalg.solve(self.information, slope)
        except np.linalg.LinAlgError:
            return float("nan")
        a0, parts = float(mu[0]) / self.sigma**2, self._along(np.asarray(mu[1:], dtype=np.float64))
        moved = self._times(self._b, parts)
        square = moved @ moved
        first, second, third = np.trace(moved), np.trace(square), float(np.sum(square * moved.T))
        variance = 0.5 * (self.nu * a0**2 + 2.0 * a0 * first + second)
        skew = self.nu * a0**3 + 3.0 * a0**2 * first + 3.0 * a0 * second + third
        if fixed is not None and fixed.size:
            _, zvx, xvx = self._solved
            along = np.linalg.solve(xvx, fixed) * self.sigma**2
            own = float(along @ xvx @ along) / self.sigma**2
            pulled = (zvx @ along)[None]
            variance += own
            skew += 3.0 * (a0 * own + float((self._times(pulled, parts) @ pulled.T).item()) / self.sigma**2)
        return float(skew / (6.0 * variance**1.5)) if variance > 0 else float("nan")


def gaussian_scores(fit: Fit) -> GaussianScores | None:
    """The scores of a fit; None where its random effects are too many."""
    from scipy import sparse

    sizes = [t.q * len(term.levels) for t, term in zip(fit.spec.terms, fit.terms, strict=True)]
    if sum(sizes) > LARGEST:
        return None
    n = fit.nobs
    root = np.ones(n) if fit.design.weights is None else np.sqrt(fit.design.weights)
    blocks = []
    for term in fit.terms:
        q, rows = len(term.columns), np.arange(n)
        values = np.stack(term.columns, axis=1) * root[:, None]
        place = np.asarray(term.codes, dtype=np.int64)[:, None] * q + np.arange(q)
        shape = (n, q * len(term.levels))
        blocks.append(sparse.csr_array((values.ravel(), (np.repeat(rows, q), place.ravel())), shape=shape))
    z = sparse.hstack(blocks, format="csr") if blocks else sparse.csr_array((n, 0))
    levels = [len(term.levels) for term in fit.terms]
    x = fit.design.X * root[:, None]
    return GaussianScores(z, x, fit.sigma, fit.spec.split(fit.theta_values), levels, fit.reml)
