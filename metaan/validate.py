"""Checks at the door: options against their declared choices, numbers against what they may be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from metaan.errors import DataError, InputError, OptionError, listed, shown
from metaan.names import READING
from metaan.records import ABSENT, Shown

__all__ = [
    "CI",
    "CORRECTION",
    "LIKELIHOOD",
    "METHOD",
    "MISSING",
    "NESTED_TEST",
    "PI",
    "ROBUST",
    "TEST",
    "FloatArray",
    "Frozen",
    "Option",
    "check_frame",
    "check_level",
    "column",
    "forbid",
    "labels",
    "numbered",
    "numbers",
    "require_columns",
    "same_length",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """An option of the public API: its name, each allowed value with its meaning, and the default."""

    name: str
    choices: Mapping[str, str]
    default: str

    def check(self, value: object) -> str:
        """Return the value if it is one of the choices; raise OptionError otherwise."""
        if isinstance(value, str) and value in self.choices:
            return value
        raise OptionError(self._complaint(value))

    def _complaint(self, value: object) -> str:
        import difflib

        folded = {name.casefold(): name for name in self.choices}
        near = value.casefold()[:_LONG] if isinstance(value, str) else shown(value, _LONG).casefold()
        close = difflib.get_close_matches(near, folded, n=1, cutoff=0.4)
        hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
        names = list(self.choices)
        more = f" or {len(names) - _MANY} more" if len(names) > _MANY else ""
        return f"{self.name}={shown(value)} is not known. Choose one of {', '.join(names[:_MANY])}{more}.{hint}"


_LONG: Final = 100  # characters of a value that is compared with the choices
_MANY: Final = 40  # choices named in a message


class Frozen(Shown):
    """Mixin of records: arrays that come out of a pickle or a copy are as read-only as those that went in."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for value in state.values():
            for array in value.values() if isinstance(value, dict) else (value,):
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)

    def own_arrays(self) -> None:
        """Replace every array of a dataclass by a read-only copy."""
        for name, value in tuple(self.__dict__.items()):
            if isinstance(value, np.ndarray):
                own = np.array(value)
                own.setflags(write=False)
                object.__setattr__(self, name, own)


METHOD: Final = Option(
    "method",
    {
        "CE": "common effect: tau2 = 0",
        "DL": "DerSimonian & Laird 1986",
        "HE": "Hedges & Olkin 1985 (unweighted variance component)",
        "HS": "Hunter & Schmidt 1990",
        "HSk": "Hunter & Schmidt with a small-sample correction (Brannick et al. 2019)",
        "SJ": "Sidik & Jonkman 2005",
        "ML": "maximum likelihood",
        "REML": "restricted maximum likelihood",
        "EB": "empirical Bayes (Morris 1983); equals PM without moderators",
        "PM": "Paule & Mandel 1982",
        "PMM": "median-unbiased Paule-Mandel (Viechtbauer 2021)",
        "GENQ": "generalised Q with weights of the caller (DerSimonian & Kacker 2007)",
        "DLIT": "DerSimonian-Laird, iterated to its fixed point",
        "SJIT": "Sidik-Jonkman, iterated to its fixed point",
    },
    "REML",
)

LIKELIHOOD: Final = Option(
    "method", {"REML": "restricted maximum likelihood", "ML": "maximum likelihood"}, "REML"
)  # fmt: skip

TEST: Final = Option(
    "test",
    {
        "z": "normal distribution",
        "t": "t distribution with k - 1 degrees of freedom, usual standard error",
        "hk": "Hartung & Knapp 2001 / Sidik & Jonkman 2002",
        "hk-adhoc": "Hartung-Knapp, never below the usual standard error (Knapp & Hartung 2003)",
        "kr": "Kenward & Roger 1997, adjusted variance also in the degrees of freedom; REML only",
    },
    "hk",
)

PI: Final = Option(
    "pi",
    {
        "t": "t distribution with k - 1 degrees of freedom, usual standard error (Veroniki 2019)",
        "hts": "t distribution with k - 2 degrees of freedom, usual standard error (Higgins et al. 2009)",
        "z": "normal distribution, uncertainty of the mean included",
        "simple": "normal distribution, uncertainty of the mean ignored",
        "hk": "t with k - 2 degrees of freedom and the Hartung-Knapp standard error (Partlett & Riley 2017)",
        "kr": "Kenward-Roger standard error and degrees of freedom less one (Partlett & Riley 2017)",
        "bootstrap": "confidence distribution of tau2 (Nagashima, Noma & Furukawa 2019)",
        "none": "no prediction interval",
    },
    "t",
)

