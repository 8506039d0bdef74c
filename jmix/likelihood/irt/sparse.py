"""The marginal likelihood of sparse data: persons who each answered a few of many items, never persons times items.

Memory is proportional to the number of responses, and so is the work of a pass, times the number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import FloatArray, Integration, Marginal, Moments
from jmix.likelihood.irt.nodes import grid_rule, rounded
from jmix.likelihood.irt.sparse_kernel import Persons, SparseData, log_marginal, node_moments, person_loglik
from jmix.likelihood.irt.sparse_layout import SparseLayout, lay_out, spread_persons
from jmix.likelihood.irt.sparse_model import Covariates, split
from jmix.responses.data import Responses
from jmix.runtime import Program, put
from jmix.spec.irt.spec import IrtSpec, unpack

_STATIC = ("shape", "precision")
_value_and_grad = Program(jax.value_and_grad(log_marginal), static=_STATIC)
_person_loglik = Program(person_loglik, static=_STATIC)
_node_moments = Program(node_moments, static=_STATIC)


@dataclass(eq=False)
class SparseMarginal:
    """A ``Marginal`` whose memory is proportional to the number of responses.

    Attributes:
        layout: where the persons and their responses stand. covariates: (N, p) person model matrix, or None.
    """

    spec: IrtSpec
    integration: Integration
    layout: SparseLayout
    covariates: FloatArray | None
    data: SparseData

    @cached_property
    def static(self) -> dict[str, Any]:
        """What selects the programs."""
        return {"shape": split(self.spec)[0], "precision": self.integration.precision}

    def log_marginal(self, x: Any, data: SparseData) -> Any:
        """Scalar log likelihood at x (P,); traceable, differentiable once in reverse mode."""
        return log_marginal(x, data, **self.static)

    def value_and_grad(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Log likelihood and gradient (P,)."""
        value, gradient = _value_and_grad(np.asarray(x, dtype=np.float64), self.data, **self.static)
        return float(value), np.asarray(gradient)

    def by_person(self, x: FloatArray) -> FloatArray:
        """(N,) log likelihood of each person, without the weight."""
        out = _person_loglik(np.asarray(x, dtype=np.float64), self.data, **self.static)
        return self.layout.gather(np.asarray(out)).astype(np.float64) + self._apart(x)

    def moments(self, x: FloatArray) -> Moments:
        """Mean (N, D) and covariance (N, D, D) of theta given the responses."""
        out = _node_moments(np.asarray(x, dtype=np.float64), self.data, **self.static)
        mean, covariance, centre, factor = (np.asarray(a) for a in out)
        z, spread = self.layout.gather(mean), self.layout.gather(covariance)
        own = factor[self.layout.group]
        theta = centre[self.layout.group] + np.einsum("nde,ne->nd", own, z)
        return Moments(theta, np.einsum("nde,nef,ngf->ndg", own, spread, own))

    def hessian(self, x: FloatArray) -> FloatArray:
        """(P, P) exact second derivatives (Louis 1982, J. R. Stat. Soc. B 44, 226-233).

        Raises:
            ModelError: there are so many parameters that the matrix would not fit in memory.
        """
        from jmix.likelihood.irt.sparse_curvature import hessian

        return hessian(self, np.asarray(x, dtype=np.float64))

    def cross_product(self, x: FloatArray) -> FloatArray:
        """(P, P) ``sum_i w_i g_i g_i'``.

        Raises:
            ModelError: there are so many parameters that the matrix would not fit in memory.
        """
        from jmix.likelihood.irt.sparse_curvature import cross_product

        return cross_product(self, np.asarray(x, dtype=np.float64))

    def item_blocks(self, x: FloatArray) -> list[tuple[np.ndarray[Any, Any], FloatArray]]:
        """The diagonal blocks of ``hessian`` that belong to one item each: places in x and the block."""
        from jmix.likelihood.irt.sparse_curvature import item_blocks

        return item_blocks(self, np.asarray(x, dtype=np.float64))

    def finer(self) -> Marginal:
        """The same with twice the nodes in each dimension."""
        integration = replace(self.integration, nodes=2 * self.integration.nodes - 1, precision="float64")
        rule = rounded(grid_rule(integration, self.spec.n_factors), integration.precision)
        data = replace(self.data, nodes=put(rule.nodes), log_weights=put(rule.log_weights))
        return replace(self, integration=integration, data=data)

    def _apart(self, x: FloatArray) -> Any:
        """(N,) what of a person's log density does not depend on the node."""
        if self.covariates is None:
            return 0.0
        values = unpack(np, self.spec, np.asarray(x, dtype=np.float64))
        root = np.linalg.inv(values.chol)[self.layout.group]
        mean = self.covariates @ values.regression
        return -0.5 * np.sum(np.einsum("nde,ne->nd", root, mean) ** 2, axis=1)


