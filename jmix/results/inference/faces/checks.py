"""Model checks: simulated residuals, influence, robust covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jmix.errors import ModelError
from jmix.results.base import FitBase

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.inference.checks.check import Checks
    from jmix.results.inference.checks.influence import Influence
    from jmix.results.inference.checks.robust import RobustTests
    from jmix.results.inference.report import TableReport

Robust = Literal["CR0", "CR1", "CR1S", "CR1p", "CR2"]


class ChecksFace(FitBase):
    """Model checks: simulated residuals, influence, robust covariance."""

    # --- simulated residuals ----------------------------------------------------------------------------------------
    def check(
        self, n: int = 250, *, seed: int = 0, conditional: bool = False, group: Any = None, time: Any = None
    ) -> Checks:
        """Tests of the model by responses simulated from it, and of its structure, with a remedy for what fails.

        As DHARMa: each response has a rank among n simulated ones, uniform under the model; of a linear model it is
        the rank of the residual from what all other rows predict. Tested are the ``uniformity`` of the ranks
        (Kolmogorov-Smirnov), the ``dispersion`` of the responses (not of a linear model, which estimates it) and their
        ``outliers`` (beyond all simulations), the number of ``zeros`` (counts), the ``quartiles`` and the ``spread``
        (Levene) of the residuals by prediction; with ``group`` also by group and of the sums of the groups; with
        ``time`` the correlation of neighbours (Durbin-Watson).

        A p-value is the rank of the observed statistic among those of the simulated data, so that it allows for the
        dependence within groups; at least 1 / (n + 1). The estimates count as known, but for beta and sigma of a linear
        model: other tests are conservative, and Pearson's dispersion, given the random effects, is the sharper one for
        counts. Then the normality of the random effects (Shapiro-Wilk on the modes over their standard deviations),
        convergence, singularity, levels and collinearity. Of single 0/1 responses and ordered categories there is no
        dispersion to test.

        Args:
            n: simulations, at least 20. seed: the same seed gives the same result. conditional: keep the random effects
                at their modes in the simulations, rather than draw new ones. group: a grouping factor of the model, or
                one label a row. time: one number or date a row.

        Returns:
            A printable result: ``table`` (``statistic p_value ok message`` by test), ``ok``, ``residuals``,
            ``random_effects()``, ``plot()``.

        Raises:
            ModelError: too few simulations, or a group that the model does not have. DataError: labels or times that
                are missing or not one a row.
        """
        from jmix.results.inference.checks.check import check

        return check(self, n, seed, conditional=conditional, group=group, time=time)

    def check_residuals(
        self, n: int = 250, *, seed: int = 0, conditional: bool = False, group: Any = None
    ) -> pd.Series:
        """DHARMa's scaled residuals: the ranks in (0, 1) of the responses among n simulated ones, uniform under the
        model.

        Ties and the share of each rank are filled at random. With ``group`` those of the sums of the responses of each
        group, DHARMa's ``recalculateResiduals``. Arguments and errors as those of ``check``. Of data with more than
        some hundred thousand rows a sample.
        """
        from jmix.results.inference.checks.check import check_residuals

        return check_residuals(self, n, seed, conditional=conditional, group=group)

    def overdispersion(self) -> Any:
        """For counts and binomial responses, see ``GlmmFit.overdispersion``.

        Raises:
            ModelError: the residual variance of a linear model is estimated; see ``check``.
        """
        raise ModelError(
            "overdispersion() is for counts and binomial responses; the residual variance of a linear model is "
            "estimated from the data: see check()"
        )

    def zero_check(self, n: int = 250, *, seed: int = 0) -> Any:
        """For counts and binomial responses, see ``GlmmFit.zero_check``.

        Raises:
            ModelError: a linear model has no zeros to expect; see ``check``.
        """
        raise ModelError("zero_check() is for counts and binomial responses; see check() for those of a linear model")

    # --- influence --------------------------------------------------------------------------------------------------
    def influence(self, group: Any = None, *, exact: bool = False) -> Influence:
        """The fit without each group, or without each row: Cook's distances, DFBETAS, changes of all parameters.

        All groups at once. Of a linear mixed model one Newton step in theta, with the exact gradient and Hessian of the
        criterion of the remaining rows, and from there beta and sigma in closed form; groups at which that is not
        enough (steps in theta and in its logarithm end in different places, or no curvature) are refitted. Of a
        generalized model one Newton step in all parameters, likewise with exact derivatives. Least squares is exact.

        Args:
            group: a grouping factor of the model, or one label a row (an array of the rows of the fit, or a Series
                with the index of the data). None for every row by itself: of a linear mixed model exact given theta,
                which is held at its estimate; the table then has lme4's ``hatvalues`` and ``cooks.distance`` too.
            exact: fit again without each group; linear mixed models in vmapped lanes, others one by one.

        Returns:
            A printable result: ``table``, ``cooks_distance``, ``estimates()``, ``dfbeta()``, ``dfbetas()``,
            ``variance_changes()``, ``plot()``. NaN for a group without which the model cannot be estimated. lme4
            multiplies ``cooks_distance`` by (G - p) / G.

        Raises:
            ModelError: a name that the model does not have; one group only; no fixed effects; after MAP; too many
                groups of crossed factors.
            DataError: labels that are missing or not one a row.
        """
        from jmix.results.inference.checks.influence import influence

        return influence(self, group, exact=exact)

    # --- robust covariance ------------------------------------------------------------------------------------------
    def vcov_robust(self, cluster: Any = None, type: Robust | None = None) -> pd.DataFrame:
        """(p, p) covariance of the fixed effects that stays valid where the model's covariance of a cluster is wrong.

        ``(X'V^{-1}X)^{-1} [sum_g X_g'V_g^{-1} A_g e_g e_g' A_g V_g^{-1}X_g] (X'V^{-1}X)^{-1}``, V the fitted marginal
        covariance. Of a generalized model, the sandwich of the clusters' scores of the marginal log likelihood.

        Args:
            cluster: a grouping factor of the model, or one label a row (an array of the rows of the fit, or a Series
                with the index of the data). By default the grouping factor in which all others are nested; after least
                squares every row by itself.
            type: by default "CR2" of a linear and "CR1" of a generalized model. "CR0", A the identity; its multiples
                "CR1", G / (G - 1), "CR1p", G / (G - p), and "CR1S", G (n - 1) / ((G - 1) (n - p)), as Stata; "CR2",
                unbiased where the model holds (Bell & McCaffrey 2002, Survey Methodology 28; Pustejovsky & Tipton 2018,
                J. Bus. Econ. Stat. 36, equation 8), for linear models only. After least squares CR0, CR1S and CR2 with
                every row by itself are HC0, HC1 and HC2.

        Raises:
            ModelError: clusters that are not independent under the model, such as those of one of two crossed factors;
                CR2 of a generalized model; another type; after MAP.
            DataError: labels that are missing or not one a row.
        """
        from jmix.results.inference.checks.robust import vcov_robust

        return vcov_robust(self, cluster, type)

    def robust(self, cluster: Any = None, type: Robust | None = None) -> TableReport:
        """The fixed effects with cluster-robust standard errors, degrees of freedom and p-values.

        Of linear models t tests with Satterthwaite degrees of freedom (Bell & McCaffrey 2002), as clubSandwich's
        ``coef_test``; of generalized models z tests. Arguments and errors as those of ``vcov_robust``.

        Returns:
            A table by ``term``: ``estimate std_error df statistic p_value``.
        """
        from jmix.results.inference.checks.robust import robust

        return robust(self, cluster, type)

    def robust_tests(self, cluster: Any = None, type: Robust | None = None) -> RobustTests:
        """Tests of any linear functions of the fixed effects with a cluster-robust covariance.

        The result has ``vcov``, ``df(L)``, ``contrasts(L)`` and ``joint(L)``: t tests with Satterthwaite degrees of
        freedom, and for several rows at once the approximate Hotelling test "HTZ" of Pustejovsky & Tipton (2018).
        Arguments and errors as those of ``vcov_robust``.
        """
        from jmix.results.inference.checks.robust import robust_tests

        return robust_tests(self, cluster, type)
