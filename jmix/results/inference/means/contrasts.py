"""Weights of the contrasts among the means of a family, with their names and the adjustment that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError

FloatArray = npt.NDArray[np.float64]

METHODS = (
    "pairwise", "revpairwise", "trt.vs.ctrl", "trt.vs.ctrlk", "eff", "del.eff", "consec", "mean_chg", "poly",
    "identity",
)  # fmt: skip
ADJUST = {
    "pairwise": "tukey", "revpairwise": "tukey", "trt.vs.ctrl": "dunnettx", "trt.vs.ctrlk": "dunnettx", "eff": "fdr",
    "del.eff": "fdr", "consec": "mvt", "mean_chg": "mvt",
}  # fmt: skip
"""The adjustment that emmeans uses for each method; none for others."""

DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


@dataclass(frozen=True, eq=False)
class Weights:
    """Contrasts of k means.

    Attributes:
        names: of the c contrasts. matrix: (c, k). adjust: of several tests. pairs: whether they are all pairs.
    """

    names: tuple[str, ...]
    matrix: FloatArray
    adjust: str = "none"
    pairs: bool = False

    @property
    def contrasts(self) -> bool:
        """Whether the weights of each add up to zero."""
        return bool(np.all(np.abs(self.matrix.sum(axis=1)) < 1e-6 * (1e-6 + np.abs(self.matrix).max(axis=1))))


def weights_of(method: Any, names: Sequence[str], ref: Any = None) -> Weights:
    """The contrasts of a method among means with these names.

    Args:
        method: a name in ``METHODS``, or a dict of weights by name of the contrast.
        ref: name or place of the reference mean, of "trt.vs.ctrl".

    Raises:
        ModelError: another method, a wrong number of weights, or an unknown reference.
    """
    if isinstance(method, Mapping):
        return _given(method, names)
    aliases = {"trt.vs.ctrl1": "trt.vs.ctrl", "dunnett": "trt.vs.ctrl", "reference": "trt.vs.ctrl", "all": "pairwise"}
    method = aliases.get(method, method) if isinstance(method, str) else method
    if not isinstance(method, str) or method not in METHODS:
        raise ModelError(f"method={method!r}: choose {', '.join(map(repr, METHODS))}, or a dict of weights by name")
    k = len(names)
    if ref is not None and not method.startswith("trt.vs.ctrl"):
        raise ModelError(f"ref= is for method='trt.vs.ctrl', not {method!r}")
    if k < 2 and method != "identity":
        raise ModelError(f"method={method!r}: there is only one mean, {names[0]!r}; contrasts need two or more")
    made = _control(names, k - 1 if method == "trt.vs.ctrlk" else ref) if "ctrl" in method else _make(method, names)
    return Weights(
        tuple(n for n, _ in made), np.array([w for _, w in made]), ADJUST.get(method, "none"), "pair" in method
    )


def _make(method: str, names: Sequence[str]) -> list[tuple[str, FloatArray]]:
    k, unit = len(names), np.eye(len(names))
    if method in ("pairwise", "revpairwise"):
        pairs = list(combinations(range(k), 2))
        if method == "pairwise":
            return [(f"{names[i]} - {names[j]}", unit[i] - unit[j]) for i, j in pairs]
        ordered = sorted(pairs, key=lambda p: (p[1], p[0]))
        return [(f"{names[j]} - {names[i]}", unit[j] - unit[i]) for i, j in ordered]
    if method == "consec":
        return [(f"{names[i + 1]} - {names[i]}", unit[i + 1] - unit[i]) for i in range(k - 1)]
    if method == "mean_chg":
        return [(f"{names[i]}|{names[i + 1]}", _after(i + 1, k)) for i in range(k - 1)]
    if method in ("eff", "del.eff"):
        scale = k / (k - 1.0) if method == "del.eff" else 1.0
        return [(f"{names[i]} effect", scale * (unit[i] - 1.0 / k)) for i in range(k)]
    return _polynomials(k) if method == "poly" else [(names[i], unit[i]) for i in range(k)]


def _after(before: int, k: int) -> FloatArray:
    return np.concatenate([np.full(before, -1.0 / before), np.full(k - before, 1.0 / (k - before))])


def _control(names: Sequence[str], ref: Any) -> list[tuple[str, FloatArray]]:
    places = [_place(names, r) for r in (ref if isinstance(ref, list | tuple) else [0 if ref is None else ref])]
    base = np.zeros(len(names))
    base[places] = 1.0 / len(places)
    label = names[places[0]] if len(places) == 1 else f"avg({','.join(names[i] for i in places)})"
    others = [i for i in range(len(names)) if i not in places]
    if not others:
        raise ModelError("ref: every mean is in the reference; leave one out")
    return [(f"{names[i]} - {label}", np.eye(len(names))[i] - base) for i in others]


def _place(names: Sequence[str], ref: Any) -> int:
    if isinstance(ref, int | np.integer) and not isinstance(ref, bool) and str(ref) not in names:
        if -len(names) <= ref < len(names):
            return int(ref) % len(names)
        raise ModelError(f"ref={ref}: there are {len(names)} means, numbered from 0")
    text = str(ref)
    bare = [n.strip("()") for n in names]
    if text in names or text in bare:
        return names.index(text) if text in names else bare.index(text)
    ends = [i for i, n in enumerate(bare) if n.endswith(text)]
    if len(ends) == 1:
        return ends[0]
    raise ModelError(f"ref={ref!r} is none of the means: {', '.join(map(repr, bare))}")


def _polynomials(k: int) -> list[tuple[str, FloatArray]]:
    """Orthogonal polynomials of equally spaced means, scaled to small whole numbers."""
    powers = np.vander(np.arange(k, dtype=np.float64) - (k - 1) / 2.0, min(7, k), increasing=True)
    q = np.linalg.qr(powers)[0][:, 1:]
    found = []
    for j in range(q.shape[1]):
        own = q[:, j] * np.sign(q[-1, j])
        own = own / own[own > 0.01].min()
        off = float(np.abs(own - np.round(own)).max())
        while off > 0.05:
            own = own / off
            off = float(np.abs(own - np.round(own)).max())
        found.append((DEGREES[j], np.round(own)))
    return found


def _given(method: Mapping[Any, Any], names: Sequence[str]) -> Weights:
    rows = []
    for label, weights in method.items():
        if isinstance(weights, Mapping):
            own = np.zeros(len(names))
            for name, weight in weights.items():
                own[_place(names, name)] = float(weight)
        else:
            own = np.asarray(weights, dtype=np.float64).reshape(-1)
        if own.size != len(names) or not np.isfinite(own).all():
            raise ModelError(
                f"contrast {label!r} needs {len(names)} weights, for {', '.join(map(repr, names))}; it has {own.size}"
            )
        rows.append(own)
    if not rows:
        raise ModelError("method={}: give at least one contrast, as {'a less b': [1, -1]}")
    return Weights(tuple(str(label) for label in method), np.array(rows))
