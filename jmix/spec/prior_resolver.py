"""Looks up each parameter's prior: by its own name, then by its group, then by its class, then the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.matrix_priors import lkj_concentration, matrix_prior
from jmix.spec.names import cor_names, plain, sd_names
from jmix.spec.prior import Prior, prior
from jmix.spec.prior_sets import CoefficientPriors, PriorRow, TermPrior
from jmix.spec.supports import ScalarPrior, positive_prior, real_prior

FloatArray = npt.NDArray[np.float64]

LEAST_SCALE = 2.5
"""Least scale of the default half-t priors, as in brms."""


def default_scale(values: FloatArray) -> tuple[float, float]:
    """Median and, at least 2.5, median absolute deviation times 1.4826, each rounded to one decimal, as in brms."""
    middle = float(np.median(values))
    spread = 1.482602218505602 * float(np.median(np.abs(values - middle)))
    return round(middle, 1), max(LEAST_SCALE, round(spread, 1))


class PriorResolver:
    """The priors of coefficients and random terms; a subclass knows the other parameters of its model.

    Args:
        location, scale: of the default Student-t priors. extra: names of the other parameters.
        reasons: why a parameter that one might expect is not there, by name.
    """

    def __init__(
        self,
        given: Mapping[str, Any] | None,
        x_names: Sequence[str],
        spec: CovarianceSpec,
        *,
        location: float,
        scale: float,
        extra: Sequence[str],
        reasons: Mapping[str, str],
    ) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise ModelError(f"priors must be a dict of names to priors, not {type(given).__name__}")
        self.x_names, self.spec, self.extra, self.reasons = list(x_names), spec, list(extra), reasons
        self.location, self.scale = location, scale
        self.sds, self.cors = sd_names(spec), cor_names(spec)
        self.intercept = self.x_names.index("(Intercept)") if "(Intercept)" in self.x_names else -1
        self.given = {self._canonical(name): prior(value) for name, value in (given or {}).items()}
        if len(self.given) < len(given or {}):
            raise ModelError("two priors for the same coefficient: a name and its alias with 'b_'")
        self.rows: list[PriorRow] = []
        self.used: set[str] = set()

    def _allowed(self) -> list[str]:
        names = ["Intercept"] if self.intercept >= 0 else []
        names += ["b", *(f"b_{n}" for n in self.x_names)]
        for kind in ("sd", "cor", "cov"):
            terms = [t for t in self.spec.terms if kind == "sd" or kind == "cov" or t.q > 1]
            if terms and kind != "cov":
                names.append(kind)
            names += dict.fromkeys(f"{kind}_{t.group}" for t in terms)
            names += [
                f"{kind}_{label}" for label, t in zip(self.spec.labels, self.spec.terms, strict=True) if t in terms
            ]
        names += [n for part in self.sds for n in part]
        return [*dict.fromkeys([*names, *self.extra])]

    def _canonical(self, name: Any) -> str:
        allowed = self._allowed()
        if name in self.x_names and name not in allowed:
            return f"b_{name}"
        if name in allowed:
            return str(name)
        near = get_close_matches(str(name), [*allowed, *self.x_names], 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        if name == "Intercept":
            hint = " The formula has no intercept."
        if name in self.reasons:
            hint = f" {self.reasons[name]}"
        raise ModelError(f"priors: there is no parameter '{name}'.{hint} There are: {', '.join(allowed)}")

    def look(self, *names: str) -> tuple[str, Prior] | None:
        """The first of these names for which there is a prior."""
        found = next(((n, self.given[n]) for n in names if n in self.given), None)
        if found:
            self.used.add(found[0])
        return found

    def student(self, location: float, scale: float | None = None) -> Prior:
        """The default on a scale like that of the response."""
        return prior(f"student_t(3, {location!r}, {self.scale if scale is None else scale!r})")

    def finish(self) -> tuple[PriorRow, ...]:
        """The rows of the table, once every parameter has its prior.

        Raises:
            ModelError: a prior that no parameter uses.
        """
        unused = [name for name in self.given if name not in self.used]
        if unused:
            raise ModelError(
                f"the prior of '{unused[0]}' is not used: no parameter is left for it, since each of that class has a "
                "prior of its own or there is none; drop it"
            )
        return tuple(self.rows)

    # --- coefficients -----------------------------------------------------------------------------------------------
    def fixed(self, means: FloatArray) -> CoefficientPriors:
        """Priors of the fixed effects, whose columns have these means."""
        return self._coefficients(
            self.x_names, means, "Intercept", lambda name: (f"b_{name}",), "b", self.student(self.location)
        )

    def side(self, part: str, names: Sequence[str], means: FloatArray, default: Prior) -> CoefficientPriors:
        """Priors of the coefficients of another linear predictor, such as that of ``zi``."""
        return self._coefficients(
            names,
            means,
            f"Intercept_{part}",
            lambda name: (f"{part}_{plain(name)}",),
            f"b_{part}",
            default,
        )

    def _coefficients(
        self,
        names: Sequence[str],
        means: FloatArray,
        level: str,
        keys: Callable[[str], tuple[str, ...]],
        kind: str,
        default: Prior,
    ) -> CoefficientPriors:
        centred, at = None, list(names).index("(Intercept)") if "(Intercept)" in names else -1
        raw = self.look(*keys("(Intercept)")) if at >= 0 else None
        own_name = keys("(Intercept)")[0]
        if raw and level in self.given:
            raise ModelError(
                f"priors for both '{level}' (at the means of the predictors) and '{own_name}' (at zero): give one"
            )
        if at >= 0 and raw is None:
            found = self.look(level)
            value = found[1] if found else default
            self.rows.append(PriorRow(level, value, found is None))
            centred = self._level(value, level)
        out = []
        for i, name in enumerate(names):
            found = self.look(*keys(name)) if i == at else self.look(*keys(name), kind)
            value = found[1] if found else Prior(None)
            if i != at or raw:
                self.rows.append(PriorRow(keys(name)[0], value, found is None))
            out.append(real_prior(value, keys(name)[0]))
        centre = None if centred is None else np.asarray(means, dtype=np.float64)
        return CoefficientPriors(tuple(out), centred, centre, at)

    def _level(self, value: Prior, name: str) -> ScalarPrior:
        own = real_prior(value, name)
        if own.kind != "real":
            raise ModelError(f"the prior of {name} must have the whole real line as its support")
        return own

    # --- random terms -----------------------------------------------------------------------------------------------
    def terms(self) -> tuple[TermPrior, ...]:
        """Priors of the random terms."""
        terms = tuple(self._term(i) for i in range(len(self.spec.terms)))
        for kind, least in (("sd", 1), ("cor", 2)):
            if kind in self.given and all(t.matrix is not None or len(t.sds) < least for t in terms):
                raise ModelError(f"priors for both '{kind}' and whole covariance matrices: give one")
        return terms

    def _term(self, i: int) -> TermPrior:
        term, label, names = self.spec.terms[i], self.spec.labels[i], self.sds[i]
        whole = self.look(f"cov_{label}", f"cov_{term.group}")
        if whole:
            clash = self.look(*names, f"sd_{label}", f"sd_{term.group}", f"cor_{label}", f"cor_{term.group}")
            if clash:
                raise ModelError(
                    f"priors for both '{whole[0]}' and '{clash[0]}': they describe the same matrix; give one"
                )
            self.rows.append(PriorRow(f"cov_{label}", whole[1], False))
            flat = tuple(ScalarPrior(Prior(None), 0.0) for _ in names)
            return TermPrior(flat, matrix=matrix_prior(whole[1], whole[0], term.q))
        default = self.student(0.0)
        sds = tuple(self.positive(n, (n, f"sd_{label}", f"sd_{term.group}", "sd"), default) for n in names)
        if term.q == 1:
            return TermPrior(sds)
        found = self.look(f"cor_{label}", f"cor_{term.group}", "cor")
        value = found[1] if found else prior("lkj(1)")
        self.rows.append(PriorRow(f"cor_{label}", value, found is None))
        return TermPrior(sds, lkj_concentration(value, found[0] if found else "cor", term.q))

    # --- other parameters -------------------------------------------------------------------------------------------
    def positive(self, name: str, keys: tuple[str, ...], default: Prior, least: float = 0.0) -> ScalarPrior:
        """The prior of a parameter above ``least``."""
        return positive_prior(self.row(name, keys, default), name, least)

    def level(self, name: str, keys: tuple[str, ...], default: Prior) -> ScalarPrior:
        """The prior of a parameter on the whole real line."""
        return self._level(self.row(name, keys, default), name)

    def row(self, name: str, keys: tuple[str, ...], default: Prior) -> Prior:
        """The prior of a parameter, noted for the table."""
        found = self.look(*keys)
        value = found[1] if found else default
        self.rows.append(PriorRow(name, value, found is None))
        return value
