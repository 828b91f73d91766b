"""Refits as a table shows them: on the scale of the result, with notes that name the rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from metaan.core.many import BoolArray, Many
from metaan.errors import Note, OptionError, listed
from metaan.measures.backtransform import Scale, bounded, display_scale
from metaan.measures.kinds import KINDS
from metaan.models.design import take
from metaan.models.plain import plain
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult
from metaan.validate import FloatArray

__all__ = ["SAID", "SAID_OF_TERMS", "displayed", "label_of", "notes_of"]

_POINTS: Final = ("estimate", "ci_low", "ci_high", "pi_low", "pi_high")
_OVERALL: Final = (*_POINTS, "k", "tau2", "I2", "rho")
_CLOSE: Final = 1e-6
SAID: Final = {
    "one-study": "one study, which cannot tell how studies differ; the interval is that of one study",
    "tau2-zero": "tau2 is estimated as 0",
    "two-maxima": "the likelihood has several local maxima; the highest was taken",
    "not-converged": "the search stopped before the estimate settled; treat it as approximate",
    "no-df": "Kenward-Roger leaves too few degrees of freedom for an interval",
    "hk-common": "Hartung-Knapp with a common effect scales the variance by Q/(k - 1), which no model assumes",
    "identical": "all effects are identical: the Hartung-Knapp standard error is 0 and its interval not usable",
    "hk-narrow": "the Hartung-Knapp interval is narrower than the normal one",
    "no-pi": "no prediction interval",
    "pi-narrow": "the prediction interval is narrower than the confidence interval",
    "separated": "all counts are at one end, no variation is estimated and the interval is the likelihood-ratio one",
    "tau2-unbounded": "every count is at an end, the likelihood is highest as tau grows, and tau is held at 10",
    "tau2-not-identified": "tau2 cannot be estimated from single observations and is set to 0",
    "rates-beyond-one": "the log link takes some of the true rates beyond 1, where they count as 1",
    "no-maximum": "the likelihood has no finite maximum",
    "profile-open": "the profile likelihood never falls far enough on one side: the interval is open there",
    "rho-zero": "rho is estimated as 0",
    "rho-one": "every study is at 0 or n: rho is estimated as 1, each study as one observation",
    "rho-not-identified": "rho cannot be estimated from single observations and is set to 0",
    "undefined": "no estimate: the trials have no events in one of the arms, or nothing but events, or no variance",
}
"""What the notes of one result say of a row."""
SAID_OF_TERMS: Final = SAID | {
    "undefined": "no estimate: too few studies, or their moderators or groups no longer differ",
    "tau2-zero": "residual tau2 is estimated as 0",
    "sigma2-zero": "a variance component is estimated as 0",
    "hk-common": "Hartung-Knapp with a common effect scales the variances by QE/(k - p), which no model assumes",
    "hk-narrow": "Hartung-Knapp makes the variances smaller than the usual ones",
    "identical": "the effects lie exactly on the regression: the Hartung-Knapp standard errors are 0 and not usable",
    "df-raised": "the groups leave no degrees of freedom for a coefficient; 1 is used",
}
"""The same of a regression."""


def notes_of(
    flags: Mapping[str, BoolArray] | Many, study: Sequence[str], where: str, said: Mapping[str, str] = SAID
) -> tuple[Note, ...]:
    """One note for each decision that was taken in any row, with the labels of the rows."""
    notes = []
    for code, flag in (flags.flags if isinstance(flags, Many) else flags).items():
        if not flag.any():
            continue
        rows = tuple(label for label, yes in zip(study, flag.tolist(), strict=True) if yes)
        place = "in every row" if len(rows) == len(study) else f"{where} {listed(rows)}"
        text = f"{place}: {said[code]}."
        notes.append(Note(code, text[0].upper() + text[1:], rows))
    return tuple(notes)


def label_of(res: PoolResult | RegressResult, kind: str) -> dict[str, Any]:
    """What a figure of the rows must know of their result: numbers and text that JSON takes."""
    overall: dict[str, Any] | None = None
    if np.size(res.estimate) == 1:
        values = {name: getattr(res, name) for name in _OVERALL if hasattr(res, name)}
        overall = plain({name: np.asarray(value).item() for name, value in values.items()})
    scale = res.scale if isinstance(res, PoolResult) else "analysis"
    return {"kind": kind, "spec": plain(vars(res.spec)), "scale": scale, "overall": overall}


def displayed(
    res: PoolResult, every: Many, here: BoolArray, name: str
) -> tuple[dict[str, FloatArray], tuple[Note, ...]]:
    """Columns of all refits but the last, to all studies, that differ on the display scale; else nothing."""
    measure = res.spec.measure
    if res.scale != "display" or not (KINDS[measure].transformed or bounded(measure)):
        return {}, ()
    values = {point: every.columns[point][:-1] for point in _POINTS}
    nothing = {"se": np.full(here.shape[1], math.nan)}
    if measure not in ("PFT", "IRFT"):
        scale = display_scale(res.effects)
        notes = scale.notes + scale.cut(float(v) for value in values.values() for v in value)
        return nothing | {point: _turned(scale, value) for point, value in values.items()}, notes
    _harmonic(res, float(every.columns["estimate"][-1]), name)
    scales = [display_scale(take(dataclasses.replace(res.effects, data=None), keep)) for keep in here.T]
    made = {
        point: np.array([scale.inverse_point(float(v)) for scale, v in zip(scales, value, strict=True)])
        for point, value in values.items()
    }
    text = "Freeman-Tukey values turned back at the harmonic mean of the sizes of the studies in the row."
    return nothing | made, (Note("ft-n", text),)


def _turned(scale: Scale, values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    return np.where(known, scale.inverse(np.where(known, values, 0.0)), math.nan)


def _harmonic(res: PoolResult, estimate: float, name: str) -> None:
    """Refuse a display scale at another sample size than the harmonic mean, which the result does not keep."""
    if abs(display_scale(res.effects).inverse_point(estimate) - res.estimate) > _CLOSE * abs(res.estimate):
        text = f"{name} turns Freeman-Tukey values back at the harmonic mean of the sizes"
        raise OptionError(f"{text}; this result is at another n. Give the result before back().")
