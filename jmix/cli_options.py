"""The commands of ``jmix`` and their options."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

import jmix
from jmix import cli_irt_options
from jmix.errors import JmixError

FAILED, INTERNAL, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141
"""Exit codes: wrong input, a mistake in jmix, Ctrl-C, and a reader of the output that left."""

_CODES = f"""exit codes:
  0    done
  1    not converged (with --strict)
  {FAILED}    wrong input or options: one line on stderr says what
  {INTERNAL}   a mistake in jmix
  {INTERRUPTED}  interrupted
"""

_FIT = """examples:
  jmix fit sleepstudy "Reaction ~ Days + (Days | Subject)"
  jmix fit pupils.csv "score ~ ses + (1 | school/class)" --ml --factor class --out results
  jmix fit RatPupWeight "weight ~ sex * Treatment + (1 | Litter)" --df kenward-roger --anova
  jmix fit cbpp "cbind(incidence, size - incidence) ~ period + (1 | herd)" --family binomial --agq 25
  jmix fit grouseticks "TICKS ~ YEAR + (1 | BROOD)" --family nbinom2 --zi "~ 1" --disp "~ YEAR"
"""

_SAMPLE = """examples:
  jmix sample sleepstudy "Reaction ~ Days + (Days | Subject)" --hypothesis "Days > 0"
  jmix sample pupils.csv "score ~ ses + (1 | school)" --prior "b=normal(0, 10)" --prior "sd=half_normal(5)" --out post
  jmix sample pupils.csv "score ~ ses + (1 | school)" --priors-only
"""


class UsageError(JmixError):
    """The command line itself is wrong."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = _Parser(
        prog="jmix",
        description="Mixed models and item response models from the command line.",
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
    _add_sample(commands, debug)
    _add_irt(commands, debug)
    _add_data(commands, debug)
    _add_info(commands, debug)
    return parser


def _add_fit(commands: Any, debug: argparse.ArgumentParser) -> None:
    fit = _model_command(commands, debug, "fit", "fit a mixed model and print its summary", _FIT)
    fit.set_defaults(module="jmix.cli_fit")
    model = fit.add_argument_group("model")
    model.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML, for a linear mixed model")
    _add_prior(model, "fit by maximum a posteriori, with the ")
    _add_family(model)
    _add_columns(model)
    _add_tests(fit.add_argument_group("tests of the fixed effects"))
    _add_reading(fit.add_argument_group("reading csv and tsv"))
    output = fit.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="also write tables, summary and fit to a folder (replaces earlier ones)"
    )
    _add_manner(output)


def _add_sample(commands: Any, debug: argparse.ArgumentParser) -> None:
    text = "sample the posterior of a mixed model by NUTS and print its summary"
    sample = _model_command(commands, debug, "sample", text, _SAMPLE)
    sample.set_defaults(module="jmix.cli_sample")
    model = sample.add_argument_group("model")
    _add_prior(model, "")
    _add_family(model)
    _add_columns(model)
    model.add_argument("--full", action="store_true", help="sample the random effects with the parameters, exactly")
    _add_sampler(sample.add_argument_group("sampler"))
    _add_reading(sample.add_argument_group("reading csv and tsv"))
    output = sample.add_argument_group("output")
    output.add_argument(
        "--priors-only", "--show-priors", action="store_true", help="print the priors, defaults marked, and stop"
    )
    output.add_argument(
        "--hypothesis", metavar="TEXT", action="append", default=[], help="also judge e.g. 'Days > 0' (repeatable)"
    )
    output.add_argument("--prob", metavar="P", type=float, default=0.95, help="probability of the intervals: 0.95")
    output.add_argument("--hdi", action="store_true", help="highest density intervals instead of equal tails")
    output.add_argument(
        "--out",
        metavar="DIR",
        help="also write draws, tables, plots, summary and posterior to a folder (replaces earlier ones)",
    )
    _add_manner(output)
    output.add_argument("--no-progress", action="store_true", help="no progress bar")


