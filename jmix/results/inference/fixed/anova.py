"""Analysis of variance of the fixed effects: F tests of a linear model, Wald chi-squared tests of a generalized one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jmix.errors import ModelError
from jmix.results.inference.fixed.anova_marginal import marginal_hypotheses
from jmix.results.inference.fixed.anova_sequential import (
    beside,
    marginality_hypotheses,
    sequential_hypotheses,
    triangle,
)
from jmix.results.inference.fixed.anova_table import Anova
from jmix.results.inference.fixed.containment import ContainmentTests
from jmix.results.inference.fixed.df_rules import ConstantTests, tail_probability
from jmix.results.inference.fixed.fixed_tests import fixed_tests
from jmix.results.inference.fixed.terms import TermTable
from jmix.results.summary import call_lines, design_notes

if TYPE_CHECKING:
    from jmix.results.base import FitBase, FloatArray
    from jmix.results.fit import Fit
    from jmix.results.glmm_fit import GlmmFit
    from jmix.results.inference.fixed.fixed_tests import DfMethod, FixedTests, Joint

TYPES = {1: "I", 2: "II", 3: "III", "1": "I", "2": "II", "3": "III", "I": "I", "II": "II", "III": "III"}

METHODS = {
    "satterthwaite": "Satterthwaite's method",
    "kenward-roger": "Kenward-Roger's method",
    "containment": "containment degrees of freedom",
    "residual": "residual degrees of freedom",
    "none": "Wald tests",
}
"""How the title names each rule."""


def anova(fit: Fit, type: Any = "III", df: DfMethod | None = None) -> Anova:
    """The F test of each term of a linear model.

    Raises:
        ModelError: another type, a rule that the model does not have, or a formula whose terms cannot be told apart.
    """
    kind = check_type(type)
    tests = fixed_tests(fit, df)
    table = TermTable.of(fit.design.encoding)
    if not fit.terms:
        joints = _by_difference(table, kind, tests)  # as R's anova (type I) and car's Anova after lm
    else:
        joints = {label: tests.joint(L) for label, L in _hypotheses(fit, table, kind).items()}
        if isinstance(tests, ContainmentTests):
            joints = {label: _with_denominator(joint, tests.by_term.get(label)) for label, joint in joints.items()}
    frame = _f_table(joints, fit.sigma)
    if fit.terms:
        title = f"Type {kind} Analysis of Variance Table with {METHODS[tests.method]}"
    else:
        rule = "" if tests.method == "residual" else f" with {METHODS[tests.method]}"
        title = f"Type {kind} Analysis of Variance Table{rule}"
        frame.loc["Residuals"] = _residuals(fit)
    note = getattr(tests, "note", None)
    notes = (*_notes(fit, table, kind), *((note,) if note else ()))
    return Anova(frame, title, tuple(call_lines(fit)), notes, type=kind, df=tests.method)


def glmm_anova(fit: GlmmFit, type: Any = "III", component: str = "cond") -> Anova:
    """Wald's chi-squared test of each term of one part of a generalized linear mixed model.

    Raises:
        ModelError: another type, or a part that the model does not have.
    """
    kind = check_type(type)
    encoding = _encoding(fit, component)
    table = TermTable.of(encoding)
    beta, vcov = fit.fixef(component).to_numpy(), fit.vcov(component).to_numpy()
    tests = ConstantTests("none", tuple(encoding.x_names), beta, vcov, float("inf"))
    rows = {}
    for label, joint in _by_difference(table, kind, tests).items():
        rows[label] = (joint.statistic * joint.df1 if joint.df1 else float("nan"), float(joint.df1), joint.p_value)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["chisq", "df", "p_value"], dtype=float)
    frame.index.name = "term"
    names = {"cond": "", "zi": " of the zeros", "disp": " of the dispersion"}
    title = f"Type {kind} Analysis of Deviance Table{names[component]} (Wald chi-squared tests)"
    return Anova(frame, title, tuple(call_lines(fit)), _notes(fit, table, kind), type=kind)


def check_type(type: Any) -> str:
    """The type as a Roman numeral.

    Raises:
        ModelError: another type.
    """
    known = isinstance(type, str | int) and not isinstance(type, bool)
    key = type.upper() if isinstance(type, str) else type
    if not known or key not in TYPES:
        raise ModelError(f"anova(type={type!r}): choose 'I' (sequential), 'II' (marginality) or 'III' (marginal)")
    return TYPES[key]


def _hypotheses(fit: FitBase, table: TermTable, kind: str) -> dict[str, FloatArray]:
    """The hypotheses of a mixed model; they depend on X and the formula alone, as in lmerTest."""
    if kind == "III":
        return marginal_hypotheses(table)
    R = triangle(fit.base.X)
    return sequential_hypotheses(table, R) if kind == "I" else marginality_hypotheses(table, R)


def _with_denominator(joint: Joint, df2: float | None) -> Joint:
    """The same test on the stratum of the term, as nlme's ``anova`` has it."""
    if df2 is None:
        return joint
    return joint._replace(df2=df2, p_value=tail_probability(joint.statistic, joint.df1, df2))


