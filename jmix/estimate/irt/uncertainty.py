"""Covariance matrices of the estimates: observed information, cross-products of scores, sandwich, or by item.

The observed information is exact, what Oakes's and Louis's identities give (Louis 1982, J. R. Stat. Soc. B 44; Oakes
1999, J. R. Stat. Soc. B 61). The sandwich is Huber's: ``A^-1 B A^-1`` of information A and cross-products B.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

TYPES = ("hessian", "oakes", "crossprod", "sandwich", "item", "none")
"""Standard errors on offer; "oakes" is another name of "hessian"."""

FLAT = 1e-9
"""Eigenvalue of the information, scaled to a unit diagonal, at and below which a direction is not identified."""


def standard_error_type(se: Any) -> str:
    """The type by its name; True is "hessian" and False is "none".

    Raises:
        ModelError: an unknown type.
    """
    if isinstance(se, bool):
        return "hessian" if se else "none"
    name = {"oakes": "hessian", "louis": "hessian", "cross-product": "crossprod"}.get(str(se).lower(), str(se).lower())
    if name not in TYPES:
        raise ModelError(f"se={se!r}: choose one of {', '.join(map(repr, TYPES))}")
    return name


def inverse_information(information: FloatArray) -> tuple[FloatArray, BoolArray, float]:
    """Inverse of a symmetric matrix where it exists.

    Returns:
        (P, P) inverse: infinite variances, without covariances, of what the information does not identify; (P,) which
        these are; and the least eigenvalue relative to the largest, parameters in units of their own information.
    """
    p = len(information)
    if p == 0:
        return information, np.zeros(0, dtype=np.bool_), 1.0
    diagonal = np.diag(information)
    if not np.all(np.isfinite(information)):
        return np.diag(np.full(p, np.inf)), np.ones(p, dtype=np.bool_), 0.0
    size = np.sqrt(np.maximum(np.abs(diagonal), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    least = float(values[0] / max(values[-1], 1e-300))
    use = values > FLAT
    root = (vectors[:, use] / np.sqrt(values[use])) / size[:, None]
    out = root @ root.T
    lost = np.any(np.abs(vectors[:, ~use]) > 0.05, axis=1)
    out[lost] = 0.0
    out[:, lost] = 0.0
    out[lost, lost] = np.inf
    return out, lost, least


def covariance(kind: str, information: FloatArray, cross: FloatArray | None) -> tuple[FloatArray, BoolArray, float]:
    """Covariance of the estimates by type.

    Args:
        information: (P, P) negative Hessian of log likelihood and log prior. cross: (P, P) cross-products of the
            persons' scores, of which the log prior's curvature has been subtracted; for "crossprod" and "sandwich".
    """
    if kind == "crossprod":
        assert cross is not None
        return inverse_information(cross)
    bread, lost, least = inverse_information(information)
    if kind != "sandwich":
        return bread, lost, least
    assert cross is not None
    kept = ~lost
    out = bread.copy()
    at = np.ix_(kept, kept)
    out[at] = bread[at] @ cross[at] @ bread[at]
    return out, lost, least
