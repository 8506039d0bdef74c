"""The commands of mirt's model syntax."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmix.errors import ModelError
from jmix.spec.irt import build_spec
from tests.spec.irt.tables import responses


def spec_of(**options: Any) -> Any:
    data = options.pop("data", None)
    return build_spec(responses() if data is None else data, options.pop("itemtype", "2PL"), **options)[0]


def value(spec: Any, name: str) -> float:
    return float(spec.table.values[spec.table.names.index(name)])


def test_commands_equal_options() -> None:
    text = """
    F1 = 1-3
    F2 = 3-5
    COV = F1*F2
    CONSTRAIN = (1-2, a1), (4, 5, d)   # two of them
    FIXED = (3, a2)
    START = (3, a2, 0.5), (1, d, 0.25)
    """
    spec = spec_of(model=text)
    same = spec_of(
        model={"F1": "1-3", "F2": "3-5"},
        covariances=True,
        equal=[("a1", "1-2"), ("d", "4-5")],
        fixed={"a2[Item.3]": 0.5},
        start={"d[Item.1]": 0.25},
    )
    assert spec.table.names == same.table.names and spec.table.free_names == same.table.free_names
    np.testing.assert_array_equal(spec.table.values, same.table.values)


def test_balanced_constraint_of_different_parameters() -> None:
    spec = spec_of(model="F1 = 1-3\nF2 = 3-5\nCONSTRAIN = (1, 4, a1, a2)")
    assert spec.n_free == 6 + 5 - 1 and "a1[Item.1]=a2[Item.4]" in spec.table.free_names


def test_means_variances_and_group_parameters() -> None:
    data = responses(n_items=4, groups=("x", "y"))
    spec = spec_of(data=data, model="F = 1-4\nFREE [y] = (GROUP, MEAN_1)", free=[])
    assert spec.table.free_names[-1] == "mean[F|y]"
    spec = spec_of(data=data, equal_items=False, model="F = 1-4\nCONSTRAINB = (1-4, a1)")
    assert spec.n_free == 4 + 8 and "a1[Item.2]" in spec.table.free_names
    rasch = spec_of(itemtype="Rasch", model="F = 1-5\nFIXED = (GROUP, COV_11)\nSTART = (GROUP, COV_11, 4)")
    assert value(rasch, "sd[F]") == 2.0 and rasch.n_free == 5
    free = spec_of(model="F = 1-5\nCOV = F*F\nFIXED = (1, a1)")
    assert free.table.free_names[-1] == "sd[F]"
    with pytest.raises(ModelError, match="only their sum is identified"):
        spec_of(model="F = 1-5\nMEAN = F")


def test_free_asymptote_by_text() -> None:
    spec = spec_of(itemtype="3PL", model="F = 1-5\nFREE = (2, u)\nSTART = (1-5, g, 0.1)")
    assert "logit(u)[Item.2]" in spec.table.free_names
    assert value(spec, "logit(c)[Item.4]") == pytest.approx(np.log(1 / 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines no factor"),
        ("COV = F1*F1", "defines no factor"),
        ("hello", "begins with 'hello'"),
        ("F = 1-9", "factor F: '1-9' is not an item or a range"),
        ("F = 1-5\nF = 1-2", "defines the factor F twice"),
        ("F = 1-5\n(F*F) = 1", "products of factors"),
        ("F = 1-5\nG = F*F", "products of factors"),
        ("F = 1-5\nCOV = F*H", "COV names 'H'"),
        ("F = 1-5\nCOV = F", "write products such as F1"),
        ("F = 1-5\nMEAN = H", "MEAN names 'H'"),
        ("F = 1-5\nCONSTRAIN = 1-5, a1", "each in brackets"),
        ("F = 1-5\nCONSTRAIN = (1-5)", "write the items first"),
        ("F = 1-5\nCONSTRAIN = (1-5, zz)", "no item has a parameter 'zz'"),
        ("F = 1-5\nCONSTRAIN = (1-3, a1, d)", "give one parameter, or as many as items"),
        ("F = 1-5\nCONSTRAINB = (1-5, a1)", "ties groups, but there is one"),
        ("F = 1-5\nSTART = (1-5, a1)", "should end with 1 number"),
        ("F = 1-5\nPRIOR = (1-5, a1, gauss, 0, 1)", "the prior is one of norm, lnorm"),
        ("F = 1-5\nPRIOR = (1-5, a1, expbeta, 2, 3)", "expbeta is for asymptotes"),
        ("F = 1-5\nLBOUND = (1-5, a1, 0)", "LBOUND in the model text"),
        ("F = 1-5\nFREE = (GROUP, MEAN_2)", "'MEAN_2' does not exist"),
        ("F = 1-5\nFREE [q] = (1, a1)", "'q' is not a group"),
    ],
)
def test_text_errors(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        spec_of(model=text)
