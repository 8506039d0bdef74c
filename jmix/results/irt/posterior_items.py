"""What follows from posterior draws of an item response model: items, persons, likelihoods by person, ArviZ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from jmix.errors import JmixError, ModelError
from jmix.results.irt.items import items as item_frame
from jmix.results.irt.numbers import Numbers

if TYPE_CHECKING:
    from jmix.results.irt.posterior import IrtPosterior

FloatArray = npt.NDArray[np.float64]


def spaced(post: IrtPosterior, most: int) -> npt.NDArray[np.int64]:
    """Numbers of at most ``most`` draws in all, evenly spaced within each chain."""
    if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 1:
        raise ModelError(f"most={most!r}: give a positive whole number of draws")
    chains, draws = post.draws.shape
    count = int(np.clip(most // chains, 1, draws))
    return np.asarray(np.linspace(0, draws - 1, count).round().astype(np.int64))


def items(post: IrtPosterior, group: str | None, most: int) -> pd.DataFrame:
    """See ``IrtPosterior.items``."""
    x = post.draws.x[:, spaced(post, most)].reshape(-1, post.draws.x.shape[-1])
    frames = [item_frame(Numbers(post.spec, own), group, se=False) for own in x]
    numeric = [name for name in frames[0].columns if name not in ("itemtype", "group")]
    values = np.stack([frame[numeric].to_numpy(dtype=np.float64) for frame in frames])
    out = frames[0].copy()
    spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])
    for i, name in enumerate(numeric):
        out[name] = values[:, :, i].mean(axis=0)
    for i, name in enumerate(numeric):
        out[f"se_{name}"] = spread[:, i]
    return out[[name for name in out.columns if name != "itemtype"] + ["itemtype"]]


def scores(post: IrtPosterior, most: int) -> pd.DataFrame:
    """See ``IrtPosterior.scores``."""
    x = post.draws.x[:, spaced(post, most)].reshape(-1, post.draws.x.shape[-1])
    n, d = post.responses.n_persons, post.spec.n_factors
    mean, square, within = np.zeros((n, d)), np.zeros((n, d)), np.zeros((n, d))
    for own in x:
        found = post.marginal.moments(own)
        mean += found.mean / len(x)
        square += found.mean**2 / len(x)
        within += np.diagonal(found.covariance, axis1=1, axis2=2) / len(x)
    se = np.sqrt(within + np.maximum(square - mean**2, 0.0))
    columns = {name: mean[:, k] for k, name in enumerate(post.spec.factors)}
    columns |= {f"se_{name}": se[:, k] for k, name in enumerate(post.spec.factors)}
    return pd.DataFrame(columns, index=post.responses.persons)


def log_likelihood(post: IrtPosterior, most: int) -> FloatArray:
    """(C, D', N), see ``IrtPosterior.log_likelihood``."""
    x = post.draws.x[:, spaced(post, most)]
    return np.stack([np.stack([post.marginal.by_person(own) for own in chain]) for chain in x])


def to_arviz(post: IrtPosterior, likelihood: bool, most: int) -> Any:
    """See ``IrtPosterior.to_arviz``."""
    try:
        import arviz
    except ImportError as error:
        raise JmixError("to_arviz() needs ArviZ: pip install 'jmix[plots]'") from error
    from xarray import Dataset

    at = spaced(post, most) if likelihood else np.arange(post.draws.shape[1])
    coords = {"chain": np.arange(post.chains), "draw": at}
    stats = post.draws.stats
    kept = {"diverging": stats.diverging, "n_steps": stats.n_steps, "acceptance_rate": stats.accept_prob}
    kept |= {"energy": stats.energy, "lp": post.draws.log_density}
    both = ("chain", "draw")
    sets: dict[str, Any] = {
        "posterior": Dataset({name: (both, v[:, at]) for name, v in post.parameters.items()}, coords=coords),
        "sample_stats": Dataset({name: (both, v[:, at]) for name, v in kept.items()}, coords=coords),
    }
    if likelihood:
        values = log_likelihood(post, most)
        labels = np.array([str(p) for p in post.responses.persons])
        sets["log_likelihood"] = Dataset({"responses": ((*both, "person"), values)}, coords=coords | {"person": labels})
    if int(arviz.__version__.split(".")[0]) < 1:
        return arviz.InferenceData(**sets)
    from xarray import DataTree

    return DataTree.from_dict(sets)


def loo(post: IrtPosterior, most: int) -> Any:
    """See ``IrtPosterior.loo``."""
    data = to_arviz(post, True, most)
    import arviz

    compute: Any = arviz.loo
    return compute(data)
