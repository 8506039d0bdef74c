"""The code in the documentation runs and prints what the pages show; the examples run."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import runpy
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
EXAMPLES = sorted((REPO / "examples").glob("*.py"))
MISSING = {"None", "NaN", "nan", "<NA>"}
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")
OUTPUT = {"text", "sampled"}
SHOWN_BY_EXAMPLE = {
    "sleepstudy.py": "REML criterion at convergence: 1743.6",
    "bayes_sleepstudy.py": "Regression Coefficients:",
}


def _name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text and first line; ``output`` when it shows what the block before prints.

    ``needs`` are the packages of a block marked ``python needs arviz``; it is left out where they are missing.
    """

    language: str
    text: str
    line: int
    output: bool
    needs: tuple[str, ...]

    @property
    def runs(self) -> bool:
        return all(importlib.util.find_spec(name) is not None for name in self.needs)


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page in order."""
    page, out, end = path.read_text(encoding="utf-8"), [], 0
    for match in re.finditer(r"^```(\w*)(?: needs ([\w ]+))?[ \t]*\n(.*?)^```[ \t]*$", page, re.M | re.S):
        line = page.count("\n", 0, match.start(3)) + 1
        follows = not page[end : match.start()].strip() and bool(out) and out[-1].language == "python"
        output = match[1] in OUTPUT and follows
        needs = out[-1].needs if output else tuple((match[2] or "").split())
        out.append(Block(match[1], match[3], line, output, needs))
        end = match.end()
    return out


def same_token(shown: str, printed: str) -> bool:
    """Equal text, or numbers that differ by at most one unit in the last place shown."""
    if shown == printed or {shown, printed} <= MISSING:
        return True
    match = NUMBER.fullmatch(shown)
    if not match or not NUMBER.fullmatch(printed) or "." not in shown:
        return False
    decimals = len(match[1] or ".") - 1
    unit = 10.0 ** (int(match[2][1:] if match[2] else 0) - decimals)
    return abs(float(shown) - float(printed)) <= 1.01 * unit


def same_output(shown: str, printed: str) -> bool:
    """The same tokens line by line; white space and trailing blank lines do not matter."""
    lines, other = shown.rstrip().splitlines(), printed.rstrip().splitlines()
    pairs = [(a.split(), b.split()) for a, b in zip(lines, other, strict=False)]
    return len(lines) == len(other) and all(len(a) == len(b) and all(map(same_token, a, b)) for a, b in pairs)


# --- what a sampler prints: words are equal, numbers agree within Monte Carlo error -----------------------------------
# A block marked ``sampled`` may differ by some five standard errors of the difference between two runs of 2,000
# effective draws. Columns are known by their heads, and their numbers stand right below the ends of these.
COLUMNS = {
    "centre": {"Estimate", "mean", "median", "estimate", "fit"},
    "spread": {"Est.Error", "sd", "est_error", "std_error", "se"},
    "mode": {"mode"},
    "end": {"lower", "upper", "CI.Lower", "CI.Upper", "conf_low", "conf_high"},
    "ess": {"Bulk_ESS", "Tail_ESS", "ess_bulk", "ess_tail", "ess"},
    "rhat": {"Rhat", "rhat"},
    "mcse": {"mcse_mean", "mcse_sd"},
    "odds": {"Evid.Ratio", "evidence_ratio"},
    "probability": {"Post.Prob", "probability", "autocorr"},
}
HEADS = {name: kind for kind, names in COLUMNS.items() for name in names}
IN_SPREADS = {"centre": 0.15, "spread": 0.2, "mode": 0.5, "end": 0.5}
ABSOLUTE = {"rhat": 0.01, "probability": 0.06}
FACTORS = {"ess": 2.0, "mcse": 1.5, "odds": 1.5}
RELATIVE = 0.05


def unit_of(shown: str) -> float:
    """One unit in the last place."""
    mantissa, _, exponent = shown.partition("e")
    return float(10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2])))


def close(shown: str, printed: str, kind: str, spread: float) -> bool:
    """Whether two numbers may come from two runs of a sampler; ``spread`` is the posterior sd in the same row, or 0."""
    a, b, slack = float(shown), float(printed), 1.01 * unit_of(shown)
    if kind in FACTORS:
        return a / FACTORS[kind] - slack <= b <= a * FACTORS[kind] + slack
    if kind in ABSOLUTE:
        return abs(a - b) <= ABSOLUTE[kind] + 1e-9
    if spread and kind in IN_SPREADS:
        return abs(a - b) <= IN_SPREADS[kind] * spread + slack
    return abs(a - b) <= RELATIVE * abs(a) + slack if "." in shown else a == b


def heads(line: str) -> dict[int, str]:
    """Kinds of columns by where their heads end; empty where the line is not a head."""
    words = list(re.finditer(r"[lu]-\d+% \w+|\S+", line))
    kinds = {w.end(): HEADS.get(w[0], "end" if " " in w[0] else "") for w in words}
    return kinds if any(kinds.values()) and not any(NUMBER.fullmatch(w[0]) for w in words) else {}


def spread_of(numbers: list[tuple[str, float]]) -> float:
    """The posterior standard deviation in a row: as shown, or a quarter of the interval; 0 where there is neither."""
    shown = [value for kind, value in numbers if kind == "spread"]
    ends = [value for kind, value in numbers if kind == "end"]
    return shown[0] if shown else (ends[1] - ends[0]) / 4 if len(ends) == 2 else 0.0


def same_row(shown: str, printed: str, columns: dict[int, str]) -> bool:
    """The same words in the same order, and numbers close to each other."""
    words, other = list(re.finditer(r"\S+", shown)), printed.split()
    kinds = [columns.get(w.end(), "") for w in words]
    numbers = [bool(NUMBER.fullmatch(w[0])) for w in words]
    spread = spread_of([(k, float(w[0])) for w, k, n in zip(words, kinds, numbers, strict=True) if n])
    return len(words) == len(other) and all(
        w[0] == o or {w[0], o} <= MISSING or (n and bool(NUMBER.fullmatch(o)) and close(w[0], o, k, spread))
        for w, o, k, n in zip(words, other, kinds, numbers, strict=True)
    )


def same_draws(shown: str, printed: str) -> bool:
    """``same_output`` with room for Monte Carlo error; whole numbers outside known columns are exact."""
    lines, other = shown.rstrip().splitlines(), printed.rstrip().splitlines()
    columns: dict[int, str] = {}
    for a, b in zip(lines, other, strict=False):
        columns = heads(a) or (columns if a.strip() else {})
        if not same_row(a, b, columns):
            return False
    return len(lines) == len(other)


def run_page(path: Path) -> list[str]:
    """Run the python blocks of a page in one namespace; returns what differs from the page."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed, wrong = "", []
    for block in filter(lambda b: b.runs, blocks(path)):
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(code, str(path), "exec"), namespace)
            printed = stream.getvalue()
        elif block.output and not (same_draws if block.language == "sampled" else same_output)(block.text, printed):
            wrong.append(f"{path.name}:{block.line} shows\n{block.text}but the block before it prints\n{printed}")
    return wrong


