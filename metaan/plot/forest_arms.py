"""Columns of what each effect was computed from: counts, means and times of the arms."""

from __future__ import annotations

from typing import Any, Final

from metaan.measures.record import Effects
from metaan.validate import FloatArray

__all__ = ["arm_attrs", "arm_columns", "summed"]

_HEADS: Final = {"events": "Events", "total": "Total", "time": "Person-time", "mean": "Mean", "sd": "SD", "n": "n"}
_SPANS: Final = {"_t": "Treatment", "_c": "Control", "_pre": "Before", "_post": "After"}
_SUMMED: Final = ("events", "total", "time", "n")


def _base(name: str) -> tuple[str, str]:
    """Kind of a column and the ending that tells its arm."""
    end = next((end for end in _SPANS if name.endswith(end)), "")
    return name.removesuffix(end), end


def arm_columns(eff: Effects) -> dict[str, FloatArray]:
    """What the effects were computed from, where they carry it, one arm after the other."""
    known = {
        name: values
        for name, values in (eff.inputs or {}).items()
        if _base(name)[0] in _HEADS and not (name == "mean" and eff.measure == "MN")  # which is the estimate
    }
    return dict(
        sorted(known.items(), key=lambda item: list(_SPANS).index(_base(item[0])[1]) if _base(item[0])[1] else 9)
    )


def summed(name: str) -> bool:
    """Whether a pooled row has the sum of a column."""
    return _base(name)[0] in _SUMMED


def arm_attrs(eff: Effects) -> dict[str, Any]:
    """Order and headings of these columns; nothing for a rate, whose columns every forest plot knows."""
    names = list(arm_columns(eff))
    if not names:
        return {}
    spans: dict[str, list[str]] = {}
    for name in names:
        end = _base(name)[1]
        if end:
            spans.setdefault(_SPANS[end], []).append(name)
    made: dict[str, Any] = {"left": ["study", *names], "headings": {name: _HEADS[_base(name)[0]] for name in names}}
    return made | ({"spans": spans} if spans else {})
