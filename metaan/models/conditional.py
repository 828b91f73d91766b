"""Two arms for `metaan.glmm`: from counts to the likelihood conditional on the events of both arms."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np

from metaan.core.binomial import Family
from metaan.core.conditional import Hypergeometric, Shifted
from metaan.errors import DataError
from metaan.measures.person_time import TIMES
from metaan.measures.record import Effects
from metaan.measures.two_by_two import ARMS
from metaan.models.glmm_result import Words
from metaan.models.results import Spec
from metaan.models.strata import each_trial, strata
from metaan.validate import FloatArray, forbid

__all__ = ["WORDS", "conditional", "read_arms"]

_BASELINE: Final = "They are left out, as metafor does, though UM.RS could learn of the baseline from them."
_SUPPORT: Final = 400_000  # terms of the table of hypergeometric sums
_LARGEST: Final = 1e6  # events beyond which rounding of the log-likelihood hides its curvature


def _words(ratio: str) -> Words:
    return Words(
        common=f"the conditional maximum-likelihood {ratio}, common to all trials",
        none=f"No trial has more events in the treated arm than it must: the {ratio} is 0",
        every=f"No trial has more events in the control arm than it must: the {ratio} is infinite",
        held="Every trial has the fewest or the most treated events that it can have",
    )


def _unconditional(effect: str) -> Words:
    return _words(effect)._replace(common=f"the maximum-likelihood {effect}, common to all trials")


WORDS: Final = {
    "OR": _words("odds ratio"), "IRR": _words("rate ratio"),
    "RR": _unconditional("risk ratio"), "RD": _unconditional("risk difference"),
}  # fmt: skip


def read_arms(spec: Spec, columns: dict[str, Any], *, data: Any, study: Any, missing: str) -> Effects:
    """Empirical effects of the trials that say something, for tables and plots, with their counts."""
    of = strata(spec.measure, columns, data=data, study=study, missing=missing)
    if not of.informative.any():
        raise DataError(f"No trial says anything on {spec.measure}: there are no events, or nothing but events.")
    eff = each_trial(spec.measure, of)
    notes = of.silence(spec.measure)
    if spec.likelihood == "UM.RS":
        notes = tuple(dataclasses.replace(note, text=f"{note.text} {_BASELINE}") for note in notes)
    return dataclasses.replace(eff, notes=eff.notes + notes)


def conditional(spec: Spec, inputs: dict[str, FloatArray], study: tuple[str, ...]) -> Family:
    """Conditional likelihood of the counts of two arms."""
    names = ARMS if spec.measure == "OR" else TIMES
    a, size_t, c, size_c = (np.asarray(inputs[name], dtype=np.float64) for name in names)
    forbid(a + c > _LARGEST, study, "glmm takes up to a million events a trial; pool the log ratios instead", [a + c])
    if spec.measure == "IRR" or spec.likelihood == "CM.AL":
        return Shifted.from_counts(a, a + c, np.log(size_t / size_c))
    support = np.minimum(size_t, a + c) - np.maximum(0, a + c - size_c) + 1
    if support.max() * support.size > _SUPPORT:
        text = f"model='CM.EL' has up to {support.max():g} terms a trial and {support.size} trials: too many"
        raise DataError(f"{text}. Use model='CM.AL' where events are rare, or pool the log odds ratios.")
    return Hypergeometric.from_tables(a, size_t, c, size_c)
