"""What the rows behind a result have to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaan.errors import Note
from metaan.measures.record import Effects
from metaan.models.text import plural
from metaan.names import RECORD
from metaan.validate import numbered

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_notes", "repeated"]


def repeated(eff: Effects) -> tuple[Note, ...]:
    """Whether studies come with several estimates, which a model of independent studies takes for so many studies."""
    if eff.study is numbered(eff.k) or (different := len(set(eff.study))) == eff.k:
        return ()
    text = f"{eff.k} estimates of {plural(different, 'study')} are taken as independent"
    return (Note("repeated-studies", f"{text}: see multilevel and robust for estimates that are not."),)


def data_notes(data: pd.DataFrame | None) -> tuple[Note, ...]:
    """Shared patients and lesions within patients, where the rows are those of `metaan.load`."""
    if data is None or RECORD not in getattr(data, "attrs", {}):
        return ()
    from metaan.evidence.notes import cautions

    return cautions(data)
