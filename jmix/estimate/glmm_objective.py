"""The approximate marginal likelihood of a generalized linear mixed model as NumPy functions: the jit boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.design import RandomTerm
from jmix.design_response import GlmmDesign
from jmix.errors import ModelError
from jmix.estimate.glmm_checks import check_glmm
from jmix.estimate.glmm_parameters import GlmmParameters, join_parameters, parameter_names, split_parameters
from jmix.likelihood import implicit
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]
Method = Literal["agq", "qmc"]

__all__ = ["GlmmObjective", "GlmmParameters", "build_glmm_objective", "parameter_names"]

QMC_POINTS, QMC_POINTS_CROSSED, QMC_SEED = 1024, 128, 20
"""Points of ``method="qmc"`` with one and with several grouping factors, and the seed of their scrambling: the same
points at every evaluation.
"""

HESSIAN_NUMBERS = 30_000_000
"""Numbers of all directions that are pushed forward together."""


def _value_and_grad(x: Any, data: Any, u0: Any, approx: implicit.Approximation) -> Any:
    return implicit.value_and_grad(approx, x, data, u0)


def _hessian(x: Any, data: Any, u: Any, approx: implicit.Approximation, batch: int | None) -> Any:
    return implicit.hessian(approx, x, data, u, batch)


def _covariances(x: Any, data: Any, u: Any, approx: Any) -> Any:
    return approx.covariances(x, data, u)


_FIRST = runtime.Program(_value_and_grad, static=("approx",))
_SECOND = runtime.Program(_hessian, static=("approx", "batch"))
_COVARIANCES = runtime.Program(_covariances, static=("approx",))


class Modes(NamedTuple):
    """Where the random effects were last found.

    Attributes:
        x: (d,) the parameters. u: the modes, on the device. converged: whether the search ended well. stuck: (J',)
            flags of groups that did not, or None.
    """

    x: FloatArray
    u: Any
    converged: bool
    stuck: Any


@dataclass
class _Warm:
    """The modes from which the next search starts."""

    modes: Modes | None = None


@dataclass(frozen=True, eq=False)
class GlmmObjective:
    """One data set under one model, its random effects integrated out approximately.

    Attributes:
        terms: in the order of ``spec.terms``. approx, data: the approximation and its arrays. restore: its way back to
            the user's levels, None without random terms. names: of the entries of x. n_agq: nodes per dimension; 1 is
            Laplace's approximation, 0 that there is nothing to integrate. method: "agq" or "qmc". n_points: of "qmc".
    """

    design: GlmmDesign
    spec: CovarianceSpec
    terms: tuple[RandomTerm, ...]
    approx: Any
    data: Any
    restore: Any
    names: list[str]
    n_agq: int
    method: Method = "agq"
    n_points: int = 0
    _warm: _Warm = field(default_factory=_Warm, repr=False)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(self.approx.plan.size)

    @property
    def title(self) -> str:
        """How the random effects are integrated out: "Laplace", "AGQ", "QMC", or "ML" without any."""
        if not self.terms:
            return "ML"
        return "QMC" if self.method == "qmc" else "Laplace" if self.n_agq == 1 else "AGQ"

    @cached_property
    def device_data(self) -> Any:
        """The arrays on the default device."""
        return runtime.put(self.data)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each part lies in x: beta, theta, disp, zi, tau, shape."""
        plan = self.approx.plan
        sizes = (plan.p, plan.k, plan.p_disp, plan.p_zi, plan.n_tau, plan.n_shape)
        ends = np.cumsum(sizes).tolist()
        keys = ("beta", "theta", "disp", "zi", "tau", "shape")
        return {key: slice(end - size, end) for key, end, size in zip(keys, ends, sizes, strict=True)}

    def split(self, x: FloatArray) -> GlmmParameters:
        """The parts of x, thresholds and degrees of freedom on their natural scales."""
        return split_parameters(np.asarray(x, dtype=np.float64), self.approx.plan)

    def join(self, parameters: GlmmParameters) -> FloatArray:
        """The inverse of ``split``.

        Raises:
            ModelError: thresholds that do not increase, or degrees of freedom of one or less.
        """
        return join_parameters(parameters)

    def evaluate(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and its exact gradient (d,) at x; NaN or -inf where the modes cannot be found.

        The search for the modes starts from those of the last evaluation, and again from zero if that fails.
        """
        value, gradient, modes = self._first(x)
        self._warm.modes = modes
        return value, gradient

    def _first(self, x: FloatArray) -> tuple[float, FloatArray, Modes]:
        x = np.array(x, dtype=np.float64)
        last = self._warm.modes
        if last is not None and last.converged:
            value, gradient, modes = self._search(x, last.u)
            if modes.converged and np.isfinite(value):
                return value, gradient, modes
        return self._search(x, self._zeros)

    @cached_property
    def _zeros(self) -> Any:
        """Spherical random effects of zero."""
        with runtime.float64():
            return self.approx.start(self.device_data)

    def _search(self, x: FloatArray, u0: Any) -> tuple[float, FloatArray, Modes]:
        value, gradient, u, mode = _FIRST(x, self.device_data, u0, approx=self.approx)
        modes = Modes(x, u, bool(mode.converged), mode.stuck)
        return float(value), np.array(gradient), modes

    def at(self, x: FloatArray) -> Modes:
        """The modes at x, from the cache where the last evaluation was there."""
        last = self._warm.modes
        if last is None or not np.array_equal(last.x, x):
            last = self._warm.modes = self._first(x)[2]
        return last

    def hessian(self, x: FloatArray) -> FloatArray:
        """(d, d) exact Hessian of the log likelihood at x."""
        u = self.at(x).u
        x = np.asarray(x, dtype=np.float64)
        return np.array(_SECOND(x, self.device_data, u, approx=self.approx, batch=self.batch))

    @cached_property
    def batch(self) -> int | None:
        """Directions that are pushed forward together; one grouping factor is worked on in small parts anyway."""
        if len(self.spec.groups) == 1:
            return None
        rows = self.design.base.X.shape[0]
        width = HESSIAN_NUMBERS // max(1, self.approx.numbers(self.data) if self.terms else rows)
        return None if width >= self.size else max(1, width)

    def forget(self) -> None:
        """Drop the modes found so far, so that what follows does not depend on them."""
        self._warm.modes = None

    def loglik(self, x: FloatArray) -> float:
        """Log likelihood at x."""
        return self.evaluate(x)[0]

    def modes(self, x: FloatArray) -> dict[str, FloatArray]:
        """(J, q) conditional modes b of each grouping factor on the data scale, in the user's order of levels."""
        if not self.terms:
            return {}
        spherical = self.restore.levels(self.at(x).u)
        lams = self.lambdas(x)
        return {group: u @ lams[group].T for group, u in spherical.items()}

    def lambdas(self, x: FloatArray) -> dict[str, FloatArray]:
        """The absolute (q, q) factor Lambda of each grouping factor, all its terms together."""
        theta = self.split(x).theta
        out = {}
        for group in self.spec.groups:
            index, rows, cols = self.spec.group_entries(group)
            q = self.spec.group_q(group)
            out[group] = np.zeros((q, q))
            out[group][rows, cols] = theta[index]
        return out

    def mode_covariances(self, x: FloatArray) -> dict[str, FloatArray]:
        """(J, q, q) ``Lambda M^{-1} Lambda'`` of each level: Laplace's conditional covariances of b."""
        if not self.terms:
            return {}
        raw = _COVARIANCES(np.asarray(x, dtype=np.float64), self.device_data, self.at(x).u, approx=self.approx)
        return dict(self.restore.blocks(raw))

    def stuck_levels(self, x: FloatArray) -> dict[str, list[str]]:
        """Levels whose mode was not found at x, by grouping factor; one empty list where the search is joint."""
        modes = self.at(x)
        if modes.converged or not self.terms:
            return {}
        if modes.stuck is None:
            return {group: [] for group in self.spec.groups}
        flags = self.restore.flags(modes.stuck)
        levels = {t.group: t.levels for t in self.terms}
        return {group: [levels[group][i] for i in np.flatnonzero(own)] for group, own in flags.items()}


def build_glmm_objective(
    design: GlmmDesign,
    spec: CovarianceSpec,
    terms: Sequence[RandomTerm],
    *,
    n_agq: int = 1,
    method: Method = "agq",
    n_points: int | None = None,
) -> GlmmObjective:
    """The marginal likelihood of a design: exact without random terms, else Laplace, quadrature or quasi-Monte Carlo.

    Args:
        terms: in the order of ``spec.terms``. n_agq: Gauss-Hermite nodes per dimension, for one grouping factor; 1 is
            Laplace's approximation, for any. method: "agq", or "qmc" for scrambled Sobol points about each mode.
        n_points: of "qmc", rounded up to a power of two; by default 1024, and 128 with several grouping factors, which
            must not cross in more than 300 random effects.

    Raises:
        ModelError: quadrature over several grouping factors, nodes out of range, or random terms that the data cannot
            identify.
        DataError: columns out of the range of double precision.
    """
    terms = tuple(terms)
    if method not in ("agq", "qmc"):
        raise ModelError(f"method={method!r}: choose 'agq' or 'qmc'")
    if isinstance(n_agq, bool) or not isinstance(n_agq, int | np.integer) or n_agq < 1:
        raise ModelError(f"n_agq={n_agq!r}: give a whole number of nodes; 1 is the Laplace approximation")
    check_glmm(design, terms)
    points = 0
    if method == "qmc" and terms:
        points = n_points or (QMC_POINTS if len(spec.groups) == 1 else QMC_POINTS_CROSSED)
    built = _build(design, spec, terms, int(n_agq), points)
    nodes = 0 if not terms else int(n_agq)
    return GlmmObjective(design, spec, terms, *built, parameter_names(design, spec), nodes, method, points)


def _build(
    design: GlmmDesign, spec: CovarianceSpec, terms: tuple[RandomTerm, ...], n_agq: int, points: int
) -> tuple[Any, Any, Any]:
    """The approximation, its data, and its way back to the user's levels."""
    if not terms:
        from jmix.likelihood.adaptive_plain import build_plain

        return (*build_plain(design), None)
    if len(spec.groups) > 1:
        if points:
            from jmix.likelihood.importance_fit import build_sampled

            return build_sampled(design, spec, terms, points, QMC_SEED)
        if n_agq > 1:
            raise ModelError(
                f"n_agq={n_agq} integrates over one grouping factor, and this model has {len(spec.groups)} "
                f'({", ".join(spec.groups)}): use n_agq=1 (Laplace), method="qmc" (simulated likelihood), or '
                ".sample(marginal=False) for the exact posterior"
            )
        from jmix.likelihood.laplace import build_laplace

        return build_laplace(design, spec, terms)
    from jmix.likelihood.adaptive_build import build_adaptive

    if points:
        from jmix.numerics.quadrature import sobol_normal

        rule = sobol_normal(points, spec.group_q(spec.groups[0]), QMC_SEED)
        return build_adaptive(design, spec, terms, None, rule)
    return build_adaptive(design, spec, terms, n_agq)
