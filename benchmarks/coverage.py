"""Coverage of 95% confidence intervals over simulated data sets.

``python -m benchmarks.coverage`` draws ``--datasets`` data sets from known parameters for each of six designs, three of
them small, fits them all in vmapped programs, and counts how often the intervals of the parameters hold the true
values: Wald with Satterthwaite's degrees of freedom, profile likelihood, and parametric bootstrap with ``--replicates``
refits of every data set. Results are kept by design in ``results/coverage.json``; the page is ``results/coverage.md``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.coverage_designs import DESIGNS
from benchmarks.coverage_study import METHODS, study

RESULTS = Path(__file__).parent / "results"

READING = """\
How to read it. Wald and bootstrap intervals are from REML fits. Profile intervals are, as in lme4, of the full
likelihood (ML) with a chi-squared quantile.

With groups by the dozen all intervals do what they say, but that the percentiles of a standard deviation between 24
items fall a little short. With few groups the ones whose theory is asymptotic fall short
for what varies between these groups: Wald with normal quantiles, the profile of the full likelihood, and the
percentiles and BCa limits of the bootstrap, which for a fixed effect are the normal Wald interval again.
Satterthwaite's degrees of freedom are for that; so is the studentized bootstrap, which takes each replicate's own
standard error. The percentiles of a standard deviation take its bias in twice, so that they miss the truth from below
(last table); BCa corrects that to second order."""

HISTORY = """\
The small designs were written first, before anything was simulated. A pilot of 200 data sets showed what theory says,
that likelihood intervals fall short with 16 schools; the same designs with more groups, and the studentized bootstrap,
were added then. The parameters are the same in both sizes, and no size was changed after a result (the large `items`
was made smaller for the time it took)."""


def covered(found: dict[str, Any], method: str, j: int) -> str:
    """Coverage in percent with its Monte Carlo standard error."""
    n = found["sets"].get(method, [0] * (j + 1))[j]
    if not n:
        return ""
    share = 1.0 - (found["below"][method][j] + found["above"][method][j]) / n
    return f"{100 * share:.1f} ± {100 * np.sqrt(max(share * (1 - share), 1 / n) / n):.1f}"


def sides(found: dict[str, Any], method: str, j: int) -> str:
    """Percent of intervals that lie below and above the truth."""
    n = found["sets"].get(method, [0] * (j + 1))[j]
    return f"{100 * found['below'][method][j] / n:.1f} / {100 * found['above'][method][j] / n:.1f}" if n else ""


def table(results: dict[str, Any], cell: Any) -> str:
    """One row a design and parameter, one column a method."""
    head = "| design | parameter | truth | " + " | ".join(METHODS) + " |\n|---|---|--:|" + "--:|" * len(METHODS)
    rows = [
        f"| {title} | `{name}` | {found['truth'][j]:g} | " + " | ".join(cell(found, m, j) for m in METHODS) + " |"
        for title, found in results.items()
        for j, name in enumerate(found["names"])
    ]
    return "\n".join([head, *rows])


def page(results: dict[str, Any]) -> str:
    """The page with the designs so far."""
    lines = []
    for title, found in results.items():
        design, times = DESIGNS[title], ", ".join(f"{name} {s:.0f} s" for name, s in found["seconds"].items())
        notes = "".join(f" {note}." for note in found["notes"])
        lines.append(
            f"- **{title}**: {design.about}; `{design.formula}`. {found['datasets']} data sets, "
            f"{found['singular']} with a singular fit, {found['replicates']} bootstrap refits of each; {times}.{notes}"
        )
    return f"""# Coverage of 95% intervals

`python -m benchmarks.coverage`

Percent of simulated data sets whose nominal 95% interval holds the true value, with its Monte Carlo standard error.
{HISTORY}

{chr(10).join(lines)}

{table(results, covered)}

{READING}

Percent of intervals that lie entirely below / above the truth (2.5 / 2.5 nominal):

{table(results, sides)}
"""


def main() -> None:
    """All designs, or some."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("designs", nargs="*", metavar="design", help=f"some of: {', '.join(DESIGNS)} (default: all)")
    parser.add_argument("--datasets", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", action="store_true", help="write the page of the results that are there, and stop")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = chosen.out / "coverage.json"
    before = json.loads(kept.read_text()) if kept.exists() else {}
    if chosen.page:
        (chosen.out / "coverage.md").write_text(page({name: before[name] for name in DESIGNS if name in before}))
        return
    for title in chosen.designs or DESIGNS:
        found = asdict(study(DESIGNS[title], chosen.datasets, chosen.replicates, chosen.seed))
        before[title] = found | {"datasets": chosen.datasets, "replicates": chosen.replicates, "seed": chosen.seed}
        results = {name: before[name] for name in DESIGNS if name in before}
        kept.write_text(json.dumps(results, indent=1))
        (chosen.out / "coverage.md").write_text(page(results))
        print(table({title: before[title]}, covered), "\n", before[title]["seconds"], flush=True)


if __name__ == "__main__":
    main()
