"""From a grid of cells to the table that is handed out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from metaan.errors import DataError, InputError, Note, listed, recorded
from metaan.names import NOTES, READING
from metaan.readers.advice import complete
from metaan.readers.arms import refuse_arms, say_outcomes
from metaan.readers.cells import Unreadable, number, tidy
from metaan.readers.grid import Cell, Grid, blank, said
from metaan.readers.heading import Heading, find
from metaan.readers.marks import is_unsure
from metaan.readers.needs import KNOWN
from metaan.readers.roles import Roles, assign
from metaan.readers.rows import LeftOut, studies
from metaan.readers.values import Reader

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_grid", "signed"]

_WORDS: Final = ("study", "year")
_DATE: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9:.]+)?")
_YEAR: Final = re.compile(r"(?:1[5-9]|20)[0-9]{2}(?![0-9])")
_PARTS: Final = (
    ("events", "nonevents", "total"),
    ("events_t", "nonevents_t", "total_t"),
    ("events_c", "nonevents_c", "total_c"),
)


def read_grid(
    grid: Grid,
    columns: Mapping[str, str],
    measure: str | None,
    header: int | Sequence[int] | None,
    decimal: str | None,
) -> pd.DataFrame:
    """Table of the studies of a grid."""
    import pandas as pd

    heading = find(grid, header, tuple(columns.values()))
    roles = assign(grid, heading, columns, measure)
    complete(grid, heading, roles, measure)
    chosen = studies(grid, heading, roles)
    kept, out = chosen.kept, chosen.out
    _even(grid, heading, roles, kept)
    refuse_arms(grid, roles, kept)
    say_outcomes(grid, roles, kept)
    reader = Reader.of(grid, roles, kept, decimal)
    made = _numbers(reader)
    _derive(reader, made)
    _compare_spreads(reader, made)
    labels = _labels(reader)
    ordered = {name: made[name] for name in KNOWN if name in made}
    table: dict[str, Any] = {"study": labels} if labels else {}
    table |= {name: np.array(values, dtype=np.float64) for name, values in ordered.items() if name not in _WORDS}
    table |= _beside(reader)
    if any(chosen.sections):
        table[chosen.column] = chosen.sections
    grid.notes.extend(reader.notes())
    _say_repeated(grid, labels)
    frame = pd.DataFrame(table)
    return signed(frame, grid.notes, {"place": grid.place, "kind": grid.kind}, len(kept) + len(out), out)


def _shifted(grid: Grid, roles: Roles, kept: Sequence[int], named: int) -> None:
    """Refuse rows that begin with a cell for which there is no name, unless labels show that the last one is blank."""
    blank_end = all(blank(grid.rows[i][named]) for i in kept)
    if blank_end and "study" in roles.of:
        labels = [said(grid.rows[i][roles.of["study"]]) for i in kept]
        if 2 * sum(any(map(str.isalpha, label)) for label in labels) > len(labels):
            return
    words = any(any(map(str.isalpha, said(grid.rows[i][0]))) for i in kept)
    name = "study" if words and "study" not in roles.of else "row"
    ends = " If each row ends in a separator, take that off." if blank_end else ""
    raise InputError(
        f"{grid.place}, row {grid.lines[kept[0]]}: {named + 1} cells for {named} names, as in every row. If the first "
        f"column has the names of the rows, as R's write.table has it, write its name, {name}, before the others."
        f"{ends} Cells that hold the separator go into quotes."
    )


def _even(grid: Grid, heading: Heading, roles: Roles, kept: Sequence[int]) -> None:
    """Refuse rows of a text file with more cells than there are names, and tell of those with fewer."""
    if not grid.widths:
        return
    named = max(place for place, name in enumerate(heading.names) if name) + 1
    if grid.widths[heading.last] == named and all(grid.widths[i] == named + 1 for i in kept):
        _shifted(grid, roles, kept, named)
    for i in kept:
        if not all(map(blank, grid.rows[i][named:])):
            raise InputError(
                f"{grid.place}, row {grid.lines[i]}: {grid.widths[i]} cells for {named} names. Put cells that hold the "
                f"separator {grid.separator!r} into quotes, and give each column a name."
            )
    short = [str(grid.lines[i]) for i in kept if grid.widths[i] < named]
    if short:
        text = f"Rows with fewer cells than there are names, the last ones taken for missing: {listed(short)}."
        grid.notes.append(Note("short-rows", text))


def signed(
    frame: pd.DataFrame, notes: Sequence[Note], what: Mapping[str, object], rows: int, out: Sequence[LeftOut] = ()
) -> pd.DataFrame:
    """Write on a table how it was read: the notes, and a record fit for JSON."""
    left_out = [asdict(row) for row in out]
    frame.attrs[READING] = {**what, "rows": rows, "kept": len(frame), "left_out": left_out, "notes": []}
    return tell(frame, notes)


def tell(frame: pd.DataFrame, notes: Sequence[Note]) -> pd.DataFrame:
    """Put notes before those on a table: as sentences, and in the record with their codes."""
    record = frame.attrs[READING]
    record["notes"] = [*map(recorded, notes), *record["notes"]]
    frame.attrs[NOTES] = [note["text"] for note in record["notes"]]
    return frame


def _numbers(reader: Reader) -> dict[str, list[float]]:
    """Numbers of every column that has a name of metaan's."""
    roles = reader.roles
    made: dict[str, list[float]] = {}
    for name, place in roles.fractions.items():
        made[name], made[name.replace("events", "total")] = reader.fractions(place)
    for name, place in roles.of.items():
        if name not in made and name not in _WORDS:
            made[name] = reader.column(name, place)
    return made


