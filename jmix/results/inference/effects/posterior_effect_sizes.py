"""Shares of variance, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.frames import check_level
from jmix.results.inference.effects.variance_decomposition_law import BINARY, LATENT
from jmix.results.inference.report import TableReport

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class DrawnShares(TableReport):
    """Posterior of shares of variance; ``draws`` holds their (C, D) draws by the names of the table's rows."""

    draws: Mapping[str, FloatArray] = field(default_factory=dict)


def drawn_icc(post: Any, level: float) -> DrawnShares:
    """The work behind ``Posterior.icc``."""
    if not post.terms:
        raise ModelError("an intraclass correlation needs random effects, and this model has none")
    groups, below = _groups(post), _below(post)
    random = sum(groups.values(), np.zeros_like(below))
    total = random + below
    shares = {"adjusted": random / total, "conditional": random / (total + _fixed(post))}
    if len(groups) > 1:
        shares |= {group: value / total for group, value in groups.items()}
    return _report(post, shares, "Intraclass correlation", level)


def drawn_r2(post: Any, level: float) -> DrawnShares:
    """The work behind ``Posterior.r2``."""
    fixed, below = _fixed(post), _below(post)
    random = sum(_groups(post).values(), np.zeros_like(below))
    total = fixed + random + below
    return _report(post, {"marginal": fixed / total, "conditional": (fixed + random) / total}, "R-squared", level)


def _fixed(post: Any) -> FloatArray:
    """(C, D) sample variance of ``X beta``."""
    X, beta = post.design.X, post.draws.beta
    if X.shape[1] == 0:
        return np.zeros(beta.shape[:2])
    spread = np.atleast_2d(np.cov(X, rowvar=False))
    return np.asarray(np.einsum("cda,ab,cdb->cd", beta, spread, beta))


def _groups(post: Any) -> dict[str, FloatArray]:
    """(C, D) mean variance of each grouping factor's part of the linear predictor."""
    out: dict[str, FloatArray] = {}
    for term, chol in zip(post.terms, post.draws.chol, strict=True):
        z = np.stack(term.columns, axis=1)
        value = np.einsum("cdab,cdeb,ae->cd", chol, chol, z.T @ z / len(z), optimize=True)
        out[term.group] = out.get(term.group, 0.0) + value
    return out


def _below(post: Any) -> FloatArray:
    """(C, D) variance of the residual, or of the link's latent variable."""
    family, draws = post.family, post.draws
    name, link = (family, "identity") if isinstance(family, str) else (family.name, family.link)
    if name in BINARY and link in LATENT:
        return np.full(draws.sigma.shape, LATENT[link])
    if name not in ("gaussian", "student") or link != "identity":
        raise ModelError(
            "shares of variance are drawn for gaussian and student responses, and for binary and ordered ones with a "
            f"logit, probit or cloglog link, not for {name} ({link}); use fit.r2() after maximum likelihood"
        )
    if name == "gaussian":
        return np.asarray(draws.sigma**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(draws.sigma**2 * np.where(draws.nu > 2.0, draws.nu / (draws.nu - 2.0), np.inf))


def _report(post: Any, shares: dict[str, FloatArray], title: str, level: float) -> DrawnShares:
    tail = 0.5 * (1.0 - check_level(level))
    rows = [(v.mean(), v.std(ddof=1), *np.quantile(v, [0.5, tail, 1.0 - tail])) for v in shares.values()]
    columns = ["estimate", "est_error", "median", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns, index=pd.Index(list(shares), name="type"))
    call = (("Formula", " ".join(post.formula.split())),)
    return DrawnShares(table, title, call, (f"{level:.0%} equal-tailed intervals",), draws=shares)
