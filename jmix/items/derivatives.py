"""Derivatives of the log probabilities with respect to ``eta``, in closed form.

With s(x) the logistic function and w = s (1 - s), ``log s`` has the derivatives ``1 - s``, ``-w`` and ``-w (1 - 2 s)``;
cumulative models are sums of such terms. The derivatives of a divide-by-total model's log normaliser are the cumulants
of its scoring factors (Barndorff-Nielsen 1978).
"""

from __future__ import annotations

from typing import Any

from jmix.items.kind import Kind
from jmix.items.stable import beside, log_logistic, softplus

Three = tuple[Any, Any, Any]


def eta_derivatives(kind: Kind, xp: Any, eta: Any, own: Any, n_categories: int) -> Three:
    """First, second and third derivative of ``kind.log_table``, each (J, K, ...).

    Args:
        xp: ``numpy`` or ``jax.numpy``. eta: (J, ...). own: (J, m).
    """
    if kind.linear:
        return _divide(kind, xp, eta, own, n_categories)
    if kind.name == "logistic4":
        return _asymptotes(xp, eta, own)
    if kind.name == "grsm":
        own = own[:, -1:] * (own[:, :-2] + own[:, -2:-1])
    up, down = _log_logistic_derivatives(xp, eta[:, None] + beside(own, eta))
    if kind.name == "sequential":
        return _sequential(xp, up, down)
    return _graded(xp, up, down)


def _log_logistic_derivatives(xp: Any, x: Any) -> tuple[Three, Three]:
    """Derivatives with respect to x of ``log s(x)`` and of ``log s(-x)``."""
    above, below = xp.exp(-softplus(xp, -x)), xp.exp(-softplus(xp, x))
    w = above * below
    third = -w * (below - above)
    return (below, -w, third), (-above, -w, third)


def _graded(xp: Any, up: Three, down: Three) -> Three:
    first, second, third = (
        xp.concatenate([d[:, :1], u[:, :-1] + d[:, 1:], u[:, -1:]], axis=1) for u, d in zip(up, down, strict=True)
    )
    return first, second, third


def _sequential(xp: Any, up: Three, down: Three) -> Three:
    found = []
    for u, d in zip(up, down, strict=True):
        passed = xp.cumsum(u, axis=1)
        found.append(xp.concatenate([d[:, :1], passed[:, :-1] + d[:, 1:], passed[:, -1:]], axis=1))
    first, second, third = found
    return first, second, third


def _divide(kind: Kind, xp: Any, eta: Any, own: Any, n_categories: int) -> Three:
    factors, _ = kind.linear_terms(xp, own, n_categories)
    f = beside(xp.concatenate([xp.zeros_like(factors[:, :1]), factors], axis=1), eta)
    p = xp.exp(kind.log_table(xp, eta, own, n_categories))
    centred = f - xp.sum(f * p, axis=1, keepdims=True)
    variance = xp.sum(p * centred**2, axis=1, keepdims=True)
    skew = xp.sum(p * centred**3, axis=1, keepdims=True)
    return centred, xp.broadcast_to(-variance, p.shape), xp.broadcast_to(-skew, p.shape)


def _asymptotes(xp: Any, eta: Any, own: Any) -> Three:
    """By ``P' / P`` and so on, ``P = c + (u - c) s``; both categories have ``P'`` up to its sign."""
    from jmix.items.kinds import kind_of

    d, c, u = (beside(own[:, m], eta) for m in range(3))
    log_p = kind_of("logistic4").log_table(xp, eta, own, 2)
    x = eta + d
    above, below = xp.exp(-softplus(xp, -x)), xp.exp(-softplus(xp, x))
    w = above * below
    log_w = -softplus(xp, -x) - softplus(xp, x)
    height = xp.exp(log_logistic(xp, u)) - xp.exp(log_logistic(xp, c))
    found: list[list[Any]] = [[], [], []]
    for k, sign in ((0, -1.0), (1, 1.0)):
        r1 = sign * height * xp.exp(log_w - log_p[:, k])
        q2, q3 = r1 * (below - above), r1 * (1.0 - 6.0 * w)
        found[0].append(r1)
        found[1].append(q2 - r1**2)
        found[2].append(q3 - 3.0 * r1 * q2 + 2.0 * r1**3)
    one, two, three = (xp.stack(part, axis=1) for part in found)
    return one, two, three