def _derive(reader: Reader, made: dict[str, list[float]]) -> None:
    """Events, others and total: compute the third from two, and refuse three that do not add up."""
    for events, others, total in _PARTS:
        if others not in made:
            continue
        if events in made and total in made:
            _add_up(reader, made, (events, others, total))
        elif events in made or total in made:
            name, formula = (total, f"{events} + {others}") if events in made else (events, f"{total} - {others}")
            sign = 1 if events in made else -1
            made[name] = [
                a + sign * b for a, b in zip(made.get(events, made.get(total, [])), made[others], strict=True)
            ]
            reader.grid.notes.append(Note("computed", f"{name} is {formula}."))
    if {"o_e", "o_e_variance"} <= set(made) and "yi" not in made:
        variance = made["o_e_variance"]
        bad = [
            reader.label(i) or str(reader.grid.lines[i]) for i, v in zip(reader.kept, variance, strict=True) if v <= 0
        ]
        if bad:
            raise DataError(f"{reader.grid.place}: the variance of O-E is not positive: study {listed(bad)}.")
        made["yi"] = [a / v for a, v in zip(made["o_e"], variance, strict=True)]
        made["vi"] = [1 / v for v in variance]
        reader.grid.notes.append(Note("computed", "yi is O-E divided by its variance, vi is 1 over that variance."))


def _add_up(reader: Reader, made: dict[str, list[float]], names: tuple[str, str, str]) -> None:
    for i, events, others, total in zip(reader.kept, *(made[name] for name in names), strict=True):
        if events + others != total and not math.isnan(events + others + total):
            where = f"row {reader.grid.lines[i]}" + (f" (study {reader.label(i)!r})" if reader.label(i) else "")
            raise DataError(
                f"{reader.grid.place}, {where}: {names[0]} {events:g} and {names[1]} {others:g} do not add up to "
                f"{names[2]} {total:g}."
            )


def _compare_spreads(reader: Reader, made: Mapping[str, Sequence[float]]) -> None:
    """Tell of variances that are no squares of the standard errors, also where these are rounded."""
    if not {"vi", "sei"} <= set(made):
        return
    pairs = zip(reader.kept, made["vi"], made["sei"], strict=True)
    odd = [
        reader.label(i) or str(reader.grid.lines[i])
        for i, vi, sei in pairs
        if vi > 0 and (sei * sei < 0.4 * vi or sei * sei > 2.5 * vi)
    ]
    if odd:
        text = f"vi is not the square of sei: study {listed(odd)}. Read which is right in its source."
        reader.grid.notes.append(Note("vi-and-sei", text, tuple(odd)))


def _labels(reader: Reader) -> list[str] | None:
    """Labels of the studies: a merged or missing label is an error, authors of several studies get their year."""
    if "study" not in reader.roles.of:
        return None
    place = reader.roles.of["study"]
    names = [_label(reader.grid.rows[i][place]) for i in reader.kept]
    _say_dates(reader, [reader.grid.rows[i][place] for i in reader.kept])
    absent = [reader.grid.lines[i] for i, name in zip(reader.kept, names, strict=True) if not name]
    if absent:
        more = f" (nor in {len(absent) - 1} more rows)" if len(absent) > 1 else ""
        raise InputError(
            f"{reader.grid.place}, row {absent[0]}: there are numbers, but column "
            f"{reader.roles.names[place] or place + 1!r} has no label of the study{more}. Fill it in, or take the row "
            "out if it is a total."
        )
    year = reader.roles.of.get("year")
    if year is not None and len(set(names)) < len(names):
        years = [_label(reader.grid.rows[i][year]) for i in reader.kept]
        if not all(_YEAR.match(when) for when in years if when):
            return names  # a year less a mean year, say: it tells no studies apart
        dated = [f"{name} {when}".strip() for name, when in zip(names, years, strict=True)]
        if len(set(dated)) > len(set(names)):
            text = f"{reader.roles.names[place]!r} repeats: studies are labelled with their year as well."
            reader.grid.notes.append(Note("label-year", text))
            return dated
    return names


