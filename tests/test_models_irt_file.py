"""``jmix.irt`` of a path: every argument is obeyed or refused, and the answer is that of the responses in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jmix
from jmix.errors import ModelError
from jmix.results.irt.streamed import StreamedIrtFit

PRIOR = {"a": "lognormal(0, 0.5)"}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    theta = rng.normal(size=(600, 1))
    answers = theta + rng.logistic(size=(600, 5)) > np.linspace(-1.0, 1.0, 5)
    return pd.DataFrame(answers.astype(np.int8), columns=list("abcde"))


@pytest.fixture(scope="module")
def path(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("responses") / "answers.parquet"
    frame.to_parquet(file)
    return file


@pytest.mark.parametrize(
    ("method", "priors"), [(None, None), ("stochastic", None), (None, PRIOR), ("map", PRIOR), ("ml", PRIOR)]
)
def test_the_method_is_that_of_memory(frame: pd.DataFrame, path: Path, method: Any, priors: Any) -> None:
    wanted = jmix.irt(frame, itemtype="2PL", priors=priors, method=None if method == "stochastic" else method)
    found = jmix.irt(path, itemtype="2PL", priors=priors, method=method)
    assert isinstance(found, StreamedIrtFit)
    assert found.nobs == len(frame)
    assert found.loglik == pytest.approx(wanted.loglik, abs=1e-6)
    np.testing.assert_allclose(found.items()["a"], wanted.items()["a"], rtol=1e-5)
    np.testing.assert_allclose(found.items()["se_a"], wanted.items()["se_a"], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "map"}, "needs priors"),
        ({"method": "newton"}, "choose 'ml', 'map' or 'stochastic'"),
        ({"method": "cml", "itemtype": "Rasch"}, "in memory"),
        ({"density": "histogram"}, "density="),
        ({"start": np.zeros(10)}, "start="),
        ({"formula": "~ a"}, "formula="),
        ({"person": "a"}, "takes no person"),
        ({"max_iterations": 0}, "max_iterations"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_needs_memory_is_refused(path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        jmix.irt(path, **{"itemtype": "2PL", **options})


@pytest.mark.parametrize("options", [{"model": 2}, {"density": "histogram"}, {"nodes": 31}, {"se": "sandwich"}])
def test_conditional_likelihood_takes_no_options_of_the_trait(frame: pd.DataFrame, options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(options))):
        jmix.irt(frame, itemtype="Rasch", method="cml", **options)
