"""One module per benchmark; each offers ``run(session) -> list[Table]``."""

from collections.abc import Callable

from benchmarks.cases import (
    bayes_scaling,
    crossed_gpu,
    evaluation,
    insteval,
    jags,
    million,
    numpyro_full,
    refits,
    sleepstudy,
)
from benchmarks.session import Session
from benchmarks.tables import Table

CASES: dict[str, Callable[[Session], list[Table]]] = {
    "million": million.run,
    "insteval": insteval.run,
    "sleepstudy": sleepstudy.run,
    "refits": refits.run,
    "evaluation": evaluation.run,
    "crossed_gpu": crossed_gpu.run,
    "jags": jags.run,
    "numpyro_full": numpyro_full.run,
    "bayes_scaling": bayes_scaling.run,
}
