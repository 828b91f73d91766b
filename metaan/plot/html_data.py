"""What a web page says of a forest table: columns, cells with what they sort by, and the details of every study."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from metaan.plot.axis import XLABEL, Axis, make_axis
from metaan.plot.checked import checked
from metaan.plot.columns import Block, blocks
from metaan.plot.forest_alt import in_words
from metaan.plot.html_sources import SOURCES
from metaan.plot.layout import band_notes, column_names
from metaan.plot.lights import JUDGEMENTS
from metaan.plot.style import Style
from metaan.plot.under import lines_of, pointed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cell", "Column", "Detail", "Line", "Sheet", "make_sheet", "plain_values"]

Numbers = tuple[float, float, float]

_NUMBERED: Final = ("group", "study", "pooled", "prediction")
_COUNTS: Final = {
    "Counts": ("events", "total"), "Treatment": ("events_t", "total_t"), "Control": ("events_c", "total_c"),
}  # fmt: skip
_BLUP: Final = ("blup", "blup_low", "blup_high")
_ADDRESS: Final = re.compile(r"https?://[^\s/]+\.\S+")
_DOI: Final = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A text column: its name in the table, its heading and that over it, its side of the plot, what it holds."""

    name: str
    heading: str
    span: str = ""
    on_left: bool = True
    number: bool = False
    lights: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell: its text, a second text that stands apart (the interval), and what it sorts by."""

    text: str
    apart: str = ""
    key: float | str | None = None


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One line of what is shown on hover and focus, with an address where it has one."""

    name: str
    text: str
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the body: estimate, low and high are what is drawn, `blup` the same of a shrunken estimate."""

    kind: str
    label: str
    group: str
    estimate: float
    low: float
    high: float
    weight: float
    blup: Numbers
    indent: bool = False
    cells: tuple[Cell, ...] = ()
    details: tuple[Detail, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether there is an interval to draw."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A forest table, written out for a page. The cells of a line are those of `columns`, the label first."""

    axis: Axis
    style: Style
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    xlabel: str
    alt: str
    statistics: tuple[str, ...]
    notes: tuple[str, ...]
    favours: tuple[str, str]
    bands: tuple[tuple[float, float], ...]
    predicted: tuple[tuple[float, float], ...]
    density: tuple[tuple[float, ...], tuple[float, ...]]
    lights: Mapping[str, str]

    @property
    def studies(self) -> list[Line]:
        """Lines of the studies."""
        return [line for line in self.lines if line.kind == "study"]

    @property
    def groups(self) -> list[str]:
        """Names of the subgroups, in their order."""
        return list(dict.fromkeys(line.group for line in self.lines if line.group))


def make_sheet(
    table: pd.DataFrame,
    told: pd.DataFrame,
    style: Style,
    xlim: tuple[float, float] | None = None,
    xscale: str = "auto",
) -> Sheet:
    """Write a forest table out; `told` has a row for each of its rows, with what is shown on hover besides."""
    table, told = (checked(frame, {}, free=_BLUP) for frame in (table, told))
    attrs: Mapping[Any, Any] = table.attrs
    axis = make_axis(table, xlim, xscale)
    numbered = table["row"].isin(_NUMBERED).to_numpy()
    found = list(_blocks(table[numbered], table, axis, style))
    columns = tuple(column for column, _ in found)
    cells = list(zip(*(_cells(block, column, table[numbered], attrs) for column, block in found), strict=True))
    lines = _lines(table, numbered, cells, found[0][1].indent, style)
    hover = _Hover(axis, style, columns, _level(table))
    said = plain_values(told).to_dict("records")
    body = [_with_details(line, hover, said[i]) if line.kind == "study" else line for i, line in lines]
    words = attrs.get("favours", ("", ""))
    overall = [line for line in body if line.kind == "prediction" and not line.group and line.marked]
    return Sheet(
        axis=axis, style=style, columns=columns, lines=tuple(body),
        xlabel=_line(attrs.get(XLABEL, axis.title)), alt=str(attrs.get("alt") or in_words(table)),
        statistics=tuple(pointed(text, style) for text in lines_of(table, "statistics")),
        notes=(*lines_of(table, "note"), *band_notes(table)),
        favours=(_line(words[0]), _line(words[1])),
        bands=tuple((float(low), float(high)) for low, high, _ in attrs.get("bands", ())),
        predicted=tuple((line.low, line.high) for line in overall) if attrs.get("prediction") == "band" else (),
        density=_density(attrs),
        lights={str(name).casefold(): str(colour) for name, colour in attrs.get("rob_levels", {}).items()},
    )  # fmt: skip


