"""What an item response model estimated: items, latent distribution, likelihood, covariance of the estimates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.results.irt.numbers import Numbers

if TYPE_CHECKING:
    from jmix.estimate.irt.solution import IrtSolution
    from jmix.estimate.status import Status
    from jmix.items.bank import ItemBank
    from jmix.responses.data import Responses
    from jmix.results.irt.fit import IrtFit
    from jmix.results.irt.summary import IrtSummary
    from jmix.spec.irt.spec import IrtSpec

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class IrtEstimates:
    """Estimates and likelihood of an item response model.

    Attributes:
        solution: estimates in arrays. responses: the data. marginal: the marginal likelihood of these
            data, see ``jmix.likelihood.irt.marginal.Marginal``.
        covariates: (N, p) person model matrix of a latent regression; None without one.
        encodings: of the formulas of that regression, for new persons.
    """

    solution: IrtSolution
    responses: Responses
    marginal: Any
    covariates: FloatArray | None = None
    encodings: tuple[Any, ...] = ()

    @property
    def _fit(self) -> IrtFit:
        return cast("IrtFit", self)

    @property
    def spec(self) -> IrtSpec:
        """The frozen specification."""
        return self.solution.spec

    @property
    def status(self) -> Status:
        """The convergence certificate."""
        return self.solution.status

    @property
    def converged(self) -> bool:
        """Whether the convergence certificate holds."""
        return self.status.converged

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the data and of the estimates, one sentence each."""
        return tuple(self.solution.notes)

    @property
    def method(self) -> str:
        """How it was fitted: "ML", or "MAP" where some parameter has a prior."""
        return "MAP" if any(prior is not None for prior in self.spec.table.priors) else "ML"

    @cached_property
    def numbers(self) -> Numbers:
        """All numbers of the model and their covariance."""
        return Numbers(self.spec, np.asarray(self.solution.x), self.solution.vcov)

    # --- criteria ---------------------------------------------------------------------------------------------------
    @property
    def loglik(self) -> float:
        """Marginal log likelihood, without the log prior."""
        return float(self.solution.loglik)

    @property
    def log_posterior(self) -> float:
        """Log likelihood plus log prior."""
        return self.loglik + float(self.solution.log_prior)

    @property
    def quadrature_error(self) -> float:
        """Log likelihood at twice the nodes less ``loglik``."""
        return float(self.solution.quadrature_error)

    @property
    def npar(self) -> int:
        """Number of estimated parameters."""
        return self.spec.n_free

    @property
    def nobs(self) -> float | int:
        """Number of persons; with weights their sum."""
        weights = self.responses.weights
        if weights is None:
            return self.responses.n_persons
        total = float(weights.sum())
        return int(total) if total.is_integer() else total

    @property
    def deviance(self) -> float:
        """-2 times the log likelihood."""
        return -2.0 * self.loglik

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return self.deviance + 2.0 * self.npar

    @property
    def bic(self) -> float:
        """Schwarz's Bayesian information criterion, with the number of persons."""
        return self.deviance + self.npar * float(np.log(self.nobs))

    @property
    def sabic(self) -> float:
        """BIC with Sclove's (1987) adjustment of the sample size, ``(N + 2) / 24``."""
        return self.deviance + self.npar * float(np.log((self.nobs + 2.0) / 24.0))

    # --- estimates --------------------------------------------------------------------------------------------------
    def coef(self) -> pd.Series:
        """(P,) free parameters by name; lower and upper asymptotes as probabilities."""
        return pd.Series(self.numbers.estimates, index=self.numbers.names, name="estimate")

    def se(self) -> pd.Series:
        """(P,) standard errors of ``coef``; by the delta method for asymptotes.

        Raises:
            ModelError: the model was fitted with ``se="none"``.
        """
        self._require_vcov("se()")
        return pd.Series(self.numbers.se, index=self.numbers.names, name="std_error")

    def vcov(self, names: Any = None) -> pd.DataFrame:
        """(P, P) covariance matrix of the free parameters in their order; asymptotes as logits, named so.

        Args:
            names: only these parameters; a name, or a list of names.

        Raises:
            ModelError: the model was fitted with ``se="none"``, or there is no parameter of a name.
        """
        self._require_vcov("vcov()")
        known = list(self.spec.table.free_names)
        wanted = known if names is None else [names] if isinstance(names, str) else list(names)
        places = {name: i for i, name in enumerate(known)}
        for name in wanted:
            if name not in places:
                raise ModelError(f"there is no free parameter {name!r}; see fit.vcov().index")
        at = np.array([places[name] for name in wanted], dtype=np.int64)
        vcov: Any = self.solution.vcov
        part = vcov if names is None else vcov[np.ix_(at, at)]
        dense = part.toarray() if hasattr(part, "toarray") else part
        return pd.DataFrame(np.asarray(dense), index=wanted, columns=wanted)

    def _require_vcov(self, what: str) -> None:
        if self.solution.vcov is None:
            raise ModelError(f"{what} needs standard errors, which this fit has none of: fit with se='hessian'")

    def items(self, group: str | None = None) -> pd.DataFrame:
        """Item parameters with standard errors, one row an item.

        Columns, those that the model has: slopes ``a`` (``a1 a2 ...`` of several dimensions); scoring factors ``ak1
        ...`` of nominal items; intercepts ``d``, of ordered categories ``d1 d2 ...`` (cumulative, log P_k / P_0, for
        partial credit and nominal items); difficulties ``b`` or ``b1 b2 ...``, where the probability of the category
        or above is one half (graded, logistic without asymptotes) or where neighbouring categories are equally
        likely (partial credit); of several dimensions along the item's direction, ``-d / |a|`` (Reckase 1985, Appl.
        Psychol. Meas. 9); asymptotes ``c`` and ``u`` as probabilities; ``se_`` before each, by the delta method, 0 for
        fixed parameters, absent after ``se="none"``; ``itemtype``. NaN where an item has no such parameter.

        Args:
            group: the name of one group. With several groups that differ in their items and None, all of them one
                after the other with a column ``group``.

        Raises:
            ModelError: there is no such group.
        """
        from jmix.results.irt.items import items

        return items(self.numbers, group, se=self.solution.vcov is not None)

    def latent(self) -> pd.DataFrame:
        """The latent distribution: one row a quantity, columns ``group parameter term estimate se fixed``.

        ``parameter`` is "mean", "sd", "var", "corr", "cov", by group; "beta", the latent regression, and "cluster_sd"
        of the whole. Standard errors of variances and covariances by the delta method; 0 where fixed.
        """
        from jmix.results.irt.latent import latent_table

        return latent_table(self.numbers)

    def bank(self, group: str | None = None) -> ItemBank:
        """The items of a group at the estimates, as arrays for scoring, information and adaptive tests."""
        from jmix.items.bank import ItemBank
        from jmix.results.irt.items import group_number

        return ItemBank.from_spec(self.spec, self.solution.x, 0 if group is None else group_number(self.spec, group))

    # --- printing ---------------------------------------------------------------------------------------------------
    def summary(self) -> IrtSummary:
        """A printable summary, with ``to_markdown``, ``to_latex`` and ``to_html``."""
        from jmix.results.irt.summary import IrtSummary

        return IrtSummary(self._fit)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().to_html())
