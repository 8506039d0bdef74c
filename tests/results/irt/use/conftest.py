"""Calibrations of irt.json as specification, estimates and bank: no model is fitted here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from jmix.estimate.irt.solution import IrtSolution
from jmix.estimate.status import Status
from jmix.items.bank import ItemBank
from jmix.likelihood.irt.marginal import Integration, Moments
from jmix.responses.data import Responses
from jmix.results.irt.fit import IrtFit
from jmix.results.irt.latent_grid import LatentGrid, normal_grid
from jmix.spec.irt.build import build_spec
from jmix.spec.irt.spec import IrtSpec


class Case(NamedTuple):
    spec: IrtSpec
    x: Any
    bank: ItemBank
    responses: Responses
    grid: LatentGrid
    theta: Any
    mirt: dict


def as_responses(frame: pd.DataFrame, **options: Any) -> Responses:
    table = np.asarray(frame.to_numpy() - frame.to_numpy().min(axis=0), dtype=np.int8)
    categories = tuple(tuple(range(int(table[:, j].max()) + 1)) for j in range(table.shape[1]))
    return Responses(tuple(map(str, frame.columns)), categories, table, None, frame.index, **options)


def eap(bank: ItemBank, table: Any, grid: LatentGrid) -> Any:
    log_p = bank.log_probabilities(grid.theta)
    total = sum(log_p[j][table[:, j]] for j in range(table.shape[1]))
    w = np.exp(total) * grid.weights
    return (w @ grid.theta) / w.sum(axis=1, keepdims=True)


NUMBERS = {
    "LSAT7_Rasch": "Rasch",
    "LSAT7_2PL": "2PL",
    "LSAT7_1PL_eq": "1PL",
    "Science_graded": "graded",
    "Science_gpcm": "gpcm",
}


@pytest.fixture(scope="session")
def mirt_case(reference, shared_dir):
    """``mirt_case("LSAT7_2PL")``: mirt's estimates in our classes, and mirt's statistics."""
    made: dict[str, Case] = {}

    def make(name: str) -> Case:
        if name not in made:
            mirt = reference("irt")["mirt_1.47"][name]
            file = "LSAT7" if name.startswith("LSAT7") else "mirt_Science"
            responses = as_responses(pd.read_csv(shared_dir / "data" / f"{file}.csv"))
            spec, _ = build_spec(responses, NUMBERS[name])
            values = {
                f"{key}[{item['_row']}]": value
                for item in mirt["items"]
                for key, value in item.items()
                if key != "_row"
            }
            values |= {"a1": mirt["items"][0]["a1"], "sd[F1]": np.sqrt(next(iter(mirt["cov"][0].values())))}
            x = np.array([values[free] for free in spec.table.free_names])
            bank = ItemBank.from_spec(spec, x)
            variance = values["sd[F1]"] ** 2
            grid = normal_grid(0.0, variance)
            made[name] = Case(spec, x, bank, responses, grid, eap(bank, responses.table, grid), mirt)
        return made[name]

    return make


class NoLikelihood:
    """In place of a marginal likelihood: posterior moments by a plain sum over the nodes."""

    def __init__(self, case: Case) -> None:
        self.case, self.histogram = case, None

    def moments(self, x: Any) -> Moments:
        log_p = self.case.bank.log_probabilities(self.case.grid.theta)
        table = self.case.responses.table
        w = np.exp(sum(log_p[j][table[:, j]] for j in range(table.shape[1]))) * self.case.grid.weights
        w /= w.sum(axis=1, keepdims=True)
        mean = w @ self.case.grid.theta
        square = np.einsum("nq,qd,qe->nde", w, self.case.grid.theta, self.case.grid.theta)
        return Moments(mean, square - mean[:, :, None] * mean[:, None, :])


@pytest.fixture(scope="session")
def mirt_fit(mirt_case):
    """``mirt_fit("LSAT7_2PL")``: mirt's estimates as an ``IrtFit`` that was never fitted."""

    def make(name: str) -> IrtFit:
        case = mirt_case(name)
        status = Status(True, False, 0.0, 0.0, 1.0, 0, 0, ())
        loglik = case.mirt["logLik"]
        solution = IrtSolution(case.spec, Integration(), case.x, loglik, 0.0, None, "none", status, 0.0, 0)
        return IrtFit(solution, case.responses, NoLikelihood(case))

    return make
