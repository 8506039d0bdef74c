"""Items as functions of the standardised trait z of a person."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jmix.likelihood.irt.persons import Persons
from jmix.spec.irt.spec import Values


class Loadings(NamedTuple):
    """Items as functions of z: ``eta = at + across' W_i + loadings' z``.

    Attributes:
        loadings: for each block (G, Jb, D). at: (G, Jb). across: (G, Jb, p) or None. own: (G, Jb, m).
        mean: (G, D), chol: (G, D, D), regression: (G, p, D) or None: theta = mean + regression' W_i + chol z.
    """

    loadings: tuple[jax.Array, ...]
    at: tuple[jax.Array, ...]
    across: tuple[jax.Array, ...] | None
    own: tuple[jax.Array, ...]
    mean: jax.Array
    chol: jax.Array
    regression: jax.Array | None


def loadings_of(values: Values) -> Loadings:
    """The items as functions of z."""
    b = values.regression
    repeated = None if b is None else jnp.broadcast_to(b, (values.mean.shape[0], *b.shape))
    return Loadings(
        loadings=tuple(jnp.einsum("gjd,gde->gje", a, values.chol) for a in values.slopes),
        at=tuple(jnp.einsum("gjd,gd->gj", a, values.mean) for a in values.slopes),
        across=None if b is None else tuple(jnp.einsum("gjd,pd->gjp", a, b) for a in values.slopes),
        own=values.own,
        mean=values.mean,
        chol=values.chol,
        regression=repeated,
    )


def centres(phi: Loadings, part: Persons) -> jax.Array:
    """(D, 1) or (D, n) mean of theta given the covariates; phi of one group."""
    if phi.regression is None:
        return phi.mean[:, None]
    return phi.mean[:, None] + phi.regression.T @ jnp.asarray(part.covariates)


def origins(phi: Loadings, part: Persons) -> list[jax.Array]:
    """For each block eta at z = 0, (Jb, 1) or (Jb, n); phi of one group."""
    if phi.across is None:
        return [at[:, None] for at in phi.at]
    return [at[:, None] + b @ jnp.asarray(part.covariates) for at, b in zip(phi.at, phi.across, strict=True)]
