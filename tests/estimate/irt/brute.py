"""The marginal likelihood by brute force: every person, every node, generic automatic differentiation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmix.items import kind_of
from jmix.likelihood.irt.marginal import Integration, Moments
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec, unpack


@dataclass(eq=False)
class Brute:
    """A ``Marginal`` of a small table of responses."""

    spec: IrtSpec
    responses: Responses
    integration: Integration
    W: Any = None
    data: Any = None

    def rows(self, x: Any) -> Any:
        """(N, Q) log likelihood at each node plus its log weight, and (N, Q, D) theta."""
        spec, own = self.spec, self.responses
        values = unpack(jnp, spec, x)
        nodes = np.linspace(-self.integration.limit, self.integration.limit, self.integration.nodes)
        z = np.stack(np.meshgrid(*[nodes] * spec.n_factors, indexing="ij"), axis=-1).reshape(-1, spec.n_factors)
        logw = -0.5 * np.sum(z**2, axis=1)
        logw -= np.log(np.sum(np.exp(logw)))
        group = np.zeros(own.n_persons, int) if own.group is None else own.group
        out, thetas = 0.0, None
        for g in range(len(spec.groups)):
            centre = values.mean[g][None, :] + (self.W @ values.regression if spec.regression is not None else 0.0)
            theta = jnp.broadcast_to(centre, (own.n_persons, spec.n_factors))[:, None] + z @ values.chol[g].T
            total = 0.0
            for b, block in enumerate(spec.blocks):
                for row, column in enumerate(block.columns):
                    eta = theta @ values.slopes[b][g, row]
                    table = kind_of(block.kind).log_table(
                        jnp, eta[None], values.own[b][g, row][None], block.n_categories
                    )[0]
                    code = own.table[:, column]
                    pick = jnp.take_along_axis(table, jnp.maximum(code, 0)[None, :, None].astype(int), axis=0)[0]
                    total = total + jnp.where((code >= 0)[:, None], pick, 0.0)
            here = (group == g)[:, None]
            out = out + jnp.where(here, total + logw, 0.0)
            thetas = theta if thetas is None else jnp.where(here[..., None], theta, thetas)
        return out, thetas

    def terms(self, x: Any) -> Any:
        """(N,) log likelihoods."""
        return jax.scipy.special.logsumexp(self.rows(x)[0], axis=1)

    @property
    def weights(self) -> Any:
        return np.ones(self.responses.n_persons) if self.responses.weights is None else self.responses.weights

    def log_marginal(self, x: Any, data: Any) -> Any:
        return jnp.sum(self.weights * self.terms(x))

    def _run(self, function: Any, x: Any) -> Any:
        with jax.enable_x64(True):
            if not hasattr(self, "_jitted"):
                self._jitted: dict[str, Any] = {}
            name = function.__name__
            if name not in self._jitted:
                self._jitted[name] = jax.jit(function)
            return jax.tree.map(np.asarray, self._jitted[name](jnp.asarray(x)))

    def value_and_grad(self, x: Any) -> Any:
        def value(x: Any) -> Any:
            return jax.value_and_grad(lambda x: self.log_marginal(x, None))(x)

        found = self._run(value, x)
        return float(found[0]), found[1]

    def hessian(self, x: Any) -> Any:
        def second(x: Any) -> Any:
            return jax.hessian(lambda x: self.log_marginal(x, None))(x)

        return self._run(second, x)

    def cross_product(self, x: Any) -> Any:
        def scores(x: Any) -> Any:
            return jax.jacrev(self.terms)(x)

        s = self._run(scores, x)
        return s.T @ (self.weights[:, None] * s)

    def by_person(self, x: Any) -> Any:
        def each(x: Any) -> Any:
            return self.terms(x)

        return self._run(each, x)

    def moments(self, x: Any) -> Any:
        def both(x: Any) -> Any:
            rows, theta = self.rows(x)
            p = jax.nn.softmax(rows, axis=1)
            mean = jnp.einsum("nq,nqd->nd", p, theta)
            left = theta - mean[:, None]
            return mean, jnp.einsum("nq,nqd,nqe->nde", p, left, left)

        return Moments(*self._run(both, x))

    def finer(self) -> Any:
        return Brute(
            self.spec, self.responses, replace(self.integration, nodes=2 * self.integration.nodes), self.W, None
        )
