"""Which columns each measure is computed from, and sets of columns that can be pooled."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from metaan.validate import Option

__all__ = ["KNOWN", "MEASURE", "NEEDS", "SETS", "is_count", "lacking", "told"]

_COUNTS: Final = re.compile(r"(events|total|nonevents|n)(_[tc])?")

_RATE: Final = ("events", "total")
_RATES: Final = ("events_t", "total_t", "events_c", "total_c")
_MEAN: Final = ("mean", "sd", "n")
_MEANS: Final = ("mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c")
_SPREADS: Final = ("sd_t", "n_t", "sd_c", "n_c")
_CHANGE: Final = ("mean_post", "mean_pre", "sd_post", "sd_pre", "n", "r")
_CORRELATION: Final = ("r", "n")
_TIME: Final = ("events", "time")
_TIMES: Final = ("events_t", "time_t", "events_c", "time_c")
_READY: Final = ("yi", "vi")

NEEDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("PR", "PLO", "PLN", "PAS", "PFT"), _RATE),
    **dict.fromkeys(("RR", "OR", "RD", "AS", "PETO"), _RATES),
    "MN": _MEAN,
    **dict.fromkeys(("MD", "SMD", "SMDH", "ROM", "CVR"), _MEANS),
    "VR": _SPREADS,
    **dict.fromkeys(("MC", "SMCC"), _CHANGE),
    "SMCR": tuple(name for name in _CHANGE if name != "sd_post"),
    **dict.fromkeys(("COR", "UCOR", "ZCOR"), _CORRELATION),
    **dict.fromkeys(("IR", "IRLN", "IRS", "IRFT"), _TIME),
    **dict.fromkeys(("IRR", "IRD", "IRSD"), _TIMES),
    **dict.fromkeys(("HR", "GEN"), _READY),
}
MEASURE: Final = Option("measure", {code: ", ".join(names) for code, names in NEEDS.items()}, "PLO")

SETS: Final[dict[str, tuple[str, ...]]] = {
    "one rate": _RATE,
    "two rates": _RATES,
    "one mean": _MEAN,
    "two means": _MEANS,
    "two standard deviations": _SPREADS,
    "a change": NEEDS["SMCR"],
    "a correlation": _CORRELATION,
    "events over time": _TIME,
    "events over time, two arms": _TIMES,
    "ready-made effects": _READY,
}
KNOWN: Final = ("study", *dict.fromkeys(name for names in (*SETS.values(), _CHANGE) for name in names), "sei",
                "nonevents", "nonevents_t", "nonevents_c", "o_e", "o_e_variance", "year")  # fmt: skip


def is_count(name: str) -> bool:
    """Whether a column of metaan's holds whole numbers."""
    return _COUNTS.fullmatch(name) is not None


def lacking(needed: Collection[str], present: Collection[str]) -> list[str]:
    """What is missing of a set of columns; a standard error stands for a variance."""
    return [name for name in needed if name not in present and not (name == "vi" and "sei" in present)]


def told(needed: Collection[str]) -> str:
    """A set of columns for a message."""
    return ", ".join("vi or sei" if name == "vi" else name for name in needed)
