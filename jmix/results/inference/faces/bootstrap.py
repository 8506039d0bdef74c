"""Parametric bootstrap, and prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from jmix.results.base import FitBase

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap
    from jmix.results.inference.bootstrapping.bootstrap_test import BootstrapTest


class BootstrapFace(FitBase):
    """Parametric bootstrap, and prediction intervals."""

    def bootstrap(
        self,
        n: int = 1000,
        fn: Any = None,
        *,
        seed: int = 0,
        kind: Literal["parametric", "residual"] = "parametric",
        conditional: bool = False,
        progress: bool | None = None,
    ) -> Bootstrap:
        """Simulate n responses from the fitted model and refit them all, in vmapped programs.

        An interrupt (Ctrl-C) keeps the replicates that are finished.

        Args:
            n: replicates; 1,000 for percentiles, 2,000 and more for BCa limits, which reach further into the tails.
            fn: quantities beside the parameters: a function of a fit that gives a number, a dict, a Series or a 1-D
                array; "icc", "r2" or "variance_decomposition"; or a list of these. It is called with a
                light fit of every replicate.
            seed: the same seed gives the same draws, however many are fitted at a time.
            kind: "parametric", from the fitted distribution (lme4's ``bootMer``); "residual", random effects and
                residuals resampled from the estimated ones after they are rescaled to have the estimated variances
                (Carpenter, Goldstein & Rasbash 2003), for linear models whose random effects are not normal.
            conditional: keep the random effects at their modes (lme4's ``use.u``); otherwise draw new ones.
            progress: show a bar; by default where somebody is watching and the work takes several batches.

        Returns:
            Draws of all parameters and quantities, with ``table``, ``confint(kind="percentile" | "bca" | ...)`` and
            ``plot()``.

        Raises:
            ModelError: after MAP; for another kind, a function that gives no numbers, or a kind that the model does
                not have.
        """
        from jmix.results.inference.bootstrapping.bootstrap import bootstrap

        return bootstrap(self, n, fn, seed=seed, kind=kind, conditional=conditional, progress=progress)

    def bootstrap_test(
        self, smaller: Any, n: int = 1000, *, seed: int = 0, progress: bool | None = None
    ) -> BootstrapTest:
        """Test a smaller model against this one by the likelihood ratio's distribution under the smaller model.

        n responses are simulated from the smaller model and both are refitted to each. It needs no degrees of freedom
        and holds where a variance is zero under the hypothesis (Halekoh & Højsgaard 2014, J. Stat. Softw. 59(9),
        section 4: ``pbkrtest::PBmodcomp``). Models with different fixed effects are compared by maximum likelihood,
        refitted where necessary; others by the likelihood that both were fitted by.

        Args:
            smaller: a fit to the same data whose model is a special case of this one. n: simulated responses.
            seed: the same seed gives the same result.

        Returns:
            A table with the rows ``chi-squared``, the usual test; ``bootstrap``, ``p = (extreme + 1) / (n + 1)``; and
            ``Bartlett``, the statistic rescaled to the mean of its distribution.

        Raises:
            ModelError: the models are not nested or not of the same data, or one of them is fitted by MAP.
        """
        from jmix.results.inference.bootstrapping.bootstrap_test import bootstrap_test

        return bootstrap_test(self, smaller, n, seed=seed, progress=progress)

    def predict_interval(
        self,
        data: Any = None,
        *,
        level: float = 0.95,
        include: str | Sequence[str] = ("fixed", "random", "residual"),
        conditional: bool = True,
        new_levels: Literal["error", "population"] = "error",
        method: Literal["analytic", "simulate", "bootstrap"] | None = None,
        df: Literal["satterthwaite", "residual", "none"] | None = None,
        weights: Any = None,
        n: int = 1000,
        seed: int = 0,
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Intervals for new observations of rows, or of means, with the variance of every named part.

        Args:
            data: new rows; by default those of the fit.
            level: coverage.
            include: the parts of the uncertainty: "fixed", of the estimated coefficients; "random", of the random
                effects; "residual", of a single observation. All three give an interval for a new observation;
                ``("fixed",)`` with ``conditional=False`` one for the population line.
            conditional: an observation of the row's own groups, whose random effects are estimated; otherwise one of
                new groups, at the population mean, to which "random" adds the variance z'Sigma z between groups.
            new_levels: of ``conditional`` rows: "error" refuses grouping levels that the fit has not seen;
                "population" predicts them like new groups.
            method: of linear models "analytic", normal theory (Henderson 1975); "simulate", quantiles of simulated
                prediction errors; or "bootstrap", quantiles of the studentized prediction errors of parametric
                bootstrap replicates, so that the uncertainty of the variances counts too (Chatterjee, Lahiri & Li
                2008, Ann. Stat. 36(3)). Generalized models simulate: parameters from their asymptotic normal
                distribution, random effects given the data or anew, responses given these.
            df: of "analytic": "satterthwaite", degrees of freedom of the whole variance; "residual", of least squares;
                "none", normal quantiles. By default the first that the model has; normal quantiles beyond 5,000
                random effects.
            weights: of new rows: (m,) prior weights of a linear model, trials of a binomial; a number, an array or
                the name of a column, 1 by default.
            n: simulated responses or replicates. seed: the same seed gives the same intervals.
            progress: of "bootstrap": show a bar.

        Returns:
            One row a row: ``fit lower upper var_fixed var_random var_residual`` (parts that are not included are 0),
            and ``df`` where there are any. Of a linear model ``var_fixed`` is the variance of x'b with the modes
            moving along, ``d' Cov(b) d``, and ``var_random`` that of z'b given the fixed effects, so that they add up.
            Of a generalized model fit and limits are on the scale of the response, a binomial's proportions,
            population-averaged unless ``conditional``; "fixed" holds the uncertainty of all parameters; ``var_fixed``
            and ``var_random`` are those of the linear predictor and ``var_residual`` that of the response given it. A
            row with a missing value is NaN.

        Raises:
            ModelError: another choice, or one that the model does not have. DataError: as ``predict``.
        """
        from jmix.results.inference.predicting.prediction import predict_interval

        return predict_interval(
            self,
            data,
            level=level,
            include=include,
            conditional=conditional,
            new_levels=new_levels,
            method=method,
            df=df,
            weights=weights,
            n=n,
            seed=seed,
            progress=progress,
        )
