"""Where each part of a generalized linear mixed model's parameter vector lies, and what its entries are called."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

if TYPE_CHECKING:
    from jmix.design_response import GlmmDesign
    from jmix.spec.covariance import CovarianceSpec

FloatArray = npt.NDArray[np.float64]

COMPONENTS = {
    "cond": "linear predictor",
    "disp": "dispersion",
    "zi": "model of the zeros",
    "thresholds": "thresholds",
}


@dataclass(frozen=True)
class Parts:
    """The layout of ``x = [beta | theta | disp | zi | thresholds | shape]``.

    Attributes:
        names: of the coefficients of each part but theta and shape. slices: places of every part.
    """

    names: dict[str, list[str]]
    slices: dict[str, slice]

    def of(self, component: str) -> slice:
        """The place of a component.

        Raises:
            ModelError: another name, or a component that the model does not have.
        """
        if not isinstance(component, str) or component not in COMPONENTS:
            raise ModelError(f"component={component!r}: choose {', '.join(map(repr, COMPONENTS))}")
        if component != "cond" and not self.names[component]:
            own = ", ".join(repr(name) for name, names in self.names.items() if names)
            raise ModelError(f"component={component!r}: the model has no {COMPONENTS[component]}; it has {own}")
        return self.slices[component]

    def jacobian(self, x: FloatArray) -> FloatArray:
        """(K - 1, K - 1) derivatives of the thresholds in their entries of x: tau_1, then logs of differences."""
        steps = np.exp(x[self.slices["thresholds"]])
        steps[:1] = 1.0
        return np.tril(np.broadcast_to(steps, (steps.size, steps.size)))


def parts_of(design: GlmmDesign, spec: CovarianceSpec) -> Parts:
    """The layout of the parameters of a design."""
    family = design.family
    names = {
        "cond": list(design.base.x_names),
        "disp": list(design.disp.names) if design.disp is not None else [],
        "zi": list(design.zi.names) if design.zi is not None else [],
        "thresholds": threshold_names(design.response.levels) if family.n_thresholds else [],
    }
    sizes = {
        "cond": len(names["cond"]),
        "theta": spec.n_theta,
        "disp": len(names["disp"]),
        "zi": len(names["zi"]),
        "thresholds": family.n_thresholds,
        "shape": family.n_shape,
    }
    ends = np.cumsum(list(sizes.values())).tolist()
    return Parts(names, {name: slice(end - sizes[name], end) for name, end in zip(sizes, ends, strict=True)})


def threshold_names(levels: tuple[str, ...]) -> list[str]:
    """``"low|middle"``, ``"middle|high"``: the categories that each threshold divides, as in R's ordinal."""
    return [f"{a}|{b}" for a, b in pairwise(levels)]
