"""Whether ranks are uniform: two tests, a table and a plot of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.calibration import KEPT, Ranks

Array = Any


class Envelope:
    """Simultaneous test of the ranks' distribution function (Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32).

    The statistic is the least two-sided binomial probability over all ranks; its distribution under uniformity is
    simulated.
    """

    def __init__(self, datasets: int, simulations: int = 20_000) -> None:
        share = np.arange(1, KEPT + 1) / (KEPT + 1)
        counts = np.arange(datasets + 1)[:, None]
        below, above = stats.binom.cdf(counts, datasets, share), stats.binom.sf(counts - 1, datasets, share)
        self.share, self.datasets = share, datasets
        self.two_sided = 2.0 * np.minimum(below, above)
        uniform = np.random.default_rng(1).multinomial(datasets, np.full(KEPT + 1, 1 / (KEPT + 1)), simulations)
        self.null = np.sort(self._least(np.cumsum(uniform, axis=1)[:, :-1]))

    def _least(self, counts: Array) -> Array:
        return self.two_sided[counts, np.arange(KEPT)].min(axis=-1)

    def counts(self, ranks: Array) -> Array:
        """(KEPT,) number of ranks below 1, 2, ..."""
        return np.cumsum(np.bincount(ranks, minlength=KEPT + 1))[:-1]

    def p_value(self, ranks: Array) -> float:
        """Probability of so extreme a distribution function under uniformity."""
        at_most = np.searchsorted(self.null, self._least(self.counts(ranks)) * (1 + 1e-9), side="right")
        return float((1 + at_most) / (1 + self.null.size))

    def band(self, level: float) -> tuple[Array, Array]:
        """Differences from uniformity that stay inside with probability ``level``, all ranks together."""
        inside = self.two_sided > np.quantile(self.null, 1.0 - level)
        low, high = inside.argmax(axis=0), self.datasets - inside[::-1].argmax(axis=0)
        return low / self.datasets - self.share, high / self.datasets - self.share


def chi_square(ranks: Array, bins: int = 20) -> float:
    """P-value of equal frequencies in bins of equal width."""
    return float(stats.chisquare(np.bincount(ranks * bins // (KEPT + 1), minlength=bins)).pvalue)


def table(results: dict[str, Ranks]) -> pd.DataFrame:
    """One row a quantity: p-values of both tests; ``corrected`` is the smaller one times the number of tests made."""
    envelope = Envelope(next(iter(results.values())).ranks["sigma"].size)
    rows = [
        (design, name, float(ranks.mean() / KEPT), chi_square(ranks), envelope.p_value(ranks))
        for design, own in results.items()
        for name, ranks in own.ranks.items()
    ]
    out = pd.DataFrame(rows, columns=["design", "quantity", "mean_rank", "p_chi_square", "p_ecdf"])
    smaller = out[["p_chi_square", "p_ecdf"]].min(axis=1)
    return out.assign(corrected=np.minimum(1.0, smaller * 2 * len(out)))


def plot(results: dict[str, Ranks], path: Path) -> None:
    """Ranks' distribution functions less the uniform one, a panel a design, with the 95% simultaneous envelope."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(4.4 * len(results), 4.6), sharey=True, layout="constrained")
    for axis, (design, own) in zip(np.atleast_1d(axes), results.items(), strict=True):
        datasets = next(iter(own.ranks.values())).size
        envelope = Envelope(datasets)
        low, high = envelope.band(0.95)
        axis.fill_between(envelope.share, low, high, color="0.88", label="95% envelope")
        colours = plt.get_cmap("tab10")(np.arange(len(own.ranks)))
        for (name, ranks), colour in zip(own.ranks.items(), colours, strict=True):
            difference = envelope.counts(ranks) / datasets - envelope.share
            axis.step(envelope.share, difference, where="mid", lw=1.0, color=colour, label=name)
        axis.axhline(0.0, color="0.5", lw=0.6)
        axis.set(title=f"{design}, {datasets} data sets", xlabel="rank / 100", xlim=(0, 1))
        axis.legend(fontsize=7, ncol=3, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    np.atleast_1d(axes)[0].set_ylabel("share of ranks below, less rank / 100")
    figure.savefig(path, dpi=110)
    plt.close(figure)
