"""Numbers of a report as a reader is shown them."""

from __future__ import annotations

import math

from metaan.measures.kinds import KINDS
from metaan.models.text import number
from metaan.reports.blocks import Cell, Line, line

__all__ = ["between", "cell", "decimals", "effect", "interval", "p_text", "p_value", "percent", "plain"]


def plain(value: float, digits: int = 3) -> str:
    """A number with three significant digits, a real minus sign, and nothing where there is none."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return number(value, digits).replace("-", "−")


def decimals(value: float, digits: int) -> str:
    """A number with so many decimals, a real minus sign, and none before a zero."""
    if not math.isfinite(value):
        return "–"
    said = f"{value:.{digits}f}"
    return said.lstrip("-") if float(said) == 0 else said.replace("-", "−")


def percent(value: float, digits: int = 1) -> str:
    """A proportion in per cent."""
    return "–" if math.isnan(value) else f"{100 * value:.{digits}f}%"


def effect(value: float, measure: str) -> str:
    """An effect on the display scale: rates in per cent, ratios and amounts with three digits, others with decimals."""
    if KINDS[measure].scale == "rate":
        return percent(value)
    if KINDS[measure].scale in ("ratio", "incidence") or not math.isfinite(value):
        return plain(value)
    return decimals(value, 3) if 1e-3 <= abs(value) < 1e3 or value == 0 else plain(value)


def between(low: float, high: float, measure: str) -> str:
    """Two limits."""
    if math.isnan(low) or math.isnan(high):
        return "–"
    return f"{effect(low, measure)} to {effect(high, measure)}"


def interval(low: float, high: float, measure: str, level: float, name: str = "CI") -> str:
    """Limits with their level."""
    return f"{100 * level:g}% {name} {between(low, high, measure)}"


def p_value(value: float) -> str:
    """A p-value as journals print it."""
    if math.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def p_text(value: float) -> str:
    """A p-value in a sentence."""
    said = p_value(value)
    return "p not defined" if said == "–" else f"p {said}" if said.startswith("<") else f"p = {said}"


def cell(value: float, said: str | Line) -> Cell:
    """A cell that sorts by the number itself."""
    value = float(value)
    runs = line(said) if isinstance(said, str) else said
    return Cell(runs=runs, key=value if math.isfinite(value) else None)
