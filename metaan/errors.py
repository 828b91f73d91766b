"""Exceptions and warnings, one type for each kind of trouble.

A message says what is wrong, where (study labels, at most five), what was got, what is allowed and what to do next.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

__all__ = [
    "BoundaryWarning",
    "ConvergenceError",
    "DataError",
    "InputError",
    "MetaanDeprecationWarning",
    "MetaanError",
    "MetaanWarning",
    "Note",
    "OptionError",
    "OverlapWarning",
    "SmallSampleWarning",
    "UnitOfAnalysisWarning",
    "ZeroCellWarning",
    "listed",
    "recorded",
    "renamed",
    "shown",
]


class MetaanError(Exception):
    """Every error that metaan raises on purpose."""


class InputError(MetaanError, ValueError):
    """What was passed in cannot be used."""


class OptionError(InputError):
    """An option has a value that does not exist or that this model cannot honour."""


class DataError(InputError):
    """A study's numbers are impossible or incomplete."""


class ConvergenceError(MetaanError, RuntimeError):
    """An iteration ended without an answer; carries the last estimate.

    Parameters
    ----------
    message : str
        What failed and what to try next.
    last : object, optional
        The last estimate that was reached.
    """

    def __init__(self, message: str, last: object = None) -> None:
        super().__init__(message)
        self.last = last


class MetaanWarning(UserWarning):
    """Every warning that metaan issues."""


class ZeroCellWarning(MetaanWarning):
    """A continuity correction changed the counts of some studies."""


class SmallSampleWarning(MetaanWarning):
    """Too few studies for the method to be trusted."""


class BoundaryWarning(MetaanWarning):
    """An estimate lies on the edge of its parameter space."""


class UnitOfAnalysisWarning(MetaanWarning):
    """Lesions are treated as independent although patients contribute several."""


class OverlapWarning(MetaanWarning):
    """Two studies may share patients."""


class MetaanDeprecationWarning(MetaanWarning, FutureWarning):
    """A name or an argument still works and will not for ever: the message says what to write, and until when."""


def listed(labels: Iterable[object], limit: int = 5) -> str:
    """Labels for a message: the first ``limit``, then how many more.

    Examples
    --------
    >>> listed(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    names = [shown(_text(label)) for label in labels]
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"


def shown(value: object, limit: int = 200) -> str:
    """A value for a message: its ``repr`` on one line, cut where it is long, its type where it has none.

    Examples
    --------
    >>> shown("x" * 1000, limit=12)
    "'xxxxxxxx..."
    """
    try:
        text = repr(value)
    except Exception:  # of an object that cannot be printed, or an integer with too many digits
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


@dataclass(frozen=True)
class Note:
    """One automatic decision: what was done, to which studies.

    Parameters
    ----------
    code : str
        Short stable name, e.g. ``"zero-cell"``; programs test this, people read `text`.
    text : str
        One sentence for the reader.
    studies : tuple of str
        Labels of the studies concerned, empty when the whole analysis is meant.
    """

    code: str
    text: str
    studies: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


def recorded(note: Note) -> dict[str, Any]:
    """A note as the record of a frame has it: plain text and lists."""
    return {"code": note.code, "text": note.text, "studies": list(note.studies)}


Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(*, old: str, new: str, since: str, until: str) -> Callable[[Function], Function]:
    """Keep the former name of an argument, or of a function, alive with a warning.

    Parameters
    ----------
    old : str
        The former name.
    new : str
        The name of today: that of an argument of the decorated function, or its own.
    since, until : str
        Version that brought the new name, and the version in which the old one goes.

    Returns
    -------
    callable
        A decorator. The signature of what it returns shows the new name alone.

    Raises
    ------
    TypeError
        `new` is neither an argument nor the name of the function; that is a slip of whoever writes the decorator.

    Examples
    --------
    >>> @renamed(old="conf", new="level", since="0.2", until="0.4")
    ... def interval(x, *, level=0.95):
    ...     return x, level
    >>> former = renamed(old="former", new="interval", since="0.2", until="0.4")(interval)
    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     interval(1, conf=0.9), former(2)
    ((1, 0.9), (2, 0.95))
    >>> print(told[0].message)
    interval(conf=) is called level= since metaan 0.2; the old name goes in 0.4.
    """

    def decorate(function: Function) -> Function:
        name = function.__name__
        is_argument = new in inspect.signature(function).parameters
        if not (is_argument or new == name):
            raise TypeError(f"renamed(new={new!r}): {name} has no such argument and is not called so.")
        what, now = (f"{name}({old}=)", f"{new}=") if is_argument else (old, new)
        text = f"{what} is called {now} since metaan {since}; the old name goes in {until}."

        @functools.wraps(function)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if not is_argument or old in kwargs:
                warnings.warn(text, MetaanDeprecationWarning, stacklevel=2)
            if is_argument and old in kwargs:
                if new in kwargs:
                    raise InputError(f"{name} got both {old}= and {new}=, which are one argument. Give {new}= alone.")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("Function", forward)

    return decorate
