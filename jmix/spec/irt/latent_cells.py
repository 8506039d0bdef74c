"""The cells of the latent distribution: means, standard deviations and correlations by group, between clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from jmix.spec.irt.cells import Cells, IntArray
from jmix.spec.irt.itemtypes import ItemType
from jmix.spec.irt.loadings import Loadings

BoolArray = npt.NDArray[np.bool_]

CLASSES = ("mean", "sd", "corr")
"""What ``free=`` may name of a group as a whole."""


class DraftLatent(NamedTuple):
    """Cells: mean (G, D), sd (G, D), corr (G, D (D - 1) / 2), regression (p, D) or None, cluster_sd (D,) or None."""

    mean: IntArray
    sd: IntArray
    corr: IntArray
    regression: IntArray | None
    cluster_sd: IntArray | None


def add_latent(
    cells: Cells,
    types: Sequence[ItemType],
    loadings: Loadings,
    separate: BoolArray,
    free: Sequence[str] | None,
    regression: tuple[Sequence[str], BoolArray] | None,
    clusters: bool,
) -> DraftLatent:
    """Cells of the latent distribution.

    The first group has mean 0; its standard deviation is 1, or free where items of the factor have the slope 1. The
    other groups' means and standard deviations are free where items that all groups share carry the scale.

    Args:
        types: (J,). separate: (J,) whether each group has its own numbers for the item.
        free: of ``CLASSES``, what is free in the groups after the first (or in the only one); None for the default.
        regression: names of the p covariates and (p, D) whether each acts on the factor.
    """
    names, n_groups = loadings.factors, len(cells.groups)
    wanted = set(("mean", "sd") if free is None and n_groups > 1 else free or ())
    later = np.arange(n_groups) > 0 if n_groups > 1 else np.ones(1, dtype=np.bool_)
    one = np.array([item_type.slope == "one" for item_type in types])
    mean: list[IntArray] = []
    sd: list[IntArray] = []
    corr: list[IntArray] = []
    for what, found in (("mean", mean), ("sd", sd)):
        for k, name in enumerate(names):
            on = loadings.pattern[:, k]
            linked = free is not None or bool((on & ~separate).any())
            released = later & linked & (what in wanted)
            scaled = bool((on & one).any()) or (loadings.testlet and k > 0) or name in loadings.variances
            asked = name in loadings.means if what == "mean" else scaled
            found.append(cells.add_latent(f"{what}[{name}]", float(what == "sd"), released | asked))
    for i, first in enumerate(names):
        for second in names[:i]:
            paired = (first, second) in loadings.pairs or (second, first) in loadings.pairs
            corr.append(cells.add_latent(f"corr[{second},{first}]", 0.0, (later & ("corr" in wanted)) | paired))
    blank = np.empty((n_groups, 0), dtype=np.int64)
    return DraftLatent(
        np.stack(mean, axis=1),
        np.stack(sd, axis=1),
        np.stack(corr, axis=1) if corr else blank,
        None if regression is None else _regression(cells, names, *regression),
        _clusters(cells, loadings) if clusters else None,
    )


def _regression(cells: Cells, factors: Sequence[str], covariates: Sequence[str], acts: BoolArray) -> IntArray:
    found = np.empty(acts.shape, dtype=np.int64)
    for p, covariate in enumerate(covariates):
        for k, factor in enumerate(factors):
            found[p, k] = cells.add_latent(f"beta[{factor}:{covariate}]", 0.0, bool(acts[p, k]), by_group=False)[0]
    return found


def _clusters(cells: Cells, loadings: Loadings) -> IntArray:
    """Standard deviations between clusters, of the general factor alone where there are specific ones."""
    found = []
    for k, name in enumerate(loadings.factors):
        has = k == 0 or loadings.specific is None
        found.append(cells.add_latent(f"cluster_sd[{name}]", 0.5 if has else 0.0, has, by_group=False)[0])
    return np.array(found)
