"""jmix: multilevel and item response models in JAX, for people who know lme4, brms, glmmTMB or mirt."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jmix.api import glmm, lm, lmlist, lmm, model
    from jmix.api_irt import irt, irt_model
    from jmix.datasets import list_data, load_data
    from jmix.errors import ConvergenceWarning, DataError, FormulaError, JmixError, JmixWarning, ModelError
    from jmix.items.bank import ItemBank
    from jmix.results.inference.comparing.compare import compare
    from jmix.results.inference.describing.center import center
    from jmix.results.inference.describing.describe import describe
    from jmix.results.inference.planning.power import power
    from jmix.results.inference.plots.groups import plot_groups
    from jmix.results.inference.tables.etable import table
    from jmix.results.io import load_fit
    from jmix.results.irt.adaptive_test import AdaptiveTest
    from jmix.results.irt.adaptive_test_simulation import simulate_cat
    from jmix.results.irt.dimensions import parallel_analysis
    from jmix.results.irt.linking import link
    from jmix.results.posterior_io import load_posterior
    from jmix.spec.prior import prior

__version__ = "0.1.0"

_HOME = {
    "compare": "jmix.results.inference.comparing.compare",
    "glmm": "jmix.api",
    "irt": "jmix.api_irt",
    "irt_model": "jmix.api_irt",
    "link": "jmix.results.irt.linking",
    "parallel_analysis": "jmix.results.irt.dimensions",
    "simulate_cat": "jmix.results.irt.adaptive_test_simulation",
    "AdaptiveTest": "jmix.results.irt.adaptive_test",
    "ItemBank": "jmix.items.bank",
    "lm": "jmix.api",
    "lmlist": "jmix.api",
    "lmm": "jmix.api",
    "model": "jmix.api",
    "center": "jmix.results.inference.describing.center",
    "describe": "jmix.results.inference.describing.describe",
    "plot_groups": "jmix.results.inference.plots.groups",
    "table": "jmix.results.inference.tables.etable",
    "load_data": "jmix.datasets",
    "list_data": "jmix.datasets",
    "power": "jmix.results.inference.planning.power",
    "load_fit": "jmix.results.io",
    "load_posterior": "jmix.results.posterior_io",
    "prior": "jmix.spec.prior",
    "JmixError": "jmix.errors",
    "FormulaError": "jmix.errors",
    "DataError": "jmix.errors",
    "ModelError": "jmix.errors",
    "JmixWarning": "jmix.errors",
    "ConvergenceWarning": "jmix.errors",
}

__all__ = [
    "AdaptiveTest",
    "ConvergenceWarning",
    "DataError",
    "FormulaError",
    "ItemBank",
    "JmixError",
    "JmixWarning",
    "ModelError",
    "center",
    "compare",
    "describe",
    "glmm",
    "irt",
    "irt_model",
    "link",
    "list_data",
    "lm",
    "lmlist",
    "lmm",
    "load_data",
    "load_fit",
    "load_posterior",
    "model",
    "parallel_analysis",
    "plot_groups",
    "power",
    "prior",
    "simulate_cat",
    "table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'jmix' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
