"""What a pooled rate says about the true rate of a new study."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import expit

from metaan.analysis.predictive_result import UNCERTAINTY
from metaan.core import beta_binomial
from metaan.core.binomial import Binomial
from metaan.core.likelihood_weights import Weighted, beta_binomial_weights, binomial_weights, normal_weights
from metaan.core.rate_laws import BetaMixture, DensityTable, Law, NormalMixture, smoothed
from metaan.core.transforms import harmonic_mean
from metaan.errors import InputError, Note, OptionError
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.results import PoolResult
from metaan.models.text import exact_model
from metaan.names import RECORD
from metaan.validate import METHOD, FloatArray

__all__ = ["Basis", "basis"]

_MOST_TAU: Final = {"PLO": 10.0, "PLN": 10.0, "PR": 1.0, "PAS": math.pi / 2, "PFT": math.pi / 2}
"""Largest tau: on the logit scale that at which the likelihood of separate studies is held, else the scale's length."""
_MOST_S: Final = 10.0
"""Largest sqrt(rho/(1 - rho)) of the beta-binomial model: rho 0.99."""
_CUT: Final = 1e-3
_FEW: Final = 5
_OF_INTERVALS: Final = {"no-pi", "profile-open", "cut", "ft-n"}  # notes on limits that are not used here


class Basis(NamedTuple):
    """What is known of the true rate, and how it came about."""

    law: Law
    uncertainty: str
    model: str
    measure: str
    k: int
    tau2: float
    unit: str
    notes: tuple[Note, ...]


def basis(res: Any, uncertainty: str | None) -> Basis:
    """The law of the true rate that a result gives."""
    grid, spec = getattr(res, "grid", None), getattr(res, "spec", None)
    how = UNCERTAINTY.check(("profile" if grid is None else "bayes") if uncertainty is None else uncertainty)
    if spec is None or not hasattr(res, "effects"):
        raise InputError(f"predictive takes a pooled response rate, not {type(res).__name__}: see glmm and pool.")
    if KINDS[spec.measure].scale != "rate" or spec.formula is not None:
        raise InputError(
            f"predictive takes a pooled response rate; this result is of {KINDS[spec.measure].label}"
            f"{'' if spec.formula is None else ' on moderators'}."
        )
    if getattr(res, "scale", "analysis") == "display":
        raise InputError("predictive takes the result on its analysis scale: pass it as it was before back().")
    if (how == "bayes") != (grid is not None):
        told = "needs a Bayesian result, with its grid" if grid is None else "does not apply: its posterior is used"
        raise OptionError(f"uncertainty={how!r} {told}.")
    if grid is not None:
        return _finished(res, how, _of_posterior(res), "Bayesian random-effects model")
    if spec.model == "beta-binomial":
        return _finished(res, how, _of_beta(res, how), "beta-binomial model")
    if not isinstance(res, PoolResult):
        raise InputError(f"predictive takes a pooled response rate, not {type(res).__name__}: see glmm and pool.")
    if spec.model == "glmm":
        if spec.measure != "PLO":
            raise OptionError("predictive takes a GLMM of rates on the logit scale (measure PLO).")
        return _finished(res, how, _of_counts(res, how), exact_model(None))
    if spec.model != "normal" or spec.method not in METHOD.choices:
        raise InputError("predictive takes the result of glmm or pool; this is a stratified one.")
    tau = "tau2 = 0" if spec.method == "CE" else f"tau2 by {spec.method}"
    return _finished(res, how, _of_effects(res, how), f"inverse variance, {KINDS[spec.measure].label}, {tau}")


_Found = tuple[Law, list[Note]]


