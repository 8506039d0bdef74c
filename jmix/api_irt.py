"""``jmix.irt`` and ``jmix.irt_model``: from responses to a fitted item response model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import Integration
from jmix.models_irt import IrtModel
from jmix.responses.data import Responses

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit
    from jmix.spec.irt.spec import IrtSpec

METHODS = ("grid", "adaptive", "qmc", "adaptive-qmc")

READING = ("person", "item", "response", "items", "weights", "group", "cluster", "data", "item_data")
"""Arguments that say how the responses are to be read."""


def irt_model(
    responses: Any,
    *,
    itemtype: str | Sequence[str] | Mapping[str, str] | None = None,
    model: Any = 1,
    integration: str | Mapping[str, Any] | Integration | None = None,
    nodes: int | None = None,
    person: str | None = None,
    item: str | None = None,
    response: str | None = None,
    items: Sequence[str] | None = None,
    weights: Any = None,
    group: Any = None,
    cluster: Any = None,
    data: Any = None,
    item_data: Any = None,
    **options: Any,
) -> IrtModel:
    """The specification of an item response model bound to responses: ``fit`` it or ``sample`` it.

    See ``irt`` for the arguments.

    Raises:
        DataError, FormulaError, ModelError: naming the item, person, factor or parameter, and the remedy.
    """
    from jmix.responses.checks import check_responses
    from jmix.responses.read import read_responses

    told = _integration(integration, nodes)
    read = read_responses(
        responses,
        person=person,
        item=item,
        response=response,
        items=items,
        weights=weights,
        group=group,
        cluster=cluster,
        data=data,
        item_data=item_data,
    )
    notes = check_responses(read)
    spec, W, given = _specify(read, itemtype, {"model": model, **options})
    return IrtModel(read, spec, W, told, notes, given, refine=told is None)


def irt(
    responses: Any,
    *,
    itemtype: str | Sequence[str] | Mapping[str, str] | None = None,
    model: Any = 1,
    method: str | None = None,
    se: str | bool | None = None,
    integration: str | Mapping[str, Any] | Integration | None = None,
    nodes: int | None = None,
    person: str | None = None,
    item: str | None = None,
    response: str | None = None,
    items: Sequence[str] | None = None,
    weights: Any = None,
    group: Any = None,
    cluster: Any = None,
    data: Any = None,
    item_data: Any = None,
    formula: str | Mapping[str, str] | None = None,
    item_formula: str | Mapping[str, str] | None = None,
    contrasts: Mapping[str, Any] | None = None,
    bifactor: Any = None,
    testlets: Any = None,
    covariances: Any = None,
    equal_items: bool | Sequence[str] = True,
    free: Sequence[Any] | None = None,
    equal: Sequence[Any] | None = None,
    fixed: Any = None,
    start: Any = None,
    parameters: Any = None,
    priors: Any = None,
    max_iterations: int = 200,
    progress: bool | None = None,
) -> IrtFit:
    r"""Fit an item response model by marginal maximum likelihood; with ``priors``, maximum a posteriori.

    Args:
        responses: persons by items: a pandas, polars or arrow table, or an array; or a list of responses with
            ``person``, ``item`` and ``response`` naming its columns. Missing are NaN, None and negative codes.
        itemtype: "Rasch", "1PL", "2PL", "3PL", "3PLu", "4PL", "graded", "grsm", "PCM", "gpcm", "rsm", "nominal" or
            "sequential"; one for all items, a list, or a dict by item. None: "2PL", "graded" for more categories.
        model: the number of factors (more than one: exploratory), a text as in mirt, ``"F1 = 1-5\nF2 = 4-10\nCOV =
            F1*F2"``, or a pattern of items by factors. bifactor, testlets: the specific factor of each item.
        method: "ml", "map" or "cml" (conditional maximum likelihood of Rasch and partial credit models); None is "map"
            with priors and "ml" without.
        se: "hessian" (the observed information, as "oakes"), "crossprod", "sandwich", "item" or "none"; None chooses
            by the number of parameters.
        integration: "grid", "adaptive", "qmc" or "adaptive-qmc", or an ``Integration``; None chooses by the model and
            the data, and doubles the nodes where the quadrature error, which is always reported, is too large.
        nodes: of each dimension, or points in all for quasi-Monte Carlo.
        weights, group, cluster: columns, or values a person: how often each person counts; groups with their own
            distribution of theta; clusters of persons with a common random mean.
        data, item_data: tables of persons and of items. formula: latent regression, ``"~ age + sex"`` on ``data``.
            item_formula: regression of intercepts on ``item_data`` (LLTM).
        covariances: pairs of factors that correlate; a dict, or "all".
        equal_items, free: several groups: the items whose parameters they share, and what else they may differ in.
        equal, fixed, start: constraints, fixed values and starting values by name, such as ``{"a1[Item.1]": 1}``.
        parameters: an edited ``irt_model(...).parameters``.
        priors: by class or name, ``{"a": "lognormal(0, 0.5)", "c[Item.2]": "beta(5, 17)"}``, or "default".
        max_iterations, progress: see ``IrtModel.fit``.

    Returns:
        The fit; a ``CmlFit`` with ``method="cml"``.

    Raises:
        DataError, FormulaError, ModelError: naming the item, person, factor or parameter, and the remedy.

    Warns:
        ConvergenceWarning: the search did not arrive, or the data do not identify all parameters.
    """
    reading = dict(zip(READING, (person, item, response, items, weights, group, cluster, data, item_data), strict=True))
    vector = start is not None and not isinstance(start, Mapping)
    options = {
        "formula": formula,
        "item_formula": item_formula,
        "contrasts": contrasts,
        "bifactor": bifactor,
        "testlets": testlets,
        "covariances": covariances,
        "equal_items": equal_items,
        "free": free,
        "equal": equal,
        "fixed": fixed,
        "start": None if vector else start,
        "parameters": parameters,
        "priors": priors,
    }
    if method == "cml":
        return _conditional(responses, itemtype, reading, options)
    bound = irt_model(
        responses, itemtype=itemtype, model=model, integration=integration, nodes=nodes, **reading, **options
    )
    return bound.fit(
        method,  # type: ignore[arg-type]
        se=se,
        start=start if vector else None,
        max_iterations=max_iterations,
        progress=progress,
    )


def _specify(
    responses: Responses, itemtype: Any, options: dict[str, Any]
) -> tuple[IrtSpec, npt.NDArray[np.float64] | None, npt.NDArray[np.bool_] | None]:
    """The specification, the persons' model matrix, and which numbers have a start that the user chose."""
    from jmix.spec.irt.build import build_spec

    spec, W = build_spec(responses, itemtype, **options)
    plain = _without_starts(options)
    if plain is None:
        return spec, W, None
    other = build_spec(responses, itemtype, **plain)[0].table
    before = dict(zip(other.names, other.values, strict=True))
    given = [before.get(name) != value for name, value in zip(spec.table.names, spec.table.values, strict=True)]
    return spec, W, np.array(given, dtype=np.bool_)


