"""Predictions of rows by the draws of a posterior, random effects at zero or averaged over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.results.inference.means.choose import Choice, Question, part_of, refuse_average
from jmix.results.inference.means.engines import DesignPart, Engine, side_matrix
from jmix.results.inference.means.quantities import Drawn
from jmix.results.inference.means.scales import IDENTITY, Scale, family_scale, response_scale

if TYPE_CHECKING:
    from jmix.results.sampled import Sampled

FloatArray = npt.NDArray[np.float64]


class DrawnEngine(Engine):
    """Draws of the linear predictor, or of the expected response.

    Args:
        numbers: (N,) the draws used. kind: "link" or "response". averaged: over the random effects' distribution.
    """

    def __init__(
        self, post: Sampled, part: DesignPart, numbers: Any, centre: str, kind: str, *, averaged: bool = False
    ) -> None:
        self.post, self.part, self.numbers, self.centre = post, part, numbers, centre
        self.kind, self.averaged = kind, averaged
        self.beta = post.draws.beta.reshape(post.n_draws, -1)[numbers]
        self.tau = _ordinal(post)
        if kind == "response" and self.tau is not None:
            from jmix.results.posterior_glmm_law import category_names

            self.categories = tuple(category_names(post.objective.design))
        self.width = numbers.size * max(len(self.categories), 1)

    def rows(self, table: Any, n: int, offset: FloatArray | None = None) -> Drawn:
        """Draws for n rows."""
        X, gap, known = self.part.linear(table, n, offset)
        eta = X @ self.beta.T + known[:, None]
        if self.kind == "link":
            shift = 0.0 if self.tau is None else self.tau[self.numbers].mean(axis=1)
            return Drawn(gap, np.ascontiguousarray((eta - shift).T), self.centre)
        values = self._expected(eta, table, n)
        if values.ndim == 3:
            values = np.moveaxis(values, 1, 0).reshape(-1, self.numbers.size)
            gap = np.tile(gap, (len(self.categories), 1))
        return Drawn(gap, np.ascontiguousarray(values.T), self.centre)

    def _expected(self, eta: FloatArray, table: Any, n: int) -> FloatArray:
        from jmix.results.posterior_glmm_law import RowParts

        design = self.post.objective.design
        D, V = (None if side is None else side_matrix(side, table, n) for side in (design.disp, design.zi))
        if not self.averaged:
            parts = RowParts(D, V, None)
            return np.asarray(self.post.law.expected(eta, self.numbers, parts, slice(0, n)))
        return self._averaged(eta, table, n, D, V)

    def _averaged(self, eta: FloatArray, table: Any, n: int, D: Any, V: Any) -> FloatArray:
        from jmix.families import mean
        from jmix.results.glmm_average import average
        from jmix.results.glmm_inputs import Inputs

        family, post = self.post.family, self.post
        columns = self.part.matrices.slopes(table, n)
        variance = np.zeros_like(eta)
        for i, chol in zip(post.design.term_order, post.draws.chol, strict=True):
            own = chol.reshape(post.n_draws, *chol.shape[2:])[self.numbers]
            variance += np.square(np.einsum("na,Nab->nNb", columns[i], own)).sum(axis=2)
        assert post.draws.x is not None
        x = post.draws.x.reshape(post.n_draws, -1)[self.numbers]
        at = post.objective.slices
        flat = {
            name: None if M is None else (M @ x[:, at[key]].T).reshape(-1)
            for name, M, key in (("log_phi", D, "disp"), ("zi", V, "zi"))
        }
        inputs = Inputs(eta=eta.reshape(-1), spread=np.sqrt(variance).reshape(-1), **flat)
        found = average(family, lambda part: np.asarray(mean(family, part.eta, part.aux)), inputs)
        return np.asarray(found).reshape(eta.shape)


def _ordinal(post: Sampled) -> FloatArray | None:
    tau = getattr(post.draws, "tau", None)
    return None if tau is None else np.asarray(tau).reshape(post.n_draws, -1)


def choose_drawn(post: Any, question: Question) -> Choice:
    """The engine of a posterior.

    Raises:
        ModelError: another type, degrees of freedom, or averages that do not exist.
    """
    from jmix.results.posterior_effects import thinned

    if question.df is not None:
        raise ModelError("df= is for fits; a posterior has draws instead of degrees of freedom")
    if question.centre not in ("mean", "median"):
        raise ModelError(f"estimate={question.centre!r}: choose 'mean' or 'median'")
    if question.interval not in ("eti", "hdi"):
        raise ModelError(f"interval={question.interval!r}: choose 'eti' (equal tails) or 'hdi' (highest density)")
    if question.type not in ("link", "response", "probs"):
        raise ModelError(f"type={question.type!r}: a posterior has 'link' and 'response'")
    numbers = thinned(post, question.thin).reshape(-1)
    shown = question.type != "link"
    if isinstance(post.family, str):
        refuse_average(question, "the response of a linear model is already averaged over the random effects")
        engine = DrawnEngine(post, DesignPart(post.design), numbers, question.centre, "link")
        return Choice(engine, response_scale(post.design.encoding), shown)
    return _generalized(post, question, numbers, shown=shown)


def _generalized(post: Any, question: Question, numbers: Any, *, shown: bool) -> Choice:
    family, part = post.family, part_of(post.objective.design)
    ordinal = family.name == "cumulative"
    simple = not family.zero and not ordinal
    if question.averaged:
        if not shown:
            raise ModelError("population_averaged=True is for the response: give type='response'")
        if ordinal or family.has_shape or family.link in ("inverse", "1/mu^2"):
            raise ModelError(
                "population_averaged=True: not for this family and link; predict() with new_levels='sample'"
            )
        engine = DrawnEngine(post, part, numbers, question.centre, "response", averaged=bool(post.terms))
        return Choice(engine)
    if not shown or simple:
        scale: Scale = IDENTITY if ordinal else family_scale(family)
        return Choice(DrawnEngine(post, part, numbers, question.centre, "link"), scale, shown)
    return Choice(DrawnEngine(post, part, numbers, question.centre, "response"))