def _by_difference(table: TermTable, kind: str, tests: FixedTests) -> dict[str, Joint]:
    """Type I and II as differences of Wald tests, which sees the weights of the rows; type III by its hypotheses."""
    if kind == "III":
        return {label: _wald(tests, L) for label, L in marginal_hypotheses(table).items()}
    found = {}
    for i, label in enumerate(table.labels):
        above = table.labels[i + 1 :] if kind == "I" else table.containing(label, same_numbers=False)
        others = [column for other in above for column in table.columns[other]]
        chisq, df1 = beside(tests.beta, tests.vcov, table.columns[label], others)
        found[label] = _joint(chisq, df1, float(tests.df(np.zeros((1, len(tests.beta))))[0]))
    return found


def _wald(tests: FixedTests, L: FloatArray) -> Joint:
    """The joint test, without result where an estimate that it needs has no standard error."""
    used = np.any(L != 0.0, axis=0)
    if not np.all(np.isfinite(tests.vcov[np.ix_(used, used)])):
        return _joint(float("nan"), L.shape[0], float("inf"))
    return tests.joint(L[:, used]) if used.all() else _restricted(tests, L, used)


def _restricted(tests: FixedTests, L: FloatArray, used: FloatArray) -> Joint:
    part = ConstantTests(
        tests.method,
        tuple(n for n, u in zip(tests.names, used, strict=True) if u),
        tests.beta[used],
        tests.vcov[np.ix_(used, used)],
        float(tests.df(np.zeros((1, len(tests.beta))))[0]),
    )
    return part.joint(L[:, used])


def _joint(chisq: float, df1: int, df2: float) -> Joint:
    from jmix.results.inference.fixed.fixed_tests import Joint

    statistic = chisq / df1 if df1 else float("nan")
    return Joint(statistic, df1, df2, tail_probability(statistic, df1, df2))


def _f_table(joints: dict[str, Joint], sigma: float) -> pd.DataFrame:
    """``sum_sq`` and ``mean_sq`` are F times the residual variance, as lmerTest reports them."""
    rows = {
        label: (j.statistic * j.df1 * sigma**2, j.statistic * sigma**2, float(j.df1), j.df2, j.statistic, j.p_value)
        for label, j in joints.items()
    }
    columns = ["sum_sq", "mean_sq", "num_df", "den_df", "F", "p_value"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)
    frame.index.name = "term"
    return frame


def _residuals(fit: Fit) -> list[float]:
    df = float(fit.nobs - len(fit.beta))
    rss = float(np.sum(fit.residuals("pearson").to_numpy() ** 2))
    return [rss, rss / df, df, np.nan, np.nan, np.nan]


def _encoding(fit: GlmmFit, component: str) -> Any:
    if component == "cond":
        return fit.base.encoding
    side = {"zi": fit.design.zi, "disp": fit.design.disp}.get(component) if isinstance(component, str) else None
    if side is None:
        raise ModelError(f"anova(component={component!r}): this model has 'cond'{_parts(fit)}")
    return side.encoding


def _parts(fit: GlmmFit) -> str:
    more = [name for name in ("zi", "disp") if getattr(fit.design, name) is not None]
    return "".join(f", {name!r}" for name in more)


def _notes(fit: FitBase, table: TermTable, kind: str) -> tuple[str, ...]:
    notes = design_notes(fit.base)
    if not table.labels:
        notes.append("the model has no terms besides the intercept")
    if kind == "III" and any(name in table.encoding.dropped for name in (c.name for c in table.coded)):
        notes.append(
            "some columns were dropped, as where cells have no data: interpret hypotheses of type III with care"
        )
    return tuple(notes)
