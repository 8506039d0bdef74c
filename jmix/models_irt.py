"""The specification of an item response model bound to responses: fit it, sample it, or evaluate its likelihood."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from jmix.errors import ConvergenceWarning
from jmix.likelihood.irt.marginal import Integration
from jmix.models_irt_options import as_vector, overridden
from jmix.responses.data import Responses
from jmix.spec.irt.spec import IrtSpec

if TYPE_CHECKING:
    import pandas as pd

    from jmix.estimate.irt.sample import Sample
    from jmix.likelihood.irt.marginal import Marginal
    from jmix.results.irt.fit import IrtFit
    from jmix.results.irt.posterior import IrtPosterior

FloatArray = npt.NDArray[np.float64]
IrtMethod = Literal["ml", "map"]

NODES, SMALL = 61, 2_000_000
"""Nodes of one dimension where persons times nodes are at most ``SMALL``: steep items need them."""


@dataclass(frozen=True, eq=False)
class IrtModel:
    """An item response model of some responses.

    Attributes:
        responses: the data. spec: items, latent distribution, constraints and priors. W: (N, p) person model matrix of
            a latent regression, or None.
        integration: how the latent trait is integrated out; None lets the size of the data decide.
        notes: what the checks of the data found. given: (M,) numbers whose start the user chose, or None.
        refine: whether a fit may double the nodes. density: an estimated latent density, ("davidian", order) or
            ("histogram", 0); None for the normal. encodings: of the formulas of a latent regression.
    """

    responses: Responses
    spec: IrtSpec
    W: FloatArray | None = None
    integration: Integration | None = None
    notes: tuple[str, ...] = ()
    given: npt.NDArray[np.bool_] | None = None
    refine: bool = True
    density: tuple[str, int] | None = None
    encodings: tuple[Any, ...] = ()
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(self.spec.itemtypes))
        return (
            f"IrtModel({kinds}; {self.responses.n_persons} persons, {len(self.spec.items)} items, "
            f"{self.spec.n_factors} factor{'s' if self.spec.n_factors > 1 else ''}, {self.spec.n_free} free parameters)"
        )

    @cached_property
    def marginal(self) -> Marginal:
        """The marginal likelihood of these responses."""
        from jmix.likelihood.irt.build import build_marginal

        return build_marginal(self.spec, self.responses, self.chosen_integration(), self.W)

    def chosen_integration(self) -> Integration:
        """The integration: the user's, or the default with at least ``NODES`` nodes where they cost little."""
        from jmix.estimate.irt.begin import COLLAPSED
        from jmix.likelihood.irt.choose import choose_integration

        if self.integration is not None:
            return self.integration
        own: Integration = choose_integration(self.spec, self.responses)
        if set(self.spec.itemtypes) <= COLLAPSED:
            own = replace(own, precision="float64")
        small = self.spec.n_factors == 1 and self.responses.n_persons * NODES <= SMALL
        return replace(own, nodes=max(own.nodes, NODES)) if small and own.method == "grid" else own

    @cached_property
    def sample_statistics(self) -> Sample:
        """What starting values are made of."""
        from jmix.estimate.irt.sample import take_sample

        return take_sample(self.responses)

    @property
    def has_priors(self) -> bool:
        """Whether some parameter has a prior."""
        return self.spec.has_priors

    @property
    def names(self) -> tuple[str, ...]:
        """The P free parameters."""
        return self.spec.table.free_names

    @property
    def parameters(self) -> pd.DataFrame:
        """All parameters as mirt's ``pars="values"``: item, name, value, whether estimated, prior.

        An edited copy can be given as ``parameters=``.
        """
        from jmix.spec.irt.frame import parameter_frame

        return parameter_frame(self.spec)

    @property
    def priors(self) -> pd.DataFrame:
        """The prior of every free parameter; "flat" where there is none."""
        import pandas as pd

        table = self.spec.table
        shown = [repr(table.priors[i]) if table.priors and table.priors[i] is not None else "flat" for i in table.free]
        return pd.DataFrame({"parameter": list(self.names), "prior": shown})

    def start(self, start: Any = None) -> FloatArray:
        """(P,) values from which a fit starts.

        Args:
            start: None; (P,) values in the order of ``names``; or values by name, the others as usual.

        Raises:
            ModelError: an unknown name, a wrong number of values, or one that is not finite.
        """
        from jmix.estimate.irt.start import start_values

        if start is not None and not isinstance(start, Mapping):
            return as_vector("start", start, self.names)
        x = start_values(self.spec, self.sample_statistics, self.given)
        return x if start is None else overridden("start", x, start, self.names)

    def fit(
        self,
        method: IrtMethod | None = None,
        *,
        se: str | bool | None = None,
        start: Any = None,
        max_iterations: int = 200,
        progress: bool | None = None,
        checkpoint: str | Path | None = None,
    ) -> IrtFit:
        """Estimate by maximum marginal likelihood or, with the model's priors, maximum a posteriori.

        The likelihood is maximised directly, by quasi-Newton steps that end in exact Newton steps; by Fisher's identity
        a gradient costs one E-step of the EM algorithm (Bock & Aitkin 1981, Psychometrika 46, 443-459).

        Args:
            method: "ml" or "map"; None is "map" where there are priors.
            se: "hessian" (or "oakes": the observed information), "crossprod", "sandwich", "item" (the observed
                information of each item alone, for very many items), or "none"; None is "hessian" for up to 2,000
                parameters and "item" beyond.
            start: see ``start``. max_iterations: limit on the steps of the search.
            progress: show the course of the fit; None where it takes long and somebody is watching.
            checkpoint: file in which the best point of a long fit is kept every few seconds, and from which the fit
                goes on if it is there; it is removed at the end.

        Raises:
            ModelError: an option out of range, or a likelihood that is not finite at the start.

        Warns:
            ConvergenceWarning: the search did not arrive, or the data do not identify all parameters.
        """
        from jmix.models_irt_fit import checked_method, fit_options, fitted

        chosen = checked_method(self, method)
        model = self.without_priors() if chosen == "ml" and self.has_priors else self
        return fitted(model, fit_options(model, se, max_iterations, progress, checkpoint), start)

    def sample(
        self,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        seed: int = 0,
        *,
        chain_method: str = "auto",
        target_accept: float = 0.9,
        max_tree_depth: int = 10,
        thin: int = 1,
        init: str | Mapping[str, Any] = "mode",
        progress: bool | None = None,
    ) -> IrtPosterior:
        """Sample the posterior of the parameters by NUTS, theta integrated out.

        The unknowns are those of ``fit``, whatever the number of persons; their coordinates are whitened by the
        curvature at the posterior mode. Parameters without a prior of the user's get the weak ones of
        ``with_default_priors``. The persons' theta follow from the draws exactly, see ``IrtPosterior.scores``.

        Interrupting it (Ctrl-C) keeps the draws made so far.

        Args:
            draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress: as in
                ``Model.sample``; ``init`` may have values by name.

        Raises:
            ModelError: an option out of range, or a prior that does not suit its parameter.

        Warns:
            ConvergenceWarning: the draws cannot be trusted yet; ``status`` of the result says why and what to do.
        """
        from jmix.estimate.irt.sampling import find_mode, sample_irt
        from jmix.estimate.options import Options
        from jmix.results.irt.posterior import IrtPosterior

        options = Options(draws, tune, chains, seed, chain_method, target_accept, max_tree_depth, thin, init, progress)
        options.check()
        model = self.with_default_priors()
        start = model.start(init if isinstance(init, Mapping) else None)
        mode = find_mode(self.marginal, model.spec, model.sample_statistics, start, model.covariates)
        kept = sample_irt(self.marginal, model.spec, options, *mode, init if isinstance(init, Mapping) else None)
        posterior = IrtPosterior(model.spec, self.responses, self.marginal, kept, self.W)
        if not posterior.status.converged:
            warnings.warn("; ".join(posterior.status.messages), ConvergenceWarning, stacklevel=2)
        return posterior

    def with_default_priors(self) -> IrtModel:
        """The same model with a weak prior on every parameter that has none, as ``sample`` uses; see its ``priors``."""
        from jmix.estimate.irt.default_priors import with_defaults

        if "defaults" not in self._kept:
            self._kept["defaults"] = replace(self, spec=with_defaults(self.spec))
        own: IrtModel = self._kept["defaults"]
        return own

    @property
    def covariates(self) -> FloatArray | None:
        """(p, p) mean cross-product of the person model matrix; None without a latent regression."""
        return None if self.W is None else np.asarray(self.W.T @ self.W / len(self.W))

    def without_priors(self) -> IrtModel:
        """The same model without priors."""
        return replace(self, spec=self.spec.without_priors())

    def log_marginal(self, params: Any) -> Any:
        """Marginal log likelihood of the responses, theta integrated out; the log prior is not included.

        Args:
            params: (P,) free parameters in the order of ``names``, or values by name for some of them, the others at
                their starts. An array of JAX gives an array of JAX, by pure and differentiable code; it needs
                ``jax.enable_x64``.

        Raises:
            ModelError: an unknown name or a wrong number of values.
        """
        import jax

        if isinstance(params, jax.Array):
            return self.marginal.log_marginal(params, self.marginal.data)
        x = overridden("params", self.start(), params, self.names) if isinstance(params, Mapping) else params
        return float(self.marginal.value_and_grad(as_vector("params", x, self.names))[0])
