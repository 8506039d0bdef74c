"""The acceleration of BCa limits in a generalized linear mixed model, from simulated scores.

The score in the least favourable direction of a quantity is, to first order, its linear regression on the scores of
all parameters at the estimates, over the responses of the bootstrap: there ``t* - t = (grad t)' I^{-1} s*``. A sixth of
the skewness of the fitted values is the acceleration (DiCiccio & Efron 1996, Stat. Sci. 11(3), section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import ModelError
from jmix.estimate.inference.glmm_refit import refitter
from jmix.estimate.inference.glmm_refit_search import _EVALUATE
from jmix.results.inference.bootstrapping.bootstrap_responses import parametric

if TYPE_CHECKING:
    from jmix.results.inference.bootstrapping.bootstrap_result import Bootstrap

FloatArray = npt.NDArray[np.float64]

EXPLAINED = 1e-6
"""Share of a quantity's variance that its regression on the scores must explain."""


def simulated_accelerations(boot: Bootstrap) -> pd.Series:
    """The acceleration of every quantity of a bootstrap of a generalized model.

    Raises:
        ModelError: the likelihood is not laid out for many responses at once.
    """
    rng, last = np.random.default_rng(boot.seed), int(boot.draws.index.max()) + 1
    responses = parametric(boot.fit, rng, conditional=False)(last)[:, boot.draws.index.to_numpy()]
    scores = scores_of(boot.fit, responses)
    values = [skewness_along(scores, boot.draws[name].to_numpy()) / 6.0 for name in boot.draws.columns]
    return pd.Series(values, index=boot.draws.columns, name="acceleration")


def scores_of(fit: Any, responses: FloatArray) -> FloatArray:
    """(R, d) derivatives, at the estimates of the fit, of the log likelihoods of responses (rows, R)."""
    shared = refitter(fit.objective, fit.solution)
    if shared.layout is None:
        raise ModelError(
            "kind='bca' needs the scores of all responses at once, which method='qmc' with several grouping factors "
            "has not; choose kind='percentile', 'basic' or 'normal'"
        )
    layout, x, width = shared.layout, fit.solution.x, shared.width
    start = jax.tree.map(lambda a: np.repeat(np.asarray(a)[None], width, axis=0), layout.start)
    out = []
    for first in range(0, responses.shape[1], width):
        lanes = np.minimum(np.arange(first, first + width), responses.shape[1] - 1)
        own = layout.own(responses[:, lanes])
        found = _EVALUATE(np.tile(x, (width, 1)), start, own, layout.device_data, approx=layout.approx)
        out.append(np.asarray(found[1])[: responses.shape[1] - first])
    return np.concatenate(out)


def skewness_along(scores: FloatArray, values: FloatArray) -> float:
    """Skewness of the linear regression of a quantity (R,) on the scores (R, d); NaN where it explains nothing."""
    keep = np.isfinite(values) & np.isfinite(scores).all(axis=1)
    if keep.sum() <= scores.shape[1] + 2:
        return float("nan")
    x = scores[keep] - scores[keep].mean(axis=0)
    scale = x.std(axis=0)
    x = x[:, scale > 1e-8 * max(float(scale.max(initial=0.0)), 1e-300)]
    x = x / x.std(axis=0)
    y = values[keep] - values[keep].mean()
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    spread = float(np.mean(fitted**2))
    if spread <= EXPLAINED * float(np.mean(y**2)) or spread == 0.0:
        return float("nan")
    return float(np.mean(fitted**3) / spread**1.5)
