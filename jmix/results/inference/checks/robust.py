"""Cluster-robust covariance of the fixed effects, and the tests that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.checks.check_groups import RowGroups, coarsest, crossing, row_groups, rows_as_groups
from jmix.results.inference.checks.sandwich import Clusters, clusters
from jmix.results.inference.fixed.df_rules import independent_contrasts, tail_probability
from jmix.results.inference.fixed.fixed_tests import FixedTests, Joint
from jmix.results.inference.report import TableReport
from jmix.results.text_table import one_line

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]
RobustType = Literal["CR0", "CR1", "CR1S", "CR1p", "CR2"]

TYPES: tuple[RobustType, ...] = ("CR0", "CR1", "CR1S", "CR1p", "CR2")

FEW = 40
"""Clusters below which the uncorrected estimators are known to be too small."""


@dataclass(frozen=True, eq=False)
class RobustTests(FixedTests):
    """Tests of the fixed effects with a cluster-robust covariance.

    Of a linear (mixed) model, t tests have Satterthwaite degrees of freedom, and joint tests are approximate Hotelling
    tests ("HTZ") whose degrees of freedom match the total variance of the covariance estimator, both under the fitted
    model (Bell & McCaffrey 2002; Pustejovsky & Tipton 2018, J. Bus. Econ. Stat. 36, 672-683, section 3). Of a
    generalized model they are Wald z and chi-squared tests.

    Attributes:
        kind: "CR0" to "CR2". cluster: name of the clusters. n_clusters: how many. contributions: of each
            cluster; None for a generalized model.
    """

    kind: RobustType
    cluster: str
    n_clusters: int
    contributions: Clusters | None = field(repr=False)

    @property
    def remark(self) -> str:
        """The kind of the covariance, and its clusters."""
        return f"Cluster-robust standard errors ({self.kind}, {self.n_clusters} clusters of {one_line(self.cluster)})."

    def df(self, L: FloatArray) -> FloatArray:
        """(m,) Satterthwaite degrees of freedom of each row; infinite for a generalized model."""
        rows = np.atleast_2d(np.asarray(L, dtype=np.float64))
        if self.contributions is None:
            return np.full(rows.shape[0], np.inf)
        return np.array([satterthwaite(self.contributions, row) for row in rows])

    def joint(self, L: FloatArray, rhs: FloatArray | None = None) -> Joint:
        """The test of ``L beta = rhs``: F on q and eta - q + 1 degrees of freedom.

        NaN where there are no more clusters than contrasts.
        """
        found = independent_contrasts(L, self.beta, self.vcov, rhs)
        q = len(found.squares)
        if q == 0:
            return Joint(float("nan"), 0, float("nan"), float("nan"))
        mean = float(np.mean(found.squares))
        if self.contributions is None:
            return Joint(mean, q, float("inf"), tail_probability(mean, q, float("inf")))
        eta = hotelling(self.contributions, found.rows)
        df2 = eta - q + 1.0
        if df2 <= 0:
            return Joint(float("nan"), q, float("nan"), float("nan"))
        statistic = mean * df2 / eta
        return Joint(statistic, q, df2, tail_probability(statistic, q, df2))


def robust_tests(fit: FitBase, cluster: Any = None, type: str | None = None) -> RobustTests:
    """The covariance and its rule for degrees of freedom."""
    type = type or ("CR2" if hasattr(fit, "reml") else "CR1")
    if type not in TYPES:
        raise ModelError(f"type={type!r}: choose {', '.join(map(repr, TYPES))}")
    kind: RobustType = type
    if not fit.x_names:
        raise ModelError("robust covariance: the model has no fixed effects")
    groups = _clusters(fit, cluster)
    method = getattr(fit, "method", None)
    if method == "MAP":
        raise ModelError("robust covariance is for REML, ML and least squares; priors make fit('map') something else")
    names, beta = tuple(fit.x_names), fit.beta
    if not hasattr(fit, "reml"):
        vcov = _generalized(fit, groups, kind)  # type: ignore[arg-type]
        return RobustTests("none", names, beta, vcov, kind, groups.name, groups.n_groups, None)
    linear: Fit = fit  # type: ignore[assignment]
    parts = clusters(linear, groups, adjusted=kind == "CR2")
    meat = parts.scores.T @ parts.scores
    vcov = parts.basis @ (parts.bread @ meat @ parts.bread) @ parts.basis.T
    vcov = _multiplier(kind, groups.n_groups, fit.nobs, beta.size) * vcov
    return RobustTests("satterthwaite", names, beta, vcov, kind, groups.name, groups.n_groups, parts)


def _clusters(fit: FitBase, cluster: Any) -> RowGroups:
    """The clusters asked for, checked: the rows of different ones must be independent."""
    what = "robust covariance"
    if cluster is None:
        if not fit.terms:
            return rows_as_groups(fit)
        name = coarsest(fit)
        if name is None:
            factors = ", ".join(fit.ngrps())
            raise ModelError(
                f"{what}: the grouping factors {factors} are crossed, so that none of them makes independent clusters; "
                "give cluster= with labels in which all of them are nested, if there are such"
            )
        cluster = name
    groups = row_groups(fit, cluster, what=what)
    crossed = crossing(fit, groups.codes)
    if crossed:
        raise ModelError(
            f"{what}: levels of {', '.join(crossed)} reach over several clusters of {groups.name!r}, which are not "
            "independent then; cluster by something in which every grouping factor is nested"
        )
    if groups.n_groups < 2:
        raise ModelError(f"{what}: {groups.name!r} has one cluster only; there must be at least two")
    return groups


def _multiplier(kind: RobustType, clusters: int, n: int, p: int) -> float:
    """What CR0 is multiplied by, in clubSandwich's names."""
    small = clusters / (clusters - 1.0)
    if kind == "CR1":
        return small
    if kind == "CR1S":
        return small * (n - 1.0) / (n - p)
    if kind == "CR1p":
        if clusters <= p:
            raise ModelError(f"type='CR1p' needs more clusters ({clusters}) than fixed effects ({p}); choose 'CR2'")
        return clusters / (clusters - float(p))
    return 1.0


