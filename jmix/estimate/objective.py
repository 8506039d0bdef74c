"""The profiled Gaussian criterion of one data set as NumPy functions: the jit boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.design import Design, RandomTerm
from jmix.errors import ModelError
from jmix.estimate.identified import check_absorbed, check_response
from jmix.estimate.newton import Point
from jmix.estimate.parameters import parameter_array, positive_variance
from jmix.estimate.scales import check_response_scale
from jmix.likelihood import conditional, derivatives, gaussian
from jmix.likelihood.fixed import fixed_basis
from jmix.likelihood.random import Factor
from jmix.likelihood.suffstats import Reduced, reduce_data
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]

EXPENSIVE_TAIL = 256
"""Tail size from which an exact Hessian costs several gradients."""

_FULL = runtime.Program(derivatives.value_grad_hessian, static=("layout", "reml"))
_FIRST = runtime.Program(derivatives.value_grad, static=("layout", "reml"))
_VALUE = runtime.Program(gaussian.profiled_criterion, static=("layout", "reml"))
_REDUCE = runtime.Program(gaussian.reduce, static=("layout",))
_MODES = runtime.Program(conditional.modes, static=("layout",))
_COVARIANCES = runtime.Program(conditional.covariances, static=("layout",))


@dataclass(frozen=True)
class GaussianObjective:
    """One reduced data set with its specification.

    ``phi`` denotes ``theta`` in the well-conditioned basis of ``likelihood.random``: Lambda~ = T^{-1} Lambda, entry
    by entry a linear map of ``theta``.

    Attributes:
        n: rows. p: fixed effects. log_weights: sum of the log prior weights. response: its name, for messages.
    """

    reduced: Reduced
    spec: CovarianceSpec
    n: int
    p: int
    log_weights: float
    response: str = "y"

    @cached_property
    def device_stats(self) -> Any:
        """The sufficient statistics on the default device."""
        return runtime.put(self.reduced.stats)

    @property
    def expensive(self) -> bool:
        """Whether an exact Hessian costs several gradients."""
        return sum(q * j for q, j in self.reduced.stats.tail_sizes) > EXPENSIVE_TAIL

    def full(self, phi: FloatArray, reml: bool) -> Point:
        """Criterion, gradient, Hessian and reduced cross-product at phi."""
        return self._point(self._call(_FULL, phi, reml))

    def first(self, phi: FloatArray, reml: bool) -> Point:
        """Criterion, gradient and reduced cross-product at phi."""
        return self._point(self._call(_FIRST, phi, reml))

    def _point(self, at: derivatives.Derivatives) -> Point:
        """NumPy numbers, with what the residual sum of squares lost as a difference of cross-products."""
        hessian, gram = None if at.hessian is None else np.asarray(at.hessian), np.asarray(at.gram)
        p = self.p
        rss = float(gram[p, p] - gram[:p, p] @ np.linalg.solve(gram[:p, :p], gram[:p, p]))
        lost = self.n * np.finfo(np.float64).eps * self.n / rss if rss > 0 else np.inf
        return Point(float(at.value), np.asarray(at.gradient), hessian, gram, float(lost))

    def value(self, phi: FloatArray, reml: bool) -> float:
        """Profiled deviance or REML criterion, complete with its constants, at phi."""
        return float(self._call(_VALUE, phi, reml)[0]) + self.constant(reml)

    def _call(self, program: runtime.Program, phi: FloatArray, reml: bool) -> Any:
        return program(phi, self.device_stats, float(self.n), layout=self.reduced.layout, reml=reml)

    def constant(self, reml: bool) -> float:
        """What the criterion of ``likelihood.gaussian`` leaves out."""
        nu = self.n - self.p if reml else self.n
        scale = 2.0 * float(np.log(self.reduced.fixed.y_scale))
        basis = 2.0 * self.reduced.fixed.log_det if reml else 0.0
        return nu * (1.0 + float(np.log(2.0 * np.pi / nu)) + scale) + basis - self.log_weights

    def reduce(self, phi: FloatArray) -> tuple[float, FloatArray]:
        """``log|M|`` and the (p + 1, p + 1) reduced cross-product in the orthonormal basis."""
        logdet, gram = _REDUCE(phi, self.device_stats, layout=self.reduced.layout)
        return float(logdet), np.asarray(gram)

    def modes(self, phi: FloatArray, contrast: FloatArray) -> dict[str, FloatArray]:
        """(J, q) conditional modes of each grouping factor, on the data scale, in the user's level order."""
        raw = _MODES(phi, self.device_stats, contrast, layout=self.reduced.layout)
        scale = self.reduced.fixed.y_scale
        return {
            f.group: self._restore(scale * (f.basis @ np.asarray(m)), i).T for i, (f, m) in enumerate(self._each(raw))
        }

    def covariances(self, phi: FloatArray) -> dict[str, FloatArray]:
        """(J, q, q) conditional covariances over sigma^2 of each grouping factor."""
        raw = _COVARIANCES(phi, self.device_stats, layout=self.reduced.layout)
        out = {}
        for i, (f, block) in enumerate(self._each(raw)):
            data_scale = np.einsum("ab,bcj,dc->adj", f.basis, np.asarray(block), f.basis)
            out[f.group] = np.ascontiguousarray(np.moveaxis(self._restore(data_scale, i), -1, 0))
        return out

    def _each(self, raw: list[Any]) -> list[tuple[Factor, Any]]:
        return list(zip(self.reduced.elimination.factors, raw, strict=True))

    def _restore(self, values: FloatArray, i: int) -> FloatArray:
        """Undo the internal order of the levels on the last axis."""
        if i >= len(self.reduced.elimination.order):
            return values
        out = np.empty_like(values)
        out[..., self.reduced.elimination.order[i]] = values
        return out

    @cached_property
    def to_theta(self) -> FloatArray:
        """(k, k) matrix that maps phi to theta."""
        basis = {f.group: f.basis for f in self.reduced.elimination.factors}
        k = self.spec.n_theta
        out = np.zeros((k, k))
        for column, unit in enumerate(np.eye(k)):
            lams, start = self.spec.split(unit), dict.fromkeys(basis, 0)
            for i, term in enumerate(self.spec.terms):
                at = start[term.group]
                block = basis[term.group][at : at + term.q, at : at + term.q]
                lams[i] = block @ lams[i]
                start[term.group] = at + term.q
            out[:, column] = self.spec.join(lams)
        return out

    @cached_property
    def to_phi(self) -> FloatArray:
        """(k, k) matrix that maps theta to phi."""
        return np.asarray(np.linalg.inv(self.to_theta))

    def log_marginal(self, theta: FloatArray, beta: Any, sigma: Any, reml: bool) -> float:
        """Log likelihood at theta and, where given, beta (p,) and sigma; the rest is profiled out."""
        if reml and beta is not None:
            raise ModelError("the restricted likelihood integrates beta out: leave it out of params, or use reml=False")
        logdet, gram = self.reduce(self.to_phi @ theta)
        fixed, n, p = self.reduced.fixed, self.n, self.p
        contrast = self._contrast(gram, beta)
        with np.errstate(over="ignore", invalid="ignore"):
            rss = float(contrast @ gram @ contrast) * fixed.y_scale**2
        if not np.isfinite(rss):
            raise ModelError(
                "the likelihood overflows at these parameters; give beta and theta nearer to the estimates"
            )
        nu = n - p if reml else n
        variance = rss / nu if sigma is None else positive_variance(sigma)
        if reml:
            logdet += float(np.linalg.slogdet(gram[:p, :p])[1]) + 2.0 * fixed.log_det
        return -0.5 * (nu * float(np.log(2.0 * np.pi * variance)) + rss / variance + logdet - self.log_weights)

    def _contrast(self, gram: FloatArray, beta: Any) -> FloatArray:
        """(p + 1,) coefficients of ``[X~ e]`` that give the residuals over y_scale."""
        fixed, p = self.reduced.fixed, self.p
        if beta is None:
            return np.append(-np.linalg.solve(gram[:p, :p], gram[:p, p]), 1.0)
        value = parameter_array("beta", beta, p)
        return np.append(-np.linalg.solve(fixed.inverse, value - fixed.beta_ols) / fixed.y_scale, 1.0)


def build_objective(design: Design, terms: Sequence[RandomTerm], spec: CovarianceSpec) -> GaussianObjective:
    """Reduce a design to its sufficient statistics.

    Args:
        terms: the random terms in the order of ``spec.terms``.

    Raises:
        DataError: the response is constant, the fixed effects fit it exactly, or its squares overflow.
        ModelError: random effects that are linear combinations of the fixed effects.
    """
    y = design.y if design.offset is None else design.y - design.offset
    n, p = design.X.shape
    check_response_scale(design.y, design.y_name, design.offset)
    fixed = fixed_basis(design.X, y, design.weights)
    check_response(design, fixed)
    reduced = reduce_data(design.X, y, terms, spec, design.weights, fixed)
    check_absorbed(reduced)
    log_weights = 0.0 if design.weights is None else float(np.log(design.weights).sum())
    return GaussianObjective(reduced, spec, n, p, log_weights, design.y_name)
