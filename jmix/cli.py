"""The command ``jmix``: options, errors and exit codes; the work is in ``cli_fit``, ``cli_data`` and ``cli_info``."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NoReturn

import jmix
from jmix.errors import JmixError

FAILED, INTERNAL, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141
"""Exit codes: wrong input, a mistake in jmix, Ctrl-C, and a reader of the output that left."""

_CODES = f"""exit codes:
  0    done
  1    not converged (fit --strict)
  {FAILED}    wrong input or options: one line on stderr says what
  {INTERNAL}   a mistake in jmix
  {INTERRUPTED}  interrupted
"""

_FIT = """examples:
  jmix fit sleepstudy "Reaction ~ Days + (Days | Subject)"
  jmix fit pupils.csv "score ~ ses + (1 | school/class)" --ml --factor class --out results
"""


class UsageError(JmixError):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the words after ``jmix``; those of the process when left out.

    Returns:
        The exit code: 0; 1 with ``--strict`` when a fit did not converge; 2 for wrong input; 70 for a mistake in jmix;
        130 after Ctrl-C; 141 when the reader of the output has left.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words[: words.index("--") if "--" in words else len(words)]
    try:
        with _calm_process(debug):
            code = _run(words)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, debug)
    except JmixError as error:
        return _fail(str(error), FAILED, debug)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", FAILED, debug)
    except MemoryError:
        return _fail("there is not enough memory for this model and these data", FAILED, debug)
    except Exception as error:
        hint = "" if debug else "; --debug shows where, please report it"
        return _fail(f"internal error: {type(error).__name__}: {error}{hint}", INTERNAL, debug)


def _run(words: list[str]) -> int:
    try:
        options = build_parser().parse_args(words)
    except SystemExit as stop:  # --help and --version have printed
        return int(stop.code or 0)
    return int(import_module(options.module).run(options))


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"jmix: {_one_line(message)}", file=sys.stderr, flush=True)
    return code


def _one_line(text: str) -> str:
    shown = " ".join(text.split())
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in {"Cc", "Cs"} else c for c in shown)


def _drop_output() -> None:
    """Send what is left in the buffer nowhere, so that the interpreter does not complain when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _calm_process(debug: bool) -> Iterator[None]:
    """No log lines of JAX and no warnings of other packages on the terminal, and an output that can show any text."""
    if debug:
        yield
        return
    logger, before = logging.getLogger("jax"), os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    level, errors = logger.level, getattr(sys.stdout, "errors", None)
    reconfigure: Any = getattr(sys.stdout, "reconfigure", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            logger.setLevel(logging.ERROR)
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            if reconfigure and errors == "strict":
                reconfigure(errors="backslashreplace")
            yield
        finally:
            logger.setLevel(level)
            if before is None:
                os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
            if reconfigure and errors == "strict":
                with contextlib.suppress(OSError):
                    reconfigure(errors=errors)


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = _Parser(
        prog="jmix",
        description="Linear mixed models from the command line.",
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"jmix {jmix.__version__}")
    debug = _Parser(add_help=False)
    for place in (parser, debug):
        place.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks, warnings and JAX's log"
        )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_fit(commands, debug)
    _add_data(commands, debug)
    _add_info(commands, debug)
    return parser


def _add_fit(commands: Any, debug: argparse.ArgumentParser) -> None:
    text = "fit a linear mixed model and print its summary"
    fit = commands.add_parser(
        "fit",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=_FIT,
        parents=[debug],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    fit.set_defaults(module="jmix.cli_fit")
    fit.add_argument(
        "data",
        metavar="DATA",
        help="a .csv, .tsv (also .gz) or .parquet file, or a data set that ships with jmix",
    )
    fit.add_argument("formula", metavar="FORMULA", help='as in lme4, e.g. "y ~ x + (x | g)"; text columns are factors')
    model = fit.add_argument_group("model")
    model.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    model.add_argument("--weights", metavar="COL", help="column of prior weights")
    model.add_argument("--offset", metavar="COL", help="column of known additions to the linear predictor")
    model.add_argument(
        "--factor", metavar="COL", action="append", default=[], help="treat a numeric column as categories (repeatable)"
    )
    model.add_argument(
        "--contrasts",
        metavar="COL=KIND",
        action="append",
        default=[],
        help="coding of a factor: treatment, sum, helmert, poly, diff or SAS (repeatable)",
    )
    _add_reading(fit.add_argument_group("reading csv and tsv"))
    output = fit.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="also write tables, summary and fit to a folder (replaces earlier ones)"
    )
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument("--strict", action="store_true", help="exit code 1 if the fit has not converged")


def _add_reading(reading: Any) -> None:
    reading.add_argument("--sep", metavar="CHAR", help="separator of the columns: a comma, in .tsv files a tab")
    reading.add_argument("--decimal", metavar="CHAR", default=".", help="decimal mark: a point")
    reading.add_argument("--encoding", metavar="NAME", help="encoding of the text: UTF-8")
    reading.add_argument(
        "--na",
        metavar="TEXT",
        action="append",
        default=[],
        help="text that stands for a missing value, besides NA, NaN, N/A, NULL and nothing (repeatable)",
    )


def _add_data(commands: Any, debug: argparse.ArgumentParser) -> None:
    text = "list the data sets that ship with jmix, or print one as csv"
    data = commands.add_parser("data", help=text, description=f"{text}.", parents=[debug], allow_abbrev=False)
    data.set_defaults(module="jmix.cli_data")
    data.add_argument("name", metavar="NAME", nargs="?", help="the data set to print")
    data.add_argument("--out", metavar="FILE", help="write it to a .csv, .tsv (also .gz) or .parquet file instead")


def _add_info(commands: Any, debug: argparse.ArgumentParser) -> None:
    text = "show versions, devices, precision and the compilation cache"
    info = commands.add_parser("info", help=text, description=f"{text}.", parents=[debug], allow_abbrev=False)
    info.set_defaults(module="jmix.cli_info")
    info.add_argument("--clear-cache", action="store_true", help="first remove the compiled programs of the cache")
