"""Every linear mixed model among the reference results gets lme4's names, sizes and level order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jmix.design import build_design

FILES = {
    "anorexia": "anorexia_long", "nels": "nels23", "bryk": "mathachieve_bryk", "sleepstudy": "sleepstudy",
    "classroom": "classroom", "Penicillin": "Penicillin", "Dyestuff": "Dyestuff",
}  # fmt: skip


def fits(entry: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(entry, dict) and "formula" in entry:
        yield path, entry
    elif isinstance(entry, dict):
        for key, value in entry.items():
            yield from fits(value, f"{path}/{key}")


@pytest.mark.parametrize("name", FILES)
def test_design_has_the_shape_of_lme4s(name: str, reference: Callable[[str], Any], shared_dir: Path) -> None:
    frame = pd.read_csv(shared_dir / "data" / f"{FILES[name]}.csv")
    if "sector" in frame:
        frame["sector"] = pd.Categorical(frame["sector"], ["Public", "Catholic"])
    found = list(fits(reference("lmm")[name], name))
    assert found
    for path, fit in found:
        design = build_design(fit["formula"], frame)
        assert design.x_names == list(fit["fixef"]), path
        assert len(design.y) == fit["nobs"], path
        assert {term.group: len(term.levels) for term in design.random} == fit["ngrps"], path
        for group, effects in fit.get("ranef", {}).items():
            levels = next(term.levels for term in design.random if term.group == group)
            shown = effects["levels"]
            half = len(shown) // 2
            assert levels[:half] == shown[:half], path
            assert levels[len(levels) - half :] == shown[len(shown) - half :], path
