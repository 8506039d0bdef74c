"""Options of an item response model as the user gives them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import Integration
from jmix.responses.data import Responses

FloatArray = npt.NDArray[np.float64]
METHODS = ("grid", "adaptive", "qmc", "adaptive-qmc")

USUAL = {"grid": 61, "adaptive": 7, "qmc": 2048, "adaptive-qmc": 512}
"""Nodes where a method is named without them."""


def tolerant(responses: Responses, priors: Any) -> bool:
    """Whether items that everybody answered alike may stay: under a prior on intercepts, or with fewer persons than
    items.
    """
    told = isinstance(priors, Mapping) and any(str(name).startswith("d") for name in priors)
    return told or responses.n_items > responses.n_persons


def density_choice(density: Any) -> tuple[str, int] | None:
    """Kind and order of an estimated latent density; None for the normal.

    Raises:
        ModelError: an unknown kind.
    """
    if density is None or density == "normal":
        return None
    name, _, order = str(density).partition(":")
    if name not in ("davidian", "histogram") or (order and not (name == "davidian" and order.isdigit())):
        raise ModelError(f"density={density!r}: choose 'normal', 'davidian', 'davidian:6' or 'histogram'")
    return name, int(order or 4)


def integration_choice(integration: Any, nodes: Any) -> Integration | None:
    """The user's choice; None where there is none.

    Raises:
        ModelError: an unknown method or option, or a number of nodes out of range.
    """
    if isinstance(integration, Integration) and nodes is None:
        return integration
    if integration is None and nodes is None:
        return None
    own = {} if integration is None else integration
    if isinstance(own, str):
        own = {"method": own}
    if isinstance(own, Integration):
        own = {f.name: getattr(own, f.name) for f in fields(Integration)}
    allowed = [f.name for f in fields(Integration)]
    if not isinstance(own, Mapping) or set(own) - set(allowed):
        raise ModelError(
            f"integration={integration!r}: give a method ({', '.join(METHODS)}) or a dict of {', '.join(allowed)}"
        )
    if own.get("method", "grid") not in METHODS:
        raise ModelError(f"integration={own['method']!r}: choose one of {', '.join(METHODS)}")
    if nodes is not None:
        if isinstance(nodes, bool) or not isinstance(nodes, int | np.integer) or nodes < 2:
            raise ModelError(f"nodes={nodes!r}: give a whole number, 2 or more")
        own = {**own, "nodes": int(nodes)}
    return Integration(**{"nodes": USUAL[own.get("method", "grid")], **own})


def nodes_chosen(integration: Any, nodes: Any) -> bool:
    """Whether the user fixed the number of nodes, so that a fit must not double them."""
    named = isinstance(integration, Mapping) and "nodes" in integration
    return nodes is not None or named or isinstance(integration, Integration)


def as_vector(what: str, values: Any, names: tuple[str, ...]) -> FloatArray:
    """(P,) finite numbers.

    Raises:
        ModelError: something else.
    """
    try:
        x = np.array(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise ModelError(f"{what} must be {len(names)} numbers or a dict by name, not {values!r}") from None
    if x.size != len(names):
        raise ModelError(f"{what} has {x.size} values; the model has {len(names)} free parameters")
    if not np.all(np.isfinite(x)):
        bad = [names[i] for i in np.flatnonzero(~np.isfinite(x))[:5]]
        raise ModelError(f"{what} is not finite for {', '.join(bad)}")
    return x


def overridden(what: str, x: FloatArray, values: Mapping[str, Any], names: tuple[str, ...]) -> FloatArray:
    """X (P,) with some values by name.

    Raises:
        ModelError: an unknown name, or a value that is not finite.
    """
    places = {name: i for i, name in enumerate(names)}
    unknown = [str(name) for name in values if name not in places]
    if unknown:
        near = get_close_matches(unknown[0], places, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names[:6])}, ..."
        raise ModelError(f"{what}: there is no free parameter {unknown[0]}{hint}")
    x = x.copy()
    for name, value in values.items():
        x[places[name]] = value
    return as_vector(what, x, names)


def positive_whole(what: str, value: Any) -> int:
    """A positive whole number.

    Raises:
        ModelError: something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ModelError(f"{what}={value!r} must be a positive whole number")
    return int(value)
