"""Likelihood-ratio tests of the random terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jmix.results.base import FitBase

if TYPE_CHECKING:
    from jmix.results.inference.comparing.rlrt import ExactTest
    from jmix.results.inference.report import TableReport


class CompareFace(FitBase):
    """Likelihood-ratio tests of the random terms."""

    def ranova(self, reduce: bool = True) -> TableReport:
        """Likelihood-ratio tests of the random terms, dropped in turn, as lmerTest's ``ranova``.

        Each model is refitted by the method of the fit: restricted likelihoods are compared as such, and a model left
        without random terms is least squares with its restricted likelihood.

        Args:
            reduce: reduce a term with slopes by each of its parts, ``(x | g)`` to ``(1 | g)``; otherwise drop it whole.
                A part of an interaction goes only with the interaction. A numeric slope without intercept,
                ``(0 + x | g)``, is dropped whole.

        Returns:
            A report; ``table`` has one row a term and the columns ``npar loglik aic lrt df p_value p_naive``:
            ``p_value`` from the chi-bar-square mixture that holds on the boundary (Stram & Lee 1994, Biometrics 50,
            1171-1177; Self & Liang 1987, J. Am. Stat. Assoc. 82, 605-610), ``p_naive``, which is lmerTest's, from the
            chi-squared distribution.

        Raises:
            ModelError: the model has no random terms, or was fitted by MAP.
        """
        from jmix.results.inference.comparing.ranova import ranova

        return ranova(self, reduce)

    def drop1(self) -> TableReport:
        """Likelihood-ratio tests of the terms of the fixed effects, dropped in turn, as lme4's ``drop1(test="Chisq")``.

        A term goes only if no interaction contains it. Linear mixed models are refitted by maximum likelihood.

        Returns:
            A report; ``table`` has one row a term and the columns ``npar loglik aic lrt df p_value``.

        Raises:
            ModelError: no term to drop, or a fit by MAP.
        """
        from jmix.results.inference.comparing.lrt_fixed import drop1

        return drop1(self)

    def rlrt(self, term: str | int | None = None, n: int = 10_000, seed: int = 0) -> ExactTest:
        """Exact (restricted) likelihood-ratio test that one variance component is zero, by simulation.

        The finite-sample distribution under the null hypothesis follows from the eigenvalues of ``Z'P0Z`` (Crainiceanu
        & Ruppert 2004, J. R. Stat. Soc. B 66, 165-185, theorem 1): of the restricted likelihood after REML, of the
        likelihood after ML. With further variance components it is approximate: they are left out of the simulation
        (Greven, Crainiceanu, Küchenhoff & Peters 2008, J. Comput. Graph. Stat. 17, 870-891), and a note says so.

        Args:
            term: the random term, ``"Subject"`` or as ``ranova`` labels it, or its number in the formula from 0; not
                needed where there is one. It has one column, as ``(1 | g)`` or ``(0 + x | g)``.
            n: simulations. seed: the same seed, the same p-value.

        Returns:
            A report with ``statistic``, ``p_value``, ``mc_error`` and the ``simulated`` statistics (n,).

        Raises:
            ModelError: generalized models, MAP, a term with several columns, or too many levels.
        """
        from jmix.results.inference.comparing.rlrt import rlrt

        return rlrt(self, term, n, seed)