GIVEN = {"classroom.md": "classroom.csv"}
"""Data that a page reads from its folder, and that do not ship with jmix."""

LONG = {"classroom.md"}
"""Pages under the slow mark: what they call, other pages and tests call too."""


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=pytest.mark.slow if p.name in LONG else ()) for p in PAGES], ids=_name
)
def test_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path.name in GIVEN:
        shared = Path(os.environ.get("JMIX_SHARED", REPO.parent / "shared")) / "data" / GIVEN[path.name]
        if not shared.exists():
            pytest.skip(f"{shared} is not here: the data of {path.name} do not ship with jmix")
        shutil.copy(shared, tmp_path)
    wrong = run_page(path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_example(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert SHOWN_BY_EXAMPLE[path.name] in capsys.readouterr().out


COMMANDS = [
    pytest.param(line, id=f"{_name(path)}:{block.line + i}")
    for path in PAGES
    for block in blocks(path)
    if block.language == "sh"
    for i, line in enumerate(block.text.splitlines())
    if line.startswith("jmix ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import jmix
    from jmix.cli import main

    monkeypatch.chdir(tmp_path)
    jmix.load_data("sleepstudy").to_csv("mydata.csv", index=False)
    try:
        status = main(shlex.split(line, comments=True)[1:])
    except SystemExit as stop:
        status = stop.code
    assert status in (0, None)


def test_readme_begins_with_an_example() -> None:
    first = blocks(REPO / "README.md")
    example, output = first[0], first[1]
    assert example.language == "python"
    assert output.output
    assert output.line + output.text.count("\n") <= 30


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert not missing


def test_the_comparison_sees_differences() -> None:
    assert same_output("a  1.23\n\n", "a 1.24")
    assert not same_output("a 1.23", "a 1.25")
    assert not same_output("a 12", "a 13")
    assert not same_output("a 1.0", "b 1.0")
    assert not same_output("a", "a\nb")
    assert same_output("x NaN 1.0e-05", "x None 1.1e-05")


SUMMARY = """~Subject (Number of levels: 18)
                    Estimate Est.Error l-95% CI u-95% CI Rhat Bulk_ESS Tail_ESS
sd(Days)                6.57      1.53     4.15    10.08 1.00     4675     3036
cor(Intercept,Days)     0.08      0.30    -0.48     0.65 1.00     4162     2485

Days    10.388885
Name: estimate, dtype: float64
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("6.57", "6.61", id="mean"),
        pytest.param("4675", "2500", id="ess"),
        pytest.param("10.08", "10.4", id="end"),
        pytest.param("-0.48", "-0.5", id="end near zero"),
        pytest.param("1.00     4162", "1.01     5000", id="rhat and ess"),
        pytest.param("10.388885", "10.41", id="number outside a table"),
    ],
)
def test_draws_may_differ_within_monte_carlo_error(old: str, new: str) -> None:
    assert old in SUMMARY
    assert same_draws(SUMMARY, SUMMARY.replace(old, new))
    assert not same_output(SUMMARY, SUMMARY.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("     0.08", "    -0.08", id="sign"),
        pytest.param("    -0.48", "     0.48", id="sign of an end"),
        pytest.param("10.388885", "-10.388885", id="sign outside a table"),
        pytest.param("6.57", "6.90", id="mean"),
        pytest.param("0.30", "0.38", id="sd"),
        pytest.param("10.08", "10.90", id="end"),
        pytest.param("1.00     4162", "1.02     4162", id="rhat"),
        pytest.param("4675", "2300", id="ess"),
        pytest.param("10.388885", "11.0", id="number outside a table"),
        pytest.param("10.388885", "nan", id="missing number"),
        pytest.param("18", "19", id="count"),
        pytest.param("sd(Days)", "sd(Day)", id="word"),
        pytest.param("Rhat", "R-hat", id="head"),
        pytest.param(SUMMARY.splitlines(keepends=True)[3], "", id="missing row"),
        pytest.param(SUMMARY.splitlines(keepends=True)[3], SUMMARY.splitlines(keepends=True)[2], id="another row"),
        pytest.param("Name: estimate, dtype: float64\n", "", id="missing last line"),
        pytest.param("4162     2485", "4162     2485 *", id="one word more"),
    ],
)
def test_the_comparison_of_draws_can_fail(old: str, new: str) -> None:
    assert old in SUMMARY
    assert not same_draws(SUMMARY, SUMMARY.replace(old, new))


def test_a_block_is_left_out_where_its_package_is_missing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python needs no_such_package\nimport no_such_package\n```\n```text\n1\n```\n", encoding="utf-8")
    assert not run_page(page)
    page.write_text("```python needs json\nprint(2)\n```\n```text\n1\n```\n", encoding="utf-8")
    assert len(run_page(page)) == 1
