"""``jmix fit``: read, fit, print the summary, write the results to a folder."""

from __future__ import annotations

import difflib
import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jmix
from jmix.cli_tables import KINDS, TextOptions, kind_of, read_table, write_table
from jmix.errors import DataError, FormulaError, JmixError, ModelError
from jmix.models import Model
from jmix.models_glmm import GlmmMethod, GlmmModel
from jmix.models_student import StudentModel
from jmix.results.fit import Fit
from jmix.runtime import default_device

if TYPE_CHECKING:
    import pandas as pd

    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.inference.faces.tests import AnovaType
    from jmix.results.inference.fixed.anova_table import Anova
    from jmix.results.inference.fixed.fixed_tests import DfMethod
    from jmix.results.summary import Report

_LONGEST_NAME = 80
_PRIOR = re.compile(r"(?P<name>.+?)=\s*(?P<prior>[A-Za-z_]\w*\s*(\(.*\))?(\s+on\s+\w+)?)\s*", re.DOTALL)

INTERRUPTED = 130
"""Exit code after Ctrl-C in the middle of a long fit, which keeps its best point."""


def run(options: Namespace) -> int:
    """Fit the model of the options; 1 if ``--strict`` and it has not converged."""
    contrasts, priors = read_contrasts(options.contrasts), read_priors(options.prior)
    folder = None if options.out is None else check_folder(Path(options.out))
    text = TextOptions(options.sep, options.decimal, options.encoding, options.na)
    data = as_factors(load(options.data, text), options.factor)
    start_jax()
    fit = fit_model(options, data, contrasts, priors)
    summary, anova = tests_of(fit, options.df, options.anova)
    if not options.quiet:
        print(summary if anova is None else f"{summary}\n\n{anova}")
    if folder is not None:
        written = write_results(fit, folder, options.df, options.anova)
        if not options.quiet:
            print(f"\nWrote to {folder}: {', '.join(written)}")
    if fit.status.interrupted:
        print("jmix: interrupted: the results are the best so far", file=sys.stderr)
        return INTERRUPTED
    if options.strict and not fit.converged:
        print("jmix: the fit has not converged", file=sys.stderr)
        return 1
    return 0


def tests_of(fit: Fit | GlmmFit, df: DfMethod | None, anova: AnovaType | None) -> tuple[Report, Anova | None]:
    """The summary with tests by a rule, and the analysis of variance if one is wanted.

    Raises:
        ModelError: a rule that the model does not have, with the reason.
    """
    from jmix.results.inference.fixed.df_choice import check_method

    if df is not None:
        check_method(fit, df)
    summary = fit.summary(df=df) if isinstance(fit, Fit) else fit.summary()
    return summary, None if anova is None else fit.anova(anova, df)


def start_jax() -> None:
    """Start the device on which jmix computes.

    Raises:
        JmixError: JAX cannot, for example because the environment asks for a device that is not there.
    """
    try:
        default_device()
    except Exception as error:  # what JAX raises depends on the driver and the platform
        raise JmixError(f"JAX cannot start: {str(error) or type(error).__name__}; check JAX_PLATFORMS") from error


def fit_model(
    options: Namespace, data: pd.DataFrame, contrasts: dict[str, str] | None, priors: dict[str, str] | None
) -> Fit | GlmmFit:
    """The fit, a posteriori where there are priors; a linear formula without random terms is fitted as R's ``lm``
    unless maximum likelihood is asked for.
    """
    if options.ml and priors is not None:
        raise ModelError("--ml and --prior exclude each other: with priors the fit is a posteriori")
    model = bind(options, data, contrasts, priors)
    if isinstance(model, GlmmModel | StudentModel):
        method: GlmmMethod = "ml" if priors is None else "map"
        return model.fit(method, n_agq=1 if options.agq is None else options.agq, integration=options.method)
    if options.agq is not None or options.method != "agq":
        raise ModelError("--agq and --method are for a --family whose random effects have no closed form")
    if priors is not None:
        return model.fit("map")
    if not model.terms and not options.ml:
        return jmix.lm(options.formula, data, weights=options.weights, offset=options.offset, contrasts=contrasts)
    return model.fit("ml" if options.ml else "reml")


def bind(
    options: Namespace, data: pd.DataFrame, contrasts: dict[str, str] | None, priors: dict[str, str] | None = None
) -> Model | GlmmModel:
    """The model of the options."""
    return jmix.model(
        options.formula,
        data,
        weights=options.weights,
        offset=options.offset,
        contrasts=contrasts,
        priors=priors,
        family=options.family,
        link=options.link,
        zi=options.zi,
        hurdle=options.hurdle,
        disp=options.disp,
    )


def load(name: str, options: TextOptions) -> pd.DataFrame:
    """The data frame of a file, or of a data set that ships with jmix."""
    path = Path(name)
    if kind_of(path) is not None or path.name != name or "\0" in name:
        return read_table(path, options)
    try:
        return jmix.load_data(name)
    except DataError as error:
        if path.exists():
            return read_table(path, options)
        raise DataError(f"there is no file {name!r} ({', '.join(KINDS)}), and {error}") from error


