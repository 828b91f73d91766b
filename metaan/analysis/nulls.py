"""Methods that start from the studies' own tests of no effect: what they take, and why not rates."""

from __future__ import annotations

from typing import Any, Final

from metaan.analysis.adjusted import between
from metaan.analysis.refits import EVERY_MODEL, check_result
from metaan.errors import Note, OptionError
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.models.cautions import data_notes, repeated
from metaan.models.results import PoolResult

__all__ = ["check_null", "inherited", "significance_level", "tested"]

_AT_ZERO: Final = {"PLO": "a rate of 50%", "PROBIT": "a rate of 50%", "PLN": "a rate of 100%", "IRLN": "a rate of 1"}


def tested(res: Any, name: str) -> PoolResult:
    """The result on the analysis scale, if its studies each test an effect of 0."""
    check_result(res, name, EVERY_MODEL)
    made: PoolResult = res.analysis or res
    check_null(made.effects.measure, name)
    return made


def check_null(measure: str, name: str) -> None:
    """Refuse effects of which none is no effect."""
    if KINDS[measure].null is None:
        zero = f", here {_AT_ZERO[measure]}" if measure in _AT_ZERO else ""
        text = f"{name} counts studies that are significant against an effect of 0{zero}, which for measure"
        raise OptionError(
            f"{text} {measure!r} is no hypothesis of theirs: single-arm studies are not selected by that test. "
            "Use small_study_effects, which tests whether rates depend on the size of a study."
        )


def inherited(eff: Effects) -> tuple[Note, ...]:
    """What the effects came with, and several estimates of one study."""
    return (*eff.notes, *data_notes(eff.data), *repeated(eff))


def significance_level(value: Any, name: str, most: float = 0.5) -> float:
    """A level of significance, between 0 and `most`."""
    return between(value, name, most, "0.05", "level of significance")
