"""Linear structure of the item parameters of the Rasch family, and the forms in which they are reported.

The parameters are ``c_jk``, the log easiness of category k of item j: minus the sum of its first k thresholds. A common
shift of all thresholds by t changes ``c_jk`` by ``-k t`` and leaves the conditional likelihood as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.responses.data import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class CmlDesign:
    """``c = matrix @ eta``.

    Attributes:
        model: "RM", "PCM", "RSM", "LLTM" or "LPCM". names: of the P basic parameters. matrix: (C, P).
    """

    model: str
    names: tuple[str, ...]
    matrix: FloatArray


def free_design(items: Sequence[str], owner: IntArray, step: IntArray) -> CmlDesign:
    """Rasch and partial credit model: all thresholds free but the first one, which makes them sum to 0.

    The basic parameters are thresholds (difficulties where items have two categories).
    """
    n = owner.size
    names = threshold_names(items, owner, step)
    basis = np.eye(n)
    basis[:, 0] = 0.0
    basis[0, 1:] = -1.0
    return CmlDesign("RM" if step.max() == 1 else "PCM", names[1:], -cumulative(owner) @ basis[:, 1:])


def rating_design(items: Sequence[str], owner: IntArray, step: IntArray) -> CmlDesign:
    """Rating scale model (Andrich 1978): threshold k of item j is ``b_j + tau_k``, ``tau_1 = 0``, the b summing to 0.

    Raises:
        ModelError: items differ in their number of categories.
    """
    sizes = np.bincount(owner)
    if np.any(sizes != sizes[0]):
        odd = items[int(np.argmax(sizes != sizes[0]))]
        raise ModelError(f"the rating scale model needs the same categories in all items; {odd!r} differs: fit the PCM")
    j, k = sizes.size, int(sizes[0])
    own = np.vstack([-np.ones((1, j - 1)), np.eye(j - 1)])[owner]
    tau = np.eye(k)[step - 1][:, 1:]
    names = (*items[1:], *(f"tau{i + 2}" for i in range(k - 1)))
    return CmlDesign("RSM", tuple(names), -cumulative(owner) @ np.hstack([own, tau]))


def linear_design(
    owner: IntArray, step: IntArray, matrix: npt.ArrayLike, names: Sequence[str], base: CmlDesign | None = None
) -> CmlDesign:
    """Linear logistic test model (Fischer 1973): difficulties are linear in properties of the items.

    Args:
        matrix: (J, P) properties of the items, whose effects are on difficulty; or (C, P) on each threshold. Columns
            that a common shift makes redundant, such as an intercept, are left out.

    Raises:
        ModelError: a property is a linear function of the others and a shift, or the shape is wrong.
    """
    given = np.asarray(matrix, dtype=np.float64)
    j = int(owner.max()) + 1
    if given.ndim != 2 or given.shape[0] not in (j, owner.size) or given.shape[1] != len(names):
        raise ModelError(f"the design of the items has shape {given.shape}; it needs a row for each of the {j} items")
    if not np.all(np.isfinite(given)):
        raise ModelError("the properties of the items have missing or infinite values; fill them in")
    rows = given[owner] if given.shape[0] == j else given
    keep = ~np.all(rows == rows[0], axis=0)
    rows, kept = rows[:, keep], [name for name, used in zip(names, keep, strict=True) if used]
    if base is not None:
        tau = [i for i, name in enumerate(base.names) if name.startswith("tau")]
        rows = np.hstack([rows, -np.linalg.solve(cumulative(owner), base.matrix[:, tau])])
        kept += [base.names[i] for i in tau]
    if not kept:
        raise ModelError("the design of the items has no property in which the items differ")
    _check_rank(rows, kept)
    return CmlDesign("LLTM" if step.max() == 1 else "LPCM", tuple(kept), -cumulative(owner) @ rows)


def cumulative(owner: IntArray) -> FloatArray:
    """(C, C) sums of an item's thresholds up to each category."""
    same = owner[:, None] == owner[None, :]
    return np.tril(same).astype(np.float64)


def threshold_contrast(owner: IntArray, reference: str = "sum") -> FloatArray:
    """(C, C) map from c to thresholds whose mean is 0 ("sum"), or whose first one is 0 ("first")."""
    differences = -np.linalg.inv(cumulative(owner))
    if reference == "first":
        return differences - differences[0]
    if reference == "sum":
        return differences - differences.mean(axis=0)
    raise ModelError(f"reference {reference!r}: thresholds are reported with their mean ('sum') or the first one at 0")


def threshold_names(items: Sequence[str], owner: IntArray, step: IntArray) -> tuple[str, ...]:
    """The item where it has two categories, else ``item.k``."""
    sizes = np.bincount(owner)
    return tuple(
        items[j] if sizes[j] == 1 else f"{items[j]}.{k}" for j, k in zip(owner.tolist(), step.tolist(), strict=True)
    )


def _check_rank(rows: FloatArray, names: Sequence[str]) -> None:
    with_shift = np.hstack([np.ones((rows.shape[0], 1)), rows])
    scaled = with_shift / np.maximum(np.linalg.norm(with_shift, axis=0), 1e-300)
    for k in range(1, scaled.shape[1]):
        basis: Any = scaled[:, :k]
        rest = scaled[:, k] - basis @ np.linalg.lstsq(basis, scaled[:, k], rcond=None)[0]
        if np.linalg.norm(rest) < 1e-9:
            raise ModelError(
                f"the effect of {names[k - 1]!r} is not identified: it is a linear function of the properties before "
                "it and a common shift of all items; leave it out"
            )