def _add_irt(commands: Any, debug: argparse.ArgumentParser) -> None:
    text = "fit an item response model and print its summary"
    irt = _command(commands, debug, "irt", text, cli_irt_options.EXAMPLES)
    irt.set_defaults(module="jmix.cli_irt")
    cli_irt_options.add_arguments(irt)
    _add_reading(irt.add_argument_group("reading csv and tsv"))
    output = irt.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR", help="also write tables, summary, fit and plots to a folder (replaces earlier ones)"
    )
    _add_manner(output)


def _add_sampler(sampler: Any) -> None:
    for name, metavar, default, text in (
        ("--draws", "N", 1000, "kept draws a chain"),
        ("--tune", "N", 1000, "warm-up iterations a chain"),
        ("--chains", "N", 4, "number of chains"),
        ("--seed", "N", 0, "the same seed, the same draws"),
        ("--thin", "N", 1, "iterations a kept draw"),
        ("--target-accept", "P", 0.9, "acceptance to tune to; raise it after divergences"),
        ("--max-tree-depth", "N", 10, "2 to this power, less one, steps a draw at most"),
    ):
        sampler.add_argument(name, metavar=metavar, type=type(default), default=default, help=f"{text}: {default}")


def _model_command(
    commands: Any, debug: argparse.ArgumentParser, name: str, text: str, examples: str
) -> argparse.ArgumentParser:
    command = _command(commands, debug, name, text, examples)
    command.add_argument(
        "formula", metavar="FORMULA", help='as in lme4, e.g. "y ~ x + (x | g)"; text columns are factors'
    )
    return command


def _command(
    commands: Any, debug: argparse.ArgumentParser, name: str, text: str, examples: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=examples,
        parents=[debug],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument(
        "data",
        metavar="DATA",
        help="a .csv, .tsv (also .gz) or .parquet file, or a data set that ships with jmix",
    )
    return command


def _add_prior(model: Any, purpose: str) -> None:
    model.add_argument(
        "--prior",
        metavar="NAME=PRIOR",
        action="append",
        default=[],
        help=f"{purpose}prior of a parameter or a class (b, Intercept, sd, cor, sigma), e.g. 'b=normal(0, 10)' "
        "(repeatable)",
    )


def _add_family(model: Any) -> None:
    model.add_argument(
        "--family",
        metavar="NAME",
        default="gaussian",
        help="of the response: gaussian, student, bernoulli, binomial, poisson, nbinom2, nbinom1, gamma, "
        "inverse_gaussian, beta or cumulative",
    )
    model.add_argument("--link", metavar="NAME", help="logit, probit, cloglog, log, identity, ... as the family allows")
    for name, text in (
        ("--zi", "formula of extra zeros of a count, such as '~ 1'"),
        ("--hurdle", "formula of the zeros of a count, the others being zero-truncated"),
        ("--disp", "formula of the log dispersion, such as '~ x'"),
    ):
        model.add_argument(name, metavar="FORMULA", help=text)
    model.add_argument(
        "--agq", metavar="N", type=int, help="nodes of adaptive quadrature; 1 is Laplace's approximation"
    )
    model.add_argument("--method", metavar="NAME", default="agq", help="agq (also Laplace's approximation), or qmc")


def _add_columns(model: Any) -> None:
    model.add_argument("--weights", metavar="COL", help="column of prior weights, or of the trials of a proportion")
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


def _add_tests(tests: Any) -> None:
    tests.add_argument(
        "--df",
        choices=("satterthwaite", "kenward-roger", "containment", "residual", "none"),
        help="degrees of freedom of a linear mixed model: satterthwaite; none for lme4's table without p-values",
    )
    tests.add_argument(
        "--anova",
        nargs="?",
        const="III",
        choices=("I", "II", "III"),
        help="also print an analysis of variance, of type III if none is named",
    )


def _add_manner(output: Any) -> None:
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")
    output.add_argument("--strict", action="store_true", help="exit code 1 if it has not converged")


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
