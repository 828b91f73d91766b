"""Which studies get a continuity correction, and the notes that say so."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import numpy.typing as npt

from metaan.errors import Note, ZeroCellWarning, listed
from metaan.measures.record import Effects
from metaan.validate import FloatArray

__all__ = ["added", "as_data", "for_display"]

_MADE, _SHOWN = "zero-cell", "zero-cell-shown"
_CALLERS = 4  # from the warning up to whoever called effect_size


def added(
    zero: npt.NDArray[np.bool_], study: tuple[str, ...], correction: str | None, add: float, *, where: str, hint: str
) -> tuple[FloatArray, tuple[Note, ...]]:
    """What is added in each study, shape (k,), under the policy; without one a warning says what was done.

    Parameters
    ----------
    zero : array of shape (k,)
        Studies for which the measure needs a correction.
    study : tuple of str
        Labels.
    correction : {"only0", "if0all", "all", "none"} or None
        The policy; None is "only0" with a warning.
    add : float
        What is added.
    where, hint : str
        What it is added to, and what else could be done.
    """
    chosen = {
        "only0": zero, "if0all": np.full_like(zero, zero.any()), "all": np.ones_like(zero), "none": np.zeros_like(zero),
    }[correction or "only0"]  # fmt: skip
    if not chosen.any():
        return np.zeros(zero.shape), ()
    names = tuple(name for name, is_chosen in zip(study, chosen, strict=True) if is_chosen)
    text = f"{add:g} added to {where} of {len(names)} of {len(study)} studies: {listed(names)}."
    if correction is None:
        warnings.warn(f"{text} Say correction= to choose, or {hint}.", ZeroCellWarning, stacklevel=_CALLERS)
    return np.where(chosen, add, 0.0), (Note(_MADE, text, names),)


def for_display(eff: Effects, of: str, pooled: str) -> Effects:
    """Effects beside a model of the counts, whose correction touches single studies, Q and I2 alone."""
    notes = tuple(
        Note(_SHOWN, f"For single {of}, Q and I2 (not the pooled {pooled}), {note.text}", note.studies)
        if note.code == _MADE
        else note
        for note in eff.notes
    )
    return dataclasses.replace(eff, notes=notes)


def as_data(eff: Effects) -> Effects:
    """The same effects where they are pooled themselves: what was added in them is no matter of display."""
    if all(note.code != _SHOWN for note in eff.notes):
        return eff
    notes = tuple(
        Note(_MADE, note.text.partition("), ")[2], note.studies) if note.code == _SHOWN else note for note in eff.notes
    )
    return dataclasses.replace(eff, notes=notes)
