"""What the adjustments for small-study effects have in common: which results they take, and what to say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from metaan.analysis.bias_data import LINKED
from metaan.analysis.refits import check_result, refit, same_fit
from metaan.errors import DataError, InputError, Note, OptionError, shown
from metaan.measures.backtransform import display_scale
from metaan.measures.kinds import KINDS
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import PoolResult
from metaan.models.text import number
from metaan.validate import FloatArray, whole

__all__ = [
    "between", "cautions", "extrapolated", "interval_text", "measure_line", "pooled", "spread_of",
    "up_to_largest",
]  # fmt: skip

_FREE: Final = {"IR": "IRS", "IRLN": "IRS"}
_FEW: Final = 10
_NEAR: Final = 0.5
_EQUAL: Final = 1e-6


def pooled(res: PoolResult, name: str, *, fewest: int = 3) -> PoolResult:
    """The result on the analysis scale, if `pool` estimated it from its own studies, so many at least."""
    if isinstance(res, PoolResult) and res.spec.model != "normal":
        text = f"{name} works on effect sizes with sampling variances, not on the likelihood of {res.spec.model!r}"
        raise OptionError(f"{text}: give it pool(effect_size(...)), for rates with measure 'PAS'.")
    check_result(res, name, ("normal",))
    res = res.analysis or res
    if res.k < fewest:
        raise InputError(f"{name} needs at least {fewest} studies; the result has {res.k}.")
    same_fit(res, refit(res, np.ones((res.k, 1), dtype=bool)), name)
    return res


def spread_of(res: PoolResult, name: str) -> FloatArray:
    """Standard errors, refused where they are all alike: nothing can then depend on them."""
    sei = np.sqrt(res.effects.vi)
    if float(np.ptp(sei)) <= _EQUAL * float(sei.max()):
        raise DataError(f"{name}: all standard errors are equal, so that no effect of a study's size can be seen.")
    return sei


def extrapolated(sei: FloatArray) -> list[Note]:
    """A caution where the studies are far from a standard error of 0 for what their own differ."""
    if sei.min() < _NEAR * sei.max():
        return []
    text = f"The standard errors go from {number(float(sei.min()))} to {number(float(sei.max()))}"
    return [Note("extrapolated", f"{text}: a standard error of 0 lies far beyond the studies.")]


def up_to_largest(res: PoolResult, points: object) -> FloatArray:
    """So many standard errors from 0 to the largest."""
    return np.linspace(0.0, math.sqrt(float(res.effects.vi.max())), whole("points", points, 2))


def between(value: object, name: str, top: float, example: str, what: str = "number") -> float:
    """A number between 0 and `top`, neither included; `what` says of which kind."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating)) or not 0 < value < top:
        raise OptionError(f"{name}={shown(value)} must be a {what} between 0 and {top:g}, such as {example}.")
    return float(value)


def cautions(res: PoolResult, own: Sequence[Note] = (), *, fewest: int = _FEW) -> tuple[Note, ...]:
    """Why an adjustment may not be one for publication bias, its `own` notes, and what it inherits."""
    eff = res.effects
    notes: list[Note] = []
    if eff.measure in LINKED:
        free = _FREE.get(eff.measure, "PAS")
        text = f"On the scale {eff.measure} the sampling variance of a rate depends on the rate: a funnel is then"
        after = "asymmetric without any bias and this adjustment can be an artefact"
        notes.append(Note("linked-variance", f"{text} {after}. Compare measure {free!r}, whose variances do not."))
    notes += own
    if res.k < fewest:
        text = f"{res.k} studies: with fewer than {fewest} the adjustment is hardly informed."
        notes.append(Note("few-studies", text))
    text = "Small studies may differ for other reasons than publication bias: read this as a sensitivity analysis."
    inherited = (*eff.notes, *data_notes(eff.data), *repeated(eff), *display_scale(eff).notes)
    return (*notes, Note("not-only-bias", text), *inherited)


def measure_line(res: PoolResult) -> str:
    """Which measure, and what is shown of it."""
    kind = KINDS[res.effects.measure]
    return f"Measure: {res.effects.measure} ({kind.label}){f', shown as {kind.shown.lower()}' * kind.transformed}"


def interval_text(res: PoolResult, values: Sequence[float]) -> str:
    """Estimate and limits, on the display scale of the measure of `res`, at its level."""
    scale = display_scale(res.effects)
    estimate, low, high = (number(scale.inverse_point(float(value))) for value in values)
    return f"{estimate}, {100 * res.spec.level:g}% CI {low} to {high}"
