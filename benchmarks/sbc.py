"""Simulation-based calibration of ``Model.sample``, after Talts, Betancourt, Simpson, Vehtari & Gelman (2018,
arXiv:1804.06788).

``python -m benchmarks.sbc`` draws parameters from their priors, simulates a data set from each, samples its posterior
and ranks every true value among its posterior draws: if the sampler, the density and the priors are right, ranks are
uniform. Then it plants errors, which must show. Table and plot: ``results/sbc.md`` and ``results/sbc.png``.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.calibration import DESIGNS, KEPT, Ranks, calibrate
from benchmarks.uniformity import plot, table
from jmix.estimate.density import log_density

RESULTS = Path(__file__).parent / "results"
PLANTED = "random intercept"
ERRORS: dict[str, dict[str, Any]] = {
    "the Jacobian is left out": {"density": partial(log_density, jacobian=False)},
    "a prior is half as wide": {"priors": DESIGNS[PLANTED].priors | {"sd": "half_normal(0.75)"}},
}
"""What is done to the sampler of one design while the data stay as they were."""


def planted(error: str, datasets: int, seed: int) -> Ranks:
    """Ranks with a sampler that is wrong."""
    return calibrate(DESIGNS[PLANTED], datasets, seed, **ERRORS[error])


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-6 else "< 1e-6"


def _markdown(found: pd.DataFrame) -> str:
    rows = [
        f"| {r.design} | {r.quantity} | {r.mean_rank:.3f} | {_p(r.p_chi_square)} | {_p(r.p_ecdf)} | {_p(r.corrected)} |"
        for r in found.itertuples()
    ]
    head = "| design | quantity | mean rank | p, chi-square | p, ECDF | p, corrected |\n|---|---|--:|--:|--:|--:|"
    return "\n".join([head, *rows])


def _report(results: dict[str, Ranks], wrong: dict[str, Ranks], datasets: int, seed: int) -> str:
    models = "\n".join(
        f"- **{name}**: `{d.formula}`, {len(d.rows)} rows{', weighted' if d.options else ''}; "
        + ", ".join(f"`{k}: {v}`" for k, v in d.priors.items())
        + f"; {results[name].ess:.0f} effective draws of {KEPT}, {results[name].seconds:.0f} s"
        for name, d in DESIGNS.items()
    )
    return f"""# Simulation-based calibration

`python -m benchmarks.sbc --datasets {datasets} --seed {seed}`

For each of {datasets} data sets drawn from the priors, the true values are ranked among {KEPT} posterior draws.
The ranks are uniform if everything between prior and posterior is right. The mean rank is over {KEPT}: 0.5 when right.
Two tests a quantity: chi-square over 20 bins, and the simultaneous test of the distribution function of Säilynoja,
Bürkner & Vehtari (2022). The corrected p is the smaller one times the number of tests in the table (Bonferroni).

{models}

`g[7, 1]` is the random effect of level 7 and column 1 of g, drawn by `Posterior.effects`'s code.

{_markdown(table(results))}

![Distribution functions of the ranks](sbc.png)

## Planted errors

The same test with a sampler made wrong, random-intercept design: it must fail.

{_markdown(table(wrong))}
"""


def main(words: list[str] | None = None) -> None:
    """Run the designs and the planted errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sbc", description="Simulation-based calibration.")
    parser.add_argument("--datasets", type=int, default=400, help="simulated data sets a design (default 400)")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table and the plot")
    chosen = parser.parse_args(words)
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for place, (name, design) in enumerate(DESIGNS.items()):
        results[name] = calibrate(design, chosen.datasets, chosen.seed + 10_000 * place)
        print(
            table({name: results[name]}).to_string(index=False), f"{results[name].seconds:.0f} s", sep="\n", flush=True
        )
    wrong = {error: planted(error, chosen.datasets, chosen.seed) for error in ERRORS}
    text = _report(results, wrong, chosen.datasets, chosen.seed)
    (chosen.out / "sbc.md").write_text(text, encoding="utf-8")
    plot(results, chosen.out / "sbc.png")
    print(text)


if __name__ == "__main__":
    main()
