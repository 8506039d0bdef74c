"""From a design to the data of the one-factor approximation, and back to the user's levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.adaptive import Adaptive, AdaptiveData
from jmix.likelihood.adaptive_groups import Groups
from jmix.likelihood.collapse import Collapsed, collapse
from jmix.likelihood.glmm_rows import RowData, flat_rows, row_plan, total_constant
from jmix.likelihood.rowsum import BlockLayout, block_layout
from jmix.numerics.quadrature import Rule, gauss_hermite
from jmix.runtime import default_device

if TYPE_CHECKING:
    from jmix.design import RandomTerm
    from jmix.design_response import GlmmDesign
    from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]

CACHED = 1 << 18
"""Rows times nodes of a part on a CPU."""

ROWS = (512, 8192)
"""Least and most rows of a part on a CPU, however many nodes."""

ACCELERATOR = 1 << 24
"""Rows times nodes of a part on a GPU."""


@dataclass(frozen=True)
class Restore:
    """The way back from merged groups to the levels of the grouping factor.

    Attributes:
        group: its name. position: (J,) place of each level, in the user's order, among those of all parts. merged: how
            many groups are left.
    """

    group: str
    position: npt.NDArray[np.intp]
    merged: int

    @property
    def group_count(self) -> dict[str, int]:
        """Levels of the grouping factor."""
        return {self.group: self.position.size}

    def levels(self, u: Any) -> dict[str, FloatArray]:
        """(J, q) spherical random effects in the user's order from u (parts, q, J')."""
        return {self.group: self._pick(u)}

    def blocks(self, values: Any) -> dict[str, FloatArray]:
        """(J, q, q) blocks in the user's order from (parts, q, q, J')."""
        return {self.group: self._pick(values)}

    def flags(self, values: Any) -> dict[str, npt.NDArray[np.bool_]]:
        """(J,) flags in the user's order from (parts, J')."""
        return {self.group: self._pick(values)}

    def _pick(self, values: Any) -> Any:
        """The places of all parts last, to the levels first."""
        each = np.moveaxis(np.asarray(values), -1, 1)
        return each.reshape(-1, *each.shape[2:])[self.position]


def build_adaptive(
    design: GlmmDesign,
    spec: CovarianceSpec,
    terms: Sequence[RandomTerm],
    n_agq: int | None = 1,
    points: Rule | tuple[FloatArray, FloatArray] | None = None,
    *,
    merge: bool = True,
    groups: bool = True,
    part_rows: int | None = None,
) -> tuple[Adaptive, AdaptiveData, Restore]:
    """The approximation for a design with one grouping factor; the data are NumPy arrays.

    Args:
        terms: in the order of ``spec.terms``. n_agq: nodes per dimension; 1 is Laplace's approximation. points: nodes
            (K, q) and log weights (K,) instead. merge: merge equal rows and groups; groups: False leaves groups apart.
            part_rows: rows of data that are worked on at a time.

    Raises:
        ModelError: several grouping factors, or a grid that is out of range.
    """
    if len(spec.groups) != 1:
        raise ModelError(
            "adaptive quadrature is for models with one grouping factor; this one has "
            f"{', '.join(spec.groups) or 'none'}: use n_agq=1 (Laplace)"
        )
    group = spec.groups[0]
    plan = row_plan(design, spec, [group])
    q = spec.group_q(group)
    laplace = points is None and n_agq == 1
    rule = Rule(*points) if points is not None else gauss_hermite(n_agq or 1, q)
    members = [terms[i] for i in spec.members(group)]
    z = np.stack([np.asarray(c, dtype=np.float64) for t in members for c in t.columns])
    rows = flat_rows(design)
    constant = total_constant(rows, plan.family)
    codes, levels = members[0].codes, len(members[0].levels)
    left = collapse(rows, z, codes, levels, canonical=plan.family.canonical, merge=merge, groups=groups)
    nodes = 1 if laplace else rule.log_weights.size
    layout = block_layout(left.codes, left.multiplicity.size, part_rows or _part_rows(nodes))
    data = AdaptiveData(_arrange(left, layout, constant), np.asarray(rule.nodes), np.asarray(rule.log_weights))
    restore = Restore(group, layout.position[left.group_map], left.multiplicity.size)
    return Adaptive(plan, laplace), data, restore


def _part_rows(nodes: int) -> int:
    """Rows a part, so that rows times nodes fit in the cache of a core, or fill an accelerator."""
    if default_device().platform != "cpu":
        return max(1, ACCELERATOR // nodes)
    return min(max(ROWS[0], CACHED // nodes), ROWS[1])


def _arrange(left: Collapsed, layout: BlockLayout, constant: float) -> Groups:
    """Everything in parts, groups in their places; a place without a group stands for an empty one."""
    parts, places = layout.index.shape[0], layout.n_local
    multiplicity = np.ones(parts * places)
    multiplicity[layout.position] = left.multiplicity
    zy = None
    if left.zy is not None:
        zy = np.zeros((parts, left.zy.shape[0], places))
        zy[layout.part, :, layout.local] = left.zy.T
    first = np.zeros(parts)
    first[0] = 1.0
    return Groups(
        rows=_in_blocks(left.rows, layout),
        Z=_columns(left.Z, layout),
        owner=layout.owner,
        multiplicity=multiplicity.reshape(parts, places),
        zy=zy,
        linear=None if left.linear is None else first[:, None] * left.linear,
        constant=first * (left.constant + constant),
        nodes=None,
        log_weights=None,
    )


def _in_blocks(rows: RowData, layout: BlockLayout) -> RowData:
    """Rows (n,) as (parts, m, S); padding repeats other rows, so that its eta is within the family's range, with weight
    zero.
    """
    taken = {name: None if value is None else _columns(value, layout) for name, value in vars(rows).items()}
    if rows.weight is not None:
        taken["weight"] = np.where(layout.real, _columns(rows.weight, layout), 0.0)
    elif not layout.real.all():
        taken["weight"] = layout.real.astype(np.float64)
    return RowData(**taken)


def _columns(values: Any, layout: BlockLayout) -> FloatArray:
    """(n,) or (columns, n) as (parts, m, S) or (parts, columns, m, S); a scalar once a part."""
    parts, m, s = layout.index.shape
    if values.ndim == 0:
        return np.full(parts, float(values))
    if values.ndim == 1:
        return np.asarray(values, dtype=np.float64)[layout.index]
    out = np.empty((parts, values.shape[0], m, s))
    for k, column in enumerate(values):
        out[:, k] = column[layout.index]
    return out
