"""Names of the parameters of a model, the same in draws, priors and tables."""

from __future__ import annotations

from collections.abc import Sequence

from jmix.spec.covariance import CovarianceSpec


def parameter_names(
    x_names: Sequence[str], spec: CovarianceSpec, *, nu: bool = False, others: Sequence[str] = ("sigma",)
) -> list[str]:
    """Fixed effects as in R; then as in brms: all SDs term by term, all correlations term by term, sigma, nu.

    ``others`` stands in for sigma where the response has other parameters.

    A fixed effect whose name is that of another parameter, such as a predictor called sigma, is named ``b_sigma``.
    """
    sds = [name for names in sd_names(spec) for name in names]
    cors = [name for names in cor_names(spec) for name in names]
    rest = [*sds, *cors, *others, *(["nu"] if nu else [])]
    return [*(f"b_{name}" if name in rest else name for name in x_names), *rest]


def sd_names(spec: CovarianceSpec) -> list[list[str]]:
    """For each term its q names ``sd_Subject__Intercept``, ``sd_Subject__Days``."""
    return [
        [f"sd_{label}__{plain(name)}" for name in term.names]
        for label, term in zip(_labels(spec), spec.terms, strict=True)
    ]


def cor_names(spec: CovarianceSpec) -> list[list[str]]:
    """For each term its q (q - 1) / 2 names ``cor_Subject__Intercept__Days``, lower triangle by columns."""
    return [
        [
            f"cor_{label}__{plain(term.names[a])}__{plain(term.names[b])}"
            for a in range(term.q)
            for b in range(a + 1, term.q)
        ]
        for label, term in zip(_labels(spec), spec.terms, strict=True)
    ]


def plain(column: str) -> str:
    """``Intercept`` for ``(Intercept)``; other columns as they are."""
    return "Intercept" if column == "(Intercept)" else column


def _labels(spec: CovarianceSpec) -> list[str]:
    """The grouping factor of each term; lme4's ``g.1`` where two of its terms share a column."""
    out = []
    for label, term in zip(spec.labels, spec.terms, strict=True):
        others = [t for t in spec.terms if t.group == term.group and t is not term]
        shared = any(set(term.names) & set(t.names) for t in others)
        out.append(label if shared else term.group)
    return out
