"""Percentages as they are printed: a number, its decimals, and which counts print so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, OptionError, shown

__all__ = ["IntArray", "Percentage", "printed"]

IntArray = npt.NDArray[np.int64]

_MOST_DECIMALS = 6


class Percentage(NamedTuple):
    """A printed percentage: `digits` = 100 times its value for two decimals, so that no rounding enters."""

    digits: int
    decimals: int

    @property
    def unit(self) -> int:
        """What one whole is in units of the last digit: 10,000 for per cent with two decimals."""
        return int(10 ** (self.decimals + 2))

    def __str__(self) -> str:
        return f"{Decimal(self.digits).scaleb(-self.decimals):.{self.decimals}f}"

    def events(self, total: IntArray) -> tuple[IntArray, IntArray]:
        """Fewest and most events of each total that print so, a tie rounded either way; fewest > most where none do."""
        twice = 2 * np.int64(self.unit)
        low = -((-(2 * self.digits - 1) * total) // twice)
        high = (2 * self.digits + 1) * total // twice
        return np.maximum(low, 0), np.minimum(high, total)


def printed(value: Any, decimals: int | None = None, name: str = "pct") -> Percentage:
    """Read a percentage: text keeps its decimals ("3.70"), a number has those given, or as many as it shows."""
    if isinstance(value, (bool, np.bool_)) or value is None:
        raise OptionError(f"{name}={shown(value)} is not a percentage.")
    try:
        number = Decimal(str(value).strip())
    except Exception as error:  # InvalidOperation, or what an object does when it is asked for its text
        raise OptionError(f"{name}={shown(value)} is not a percentage.") from error
    if not number.is_finite() or not 0 <= number <= 100:
        raise DataError(f"{name}={shown(value)} must lie between 0 and 100.")
    text = number if isinstance(value, str) else number.normalize()
    digits = max(0, -int(text.as_tuple().exponent))
    if decimals is None:
        decimals = digits
    if isinstance(decimals, bool) or not isinstance(decimals, (int, np.integer)) or not 0 <= decimals <= _MOST_DECIMALS:
        raise OptionError(f"decimals={shown(decimals)} must be a whole number from 0 to {_MOST_DECIMALS}.")
    if digits > decimals:
        raise OptionError(
            f"{name}={shown(value)} has {digits} decimals, more than decimals={decimals}: give it as printed."
        )
    return Percentage(int(number.scaleb(int(decimals))), int(decimals))
