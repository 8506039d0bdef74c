"""Recovery of parameters of item models: bias, standard errors and coverage over simulated data sets.

``python -m benchmarks.recovery`` draws ``--replicates`` data sets from known parameters for each of eight models, fits
all of them in one compiled program (``jax.vmap`` of the marginal likelihood, batch by batch), and writes
``results/recovery.md``: for every class of parameters the bias, the standard deviation of the estimates beside the mean
standard error, and the coverage of 95% intervals.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.recovery_designs import DESIGNS, Design
from benchmarks.recovery_fit import Recovered, recover

RESULTS = Path(__file__).parent / "results"
Z = 1.959963984540054


def summarise(design: Design, found: Recovered) -> pd.DataFrame:
    """One row for each class of parameters; ``± MC`` is the Monte Carlo standard error of the number before it."""
    names = pd.Series([name.split("[")[0] for name in found.names])
    kept = found.settled
    x, se, truth = found.x[kept], found.se[kept], found.truth
    covered = np.abs(x - truth) <= Z * se
    rows = []
    for name in dict.fromkeys(names):
        at = np.flatnonzero(names == name)
        error = x[:, at] - truth[at]
        by_replicate, cover = error.mean(axis=1), covered[:, at].mean(axis=1)
        n = np.sqrt(kept.sum())
        rows.append(
            {
                "model": design.title,
                "parameter": name,
                "number": at.size,
                "mean truth": truth[at].mean(),
                "bias": error.mean(),
                "± MC": by_replicate.std(ddof=1) / n,
                "rmse": np.sqrt(np.mean(error**2)),
                "SD of estimates": np.sqrt(np.mean(x[:, at].var(axis=0, ddof=1))),
                "mean SE": np.sqrt(np.mean(se[:, at] ** 2)),
                "coverage, %": 100 * covered[:, at].mean(),
                "±MC": 100 * cover.std(ddof=1) / n,
            }
        )
    return pd.DataFrame(rows)


def markdown(frame: pd.DataFrame) -> str:
    """A table in GitHub's markdown, three decimals."""
    cells = frame.map(lambda v: f"{v:.3f}" if isinstance(v, float) else str(v))
    cells["coverage, %"] = frame["coverage, %"].map("{:.1f}".format)
    cells["±MC"] = frame["±MC"].map("{:.1f}".format)
    head = "| " + " | ".join(cells.columns) + " |\n|" + " --- |" * cells.shape[1]
    return "\n".join([head, *("| " + " | ".join(row) + " |" for row in cells.to_numpy())])


def main() -> None:
    """All designs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("designs", nargs="*", metavar="design", help=f"some of: {', '.join(DESIGNS)} (default: all)")
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    parts, lines = [], []
    for name in chosen.designs or DESIGNS:
        design = DESIGNS[name]
        start = time.perf_counter()
        found = recover(design, chosen.replicates, chosen.seed)
        seconds = time.perf_counter() - start
        parts.append(summarise(design, found))
        lines.append(
            f"- **{design.title}**: {design.about}; {found.settled.sum()} of {chosen.replicates} fits arrived at an "
            f"optimum with a definite Hessian; {seconds:.0f} s with simulation and compilation."
        )
        print(lines[-1], "\n", parts[-1].to_string(index=False), "\n", flush=True)
        save(chosen, lines, parts)


def save(chosen: argparse.Namespace, lines: list[str], parts: list[pd.DataFrame]) -> None:
    """The page with the designs so far."""
    page = f"""# Recovery of parameters

`python -m benchmarks.recovery --replicates {chosen.replicates} --seed {chosen.seed}`

Estimates from {chosen.replicates} simulated data sets for each model, fitted by one vmapped program from the usual
starting values, with standard errors from the exact Hessian. `SD of estimates` beside `mean SE`, `coverage` of the
interval estimate ± 1.96 SE beside its Monte Carlo error, averaged over the parameters of a class. Replicates that did
not arrive are left out of the table and counted here.

{chr(10).join(lines)}

{markdown(pd.concat(parts))}
"""
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "recovery.md").write_text(page)


if __name__ == "__main__":
    main()
