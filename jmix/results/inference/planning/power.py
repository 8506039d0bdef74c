"""Power by simulation: designs of several sizes, thousands of responses each, fitted and tested in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from jmix.design import RandomTerm
from jmix.errors import ModelError
from jmix.estimate.inference.watch import Watch, counting
from jmix.results.inference.planning.power_design import Pool, extended, pool
from jmix.results.inference.planning.power_result import Power, summarised
from jmix.results.inference.planning.power_tests import Outcome, Test, Trial, joined
from jmix.results.inference.planning.power_truth import Subject, subject
from jmix.spec.covariance import CovarianceSpec

CHUNK = 512
"""Responses that are simulated and fitted at a time."""

CELLS = 1 << 23
"""Most numbers of the responses of one chunk."""


def power(
    model: Any,
    effect: str | Sequence[str] | Mapping[str, float],
    n_groups: int | Sequence[int] | None = None,
    n_per_group: int | Sequence[int] | None = None,
    n_sim: int = 1000,
    *,
    alpha: float = 0.05,
    test: Test | None = None,
    params: Mapping[str, float] | None = None,
    group: str | None = None,
    target: float = 0.8,
    seed: int = 0,
    progress: bool | None = None,
) -> Power:
    """The power to detect fixed effects in designs with so many groups, by simulation.

    For each size the pilot's design is reduced or extended by whole groups: groups are taken in an order in which the
    between-group covariates stay in proportion, and repeated, with new levels, beyond the pilot's own. Responses are
    simulated from the parameters with new random effects, all are fitted in vmapped batches, and each effect is tested
    two-sided at ``alpha``. A response whose fit did not converge counts as not significant.

    Args:
        model: a fit, whose design and estimates are the pilot's; or a specification (``jmix.model``) whose data are a
            skeleton: the values of its response do not matter; ``params`` then names all parameters.
        effect: name of a fixed effect as in ``fixef()``; several; or names and the sizes to detect, which replace the
            values of the pilot. A size of 0 gives the type I error.
        n_groups: levels of the grouping factor; of a model without random terms the rows. By default the pilot's.
        n_per_group: rows a group: the first of a group's own, repeated where it has fewer. By default the group's own.
        n_sim: responses for each size.
        test: "satterthwaite", t-tests with degrees of freedom computed exactly for every response (the default for a
            linear model); "wald", z-tests (the default for a generalized one); or "lrt", likelihood-ratio tests by
            maximum likelihood, chi-squared on one degree of freedom.
        params: values of parameters by the names of ``parameters()``: fixed effects, ``sd_...``, ``cor_...``,
            ``sigma``, what a family has beside. Correlations are 0 if left out.
        group: the grouping factor that ``n_groups`` counts; by default the one within which the others are nested.
        target: the power for which the table's note gives the smallest number of groups.
        seed: of the simulations. progress: show a bar; by default where somebody is watching.

    Returns:
        ``table`` with a row for each size and effect: power with Clopper and Pearson's interval (1934, Biometrika 26),
        mean estimate, the probability that a significant estimate has the wrong sign (``type_s``) and by how much it
        exaggerates on average (``type_m``) (Gelman & Carlin 2014, Perspect. Psychol. Sci. 9), shares of fits that
        converged and that are singular. ``plot()`` draws it. Interrupting it (Ctrl-C) keeps what is done.

    Raises:
        ModelError: an unknown effect or parameter, parameters missing or out of range, sizes that do not determine the
            fixed effects, or a test that the model does not have.
    """
    names, overrides = _effects(effect)
    own = subject(model, params, overrides, names)
    chosen = _test(own, test)
    _check_numbers(n_sim, alpha, target)
    groups = pool(own.design, own.terms, group, seed)
    sizes = _sizes(groups, n_groups, n_per_group)
    trials = [(size, _trial(own, groups, size, sizes, names, chosen)) for size in sizes]
    rows: list[pd.DataFrame] = []
    stopped = False
    with counting(progress, "simulated responses", n_sim * len(trials)) as watch:
        for k, (size, trial) in enumerate(trials):
            outcome, stopped = _run(trial, n_sim, (seed, k), watch)
            if outcome is not None:
                truth = own.truth.beta[list(trial.places)]
                rows.append(summarised(outcome, names, truth, size, trial.design, alpha))
            if stopped:
                break
    if not rows:
        raise KeyboardInterrupt
    table = pd.concat(rows, ignore_index=True)
    return Power.of(table, own, groups.group, chosen, alpha, target, interrupted=stopped)


def _run(trial: Trial, n_sim: int, seeds: tuple[int, int], watch: Watch) -> tuple[Outcome | None, bool]:
    """All responses of one size in chunks; what is done, and whether an interrupt ended it."""
    base = trial.design if trial.subject.linear else trial.design.base
    width = max(1, min(CHUNK, CELLS // base.X.shape[0]))
    parts: list[Outcome] = []
    try:
        for c, start in enumerate(range(0, n_sim, width)):
            seed = int(np.random.SeedSequence([*seeds, c]).generate_state(1, np.uint64)[0] >> np.uint64(1))
            count = min(width, n_sim - start)
            parts.append(trial.run(count, seed))
            watch.advance(count)
            if len(parts[-1].converged) < count:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        return (joined(parts) if parts else None), True
    return joined(parts), False


def _trial(
    own: Subject,
    groups: Pool,
    size: tuple[int, int | None],
    sizes: list[tuple[int, int | None]],
    names: list[str],
    test: Test,
) -> Trial:
    design, terms = extended(own.design, groups, *size, max(n for n, _ in sizes))
    places = tuple(own.x_names.index(name) for name in names)
    own, design, terms = _in_order(own, design, terms)
    return Trial(own, design, terms, places, test)


def _in_order(own: Subject, design: Any, terms: tuple[RandomTerm, ...]) -> tuple[Subject, Any, tuple[RandomTerm, ...]]:
    """Random terms in lme4's order, which depends on the numbers of levels."""
    base = design if own.linear else design.base
    order = base.term_order
    if order == list(range(len(terms))):
        return own, design, terms
    terms = tuple(terms[i] for i in order)
    base = replace(base, random=terms)
    spec = CovarianceSpec(tuple(own.spec.terms[i] for i in order))
    truth = replace(own.truth, covariances=tuple(own.truth.covariances[i] for i in order))
    own = replace(own, spec=spec, truth=truth)
    return own, base if own.linear else replace(design, base=base), terms


