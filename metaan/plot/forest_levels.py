"""A multilevel model, or a regression on nothing, as one pooled effect."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from metaan.errors import OptionError
from metaan.models.multilevel_result import MultilevelResult
from metaan.models.regress_result import RegressResult
from metaan.models.results import Convergence, PoolResult
from metaan.plot.wording import probability, variance

__all__ = ["as_pool", "levels_line"]

_ONE: Final = ("estimate", "se", "ci_low", "ci_high", "statistic", "pvalue", "log_pvalue", "df")


def as_pool(fit: RegressResult) -> PoolResult:
    """The mean effect of a model without moderators, as a pooled result."""
    if len(fit.names) != 1 or fit.moderators.intercept is None:
        what = f"{len(fit.names)} coefficients" if len(fit.names) > 1 else "no intercept"
        raise OptionError(
            f"A model with moderators has no single pooled effect to draw ({what}: {fit.spec.formula!r}). Draw "
            "metaan.plot.bubble(res), or metaan.subgroups for groups."
        )
    own: dict[str, Any] = {name: float(np.asarray(getattr(fit, name))[0]) for name in _ONE}
    new = fit.predict().iloc[0]
    return PoolResult(
        **own, pi_low=float(new["pi_low"]), pi_high=float(new["pi_high"]), k=fit.k, tau2=fit.tau2, tau=fit.tau,
        I2=fit.I2, H2=fit.H2, Q=fit.QE, Q_df=fit.QE_df, Q_pvalue=fit.QE_pvalue, weights=fit.weights,
        fitted=fit.fitted, blup=fit.blup, blup_se=np.asarray(getattr(fit, "blup_se", np.full(fit.k, math.nan))),
        convergence=Convergence(), spec=fit.spec, effects=fit.effects, notes=fit.notes,
    )  # fmt: skip


def levels_line(fit: MultilevelResult) -> str:
    """Variance of each level with its share, and the test that there is none."""
    parts = [
        f"{variance('σ²', float(s2))} between {name} ({groups}; I² = {share:.1f}%)"
        for name, groups, s2, share in zip(fit.levels, fit.groups, fit.sigma2, fit.I2_levels, strict=True)
    ]
    q = f"Q = {fit.QE:.2f}, df = {fit.QE_df}, {probability(fit.QE_pvalue)}"
    return f"Heterogeneity: {'; '.join([*parts, q])}"
