"""What the optimiser can vouch for, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix.spec.covariance import CovarianceSpec, Term

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Status:
    """The convergence certificate of a fit, from exact derivatives.

    Attributes:
        converged: the Newton decrement is negligible and no direction descends.
        singular: the covariance of some term is on the boundary of its parameter space.
        max_gradient: largest component of the gradient of the deviance along an eigenvector of the Hessian, over the
            root of its eigenvalue: the root of the deviance still to be gained there.
        decrement: ``g'H^{-1}g / 2``: how far below the model of second order sees the optimum, in units of the
            deviance.
        min_eigenvalue: smallest eigenvalue of the exact Hessian, relative to the largest.
        n_evaluations, n_hessians: objective evaluations, and how many of them with an exact Hessian.
        interrupted: the user stopped the search, and these are the best estimates so far.
        messages: what to know and what to do, one sentence each.
    """

    converged: bool
    singular: bool
    max_gradient: float
    decrement: float
    min_eigenvalue: float
    n_evaluations: int
    n_hessians: int
    messages: tuple[str, ...]
    interrupted: bool = False


def vanished_directions(spec: CovarianceSpec, lams: list[FloatArray]) -> list[str]:
    """One sentence for every direction in which a term's covariance matrix is singular."""
    out: list[str] = []
    for term, lam in zip(spec.terms, lams, strict=True):
        out += [f"({' + '.join(term.names)} | {term.group}): {text}" for text in _vanished(term, lam)]
    return out


def _vanished(term: Term, lam: FloatArray) -> list[str]:
    """What the zero columns of a canonical factor mean: as many zero variances or exact linear relations."""
    sd = np.sqrt(np.sum(lam * lam, axis=1))
    texts = [f"the standard deviation of {name} is zero" for name, s in zip(term.names, sd, strict=True) if s == 0]
    kept = np.flatnonzero(sd > 0)
    relations = int(np.sum(np.all(lam == 0.0, axis=0))) - len(texts)
    if relations == 0:
        return texts
    scaled = lam[kept] / sd[kept, None]
    vectors = np.linalg.eigh(scaled @ scaled.T)[1][:, :relations]
    names = [term.names[i] for i in kept]
    return texts + [_direction(names, vector / sd[kept], scaled @ scaled.T) for vector in vectors.T]


def _direction(names: list[str], vector: FloatArray, correlation: FloatArray) -> str:
    if len(names) == 2:
        return f"the correlation of {names[0]} and {names[1]} is {np.sign(correlation[0, 1]):+.0f}"
    vector = vector / vector[np.argmax(np.abs(vector))]
    parts = [f"{v:+.3g} {name}" for v, name in zip(vector, names, strict=True) if abs(v) > 1e-6]
    return f"the combination {' '.join(parts)} has no variance"