def _generalized(fit: GlmmFit, groups: RowGroups, kind: RobustType) -> FloatArray:
    """(p, p) sandwich of the fixed effects from the scores of all parameters.

    ``H^{-1} (sum_g s_g s_g') H^{-1}`` with the exact Hessian of the marginal log likelihood (White 1982, Econometrica
    50, 1-25); parameters on a boundary, or without a finite estimate, are taken as known.
    """
    from jmix.results.inference.checks.influence_glmm import cluster_scores

    if kind == "CR2":
        raise ModelError(
            "type='CR2' is for linear models, whose residuals have a working covariance to adjust for; a generalized "
            "model has CR0 and its multiples: choose type='CR1'"
        )
    x = fit.solution.x
    free = np.isfinite(np.diag(fit.solution.vcov))
    bread = np.zeros((x.size, x.size))
    bread[np.ix_(free, free)] = fit.solution.vcov[np.ix_(free, free)]
    scores = np.where(free, cluster_scores(fit, groups), 0.0)
    half = scores @ bread
    place = fit.parts.slices["cond"]
    vcov = _multiplier(kind, groups.n_groups, fit.nobs, fit.npar) * (half.T @ half)[place, place]
    lost = ~free[place]
    vcov[lost], vcov[:, lost] = np.nan, np.nan
    return vcov


