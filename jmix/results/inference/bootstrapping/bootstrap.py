"""The bootstrap of a fit: simulate responses, refit them all in vmapped programs, and collect what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.inference.watch import Watch, counting
from jmix.results.inference.bootstrapping.bootstrap_parameters import parameters
from jmix.results.inference.bootstrapping.bootstrap_quantities import Derived, derived
from jmix.results.inference.bootstrapping.bootstrap_responses import Draw, parametric, residual
from jmix.results.predict import check_draws

if TYPE_CHECKING:
    from jmix.results.base import FitBase
    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap

FloatArray = npt.NDArray[np.float64]

KINDS = ("parametric", "residual")

CELLS = 1 << 23
"""Numbers of simulated responses that are held at a time."""

FEWEST = 2
"""Draws that a result needs."""


class Part(NamedTuple):
    """A finished batch, one row a replicate: parameters, standard errors of the fixed effects, derived quantities, and
    the numbers of the replicates.
    """

    parameters: FloatArray
    errors: FloatArray
    derived: FloatArray
    converged: npt.NDArray[np.bool_]
    singular: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.int64]


def bootstrap(
    fit: Any,
    n: int = 1000,
    fn: Any = None,
    *,
    seed: int = 0,
    kind: str = "parametric",
    conditional: bool = False,
    progress: bool | None = None,
) -> Bootstrap:
    """The work behind ``fit.bootstrap``; arguments are described there."""
    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap

    rng = check_draws("bootstrap", n, seed)
    _check(fit, n, kind, conditional)
    extra = derived(fit, fn)
    draw = residual(fit, rng) if kind == "residual" else parametric(fit, rng, conditional=conditional)
    parts, stopped = _collect(fit, draw, batches(fit, n), extra, progress)
    own, every = parameters(fit), Part(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    values, index = np.concatenate([every.parameters, every.derived], axis=1), pd.Index(every.numbers, name="replicate")
    return Bootstrap(
        fit=fit,
        draws=pd.DataFrame(values, index=index, columns=[*own.index, *extra.names]),
        observed=pd.concat([own, extra.observed]).rename("estimate"),
        errors=pd.DataFrame(every.errors, index=index, columns=own.index[: every.errors.shape[1]]),
        is_converged=every.converged,
        is_singular=every.singular,
        requested=int(n),
        seed=int(seed),
        kind=kind,
        conditional=conditional,
        stopped=stopped,
        failures=tuple(f"{text} ({times} replicates)" for text, times in extra.failures.items()),
    )


def _check(fit: Any, n: int, kind: str, conditional: bool) -> None:
    if fit.method == "MAP":
        raise ModelError(
            "bootstrap is for REML and maximum likelihood: an estimate with priors has a posterior, not a sampling "
            "distribution to be simulated from; draw it with .sample(), or fit without priors"
        )
    if kind not in KINDS:
        raise ModelError(f"bootstrap(kind={kind!r}): choose {', '.join(map(repr, KINDS))}")
    if n < FEWEST:
        raise ModelError(f"bootstrap(n={n}): at least {FEWEST} replicates are needed, 1000 for intervals")
    if kind == "residual" and (hasattr(fit, "family") or conditional):
        reason = "keeps no random effects: leave out conditional=True" if conditional else "needs Gaussian residuals"
        raise ModelError(f"bootstrap(kind='residual') {reason}; kind='parametric' works")


def batches(fit: FitBase, n: int) -> list[int]:
    """Numbers of responses to simulate and fit at a time: powers of two, so that few shapes are compiled."""
    most = max(16, CELLS // max(fit.nobs, 1))
    size = min(4096, 1 << (most.bit_length() - 1))
    full, rest = divmod(n, size)
    return [size] * full + ([rest] if rest else [])


def _collect(fit: Any, draw: Draw, sizes: list[int], extra: Derived, progress: bool | None) -> tuple[list[Part], bool]:
    """All batches, and whether an interrupt ended them. A single batch of refits shows its own progress."""
    alone = len(sizes) == 1 and not extra.functions
    parts: list[Part] = []
    with counting(False if alone else progress, "replicates", sum(sizes)) as watch:
        try:
            for i, size in enumerate(sizes):
                refits = fit.refit(draw(size), progress=progress if alone else False)
                parts.append(_part(refits, extra, sum(sizes[:i]), watch))
                if len(parts[-1].numbers) < size:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if sum(len(part.numbers) for part in parts) < FEWEST:
                raise
            return parts, True
    return parts, False


def _part(refits: Any, extra: Derived, first: int, watch: Watch) -> Part:
    """Evaluate what was asked for on a batch; after an interrupt those replicates that are finished."""
    done, values = len(refits), np.zeros((len(refits), len(extra.observed)))
    if extra.functions:
        done = 0
        try:
            for one in refits:
                values[done] = extra.of(one)
                done += 1
                watch.advance(1)
        except KeyboardInterrupt:
            pass
    else:
        watch.advance(done)
    kept = slice(0, done)
    return Part(
        parameters=refits.parameters().to_numpy()[kept],
        errors=refits.se().to_numpy()[kept],
        derived=values[kept],
        converged=refits.converged.to_numpy()[kept],
        singular=refits.singular.to_numpy()[kept],
        numbers=first + refits.index.to_numpy(dtype=np.int64)[kept],
    )
