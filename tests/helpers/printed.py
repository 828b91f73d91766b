"""Comparison with numbers as a page prints them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Printed:
    """A number as printed; equal to whatever rounds to it.

    Written ``printed("2.9444") == value``; the tolerance is half a unit of the last printed digit.
    """

    text: str
    half_unit: float
    because: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, float)):
            return NotImplemented
        # The slack of 1e-9 units lets 0.0005 pass where binary arithmetic puts it a hair beyond half a unit.
        return abs(float(other) - float(self.text)) <= self.half_unit * (1 + 1e-9)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.text} +- {self.half_unit:g}" + (f" ({self.because})" if self.because else "")


def printed(text: str, *, units: float = 0.5, because: str = "") -> Printed:
    """Number as it stands on the page; more than half a unit of its last digit only `because` of something."""
    if units != 0.5 and not because:
        raise ValueError("A tolerance other than half a unit needs a reason: because=.")
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    return Printed(text, units * 10.0**exponent, because)


def column(text: str) -> list[float]:
    """Numbers typed as a row of text."""
    return [float(number) for number in text.split()]