# --- degrees of freedom ---------------------------------------------------------------------------------------------
def satterthwaite(parts: Clusters, row: FloatArray) -> float:
    """Degrees of freedom of one contrast (p,): twice the squared mean of its variance estimator over its variance.

    The estimator is a quadratic form with matrix ``P``, ``P_ij = delta_ij l'E_i'V_iE_i l - u_i'M u_j``, where ``l = M
    c`` and ``u_i = X_i'E_i l``.
    """
    direction = parts.bread @ (parts.basis.T @ row)
    if not np.any(direction):
        return float("nan")
    own = np.einsum("a,gab,b->g", direction, parts.spread, direction, optimize=True)
    u = parts.cross @ direction
    shared = np.einsum("ga,ab,gb->g", u, parts.bread, u, optimize=True)
    gram = parts.bread @ (u.T @ u)
    square = float(np.sum(own**2) - 2.0 * np.sum(own * shared) + np.sum(gram * gram.T))
    return float(np.sum(own - shared)) ** 2 / square


def hotelling(parts: Clusters, rows: FloatArray) -> float:
    """Degrees of freedom eta of the approximate Hotelling test of q independent contrasts (q, p).

    ``eta = q (q + 1) / sum_st Var(D_st)``, D the covariance estimator in the metric of its expectation (Pustejovsky &
    Tipton 2018, equations 15 to 17). With ``P_ij`` (q, q) as in ``satterthwaite``, the sum of variances is
    ``sum_ij tr(P_ij)^2 + tr(P_ij P_ij)``.
    """
    q = rows.shape[0]
    directions = parts.bread @ (parts.basis.T @ rows.T)
    own = np.einsum("aq,gab,br->gqr", directions, parts.spread, directions, optimize=True)
    half = np.einsum("aq,gba,bc->gqc", directions, parts.cross, np.linalg.cholesky(parts.bread), optimize=True)
    expected = own.sum(axis=0) - np.einsum("gqc,grc->qr", half, half)
    values, vectors = np.linalg.eigh(0.5 * (expected + expected.T))
    root = (vectors / np.sqrt(np.maximum(values, 1e-300))) @ vectors.T
    own = root @ own @ root
    half = np.einsum("qr,grc->gqc", root, half)
    shared = half @ np.swapaxes(half, 1, 2)
    mixed = np.einsum("gqa,grb->qarb", half, half, optimize=True)
    off = np.sum(mixed**2) + np.sum(mixed * np.swapaxes(mixed, 0, 2))
    traces = np.einsum("gqq->g", own), np.einsum("gqq->g", shared)
    diagonal = np.sum((traces[0] - traces[1]) ** 2 - traces[1] ** 2)
    difference = own - shared
    diagonal += np.sum(difference * np.swapaxes(difference, 1, 2)) - np.sum(shared * np.swapaxes(shared, 1, 2))
    return float(q * (q + 1) / (off + diagonal))


# --- what the user sees ---------------------------------------------------------------------------------------------
def vcov_robust(fit: FitBase, cluster: Any, type: str | None) -> pd.DataFrame:
    """The work behind ``vcov_robust``."""
    return pd.DataFrame(robust_tests(fit, cluster, type).vcov, index=fit.x_names, columns=fit.x_names)


def robust(fit: FitBase, cluster: Any, type: str | None) -> TableReport:
    """The work behind ``robust``."""
    tests = robust_tests(fit, cluster, type)
    table = tests.contrasts(np.eye(tests.beta.size))
    table.index = pd.Index(tests.names, name="term")
    notes = []
    if tests.kind != "CR2" and tests.n_clusters < FEW:
        better = "" if tests.contributions is None else "; choose type='CR2'"
        notes.append(f"{tests.kind} is too small with few clusters (here {tests.n_clusters}){better}")
    if tests.contributions is None:
        notes.append("Wald z tests; the scores are those of the marginal likelihood, all parameters included")
    call = (("Formula", one_line(fit.formula)), ("Clusters", f"{tests.n_clusters} of {one_line(tests.cluster)}"))
    return TableReport(table, f"Fixed effects with cluster-robust standard errors ({tests.kind})", call, tuple(notes))
