"""Which analysis of variance a fit has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from jmix.errors import ModelError
from jmix.results.inference.fixed.anova import anova, glmm_anova
from jmix.results.inference.fixed.fixed_tests import is_linear

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.inference.fixed.anova_table import Anova


def anova_of(fit: FitBase, type: Any, df: Any, component: Any) -> Anova:
    """F tests of a linear model, chi-squared tests of a generalized one.

    Raises:
        ModelError: an argument that the model does not have.
    """
    if not is_linear(fit):
        if df not in (None, "none"):
            raise ModelError(f"anova(df={df!r}): a generalized model has Wald chi-squared tests, df='none'")
        return glmm_anova(cast("GlmmFit", fit), type, component)
    if component != "cond":
        raise ModelError(f"anova(component={component!r}): a linear model has only 'cond'")
    return anova(cast("Fit", fit), type, df)
