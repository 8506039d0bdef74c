"""A linear mixed model with Student-t errors: sampled as a linear model, fitted as a generalized one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jmix.design_response import as_glmm_design
from jmix.errors import ModelError
from jmix.families import resolve_family
from jmix.models import Model
from jmix.models_glmm import GlmmMethod, GlmmModel

if TYPE_CHECKING:
    from jmix.results.glmm_fit import GlmmFit


class StudentModel(Model):
    """A linear mixed model whose errors have a t distribution: ``sample`` as a linear model, ``fit`` as a GLMM."""

    @cached_property
    def general(self) -> GlmmModel:
        """The same model as a generalized one.

        Raises:
            ModelError: it has weights, which divide the squared scale here and multiply the log likelihood there.
        """
        if self.design.weights is not None:
            raise ModelError(
                "weights with family='student' divide the squared scale of a row when sampling, but a fit has none "
                "such: leave them out, or use jmix.glmm, where they multiply the log likelihood"
            )
        return GlmmModel(as_glmm_design(self.design, resolve_family("student")), self.control, self.given_priors)

    def fit(self, method: GlmmMethod = "ml", **options: Any) -> GlmmFit:  # type: ignore[override]
        """Estimate by maximum likelihood or maximum a posteriori; see ``GlmmModel.fit``."""
        return self.general.fit(method, **options)

    def log_marginal(self, params: Mapping[str, Any], n_agq: int = 1, **options: Any) -> float:
        """Marginal log likelihood of the data; see ``GlmmModel.log_marginal``."""
        return self.general.log_marginal(params, n_agq, **options)
