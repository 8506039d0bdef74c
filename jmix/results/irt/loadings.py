"""Standardised factor loadings of an item response model, rotated where the factors are exploratory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.irt.items import group_number
from jmix.results.irt.latent import group_moments
from jmix.results.irt.rotation import rotation_matrix

if TYPE_CHECKING:
    from jmix.results.irt.fit import IrtFit

FloatArray = npt.NDArray[np.float64]

SCALING = 1.702
"""From logistic slopes to those of the normal ogive, as mirt's summary: the residual standard deviation."""


@dataclass(frozen=True, eq=False)
class Rotation:
    """Factors after rotation.

    Attributes:
        method: "none" where nothing was rotated. loadings: (J, D + 1) frame, the factors and ``h2``, the communality.
        correlations: (D, D) frame of the factors. slopes: (J, D) frame, of the rotated trait. matrix: (D, D) T; the
            rotated trait is ``T'theta``, the rotated slopes ``a inv(T)'``.
        explained: (D,) sums of squared loadings over J.
    """

    method: str
    loadings: pd.DataFrame
    correlations: pd.DataFrame
    slopes: pd.DataFrame
    matrix: FloatArray
    explained: pd.Series

    def __repr__(self) -> str:
        parts = [
            f"Rotation: {self.method}",
            self.loadings.round(3).to_string(),
            "Proportion of variance: " + ", ".join(f"{k} {v:.3f}" for k, v in self.explained.items()),
            "Factor correlations:",
            self.correlations.round(3).to_string(),
        ]
        return "\n\n".join(parts)


def rotate(fit: IrtFit, method: str | None, group: str | None, normalize: bool | None, seed: int) -> Rotation:
    """See ``IrtFit.rotate``."""
    spec = fit.spec
    if method not in (None, "none") and not spec.exploratory and spec.n_factors > 1:
        raise ModelError(
            f"rotate={method!r}: the factors of this model are fixed by its pattern; only an exploratory model, "
            f"model={spec.n_factors}, is defined up to a rotation"
        )
    slopes = item_slopes(fit, group)
    covariance = group_moments(fit.numbers)[1][0 if group is None else group_number(spec, group)]
    sd = np.sqrt(np.diag(covariance))
    correlations = covariance / np.outer(sd, sd)
    standardised = slopes * sd
    signal = np.einsum("jd,de,je->j", standardised, correlations, standardised)
    total = np.sqrt(SCALING**2 + signal)
    loadings = standardised / total[:, None]
    t = rotation_matrix(loadings, method or "none", normalize=normalize, seed=seed)
    back = np.linalg.inv(t).T
    rotated = loadings @ back
    phi = correlations if method in (None, "none") else t.T @ t
    names = list(spec.factors)
    frame = pd.DataFrame(rotated, index=pd.Index(spec.items, name="item"), columns=names)
    frame["h2"] = signal / total**2
    explained = pd.Series((rotated**2).mean(axis=0), index=names, name="proportion")
    columns = ["a"] if len(names) == 1 else [f"a{d + 1}" for d in range(len(names))]
    turned = pd.DataFrame(slopes @ back, index=frame.index, columns=columns)
    return Rotation(method or "none", frame, pd.DataFrame(phi, index=names, columns=names), turned, t, explained)


def item_slopes(fit: IrtFit, group: str | None = None) -> FloatArray:
    """(J, D) slopes of a group's items in the order of the items."""
    g = 0 if group is None else group_number(fit.spec, group)
    out = np.empty((len(fit.spec.items), fit.spec.n_factors))
    for block in fit.spec.blocks:
        out[list(block.columns)] = fit.numbers.v[block.slopes[g]]
    return out
