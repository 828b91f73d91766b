"""Effective counts: events and totals that a design effect has divided, and may be fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metaan.errors import DataError, Note, listed
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effective_note", "is_effective"]

_COLUMNS = ("events_observed", "total_observed", "design_effect", "icc")


def is_effective(x: FloatArray, n: FloatArray, rows: pd.DataFrame | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which counts are whole numbers divided by the row's design effect, as `metaan.design_effect` leaves them."""
    if rows is None or not set(_COLUMNS) <= set(getattr(rows, "columns", ())) or len(rows) != len(x):
        return np.zeros(len(x), dtype=bool)
    events, total, effect = (rows[name].to_numpy(dtype=np.float64) for name in _COLUMNS[:3])
    whole = (events == np.floor(events)) & (total == np.floor(total)) & (total >= 1)
    same = np.isclose(x * effect, events, rtol=1e-12, atol=0) & np.isclose(n * effect, total, rtol=1e-12, atol=0)
    return np.asarray((effect >= 1) & whole & same)


def effective_note(rows: pd.DataFrame | None, study: tuple[str, ...]) -> Note:
    """What was assumed about lesions of one patient."""
    assert rows is not None
    effect, icc = rows["design_effect"], sorted(set(rows["icc"]))
    if len(icc) > 1:
        raise DataError(
            f"The rows hold {len(icc)} correlations (icc from {icc[0]:g} to {icc[-1]:g}), each study once for each: "
            "pool one at a time, e.g. data[data.icc == 0.1], or use icc_sensitivity."
        )
    divided = f"{effect.min():.3g} to {effect.max():.3g} (median {effect.median():.3g})"
    text = (
        f"Lesions of one patient are assumed to correlate by {icc[0]:g} (ICC), the same in every study: with m lesions "
        f"per patient counts are divided by 1 + (m - 1) ICC, that is by {divided}."
    )
    guessed = rows["cluster_size_assumed"].to_numpy(dtype=bool) if "cluster_size_assumed" in rows.columns else None
    if guessed is None or not guessed.any():
        return Note("design-effect", text)
    names = tuple(name for name, is_guess in zip(study, guessed, strict=True) if is_guess)
    return Note("design-effect", f"{text} m is assumed for {listed(names)}.", names)