def _density(attrs: Mapping[Any, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x, y = attrs.get("density", ((), ()))
    return tuple(map(float, x)), tuple(map(float, y))


def _level(table: pd.DataFrame) -> str:
    """What intervals are called."""
    return f"{100 * float(table['level'].iloc[0]):g}% {table.attrs.get('interval', 'CI')}"


def _blocks(rows: pd.DataFrame, table: pd.DataFrame, axis: Axis, style: Style) -> Iterator[tuple[Column, Block]]:
    """Columns of the figure on either side of the plot; the label of the study is always the first."""
    attrs: Any = table.attrs
    left, right = column_names(table, style)
    left = ["study", *(name for name in left if name != "study")]
    for names in (left, [name for name in right if name != "study"]):
        for block in blocks(rows, names, axis, style, attrs):
            heading = " ".join(line for line in block.heading if line)
            column = Column(
                name=block.name, heading=_line(heading) or block.name, span=_line(block.span), on_left=names is left,
                number=block.align == "right" and not block.lights, lights=block.lights,
            )  # fmt: skip
            yield column, block


def _cells(block: Block, column: Column, rows: pd.DataFrame, attrs: Mapping[Any, Any]) -> list[Cell]:
    """Cells of a column; numbers sort by themselves, judgements by how bad they are."""
    texts, values = block.columns[0], rows[column.name].tolist()
    apart = block.columns[1] if len(block.columns) > 1 else ("",) * len(texts)
    ranks = {name.casefold(): float(i) for i, name in enumerate(attrs.get("rob_levels") or JUDGEMENTS)}
    made = []
    for text, beside, value in zip(texts, apart, values, strict=True):
        key: float | str | None = text or None
        if column.lights:
            key = ranks.get(text.casefold())
        elif column.number:
            key = _number(value)
        made.append(Cell(text=text, apart=beside, key=key))
    return made


def _number(value: Any) -> float | None:
    """Number that a cell sorts by, None where it is missing."""
    try:
        number = float(
            re.sub(r"%$", "", value).replace("−", "-").replace("·", ".") if isinstance(value, str) else value
        )
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _lines(
    table: pd.DataFrame,
    numbered: np.ndarray[Any, np.dtype[np.bool_]],
    cells: Sequence[tuple[Cell, ...]],
    indent: Sequence[bool],
    style: Style,
) -> Iterator[tuple[int, Line]]:
    """Lines of the body, each with its place in the table."""
    at = iter(zip(cells, indent, strict=True))
    for i, row in enumerate(table.to_dict("records")):
        kind, label = str(row["row"]), _line(row["study"])
        if not numbered[i] and kind != "text":
            continue
        mine, inner = next(at) if numbered[i] else ((), False)
        estimate, low, high, weight = (float(row[name]) for name in ("estimate", "low", "high", "weight"))
        yield i, Line(
            kind=kind, label=label if numbered[i] else pointed(label, style), group=_line(row.get("group")),
            estimate=estimate, low=low, high=high, weight=weight, blup=_blup(row), indent=inner, cells=mine,
        )  # fmt: skip


def _blup(row: Mapping[Any, Any]) -> Numbers:
    found = (_number(row.get(name)) for name in _BLUP)
    estimate, low, high = (math.nan if value is None else value for value in found)
    return estimate, low, high


@dataclass(frozen=True)
class _Hover:
    """What the details of all studies share."""

    axis: Axis
    style: Style
    columns: tuple[Column, ...]
    level: str

    def shown(self, estimate: float, low: float, high: float) -> str:
        """An estimate with its interval, the unit at each number of a rate."""
        style, axis = self.style, self.axis
        unit = "%" if axis.factor != 1 else ""
        number = axis.number(estimate)
        limits = axis.interval(low, high, style.between, ("", ""))
        within = f" ({self.level} {limits}{unit})" if limits else ""
        return f"{number}{unit}{within}".replace(".", style.decimal) if number else ""


def _with_details(line: Line, hover: _Hover, row: Mapping[Any, Any]) -> Line:
    return replace(line, details=tuple(_details(line, hover, row)))


def _details(line: Line, hover: _Hover, row: Mapping[Any, Any]) -> Iterator[Detail]:
    """What a study tells on hover: counts, estimate, weight, shrunken estimate, further columns, source, citation."""
    for name, names in _COUNTS.items():
        events, total = (_number(row.get(each)) for each in names)
        if events is not None and total is not None:
            yield Detail(name=name, text=f"{events:.10g} of {total:.10g}")
    if shown := hover.shown(line.estimate, line.low, line.high):
        yield Detail(name="Rate" if row["scale"] == "rate" else hover.axis.short, text=shown)
    if math.isfinite(line.weight):
        yield Detail(name="Weight", text=f"{line.weight:.1f}%".replace(".", hover.style.decimal))
    if shown := hover.shown(*_blup(row)):
        yield Detail(name="Shrunken estimate", text=shown)
    told = {"study", "estimate", "weight", *_BLUP, *SOURCES, *(each for names in _COUNTS.values() for each in names)}
    for column, cell in zip(hover.columns, line.cells, strict=True):
        if column.name not in told and cell.text:
            over = f"{column.span}: " if column.span else ""
            yield Detail(name=f"{over}{column.heading}", text=cell.text)
    yield from _origin(row)


def _origin(row: Mapping[Any, Any]) -> Iterator[Detail]:
    """Source and citation; only addresses of the web become links."""
    source, citation, doi, url = (_line(row.get(name)) for name in SOURCES)
    if source or url:
        yield Detail(name="Source", text=source or url, address=url if _ADDRESS.fullmatch(url) else "")
    doi = re.sub(r"^(https?://(dx\.)?doi\.org/|doi:)", "", doi)
    if citation:
        yield Detail(name="Citation", text=_without(citation, f" doi:{doi}") if doi else citation)
    if doi:
        address = f"https://doi.org/{quote(doi, safe='/:;()._-')}" if _DOI.fullmatch(doi) else ""
        yield Detail(name="DOI", text=doi, address=address)


def _without(citation: str, doi: str) -> str:
    """Citation without its DOI, which stands below it."""
    return citation.replace(f"{doi}. ", " ").removesuffix(doi)


def plain_values(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with values of Python, None where one is missing, whatever the kind of its columns."""
    return table.astype(object).mask(table.isna(), None)


def _line(value: Any) -> str:
    """One line of text; empty where there is none."""
    if value is None or value != value:
        return ""
    return " ".join(str(value).split())
