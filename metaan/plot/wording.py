"""The sentences under a forest plot."""

from __future__ import annotations

import math
from typing import Final

from metaan.models.results import GlmmResult, PoolResult

__all__ = ["heterogeneity_line", "interval_line", "model_line"]

_SCALE: Final = {
    "PR": "raw rates", "PLO": "logit rates", "PLN": "log rates", "PAS": "arcsine rates",
    "PFT": "Freeman–Tukey double arcsine rates", "GEN": "effect sizes as given",
}  # fmt: skip
_TEST: Final = {
    "z": "normal (z) interval", "t": "t interval", "hk": "Hartung–Knapp interval",
    "hk-adhoc": "Hartung–Knapp interval, never below z", "kr": "Kenward–Roger interval",
}  # fmt: skip
_INTERVAL: Final = {
    "clopper-pearson": "Clopper–Pearson (exact)", "wilson": "Wilson", "agresti-coull": "Agresti–Coull",
    "jeffreys": "Jeffreys", "mid-p": "mid-P",
}  # fmt: skip


def heterogeneity_line(res: PoolResult) -> str:
    """Heterogeneity in one line; what was not estimated is left out."""
    if res.k == 1:
        return "Heterogeneity: not estimable from one study"
    parts = [f"τ² = {res.tau2:.3f}" if res.tau2 < 1e3 else f"τ² = {res.tau2:.3g}"]
    if math.isfinite(res.I2):
        parts.append(f"I² = {res.I2:.1f}%")
    if math.isfinite(res.Q):
        parts.append(f"Q = {res.Q:.2f}, df = {res.Q_df}, {_probability(res.Q_pvalue)}")
    return f"Heterogeneity: {'; '.join(parts)}"


def model_line(res: PoolResult) -> str:
    """Model, scale, estimator and interval in one line."""
    spec = res.spec
    interval = "profile-likelihood interval" if spec.ci == "profile" else _TEST[spec.test]
    if isinstance(res, GlmmResult):
        return f"Model: binomial-normal GLMM (logit link), maximum likelihood; {interval}"
    effects = "common effect" if spec.method == "CE" else "random effects"
    method = "" if spec.method == "CE" else f", {spec.method} estimate of τ²"
    return f"Model: {effects} on {_SCALE[spec.measure]}{method}; {interval}"


def interval_line(res: PoolResult, interval: str) -> list[str]:
    """What the interval of a study is, as a list that is empty where nothing was chosen."""
    if res.effects.events is None:
        return []
    return [f"Intervals of the studies: {_INTERVAL.get(interval, interval)}."]


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