def as_factors(data: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The data with some columns turned into categories, their levels sorted."""
    names = [str(name) for name in data.columns]
    data = data.copy(deep=False)
    for name in columns:
        if names.count(name) > 1:
            raise DataError(f"--factor {name}: the data have several columns of this name; rename all but one")
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the columns are {', '.join(names[:8])}"
            raise DataError(f"--factor {name}: the data have no such column; {hint}")
        label = data.columns[names.index(name)]
        data[label] = data[label].astype("category")
    return data


def read_contrasts(given: Iterable[str]) -> dict[str, str] | None:
    """``["f=sum", "g=helmert"]`` as a dict."""
    found: dict[str, str] = {}
    for text in given:
        column, equals, kind = text.rpartition("=")
        if not (column and equals and kind):
            raise FormulaError(f"--contrasts {text!r}: write COLUMN=KIND, for example group=sum")
        found[column.strip()] = kind.strip()
    return found or None


def read_priors(given: Iterable[str]) -> dict[str, str] | None:
    """``["b=normal(0, 10)"]`` as a dict."""
    found: dict[str, str] = {}
    for text in given:
        match = _PRIOR.fullmatch(text.strip())
        if match is None:
            raise ModelError(f"--prior {text!r}: write NAME=PRIOR, for example 'b=normal(0, 10)'")
        name = match["name"].strip()
        if name in found:
            raise ModelError(f"--prior {text!r}: there is already a prior for {name!r}")
        found[name] = match["prior"]
    return found or None


def check_folder(folder: Path) -> Path:
    """The folder, if results can go there; asked before the fit, which may take long."""
    if "\0" in str(folder):
        raise DataError(f"--out {folder}: a name of a folder cannot hold a zero byte")
    try:
        present = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    except OSError as error:
        raise DataError(f"--out {folder}: {error.strerror or error}") from error
    if not present.is_dir():
        raise DataError(f"--out {folder}: {str(present)!r} is a file, not a folder")
    if not os.access(present, os.W_OK | os.X_OK):
        raise DataError(f"--out {folder}: you may not write in {str(present)!r}")
    return folder


def write_results(
    fit: Fit | GlmmFit, folder: Path, df: DfMethod | None = None, anova: AnovaType | None = None
) -> list[str]:
    """Write every table of a fit, replacing files of the same names; returns the names."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    summary, analysis = tests_of(fit, df, anova)
    tables = [*result_tables(fit, df), *([] if analysis is None else [("anova.csv", analysis.table.reset_index())])]
    for name, frame in tables:
        write_table(frame, folder / name)
        written.append(name)
    shown = [summary] if analysis is None else [summary, analysis]
    texts = {
        "summary.txt": "\n\n".join(map(str, shown)) + "\n",
        "summary.md": "\n\n".join(part.to_markdown() for part in shown),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
        written.append(name)
    fit.save(folder / "fit.npz")
    return [*written, "fit.npz"]


def result_tables(fit: Fit | GlmmFit, df: DfMethod | None = None) -> Iterator[tuple[str, pd.DataFrame]]:
    """File name and content of each table; with a rule for them, degrees of freedom and p-values."""
    options: dict[str, Any] = {"effects": "fixed", "conf_int": True} | ({"df": df} if isinstance(fit, Fit) else {})
    fixed = fit.tidy(**options)
    yield "fixef.csv", fixed.drop(columns=["effect", "group"])
    yield "vcov.csv", fit.vcov().rename_axis("term").reset_index()
    yield "varcorr.csv", fit.varcorr()
    if fit.terms:
        values = fit.tidy(effects="ran_vals")
        groups = list(dict.fromkeys(values["group"]))
        for group, name in zip(groups, file_names(groups), strict=True):
            yield name, values.loc[values["group"] == group, ["level", "term", "estimate", "std_error"]]
    yield "augment.csv", _with_row_numbers(fit.augment())
    yield "glance.csv", fit.glance()


def file_names(groups: Iterable[str]) -> list[str]:
    """``ranef_<group>.csv`` for each grouping factor, safe and distinct on every file system."""
    taken: set[str] = set()
    names = []
    for group in groups:
        stem = f"ranef_{re.sub(r'[^A-Za-z0-9.-]+', '_', group)[:_LONGEST_NAME]}"
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.lower())
        names.append(f"{name}.csv")
    return names


def _with_row_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a first column that tells which row of the data each of its rows is, counted from 1."""
    import pandas as pd

    index = frame.index + 1 if pd.api.types.is_integer_dtype(frame.index.dtype) else frame.index
    name = "row"
    while name in frame.columns:
        name = f".{name}"
    frame = frame.copy()
    frame.insert(0, name, index)
    return frame
