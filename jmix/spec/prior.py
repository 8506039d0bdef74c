"""One prior: a NumPyro distribution, and the quantity of a parameter on which it is placed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, cast

import numpy as np

from jmix import runtime
from jmix.errors import ModelError

On = Literal["value", "precision", "variance"]
ON: tuple[On, ...] = ("value", "precision", "variance")

LARGEST_SHOWN = 9
"""Most numbers of a matrix that are printed."""


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior for one parameter or for a class of them.

    Attributes:
        distribution: a NumPyro distribution; None for a flat one, density 1.
        on: what it describes: the parameter itself; its precision, 1 / sd^2 or the inverse of a covariance matrix; or
            its variance, sd^2 or a covariance matrix.
        text: how it prints.
        least: where its support begins, where the distribution's own begins lower.
    """

    distribution: Any
    on: On = "value"
    text: str = "flat"
    least: float = -math.inf

    def __repr__(self) -> str:
        return self.text if self.on == "value" else f"{self.text} on {self.on}"

    @property
    def flat(self) -> bool:
        """Whether the density is constant."""
        return self.distribution is None


def prior(distribution: Any, on: On | None = None) -> Prior:
    """A prior from a NumPyro distribution or from words.

    Args:
        distribution: a NumPyro distribution; or a text such as ``"normal(0, 10)"``, ``"student_t(3, 0, 2.5)"``,
            ``"normal(0, precision=0.001)"``, ``"gamma(0.01, 0.01) on precision"``, ``"uniform(0, 100)"``, ``"lkj(2)"``,
            ``"wishart(3, 1)"``, ``"flat"``; arguments are Stan's, so that ``gamma`` takes shape and rate.
        on: "value" (default), "precision" or "variance": the quantity that the distribution describes.

    Raises:
        ModelError: an unknown distribution or argument, or one out of its range.
    """
    if isinstance(distribution, Prior):
        return distribution if on is None else replace(distribution, on=_checked_on(on))
    if distribution is None:
        return Prior(None)
    if isinstance(distribution, str):
        return parse_prior(distribution, on)
    if not hasattr(distribution, "log_prob") or not hasattr(distribution, "support"):
        raise ModelError(
            f"a prior is a NumPyro distribution or a text such as 'normal(0, 10)', not {type(distribution).__name__}"
        )
    return _from_object(distribution, "value" if on is None else _checked_on(on))


def _checked_on(on: Any) -> On:
    if on not in ON:
        raise ModelError(f"on={on!r}: choose one of {', '.join(ON)}")
    return cast(On, on)


def _from_object(distribution: Any, on: On) -> Prior:
    name = type(distribution).__name__
    if name == "ImproperUniform":
        support = getattr(distribution.support, "base_constraint", distribution.support)
        if type(support).__name__.strip("_").lower() != "real":
            raise ModelError(
                f"ImproperUniform on {support}: flat priors have no bounds; write 'flat', or 'uniform(0, 10)'"
            )
        return Prior(None, on)
    if getattr(distribution.support, "is_discrete", False):
        raise ModelError(f"{name} is a discrete distribution; the parameters of a model are continuous")
    with runtime.float64():
        values = {k: getattr(distribution, k, None) for k in distribution.arg_constraints}
    for key, constraint in distribution.arg_constraints.items():
        value = values[key]
        if value is None or type(constraint).__name__ == "_Dependent":
            continue
        with runtime.float64():
            valid = bool(np.all(np.asarray(constraint(value))))
        if not valid:
            raise ModelError(f"{name}({key}={np.asarray(value).tolist()}): out of range")
    shown = ", ".join(f"{k}={_number(v)}" for k, v in values.items() if v is not None and np.ndim(v) == 0)
    if name in ("Wishart", "InverseWishart"):
        matrix = np.asarray(values["scale_matrix"], dtype=np.float64)
        if matrix.size <= LARGEST_SHOWN:
            shown += f", scale_matrix={np.round(matrix, 4).tolist()}"
    if name == "Uniform" and not np.all(np.asarray(distribution.low) < np.asarray(distribution.high)):
        raise ModelError(f"{name}({shown}): low must be below high")
    return Prior(distribution, on, f"{name}({shown})")


def _number(value: Any) -> str:
    return f"{float(value):.8g}"


# --- priors in words --------------------------------------------------------------------------------------------------
Builder = Callable[..., Any]


def _numpyro() -> Any:
    import numpyro.distributions as dist

    return dist


def _normal(mean: float, sd: float | None = None, precision: float | None = None) -> Any:
    if (sd is None) == (precision is None):
        raise TypeError("give sd or precision")
    scale = sd if precision is None else 1.0 / math.sqrt(precision) if precision > 0 else math.nan
    return _numpyro().Normal(mean, scale, validate_args=True)


def _uniform(low: float, high: float) -> Any:
    if not low < high:
        raise ValueError("low must be below high")
    return _numpyro().Uniform(low, high, validate_args=True)


def _weibull(shape: float, scale: float) -> Any:
    return _numpyro().Weibull(scale, shape, validate_args=True)


def _half_student(df: float, scale: float) -> Any:
    return _numpyro().StudentT(df, 0.0, scale, validate_args=True)


