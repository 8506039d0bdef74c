"""The scales on which the parameters of the covariance matrices are profiled, and which parameters the user means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import numpy as np

from jmix.errors import ModelError
from jmix.spec.names import cor_names, parameter_names, sd_names

if TYPE_CHECKING:
    from jmix.results.base import FitBase

Scale = Literal["sdcor", "varcov", "log"]
Parameters = str | Iterable[str] | None
SCALES = ("sdcor", "varcov", "log")
CLASSES = ("all", "fixed", "random")


@dataclass(frozen=True)
class Names:
    """The parameters of a fit, on one scale.

    Attributes:
        plain: as ``spec.names.parameter_names``. shown: the same on the scale. n_fixed, n_sd, n_tie: how many fixed
            effects, standard deviations and correlations there are, in this order; then the others.
        scale: "sdcor", "varcov" or "log".
    """

    plain: tuple[str, ...]
    shown: tuple[str, ...]
    n_fixed: int
    n_sd: int
    n_tie: int
    scale: Scale

    def transform(self, i: int) -> Callable[[float], float]:
        """From the standard deviation, sigma or correlation to the scale; increasing."""
        kind = self.kind(i)
        if self.scale == "varcov" and kind in ("sd", "sigma"):
            return lambda v: v * v
        if self.scale == "log" and kind in ("sd", "sigma"):
            return _log
        if self.scale == "log" and kind == "tie":
            return _fisher
        return float

    def kind(self, i: int) -> str:
        """What the i-th is: "fixed", "sd", "tie", "sigma" or "other"."""
        bounds = np.cumsum([self.n_fixed, self.n_sd, self.n_tie])
        if i < bounds[2]:
            return ("fixed", "sd", "tie")[int(np.searchsorted(bounds, i, side="right"))]
        return "sigma" if self.plain[i] == "sigma" else "other"

    def chosen(self, parameters: Parameters) -> list[int]:
        """Which are asked for: by name, on either scale, or as "fixed", "random" (with sigma) or "all".

        Raises:
            ModelError: a name that there is not.
        """
        if parameters is None:
            return list(range(len(self.plain)))
        given = [parameters] if isinstance(parameters, str) else parameters
        if not isinstance(given, Iterable):
            raise ModelError(f"parameters={parameters!r}: give names, or one of {', '.join(map(repr, CLASSES))}")
        out = [i for name in given for i in self._places(name)]
        if not out:
            raise ModelError(f"parameters={parameters!r} names none; there are {', '.join(self.shown)}")
        return list(dict.fromkeys(out))

    def _places(self, name: object) -> list[int]:
        for known in (self.shown, self.plain):
            if name in known:
                return [known.index(str(name))]
        if name in CLASSES:
            keep = {"all": ("fixed", "sd", "tie", "sigma", "other"), "fixed": ("fixed",)}
            wanted = keep.get(str(name), ("sd", "tie", "sigma"))
            return [i for i in range(len(self.plain)) if self.kind(i) in wanted]
        near = get_close_matches(str(name), self.shown, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        choices = ", ".join((*CLASSES, *self.shown))
        raise ModelError(f"parameters: there is no parameter '{name}'.{hint} There are {choices}")


def _log(value: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(value))


def _fisher(value: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.arctanh(value))


def names_of(fit: FitBase, scale: Scale, others: Sequence[str] = ("sigma",)) -> Names:
    """The parameters of a fit on a scale.

    Raises:
        ModelError: another scale.
    """
    if scale not in SCALES:
        raise ModelError(f"scale={scale!r}: choose {', '.join(map(repr, SCALES))}")
    spec = fit.spec
    plain = parameter_names(fit.x_names, spec, others=others)
    sds = [n for part in sd_names(spec) for n in part]
    ties = [n for part in cor_names(spec) for n in part]
    p = len(fit.x_names)
    shown = list(plain)
    for i in range(p, len(plain)):
        shown[i] = _shown(plain[i], scale, plain[i] in sds, plain[i] in ties)
    return Names(tuple(plain), tuple(shown), p, len(sds), len(ties), scale)


def _shown(name: str, scale: Scale, sd: bool, tie: bool) -> str:
    if scale == "sdcor" or not (sd or tie or name == "sigma"):
        return name
    if scale == "log":
        return f"atanh_{name}" if tie else f"log_{name}"
    return f"cov_{name.removeprefix('cor_')}" if tie else "sigma2" if name == "sigma" else f"var_{name[3:]}"
