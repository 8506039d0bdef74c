"""The priors of a model: the user's and the defaults, resolved to one for every parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from jmix import runtime
from jmix.errors import ModelError
from jmix.spec.covariance import CovarianceSpec
from jmix.spec.matrix_priors import MatrixPrior, lkj_concentration, matrix_prior
from jmix.spec.names import cor_names, sd_names
from jmix.spec.prior import Prior, prior
from jmix.spec.supports import ScalarPrior, positive_prior, real_prior

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]

LEAST_SCALE = 2.5
"""Least scale of the default half-t priors, as in brms."""


@dataclass(frozen=True, eq=False)
class TermPrior:
    """Priors of one random term: of its standard deviations and its correlations, or of its covariance matrix."""

    sds: tuple[ScalarPrior, ...]
    concentration: float = 1.0
    matrix: MatrixPrior | None = None


@dataclass(frozen=True, eq=False)
class PriorRow:
    """One line of the table: what the prior is of, the prior, and whether it is a default."""

    parameter: str
    prior: Prior
    default: bool


@dataclass(frozen=True, eq=False)
class PriorSet:
    """One prior for every parameter of a model.

    Attributes:
        coefficients: of the fixed effects, in the order of ``design.x_names``. centred: of the intercept at the means
            of the predictors; ``centre`` (p,) times beta gives that intercept. terms: in lme4's order.
        nu: of the degrees of freedom of a Student-t response, or None. rows: the same for the table.
    """

    coefficients: tuple[ScalarPrior, ...]
    centred: ScalarPrior | None
    centre: FloatArray | None
    terms: tuple[TermPrior, ...]
    sigma: ScalarPrior
    nu: ScalarPrior | None
    rows: tuple[PriorRow, ...]

    def table(self) -> pd.DataFrame:
        """One row a parameter or class: ``prior``, ``parameter`` and ``source``, "default" or "user"."""
        import pandas as pd

        cells = [(repr(r.prior), r.parameter, "default" if r.default else "user") for r in self.rows]
        return pd.DataFrame(cells, columns=["prior", "parameter", "source"])

    def __repr__(self) -> str:
        return str(self.table().to_string(index=False))

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False))

    @property
    def proper(self) -> bool:
        """Whether every prior integrates to one."""
        flat = [c.prior.flat for c in self.coefficients]
        if self.centred is not None and not self.centred.prior.flat and self.centre is not None:
            flat[int(np.argmax(self.intercept_mask))] = False
        return not any(flat)

    @property
    def intercept_mask(self) -> npt.NDArray[np.bool_]:
        """(p,) which coefficient the prior of the centred intercept stands for."""
        centre = np.zeros(len(self.coefficients)) if self.centre is None else self.centre
        return np.asarray(np.arange(len(centre)) == self.intercept_at)

    intercept_at: int = -1


def resolve_priors(
    given: Mapping[str, Any] | None,
    *,
    x_names: Sequence[str],
    x_means: FloatArray,
    spec: CovarianceSpec,
    response: FloatArray,
    student: bool = False,
) -> PriorSet:
    """The user's priors where there are any, brms's defaults elsewhere.

    Args:
        given: parameter name or class to prior; see ``docs/bayes.md``.
        x_means: (p,) column means of the model matrix. response: (n,) from which the default scales come.

    Raises:
        ModelError: an unknown name, a prior that does not fit its parameter, two that contradict each other, or an
            improper one where the parameter needs none.
    """
    with runtime.float64():
        return _Resolver(given, list(x_names), x_means, spec, response, student).resolve()


class _Resolver:
    """Looks up each parameter's prior: by its own name, then by its group, then by its class, then the default."""

    def __init__(
        self,
        given: Mapping[str, Any] | None,
        x_names: list[str],
        x_means: FloatArray,
        spec: CovarianceSpec,
        response: FloatArray,
        student: bool,
    ) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise ModelError(f"priors must be a dict of names to priors, not {type(given).__name__}")
        self.x_names, self.x_means, self.spec, self.student = x_names, x_means, spec, student
        self.sds, self.cors = sd_names(spec), cor_names(spec)
        self.intercept = x_names.index("(Intercept)") if "(Intercept)" in x_names else -1
        self.given = {self._canonical(name): prior(value) for name, value in (given or {}).items()}
        if len(self.given) < len(given or {}):
            raise ModelError("two priors for the same coefficient: a name and its alias with 'b_'")
        self.location = round(float(np.median(response)), 1)
        spread = 1.482602218505602 * float(np.median(np.abs(response - np.median(response))))
        self.scale = max(LEAST_SCALE, round(spread, 1))
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
        return [*dict.fromkeys(names), "sigma", *(["nu"] if self.student else [])]

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
        if name == "nu":
            hint = " nu is a parameter of family='student'."
        raise ModelError(f"priors: there is no parameter '{name}'.{hint} There are: {', '.join(allowed)}")

    def _look(self, *names: str) -> tuple[str, Prior] | None:
        found = next(((n, self.given[n]) for n in names if n in self.given), None)
        if found:
            self.used.add(found[0])
        return found

    def _student(self, location: float, text: str) -> Prior:
        return prior(f"{text}(3, {location!r}, {self.scale!r})")

    def resolve(self) -> PriorSet:
        centred, coefficients = self._coefficients()
        terms = tuple(self._term(i) for i in range(len(self.spec.terms)))
        self._check_classes(terms)
        sigma = self._positive("sigma", ("sigma",), self._student(0.0, "student_t"))
        nu = self._positive("nu", ("nu",), prior("gamma(2, 0.1)"), 1.0) if self.student else None
        unused = [name for name in self.given if name not in self.used]
        if unused:
            raise ModelError(
                f"the prior of '{unused[0]}' is not used: no parameter is left for it, since each of that class has a "
                "prior of its own or there is none; drop it"
            )
        centre = None if centred is None else np.asarray(self.x_means, dtype=np.float64)
        return PriorSet(coefficients, centred, centre, terms, sigma, nu, tuple(self.rows), intercept_at=self.intercept)

    def _coefficients(self) -> tuple[ScalarPrior | None, tuple[ScalarPrior, ...]]:
        centred, at = None, self.intercept
        raw = self._look("b_(Intercept)")
        if at >= 0 and raw and "Intercept" in self.given:
            raise ModelError(
                "priors for both 'Intercept' (at the means of the predictors) and 'b_(Intercept)' (at zero): give one"
            )
        if at >= 0 and raw is None:
            found = self._look("Intercept")
            value = found[1] if found else self._student(self.location, "student_t")
            self.rows.append(PriorRow("Intercept", value, found is None))
            centred = real_prior(value, "Intercept")
            if centred.kind != "real":
                raise ModelError("the prior of Intercept must have the whole real line as its support")
        out = []
        for i, name in enumerate(self.x_names):
            found = self._look(f"b_{name}") if i == at else self._look(f"b_{name}", "b")
            value = found[1] if found else Prior(None)
            if i != at or raw:
                self.rows.append(PriorRow(f"b_{name}", value, found is None))
            out.append(real_prior(value, f"b_{name}"))
        return centred, tuple(out)

    def _term(self, i: int) -> TermPrior:
        term, label, names = self.spec.terms[i], self.spec.labels[i], self.sds[i]
        whole = self._look(f"cov_{label}", f"cov_{term.group}")
        if whole:
            clash = self._look(*names, f"sd_{label}", f"sd_{term.group}", f"cor_{label}", f"cor_{term.group}")
            if clash:
                raise ModelError(
                    f"priors for both '{whole[0]}' and '{clash[0]}': they describe the same matrix; give one"
                )
            self.rows.append(PriorRow(f"cov_{label}", whole[1], False))
            flat = tuple(ScalarPrior(Prior(None), 0.0) for _ in names)
            return TermPrior(flat, matrix=matrix_prior(whole[1], whole[0], term.q))
        default = self._student(0.0, "student_t")
        sds = tuple(self._positive(n, (n, f"sd_{label}", f"sd_{term.group}", "sd"), default) for n in names)
        if term.q == 1:
            return TermPrior(sds)
        found = self._look(f"cor_{label}", f"cor_{term.group}", "cor")
        value = found[1] if found else prior("lkj(1)")
        self.rows.append(PriorRow(f"cor_{label}", value, found is None))
        return TermPrior(sds, lkj_concentration(value, found[0] if found else "cor", term.q))

    def _check_classes(self, terms: tuple[TermPrior, ...]) -> None:
        """Refuse a prior of all standard deviations or correlations where each matrix has one as a whole."""
        for kind, least in (("sd", 1), ("cor", 2)):
            if kind in self.given and all(t.matrix is not None or len(t.sds) < least for t in terms):
                raise ModelError(f"priors for both '{kind}' and whole covariance matrices: give one")

    def _positive(self, name: str, keys: tuple[str, ...], default: Prior, least: float = 0.0) -> ScalarPrior:
        found = self._look(*keys)
        value = found[1] if found else default
        self.rows.append(PriorRow(name, value, found is None))
        return positive_prior(value, name, least)