NESTED_TEST: Final = Option(
    "test",
    {
        "contain": "t, degrees of freedom from the groups within which the moderator is constant",
        "t": "t distribution with k - p degrees of freedom",
        "z": "normal distribution",
    },
    "contain",
)

ROBUST: Final = Option(
    "kind",
    {
        "CR2": "cluster-robust, bias-reduced, Satterthwaite degrees of freedom (Pustejovsky & Tipton 2018)",
        "CR1": "cluster-robust, times m/(m - 1) for m clusters; t with m - p degrees of freedom",
        "CR1p": "cluster-robust, times m/(m - p); t with m - p degrees of freedom (Hedges et al. 2010)",
        "CR0": "cluster-robust, no small-sample correction; t with m - p degrees of freedom",
    },
    "CR2",
)

CI: Final = Option(
    "ci",
    {"wald": "estimate plus and minus quantile times standard error", "profile": "profile likelihood"},
    "wald",
)

CORRECTION: Final = Option(
    "correction",
    {
        "only0": "studies at 0 or n alone",
        "if0all": "every study, if one of them is at 0 or n",
        "all": "every study",
        "none": "no study; a study at 0 or n then raises",
    },
    "only0",
)

MISSING: Final = Option(
    "missing",
    {"raise": "a missing value is an error", "drop": "studies with a missing value are left out and noted"},
    "raise",
)


_INT64: Final = 2**63 - 1
DRAWS: Final = 10_000_000
"""Most random draws of one call: what they take of memory."""


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number in a range; raise OptionError otherwise."""
    inside = isinstance(value, (int, np.integer)) and least <= value <= (_INT64 if most is None else most)
    if isinstance(value, bool) or not inside:
        span = f", at least {least}" if most is None else f" from {least} to {most:,}"
        raise OptionError(f"{name}={shown(value)} must be a whole number{span}.")
    return int(value)


def number(value: object) -> float | None:
    """A single real number as a float; None of what is no number (a truth value, text, an array)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond double precision
        return float("inf") if value > 0 else float("-inf")


def check_level(level: object) -> float:
    """Confidence level as a number in (0.5, 1); 95 and 0.05 raise with a hint."""
    value = number(level)
    if value is None:
        raise OptionError(f"level={shown(level)} is not a number. A confidence level lies between 0.5 and 1: 0.95.")
    if 0.5 < value < 1:
        return value
    hint = ""
    if 50 < value < 100:
        hint = f" Did you mean level={value / 100:g}?"
    elif 0 < value < 0.5:
        hint = f" Did you mean level={1 - value:g}?"
    raise OptionError(f"level={value:g} is out of range. A confidence level lies between 0.5 and 1.{hint}")


