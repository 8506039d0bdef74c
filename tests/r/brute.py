"""Marginal likelihoods of one grouping factor by brute force: SciPy's densities on a dense grid of random effects.

No mode, no scaling, no derivative: the trapezoidal rule over [-R, R]^q in the spherical random effects, which for
smooth integrands that die out at both ends converges faster than any power of the spacing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

Array = Any
Density = Callable[[Array, Array, "Extras"], Array]
"""Log density of rows: y (n, 1), eta (n, K), the other parameters."""


@dataclass(frozen=True)
class Extras:
    """What a density needs beside eta: phi (n, 1), the probability of a zero (n, 1), thresholds, nu."""

    phi: Array
    zero: Array
    tau: Array
    nu: float


def bernoulli(y: Array, eta: Array, _: Extras) -> Array:
    return -np.logaddexp(0.0, np.where(y > 0, -eta, eta))


def cloglog(y: Array, eta: Array, _: Extras) -> Array:
    rate = np.exp(np.minimum(eta, 50.0))
    return np.where(y > 0, np.log(-np.expm1(-np.maximum(rate, 1e-300))), -rate)


def poisson(y: Array, eta: Array, _: Extras) -> Array:
    return y * eta - np.exp(eta) - special.gammaln(y + 1)


def nbinom2(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.nbinom.logpmf(y, extras.phi, extras.phi / (extras.phi + np.exp(eta)))


def nbinom1(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.nbinom.logpmf(y, np.exp(eta) / extras.phi, 1.0 / (1.0 + extras.phi))


def gamma(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.gamma.logpdf(y, 1.0 / extras.phi, scale=extras.phi * np.exp(eta))


def inverse_gaussian(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.invgauss.logpdf(y, np.exp(eta) * extras.phi, scale=1.0 / extras.phi)


def beta(y: Array, eta: Array, extras: Extras) -> Array:
    mu = special.expit(eta)
    return stats.beta.logpdf(y, mu * extras.phi, (1.0 - mu) * extras.phi)


def student(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.t.logpdf(y, extras.nu, loc=eta, scale=extras.phi)


def gaussian(y: Array, eta: Array, extras: Extras) -> Array:
    return stats.norm.logpdf(y, eta, extras.phi)


def cumulative(y: Array, eta: Array, extras: Extras) -> Array:
    edges = np.concatenate([[-np.inf], extras.tau, [np.inf]])
    k = y.astype(int)
    return np.log(special.expit(edges[k + 1] - eta) - special.expit(edges[k] - eta))


def inflated(density: Density) -> Density:
    """A mixture with a point mass at zero."""

    def mixed(y: Array, eta: Array, extras: Extras) -> Array:
        rest = np.log1p(-extras.zero) + density(y, eta, extras)
        return np.where(y == 0, np.logaddexp(np.log(extras.zero), rest), rest)

    return mixed


def hurdle(density: Density) -> Density:
    """Zeros apart; the other counts truncated."""

    def split(y: Array, eta: Array, extras: Extras) -> Array:
        none = density(np.zeros_like(y), eta, extras)
        rest = np.log1p(-extras.zero) + density(y, eta, extras) - np.log(-np.expm1(none))
        return np.where(y == 0, np.log(extras.zero), rest)

    return split


@dataclass(frozen=True)
class Brute:
    """One model on data.

    Attributes:
        density: of a row. y: (n,). X: (n, p). Z: (n, q). g: (n,) codes. D, V: (n, .) of the log dispersion and the
            logit of zero, or None. diagonal: whether the random effects are uncorrelated. n_tau:
            thresholds. shape: whether nu is estimated. reach, points: of the grid, per dimension; its spacing must
            stay below the conditional standard deviation of a group's effect.
    """

    density: Density
    y: Array
    X: Array
    Z: Array
    g: Array
    D: Array = None
    V: Array = None
    diagonal: bool = False
    n_tau: int = 0
    shape: bool = False
    reach: float = 7.0
    points: int = 301

    def factor(self, theta: Array) -> Array:
        """The Cholesky factor of the random effects, from its lower triangle by columns."""
        q = self.Z.shape[1]
        if self.diagonal:
            return np.diag(theta)
        out = np.zeros((q, q))
        out.T[np.triu_indices(q)] = theta
        return out

    def split(self, x: Array) -> list[Array]:
        """beta, theta, disp, zi, thresholds, shape."""
        q = self.Z.shape[1]
        widths = [self.X.shape[1], q if self.diagonal else q * (q + 1) // 2]
        widths += [0 if part is None else part.shape[1] for part in (self.D, self.V)]
        return np.split(np.asarray(x, float), np.cumsum([*widths, self.n_tau]))

    def loglik(self, x: Array) -> float:
        """The marginal log likelihood at x, in jmix's order of parameters."""
        coefficients, theta, disp, zi, gaps, shape = self.split(x)
        axis = np.linspace(-self.reach, self.reach, self.points)
        q = self.Z.shape[1]
        grid = np.stack(np.meshgrid(*[axis] * q, indexing="ij")).reshape(q, -1)
        log_weight = np.sum(stats.norm.logpdf(grid), axis=0) + q * np.log(axis[1] - axis[0])
        shift = self.factor(theta) @ grid
        extras = Extras(
            phi=None if self.D is None else np.exp(self.D @ disp)[:, None],
            zero=None if self.V is None else special.expit(self.V @ zi)[:, None],
            tau=np.cumsum(np.append(gaps[:1], np.exp(gaps[1:]))),
            nu=1.0 + float(np.exp(shape[0])) if self.shape else np.nan,
        )
        total = 0.0
        for group in np.unique(self.g):
            rows = self.g == group
            own = Extras(*(part[rows] if np.ndim(part) == 2 else part for part in vars(extras).values()))
            eta = (self.X[rows] @ coefficients)[:, None] + self.Z[rows] @ shift
            with np.errstate(divide="ignore"):
                joint = self.density(self.y[rows][:, None], eta, own).sum(axis=0)
            total += float(special.logsumexp(joint + log_weight))
        return total

    def derivatives(self, x: Array, scale: Array) -> tuple[Array, Array]:
        """Gradient and Hessian by central differences of a thousandth of ``scale``, a hundredth for the Hessian."""
        x, d = np.asarray(x, float), len(x)
        step = np.diag(1e-3 * np.asarray(scale))
        gradient = np.array([(self.loglik(x + s) - self.loglik(x - s)) / (2 * s[i]) for i, s in enumerate(step)])
        step = 20 * step
        hessian, middle = np.zeros((d, d)), self.loglik(x)
        single = np.array([[self.loglik(x + s), self.loglik(x - s)] for s in step])
        for i in range(d):
            hessian[i, i] = (single[i].sum() - 2 * middle) / step[i, i] ** 2
            for j in range(i):
                both = self.loglik(x + step[i] + step[j]) + self.loglik(x - step[i] - step[j])
                mixed = (both - single[i].sum() - single[j].sum() + 2 * middle) / (2 * step[i, i] * step[j, j])
                hessian[i, j] = hessian[j, i] = mixed
        return gradient, hessian
