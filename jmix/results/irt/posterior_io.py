"""Posteriors of item response models on disk: see ``archive`` for the file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jmix.estimate.draws import SamplerSettings, SamplerStats
from jmix.estimate.irt.draws import IrtDraws
from jmix.likelihood.irt.marginal import Integration
from jmix.results.archive import POSTERIOR, Arrays, floats, require, write
from jmix.results.irt.io import LazyMarginal
from jmix.results.irt.io_responses import pack_responses, unpack_responses
from jmix.results.irt.io_spec import pack_spec, unpack_spec
from jmix.results.irt.rebuild import rebuilt

if TYPE_CHECKING:
    from jmix.results.irt.posterior import IrtPosterior

MARK = "item response model"
"""What the description of such a file holds under "model"."""

_STATS: dict[str, Any] = {
    "diverging": np.bool_,
    "n_steps": np.int64,
    "accept_prob": np.float64,
    "energy": np.float64,
    "saturated": np.bool_,
}


def save(post: IrtPosterior, path: str | Path) -> None:
    """Write a posterior with its responses to exactly ``path``.

    Raises:
        DataError: the folder does not exist or cannot be written.
    """
    draws = post.draws
    arrays: Arrays = {"draws.x": draws.x, "draws.log_density": draws.log_density}
    arrays |= {f"stats.{name}": np.asarray(getattr(draws.stats, name)) for name in (*_STATS, "step_size")}
    meta = {
        "model": MARK,
        "spec": pack_spec(post.spec, arrays),
        "responses": pack_responses(post.responses, arrays),
        "integration": asdict(post.marginal.integration),
        "settings": asdict(draws.settings) | {"seconds": dict(draws.settings.seconds)},
    }
    if post.covariates is not None:
        arrays["covariates"] = post.covariates
    write(path, POSTERIOR, meta, arrays)


def unpack(meta: dict[str, Any], arrays: Arrays) -> IrtPosterior:
    """The posterior of a file; any of ``archive.UNREADABLE`` where its parts do not fit together."""
    from jmix.results.irt.posterior import IrtPosterior

    spec = unpack_spec(meta["spec"], arrays)
    responses = unpack_responses(meta["responses"], arrays)
    require(responses.items == spec.items and responses.n_groups == len(spec.groups))
    covariates = None
    if spec.regression is not None:
        covariates = floats(arrays["covariates"], (responses.n_persons, len(spec.covariates)))
    log_density = floats(arrays["draws.log_density"])
    require(log_density.ndim == 2)
    stats = {name: arrays[f"stats.{name}"] for name in _STATS}
    for name, kind in _STATS.items():
        require(stats[name].shape == log_density.shape and np.can_cast(stats[name].dtype, kind))
    step_size = floats(arrays["stats.step_size"], (log_density.shape[0],))
    draws = IrtDraws(
        x=floats(arrays["draws.x"], (*log_density.shape, spec.n_free)),
        log_density=log_density,
        stats=SamplerStats(step_size=step_size, **stats),
        settings=SamplerSettings(**meta["settings"]),
    )
    integration = Integration(**meta["integration"])
    marginal = LazyMarginal(lambda: rebuilt(spec, responses, integration, covariates, None))
    return IrtPosterior(spec, responses, marginal, draws, covariates)
