"""Andersen's likelihood ratio test of the Rasch family, and Wald tests of single items beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, norm

from jmix.errors import DataError, ModelError
from jmix.responses.checks import listed, observed
from jmix.responses.connected import conditional_components
from jmix.responses.convert import take_items, take_persons
from jmix.results.irt.cml_summary import AndersenSummary

if TYPE_CHECKING:
    from jmix.responses.data import Responses
    from jmix.results.irt.cml_result import CmlFit


@dataclass(frozen=True, eq=False, repr=False)
class AndersenTest:
    """Andersen's test.

    Attributes:
        statistic: twice the sum of the parts' conditional log likelihoods less that of all. df: degrees of freedom.
        p_value: of the chi-squared distribution. fits: of each part, and ``whole`` of all, on the same items.
        excluded: items that cannot be estimated in some part and were left out of all.
    """

    statistic: float
    df: int
    p_value: float
    fits: dict[str, CmlFit]
    whole: CmlFit
    excluded: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Persons in each part."""
        return {name: fit.data.n_persons for name, fit in self.fits.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must know."""
        if not self.excluded:
            return ()
        return (
            f"left out, for they cannot be estimated in every part: {listed(self.excluded)}; the test is of the other "
            "items",
        )

    @cached_property
    def items(self) -> pd.DataFrame:
        """Thresholds (mean 0) by part with standard errors; of two parts also Wald's z and its p-value for each.

        Fischer and Scheiblechner (1970); the estimates of two parts are independent.
        """
        tables = {name: fit.thresholds() for name, fit in self.fits.items()}
        frame = pd.DataFrame({f"b[{name}]": table["b"] for name, table in tables.items()})
        for name, table in tables.items():
            frame[f"se[{name}]"] = table["se_b"]
        if len(tables) == 2:
            one, two = tables.values()
            frame["z"] = (one["b"] - two["b"]) / np.sqrt(one["se_b"] ** 2 + two["se_b"] ** 2)
            frame["p_value"] = 2.0 * norm.sf(frame["z"].abs())
        return frame

    def summary(self) -> AndersenSummary:
        """The test as text, markdown, LaTeX or HTML."""
        return AndersenSummary(self)

    def __str__(self) -> str:
        return str(self.summary())

    def __repr__(self) -> str:
        return str(self)


def andersen_test(fit: CmlFit, split: Any) -> AndersenTest:
    """See ``CmlFit.andersen``.

    Raises:
        DataError: fewer than two parts have persons whose scores are neither lowest nor highest.
        ModelError: the split is unknown, or the model is linear in properties of the items.
    """
    if fit.model in ("LLTM", "LPCM"):
        raise ModelError("Andersen's test is for models with free items; test the Rasch model, then compare the LLTM")
    labels = _labels(fit, split)
    informative = (fit.data.score > 0) & (fit.data.pattern >= 0)
    informative &= fit.data.score < fit.data.maximum[fit.data.pattern]
    codes, levels = pd.factorize(pd.Series(labels), sort=True)
    names = [str(level) for level in levels]
    kept = [k for k in range(len(names)) if np.any(informative & (codes == k))]
    if len(kept) < 2:
        raise DataError("Andersen's test needs two parts with persons whose scores are neither lowest nor highest")
    parts = {names[k]: take_persons(fit.responses, codes == k) for k in kept}
    items, excluded = _estimable(parts, fit.responses)
    fits = {name: _refit(fit, part, items) for name, part in parts.items()}
    whole = fit if not excluded and len(kept) == len(names) else _refit(fit, fit.responses, items)
    statistic = 2.0 * (sum(own.loglik for own in fits.values()) - whole.loglik)
    df = sum(own.npar for own in fits.values()) - whole.npar
    return AndersenTest(statistic, df, float(chi2.sf(statistic, df)), fits, whole, tuple(excluded))


def _refit(fit: CmlFit, responses: Responses, items: list[str]) -> CmlFit:
    from jmix.results.irt.cml_fit import fit_cml

    return fit_cml(take_items(responses, items), "RSM" if fit.model == "RSM" else "Rasch")


def _estimable(parts: dict[str, Responses], whole: Responses) -> tuple[list[str], list[str]]:
    """Items that every part can estimate, and the others."""
    items = list(whole.items)
    while True:
        bad: set[str] = set()
        for part in parts.values():
            own = take_items(part, items)
            bad |= {items[j] for j in np.flatnonzero(~_has_all_categories(own))}
            component = conditional_components(own)
            main = np.argmax(np.bincount(component))
            bad |= {items[j] for j in np.flatnonzero(component != main)}
        if not bad:
            return items, [name for name in whole.items if name not in items]
        items = [name for name in items if name not in bad]
        if len(items) < 2:
            raise DataError(
                "fewer than two items can be estimated in every part: each part needs all categories of an item, and "
                "persons who link the items in both directions; choose larger or other parts"
            )


def _has_all_categories(responses: Responses) -> npt.NDArray[np.bool_]:
    return observed(responses).sum(axis=1) == np.array(responses.n_categories)


def _labels(fit: CmlFit, split: Any) -> Any:
    score, responses = fit.data.score, fit.responses
    if not isinstance(split, str):
        values = np.asarray(split)
        if values.shape != (responses.n_persons,):
            raise ModelError(
                f"split has shape {values.shape}; give one value for each of the {responses.n_persons} persons"
            )
        return _complete(values)
    if split in ("median", "mean"):
        cut = float(np.median(score) if split == "median" else np.mean(score))
        return np.where(score <= cut, f"score <= {cut:g}", f"score > {cut:g}")
    if split == "scores":
        return score
    if responses.data is not None and split in responses.data.columns:
        return _complete(responses.data[split].to_numpy())
    if split == "group" and responses.group is not None:
        return np.array(responses.groups)[responses.group]
    raise ModelError(
        f"split={split!r}: write 'median', 'mean', 'scores', 'group', a column of the person data, or values"
    )


def _complete(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    missing = pd.isna(values)
    if missing.any():
        raise DataError(f"split is missing for {int(missing.sum()):,} persons; leave them out before fitting")
    return values
