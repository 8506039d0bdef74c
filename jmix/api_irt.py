"""``jmix.irt`` and ``jmix.irt_model``: from responses to a fitted item response model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.errors import ModelError
from jmix.likelihood.irt.marginal import Integration
from jmix.models_irt import IrtModel
from jmix.models_irt_file import fit_file
from jmix.models_irt_options import density_choice, integration_choice, nodes_chosen, tolerant
from jmix.responses.data import Responses

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

READING = ("person", "item", "response", "items", "weights", "group", "cluster", "data", "item_data")
"""Arguments that say how the responses are to be read."""


def irt_model(
    responses: Any,
    *,
    itemtype: str | Sequence[str] | Mapping[str, str] | None = None,
    model: Any = 1,
    integration: str | Mapping[str, Any] | Integration | None = None,
    nodes: int | None = None,
    density: str | None = None,
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
    from jmix.spec.irt.build import build_spec

    told = integration_choice(integration, nodes)
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
    notes = check_responses(read, keep_constant=tolerant(read, options.get("priors")))
    spec, W = build_spec(read, itemtype, model=model, **options)
    given = np.isin(np.arange(len(spec.table.names)), spec.table.given) if spec.table.given else None
    encodings = _encodings(read, options.get("formula"), options.get("contrasts"))
    curve = density_choice(density)
    return IrtModel(read, spec, W, told, notes, given, not nodes_chosen(integration, nodes), curve, encodings)


def irt(
    responses: Any,
    *,
    itemtype: str | Sequence[str] | Mapping[str, str] | None = None,
    model: Any = 1,
    method: str | None = None,
    se: str | bool | None = None,
    integration: str | Mapping[str, Any] | Integration | None = None,
    nodes: int | None = None,
    density: str | None = None,
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
    checkpoint: str | Path | None = None,
) -> IrtFit:
    r"""Fit an item response model by marginal maximum likelihood; with ``priors``, maximum a posteriori.

    Args:
        responses: persons by items: a pandas, polars or arrow table, or an array; or a list of responses with
            ``person``, ``item`` and ``response`` naming its columns. Missing are NaN, None and negative codes. The path
            of a Parquet file, persons by items, is read in blocks that need not fit in memory together.
        itemtype: "Rasch", "1PL", "2PL", "3PL", "3PLu", "4PL", "graded", "grsm", "PCM", "gpcm", "rsm", "nominal" or
            "sequential"; one for all items, a list, or a dict by item. None: "2PL", "graded" for more categories.
        model: the number of factors (more than one: exploratory), a text as in mirt, ``"F1 = 1-5\nF2 = 4-10\nCOV =
            F1*F2"``, or a pattern of items by factors. bifactor, testlets: the specific factor of each item.
        method: "ml", "map" or "cml" (conditional maximum likelihood of Rasch and partial credit models); None is "map"
            with priors and "ml" without. For a path also "stochastic": Adam on batches of persons, then exact passes.
        se: "hessian" (the observed information, as "oakes"), "crossprod", "sandwich", "item" or "none"; None chooses
            by the number of parameters.
        integration: "grid", "adaptive", "qmc" or "adaptive-qmc", or an ``Integration``; None chooses by the model and
            the data, and doubles the nodes where the quadrature error, which is always reported, is too large.
        nodes: of each dimension, or points in all for quasi-Monte Carlo.
        density: of theta within groups: None is normal; "davidian" (or "davidian:6", its order) estimates a smooth
            curve, "histogram" the weights of the nodes; of one factor.
        weights, group, cluster: columns, or values a person: how often each person counts; groups with their own
            distribution of theta; clusters of persons with a common random mean.
        data, item_data: tables of persons and of items. formula: latent regression, ``"~ age + sex"`` on ``data``.
            item_formula: regression of intercepts on ``item_data`` (LLTM).
        covariances: pairs of factors that correlate; a dict, or "all".
        equal_items, free: several groups: the items whose parameters they share, and what else they may differ in.
        equal, fixed, start: constraints, fixed values and starting values by name, such as ``{"a1[Item.1]": 1}``.
        parameters: an edited ``irt_model(...).parameters``.
        priors: by class or name, ``{"a": "lognormal(0, 0.5)", "c[Item.2]": "beta(5, 17)"}``, or "default".
        max_iterations, progress, checkpoint: see ``IrtModel.fit``.

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
        asked = {
            "model": None if model == 1 else model, "density": density, "integration": integration, "nodes": nodes,
            "checkpoint": checkpoint, "se": None if se in (None, True, "hessian", "oakes") else se,
        }  # fmt: skip
        return _conditional(responses, itemtype, reading, options | asked)
    if isinstance(responses, str | Path):
        if density is not None or vector:
            what = "start= as a vector" if vector else "density="
            raise ModelError(f"{what} is not available for a file of responses; read it into a frame to use it")
        return fit_file(
            responses,
            itemtype,
            reading,
            {"model": model, **options},
            method=method,
            se=se,
            integration=integration_choice(integration, nodes),
            max_iterations=max_iterations,
            progress=progress,
            checkpoint=checkpoint,
        )
    bound = irt_model(
        responses,
        itemtype=itemtype,
        model=model,
        integration=integration,
        nodes=nodes,
        density=density,
        **reading,
        **options,
    )
    return bound.fit(
        method,  # type: ignore[arg-type]
        se=se,
        start=start if vector else None,
        max_iterations=max_iterations,
        progress=progress,
        checkpoint=checkpoint,
    )


def _encodings(responses: Responses, formula: Any, contrasts: Any) -> tuple[Any, ...]:
    """The encodings of the formulas of a latent regression."""
    if formula is None:
        return ()
    from jmix.spec.irt.regression import side_of

    texts = [formula] if isinstance(formula, str) else list(dict.fromkeys(formula.values()))
    return tuple(side_of(text, responses, contrasts).encoding for text in texts)


def _conditional(responses: Any, itemtype: Any, reading: dict[str, Any], options: dict[str, Any]) -> Any:
    from jmix.responses.read import read_responses
    from jmix.results.irt.cml_fit import fit_cml

    allowed = {"item_formula", "contrasts"}
    others = [name for name, value in options.items() if name not in allowed and value not in (None, True)]
    if others:
        raise ModelError(f"method='cml' conditions on sum scores and takes no {', '.join(others)}; use method='ml'")
    if isinstance(responses, str | Path):
        raise ModelError("method='cml' takes responses in memory, not a path; read the file into a frame")
    read = read_responses(responses, **reading)
    return fit_cml(read, itemtype, item_formula=options["item_formula"], contrasts=options["contrasts"])
