"""What a conditional maximum likelihood fit of the Rasch family gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.irt.cml import CmlSolution
from jmix.estimate.irt.cml_data import CmlData
from jmix.estimate.irt.cml_design import CmlDesign, threshold_contrast, threshold_names
from jmix.estimate.irt.cml_scores import estimate_by_score
from jmix.responses.data import Responses
from jmix.results.frames import check_level
from jmix.results.irt.cml_summary import CmlSummary

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank
    from jmix.results.irt.cml_andersen import AndersenTest

FloatArray = npt.NDArray[np.float64]
Reference = Literal["sum", "first"]
ScoreMethod = Literal["WLE", "ML"]


@dataclass(frozen=True, eq=False, repr=False)
class CmlFit:
    """Conditional estimates of a Rasch, partial credit, rating scale or linear logistic test model.

    Attributes:
        responses: the data. data: their sufficient statistics. design: the linear structure. solution: the estimates.
        notes: what the user must know, one sentence each.
    """

    responses: Responses
    data: CmlData
    design: CmlDesign
    solution: CmlSolution
    notes: tuple[str, ...] = field(default=())

    @property
    def model(self) -> str:
        """RM, PCM, RSM, LLTM or LPCM."""
        return self.design.model

    @property
    def converged(self) -> bool:
        """Whether the Newton decrement is negligible."""
        return self.solution.converged

    @property
    def loglik(self) -> float:
        """Conditional log likelihood, given the scores. Not to be compared with a marginal one."""
        return self.solution.loglik

    @property
    def npar(self) -> int:
        """Number of parameters."""
        return self.solution.eta.size

    @property
    def nobs(self) -> int:
        """Persons whose score is neither the lowest nor the highest possible: the others say nothing of the items."""
        return self.data.n_used

    @property
    def aic(self) -> float:
        """Akaike's criterion of the conditional likelihood."""
        return 2.0 * self.npar - 2.0 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz's criterion of the conditional likelihood, the log of ``nobs`` a parameter."""
        return float(np.log(max(self.nobs, 1))) * self.npar - 2.0 * self.loglik

    def coef(self) -> pd.Series[Any]:
        """(P,) basic parameters: difficulties or thresholds but the first, or the effects of an LLTM."""
        return pd.Series(self.solution.eta, index=pd.Index(self.design.names, name="term"), name="estimate")

    def vcov(self) -> pd.DataFrame:
        """(P, P) inverse of the observed information of the basic parameters."""
        names = list(self.design.names)
        return pd.DataFrame(self._vcov, index=names, columns=names)

    def se(self) -> pd.Series[Any]:
        """(P,) standard errors of ``coef``."""
        se = np.sqrt(np.diag(self._vcov))
        return pd.Series(se, index=pd.Index(self.design.names, name="term"), name="std_error")

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """(P, 2) Wald intervals of ``coef``, columns ``lower`` and ``upper``.

        Raises:
            ModelError: a level outside (0, 1).
        """
        width = NormalDist().inv_cdf(0.5 + 0.5 * check_level(level))
        coef, se = self.coef(), self.se()
        return pd.DataFrame({"lower": coef - width * se, "upper": coef + width * se})

    def tidy(self, *, conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a basic parameter: ``term estimate std_error`` and, if asked for, ``conf_low conf_high``."""
        frame = pd.concat([self.coef(), self.se()], axis=1).reset_index()
        if conf_int:
            limits = self.confint(level)
            frame["conf_low"], frame["conf_high"] = limits["lower"].to_numpy(), limits["upper"].to_numpy()
        return frame

    def glance(self) -> pd.DataFrame:
        """One row for the model: sizes, conditional likelihood, criteria and whether the fit converged."""
        names = ("model", "nobs", "npar", "loglik", "aic", "bic", "converged")
        row = {name: getattr(self, name) for name in names}
        return pd.DataFrame([{"n_persons": self.data.n_persons, "n_items": len(self.data.items), **row}])

    @cached_property
    def _vcov(self) -> FloatArray:
        return self.solution.vcov

    def thresholds(self, reference: Reference = "sum") -> pd.DataFrame:
        """Thresholds with standard errors: columns ``item``, ``category``, ``b`` and ``se_b``.

        Args:
            reference: the thresholds' mean is 0 ("sum", as eRm reports them), or the first one is 0 ("first").
        """
        data = self.data
        own = threshold_contrast(data.owner, reference) @ self.design.matrix
        names = threshold_names(data.items, data.owner, data.step)
        frame = {
            "item": [data.items[j] for j in data.owner],
            "category": data.step,
            "b": own @ self.solution.eta,
            "se_b": _root_diagonal(own, self._vcov),
        }
        return pd.DataFrame(frame, index=pd.Index(names, name="threshold"))

    def items(self, reference: Reference = "sum") -> pd.DataFrame:
        """A row for each item: difficulty ``b`` and ``se_b``; of more categories, the mean of the thresholds ``b1``, ….

        Args:
            reference: as in ``thresholds``.
        """
        data = self.data
        own = threshold_contrast(data.owner, reference) @ self.design.matrix
        mean = np.stack([own[data.owner == j].mean(axis=0) for j in range(len(data.items))])
        out = pd.DataFrame(
            {"b": mean @ self.solution.eta, "se_b": _root_diagonal(mean, self._vcov)},
            index=pd.Index(data.items, name="item"),
        )
        if data.step.max() == 1:
            return out
        table = self.thresholds(reference)
        for k in range(1, int(data.step.max()) + 1):
            part = table[table["category"] == k].set_index("item")
            out[f"b{k}"], out[f"se_b{k}"] = part["b"], part["se_b"]
        return out

    def score_table(self) -> pd.DataFrame:
        """Trait by score of persons who answered all items.

        The columns are the number of persons ``n``, and ``theta`` and ``se`` by both methods. ML is infinite at both
        ends; Warm's weighted likelihood estimate (WLE, 1989) is finite everywhere. Thresholds have mean 0, so that
        theta is relative to the test's average difficulty.
        """
        data = self.data
        top = int(np.bincount(data.owner).sum())
        scores = np.arange(top + 1, dtype=np.int32)
        offset = np.concatenate([[0], np.cumsum(np.bincount(data.owner))])
        k = np.arange(int(data.step.max()))
        place = np.where(k < np.diff(offset)[:, None], offset[:-1, None] + k, data.n_categories)[:, None, :]
        all_items = (data.pattern >= 0) & (data.maximum[data.pattern] == top)
        frame: dict[str, Any] = {"n": np.bincount(data.score[all_items], minlength=top + 1)}
        for method in ("WLE", "ML"):
            found = estimate_by_score(self._easiness, place, np.zeros(top + 1, np.int32), scores, method)
            frame |= {f"theta_{method}": found.theta, f"se_{method}": found.se}
        return pd.DataFrame(frame, index=pd.Index(scores, name="score"))

    def scores(self, method: ScoreMethod = "WLE") -> pd.DataFrame:
        """A row for each person: ``score``, the highest possible one ``max``, ``theta`` and ``se``.

        Args:
            method: "WLE" or "ML", as in ``score_table``. Persons without responses have no estimate.

        Raises:
            ModelError: there is no such method.
        """
        if method not in ("WLE", "ML"):
            raise ModelError(f"scores({method!r}): conditional fits know no distribution of the trait; 'WLE' or 'ML'")
        data = self.data
        known = data.pattern >= 0
        key = data.pattern.astype(np.int64) * (int(data.maximum.max()) + 1) + data.score
        unique, inverse = np.unique(key[known], return_inverse=True)
        pattern, score = np.divmod(unique, int(data.maximum.max()) + 1)
        found = estimate_by_score(self._easiness, data.places, pattern, score, method)
        theta, se = np.full(known.size, np.nan), np.full(known.size, np.nan)
        theta[known], se[known] = found.theta[inverse], found.se[inverse]
        top = np.where(known, data.maximum[data.pattern], 0)
        return pd.DataFrame({"score": data.score, "max": top, "theta": theta, "se": se}, index=self.responses.persons)

    @property
    def _easiness(self) -> FloatArray:
        """(C,) log easiness for thresholds with mean 0."""
        c = self.design.matrix @ self.solution.eta
        thresholds = threshold_contrast(self.data.owner) @ c
        same = self.data.owner[:, None] == self.data.owner
        return -(np.tril(same) @ thresholds)

    def bank(self) -> ItemBank:
        """The items as a bank, thresholds with mean 0: for information, curves, linking and adaptive tests."""
        from jmix.items.bank import ItemBank

        owner = self.data.owner
        steps = np.bincount(owner)
        own = np.split(self._easiness, np.cumsum(steps)[:-1])
        frame = pd.DataFrame({"a": 1.0, "itemtype": np.where(steps == 1, "Rasch", "PCM")}, index=list(self.data.items))
        frame["d"] = [d[0] if d.size == 1 else np.nan for d in own]
        for k in range(int(steps.max())):
            frame[f"d{k + 1}"] = [d[k] if d.size > max(k, 1) else np.nan for d in own]
        return ItemBank.from_frame(frame)

    def itemfit(self, scores: ScoreMethod = "ML") -> pd.DataFrame:
        """Infit and outfit of each item with normal deviates (Wright & Masters 1982), and Zh.

        Args:
            scores: the estimates at which residuals are taken; persons whose estimate is infinite are left out.
        """
        from jmix.results.irt.mean_squares import item_mean_squares
        from jmix.results.irt.observed import observed

        theta = self.scores(scores)["theta"].to_numpy()
        rows = np.flatnonzero(np.isfinite(theta))
        return item_mean_squares(self.bank(), observed(self.responses).take(rows), theta[rows, None])

    def personfit(self, scores: ScoreMethod = "ML") -> pd.DataFrame:
        """Infit and outfit of each person with normal deviates, and Zh; NaN where the estimate is infinite."""
        from jmix.results.irt.mean_squares import person_mean_squares
        from jmix.results.irt.observed import observed

        theta = self.scores(scores)["theta"].to_numpy()
        rows = np.flatnonzero(np.isfinite(theta))
        found = person_mean_squares(self.bank(), observed(self.responses).take(rows), theta[rows, None])
        return found.set_index(rows).reindex(np.arange(theta.size)).set_axis(self.responses.persons, axis=0)

    def save(self, path: str | Path) -> None:
        """Write the fit with its responses to one ``.npz`` file without pickle; ``jmix.load_fit`` reads it."""
        from jmix.results.irt.cml_io import save

        save(self, path)

    def andersen(self, split: Any = "median") -> AndersenTest:
        """Andersen's likelihood ratio test (1973, Psychometrika 38) of equal difficulties in parts of the data.

        Args:
            split: "median" or "mean" (persons by their score), "scores" (a part for each score), the name of a column
                of the person data, "group", or (N,) values.
        """
        from jmix.results.irt.cml_andersen import andersen_test

        return andersen_test(self, split)

    def compare(self, other: CmlFit) -> pd.Series[Any]:
        """Likelihood ratio test of nested models of the same responses, such as an LLTM within the Rasch model.

        Raises:
            ModelError: the fits are of other data or have as many parameters.
        """
        from scipy.stats import chi2

        if other.data.items != self.data.items or other.nobs != self.nobs:
            raise ModelError("only fits of the same items and persons can be compared")
        small, large = sorted((self, other), key=lambda fit: fit.npar)
        df = large.npar - small.npar
        if df == 0:
            raise ModelError("the two models have equally many parameters: neither is a special case of the other")
        statistic = 2.0 * (large.loglik - small.loglik)
        return pd.Series({"statistic": statistic, "df": df, "p_value": float(chi2.sf(statistic, df))})

    def summary(self) -> CmlSummary:
        """The estimates as text, markdown, LaTeX or HTML."""
        return CmlSummary(self)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)


def _root_diagonal(own: FloatArray, vcov: FloatArray) -> FloatArray:
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", own, vcov, own, optimize=True), 0.0))
