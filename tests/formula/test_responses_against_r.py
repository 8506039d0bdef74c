"""Responses, offsets and one-sided formulas against R's model.frame, binomial()$initialize and model.matrix."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design_response import GlmmDesign, build_glmm_design
from jmix.families import resolve_family

HERE = Path(__file__).parent
CASES = (HERE / "responses.txt").read_text(encoding="utf-8").splitlines()


def parse_reference(text: str) -> dict[str, dict[str, Any]]:
    """The output of responses.R by case."""
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        kind, *rest = line.split("\t")
        if kind == "F":
            entry = found.setdefault("\t".join(rest), {})
        elif kind == "N":
            entry["N"] = (int(rest[0]), tuple(rest[1].split("|")) if rest[1] else ())
        else:
            entry.setdefault(kind, {})[rest[0]] = [float(rest[1]), float(rest[2])]
    return found


def r_data() -> pd.DataFrame:
    """The data of responses.R."""
    i = np.arange(1, 49)
    d = pd.DataFrame({"m": i % 5, "n": 4 + i % 3, "x": np.sin(i * 1.7) * 3, "z": np.cos(i * 0.9) + 2, "k": i % 4})
    d = d.astype({"m": float, "n": float}).assign(t=np.exp(np.cos(i)))
    d["yes"] = pd.Categorical(np.array(["no", "yes"])[(i * i) % 7 % 2])
    d["zero"] = (i * 3) % 7 // 4
    d["l"] = pd.Series(np.sin(i) > 0).astype("boolean")
    d["a"] = np.array(["p", "q", "r"])[i % 3].astype(object)
    levels = ["lo", "mid", "hi", "top"]
    d["o"] = pd.Categorical(np.array(levels)[(i // 5) % 4], categories=levels, ordered=True)
    d["g"] = np.array(["g1", "g2", "g3", "g4", "g5", "g6"])[(i // 3) % 6].astype(object)
    d["p"] = d["m"] / d["n"]
    for row, column in enumerate(["m", "x", "z", "n", "t", "p", "yes", "o", "g", "l", "a"]):
        d.loc[6 + 2 * row, column] = None
    return d


def design_of(case: str) -> GlmmDesign:
    family, formula, *options = case.split("\t")
    names = ("weights", "offset", "disp", "zi")
    given = {name: value for name, value in zip(names, options, strict=True) if value}
    return build_glmm_design(formula, r_data(), resolve_family(family), **given)


def check(case: str, expected: dict[str, Any]) -> None:
    design = design_of(case)
    rows = design.base.index.to_numpy() + 1
    n, levels = expected["N"]
    assert (rows.size, design.base.n_missing) == (n, 48 - n)
    assert design.response.levels == levels
    np.testing.assert_array_equal(design.base.y, design.response.y)
    size = design.response.size if design.response.size is not None else np.ones(n)
    y = design.response.y
    if "S" in expected and design.response.size is None and design.weights is not None:
        size, y = design.weights, design.weights * y
    vectors = {"Y": y, "S": size, "O": design.base.offset}
    sides = {"X": (design.base.x_names, design.base.X)}
    sides |= {key: (s.names, s.X) for key, s in (("D", design.disp), ("V", design.zi)) if s is not None}
    for kind, columns in expected.items():
        if kind in vectors:
            compare(rows, vectors[kind], columns[""])
        elif kind in sides:
            names, X = sides[kind]
            assert names == list(columns)
            for name, column in zip(names, X.T, strict=True):
                compare(rows, column, columns[name])
    assert (design.base.offset is None) == ("O" not in expected)


def compare(rows: np.ndarray, values: np.ndarray, sums: list[float]) -> None:
    found = [rows / 48 @ values, np.cos(rows) @ values]
    np.testing.assert_allclose(found, sums, rtol=1e-9, atol=1e-9)


COMMITTED = parse_reference((HERE / "responses.tsv").read_text(encoding="utf-8"))


def test_every_case_has_a_reference() -> None:
    assert list(COMMITTED) == CASES


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_r(case: str) -> None:
    check(case, COMMITTED[case])


def test_a_changed_number_is_noticed() -> None:
    case = CASES[0]
    expected = COMMITTED[case] | {"S": {"": [1.0, 1.0]}}
    with pytest.raises(AssertionError):
        check(case, expected)


@pytest.mark.r
def test_committed_values_are_what_r_gives(rscript: str) -> None:
    text = (HERE / "responses.txt").read_text(encoding="utf-8")
    done = subprocess.run(
        [rscript, str(HERE / "responses.R")], input=text, capture_output=True, text=True, timeout=120, check=False
    )
    if "no package called" in done.stderr:
        pytest.skip("lme4 is not installed")
    live = parse_reference(done.stdout)
    assert list(live) == CASES
    for case in CASES:
        check(case, live[case])
