"""How much each group, or each row, decides the estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.checks.check_groups import RowGroups, coarsest, row_groups, rows_as_groups
from jmix.results.inference.checks.influence_lmm import Deleted, deleted, rows_given_theta
from jmix.results.inference.report import TableReport
from jmix.results.text_table import one_line
from jmix.spec.names import parameter_names

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.glmm_fit import GlmmFit

FloatArray = npt.NDArray[np.float64]

SHOWN = 20
"""Groups that are printed."""


SHOWN = 10
"""Rows that are printed of more groups than fit on a page."""


@dataclass(frozen=True, eq=False, repr=False)
class Influence(TableReport):
    """The fit without each group, beside the fit; the most influential groups are printed.

    ``table`` has one row a group, in the order of its levels: ``n`` rows; ``cooks_distance``, ``(beta - beta_g)'
    V^{-1} (beta - beta_g) / p`` with V the covariance of beta in the whole fit; ``covtrace``, ``|tr(V^{-1} V_g) - p|``;
    ``covratio``, ``|V_g| / |V|``; ``displacement``, twice the log likelihood of all data lost at the estimates without
    the group (Cook 1986, J. R. Stat. Soc. B 48), restricted after REML; of a linear model ``sigma_ratio``, its sigma
    over that of the fit; ``refitted``, whether by a true refit rather than one step.

    Attributes:
        fit: of all data. groups: of the rows. deleted: estimates without each group, as arrays. names: of parameters.
    """

    fit: Any = None
    groups: Any = None
    deleted: Any = None
    names: tuple[str, ...] = ()

    def shown(self) -> pd.DataFrame:
        """The rows of a long table that are printed: the largest Cook's distances."""
        return self.table.nlargest(SHOWN, "cooks_distance")

    @property
    def cooks_distance(self) -> pd.Series:
        """(G,) Cook's distance of each group."""
        return self.table["cooks_distance"]

    def estimates(self) -> pd.DataFrame:
        """(G, P) every parameter without each group: fixed effects, standard deviations, correlations and sigma.

        Of a generalized model the parameters as they are estimated, as in ``vcov("all")``.
        """
        return pd.DataFrame(self.deleted.parameters, index=self.table.index, columns=list(self.names))

    def fixef(self) -> pd.DataFrame:
        """(G, p) fixed effects without each group."""
        return pd.DataFrame(self.deleted.beta, index=self.table.index, columns=self.fit.x_names)

    @property
    def theta(self) -> pd.DataFrame:
        """(G, k) covariance parameters without each group."""
        return pd.DataFrame(self.deleted.theta, index=self.table.index, columns=self.fit.spec.theta_names())

    @property
    def sigma(self) -> pd.Series:
        """(G,) residual standard deviation without each group."""
        return pd.Series(self.deleted.sigma, index=self.table.index, name="sigma")

    def dfbeta(self) -> pd.DataFrame:
        """(G, p) how much each group moves the fixed effects: those without it less those of all data, as lme4's."""
        return self.fixef() - self.fit.beta

    def dfbetas(self) -> pd.DataFrame:
        """(G, p) ``dfbeta`` over the standard errors without the group, as lme4's."""
        return self.dfbeta() / np.sqrt(np.einsum("gaa->ga", self.deleted.vcov))

    def variance_changes(self) -> pd.DataFrame:
        """(G, .) relative change of each variance, and of sigma's square, without the group; NaN from a zero."""
        names = [n for n in self.names if n.startswith("sd_") or n == "sigma"]
        whole = dict(zip(self.names, full_parameters(self.fit), strict=True))
        own = self.estimates()[names]
        with np.errstate(divide="ignore", invalid="ignore"):
            return (own / [whole[n] or np.nan for n in names]) ** 2 - 1.0

    def plot(self, *, statistic: str = "cooks_distance", top: int = 25, figsize: Any = None) -> Any:
        """Sorted dots of a column of ``table``, or of the ``dfbetas`` of a fixed effect, largest above.

        Args:
            statistic: a column of ``table``, or the name of a fixed effect. top: groups shown.

        Raises:
            ModelError: another name. JmixError: matplotlib is missing.
        """
        from jmix.results.inference.checks.influence_plot import influence_plot

        return influence_plot(self, statistic, top, figsize)


