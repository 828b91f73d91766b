"""What every result can do: show itself in a notebook and turn into plain numbers and text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.names import COLUMNS, heading

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ABSENT", "Shown", "Table", "framed", "number", "plain", "plain_value"]

ABSENT: Final = {"NAType", "NaTType"}  # missing values by name: pandas is not imported here
_LINE: Final = "\n"
_DASH: Final = "- "
_ROWS: Final = 20  # of a table in a notebook; the rest is for to_frame()
_STYLE: Final = (
    "<style>"
    ".metaan{font-family:system-ui,sans-serif;line-height:1.45;max-width:75em}"
    ".metaan pre{white-space:pre-wrap;margin:.3em 0;padding:0;background:none;font-size:.92em}"
    ".metaan .table{overflow-x:auto}"
    ".metaan table{border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums}"
    ".metaan th,.metaan td{padding:.2em .7em;border:0;border-bottom:1px solid #8886;text-align:right}"
    ".metaan th[scope=row]{text-align:left;font-weight:normal}"
    ".metaan .words{text-align:left;max-width:32em}"
    ".metaan summary{cursor:pointer}"
    ".metaan ul{margin:.4em 0;padding-left:1.3em}"
    "</style>"
)


def number(value: float, digits: int = 4) -> str:
    """A number for reading: four significant digits, no exponent where it can be avoided."""
    if math.isnan(value):
        return "none"
    value += 0.0  # no minus sign before a zero
    if value == 0:
        return f"{value:.{digits}f}"
    if 1e-4 <= abs(value) < 1e5:
        return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.{digits - 1}e}"


def plain(values: Mapping[Any, Any]) -> dict[str, Any]:
    """`plain_value` of each item."""
    return {str(name): plain_value(value) for name, value in values.items()}


def plain_value(value: Any) -> Any:
    """What JSON can hold: None for NaN and infinity, lists for arrays, a list of rows for a table, else text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (np.integer, np.bool_, np.ndarray)):
        return plain_value(value.tolist())
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, Shown):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return plain_value(value.to_dict("records"))
    return None if type(value).__name__ in ABSENT else str(value)


class Shown:
    """Mixin of results: HTML for notebooks, and a dictionary of the fields of a dataclass."""

    def to_dict(self) -> dict[str, Any]:
        """Dictionary of plain numbers and text: fit for JSON (NaN and infinity become None)."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # a mixin of dataclasses
        return plain({field.name: getattr(self, field.name) for field in fields})

    def _headline(self) -> str | None:
        """One line above an open table; None where the text of the result says it all and its table is folded."""
        return None

    def _repr_html_(self) -> str:
        """Text, table and notes for a notebook, all of it escaped."""
        return framed(_page(self))


class Table(Shown):
    """Mixin of results that are a table with notes."""

    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The table, a copy."""
        return self.table.copy()


def framed(html: str) -> str:
    """HTML that carries its own style and none of the page around it."""
    return f'<div class="metaan">{_STYLE}{html}</div>'


def _page(record: Shown) -> str:
    headline = record._headline()
    table = _table(record, alone=headline is not None)
    if headline is None:
        (title, *text), notes = _split(str(record))
        given = [str(note) for note in getattr(record, "notes", ())]
        notes = given if 0 < len(notes) < len(given) else notes  # a text short of lines joins the last ones
        body = f"<pre>{escape(_LINE.join(text).strip(_LINE))}</pre>" if any(text) else ""
        table = table and f"<details><summary>All numbers</summary>{table}</details>"
    else:
        title, body, notes = headline, "", [str(note) for note in getattr(record, "notes", ())]
    said = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<p><strong>{escape(title)}</strong></p>{body}{table}{said and f'<ul>{said}</ul>'}"


def _split(text: str) -> tuple[list[str], list[str]]:
    """Lines of a text, and the notes at its end without their dashes."""
    lines = text.splitlines()
    first = len(lines)
    while first > 1 and lines[first - 1].startswith(_DASH):
        first -= 1
    notes = [line.removeprefix(_DASH) for line in lines[first:]]
    return lines[: first - (first > 1 and lines[first - 1] == "Notes")], notes


def _table(record: Any, *, alone: bool) -> str:
    """The table of a record; its plain numbers where it has no table but stands alone."""
    if not hasattr(record, "to_frame"):
        pairs = {name: value for name, value in record.to_dict().items() if name != "notes"} if alone else {}
        return _sideways(list(pairs), list(pairs.values())) if pairs else ""
    frame = record.to_frame()
    if type(frame.index).__name__ != "RangeIndex":
        frame = frame.reset_index()
    rows = list(frame.head(_ROWS).itertuples(index=False, name=None))
    if len(rows) == 1:
        return _sideways(list(frame.columns), rows[0])
    left = len(frame) - len(rows)
    return _upright(list(frame.columns), rows) + (f"<p>... and {left} more rows: to_frame()</p>" if left else "")


def _sideways(names: Sequence[object], values: Sequence[Any]) -> str:
    """One row, a line for each number."""
    cells = [_cell(value, _whole([value])) for value in values]
    rows = (f'<tr><th scope="row">{_heading(name)}</th>{cell}</tr>' for name, cell in zip(names, cells, strict=True))
    return f'<div class="table"><table><tbody>{"".join(rows)}</tbody></table></div>'


def _upright(names: Sequence[object], rows: Sequence[Sequence[Any]]) -> str:
    whole = [_whole(column) for column in zip(*rows, strict=True)]
    kinds = map(_kind, rows[0]) if rows else [""] * len(names)
    head = "".join(f'<th scope="col"{kind}>{_heading(name)}</th>' for name, kind in zip(names, kinds, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row, whole))}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _whole(column: Sequence[Any]) -> bool:
    """Whether the numbers of a column are all whole: counts that a missing value made floats."""
    return all(not isinstance(value, float) or not math.isfinite(value) or value.is_integer() for value in column)


def _cell(value: Any, whole: bool) -> str:
    if isinstance(value, float):  # numpy's as well
        text = "–" if math.isnan(value) else f"{value:.0f}" if whole and math.isfinite(value) else number(float(value))
    else:
        text = "" if value is None else escape(str(value))
    return f"<td{_kind(value)}>{text}</td>"


def _kind(value: Any) -> str:
    """Words stand at the left, numbers at the right."""
    is_number = isinstance(value, (float, int, np.integer)) and not isinstance(value, bool)
    return "" if is_number else ' class="words"'


def _heading(name: object) -> str:
    return escape(heading(name) if isinstance(name, str) and name in COLUMNS else str(name))
