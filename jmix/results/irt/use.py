"""Fit statistics of a fitted item response model: what ``IrtFit``'s methods do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.irt.itemfit import item_fit
from jmix.results.irt.observed import Observed, observed
from jmix.results.irt.personfit import person_fit
from jmix.results.irt.rebuild import histogram_of
from jmix.results.irt.residuals import dependence_matrix, local_dependence, q3, response_residuals
from jmix.results.irt.tables_at import item_parameters, latent_free, touched_items

if TYPE_CHECKING:
    from jmix.results.irt.dif import Dif
    from jmix.results.irt.fit import IrtFit
    from jmix.results.irt.limited import LimitedFit

FloatArray = npt.NDArray[np.float64]

RESIDUALS = ("Q3", "LD", "LDG2", "standardized")


def trait_estimates(fit: IrtFit, scores: str = "EAP") -> FloatArray:
    """(N, D) estimates of the persons by one of the methods of ``fit.scores``."""
    if scores == "EAP":
        return np.asarray(fit.posterior_moments.mean)
    return fit.scores(cast(Any, scores)).iloc[:, : fit.spec.n_factors].to_numpy(dtype=np.float64)


def itemfit(
    fit: IrtFit,
    statistics: Sequence[str] | str,
    scores: str,
    *,
    items: Sequence[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """See ``IrtFit.itemfit``; ``items`` restricts the table, and with it the sum scores of S-X2, to some items."""
    from jmix.results.irt.sumscore import group_grid

    places = _places(fit, items)

    wanted = (statistics,) if isinstance(statistics, str) else tuple(statistics)
    theta = (
        trait_estimates(fit, scores)
        if set(wanted) != {"S_X2"}
        else np.zeros((fit.responses.n_persons, fit.spec.n_factors))
    )

    def one(g: int, data: Observed) -> pd.DataFrame:
        return item_fit(
            fit.bank(fit.spec.groups[g]).subset(places),
            data.columns(places),
            theta[data.rows],
            group_grid(fit, g),
            n_parameters=item_parameters(fit.spec, g)[places],
            n_latent=int(_in_group(fit, g).sum()),
            statistics=wanted,
            **options,
        )

    return _by_group(fit, one)


def personfit(fit: IrtFit, scores: str) -> pd.DataFrame:
    """See ``IrtFit.personfit``."""
    theta = trait_estimates(fit, scores)
    if len(fit.spec.groups) == 1:
        return person_fit(fit.bank(), fit.responses, theta)
    from jmix.results.irt.mean_squares import person_mean_squares

    parts = []
    for g, group in enumerate(fit.spec.groups):
        data = observed(fit.responses, g)
        part = person_mean_squares(fit.bank(group), data, theta[data.rows])
        part.index = pd.Index(data.rows)
        parts.append(part)
    return pd.concat(parts).sort_index().set_index(fit.responses.persons)


def residuals(fit: IrtFit, type: str, scores: str, *, matrix: bool, p_adjust: str) -> pd.DataFrame:
    """See ``IrtFit.residuals``."""
    from jmix.results.irt.sumscore import group_grid

    if type not in RESIDUALS:
        raise ModelError(f"type='{type}': choose from {', '.join(RESIDUALS)}")
    if type == "standardized":
        theta = trait_estimates(fit, scores)
        parts = []
        for g, group in enumerate(fit.spec.groups):
            data = observed(fit.responses, g if len(fit.spec.groups) > 1 else None)
            parts.append((data.rows, fit.bank(group), data, theta[data.rows]))
        if len(parts) == 1:
            return response_residuals(parts[0][1], fit.responses, theta)
        return _stacked(fit, parts)
    if type == "Q3":
        theta = trait_estimates(fit, scores)
        return _by_group(fit, lambda g, data: q3(fit.bank(fit.spec.groups[g]), data, theta[data.rows]))

    def pairs(g: int, data: Observed) -> pd.DataFrame:
        found = local_dependence(
            fit.bank(fit.spec.groups[g]), data, group_grid(fit, g), g2=type == "LDG2", p_adjust=p_adjust
        )
        return dependence_matrix(found, fit.spec.items) if matrix else found

    return _by_group(fit, pairs)


def m2(fit: IrtFit, type: str | None, items: Sequence[str] | None = None) -> LimitedFit:
    """See ``IrtFit.m2``; ``items`` takes the margins of some items only."""
    from jmix.results.irt.limited import limited_fit
    from jmix.results.irt.limited_moments import n_moments

    spec, x = fit.spec, np.asarray(fit.solution.x)
    if type is None:
        places = _places(fit, items)
        categories = [fit.responses.n_categories[j] for j in places]
        n_free = spec.n_free if items is None else _touching(fit, places)
        ordered = all(block.kind != "nominal" for block in spec.blocks)
        ways = ("M2*", "C2", "M2") if ordered else ("M2",)
        enough = [way for way in ways if n_moments(categories, way) * len(spec.groups) > n_free]
        type = enough[0] if enough else ways[-1]
    if histogram_of(fit.marginal) is not None:
        raise ModelError(f"{type} is not defined with an empirical histogram: fit with density='davidian'")
    density = fit.marginal.density if spec.density is not None else None
    return limited_fit(spec, x, fit.responses, type=type, items=items, density=density)


def fit_statistics(fit: IrtFit) -> pd.DataFrame:
    """See ``IrtFit.fit_statistics``."""
    row: dict[str, Any] = {
        "loglik": fit.loglik,
        "npar": fit.npar,
        "AIC": fit.aic,
        "BIC": fit.bic,
        "SABIC": fit.sabic,
    }
    try:
        found = m2(fit, None)
    except ModelError:
        return pd.DataFrame([row], index=["stats"])
    return pd.concat([pd.DataFrame([row], index=["stats"]), found.frame()], axis=1)


def dif(fit: IrtFit, **options: Any) -> Dif:
    """See ``IrtFit.dif``."""
    from jmix.results.irt.dif import find_dif
    from jmix.results.irt.dif_refit import refit_spec

    return find_dif(
        fit.spec, np.asarray(fit.solution.x), lambda spec, start, se: refit_spec(fit, spec, start, se), **options
    )


def _places(fit: IrtFit, items: Sequence[str] | None) -> list[int]:
    """Columns of the items, all by default.

    Raises:
        ModelError: an item that the fit lacks.
    """
    if items is None:
        return list(range(len(fit.spec.items)))
    unknown = [name for name in items if name not in fit.spec.items]
    if unknown or not len(items):
        raise ModelError(f"there is no item {unknown[0]!r}" if unknown else "items=[] names no item")
    return [fit.spec.items.index(name) for name in items]


def _touching(fit: IrtFit, places: list[int]) -> int:
    """Number of free parameters that move some of the items in some group."""
    moved = [touched_items(fit.spec, g)[:, places].any(axis=1) for g in range(len(fit.spec.groups))]
    return int(np.any(moved, axis=0).sum())


def _in_group(fit: IrtFit, g: int) -> npt.NDArray[np.bool_]:
    return latent_free(fit.spec, g)


def _by_group(fit: IrtFit, one: Callable[[int, Observed], pd.DataFrame]) -> pd.DataFrame:
    """Frames of the groups, one below the other with a column ``group`` where there are several."""
    groups = fit.spec.groups
    if len(groups) == 1:
        return one(0, observed(fit.responses))
    parts = []
    for g, name in enumerate(groups):
        part = one(g, observed(fit.responses, g))
        part.insert(0, "group", name)
        parts.append(part)
    return pd.concat(parts)


def _stacked(fit: IrtFit, parts: list[Any]) -> pd.DataFrame:
    from jmix.results.irt.standardized import standardized_residuals

    out = np.full((fit.responses.n_persons, len(fit.spec.items)), np.nan)
    for rows, bank, data, theta in parts:
        out[rows] = standardized_residuals(bank, data, theta)
    return pd.DataFrame(out, index=fit.responses.persons, columns=list(fit.spec.items))