def build_sparse(
    spec: IrtSpec, responses: Responses, integration: Integration, W: FloatArray | None = None
) -> SparseMarginal:
    """The marginal likelihood of responses in long form, or of a table taken as such.

    Args:
        W: (N, p) model matrix of the persons where ``spec.regression`` is not None.

    Raises:
        ModelError: the integration is not a grid, or the model has clusters.
    """
    if integration.method != "grid":
        raise ModelError(
            f'method="{integration.method}" is not available for sparse responses: use method="grid" with fewer nodes, '
            "or give a table of persons by items"
        )
    if spec.cluster_sd is not None:
        raise ModelError("clusters of persons are not available for sparse responses: give a table of persons by items")
    if spec.regression is not None and W is None:
        raise ModelError("the model has covariates of the persons, but no model matrix was given")
    rule = rounded(grid_rule(integration, spec.n_factors), integration.precision)
    layout = lay_out(spec, responses, rule.nodes.shape[0], integration.chunk)
    covariates = None if W is None or spec.regression is None else np.asarray(W, dtype=np.float64)
    weights = np.ones(responses.n_persons) if responses.weights is None else responses.weights
    data = SparseData(
        places=split(spec)[1],
        persons=Persons(
            layout.by_person,
            layout.by_row,
            spread_persons(layout, weights),
            _features(spec, layout, covariates),
        ),
        covariates=None if covariates is None else _covariates(spec, layout, covariates, weights),
        nodes=rule.nodes,
        log_weights=rule.log_weights,
    )
    return SparseMarginal(spec, integration, layout, covariates, put(data))


def _features(spec: IrtSpec, layout: SparseLayout, covariates: FloatArray | None) -> FloatArray | None:
    """(parts, C, G (1 + p)): the group's indicator, and the covariates times it."""
    n_groups = len(spec.groups)
    if covariates is None and n_groups == 1:
        return None
    own = np.ones((layout.group.size, 1))
    if covariates is not None:
        own = np.concatenate([own, covariates], axis=1)
    out = np.zeros((layout.group.size, n_groups, own.shape[1]))
    out[np.arange(layout.group.size), layout.group] = own
    return spread_persons(layout, out.reshape(layout.group.size, -1))


def _covariates(spec: IrtSpec, layout: SparseLayout, w: FloatArray, weights: FloatArray) -> Covariates:
    groups = [np.flatnonzero(layout.group == g) for g in range(len(spec.groups))]
    p = w.shape[1]

    def spread(rows: Any) -> FloatArray:
        apart = w[rows] - w[rows].mean(axis=0) if rows.size else np.zeros((1, p))
        return np.asarray(apart.T @ apart / max(rows.size, 1))

    return Covariates(
        mean=np.stack([w[rows].mean(axis=0) if rows.size else np.zeros(p) for rows in groups]),
        covariance=np.stack([spread(rows) for rows in groups]),
        products=np.stack([w[rows].T @ (w[rows] * weights[rows, None]) for rows in groups]),
    )
