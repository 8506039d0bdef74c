"""Priors of correlation and covariance matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.spec.prior import Lkj, Prior, WishartLike

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MatrixPrior:
    """Wishart or inverse-Wishart distribution of the (q, q) covariance matrix of a term.

    The inverse-Wishart has density ``|Omega|^{-(df + q + 1)/2} exp(-tr(matrix Omega^{-1})/2)``, the Wishart
    ``|Omega|^{(df - q - 1)/2} exp(-tr(matrix Omega)/2)``. A Wishart on the precision matrix with rate R is the former
    with ``matrix`` R.

    Attributes:
        df: degrees of freedom, above q - 1. matrix: (q, q) positive definite. inverse: which of the two.
    """

    df: float
    matrix: FloatArray
    inverse: bool


def lkj_concentration(prior: Prior, name: str, q: int) -> float:
    """The concentration of an LKJ prior.

    Raises:
        ModelError: another distribution, one of matrices of another size than (q, q), or a flat prior.
    """
    distribution = prior.distribution
    if prior.on == "value":
        if isinstance(distribution, Lkj):
            return distribution.concentration
        if type(distribution).__name__ in ("LKJ", "LKJCholesky"):
            if distribution.batch_shape or distribution.dimension != q:
                raise ModelError(f"the prior of {name} is one of {distribution.shape()} matrices; it has {q} columns")
            return float(distribution.concentration)
    raise ModelError(f"the prior of {name} is {prior!r}; correlations take 'lkj(eta)', where lkj(1) is flat")


def matrix_prior(prior: Prior, name: str, q: int) -> MatrixPrior:
    """A prior of a covariance matrix.

    Raises:
        ModelError: another distribution, a matrix of another size, or too few degrees of freedom.
    """
    distribution = prior.distribution
    if isinstance(distribution, WishartLike):
        kind, df, scale = distribution.name, distribution.df, distribution.scale * np.eye(q)
    elif type(distribution).__name__ in ("Wishart", "InverseWishart"):
        if distribution.batch_shape:
            raise ModelError(f"the prior of {name} must be a distribution of one matrix")
        kind, df = type(distribution).__name__, float(distribution.concentration)
        with runtime.float64():
            factor = np.asarray(distribution.scale_tril, dtype=np.float64)
        scale = factor @ factor.T
    else:
        raise ModelError(
            f"the prior of {name} is {prior!r}; a covariance matrix takes a Wishart or inverse-Wishart distribution, "
            "e.g. 'wishart(3, 1) on precision' or numpyro.distributions.InverseWishart(3, scale)"
        )
    if scale.shape != (q, q):
        raise ModelError(f"the prior of {name} is of {scale.shape} matrices; it has {q} columns")
    if df <= q - 1:
        raise ModelError(f"the prior of {name} has {df:g} degrees of freedom; it is proper only above {q - 1}")
    if kind == "Wishart":
        return MatrixPrior(df, np.asarray(np.linalg.inv(scale)), inverse=prior.on == "precision")
    return MatrixPrior(df, scale, inverse=prior.on != "precision")
