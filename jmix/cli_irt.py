"""``jmix irt``: read responses, fit an item response model, print the summary, write tables and pictures."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jmix
from jmix.cli_fit import INTERRUPTED, as_factors, check_folder, load, read_priors, start_jax
from jmix.cli_irt_tables import write_results
from jmix.cli_tables import TextOptions, kind_of
from jmix.errors import DataError, ModelError

if TYPE_CHECKING:
    import pandas as pd


def run(options: Namespace) -> int:
    """Fit the model of the options; 1 if ``--strict`` and it has not converged."""
    folder = None if options.out is None else check_folder(Path(options.out))
    text = TextOptions(options.sep, options.decimal, options.encoding, options.na)
    data = columns_of(options.data) if options.stream else as_factors(load(options.data, text), options.factor)
    arguments = fit_arguments(options, data, text)
    if arguments["method"] != "cml":
        start_jax()
    fit: Any = jmix.irt(Path(options.data) if options.stream else data, **arguments)
    scores = score_type(options)
    if not options.quiet:
        print(fit.summary())
    if folder is not None:
        written = write_results(fit, scores, folder, options)
        if not options.quiet:
            print(f"\nWrote to {folder}: {', '.join(written)}")
    return exit_code(fit, strict=options.strict)


def columns_of(name: str) -> pd.DataFrame:
    """An empty frame with the columns of a parquet file, which is not read.

    Raises:
        DataError: it is no parquet file, or pyarrow is missing.
    """
    import pandas as pd

    path = Path(name)
    if kind_of(path) != ".parquet" or not path.is_file():
        raise DataError(f"--stream is for a .parquet file; there is no such file {name!r}")
    try:
        from pyarrow import parquet

        return pd.DataFrame(columns=parquet.read_schema(path).names)
    except ImportError as error:
        raise DataError("parquet files need pyarrow: pip install pyarrow") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{name!r} is not a parquet file, or it is damaged") from error


def exit_code(fit: Any, *, strict: bool) -> int:
    """0, or a word on stderr and another code for an interrupted search, or for one that ``--strict`` refuses."""
    if getattr(getattr(fit, "status", None), "interrupted", False):
        print("jmix: interrupted: the results are the best so far", file=sys.stderr)
        return INTERRUPTED
    if strict and not fit.converged:
        print("jmix: the fit has not converged", file=sys.stderr)
        return 1
    return 0


def fit_arguments(options: Namespace, data: pd.DataFrame, text: TextOptions) -> dict[str, Any]:
    """The arguments of ``jmix.irt``.

    Raises:
        DataError, FormulaError, ModelError: an option names no column, or cannot be read.
    """
    wide = options.item is None and options.response is None
    method = None if options.method is None else options.method.lower()
    if method not in (None, "ml", "map", "cml"):
        raise ModelError(f"--method {options.method}: write ml, map or cml")
    score_type(options)
    given: dict[str, Any] = {
        "items": wide_items(options, data) if wide else listed_items(options, data),
        "itemtype": item_types(options.itemtype),
        "model": model_of(options.model),
        "method": method,
        "formula": options.formula,
        "item_formula": options.item_formula,
        "item_data": None if options.item_data is None else load(options.item_data, text),
        "bifactor": None if options.bifactor is None else specific_factors(options.bifactor),
        "priors": priors_of(options.prior),
        "equal_items": not options.free_items,
        "fixed": values_of(options.fix, "--fix"),
        "start": values_of(options.start, "--start"),
        **{name: getattr(options, name) for name in ("person", "item", "response", "weights", "group", "cluster")},
    }
    if method != "cml":
        progress = False if options.quiet or options.no_progress else None
        given |= {name: getattr(options, name) for name in ("se", "nodes", "integration", "density", "checkpoint")}
        given["progress"] = progress
    return given


def score_type(options: Namespace) -> str:
    """The estimates of the persons that are asked for, as the fit spells them.

    Raises:
        ModelError: there are no such ones.
    """
    conditional = (options.method or "").lower() == "cml"
    known = ("WLE", "ML") if conditional else ("EAP", "MAP", "ML", "WLE", "EAPsum", "plausible")
    wanted = known[0] if options.scores is None else options.scores
    found = next((name for name in known if name.lower() == wanted.lower()), None)
    if found is None:
        raise ModelError(f"--scores {wanted}: write {', '.join(known)}")
    return found


def wide_items(options: Namespace, data: pd.DataFrame) -> list[str]:
    """The columns of a table that are items: those asked for, or all that have no other use."""
    from jmix.formula.parse import parse_side

    columns = [str(name) for name in data.columns]
    if options.items is not None:
        chosen = named_columns(options.items, columns, "--items")
        return [name for name in chosen if name not in options.drop]
    taken = {options.person, options.weights, options.group, options.cluster, *options.drop}
    for name in options.drop:
        named_columns(name, columns, "--drop")
    if options.formula is not None:
        taken |= set(parse_side(options.formula, "--formula").columns())
    return [name for name in columns if name not in taken]


def listed_items(options: Namespace, data: pd.DataFrame) -> list[str] | None:
    """The items of a list of responses that are kept; None for all."""
    if options.items is None and not options.drop:
        return None
    if options.item not in data.columns:
        raise DataError(f"--item {options.item}: the data have no such column")
    names = [str(name) for name in dict.fromkeys(data[options.item].tolist())]
    chosen = names if options.items is None else named_columns(options.items, names, "--items")
    return [name for name in chosen if name not in options.drop]


def named_columns(text: str, columns: Sequence[str], option: str) -> list[str]:
    """``"a,b,q1-q15"``: names, and ranges in the order of the columns. A name that holds a dash is taken first.

    Raises:
        DataError: there is no such column.
    """
    out: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if part in columns:
            out.append(part)
            continue
        match = next((m for m in _splits(part) if m[0] in columns and m[1] in columns), None)
        if match is None:
            shown = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
            raise DataError(f"{option} {part!r}: there is no such column, nor such a range; the columns are {shown}")
        first, last = columns.index(match[0]), columns.index(match[1])
        if last < first:
            raise DataError(f"{option} {part!r}: {match[1]!r} comes before {match[0]!r}")
        out += columns[first : last + 1]
    return list(dict.fromkeys(out))


def item_types(text: str | None) -> Any:
    """One item type, or one for each item."""
    if text is None or "," not in text:
        return text
    return [part.strip() for part in text.split(",")]


def model_of(text: str) -> Any:
    """A number of factors, or the text of a model with its lines apart."""
    return int(text) if text.strip().isdigit() else text.replace(";", "\n")


def specific_factors(text: str) -> list[str | None]:
    """``"A,A,B,-"`` as labels, None for a dash."""
    labels = [part.strip() for part in text.split(",")]
    return [None if label in ("-", "") else label for label in labels]


def priors_of(given: list[str]) -> Any:
    """The priors of the options; None without, "default" for the recommended ones."""
    return "default" if given == ["default"] else read_priors(given)


def values_of(given: Iterable[str], option: str) -> dict[str, float] | None:
    """``["a1[q1]=1"]`` as a dict."""
    found: dict[str, float] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not (name.strip() and equals):
            raise ModelError(f"{option} {text!r}: write NAME=NUMBER, for example 'a1[q1]=1'")
    return found or None


def _splits(part: str) -> Iterator[tuple[str, str]]:
    """The two sides of each dash in a text."""
    for match in re.finditer("-", part):
        yield part[: match.start()].strip(), part[match.end() :].strip()
