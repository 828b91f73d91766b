"""From the analysis scale back to what a reader understands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from metaan.core.transforms import (
    INVERSE,
    double_arcsine,
    double_arcsine_inverse,
    harmonic_mean,
    root_incidence_inverse,
)
from metaan.errors import InputError, Note, OptionError, shown
from metaan.measures.record import Effects
from metaan.validate import FloatArray

__all__ = ["Scale", "bounded", "display_scale"]

_MEAN_OF: Final[dict[str, Callable[[FloatArray], float]]] = {
    "harmonic": harmonic_mean,
    "mean": lambda n: float(np.mean(n)),
    "min": lambda n: float(np.min(n)),
    "max": lambda n: float(np.max(n)),
}

_RANGE: Final = {
    "PR": (0.0, 1.0), "PLN": (-math.inf, 0.0), "PAS": (0.0, math.pi / 2), "IR": (0.0, math.inf), "IRS": (0.0, math.inf),
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """A display scale: the inverse transformation and what is to be said about it."""

    inverse: Callable[[FloatArray], FloatArray]
    notes: tuple[Note, ...] = ()
    lowest: float = -math.inf
    highest: float = math.inf
    """Ends of the analysis scale; what lies beyond them is cut."""

    def inverse_point(self, y: float) -> float:
        """Display value of one number; NaN stays NaN."""
        return math.nan if math.isnan(y) else float(self.inverse(np.asarray(y, dtype=np.float64)))

    def cut(self, values: Iterable[float]) -> tuple[Note, ...]:
        """A note when one of the values lies beyond the scale."""
        if any(y < self.lowest or y > self.highest for y in values):
            return (Note("cut", "A limit beyond the range of a rate was cut at its end."),)
        return ()


def bounded(measure: str) -> bool:
    """Whether values beyond the ends of the analysis scale are cut."""
    return measure in _RANGE


def display_scale(eff: Effects, *, n: float | str | None = None) -> Scale:
    """Display scale of the measure of `eff`; for PFT at sample size `n` (default: harmonic mean of the totals)."""
    if eff.measure in ("PFT", "IRFT"):
        return _freeman_tukey(eff, "harmonic" if n is None else n)
    if n is not None:
        raise OptionError(f"n={shown(n)} applies to Freeman-Tukey values (PFT, IRFT) only, not to {eff.measure}.")
    return Scale(INVERSE[eff.measure], (), *_RANGE.get(eff.measure, (-math.inf, math.inf)))


def _freeman_tukey(eff: Effects, n: float | str) -> Scale:
    sizes = eff.total if eff.measure == "PFT" else (eff.inputs or {}).get("time")
    if sizes is None:
        raise InputError("The Freeman-Tukey inverse needs the totals, or the times, of the studies.")
    if isinstance(n, str):
        if n not in _MEAN_OF:
            raise OptionError(f"n={shown(n)} is not known. Choose one of {', '.join(_MEAN_OF)}, or a positive number.")
        size, name = _MEAN_OF[n](sizes), n
    else:
        size, name = float(n), "given"
    if not (math.isfinite(size) and size > 0):
        raise OptionError(f"n={shown(n)} must be a positive number.")
    low, high = sizes.min(), sizes.max()
    text = f"Freeman-Tukey values turned back at n = {size:.4g} ({name}); the studies have n = {low:g} to {high:g}."
    if eff.measure == "IRFT":
        lowest = 1 / (2 * math.sqrt(size))
        noted = (Note("ft-n", text.replace("n =", "t =")),)
        return Scale(lambda y: root_incidence_inverse(y, size), noted, lowest)
    ends = (float(double_arcsine(np.array(x), np.array(size))) for x in (0.0, size))
    return Scale(lambda y: double_arcsine_inverse(y, size), (Note("ft-n", text),), *ends)
