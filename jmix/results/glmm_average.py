"""Functions of a normal linear predictor averaged over its distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jmix.families import Family
from jmix.results.glmm_inputs import Inputs

FloatArray = npt.NDArray[np.float64]
Quantity = Callable[[Inputs], FloatArray]

REACH = 9.0
"""Standard deviations to which the normal density is followed: beyond, it is below 1e-17 of its height."""

STEP, SHARPEST = 0.5, 0.25
"""Largest step in standard deviations; largest step on the scale of the linear predictor."""

CELLS = 1 << 20
"""Rows times nodes that are evaluated at once."""

MOST_NODES = 1 << 14


def average(family: Family, quantity: Quantity, inputs: Inputs) -> FloatArray:
    """(n,) ``E quantity(eta + s T)`` for T standard normal and s = ``inputs.spread``; (K, n) of K quantities.

    By the trapezoidal rule with steps of h standard deviations: for an integrand that is analytic in a strip of
    half-width a its error is of the order exp(-2 pi a / h), beyond the reach of as many Gauss-Hermite nodes where s is
    large (Goodwin 1949, Math. Proc. Camb. Philos. Soc. 45(2), 241-245; Trefethen & Weideman 2014, SIAM Rev. 56(3),
    section 5). A log link moves the mean by s^2 / 2 exactly.
    """
    spread = np.asarray(inputs.spread)
    eta = np.asarray(inputs.eta)
    if family.link == "identity" and not family.zero:
        return quantity(inputs)
    if family.link == "log" and family.zero != "hurdle":
        return quantity(replace(inputs, eta=eta + 0.5 * np.square(spread)))
    largest = float(np.nanmax(np.abs(spread), initial=0.0))
    tilt = largest if family.link in ("log", "sqrt") else 0.0
    step = max(min(STEP, SHARPEST / max(largest, 1e-300)), (2.0 * REACH + tilt) / MOST_NODES)
    nodes = step * np.arange(-np.ceil(REACH / step), np.ceil((REACH + tilt) / step) + 1)
    weights = np.exp(-0.5 * np.square(nodes)) * step / np.sqrt(2.0 * np.pi)
    parts = []
    size = max(1, CELLS // nodes.size)
    for start in range(0, max(eta.size, 1), size):
        part = inputs.rows(slice(start, start + size))
        column = {f: None if (v := getattr(part, f)) is None else v[:, None] for f in ("log_phi", "zi")}
        moved = part.eta[:, None] + part.spread[:, None] * nodes
        parts.append(quantity(replace(part, eta=moved, spread=None, **column)) @ weights)
    return np.concatenate(parts, axis=-1)
