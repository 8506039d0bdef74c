"""The process that fits a Parquet file: in chunks under a limit of memory, or from memory."""

from __future__ import annotations

import json
import resource
import sys
import time

from benchmarks.item_worker import report
from benchmarks.memory import resident

BEGAN = time.perf_counter()


def main() -> None:
    """``megabytes`` limits what the process may allocate (RLIMIT_DATA); 0 reads everything into memory."""
    job = json.loads(sys.argv[1])
    if job["megabytes"]:
        resource.setrlimit(resource.RLIMIT_DATA, (job["megabytes"] << 20,) * 2)
    import jmix

    responses = job["file"]
    if not job["megabytes"]:
        import pyarrow.parquet as pq

        responses = pq.read_table(job["file"])
    fit = jmix.irt(responses, itemtype="2PL", nodes=61)
    report(seconds=time.perf_counter() - BEGAN, growth_bytes=resident("VmHWM"))
    items = fit.items()
    report(loglik=float(fit.loglik), slopes=[float(a) for a in items["a"]], evaluations=fit.solution.n_evaluations)


if __name__ == "__main__":
    main()