def _finished(res: Any, how: str, found: _Found, model: str) -> Basis:
    law, notes = found
    tau2 = getattr(res, "tau2", math.nan)
    eff: Effects = res.effects
    kept = [note for note in res.notes if note.code not in _OF_INTERVALS]
    if 1 < eff.k < _FEW and how != "bayes":
        text = f"{eff.k} studies tell little about tau2: the prediction depends on what is done about its uncertainty."
        notes.append(Note("few-studies", text))
    if not isinstance(law, BetaMixture):
        notes += _cut(law)
    unit = _unit(eff)
    notes += _clustered(eff, unit)
    text = "The new study is taken as one more of the same population of studies (exchangeable with those pooled)."
    return Basis(
        law, how, model, res.spec.measure, eff.k, float(tau2), unit, (*notes, Note("exchangeable", text), *kept)
    )


def _clustered(eff: Effects, unit: str) -> list[Note]:
    """What n counts where patients bring several lesions."""
    if eff.data is not None and "design_effect" in eff.data.columns:
        text = "The pooled counts were divided by a design effect: n counts independent observations, not lesions."
        return [Note("effective-n", text)]
    if unit == "lesion":
        text = "n counts lesions as if independent; with several lesions of one patient responders vary more."
        return [Note("lesions-independent", text)]
    return []


def _unit(eff: Effects) -> str:
    """What rows of `metaan.load` count."""
    rows = eff.data
    if rows is None or RECORD not in getattr(rows, "attrs", {}) or "unit" not in rows.columns:
        return "observation"
    units = {str(unit) for unit in rows["unit"]}
    return units.pop() if len(units) == 1 else "observation"


def _cut(law: NormalMixture | DensityTable) -> list[Note]:
    """Whether a share of the law lies beyond what the scale can hold."""
    share = law.outside()
    if share <= _CUT:
        return []
    return [Note("cut", f"{100 * share:.2g}% of the true effects lie beyond the range of a rate: set to its ends.")]


def _normal(eff: Effects, mean: Any, sd: Any, weight: Any, scale: float) -> NormalMixture:
    shown = display_scale(eff)
    size = harmonic_mean(eff.total) if eff.measure == "PFT" and eff.total is not None else 1.0
    m, s, w = (np.atleast_1d(np.asarray(a, dtype=np.float64)) for a in (mean, sd, weight))
    return NormalMixture(eff.measure, size, shown.lowest, shown.highest, m, s, w, scale if scale > 0 else 1.0)


def _weighted(eff: Effects, found: Weighted, most: float) -> _Found:
    notes = list(display_scale(eff).notes)
    if found.beyond > _CUT:
        text = f"The likelihood of tau has not died out at {most:.3g}, where its range ends."
        notes.append(Note("tau-range", text))
    return _normal(eff, found.mean, found.sd, found.weight, found.scale), notes


def _of_counts(res: PoolResult, how: str) -> _Found:
    """The binomial-normal model."""
    eff = res.effects
    x, n, alone = _counts(eff)
    if alone is not None and how != "plugin":
        return alone
    if how == "plugin" and math.isfinite(res.estimate):
        return _normal(eff, res.estimate, res.tau, 1.0, res.tau), [] if alone is None else alone[1]
    if alone is not None:
        return alone
    b = Binomial.from_counts(x[:, None], n[:, None])
    most = _MOST_TAU["PLO"]
    weights = binomial_weights(b, res.estimate, integrated=how == "integrated", best=res.tau, most=most)
    return _weighted(eff, weights, most)


