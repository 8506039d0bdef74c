"""Estimates of a generalized linear mixed model for many responses, in arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jmix.estimate.glmm_objective import GlmmObjective
from jmix.estimate.glmm_parameters import split_parameters
from jmix.estimate.glmm_solution import GlmmSolution
from jmix.estimate.status import Status, vanished_directions
from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

NO_FIT = "no estimates: the response holds no information on a parameter, such as a category that never occurs"


@dataclass
class Rows:
    """What is known of each of R responses; NaN, and not converged, until it is filled in.

    Attributes:
        x, se: (R, d). loglik: (R,). gradient: (R, d) of the log likelihood. hessian: (R, d, d) of its negative. vcov:
            (R, d, d). converged, singular, ended: (R,) bool; ended whether the response was tried.
        boundary, unbounded: (R, d) bool. messages: of responses of which there is something to say.
    """

    x: FloatArray
    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    vcov: FloatArray
    converged: BoolArray
    singular: BoolArray
    ended: BoolArray
    boundary: BoolArray
    unbounded: BoolArray
    messages: dict[int, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int, d: int) -> Rows:
        """Nothing known."""

        def nan(*shape: int) -> FloatArray:
            return np.full((count, *shape), np.nan)

        def no(*shape: int) -> BoolArray:
            return np.zeros((count, *shape), dtype=np.bool_)

        return cls(nan(d), nan(), nan(d), nan(d, d), nan(d, d), no(), no(), no(), no(d), no(d))

    def put(self, i: int, solution: GlmmSolution | None) -> None:
        """The fit of one response."""
        self.ended[i] = True
        if solution is None:
            self.messages[int(i)] = (NO_FIT,)
            return
        for name in ("x", "loglik", "gradient", "hessian", "vcov", "boundary", "unbounded"):
            getattr(self, name)[i] = getattr(solution, name)
        self.converged[i], self.singular[i] = solution.status.converged, solution.status.singular
        if solution.status.messages:
            self.messages[int(i)] = solution.status.messages

    def solutions(self, objective: GlmmObjective, interrupted: bool) -> GlmmRefitSolutions:
        """The responses that ended, in their order."""
        kept = np.flatnonzero(self.ended)
        at = {int(i): k for k, i in enumerate(kept)}
        arrays = {name: value[kept] for name, value in vars(self).items() if name not in ("messages", "ended")}
        messages = {at[i]: text for i, text in self.messages.items() if i in at}
        return GlmmRefitSolutions(**arrays, messages=messages, rows=kept, interrupted=interrupted, objective=objective)


@dataclass(frozen=True, eq=False)
class GlmmRefitSolutions:
    """Estimates for R responses; arrays as in ``GlmmSolution`` with an axis of responses first.

    Attributes:
        rows: (R,) which columns of the responses these are; all, unless it was interrupted.
        objective: of the fit that was refitted.
    """

    x: FloatArray
    loglik: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    vcov: FloatArray
    converged: BoolArray
    singular: BoolArray
    boundary: BoolArray
    unbounded: BoolArray
    messages: dict[int, tuple[str, ...]]
    rows: npt.NDArray[np.intp]
    interrupted: bool
    objective: GlmmObjective

    def __len__(self) -> int:
        return int(self.loglik.size)

    def part(self, name: str) -> FloatArray:
        """(R, size) beta, theta, disp, zi, tau or shape, as they lie in x."""
        return self.x[:, self.objective.slices[name]]

    @property
    def beta(self) -> FloatArray:
        """(R, p) fixed effects."""
        return self.part("beta")

    @property
    def theta(self) -> FloatArray:
        """(R, k) covariance parameters."""
        return self.part("theta")

    @property
    def thresholds(self) -> FloatArray:
        """(R, K - 1) increasing thresholds."""
        tau = self.part("tau")
        return np.cumsum(np.concatenate([tau[:, :1], np.exp(tau[:, 1:])], axis=1), axis=1)

    def solution(self, i: int) -> GlmmSolution:
        """Row i as a solution of its own."""
        x, objective = self.x[i], self.objective
        parts = split_parameters(x, objective.approx.plan)
        with np.errstate(invalid="ignore"):
            se = np.sqrt(np.diag(self.vcov[i]))
        return GlmmSolution(
            x=x,
            loglik=float(self.loglik[i]),
            gradient=self.gradient[i],
            hessian=self.hessian[i],
            vcov=self.vcov[i],
            se=se,
            status=self._status(i, parts.theta, objective.spec),
            method=objective.title,
            beta=parts.beta,
            theta=parts.theta,
            disp=parts.disp,
            zi=parts.zi,
            thresholds=parts.thresholds,
            shape=parts.shape,
            unbounded=self.unbounded[i],
            boundary=self.boundary[i],
        )

    def _status(self, i: int, theta: FloatArray, spec: CovarianceSpec) -> Status:
        """The certificate of a member of a batch."""
        messages = self.messages.get(i)
        if messages is None:
            vanished = vanished_directions(spec, spec.split(theta)) if self.boundary[i].any() else []
            messages = tuple(f"boundary (singular) fit: {text}" for text in vanished)
        gradient, vcov = self.gradient[i], np.nan_to_num(self.vcov[i])
        along = vcov @ np.nan_to_num(gradient)
        return Status(
            converged=bool(self.converged[i]),
            singular=bool(self.singular[i]),
            max_gradient=float(np.max(np.abs(gradient) * np.sqrt(np.diag(vcov)), initial=0.0)),
            decrement=0.5 * float(np.nan_to_num(gradient) @ along),
            min_eigenvalue=_least_share(self.hessian[i]),
            n_evaluations=0,
            n_hessians=0,
            messages=messages,
        )


def _least_share(hessian: FloatArray) -> float:
    """Smallest eigenvalue of a Hessian scaled to a unit diagonal, over the largest."""
    if not hessian.size or not np.all(np.isfinite(hessian)):
        return 1.0 if not hessian.size else float("nan")
    size = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-300))
    values = np.linalg.eigvalsh(hessian / np.outer(size, size))
    return float(values[0] / max(float(np.max(np.abs(values))), 1e-300))
