"""One module per benchmark; each offers ``run(session) -> list[Table]``."""

from collections.abc import Callable

from benchmarks.cases import (
    bayes_scaling,
    bootstrap,
    crossed_gpu,
    crossed_large,
    evaluation,
    glmm_scaling,
    insteval,
    irt,
    irt_large,
    irt_scaling,
    irt_small,
    jags,
    many_groups,
    million,
    numpyro_full,
    profile,
    refits,
    sleepstudy,
    verbagg,
    vocabulary,
)
from benchmarks.session import Session
from benchmarks.tables import Table

CASES: dict[str, Callable[[Session], list[Table]]] = {
    "million": million.run,
    "insteval": insteval.run,
    "sleepstudy": sleepstudy.run,
    "refits": refits.run,
    "bootstrap": bootstrap.run,
    "profile": profile.run,
    "evaluation": evaluation.run,
    "crossed_gpu": crossed_gpu.run,
    "jags": jags.run,
    "numpyro_full": numpyro_full.run,
    "bayes_scaling": bayes_scaling.run,
    "vocabulary": vocabulary.run,
    "verbagg": verbagg.run,
    "crossed_large": crossed_large.run,
    "many_groups": many_groups.run,
    "glmm_scaling": glmm_scaling.run,
    "glmm_scaling_gpu": glmm_scaling.run_gpu,
    "irt": irt.run,
    "irt_sparse": irt_large.sparse,
    "irt_wide": irt_large.wide,
    "irt_stream": irt_large.stream,
    "irt_small": irt_small.run,
    "irt_scaling": irt_scaling.run,
    "irt_scaling_gpu": irt_scaling.run_gpu,
}
