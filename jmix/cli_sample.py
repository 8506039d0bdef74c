"""``jmix sample``: read, sample, print the summary, write draws, tables and plots to a folder."""

from __future__ import annotations

import math
import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmix.cli_fit import INTERRUPTED, as_factors, check_folder, file_names, load, read_contrasts, read_priors, start_jax
from jmix.cli_fit import bind as bind_model
from jmix.cli_tables import TextOptions, write_table
from jmix.errors import JmixError, ModelError
from jmix.models import Model
from jmix.models_glmm import GlmmModel
from jmix.results.expressions import compare, spellings
from jmix.spec.names import parameter_names

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.hypothesis import Hypotheses
    from jmix.results.posterior import Posterior
    from jmix.results.posterior_summary import PosteriorSummary

MOST_NUMBERS = 50_000_000
"""Draws of all random effects together behind their intervals."""

MOST_PLOTTED = 40
"""Parameters on a page of plots."""


def run(options: Namespace) -> int:
    """Sample the model of the options; 1 if ``--strict`` and the draws cannot be trusted."""
    contrasts, priors = read_contrasts(options.contrasts), read_priors(options.prior)
    folder = None if options.out is None or options.priors_only else check_folder(Path(options.out))
    text = TextOptions(options.sep, options.decimal, options.encoding, options.na)
    data = as_factors(load(options.data, text), options.factor)
    start_jax()
    model = bind(options, data, contrasts, priors)
    if options.priors_only:
        print(model.priors)
        return 0
    post = sample(model, options)
    judged = judge(model, post, options)
    if not options.quiet:
        print(post.summary(options.prob, interval_of(options)))
        if judged is not None:
            print(f"\n{judged}")
    if folder is not None:
        written = write_results(post, judged, options, folder)
        if not options.quiet:
            print(f"\nWrote to {folder}: {', '.join(written)}")
    return exit_code(post, strict=options.strict)


def exit_code(post: Posterior, *, strict: bool) -> int:
    """0, or a word on stderr and another code for an interrupted run, or for one that ``--strict`` refuses."""
    if post.settings.interrupted:
        print("jmix: interrupted: these are the draws so far", file=sys.stderr)
        return INTERRUPTED
    if strict and not post.status.converged:
        print("jmix: the chains have not converged", file=sys.stderr)
        return 1
    return 0


def interval_of(options: Namespace) -> Any:
    """The kind of interval of the summary."""
    return "hdi" if options.hdi else "eti"


def bind(
    options: Namespace, data: pd.DataFrame, contrasts: dict[str, str] | None, priors: dict[str, str] | None
) -> Model | GlmmModel:
    """The model of the options; what can be refused before sampling is refused here."""
    model = bind_model(options, data, contrasts, priors)
    if isinstance(model, Model) and (options.agq is not None or options.method != "agq"):
        raise ModelError("--agq and --method are for a --family whose random effects have no closed form")
    if not 0.0 < options.prob < 1.0:
        raise ModelError(f"--prob {options.prob:g}: give a number between 0 and 1, such as 0.95")
    check_hypotheses(model, options.hypothesis)
    return model


def check_hypotheses(model: Model | GlmmModel, hypotheses: Iterable[str]) -> None:
    """Raise ModelError for a hypothesis that cannot be read or names what the model has not."""
    import numpy as np

    fixed, others = parts_of(model)
    names = parameter_names(fixed, model.spec, others=others)
    for text in hypotheses:
        compare(text, spellings(names, fixed), {name: np.ones((1, 1)) for name in names})


def parts_of(model: Model | GlmmModel) -> tuple[list[str], list[str]]:
    """The names of the fixed effects, and those of the parameters of the response."""
    if isinstance(model, Model):
        return model.design.x_names, ["sigma", "nu"] if model.family == "student" else ["sigma"]
    return model.design.base.x_names, model.family_names


def sample(model: Model | GlmmModel, options: Namespace) -> Posterior:
    """The draws."""
    more: dict[str, Any] = {}
    if isinstance(model, GlmmModel):
        more = {"n_agq": options.agq, "integration": options.method, "marginal": False if options.full else None}
    elif options.full:
        more = {"marginal": False}
    return model.sample(
        options.draws,
        options.tune,
        options.chains,
        options.seed,
        thin=options.thin,
        target_accept=options.target_accept,
        max_tree_depth=options.max_tree_depth,
        progress=False if options.quiet or options.no_progress else None,
        **more,
    )


def judge(model: Model | GlmmModel, post: Posterior, options: Namespace) -> Hypotheses | None:
    """The hypotheses of the options; a point hypothesis with its evidence ratio where every prior is proper."""
    if not options.hypothesis:
        return None
    point = any(not re.search("[<>]", text) for text in options.hypothesis)
    prior = model.sample_prior(post.n_draws, options.seed) if point and model.priors.proper else None
    return post.hypothesis(options.hypothesis, prior=prior)


def write_results(post: Posterior, judged: Hypotheses | None, options: Namespace, folder: Path) -> list[str]:
    """Write every table, the plots and the posterior, replacing files of the same names; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    post.save(folder / "posterior.npz")
    written = ["posterior.npz"]
    summary = post.summary(options.prob, interval_of(options))
    for name, frame in result_tables(post, summary, judged):
        write_table(frame, folder / name)
        written.append(name)
    for name, text in (("summary.txt", f"{summary}\n"), ("summary.md", summary.to_markdown())):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        written.append(name)
    return [*written, *write_plots(post, options.prob, folder)]


def result_tables(
    post: Posterior, summary: PosteriorSummary, judged: Hypotheses | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and content of each table."""
    yield "summary.csv", summary.table.rename_axis("parameter").reset_index()
    yield "draws.csv", post.frame()
    yield "vcov.csv", post.vcov().rename_axis("term").reset_index()
    yield "varcorr.csv", post.varcorr(summary.prob)
    yield from random_effects(post, summary)
    yield "priors.csv", post.priors.table()
    yield "glance.csv", post.glance()
    if judged is not None:
        yield "hypotheses.csv", judged.table


def random_effects(post: Posterior, summary: PosteriorSummary) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and content of the random effects of each grouping factor."""
    if not post.terms:
        return
    numbers = post.n_draws * sum(len(term.levels) * len(term.names) for term in post.terms)
    values = post.ranef_table(summary.prob, summary.interval, thin=max(1, math.ceil(numbers / MOST_NUMBERS)))
    groups = list(dict.fromkeys(values["group"]))
    for group, name in zip(groups, file_names(groups), strict=True):
        yield name, values.loc[values["group"] == group].drop(columns="group")


def write_plots(post: Posterior, prob: float, folder: Path) -> list[str]:
    """Traces, densities and intervals as png; a word on stderr where matplotlib is missing."""
    names = list(post.parameters)[:MOST_PLOTTED]
    if len(names) < len(post.parameters):
        print(f"jmix: the plots show the first {MOST_PLOTTED} parameters", file=sys.stderr)
    try:
        figures = {
            "trace.png": post.plot_trace(names),
            "density.png": post.plot_density(names, prob),
            "forest.png": post.plot_forest(names, max(prob, 0.6)),
        }
    except JmixError as error:
        print(f"jmix: no plots: {error}", file=sys.stderr)
        return []
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=150)
    return list(figures)
