"""Many responses on one design of a generalized linear mixed model: what depends on them, and the rest once.

The arrays of an approximation are laid out so that their shapes do not depend on the response: rows are merged only
where the family is canonical, so that the response enters through ``Z'Wy`` and ``X'Wy`` alone, and groups stay apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.design_response import GlmmDesign
from jmix.estimate.glmm_objective import QMC_SEED, GlmmObjective, _Warm
from jmix.families import log_constant
from jmix.likelihood.adaptive import AdaptiveData

FloatArray = npt.NDArray[np.float64]
Own = dict[str, FloatArray]
"""The arrays that depend on the response, one axis of responses first."""


@dataclass(frozen=True, eq=False)
class ResponseLayout:
    """The likelihood of a design for any response.

    Attributes:
        objective: of the fit. approx, data, restore: as in ``GlmmObjective``, the response in ``data`` a placeholder.
        rows: row of the design in each place of ``data``, None where the response enters by sums alone.
    """

    objective: GlmmObjective
    approx: Any
    data: Any
    restore: Any
    rows: npt.NDArray[np.intp] | None

    @property
    def design(self) -> GlmmDesign:
        """Of the fit."""
        return self.objective.design

    @cached_property
    def device_data(self) -> Any:
        """The arrays that all responses share, on the default device."""
        return runtime.put(self.data)

    @cached_property
    def start(self) -> Any:
        """Spherical random effects of zero, for one response."""
        with runtime.float64():
            return self.approx.start(self.device_data)

    def own(self, y: FloatArray) -> Own:
        """What the responses y (n, R) contribute."""
        constants = self._constants(y)
        if self.rows is not None:
            out = {"y": np.ascontiguousarray(np.moveaxis(y[self.rows], -1, 0))}
        else:
            wy = y if self.design.weights is None else self.design.weights[:, None] * y
            out = {"zy": self._sums(wy), "linear": wy.T @ self.design.base.X}
            if self.design.base.offset is not None:
                constants = constants + self.design.base.offset @ wy
        out["constant"] = constants
        if isinstance(self.data, AdaptiveData):
            # what belongs to no part is counted with the first
            first = np.zeros(self.approx.n_parts(self.data))
            first[0] = 1.0
            for name in ("linear", "constant"):
                if name in out:
                    out[name] = np.stack([share * out[name] for share in first], axis=1)
        return out

    def _constants(self, y: FloatArray) -> FloatArray:
        """(R,) weighted sums of what the log densities leave out."""
        size = self.design.response.size
        values = np.broadcast_to(
            log_constant(self.design.family, y, None if size is None else np.asarray(size)[:, None]), y.shape
        )
        return np.asarray(values.sum(axis=0) if self.design.weights is None else self.design.weights @ values)

    def _sums(self, wy: FloatArray) -> FloatArray:
        """(R, parts, q, J) ``Z'Wy`` of every group in its place."""
        shape = self.data.groups.zy.shape
        parts, q, places = shape
        sums = (self._incidence @ wy).reshape(q, -1, wy.shape[1])
        out = np.zeros((wy.shape[1], q, parts * places))
        out[:, :, self.restore.position] = np.moveaxis(sums, -1, 0)
        return np.ascontiguousarray(np.swapaxes(out.reshape(-1, q, parts, places), 1, 2))

    @cached_property
    def _incidence(self) -> Any:
        """(q J, n) sparse Z'."""
        from scipy.sparse import csr_matrix, vstack

        own, n = self.objective, self.design.base.X.shape[0]
        levels = self.restore.position.size
        terms = [own.terms[i] for i in own.spec.members(own.spec.groups[0])]
        columns = [(np.asarray(c, dtype=np.float64), t.codes) for t in terms for c in t.columns]
        return vstack([csr_matrix((c, (codes, np.arange(n))), shape=(levels, n)) for c, codes in columns], "csr")

    def objective_of(self, design: GlmmDesign, y: FloatArray) -> GlmmObjective:
        """The objective of one response (n,) of a design that differs in it alone; no shape depends on the response."""
        own = {name: values[0] for name, values in self.own(y[:, None]).items()}
        data = with_response(self.data, own)
        return replace(
            self.objective, design=design, approx=self.approx, data=data, restore=self.restore, _warm=_Warm()
        )


def with_response(data: Any, own: Any) -> Any:
    """The data of an approximation with what one response contributes; NumPy or JAX arrays."""
    if isinstance(data, AdaptiveData):
        named = {name: value for name, value in own.items() if name != "y"}
        rows = replace(data.groups.rows, y=own["y"]) if "y" in own else data.groups.rows
        return replace(data, groups=replace(data.groups, rows=rows, **named))
    rows = replace(data.rows, y=own["y"])
    if hasattr(data, "_replace"):
        return data._replace(rows=rows, constant=own["constant"])
    return replace(data, rows=rows, constant=own["constant"])


def replaced(design: GlmmDesign, y: FloatArray) -> GlmmDesign:
    """A design with another response (n,)."""
    return replace(design, base=replace(design.base, y=y), response=replace(design.response, y=y))


def response_layout(objective: GlmmObjective) -> ResponseLayout | None:
    """The layout of an objective's design; None where its approximation is not laid out for many responses at once:
    simulated likelihood over several grouping factors.
    """
    groups = objective.spec.groups
    if objective.method == "qmc" and len(groups) > 1:
        return None
    n = objective.design.base.X.shape[0]
    numbered = replaced(objective.design, np.arange(n, dtype=np.float64))
    with np.errstate(all="ignore"):
        approx, data, restore = _built(objective, numbered)
    if isinstance(data, AdaptiveData) and data.groups.zy is not None:
        return ResponseLayout(objective, approx, data, restore, None)
    held = data.groups.rows.y if isinstance(data, AdaptiveData) else data.rows.y
    return ResponseLayout(objective, approx, data, restore, np.asarray(held).astype(np.intp))


def _built(objective: GlmmObjective, design: GlmmDesign) -> tuple[Any, Any, Any]:
    spec, terms = objective.spec, objective.terms
    if not terms:
        from jmix.likelihood.adaptive_plain import build_plain

        return (*build_plain(design), None)
    if len(spec.groups) > 1:
        from jmix.likelihood.laplace import build_laplace

        return build_laplace(design, spec, terms)
    from jmix.likelihood.adaptive_build import build_adaptive

    points = None
    if objective.method == "qmc":
        from jmix.numerics.quadrature import sobol_normal

        points = sobol_normal(objective.n_points, spec.group_q(spec.groups[0]), QMC_SEED)
    canonical = design.family.canonical
    return build_adaptive(design, spec, terms, objective.n_agq, points, merge=canonical, groups=False)
