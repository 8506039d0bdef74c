"""What a posterior needs to know of its response: the distribution of the effects, of the rows, and the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from jmix.errors import DataError, ModelError
from jmix.estimate import effects as conditional

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Effects = dict[str, FloatArray]


class Law(Protocol):
    """Everything about a response that the tables and predictions of a posterior use."""

    @property
    def title(self) -> str:
        """Heading of the summary, without the word "Posterior of"."""
        ...

    @property
    def name(self) -> str:
        """Of the family, as brms writes it."""
        ...

    @property
    def links(self) -> str:
        """Links of all parameters, as brms writes them."""
        ...

    @property
    def coefficients(self) -> Sequence[str]:
        """Which of ``parameters`` are regression coefficients: thresholds, and those of other formulas."""
        ...

    @property
    def residual(self) -> bool:
        """Whether there is a residual standard deviation, for the tables of variance components."""
        ...

    @property
    def exact_moments(self) -> bool:
        """Whether means and variances of the effects given the parameters are known without drawing."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the reader of a summary must know of the likelihood."""
        ...

    def parameters(self) -> Mapping[str, FloatArray]:
        """(C, D) draws of the parameters that are neither coefficients nor covariances."""
        ...

    def draw_effects(self, numbers: IntArray, seed: int) -> Iterator[tuple[slice, Effects]]:
        """(m, J, q) draws of the effects by grouping factor, for draws of these numbers, chunk by chunk."""
        ...

    def mean_effects(self, numbers: IntArray) -> Effects:
        """(J, q) average over the draws of the conditional means."""
        ...

    def moments(self, numbers: IntArray) -> tuple[Effects, Effects]:
        """(J, q) means and standard deviations over the draws, by the law of total variance."""
        ...

    def parts(self, data: Any, weights: Any, n: int, response: bool) -> Any:
        """What the response of rows needs beside eta; of the rows of the model where data is None."""
        ...

    def expected(self, eta: FloatArray, numbers: IntArray, parts: Any, block: slice) -> FloatArray:
        """(m, N) expected responses at (m, N) linear predictors; (m, K, N) probabilities of categories."""
        ...

    def respond(self, eta: FloatArray, number: int, parts: Any, block: slice, rng: np.random.Generator) -> FloatArray:
        """(m,) new responses at the linear predictor (m,) of one draw."""
        ...

    def log_density(self, eta: FloatArray, numbers: IntArray, block: slice) -> FloatArray:
        """(m, N) log densities of the rows of the model."""
        ...

    def marginal_group(self) -> str:
        """The grouping factor between whose levels the rows are independent."""
        ...

    def by_group(self, numbers: IntArray) -> FloatArray:
        """(N, J) log likelihood of each of its levels, random effects integrated out."""
        ...


@dataclass(frozen=True)
class GaussianLaw:
    """Of a linear mixed model with a Gaussian or a Student-t response."""

    post: Sampled

    @property
    def title(self) -> str:
        """Heading of the summary."""
        return f"a linear {'mixed ' if self.post.terms else ''}model"

    @property
    def name(self) -> str:
        """Of the family."""
        return str(self.post.family)

    @property
    def links(self) -> str:
        """Links of all parameters."""
        return "; ".join(f"{name} = identity" for name in ("mu", *self.parameters()))

    @property
    def coefficients(self) -> Sequence[str]:
        """None."""
        return ()

    @property
    def residual(self) -> bool:
        """Always."""
        return True

    @property
    def exact_moments(self) -> bool:
        """Where the response is Gaussian."""
        return self.post.family == "gaussian"

    @property
    def notes(self) -> Sequence[str]:
        """None: the likelihood is exact."""
        return ()

    def parameters(self) -> Mapping[str, FloatArray]:
        """Sigma and nu."""
        draws = self.post.draws
        return {"sigma": draws.sigma} | ({} if draws.nu is None else {"nu": draws.nu})

    # --- random effects ---------------------------------------------------------------------------------------------
    def _given(self, numbers: IntArray) -> conditional.Given:
        return conditional.given(self.post.objective, self.post.draws, numbers)

    def draw_effects(self, numbers: IntArray, seed: int) -> Iterator[tuple[slice, Effects]]:
        """Exact joint draws."""
        return conditional.draw_effects(self.post.objective, self._given(numbers), seed)

    def mean_effects(self, numbers: IntArray) -> Effects:
        """Averages of the conditional means."""
        return conditional.average_effects(self.post.objective, self._given(numbers))

    def moments(self, numbers: IntArray) -> tuple[Effects, Effects]:
        """Without the noise of drawing the effects."""
        return conditional.moments(self.post.objective, self._given(numbers))

    # --- rows -------------------------------------------------------------------------------------------------------
    def parts(self, data: Any, weights: Any, n: int, response: bool) -> FloatArray | None:
        """(n,) prior weights, of a new response only."""
        own = self.post.design.weights
        if not response:
            return None
        if weights is None and own is not None:
            if data is not None:
                raise ModelError("the model has weights: give those of the new rows, weights=..., for kind='response'")
            return own
        return None if weights is None else given_weights(data, weights, n)

    def expected(self, eta: FloatArray, numbers: IntArray, parts: Any, block: slice) -> FloatArray:
        """The linear predictor itself."""
        return eta

    def respond(self, eta: FloatArray, number: int, parts: Any, block: slice, rng: np.random.Generator) -> FloatArray:
        """Normal or Student-t about the linear predictor."""
        draws = self.post.draws
        root = 1.0 if parts is None else 1.0 / np.sqrt(parts[block])
        nu = None if draws.nu is None else float(draws.nu.reshape(-1)[number])
        unit = rng.standard_normal(eta.size) if nu is None else rng.standard_t(nu, eta.size)
        return np.asarray(eta + draws.sigma.reshape(-1)[number] * root * unit)

    def log_density(self, eta: FloatArray, numbers: IntArray, block: slice) -> FloatArray:
        """Normal or Student-t log densities."""
        from jmix.results.pointwise import location_log_density

        return location_log_density(self.post, eta, numbers, block)

    def marginal_group(self) -> str:
        """The coarsest of nested grouping factors."""
        from jmix.results.pointwise import gaussian_group

        return gaussian_group(self.post)

    def by_group(self, numbers: IntArray) -> FloatArray:
        """In closed form."""
        from jmix.results.pointwise import gaussian_by_group

        return gaussian_by_group(self.post, numbers)


def given_weights(data: Any, given: Any, n: int) -> FloatArray:
    """(n,) positive numbers: given, or by the name of a column of the data.

    Raises:
        DataError: anything else.
    """
    values = np.asarray(data[given] if isinstance(given, str) else given, dtype=np.float64)
    if values.shape != (n,) or not np.all(values > 0) or not np.all(np.isfinite(values)):
        raise DataError(f"weights must be {n} positive numbers, one a row")
    return values
