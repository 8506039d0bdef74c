"""Latent regression and item covariates: matrices, names, what they fix, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.errors import DataError, FormulaError, ModelError
from jmix.spec.irt import build_spec, unpack
from tests.spec.irt.tables import responses

N = 24
RNG = np.random.default_rng(3)
PERSONS = pd.DataFrame(
    {"age": RNG.normal(40, 9, N), "sex": np.tile(["f", "m"], N // 2), "one": 1.0, "half": np.repeat([0.0, 1.0], N // 2)}
)
ITEMS = pd.DataFrame({"position": np.arange(6.0), "type": list("xxyyzz"), "flat": 2.0})


def person_spec(formula: Any, **options: Any) -> Any:
    data = options.pop("data", PERSONS)
    groups = options.pop("groups", ("all",))
    return build_spec(responses(n=N, n_items=6, data=data, groups=groups), "2PL", formula=formula, **options)


# --- persons ----------------------------------------------------------------------------------------------------------
def test_matrix_without_an_intercept() -> None:
    spec, W = person_spec("~ age + sex")
    assert spec.covariates == ("age", "sexm")
    np.testing.assert_array_equal(W, np.stack([PERSONS["age"], PERSONS["sex"] == "m"], axis=1))
    assert spec.table.free_names[-2:] == ("beta[F1:age]", "beta[F1:sexm]")
    x = np.arange(1.0, spec.n_free + 1)
    assert unpack(np, spec, x).regression.tolist() == [[13.0], [14.0]]


def test_transforms_and_interactions() -> None:
    spec, W = person_spec("~ scale(age) * sex")
    assert spec.covariates == ("scale(age)", "sexm", "scale(age):sexm")
    assert W[:, 0].mean() == pytest.approx(0, abs=1e-12)


def test_by_factor() -> None:
    model = "F1 = 1-3\nF2 = 4-6\nCOV = F1*F2"
    spec, W = person_spec({"F1": "~ age", "F2": "~ age + sex"}, model=model)
    assert spec.covariates == ("age", "sexm") and W.shape == (N, 2)
    free = [name for name in spec.table.free_names if name.startswith("beta")]
    assert free == ["beta[F1:age]", "beta[F2:age]", "beta[F2:sexm]"]
    x = np.linspace(0.1, 0.9, spec.n_free)
    betas = unpack(np, spec, x).regression
    assert betas[1, 0] == 0 and (betas.ravel()[[0, 1, 3]] > 0).all()
    both, _ = person_spec("~ age", model=model)
    assert [name for name in both.table.free_names if "beta" in name] == ["beta[F1:age]", "beta[F2:age]"]


def test_bifactor_regresses_the_general_factor() -> None:
    spec, _ = person_spec("~ age", bifactor=[1, 1, 1, 2, 2, 2])
    assert [name for name in spec.table.free_names if "beta" in name] == ["beta[G:age]"]


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("~ height", FormulaError, "'height', which is not a column"),
        ("y ~ age", FormulaError, "formula"),
        ("~ age + (1 | sex)", FormulaError, "random term"),
        ("~ 1", ModelError, "has no covariate"),
        ("~ 0 + sex", ModelError, "a constant can be formed"),
        ({"F9": "~ age"}, ModelError, "'F9', which is not a factor; there are F1"),
    ],
)
def test_refused(formula: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        person_spec(formula)


def test_missing_covariates_name_the_person() -> None:
    data = PERSONS.assign(age=PERSONS["age"].where(PERSONS.index != 7))
    with pytest.raises(DataError, match=r"a covariate is missing for 1 person \(7\)"):
        person_spec("~ age", data=data)
    with pytest.raises(DataError, match="needs person data"):
        person_spec("~ age", data=None)


def test_constants_and_groups() -> None:
    spec, _ = person_spec("~ age + one")
    assert spec.covariates == ("age",), "columns that others make up are left out, as in R"
    groups = ("x", "y")
    assert person_spec("~ age", groups=groups)[0].table.free_names[-3] == "mean[F1|y]"
    inside = PERSONS.assign(which=np.arange(N) % 2)
    with pytest.raises(ModelError, match="'which' does not vary between persons within groups"):
        person_spec("~ which", data=inside, groups=groups)


# --- items ------------------------------------------------------------------------------------------------------------
def item_spec(formula: Any, itemtype: Any = "Rasch", categories: Any = 2, **options: Any) -> Any:
    many = [categories] * 6 if isinstance(categories, int) else categories
    return build_spec(responses(many, item_data=ITEMS), itemtype, item_formula=formula, **options)[0]


def test_lltm() -> None:
    spec = item_spec("~ position + type")
    betas = [f"beta[d:{name}]" for name in ("(Intercept)", "position", "typey", "typez")]
    assert spec.table.free_names == ("sd[F1]", *betas)
    x = dict.fromkeys(spec.table.free_names, 0.0) | {
        "beta[d:(Intercept)]": 1.0,
        "beta[d:position]": -0.5,
        "sd[F1]": 2.0,
    }
    values = unpack(np, spec, np.array([x[name] for name in spec.table.free_names]))
    np.testing.assert_allclose(values.own[0][0, :, 0], 1 - 0.5 * ITEMS["position"])
    assert values.chol[0, 0, 0] == 2.0 and (values.slopes[0] == 1).all()


def test_gradient_goes_through_the_linear_map() -> None:
    import jax
    import jax.numpy as jnp

    from jmix import runtime

    spec = item_spec("~ position")
    with runtime.float64():
        jacobian = jax.jit(jax.jacobian(lambda x: unpack(jnp, spec, x).own[0][0, :, 0]))(jnp.ones(spec.n_free))
    at = [spec.table.free_names.index(f"beta[d:{name}]") for name in ("(Intercept)", "position")]
    np.testing.assert_allclose(np.asarray(jacobian)[:, at], np.stack([np.ones(6), ITEMS["position"]], axis=1))


def test_partial_credit_has_common_steps() -> None:
    spec = item_spec("~ position", "PCM", 4)
    names = set(spec.table.free_names)
    assert names == {*(f"beta[d:{name}]" for name in ("(Intercept)", "position", "step2.4", "step3.4")), "sd[F1]"}
    x = {
        "beta[d:(Intercept)]": 0.3,
        "beta[d:position]": -0.2,
        "beta[d:step2.4]": 0.5,
        "beta[d:step3.4]": -0.1,
        "sd[F1]": 1,
    }
    own = unpack(np, spec, np.array([x[name] for name in spec.table.free_names])).own[0][0]
    location = 0.3 - 0.2 * ITEMS["position"].to_numpy()
    np.testing.assert_allclose(own, np.stack([location, 2 * location + 0.5, 3 * location - 0.1], axis=1), atol=1e-14)
    graded = item_spec("~ position", "graded", 4)
    starts = unpack(np, graded, graded.table.values[graded.table.free]).own[0][0]
    assert (np.diff(starts, axis=1) < 0).all(), "graded intercepts start in order"


def test_slopes_too_and_items_that_keep_their_own() -> None:
    spec = item_spec({"d": "~ position", "a1": "~ type"}, "2PL")
    assert spec.n_free == 2 + 3
    starts = unpack(np, spec, spec.table.values[spec.table.free])
    np.testing.assert_allclose(starts.slopes[0], 1.0, atol=1e-12)
    kept = item_spec("~ position", fixed={"d[Item.2]": 0.7})
    own = unpack(np, kept, np.arange(1.0, kept.n_free + 1)).own[0][0, :, 0]
    assert own[1] == 0.7 and len(set(own)) == 6


def test_groups_share_the_coefficients() -> None:
    data = responses(item_data=ITEMS, n_items=6, groups=("x", "y"))
    spec, _ = build_spec(data, "Rasch", item_formula="~ position")
    assert "mean[F1|y]" in spec.table.free_names
    separate, _ = build_spec(data, "Rasch", item_formula="~ position", equal_items=False)
    assert [name for name in separate.table.free_names if "beta" in name] == ["beta[d:(Intercept)]", "beta[d:position]"]


@pytest.mark.parametrize(
    ("formula", "itemtype", "categories", "error", "message"),
    [
        ("~ colour", "Rasch", 2, FormulaError, "'colour', which is not a column"),
        ({"z": "~ position"}, "Rasch", 2, ModelError, "item_formula names 'z', which no item has"),
        ("~ position", "nominal", 3, ModelError, "of type nominal, which has no intercepts"),
        ({"a1": "~ position"}, "Rasch", 2, ModelError, "every 'a1' is fixed"),
    ],
)
def test_refused_for_items(formula: Any, itemtype: str, categories: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        item_spec(formula, itemtype, categories)


def test_item_data_missing() -> None:
    with pytest.raises(DataError, match=r"needs item data; give item_data="):
        build_spec(responses(), "Rasch", item_formula="~ position")
    broken = ITEMS.assign(position=[0, 1, np.nan, 3, 4, 5])
    with pytest.raises(DataError, match=r"missing for 1 item \(Item.3\)"):
        build_spec(responses(n_items=6, item_data=broken), "Rasch", item_formula="~ position")


def test_options_reach_the_coefficients() -> None:
    spec = item_spec("~ position", fixed={"beta[d:position]": -0.5}, priors={"beta[d:(Intercept)]": "normal(0, 1)"})
    assert spec.table.free_names == ("sd[F1]", "beta[d:(Intercept)]")
    own = unpack(np, spec, np.array([1.0, 2.0])).own[0][0, :, 0]
    np.testing.assert_allclose(own, 2 - 0.5 * ITEMS["position"])
    started = item_spec("~ position", start={"beta[d:position]": 0.25, "beta[d:(Intercept)]": 1.0})
    assert started.table.values[started.table.free].tolist() == [1.0, 1.0, 0.25] and len(started.table.given) == 2
    data = responses(item_data=ITEMS, n_items=6, data=PERSONS.iloc[:12])
    both, _ = build_spec(data, "Rasch", formula="~ age", item_formula="~ position", fixed={"beta[F1:age]": 0.1})
    assert "beta[F1:age]" not in both.table.free_names and "beta[d:position]" in both.table.free_names


def test_too_few_items_left() -> None:
    with pytest.raises(ModelError, match="the 1 values of 'd' that are not fixed or tied do not determine the 2"):
        item_spec("~ position", fixed={("d", "1-5"): 0.0})


def test_frame_of_an_explanatory_model_comes_back() -> None:
    from jmix.spec.irt import parameter_frame

    spec = item_spec("~ position")
    frame = parameter_frame(spec)
    frame.loc[frame["name"] == "beta[d:position]", ["value", "est"]] = [-0.3, False]
    again = item_spec("~ position", parameters=frame)
    assert again.table.free_names == ("sd[F1]", "beta[d:(Intercept)]")
    assert unpack(np, again, np.array([1.0, 0.0])).own[0][0, 1, 0] == pytest.approx(-0.3)


def test_contrasts_of_persons_and_items() -> None:
    data = responses(item_data=ITEMS, n_items=6, n=N, data=PERSONS)
    options = {"formula": "~ sex", "item_formula": "~ type", "contrasts": {"sex": "sum", "type": "sum"}}
    spec, W = build_spec(data, "Rasch", **options)
    assert W is not None and set(np.unique(W)) == {-1.0, 1.0}
    assert spec.linear[0].matrix[-1].tolist() == [1.0, -1.0, -1.0]
