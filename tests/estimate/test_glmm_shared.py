"""The small shared reference models: lme4's numbers, in few evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jmix.design_response import build_glmm_design
from jmix.estimate.glmm_fit import fit_glmm
from jmix.estimate.glmm_objective import build_glmm_objective
from jmix.families import resolve_family
from jmix.spec.covariance import CovarianceSpec, Term

MODELS = {
    "rats Laplace": ("rats", "rats_glmer/nAGQ1", 1),
    "rats 25 nodes": ("rats", "rats_glmer/nAGQ25", 25),
    "cbpp": ("cbpp", "cbpp/nAGQ1", 1),
    "Contraception": ("Contraception", "Contraception/nAGQ1", 1),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_estimates_are_lme4s(reference: Callable[[str], Any], shared_dir: Path, name: str) -> None:
    file, path, nodes = MODELS[name]
    expected = reference("glmm")
    for key in path.split("/"):
        expected = expected[key]
    data = pd.read_csv(shared_dir / f"data/{file}.csv")
    if "period" in data:
        data["period"] = data["period"].astype(str)
    design = build_glmm_design(expected["formula"], data, resolve_family(expected["family"], expected["link"]))
    spec = CovarianceSpec(tuple(Term(t.group, tuple(t.names)) for t in design.terms))
    solution = fit_glmm(build_glmm_objective(design, spec, design.terms, n_agq=nodes))
    assert solution.status.converged and solution.status.n_evaluations <= 12 and solution.status.n_hessians <= 2
    np.testing.assert_allclose(solution.beta, list(expected["fixef"].values()), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(solution.theta, expected["theta"], rtol=1e-4)
    np.testing.assert_allclose(solution.se[: solution.beta.size], list(expected["se"].values()), rtol=1e-3)
    if nodes == 1:
        # lme4 leaves a constant out of the log likelihood of quadrature
        assert solution.loglik >= expected["logLik"] - 1e-6
        np.testing.assert_allclose(solution.loglik, expected["logLik"], rtol=1e-6)
