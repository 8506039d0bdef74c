"""The ``priors=`` of the user, put on the cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.errors import ModelError

if TYPE_CHECKING:
    from jmix.spec.irt.names import Selection, Selector
    from jmix.spec.prior import Prior

DEFAULTS = {"c": "beta(5, 17)", "u": "beta(17, 5)"}
"""Of ``priors="default"``: mode 0.2 on the lower asymptote, as BILOG's for items with five options, and its mirror
image on the upper one."""


def add_priors(selector: Selector, priors: Any) -> None:
    """Give cells their priors; names of single parameters come after names of classes.

    Raises:
        ModelError: an unknown name, a prior that does not fit, or one on a fixed parameter.
    """
    if priors is None:
        return
    if isinstance(priors, str):
        if priors != "default":
            raise ModelError(f"priors={priors!r}: write 'default', or a dict such as {{'a': 'lognormal(0, 0.5)'}}")
        priors = {name: text for name, text in DEFAULTS.items() if _any_free(selector, f"logit({name})")}
    if not isinstance(priors, Mapping):
        raise ModelError("priors is a dict such as {'a': 'lognormal(0, 0.5)', 'c': 'beta(5, 17)'}")
    for key, given in sorted(priors.items(), key=lambda item: not isinstance(item[0], str) or "[" in item[0]):
        _add(selector, key, given)


def _any_free(selector: Selector, param: str) -> bool:
    cells = selector.cells.place.get(param)
    return cells is not None and bool(selector.cells.free[cells[cells >= 0]].any())


def _add(selector: Selector, key: Any, given: Any) -> None:
    from jmix import runtime
    from jmix.spec.irt.priors import EntryPrior
    from jmix.spec.prior import prior

    found = selector(key, "priors")
    with runtime.float64():
        distribution = prior(given)
    _check(selector, key, found, distribution)
    model = selector.cells
    cells, probability = found.cells, np.broadcast_to(found.probability, found.cells.shape)
    free = model.free[cells]
    if not free.any():
        raise ModelError(f"priors: '{key}' is fixed, so that a prior has no effect; release it with free=")
    roots = set(model.tie[cells[free]].tolist())
    for cell in [cell for cell in model.prior if int(model.tie[cell]) in roots]:
        del model.prior[cell]
    for is_probability in (False, True):
        entry = EntryPrior(distribution, is_probability)
        model.prior.update(dict.fromkeys(cells[free & (probability == is_probability)].tolist(), entry))


def _check(selector: Selector, key: Any, found: Selection, prior: Prior) -> None:
    from jmix import runtime
    from jmix.spec.prior import Lkj, WishartLike
    from jmix.spec.supports import bounds

    model = selector.cells
    names = {model.params[p].partition("[")[0] for p in model.param[found.cells].tolist()}
    if isinstance(prior.distribution, WishartLike):
        raise ModelError(f"priors: {prior!r} on '{key}': give the standard deviations and 'corr' their own priors")
    if isinstance(prior.distribution, Lkj):
        if names != {"corr"} or str(key) != "corr":
            raise ModelError(f"priors: {prior!r} is for 'corr', all correlations together, not for '{key}'")
        return
    if prior.on != "value" and not names <= {"sd", "cluster_sd"}:
        raise ModelError(f"priors: {prior!r} on '{key}': only standard deviations have a precision or variance")
    if prior.flat:
        return
    with runtime.float64():
        low, high = bounds(prior.distribution, str(key))
    limits = (0.0, 1.0) if np.any(found.probability) else (-1.0, 1.0) if names == {"corr"} else (-np.inf, np.inf)
    if max(low, limits[0]) >= min(high, limits[1]):
        raise ModelError(f"priors: {prior!r} leaves '{key}' no value between {limits[0]:g} and {limits[1]:g}")
