"""Item response functions from their definitions in 60-digit decimals, with no regard for speed or overflow."""

from __future__ import annotations

from decimal import Decimal, getcontext
from itertools import accumulate, pairwise

getcontext().prec = 60


def logistic(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def _asymptote(value: float) -> Decimal:
    if value in (float("inf"), float("-inf")):
        return Decimal(1 if value > 0 else 0)
    return logistic(Decimal(value))


def _shares(logits: list[Decimal]) -> list[Decimal]:
    terms = [x.exp() for x in logits]
    return [term / sum(terms) for term in terms]


def _differences(cumulative: list[Decimal]) -> list[Decimal]:
    """P(Y >= k) for k = 0 to K to P(Y = k)."""
    return [a - b for a, b in pairwise(cumulative)]


def probabilities(kind: str, eta: float, own: list[float], k: int) -> list[Decimal]:
    """The K probabilities of one item."""
    t, o = Decimal(eta), [Decimal(x) for x in own if abs(x) != float("inf")]
    if kind == "logistic":
        p = logistic(t + o[0])
        return [1 - p, p]
    if kind == "logistic4":
        c, u = _asymptote(own[1]), _asymptote(own[2])
        p = c + (u - c) * logistic(t + Decimal(own[0]))
        return [1 - p, p]
    if kind == "graded":
        return _differences([Decimal(1), *(logistic(t + d) for d in o), Decimal(0)])
    if kind == "grsm":
        *b, c, a = o
        return _differences([Decimal(1), *(logistic(t + a * (x + c)) for x in b), Decimal(0)])
    if kind == "sequential":
        steps = [logistic(t + d) for d in o]
        reach = list(accumulate(steps, lambda x, y: x * y, initial=Decimal(1)))
        return [r * (1 - s) for r, s in zip(reach, [*steps, Decimal(0)], strict=True)]
    if kind == "gpcm":
        return _shares([Decimal(0), *(i * t + d for i, d in enumerate(o, 1))])
    if kind == "nominal":
        return _shares([Decimal(0), *(f * t + d for f, d in zip(o[: k - 1], o[k - 1 :], strict=True))])
    *b, c, a = o
    return _shares(list(accumulate((t + a * (c - x) for x in b), initial=Decimal(0))))


def log_probabilities(kind: str, eta: float, own: list[float], k: int) -> list[float]:
    return [float(p.ln()) for p in probabilities(kind, eta, own, k)]