def influence(fit: FitBase, group: Any, *, exact: bool) -> Influence:
    """The work behind ``influence``."""
    if getattr(fit, "method", None) == "MAP":
        raise ModelError("influence() is for maximum likelihood, REML and least squares; not for fit('map')")
    if len(fit.x_names) == 0:
        raise ModelError("influence(): the model has no fixed effects on which groups could have an influence")
    groups = _groups(fit, group)
    if groups.n_groups < 2:
        raise ModelError(f"influence(): {groups.name!r} has one group only; nothing is left without it")
    if not hasattr(fit, "reml"):
        parts = generalized(fit, groups, exact=exact)  # type: ignore[arg-type]
    elif groups.name == "row" and group is None and not exact:
        parts = rows_given_theta(fit)  # type: ignore[arg-type]
    else:
        parts = deleted(fit, groups, exact=exact)  # type: ignore[arg-type]
    return report(fit, groups, parts, exact=exact)


def _groups(fit: FitBase, group: Any) -> RowGroups:
    if group is None:
        return rows_as_groups(fit)
    if isinstance(group, str) and group == "coarsest":
        group = coarsest(fit) or group
    return row_groups(fit, group, what="influence()")


def report(fit: FitBase, groups: RowGroups, parts: Deleted, *, exact: bool) -> Influence:
    """The statistics of every group, and what to print."""
    table = statistics(fit, groups, parts)
    if groups.name == "row" and hasattr(fit, "leverage"):
        table = with_leverage(fit, table)
    notes = _notes(fit, groups, parts, exact)
    title = "Influence of " + ("rows" if groups.name == "row" else f"the levels of {one_line(groups.name)}")
    call = (("Formula", one_line(fit.formula)),)
    return Influence(table, title, call, notes, None, fit, groups, parts, tuple(names_of(fit)))


def names_of(fit: FitBase) -> list[str]:
    """Names of the parameters of ``Influence.estimates``."""
    return parameter_names(fit.x_names, fit.spec) if hasattr(fit, "reml") else list(fit.objective.names)  # type: ignore[attr-defined]


def full_parameters(fit: FitBase) -> FloatArray:
    """(P,) the same parameters in the fit of all data."""
    from jmix.results.inference.checks.influence_lmm import sds_and_correlations

    if not hasattr(fit, "reml"):
        return np.asarray(fit.solution.x)  # type: ignore[attr-defined]
    scale = np.array([fit.theta_scale])
    return np.concatenate([fit.beta, sds_and_correlations(fit.spec, fit.theta_values[None], scale)[0], scale])


def statistics(fit: FitBase, groups: RowGroups, parts: Deleted) -> pd.DataFrame:
    """One row a group."""
    whole, p = fit.fixed_covariance, fit.beta.size
    free = np.isfinite(np.diag(whole))
    whole = whole[np.ix_(free, free)]
    inverse, logdet = np.linalg.inv(whole), np.linalg.slogdet(whole)[1]
    shift = (parts.beta - fit.beta)[:, free]
    own = parts.vcov[:, free][:, :, free]
    with np.errstate(invalid="ignore"):
        sign, own_logdet = np.linalg.slogdet(np.where(np.isfinite(own), own, np.nan))
        columns = {
            "n": groups.counts,
            "cooks_distance": np.einsum("ga,ab,gb->g", shift, inverse, shift) / p,
            "covtrace": np.abs(np.einsum("ab,gba->g", inverse, own) - p),
            "covratio": np.where(sign > 0, np.exp(own_logdet - logdet), np.nan),
            "displacement": parts.displacement,
        }
    if fit.residual_sd is not None and np.isfinite(parts.sigma).any():
        columns["sigma_ratio"] = parts.sigma / fit.residual_sd
    table = pd.DataFrame(columns, index=pd.Index(groups.levels, name=groups.name))
    if np.isnan(parts.displacement).all():
        del table["displacement"]
    table["refitted"] = parts.refitted
    return table