def _of_beta(res: Any, how: str) -> _Found:
    """The beta-binomial model."""
    eff: Effects = res.effects
    x, n, alone = _counts(eff)
    rho = float(res.rho)
    if alone is not None and (how != "plugin" or not 0 < x.sum() < n.sum()):
        return alone
    if how == "plugin":
        mean = float(x.sum() / n.sum()) if rho == 0 else float(expit(res.estimate))
        if 0 < rho < 1:
            return BetaMixture.of_one(float(res.a), float(res.b)), []
        at, weight = ([mean], [1.0]) if rho == 0 else ([0.0, 1.0], [1 - mean, mean])  # rho = 1: all or none respond
        return NormalMixture("PR", 1.0, -math.inf, math.inf, np.array(at), np.zeros(len(at)), np.array(weight), 1.0), []
    best = math.sqrt(rho / (1 - rho)) if rho < 1 else _MOST_S
    counts = beta_binomial.Counts.from_counts(x[:, None], n[:, None])
    found = beta_binomial_weights(counts, integrated=how == "integrated", best=best, most=_MOST_S)
    notes = []
    if found.beyond > _CUT:
        text = f"The likelihood of rho has not died out at {_MOST_S**2 / (1 + _MOST_S**2):.2f}, where its range ends."
        notes.append(Note("tau-range", text))
    return BetaMixture(found.a, found.b, found.weight, found.scale), notes


def _counts(eff: Effects) -> tuple[FloatArray, FloatArray, _Found | None]:
    """Counts, and the law where they say nothing about the spread between studies."""
    x, n = np.asarray(eff.events), np.asarray(eff.total)
    hits, miss = float(x.sum()), float((n - x).sum())
    if hits == 0 or miss == 0:
        text = (
            f"No finite estimate: the true rate has the law Beta({hits + 0.5:g}, {miss + 0.5:g}) of the pooled counts "
            "(Jeffreys' prior), without spread between studies."
        )
        return x, n, (BetaMixture.of_one(hits + 0.5, miss + 0.5), [Note("jeffreys", text)])
    if eff.k == 1 or bool((n <= 1).all()):
        return x, n, (BetaMixture.of_one(hits, miss), [_no_spread()])
    return x, n, None


def _of_effects(res: PoolResult, how: str) -> _Found:
    """Effects with known variances."""
    eff = res.effects
    if res.spec.cluster is not None or any(note.code == "sizes-alone" for note in res.notes):
        raise OptionError("predictive needs the model's own variances: pass the result of pool itself.")
    common = res.spec.method == "CE" or eff.k == 1
    notes = [*display_scale(eff).notes, *([_no_spread()] if common else [])]
    if how == "plugin":
        return _normal(eff, res.estimate, res.tau, 1.0, res.tau), notes
    if common:
        se = 1 / math.sqrt(float((1 / eff.vi).sum()))
        return _normal(eff, res.estimate, se, 1.0, se), notes
    most = _MOST_TAU[eff.measure]
    restricted = how == "integrated" or res.spec.method != "ML"
    return _weighted(eff, normal_weights(eff.yi, eff.vi, restricted=restricted, best=res.tau, most=most), most)


class _New(NamedTuple):
    """The posterior predictive distribution of the true effect of a new study."""

    res: Any

    def density(self, x: FloatArray) -> FloatArray:
        return np.asarray(self.res.density(x, "new"))

    def cdf(self, x: FloatArray) -> FloatArray:
        return np.asarray(self.res.cdf(x, "new"))

    def quantile(self, p: FloatArray) -> FloatArray:
        return np.asarray(self.res.quantile(p, "new"))


def _of_posterior(res: Any) -> _Found:
    """A posterior: by its density of the true effect of a new study, or by its grid of (mu, tau) alone."""
    mu, tau, weight = (np.asarray(a, dtype=np.float64).ravel() for a in res.grid)
    keep = weight > 1e-16 * weight.max()
    mean, sd, scale = smoothed(mu[keep], tau[keep], weight[keep])
    law = _normal(res.effects, mean, sd, weight[keep] / weight[keep].sum(), scale)
    notes = list(display_scale(res.effects).notes)
    if all(callable(getattr(res, name, None)) for name in ("density", "cdf", "quantile")):
        ends = law.lowest, law.highest
        return DensityTable.of(law.measure, law.size, ends, _New(res), scale), notes
    return law, notes


def _no_spread() -> Note:
    text = "tau2 is taken as 0: the prediction leaves out that studies differ, and holds for a repetition of these."
    return Note("no-spread", text)
