"""The code in the documentation runs and prints what the pages show; the examples run."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
EXAMPLES = sorted((REPO / "examples").glob("*.py"))
MISSING = {"None", "NaN", "nan", "<NA>"}
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")


def _name(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text and first line; ``output`` when it shows what the block before prints."""

    language: str
    text: str
    line: int
    output: bool


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page in order."""
    page, out, end = path.read_text(encoding="utf-8"), [], 0
    for match in re.finditer(r"^```(\w*)[ \t]*\n(.*?)^```[ \t]*$", page, re.M | re.S):
        line = page.count("\n", 0, match.start(2)) + 1
        follows = not page[end : match.start()].strip() and bool(out) and out[-1].language == "python"
        out.append(Block(match[1], match[2], line, match[1] == "text" and follows))
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


def run_page(path: Path) -> list[str]:
    """Run the python blocks of a page in one namespace; returns what differs from the page."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed, wrong = "", []
    for block in blocks(path):
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(code, str(path), "exec"), namespace)
            printed = stream.getvalue()
        elif block.output and not same_output(block.text, printed):
            wrong.append(f"{path.name}:{block.line} shows\n{block.text}but the block before it prints\n{printed}")
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = run_page(path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_example(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert "REML criterion at convergence: 1743.6" in capsys.readouterr().out


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
