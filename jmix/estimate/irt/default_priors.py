"""Priors for sampling where the user gave none: weak, proper, and wide beside what tests measure on a logit scale."""

from __future__ import annotations

from dataclasses import replace

from jmix import runtime
from jmix.estimate.irt.prior import moving_numbers, quantity
from jmix.spec.irt.priors import EntryPrior
from jmix.spec.irt.spec import IrtSpec
from jmix.spec.prior import prior

TEXTS = {
    "positive": "half_student_t(3, 2.5)",
    "correlation": "uniform(-1, 1)",
    "lower": "beta(5, 17)",
    "upper": "beta(17, 5)",
    "slope": "normal(0, 3)",
    "mean": "normal(0, 2)",
    "real": "normal(0, 5)",
}
"""Standard deviations, correlations, asymptotes, slopes and scoring factors, means, intercepts."""


def with_defaults(spec: IrtSpec) -> IrtSpec:
    """The specification with a proper prior on every free number; those of the user stay.

    Coefficients of a latent regression and of item covariates, whose scale is that of the data, stay flat.
    """
    table = spec.table
    with runtime.float64():
        found = {name: EntryPrior(prior(text), name in ("lower", "upper")) for name, text in TEXTS.items()}
    kept: list[EntryPrior | None] = list(table.priors) or [None] * len(table.names)
    roles = _roles(spec)
    free = {int(i) for i in table.free}
    for place in moving_numbers(spec):
        if kept[place] is None and place in free and roles.get(place) != "coefficient":
            kept[place] = found[roles.get(place, "real")]
    return replace(spec, table=replace(table, priors=tuple(kept)))


def _roles(spec: IrtSpec) -> dict[int, str]:
    from jmix.items import kind_of

    roles: dict[int, str] = {}
    for block in spec.blocks:
        for place in block.own.reshape(-1).tolist():
            roles.setdefault(place, "real")
        for m, name in enumerate(kind_of(block.kind).names(block.n_categories)):
            if name.startswith("ak"):
                roles |= dict.fromkeys(block.own[..., m].reshape(-1).tolist(), "slope")
        roles |= dict.fromkeys(block.slopes.reshape(-1).tolist(), "slope")
        if block.kind == "logistic4":
            roles |= dict.fromkeys(block.own[..., 1].reshape(-1).tolist(), "lower")
            roles |= dict.fromkeys(block.own[..., 2].reshape(-1).tolist(), "upper")
    roles |= dict.fromkeys(spec.mean.reshape(-1).tolist(), "mean")
    for index in (spec.sd, spec.corr, spec.cluster_sd):
        if index is not None:
            for place in index.reshape(-1).tolist():
                roles[place] = quantity(spec, place)
    sources = [] if spec.regression is None else spec.regression.reshape(-1).tolist()
    for part in spec.linear:
        sources += part.source.tolist()
    return roles | dict.fromkeys(sources, "coefficient")
