"""Pages: the parts of a forest table or of a drawing, put into HTML that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import TYPE_CHECKING, Final

import numpy as np

from metaan.plot.html_colours import contrast, font_family, properties
from metaan.plot.html_data import Cell, Column, Detail, Line, Sheet, plain_values
from metaan.plot.html_marks import Look, axis_svg, look_of, row_svg
from metaan.plot.lights import look
from metaan.plot.style import Style
from metaan.plot.under import pointing

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Head", "drawing_page", "forest_page"]

_PAGE: Final = Template("""<!DOCTYPE html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
$script</body>
</html>
""")
_CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"
_SIGNS: Final = {"_": "−", "x": "×"}  # markers of matplotlib as text
_CHARACTER: Final = 0.5  # mean width of the characters of an interval, in multiples of the text size
_OF_ALL: Final = "The pooled effect is of all studies."


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a page says of itself."""

    title: str
    lang: str


def forest_page(sheet: Sheet, head: Head) -> str:
    """Page of a forest table that sorts and filters."""
    widest = max(len(cell.apart) for line in sheet.lines for cell in line.cells)
    style, script = _style(sheet.style, widest), _resource("page.js")
    shared = look_of(sheet)
    body = [_tools(sheet), _table(sheet, shared), *_under(sheet)]
    return _PAGE.substitute(
        lang=escape(head.lang), title=escape(head.title), style=style, body="\n".join(body),
        script=f"<script>{script}</script>\n",
        policy=f"{_CLOSED}; style-src {_hash(style)}; script-src {_hash(script)}",
    )  # fmt: skip


def drawing_page(drawing: str, alt: str, table: pd.DataFrame | None, style: Style, head: Head) -> str:
    """Page of a drawing in SVG, with its data where they are given."""
    said = f'<figure class="drawing">{drawing}<figcaption>{escape(alt)}</figcaption></figure>'
    data = "" if table is None else f"<details><summary>Data of the figure</summary>{_data(table)}</details>"
    return _PAGE.substitute(
        lang=escape(head.lang), title=escape(head.title), style=_style(style), body=f"{said}\n{data}", script="",
        policy=f"{_CLOSED}; style-src 'unsafe-inline'; img-src data:",  # matplotlib writes attributes of style
    )  # fmt: skip


def _resource(name: str) -> str:
    return files("metaan.plot").joinpath(name).read_text(encoding="utf-8")


def _style(style: Style, widest: int = 0) -> str:
    """Style sheet of a page; `widest` is how many characters the intervals have, so that estimates stand in line."""
    return Template(_resource("page.css")).substitute(
        light=properties(style, "light"), dark=properties(style, "dark"), family=font_family(style),
        line=f"{1.2 * style.weight:g}px", rule=f"{1 if style.rules else 0}px", apart=f"{_CHARACTER * widest:.2f}em",
    )  # fmt: skip


