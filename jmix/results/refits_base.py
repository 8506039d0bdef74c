"""What refits of one design to many responses give alike, linear or generalized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.spec.covariance import CovarianceSpec, lower_column_major
from jmix.spec.names import parameter_names

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class RefitsBase(ABC):
    """Estimates for R responses on one design: a sequence of R light fits.

    Attributes:
        fit: the fit that was refitted. solutions: arrays with one row a response. index: labels of the responses.
        responses: (n, R), columns as in ``index``. interrupted: whether fewer were fitted than were asked for.
    """

    fit: Any
    solutions: Any
    index: pd.Index
    responses: FloatArray
    interrupted: bool

    # --- what each kind knows ---------------------------------------------------------------------------------------
    @property
    @abstractmethod
    def loglik(self) -> pd.Series:
        """(R,) log likelihoods; restricted after REML."""

    @abstractmethod
    def parameters(self) -> pd.DataFrame:
        """(R, P) all parameters on the scale of standard deviations and correlations."""

    @abstractmethod
    def covariances(self) -> FloatArray:
        """(R, p, p) covariance matrices of the fixed effects."""

    @abstractmethod
    def replicate(self, i: int) -> Any:
        """The fit of response i, 0 <= i < R."""

    # --- a sequence of fits -----------------------------------------------------------------------------------------
    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> Any:
        """The fit of one response, by its position, with estimates as found here; nothing is fitted again."""
        at = int(i) + len(self) if i < 0 else int(i)
        if not 0 <= at < len(self):
            raise IndexError(f"refit {i} of {len(self)}")
        return self.replicate(at)

    def __iter__(self) -> Iterator[Any]:
        return (self.replicate(i) for i in range(len(self)))

    # --- estimates --------------------------------------------------------------------------------------------------
    def fixef(self) -> pd.DataFrame:
        """(R, p) fixed effects."""
        return pd.DataFrame(self.solutions.beta, index=self.index, columns=self.fit.x_names)

    def se(self) -> pd.DataFrame:
        """(R, p) standard errors of the fixed effects, NaN where there is none."""
        variances = np.einsum("rii->ri", self.covariances())
        with np.errstate(invalid="ignore"):
            return pd.DataFrame(np.sqrt(variances), index=self.index, columns=self.fit.x_names)

    @property
    def theta(self) -> pd.DataFrame:
        """(R, k) covariance parameters, as ``theta`` of the fit."""
        return pd.DataFrame(self.solutions.theta, index=self.index, columns=self.fit.spec.theta_names())

    @property
    def converged(self) -> pd.Series:
        """(R,) whether each refit converged."""
        return pd.Series(self.solutions.converged, index=self.index, name="converged")

    @property
    def singular(self) -> pd.Series:
        """(R,) whether each refit is on a boundary."""
        return pd.Series(self.solutions.singular, index=self.index, name="singular")

    def __repr__(self) -> str:
        converged, singular = int(self.solutions.converged.sum()), int(self.solutions.singular.sum())
        short = ", interrupted" if self.interrupted else ""
        return f"{len(self)} refits of '{self.fit.formula}': {converged} converged, {singular} singular{short}"


def natural_scale(theta: FloatArray, scale: FloatArray, spec: CovarianceSpec) -> list[FloatArray]:
    """All standard deviations (R,) term by term, then all correlations, as ``parameter_names`` lists them.

    A correlation with a variance of zero is NaN.

    Args:
        theta: (R, k). scale: (R,) what theta is relative to.
    """
    sds: list[FloatArray] = []
    cors: list[FloatArray] = []
    for term, begin in zip(spec.terms, spec.offsets, strict=True):
        lam = np.zeros((theta.shape[0], term.q, term.q))
        rows, cols = lower_column_major(term.q)
        lam[:, rows, cols] = theta[:, begin : begin + term.n_theta]
        omega = lam @ np.swapaxes(lam, 1, 2)
        sd = np.sqrt(np.einsum("rii->ri", omega))
        sds += list((scale[:, None] * sd).T)
        with np.errstate(invalid="ignore", divide="ignore"):
            cors += [
                np.clip(omega[:, a, b] / (sd[:, a] * sd[:, b]), -1.0, 1.0)
                for a in range(term.q)
                for b in range(a + 1, term.q)
            ]
    return [*sds, *cors]


def parameter_frame(
    beta: FloatArray,
    random: Sequence[FloatArray],
    others: dict[str, FloatArray],
    names: tuple[Sequence[str], CovarianceSpec],
    index: pd.Index,
) -> pd.DataFrame:
    """Fixed effects (R, p), what ``natural_scale`` gives and other parameters (R,) side by side, by their names."""
    x_names, spec = names
    columns = [*beta.T, *random, *others.values()]
    values = np.stack(columns, axis=1) if columns else np.zeros((len(index), 0))
    return pd.DataFrame(values, index=index, columns=parameter_names(x_names, spec, others=tuple(others)))
