"""The sentences under a forest plot."""

from __future__ import annotations

import math
from typing import Final

from metaan.measures.intervals import INTERVAL
from metaan.models.results import GlmmResult, PoolResult
from metaan.validate import PI

__all__ = ["heterogeneity_line", "interval_lines", "model_line"]

_SCALE: Final = {
    "PR": "raw rates", "PLO": "logit rates", "PLN": "log rates", "PAS": "arcsine rates",
    "PFT": "Freeman–Tukey double arcsine rates", "GEN": "effect sizes as given",
}  # fmt: skip
_TEST: Final = {
    "z": "normal (z) interval", "t": "t interval", "hk": "Hartung–Knapp interval",
    "hk-adhoc": "Hartung–Knapp interval, never below z", "kr": "Kenward–Roger interval",
}  # fmt: skip
_CI: Final = {"profile": "profile-likelihood interval", "likelihood-ratio": "likelihood-ratio interval"}


def heterogeneity_line(res: PoolResult) -> str:
    """Heterogeneity in one line; what was not estimated is left out."""
    if res.k == 1:
        return "Heterogeneity: not estimable from one study"
    usual = res.tau2 == 0 or 5e-4 <= res.tau2 < 1e3
    parts = [f"τ² = {res.tau2:.3f}" if usual else f"τ² = {res.tau2:.3g}"]
    if math.isfinite(res.I2):
        parts.append(f"I² = {res.I2:.1f}%")
    if math.isfinite(res.Q):
        parts.append(f"Q = {res.Q:.2f}, df = {res.Q_df}, {_probability(res.Q_pvalue)}")
    return f"Heterogeneity: {'; '.join(parts)}"


def model_line(res: PoolResult) -> str:
    """Model, scale, estimator and interval in one line."""
    spec = res.spec
    test = "z" if res.k == 1 else spec.test  # one study: every test falls back to the normal interval
    interval = _CI.get(spec.ci, _TEST[test])
    if isinstance(res, GlmmResult):
        return f"Model: binomial-normal GLMM (logit link), maximum likelihood; {interval}"
    if spec.method == "CE":
        return f"Model: common effect on {_SCALE[spec.measure]}; {interval}"
    return f"Model: random effects on {_SCALE[spec.measure]}, {spec.method} estimate of τ²; {interval}"


def interval_lines(res: PoolResult, interval: str, *, prediction: bool) -> list[str]:
    """What the intervals of the studies and the prediction interval are, where there are any."""
    lines = []
    if res.effects.events is not None:
        lines.append(f"Intervals of the studies: {INTERVAL.choices[interval]}.")
    if prediction:
        lines.append(f"Prediction interval: {PI.choices[res.spec.pi].replace(' - ', ' − ')}.")
    return [" ".join(lines)] if lines else []


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
