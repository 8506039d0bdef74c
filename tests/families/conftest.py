"""Compiled densities with their derivatives, shared by the tests of the families."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jmix.families import Aux, Family, log_constant, log_density
from jmix.runtime import Program


def _value(y: Any, size: Any, eta: Any, aux: Aux, *, family: Family) -> Any:
    """(Y, E) log densities, without constants, of Y responses at E linear predictors."""
    return log_density(family, y[:, None], size[:, None], eta, aux)


def _orders(y: Any, size: Any, eta: Any, aux: Aux, *, family: Family) -> Any:
    """(5, Y, E): log densities of Y responses at E linear predictors and their first four derivatives."""
    import jax
    import jax.numpy as jnp

    def up(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda e: jax.jvp(function, (e,), (jnp.ones_like(e),))[1]

    orders = [lambda e: _value(y, size, e, aux, family=family)]
    for _ in range(4):
        orders.append(up(orders[-1]))
    grid = jnp.broadcast_to(eta, (y.shape[0], eta.shape[0]))
    return jnp.stack([order(grid) for order in orders])


_VALUE, _ORDERS = Program(_value, static=("family",)), Program(_orders, static=("family",))


RESPONSES, PREDICTORS = 5, 61
"""The one shape at which derivatives are compiled."""


def _padded(values: Any, length: int) -> Any:
    values = np.asarray(values, dtype=np.float64)
    return np.concatenate([values, np.full(length - values.size, values[-1])])


def _derivatives(family: Family, y: Any, size: Any, eta: Any, aux: Aux) -> Any:
    rows, columns = np.size(y), np.size(eta)
    size = np.broadcast_to(np.asarray(size, dtype=np.float64), np.shape(y))
    padded = (_padded(y, RESPONSES), _padded(size, RESPONSES), _padded(eta, PREDICTORS))
    return _call(_ORDERS, family, *padded, aux)[:, :rows, :columns]


def _call(program: Program, family: Family, y: Any, size: Any, eta: Any, aux: Aux) -> Any:
    y = np.asarray(y, dtype=np.float64)
    size = np.broadcast_to(np.asarray(size, dtype=np.float64), y.shape)
    arrays = Aux(*(None if part is None else np.asarray(part, dtype=np.float64) for part in aux))
    out = np.array(program(y, size, np.asarray(eta, dtype=np.float64), arrays, family=family))
    (out if program is _VALUE else out[0])[...] += log_constant(family, y, size)[:, None]
    return out


@pytest.fixture(scope="session")
def density() -> Callable[..., Any]:
    """``density(family, y, size, eta, aux)``: (Y, E), the complete log density."""
    return functools.partial(_call, _VALUE)


@pytest.fixture(scope="session")
def derivatives() -> Callable[..., Any]:
    """``derivatives(family, y, size, eta, aux)``: (5, Y, E), the complete log density and four derivatives in eta."""
    return _derivatives
