"""What a web page says of a forest table: columns, cells, keys to sort by, and the details of every study."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from metaan.errors import InputError, OptionError, listed
from metaan.models.results import PoolResult
from metaan.names import COLUMNS, RECORD
from metaan.plot.axis import XLABEL, Axis, make_axis
from metaan.plot.style import Style

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ESTIMATE", "Cell", "Column", "Detail", "Line", "Sheet", "make_sheet", "with_sources"]

ESTIMATE: Final = "estimate"
_NEEDED: Final = ("row", "study", "events", "total", "estimate", "low", "high", "weight", "level", "scale")
_KINDS: Final = ("group", "study", "pooled", "prediction", "text", "statistics", "note")
_WORDS: Final = {"rate": "rate", "ratio": "ratio", "amount": "estimate", "effect": "effect"}
_TEXTS: Final = ("source", "citation", "doi", "url")
_ADDRESS: Final = re.compile(r"https?://[^\s]+")
_DOI: Final = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A text column: its name in the table, its heading, whether it holds numbers."""

    name: str
    heading: str
    number: bool


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
    """One line of the body of the page's table."""

    kind: str
    label: str
    group: str
    estimate: float
    low: float
    high: float
    weight: float
    cells: Mapping[str, Cell]
    details: tuple[Detail, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether there is an interval to draw."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A forest table, written out for a page."""

    axis: Axis
    style: Style
    left: tuple[Column, ...]
    right: tuple[Column, ...]
    lines: tuple[Line, ...]
    spans: Mapping[str, tuple[str, ...]]
    xlabel: str
    level: float
    scale: str
    statistics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    favours: tuple[str, str] = ("", "")
    bands: tuple[tuple[float, float, str], ...] = ()
    density: tuple[tuple[float, ...], tuple[float, ...]] = field(default=((), ()))

    @property
    def word(self) -> str:
        """What was pooled, in a word."""
        return _WORDS[self.scale]

    @property
    def studies(self) -> list[Line]:
        """Lines of the studies."""
        return [line for line in self.lines if line.kind == "study"]

    @property
    def groups(self) -> list[str]:
        """Names of the subgroups, in their order."""
        return list(dict.fromkeys(line.group for line in self.lines if line.group))

    def shown(self, estimate: float, low: float, high: float) -> str:
        """An estimate with its interval, the unit at each number of a rate."""
        unit = "%" if self.axis.factor != 1 else ""
        number, apart = _number(self.axis, self.style, estimate), _interval(self.axis, self.style, low, high)
        if not apart:
            return f"{number}{unit}" if number else ""
        inner = apart[1:-1] + unit
        return f"{number}{unit} ({100 * self.level:g}% CI {inner})" if number else inner


def make_sheet(table: pd.DataFrame, style: Style, xlim: tuple[float, float] | None = None) -> Sheet:
    """Write a forest table out: the texts of its cells, and what each study tells besides."""
    _check(table)
    attrs = table.attrs
    axis = make_axis(table, xlim)
    if attrs.get("reference") is not None:
        axis = replace(axis, null=float(attrs["reference"]))
    left, right = _columns(table, axis, style)
    kinds = table["row"].astype(str)
    body = table[~kinds.isin(["statistics", "note"])]
    plain = Sheet(
        axis=axis, style=style, left=left, right=right, lines=(), spans=_spans(attrs, (left, right)),
        xlabel=str(attrs.get(XLABEL, axis.title)), level=float(table["level"].iloc[0]),
        scale=str(table["scale"].iloc[0]),
        statistics=tuple(_line(text) for text in table.loc[kinds == "statistics", "study"]),
        notes=tuple(_line(text) for text in table.loc[kinds == "note", "study"]),
        favours=tuple(map(_line, attrs.get("favours") or ("", ""))),
        bands=tuple((float(low), float(high), _line(text)) for low, high, text in attrs.get("bands") or ()),
        density=tuple(tuple(map(float, values)) for values in attrs.get("density") or ((), ())),
    )  # fmt: skip
    return replace(plain, lines=tuple(_lines(body, plain)))


def _check(table: pd.DataFrame) -> None:
    absent = [name for name in _NEEDED if name not in table.columns]
    if absent:
        raise OptionError(f"The table lacks {', '.join(absent)}. Start from metaan.plot.forest_table(res).")
    if unknown := sorted(set(map(str, table["row"])) - set(_KINDS)):
        raise OptionError(f"row holds {listed(unknown)}, which is not known. Choose from {', '.join(_KINDS)}.")
    if not (table["row"] == "study").any():
        raise OptionError("The table has no row of kind 'study': there is nothing to show.")
    for name in (*table.attrs.get("left", ()), *table.attrs.get("right", ())):
        if name not in table.columns:
            raise OptionError(f"attrs names {name!r}, which is no column of the table: {', '.join(table.columns)}.")


def _columns(table: pd.DataFrame, axis: Axis, style: Style) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Columns on either side of the plot; the label of the study is always the first."""
    studies = table[table["row"] == "study"]
    headings = dict(style.headings) | dict(table.attrs.get("headings", {}))
    sides = []
    for side, usual in (("left", style.left), ("right", style.right)):
        names = table.attrs.get(side)
        if names is None:
            names = [name for name in usual if name in ("study", ESTIMATE) or studies[name].notna().any()]
        sides.append([name for name in names if name != "study"])
    level = f"({100 * float(table['level'].iloc[0]):g}% CI)"
    usual_headings = {ESTIMATE: f"{axis.short} {level}"}

    def column(name: str) -> Column:
        heading = headings.get(name) or usual_headings.get(name) or _heading(name)
        return Column(name=name, heading=_line(heading), number=name == ESTIMATE or _is_number(studies[name]))

    left, right = (tuple(map(column, names)) for names in sides)
    return (replace(column("study"), number=False), *left), right


def _heading(name: str) -> str:
    if name.startswith("rob: "):
        return name.removeprefix("rob: ")
    if name not in COLUMNS:
        return name
    known = COLUMNS[name]
    symbol = known.symbol[:1].upper() + known.symbol[1:]
    return f"{symbol}, {known.unit}" if known.unit == "%" else symbol


def _is_number(values: pd.Series[Any]) -> bool:
    return all(isinstance(_key(value), float) for value in values.dropna()) and bool(values.notna().any())


def _spans(attrs: Mapping[Any, Any], sides: Sequence[tuple[Column, ...]]) -> dict[str, tuple[str, ...]]:
    """Headings over several columns, each of columns that stand side by side."""
    spans = {_line(name): tuple(columns) for name, columns in (attrs.get("spans") or {}).items()}
    for heading, columns in spans.items():
        places = [[column.name for column in side] for side in sides]
        runs = [names[names.index(columns[0]) :][: len(columns)] for names in places if columns[0] in names]
        if list(columns) not in runs or "study" in columns:
            raise OptionError(f"The heading {heading!r} spans {listed(columns)}, which do not stand side by side.")
    return spans


def _lines(body: pd.DataFrame, sheet: Sheet) -> Iterator[Line]:
    columns = [column for column in (*sheet.left, *sheet.right) if column.name != "study"]
    whole = {name for name in ("events", "total") if (body[name].dropna() % 1 == 0).all()}
    group = ""
    for row in body.to_dict("records"):
        kind, label = str(row["row"]), _line(row["study"])
        if "group" in row:
            group = _line(row["group"])
        estimate, low, high, weight = (float(row[name]) for name in ("estimate", "low", "high", "weight"))
        cells = {column.name: _cell(column.name, row, sheet, whole) for column in columns}
        line = Line(
            kind=kind, label=label, group=group, estimate=estimate, low=low, high=high, weight=weight,
            cells={"study": Cell(text=label, key=label), **cells},
        )  # fmt: skip
        yield replace(line, details=tuple(_details(row, line, sheet))) if kind == "study" else line


def _cell(name: str, row: Mapping[Any, Any], sheet: Sheet, whole: set[str]) -> Cell:
    value, axis, style = row[name], sheet.axis, sheet.style
    if name == ESTIMATE:
        low, high = float(row["low"]), float(row["high"])
        text = _number(axis, style, float(value))
        return Cell(text=text, apart=_interval(axis, style, low, high), key=_key(value))
    key = _key(value)
    if isinstance(key, str):
        return Cell(text=key, key=key or None)
    if key is None:
        return Cell(text="")
    if name in ("events", "total"):
        return Cell(text=f"{key:.{0 if name in whole else 1}f}", key=key)
    text = f"{key:.1f}" if name == "weight" else f"{key:.0f}" if key % 1 == 0 and abs(key) < 1e9 else f"{key:.4g}"
    return Cell(text=text.replace("-", "−").replace(".", style.decimal), key=key)


def _key(value: Any) -> float | str | None:
    """What a value sorts by: a number, a text, or nothing where it is missing."""
    import pandas as pd

    if value is None or pd.isna(value):
        return None
    if isinstance(value, str):
        return _line(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _line(value)
    return number if math.isfinite(number) else None


def _details(row: Mapping[Any, Any], line: Line, sheet: Sheet) -> Iterator[Detail]:
    """What a study tells on hover: counts, estimate, weight, shrunken estimate, further columns, source, citation."""
    counts = [_cell(name, row, sheet, set()).text.removesuffix(".0") for name in ("events", "total")]
    if all(counts):
        yield Detail(name="Counts", text=" of ".join(counts))
    shown = sheet.shown(line.estimate, line.low, line.high)
    if shown:
        yield Detail(name=sheet.word.capitalize(), text=shown)
    if math.isfinite(line.weight):
        yield Detail(name="Weight", text=f"{_cell('weight', row, sheet, set()).text}%")
    blup = [float(row.get(name, math.nan)) for name in ("blup", "blup_low", "blup_high")]
    if math.isfinite(blup[0]):
        yield Detail(name="Shrunken estimate", text=sheet.shown(*blup))
    told = {"study", "events", "total", ESTIMATE, "weight", *_TEXTS}
    for column in (*sheet.left, *sheet.right):
        if column.name not in told and line.cells[column.name].text:
            yield Detail(name=_full_heading(column, sheet), text=line.cells[column.name].text)
    yield from _origin(row)


def _full_heading(column: Column, sheet: Sheet) -> str:
    """Heading of a column, with the one over it: "Events" alone does not say of which arm."""
    over = next((heading for heading, names in sheet.spans.items() if column.name in names), "")
    return f"{over}: {column.heading}" if over else column.heading


def _origin(row: Mapping[Any, Any]) -> Iterator[Detail]:
    """Source and citation; only addresses of the web become links."""
    source, citation, doi, url = (_line(row.get(name)) for name in _TEXTS)
    address = url if _ADDRESS.fullmatch(url) else ""
    if source or url:
        yield Detail(name="Source", text=source or url, address=address)
    doi = doi.removeprefix("https://doi.org/")
    if citation:
        yield Detail(name="Citation", text=citation.removesuffix(f" doi:{doi}") if doi else citation)
    if doi:
        yield Detail(name="DOI", text=doi, address=f"https://doi.org/{doi}" if _DOI.fullmatch(doi) else "")


def _number(axis: Axis, style: Style, value: float) -> str:
    return axis.number(value).replace(".", style.decimal)


def _interval(axis: Axis, style: Style, low: float, high: float) -> str:
    """Interval in the brackets of the style; a dash between signed numbers would read as a minus."""
    numbers = [_number(axis, style, value) for value in (low, high)]
    if not all(numbers):
        return ""
    dash = style.between in ("–", "-") and axis.factor == 1 and not axis.log and min(low, high) < 0
    return f"{style.brackets[0]}{(' to ' if dash else style.between).join(numbers)}{style.brackets[1]}"


def _line(value: Any) -> str:
    """One line of text; empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return " ".join(str(value).split())


def with_sources(table: pd.DataFrame, res: object) -> pd.DataFrame:
    """Forest table with what a page shows on hover, as far as the result knows it.

    Columns `source`, `url`, `citation` and `doi` come from rows of `metaan.load`, `blup` and its limits from the model.
    Studies are told apart by label and counts; what two studies of one name say differently is left out.
    """
    columns = _of_blup(res) | _of_origin(res)
    if not columns:
        return table
    keys = list(_keys(table))
    study = (table["row"] == "study").to_numpy()
    new = {}
    for name, values in columns.items():
        if name not in table.columns:
            absent: Any = math.nan if name.startswith("blup") else ""
            new[name] = [values.get(key, absent) if is_study else absent for key, is_study in zip(keys, study, strict=True)]
    told = table.assign(**new)
    told.attrs = dict(table.attrs)
    return told


def _keys(frame: pd.DataFrame) -> Iterator[tuple[str, str, str]]:
    """What tells the studies of a frame apart: label and counts, where it has them."""
    for row in frame.reindex(columns=["study", "events", "total"]).to_dict("records"):
        yield str(row["study"]), *(f"{float(row[name]):.6g}" for name in ("events", "total"))


def _of_blup(res: object) -> dict[str, dict[tuple[str, str, str], Any]]:
    if not isinstance(res, PoolResult):
        return {}
    studies = res.back().studies()
    names = [name for name in ("blup", "blup_low", "blup_high") if name in studies]
    return {name: _agreed(zip(_keys(studies), studies[name].tolist(), strict=True)) for name in names}


def _of_origin(res: object) -> dict[str, dict[tuple[str, str, str], Any]]:
    """Sources of the rows that were pooled, and the citations of their studies."""
    fit = res if hasattr(res, "effects") else getattr(res, "overall", None)
    eff = getattr(fit, "effects", None)
    data = getattr(eff, "data", None)
    if data is None or RECORD not in data.attrs or "study_id" not in data or len(data) != len(eff.study):
        return {}
    known = data.assign(study=list(eff.study), **_citations(data))
    for name in ("events", "total"):
        counts = getattr(eff, name, None)
        known[name] = math.nan if counts is None else counts
    keys = list(_keys(known))
    return {
        name: _agreed(zip(keys, map(_line, known[name]), strict=True)) for name in _TEXTS if name in known
    }


def _citations(data: pd.DataFrame) -> dict[str, list[str]]:
    from metaan.evidence.citations import cite

    try:
        items, lines = cite(data, style="csl"), cite(data).splitlines()
    except InputError:  # a study that was added by hand has no reference
        return {}
    if len(items) != len(lines):
        return {}
    texts = {item["id"]: line for item, line in zip(items, lines, strict=True)}
    found = {item["id"]: item.get("DOI", "") for item in items}
    keys = [str(key) for key in data["study_id"]]
    return {"citation": [texts[key] for key in keys], "doi": [found[key] for key in keys]}


def _agreed(pairs: Iterator[tuple[tuple[str, str, str], Any]]) -> dict[tuple[str, str, str], Any]:
    """Values by key, without those on which one key has several."""
    seen: dict[tuple[str, str, str], list[Any]] = {}
    for key, value in pairs:
        seen.setdefault(key, []).append(value)
    return {key: values[0] for key, values in seen.items() if all(value == values[0] for value in values)}
