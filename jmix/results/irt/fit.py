"""The result of fitting an item response model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.results.irt.plots import IrtPlots
from jmix.results.irt.uses import IrtUses

if TYPE_CHECKING:
    from jmix.likelihood.irt.marginal import Moments
    from jmix.results.irt.loadings import Rotation

FloatArray = npt.NDArray[np.float64]
ScoreMethod = Literal["EAP", "MAP", "ML", "WLE", "EAPsum", "plausible"]


@dataclass(frozen=True, eq=False, repr=False)
class IrtFit(IrtUses, IrtPlots):
    """A fitted item response model: estimates, scores, information, fit and everything that follows from them."""

    # --- persons ----------------------------------------------------------------------------------------------------
    @cached_property
    def posterior_moments(self) -> Moments:
        """Mean (N, D) and covariance (N, D, D) of theta given each person's responses."""
        return self.marginal.moments(self.solution.x)

    def scores(
        self,
        method: ScoreMethod = "EAP",
        responses: Any = None,
        *,
        rotate: str | None = None,
        n: int = 5,
        seed: int = 0,
        **options: Any,
    ) -> pd.DataFrame:
        """Estimates of the traits of persons with standard errors: a column for each factor, then ``se_`` of each.

        Args:
            method: "EAP", mean and standard deviation of the posterior (Bock & Mislevy 1982, Appl. Psychol. Meas. 6);
                "MAP", its mode; "ML", infinite where the likelihood has no maximum, as for all responses in the highest
                category, with a note in ``.attrs``; "WLE", Warm's (1989, Psychometrika 54, eq. 7) weighted likelihood,
                finite (in several dimensions by Jeffreys' prior); these three with standard errors from the second
                derivative of what is maximised, "MAP" with a normal prior also where another density was estimated;
                "EAPsum", the EAP given the sum score only; "plausible", see ``plausible_values``.
            responses: new persons' responses to some or all of the items, as ``jmix.irt`` takes them; None for the
                persons of the fit.
            rotate: "oblimin", "varimax", ... of an exploratory model: scores on the rotated factors.
            n, seed: of plausible values.
            options: of new responses: ``person``, ``item``, ``response``, ``group``, ``data``, ...

        Returns:
            (N, 2 D) frame indexed by person. Prior are the group's normal distribution and the latent regression; of
            what other persons of a cluster say only "EAP" and "plausible" know. A person without any response has the
            prior's mean and standard deviation, and NaN by "ML" and "WLE".

        Raises:
            ModelError: an unknown method or rotation. DataError: responses that do not fit the items.
        """
        from jmix.results.irt.scores import scores

        new, covariates = self._new(responses, options)
        return scores(self, method, new, covariates, n, seed, rotate)

    def plausible_values(self, n: int = 5, *, responses: Any = None, seed: int = 0, **options: Any) -> pd.DataFrame:
        """(N, n D) draws of theta given the responses, columns ``PV1_F1 ... PVn_FD`` (Mislevy 1991, Psychometrika 56).

        Exact draws from the posterior by Metropolis steps, at the estimates of the item parameters; with clusters of
        persons, draws from its normal approximation.

        Raises:
            ModelError: n is not a positive whole number.
        """
        return self.scores("plausible", responses, n=n, seed=seed, **options)

    def score_table(self, group: str | None = None) -> pd.DataFrame:
        """What each sum score says: EAP estimate with its standard deviation, and how often it occurs.

        Indexed by ``sum_score`` from 0, categories scored 0, 1, 2, ...: a column for each factor, ``se_`` of each; with
        complete responses ``observed`` and ``expected`` numbers of persons and ``std_residual``, their difference over
        the root of what is expected; ``percentile``, the mid-percentile in the latent population, and ``T``, its
        normal score with mean 50 and standard deviation 10. Lord & Wingersky (1984), Thissen et al. (1995).

        Args:
            group: the name of one group; None for all, with a column ``group``.
        """
        from jmix.results.irt.sumscore import score_table

        return score_table(self, group)

    def reliability(self, type: Literal["marginal", "empirical"] = "marginal", group: str | None = None) -> Any:
        """Reliability of the trait estimates.

        Args:
            type: "marginal", a number: ``I(theta) / (I(theta) + 1 / var)`` averaged over the latent distribution of
                the group, covariates included, var its variance (mirt 1.47 has var for 1 / var there, and N(0, 1));
                "empirical", a series by factor: variance of the EAP estimates over that variance plus the mean squared
                standard error, as mirt's ``empirical_rxx``.

        Raises:
            ModelError: another type, or "marginal" for several factors.
        """
        from jmix.results.irt.information import reliability

        return reliability(self, type, group)

    # --- items and test ---------------------------------------------------------------------------------------------
    def information(self, theta: Any = None, *, direction: Any = None, group: str | None = None) -> pd.DataFrame:
        """Expected information of each item and of the test: columns the items, ``test`` and ``se``, ``1/sqrt(test)``.

        Args:
            theta: (Q,) trait values, or (Q, D); None for -4 to 4 by 0.1. direction: (D,) of any length, along which the
                information is taken where there are several factors, ``v' I(theta) v``.

        Raises:
            ModelError: several factors and no theta or direction, or shapes that do not fit.
        """
        from jmix.results.irt.information import information

        return information(self, theta, direction, group)

    def expected_scores(self, theta: Any = None, *, group: str | None = None) -> pd.DataFrame:
        """Expected score of each item and of the test (``test``, the test characteristic curve), categories scored 0,
        1, 2, ..., at trait values as of ``information``.
        """
        from jmix.results.irt.information import expected_scores

        return expected_scores(self, theta, group)

    def rotate(
        self, method: str | None = "oblimin", *, group: str | None = None, normalize: bool | None = None, seed: int = 0
    ) -> Rotation:
        """Standardised loadings, slopes and correlations of rotated factors; see ``jmix.results.irt.loadings``.

        Args:
            method: "oblimin", "geomin", "promax" (oblique), "varimax", "quartimax" (orthogonal), or None.
            normalize: Kaiser's, rows of length one meanwhile; None for varimax and promax only. seed: of the starts.

        Raises:
            ModelError: an unknown method, or a model whose factors a pattern fixes.
        """
        from jmix.results.irt.loadings import rotate

        return rotate(self, method, group, normalize, seed)

    def loadings(self, rotate: str | None = "auto", *, group: str | None = None) -> pd.DataFrame:
        """(J, D + 1) standardised loadings ``a sd / sqrt(1.702^2 + var(a'theta))`` and the communality ``h2``.

        Args:
            rotate: "auto" is "oblimin" for exploratory models and None for others; see ``rotate``.
        """
        if rotate == "auto":
            rotate = "oblimin" if self.spec.exploratory and self.spec.n_factors > 1 else None
        return self.rotate(rotate, group=group).loadings

    # --- prediction and simulation ----------------------------------------------------------------------------------
    def predict(
        self,
        theta: Any = None,
        *,
        type: Literal["expected", "probs"] = "expected",
        method: ScoreMethod = "EAP",
        group: str | None = None,
    ) -> pd.DataFrame:
        """Expected scores or category probabilities of every item.

        Args:
            theta: (Q,) or (Q, D) trait values, or a series or frame of them; None for the persons of the fit at their
                estimates by ``method``. type: "expected", categories scored 0, 1, 2, ...; "probs", with columns (item,
                category). group: whose items.

        Raises:
            ModelError: an unknown type, or estimates that are not finite.
        """
        from jmix.results.irt.predict import predict

        return predict(self, theta, type, method, group)

    def simulate(
        self,
        persons: int | None = None,
        *,
        seed: int = 0,
        theta: Any = None,
        group: str | None = None,
        missing: bool = True,
    ) -> pd.DataFrame:
        """Responses drawn from the fitted model, a frame persons by items of the categories' labels; of the persons of
        a fit to a sparse list, again a list, with columns ``person item response``.

        Args:
            persons: number of new persons of ``group`` (the first); None for the persons of the fit with new traits,
                drawn given their groups, covariates and clusters. theta: (n,) or (n, D) traits instead.
            missing: for the persons of the fit, leave missing what they did not answer.

        Raises:
            ModelError: numbers out of range.
        """
        from jmix.results.irt.simulate import simulate

        return simulate(self, persons, seed, theta, group, missing)

    # --- inference and frames ---------------------------------------------------------------------------------------
    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """(P, 2) Wald intervals of ``coef``, columns ``lower`` and ``upper``; those of asymptotes on the logit scale,
        then mapped to probabilities.

        Raises:
            ModelError: a level outside (0, 1), or the model was fitted with ``se="none"``.
        """
        from jmix.results.irt.frames import confint

        return confint(self, level)

    def tidy(self, *, conf_int: bool = False, level: float = 0.95) -> pd.DataFrame:
        """One row a free parameter: ``term estimate std_error`` and, if asked for, ``conf_low conf_high``."""
        from jmix.results.irt.frames import tidy

        return tidy(self, conf_int=conf_int, level=level)

    def glance(self) -> pd.DataFrame:
        """One row for the model: sizes, likelihood, criteria and whether the fit converged."""
        from jmix.results.irt.frames import glance

        return glance(self)

    def anova(self, *others: IrtFit) -> pd.DataFrame:
        """This fit and others to the same responses, smallest first, with likelihood ratio tests of neighbours.

        Raises:
            ModelError: no other fit, or fits to different responses.
        """
        from jmix.results.irt.compare import compare

        return compare(self, *others)

    def to_arviz(self, draws: int = 1000, *, seed: int = 0) -> Any:
        """The estimates' normal approximation as draws for ArviZ; of a sampled posterior see ``IrtPosterior``.

        Raises:
            JmixError: ArviZ is not installed. ModelError: a fit without standard errors.
        """
        from jmix.results.irt.arviz import to_arviz

        return to_arviz(self, draws, seed)

    def save(self, path: str | Path) -> None:
        """Write the fit to one ``.npz`` file without pickle; ``jmix.load_fit`` reads it."""
        from jmix.results.irt.io import save

        save(self, path)

    def _new(self, responses: Any, options: dict[str, Any]) -> tuple[Any, FloatArray | None]:
        """New responses in the fit's codes, with their person model matrix."""
        from jmix.results.irt.align import new_responses

        return new_responses(self, responses, options)
