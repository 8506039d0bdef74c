"""Degrees of freedom, tests of the fixed effects, analysis of variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jmix.results.base import FitBase

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.inference.fixed.anova_table import Anova
    from jmix.results.inference.fixed.fixed_tests import DfMethod
    from jmix.results.inference.fixed.linear_test import LinearTest

AnovaType = Literal["I", "II", "III", 1, 2, 3]


class TestsFace(FitBase):
    """Degrees of freedom, tests of the fixed effects, analysis of variance."""

    __test__ = False  # not a class of tests, whatever pytest thinks

    def anova(self, type: AnovaType = "III", df: DfMethod | None = None, *, component: str = "cond") -> Anova:
        """The test of each term of the fixed effects.

        F tests of a linear model, in lmerTest's layout; Wald chi-squared tests of a generalized one, in that of R's
        ``car::Anova``. Type III tests what SAS calls so: marginal means over a population in which all cells weigh the
        same. Its hypotheses do not depend on how the factors are coded, also in generalized models (there
        ``car::Anova`` agrees where the contrasts are "sum" or no interactions are present).

        Args:
            type: "I", each term adjusted for those before it; "II", for all that do not contain it; "III". Numbers do.
            df: the rule for the denominator's degrees of freedom of a linear model, as in ``summary``.
            component: of a generalized model: "cond", "zi" or "disp".

        Returns:
            A printable table; its ``table`` (one row a term) has the columns ``sum_sq mean_sq num_df den_df F
            p_value``, or ``chisq df p_value``. After least squares the last row is that of the residuals.

        Raises:
            ModelError: another type, a rule or a component that the model does not have.
        """
        from jmix.results.inference.fixed.anova_choice import anova_of

        return anova_of(self, type, df, component)

    def test(self, hypothesis: Any, rhs: Any = None, df: DfMethod | None = None) -> LinearTest:
        """The joint test of linear hypotheses about the fixed effects.

        Args:
            hypothesis: an (m, p) matrix or (p,) row; weights by coefficient such as ``{"Days": 1}``, or several such
                dicts; a text such as ``"Days = 10"`` or a list of them, in which names with spaces or operators may
                stand in backquotes. rhs: what the rows equal where they are no texts; 0 by default.
            df: the rule for degrees of freedom, as in ``summary``.

        Returns:
            A printable test: ``statistic`` (F), ``df1``, ``df2``, ``p_value``, and one row a hypothesis in ``table``.

        Raises:
            ModelError: an unknown coefficient, a hypothesis that is not linear or that contradicts another, or a rule
                that the model does not have.
        """
        from jmix.results.inference.fixed.linear_test import linear_test

        return linear_test(self, hypothesis, rhs, df)

    def vcov_adjusted(self) -> pd.DataFrame:
        """(p, p) covariance of the fixed effects adjusted for small samples (Kenward & Roger 1997, Biometrics 53).

        Raises:
            ModelError: not a linear mixed model, or one so large that it would not fit into memory.
        """
        import pandas as pd

        from jmix.results.inference.fixed.fixed_tests import fixed_tests

        return pd.DataFrame(fixed_tests(self, "kenward-roger").vcov, index=self.x_names, columns=self.x_names)
