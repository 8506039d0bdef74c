"""Where the search for a generalized linear mixed model starts, in coordinates in which it is easy.

Coefficients start at those of the model without random effects, covariances at moment estimates from its working
residuals. The search moves in ``x = x0 + S z``: ``S`` makes the columns of each model matrix orthonormal, and the
random-effects columns of each
term, so that one unit of z is about one unit of the linear predictor. The first guess of the Hessian is the expected
information of the Gaussian working model (Breslow & Clayton 1993, J. Am. Stat. Assoc. 88, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.design import RandomTerm
from jmix.design_response import GlmmDesign
from jmix.estimate.glmm_dispersion import scored_with_extras
from jmix.estimate.glmm_scoring import Rows, Scored
from jmix.estimate.start import expected_hessian
from jmix.likelihood.fixed import fixed_basis
from jmix.likelihood.random import term_basis
from jmix.likelihood.structure import Block, FactorLayout, GaussianStats
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]

MOST_ROWS = 50_000
"""Rows that settle where to start."""

FLOOR, CEILING = 0.3, 3.0
"""Range of starting standard deviations of a random effect in units of the linear predictor."""

CG_STEPS = 30


@dataclass(frozen=True)
class Start:
    """Where and how to search.

    Attributes:
        x: (d,) parameters. scale: (d, d) S. guess: (d, d) expected Hessian of the negative log likelihood in z.
        scored: the model without random effects, on ``rows``. kept: the rows of the design behind it.
    """

    x: FloatArray
    scale: FloatArray
    guess: FloatArray
    scored: Scored
    kept: slice


def find_start(design: GlmmDesign, terms: Sequence[RandomTerm], spec: CovarianceSpec) -> Start:
    """The start of a design; ``terms`` in the order of ``spec.terms``."""
    kept = slice(None, None, max(1, -(-design.base.X.shape[0] // MOST_ROWS)))
    rows = design_rows(design, kept)
    scored, extra = scored_with_extras(design, rows)
    unit = float(np.sqrt(1.0 / max(float(np.mean(scored.information)), 1e-300)))
    if design.family.link in ("logit", "probit", "cloglog", "cauchit", "log"):
        unit = min(max(unit, 0.1), 1.0)
    bases = [term_basis(t.columns, None) for t in terms]
    phi, theta_information = _covariances(terms, spec, bases, scored, rows, kept, unit)
    pieces = _Pieces()
    beta_scale = unit * _whitening(design.base.X)
    pieces.add(scored.beta, beta_scale, _beta_information(design, terms, spec, bases, phi, scored, rows, kept))
    pieces.add(_theta(spec, bases, phi), unit * _theta_map(spec, bases), None, unit**2 * theta_information)
    for begin, columns, information in extra:
        whitening = np.eye(begin.size) if columns is None or begin.size == 1 else _whitening(columns)
        pieces.add(begin, whitening, information)
    return Start(*pieces.assembled(), scored, kept)


@dataclass
class _Pieces:
    """Blocks of the start, the scale and the guess."""

    def __init__(self) -> None:
        self.x: list[FloatArray] = []
        self.scale: list[FloatArray] = []
        self.guess: list[FloatArray] = []

    def add(
        self, x: FloatArray, scale: FloatArray, information: FloatArray | None, own: FloatArray | None = None
    ) -> None:
        """Append a block with its information in x, or ``own`` in z."""
        self.x.append(x)
        self.scale.append(scale)
        if own is None:
            assert information is not None
            own = scale.T @ information @ scale
        self.guess.append(own)

    def assembled(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        from scipy.linalg import block_diag

        scale = block_diag(*self.scale)
        guess = block_diag(*self.guess)
        diagonal = np.maximum(np.diag(guess), 1e-6 * float(np.max(np.diag(guess), initial=1e-300)))
        np.fill_diagonal(guess, diagonal * (1.0 + 1e-8))
        return np.concatenate(self.x), np.asarray(scale), np.asarray(guess)


def design_rows(design: GlmmDesign, kept: slice) -> Rows:
    """The rows of a design for Fisher scoring."""
    base, response = design.base, design.response
    n = base.X.shape[0]
    y = np.asarray(response.y, dtype=np.float64)[kept]
    weight = np.ones(y.size) if design.weights is None else np.asarray(design.weights, dtype=np.float64)[kept]
    if response.size is not None and design.family.has_trials:
        size = np.asarray(response.size, dtype=np.float64)[kept]
        y, weight = np.divide(y, size, out=np.zeros_like(y), where=size > 0), weight * size
    offset = np.zeros(y.size) if base.offset is None else np.asarray(base.offset)[kept]
    return Rows(np.asarray(base.X)[kept], y, weight, offset, n / y.size)


def _whitening(X: FloatArray) -> FloatArray:
    """(p, p) matrix that makes the columns orthonormal, with sums of squares n."""
    return fixed_basis(np.asarray(X), np.zeros(X.shape[0]), None).inverse if X.shape[1] else np.zeros((0, 0))


def _theta_map(spec: CovarianceSpec, bases: Sequence[FloatArray]) -> FloatArray:
    """(k, k) matrix that maps phi, the factors in the well-conditioned basis, to theta."""
    k = spec.n_theta
    out = np.zeros((k, k))
    for column, unit in enumerate(np.eye(k)):
        out[:, column] = _theta(spec, bases, unit)
    return out


def _theta(spec: CovarianceSpec, bases: Sequence[FloatArray], phi: FloatArray) -> FloatArray:
    return spec.join([basis @ lam for basis, lam in zip(bases, spec.split(phi), strict=True)])


def _covariances(
    terms: Sequence[RandomTerm],
    spec: CovarianceSpec,
    bases: Sequence[FloatArray],
    scored: Scored,
    rows: Rows,
    kept: slice,
    unit: float,
) -> tuple[FloatArray, FloatArray]:
    """Diagonal phi from the sums of Z's per level, and its expected information.

    For column k with ``a_j = Z_jk'W Z_jk`` the score sums have ``E (Z_jk's)^2 = a_j + t^2 a_j^2``.
    """
    lams, information = [], np.zeros((spec.n_theta, spec.n_theta))
    blocks: dict[str, list[FloatArray]] = {}
    for term, basis in zip(terms, bases, strict=True):
        z = basis.T @ np.stack([c[kept] for c in term.columns])
        codes, j = term.codes[kept], len(term.levels)
        sums = np.stack([np.bincount(codes, column * scored.score, minlength=j) for column in z])
        a = np.stack([np.bincount(codes, column * column * scored.information, minlength=j) for column in z])
        t2 = (np.sum(sums * sums, axis=1) - np.sum(a, axis=1)) / np.maximum(np.sum(a * a, axis=1), 1e-300)
        lams.append(np.diag(np.sqrt(np.clip(t2, (FLOOR * unit) ** 2, (CEILING * unit) ** 2))))
        blocks.setdefault(term.group, []).append(z)
    phi = spec.join(lams)
    for group, columns in blocks.items():
        first = next(t for t in terms if t.group == group)
        index, own = _factor_information(spec, group, first, np.concatenate(columns), scored, rows, kept, phi)
        information[np.ix_(index, index)] = own
    return phi, information


def _factor_information(
    spec: CovarianceSpec,
    group: str,
    term: RandomTerm,
    z: FloatArray,
    scored: Scored,
    rows: Rows,
    kept: slice,
    phi: FloatArray,
) -> tuple[list[int], FloatArray]:
    """Expected information of one factor's phi, as if it were alone."""
    q, j = z.shape[0], len(term.levels)
    a, codes = np.zeros((q, q, j)), term.codes[kept]
    for r in range(q):
        for c in range(r + 1):
            sums = np.bincount(codes, z[r] * z[c] * scored.information, minlength=j)
            a[r, c] = a[c, r] = rows.mass * sums
    seen = a[:, :, np.einsum("aaj->j", a) > 0] + 1e-6 * float(np.mean(a)) * np.eye(q)[:, :, None]
    index, r_, c_ = spec.group_entries(group)
    stats = GaussianStats((Block(seen, None),), None, None, None)
    layout = FactorLayout(q, tuple(range(len(index))), tuple(r_), tuple(c_))
    return index, 0.5 * expected_hessian(stats, (layout,), phi[index])


