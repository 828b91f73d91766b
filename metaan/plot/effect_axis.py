"""An axis on the analysis scale of a measure whose ticks say rates, ratios or effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from metaan.core.transforms import harmonic_mean
from metaan.errors import InputError
from metaan.measures.backtransform import Scale, display_scale
from metaan.measures.kinds import KINDS
from metaan.measures.record import Effects
from metaan.plot.axis import XLABEL
from metaan.plot.wording import axis_label
from metaan.validate import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EffectAxis", "axis_attrs", "of_attrs", "xlabel_of"]

_SPACED: Final = {"PLO": "logit", "PROBIT": "logit", "CLOGLOG": "logit", "PLN": "log", "IRLN": "log"}
_TITLES: Final = {"rate": "Rate (%)", "ratio": "Ratio", "incidence": "Incidence rate", "difference": "Effect size"}
_PERCENT: Final = (
    50.0, 10.0, 90.0, 1.0, 99.0, 0.1, 99.9, 0.01, 99.99, 20.0, 80.0, 2.0, 98.0, 5.0, 95.0, 0.2, 99.8, 0.5, 99.5,
    30.0, 70.0, 40.0, 60.0,
)  # fmt: skip
_STEPS: Final = 80  # halvings of an interval, to the last bit of a double
_FEWEST: Final = 3
_SAME: Final = 1e-9
_NOTHING: Final = 1e-12  # what a reader is shown as 0
_GAP: Final = 0.11  # from tick to tick at least, as a share of the axis
_CHARACTER: Final = 0.021  # room of a character, the same


class EffectAxis(NamedTuple):
    """Effects of one measure on their analysis scale, with the numbers that a reader is shown."""

    measure: str
    scale: Scale

    @property
    def factor(self) -> float:
        """What a number is multiplied by before it is written."""
        return 100.0 if KINDS[self.measure].scale == "rate" else 1.0

    def forward(self, shown: FloatArray, low: float, high: float) -> FloatArray:
        """Where numbers of the display scale stand between two values of the analysis scale, by bisection."""
        below = np.full(shown.shape, max(low, self.scale.lowest))
        above = np.full(shown.shape, min(high, self.scale.highest))
        for _ in range(_STEPS):
            middle = (below + above) / 2
            short = self.scale.inverse(middle) < shown
            below, above = np.where(short, middle, below), np.where(short, above, middle)
        return np.asarray((below + above) / 2)

    def ticks(self, low: float, high: float) -> tuple[list[float], list[str]]:
        """Positions on the analysis scale, and what is written there: round numbers of the display scale."""
        ends = np.array([max(low, self.scale.lowest), min(high, self.scale.highest)])
        first, last = (float(end) * self.factor for end in self.scale.inverse(ends))
        if not last - first > _SAME * max(abs(first), abs(last)):
            return [low, high], [self.text(low).rstrip("%"), self.text(high).rstrip("%")]
        kept: list[tuple[float, str]] = []
        for candidates in (_CANDIDATES[self.spacing](first, last), _even(first, last), _even(first, last, 10)):
            inside = candidates[(candidates >= first) & (candidates <= last)]
            places = self.forward(inside / self.factor, low, high)
            kept = _apart(places, [_written(value) for value in inside], high - low)
            if len(kept) >= _FEWEST:
                break
        return [place for place, _ in sorted(kept)], [text for _, text in sorted(kept)]

    @property
    def spacing(self) -> str:
        """Whether even steps are even differences, factors or odds ratios."""
        return _SPACED.get(self.measure, "log" if KINDS[self.measure].scale == "ratio" else "even")

    def text(self, y: float) -> str:
        """A value of the analysis scale in words."""
        shown = self.scale.inverse_point(y) * self.factor
        if self.factor != 1:
            return f"{shown:.1f}%"
        return _written(float(f"{shown:.3g}") if abs(shown) > _NOTHING else 0.0)


def _even(first: float, last: float, most: int = 5) -> FloatArray:
    return np.asarray(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]).tick_values(first, last), dtype=np.float64)


def _factors(first: float, last: float) -> FloatArray:
    """Decades, outwards from 1, then 2 and 5 of each, then 3 and 7."""
    powers = sorted(range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1), key=lambda i: (abs(i), i))
    return np.array([step * 10.0**i for steps in ((1,), (2, 5), (3, 7)) for i in powers for step in steps])


def _odds(first: float, last: float) -> FloatArray:
    """Per cent, the most important first."""
    return np.array(_PERCENT)


_CANDIDATES: Final[dict[str, Callable[[float, float], FloatArray]]] = {"even": _even, "log": _factors, "logit": _odds}


def _apart(places: FloatArray, texts: list[str], span: float) -> list[tuple[float, str]]:
    """Ticks with room for their texts; of two that are too near the earlier stays."""
    kept: list[tuple[float, str]] = []
    for place, text in zip(places.tolist(), texts, strict=True):
        if all(
            abs(place - at) >= span * max(_GAP, _CHARACTER * (2 + len(text) + len(other)) / 2) for at, other in kept
        ):
            kept.append((place, text))
    return kept


def _written(value: float) -> str:
    text = (
        f"{value:.10g}"
        if 1e-4 <= abs(value) < 1e5 or value == 0
        else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    )
    return text.replace("-", "−")


def axis_attrs(eff: Effects) -> dict[Any, Any]:
    """Attributes of a table from which its figure knows the scale of the effects: plain numbers and text."""
    label = axis_label(eff)
    attrs: dict[Any, Any] = {"measure": eff.measure, XLABEL: label or _TITLES[KINDS[eff.measure].scale]}
    sizes = {"PFT": eff.total, "IRFT": (eff.inputs or {}).get("time")}.get(eff.measure)
    return attrs if sizes is None else attrs | {"n_inverse": harmonic_mean(sizes)}


def of_attrs(attrs: Mapping[Any, Any]) -> EffectAxis:
    """Scale of the effects of a table; effects as they stand where it does not say."""
    measure, n = str(attrs.get("measure", "GEN")), attrs.get("n_inverse")
    if measure not in KINDS or not (n is None or (isinstance(n, (int, float)) and 0 < n < math.inf)):
        raise InputError(f"The table has attrs of no measure ({measure}, n_inverse={n!r}): take them from its twin.")
    at = None if n is None else np.array([float(n)])
    one = Effects(
        yi=np.zeros(1), vi=np.ones(1), study=("",), measure=measure, total=at,
        inputs=None if at is None else {"time": at},
    )  # fmt: skip
    return EffectAxis(measure, display_scale(one, n=None if n is None else float(n)))


def xlabel_of(table: pd.DataFrame) -> str:
    """Label of the axis of effects."""
    return str(table.attrs.get(XLABEL, "Effect size"))
