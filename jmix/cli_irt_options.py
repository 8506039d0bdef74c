"""The options of ``jmix irt``."""

from __future__ import annotations

from typing import Any

EXAMPLES = """examples:
  jmix irt answers.csv --itemtype 2PL --out results
  jmix irt MathExam14W --items quad-lagrange --itemtype Rasch --method cml
  jmix irt ConspiracistBeliefs2016 --items q1-q15 --itemtype graded --group gender
  jmix irt answers.csv --person id --model "F1 = 1-5; F2 = 6-10; COV = F1*F2" --formula "~ age + sex"
  jmix irt VerbAgg --person id --item item --response r2 --itemtype 1PL --item-formula "~ btype + situ + mode"
"""


def add_arguments(command: Any) -> None:
    """What ``jmix irt`` takes beside the data, the reading of text files and the manner of the output."""
    _add_data(command.add_argument_group("data"))
    _add_model(command.add_argument_group("model"))
    _add_estimation(command.add_argument_group("estimation"))


def _add_data(data: Any) -> None:
    for name, metavar, text in (
        ("--items", "NAMES", "columns that are items, such as 'a,b,c' or 'q1-q15'; the others are data of persons"),
        ("--person", "COL", "column of the persons' labels"),
        ("--item", "COL", "of a list of responses (one in a row): column of the items"),
        ("--response", "COL", "of a list of responses: column of the responses"),
        ("--weights", "COL", "column that says how often each person counts"),
        ("--group", "COL", "column of groups with their own distribution of the trait"),
        ("--cluster", "COL", "column of clusters of persons, such as schools"),
        ("--item-data", "FILE", "table of the items, with their names in a column 'item'"),
    ):
        data.add_argument(name, metavar=metavar, help=text)
    data.add_argument(
        "--stream", action="store_true", help="read a .parquet file block by block, where it is larger than the memory"
    )
    for name, text in (
        ("--drop", "leave a column out of the items (repeatable)"),
        ("--factor", "treat a numeric column as categories in a formula (repeatable)"),
    ):
        data.add_argument(name, metavar="COL", action="append", default=[], help=text)


def _add_model(model: Any) -> None:
    model.add_argument(
        "--itemtype",
        metavar="TYPE",
        help="Rasch, 1PL, 2PL, 3PL, 3PLu, 4PL, graded, grsm, PCM, gpcm, rsm, nominal or sequential; several as "
        "'2PL,2PL,graded'; 2PL, or graded where there are more categories",
    )
    model.add_argument(
        "--model",
        metavar="N|TEXT",
        default="1",
        help="number of factors, or as in mirt 'F1 = 1-5; F2 = 4-10; COV = F1*F2'",
    )
    model.add_argument(
        "--bifactor", metavar="LIST", help="specific factor of each item, such as 'A,A,B,-', a dash for none"
    )
    model.add_argument(
        "--formula", metavar="FORMULA", help="latent regression on data of persons, such as '~ age + sex'"
    )
    model.add_argument(
        "--item-formula", metavar="FORMULA", help="regression of difficulty on data of items (LLTM), such as '~ type'"
    )
    model.add_argument(
        "--prior",
        metavar="NAME=PRIOR",
        action="append",
        default=[],
        help="prior of a parameter or a class (a, d, c, sd, ...), e.g. 'c=beta(5, 17)'; or 'default' (repeatable)",
    )
    model.add_argument(
        "--density", metavar="NAME", help="of the trait: normal, histogram (estimated), or davidian:4, a smooth curve"
    )
    model.add_argument("--free-items", action="store_true", help="several groups: let every item differ between them")
    for name, text in (
        ("--fix", "fix a parameter, e.g. 'a1[q1]=1' (repeatable)"),
        ("--start", "starting value of a parameter (repeatable)"),
    ):
        model.add_argument(name, metavar="NAME=NUMBER", action="append", default=[], help=text)


def _add_estimation(estimation: Any) -> None:
    estimation.add_argument(
        "--method", metavar="NAME", help="ml (map with a --prior), or cml, conditional, for Rasch, PCM and RSM"
    )
    estimation.add_argument("--nodes", metavar="N", type=int, help="nodes of quadrature for each factor")
    estimation.add_argument("--integration", metavar="NAME", help="grid, adaptive, qmc or adaptive-qmc")
    estimation.add_argument(
        "--se",
        metavar="TYPE",
        default="hessian",
        help="hessian (also oakes), crossprod, sandwich, item or none: hessian",
    )
    estimation.add_argument(
        "--scores", metavar="TYPE", help="EAP, MAP, ML, WLE, EAPsum or plausible: EAP; WLE or ML with --method cml"
    )
    estimation.add_argument(
        "--rotate", metavar="NAME", help="rotation of exploratory factors: oblimin, varimax, promax"
    )
    estimation.add_argument(
        "--checkpoint", metavar="FILE", help="keep the course of a long fit in a file; the same command goes on from it"
    )
    estimation.add_argument("--no-plots", action="store_true", help="write no pictures")
    estimation.add_argument("--no-progress", action="store_true", help="no progress bar")