def _hash(text: str) -> str:
    """Source of a Content-Security-Policy that allows this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _tools(sheet: Sheet) -> str:
    """Search box, choice of a group, reset button, and the line that says what is shown."""
    k, choice = len(sheet.studies), ""
    if sheet.groups:
        entries = "".join(f'<option value="{i}">{escape(name)}</option>' for i, name in enumerate(sheet.groups))
        choice = f'<label>Group <select id="group"><option value="">All groups</option>{entries}</select></label>\n'
    shown = f"{k} of {k} {'study' if k == 1 else 'studies'} shown."
    pooled = f" {_OF_ALL}" if any(line.kind == "pooled" for line in sheet.lines) else ""
    return (
        '<form class="tools" role="search" aria-label="Studies">\n'
        '<label>Study <input id="search" type="search" autocomplete="off" spellcheck="false"></label>\n'
        f'{choice}<button type="button">Reset</button>\n</form>\n'
        f'<p class="status"><span id="status" role="status">{shown}</span>{pooled}</p>'
    )


def _table(sheet: Sheet, shared: Look) -> str:
    label = f'<caption class="away">{escape(sheet.alt)}</caption>'
    return (
        f'<div class="window" role="region" aria-label="Forest plot" tabindex="0">\n<table class="forest">\n{label}\n'
        f"<thead>\n{_headings(sheet)}</thead>\n{''.join(_bodies(sheet, shared))}"
        f"<tfoot>\n{_foot(sheet, shared)}</tfoot>\n</table>\n</div>"
    )


def _sides(sheet: Sheet) -> tuple[list[int], list[int]]:
    """Places of the columns left and right of the plot."""
    left = [i for i, column in enumerate(sheet.columns) if column.on_left]
    return left, [i for i, column in enumerate(sheet.columns) if not column.on_left]


def _headings(sheet: Sheet) -> str:
    """One row of headings, or two where some stand over several columns."""
    deep = any(column.span for column in sheet.columns)
    left, right = (_side_headings(sheet, side, deep) for side in _sides(sheet))
    over = ' rowspan="2"' if deep else ""
    plot = f'<th class="plot" scope="col"{over}><span class="away">Plot: {escape(sheet.xlabel)}</span></th>'
    lower = f"<tr>{left[1]}{right[1]}</tr>\n" if deep else ""
    return f"<tr>{left[0]}{plot}{right[0]}</tr>\n{lower}"


def _side_headings(sheet: Sheet, side: Sequence[int], deep: bool) -> tuple[str, str]:
    """Upper and lower row of headings on one side of the plot."""
    upper, lower = "", ""
    for span, members in groupby(side, key=lambda i: sheet.columns[i].span):
        mine = list(members)
        headings = "".join(_heading(sheet.columns[i], i, 2 if deep and not span else 1) for i in mine)
        if span:
            upper += f'<th class="span" scope="colgroup" colspan="{len(mine)}">{escape(span)}</th>'
            lower += headings
        else:
            upper += headings
    return upper, lower


def _heading(column: Column, number: int, rows: int) -> str:
    """Heading with the button that sorts; the plot stands before the cells of the columns on its right."""
    kind = "label" if column.name == "study" else "light" if column.lights else "number" if column.number else "text"
    over = f' rowspan="{rows}"' if rows > 1 else ""
    sort = "number" if column.number or column.lights else "text"
    place = number if column.on_left else number + 1
    button = f'<button type="button" data-sort="{sort}" data-place="{place}">{escape(column.heading)}</button>'
    return f'<th class="{kind}" scope="col"{over}>{button}</th>'


def _bodies(sheet: Sheet, shared: Look) -> Iterator[str]:
    """One body of the table for each subgroup, and one for all studies and what is pooled of them.

    A heading begins a body in any case: studies are sorted within theirs, and never leave their heading.
    """
    groups = {name: i for i, name in enumerate(sheet.groups)}
    begun = np.cumsum([line.kind == "group" for line in sheet.lines])
    for (group, _), members in groupby(range(len(sheet.lines)), key=lambda i: (sheet.lines[i].group, begun[i])):
        rows = "".join(_row(i, sheet, shared) for i in members)
        named = f' data-group="{groups[group]}"' if group else ""
        yield f"<tbody{named}>\n{rows}</tbody>\n"


def _row(number: int, sheet: Sheet, shared: Look) -> str:
    line = sheet.lines[number]
    left, right = _sides(sheet)
    plot = f'<td class="plot">{row_svg(number, shared)}</td>'
    if line.kind in ("group", "text"):
        tag, scope = ("th", ' scope="rowgroup"') if line.kind == "group" else ("td", "")
        rest = f'<td colspan="{len(right)}"></td>' if right else ""
        cells = f'<{tag} class="label" colspan="{len(left)}"{scope}>{escape(line.label)}</{tag}>{plot}{rest}'
        return f'<tr class="{line.kind}">{cells}</tr>\n'
    cells = _label(number, line)
    cells += "".join(_cell(sheet.columns[i], line.cells[i], sheet) for i in left[1:])
    cells += plot + "".join(_cell(sheet.columns[i], line.cells[i], sheet) for i in right)
    dense = " dense" if line.kind == "prediction" and not line.group and sheet.density[0] else ""
    return f'<tr class="{line.kind}{dense}">{cells}</tr>\n'


def _label(number: int, line: Line) -> str:
    """Label of a row; that of a study shows its details on hover, focus and click."""
    kind = "label indent" if line.indent else "label"
    if line.kind != "study":
        return f'<th class="{kind}" scope="row">{escape(line.label)}</th>'
    name = f"details-{number}"
    shown = "".join(map(_detail, line.details))
    return (
        f'<th class="{kind}" scope="row" data-key="{escape(line.label)}">'
        f'<button type="button" aria-expanded="false" aria-controls="{name}" aria-describedby="{name}">'
        f'{escape(line.label)}</button><div class="details" id="{name}"><dl>{shown}</dl></div></th>'
    )


def _detail(detail: Detail) -> str:
    text = escape(detail.text)
    if detail.address:
        text = f'<a href="{escape(detail.address)}" target="_blank" rel="noopener noreferrer">{text}</a>'
    return f"<div><dt>{escape(detail.name)}</dt><dd>{text}</dd></div>"


def _cell(column: Column, cell: Cell, sheet: Sheet) -> str:
    key = "" if cell.key is None else f' data-key="{escape(_key(cell.key))}"'
    if column.lights:
        return f'<td class="light"{key}>{_light(cell.text, sheet) if cell.text else ""}</td>'
    text = escape(cell.text)
    if cell.apart:
        text += f' <span class="apart">{escape(cell.apart)}</span>'
    return f'<td class="{"number" if column.number else "text"}"{key}>{text}</td>'


def _key(key: float | str) -> str:
    return key if isinstance(key, str) else repr(float(key))


def _light(judgement: str, sheet: Sheet) -> str:
    """Judgement as a traffic light with its sign, and in words for those who cannot see it."""
    colour, marker = look(judgement.casefold(), sheet.lights)
    sign = _SIGNS.get(marker, marker.strip("$"))
    ink = max(("#000000", "#ffffff"), key=lambda one: contrast(one, colour))
    return (
        f'<svg class="disc" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><title>{escape(judgement)}</title>'
        f'<circle cx="10" cy="10" r="9.5" fill="{escape(str(colour))}"/><text x="10" y="15" text-anchor="middle" '
        f'fill="{ink}">{escape(sign)}</text></svg><span class="away">{escape(judgement)}</span>'
    )


def _foot(sheet: Sheet, shared: Look) -> str:
    """Axis under the plot, with the words on either side of no effect and its label."""
    left, right = _sides(sheet)
    said = "".join(f"<span>{escape(text)}</span>" for text in pointing(sheet.favours))
    sides = f'<div class="favours">{said}</div>' if any(sheet.favours) else ""
    rest = f'<td colspan="{len(right)}"></td>' if right else ""
    axis = f'<td class="plot">{axis_svg(shared)}{sides}<div class="xlabel">{escape(sheet.xlabel)}</div></td>'
    return f'<tr><td colspan="{len(left)}"></td>{axis}{rest}</tr>\n'


def _under(sheet: Sheet) -> Iterator[str]:
    """Lines on the model, and notes."""
    for name, lines in (("statistics", sheet.statistics), ("notes", sheet.notes)):
        if lines:
            yield f'<div class="{name}">{"".join(f"<p>{escape(line)}</p>" for line in lines)}</div>'


def _data(table: pd.DataFrame) -> str:
    """Any table, its numbers to six digits."""
    kinds = ["number" if dtype.kind in "iuf" else "text" for dtype in table.dtypes]
    pairs = zip(table.columns, kinds, strict=True)
    head = "".join(f'<th class="{kind}" scope="col">{escape(str(name))}</th>' for name, kind in pairs)
    rows = []
    for values in plain_values(table).itertuples(index=False):
        cells = (f'<td class="{kind}">{escape(_plain(value))}</td>' for value, kind in zip(values, kinds, strict=True))
        rows.append(f"<tr>{''.join(cells)}</tr>\n")
    caption = '<caption class="away">Data of the figure</caption>'
    return (
        '<div class="window" role="region" aria-label="Data of the figure" tabindex="0">'
        f'<table class="data">{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table></div>'
    )


def _plain(value: object) -> str:
    """A value as text: blank where missing, numbers to six digits."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", "−") if isinstance(value, float) else " ".join(str(value).split())