def _without_starts(options: dict[str, Any]) -> dict[str, Any] | None:
    """The options without starting values; None where there are none to leave out."""
    text = options.get("model")
    bare = re.sub(r"(?im)^\s*START\s*=.*$", "", text) if isinstance(text, str) else text
    bare_text = not isinstance(text, str) or bare == text
    if bare_text and options.get("start") is None and options.get("parameters") is None:
        return None
    return {**options, "start": None, "parameters": None, "model": bare}


def _conditional(responses: Any, itemtype: Any, reading: dict[str, Any], options: dict[str, Any]) -> Any:
    from jmix.responses.read import read_responses
    from jmix.results.irt.cml_fit import fit_cml

    allowed = {"item_formula", "contrasts"}
    others = [name for name, value in options.items() if name not in allowed and value not in (None, True)]
    if others:
        raise ModelError(f"method='cml' conditions on sum scores and takes no {', '.join(others)}; use method='ml'")
    read = read_responses(responses, **reading)
    return fit_cml(read, itemtype, item_formula=options["item_formula"], contrasts=options["contrasts"])


def _integration(integration: Any, nodes: Any) -> Integration | None:
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
    return Integration(**{"nodes": _USUAL[own.get("method", "grid")], **own})


_USUAL = {"grid": 61, "adaptive": 7, "qmc": 2048, "adaptive-qmc": 512}
"""Nodes where a method is named without them."""