def with_leverage(fit: Any, table: pd.DataFrame) -> pd.DataFrame:
    """Rows also get ``leverage`` and ``cooks_conditional``, lme4's ``hatvalues`` and ``cooks.distance``.

    The latter measures the move of the conditional fitted values: ``r^2 h / (sigma^2 (1 - h)^2 p)``, r Pearson.
    """
    hat = fit.leverage().to_numpy()
    pearson = fit.residuals("pearson").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (pearson / (1.0 - hat)) ** 2 * hat / (fit.sigma**2 * fit.beta.size)
    table = table.drop(columns="n")
    table.insert(0, "leverage", hat)
    table.insert(2, "cooks_conditional", np.where(np.isfinite(distance), distance, np.nan))
    return table


def _notes(fit: FitBase, groups: RowGroups, parts: Deleted, exact: bool) -> tuple[str, ...]:
    notes = []
    held = groups.name == "row" and hasattr(fit, "reml") and fit.terms and not exact
    if held:
        notes.append("theta is held at its estimate; influence(exact=True) fits again without each row")
    elif exact and not parts.refitted.all():
        notes.append(f"interrupted: {int((~parts.refitted).sum())} groups by one Newton step rather than a refit")
    elif not parts.refitted.all():
        notes.append("one Newton step from the estimates for each group; influence(..., exact=True) fits again")
        if parts.refitted.any():
            notes.append(f"{int(parts.refitted.sum())} refitted, where one step is not enough")
    lost = [groups.levels[i] for i in np.flatnonzero(~np.isfinite(parts.beta).all(axis=1))]
    if lost:
        shown = ", ".join(map(one_line, lost[:5])) + (", ..." if len(lost) > 5 else "")
        notes.append(f"without {shown} the model cannot be estimated (NaN)")
    failed = int(np.sum(parts.refitted & ~parts.converged & np.isfinite(parts.beta).all(axis=1)))
    if failed:
        notes.append(f"{failed} refits did not converge")
    return tuple(notes)


def generalized(fit: GlmmFit, groups: RowGroups, *, exact: bool) -> Deleted:
    """A generalized model: one Newton step in all parameters, or refits."""
    from jmix.results.inference.checks import influence_glmm as work

    x, doubt = work.one_step(fit, groups)
    g = x.shape[0]
    vcov, converged = work.covariances(fit, groups), np.asarray(np.isfinite(doubt), dtype=np.bool_)
    which = np.arange(g) if exact else work.doubtful(doubt)
    starts = np.where((doubt > work.APART)[:, None], fit.solution.x, x)
    again, own, arrived, done = work.refits(fit, groups, starts, which)
    x = np.where(done[:, None], again, x)
    vcov, converged = np.where(done[:, None, None], own, vcov), np.where(done, arrived, converged)
    displacement = np.array([2.0 * (fit.loglik - fit.objective.loglik(own)) for own in x]) if g <= MOST_GLMM else None
    place = fit.objective.slices
    nothing = np.full(g, np.nan)
    return Deleted(
        beta=x[:, place["beta"]],
        vcov=vcov[:, place["beta"], place["beta"]],
        theta=x[:, place["theta"]],
        sigma=nothing,
        parameters=x,
        displacement=nothing if displacement is None else displacement,
        refitted=done,
        converged=converged,
    )


MOST_GLMM = 500
"""Groups of a generalized model for which the displacement of the likelihood is evaluated."""
