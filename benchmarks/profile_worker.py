"""The process in which jmix computes profile-likelihood intervals of one shipped data set."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks import ours
from benchmarks.peers import quiet
from benchmarks.worker import repeat, report


def main() -> None:
    """Read the job from the command line and do it."""
    quiet()
    job: dict[str, Any] = json.loads(sys.argv[1])
    fit = ours.bootstrap_model(job["model"], job["formula"])
    limits = repeat(lambda: ours.profile_limits(fit), job["repeats"], job["budget"])
    report(first=limits[0].tolist(), sds=limits[1].tolist())


if __name__ == "__main__":
    main()
