"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine, peers
from benchmarks.cases import CASES
from benchmarks.session import Session
from benchmarks.tables import save

RESULTS = Path(__file__).parent / "results"


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time jmix beside its peers.")
    parser.add_argument("cases", nargs="*", metavar="case", help=f"some of: {', '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes; tables go to results/<device>-quick")
    parser.add_argument("--contestants", nargs="+", choices=peers.ALL, default=peers.ALL, metavar="NAME")
    parser.add_argument("--cores", type=int, default=2, help="bind everything to this many cores (default 2)")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds after which a contestant is stopped")
    parser.add_argument("--budget", type=float, default=40.0, help="seconds that its repeats may take together")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    chosen = parser.parse_args(words)
    unknown = sorted(set(chosen.cases) - set(CASES))
    if unknown:
        parser.error(f"unknown case {', '.join(unknown)}; there are {', '.join(CASES)}")
    return chosen


def main(words: Sequence[str] | None = None) -> None:
    """Run the cases one after another and save after each."""
    chosen = arguments(words)
    load = os.getloadavg()[0]
    about = machine.describe(machine.use_cores(chosen.cores))
    here = tuple(name for name in chosen.contestants if not peers.missing(name))
    for name in sorted(set(chosen.contestants) - set(here)):
        print(f"{name}: not installed, left out")
    stem = machine.slug(about) + ("-quick" if chosen.quick else "")
    for case in chosen.cases or CASES:
        with TemporaryDirectory(prefix="jmix-benchmarks-") as scratch:
            session = Session(Path(scratch), here, chosen.quick, chosen.limit, chosen.budget)
            tables = CASES[case](session)
        for table in tables:
            print(table.markdown(), flush=True)
        if tables:
            print(f"→ {save(chosen.out, stem, about, case, tables, load)}\n", flush=True)


if __name__ == "__main__":
    main()
