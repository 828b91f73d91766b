"""Effect sizes of single rates: raw, logit, log, arcsine and Freeman-Tukey double arcsine."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.core.transforms import double_arcsine
from metaan.errors import DataError, Note, OptionError, ZeroCellWarning, listed
from metaan.measures.effective import effective_note, is_effective
from metaan.measures.record import Effects, complete
from metaan.validate import CORRECTION, MISSING, FloatArray, Option, column, forbid, labels, numbers, same_length

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURE", "Counts", "counts", "effect_size"]

MEASURE: Final = Option(
    "measure",
    {
        "PR": "raw proportion",
        "PLO": "logit of a proportion",
        "PLN": "log of a proportion",
        "PAS": "arcsine square root of a proportion",
        "PFT": "Freeman-Tukey double arcsine of a proportion",
    },
    "PLO",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """Checked event counts of k studies."""

    events: FloatArray
    total: FloatArray
    study: tuple[str, ...]
    data: pd.DataFrame | None
    notes: tuple[Note, ...]


def counts(data: Any, events: Any, total: Any, study: Any, missing: str) -> Counts:
    """Read events and totals from columns or arrays and refuse what cannot be a count."""
    MISSING.check(missing)
    arrays = {
        "events": numbers(column(data, events, "events"), "events"),
        "total": numbers(column(data, total, "total"), "total"),
    }
    k = same_length(arrays)
    arrays, names, rows, notes = complete(arrays, labels(column(data, study, "study"), k), data, missing)
    _one_unit(rows)
    x, n = arrays["events"], arrays["total"]
    forbid(x < 0, names, "events is negative", [x])
    effective = is_effective(x, n, rows)
    forbid((n < 1) & ~effective, names, "total must be at least 1", [n])
    forbid((x != np.floor(x)) & ~effective, names, "events must be a whole number", [x])
    forbid((n != np.floor(n)) & ~effective, names, "total must be a whole number", [n])
    forbid(x > n, names, "events exceeds total", [x, n])
    if effective.any():
        notes = (*notes, effective_note(rows, names))
    return Counts(events=x, total=n, study=names, data=rows, notes=notes)


def _one_unit(rows: pd.DataFrame | None) -> None:
    """Refuse patients and lesions in one analysis: their rates answer different questions."""
    if rows is None or "unit" not in getattr(rows, "columns", ()):
        return
    units = set(rows["unit"].astype(str)) & {"patient", "lesion"}
    if len(units) > 1:
        raise DataError(
            "The rows count patients and lesions: pool one unit at a time, e.g. data[data.unit == 'patient']."
        )


def _raw(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    p = x / n
    return p, p * (1 - p) / n


def _logit(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(x / (n - x)), 1 / x + 1 / (n - x)


def _log(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(x / n), 1 / x - 1 / n


def _arcsine(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.arcsin(np.sqrt(x / n)), 1 / (4 * n)


def _double_arcsine(x: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    return double_arcsine(x, n), 1 / (4 * n + 2)


_FORMULA: Final[dict[str, Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]]] = {
    "PR": _raw,
    "PLO": _logit,
    "PLN": _log,
    "PAS": _arcsine,
    "PFT": _double_arcsine,
}
_NEEDS_CORRECTION: Final = {"PR", "PLO", "PLN"}  # undefined, or a variance of 0, at 0 or n


def effect_size(
    measure: str,
    data: pd.DataFrame | None = None,
    *,
    events: Any,
    total: Any,
    study: Any = None,
    correction: str | None = None,
    add: float = 0.5,
    missing: str = "raise",
) -> Effects:
    """Effect sizes and sampling variances of single-arm response rates.

    Parameters
    ----------
    measure : {"PR", "PLO", "PLN", "PAS", "PFT"}
        Raw, logit, log, arcsine square root or Freeman-Tukey double arcsine of events/total.
    data : pandas.DataFrame, optional
        Where column names are looked up.
    events, total : array of shape (k,) or column name
        Whole numbers with 0 <= events <= total and total >= 1.
    study : sequence of k labels or column name, optional
        Study labels; 1 ... k by default.
    correction : {"only0", "if0all", "all", "none"}, optional
        Which studies get `add` events and `add` non-events. By default the studies at 0 or n alone ("only0"), with a
        ZeroCellWarning; naming a policy keeps the note and drops the warning. PAS and PFT need no correction and take
        it with "all" only.
    add : float, default 0.5
        What is added to events and to non-events, > 0.
    missing : {"raise", "drop"}, default "raise"
        What to do with a study that has a missing count; dropping is noted.

    Returns
    -------
    Effects
        With the counts as given in `events` and `total`, and each correction in `notes`.

    Raises
    ------
    InputError
        Unknown column, lengths that differ, no studies.
    OptionError
        Unknown measure, correction or missing-data policy.
    DataError
        events > total, negative, fractional, infinite or missing counts; a study at 0 or n under ``correction="none"``.

    Warns
    -----
    ZeroCellWarning
        A correction was applied that was not asked for.

    Notes
    -----
    With x events of n: PR x/n, variance p(1-p)/n; PLO log(x/(n-x)), variance 1/x + 1/(n-x); PLN log(x/n), variance
    1/x - 1/n; PAS arcsin sqrt(x/n), variance 1/(4n); PFT half the sum of arcsin sqrt(x/(n+1)) and
    arcsin sqrt((x+1)/(n+1)), variance 1/(4n+2). The formulas and corrections are those of metafor's ``escalc``.

    References
    ----------
    Freeman MF, Tukey JW (1950). Ann Math Stat 21:607-611. doi:10.1214/aoms/1177729756

    Examples
    --------
    >>> eff = effect_size("PLO", events=[3, 4, 9], total=[44, 30, 40], study=["Adams", "Baker", "Clark"])
    >>> eff.yi.round(4)
    array([-2.615 , -1.8718, -1.2368])
    """
    MEASURE.check(measure)
    if correction is not None:
        CORRECTION.check(correction)
    if isinstance(add, bool) or not isinstance(add, (int, float)) or not 0 < add < float("inf"):
        raise OptionError(f"add={add!r} must be a positive number; use correction='none' to add nothing.")
    read = counts(data, events, total, study, missing)
    x, n, notes = _corrected(measure, read, correction, float(add))
    yi, vi = _FORMULA[measure](x, n)
    return Effects(
        yi=yi, vi=vi, study=read.study, measure=measure,
        events=read.events, total=read.total, data=read.data, notes=read.notes + notes,
    )  # fmt: skip


def _corrected(
    measure: str, read: Counts, correction: str | None, add: float
) -> tuple[FloatArray, FloatArray, tuple[Note, ...]]:
    """Counts after the continuity correction, with the note that says which studies it changed."""
    x, n = read.events, read.total
    policy = correction or "only0"
    extreme = (x == 0) | (x == n)
    if measure not in _NEEDS_CORRECTION:
        extreme = np.zeros_like(extreme)
    chosen = {
        "only0": extreme,
        "if0all": np.full_like(extreme, extreme.any()),
        "all": np.ones_like(extreme),
        "none": np.zeros_like(extreme),
    }[policy]
    if policy == "none":
        forbid(extreme, read.study, f"measure {measure} is undefined at 0 or n without a correction", [x, n])
    if not chosen.any():
        return x, n, ()
    names = tuple(s for s, c in zip(read.study, chosen, strict=True) if c)
    text = f"{add:g} added to events and non-events of {len(names)} of {len(read.study)} studies: {listed(names)}."
    if correction is None:
        warnings.warn(
            f"{text} Say correction= to choose, or use glmm, which needs none.", ZeroCellWarning, stacklevel=3
        )
    return np.where(chosen, x + add, x), np.where(chosen, n + 2 * add, n), (Note("zero-cell", text, names),)
