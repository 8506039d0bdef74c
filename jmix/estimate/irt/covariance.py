"""The covariance of the estimates at the end of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.estimate.irt.maximum import Maximum
from jmix.estimate.irt.notes import runaway
from jmix.estimate.irt.objective import IrtObjective
from jmix.estimate.irt.search import MOST
from jmix.estimate.irt.uncertainty import covariance, inverse_information
from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Block = tuple[npt.NDArray[np.int64], FloatArray]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the precision of the estimates.

    Attributes:
        kind: type of the standard errors. vcov: (P, P), a sparse matrix for "item", or None. lost: (P,) parameters that
            are not identified. least: smallest eigenvalue of the scaled information, relative to the largest.
    """

    kind: str
    vcov: Any
    lost: BoolArray
    least: float

    def turned(self, flip: FloatArray) -> Any:
        """The covariance after a change of signs (P,)."""
        if self.vcov is None or np.all(flip > 0):
            return self.vcov
        if not isinstance(self.vcov, np.ndarray):
            from scipy.sparse import diags_array

            return (diags_array(flip) @ self.vcov @ diags_array(flip)).tocsc()
        return np.where(np.outer(flip, flip) < 0, -self.vcov, self.vcov)


def estimate_covariance(objective: IrtObjective, found: Maximum, kind: str) -> Known:
    """The covariance by type; see ``uncertainty``."""
    p = found.x.size
    none = np.zeros(p, dtype=np.bool_)
    if kind == "none" and (p > MOST or found.information is None):
        return Known(kind, None, none, 1.0)
    if kind == "item":
        return _by_item(objective, found)
    information = found.information
    if information is None:
        hessian = objective.hessian(found.x)
        information = -0.5 * (hessian + hessian.T)
    cross = None
    if kind in ("crossprod", "sandwich"):
        cross = np.asarray(objective.marginal.cross_product(found.x))
        if objective.prior is not None:
            cross = cross - objective.prior.evaluate(found.x)[2]
    inside = np.flatnonzero(~runaway(objective.marginal.spec, found.x))
    at = np.ix_(inside, inside)
    vcov, lost = np.diag(np.full(p, np.inf)), none.copy()
    vcov[at], lost[inside], least = covariance(kind, information[at], None if cross is None else cross[at])
    return Known(kind, None if kind == "none" else vcov, lost, least)


def _by_item(objective: IrtObjective, found: Maximum) -> Known:
    """Inverse of each item's own block of the observed information."""
    from scipy.sparse import csc_array

    p = found.x.size
    rows, columns, values = [], [], []
    lost, least = np.zeros(p, dtype=np.bool_), 1.0
    away = runaway(objective.marginal.spec, found.x)
    curvature = np.zeros((1, 1)) if objective.prior is None else -objective.prior.evaluate(found.x)[2]
    for at, information in _item_information(objective, found):
        if objective.prior is not None:
            information = information + curvature[np.ix_(at, at)]
        kept = ~away[at]
        inverse, own, small = np.diag(np.full(at.size, np.inf)), np.zeros(at.size, dtype=np.bool_), 1.0
        if kept.any():
            inverse[np.ix_(kept, kept)], own[kept], small = inverse_information(information[np.ix_(kept, kept)])
        lost[at], least = own, min(least, small)
        rows.append(np.repeat(at, at.size))
        columns.append(np.tile(at, at.size))
        values.append(inverse.reshape(-1))
    told = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    left = np.setdiff1d(np.arange(p), told)
    flat = (np.concatenate([told, left]), np.concatenate([*columns, left]))
    entries = np.concatenate([*values, np.full(left.size, np.inf)])
    return Known("item", csc_array((entries, flat), shape=(p, p)), lost, least)


def _item_information(objective: IrtObjective, found: Maximum) -> list[Block]:
    """Places in x and information of each item; of the latent distribution too, where the whole Hessian is at hand."""
    own: Any = objective.marginal
    if found.information is None and hasattr(own, "item_blocks"):
        return [(np.asarray(at), -np.asarray(hessian)) for at, hessian in own.item_blocks(found.x)]
    information = -np.asarray(own.hessian(found.x)) if found.information is None else found.information
    if found.information is not None and objective.prior is not None:
        information = information + objective.prior.evaluate(found.x)[2]
    return [(at, information[np.ix_(at, at)]) for at in item_places(objective.marginal.spec)]


def item_places(spec: IrtSpec) -> list[npt.NDArray[np.int64]]:
    """Free parameters of each item, those of the latent distribution one by one; a shared one with its first item."""
    place = np.full(len(spec.table.names), -1)
    place[spec.table.free] = np.arange(spec.n_free)
    taken = np.zeros(spec.n_free, dtype=np.bool_)
    out: list[npt.NDArray[np.int64]] = []
    for block in spec.blocks:
        for row in range(len(block.columns)):
            own = place[np.unique(np.concatenate([block.slopes[:, row].ravel(), block.own[:, row].ravel()]))]
            own = own[own >= 0]
            own = own[~taken[own]]
            taken[own] = True
            if own.size:
                out.append(own)
    return out + [np.array([i]) for i in np.flatnonzero(~taken)]
