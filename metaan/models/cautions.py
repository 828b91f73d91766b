"""What the rows behind a result have to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaan.errors import Note
from metaan.names import RECORD

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["data_notes"]


def data_notes(data: pd.DataFrame | None) -> tuple[Note, ...]:
    """Shared patients and lesions within patients, where the rows are those of `metaan.load`."""
    if data is None or RECORD not in getattr(data, "attrs", {}):
        return ()
    from metaan.evidence.notes import cautions

    return cautions(data)
