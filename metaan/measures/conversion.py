"""From one kind of effect size to another: standardised differences, odds ratios, correlations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Final

import numpy as np

from metaan.errors import DataError, InputError, Note
from metaan.measures.record import Effects
from metaan.validate import FloatArray, Option, forbid

__all__ = ["convert_effects"]

_TO: Final = Option(
    "to",
    {
        "SMD": "standardised mean difference", "OR": "log odds ratio", "COR": "correlation", "ZCOR": "Fisher's z",
    },
    "SMD",
)  # fmt: skip
_SAME: Final = {"SMDH": "SMD", "PETO": "OR"}
_LOGISTIC: Final = math.pi / math.sqrt(3)  # standard deviation of the logistic distribution
Pair = tuple[FloatArray, FloatArray]


def convert_effects(eff: Effects, to: str) -> Effects:
    """Turn standardised mean differences, log odds ratios and correlations into one another.

    Parameters
    ----------
    eff : Effects
        Of measure SMD, SMDH, OR, PETO, COR or ZCOR.
    to : {"SMD", "OR", "COR", "ZCOR"}
        What they become.

    Returns
    -------
    Effects
        The same studies; a note says what the conversion assumes.

    Raises
    ------
    OptionError
        Unknown measure.
    InputError
        `eff` is no Effects record, or of a measure that cannot be converted.
    DataError
        A correlation of 1 in size.

    Notes
    -----
    SMD to OR: log OR = d pi/sqrt(3), variance times pi^2/3, which assumes that a logistic outcome was cut in two. SMD
    to COR: r = d/sqrt(d^2 + a), variance a^2 v/(d^2 + a)^3, a = (n_t + n_c)^2/(n_t n_c), or 4 where the sizes of the
    arms are not known (noted). COR to SMD: d = 2 r/sqrt(1 - r^2), variance 4 v/(1 - r^2)^3. COR to ZCOR and back by
    artanh, the variance by the delta method. Other pairs go through these.

    References
    ----------
    Borenstein M, Hedges LV, Higgins JPT, Rothstein HR (2009). Introduction to Meta-Analysis. Wiley, chapter 7.
    Chinn S (2000). Stat Med 19:3127-3131.

    Examples
    --------
    >>> from metaan import convert_effects, effects
    >>> odds = convert_effects(effects([0.5], [0.0205], measure="SMD"), "OR")
    >>> round(float(odds.yi[0]), 4), round(float(odds.vi[0]), 4)
    (0.9069, 0.0674)
    """
    _TO.check(to)
    if not isinstance(eff, Effects):
        raise InputError(f"convert_effects takes an Effects record, not {type(eff).__name__}.")
    start = _SAME.get(eff.measure, eff.measure)
    if start not in _TO.choices:
        raise InputError(f"Effects of measure {eff.measure} cannot be converted; those of SMD, OR, COR and ZCOR can.")
    y, v = eff.yi, eff.vi
    if start == to:
        if eff.measure == to:
            return eff
        return dataclasses.replace(
            eff, measure=to, notes=(*eff.notes, Note("converted", f"{eff.measure} is taken as {to} as it stands."))
        )
    notes: list[Note] = []
    order = _ORDER.index(start), _ORDER.index(to)
    step = 1 if order[1] > order[0] else -1
    for i in range(order[0], order[1], step):
        one, other = _ORDER[i], _ORDER[i + step]
        if one == "COR":
            forbid(np.abs(y) >= 1, eff.study, "a correlation must lie between -1 and 1", [y])
        y, v = _STEP[one, other](y, v, _arms(eff, notes) if {one, other} == {"SMD", "COR"} else 4.0)
    text = f"Converted from {eff.measure} to {to}: {_ASSUMES[frozenset((start, to))]}."
    beyond = to == "COR" and bool((np.abs(y) >= 1).any())
    if beyond or not (np.isfinite(y).all() and (v > 0).all()):
        raise DataError(f"The conversion from {eff.measure} to {to} leaves double precision; rescale.")
    return Effects(
        yi=y, vi=v, study=eff.study, measure=to, data=eff.data, inputs=eff.inputs,
        notes=(*eff.notes, *notes, Note("converted", text)),
    )  # fmt: skip


def _arms(eff: Effects, notes: list[Note]) -> FloatArray | float:
    """(n_t + n_c)^2/(n_t n_c) of each study; 4, for arms of one size, where the sizes are not known."""
    of = eff.inputs or {}
    pairs: tuple[tuple[str, str], ...] = (("n_t", "n_c"), ("total_t", "total_c"))
    for one, two in pairs:
        if one in of and two in of:
            return np.asarray((of[one] + of[two]) ** 2 / (of[one] * of[two]))
    notes.append(Note("equal-arms", "The sizes of the arms are not known and taken as equal (a = 4)."))
    return 4.0


_ORDER: Final = ("OR", "SMD", "COR", "ZCOR")
_STEP: Final[dict[tuple[str, str], Callable[[FloatArray, FloatArray, FloatArray | float], Pair]]] = {
    ("OR", "SMD"): lambda y, v, a: (y / _LOGISTIC, v / _LOGISTIC**2),
    ("SMD", "OR"): lambda y, v, a: (y * _LOGISTIC, v * _LOGISTIC**2),
    ("SMD", "COR"): lambda y, v, a: (y / np.sqrt(y**2 + a), a**2 * v / (y**2 + a) ** 3),
    ("COR", "SMD"): lambda y, v, a: (np.sqrt(a) * y / np.sqrt(1 - y**2), a * v / (1 - y**2) ** 3),
    ("COR", "ZCOR"): lambda y, v, a: (np.arctanh(y), v / (1 - y**2) ** 2),
    ("ZCOR", "COR"): lambda y, v, a: (np.tanh(y), v * (1 - np.tanh(y) ** 2) ** 2),
}
_LATENT: Final = "a continuous outcome behind the two categories (logistic)"
_GROUPED: Final = "one of the two variables cut into two groups"
_ASSUMES: Final = {
    frozenset(("OR", "SMD")): _LATENT,
    frozenset(("OR", "COR")): f"{_LATENT}, {_GROUPED}",
    frozenset(("OR", "ZCOR")): f"{_LATENT}, {_GROUPED}",
    frozenset(("SMD", "COR")): _GROUPED,
    frozenset(("SMD", "ZCOR")): _GROUPED,
    frozenset(("COR", "ZCOR")): "the variance by the delta method",
}
