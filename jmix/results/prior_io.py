"""The priors of a posterior as JSON types: each by the class of its distribution and the numbers it was built with.

A distribution of NumPyro's own, a truncation of one, and those that jmix knows by words come back as they were. Any
other (a class of the user, a transformed distribution, a mixture) keeps its text and its bounds: it prints as before,
and whoever asks for its density is told that it was not saved.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from jmix import runtime
from jmix.design import Design
from jmix.design_response import GlmmDesign
from jmix.errors import ModelError
from jmix.results.archive import require
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.glmm_priors import SideColumns, resolve_glmm_priors
from jmix.spec.prior import ON, Lkj, Prior, WishartLike
from jmix.spec.prior_sets import GlmmPriorSet, PriorRow, Priors, PriorSet
from jmix.spec.priors import resolve_priors
from jmix.spec.supports import bounds

_WORDS = {"Lkj": Lkj, "WishartLike": WishartLike}
_TRUNCATIONS = ("LeftTruncatedDistribution", "RightTruncatedDistribution", "TwoSidedTruncatedDistribution")
_PROBES = (-7.5, -1.0, -0.25, 0.0, 0.3, 1.0, 2.7, 40.0)


@dataclass(frozen=True)
class _Real:
    """A support with perhaps a lower and an upper bound."""

    lower_bound: float | None
    upper_bound: float | None


@dataclass(frozen=True)
class Unsaved:
    """Stands for a distribution that could not be written to a file."""

    text: str
    support: _Real
    event_shape: tuple[int, ...] = ()
    batch_shape: tuple[int, ...] = ()

    def log_prob(self, value: Any) -> Any:
        """Raise ModelError."""
        raise ModelError(f"the prior {self.text} was not saved with the posterior; build the model again with it")

    sample = log_prob


def pack_priors(priors: Priors | None) -> list[dict[str, Any]] | None:
    """One dict a row of the table of priors."""
    if priors is None:
        return None
    with runtime.float64():
        return [
            {
                "parameter": row.parameter,
                "default": row.default,
                "on": row.prior.on,
                "text": row.prior.text,
                "distribution": _pack(row.prior.distribution, row.parameter),
            }
            for row in priors.rows
        ]


def pack_prior(prior: Prior, name: str) -> dict[str, Any]:
    """One prior as JSON types; ``name`` is its parameter's."""
    with runtime.float64():
        return {
            "on": prior.on,
            "text": prior.text,
            "distribution": _pack(prior.distribution, name),
            "least": _bound(prior),
        }


def unpack_prior(row: dict[str, Any]) -> Prior:
    """The inverse of ``pack_prior``."""
    require(row["on"] in ON)
    least = -np.inf if row["least"] is None else float(row["least"])
    with runtime.float64():
        return Prior(_unpack(row["distribution"]), row["on"], str(row["text"]), least)


def _bound(prior: Prior) -> float | None:
    return float(prior.least) if np.isfinite(prior.least) else None


def unpack_priors(
    rows: list[dict[str, Any]] | None, design: Design, spec: CovarianceSpec, *, student: bool
) -> PriorSet | None:
    """The inverse of ``pack_priors``: every prior is the one in force when the draws were made, defaults too."""
    if rows is None:
        return None
    priors = resolve_priors(
        _given(rows),
        x_names=design.x_names,
        x_means=design.X.mean(axis=0),
        spec=spec,
        response=design.y,
        student=student,
    )
    return replace(priors, rows=_marked(priors, rows))


def unpack_glmm_priors(
    rows: list[dict[str, Any]] | None, design: GlmmDesign, spec: CovarianceSpec
) -> GlmmPriorSet | None:
    """The inverse of ``pack_priors`` for a generalized model."""
    if rows is None:
        return None
    base = design.base
    sides = [
        None if side is None else SideColumns(side.names, side.X.mean(axis=0), side.intercept_only)
        for side in (design.disp, design.zi)
    ]
    priors = resolve_glmm_priors(
        _given(rows),
        family=design.family,
        x_names=base.x_names,
        x_means=base.X.mean(axis=0),
        spec=spec,
        response=base.y,
        offset=base.offset,
        dispersion=sides[0],
        zero=sides[1],
    )
    return replace(priors, rows=_marked(priors, rows))


