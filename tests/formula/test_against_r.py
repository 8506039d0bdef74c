"""Names, order and values of the matrices against R's model.matrix and lme4's lFormula."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design import build_design

HERE = Path(__file__).parent
FORMULAS = (HERE / "formulas.txt").read_text(encoding="utf-8").splitlines()


def parse_reference(text: str) -> dict[str, dict[str, Any]]:
    """The output of reference.R by formula."""
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        kind, *rest = line.split("\t")
        if kind == "F":
            entry = found.setdefault(rest[0], {"columns": {}, "random": {}})
        elif kind == "C":
            entry["columns"][rest[0]] = [float(rest[1]), float(rest[2])]
        else:
            sums = np.array(rest[3].split(","), dtype=float)
            entry["random"][rest[0], rest[1]] = (rest[2].split("|"), sums)
    return found


def r_data() -> pd.DataFrame:
    """The data of reference.R."""
    i = np.arange(1, 49)
    frame = pd.DataFrame({"y": 10 + np.sin(i * 1.3) + i / 16, "x": np.sin(i * 1.7) * 3, "z": np.cos(i * 0.9) + 2})
    frame["k"] = i % 5
    frame["a"] = np.array(["p", "q", "r"])[i % 3]
    frame["b"] = np.array(["u", "v", "w", "t"])[(i * i) % 7 % 4]
    levels = ["lo", "mid", "hi", "top"]
    frame["o"] = pd.Categorical(np.array(levels)[(i // 5) % 4], categories=levels, ordered=True)
    frame["g"] = np.array(["g1", "g2", "g3", "g4", "g5", "g6"])[(i // 3) % 6]
    frame["h"] = (i * 5) % 11 + 1
    frame["l"] = np.sin(i) > 0
    frame["school.id"] = (i * 3) % 8 * 5
    return frame


def check(formula: str, expected: dict[str, Any]) -> None:
    """Compare a design with R's."""
    frame = r_data()
    design = build_design(formula, frame)
    n = len(frame)
    weights = np.stack([np.arange(1, n + 1) / n, np.cos(np.arange(1, n + 1))])
    assert [name for name in expected["columns"] if name not in design.dropped] == design.x_names
    sums = np.array([expected["columns"][name] for name in design.x_names])
    np.testing.assert_allclose((weights @ design.X).T, sums, rtol=1e-9, atol=1e-9)
    found = {}
    for term in design.random:
        products = [np.bincount(term.codes, weights[0] * column, len(term.levels)) for column in term.columns]
        found[term.group, "|".join(term.names)] = (term.levels, np.stack(products, axis=1).ravel())
    assert found.keys() == expected["random"].keys()
    for key, (levels, totals) in expected["random"].items():
        assert found[key][0] == levels
        np.testing.assert_allclose(found[key][1], totals, rtol=1e-9, atol=1e-9)


COMMITTED = parse_reference((HERE / "reference.tsv").read_text(encoding="utf-8"))


def test_every_formula_has_a_reference() -> None:
    assert list(COMMITTED) == FORMULAS


@pytest.mark.parametrize("formula", FORMULAS)
def test_agrees_with_r(formula: str) -> None:
    check(formula, COMMITTED[formula])


@pytest.mark.r
def test_committed_values_are_what_r_gives(rscript: str) -> None:
    text = (HERE / "formulas.txt").read_text(encoding="utf-8")
    done = subprocess.run(
        [rscript, str(HERE / "reference.R")], input=text, capture_output=True, text=True, timeout=120, check=False
    )
    if "no package called" in done.stderr:
        pytest.skip("lme4 is not installed")
    live = parse_reference(done.stdout)
    assert list(live) == FORMULAS
    for formula in FORMULAS:
        check(formula, live[formula])
