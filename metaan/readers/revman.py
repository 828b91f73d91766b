"""CSV files that RevMan writes: the rows of every analysis of a review in one table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from metaan.errors import InputError, Note
from metaan.readers.analyses import Analysis, Row, choose, grid_of
from metaan.readers.export import KINDS, Export, plain
from metaan.readers.grid import Cell, Grid, blank, clipped, said
from metaan.readers.scales import settle_scale
from metaan.readers.vocabulary import squashed

__all__ = ["heading_of", "one_analysis", "refuse_several"]

_KEYS: Final = (("analysisgroup", "analysisnumber"), ("comparisonnumber", "outcomenumber"), ("compno", "outcomeno"))
_EXPORT: Final = ("comparisonnumber", "outcomenumber", "name")
_SEARCHED: Final = 40  # rows that are not blank, from the top
_LONGEST: Final = 100
_TEXTS: Final = {
    "comparison_name": ("analysisgroupname", "comparisonname", "comparison", "complab"),
    "outcome_name": ("analysisname", "outcomename", "outcome", "outclab"),
    "kind": ("datatype", "type"),
    "printed_measure": ("effectmeasure", "sm"),
    "treated": ("experimentalgrouplabel", "grouplabel1", "labele"),
    "control": ("controlgrouplabel", "grouplabel2", "labelc"),
}  # fmt: skip
_ROW: Final = {
    "study": ("study", "studlab", "studyid", "studyname"),
    "subgroup": ("subgroup", "subgroupname", "grplab"),
    "part": ("subgroupnumber", "groupno"),
    "year": ("studyyear", "year", "yearofstudy"),
}
_NUMBERS: Final = {
    "events_t": ("experimentalcases", "events1", "evente"),
    "total_t": ("experimentaln", "total1", "ne"),
    "events_c": ("controlcases", "events2", "eventc"),
    "total_c": ("controln", "total2", "nc"),
    "mean_t": ("experimentalmean", "mean1", "meane"),
    "sd_t": ("experimentalsd", "sd1", "sde"),
    "mean_c": ("controlmean", "mean2", "meanc"),
    "sd_c": ("controlsd", "sd2", "sdc"),
    "yi": ("givmean",),
    "sei": ("givse",),
    "o_e": ("oe",),
    "o_e_variance": ("variance", "v", "var"),
}
_TWO: Final = ("events_t", "total_t", "events_c", "total_c")
_FIELDS: Final[dict[str, dict[str, str]]] = {
    "dichotomous": {name: name for name in _TWO},
    "continuous": {
        "mean_t": "mean_t", "sd_t": "sd_t", "total_t": "n_t", "mean_c": "mean_c", "sd_c": "sd_c", "total_c": "n_c",
    },
    "inverse variance": {name: name for name in ("yi", "sei", "ci_low", "ci_high", "total_t", "total_c")},
    "O-E and variance": {name: name for name in (*_TWO, "o_e", "o_e_variance")},
}  # fmt: skip
_ASKED: Final = {
    "dichotomous": {"events_t": "Events 1", "total_t": "Total 1", "events_c": "Events 2", "total_c": "Total 2"},
    "continuous": {
        "mean_t": "Mean 1", "sd_t": "SD 1", "total_t": "Total 1", "mean_c": "Mean 2", "sd_c": "SD 2",
        "total_c": "Total 2",
    },
    "inverse variance": {"yi": "Effect Estimate", "sei": "SE"},
    "O-E and variance": {"o_e": "O-E", "o_e_variance": "Variance"},
}  # fmt: skip
_MEASURES: Final = {
    "riskratio": "RR", "rr": "RR", "oddsratio": "OR", "or": "OR", "riskdifference": "RD", "rd": "RD",
    "petooddsratio": "PETO", "petoor": "PETO", "peto": "PETO", "meandifference": "MD", "md": "MD",
    "stdmeandifference": "SMD", "standardisedmeandifference": "SMD", "standardizedmeandifference": "SMD", "smd": "SMD",
    "hazardratio": "HR", "hr": "HR",
}  # fmt: skip


def heading_of(grid: Grid, header: int | Sequence[int] | None = None) -> int | None:
    """Place of the row that names the columns of a table of analyses, None where the table is none."""
    for i in _headings(grid, header):
        names = set(_words(grid.rows[i]))
        if names.issuperset(_EXPORT):
            return i
        if any(names.issuperset(keys) for keys in _KEYS) and not names.isdisjoint(_ROW["study"]):
            return i
    return None


def _words(row: Sequence[Cell]) -> list[str]:
    """Cells as headings, in lower case without spaces; a longer text is none."""
    return [squashed(cell) if isinstance(cell, str) and len(cell) < _LONGEST else "" for cell in row]


def _headings(grid: Grid, header: int | Sequence[int] | None) -> list[int]:
    """Places of the rows that may name the columns: the one that is asked for, or those near the top."""
    filled = list(grid.filled())[: 1 if grid.named else _SEARCHED]
    if header is None or grid.named:
        return filled
    last = header if isinstance(header, int) else list(header)[-1] if isinstance(header, (list, tuple)) else None
    return [i for i, line in enumerate(grid.lines) if line == last]


def refuse_several(grid: Grid, header: int | Sequence[int] | None) -> None:
    """Refuse a table of several analyses that lacks the columns by which one could be chosen."""
    words = {outcome for _, outcome in _KEYS}
    for i in _headings(grid, header):
        for place, word in enumerate(_words(grid.rows[i])):
            if word not in words:
                continue
            name = said(grid.rows[i][place])
            held = list(dict.fromkeys(plain(row[place]) for row in grid.rows[i + 1 :] if not blank(row[place])))
            if len(held) > 1:
                raise InputError(
                    f"{grid.place}: column {name!r} holds {len(held)} values ({clipped(held, 5)}): rows of several "
                    "analyses, which are not pooled together. outcome= chooses one where the table has the columns "
                    "'Comparison Number', 'Outcome Number' and 'Study' or 'Name' ('Analysis group' and 'Analysis "
                    "number' in RevMan Web). Otherwise keep the rows of one, or call the column something else."
                )


def one_analysis(
    grid: Grid, first: int, comparison: str | int | None, outcome: str | int | None
) -> tuple[Grid, Analysis]:
    """Table of the analysis that is asked for; `first` is the place of the names of the columns."""
    places = {word: place for place, word in reversed(list(enumerate(_words(grid.rows[first]))))}
    is_export = _place(places, _ROW["study"]) is None
    if is_export:
        export = Export(grid, first, places, {name: _place(places, words) for name, words in _NUMBERS.items()})
        analyses, aside = export.read()
    else:
        analyses, aside = _flat(grid, first, places)
    for analysis in analyses:
        _finish(analysis, guess=not is_export)
    chosen = choose(analyses, comparison, outcome, grid.place)
    _check(chosen, grid.place)
    if is_export and chosen.kind == "inverse variance":
        settle_scale(chosen, grid.place)
    for row in chosen.rows:
        row.cells = {name: cell for name, cell in row.cells.items() if not name.startswith("ci_")}
    made = grid_of(chosen, grid.place, "revman-csv")
    made.notes[:0] = grid.notes
    above = [grid.lines[i] for i in grid.filled() if i < first]
    if above:
        text = f"{'Row' if len(above) == 1 else 'Rows'} {', '.join(map(str, above))} above the names of the columns"
        made.notes.append(Note("title-rows", f"{text} skipped."))
    if aside:
        made.notes.append(Note("no-study", f"{aside} rows without a study or the number of an analysis left out."))
    return made, chosen


def _check(analysis: Analysis, place: str) -> None:
    """Refuse an analysis whose kind cannot be told, or whose numbers are not in the file."""
    where = f"{place}, outcome {analysis.number}"
    if analysis.kind not in _FIELDS:
        what = f"data type {analysis.kind!r}" if analysis.kind else "its data"
        raise InputError(
            f"{where}: {what} cannot be told to be dichotomous, continuous, inverse variance, or O-E and variance. "
            "Export the review with the field 'Data Type', which is DIC, CON, IV or OE."
        )
    present = {name for row in analysis.rows for name in row.cells}
    needed = {_FIELDS[analysis.kind][name]: text for name, text in _ASKED[analysis.kind].items()}
    missing = [text for name, text in needed.items() if name not in present]
    if missing:
        raise InputError(
            f"{where} is {analysis.kind}, but no row has {clipped(missing)}. Export the review with these fields."
        )


def _flat(grid: Grid, first: int, places: dict[str, int]) -> tuple[list[Analysis], int]:
    """Analyses of a table with a study in each row; and how many rows have none."""
    keys = next(keys for keys in _KEYS if set(keys) <= set(places))
    analyses: dict[tuple[str, str], Analysis] = {}
    numbers = {name: place for name, words in _NUMBERS.items() if (place := _place(places, words)) is not None}
    texts = {name: _place(places, words) for name, words in (_TEXTS | _ROW).items()}
    aside = 0
    for i, cells in enumerate(grid.rows[first + 1 :], first + 1):
        text = {name: "" if place is None else plain(cells[place]) for name, place in texts.items()}
        key = (plain(cells[places[keys[0]]]), plain(cells[places[keys[1]]]))
        given = {name: cells[place] for name, place in numbers.items() if not blank(cells[place])}
        if not text["study"] or not all(key):
            aside += not all(map(blank, cells))
            continue
        analysis = analyses.setdefault(key, Analysis(key[0], "", key[1], ""))
        for name in _TEXTS:
            setattr(analysis, name, getattr(analysis, name) or text[name])
        part = "" if text["part"] == "0" else text["part"] or text["subgroup"]
        row = Row(text["study"], text["subgroup"], given, text["study"], text["year"], part, line=grid.lines[i])
        analysis.rows.append(row)
    for analysis in analyses.values():
        _number_parts(analysis)
    return list(analyses.values()), aside


def _number_parts(analysis: Analysis) -> None:
    """Subgroups that have names alone are numbered as they come."""
    parts = dict.fromkeys(row.part for row in analysis.rows if row.part)
    if not all(part.isdigit() for part in parts):
        numbers = {part: str(i) for i, part in enumerate(parts, 1)}
        for row in analysis.rows:
            row.part = numbers.get(row.part, "")


def _place(places: dict[str, int], words: Collection[str]) -> int | None:
    return next((places[word] for word in words if word in places), None)


def _finish(analysis: Analysis, *, guess: bool) -> None:
    """Kind of data and measure; the numbers of that kind, since RevMan writes 0 into the fields of others."""
    analysis.measure = _MEASURES.get(squashed(analysis.printed_measure), "")
    told = KINDS.get(squashed(analysis.kind), "")
    analysis.kind = told or (_kind(analysis.rows) if guess or not analysis.kind else "") or analysis.kind
    fields = _FIELDS.get(analysis.kind)
    if fields is not None:
        for row in analysis.rows:
            row.cells = {fields[name]: cell for name, cell in row.cells.items() if name in fields}


def _kind(rows: Sequence[Row]) -> str:
    """Kind of data by the numbers that are not 0; empty where they speak for several."""
    given = {name for row in rows for name, cell in row.cells.items() if said(cell).strip("0.,")}
    means = not given.isdisjoint(("mean_t", "sd_t", "mean_c", "sd_c"))
    events = not given.isdisjoint(("events_t", "events_c"))
    if means and events:
        return ""
    if "o_e" in given:
        return "O-E and variance"
    if means:
        return "continuous"
    entered = not events and "yi" in given
    return "inverse variance" if entered else "dichotomous" if not given.isdisjoint(_FIELDS["dichotomous"]) else ""
