"""Whatever stands in a model text or a name of a parameter, the answer is a specification or a ModelError."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from jmix.errors import ModelError
from jmix.items import kind_of
from jmix.spec.irt import build_spec, parameter_frame
from tests.spec.irt.tables import responses

WORDS = st.sampled_from(
    [
        *(
            "F",
            "F1",
            "G",
            "COV",
            "MEAN",
            "CONSTRAIN",
            "CONSTRAINB",
            "PRIOR",
            "FIXED",
            "FREE",
            "START",
            "GROUP",
            "LBOUND",
        ),
        *("=", "=", "=", "-", ",", ",", "(", ")", "*", "\n", ";", "#", "[", "]", "|", " "),
        *("1", "2", "3-5", "1-5", "Item.1", "Item.2-Item.4", "a1", "a2", "d", "c", "g", "MEAN_1", "COV_11", "COV_21"),
        *("norm", "beta", "0.5", "-1e3", "1e400", "nan", "x", "é"),
    ]
)
DATA = responses(groups=("x", "y"))


@given(st.lists(WORDS, max_size=30).map(" ".join))
@settings(max_examples=150, deadline=None)
def test_model_text(text: str) -> None:
    with contextlib.suppress(ModelError):
        build_spec(DATA, "3PL", model=text)


@given(st.lists(WORDS, max_size=12).map(lambda words: "F = 1-5\n" + "".join(words)))
@settings(max_examples=150, deadline=None)
def test_model_text_after_a_good_line(text: str) -> None:
    with contextlib.suppress(ModelError):
        build_spec(DATA, "3PL", model=text)


@given(st.one_of(st.text(max_size=20), st.lists(WORDS, max_size=6).map("".join)), st.floats())
@settings(max_examples=150, deadline=None)
def test_names_of_parameters(name: str, value: float) -> None:
    for options in ({"fixed": {name: value}}, {"start": {name: value}}, {"equal": [name]}, {"free": [name]}):
        with contextlib.suppress(ModelError):
            build_spec(DATA, "2PL", **options)


KINDS = ["Rasch", "1PL", "2PL", "3PL", "3PLu", "4PL", "graded", "grsm", "PCM", "gpcm", "rsm", "nominal", "sequential"]


@given(
    st.lists(st.tuples(st.integers(2, 5), st.sampled_from(KINDS)), min_size=3, max_size=9),
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_any_mixture_is_coherent(items: list[tuple[int, str]], n_groups: int, equal: bool) -> None:
    """Every item in one block, every free number used, every number named once, shared items shared."""
    few = {"2PL", "3PL", "3PLu", "4PL"}
    categories = [2 if name in few else k for k, name in items]
    data = responses(categories, groups=tuple("xyz"[:n_groups]) if n_groups > 1 else ("all",))
    spec, _ = build_spec(data, [name for _, name in items], equal_items=equal)
    assert sorted(j for block in spec.blocks for j in block.columns) == list(range(len(items)))
    places = [*spec.mean.ravel(), *spec.sd.ravel(), *spec.corr.ravel()]
    for block in spec.blocks:
        places += [*block.slopes.ravel(), *block.own.ravel()]
        assert block.own.shape == (n_groups, len(block.columns), len(kind_of(block.kind).names(block.n_categories)))
        if equal:
            assert (block.own == block.own[:1]).all() and (block.slopes == block.slopes[:1]).all()
    assert set(spec.table.free.tolist()) <= set(places)
    assert set(places) == set(range(len(spec.table.names)))
    assert len(set(spec.table.names)) == len(spec.table.names)
    frame = parameter_frame(spec)
    assert frame.loc[frame["est"], "parameter"].nunique() == spec.n_free