def _given(rows: list[dict[str, Any]]) -> dict[str, Prior]:
    require(all(row["on"] in ON for row in rows))
    with runtime.float64():
        return {r["parameter"]: Prior(_unpack(r["distribution"]), r["on"], str(r["text"])) for r in rows}


def _marked(priors: Priors, rows: list[dict[str, Any]]) -> tuple[PriorRow, ...]:
    """The rows of a table of priors, with what was a default."""
    default = {row["parameter"]: bool(row["default"]) for row in rows}
    require([row.parameter for row in priors.rows] == [row["parameter"] for row in rows])
    return tuple(PriorRow(row.parameter, row.prior, default[row.parameter]) for row in priors.rows)


def _pack(distribution: Any, name: str) -> dict[str, Any] | None:
    kind = type(distribution).__name__
    if distribution is None:
        return None
    if isinstance(distribution, Lkj | WishartLike):
        return {"word": kind, "arguments": asdict(distribution)}
    if isinstance(distribution, Unsaved):
        return {"unsaved": asdict(distribution.support), "text": distribution.text}
    if kind in ("LKJ", "LKJCholesky"):
        return {"word": "Lkj", "arguments": {"concentration": float(distribution.concentration)}}
    try:
        packed = _pack_numpyro(distribution)
        faithful = _same(_unpack(packed), distribution)
    except Exception:  # what a class of the user or a constructor of other arguments raises
        faithful = False
    if faithful:
        return packed
    low, high = (float(end) for end in bounds(distribution, name))
    support = _Real(low if np.isfinite(low) else None, high if np.isfinite(high) else None)
    return {"unsaved": asdict(support), "text": kind}


def _pack_numpyro(distribution: Any) -> dict[str, Any]:
    import numpyro.distributions as dist

    kind = type(distribution).__name__
    require(getattr(dist, kind, None) is type(distribution) or kind in _TRUNCATIONS)
    names = list(distribution.arg_constraints)
    if "scale_tril" in names:
        names = ["concentration", "scale_tril"]
    values = {name: getattr(distribution, name, None) for name in names}
    arguments = {k: np.asarray(v, dtype=np.float64).tolist() for k, v in values.items() if v is not None}
    if kind in _TRUNCATIONS:
        return {"numpyro": kind, "arguments": arguments, "of": _pack_numpyro(distribution.base_dist)}
    return {"numpyro": kind, "arguments": arguments}


def _unpack(packed: dict[str, Any] | None) -> Any:
    if packed is None:
        return None
    if "word" in packed:
        return _WORDS[packed["word"]](**packed["arguments"])
    if "unsaved" in packed:
        return Unsaved(str(packed["text"]), _Real(**packed["unsaved"]))
    kind, arguments = packed["numpyro"], {k: _number(v) for k, v in packed["arguments"].items()}
    if "of" in packed:
        return _distribution_class(kind)(_unpack(packed["of"]), **arguments)
    return _distribution_class(kind)(**arguments, validate_args=True)


def _number(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64) if isinstance(value, list) else float(value)


def _distribution_class(name: str) -> Any:
    """A class of ``numpyro.distributions``; the name comes from a file and reaches nothing else."""
    import numpyro.distributions as dist
    from numpyro.distributions import truncated

    found = getattr(truncated if name in _TRUNCATIONS else dist, name)
    require(isinstance(found, type) and issubclass(found, dist.Distribution))
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two distributions have the same density, up to the rounding of float32 arguments."""
    if one.event_shape:
        return bool(np.array_equal(np.asarray(one.scale_tril), np.asarray(other.scale_tril)))
    left, right = (np.array([float(d.log_prob(x)) for x in _inside(d)]) for d in (one, other))
    return bool(np.allclose(left, right, rtol=1e-4, atol=1e-5, equal_nan=True))


def _inside(distribution: Any) -> list[float]:
    """Some points of the support."""
    low, high = bounds(distribution, "")
    if np.isfinite(low) and np.isfinite(high):
        return [low + share * (high - low) for share in (0.01, 0.3, 0.5, 0.9)]
    if np.isfinite(low):
        return [low + abs(x) + 0.01 for x in _PROBES]
    return [high - abs(x) - 0.01 for x in _PROBES] if np.isfinite(high) else list(_PROBES)
