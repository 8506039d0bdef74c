"""From responses and options to the frozen specification of an item response model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.responses.data import Responses
from jmix.spec.irt.cells import Cells, IntArray
from jmix.spec.irt.identify import check_identified
from jmix.spec.irt.item_cells import DraftBlock, add_items
from jmix.spec.irt.item_covariates import add_item_formulas, finish_item_formulas
from jmix.spec.irt.itemtypes import ItemType, item_types
from jmix.spec.irt.latent_cells import CLASSES, DraftLatent, add_latent
from jmix.spec.irt.loadings import Loadings, read_loadings
from jmix.spec.irt.names import Selector, item_places
from jmix.spec.irt.options import apply_options
from jmix.spec.irt.regression import person_matrix
from jmix.spec.irt.spec import Block, IrtSpec, Linear

FloatArray = npt.NDArray[np.float64]


def build_spec(
    responses: Responses,
    itemtype: str | Sequence[str] | Mapping[str, str] | None = None,
    *,
    model: Any = 1,
    bifactor: Any = None,
    testlets: Any = None,
    covariances: Any = None,
    equal_items: bool | Sequence[str] = True,
    free: Sequence[Any] | None = None,
    equal: Sequence[Any] | None = None,
    fixed: Any = None,
    start: Mapping[Any, Any] | None = None,
    parameters: Any = None,
    priors: Any = None,
    formula: str | Mapping[str, str] | None = None,
    item_formula: str | Mapping[str, str] | None = None,
    contrasts: Mapping[str, Any] | None = None,
    clusters: bool | None = None,
) -> tuple[IrtSpec, FloatArray | None]:
    """The specification, and the (N, p) person model matrix of a latent regression (None without one).

    Args:
        responses: names, categories, groups, clusters, person and item data are used, not the responses themselves.
        itemtype: "Rasch", "1PL", "2PL", "3PL", "3PLu", "4PL", "graded", "grsm", "PCM", "gpcm", "rsm", "nominal",
            "sequential"; one for all, one for each, or by item. None: 2PL, graded where there are more categories.
        model, bifactor, testlets, covariances: the factors; see ``read_loadings``.
        equal_items: several groups: whether they share the items' parameters; or the names of the items that they
            share (anchors).
        free: "mean", "sd", "corr" of the groups after the first, by default means and standard deviations where groups
            share items; and parameters by name, such as "c[Item.2]", that would be fixed.
        equal: each entry a name whose parameters are equal, such as "a1" or ("d", ["Item.1", "Item.2"]), or a list of
            names; within each group unless groups are named.
        fixed: values by name, such as {"a1[Item.1]": 1}; or a frame of items by parameters, as ``items()`` gives,
            for anchors with known parameters. start: starting values by name. Asymptotes are probabilities.
        parameters: an edited ``parameter_frame``.
        priors: by name: "a", "d", "c" (a density of the probability), "logit(c)", "mean", "sd", "corr", "c[Item.2]";
            or "default": beta(5, 17) on c and beta(17, 5) on u (Mislevy & Bock's BILOG, whose mean is 0.23).
        formula: latent regression on the person data, ``"~ age + sex"``, for all factors or by factor.
        item_formula: regression of intercepts on the item data (LLTM, Fischer 1973), or {"d": "~ x", "a1": "~ z"}.
        clusters: whether clusters have a random mean; None: where ``responses`` has clusters.

    Raises:
        ModelError: options that contradict each other or name what does not exist, or a model that is not identified.
        DataError, FormulaError: the covariates.
    """
    types = item_types(itemtype, responses.items, responses.n_categories)
    loadings = read_loadings(model, responses.items, bifactor=bifactor, testlets=testlets, covariances=covariances)
    _check_exploratory(types, loadings, responses)
    separate = _separate(equal_items, responses)
    classes, released = _split_free(free)
    person_contrasts, item_contrasts = _contrasts(contrasts, responses, formula, item_formula)
    acts, W = person_matrix(formula, responses, loadings, person_contrasts)
    cells = Cells(responses.items, responses.groups)
    blocks = add_items(cells, types, responses.n_categories, loadings, separate)
    has_clusters = responses.cluster is not None if clusters is None else clusters
    if has_clusters and responses.cluster is None:
        raise ModelError("clusters=True, but the responses have no clusters; name their column with cluster=")
    latent = add_latent(cells, types, loadings, separate, classes, acts, has_clusters)
    planned = add_item_formulas(cells, item_formula, responses, blocks, item_contrasts)
    selector = Selector(cells, loadings.factors)
    apply_options(
        selector, loadings, equal=equal, fixed=fixed, start=start, free=released, parameters=parameters, priors=priors
    )
    linear = finish_item_formulas(cells, planned)
    spec = _freeze(cells, types, loadings, blocks, latent, linear, () if acts is None else tuple(acts[0]))
    check_identified(spec)
    return spec, W


def _separate(equal_items: Any, responses: Responses) -> npt.NDArray[np.bool_]:
    """(J,) whether each group has its own numbers for the item."""
    if isinstance(equal_items, bool | np.bool_):
        return np.full(responses.n_items, not equal_items)
    places: dict[Hashable, int] = {item: place for place, item in enumerate(responses.items)}
    separate = np.ones(responses.n_items, dtype=np.bool_)
    separate[item_places(equal_items, places, "equal_items")] = False
    return separate


def _check_exploratory(types: Sequence[ItemType], loadings: Loadings, responses: Responses) -> None:
    held = [j for j, item_type in enumerate(types) if item_type.slope != "free"]
    if loadings.exploratory and held:
        j = held[0]
        raise ModelError(
            f"item '{responses.items[j]}' is of type {types[j].name}, whose slopes are not free, but an exploratory "
            f"model estimates all slopes; use '2PL' or 'gpcm', or a confirmatory model such as 'F1 = 1-5\\nF2 = 6-10'"
        )


def _contrasts(
    contrasts: Mapping[str, Any] | None, responses: Responses, formula: Any, item_formula: Any
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """The codings of factors of the person formula and of the item formula."""
    if contrasts is None or formula is None or item_formula is None or responses.item_data is None:
        return contrasts, contrasts
    columns = {str(name) for name in responses.item_data.columns}
    of_items = {name: coding for name, coding in contrasts.items() if name in columns}
    return {name: coding for name, coding in contrasts.items() if name not in of_items}, of_items


def _split_free(free: Any) -> tuple[list[str] | None, list[Any]]:
    """What ``free`` says of groups as a whole (None: the default), and what it says of parameters by name."""
    if free is None:
        return None, []
    entries = [free] if isinstance(free, str) else list(free)
    classes = [entry for entry in entries if isinstance(entry, str) and entry in CLASSES]
    names = [entry for entry in entries if not (isinstance(entry, str) and entry in CLASSES)]
    return (classes if classes or not names else None), names


def _freeze(
    cells: Cells,
    types: Sequence[ItemType],
    loadings: Loadings,
    blocks: Sequence[DraftBlock],
    latent: DraftLatent,
    linear: Sequence[tuple[IntArray, FloatArray, IntArray]],
    covariates: tuple[str, ...],
) -> IrtSpec:
    table, entry = cells.table()
    where = entry.astype(np.int32)
    return IrtSpec(
        items=cells.items,
        factors=loadings.factors,
        groups=cells.groups,
        blocks=tuple(
            Block(b.kind, tuple(b.columns.tolist()), b.n_categories, where[b.slopes], where[b.own]) for b in blocks
        ),
        table=table,
        mean=where[latent.mean],
        sd=where[latent.sd],
        corr=where[latent.corr] if latent.corr.size else latent.corr.astype(np.int32),
        itemtypes=tuple(item_type.name for item_type in types),
        linear=tuple(Linear(where[target], matrix, where[source]) for target, matrix, source in linear),
        covariates=covariates,
        regression=None if latent.regression is None else where[latent.regression],
        cluster_sd=None if latent.cluster_sd is None else where[latent.cluster_sd],
        specific=loadings.specific,
        exploratory=loadings.exploratory,
    )