def column(data: Any, value: Any, name: str) -> Any:
    """Values of one argument: a column of `data` when it is a name, itself otherwise."""
    check_frame(data)
    place = data is not None and isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (isinstance(value, str) or place):
        return value
    if data is None:
        raise InputError(f"{name}={shown(value)} names a column, but no data were given. Pass data= or an array.")
    if value in data.columns:
        if list(data.columns).count(value) > 1:
            raise InputError(f"data has several columns {shown(value)}; rename all but one.")
        return data[value]
    import difflib

    known = [str(c) for c in data.columns]
    close = difflib.get_close_matches(shown(value, _LONG).strip("'"), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if READING in data.attrs and name in known:
        hint = f" Did you mean {name!r}? metaan.read gives the columns that it knows names of its own."
    raise InputError(f"{name}={shown(value)} is not a column of the data. Columns: {_named(known)}.{hint}")


def _named(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - _MANY} more" if len(columns) > _MANY else ""
    return ", ".join(columns[:_MANY]) + more


def check_frame(data: Any) -> None:
    """Refuse data that are no pandas DataFrame."""
    pandas = sys.modules.get("pandas")  # nobody has a frame who has not loaded it
    if data is not None and (pandas is None or not isinstance(data, pandas.DataFrame)):
        raise InputError(f"data must be a pandas DataFrame, not {type(data).__name__}. Arrays go into the arguments.")


def single_columns(data: Any, read: Iterable[str], name: str = "data") -> None:
    """Refuse a DataFrame that has one of the columns twice, or columns of several levels."""
    columns = list(data.columns)
    if data.columns.nlevels > 1:
        raise InputError(f"{name} has columns of {data.columns.nlevels} levels; give each column one name.")
    for column in read:
        if columns.count(column) > 1:
            raise InputError(f"{name} has several columns {column!r}; rename all but one.")


def require_columns(data: Any, needed: Sequence[str], name: str = "trials") -> None:
    """Refuse what is not a DataFrame with the columns that a function reads, each of them once."""
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise InputError(f"{name} must be a DataFrame, e.g. from metaan.load, not {type(data).__name__}.")
    absent = [column for column in needed if column not in data.columns]
    if absent:
        raise InputError(f"{name} lacks {', '.join(absent)}, which the rows of metaan.load have.")
    single_columns(data, needed, name)


@lru_cache(maxsize=32)
def numbered(k: int) -> tuple[str, ...]:
    """Labels of studies without names: 1 ... k, the same object every time."""
    return tuple(map(str, range(1, k + 1)))


def labels(values: Iterable[Any] | None, k: int) -> tuple[str, ...]:
    """Study labels as text; ``1 ... k`` when none are given."""
    if values is None:
        return numbered(k)
    if isinstance(values, str):
        raise InputError(f"study={shown(values)} must be one label for each study or the name of a column of data.")
    try:
        given = list(values)
    except Exception as error:  # whatever an object does when it is asked for its values
        raise InputError(f"study={shown(values)} must be one label for each study or the name of a column.") from error
    if len(given) != k:
        raise InputError(f"study has {len(given)} labels for {k} studies.")
    for i, value in enumerate(given):
        if is_missing(value):
            raise InputError(f"study has no label at position {i + 1}: every study needs one.")
    try:
        return tuple(map(str, given))
    except Exception as error:
        raise InputError("study holds labels that cannot be written as text.") from error


def is_missing(value: object) -> bool:
    """Whether a value stands for one that is not there: None, NaN, NA, NaT."""
    return value is None or type(value).__name__ in ABSENT or (isinstance(value, float) and value != value)


def numbers(values: Any, name: str) -> FloatArray:
    """One-dimensional float array of an argument; NaN passes (see `complete`), text and infinity do not."""
    if values is None:
        raise InputError(f"{name} is missing.")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        raw = np.asarray(values)
    except Exception as error:  # ragged lists, and whatever an object does when it is asked for its values
        raise InputError(f"{name} must be one number for each study: {error}.") from error
    if raw.ndim == 0:
        raw = raw[None]
    if raw.ndim != 1:
        raise InputError(f"{name} must be one-dimensional (one value for each study); its shape is {raw.shape}.")
    if raw.dtype.kind not in "fiu":
        raw = np.array([_number(v, name, i) for i, v in enumerate(raw)], dtype=np.float64)
    return np.array(raw, dtype=np.float64)


def _number(value: Any, name: str, position: int) -> float:
    if value is None or type(value).__name__ in ABSENT:
        return float("nan")
    if isinstance(value, (str, bytes, bool, np.bool_, complex, np.timedelta64)):
        raise DataError(f"{name} holds {shown(value)} at position {position + 1}, which is not a number.")
    try:
        return float(value)
    except Exception as error:
        raise DataError(f"{name} holds {shown(value)} at position {position + 1}, which is not a number.") from error


def same_length(arrays: Mapping[str, FloatArray]) -> int:
    """Common length of several arguments; InputError when they differ or are empty."""
    lengths = {name: array.shape[0] for name, array in arrays.items()}
    k = int(next(iter(lengths.values())))
    if len(set(lengths.values())) > 1:
        sizes = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise InputError(f"Lengths differ: {sizes}. Each study needs one value of each.")
    if k == 0:
        raise InputError(f"No studies: {' and '.join(lengths)} are empty.")
    return k


def forbid(bad: npt.NDArray[np.bool_], study: Sequence[str], what: str, values: Sequence[FloatArray] = ()) -> None:
    """Raise DataError that names the studies for which `bad` holds."""
    if not bad.any():
        return
    where = np.flatnonzero(bad)
    names = listed(study[int(i)] for i in where)
    first = where[0]
    which = " in the first of them" if len(where) > 1 else ""
    got = f" (got {' and '.join(f'{v[first]:g}' for v in values)}{which})" if values else ""
    raise DataError(f"{what}: study {names}{got}.")
