"""Effect sizes of correlations: raw, corrected for bias, Fisher's z."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import hyp2f1

from metaan.measures.columns import read
from metaan.measures.record import Effects
from metaan.measures.request import Request
from metaan.validate import FloatArray, forbid

__all__ = ["CORRELATION", "correlation"]

CORRELATION: Final[dict[str, tuple[str, ...]]] = dict.fromkeys(("COR", "UCOR", "ZCOR"), ("r", "n"))


_LARGE: Final = 20.0
_TERMS: Final = 100


def _hypergeometric(a: float, c: FloatArray, x: FloatArray) -> FloatArray:
    """Gauss' 2F1(a, a; c; x) for c > 2 a and 0 <= x <= 1; scipy has no value for c in the hundreds."""
    near = np.asarray(hyp2f1(a, a, np.minimum(c, _LARGE), x))
    term, total = np.ones_like(x), np.ones_like(x)
    for k in range(_TERMS):
        term = term * (a + k) ** 2 / ((np.maximum(c, _LARGE) + k) * (k + 1)) * x
        total = total + term
    return np.where(c > _LARGE, total, near)


def correlation(ask: Request) -> Effects:
    """Effect sizes of correlations; see `metaan.effect_size`."""
    of = read(CORRELATION[ask.measure], ask.data, ask.given, ask.study, ask.missing)
    r, n = of["r"], of["n"]
    forbid(np.abs(r) >= 1, of.study, "r must lie between -1 and 1", [r])
    least = 5 if ask.measure == "UCOR" else 4
    forbid(n < least, of.study, f"n must be at least {least} for {ask.measure}", [n])
    forbid(n != np.floor(n), of.study, "n must be a whole number", [n])
    if ask.measure == "ZCOR":
        yi, vi = np.arctanh(r), 1 / (n - 3)
    else:
        rest = 1 - r**2
        # Olkin & Pratt 1958: the unbiased estimate of a correlation, and of its square
        yi = r * _hypergeometric(0.5, (n - 2) / 2, rest) if ask.measure == "UCOR" else r
        if ask.variance == "UB":
            vi = yi**2 - 1 + (n - 3) / (n - 2) * rest * _hypergeometric(1.0, n / 2, rest)
        else:
            at = np.average(yi, weights=n) if ask.variance == "AV" else yi
            vi = (1 - at**2) ** 2 / (n - 1)
    forbid(~(vi > 0), of.study, f"measure {ask.measure} has no positive variance", [r, n])
    return Effects(yi=yi, vi=vi, study=of.study, measure=ask.measure, data=of.data, notes=of.notes, inputs=of.values)