def _say_dates(reader: Reader, cells: Sequence[Cell]) -> None:
    """A label that is a date was another text before a spreadsheet read it."""
    dates = [_label(c) for c in cells if hasattr(c, "year") or (isinstance(c, str) and _DATE.fullmatch(c.strip()))]
    if dates:
        many = f"{len(dates)} labels are dates" if len(dates) > 1 else "1 label is a date"
        text = f"{many}, as spreadsheets make them of other texts: {listed(dates)}. Check the file that they came from."
        reader.grid.notes.append(Note("date-label", text, tuple(dates)))


def _label(cell: Cell) -> str:
    """A cell as a label; a whole number without its point."""
    if isinstance(cell, float) and cell == math.floor(cell) and abs(cell) < 1e15:
        return str(int(cell))
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", tidy(said(cell))).split())


def _beside(reader: Reader) -> dict[str, Any]:
    """The columns without a role: numbers where every cell is one, otherwise as they stand."""
    places = dict(reader.roles.beside)
    if "year" in reader.roles.of:
        places = {"year": reader.roles.of["year"], **places}
    table, empty, percent, unsure = {}, 0, [], []
    for name, place in places.items():
        cells = [reader.grid.rows[i][place] for i in reader.kept]
        if all(map(blank, cells)) and not (reader.roles.names[place] and reader.grid.named):
            empty += 1
            continue
        if not reader.told and any(map(is_unsure, cells)):
            unsure.append(name)
            table[name] = _native(cells)
            continue
        numbers = _as_numbers(cells, reader.decimal)
        if numbers is not None and any(isinstance(cell, str) and cell.strip().endswith("%") for cell in cells):
            percent.append(name)
        table[name] = _native(cells) if numbers is None else numbers
    if empty:
        what = "column" if empty == 1 else "columns"
        reader.grid.notes.append(Note("blank-columns", f"{empty} blank {what} left out."))
    if percent:
        text = f"Numbers in per cent, without their sign: {listed(percent)}."
        reader.grid.notes.append(Note("percent-sign", text))
    if unsure:
        text = f"Kept as text, since 1.234 may be 1234: {listed(unsure)}. Say which: decimal=',' or decimal='.'."
        reader.grid.notes.append(Note("unsure-decimal", text))
    return table


def _as_numbers(cells: Sequence[Cell], decimal: str) -> Any:
    """An array of numbers where all cells are, None otherwise; 007 is a name."""
    values = []
    for cell in cells:
        text = tidy(cell) if isinstance(cell, str) and len(cell) < 60 else cell
        if isinstance(text, str) and (text[:1] == "0" and text[1:2].isdigit()):
            return None
        try:
            value, done = number(text.removesuffix("%") if isinstance(text, str) else text, decimal)
        except Unreadable:
            return None
        if done == "mark" or done == "thousands":
            return None
        values.append(value)
    if all(isinstance(cell, int) for cell in cells) and max(map(abs, values)) < 2**53:
        return np.array(cells, dtype=np.int64)
    whole = all(value == math.floor(value) and abs(value) < 2**53 for value in values if not math.isnan(value))
    if whole and not any(map(math.isnan, values)):
        return np.array(values).astype(np.int64)
    return np.array(values, dtype=np.float64)


def _native(cells: Sequence[Cell]) -> list[Cell]:
    return [None if blank(cell) else cell.strip() if isinstance(cell, str) else cell for cell in cells]


def _say_repeated(grid: Grid, labels: Sequence[str] | None) -> None:
    """A study in several rows is several studies for a model."""
    twice = [name for name, number in Counter(labels or ()).items() if number > 1]
    if not twice:
        return
    many = f"{len(twice)} studies have" if len(twice) != 1 else "1 study has"
    text = f"{many} several rows, which a model takes for independent studies: {listed(twice)}."
    grid.notes.append(Note("duplicate-study", text, tuple(twice)))