def _beta_information(
    design: GlmmDesign,
    terms: Sequence[RandomTerm],
    spec: CovarianceSpec,
    bases: Sequence[FloatArray],
    phi: FloatArray,
    scored: Scored,
    rows: Rows,
    kept: slice,
) -> FloatArray:
    """``X'V^{-1}X`` with ``V = W^{-1} + Z Lambda Lambda' Z'``, by conjugate gradients in the random effects."""
    from scipy.sparse import csr_matrix, hstack

    weight = rows.mass * scored.information
    cross = (rows.X * weight[:, None]).T @ rows.X
    if not terms:
        return np.asarray(cross)
    root, n = np.sqrt(weight), rows.X.shape[0]
    parts = []
    for term, basis, lam in zip(terms, bases, spec.split(phi), strict=True):
        codes, j = term.codes[kept], len(term.levels)
        for column in (basis @ lam).T @ np.stack([c[kept] for c in term.columns]):
            parts.append(csr_matrix((column * root, codes, np.arange(n + 1)), shape=(n, j)))
    Z = hstack(parts, format="csr")
    rhs = Z.T @ (rows.X * root[:, None])
    return np.asarray(cross - rhs.T @ _conjugate_gradients(Z, rhs))


def _conjugate_gradients(Z: FloatArray, rhs: FloatArray) -> FloatArray:
    """Solutions (Q, p) of ``(I + Z'Z) u = rhs``, each by its own Jacobi-preconditioned conjugate gradients."""
    inverse = 1.0 / (1.0 + np.asarray(Z.multiply(Z).sum(axis=0)).ravel())[:, None]  # type: ignore[attr-defined]
    u, r = np.zeros_like(rhs), rhs.copy()
    d = inverse * r
    energy = np.sum(r * d, axis=0)
    for _ in range(CG_STEPS):
        Ad = d + Z.T @ (Z @ d)
        along = np.sum(d * Ad, axis=0)
        step = np.divide(energy, along, out=np.zeros_like(along), where=along > 0)
        u, r = u + step * d, r - step * Ad
        z = inverse * r
        new = np.sum(r * z, axis=0)
        d = z + np.divide(new, energy, out=np.zeros_like(new), where=energy > 0) * d
        energy = new
        if np.all(new <= 1e-6 * np.sum(rhs * inverse * rhs, axis=0)):
            break
    return u