def _build(name: str) -> Builder:
    def build(*args: float) -> Any:
        return getattr(_numpyro(), name)(*args, validate_args=True)

    return build


@dataclass(frozen=True)
class Word:
    """A distribution known by name: its arguments and how it is built."""

    arguments: tuple[str, ...]
    build: Builder
    optional: int = 0


@dataclass(frozen=True)
class Lkj:
    """LKJ distribution of a correlation matrix of any size (Lewandowski, Kurowicka & Joe 2009)."""

    concentration: float


@dataclass(frozen=True)
class WishartLike:
    """Wishart or inverse-Wishart with a multiple of the identity as its scale, of any size."""

    name: str
    df: float
    scale: float


def _lkj(eta: float) -> Lkj:
    if not eta > 0:
        raise ValueError("eta must be positive")
    return Lkj(eta)


def _wishart(name: str) -> Builder:
    def build(df: float, scale: float) -> WishartLike:
        if not (df > 0 and scale > 0):
            raise ValueError("df and scale must be positive")
        return WishartLike(name, df, scale)

    return build


WORDS: dict[str, Word] = {
    "normal": Word(("mean", "sd", "precision"), _normal, optional=2),
    "student_t": Word(("df", "loc", "scale"), _build("StudentT")),
    "cauchy": Word(("loc", "scale"), _build("Cauchy")),
    "laplace": Word(("loc", "scale"), _build("Laplace")),
    "logistic": Word(("loc", "scale"), _build("Logistic")),
    "uniform": Word(("low", "high"), _uniform),
    "gamma": Word(("shape", "rate"), _build("Gamma")),
    "inv_gamma": Word(("shape", "scale"), _build("InverseGamma")),
    "beta": Word(("a", "b"), _build("Beta")),
    "exponential": Word(("rate",), _build("Exponential")),
    "lognormal": Word(("mean", "sd"), _build("LogNormal")),
    "weibull": Word(("shape", "scale"), _weibull),
    "half_normal": Word(("scale",), _build("HalfNormal")),
    "half_cauchy": Word(("scale",), _build("HalfCauchy")),
    "half_student_t": Word(("df", "scale"), _half_student),
    "lkj": Word(("eta",), _lkj),
    "wishart": Word(("df", "scale"), _wishart("Wishart")),
    "inv_wishart": Word(("df", "scale"), _wishart("InverseWishart")),
}

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*$", re.S)


def parse_prior(text: str, on: On | None = None) -> Prior:
    """Read ``"gamma(0.01, 0.01) on precision"``; nothing is evaluated but numbers.

    Raises:
        ModelError: naming the word or argument that cannot be read.
    """
    body, _, quantity = text.partition(" on ")
    place = _checked_on(quantity.strip()) if quantity else "value" if on is None else _checked_on(on)
    match = _CALL.match(body)
    if not match:
        raise ModelError(f"prior {text!r} cannot be read; write it as 'normal(0, 10)' or 'gamma(2, 0.1) on precision'")
    name, inside = match.group(1).lower(), match.group(2)
    if name == "flat" and not (inside or "").strip():
        return Prior(None, place)
    if name not in WORDS:
        near = get_close_matches(name, WORDS, 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ModelError(f"prior {text!r}: unknown distribution '{name}'{hint} There are: flat, {', '.join(WORDS)}")
    word = WORDS[name]
    usage = f"{name}({', '.join(word.arguments)})"
    args, named = _arguments(text, inside or "", word.arguments)
    if len(args) + len(named) < len(word.arguments) - word.optional or len(args) > len(word.arguments):
        raise ModelError(f"prior {text!r}: write {usage}")
    try:
        if name == "normal":
            built = word.build(*args, **named)
        else:
            values = dict(zip(word.arguments, args, strict=False))
            if values.keys() & named.keys():
                raise TypeError("an argument is given twice")
            values |= named
            built = word.build(*(values[k] for k in word.arguments))
    except (ValueError, TypeError, KeyError):
        raise ModelError(
            f"prior {text!r}: an argument is missing, given twice or out of range; write {usage}"
        ) from None
    shown = ", ".join([*map(_number, args), *(f"{k}={_number(v)}" for k, v in named.items())])
    least = 0.0 if name == "half_student_t" else -math.inf
    return Prior(built, place, f"{name}({shown})", least)


def _arguments(text: str, inside: str, allowed: tuple[str, ...]) -> tuple[list[float], dict[str, float]]:
    args: list[float] = []
    named: dict[str, float] = {}
    for part in inside.split(",") if inside.strip() else []:
        key, equals, value = part.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            raise ModelError(f"prior {text!r}: '{part.strip()}' is not a number") from None
        if not math.isfinite(number):
            raise ModelError(f"prior {text!r}: '{part.strip()}' is not finite")
        if not equals:
            if named:
                raise ModelError(f"prior {text!r}: arguments without a name come first")
            args.append(number)
        elif key.strip() in allowed and key.strip() not in named:
            named[key.strip()] = number
        else:
            raise ModelError(f"prior {text!r}: argument '{key.strip()}' is unknown or repeated; there are {allowed}")
    return args, named
