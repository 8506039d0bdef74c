"""Rotation of loadings: gradient projection for orthogonal and oblique criteria, and promax.

Bernaards & Jennrich (2005, Educ. Psychol. Meas. 65(5)): minimise Q(A inv(T)') over T with T'T = I, or over T with
columns of length one; the factors then correlate by T'T.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
Criterion = Callable[[FloatArray], tuple[float, FloatArray]]

MAX_STEPS = 2000
TOLERANCE = 1e-9
STARTS = 12
"""Random starts beside the unrotated one: the criteria have local minima."""

GEOMIN = 0.01
POWER = 4


def rotation_matrix(loadings: FloatArray, method: str, *, normalize: bool | None = None, seed: int = 0) -> FloatArray:
    """(D, D) matrix T of a rotation: loadings become ``A inv(T)'``, the trait ``T'theta`` with correlations ``T'T``.

    The rotated factors are ordered by their sums of squares and point where their loadings are positive on the whole.

    Args:
        loadings: (J, D). method: orthogonal "varimax", "quartimax"; oblique "oblimin" (quartimin), "promax" (power 4),
            "geomin". normalize: Kaiser's, rows of length one meanwhile; None for varimax and promax only, as in R.

    Raises:
        ModelError: an unknown method.
    """
    if method not in METHODS:
        raise ModelError(f"rotate={method!r}: choose one of {', '.join(map(repr, METHODS))} or None")
    if loadings.shape[1] == 1 or method == "none":
        return np.eye(loadings.shape[1])
    normalize = method in ("varimax", "promax") if normalize is None else normalize
    length = np.linalg.norm(loadings, axis=1, keepdims=True)
    scaled = loadings / np.where(length > 0, length, 1.0) if normalize else loadings
    if method == "promax":
        turned = _best(scaled, varimax, False, seed)
        return _arranged(loadings, _promax(loadings, turned))
    criterion, oblique = _CRITERIA[method]
    return _arranged(loadings, _best(scaled, criterion, oblique, seed))


# --- criteria: value and gradient in the loadings -------------------------------------------------------------------
def varimax(loadings: FloatArray) -> tuple[float, FloatArray]:
    """Minus the variance of the squared loadings by column (Kaiser 1958)."""
    squares = loadings**2
    centred = squares - squares.mean(axis=0)
    return -0.25 * float((centred**2).sum()), -loadings * centred


def quartimax(loadings: FloatArray) -> tuple[float, FloatArray]:
    """Minus the sum of fourth powers (Neuhaus & Wrigley 1954)."""
    return -0.25 * float((loadings**4).sum()), -(loadings**3)


def oblimin(loadings: FloatArray) -> tuple[float, FloatArray]:
    """Sum of products of squared loadings between columns (Carroll 1953; direct quartimin, Jennrich & Sampson 1966)."""
    squares = loadings**2
    others = squares.sum(axis=1, keepdims=True) - squares
    return 0.25 * float((squares * others).sum()), loadings * others


def geomin(loadings: FloatArray) -> tuple[float, FloatArray]:
    """Sum of geometric means of squared loadings by row (Yates 1987)."""
    lifted = loadings**2 + GEOMIN
    d = loadings.shape[1]
    means = np.exp(np.log(lifted).sum(axis=1, keepdims=True) / d)
    return float(means.sum()), 2.0 / d * loadings / lifted * means


_CRITERIA: dict[str, tuple[Criterion, bool]] = {
    "varimax": (varimax, False),
    "quartimax": (quartimax, False),
    "oblimin": (oblimin, True),
    "geomin": (geomin, True),
}
METHODS = (*_CRITERIA, "promax", "none")


# --- gradient projection --------------------------------------------------------------------------------------------
def _best(loadings: FloatArray, criterion: Criterion, oblique: bool, seed: int) -> FloatArray:
    """The lowest of the minima from several starts."""
    rng, d = np.random.default_rng(seed), loadings.shape[1]
    starts = [np.eye(d), *(np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(STARTS))]
    found = [_project(loadings, criterion, oblique, start) for start in starts]
    return min(found, key=lambda pair: pair[0])[1]


def _project(loadings: FloatArray, criterion: Criterion, oblique: bool, t: FloatArray) -> tuple[float, FloatArray]:
    """Value and T at a minimum near the start."""
    step = 1.0
    value, gradient = _in_t(loadings, criterion, oblique, t)
    for _ in range(MAX_STEPS):
        projected = gradient - t * (t * gradient).sum(axis=0) if oblique else gradient - t @ _symmetric(t.T @ gradient)
        size = float(np.linalg.norm(projected))
        if size < TOLERANCE:
            break
        step *= 2.0
        for _ in range(40):
            new = _retract(t - step * projected, oblique)
            new_value, new_gradient = _in_t(loadings, criterion, oblique, new)
            if new_value < value - 0.5 * size**2 * step:
                break
            step *= 0.5
        else:
            break
        t, value, gradient = new, new_value, new_gradient
    return value, t


def _in_t(loadings: FloatArray, criterion: Criterion, oblique: bool, t: FloatArray) -> tuple[float, FloatArray]:
    """Criterion and its gradient in T."""
    if not oblique:
        value, gradient = criterion(loadings @ t)
        return value, loadings.T @ gradient
    inverse = np.linalg.inv(t)
    rotated = loadings @ inverse.T
    value, gradient = criterion(rotated)
    return value, -(rotated.T @ gradient @ inverse).T


def _retract(t: FloatArray, oblique: bool) -> FloatArray:
    if oblique:
        return np.asarray(t / np.linalg.norm(t, axis=0))
    u, _, v = np.linalg.svd(t)
    return np.asarray(u @ v)


def _symmetric(m: FloatArray) -> FloatArray:
    return 0.5 * (m + m.T)


def _promax(loadings: FloatArray, turned: FloatArray) -> FloatArray:
    """T of Hendrickson & White (1964): least squares onto powers of the varimax loadings, in R's scaling."""
    x = loadings @ turned
    target = x * np.abs(x) ** (POWER - 1)
    u = np.linalg.lstsq(x, target, rcond=None)[0]
    scale = np.diag(np.linalg.inv(u.T @ u))
    return np.asarray(np.linalg.inv(turned @ u * np.sqrt(scale)).T)


def _arranged(loadings: FloatArray, t: FloatArray) -> FloatArray:
    """Columns by decreasing sums of squares, signs by the sums of the loadings."""
    rotated = loadings @ np.linalg.inv(t).T
    order = np.argsort(-(rotated**2).sum(axis=0), kind="stable")
    sign = np.where(rotated.sum(axis=0) < 0, -1.0, 1.0)
    return np.asarray((t * sign)[:, order])
