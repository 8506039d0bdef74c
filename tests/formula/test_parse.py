"""Reading a formula: its parts, its text, and what is refused before any data are seen."""

from __future__ import annotations

import time

import pytest

from jmix.errors import FormulaError
from jmix.formula import ParsedFormula, RandomPart, parse_formula
from jmix.formula.parse import parse_side

HOSTILE = [
    'y ~ __import__("os").system("id")',
    "y ~ x + __import__('os')",
    "y ~ x.__class__.__bases__[0]",
    "y ~ x[0]",
    "y ~ [v for v in x]",
    "y ~ {x: 1}",
    "y ~ lambda: 1",
    'y ~ f"{x}"',
    "y ~ (x := 3)",
    'y ~ eval("1")',
    'y ~ exec("import os")',
    'y ~ open("/etc/passwd")',
    'y ~ getattr(x, "real")',
    "y ~ np.load(x)",
    "y ~ os.system(x)",
    "y ~ x(1)",
    "y ~ I(x)(2)",
    'y ~ I("a")',
    'y ~ "a"',
    "y ~ log(x, x)",
    'y ~ log(x, base = "a")',
    "y ~ log(x, base = exp(1))",
    "y ~ log(x, out = x)",
    'y ~ poly(x, __import__("os"))',
    "y ~ poly(x, degree = 1e9)",
    "y ~ C(x, eval)",
    'y ~ C(x, Treatment(__import__("os")))',
    "y ~ bs(x, knots = [__import__])",
    "y ~ x; import os",
    "y ~ x @ z",
    "y ~ log(x=1, x=2)",
    'eval("1") ~ x',
    'y ~ (1 | eval("g"))',
    'y ~ (eval("1") | g)',
    'y ~ offset(eval("1"))',
]

MALFORMED = [
    ("", "empty"),
    ("   ", "empty"),
    ("y", "no ~"),
    ("~ x", "no response"),
    ("y ~", "nothing after"),
    ("y ~ x ~ z", "unexpected '~'"),
    ("y ~ (x", "not closed"),
    ("y ~ log(x", "not closed"),
    ("y ~ x)", "too many"),
    ("y ~ 'x", "never closed"),
    ("y ~ `x", "never closed"),
    ("y ~ x +", "ends"),
    ("y ~ * x", "unexpected"),
    ("y ~ x z", "unexpected 'z'"),
    ("y ~ x, z", "unexpected ','"),
    ("y ~ .", "lone '.'"),
    ("y ~ 2", "number 2"),
    ("y ~ x:2", "number 2"),
    ("y ~ x^z", "power"),
    ("y ~ x^0.5", "power"),
    ("y ~ 1e999", "too large"),
    ("1 ~ x", "no column"),
    ("y ~ poly()", "needs a column"),
    ("y ~ logg(x)", "did you mean log"),
    ("cbind(m, n - m) ~ x", "binomial"),
    ("y ~ x - offset(z)", "cannot be subtracted"),
    ("y ~ log(offset(z))", "term of its own"),
    ("y ~ log(factor(z))", "cannot be used in arithmetic"),
    ("factor(y) ~ x", "cannot be used in arithmetic"),
    ("y ~ (1 | )", "no grouping factor"),
    ("y ~ ( | g)", "nothing before"),
    ("y ~ x | g", "outside parentheses"),
    ("y | g ~ x", "response"),
    ("(1 | g) ~ x", "response"),
    ("y ~ x:(1 | g)", "outside of other terms"),
    ("y ~ log((1 | g))", "outside of other terms"),
    ("y ~ ((1 | g) | h)", "outside of other terms"),
    ("y ~ x - (1 | g)", "cannot be subtracted"),
    ("y ~ (1 | 1)", "column to group by"),
    ('y ~ (1 | "g")', "column to group by"),
    ("y ~ (1 | g + h)", "has a '+'"),
    ("y ~ (1 | g * h)", "has a '*'"),
    ("y ~ (1 | log(g))", "cannot group"),
    ("y ~ (0 | g)", "no columns"),
    ("y ~ (1 | g) + (1 | g)", "repeats"),
]

