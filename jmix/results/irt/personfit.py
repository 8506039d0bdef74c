"""Fit of single persons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from jmix.responses.data import Responses
from jmix.results.irt.mean_squares import person_mean_squares
from jmix.results.irt.observed import observed

if TYPE_CHECKING:
    from jmix.items.bank import ItemBank


def person_fit(bank: ItemBank, responses: Responses, theta: Any) -> pd.DataFrame:
    """Outfit, infit and Zh of each person, with mirt's definitions.

    Zh, the standardized log likelihood lz (Drasgow, Levine & Williams 1985, Br. J. Math. Stat. Psychol. 38, eq. 9), is
    low where responses are improbable at the person's trait. With an estimated trait its variance is below one, above
    all in short tests (Snijders 2001, Psychometrika 66): compare persons rather than trust normal quantiles.

    Args:
        bank: items. responses: N persons. theta: (N, D) estimates, EAP as a rule.

    Returns:
        Frame indexed by person: ``outfit z_outfit infit z_infit Zh``; NaN for a person without responses.

    Raises:
        DataError: trait estimates that are infinite.
    """
    return person_mean_squares(bank, observed(responses), theta).set_index(responses.persons)
