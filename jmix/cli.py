"""The command ``jmix``: options, errors and exit codes; the work is in ``cli_fit``, ``cli_sample``, ``cli_data`` and
``cli_info``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from jmix.cli_options import BROKEN_PIPE, FAILED, INTERNAL, INTERRUPTED, build_parser
from jmix.errors import JmixError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: the words after ``jmix``; those of the process when left out.

    Returns:
        The exit code: 0; 1 with ``--strict`` when it did not converge; 2 for wrong input; 70 for a mistake in jmix;
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
