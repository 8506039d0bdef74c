"""All numbers of a fitted model and their covariance, on the scale of the specification and on the one reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.spec.irt.spec import Index, IrtSpec, full_vector

FloatArray = npt.NDArray[np.float64]

ASYMPTOTES = ("c", "g", "u")
"""Own parameters of logistic items that the specification holds on the logit scale."""

_LOGIT = re.compile(r"^logit\((.*?)\)")

HUGE = 1e200
"""Stands for an infinite variance in products with zero."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """The vector ``v`` (M,) of a specification at the estimates, with its covariance.

    Attributes:
        x: (P,) estimates. vcov: (P, P) of x, dense or scipy-sparse; None where none was computed.
    """

    spec: IrtSpec
    x: FloatArray
    vcov: Any = None

    @cached_property
    def v(self) -> FloatArray:
        """(M,) all numbers, free, fixed and derived."""
        return np.asarray(full_vector(np, self.spec, np.asarray(self.x, dtype=np.float64)), dtype=np.float64)

    @cached_property
    def place(self) -> npt.NDArray[np.int64]:
        """(M,) position among the free parameters, -1 for a fixed number."""
        out = np.full(self.v.size, -1, dtype=np.int64)
        out[self.spec.table.free] = np.arange(self.spec.n_free)
        return out

    @cached_property
    def jacobian(self) -> Any:
        """(M, P) sparse derivative of ``v`` in the free parameters; exact, for ``v`` is linear in them."""
        from scipy.sparse import csr_array, lil_array

        free = self.spec.table.free
        out = lil_array((self.v.size, self.spec.n_free))
        out[free, np.arange(free.size)] = 1.0
        for part in self.spec.linear:
            out = out.tolil()
            out[part.target] = csr_array(part.matrix) @ out.tocsr()[part.source]
        return out.tocsr()

    @cached_property
    def derived(self) -> npt.NDArray[np.bool_]:
        """(M,) whether a number follows linearly from others."""
        out = np.zeros(self.v.size, dtype=bool)
        for part in self.spec.linear:
            out[part.target] = True
        return out

    @cached_property
    def logit(self) -> npt.NDArray[np.bool_]:
        """(M,) whether a number is the logit of a probability: lower and upper asymptotes."""
        from jmix.items import kind_of

        out = np.zeros(self.v.size, dtype=bool)
        for block in self.spec.blocks:
            names = kind_of(block.kind).names(block.n_categories)
            if block.kind.startswith("logistic"):
                for m, name in enumerate(names):
                    if name in ASYMPTOTES:
                        out[block.own[:, :, m]] = True
        return out

    @cached_property
    def finite(self) -> Any:
        """``vcov`` with ``HUGE`` for infinite variances."""
        if isinstance(self.vcov, np.ndarray):
            return self.vcov if np.isfinite(self.vcov).all() else np.where(np.isfinite(self.vcov), self.vcov, HUGE)
        if np.isfinite(self.vcov.data).all():
            return self.vcov
        out = self.vcov.copy()
        out.data = np.where(np.isfinite(out.data), out.data, HUGE)
        return out

    def covariance(self, places: Index) -> FloatArray:
        """(..., p, p) covariance of the numbers at (..., p) places in ``v``; zero rows for fixed ones."""
        assert self.vcov is not None
        if not self.spec.linear:
            at = self.place[places]
            rows, columns = np.broadcast_arrays(at[..., :, None], at[..., None, :])
            known = (rows < 0) | (columns < 0)
            found = self._entries(np.maximum(rows, 0), np.maximum(columns, 0))
            return np.where(known, 0.0, found)
        flat = np.asarray(places).reshape(-1, places.shape[-1])
        out = np.empty((*flat.shape, flat.shape[1]))
        for i, row in enumerate(flat):
            part = self.jacobian[row]
            out[i] = part @ (self.finite @ part.T.toarray())
        return out.reshape(*places.shape, places.shape[-1])

    def _entries(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> FloatArray:
        if not rows.size or not self.spec.n_free:
            return np.zeros(rows.shape)
        found = self.finite[rows.ravel(), columns.ravel()]
        if not isinstance(found, np.ndarray) or found.ndim != 1:
            found = np.asarray(found.todense() if hasattr(found, "todense") else found).ravel()
        return np.asarray(found, dtype=np.float64).reshape(rows.shape)

    def variance(self) -> FloatArray:
        """(M,) variances of all numbers; zero for fixed ones."""
        assert self.vcov is not None
        if self.spec.linear:
            part = self.jacobian
            return np.asarray((part.multiply((self.finite @ part.T.toarray()).T)).sum(axis=1)).ravel()
        out = np.zeros(self.v.size)
        out[self.spec.table.free] = self.finite.diagonal()
        return out

    # --- the free parameters as they are reported -------------------------------------------------------------------
    @cached_property
    def names(self) -> list[str]:
        """(P,) names of the free parameters as they are reported: "c[Item.1]" for "logit(c)[Item.1]"."""
        free, names = self.spec.table.free, self.spec.table.free_names
        return [_LOGIT.sub(r"\1", name) if own else name for name, own in zip(names, self.logit[free], strict=True)]

    @cached_property
    def estimates(self) -> FloatArray:
        """(P,) free parameters, asymptotes as probabilities."""
        free = self.spec.table.free
        return np.where(self.logit[free], _expit(self.v[free]), self.v[free])

    @cached_property
    def scale(self) -> FloatArray:
        """(P,) derivative of the reported parameter in the one of the specification."""
        free = self.spec.table.free
        p = _expit(self.v[free])
        return np.where(self.logit[free], p * (1.0 - p), 1.0)

    @cached_property
    def se(self) -> FloatArray:
        """(P,) standard errors of the reported parameters, by the delta method for asymptotes."""
        assert self.vcov is not None
        return np.asarray(self.scale * standard_error(self.finite.diagonal()))

    def interval(self, width: float) -> tuple[FloatArray, FloatArray]:
        """(P,) limits ``width`` standard errors from the estimates; of asymptotes on the logit scale, then mapped."""
        assert self.vcov is not None
        free = self.spec.table.free
        half = width * standard_error(self.finite.diagonal())
        limits = (self.v[free] - half, self.v[free] + half)
        low, high = (np.where(self.logit[free], _expit(limit), limit) for limit in limits)
        return low, high


def standard_error(variance: FloatArray) -> FloatArray:
    """Roots of variances; infinite where the variance is."""
    root = np.sqrt(np.maximum(variance, 0.0))
    return np.asarray(np.where(root > 1e50, np.inf, root))


def _expit(x: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(x), dtype=np.float64)
