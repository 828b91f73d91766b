"""What tests of small-study effects read from a result: effects, moderators, sample sizes and counts."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, InputError, Note, OptionError, listed
from metaan.measures.record import Effects
from metaan.models.cautions import repeated
from metaan.models.design import take
from metaan.models.regress_result import RegressResult
from metaan.models.results import PoolResult, Spec
from metaan.validate import FloatArray, column, forbid, numbers

__all__ = ["LINKED", "ONE_ARM", "RATES", "Result", "Studied", "check_measure", "columns_of", "sizes", "some", "studied"]

Result = PoolResult | RegressResult

RATES: Final = ("PR", "PLO", "PLN", "PROBIT", "CLOGLOG", "PAS", "PFT")
ONE_ARM: Final = ("events", "total")
LINKED: Final = ("PR", "PLO", "PLN", "PROBIT", "CLOGLOG", "IR", "IRLN")
"""Rates of one arm whose standard error follows from the rate itself."""
_MODELS: Final = ("normal", "regression", "stratified", "glmm", "beta-binomial")
_FEWEST: Final = 3
_FEW: Final = 10
_SIZES: Final = (
    ("n",), ("time",), ("total_t", "total_c"), ("n_t", "n_c"), ("time_t", "time_c"),
)  # fmt: skip
_FOR: Final = {
    "SMD": "pustejovsky_rodgers",
    "RD": "thompson_arcsine",
    "AS": "thompson_arcsine",
    "IR": "egger with effects of measure IRS",
    "IRLN": "egger with effects of measure IRS",
    "IRR": "egger with effects of measure IRSD",
}


class Studied(NamedTuple):
    """The studies of a result."""

    eff: Effects
    spec: Spec
    others: FloatArray
    """Columns of the regression beside the predictor, (k, p): the constant, and the moderators of the result."""
    moderated: bool
    """Whether the result has moderators."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """Few studies, several estimates of one study, and what the effects came with."""
        kept = tuple(note for note in self.eff.notes if note.code != "zero-cell-shown")
        return (*_few(self.eff.k), *repeated(self.eff), *kept)


def studied(res: Any, name: str) -> Studied:
    """Effects and moderators of a result; refuse what has none, or too few."""
    if not isinstance(res, (PoolResult, RegressResult)):
        what = "pool, regress, mantel_haenszel, peto, glmm or beta_binomial"
        raise InputError(f"{name} takes a result of {what}, not {type(res).__name__}.")
    spec = res.spec
    if spec.cluster is not None:
        raise OptionError(f"{name} does not take robust results: give the result before robust.")
    if spec.model not in _MODELS or (spec.formula is not None and spec.model != "regression"):
        what = f"model {spec.model!r}" + (" with moderators" if spec.formula is not None else "")
        hint = "add the predictor, such as 1/sqrt(n), to its formula as a column of the data"
        raise OptionError(f"{name} is not defined for results of {what}: {hint}.")
    eff = res.effects
    if eff.k < _FEWEST:
        raise DataError(f"{name} needs at least {_FEWEST} studies; the result has {eff.k}.")
    if isinstance(res, RegressResult):
        matrix = res.moderators.matrix
        return Studied(eff, spec, matrix, matrix.shape[1] > 1 or res.moderators.intercept is None)
    return Studied(eff, spec, np.ones((eff.k, 1)), False)


def check_measure(of: Studied, name: str, allowed: tuple[str, ...]) -> None:
    """Refuse a measure that the test does not take, and name one that does."""
    measure = of.eff.measure
    if measure in allowed:
        return
    other = "harbord, peters or thompson_arcsine" if measure in (*RATES, "OR", "RR", "PETO") else ""
    hint = _FOR.get(measure, other) or "egger"
    raise OptionError(f"{name} is defined for {', '.join(allowed)}, not for measure {measure!r}: use {hint}.")


def _few(k: int) -> tuple[Note, ...]:
    """A caution where there are fewer than ten studies."""
    if k >= _FEW:
        return ()
    text = f"{k} studies: with fewer than ten the power is low, and a large p-value says next to nothing."
    return (Note("low-power", text),)


def some(of: Studied, keep: npt.NDArray[np.bool_], why: str) -> Studied:
    """The studies of `keep`, with a note that names the others."""
    if keep.all():
        return of
    left = tuple(study for study, here in zip(of.eff.study, keep, strict=True) if not here)
    if keep.sum() < _FEWEST:
        raise DataError(f"Too few trials are left, {int(keep.sum())} of {keep.size}: {why} in the others.")
    note = Note("no-information", f"Left out because {why}: {listed(left)}.", left)
    return of._replace(eff=take(of.eff, keep, (note,)), others=of.others[keep])


def sizes(eff: Effects, ni: Any = None) -> FloatArray:
    """Sample sizes of the studies (person-time for incidence rates): as given, or what the effects were made from."""
    if ni is not None:
        size = numbers(column(eff.data, ni, "ni"), "ni")
        if size.shape != (eff.k,):
            raise InputError(f"ni has {size.size} values for {eff.k} studies.")
        forbid(~(np.isfinite(size) & (size > 0)), eff.study, "ni must be positive", [size])
        return size
    given = eff.inputs or {}
    if eff.total is not None:
        return np.array(eff.total)
    for names in _SIZES:
        if all(name in given for name in names):
            return np.asarray(sum(given[name] for name in names), dtype=np.float64)
    raise InputError("Sample sizes are not known: pass ni=, a column of the data or a number for each study.")


def _check_column(eff: Effects, name: str, values: FloatArray) -> None:
    """Refuse what is no number of events, no size and no correlation."""
    if name == "r":
        bad, what = ~(np.abs(values) <= 1), "is missing or not from -1 to 1"
    elif name.startswith("events"):
        bad, what = ~(np.isfinite(values) & (values >= 0)), "is missing or negative"
    else:
        bad, what = ~(np.isfinite(values) & (values > 0)), "is missing, negative or 0"
    forbid(bad, eff.study, f"{name} {what}", [values])


def columns_of(eff: Effects, names: tuple[str, ...], name: str) -> list[FloatArray]:
    """Columns behind the effects: those they were made from, or those of that name in their data."""
    given: dict[str, Any] = dict(eff.inputs or {})
    if eff.events is not None:
        given |= {"events": eff.events, "total": eff.total}
    if not all(column in given for column in names):
        rows = eff.data
        if rows is None or len(rows) != eff.k or not set(names) <= set(rows.columns):
            raise InputError(f"{name} needs {', '.join(names)}: make the effects from them by effect_size.")
        given = {column: numbers(rows[column], column) for column in names}
        for column in names:
            _check_column(eff, column, given[column])
        for events in (column for column in names if column.startswith("events")):
            total = given.get(events.replace("events", "total"))
            if total is not None:
                forbid(given[events] > total, eff.study, f"{events} exceeds the total", [given[events], total])
    return [np.asarray(given[column], dtype=np.float64) for column in names]
