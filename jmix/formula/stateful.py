"""Transforms that remember their training data: scale, poly and splines.

The state of each is a dict of plain JSON types, so that it can travel with a saved fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jmix.errors import DataError, FormulaError, JmixError
from jmix.formula.values import FloatArray, Matrix, Value

State = dict[str, Any]


def apply_transform(func: str, x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[Value, State]:
    """Apply a transform; ``state`` None means that these are the training data.

    Args:
        x: (n,) numbers, NaN where missing; those rows stay NaN.

    Returns:
        The (n,) values or a Matrix of (n, k), and the state.

    Raises:
        DataError, FormulaError: the transform cannot be computed from these data or options.
    """
    present = ~np.isnan(x)
    clean = x if present.all() else x[present]
    if np.isinf(clean).any():
        raise DataError(f"the argument of {func}() is infinite in {int(np.isinf(clean).sum())} rows")
    if state is None and not clean.size:
        raise DataError(f"{func}() has no values to work with: all rows are missing")
    try:
        values, state = _TRANSFORMS[func](clean, args, state)
    except JmixError:
        raise
    except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
        raise DataError(f"{func}() cannot be computed: {error}") from error
    if clean is not x:
        spread = np.full((x.size, *values.shape[1:]), np.nan)
        spread[present] = values
        values = spread
    if values.ndim == 1:
        return values, state
    width = values.shape[1]
    return Matrix(np.asfortranarray(values), tuple(str(i + 1) for i in range(width))), state


def _scale(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    if state is None:
        center = float(x.mean()) if args.get("center", True) else 0.0
        spread = 1.0
        if args.get("scale", True):
            shifted = x - center
            spread = float(np.sqrt(shifted @ shifted / max(x.size - 1, 1)))
            if not spread > 0:
                raise DataError("scale() needs a column that varies; this one is constant")
        state = {"center": center, "spread": spread}
    return (x - state["center"]) / state["spread"], state


def _center(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    return _scale(x, {"scale": False}, state)


def _standardize(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    return _scale(x, {}, state)


def _poly(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    degree = args.get("degree", 1)
    if degree is None or not 1 <= degree <= 30:
        raise FormulaError("poly() needs a degree between 1 and 30")
    if args.get("raw"):
        return np.stack([x**k for k in range(1, degree + 1)], axis=1), {}
    if state is None and np.unique(x).size <= degree:
        raise DataError(f"poly() of degree {degree} needs more than {degree} different values; there are fewer")
    from formulaic.transforms.poly import poly

    inner = {} if state is None else {key: dict(enumerate(state[key])) for key in ("alpha", "norms2")}
    values = np.asarray(poly(x, degree=degree, _state=inner))
    return values, {key: [float(inner[key][k]) for k in sorted(inner[key])] for key in ("alpha", "norms2")}


def _bs(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    from formulaic.transforms.basis_spline import basis_spline

    degree = args.get("degree", 3)
    if degree is None or not 1 <= degree <= 20:
        raise FormulaError("bs() needs a degree between 1 and 20")
    inner = _boundary(x, args) if state is None else dict(state)
    if "knots" not in inner:
        interior = _interior_knots(x, args, inner, degree + bool(args.get("intercept")))
        ends = [[inner[key]] * (degree + 1) for key in ("lower_bound", "upper_bound")]
        inner["knots"] = [*ends[0], *interior, *ends[1]]
    basis = basis_spline(
        x, degree=degree, include_intercept=bool(args.get("intercept")), extrapolation="extend", _state=dict(inner)
    )
    return np.column_stack(list(dict(basis).values())), inner


def _ns(x: FloatArray, args: dict[str, Any], state: State | None) -> tuple[FloatArray, State]:
    """Natural cubic spline in R's basis: B-splines with the second derivative at both ends projected out."""
    from scipy.interpolate import BSpline

    if state is None:
        state = _boundary(x, args)
        state["knots"] = _interior_knots(x, args, state, 1 + bool(args.get("intercept")))
    low, high = state["lower_bound"], state["upper_bound"]
    knots = np.concatenate([[low] * 4, state["knots"], [high] * 4])
    spline = BSpline(knots, np.eye(len(knots) - 4), 3)
    inside = np.clip(x, low, high)
    basis = spline(inside)
    if inside is not x and not np.array_equal(inside, x):
        basis += (x - inside)[:, None] * spline(inside, nu=1)
    curvature = spline(np.array([low, high]), nu=2)
    first = 0 if args.get("intercept") else 1
    full, _ = np.linalg.qr(curvature[:, first:].T, mode="complete")
    return basis[:, first:] @ full[:, 2:], state


def _cubic(x: FloatArray, args: dict[str, Any], state: State | None, *, cyclic: bool) -> tuple[FloatArray, State]:
    from formulaic.transforms.cubic_spline import cubic_spline

    if state is None and args.get("df") is None and args.get("knots") is None:
        raise FormulaError("cr() and cc() need df = … or knots = c(…)")
    knots = args.get("knots")
    knots = None if knots is None else list(knots)
    inner = {key: np.asarray(value) if isinstance(value, list) else value for key, value in (state or {}).items()}
    basis = cubic_spline(x, df=args.get("df"), knots=knots, cyclic=cyclic, _state=inner)
    kept = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in inner.items()}
    return np.column_stack(list(dict(basis).values())), kept


def _boundary(x: FloatArray, args: dict[str, Any]) -> State:
    given = args.get("Boundary.knots")
    low, high = (min(given), max(given)) if given is not None and len(given) == 2 else (x.min(), x.max())
    if not low < high:
        raise DataError("a spline needs a column with at least two different values")
    return {"lower_bound": float(low), "upper_bound": float(high)}


def _interior_knots(x: FloatArray, args: dict[str, Any], bounds: State, fixed: int) -> list[float]:
    low, high = bounds["lower_bound"], bounds["upper_bound"]
    if args.get("knots") is not None:
        knots = sorted(float(knot) for knot in args["knots"])
        if knots and not low < knots[0] <= knots[-1] < high:
            raise DataError(f"the knots of a spline must lie inside its boundary, {low:g} to {high:g}")
        return knots
    count = (args.get("df") or fixed) - fixed
    if count < 0:
        raise FormulaError(f"the spline needs df of at least {fixed}")
    inside = x[(x >= low) & (x <= high)]
    return [float(q) for q in np.quantile(inside, np.linspace(0, 1, count + 2)[1:-1])]


_TRANSFORMS: dict[str, Callable[[FloatArray, dict[str, Any], State | None], tuple[FloatArray, State]]] = {
    "scale": _scale,
    "standardize": _standardize,
    "center": _center,
    "poly": _poly,
    "bs": _bs,
    "ns": _ns,
    "cr": lambda x, args, state: _cubic(x, args, state, cyclic=False),
    "cc": lambda x, args, state: _cubic(x, args, state, cyclic=True),
}