HUGE = [
    "y ~ " + "(" * 100_000 + "x" + ")" * 100_000,
    "y ~ " + "-" * 50_000 + "x",
    "y ~ " + "!" * 50_000 + "x",
    "y ~ " + "x^" * 50_000 + "x",
    "y ~ " + "log(" * 20_000 + "x" + ")" * 20_000,
    "y ~ " + "*".join(f"x{i}" for i in range(60)),
    "y ~ (" + "+".join(f"x{i}" for i in range(500)) + ")^9",
    "y ~ " + "+".join([f"({'+'.join(f'x{i}' for i in range(18))})^9"] * 500),
    "y ~ " + "(x | " * 3000 + "g" + ")" * 3000,
    "x" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        raise AssertionError("the formula ran something")

    monkeypatch.setattr("builtins.eval", forbidden)
    monkeypatch.setattr("os.system", forbidden)
    with pytest.raises(FormulaError):
        parse_formula(text)


@pytest.mark.parametrize(("text", "reason"), MALFORMED)
def test_malformed_formula_is_explained(text: str, reason: str) -> None:
    with pytest.raises(FormulaError, match=reason.replace("(", r"\(").replace("+", r"\+").replace("*", r"\*")):
        parse_formula(text)


@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_huge_formulas_are_refused_soon(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(FormulaError):
        parse_formula(text)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("text", HOSTILE)
def test_code_is_refused_wherever_it_stands(text: str) -> None:
    left, _, right = text.partition("~")
    with pytest.raises(FormulaError):
        parse_formula(text, general=True)
    with pytest.raises(FormulaError):
        parse_formula(f"cbind(y, {right if left.strip() == 'y' else left}) ~ x", general=True)
    with pytest.raises(FormulaError, match="zi: "):
        parse_side(f"~ {right if left.strip() == 'y' else left}", "zi")


@pytest.mark.parametrize("text", HUGE, ids=range(len(HUGE)))
def test_huge_formulas_are_refused(text: str) -> None:
    right = text.partition("~")[2]
    with pytest.raises(FormulaError):
        parse_side(f"~{right}", "disp")


@pytest.mark.parametrize("text", HUGE[:5], ids=range(5))
def test_deep_left_sides_are_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_formula(f"cbind({text.partition('~')[2]}, y) ~ x", general=True)


def test_a_long_sum_is_fine() -> None:
    parsed = parse_formula("y ~ " + " + ".join(f"x{i}" for i in range(3000)))
    assert len(parsed.terms.terms) == 3000


@pytest.mark.parametrize("value", [None, 3, b"y ~ x", ["y ~ x"]])
def test_a_formula_is_text(value: object) -> None:
    with pytest.raises(FormulaError, match="a formula is a text"):
        parse_formula(value)  # type: ignore[arg-type]


def test_parts() -> None:
    parsed = parse_formula("log(y)~poly(x,2)*a+offset( log(z) ) + (x||g) + (1|a/b)")
    assert parsed.response == "log(y)"
    assert parsed.fixed == "poly(x, 2) * a"
    assert parsed.offsets == ("log(z)",)
    assert parsed.random == (RandomPart("x", "||", "g"), RandomPart("1", "|", "a/b"))
    assert str(parsed) == "log(y) ~ poly(x, 2) * a + offset(log(z)) + (x || g) + (1 | a/b)"
    assert parsed.columns() == ["y", "x", "a", "z", "g", "b"]
    assert [block.group for block in parsed.blocks] == ["g", "g", "b:a", "a"]


def test_parsed_formula_is_hashable_and_its_text_reads_back() -> None:
    parsed = parse_formula("y ~ (x + (1 | g)) - 1")
    assert parsed is parse_formula("y ~ (x + (1 | g)) - 1")
    assert {parsed: 1}[parsed] == 1
    again = parse_formula(str(parsed))
    assert isinstance(again, ParsedFormula)
    assert (again.fixed, again.random) == (parsed.fixed, parsed.random) == ("x - 1", (RandomPart("1", "|", "g"),))


def test_no_fixed_terms_means_an_intercept() -> None:
    assert parse_formula("y ~ (1 | g)").fixed == "1"
    assert parse_formula("y ~ 0 + (1 | g)").terms.intercept is False


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("y ~ I(x**2)", "I(x^2)"),
        ("y ~ log( x+1 )", "log(x + 1)"),
        ("y ~ bs(x,knots=[1,2.50])", "bs(x, knots = c(1, 2.5))"),
        ("y ~ C(x,Treatment('b'))", 'C(x, Treatment("b"))'),
        ("y ~ I(100000*x)", "I(1e+05 * x)"),
        ("y ~ I(x*0.0001)", "I(x * 1e-04)"),
        ("y ~ `my var`:school.id", "`my var`:school.id"),
        ("y ~ splines::bs(x,4)", "splines::bs(x, 4)"),
    ],
)
def test_text_is_spelled_as_in_r(text: str, fixed: str) -> None:
    assert parse_formula(text).fixed == fixed


@pytest.mark.parametrize(
    ("group", "names"),
    [("a/b", ["b:a", "a"]), ("a/b/c", ["c:(b:a)", "b:a", "a"]), ("a:b", ["a:b"]), ("(a)", ["a"]), ("`my g`", ["my g"])],
)
def test_groups_are_named_as_in_lme4(group: str, names: list[str]) -> None:
    assert [block.group for block in parse_formula(f"y ~ (1 | {group})").blocks] == names


def test_uncorrelated_terms_are_expanded_term_by_term() -> None:
    blocks = parse_formula("y ~ (x * f || g/h)").blocks
    found = [
        (block.group, [block.terms.label(t) for t in block.terms.terms], block.terms.intercept) for block in blocks
    ]
    assert found[:4] == [("h:g", [], True), ("g", [], True), ("h:g", ["x"], False), ("g", ["x"], False)]
    assert found[-1] == ("g", ["x:f"], False)