def _effects(effect: Any) -> tuple[list[str], dict[str, float]]:
    if isinstance(effect, Mapping):
        return list(effect), {str(k): float(v) for k, v in effect.items()}
    names = [effect] if isinstance(effect, str) else list(effect)
    if not names:
        raise ModelError("power needs the name of a fixed effect")
    return names, {}


def _test(own: Subject, test: Any) -> Test:
    if test is None:
        return "satterthwaite" if own.linear else "wald"
    if test not in get_args(Test):
        raise ModelError(f"test={test!r}: choose {', '.join(map(repr, get_args(Test)))}")
    if test == "satterthwaite" and not own.linear:
        raise ModelError("test='satterthwaite' is for linear mixed models; a generalized one has 'wald' and 'lrt'")
    return cast(Test, test)


def _check_numbers(n_sim: Any, alpha: float, target: float) -> None:
    if isinstance(n_sim, bool) or not isinstance(n_sim, int | np.integer) or n_sim < 1:
        raise ModelError(f"n_sim={n_sim!r}: give a whole number of responses, at least 1")
    for name, value in (("alpha", alpha), ("target", target)):
        if not 0.0 < value < 1.0:
            raise ModelError(f"{name}={value!r}: give a number between 0 and 1")


def _sizes(groups: Pool, n_groups: Any, n_per_group: Any) -> list[tuple[int, int | None]]:
    """All combinations of the numbers asked for."""
    many = [len(groups.rows)] if n_groups is None else _whole(n_groups, "n_groups", 2)
    if n_per_group is not None and groups.group is None:
        raise ModelError("n_per_group is for models with a grouping factor; without one n_groups counts the rows")
    each: list[int | None] = [None] if n_per_group is None else [*_whole(n_per_group, "n_per_group", 1)]
    return list(product(many, each))


def _whole(values: Any, name: str, least: int) -> list[int]:
    numbers = list(np.atleast_1d(np.asarray(values, dtype=object)))
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise ModelError(f"{name}={values!r}: give whole numbers, at least {least}")
    if not numbers:
        raise ModelError(f"{name} is empty")
    return [int(v) for v in numbers]
