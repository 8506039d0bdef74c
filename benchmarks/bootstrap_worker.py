"""The process in which jmix draws parametric bootstraps of one shipped data set."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks import ours
from benchmarks.peers import quiet
from benchmarks.worker import repeat, report


def main() -> None:
    """Read the job from the command line and do it."""
    quiet()
    job: dict[str, Any] = json.loads(sys.argv[1])
    fit = ours.bootstrap_model(job["model"], job["formula"])
    seeds = iter(range(1, 1000))
    draws = repeat(lambda: ours.bootstrap(fit, job["count"], next(seeds)), job["repeats"], job["budget"])
    report(mean=np.mean(draws, axis=0).tolist(), sd=np.std(draws, axis=0, ddof=1).tolist())


if __name__ == "__main__":
    main()
