"""Posteriors on disk: see ``archive`` for the file; or as netCDF for ArviZ."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from jmix.design import Design
from jmix.errors import DataError, JmixError
from jmix.estimate.draws import Draws, SamplerSettings, SamplerStats
from jmix.estimate.objective import build_objective
from jmix.results.archive import POSTERIOR, UNREADABLE, Arrays, damaged, floats, read, require, write
from jmix.results.design_io import pack_design, pack_spec, unpack_design, unpack_spec
from jmix.results.glmm_io import pack_glmm_design, unpack_glmm_design
from jmix.results.irt.posterior_io import MARK, unpack
from jmix.results.posterior_glmm import GlmmPosterior
from jmix.results.prior_io import pack_priors, unpack_glmm_priors, unpack_priors
from jmix.spec.covariance import CovarianceSpec

if TYPE_CHECKING:
    from jmix.results.posterior import Posterior

FAMILIES = ("gaussian", "student")
NETCDF = (".nc", ".netcdf")
ENGINES = ("h5netcdf", "netCDF4")
"""Packages either of which xarray needs to write groups."""

_STATS: dict[str, Any] = {
    "diverging": np.bool_,
    "n_steps": np.int64,
    "accept_prob": np.float64,
    "energy": np.float64,
    "step_size": np.float64,
    "saturated": np.bool_,
}


def save(post: Posterior, path: str | Path) -> None:
    """Write a posterior to exactly ``path``; see ``Posterior.save``.

    Raises:
        DataError: the folder does not exist or cannot be written.
        JmixError: a ``.nc`` file, and ArviZ or h5netcdf is missing.
    """
    if Path(path).suffix.lower() in NETCDF:
        _save_netcdf(post, Path(path))
        return
    arrays: Arrays = {}
    draws = post.draws
    effects = None if draws.effects is None else list(draws.effects)
    general = post if isinstance(post, GlmmPosterior) else None
    meta = {
        "family": general.law.name if general else post.family,
        "spec": pack_spec(post.spec),
        "settings": asdict(draws.settings) | {"seconds": dict(draws.settings.seconds)},
        "effects": effects,
        "priors": pack_priors(post.priors),
        "design": pack_glmm_design(general.data, arrays) if general else pack_design(post.design, arrays),
    }
    if general:
        meta["objective"] = {name: getattr(post.objective, name) for name in ("n_agq", "method")} | {
            "n_points": _points(general)
        }
    arrays |= {"draws.beta": draws.beta, "draws.sigma": draws.sigma, "draws.log_density": draws.log_density}
    arrays |= {f"draws.chol.{i}": chol for i, chol in enumerate(draws.chol)}
    arrays |= {f"draws.effects.{i}": values for i, values in enumerate((draws.effects or {}).values())}
    arrays |= {f"draws.{name}": v for name in ("nu", "x", "tau") if (v := getattr(draws, name)) is not None}
    arrays |= {f"stats.{name}": np.asarray(getattr(draws.stats, name), dtype=kind) for name, kind in _STATS.items()}
    write(path, POSTERIOR, meta, arrays)


def _save_netcdf(post: Posterior, path: Path) -> None:
    if not any(find_spec(name) for name in ENGINES):
        raise JmixError("netCDF files need h5netcdf or netCDF4: pip install h5netcdf; or save with the ending .npz")
    data = post.to_arviz()
    try:
        data.to_netcdf(str(path))
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(path)!r}: {reason}; choose a folder that exists and allows it") from error


def load_posterior(path: str | Path) -> Posterior:
    """Read a posterior that ``Posterior.save`` wrote: it does all that the original did. Nothing in it is executed.

    Priors that are NumPyro distributions of the user's own making come back as text: they print, and nothing else.

    Raises:
        DataError: there is no such file, it is not a saved posterior, it is damaged, another version of jmix wrote it,
            or it is a netCDF file, which is for ArviZ.
    """
    if Path(path).suffix.lower() in NETCDF and Path(path).is_file():
        raise DataError(
            f"{str(path)!r} is a netCDF file, which holds the draws but not the model; read it with "
            "arviz.from_netcdf(path), and save with the ending .npz what jmix shall read again"
        )
    meta, arrays = read(path, POSTERIOR)
    try:
        return _build(meta, arrays)
    except UNREADABLE as error:
        raise damaged(path, POSTERIOR) from error


def _points(post: GlmmPosterior) -> int:
    """Points of a quasi-Monte-Carlo integral."""
    return post.objective.n_points if post.objective.method == "qmc" else 1


def _build(meta: dict[str, Any], arrays: Arrays) -> Posterior:
    from jmix.results.posterior import Posterior

    if meta.get("model") == MARK:
        return cast("Posterior", unpack(meta, arrays))
    if "objective" in meta:
        return _build_general(meta, arrays)
    design = unpack_design(meta["design"], arrays)
    terms, family = design.terms, meta["family"]
    require(family in FAMILIES)
    spec = unpack_spec(meta["spec"], terms)
    draws = _unpack_draws(meta, arrays, design, spec)
    priors: Any = unpack_priors(meta["priors"], design, spec, student=family == "student")
    return Posterior(design, spec, terms, build_objective(design, terms, spec), priors, draws, family)


def _build_general(meta: dict[str, Any], arrays: Arrays) -> GlmmPosterior:
    from jmix.estimate.glmm_objective import build_glmm_objective

    design, options = unpack_glmm_design(meta["design"], arrays), meta["objective"]
    spec = unpack_spec(meta["spec"], design.terms)
    require(options["method"] in ("agq", "qmc"))
    objective = build_glmm_objective(
        design,
        spec,
        design.terms,
        n_agq=max(int(options["n_agq"]), 1),
        method=options["method"],
        n_points=int(options["n_points"]),
    )
    draws = _unpack_draws(meta, arrays, design.base, spec)
    thresholds = design.family.n_thresholds
    draws = replace(
        draws,
        x=floats(arrays["draws.x"], (*draws.shape, objective.size)),
        tau=floats(arrays["draws.tau"], (*draws.shape, thresholds)) if thresholds else None,
    )
    priors: Any = unpack_glmm_priors(meta["priors"], design, spec)
    return GlmmPosterior(design.base, spec, design.terms, objective, priors, draws)


def _unpack_draws(meta: dict[str, Any], arrays: Arrays, design: Design, spec: CovarianceSpec) -> Draws:
    sigma = floats(arrays["draws.sigma"])
    require(sigma.ndim == 2 and sigma.size > 0)
    settings = SamplerSettings(**meta["settings"])
    require((settings.chains, settings.draws) == sigma.shape)
    chol = tuple(floats(arrays[f"draws.chol.{i}"], (*sigma.shape, term.q, term.q)) for i, term in enumerate(spec.terms))
    return Draws(
        beta=floats(arrays["draws.beta"], (*sigma.shape, len(design.x_names))),
        chol=chol,
        sigma=sigma,
        log_density=floats(arrays["draws.log_density"], sigma.shape),
        stats=_unpack_stats(arrays, sigma.shape),
        settings=settings,
        nu=floats(arrays["draws.nu"], sigma.shape) if "draws.nu" in arrays else None,
        effects=_unpack_effects(meta["effects"], arrays, design, spec, sigma.shape),
    )


def _unpack_stats(arrays: Arrays, shape: tuple[int, ...]) -> SamplerStats:
    values = {name: arrays[f"stats.{name}"] for name in _STATS}
    for name, value in values.items():
        require(value.dtype == _STATS[name] and value.shape == (shape[:1] if name == "step_size" else shape))
    return SamplerStats(**values)


def _unpack_effects(
    groups: list[str] | None, arrays: Arrays, design: Design, spec: CovarianceSpec, shape: tuple[int, ...]
) -> dict[str, npt.NDArray[np.float64]] | None:
    if groups is None:
        return None
    require(sorted(groups) == sorted(spec.groups))
    levels = {term.group: len(term.levels) for term in design.terms}
    sizes = [(*shape, levels[group], spec.group_q(group)) for group in groups]
    values = [floats(arrays[f"draws.effects.{i}"], size) for i, size in enumerate(sizes)]
    return dict(zip(groups, values, strict=True))
