"""The response of a generalized linear mixed model as the tables and predictions of a posterior use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.estimate import glmm_effects
from jmix.estimate.glmm_initial import family_names, family_values
from jmix.families import Aux, Family, log_constant, log_density, mean, sample, variance
from jmix.results.posterior_law import Effects, given_weights
from jmix.spec.glmm_priors import dispersion_name, threshold_names, zero_name

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign, Side
    from jmix.results.posterior_glmm import GlmmPosterior

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BRMS = {"nbinom2": "negbinomial", "inverse_gaussian": "inverse.gaussian"}
"""Names that brms gives families."""

ROWS = 1024
"""Rows whose log densities are computed together."""


@dataclass(frozen=True)
class RowParts:
    """What the response of n rows needs beside eta.

    Attributes:
        D: (n, p_disp) columns of the dispersion, V: (n, p_zi) of the zero part, each None where there is none.
        size: (n,) trials of a binomial response, or None.
    """

    D: FloatArray | None
    V: FloatArray | None
    size: FloatArray | None


def family_label(family: Family) -> str:
    """The family as brms names it: ``zero_inflated_poisson``, ``hurdle_negbinomial``."""
    name = BRMS.get(family.name, family.name)
    return {"inflated": "zero_inflated_", "hurdle": "hurdle_"}.get(family.zero, "") + name


def _evaluate(y: Any, size: Any, eta: Any, log_phi: Any, zi: Any, tau: Any, nu: Any, family: Family) -> Any:
    """(rows, N) log densities, one column a draw."""

    def one(eta: Any, log_phi: Any, zi: Any, tau: Any, nu: Any) -> Any:
        return log_density(family, y, size, eta, Aux(log_phi, zi, tau, nu))

    axes = tuple(None if own is None else at for own, at in ((log_phi, 1), (zi, 1), (tau, 0), (nu, 0)))
    return jax.vmap(one, (1, *axes), 1)(eta, log_phi, zi, tau, nu)


_EVALUATE = runtime.Program(_evaluate, static=("family",))


@dataclass(frozen=True)
class GlmmLaw:
    """Of a generalized linear mixed model; see ``posterior_law.Law``."""

    post: GlmmPosterior

    # --- names ------------------------------------------------------------------------------------------------------
    @property
    def design(self) -> GlmmDesign:
        """The data as arrays."""
        return self.post.objective.design

    @property
    def title(self) -> str:
        """Heading of the summary."""
        return f"a generalized linear {'mixed ' if self.post.terms else ''}model"

    @property
    def name(self) -> str:
        """Of the family, as brms has it."""
        return family_label(self.design.family)

    @property
    def links(self) -> str:
        """Links of all parameters, as brms has them."""
        family, parts = self.design.family, [f"mu = {self.design.family.link}"]
        for name, side, link in (
            (dispersion_name(family), self.design.disp, "log"),
            (zero_name(family), self.design.zi, "logit"),
        ):
            if name and side is not None:
                parts.append(f"{name} = {'identity' if side.intercept_only else link}")
        return "; ".join([*parts, *(["nu = identity"] if family.has_shape else [])])

    @property
    def coefficients(self) -> Sequence[str]:
        """Thresholds, and the coefficients of other formulas."""
        family, known = self.design.family, family_names(self.post.objective)
        scalars = {dispersion_name(family), zero_name(family), "nu"}
        return [name for name in known if name not in scalars]

    @property
    def residual(self) -> bool:
        """Where one standard deviation is that of all rows."""
        return "sigma" in self.parameters()

    @property
    def exact_moments(self) -> bool:
        """Where the sampler has not drawn the effects itself."""
        return self.post.draws.effects is None

    @property
    def notes(self) -> Sequence[str]:
        """How the random effects were integrated out, where that is an approximation worth knowing."""
        if self.post.integration != "Laplace":
            return ()
        return [
            "Random effects were integrated out by Laplace's approximation: the draws are of an approximate posterior; "
            "sample(marginal=False) draws from the exact one"
            + (", n_agq= integrates more accurately" if len(self.post.spec.groups) == 1 else "")
        ]

    @cached_property
    def _values(self) -> dict[str, FloatArray]:
        assert self.post.draws.x is not None
        values = family_values(self.post.objective, self.post.draws.x)
        return {name: values[..., i] for i, name in enumerate(family_names(self.post.objective))}

    def parameters(self) -> Mapping[str, FloatArray]:
        """Thresholds, dispersion, zero part and nu by brms's names."""
        return self._values

    # --- random effects ---------------------------------------------------------------------------------------------
    @cached_property
    def _conditional(self) -> glmm_effects.Conditional:
        return glmm_effects.conditional(self.post.objective)

    def draw_effects(self, numbers: IntArray, seed: int) -> Iterator[tuple[slice, Effects]]:
        """Draws given the data and each draw of the parameters."""
        return glmm_effects.draw_effects(self._conditional, self._x(numbers), numbers, seed)

    def mean_effects(self, numbers: IntArray) -> Effects:
        """Averages of the conditional means."""
        return self.moments(numbers)[0]

    def moments(self, numbers: IntArray) -> tuple[Effects, Effects]:
        """By the law of total variance."""
        return glmm_effects.moments(self._conditional, self._x(numbers), numbers)

    def _x(self, numbers: IntArray) -> FloatArray:
        assert self.post.draws.x is not None
        return self.post.draws.x.reshape(self.post.n_draws, -1)[numbers]

    # --- rows -------------------------------------------------------------------------------------------------------
    def parts(self, data: Any, weights: Any, n: int, response: bool) -> RowParts:
        """Columns of the other predictors, and the trials of a binomial response."""
        design = self.design
        size = design.response.size if data is None else None
        if design.family.has_trials and data is not None and response:
            if weights is None:
                raise ModelError("give the trials of the new rows, weights=..., for kind='response'")
            size = given_weights(data, weights, n)
        return RowParts(_columns(design.disp, data), _columns(design.zi, data), size)

    def _aux(self, numbers: IntArray, parts: RowParts, block: slice) -> Aux:
        """Of m rows and N draws: log phi and zi (m, N), thresholds (N, K - 1), nu (N,)."""
        x, at, draws = self._x(numbers), self.post.objective.slices, self.post.draws
        extra: tuple[Any, ...] = (
            None if parts.D is None else parts.D[block] @ x[:, at["disp"]].T,
            None if parts.V is None else parts.V[block] @ x[:, at["zi"]].T,
            None if draws.tau is None else draws.tau.reshape(self.post.n_draws, -1)[numbers],
            None if draws.nu is None else draws.nu.reshape(-1)[numbers],
        )
        return Aux(*extra)

    def expected(self, eta: FloatArray, numbers: IntArray, parts: Any, block: slice) -> FloatArray:
        """Expected responses, of a binomial the expected proportion; probabilities of ordered categories."""
        values = mean(self.design.family, eta, self._aux(numbers, parts, block))
        return np.moveaxis(values, 1, 2) if values.ndim == 3 else values

    def variance(self, eta: FloatArray, numbers: IntArray, parts: RowParts, block: slice) -> FloatArray:
        """(m, N) variances of the responses."""
        size = None if parts.size is None else parts.size[block, None]
        extra, draws = self._aux(numbers, parts, block), []
        if extra.shape is None:
            return variance(self.design.family, eta, extra, size)
        for k in range(numbers.size):
            own: tuple[Any, ...] = (None if extra.log_phi is None else extra.log_phi[:, k], None, None, extra.shape[k])
            draws.append(variance(self.design.family, eta[:, k], Aux(*own), size))
        return np.stack(draws, axis=1)

    def respond(self, eta: FloatArray, number: int, parts: Any, block: slice, rng: np.random.Generator) -> FloatArray:
        """Responses: of a binomial successes, of an ordinal response the codes of categories."""
        many = self._aux(np.array([number]), parts, block)
        extra: tuple[Any, ...] = (
            None if many.log_phi is None else many.log_phi[:, 0],
            None if many.zi is None else many.zi[:, 0],
            None if many.tau is None else many.tau[0],
            None if many.shape is None else float(many.shape[0]),
        )
        size = None if parts.size is None else parts.size[block]
        return sample(self.design.family, rng, size, eta, Aux(*extra))

    def log_density(self, eta: FloatArray, numbers: IntArray, block: slice) -> FloatArray:
        """(m, N) log densities times the rows' weights, constants included."""
        response, family = self.design.response, self.design.family
        out = np.empty_like(eta)
        for start in range(0, len(eta), ROWS):
            stop = min(start + ROWS, len(eta))
            # every call has the same shape, so that there is one program
            at = np.minimum(np.arange(start, start + min(ROWS, len(eta))), len(eta) - 1)
            rows = block.start + at
            parts = self.parts(None, None, self.post.nobs, False)
            own = RowParts(*(None if v is None else v[rows] for v in (parts.D, parts.V, parts.size)))
            extra = self._aux(numbers, own, slice(None))
            values = _EVALUATE(response.y[rows], own.size, eta[at], *extra, family=family)
            constant = np.broadcast_to(log_constant(family, response.y[rows], own.size), rows.shape)
            out[start:stop] = (np.asarray(values) + constant[:, None])[: stop - start]
        weights = self.design.weights
        return out if weights is None else out * weights[block, None]

    # --- random effects integrated out ------------------------------------------------------------------------------
    def marginal_group(self) -> str:
        """The one grouping factor.

        Raises:
            ModelError: there are several, or none.
        """
        groups = self.post.spec.groups
        if len(groups) != 1:
            raise ModelError(
                "the log likelihood of groups needs one grouping factor, and this model has "
                f"{', '.join(groups) or 'none'}; take the conditional log likelihood"
            )
        return groups[0]

    def by_group(self, numbers: IntArray) -> FloatArray:
        """(N, J) by the quadrature of the model, or that of ``default_nodes`` in place of Laplace's approximation."""
        self.marginal_group()
        return glmm_effects.by_group(self.post.objective, self._x(numbers))


def _columns(side: Side | None, data: Any) -> FloatArray | None:
    if side is None:
        return None
    if data is None:
        return side.X
    return np.asarray(side.encoding.encode(data, response=False, random=False).X)


def category_names(design: GlmmDesign) -> tuple[str, ...]:
    """Labels of the categories of an ordinal response."""
    return tuple(design.response.levels) if threshold_names(design.family) else ()
